"""An IORT with a node of each kind, and the same changed in one place: what the tests of the rules for it break."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from iommuman.parsers.acpi import Table, build_table, parse_table
from iommuman.topology.check import Board

from .boards import board, table

FIRST = 48
"""Where the first node begins."""


def mapping(base: int, count: int, output: int, reference: int, flags: int = 0) -> bytes:
    """Return an ID mapping of `count` IDs; `reference` is the offset of a node."""
    return struct.pack("<5I", base, count - 1, output, reference, flags)


def single(output: int, reference: int) -> bytes:
    """Return a single mapping."""
    return mapping(0, 1, output, reference, 1)


def node(kind: int, revision: int, identifier: int, body: bytes, *mappings: bytes) -> bytes:
    """Return a node; its mappings stand after its body, at a multiple of four."""
    body += bytes(-len(body) % 4)
    start = 16 + len(body) if mappings else 0
    inner = body + b"".join(mappings)
    return struct.pack("<BHBIII", kind, 16 + len(inner), revision, identifier, len(mappings), start) + inner


def its(identifier: int, *numbers: int) -> bytes:
    """Return an ITS group."""
    return node(0, 1, identifier, struct.pack(f"<I{len(numbers)}I", len(numbers), *numbers))


def component(identifier: int, name: str, *mappings: bytes) -> bytes:
    """Return a named component of revision 4: flags at 16, CCA at 20, hints at 24, memory flags at 27, limit at 28."""
    return node(1, 4, identifier, struct.pack("<IIBHBB", 0, 1, 0, 0, 1, 48) + name.encode() + b"\0", *mappings)


def root(identifier: int, segment: int, *mappings: bytes) -> bytes:
    """Return a root complex of revision 4: ATS at 24, segment at 28, limit at 32, PASIDs at 33, 35 reserved."""
    return node(2, 4, identifier, struct.pack("<IBHBIIBHBI", 1, 0, 0, 1, 0, segment, 64, 0, 0, 0), *mappings)


def smmu_v2(identifier: int, base: int, *mappings: bytes) -> bytes:
    """Return an SMMUv2 with interrupts: global at 60, one context at 76, one PMU at 84; mappings at 92."""
    body = struct.pack("<QQIIIIIII", base, 0x10000, 1, 0, 60, 1, 76, 1, 84)
    return node(3, 3, identifier, body + struct.pack("<8I", 40, 0, 0, 0, 41, 0, 42, 0), *mappings)


def smmu_v3(identifier: int, base: int, *mappings: bytes, wired: int = 72) -> bytes:
    """Return an SMMUv3 of revision 5 with four interrupts at 44: flags at 24, model at 40, own index at 64."""
    interrupts = [wired + index if wired else 0 for index in range(4)]
    return node(4, 5, identifier, struct.pack("<QIIQI4III", base, 0, 0, 0, 0, *interrupts, 0, 0), *mappings)


def pmcg(identifier: int, base: int, monitored: int, interrupt: int, *mappings: bytes) -> bytes:
    """Return a PMCG of revision 2: interrupt at 24, node reference at 28; mappings at 40."""
    return node(5, 2, identifier, struct.pack("<QIIQ", base, interrupt, monitored, 0), *mappings)


def rmr(identifier: int, descriptors: tuple[tuple[int, int], ...], *mappings: bytes) -> bytes:
    """Return an RMR of revision 3: flags at 16, descriptors of 20 bytes at 28, mappings after them."""
    parts = b"".join(struct.pack("<QQI", start, length, 0) for start, length in descriptors)
    return node(6, 3, identifier, struct.pack("<III", 5 << 2, len(descriptors), 28) + parts, *mappings)


def iwb(identifier: int, *mappings: bytes) -> bytes:
    """Return an interrupt wire bridge of revision 0 without a name; mappings at 28."""
    return node(7, 0, identifier, struct.pack("<QHB", 0x9070000, 0, 0), *mappings)


def iort(*nodes: bytes, revision: int = 7) -> Table:
    """Return the table of these nodes."""
    return table("IORT", struct.pack("<III", len(nodes), FIRST, 0) + b"".join(nodes), revision=revision)


def changed(whole: Table, *places: tuple[int, int, int]) -> Table:
    """Return a table with numbers written over it: (offset, bytes, number); the checksum is made right again."""
    data = bytearray(build_table(whole))
    for offset, size, number in places:
        data[offset : offset + size] = number.to_bytes(size, "little")
    data[9] = 0
    data[9] = -sum(data) & 0xFF
    return parse_table(bytes(data), whole.source)


ITS, SMMU, ROOT = 48, 72, 160
"""Offsets of the first nodes of `SOUND`: each leads to the one before it."""

DEVICE, SMMU2, PMCG, RMR, ROOT2 = 220, 280, 392, 432, 500
"""Offsets of the others: a component behind the SMMUv2 that follows, its PMCG, an RMR for it, a root without SMMU."""

_NODES: Mapping[int, bytes] = {
    ITS: its(0, 0),
    SMMU: smmu_v3(1, 0x9050000, mapping(0, 0x10000, 0, ITS)),
    ROOT: root(2, 0, mapping(0, 0x10000, 0, SMMU)),
    DEVICE: component(3, "\\_SB_.DEV0", single(0x100, SMMU2)),
    SMMU2: smmu_v2(4, 0x2B500000, mapping(0, 0x8000, 0x10000, ITS)),
    PMCG: pmcg(5, 0x9060000, SMMU2, 80),
    RMR: rmr(6, ((0x80000000, 0x10000),), single(0x100, SMMU2)),
    ROOT2: root(7, 1, mapping(0, 0x10000, 0x20000, ITS)),
}
SOUND = iort(*_NODES.values())
"""A table in which nothing is wrong."""


def offsets() -> list[int]:
    """Return where the nodes of `SOUND` begin."""
    found, place = [], FIRST
    for one in _NODES.values():
        found.append(place)
        place += len(one)
    return found


def sound(*places: tuple[int, int, int]) -> Table:
    """Return `SOUND` with these numbers written over it."""
    return changed(SOUND, *places)


def of(make: Callable[[], Table]) -> Callable[[], Board]:
    """Return a function that makes the board of a table."""
    return lambda: board(make())


def changes(*places: tuple[int, int, int]) -> Callable[[], Board]:
    """Return a function that makes the board of `SOUND` with these numbers written over it."""
    return lambda: board(sound(*places))


def instead(place: int, new: bytes, *more: bytes) -> Table:
    """Return `SOUND` with another node, of the same length, in place of one; further nodes at its end."""
    assert len(new) == len(_NODES[place])
    return iort(*(new if at == place else one for at, one in _NODES.items()), *more)


def longer(*more: bytes) -> Table:
    """Return `SOUND` with further nodes at its end, the first of them at `END`."""
    return iort(*_NODES.values(), *more)


END = 560
