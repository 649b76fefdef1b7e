"""What becomes of all requester IDs of a PCI segment, range by range, whether or not functions with them are known."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from .model import IdMap
from .resolve import apply, match
from .topology import ALL_BITS, Topology

RIDS = 0x10000
"""Number of requester IDs of a segment."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Requester IDs in a row that the same map takes, or none.

    Attributes:
        first: first requester ID.
        last: last requester ID.
        map: the map that takes them; None when the board says nothing of them.
        iommu: name of the IOMMU; None when the map leads to none.
        stream: ID of `first` there; None when the IOMMU knows no IDs.
        step: by how much the ID grows from one requester ID to the next: 1, or 0 when all have the same.
        unsure: a scope that cannot be followed may hold some of them.
    """

    first: int
    last: int
    map: IdMap | None
    iommu: str | None
    stream: int | None
    step: int
    unsure: bool

    def part(self, first: int, last: int) -> Interval:
        """Return what is in both this interval and the given range, which touch."""
        low, high = max(first, self.first), min(last, self.last)
        stream = None if self.stream is None else self.stream + self.step * (low - self.first)
        return Interval(low, high, self.map, self.iommu, stream, self.step, self.unsure)


def intervals(topology: Topology, segment: int) -> list[Interval] | None:
    """Return what becomes of every requester ID of a segment; None when masks scatter them too much to say in ranges.

    Virtual functions that follow their physical one, and IDs that bridges change, are not looked at: these belong to
    functions, see `routes`.
    """
    roots = [root for root in topology.roots.values() if root.segment == segment and root.enabled]
    edges = {0, RIDS}
    for root in roots:
        edges |= {root.first_bus << 8, root.last_bus + 1 << 8}
        for one in topology.maps_from(root.name):
            if one.carries == "msi":
                continue
            if one.mask & (RIDS - 1) != ALL_BITS & (RIDS - 1):
                return None
            edges |= {one.base, one.base + one.length - 1, one.base + one.length}
    starts = sorted(edge for edge in edges if edge <= RIDS)
    buses = [scope.start_bus for scope in topology.unresolved if scope.iommu is not None and scope.segment == segment]
    found: list[Interval] = []
    for first, end in pairwise(starts):
        here = _interval(topology, segment, first, end - 1, min(buses, default=RIDS))
        if found and (joined := _joined(found[-1], here)) is not None:
            found[-1] = joined
        else:
            found.append(here)
    return found


def _interval(topology: Topology, segment: int, first: int, last: int, blind_from: int) -> Interval:
    """Return an interval whose requester IDs the same map takes."""
    held = None
    for root in topology.segment_roots(segment, first >> 8):
        held = match(topology.maps_for(root.name, first), first, "dma")
        if held is not None:
            break
    unsure = (held is None or held.fallback) and last >> 8 > blind_from
    if held is None or held.target not in topology.iommus:
        return Interval(first, last, held, None, None, 0, unsure)
    stream = apply(held, first)
    step = 0 if held.single or stream is None else 1
    return Interval(first, last, held, held.target, stream, step, unsure)


def _joined(one: Interval, other: Interval) -> Interval | None:
    """Return two neighbours as one when the same holds for both."""
    if (one.iommu, one.unsure, one.map is None) != (other.iommu, other.unsure, other.map is None):
        return None
    if one.iommu is None or one.stream is None or other.stream is None:
        same, step = one.stream == other.stream, 0
    else:
        steps = [step for step in (1, 0) if _fits(one, step) and _fits(other, step)]
        fitting = [step for step in steps if one.stream + step * (other.first - one.first) == other.stream]
        same, step = bool(fitting), next(iter(fitting), 0)
    if not same:
        return None
    return Interval(one.first, other.last, one.map, one.iommu, one.stream, step, one.unsure)


def _fits(one: Interval, step: int) -> bool:
    """Tell whether the IDs of an interval grow by this step; of a single one nobody can tell."""
    return one.first == one.last or one.step == step
