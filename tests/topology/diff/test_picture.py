"""Pictures: what a topology means, whatever the source calls it."""

from __future__ import annotations

import pytest
from iommuman.topology import (
    Device,
    Fact,
    Grant,
    IdMap,
    Interrupt,
    MsiController,
    PciRoot,
    ReservedRegion,
    StreamRange,
    UnresolvedScope,
)
from iommuman.topology.diff.picture import Item, Picture, Subject
from iommuman.topology.diff.values import Access, Many, Reserve, Spread

from tests.topology.diff.boards import (
    HERE,
    THERE,
    fixture_pictures,
    function,
    picture_of,
    root,
    takes,
    unit,
)


def words(picture: Picture, kind: str, name: str, field: str) -> list[str]:
    """Return the words of a field."""
    value = picture.items[Subject(kind, name)].fields[field]
    assert isinstance(value, Many)
    return list(value.said)


def parts(picture: Picture, kind: str, name: str, field: str) -> dict[object, object]:
    """Return the sets of a field."""
    value = picture.items[Subject(kind, name)].fields[field]
    assert isinstance(value, Spread)
    return dict(value.parts)


def test_a_unit_is_what_is_said_of_it() -> None:
    """A unit has a word for each fact, sets for its reserved IDs and its own interrupts, and its open scopes."""
    one = unit(
        bypass=False,
        reserved_ids=(4, 5, 16),
        interrupts=(Interrupt("event", 96, "edge"), Interrupt("gerror", 98)),
        properties=(("coherent walk", True), ("node", "/x"), ("own MSI", "its:0 device ID 0x20"), ("model", "M")),
        id_cells=0,
        enabled=False,
    )
    controller = MsiController("its:0", "its", HERE, 0x9000)
    scope = UnresolvedScope("vtd@1000", "vtd@1000", 0, 1, ((28, 0), (0, 1)), "endpoint", "unknown", HERE)
    own = [
        IdMap("vtd@1000", "its:0", 0, 1, 7, HERE, "msi-parent", "msi", single=True),
        IdMap("vtd@1000", "its:0", 0, 1, None, HERE, "msi-parent", "msi", single=True),
    ]
    picture = picture_of(one, controller, scope, *own)
    fields = picture.items[Subject("unit", "vtd@1000")].fields
    assert {name: list(value.said) for name, value in fields.items() if isinstance(value, Many)} == {
        "kind": ["vtd"],
        "segment": ["0000"],
        "registers": ["0x1000"],
        "size of registers": ["0x1000"],
        "state": ["not enabled"],
        "IDs": ["no, it has a single master"],
        "other IDs": ["refused"],
        "interrupts": ["event 96 edge", "gerror 98"],
        "coherent walk": ["yes"],
        "model": ["M"],
        "scopes not resolved": ["endpoint in segment 0000, bus 01, path 1c.0/00.1"],
    }
    assert parts(picture, "unit", "vtd@1000", "reserved IDs") == {"reserved": ((4, 2), (16, 1))}
    assert parts(picture, "unit", "vtd@1000", "own interrupt messages") == {
        Access("msi", "its:0"): ((7, 1), (0x20, 1)),
        Access("msi", "its:0", "none"): ((0, 1),),
    }
    assert words(picture, "msi", "its:0", "kind") == ["gic-its"]


def test_names_and_structures_of_a_source_are_no_meaning() -> None:
    """Compatible strings, nodes, drivers and what a generic model is called say nothing; synonyms are one word."""
    by_tree = unit(properties=(("node", "/smmu"), ("compatible", "arm,smmu-v3"), ("coherent walk", True)))
    by_table = unit(properties=(("model", "generic SMMUv3"), ("COHACC override", True)))
    roots = (
        PciRoot("dt:/pcie@1", HERE, 0, properties=(("compatible", "pci-host"), ("ats-supported", True))),
        PciRoot("pci:0000", THERE, 0, properties=(("ATS Supported", True),)),
    )
    assert picture_of(by_tree, roots[0]) == picture_of(by_table, roots[1])


