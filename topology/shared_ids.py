"""Which devices have an ID at a unit in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..base import Origin
from .resolve import Route
from .view import Attachment

MOST_MASKS = 128
"""Different sets of ignored bits that are told apart at one unit: an SMMUv2 has at most 128 stream match registers
(IHI 0062D §9.5.4). Of more, all bits that any of them ignores count as ignored."""

MOST_NUMBERS = 4096
"""IDs of one range that are held against IDs of which bits are ignored."""


@dataclass(frozen=True, slots=True)
class SharedId:
    """Devices that a unit cannot tell apart by an ID.

    Attributes:
        unit: name of the IOMMU.
        stream: an ID that they have in common; None when the unit knows no IDs.
        devices: two or more, each once.
        bridges: for each, the bridge that gives it this ID, which is itself for the bridge; empty for its own.
        ignored: bits that the unit ignores, when it is only for these that the IDs are one.
        by_map: whether one map gives one ID to several requester IDs.
        rule: kind of the entry that gives the last of them the ID.
        origin: that entry.
    """

    unit: str
    stream: int | None
    devices: tuple[str, ...]
    bridges: tuple[str, ...]
    ignored: int = 0
    by_map: bool = False
    rule: str = ""
    origin: Origin | None = None


_Entry = tuple[str, Route]


def shared_ids(members: Sequence[Attachment]) -> Iterator[SharedId]:
    """Iterate over what devices share; three that overlap in turn may come as two pairs."""
    units: dict[str, list[_Entry]] = {}
    for one in members:
        for route in one.routes:
            if route.verdict == "controlled" and route.iommu is not None:
                units.setdefault(route.iommu, []).append((one.device.name, route))
    for unit, entries in units.items():
        if any(route.stream is None for _, route in entries):
            yield from _shared(unit, None, entries)
            continue
        yield from _ranges(unit, [one for one in entries if not _masked(one[1])])
        yield from _under_masks(unit, entries)


def _masked(route: Route) -> bool:
    return bool(route.ignored_bits) and route.count == 1


def _ranges(unit: str, entries: list[_Entry]) -> Iterator[SharedId]:
    """Yield what overlaps among IDs and ranges of IDs."""
    ordered = sorted(entries, key=lambda one: one[1].stream or 0)
    index = 0
    while index < len(ordered):
        together = [ordered[index]]
        start = ordered[index][1].stream or 0
        end = start + ordered[index][1].count
        last = start
        index += 1
        while index < len(ordered) and (ordered[index][1].stream or 0) < end:
            route = ordered[index][1]
            together.append(ordered[index])
            last = route.stream or 0
            end = max(end, last + route.count)
            index += 1
        yield from _shared(unit, last, together)


def _under_masks(unit: str, entries: list[_Entry]) -> Iterator[SharedId]:
    """Yield what is one only because bits are ignored: two IDs that differ in bits that one or the other ignores."""
    masks = sorted({route.ignored_bits for _, route in entries if _masked(route)})
    if not masks:
        return
    every = 0
    if len(masks) > MOST_MASKS:
        for mask in masks:
            every |= mask
        masks = [every]
    by_mask: dict[int, list[tuple[int, _Entry]]] = {}
    for one in entries:
        route, start = one[1], one[1].stream or 0
        mask = every or route.ignored_bits if _masked(route) else 0
        numbers = range(start, start + min(route.count, MOST_NUMBERS))
        by_mask.setdefault(mask, []).extend((number, one) for number in numbers)
    for mask, other in [(mask, other) for mask in masks for other in by_mask if other <= mask]:
        alike: dict[int, list[tuple[int, _Entry]]] = {}
        for pair in by_mask[mask]:
            alike.setdefault(pair[0] & ~(mask | other), []).append(pair)
        met = set(alike) if other == mask else set()
        for number, one in by_mask[other] if other != mask else ():
            key = number & ~(mask | other)
            if key in alike:  # those of one mask alone are compared under that
                alike[key].append((number, one))
                met.add(key)
        for found in (found for key, found in alike.items() if key in met):
            same = len({number for number, _ in found}) == 1
            yield from _shared(unit, found[0][0], [one for _, one in found], 0 if same else mask | other)


def _shared(unit: str, stream: int | None, entries: list[_Entry], ignored: int = 0) -> Iterator[SharedId]:
    """Yield what the entries share, if they are of two devices at least."""
    names: dict[str, Route] = {}
    for name, route in entries:
        names.setdefault(name, route)
    if len(names) < 2:  # noqa: PLR2004 - one device shares nothing
        return
    found = list(names.values())
    hops = [route.hops[-1] for route in found if route.hops]
    requesters = {route.requester for route in found}
    bridges = {route.bridge for route in found if route.bridge}
    yield SharedId(
        unit,
        stream,
        tuple(names),
        tuple(route.bridge or (name if name in bridges else "") for name, route in names.items()),
        ignored,
        len(hops) == len(found) and len({hop.origin for hop in hops}) == 1 and len(requesters) > 1,
        hops[-1].rule if hops else "",
        hops[-1].origin if hops else None,
    )
