"""How Linux reads an IORT (drivers/acpi/arm64/iort.c), worked out anew on raw bytes.

Where Linux would read outside the table or follow a circle for ever, the answer here is "nothing".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

ITS, NAMED, ROOT_COMPLEX, SMMU, SMMUV3, PMCG = range(6)
SMMUS = frozenset({SMMU, SMMUV3})
MSI = frozenset({ITS})
_NODE = struct.Struct("<BHBIII")
_MAP = struct.Struct("<IIIII")
_SINGLE = 1
_DEVICE_ID_VALID = 1 << 4


class Mapped(NamedTuple):
    """Where a request of a device goes.

    Attributes:
        smmu_base: base address of its SMMU; None when it reaches none.
        stream_id: its ID there.
        its_ids: identifiers of its ITS group; None when its messages reach none.
        device_id: its ID there.
    """

    smmu_base: int | None = None
    stream_id: int | None = None
    its_ids: tuple[int, ...] | None = None
    device_id: int | None = None


class _Map(NamedTuple):
    input_base: int
    id_count: int
    output_base: int
    reference: int
    flags: int


class _Node(NamedTuple):
    offset: int
    kind: int
    length: int
    revision: int
    map_count: int
    map_offset: int


class _Table:
    """The table's bytes, and what can be read at an offset of them."""

    def __init__(self, data: bytes) -> None:
        self.data = data[: struct.unpack_from("<I", data, 4)[0]] if len(data) >= 48 else b""

    def u32(self, offset: int) -> int:
        """Return a number of the table; 0 outside."""
        end = offset + 4
        return int.from_bytes(self.data[offset:end], "little") if offset >= 0 and end <= len(self.data) else 0

    def u64(self, offset: int) -> int:
        return self.u32(offset) | self.u32(offset + 4) << 32

    def node(self, offset: int) -> _Node | None:
        """Return the node at an offset; none at 0 or outside."""
        if offset <= 0 or offset + _NODE.size > len(self.data):
            return None
        kind, length, revision, _, map_count, map_offset = _NODE.unpack_from(self.data, offset)
        return _Node(offset, kind, length, revision, map_count, map_offset)

    def nodes(self) -> Iterator[_Node]:
        if not self.data:
            return
        offset = self.u32(40)
        for _ in range(self.u32(36)):
            node = self.node(offset)
            if node is None:
                return
            yield node
            if node.length == 0:
                return
            offset += node.length

    def mapping(self, node: _Node, index: int) -> _Map | None:
        at = node.offset + node.map_offset + index * _MAP.size
        if at + _MAP.size > len(self.data):
            return None
        return _Map(*_MAP.unpack_from(self.data, at))

    def its_ids(self, node: _Node) -> tuple[int, ...]:
        room = (len(self.data) - node.offset - 20) // 4
        return tuple(self.u32(node.offset + 20 + 4 * i) for i in range(min(self.u32(node.offset + 16), room)))

    def name(self, node: _Node) -> bytes:
        return self.data[node.offset + 29 :].partition(b"\0")[0]

    def special_index(self, node: _Node) -> int | None:
        """Return the mapping that gives the node's own DeviceID, which ordinary IDs do not use."""
        if node.kind == PMCG:
            return None if self.u32(node.offset + 24) or not node.map_count else 0
        if node.kind != SMMUV3 or node.revision < 1:
            return None
        if node.revision < 5:
            if all(self.u32(node.offset + at) for at in (44, 48, 52, 56)):
                return None
        elif not self.u32(node.offset + 24) & _DEVICE_ID_VALID:
            return None
        index = self.u32(node.offset + 64)
        return index if index < node.map_count else None

    def step(self, node: _Node, number: int) -> tuple[int, int] | None:
        """Map an ID through one node: (offset of the next node, ID there)."""
        first = self.mapping(node, 0) if node.map_count and node.map_offset else None
        if first is None or not first.reference:
            return None
        special = self.special_index(node)
        last_match: tuple[int, int] | None = None  # by the last ID of a range: held until a better one turns up
        for index in range(node.map_count):
            entry = self.mapping(node, index)
            if entry is None:
                break
            if index == special:
                continue
            if entry.flags & _SINGLE:
                if node.kind in (NAMED, ROOT_COMPLEX):
                    return entry.reference, entry.output_base
                continue
            end = (entry.input_base + entry.id_count) & 0xFFFFFFFF
            if number < entry.input_base or number > end:
                continue
            if last_match is not None and number != entry.input_base:
                continue
            result = entry.reference, (entry.output_base + number - entry.input_base) & 0xFFFFFFFF
            if entry.id_count == 0 or number != end:
                return result
            last_match = result
        return last_match

    def walk(self, node: _Node | None, number: int, wanted: frozenset[int]) -> tuple[_Node, int] | None:
        """Map an ID from node to node until one of a wanted kind."""
        seen = set()
        while node is not None:
            if node.kind in wanted:
                return node, number
            if (node.offset, number) in seen:
                return None
            seen.add((node.offset, number))
            onward = self.step(node, number)
            if onward is None:
                return None
            reference, number = onward
            node = self.node(reference)
        return None

    def platform(self, node: _Node, index: int, wanted: frozenset[int]) -> tuple[_Node, int] | None:
        """Follow one SINGLE mapping of a node, by its place."""
        if not node.map_offset or index >= node.map_count:
            return None
        entry = self.mapping(node, index)
        if entry is None or not entry.reference or not entry.flags & _SINGLE:
            return None
        if node.kind not in (NAMED, ROOT_COMPLEX, SMMUV3, PMCG):
            return None
        return self.walk(self.node(entry.reference), entry.output_base, wanted)

    def answer(self, smmu: tuple[_Node, int] | None, its: tuple[_Node, int] | None) -> Mapped:
        return Mapped(
            self.u64(smmu[0].offset + 16) if smmu else None,
            smmu[1] if smmu else None,
            self.its_ids(its[0]) if its else None,
            its[1] if its else None,
        )


