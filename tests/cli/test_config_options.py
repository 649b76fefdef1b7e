"""`--config`, `--keep` and `--board-module` of `dump` and `who`, and `config suggest`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, HANDMADE, ROOT
from tests.parsers.acpi.test_sdt import sealed

ZERO = HANDMADE / "damaged" / "dmar-base-zero"
SCOPE = HANDMADE / "damaged" / "dmar-wrong-scope"


def units(ran: Ran) -> dict[str, list[str]]:
    """Return the units of each device of a JSON dump."""
    return {one["name"]: [route["iommu"] for route in one["routes"]] for one in json.loads(ran.out)["devices"]}


@pytest.mark.parametrize(
    ("board", "name", "broken", "repaired"),
    [
        (ZERO, "0000:00:02.0", "vtd@fed91000", "vtd@fed90000"),
        (SCOPE, "0000:00:02.0", "vtd@fed91000", "vtd@fed90000"),
        (SCOPE, "0000:00:14.0", "vtd@fed90000", "vtd@fed91000"),
    ],
)
def test_three_lines_repair_a_table(
    run: Callable[..., Ran], board: Path, name: str, broken: str, repaired: str
) -> None:
    """A unit without registers and a wrong scope are put right; with `--keep` the board's word stays beside it."""
    config = ("--config", board / "repair.smmu")
    assert len((board / "repair.smmu").read_text().splitlines()) == 3
    assert units(run("dump", "--format", "json", board))[name] == [broken]
    assert units(run("dump", "--format", "json", board, *config))[name] == [repaired]
    assert units(run("dump", "--format", "json", board, *config, "--keep"))[name] == [broken, repaired]


def test_conflicts_are_on_stderr_with_both_origins(run: Callable[..., Ran]) -> None:
    """What is overridden is a note, and no reason for status 1; what is kept beside it is a warning."""
    over = run("dump", SCOPE / "DMAR.bin", "--config", SCOPE / "repair.smmu")
    place = f"{SCOPE}/DMAR.bin: DMAR+0x48 (16 bytes)"
    text = f"{SCOPE}/repair.smmu:2:18: 0000:00:02.0 uses vtd@fed90000 here, and uses vtd@fed91000 by {place}"
    assert over.status == 0
    assert f"note: {text}; the board's word is overridden\n" in over.err
    kept = run("dump", SCOPE / "DMAR.bin", "--config", SCOPE / "repair.smmu", "--keep")
    assert kept.status == 1
    assert f"warning: {text}; both hold\n" in kept.err


def test_provenance_is_the_place_in_the_configuration(run: Callable[..., Ran]) -> None:
    """What a configuration says is known from its file, line and column."""
    ran = run("dump", "--provenance", SCOPE, "--config", SCOPE / "repair.smmu")
    assert "0000:00:02.0  ID 0x10, 1234:1111 VGA controller  [repair.smmu:2:18]" in ran.out
    who = run("who", SCOPE, "00:02.0", "--config", SCOPE / "repair.smmu")
    assert "    → vtd@fed90000 ID 0x10, by use  [repair.smmu:2:18]\n" in who.out


