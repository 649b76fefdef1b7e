"""Ranges of PCI functions in a configuration: `device pci:0:0.0-255:31.7 use vtd0`.

A range is laid over the maps of the segment's PCI roots, so that it holds for functions of which no source tells as
well. What one device says goes before what a range says, and a later range before an earlier one. Functions whose
requests carry an ID from outside the range, as bridges make them, get maps of their own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from ...base import RangeSet, format_pci_address, format_rid, parse_pci_address
from ...parsers.smmu_config import DeviceEntry, PciSpec
from ..aliases import requesters
from ..model import Device, IdMap
from ..resolve import routes
from ..spaces import ALL_RIDS, Segment, segment_ways, within
from .uses import RULE, Wanted, wanted_uses, words
from .work import Work

LayOver = Callable[[Work, Device, list[Wanted]], None]
"""Gives one device the maps that uses come to."""

MOST = 3
"""Places that a conflict names."""


class _Range(NamedTuple):
    """A range whose unit is known: what it says, its requester IDs, and the parts that nothing more exact takes."""

    entry: DeviceEntry
    use: Wanted
    spec: PciSpec
    parts: RangeSet

    def use_of(self, rid: int, length: int = 1) -> Wanted:
        """Return the use of some of its requester IDs."""
        if self.use.first is None:
            return self.use
        if self.use.length == 1:
            return self.use
        return self.use._replace(first=self.use.first + rid - self.spec.first, length=length)


def add_ranges(
    work: Work, entries: Sequence[tuple[DeviceEntry, PciSpec]], exact: Iterable[tuple[int, int]], lay_over: LayOver
) -> list[tuple[DeviceEntry, tuple[str, ...]]]:
    """Add ranges; returns each with the names of the known functions in it.

    Args:
        work: the merge.
        entries: devices that are ranges of PCI functions, each with its range.
        exact: segment and requester ID of each function with uses of its own.
        lay_over: gives one function its maps.
    """
    functions = _functions(work)
    claimed: dict[int, RangeSet] = {}
    for segment, rid in exact:
        claimed.setdefault(segment, RangeSet()).add(rid, 1)
    for root in work.builder.roots:
        if root.segment is not None and root.enabled:
            work.roots.setdefault(root.segment, []).append(root)
    known: dict[int, tuple[Segment, ...]] = {}
    found, laid = [], []
    for entry, spec in reversed(entries):
        inside = _inside(functions.get(spec.segment, []), spec)
        taken = claimed.setdefault(spec.segment, RangeSet())
        parts = RangeSet([(spec.first, spec.last - spec.first + 1)])
        for start, length in taken.overlapping(spec.first, spec.last - spec.first + 1):
            parts.remove(start, length)
        use = _use(work, entry, spec)
        if use is not None:
            if spec.segment not in known:
                known[spec.segment], _ = segment_ways(work.board, spec.segment)
            one = _Range(entry, use, spec, parts)
            taken.add(spec.first, spec.last - spec.first + 1)
            free = [device for device in inside if device.rid is not None and device.rid in parts]
            laid.append((one, free, _lay_range(work, one, known[spec.segment], free)))
        found.append((entry, tuple(device.name for device in inside)))
    for one, free, same in laid:  # when all maps of roots are there
        for device in free:
            if _needs_own(work, one, device, same=same):
                lay_over(work, device, [one.use_of(device.rid or 0)])
    return found


def _functions(work: Work) -> dict[int, list[Device]]:
    """Return the known functions of each segment, by requester ID."""
    found: dict[int, list[Device]] = {}
    for device in work.builder.devices.values():
        if device.segment is not None and device.rid is not None:
            found.setdefault(device.segment, []).append(device)
    for devices in found.values():
        devices.sort(key=lambda one: one.rid or 0)
    return found


def _inside(functions: list[Device], spec: PciSpec) -> list[Device]:
    """Return the functions of a range."""
    low = bisect_left(functions, spec.first, key=lambda one: one.rid or 0)
    return functions[low : bisect_right(functions, spec.last, key=lambda one: one.rid or 0)]


def _use(work: Work, entry: DeviceEntry, spec: PciSpec) -> Wanted | None:
    """Return the one use of a range; None when there is none, or none that can be."""
    found = wanted_uses(work, entry.uses, pci=True)
    if len(found) > 1:
        advice = "the last is taken; name functions one by one for more"
        work.report("CONFIG-RANGE-USE", "warning", found[0].origin, "a range of functions has one unit", advice=advice)
    use = found[-1] if found else None
    length = spec.last - spec.first + 1
    if use is not None and use.length not in (1, length):
        work.report(
            "CONFIG-RANGE-USE", "error", use.origin, "the numbers of IDs and functions differ", found=str(use.length),
            expected=f"{length}, or one ID for all", advice="it is left out",
        )  # fmt: skip
        return None
    return use


def _lay_range(work: Work, one: _Range, board: tuple[Segment, ...], functions: list[Device]) -> bool:
    """Lay one range over the board's maps, unless these say the same; tell whether they do."""
    pieces = [piece for part in one.parts for piece in within(board, *part)]
    same = all(_same(one, piece) for piece in pieces)
    if not same:
        _conflict(work, one, pieces)
        _place(work, one, pieces, functions)
    return same


