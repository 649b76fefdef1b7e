"""Damaged IORTs, MCFGs and trees: whatever they hold, every rule and every form of the answer gives one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from iommuman.base import IommumanError
from iommuman.parsers.acpi import build_table, parse_table
from iommuman.parsers.devicetree import read_devicetree
from iommuman.parsers.sources import Inputs
from iommuman.topology.check import Board, check
from iommuman.topology.draw.check import draw_check, draw_check_json
from iommuman.topology.draw.sarif import draw_sarif

from tests.conftest import BOARDS, HANDMADE
from tests.damage import mutants, truncations

from .iorts import SOUND
from .test_mcfg import G, windows

TABLES = {
    "sound": build_table(SOUND),
    "mcfg": build_table(windows((G, 0, 0, 255), (G + (1 << 28), 1, 0, 255))),
    **{path.parent.name: path.read_bytes() for path in sorted(HANDMADE.glob("iort-*/IORT.bin"))},
}
TREES = sorted([*HANDMADE.glob("dt-*/board.dtb"), *BOARDS.glob("virt-smmuv3-dt/board.dtb")])


def answered(inputs: Inputs) -> int:
    """Return how many findings there are, all of which can be shown in all forms."""
    board = Board.of(inputs)
    found = check(board)
    assert draw_check(board, found)
    assert json.loads(draw_check_json(board, found))
    assert json.loads(draw_sarif(board, found))
    return len(found)


@pytest.mark.damage
@pytest.mark.parametrize("name", TABLES)
def test_damaged_tables_are_answered(name: str) -> None:
    """Each truncation and each changed byte is an answer, and most of them are told."""
    data = TABLES[name]
    told = 0
    for one in (*truncations(data), *mutants(data)):
        try:
            inputs = Inputs(tables=[parse_table(one, "T.bin")], contents={one: "T.bin"})
        except IommumanError:
            continue
        told += bool(answered(inputs))
    assert told > len(data) // 2


@pytest.mark.damage
@pytest.mark.parametrize("path", TREES, ids=lambda path: path.parent.name)
def test_damaged_trees_are_answered(path: Path) -> None:
    """Each changed byte of the tree that can still be read is an answer."""
    for one in mutants(path.read_bytes()):
        try:
            tree = read_devicetree(one, "T.dtb")
        except IommumanError:
            continue
        answered(Inputs(trees=[tree], contents={one: "T.dtb"}))