def map_rid(iort_bytes: bytes, segment: int, rid: int) -> Mapped:
    """Return where a requester ID goes: Linux takes the first root complex of the segment, and no other."""
    table = _Table(iort_bytes)
    for node in table.nodes():
        if node.kind == ROOT_COMPLEX and table.u32(node.offset + 28) == segment:
            return table.answer(table.walk(node, rid, SMMUS), table.walk(node, rid, MSI))
    return Mapped()


def _component(table: _Table, path: str) -> _Node | None:
    wanted = path.encode("latin-1", "replace")
    return next((node for node in table.nodes() if node.kind == NAMED and table.name(node) == wanted), None)


def map_named(iort_bytes: bytes, path: str) -> list[Mapped]:
    """Return the streams of a named component: one a SINGLE mapping, from the first, until one leads to no SMMU.

    Without a stream there is one answer if its messages reach an ITS, else none. Linux takes the ITS and DeviceID of
    the first mapping that reaches an ITS for the whole device; so do all answers here.
    """
    table = _Table(iort_bytes)
    node = _component(table, path)
    if node is None:
        return []
    its = next(filter(None, (table.platform(node, index, MSI) for index in range(node.map_count))), None)
    found = []
    for index in range(node.map_count):
        smmu = table.platform(node, index, SMMUS)
        if smmu is None:
            break
        found.append(table.answer(smmu, its))
    return found or ([table.answer(None, its)] if its else [])


def map_named_id(iort_bytes: bytes, path: str, number: int) -> Mapped:
    """Return where an input ID of a named component goes."""
    table = _Table(iort_bytes)
    node = _component(table, path)
    if node is None:
        return Mapped()
    return table.answer(table.walk(node, number, SMMUS), table.walk(node, number, MSI))


def own_message(iort_bytes: bytes, base: int) -> Mapped:
    """Return the ITS and DeviceID of the messages an SMMUv3 or PMCG at a base address sends itself."""
    table = _Table(iort_bytes)
    for node in table.nodes():
        if node.kind in (SMMUV3, PMCG) and table.u64(node.offset + 16) == base:
            special = table.special_index(node)
            entry = None if special is None else table.mapping(node, special)
            if entry is None or not entry.reference or not entry.flags & _SINGLE:
                continue
            its = table.node(entry.reference)
            if its is not None and its.kind == ITS:
                return table.answer(None, (its, entry.output_base))
    return Mapped()
