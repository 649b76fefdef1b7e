"""Reserved regions against the memory map: what breaks each rule, and what barely does not."""

from __future__ import annotations

import struct

import pytest
from iommuman.parsers.devicetree import DeviceTree
from iommuman.parsers.memory_map import MemoryRange
from iommuman.parsers.sources import Inputs, read_sources
from iommuman.topology.check import Board
from iommuman.topology.check.machine_memory import RULES, memory_map

from tests.conftest import HANDMADE

from .boards import NET, REST, Case, assert_complete, board, dmar, iort, node, ranges, rmrr, said, smmuv3

TABLE = dmar(REST, rmrr(0x7B800000, 0x7B801FFF, NET))
RAM = (0x100000, 0x7B700000, "ram")
"""Memory up to where the region begins."""

RESERVED = (0x7B800000, 0x2000, "reserved")


def mapped(*found: tuple[int, int, str]) -> Board:
    """Return a board with the region at 0x7b800000, and a memory map."""
    return board(TABLE, memory=ranges(*found))  # type: ignore[arg-type]


def arm(length: int) -> Board:
    """Return a board whose IORT keeps `length` bytes at 0x90000000, beside memory with a reserved hole of 64 KiB."""
    mapping = struct.pack("<IIIII", 0, 0, 0x100, 48, 1)
    body = struct.pack("<III", 0, 1, 28) + struct.pack("<QQI", 0x90000000, length, 0) + mapping
    reserved = bytearray(node(6, body, 3))
    reserved[8:16] = struct.pack("<II", 1, 48)
    memory = ranges((0x80000000, 0x40000000, "ram"), (0x90000000, 0x10000, "reserved"))
    return board(iort(smmuv3(), bytes(reserved)), memory=memory)


CASES = (
    Case(
        "MACHINE-RMRR",
        lambda: mapped((0x100000, 0x7B701000, "ram")),
        (
            (
                "error",
                72,
                "the region 0x7b800000-0x7b801fff (8 KiB) is in usable memory, from 0x7b800000 on for 4 KiB",
            ),
        ),
        lambda: mapped(RAM),
    ),
    Case(
        "MACHINE-RMRR",
        lambda: mapped(RAM, (0x7B800000, 0x1000, "reserved")),
        (("warning", 72, "the memory map does not reserve the region 0x7b800000-0x7b801fff (8 KiB)"),),
        lambda: mapped(RAM, RESERVED),
    ),
    Case(
        "MACHINE-RMRR",
        lambda: mapped(RAM, (0x7B800000, 0x1000, "reserved"), (0x7B801000, 0x1000, "acpi")),
        (("warning", 72, "the memory map does not reserve the region 0x7b800000-0x7b801fff (8 KiB)"),),
        lambda: mapped(RAM, (0x7B800000, 0x1000, "reserved"), (0x7B801000, 0x1000, "nvs")),
    ),
    Case(
        "MACHINE-RMRR",
        lambda: mapped((0, 0x80000000, "ram"), (0x7B800000, 0x1000, "reserved")),
        (
            (
                "error",
                72,
                "the region 0x7b800000-0x7b801fff (8 KiB) is in usable memory, from 0x7b801000 on for 4 KiB",
            ),
        ),
        lambda: mapped((0, 0x80000000, "ram"), RESERVED),
    ),
    Case(
        "MACHINE-RMR",
        lambda: arm(0x20000),
        (
            (
                "error",
                144,
                "the region at 0x90000000 (128 KiB) is in usable memory, from 0x90010000 on for 64 KiB",
            ),
        ),
        lambda: arm(0x10000),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_region_in_usable_memory_is_told(case: Case) -> None:
    """The first byte that is in usable memory, and how much is."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_region_that_the_map_keeps_is_not_told(case: Case) -> None:
    """Neither is one of which a map without reserved ranges says nothing."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without a board that breaks it."""
    assert_complete(RULES, CASES)


def test_the_memory_map_is_that_of_kernels_and_trees() -> None:
    """A device tree's memory and reserved memory stand after what a kernel shows."""
    tree: DeviceTree = read_sources([str(HANDMADE / "dt-reserved")]).trees[0]
    (shown,) = ranges((0x1000, 0x1000, "ram"))
    inputs = Inputs(trees=[tree], memory=[shown])
    found = memory_map(Board.of(inputs))
    assert found[0] is shown
    assert len(found) > 1
    assert {type(one) for one in found} == {MemoryRange}
