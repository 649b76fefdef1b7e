"""Reserved memory as sets: of addresses for each device, and of IDs for each region of an IOMMU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...base import Origin
from ..model import ReservedRegion, StreamRange
from .values import Ranges, Reserve, Said, ranges

_COSMETIC = ("node",)


def region_piece(region: ReservedRegion) -> Said:
    """Return what a region says of the addresses in it."""
    return _label(region), region.start, region.length, region.origin


def _label(region: ReservedRegion) -> Reserve:
    """Return what must hold for a region. Which kind of structure asks for it makes no difference."""
    facts = tuple(
        name if value is True else f"{name} {value}"
        for name, value in region.properties
        if value is not False and name not in _COSMETIC
    )
    shift = None if region.physical is None or region.meaning == "direct" else region.physical - region.start
    return Reserve(region.meaning, shift, None, facts)


def stream_pieces(regions: Sequence[ReservedRegion]) -> dict[str, list[Said]]:
    """Return, for each IOMMU, which IDs each region is for.

    Regions of the same IDs that touch or overlap become one, so that it does not matter how a table divides them: IDs
    are divided where any region's begin or end, and each such part has the union of what is said for it.
    """
    shared: dict[int, tuple[tuple[StreamRange, ...], list[ReservedRegion]]] = {}
    for region in regions:
        if region.streams and region.length > 0:
            # Many regions of one node have one list of IDs, the very same object.
            shared.setdefault(id(region.streams), (region.streams, []))[1].append(region)
    groups = list(shared.values())
    edges: dict[str, list[tuple[int, int, int]]] = {}
    for index, (streams, _) in enumerate(groups):
        for one in streams:
            if one.length > 0:
                edges.setdefault(one.iommu, []).append((one.base, 1, index))
                edges[one.iommu].append((one.base + one.length, -1, index))
    found: dict[str, list[Said]] = {}
    for unit, marks in edges.items():
        members: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        active: dict[int, int] = {}
        place = 0
        for number, step, index in sorted(marks):
            if number > place and active:
                members.setdefault(tuple(sorted(active)), []).append((place, number - place))
            place = number
            active[index] = active.get(index, 0) + step
            if not active[index]:
                del active[index]
        for indices, numbers in members.items():
            whole = [region for index in indices for region in groups[index][1]]
            found.setdefault(unit, []).extend(_regions_of(whole, ranges(*numbers)))
    return found


def _regions_of(regions: list[ReservedRegion], numbers: Ranges) -> Iterator[Said]:
    """Yield that some IDs are those of each region that stays when the given ones are united."""
    lists: dict[Reserve, list[ReservedRegion]] = {}
    for region in regions:
        lists.setdefault(_label(region), []).append(region)
    for label, members in lists.items():
        for start, length in ranges(*((one.start, one.length) for one in members)):
            whole = Reserve(label.meaning, label.shift, (start, length), label.facts)
            origins: dict[Origin, None] = dict.fromkeys(
                one.origin for one in members if start <= one.start < start + length
            )
            yield from ((whole, first, count, origin) for origin in origins for first, count in numbers)
