"""Bytes of a SRAT to records."""

from __future__ import annotations

from ..entries import Kinds, read_entries
from ..record import Report
from . import names, records

SRAT_ENTRIES = Kinds(
    {
        names.PROCESSOR: records.ProcessorAffinity,
        names.MEMORY: records.MemoryAffinity,
        names.X2APIC: records.X2apicAffinity,
        names.GICC: records.GiccAffinity,
        names.ITS: records.ItsAffinity,
        names.GENERIC_INITIATOR: records.GenericInitiatorAffinity,
    },
    names.ENTRIES,
    "SRAT",
    "ACPI 6.5 §5.2.16",
)


def read_srat(data: bytes, offset: int, report: Report) -> records.Srat:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    entries = read_entries(data, offset + records.Srat.LAYOUT.size, SRAT_ENTRIES, report)
    return records.Srat.read(data, offset, entries=entries)
