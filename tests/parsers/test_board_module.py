"""Board modules: what they say, what is wrong with them, and where they are found."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Finding, Origin
from iommuman.parsers import ParseError
from iommuman.parsers.board_module import find_board_module, parse_board_module, read_board_module
from iommuman.parsers.smmu_config import (
    Configuration,
    MainUnit,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SocRevision,
    Unit,
    Use,
)
from iommuman.topology import Topology, load_topology, routes

from tests.conftest import CORPUS

HEAD = 'title = "A board"\norigin = ["its manual"]\n'
WHOLE = (
    HEAD
    + """
notes = ["mind the gap"]

[main]
base = 0xe67b0000
interrupt = 228
fault-bit = 18
chips = [{ soc = 0x4f, revision = 0x20 }]

[[unit]]
name = "mmu"
type = "armsmmu"
base = 0x51400000
context-interrupt = 64
global-interrupt = 66
bypass = true
reserved-ids = [4, 5]

[[unit]]
name = "ipmmu"
type = "rcar3"
base = 0xe6740000
status-bit = 3

[[device]]
address = 0x5b010000
use = [{ unit = "mmu", id = 0x11, count = 2, ignored-bits = 0x7f80 }]
reserved = [{ start = 0x80000000, length = 0x1000 }]
note = "the boot loader uses it"

[[device]]
pci = "0000:02:00.0-02:1f.7"

[[device]]
pci = "1:02:00.0"
use = [{ unit = "vtd" }]

[[device]]
name = "dt:/soc/usb@1"

