"""Schemas of bursts: how the records of a fault storm are packed, and how one is said in words.

A burst stores records as packed integers and floats, hundreds of bytes a microsecond; the words are made by whoever
reads them. Every block of records carries its schema, so no record can outlive the key to it. A record is its time
(nanoseconds, unsigned, 64 bits) and one value for each code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from struct import Struct

from .errors import Slog2Error, refuse
from .values import decode_text, encode_text

CODES = "?bBhHiIqQfd"
"""The codes of Python's `struct`, in standard size and little-endian: one value each."""
MAX_VALUES = 64
MAX_PREFIX = 1024
"""Bytes a schema may take in each block."""

_LENGTHS = Struct("<BHH")


@dataclass(frozen=True, slots=True)
class Schema:
    """The shape of a burst's records.

    Attributes:
        codes: one code of `CODES` a value, at most `MAX_VALUES`.
        text: printf format that says a record; it is given the values in order.
        names: the values' names, for readers that want fields; empty, or one a value.

    Raises Slog2Error when a code is unknown, the names do not fit the codes, or the whole takes over `MAX_PREFIX`.
    """

    codes: str
    text: str
    names: tuple[str, ...] = ()
    record: Struct = field(init=False, repr=False, compare=False)
    prefix: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the schema and make its packed form."""
        if len(self.codes) > MAX_VALUES or not set(self.codes) <= set(CODES):
            raise refuse("SLOG2-SCHEMA", "", "a schema has an unknown code", found=self.codes[:80], expected=CODES)
        if self.names and len(self.names) != len(self.codes):
            expected = f"{len(self.codes)} or none"
            raise refuse("SLOG2-SCHEMA", "", "names do not fit codes", found=str(len(self.names)), expected=expected)
        codes, text = self.codes.encode(), encode_text(self.text)
        names = encode_text("\0".join(self.names))
        size = _LENGTHS.size + len(codes) + len(text) + len(names)
        if size > MAX_PREFIX:
            raise refuse("SLOG2-SCHEMA", "", "a schema is too long", found=f"{size} bytes", expected=str(MAX_PREFIX))
        object.__setattr__(self, "record", Struct("<Q" + self.codes))
        object.__setattr__(self, "prefix", _LENGTHS.pack(len(codes), len(text), len(names)) + codes + text + names)

    def pack(self, rows: Iterable[Sequence[int | float | bool]]) -> bytes:
        """Return the packed records of rows of (time in ns, value, value, ...).

        Raises Slog2Error when a row has the wrong number of values or a value does not fit its code.
        """
        rows = rows if isinstance(rows, (list, tuple)) else list(rows)
        try:
            return Struct("<" + ("Q" + self.codes) * len(rows)).pack(*chain.from_iterable(rows))
        except (struct.error, TypeError) as error:
            raise refuse("SLOG2-RECORD", "", "a record does not fit its schema", found=str(error)) from error


def parse_schema(data: bytes) -> Schema | None:
    """Return the schema whose packed form, `Schema.prefix`, is `data`; None when it is none."""
    if len(data) < _LENGTHS.size:
        return None
    codes_size, text_size, names_size = _LENGTHS.unpack_from(data)
    ends = [_LENGTHS.size, _LENGTHS.size + codes_size]
    ends += [ends[1] + text_size, ends[1] + text_size + names_size]
    if ends[3] != len(data) or len(data) > MAX_PREFIX:
        return None
    codes, text, names = (decode_text(data[low:high]) for low, high in pairwise(ends))
    if codes_size > MAX_VALUES or not set(codes) <= set(CODES):
        return None
    named = tuple(names.split("\0")) if names else ()
    try:
        return Schema(codes, text, named if len(named) == len(codes) else ())
    except Slog2Error:  # bytes that are no text grow when they are replaced
        return None
