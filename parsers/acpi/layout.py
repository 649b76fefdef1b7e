"""Fixed structures of ACPI tables: declared with construct, read and written through `struct`.

A specification's table of fields is a `construct.Struct` in some `layout` module. construct needs about 7 µs for a
20-byte entry where `struct` needs 0.2 (`benchmarks/layout.py`), so `Layout` derives a `struct.Struct` from the
declaration once, and the tests hold both to the same answers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from construct import Bytes, Construct, FormatField, Renamed, Struct


class LayoutField(NamedTuple):
    """One declared field: its name in the specification's order, offset in the structure, and size in bytes."""

    name: str
    offset: int
    size: int


class MisfitError(struct.error):
    """A value that does not fit its field.

    Attributes:
        field: the field.
        value: what it was to hold.
        expected: what it can hold.
        place: offset of the structure that the field is in, from the start of the table, once a record has set it.
    """

    def __init__(self, field: LayoutField, value: object, expected: str) -> None:
        """Say which field it is."""
        super().__init__(f"{field.name} is {value!r}, expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected
        self.place = 0


class Layout:
    """A fixed structure that can be read from, and written to, little-endian bytes.

    Attributes:
        declaration: the construct declaration that everything here is derived from.
        fields: its fields in order.
        size: its size in bytes.
    """

    __slots__ = ("_codec", "_codes", "declaration", "fields", "size")

    def __init__(self, declaration: Struct) -> None:
        """Derive the fast path of a declaration made of integers and byte strings only."""
        codes = []
        fields = []
        offset = 0
        for member in declaration.subcons:
            code = _code(member.subcon)
            size = struct.calcsize("<" + code)
            fields.append(LayoutField(member.name, offset, size))
            codes.append(code)
            offset += size
        self.declaration = declaration
        self.fields = tuple(fields)
        self.size = offset
        self._codes = tuple(codes)
        self._codec = struct.Struct("<" + "".join(codes))

    def read(self, data: bytes | memoryview, offset: int = 0) -> tuple[Any, ...]:
        """Return the fields' values, integers and bytes; the caller has checked that `size` bytes are there."""
        return self._codec.unpack_from(data, offset)

    def read_array(self, data: bytes | memoryview, offset: int, count: int) -> Iterator[tuple[Any, ...]]:
        """Iterate over the values of `count` structures, one after the other, which the caller knows to be there."""
        return self._codec.iter_unpack(memoryview(data)[offset : offset + count * self.size])

    def write(self, values: tuple[object, ...]) -> bytes:
        """Return the bytes of the given values, in the order of `fields`.

        Raises:
            MisfitError: a value does not fit its field. It is a struct.error.
        """
        try:
            data = self._codec.pack(*values)
        except struct.error:
            data = b""
        if not data or any(isinstance(value, bytes) for value in values):
            self._check(values)  # `struct` cuts byte strings short, and fills them up
        return data

    def _check(self, values: tuple[object, ...]) -> None:
        """Raise MisfitError about the first value that does not fit."""
        for field, code, value in zip(self.fields, self._codes, values, strict=True):
            if code.endswith("s"):
                if not isinstance(value, bytes) or len(value) != field.size:
                    raise MisfitError(field, value, f"{field.size} bytes")
            elif not isinstance(value, int) or value < 0 or value >> 8 * field.size:
                raise MisfitError(field, value, f"a number from 0 to 0x{(1 << 8 * field.size) - 1:x}")


def _code(member: Construct) -> str:
    """Return the `struct` code of one declared member."""
    if isinstance(member, Renamed):
        return _code(member.subcon)
    if isinstance(member, FormatField) and (member.length == 1 or member.fmtstr[0] == "<"):
        return str(member.fmtstr[1:])
    if isinstance(member, Bytes) and isinstance(member.length, int):
        return f"{member.length}s"
    raise TypeError(f"a fixed layout is made of little-endian integers and Bytes, not {member!r}")