def test_how_units_know_a_device() -> None:
    """Routes are IDs at units; a unit without IDs, one that is off, and requests that meet none are told apart."""
    device = Device("dt:/dma", "dt", HERE)
    maps = [
        IdMap("dt:/dma", "vtd@1000", 0, 1, 0x401, HERE, "iommus", single=True, ignored_bits=0x3FE),
        IdMap("dt:/dma", "vtd@1000", 0, 16, 0x100, HERE, "iommus"),
        IdMap("dt:/dma", "vtd@1000", 0, 1, None, HERE, "iommus", single=True),
        IdMap("dt:/dma", "vtd@2000", 0, 1, 9, HERE, "iommus", single=True),
        IdMap("dt:/dma", None, 3, 2, 9, HERE, "iommus"),
        IdMap("dt:/dma", None, 0, 1, 9, HERE, "iommus", single=True),
    ]
    picture = picture_of(unit(), unit(0x2000, enabled=False), device, *maps, function(0x18), root())
    assert parts(picture, "device", "dt:/dma", "access") == {
        Access("controlled", "vtd@1000", "stream", 0x3FE): ((0x401, 1),),
        Access("controlled", "vtd@1000", "stream"): ((0x100, 16),),
        Access("controlled", "vtd@1000", "none"): ((0, 1),),
        Access("disabled", "vtd@2000", "stream"): ((9, 1),),
        Access("no-iommu", None, "sent"): ((3, 2),),
        Access("no-iommu", None, "none"): ((0, 1),),
    }
    assert parts(picture, "device", "0000:00:03.0", "access") == {Access("no-iommu", None, "sent"): ((0x18, 1),)}


def test_bits_that_a_unit_ignores_make_no_difference() -> None:
    """Two stream IDs that differ only in bits that the unit ignores are the same access."""
    pictures = [
        picture_of(unit(), Device("dt:/dma", "dt", HERE),
                   IdMap("dt:/dma", "vtd@1000", 0, 1, stream, HERE, "iommus", single=True, ignored_bits=0x3FE))
        for stream in (0x401, 0x47F, 0x402)
    ]  # fmt: skip
    assert pictures[0] == pictures[1]
    assert pictures[0] != pictures[2]


def test_what_only_sends_interrupts_has_no_access() -> None:
    """A performance monitor has the way of its interrupts, and nothing is said of its accesses."""
    maps = IdMap("pmcg@1", "its:0", 0, 1, 5, HERE, "ID mapping", "msi", single=True)
    picture = picture_of(Device("pmcg@1", "pmcg", HERE), MsiController("its:0", "its", HERE), maps)
    assert list(picture.items[Subject("device", "pmcg@1")].fields) == ["kind", "state", "interrupts"]
    assert parts(picture, "device", "pmcg@1", "interrupts") == {Access("msi", "its:0"): ((5, 1),)}


def test_roots_of_a_segment_are_one_space() -> None:
    """Two roots of a segment are one space with the buses of both; a root that is off has none."""
    picture = picture_of(
        root(first_bus=0, last_bus=15),
        root(name="pci:0000#2", first_bus=16, last_bus=31),
        root(name="pci:0000#3", first_bus=64, last_bus=96, enabled=False),
        root(name="pci:0000#4", first_bus=9, last_bus=8),
        PciRoot("dt:/host", HERE, None, enabled=False),
    )
    assert list(picture.of("space")) == ["pci:0000", "dt:/host"]
    assert parts(picture, "space", "pci:0000", "buses") == {"buses": ((0, 32),)}
    assert words(picture, "space", "dt:/host", "state") == ["not enabled"]
    assert "buses" not in picture.items[Subject("space", "dt:/host")].fields


def test_reserved_memory_is_of_its_owners() -> None:
    """Regions are sets of addresses of each device, or of nobody; which structure asks for one makes no difference."""
    both = ReservedRegion("rmrr", 0x1000, 0x1000, HERE, "direct", devices=("a", "b"))
    next_one = ReservedRegion("configured", 0x2000, 0x1000, THERE, "direct", devices=("a",))
    mapped = ReservedRegion("reserved-memory", 0x8000, 16, HERE, "mapped", 0x9000, ("a",), (), (("no-map", True),))
    loose = ReservedRegion("reserved-memory", 0x4000, 16, HERE, "memory", properties=(("node", "/x"), ("size", 3)))
    empty = ReservedRegion("reserved-memory", 0x4000, 0, HERE, "memory")
    scope = UnresolvedScope("RMRR 0x1000", None, 0, 0, ((1, 0), (2, 0)), "endpoint", "unknown", HERE)
    picture = picture_of(both, next_one, mapped, loose, empty, scope)
    direct = Reserve("direct", None)
    assert {name: dict(item.fields) for name, item in picture.of("reserved").items()}.keys() == {
        "a",
        "b",
        "",
        "RMRR 0x1000",
    }
    assert parts(picture, "reserved", "a", "memory") == {
        direct: ((0x1000, 0x2000),),
        Reserve("mapped", 0x1000, None, ("no-map",)): ((0x8000, 16),),
    }
    assert parts(picture, "reserved", "b", "memory") == {direct: ((0x1000, 0x1000),)}
    assert parts(picture, "reserved", "", "memory") == {Reserve("memory", None, None, ("size 3",)): ((0x4000, 16),)}
    assert words(picture, "reserved", "RMRR 0x1000", "scopes not resolved") == [
        "endpoint in segment 0000, bus 00, path 01.0/02.0"
    ]


