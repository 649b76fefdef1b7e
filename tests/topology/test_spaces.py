"""What becomes of all requester IDs at once: the same as what becomes of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.topology import (
    IdMap,
    MsiController,
    PciRoot,
    Route,
    Topology,
    UnresolvedScope,
    route_rid,
    route_root_rid,
)
from iommuman.topology.diff.values import Ways
from iommuman.topology.resolve import match
from iommuman.topology.spaces import ALL_RIDS, Segment, Way, painted, root_ways, segment_ways, within

from tests.topology.diff.boards import HERE, board, fixture_topologies, function, root, takes, unit


def agrees(
    found: tuple[Sequence[Segment], Sequence[Segment]], resolve: Callable[[int], Route], numbers: Iterable[int]
) -> bool:
    """Tell whether ways say of each number what resolving it says."""
    assert [one.first for one in found[0]] == [0, *(one.end for one in found[0][:-1])]
    assert found[0][-1].last == ALL_RIDS - 1
    dma, interrupts = map(Ways, found)
    for number in numbers:
        route = resolve(number)
        way = dma.at(number)
        assert way is not None
        assert (way.verdict, way.target, way.at(number), way.ignored) == (
            (route.verdict, route.iommu, route.stream, route.ignored_bits)
        ), hex(number)
        message = interrupts.at(number)
        assert bool(route.msi_hops) == (message is not None), hex(number)
        if message is not None:
            last = route.msi_hops[-1]
            assert (message.target, message.at(number)) == (last.target, last.target_id), hex(number)
    return True


def edges(topology: Topology) -> list[int]:
    """Return the requester IDs at and beside the ends of all maps and buses, and some between."""
    found = {0, ALL_RIDS - 1, *range(0, ALL_RIDS, 251)}
    for one in topology.maps[:500]:
        for place in (one.base, one.base + one.length):
            found |= {place - 1, place, place + 1}
    for pci_root in topology.roots.values():
        found |= {pci_root.first_bus << 8, (pci_root.first_bus << 8) - 1, pci_root.last_bus + 1 << 8}
    return sorted(number for number in found if 0 <= number < ALL_RIDS)


def check(topology: Topology, numbers: Iterable[int] | None = None) -> None:
    """Hold all ID spaces of a topology to what resolving says."""
    numbers = edges(topology) if numbers is None else list(numbers)
    segments = dict.fromkeys(one.segment for one in topology.roots.values() if one.segment is not None)
    for segment in segments:
        assert agrees(segment_ways(topology, segment), partial(route_rid, topology, segment), numbers)
    for one in topology.roots.values():
        if one.segment is None:
            assert agrees(root_ways(topology, one), partial(route_root_rid, topology, one), numbers)


@pytest.mark.parametrize("name", fixture_topologies())
def test_fixtures_agree_at_and_beside_every_edge(name: str) -> None:
    """For every fixture, ranges say what resolving one ID says, at and beside the ends of all maps."""
    check(fixture_topologies()[name])


@pytest.mark.parametrize("name", ["dt-masks", "dmar-two-hop-blind"])
def test_some_fixtures_agree_at_every_id(name: str) -> None:
    """For a fixture of each kind, ranges say of each of the 65,536 IDs what resolving it says."""
    check(fixture_topologies()[name], range(ALL_RIDS))


SMALL = st.integers(0, 24)
MAPS = st.builds(
    lambda base, length, output, target, carries, single, fallback, tentative, mask, ignored: IdMap(
        "pci:0000",
        target,
        base,
        length,
        output,
        HERE,
        "INCLUDE_PCI_ALL" if fallback else "test",
        carries,
        single,
        fallback,
        tentative,
        mask,
        ignored,
    ),
    SMALL,
    st.integers(0, 16),
    st.one_of(st.none(), st.integers(0, 64)),
    st.sampled_from(["vtd@1000", "vtd@2000", "node", "its", None]),
    st.sampled_from(["dma", "msi", "both"]),
    st.sampled_from([False] * 9 + [True]),
    st.sampled_from([False] * 9 + [True]),
    st.booleans(),
    st.sampled_from([0xFFFFFFFF, 0xFFFFFFFF, 0xFFF8, 0x7, 0]),
    st.sampled_from([0, 0, 3]),
)
LATER = st.builds(
    lambda source, one: IdMap(
        source, one.target, one.base, one.length, one.output, HERE, "later", one.carries, one.single,
        tentative_last=one.tentative_last, mask=one.mask,
    ),
    st.sampled_from(["vtd@1000", "node"]),
    MAPS,
)  # fmt: skip
SCOPES = st.builds(
    lambda bus, path, kind, iommu: UnresolvedScope("unit", iommu, 0, bus, (path,), kind, "unknown", HERE),
    st.integers(0, 2),
    st.tuples(st.integers(0, 3), st.integers(0, 7)),
    st.sampled_from(["endpoint", "sub-hierarchy"]),
    st.sampled_from(["vtd@1000", None]),
)


@given(
    st.lists(MAPS, max_size=6),
    st.lists(LATER, max_size=4),
    st.lists(SCOPES, max_size=2),
    st.lists(st.tuples(st.sampled_from([0, 0, 1, None]), st.integers(0, 2), st.booleans()), min_size=1, max_size=3),
    st.sampled_from(["", "nothing could name one"]),
)
def test_any_maps_agree(
    maps: list[IdMap],
    later: list[IdMap],
    scopes: list[UnresolvedScope],
    roots: list[tuple[int | None, int, bool]],
    silence: str,
) -> None:
    """Whatever the maps, roots and open scopes are, ranges say what resolving one ID says."""
    names = ["pci:0000", "pci:0000#2", "pci:0000#3"]
    records = [
        PciRoot(name, HERE, segment, first, first + 1, enabled)
        for name, (segment, first, enabled) in zip(names, roots, strict=False)
    ]
    second = [takes(3, 0x300, 7, "vtd@2000", source=records[-1].name)]
    units = [unit(), unit(0x2000, enabled=False), MsiController("its", "its", HERE)]
    topology = board([*records, *units, *maps, *later, *second, *scopes, function(0x18), function(0x909)], silence)
    check(topology, [*range(64), *range(0xF8, 0x140), *range(0x2F8, 0x310), 0xFFFF])


def test_ids_beyond_32_bits_are_looked_at_without_the_rest() -> None:
    """An ID that a map has lifted over 32 bits is matched by its lower 32 at the next, as resolving does."""
    topology = board(
        [
            root(),
            unit(),
            takes(0, 0x100, 0xFFFFFFF0, "node"),
            takes(0, 0x20, 0x500, source="node"),
            takes(0xFFFFFFF0, 8, 0x900, source="node"),
        ]
    )
    check(topology, range(0x100))
    assert Ways(segment_ways(topology, 0)[0]).at(0x10) == Way("controlled", "vtd@1000", 0x4F0)


@pytest.mark.parametrize("masks", [(0xFFF8, 0xFFFFFFFF), (0xFFFFFFFF, 0x3C), (0xF0, 0x3C)])
def test_masks_on_the_way(masks: tuple[int, int]) -> None:
    """IDs that pass two maps of which one looks at some bits only are followed one by one, as resolving does."""
    topology = board(
        [
            root(),
            unit(),
            takes(0, 0x80, 0x10, "node", mask=masks[0]),
            takes(0, 0x18, 0x500, source="node", mask=masks[1]),
            takes(0x20, 0x40, 0x900, source="node"),
        ]
    )
    check(topology, range(0x200))


def test_maps_that_lead_in_a_circle_are_no_iommu() -> None:
    """A circle of maps ends with no IOMMU, and interrupts are lost in one."""
    topology = board([root(), unit(), takes(0, 8, 0, "node"), takes(0, 8, 0, "other", source="node"),
                      takes(0, 8, 0, "node", source="other")])  # fmt: skip
    check(topology, range(16))


def test_functions_of_no_root_have_their_own_interrupts() -> None:
    """A function on a bus that no root has is known for its interrupts when it has a map of its own."""
    topology = board(
        [
            root(first_bus=1, last_bus=1),
            MsiController("its", "its", HERE),
            function(0x18),
            takes(0, 0x10000, 0x40, "its", source="0000:00:03.0", carries="msi"),
        ]
    )
    check(topology, range(0x200))
    interrupts = segment_ways(topology, 0)[1]
    assert [(one.first, one.length, one.stream) for one in interrupts] == [(0x18, 1, 0x58)]


@given(st.lists(MAPS, max_size=8))
def test_painting_is_matching(maps: list[IdMap]) -> None:
    """Painting maps over a range gives each ID the map that matching the ID gives."""
    found = painted(maps, "dma", 0, 64)
    for number in range(64):
        taken = [one for first, length, one in found if first <= number < first + length]
        expected = match(maps, number, "dma")
        assert taken == ([] if expected is None else [expected])


def test_a_segment_with_many_ranges_takes_time_in_proportion() -> None:
    """A root with 60,000 ranges is followed at once, and not range by range for each of them."""
    maps = [takes(number, 1 + number % 3, number + 5, rule="range") for number in range(60000)]
    ways = segment_ways(board([root(), unit(), *maps]), 0)[0]
    assert [(one.first, one.length, one.way.shift) for one in ways] == [(0, 60002, 5), (60002, 5534, None)]


def test_many_ranges_under_a_mask_take_time_in_proportion() -> None:
    """A root with 20,000 entries and a mask that scatters IDs is followed at once, however often it claims an ID."""
    maps = [takes(number % 64, 0x10000, 5, mask=0x5555) for number in range(20000)]
    ways = segment_ways(board([root(), unit(), *maps]), 0)[0]
    assert Ways(ways).at(0x5555) == Way("controlled", "vtd@1000", 5, 0x5555)


def test_steps_and_parts_of_segments() -> None:
    """IDs of a segment go up one by one, are all one, or neither; a part of one begins with its own ID."""
    plain = Segment(0x10, 0x10, Way("controlled", "u", 0x100))
    assert (plain.last, plain.end, plain.stream, plain.step) == (0x1F, 0x20, 0x110, 1)
    assert (plain.part(0x18, 0x1A).stream, plain.part(0x18, 0x1A).length) == (0x118, 2)

    def step(first: int, length: int, mask: int) -> int | None:
        return Segment(first, length, Way("controlled", "u", 0, mask)).step

    assert [step(0, 0x10000, 0), step(5, 1, 0), step(8, 8, 0xFFF8), step(9, 2, 0xFFF8)] == [0, 0, 0, 0]
    assert [step(7, 2, 0xFFF8), step(8, 16, 0xFFF8), step(0, 8, 0xFF), step(5, 1, 0xFF)] == [None, None, None, None]


def test_what_is_within_a_range() -> None:
    """Segments are cut at the ends of a range; those that only touch it are left out."""
    way = Way("controlled", "u", 0)
    segments = [Segment(0, 4, way), Segment(4, 4, way), Segment(12, 4, way)]
    assert [(one.first, one.length) for one in within(segments, 2, 4)] == [(2, 2), (4, 2)]
    assert [(one.first, one.length) for one in within(segments, 4, 9)] == [(4, 4), (12, 1)]
    assert list(within(segments, 8, 4)) == []


def test_a_map_of_no_ids_makes_no_segment() -> None:
    """A map of length 0, which boot loaders fill in later, holds no ID, not even the one before its first."""
    assert [(one.first, one.length) for one in segment_ways(board([root(), unit(), takes(0, 0, 0)]), 0)[0]] == [
        (0, ALL_RIDS)
    ]
