"""SLIT, how far the proximity domains of a machine are from each other (ACPI 6.5 §5.2.17)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from construct import Int64ul, Struct

from .layout import Layout
from .record import FieldValue, Raw, Record, Report, record

SLIT = Struct(
    "number_of_system_localities" / Int64ul,
)

CLAUSE = "ACPI 6.5 §5.2.17"

LOCAL, UNREACHABLE = 10, 255
"""Distance of a domain from itself, and of one that cannot be reached."""


@record
class Slit(Record):
    """The table after its header.

    `distances` is the matrix row by row, one byte for each pair of domains, in units of a tenth of the distance of a
    domain from itself; it is shorter than the number of localities asks for when the table ends before.
    """

    NAME: ClassVar[str] = "SLIT"
    LAYOUT: ClassVar[Layout] = Layout(SLIT)

    number_of_system_localities: int
    distances: bytes = b""
    rest: Raw | None = None

    def distance(self, start: int, end: int) -> int | None:
        """Return how far domain `end` is from domain `start`; None when the table does not say."""
        count = self.number_of_system_localities
        at = start * count + end
        return self.distances[at] if 0 <= start < count and 0 <= end < count and at < len(self.distances) else None

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        return self.fixed() + self.distances + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes: after the number of localities, the rows of the matrix."""
        yield from Record.fields(self)
        start = self.offset + self.LAYOUT.size
        width = max(1, min(self.number_of_system_localities, len(self.distances)))
        for row, at in enumerate(range(0, len(self.distances), width)):
            part = self.distances[at : at + width]
            yield FieldValue(start + at, len(part), self.NAME, f"distances_from_{row}", part)
        if self.rest:
            yield from self.rest.fields()


def read_slit(data: bytes, offset: int, report: Report) -> Slit:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there."""
    start = offset + Slit.LAYOUT.size
    (count,) = Slit.LAYOUT.read(data, offset)
    left = len(data) - start
    distances = data[start : start + count * count]
    rest = Raw(start + len(distances), data[start + len(distances) :]) if left > count * count else None
    if left != count * count:
        report(
            "SLIT-LENGTH", "error", offset, 8, "the table does not hold one distance for each pair of localities",
            field="Number of System Localities", found=f"{count}, with {left} bytes after it",
            expected=f"{count} times {count} bytes", clause=CLAUSE,
            advice="the distances that are there are read, the rest is kept as raw data",
        )  # fmt: skip
    return Slit.read(data, offset, distances=distances, rest=rest)
