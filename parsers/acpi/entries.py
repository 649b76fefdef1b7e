"""Tables that are a list of entries with one byte of type and one of length: MADT and SRAT.

Bounds first: an entry that can be read is, and what cannot be told apart is kept as raw data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import ClassVar, NamedTuple

from .layout import Layout
from .record import FieldValue, Raw, Record, Report, record

HEADER_SIZE = 2
"""Bytes of an entry's header: its type and its length."""


@record
class Entry(Record):
    """An entry of such a table; `rest` is what stands in it after the fields that are known.

    Fields that came with a later revision of the specification are None in entries that are too short for them.
    """

    EARLIER: ClassVar[tuple[Layout, ...]] = ()
    """The layouts that earlier revisions had, each shorter than the one before; `LAYOUT` is the newest."""

    type: int
    length: int
    rest: Raw | None = field(default=None, kw_only=True)

    @classmethod
    def fitting(cls, size: int) -> Layout | None:
        """Return the newest layout that an entry of `size` bytes has room for; None when there is none."""
        if cls.LAYOUT.size <= size:
            return cls.LAYOUT
        return next((layout for layout in cls.EARLIER if layout.size <= size), None)

    @property
    def layout(self) -> Layout:
        """The newest layout of which this entry has every field."""
        for layout in (self.LAYOUT, *self.EARLIER[:-1]):
            if getattr(self, layout.fields[-1].name) is not None:
                return layout
        return self.EARLIER[-1] if self.EARLIER else self.LAYOUT

    def to_bytes(self) -> bytes:
        """Return the bytes of the entry."""
        return self.fixed() + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        if self.rest:
            yield from self.rest.fields()


@record
class EntryTable(Record):
    """The table after its header: a fixed part, then entries; those of a type that is not read are raw."""

    entries: tuple[Entry | Raw, ...] = field(default=(), kw_only=True)

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        parts = (part.data if isinstance(part, Raw) else part.to_bytes() for part in self.entries)
        return self.fixed() + b"".join(parts)

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        for entry in self.entries:
            yield from entry.fields()


class Kinds(NamedTuple):
    """What is known of one table's entries.

    Attributes:
        readable: the record of each type that is read.
        names: of all types that the specification has.
        rule: how the identifiers of rules begin.
        clause: where the specification has them.
    """

    readable: Mapping[int, type[Entry]]
    names: Mapping[int, str]
    rule: str
    clause: str

    def name(self, kind: int) -> str:
        """Return what an entry of the type is called."""
        return self.names.get(kind, f"type {kind}")


def read_entries(data: bytes, place: int, kinds: Kinds, report: Report) -> tuple[Entry | Raw, ...]:
    """Read the entries from `place` to the end of `data`, which is where the table ends."""
    entries: list[Entry | Raw] = []
    while place < len(data):
        end = _entry_end(data, place, kinds, report)
        if end is None:
            entries.append(Raw(place, data[place:]))
            break
        entries.append(_read_entry(data, place, end, kinds, report))
        place = end
    return tuple(entries)


def _entry_end(data: bytes, place: int, kinds: Kinds, report: Report) -> int | None:
    """Return where the entry at `place` ends, or None when nothing after `place` can be told apart."""
    left = len(data) - place
    if left < HEADER_SIZE:
        report(
            f"{kinds.rule}-ENTRY-END", "error", place, left, "too few bytes are left for an entry", found=str(left),
            expected=f"at least {HEADER_SIZE}", clause=kinds.clause, advice="they are kept as raw data",
        )  # fmt: skip
        return None
    length = data[place + 1]
    if length < HEADER_SIZE:
        report(
            f"{kinds.rule}-ENTRY-LENGTH", "error", place + 1, 1,
            f"the {kinds.name(data[place])} entry does not even hold its own header", field="Length",
            found=str(length), expected=f"at least {HEADER_SIZE}", clause=kinds.clause,
            advice="the rest of the table is kept as raw data (Linux: 'Invalid zero length')",
        )  # fmt: skip
        return None
    if length > left:
        report(
            f"{kinds.rule}-ENTRY-END", "error", place + 1, 1,
            f"the {kinds.name(data[place])} entry runs past the end of the table", field="Length",
            found=str(length), expected=f"at most {left}", clause=kinds.clause,
            advice="what is there is read (Linux passes the entry over)",
        )  # fmt: skip
        return len(data)
    return place + length


def _read_entry(data: bytes, place: int, end: int, kinds: Kinds, report: Report) -> Entry | Raw:
    """Read the entry from `place` to `end`."""
    kind = data[place]
    readable = kinds.readable.get(kind)
    if readable is None:
        return Raw(place, data[place:end], kind, kinds.name(kind))
    layout = readable.fitting(end - place)
    if layout is None:
        least = (readable.EARLIER or (readable.LAYOUT,))[-1].size
        report(
            f"{kinds.rule}-ENTRY-LENGTH", "error", place, end - place, f"the {kinds.name(kind)} entry is too short",
            found=f"{end - place} bytes", expected=f"at least {least}", clause=kinds.clause,
            advice="it is kept as raw data",
        )  # fmt: skip
        return Raw(place, data[place:end], kind, kinds.name(kind))
    after = place + layout.size
    missing = len(readable.LAYOUT.fields) - len(layout.fields)
    rest = Raw(after, data[after:end]) if after < end else None
    return readable(place, *layout.read(data, place), *([None] * missing), rest=rest)
