"""HPET, the place of a high precision event timer block (IA-PC HPET specification 1.0a §3.2.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from construct import Int8ul, Int16ul, Int32ul, Int64ul, Struct

from .layout import Layout
from .record import Bits, FieldValue, Raw, Record, Report, record

# The base address is a generic address structure (ACPI 6.5 §5.2.3.2)
HPET = Struct(
    "event_timer_block_id" / Int32ul,
    "address_space_id" / Int8ul,
    "register_bit_width" / Int8ul,
    "register_bit_offset" / Int8ul,
    "reserved" / Int8ul,
    "base_address" / Int64ul,
    "hpet_number" / Int8ul,
    "minimum_clock_tick" / Int16ul,
    "page_protection_and_oem_attribute" / Int8ul,
)

CLAUSE = "IA-PC HPET specification 1.0a §3.2.4"

BLOCK_ID = {
    "HARDWARE_REV_ID": (0, 8),
    "NUMBER_OF_COMPARATORS": (8, 5),
    "COUNT_SIZE_CAP": (13, 1),
    "LEGACY_REPLACEMENT": (15, 1),
    "PCI_VENDOR_ID": (16, 16),
}
PAGE_PROTECTION = {"page_protection": (0, 4), "oem_attribute": (4, 4)}


@record
class Hpet(Record):
    """The table after its header: `hpet_number` is what the HPET scopes of a DMAR name.

    `minimum_clock_tick` is counted in ticks of the main counter, for periodic mode.
    """

    NAME: ClassVar[str] = "HPET"
    LAYOUT: ClassVar[Layout] = Layout(HPET)
    BITS: ClassVar[Mapping[str, Bits]] = {
        "event_timer_block_id": BLOCK_ID,
        "page_protection_and_oem_attribute": PAGE_PROTECTION,
    }

    event_timer_block_id: int
    address_space_id: int
    register_bit_width: int
    register_bit_offset: int
    reserved: int
    base_address: int
    hpet_number: int
    minimum_clock_tick: int
    page_protection_and_oem_attribute: int
    rest: Raw | None = None

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        return self.fixed() + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        if self.rest:
            yield from self.rest.fields()


def read_hpet(data: bytes, offset: int, report: Report) -> Hpet:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there."""
    end = offset + Hpet.LAYOUT.size
    rest = None
    if left := len(data) - end:
        rest = Raw(end, data[end:])
        report(
            "HPET-LENGTH", "warning", end, left, "bytes follow the last field", field="Length", found=str(len(data)),
            expected=str(end), clause=CLAUSE, advice="they are kept as raw data",
        )  # fmt: skip
    return Hpet.read(data, offset, rest=rest)
