"""Damaged device trees: every fixture cut and changed, read and made a topology of."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.parsers import ParseError
from iommuman.parsers.devicetree import read_devicetree
from iommuman.parsers.sources import Inputs
from iommuman.topology import assemble, routes

from tests.conftest import FIXTURES
from tests.damage import mutants, truncations

pytestmark = pytest.mark.damage
TREES = sorted(FIXTURES.rglob("board.dtb"))


def exercise(data: bytes) -> bool:
    """Read a tree and make a topology of it; tell whether it could be read."""
    try:
        tree = read_devicetree(data, "damaged")
    except ParseError:
        return False
    topology = assemble(Inputs(trees=[tree]))
    for device in topology.devices.values():
        assert routes(topology, device)
    return True


@pytest.mark.parametrize("path", TREES, ids=lambda path: str(path.relative_to(FIXTURES).parent))
def test_every_truncation_is_answered_or_refused_in_one_way(path: Path) -> None:
    """Cut at any length, a tree is read or refused by the one error class."""
    # One fixture is 60 KB of the same 12 bytes: of its lengths, those above 9,000 are tried at intervals.
    for cut in truncations(path.read_bytes(), used=9000):
        exercise(cut)


@pytest.mark.parametrize("path", TREES, ids=lambda path: str(path.relative_to(FIXTURES).parent))
def test_every_mutant_is_answered_or_refused_in_one_way(path: Path) -> None:
    """With one byte changed, a tree is read or refused by the one error class."""
    for mutant in mutants(path.read_bytes()):
        exercise(mutant)
