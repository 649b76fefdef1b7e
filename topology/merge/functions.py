"""Ranges of PCI functions in a configuration: `device pci:0:0.0-255:31.7 use vtd0`.

A range is laid over the maps of the segment's PCI roots, so that it holds for functions of which no source tells as
well. What one device says goes before what a range says, and a later range before an earlier one. Functions whose
requests carry an ID from outside the range, as bridges make them, get maps of their own.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from ...base import RangeSet, format_pci_address, format_rid
from ...parsers.smmu_config import DeviceEntry, PciSpec
from ..aliases import requesters
from ..model import Device, IdMap
from ..resolve import routes
from ..segment import RIDS, Interval, intervals
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
    work: Work, entries: Sequence[tuple[DeviceEntry, PciSpec]], named: Collection[str], lay_over: LayOver
) -> Iterator[tuple[DeviceEntry, tuple[str, ...]]]:
    """Add ranges; yields each with the names of the known functions in it.

    Args:
        work: the merge.
        entries: devices that are ranges of PCI functions, each with its range.
        named: names of devices with uses of their own.
        lay_over: gives one function its maps.
    """
    functions = _functions(work)
    claimed: dict[int, RangeSet] = {}
    for name in named:
        device = work.builder.devices.get(name)
        if device is not None and device.rid is not None:
            claimed.setdefault(device.segment or 0, RangeSet()).add(device.rid, 1)
    known: dict[int, list[Interval] | None] = {}
    for entry, spec in reversed(entries):
        inside = _inside(functions.get(spec.segment, []), spec)
        taken = claimed.setdefault(spec.segment, RangeSet())
        parts = RangeSet([(spec.first, spec.last - spec.first + 1)])
        for start, length in taken.overlapping(spec.first, spec.last - spec.first + 1):
            parts.remove(start, length)
        use = _use(work, entry, spec)
        if use is not None:
            if spec.segment not in known:
                known[spec.segment] = intervals(work.board, spec.segment)
            one = _Range(entry, use, spec, parts)
            taken.add(spec.first, spec.last - spec.first + 1)
            free = [device for device in inside if device.rid is not None and device.rid in parts]
            _lay_range(work, one, known[spec.segment], free, lay_over)
        yield entry, tuple(device.name for device in inside)


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
        work.report("CONFIG-RANGE", "warning", found[0].origin, "a range of functions has one unit", advice=advice)
    use = found[-1] if found else None
    length = spec.last - spec.first + 1
    if use is not None and use.length not in (1, length):
        work.report(
            "CONFIG-RANGE", "error", use.origin, "the numbers of IDs and functions differ", found=str(use.length),
            expected=f"{length}, or one ID for all", advice="it is left out",
        )  # fmt: skip
        return None
    return use


def _lay_range(
    work: Work, one: _Range, board: list[Interval] | None, functions: list[Device], lay_over: LayOver
) -> None:
    """Lay one range over the board's maps."""
    pieces = None if board is None else [
        interval.part(start, start + length - 1)
        for start, length in one.parts
        for interval in board
        if interval.first < start + length and start <= interval.last
    ]  # fmt: skip
    same = pieces is not None and all(_same(one, piece) for piece in pieces)
    if not same:
        _conflict(work, one, pieces or [])
        _place(work, one, pieces, functions)
    for device in functions:
        rid = device.rid or 0
        found = routes(work.board, device)
        elsewhere = any(route.verdict == "controlled" and route.iommu != one.use.unit for route in found)
        outside = any(alias not in one.parts for alias in _sent(work, device))
        if elsewhere if same or work.keep else outside:
            lay_over(work, device, [one.use_of(rid)])


def _same(one: _Range, piece: Interval) -> bool:
    """Tell whether the board says of an interval what the range says."""
    if piece.iommu != one.use.unit or piece.unsure or one.use.ignored_bits:
        return False
    wanted = one.use_of(piece.first).first
    if wanted is None:
        return True
    step = 0 if one.use.length == 1 else 1
    return piece.stream == wanted and (piece.step == step or piece.first == piece.last)


def _conflict(work: Work, one: _Range, pieces: list[Interval]) -> None:
    """Report which of the board's maps a range differs from."""
    differing = [piece for piece in pieces if piece.iommu is not None and not _same(one, piece)]
    if not differing:
        return
    units = " and ".join(dict.fromkeys(piece.iommu or "" for piece in differing))
    places = [piece.map.origin for piece in differing if piece.map is not None]
    what = f"{format_pci_address(one.spec.segment, one.spec.first)}-{format_rid(one.spec.last)}"
    told = f"{len(differing)} part{'s use' if len(differing) > 1 else ' uses'} {units}"
    work.conflict(one.use.origin, what, words([one.use]), told, places[:MOST])


def _place(work: Work, one: _Range, pieces: list[Interval] | None, functions: list[Device]) -> None:
    """Add the maps of a range to the roots of its segment: before the board's, or where the board says nothing."""
    room = RangeSet(one.parts)
    if work.keep:
        room = RangeSet((piece.first, piece.last - piece.first + 1) for piece in pieces or [] if piece.map is None)
        for device in functions:
            if any(route.verdict == "controlled" for route in routes(work.board, device)):
                room.remove(device.rid or 0, 1)
    for root in work.builder.roots:
        if root.segment == one.spec.segment and root.enabled:
            first, length = root.first_bus << 8, root.last_bus - root.first_bus + 1 << 8
            _map(work, one, root.name, room.overlapping(first, length))
            room.remove(first, length)
    left = room.overlapping(0, RIDS)
    if left:
        _map(work, one, work.builder.add_root(one.spec.segment, one.entry.origin), left)


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