def test_a_configuration_alone(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Without sources, a configuration is a topology of its own: it says which units there are."""
    path = tmp_path / "own.smmu"
    path.write_text(
        "allow buf 0x80000000,4K,s\nallow idle 0,1M,t\nsmmu armsmmu\nunit mmu 0x1000,1,2,1,4\n"
        "device mem:0x5000 buf use mmu 7\ndevice mem:0x6000 buf\n"
    )
    ran = run("dump", "--config", path, "--provenance")
    assert ran.status == 0
    assert (
        ran.out
        == """\
read: configuration

smmuv2@1000  Arm SMMUv2, registers 0x1000, configured as mmu, lets unknown IDs pass, reserved IDs 0x4  [own.smmu:4:1]
├─ interrupts  context 1, global 2
└─ mem:5000  ID 0x7  [own.smmu:5:23]
   └─ granted from start  0x80000000-0x80000fff (4 KiB), read, buf  [own.smmu:1:1]

NO IOMMU
└─ mem:6000  no source names an IOMMU for it  [own.smmu:6:1]
   └─ granted from start  0x80000000-0x80000fff (4 KiB), read, buf  [own.smmu:1:1]

granted to no device
└─ idle  0x0-0xfffff (1 MiB), write  [own.smmu:2:1]
"""
    )
    who = run("who", "--config", path, "mem:5000")
    assert (
        who.out
        == """\
mem:5000
    → smmuv2@1000 ID 0x7, by use  [own.smmu:5:23]
  alone in its isolation group
  granted from start 0x80000000-0x80000fff (4 KiB), read, buf  [own.smmu:1:1]
"""
    )
    answer = json.loads(run("who", "--config", path, "mem:5000", "--format", "json").out)
    assert answer["grants"][0]["devices"] == ["mem:5000", "mem:6000"]
    document = json.loads(run("dump", "--config", path, "--format", "json").out)
    schema = Draft202012Validator(json.loads((ROOT / "docs" / "topology.schema.json").read_text()))
    assert [error.message for error in schema.iter_errors(document)] == []
    assert document["sources"] == [
        {"name": str(path), "kind": "configuration", "size": path.stat().st_size, "used": True}
    ]


def test_denied_ids_and_many_reserved_ones(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A unit that denies unknown IDs says so; of very many reserved IDs the first are shown."""
    path = tmp_path / "own.smmu"
    path.write_text(f"smmu armsmmu unit mmu 0x1000,1,2,0,{':'.join(str(one) for one in range(14))}")
    assert "denies unknown IDs, reserved IDs 0x0 0x1 0x2 0x3" in run("dump", "--config", path).out
    assert " 0xb and 2 more\n" in run("dump", "--config", path).out


def test_a_configuration_among_the_sources(run: Callable[..., Ran]) -> None:
    """A `.smmu` file that is named as a source holds; one in a folder is passed over, with what to do."""
    named = run("dump", SCOPE, SCOPE / "repair.smmu")
    assert named.out == run("dump", SCOPE, "--config", SCOPE / "repair.smmu").out
    assert f"{SCOPE}/repair.smmu (a configuration; give it with --config)" in run("dump", SCOPE).err
    twice = run("dump", SCOPE, SCOPE / "repair.smmu", SCOPE / "repair.smmu")
    assert twice.out == named.out
    assert f"(the same as {SCOPE}/repair.smmu)" in twice.err


def test_several_configurations_hold_in_their_order(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Of two configurations that speak of one device, the later is laid over the earlier."""
    (tmp_path / "late.smmu").write_text("smmu vtd unit all 0xfed91000 device pci:0:2.0 use all")
    ran = run("dump", "--format", "json", SCOPE, "--config", SCOPE / "repair.smmu", "--config", tmp_path / "late.smmu")
    assert units(ran)["0000:00:02.0"] == ["vtd@fed91000"]


def test_errors_of_a_configuration_are_findings(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A configuration with a mistake is used but for that; one that is not there is no answer."""
    (tmp_path / "bad.smmu").write_text("smmu vtd\nunit igd 0xfed90000\ndevice pci:0:2.0\nuse igdd\n")
    ran = run("dump", SCOPE, "--config", tmp_path / "bad.smmu")
    assert ran.status == 1
    assert "bad.smmu:4:5: there is no unit of this name" in ran.err
    assert run("dump", SCOPE, "--config", tmp_path / "none.smmu").status == 3


def test_nothing_to_show_is_wrong_usage(run: Callable[..., Ran]) -> None:
    """A dump of nothing, and a question without sources, are wrong usage."""
    assert run("dump").status == 2
    assert run("who", "mem:5000").status == 2


def test_what_is_not_read_and_what_is_ignored(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A table that is not read leaves "no IOMMU" open, unless the configuration says that it is not to be used."""
    (tmp_path / "own.smmu").write_text("smmu vtd unit own 0x1000 device pci:0:3.0 use own")
    (tmp_path / "ignore.smmu").write_text("smmu amdvi ignore")
    board = tmp_path / "board"
    board.mkdir()
    (board / "pci.json").write_bytes((BOARDS / "q35-amd" / "pci.json").read_bytes())
    (board / "IVRS.bin").write_bytes(sealed(b"IVRS", bytes(11)))
    open_ = run("dump", board, "--config", tmp_path / "own.smmu")
    assert "IVRS, which is not read and may name one" in open_.out
    told = run("dump", board, "--config", tmp_path / "ignore.smmu")
    assert "IVRS" not in told.out
    assert "declares IOMMUs" in open_.err
    assert "declares IOMMUs" not in told.err
    assert "the configuration ignores this table" in told.err
    assert "NO IOMMU" in told.out
    alone = run("dump", BOARDS / "q35-vtd" / "pci.json", "--config", tmp_path / "own.smmu")
    assert "cannot be told" not in alone.out


def test_board_modules(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A module is named by an option or by a unit; one that is not there is no answer, or a finding at the unit."""
    ran = run("dump", "--board-module", "imx8")
    assert ran.status == 0
    assert "smmuv2@51400000  Arm SMMUv2, registers 0x51400000, configured as mmu500\n" in ran.out
    assert "note: iommuman/boards/imx8.toml: group[0]: 3 devices share ID 0x11" in ran.err
    (tmp_path / "user.smmu").write_text("smmu armsmmu\nunit mmu500 0x51400000,64,66,1,4:5:16,imx8\n")
    named = run("dump", "--config", tmp_path / "user.smmu")
    assert "mem:5b010000  ID 0x11 (but for the bits 0x7f80)" in named.out
    assert "lets unknown IDs pass, reserved IDs 0x4 0x5 0x10" in named.out
    assert "has global interrupt 66 here, and has 64 by iommuman/boards/imx8.toml: unit[0]" in named.err
    assert named.out == run("dump", "--config", tmp_path / "user.smmu", "--board-module", "imx8").out
    (tmp_path / "user.smmu").write_text("smmu armsmmu\nunit mmu500 0x51400000,64,66,1,4,imx9\n")
    missing = run("dump", "--config", tmp_path / "user.smmu")
    assert missing.status == 1
    assert "user.smmu:2:1: there is no board module 'imx9'; did you mean imx8?" in missing.err
    assert run("dump", "--board-module", "imx9").status == 3


def test_a_module_beside_the_configuration(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A module in the folder of the file that names it is found; it goes over the firmware, and the user over it."""
    (tmp_path / "mine.toml").write_text(
        'title = "mine"\norigin = ["me"]\n[[unit]]\nname = "all"\ntype = "vtd"\nbase = 0xfed90000\n'
        '[[device]]\npci = "00:00.0-ff:1f.7"\nuse = [{ unit = "all" }]\n'
    )
    (tmp_path / "user.smmu").write_text(
        "smmu armsmmu unit m 0x1000,1,2,0,,mine\nsmmu vtd unit rest 0xfed91000\ndevice pci:0:2.0 use rest\n"
    )
    ran = run("dump", "--format", "json", SCOPE, "--config", tmp_path / "user.smmu")
    assert units(ran) == {
        "0000:00:00.0": ["vtd@fed90000"],
        "0000:00:02.0": ["vtd@fed91000"],
        "0000:00:14.0": ["vtd@fed90000"],
        "ioapic:2": ["vtd@fed91000"],
    }
    assert f"here, and 2 parts use vtd@fed91000 by {SCOPE}/DMAR.bin" in ran.err


def test_suggest_writes_what_the_firmware_says(run: Callable[..., Ran], tmp_path: Path) -> None:
    """The suggested file over the same board shows the same, but for the names that it gives units."""
    ran = run("config", "suggest", SCOPE)
    assert ran.status == 0
    (tmp_path / "pinned.smmu").write_text(ran.out)
    before = run("dump", SCOPE)
    after = run("dump", SCOPE, "--config", tmp_path / "pinned.smmu")
    shown = after.out.replace(", configured as vtd0", "").replace(", configured as vtd1", "")
    assert shown.replace("DMAR, configuration", "DMAR") == before.out
    assert after.err == before.err
    assert "device pci:0:20.0\n    use vtd0\n" in ran.out


def test_suggest_with_a_board_module(run: Callable[..., Ran]) -> None:
    """What a board module says can be pinned as well."""
    ran = run("config", "suggest", "--board-module", "rcar-h3")
    assert ran.out.startswith("smmu rcar3 0xe67b0000,228,18\n")
    assert run("config", "suggest").status == 2


def test_units_of_modules_and_of_earlier_files_are_used_by_their_names(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A module that is named on the command line or by a unit, and a file before this one: no unit is said again."""
    (tmp_path / "ours.toml").write_text(
        "title = 'a'\norigin = ['b']\n[[unit]]\nname = 'gpu'\ntype = 'smmuv3'\nbase = 0x6000\n"
    )
    use, named, first = tmp_path / "use.smmu", tmp_path / "named.smmu", tmp_path / "first.smmu"
    use.write_text("device mem:0x5000 use gpu 7\n")
    named.write_text("smmu armsmmu unit z 0x7000,1,2,0,,ours\n" + use.read_text())
    first.write_text("smmu smmuv3 unit gpu 0x6000\n")
    module = ("--board-module", tmp_path / "ours.toml")
    for arguments in (
        ("--config", use, *module), (use, *module), ("--config", named), ("--config", first, "--config", use),
        (first, use),
    ):  # fmt: skip
        ran = run("dump", "--format", "json", *arguments)
        assert units(ran) == {"mem:5000": ["smmuv3@6000"]}, ran.err
    assert "there is no unit of this name" in run("dump", "--config", use).err
    use.write_text("device mem:0x5000 use gpv 7\n")
    ran = run("dump", "--config", use, *module)
    assert "use.smmu:1:19: no unit is called 'gpv'; did you mean gpu?" in ran.err