[[group]]
unit = "mmu"
id = 7
addresses = [0x1000]
names = ["acpi:\\\\_SB.DEV"]
why = "one port"
"""
)


def parsed(text: str) -> Configuration:
    """Return what a module says."""
    return parse_board_module(text.encode(), "b.toml")


def said(text: str) -> list[str]:
    """Return the sentences of what is wrong with a module."""
    return [str(one) for one in parsed(HEAD + text).findings]


def test_everything_that_can_be_said() -> None:
    """Every key ends up in the record that it is for, with its place."""
    found = parsed(WHOLE)
    assert found.units == (
        Unit("mmu", "armsmmu", 0x51400000, Origin("b.toml", "unit[0]"), 64, 66, None, True, (4, 5)),  # noqa: FBT003
        Unit("ipmmu", "rcar3", 0xE6740000, Origin("b.toml", "unit[1]"), status_bit=3),
    )
    assert [one.type for one in found.types] == ["armsmmu", "rcar3"]
    assert found.types[1].main == MainUnit(0xE67B0000, 228, 18, (SocRevision(0x4F, 0x20),))
    assert [one.spec for one in found.devices] == [
        MmioSpec(0x5B010000),
        PciSpec(0, 0x200, 0x2FF),
        PciSpec(1, 0x200, 0x200),
        NamedSpec("dt:/soc/usb@1"),
        MmioSpec(0x1000),
        NamedSpec("acpi:\\_SB.DEV"),
    ]
    assert found.devices[0].uses == (Use("mmu", Origin("b.toml", "device[0].use[0]"), 0x11, 2, 0x7F80),)
    assert found.devices[0].reserved == (Reserved(0x80000000, 0x1000, Origin("b.toml", "device[0].reserved[0]")),)
    assert found.devices[2].uses == (Use("vtd", Origin("b.toml", "device[2].use[0]")),)
    assert found.devices[5].uses == (Use("mmu", Origin("b.toml", "group[0]"), 7),)
    assert [(one.severity, str(one)) for one in found.findings] == [
        ("note", "b.toml: device[0]: the boot loader uses it"),
        ("note", "b.toml: group[0]: 2 devices share ID 0x7 of mmu: they cannot be told apart (one port)"),
        ("note", "b.toml: mind the gap"),
    ]


UNIT = "[[unit]]\nname = 'u'\ntype = 'vtd'\nbase = 1\n"
DEVICE = "[[device]]\naddress = 1\n"
MAIN = "[main]\nbase = 1\ninterrupt = 1\n"
KEYS = "one of title, origin, notes, main, unit, device, group"
KINDS = "one of armsmmu, rcar3, vtd, smmuv3, amdvi, riscv"
FUNCTIONS = "a PCI function, 0000:02:01.0, or a range, 0000:02:00.0-02:1f.7"


@pytest.mark.parametrize(
    ("text", "rule", "place", "found", "expected"),
    [
        ("tittle = 1", "BOARD-KEY", "tittle", "", KEYS),
        ("main = 5", "BOARD-VALUE", "main", "5", "a table"),
        ("unit = 5", "BOARD-VALUE", "unit", "5", "an array of tables, [[unit]]"),
        ("unit = [5]", "BOARD-VALUE", "unit[0]", "5", "a table"),
        ("notes = 5", "BOARD-VALUE", "notes", "5", "a list of texts"),
        ("[[unit]]\nname = 'u'\ntype = 'vtd'", "BOARD-MISSING", "unit[0]", "", "a number"),
        ("[[unit]]\nname = 5\ntype = 'vtd'\nbase = 1", "BOARD-VALUE", "unit[0].name", "5", "a text"),
        ("[[unit]]\nname = 'u'\ntype = 'vdt'\nbase = 1", "BOARD-VALUE", "unit[0].type", "'vdt'", KINDS),
        (UNIT + "bypass = 1", "BOARD-VALUE", "unit[0].bypass", "1", "true or false"),
        (UNIT + "reserved-ids = 1", "BOARD-VALUE", "unit[0].reserved-ids", "1", "a list of numbers"),
        (UNIT + "reserved-ids = [-1]", "BOARD-VALUE", "unit[0].reserved-ids.0", "-1", "a number from 0 to 0xffffffff"),
        ("[[device]]", "BOARD-VALUE", "device[0]", "[]", "one of address, pci and name"),
        ("[[device]]\naddress = true", "BOARD-VALUE", "device[0].address", "True", f"a number from 0 to 0x{'f' * 16}"),
        ("[[device]]\npci = '02:01'", "BOARD-VALUE", "device[0].pci", "'02:01'", FUNCTIONS),
        ("[[device]]\npci = '02:01.0-01:01.0'", "BOARD-VALUE", "device[0].pci", "'02:01.0-01:01.0'", FUNCTIONS),
        ("[[device]]\nname = 'usb'", "BOARD-VALUE", "device[0].name", "'usb'", "dt:/… or acpi:\\…"),
        (DEVICE + "use = [{ id = 1 }]", "BOARD-MISSING", "device[0].use[0]", "", "a text"),
        (DEVICE + "reserved = [{ start = 1 }]", "BOARD-MISSING", "device[0].reserved[0]", "", "a number"),
        (
            DEVICE + "reserved = [{ start = 1, length = 0 }]",
            "BOARD-VALUE",
            "device[0].reserved[0]",
            "0",
            "at least one byte, below 2^64",
        ),
        ("[[group]]\nunit = 'u'", "BOARD-MISSING", "group[0]", "", "the ID that the devices share"),
        ("[main]\nbase = 1", "BOARD-MISSING", "main", "", "a number"),
        (MAIN + "fault-bit = 32", "BOARD-VALUE", "main.fault-bit", "32", "a number from 0 to 0x1f"),
        (MAIN + "fault-bit = 3\nchips = [{ soc = 1 }]", "BOARD-MISSING", "main.chips[0]", "", "a number"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, rule: str, place: str, found: str, expected: str) -> None:
    """Each mistake is one error that names the key, what is there, and what should be."""
    first = parsed(HEAD + text).findings[0]
    assert (first.rule, first.severity, first.origin.part) == (rule, "error", place)
    assert (first.found, first.expected) == (found, expected)


def test_a_key_that_nobody_knows_is_said_with_what_looks_like_it() -> None:
    """The sentence of an unknown key names the known ones, and the one that is meant if any looks like it."""
    sentence = "there is no key 'tittle', expected one of title, origin, notes, main, unit, device, group"
    assert said("tittle = 1") == [f"b.toml: tittle: {sentence}; did you mean 'title'?"]
    assert said("zzz = 1")[0].endswith("; it is left out")


def test_what_is_wrong_is_left_out_alone() -> None:
    """A value that cannot be used takes only its own record with it."""
    found = parsed(
        HEAD + "[[unit]]\nname = 'u'\n[[unit]]\nname = 'v'\ntype = 'vtd'\nbase = 1\n[[device]]\nname = 'x'\n"
    )
    assert [one.name for one in found.units] == ["v"]
    assert found.devices == ()
    long = parsed(HEAD + f"notes = '{'x' * 99}'").findings[0]
    assert long.found == "'" + "x" * 36 + "..."
    bare = parsed("[[device]]\naddress = 1\nuse = [{ unit = 'u', id = 'x' }]").findings
    assert [str(one) for one in bare[:2]] == [
        "b.toml: the key 'title' is missing, expected a text",
        "b.toml: the key 'origin' is missing, expected a list of texts",
    ]


@pytest.mark.parametrize("data", [b"title =", b"\xff", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b" " * (1 << 21)])
def test_what_is_no_module(data: bytes) -> None:
    """Text that is no TOML, bytes that are no text, nesting and numbers without end: one error class."""
    with pytest.raises(ParseError):
        parse_board_module(data, "b.toml")


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["dt:/a", "02:01.0", "vtd", 0x1000]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "type", "base", "unit", "id", "use", "reserved", "address", "pci", "start", "length"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["title", "origin", "notes", "main", "unit", "device", "group"]), _VALUES))
def test_no_document_breaks_the_reader(document: dict[str, object]) -> None:
    """Whatever TOML holds, the answer is a configuration with findings."""
    from iommuman.parsers.board_module import _Reader

    found = _Reader("b.toml").module(document)
    assert all(isinstance(one, Finding) for one in found.findings)


def test_modules_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of the environment come first, then the one beside the configuration, then what comes with us."""
    for folder in ("env", "beside"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.toml").write_text(HEAD)
    monkeypatch.setenv("IOMMUMAN_BOARDS", f"{tmp_path / 'missing'}:{tmp_path / 'env'}")
    assert read_board_module("own", str(tmp_path / "beside")).source == str(tmp_path / "env" / "own.toml")
    monkeypatch.delenv("IOMMUMAN_BOARDS")
    assert read_board_module("own", str(tmp_path / "beside")).source == str(tmp_path / "beside" / "own.toml")
    assert read_board_module(str(tmp_path / "env" / "own.toml")).source == str(tmp_path / "env" / "own.toml")
    assert read_board_module("imx8").source == "iommuman/boards/imx8.toml"


def test_a_module_that_is_not_there() -> None:
    """A name that no module has is one error, with what looks like it or what there is; so is a missing file."""
    with pytest.raises(ParseError, match="there is no board module 'imx9'; did you mean imx8"):
        read_board_module("imx9")
    with pytest.raises(ParseError, match=r"there is no board module '\.\.'; there are imx8, rcar-h3"):
        read_board_module("..")
    with pytest.raises(ParseError, match="this cannot be opened: No such file"):
        read_board_module("./nothing.toml")
    with pytest.raises(ParseError, match="this cannot be opened"):
        read_board_module("a/\0")
    findings: list[Finding] = []
    assert find_board_module("nothing", Origin("u.smmu", line=2), findings) is None
    assert str(findings[0]).startswith("u.smmu:2: there is no board module 'nothing'")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Configuration("made"), ""),
        (lambda: 5, "its entry point returns int, and no Configuration"),
        (lambda: 1 / 0, "its entry point fails: ZeroDivisionError: division by zero"),
    ],
)
def test_modules_in_python(made: object, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point makes a module; whatever goes wrong in it is an error that names it."""

    class Point:
        value = "pkg:make"

        def load(self) -> object:
            return made

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [Point()])
    if not message:
        assert read_board_module("anything").source == "made"
        return
    with pytest.raises(ParseError, match=message):
        read_board_module("anything")


def test_packaged_modules_are_sound() -> None:
    """The modules that come with iommuman have no mistakes, and say where their facts are from."""
    for name in ("imx8", "rcar-h3"):
        assert {one.severity for one in read_board_module(name).findings} == {"note"}


def controlled(board: Topology) -> dict[int, set[tuple[str | None, int, int]]]:
    """Return unit, ID and ignored bits for each ID of the devices whose registers are known and that have a unit."""
    found: dict[int, set[tuple[str | None, int, int]]] = {}
    for device in board.devices.values():
        for route in routes(board, device):
            if route.verdict == "controlled" and route.stream is not None and device.base is not None:
                ids = range(route.stream, route.stream + route.count)
                found.setdefault(device.base, set()).update((route.iommu, one, route.ignored_bits) for one in ids)
    return found


TREE = CORPUS / "trees" / "imx8qm-apalis-eval.dtb"


@pytest.mark.skipif(not TREE.is_file(), reason="no corpus beside this checkout")
def test_the_imx8_module_against_a_real_tree() -> None:
    """The module alone says of the unit and of every device what a real tree says; over the tree it changes nothing."""
    alone, tree = load_topology([], board_module="imx8"), load_topology([str(TREE)])
    assert controlled(alone) == controlled(tree)
    assert list(alone.iommus) == list(tree.iommus)
    both = load_topology([str(TREE)], board_module="imx8")
    assert both.maps == tree.maps
    assert {one.rule for one in both.findings if one not in tree.findings} == {"BOARD-GROUP", "BOARD-NOTE"}


def test_the_rcar_module_says_what_was_read_in_the_tree() -> None:
    """Two devices and their micro-TLBs, as the device tree of the SoC has them: the first DMA controller, and SATA."""
    board = load_topology([], board_module="rcar-h3")
    assert len(board.iommus) == 17
    found = controlled(board)
    assert len(found) == 20
    assert found[0xE6700000] == {("ipmmu@e6740000", number, 0) for number in range(16)}
    assert found[0xEE300000] == {("ipmmu@e6570000", 2, 0)}
