"""Differences as people see them, held to literal text; JSON held to its schema."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest
from iommuman.base import Origin
from iommuman.topology import (
    Device,
    Fact,
    Grant,
    IdMap,
    MsiController,
    ReservedRegion,
    StreamRange,
    UnresolvedScope,
)
from iommuman.topology.diff.changes import diff
from iommuman.topology.diff.draw import draw_side_by_side, draw_unified, places
from iommuman.topology.diff.hunks import Hunk, hunks
from iommuman.topology.diff.json import draw_json
from iommuman.topology.diff.meaning import explain
from iommuman.topology.diff.picture import Picture
from iommuman.topology.diff.words import listed, short_extent
from jsonschema import Draft202012Validator

from tests.conftest import ROOT
from tests.topology.diff.boards import (
    HERE,
    THERE,
    Record,
    fixture_pictures,
    fixture_topologies,
    function,
    picture_of,
    root,
    takes,
    unit,
)


def between(a: Picture, b: Picture) -> list[Hunk]:
    """Return the hunks of two pictures."""
    changes = diff(a, b)
    return hunks(changes, explain(a, b, changes))


def lines(a: Sequence[Record], b: Sequence[Record], mark: str = "-+~") -> list[str]:
    """Return the lines of a unified difference that say something, without places."""
    text = draw_unified(between(picture_of(*a), picture_of(*b)), ("a", "b"))
    return [re.sub(r"  \[.*\]", "", line) for line in text.splitlines()[2:] if line[0] in mark]


def test_nothing_is_drawn_as_nothing() -> None:
    """Two boards that say the same give no text, as diff gives none."""
    assert draw_unified([], ("a", "b")) == ""
    assert draw_side_by_side([], ("a", "b"), 100) == ""


def test_unified() -> None:
    """A hunk for each thing: what only A says, what only B says, where, what it means; and a count at the end."""
    a = picture_of(root(), unit(), function(8, "8086:1"), function(9), takes(8, 2))
    b = picture_of(root(), unit(), unit(0x2000), function(8, "8086:2"), function(9), takes(8, 1, target="vtd@2000"))
    assert draw_unified(between(a, b), ("dir/a", "b\033")) == (
        "--- dir/a\n"
        "+++ b\\x1b\n"
        "@@ unit vtd@2000 @@\n"
        "+ vtd, segment 0000, registers 0x2000, size of registers 0x1000  [here: TABLE+0x10 (8 bytes)]\n"
        "  = one more IOMMU; behind it is 0000:00:01.0\n"
        "@@ device 0000:00:01.0 @@\n"
        "- function: 8086:1 NVMe controller  [here: TABLE+0x10 (8 bytes)]\n"
        "+ function: 8086:2 NVMe controller  [here: TABLE+0x10 (8 bytes)]\n"
        "  = another device stands here: what was granted to the old one is the new one's\n"
        "~ vtd@1000 ID 0x8 → vtd@2000 ID 0x8  [here: TABLE+0x10 (8 bytes) → here: TABLE+0x10 (8 bytes)]\n"
        "  = now behind vtd@2000, and before behind vtd@1000\n"
        "@@ device 0000:00:01.1 @@\n"
        "- vtd@1000 ID 0x9  [here: TABLE+0x10 (8 bytes)]\n"
        "+ no IOMMU as 00:01.1  [here: TABLE+0x10 (8 bytes)]\n"
        "  = opens: this device loses its IOMMU: it reaches all of memory\n"
        "@@ PCI requester IDs of pci:0000 @@\n"
        "- requester IDs 0x0008-0x0009 → vtd@1000, the same IDs  [here: TABLE+0x10 (8 bytes)]\n"
        "+ requester ID 0x0008 → vtd@2000, the same ID  [here: TABLE+0x10 (8 bytes)]\n"
        "+ requester ID 0x0009 → no IOMMU\n"
        "  = requester ID 0x0008: behind another IOMMU now; known devices: 0000:00:01.0\n"
        "  = opens: requester ID 0x0009: no IOMMU in use any more; known devices: 0000:00:01.1\n"
        "4 things differ; 2 open\n"
    )


def test_colour() -> None:
    """With colour the text is the same, and what opens stands out."""
    found = between(picture_of(unit()), picture_of(unit(), Device("dt:/dma", "dt", HERE)))
    for plain, coloured in (
        (draw_unified(found, ("a", "b")), draw_unified(found, ("a", "b"), colour=True)),
        (draw_side_by_side(found, ("a", "b"), 80), draw_side_by_side(found, ("a", "b"), 80, colour=True)),
    ):
        assert re.sub("\033\\[[0-9]+m", "", coloured) == plain
        assert "\033[1m\033[31m  = opens: a device more" in coloured


def test_side_by_side() -> None:
    """A is on the left and B on the right; long lines go on below, and marks say who says something."""
    a = picture_of(root(), unit(), takes(8), function(8), Fact("width", 39, HERE))
    b = picture_of(root(), unit(), takes(8), Fact("width", 48, HERE), Grant("s", 0, 16, read=True, write=False,
                   devices=("x",), origin=THERE))  # fmt: skip
    assert draw_side_by_side(between(a, b), ("a", "b"), 10) == (
        "a                              b\n"
        "@@ device 0000:00:01.0 @@\n"
        "vtd@1000 ID 0x8  [here:      <\n"
        "  TABLE+0x10 (8 bytes)]\n"
        "@@ memory granted to x @@\n"
        "                             > read 0x0-0xf (16 bytes)\n"
        "                                 [there: TABLE+0x20 (8\n"
        "                                 bytes)]\n"
        "  = opens: the device may now read 0x0+0x10\n"
        "@@ machine @@\n"
        "width: 39  [here: TABLE+0x10 | width: 48  [here: TABLE+0x10\n"
        "  (8 bytes)]                     (8 bytes)]\n"
        "3 things differ; 1 opens\n"
    )


def test_moved_things() -> None:
    """A thing with another name has both in its title, and one line with both places."""
    a, b = [MsiController("its:0", "its", HERE)], [MsiController("its:1", "its", THERE)]
    text = draw_unified(between(picture_of(*a), picture_of(*b)), ("a", "b"))
    assert text.splitlines()[2:4] == [
        "@@ MSI controller its:0 → its:1 @@",
        "~ its:0 → its:1  [here: TABLE+0x10 (8 bytes) → there: TABLE+0x20 (8 bytes)]",
    ]
    wide = draw_side_by_side(between(picture_of(*a), picture_of(*b)), ("a", "b"), 100)
    assert "its:0  [here: TABLE+0x10 (8 bytes)]              ~ its:1  [there: TABLE+0x20 (8 bytes)]" in wide


@pytest.mark.parametrize(
    ("maps", "shown"),
    [
        ([takes(0, 0x10000, 0, single=True)], "+ requester IDs 0x0000-0xffff → vtd@1000, ID 0x0 for all"),
        ([takes(0, 0x10000, None)], "+ requester IDs 0x0000-0xffff → vtd@1000, no ID"),
        ([takes(0, 0x10000, 0x40)], "+ requester IDs 0x0000-0xffff → vtd@1000, IDs 0x40-0x1003f"),
        ([takes(0x100, 0xFF00, 0)], "+ requester IDs 0x0100-0xffff → vtd@1000, IDs 0x0-0xfeff"),
        (
            [takes(0, 0x10000, 0, mask=0xFF, ignored_bits=3)],
            (
                "+ requester IDs 0x0000-0xffff → vtd@1000, IDs 0x0-0xff"
                " (only the bits 0x00ff count) (but for the bits 0x3)"
            ),
        ),
        (
            [takes(0x8, 0x10000, 0, mask=0xFFF8)],
            "+ requester IDs 0x0008-0xffff → vtd@1000, IDs 0x0 to 0xfff0 (only the bits 0xfff8 count)",
        ),
        (
            [takes(0, 8, 0x5A, mask=0xFFF8)],
            "+ requester IDs 0x0000-0x0007 → vtd@1000, ID 0x5a for all (only the bits 0xfff8 count)",
        ),
        (
            [takes(0, 0x10000, target="vtd@2000")],
            "+ requester IDs 0x0000-0xffff → vtd@2000, the same IDs (the unit is not enabled)",
        ),
    ],
)
def test_ways_of_requester_ids(maps: list[Record], shown: str) -> None:
    """Each way of requester IDs is said in its own words."""
    stays: list[Record] = [unit(), unit(0x2000, enabled=False), root()]
    assert [line for line in lines(stays, [*stays, *maps], "+") if "no IOMMU" not in line] == [shown]


def test_ways_that_cannot_be_told() -> None:
    """What an open scope may hold is said to be unknown, with the unit that takes the rest."""
    scope = UnresolvedScope("vtd@1000", "vtd@1000", 0, 254, ((0, 0),), "sub-hierarchy", "unknown", HERE)
    rest = takes(0, 0x10000, rule="INCLUDE_PCI_ALL", fallback=True)
    assert lines([unit(), root(), rest, function(0xFF00)], [unit(), root(), rest, function(0xFF00), scope]) == [
        "+ scopes not resolved: sub-hierarchy in segment 0000, bus fe, path 00.0",
        "- vtd@1000 ID 0xff00",
        "+ cannot be told as ff:00.0, perhaps vtd@1000",
        "- requester IDs 0xff00-0xffff → vtd@1000, the same IDs",
        "+ requester IDs 0xff00-0xffff → cannot be told, perhaps vtd@1000",
    ]


def test_access_in_words() -> None:
    """Each way in which a unit knows a device is said in its own words."""
    name = "dt:/dma"
    off = unit(0x2000, enabled=False)
    maps = [
        IdMap(name, "vtd@1000", 0, 1, 0x401, HERE, "iommus", single=True, ignored_bits=0x3FE),
        IdMap(name, "vtd@1000", 0, 16, 0x100, HERE, "iommus"),
        IdMap(name, "vtd@1000", 0, 1, None, HERE, "iommus", single=True),
        IdMap(name, "vtd@2000", 0, 1, 9, HERE, "iommus", single=True),
        IdMap(name, None, 3, 2, 9, HERE, "iommus"),
        IdMap(name, None, 0, 1, 9, HERE, "iommus", single=True),
        IdMap(name, "its", 0, 1, 7, HERE, "msi-parent", "msi", single=True),
    ]
    its = MsiController("its", "gic-its", HERE)
    assert lines([unit(), off, its], [unit(), off, its, Device(name, "dt", HERE, enabled=False), *maps]) == [
        "+ not enabled",
        "+ vtd@1000 ID 0x401 (but for the bits 0x3fe)",
        "+ vtd@1000 IDs 0x100-0x10f",
        "+ vtd@1000 no ID",
        "+ vtd@2000 ID 0x9 (the unit is not enabled)",
        "+ no IOMMU for IDs 0x3-0x4",
        "+ no IOMMU",
        "+ interrupts to its device ID 0x7",
    ]


def test_other_values_in_words() -> None:
    """Buses, reserved IDs, reserved memory and grants are said in their own words."""
    a: list[Record] = [unit(), root(last_bus=15)]
    b: list[Record] = [
        unit(reserved_ids=(4, 5, 16)),
        root(),
        ReservedRegion("reserved-memory", 0x8000, 16, HERE, "mapped", 0x9000, ("x",), (), (("no-map", True),)),
        ReservedRegion("rmrr", 0x1000, 0x1000, HERE, "direct", devices=("x",)),
        ReservedRegion("rmr", 0x10000, 0x10000, HERE, "direct", streams=(StreamRange("vtd@1000", 4, 2),)),
        Grant("s", 0x1000, 0x1000, read=True, write=True, devices=("x",), origin=HERE),
    ]
    assert lines(a, b) == [
        "+ reserved IDs 0x4-0x5, 0x10",
        "+ buses 10-ff",
        "+ 0x8000-0x800f (16 bytes), stays mapped, physical 0x9000, no-map",
        "+ 0x1000-0x1fff (4 KiB), mapped one to one",
        "+ 0x10000-0x1ffff (64 KiB), mapped one to one, for IDs 0x4-0x5",
        "+ read 0x1000-0x1fff (4 KiB)",
        "+ write 0x1000-0x1fff (4 KiB)",
    ]


def test_a_thing_of_which_nothing_is_known() -> None:
    """A thing of which nothing more is said has a line nevertheless; facts of a machine have one each."""
    assert lines([], [MsiController("its", "its", HERE, enabled=True)]) == ["+ gic-its"]
    assert lines([], [Device("pmcg@1", "pmcg", HERE)]) == ["+ pmcg"]
    assert lines([], [Device("iwb:1", "dt", HERE, properties=(("driver", "x"),))]) == ["+ no IOMMU"]
    scope = UnresolvedScope("RMRR 0x1", None, 0, 0, ((1, 0),), "endpoint", "unknown", HERE)
    assert lines([], [Fact("width", 39, HERE), Fact("opt-in", value=False, origin=HERE), scope]) == [
        "+ scopes not resolved: endpoint in segment 0000, bus 00, path 01.0",
        "+ width: 39",
        "+ opt-in: no",
    ]


def test_long_lists_are_cut() -> None:
    """Of very many ranges, names or places the first are shown, and how many more there are."""
    assert listed("abcdefghij") == "a, b, c, d, e, f, g, h and 2 more"
    assert places(tuple(Origin(f"f{number}") for number in range(5))) == "f0; f1; f2 and 2 more"
    assert places((Origin("a/x"), Origin("b/x"))) == "x"
    assert [short_extent(0, length) for length in (5, 0x1000, 1 << 20, 3 << 30, 1 << 40)] == [
        "0x0+0x5",
        "0x0+4K",
        "0x0+1M",
        "0x0+3G",
        "0x0+1T",
    ]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """Return the published schema, itself checked."""
    document = json.loads((ROOT / "docs" / "diff.schema.json").read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


@pytest.mark.parametrize("name", fixture_topologies())
def test_json_is_what_the_schema_says(name: str, schema: Draft202012Validator) -> None:
    """The JSON of each fixture against some others is valid by the published schema."""
    pictures, boards = fixture_pictures(), fixture_topologies()
    for other in [name, *list(pictures)[::12], "dt-masks", "iort-e", "q35-vtd"]:
        sources = (boards[name].sources, boards[other].sources)
        document = json.loads(draw_json(between(pictures[name], pictures[other]), (name, other), sources))
        assert [error.message for error in schema.iter_errors(document)] == []
        assert document["same"] == (pictures[name] == pictures[other])


def test_json_has_all_that_is_said(schema: Draft202012Validator) -> None:
    """A change is there with both sides as numbers and as text, the places that say it, and what it means."""
    a = picture_of(unit(), root(), takes(8, 2), Grant("s", 0, 16, read=True, write=False, devices=("x",), origin=HERE))
    b = picture_of(
        unit(reserved_ids=(4,)),
        root(),
        takes(8, 1, 16),
        ReservedRegion("reserved-memory", 0x8000, 16, THERE, "mapped", 0x7000, ("x",), (), (("no-map", True),)),
        ReservedRegion("rmr", 0x10000, 16, HERE, "direct", streams=(StreamRange("vtd@1000", 4, 2),)),
    )
    document = json.loads(draw_json(between(a, b), ("a", "b"), ((), ())))
    assert [error.message for error in schema.iter_errors(document)] == []
    origin = {"source": "here", "part": "TABLE", "offset": 16, "length": 8}
    says = [
        (one["kind"], one["thing"], one["field"], *(one[side] and one[side]["says"] for side in ("before", "after")))
        for one in document["changes"]
    ]
    way = {"verdict": "controlled", "target": "vtd@1000", "mask": 0xFFFF, "ignored_bits": 0}
    none = {"verdict": "no-iommu", "target": None, "mask": 0xFFFF, "shift": None, "ignored_bits": 0}
    assert says == [
        ("changed", "unit", "reserved IDs", {}, {"reserved IDs": [{"what": "reserved", "ids": [[4, 1]]}]}),
        (
            "changed",
            "space",
            "requester IDs",
            {"requester IDs": [{"first": 8, "count": 2, "shift": 0, **way}]},
            {"requester IDs": [{"first": 8, "count": 1, "shift": 8, **way}, {"first": 9, "count": 1, **none}]},
        ),
        (
            "added",
            "reserved",
            "",
            None,
            {
                "memory": [
                    {
                        "meaning": "mapped",
                        "physical_shift": "-0x1000",
                        "facts": ["no-map"],
                        "memory": [["0x8000", "0x10"]],
                    }
                ]
            },
        ),
        (
            "added",
            "reserved",
            "",
            None,
            {
                "memory of IDs": [
                    {
                        "meaning": "direct",
                        "physical_shift": None,
                        "facts": [],
                        "memory": [["0x10000", "0x10"]],
                        "ids": [[4, 2]],
                    }
                ]
            },
        ),
        ("removed", "grants", "", {"memory": [{"permission": "read", "memory": [["0x0", "0x10"]]}]}, None),
    ]
    first = document["changes"][1]["before"]
    assert first["lines"] == [{"text": "requester IDs 0x0008-0x0009 → vtd@1000, the same IDs", "origins": [origin]}]
    assert document["changes"][4]["meanings"] == [
        {"effect": "closes", "text": "the device may no longer read 0x0+0x10"}
    ]
