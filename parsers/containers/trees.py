"""Device trees inside a larger file: after each other, or behind a kernel."""

from __future__ import annotations

import struct
from collections.abc import Iterator

MAGIC = b"\xd0\x0d\xfe\xed"
MAX_TREES = 1024
"""Most trees of one file."""

_MAX_TRIED = 65_536
_HEADER = struct.Struct(">7I")
_HEADER_SIZE = 40
_BEGIN_NODE = b"\0\0\0\1"
_VERSIONS = range(16, 18)


def trees_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Iterate over the offsets and bytes of the device trees in a file; the last one may be cut off.

    What is inside of a tree, as those of a FIT image are, belongs to it.
    """
    place = -1
    found = 0
    for _ in range(_MAX_TRIED):
        place = data.find(MAGIC, place + 1)
        if place < 0 or found == MAX_TREES:
            return
        size = _size(data, place)
        if size:
            found += 1
            yield place, data[place : place + size]
            place += size - 1


def _size(data: bytes, place: int) -> int:
    """Return the size of the tree that begins at a place; 0 when none does."""
    if place + _HEADER_SIZE > len(data):
        return 0
    _, size, structure, _, _, version, last_compatible = _HEADER.unpack_from(data, place)
    begins = data[place + structure : place + structure + 4] == _BEGIN_NODE
    sound = version in _VERSIONS and last_compatible <= max(_VERSIONS) and _HEADER_SIZE <= structure < size
    return int(size) if sound and begins else 0
