"""Fixed structures of ACPI tables: declared with construct, read and written through `struct`.

A specification's table of fields is a `construct.Struct` in some `layout` module. construct needs about 7 µs for a
20-byte entry where `struct` needs 0.2 (`benchmarks/acpi.py`), so `Layout` derives a `struct.Struct` from the
declaration once, and the tests hold both to the same answers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from construct import Bytes, Construct, FormatField, Renamed, Struct


@dataclass(frozen=True, slots=True)
class LayoutField:
    """One declared field: its name in the specification's order, offset in the structure, and size in bytes."""

    name: str
    offset: int
    size: int


class Layout:
    """A fixed structure that can be read from, and written to, little-endian bytes.

    Attributes:
        declaration: the construct declaration that everything here is derived from.
        fields: its fields in order.
        size: its size in bytes.
    """

    __slots__ = ("_codec", "declaration", "fields", "size")

    def __init__(self, declaration: Struct) -> None:
        """Derive the fast path of a declaration made of integers and byte strings only."""
        codes = ["<"]
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
        self._codec = struct.Struct("".join(codes))

    def read(self, data: bytes | memoryview, offset: int = 0) -> tuple[Any, ...]:
        """Return the fields' values, integers and bytes; the caller has checked that `size` bytes are there."""
        return self._codec.unpack_from(data, offset)

    def write(self, values: tuple[object, ...]) -> bytes:
        """Return the bytes of the given values, in the order of `fields`.

        Raises:
            struct.error: a value does not fit its field.
        """
        return self._codec.pack(*values)


def _code(member: Construct) -> str:
    """Return the `struct` code of one declared member."""
    if isinstance(member, Renamed):
        return _code(member.subcon)
    if isinstance(member, FormatField) and (member.length == 1 or member.fmtstr[0] == "<"):
        return str(member.fmtstr[1:])
    if isinstance(member, Bytes) and isinstance(member.length, int):
        return f"{member.length}s"
    raise TypeError(f"a fixed layout is made of little-endian integers and Bytes, not {member!r}")
