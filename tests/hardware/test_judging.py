"""The judge itself: it agrees on the captured boards, and each kind of difference is found when it is put there."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from iommuman.topology import load_topology
from iommuman.topology.groups import isolation_groups

from tests.conftest import BOARDS, FIXTURES

NAMES = sorted(path.name for path in BOARDS.iterdir())
ARCH = {"q35": "x86_64", "virt": "aarch64", "riscv": "riscv64"}


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the module, imported as the script that uses it does."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(FIXTURES))
    import judging as module

    yield module
    for name in {"judging", "machines", "capturing"} - before:
        sys.modules.pop(name, None)


def document(name: str, path: str) -> dict[str, object]:
    """Return a JSON document of a board, empty when the board has none."""
    file = BOARDS / name / path
    found: dict[str, object] = json.loads(file.read_text()) if file.is_file() else {}
    return found


def machine(judging: ModuleType, name: str) -> object:
    """Return a board as the judge sees it."""
    topology = load_topology([str(BOARDS / name)])
    pci, verdict = document(name, "pci.json"), document(name, "linux/verdict.json")
    faults = document(name, "linux/faults.json").get("faults", [])
    return judging.Machine(ARCH[name.partition("-")[0]], topology, pci, verdict, faults, isolation_groups(topology))


@pytest.mark.parametrize("name", NAMES)
def test_the_judge_agrees_on_every_board(judging: ModuleType, name: str) -> None:
    """What the tests of the topology hold one by one, the judge holds at once."""
    assert judging.disagreements(machine(judging, name)) == []


def test_each_difference_is_found(judging: ModuleType) -> None:
    """A device that moves to another unit or group, another region, and a line about another device."""
    board = machine(judging, "q35-vtd")
    verdict = copy.deepcopy(board.verdict)  # type: ignore[attr-defined]
    verdict["iommus"]["dmar0"]["devices"].remove("0000:01:00.0")
    changed = replace(board, verdict=verdict)  # type: ignore[type-var]
    assert judging.disagreements(changed) == ["0000:01:00.0: we say vtd@fed90000, Linux says no IOMMU"]

    verdict = copy.deepcopy(board.verdict)  # type: ignore[attr-defined]
    verdict["iommus"]["dmar0"]["properties"]["address"] = "fed91000"
    assert "0000:01:00.0: we say vtd@fed90000, Linux says dmar0" in judging.disagreements(
        replace(board, verdict=verdict)  # type: ignore[type-var]
    )

    verdict = copy.deepcopy(board.verdict)  # type: ignore[attr-defined]
    group = next(one for one in verdict["groups"].values() if "0000:02:01.0" in one["devices"])
    group["devices"].remove("0000:02:01.0")
    group["reserved_regions"].append(["0x1000", "0x1fff", "direct"])
    found = judging.disagreements(replace(board, verdict=verdict))  # type: ignore[type-var]
    assert [line for line in found if line.startswith("group")] == [
        "group of 0000:00:06.0, 0000:02:01.0, 0000:02:02.0: only we say so",
        "group of 0000:00:06.0, 0000:02:02.0: only Linux says so",
    ]
    assert [line for line in found if line.startswith("regions")] == [
        (
            "regions of 0000:00:06.0: we say ['0xfee00000-0xfeefffff msi'], "
            "Linux says ['0x1000-0x1fff direct', '0xfee00000-0xfeefffff msi']"
        )
    ]

    faults = copy.deepcopy(board.faults)  # type: ignore[attr-defined]
    faults[0]["device"] = "0000:01:00.0"
    assert judging.disagreements(replace(board, faults=faults)) == [  # type: ignore[type-var]
        "0000:01:00.0: we foretell a fault of ID 0x100, Linux logged 0x18"
    ]


def test_a_seed_gives_the_same_machines(judging: ModuleType, tmp_path: Path) -> None:
    """A machine is the same each time, another for another number, and no slot or bus is used twice."""
    platforms = judging.PLATFORMS
    for number in range(3 * len(platforms)):
        platform, recipe = judging.random_machine(7, number, platforms, tmp_path)
        assert judging.random_machine(7, number, platforms, tmp_path) == (platform, recipe)
        assert judging.random_machine(8, number, platforms, tmp_path)[1].arguments != recipe.arguments
        devices = [argument.split(",") for argument in recipe.arguments if ",addr=" in argument or "bus=" in argument]
        places = [tuple(one for one in device if one.startswith(("bus=", "addr="))) for device in devices]
        assert len(set(places)) == len(places)
        assert 3 <= len(places) < 64
