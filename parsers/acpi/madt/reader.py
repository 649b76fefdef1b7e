"""Bytes of a MADT to records."""

from __future__ import annotations

from ..entries import Kinds, read_entries
from ..record import Report
from . import names, records

MADT_ENTRIES = Kinds(
    {
        names.LOCAL_APIC: records.LocalApic,
        names.IO_APIC: records.IoApic,
        names.INTERRUPT_SOURCE_OVERRIDE: records.InterruptSourceOverride,
        names.IO_SAPIC: records.IoSapic,
        names.LOCAL_X2APIC: records.LocalX2apic,
        names.GICC: records.Gicc,
        names.GICD: records.Gicd,
        names.GIC_MSI_FRAME: records.GicMsiFrame,
        names.GICR: records.Gicr,
        names.GIC_ITS: records.GicIts,
        names.RINTC: records.Rintc,
        names.IMSIC: records.Imsic,
        names.APLIC: records.Aplic,
        names.PLIC: records.Plic,
    },
    names.ENTRIES,
    "MADT",
    "ACPI 6.5 §5.2.12",
)
"""Entries of other types say nothing that IOMMU tables are held against."""


def read_madt(data: bytes, offset: int, report: Report) -> records.Madt:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    entries = read_entries(data, offset + records.Madt.LAYOUT.size, MADT_ENTRIES, report)
    return records.Madt.read(data, offset, entries=entries)