@pytest.mark.parametrize(
    "streams",
    [
        [((0, 4), (0, 2))],
        [((0, 2), (2, 2), (9, 0))],
        [((0, 3),), ((1, 3),), ((0, 2),)],
    ],
)
def test_ids_of_regions_are_sets(streams: list[tuple[tuple[int, int], ...]]) -> None:
    """However a table divides the IDs that a region is for, and repeats them, each region has the same set of IDs."""
    regions = [
        ReservedRegion("rmr", 0x1000, 64, HERE, "direct", streams=tuple(StreamRange("u", *one) for one in some))
        for some in streams
    ]
    picture = picture_of(*regions)
    assert parts(picture, "reserved", "u", "memory of IDs") == {Reserve("direct", None, (0x1000, 64)): ((0, 4),)}


def test_regions_of_ids_that_touch_are_one_where_both_hold() -> None:
    """Two regions that touch are one region for the IDs that both are for, and two for the others."""
    one = ReservedRegion("rmr", 0x1000, 64, HERE, "direct", streams=(StreamRange("u", 0, 4),))
    other = ReservedRegion("rmr", 0x1040, 64, THERE, "direct", streams=(StreamRange("u", 2, 4),))
    value = picture_of(one, other).items[Subject("reserved", "u")].fields["memory of IDs"]
    assert isinstance(value, Spread)
    assert value.parts == {
        Reserve("direct", None, (0x1000, 64)): ((0, 2),),
        Reserve("direct", None, (0x1000, 128)): ((2, 2),),
        Reserve("direct", None, (0x1040, 64)): ((4, 2),),
    }
    assert value.places_of({Reserve("direct", None, (0x1000, 128)): ((2, 1),)}) == (HERE, THERE)


def test_grants_are_sets_for_each_device() -> None:
    """What sets grant a device is one set for each permission; what no device has is of nobody."""
    picture = picture_of(
        Grant("s", 0x1000, 0x1000, read=True, write=True, devices=("a",), origin=HERE),
        Grant("t", 0x1800, 0x1000, read=True, write=False, devices=("a",), origin=HERE),
        Grant("u", 0x9000, 0x10, read=False, write=True, devices=(), origin=HERE),
        Grant("v", 0x9000, 0, read=True, write=True, devices=("b",), origin=HERE),
    )
    assert list(picture.of("grants")) == ["a", ""]
    assert parts(picture, "grants", "a", "memory") == {"read": ((0x1000, 0x1800),), "write": ((0x1000, 0x1000),)}
    assert parts(picture, "grants", "", "memory") == {"write": ((0x9000, 0x10),)}


def test_the_machine_is_its_facts() -> None:
    """Facts of the machine are words by their name; one that is said twice has both values."""
    facts = [
        Fact("opt-in", value=True, origin=HERE),
        Fact("width", value=48, origin=HERE),
        Fact("width", value=39, origin=THERE),
    ]
    picture = picture_of(*facts)
    assert words(picture, "machine", "", "opt-in") == ["yes"]
    assert words(picture, "machine", "", "width") == ["48", "39"]


def test_functions_are_called_what_they_are() -> None:
    """A PCI function is known by vendor, device and class; one of which nothing is known has no word for it."""
    picture = picture_of(function(8, "8086:1234"), function(16), root(), unit(), takes(0, 32))
    assert words(picture, "device", "0000:00:01.0", "function") == ["8086:1234 NVMe controller"]
    assert "function" not in picture.items[Subject("device", "0000:00:02.0")].fields


def test_no_value_of_a_picture_is_empty() -> None:
    """Of every fixture, no field holds an empty set: a field that says nothing is not there."""
    for name, picture in fixture_pictures().items():
        for subject, item in picture.items.items():
            for field, value in item.fields.items():
                said = value.said if isinstance(value, Many) else value.parts if isinstance(value, Spread) else True
                assert said, (name, subject, field)


def test_origins_are_not_compared() -> None:
    """Pictures with the same meaning from other places are equal; with other names for things they are not."""
    assert Item({"a": Many({"x": (HERE,)})}, (HERE,)) == Item({"a": Many({"x": (THERE,)})})
    picture = Picture({Subject("unit", "u"): Item({})})
    assert picture.renamed({}) is picture
    assert picture.renamed({"u": "v"}) == Picture({Subject("unit", "v"): Item({})})
