"""The entries of a SRAT as people work with them; each attribute has the specification's name and unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..entries import Entry, EntryTable
from ..layout import Layout
from ..record import Bits, Raw, record
from . import layout, names


@record
class ProcessorAffinity(Entry):
    """The proximity domain of a processor with a local APIC (§5.2.16.1)."""

    NAME: ClassVar[str] = "processor affinity"
    LAYOUT: ClassVar[Layout] = Layout(layout.PROCESSOR_AFFINITY)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.ENABLED}

    proximity_domain_low: int
    apic_id: int
    flags: int
    local_sapic_eid: int
    proximity_domain_high: bytes
    clock_domain: int

    @property
    def proximity_domain(self) -> int:
        """Both parts as one number; in tables of revision 1 only the low one counts, and the high one is reserved."""
        return self.proximity_domain_low | int.from_bytes(self.proximity_domain_high, "little") << 8


@record
class MemoryAffinity(Entry):
    """The proximity domain of `size` bytes of memory at `base_address` (§5.2.16.2).

    In tables of revision 1 only the lowest byte of `proximity_domain` counts, and the others are reserved.
    """

    NAME: ClassVar[str] = "memory affinity"
    LAYOUT: ClassVar[Layout] = Layout(layout.MEMORY_AFFINITY)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.MEMORY_FLAGS}

    proximity_domain: int
    reserved: int
    base_address: int
    size: int
    reserved2: int
    flags: int
    reserved3: int


@record
class X2apicAffinity(Entry):
    """The proximity domain of a processor with a local x2APIC (§5.2.16.3)."""

    NAME: ClassVar[str] = "x2APIC affinity"
    LAYOUT: ClassVar[Layout] = Layout(layout.X2APIC_AFFINITY)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.ENABLED}

    reserved: int
    proximity_domain: int
    x2apic_id: int
    flags: int
    clock_domain: int
    reserved2: int


@record
class GiccAffinity(Entry):
    """The proximity domain of a processor with a GICC (§5.2.16.4)."""

    NAME: ClassVar[str] = "GICC affinity"
    LAYOUT: ClassVar[Layout] = Layout(layout.GICC_AFFINITY)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.ENABLED}

    proximity_domain: int
    acpi_processor_uid: int
    flags: int
    clock_domain: int


@record
class ItsAffinity(Entry):
    """The proximity domain of a GIC ITS (§5.2.16.5): `its_id` is that of its MADT entry."""

    NAME: ClassVar[str] = "ITS affinity"
    LAYOUT: ClassVar[Layout] = Layout(layout.ITS_AFFINITY)

    proximity_domain: int
    reserved: int
    its_id: int


@record
class GenericInitiatorAffinity(Entry):
    """The proximity domain of a device (§5.2.16.6), named by an ACPI object's _HID and _UID or a PCI function."""

    NAME: ClassVar[str] = "generic initiator affinity"
    LAYOUT: ClassVar[Layout] = Layout(layout.GENERIC_INITIATOR_AFFINITY)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.GENERIC_FLAGS}

    reserved: int
    device_handle_type: int
    proximity_domain: int
    device_handle: bytes
    flags: int
    reserved2: int


@record
class Srat(EntryTable):
    """The table after its header (§5.2.16): which processors, memory and devices are near each other."""

    NAME: ClassVar[str] = "SRAT"
    LAYOUT: ClassVar[Layout] = Layout(layout.SRAT)

    table_revision: int
    reserved: int


def domain_of(entry: Entry | Raw, revision: int) -> int | None:
    """Return the proximity domain of an entry of a table of this revision; None when it has none.

    In the first revision, all but its lowest byte is reserved.
    """
    domain: int | None = getattr(entry, "proximity_domain", None)
    return domain & 0xFF if domain is not None and revision < 2 else domain  # noqa: PLR2004


def contents(srat: Srat, revision: int) -> dict[int, tuple[int, int]]:
    """Return how many processors and how many bytes of memory each proximity domain has that are enabled."""
    found: dict[int, tuple[int, int]] = {}
    for entry in srat.entries:
        domain = domain_of(entry, revision)
        if domain is None or not getattr(entry, "flags", 0) & 1:
            continue
        processors, memory = found.get(domain, (0, 0))
        if isinstance(entry, MemoryAffinity):
            found[domain] = processors, memory + entry.size
        elif isinstance(entry, ProcessorAffinity | X2apicAffinity | GiccAffinity):
            found[domain] = processors + 1, memory
    return found
