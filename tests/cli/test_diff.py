"""`iommuman diff`: sides, forms, messages, exit statuses."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from iommuman.topology import Topology, load_topology

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, HANDMADE

ACPI, TREE = BOARDS / "virt-smmuv3-acpi", BOARDS / "virt-smmuv3-dt"


@pytest.fixture
def granting(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a configuration that lets 0000:00:03.0 reach some memory."""

    def write(name: str, *regions: str) -> Path:
        path = tmp_path / name
        lines = [f"allow disk {region}" for region in regions]
        path.write_text("\n".join(["smmu vtd", *lines, "device pci:0:3.0 disk", ""]))
        return path

    return write


def test_a_board_and_itself_are_the_same(run: Callable[..., Ran]) -> None:
    """Nothing is written on stdout, and the status is 0."""
    ran = run("diff", ACPI, ACPI)
    assert (ran.status, ran.out) == (0, "")


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_is_looked_for(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, enabled: bool) -> None:
    """Python's collector rests while boards are read and compared, and is as before afterwards, also after trouble."""
    during = []

    def load(*arguments: Any, **options: Any) -> Topology:
        during.append(gc.isenabled())
        return load_topology(*arguments, **options)

    monkeypatch.setattr("iommuman.topology.load.load_topology", load)
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        assert run("diff", ACPI, TREE).status == 1
        assert run("diff", ACPI, "nowhere").status == 2
        assert (during, gc.isenabled()) == ([False] * 4, enabled)
    finally:
        (gc.enable if before else gc.disable)()


def test_two_boards_differ(run: Callable[..., Ran]) -> None:
    """The difference is unified, the status 1, and what was passed over is said of each side."""
    ran = run("diff", ACPI, TREE)
    assert ran.status == 1
    assert ran.out.startswith(f"--- {ACPI}\n+++ {TREE}\n@@ MSI controller its:0 → dt:/intc@8000000/its@8080000 @@\n~ ")
    assert ran.out.endswith("\n5 things differ; 1 closes\n")
    assert [line.partition(" passed over: ")[0] for line in ran.err.splitlines()] == ["A:", "B:"]


@pytest.mark.parametrize(("columns", "at"), [("90", 44), ("130", 64), ("x", 64)])
def test_side_by_side(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, columns: str, at: int) -> None:
    """`-y` puts A on the left and B on the right, as wide as COLUMNS says, or 130 characters."""
    monkeypatch.setenv("COLUMNS", columns)
    ran = run("diff", "-y", ACPI, TREE)
    assert ran.status == 1
    assert ran.out == run("diff", "--format", "side-by-side", ACPI, TREE).out
    marks = {line[at] for line in ran.out.splitlines() if len(line) > at and line[at - 1 : at + 2].strip() in "<>|~"}
    assert {"<", "~", "|"} <= marks


def test_json(run: Callable[..., Ran]) -> None:
    """JSON names both sides with their sources, and is written when there is no difference as well."""
    document = json.loads(run("diff", "--format", "json", ACPI, TREE).out)
    assert (document["format"], document["same"]) == ("iommuman-diff", False)
    assert (document["a"]["name"], [one["kind"] for one in document["b"]["sources"]]) == (
        (str(ACPI), ["pci", "devicetree"])
    )
    same = run("diff", "--format", "json", ACPI, ACPI)
    assert same.status == 0
    assert (json.loads(same.out)["same"], json.loads(same.out)["changes"]) == (True, [])


def test_colour_on_request(run: Callable[..., Ran]) -> None:
    """`--color always` colours even when stdout is no terminal, and the default then does not."""
    assert "\033[" in run("diff", "--color", "always", ACPI, TREE).out
    assert "\033[" not in run("diff", ACPI, TREE).out


