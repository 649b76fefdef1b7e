"""MCFG, the memory-mapped PCI Express configuration windows (PCI Firmware Specification 3.3 §4.1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from construct import Bytes, Int8ul, Int16ul, Int64ul, Struct

from .layout import Layout
from .record import FieldValue, Raw, Record, Report, record

MCFG = Struct(
    "reserved" / Bytes(8),
)

ALLOCATION = Struct(
    "base_address" / Int64ul,
    "segment" / Int16ul,
    "start_bus" / Int8ul,
    "end_bus" / Int8ul,
    "reserved" / Bytes(4),
)

CLAUSE = "PCI Firmware Specification 3.3 §4.1.2"


@record
class Allocation(Record):
    """One window: `base_address` belongs to bus 0 of the segment, whatever `start_bus` is; `end_bus` is included."""

    NAME: ClassVar[str] = "allocation"
    LAYOUT: ClassVar[Layout] = Layout(ALLOCATION)

    base_address: int
    segment: int
    start_bus: int
    end_bus: int
    reserved: bytes


@record
class Mcfg(Record):
    """The table after its header: the windows, and what is left over at the end."""

    NAME: ClassVar[str] = "MCFG"
    LAYOUT: ClassVar[Layout] = Layout(MCFG)

    reserved: bytes
    allocations: tuple[Allocation, ...] = ()
    rest: Raw | None = None

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        entries = b"".join(entry.fixed() for entry in self.allocations)
        return self.fixed() + entries + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        for entry in (*self.allocations, *((self.rest,) if self.rest else ())):
            yield from entry.fields()


def read_mcfg(data: bytes, offset: int, report: Report) -> Mcfg:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there."""
    start = offset + Mcfg.LAYOUT.size
    size = Allocation.LAYOUT.size
    count, left = divmod(len(data) - start, size)
    entries = Allocation.read_array(data, start, count)
    rest = None
    if left:
        rest = Raw(start + count * size, data[start + count * size :])
        report(
            "MCFG-LENGTH", "error", rest.offset, left, "bytes follow the last whole entry", found=str(left),
            expected=f"entries of {size} bytes up to the end of the table", clause=CLAUSE,
            advice="they are kept and not used",
        )  # fmt: skip
    for entry in entries:
        if entry.end_bus < entry.start_bus:
            report(
                "MCFG-BUS-RANGE", "error", entry.offset + 10, 2, "the window ends before it begins", field="End Bus",
                found=str(entry.end_bus), expected=f"at least the start bus, {entry.start_bus}", clause=CLAUSE,
                advice="no bus is in the window",
            )  # fmt: skip
    return Mcfg.read(data, offset, allocations=entries, rest=rest)
