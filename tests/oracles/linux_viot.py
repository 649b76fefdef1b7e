"""How Linux reads a VIOT (drivers/acpi/viot.c), worked out anew on raw bytes.

Devices of the table are taken to be there: Linux drops the endpoints of a virtio-iommu whose device it does not find.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_PCI_RANGE, _MMIO, _IOMMU_PCI, _IOMMU_MMIO = 1, 2, 3, 4


class Endpoint(NamedTuple):
    """The virtio-iommu of a device, and its ID there.

    `function` is (segment, requester ID) of a virtio-iommu that is a PCI function, `base` the registers of another.
    """

    function: tuple[int, int] | None
    base: int | None
    endpoint: int


class _Node(NamedTuple):
    offset: int
    kind: int
    length: int


class Reading:
    """The lists that Linux makes of a table, the last node first."""

    def __init__(self, table: bytes) -> None:
        """Read it; at a node that is outside or shorter than its header Linux stops."""
        self.data = table[: struct.unpack_from("<I", table, 4)[0]]
        self.ranges: list[_Node] = []
        self.endpoints: list[_Node] = []
        count, offset = struct.unpack_from("<HH", self.data, 36)
        self.first = max(48, offset)
        for _ in range(count):
            node = self._node(offset)
            if node is None:
                return
            if node.kind in (_PCI_RANGE, _MMIO):
                if node.length < 24:
                    return
                if self._iommu(self._u16(offset + 16), 0) is not None:
                    (self.ranges if node.kind == _PCI_RANGE else self.endpoints).insert(0, node)
            offset += node.length

    def _u16(self, offset: int) -> int:
        return int.from_bytes(self.data[offset : offset + 2], "little")

    def _node(self, offset: int) -> _Node | None:
        if offset < self.first or offset + 4 > len(self.data) or self._u16(offset + 2) < 4:
            return None
        return _Node(offset, self.data[offset], self._u16(offset + 2))

    def _iommu(self, offset: int, endpoint: int) -> Endpoint | None:
        node = self._node(offset)
        if node is None or node.length < 16:
            return None
        if node.kind == _IOMMU_PCI:
            return Endpoint((self._u16(offset + 4), self._u16(offset + 6)), None, endpoint)
        if node.kind == _IOMMU_MMIO:
            return Endpoint(None, int.from_bytes(self.data[offset + 8 : offset + 16], "little"), endpoint)
        return None

    def function(self, segment: int, rid: int) -> Endpoint | None:
        """Return the virtio-iommu of a requester ID; none of itself."""
        for node in self.ranges:
            start, first, last, low, high, output = struct.unpack_from("<IHHHHH", self.data, node.offset + 4)
            if first <= segment <= last and low <= rid <= high:
                found = self._iommu(output, (segment - first << 16) + rid - low + start & 0xFFFFFFFF)
                return None if found is None or found.function == (segment, rid) else found
        return None

    def platform(self, base: int) -> Endpoint | None:
        """Return the virtio-iommu of the platform device with these registers."""
        for node in self.endpoints:
            endpoint, address, output = struct.unpack_from("<IQH", self.data, node.offset + 4)
            if address == base:
                return self._iommu(output, endpoint)
        return None