def test_two_configurations(run: Callable[..., Ran], granting: Callable[..., Path]) -> None:
    """Two configurations that grant the same in other pieces are the same; what one grants more is said."""
    whole = granting("a.smmu", "0x80000000,1M")
    halves = granting("b.smmu", "0x80000000,512K", "0x80080000,512K")
    more = granting("c.smmu", "0x80000000,1M", "0x90000000,4K,s")
    assert run("diff", whole, halves)[:2] == (0, "")
    ran = run("diff", whole, more)
    assert ran.status == 1
    assert ran.out == (
        f"--- {whole}\n"
        f"+++ {more}\n"
        "@@ memory granted to 0000:00:03.0 @@\n"
        "+ read 0x90000000-0x90000fff (4 KiB)  [c.smmu:3:1]\n"
        "  = opens: the device may now read 0x90000000+4K\n"
        "1 thing differs; 1 opens\n"
    )


def test_configurations_over_the_sides(run: Callable[..., Ran], granting: Callable[..., Path]) -> None:
    """A configuration is laid over the side that it is given for, and named with it."""
    board = BOARDS / "q35-vtd"
    one = granting("a.smmu", "0x80000000,1M")
    ran = run("diff", board, board, "--config-b", one)
    assert ran.status == 1
    assert f"--- {board}\n+++ {board} + {one}\n@@ memory granted to 0000:00:03.0 @@\n+ read " in ran.out
    assert run("diff", board, board, "--config-a", one).out.count("\n- ") == 2
    assert run("diff", board, board, "--config-a", one, "--config-b", one).status == 0


def test_what_the_board_says_stays_on_request(run: Callable[..., Ran], tmp_path: Path) -> None:
    """With `--keep` a configuration only adds, so that a board does not differ where it says otherwise."""
    path = tmp_path / "off.smmu"
    path.write_text("smmu vtd\nunit vtd1 0xfed91000\ndevice pci:0:3.0\n use vtd1\n")
    board = BOARDS / "q35-vtd"
    changed = run("diff", board, board, "--config-b", path).out
    assert "\n~ vtd@fed90000 ID 0x18 → vtd@fed91000 ID 0x18" in changed
    kept = run("diff", "--keep", board, board, "--config-b", path).out
    assert "vtd@fed90000 ID 0x18 →" not in kept
    assert "@@ unit vtd@fed91000 @@" in kept


@pytest.mark.parametrize("board", ["q35-vtd", "q35-vtd-scopes", "virt-smmuv3-acpi", "virt-smmuv3-dt"])
def test_a_suggested_configuration_changes_nothing(run: Callable[..., Ran], tmp_path: Path, board: str) -> None:
    """The configuration that `config suggest` writes of a board, laid over it, gives an empty difference."""
    path = tmp_path / "suggested.smmu"
    path.write_text(run("config", "suggest", BOARDS / board).out)
    ran = run("diff", BOARDS / board, BOARDS / board, "--config-b", path)
    assert (ran.status, ran.out) == (0, "")


def test_findings_do_not_change_the_status(run: Callable[..., Ran]) -> None:
    """What is wrong with a side is said on stderr after its letter; two equal damaged tables are the same."""
    table = HANDMADE / "damaged" / "dmar-checksum" / "DMAR.bin"
    ran = run("diff", table, table)
    assert (ran.status, ran.out) == (0, "")
    errors = ran.err.splitlines()
    assert [line[:9] for line in errors] == ["A: error:", "B: error:"]
    assert "Checksum is 0x" in errors[0]


@pytest.mark.parametrize("side", [0, 1])
def test_trouble_is_status_2(run: Callable[..., Ran], tmp_path: Path, side: int) -> None:
    """A side that cannot be read is named on stderr, and nothing is compared."""
    sides: list[Path] = [ACPI, ACPI]
    sides[side] = tmp_path / "nothing"
    ran = run("diff", *sides)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"iommuman: {'AB'[side]}: {tmp_path}/nothing: this cannot be opened")


def test_wrong_usage_is_status_2(run: Callable[..., Ran]) -> None:
    """One side alone is no question."""
    ran = run("diff", ACPI)
    assert (ran.status, ran.out) == (2, "")
    assert "required: B" in ran.err


def test_a_configuration_that_cannot_be_read_is_trouble(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A configuration that is not there is trouble of the side that it is for."""
    ran = run("diff", ACPI, ACPI, "--config-b", tmp_path / "nothing.smmu")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("iommuman: B: ")