def _needs_own(work: Work, one: _Range, device: Device, *, same: bool) -> bool:
    """Tell whether the maps of roots alone do not take a function of a range where the range says."""
    if same or work.keep:
        found = routes(work.board, device)
        elsewhere = any(route.verdict == "controlled" and route.iommu != one.use.unit for route in found)
        return elsewhere or is_moved(work, device)
    return any(alias not in one.parts for alias in _sent(work, device))


def is_moved(work: Work, device: Device) -> bool:
    """Tell whether a range has taken an ID that a function's requests carry, or that it follows, elsewhere."""
    if device.rid is None or device.segment not in work.moved:
        return False
    known = work.board.function(device.segment, device.rid)
    physical = parse_pci_address(known[1].physfn or "") if known else None
    rids = [*_sent(work, device), *([physical[1]] if physical else [])]
    return any(rid in work.moved[device.segment] for rid in rids)


def _same(one: _Range, piece: Segment) -> bool:
    """Tell whether the board says of requester IDs what the range says."""
    if piece.way.target != one.use.unit or piece.way.verdict == "unresolved" or one.use.ignored_bits:
        return False
    wanted = one.use_of(piece.first).first
    if wanted is None:
        return True
    step = 0 if one.use.length == 1 else 1
    return piece.stream == wanted and (piece.step == step or piece.length == 1)


def _conflict(work: Work, one: _Range, pieces: list[Segment]) -> None:
    """Report which of the board's maps a range differs from."""
    differing = [piece for piece in pieces if piece.way.target is not None and not _same(one, piece)]
    if not differing:
        return
    units = " and ".join(dict.fromkeys(piece.way.target or "" for piece in differing))
    places = list(dict.fromkeys(piece.origins[0] for piece in differing))
    parts = 1 + sum(
        (before.end, before.way.target) != (piece.first, piece.way.target) for before, piece in pairwise(differing)
    )
    what = f"{format_pci_address(one.spec.segment, one.spec.first)}-{format_rid(one.spec.last)}"
    told = f"{parts} part{'s use' if parts > 1 else ' uses'} {units}"
    kept = "the board's word stays, and what it leaves open is taken from here"
    work.conflict(one.use.origin, what, words([one.use]), told, places[:MOST], kept)


def _place(work: Work, one: _Range, pieces: list[Segment], functions: list[Device]) -> None:
    """Add the maps of a range to the roots of its segment: before the board's, or where the board says nothing."""
    room = RangeSet(one.parts)
    if work.keep:
        room = RangeSet((piece.first, piece.length) for piece in pieces if not piece.origins)
        for device in functions:
            if any(route.verdict == "controlled" for route in routes(work.board, device)):
                room.remove(device.rid or 0, 1)
    else:
        for start, length in room:
            work.moved.setdefault(one.spec.segment, RangeSet()).add(start, length)
    for root in work.roots.setdefault(one.spec.segment, []):
        first, length = root.first_bus << 8, max(0, root.last_bus - root.first_bus + 1) << 8
        _map(work, one, root.name, room.overlapping(first, length))
        room.remove(first, length)
    left = room.overlapping(0, ALL_RIDS)
    if left:
        _map(work, one, work.builder.add_root(one.spec.segment, one.entry.origin), left)
        work.roots[one.spec.segment].append(work.builder.roots[-1])


def _map(work: Work, one: _Range, root: str, room: list[tuple[int, int]]) -> None:
    """Add maps of a root for some requester IDs of a range."""
    for start, length in room:
        blocks = [(start, length, 0xFFFFFFFF)]
        if one.use.first is not None and one.use.length == 1 and length > 1:
            blocks = [(low, 1, 0xFFFFFFFF & ~(size - 1)) for low, size in _aligned(start, length)]
        for low, count, mask in blocks:
            use = one.use_of(low)
            output = low if use.first is None else use.first
            new = IdMap(
                root, use.unit, low, count, output, use.origin, RULE, mask=mask, ignored_bits=use.ignored_bits
            )  # fmt: skip
            (work.back if work.keep else work.front).append(new)


def _aligned(start: int, length: int) -> Iterator[tuple[int, int]]:
    """Cut a range into blocks whose size is a power of two and whose start is a multiple of it."""
    while length:
        size = 1 << min((start & -start).bit_length() - 1 if start else 16, length.bit_length() - 1)
        yield start, size
        start, length = start + size, length - size


def _sent(work: Work, device: Device) -> list[int]:
    """Return the requester IDs of a function's requests."""
    known = work.board.function(device.segment or 0, device.rid or 0)
    return [one.rid for one in requesters(*known)] if known else [device.rid or 0]
