"""How Linux reads a RIMT (drivers/acpi/riscv/rimt.c), worked out anew on raw bytes.

Linux takes one ID more than a mapping counts: `exact` is its rule with the count as the specification has it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_IOMMU, _ROOT, _PLATFORM = range(3)


class Mapped(NamedTuple):
    """Where a request goes: offset of the IOMMU node in the table, and the device ID there."""

    node: int
    device_id: int


class Reading:
    """The table's bytes, and what Linux finds in them."""

    def __init__(self, table: bytes, *, exact: bool = False) -> None:
        """Take the table; `exact` for the count that the specification means."""
        self.data = table[: struct.unpack_from("<I", table, 4)[0]]
        self.exact = exact

    def _u16(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 2], "little")

    def _nodes(self) -> Iterator[int]:
        count, offset = struct.unpack_from("<II", self.data, 36)
        for _ in range(count):
            if offset + 8 > len(self.data):
                return
            yield offset
            if not self._u16(offset + 2):
                return
            offset += self._u16(offset + 2)

    def _mappings(self, node: int) -> list[tuple[int, ...]]:
        at = node + (16 if self.data[node] == _ROOT else 8)
        start, count = self._u16(at), self._u16(at + 2)
        places = range(node + start, min(node + start + 20 * count, len(self.data) - 19), 20)
        return [struct.unpack_from("<IIIII", self.data, place) for place in places] if start else []

    def _map(self, node: int, number: int) -> Mapped | None:
        mappings = self._mappings(node)
        if not mappings or not mappings[0][3]:
            return None
        for source, count, destination, target, _ in mappings:
            if source <= number <= source + count - self.exact:
                if target + 8 > len(self.data) or self.data[target] != _IOMMU:
                    return None
                return Mapped(target, destination + number - source)
        return None

    def function(self, segment: int, rid: int) -> Mapped | None:
        """Return where a requester ID goes, by the first root complex of its segment."""
        for node in self._nodes():
            if self.data[node] == _ROOT and self._u16(node + 14) == segment:
                return self._map(node, rid)
        return None

    def platform(self, path: str) -> list[Mapped]:
        """Return where a platform device's requests go: Linux takes the first ID of each mapping."""
        for node in self._nodes():
            if self.data[node] == _PLATFORM and self.data[node + 12 :].partition(b"\0")[0] == path.encode("latin-1"):
                found = []
                for _, _, destination, target, _ in self._mappings(node):
                    if not target or target + 8 > len(self.data) or self.data[target] != _IOMMU:
                        break
                    found.append(Mapped(target, destination))
                return found
        return []
