"""What the records of all ACPI tables have in common: a place in the table, declared fields, the way back to bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, cast, dataclass_transform

from ...base import Finding, Origin, printable
from ...base.findings import Severity
from ...base.quick import quick
from .layout import Layout, MisfitError

Bits = Mapping[str, tuple[int, int]]
"""The named parts of a flags field: name to (lowest bit, number of bits)."""


class FieldValue(NamedTuple):
    """One field of a table as it stands in the bytes.

    Attributes:
        offset: from the start of the table, in bytes.
        size: in bytes.
        record: what the field is part of, such as `DRHD`.
        name: the field.
        value: a number, or the bytes of a string or reserved area.
        bits: the named parts of the value, if it has any, with their values.
    """

    offset: int
    size: int
    record: str
    name: str
    value: int | bytes
    bits: tuple[tuple[str, int], ...] = ()


_Record = TypeVar("_Record")
_quick = cache(quick)
"""Only for records that come in arrays, when one is read: to make it takes as long as to make a hundred records."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[_Record]) -> type[_Record]:
    """Make a frozen, slotted dataclass that takes comparison and repr from `Record`.

    What dataclass would write for each of the forty classes adds a tenth to the time that a command takes to start.
    """
    return dataclass(frozen=True, slots=True, eq=False, repr=False)(cls)


@record
class Record:
    """A structure of a table: `offset` is where it starts, in bytes from the start of the table.

    Subclasses add one attribute for each field of their layout, in its order, and after these what follows the fixed
    part (lists of further records, strings, `rest` for bytes that no field covers).
    """

    NAME: ClassVar[str]
    LAYOUT: ClassVar[Layout]
    BITS: ClassVar[Mapping[str, Bits]] = {}

    offset: int

    @classmethod
    def read(cls, data: bytes, offset: int, **parts: Any) -> Self:
        """Read the fixed part at `offset`; the caller has checked that it is inside the data, and gives the rest."""
        return cls(offset, *cls.LAYOUT.read(data, offset), **parts)

    @classmethod
    def read_array(cls, data: bytes, offset: int, count: int) -> tuple[Self, ...]:
        """Read `count` records that have nothing but their fixed part, one after the other."""
        places = range(offset, offset + count * cls.LAYOUT.size, cls.LAYOUT.size)
        make = _quick(cast("Any", cls))
        found = cls.LAYOUT.read_array(data, offset, count)
        return tuple([make(place, *values) for place, values in zip(places, found, strict=True)])

    @property
    def layout(self) -> Layout:
        """The layout of the fixed part."""
        return self.LAYOUT

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, one.name) for one in fields(self))

    def __eq__(self, other: object) -> bool:
        """Two records are equal when they are of one class and all their attributes are."""
        return self._values() == other._values() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        """Equal records have equal hashes."""
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        """Show all attributes, as dataclasses do."""
        shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self))
        return f"{type(self).__name__}({', '.join(shown)})"

    def fixed(self) -> bytes:
        """Return the bytes of the fixed part."""
        try:
            return self.layout.write(tuple(getattr(self, field.name) for field in self.layout.fields))
        except MisfitError as error:
            error.place = self.offset
            raise

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields of this record and of those inside it, in the order of the bytes."""
        for declared in self.layout.fields:
            value = getattr(self, declared.name)
            bits = self.BITS.get(declared.name, {})
            parts = tuple((name, value >> low & (1 << width) - 1) for name, (low, width) in bits.items())
            yield FieldValue(self.offset + declared.offset, declared.size, self.NAME, declared.name, value, parts)


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that no layout describes, kept as they are.

    Attributes:
        offset: from the start of the table.
        data: the bytes.
        type: the type number that they claim, if they got as far as a header.
        name: for people, what they are.
    """

    offset: int
    data: bytes
    type: int | None = None
    name: str = "raw data"

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over the one field that this is."""
        if self.data:
            yield FieldValue(self.offset, len(self.data), self.name, "data", self.data)


def shown(text: str, most: int = 64) -> str:
    r"""Return text of the input in quotes as it is written (`'\_SB.PCI0'`), cut to what a sentence can hold."""
    more = f" and {len(text) - most} characters more" if len(text) > most else ""
    return f"'{printable(text[:most])}'{more}"


class Report:
    """Collects the findings about one table; readers call it with an offset in that table.

    Hostile tables can be wrong in millions of places: after `LIMIT` findings the rest is only counted.
    """

    LIMIT = 1000

    __slots__ = ("findings", "signature", "source", "suppressed")

    def __init__(self, source: str, signature: str) -> None:
        """Report about the table with this signature in this source."""
        self.source = source
        self.signature = signature
        self.findings: list[Finding] = []
        self.suppressed = 0

    def __call__(
        self, rule: str, severity: Severity, offset: int, length: int | None, message: str, **details: str
    ) -> None:
        """Add a finding about `length` bytes at `offset`; `details` are the further fields of `Finding`."""
        if len(self.findings) >= self.LIMIT:
            self.suppressed += 1
            return
        origin = Origin(self.source, self.signature, offset, length)
        self.findings.append(Finding(rule, severity, origin, message, **details))
