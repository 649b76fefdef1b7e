"""The memory map of a device tree, against Linux where it booted on one."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.base import Finding, Origin
from iommuman.parsers.devicetree import DeviceTree, Reservation, build_devicetree, memory_ranges, read_devicetree
from iommuman.parsers.devicetree import memory as module
from iommuman.parsers.memory_map import parse_memory_log

from tests.conftest import BOARDS

from .build import Value, node, tree

DT_BOARDS = sorted(path.parent for path in BOARDS.glob("*/board.dtb"))


def plain(found: DeviceTree, findings: list[Finding] | None = None) -> list[tuple[int, int, str, str]]:
    """Return start, length, kind and place of each range."""
    ranges = memory_ranges(found, [] if findings is None else findings)
    return [(one.start, one.length, one.kind, one.origin.part) for one in ranges]


@pytest.mark.parametrize("board", DT_BOARDS, ids=lambda path: path.name)
def test_linux_found_the_same_memory(board: Path) -> None:
    """The memory of the tree is what Linux printed when it booted on it."""
    found = read_devicetree((board / "board.dtb").read_bytes(), "board.dtb")
    ours = sorted((one.start, one.start + one.length) for one in memory_ranges(found, []) if one.kind == "ram")
    linux, _ = parse_memory_log((board / "linux" / "kernel.log").read_bytes())
    joined: list[tuple[int, int]] = []
    for one in sorted(linux, key=lambda one: one.start):
        if joined and joined[-1][1] == one.start:
            joined[-1] = joined[-1][0], one.start + one.length
        else:
            joined.append((one.start, one.start + one.length))
    assert ours == joined


def test_memory_nodes_are_the_roots_children_of_that_type() -> None:
    """Every range of every such node counts, with the root's cells; nodes that are off, or deeper, do not."""
    found = tree(
        node("memory@80000000", {"device_type": "memory", "reg": (0, 0x80000000, 0, 0x1000, 1, 0, 2, 0)}),
        node("memory@0", {"device_type": "memory", "reg": (0, 0, 0, 0)}),
        node("memory@1000", {"device_type": "memory", "reg": (0, 0x1000, 0, 0x1000), "status": "disabled"}),
        node("memory@2000", {"reg": (0, 0x2000, 0, 0x1000)}),
        node("soc", {"ranges": None}, node("memory@3000", {"device_type": "memory", "reg": (0x3000, 0x1000)})),
        node("hot", {"device_type": "memory", "reg": (2, 0, 0, 0x10), "hotpluggable": None}),
    )
    assert plain(found) == [
        (0x80000000, 0x1000, "ram", "/memory@80000000 reg"),
        (0x100000000, 0x200000000, "ram", "/memory@80000000 reg"),
        (0x200000000, 0x10, "ram", "/hot reg"),
    ]


def test_reserved_memory_follows_with_the_reservation_block() -> None:
    """Children with a place are reserved, through `ranges` or as written; so is what the block reserves."""
    parent: dict[str, Value] = {"#address-cells": 1, "#size-cells": 1, "ranges": (0x1000, 0, 0x91000, 0x1000)}
    made = tree(
        node(
            "reserved-memory",
            parent,
            node("moved@1000", {"reg": (0x1000, 0x100)}),
            node("placed@5000", {"reg": (0x5000, 0x100)}),
            node("off@6000", {"reg": (0x6000, 0x100), "status": "disabled"}),
            node("later", {"size": 0x1000}),
        )
    )
    reservations = (Reservation(0x7000, 0x200), Reservation(0x8000, 0))
    blob = build_devicetree(DeviceTree("", made.root, (), {}, reservations=reservations))
    assert plain(read_devicetree(blob, "board.dtb")) == [
        (0x91000, 0x100, "reserved", "/reserved-memory/moved@1000 reg"),
        (0x5000, 0x100, "reserved", "/reserved-memory/placed@5000 reg"),
        (0x7000, 0x200, "reserved", "memory reservation block"),
    ]


def test_damage_is_told_of_memory_and_left_to_others_of_reserved_memory() -> None:
    """A memory node whose addresses cannot be read gives a finding; a reserved one has its finding elsewhere."""
    found = tree(
        node("memory@0", {"device_type": "memory", "reg": (1, 2, 3)}),
        node("reserved-memory", {"#address-cells": 2, "#size-cells": 2}, node("bad@0", {"reg": (1, 2, 3)})),
    )
    findings: list[Finding] = []
    assert plain(found, findings) == []
    assert [(finding.rule, finding.origin.part) for finding in findings] == [("DT-REG", "/memory@0 reg")]


def test_the_number_of_ranges_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit no range is given, and a finding says so."""
    monkeypatch.setattr(module, "MAX_RANGES", 2)
    found = tree(node("memory@0", {"device_type": "memory", "reg": (0, 0, 0, 1, 0, 2, 0, 1, 0, 4, 0, 1)}))
    findings: list[Finding] = []
    assert len(plain(found, findings)) == 2
    assert findings[0].origin == Origin("board.dtb")
    assert str(findings[0]) == (
        "board.dtb: there are too many ranges of memory: found 3, expected at most 2; only the first are read"
    )
