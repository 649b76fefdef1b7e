"""Files of several ACPI tables after each other, as `cat *.dat` makes them of what `acpidump -b` wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..acpi import is_table

MAX_TABLES = 4096
"""Most tables of one file: the largest servers have some hundred."""

RSDP = b"RSD PTR "
_RSDP_SIZE, _RSDP_OLD = 36, 20
_PADDING = re.compile(rb"[\0\xff]*")


def tables_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the offsets and bytes of tables, and of structures that have no table header.

    The first is there; another one follows where the one before ends, or behind padding. Bytes that are neither
    belong to the one before.
    """
    place = 0
    for _ in range(MAX_TABLES):
        end = place + _size(data, place)
        padding = _PADDING.match(data, end)
        following = end if padding is None else padding.end()
        if not _size(data, following):
            yield place, data[place:]
            return
        yield place, data[place:end]
        place = following
    yield place, data[place:]


def structure_name(data: bytes) -> str:
    """Return the name of a structure of ACPI that has no table header; empty when it is none."""
    if data.startswith(RSDP):
        return "RSDP"
    return "FACS" if data.startswith(b"FACS") else ""


def _size(data: bytes, place: int) -> int:
    """Return the size of the table or structure that begins at a place; 0 when none does."""
    head = data[place : place + _RSDP_SIZE]
    length = int.from_bytes(head[4:8], "little")
    if head.startswith(RSDP):
        return _RSDP_SIZE if head[15:16] > b"\0" else _RSDP_OLD
    return length if is_table(head) or (head.startswith(b"FACS") and length >= _RSDP_SIZE) else 0
