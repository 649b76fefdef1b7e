"""What becomes of all requester IDs of a segment, in ranges: held to following each ID."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.base import Origin
from iommuman.topology import IdMap, Iommu, PciRoot, Topology, load_topology, route_rid
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.segment import Interval, intervals

from tests.conftest import BOARDS, HANDMADE

HERE = Origin("t")
FOLDERS = sorted(path for path in (*BOARDS.iterdir(), *HANDMADE.iterdir()) if path.is_dir() and path.name != "damaged")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_ranges_are_what_each_id_comes_to(folder: Path) -> None:
    """Every requester ID has the unit and ID of its range, and the ranges leave none out and take none twice."""
    board = load_topology([str(folder)])
    for segment in {root.segment for root in board.roots.values()}:
        found = None if segment is None else intervals(board, segment)
        if segment is None or found is None:
            continue
        assert [one.first for one in found] == [0, *(one.last + 1 for one in found[:-1])]
        assert found[-1].last == 0xFFFF
        for one in found:
            for rid in {
                one.first,
                one.last,
                (one.first + one.last) // 2,
                *range(one.first, min(one.first + 40, one.last)),
            }:
                route = route_rid(board, segment, rid)
                if one.unsure:
                    assert route.verdict in ("unresolved", "controlled", "no-iommu")
                    continue
                unit = route.iommu if route.verdict in ("controlled", "disabled") else None
                assert unit == one.iommu
                part = one.part(rid, rid)
                assert (part.first, part.last, part.stream) == (rid, rid, route.stream)


def board(*maps: IdMap, first_bus: int = 0) -> Topology:
    """Return a topology of one root and one unit."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("root", HERE, 0, first_bus))
    builder.iommus.append(Iommu("unit", "smmuv3", HERE))
    builder.maps += maps
    return Topology(builder)


def id_map(base: int, length: int, output: int | None, **more: object) -> IdMap:
    """Return a map from the root."""
    return IdMap("root", "unit", base, length, output, HERE, "x", **more)  # type: ignore[arg-type]


def short(found: list[Interval] | None) -> list[tuple[int, int, int | None, int]]:
    """Return the ranges that have a unit."""
    return [(one.first, one.last, one.stream, one.step) for one in found or [] if one.iommu]


def test_neighbours_are_joined_when_the_same_holds() -> None:
    """Two maps that go on where the other ends are one range; so are those that give all the same ID, or none."""
    assert short(intervals(board(id_map(0, 8, 0x100), id_map(8, 8, 0x108)), 0)) == [(0, 15, 0x100, 1)]
    assert short(intervals(board(id_map(0, 8, 0x100), id_map(8, 8, 0x109)), 0)) == [(0, 7, 0x100, 1), (8, 15, 0x109, 1)]
    assert short(intervals(board(id_map(0, 1, 5), id_map(1, 1, 5), id_map(2, 1, 5)), 0)) == [(0, 2, 5, 0)]
    assert short(intervals(board(id_map(0, 8, None), id_map(8, 8, None)), 0)) == [(0, 15, None, 0)]
    assert short(intervals(board(id_map(0, 1, 7, single=True)), 0)) == [(0, 0xFFFF, 7, 0)]
    assert short(intervals(board(id_map(0, 1, 7, single=True), first_bus=255), 0)) == [(0xFF00, 0xFFFF, 7, 0)]


def test_a_map_of_no_ids_makes_no_range() -> None:
    """A map of length 0, which boot loaders fill in later, holds no ID, not even the one before its first."""
    assert [one.first for one in intervals(board(id_map(0, 0, 0)), 0) or []] == [0]


def test_messages_and_masks() -> None:
    """Maps of messages do not count; a mask of maps that do scatters the IDs."""
    assert short(intervals(board(id_map(0, 8, 0, carries="msi", mask=0xFF)), 0)) == []
    assert intervals(board(id_map(0, 8, 0, mask=0xFF)), 0) is None
    assert short(intervals(board(id_map(0, 8, 0, mask=0xFFFF)), 0)) == [(0, 7, 0, 1)]
