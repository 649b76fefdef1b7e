"""What becomes of every requester ID of a PCI ID space, as ranges.

`resolve` answers for one ID; here the maps of a root are laid over all 65,536 IDs at once, so that two tables that say
the same with other ranges give the same answer. The two must agree at every ID, and the tests hold them to it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..base import Origin, RangeSet
from .model import Carries, IdMap, PciRoot
from .resolve import INCLUDE_ALL, MOST_HOPS, match
from .topology import ALL_BITS, Topology

ALL_RIDS = 0x10000
"""Number of requester IDs of a PCI segment."""

WRAP = ALL_BITS + 1
"""Maps look at 32 bits of an ID: one that has more is looked at without them."""


@dataclass(frozen=True, slots=True)
class Way:
    """What becomes of the requester IDs of a range: ID `i` arrives at `target` as `(i & mask) + shift`.

    Attributes:
        verdict: see `resolve.Verdict`; `msi` or `no-msi` for the ways of interrupts.
        target: name of the IOMMU or MSI controller.
        shift: None when there is no ID at the target, or it is not known.
        mask: bits of the requester ID that count; 0 when all become one ID.
        ignored: bits of the IDs at the target that the IOMMU ignores.
    """

    verdict: str
    target: str | None
    shift: int | None
    mask: int = 0xFFFF
    ignored: int = 0

    def at(self, number: int) -> int | None:
        """Return the ID at the target."""
        return None if self.shift is None else (number & self.mask) + self.shift


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of requester IDs with what becomes of them, and the places that say so: none when nothing does."""

    first: int
    length: int
    way: Way
    origins: tuple[Origin, ...] = ()

    @property
    def end(self) -> int:
        """The ID after the last."""
        return self.first + self.length

    @property
    def last(self) -> int:
        """The last ID."""
        return self.first + self.length - 1

    @property
    def stream(self) -> int | None:
        """What becomes of the first ID."""
        return self.way.at(self.first)

    @property
    def step(self) -> int | None:
        """By how much the ID at the target grows from one to the next: 1, 0 when all become one, None under a mask."""
        if self.way.mask == 0xFFFF:  # noqa: PLR2004
            return 1
        varying = (1 << (self.first ^ self.last).bit_length()) - 1
        return None if self.way.mask & (varying or 0xFFFF) else 0

    def part(self, first: int, end: int) -> Segment:
        """Return the part from an ID of it to before another."""
        return Segment(first, end - first, self.way, self.origins)


def joined(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Return segments in ascending order with those as one that are neighbours and say the same."""
    found: list[Segment] = []
    for one in segments:
        last = found[-1] if found else None
        if last is not None and last.end == one.first and last.way == one.way:
            origins = last.origins if last.origins == one.origins else (*last.origins, *one.origins)
            found[-1] = Segment(last.first, last.length + one.length, last.way, tuple(dict.fromkeys(origins)))
        else:
            found.append(one)
    return tuple(found)


def within(segments: Sequence[Segment], first: int, length: int) -> Iterator[Segment]:
    """Iterate over the parts of segments, in ascending order, that are in a range."""
    low = bisect_right(segments, first, key=lambda one: one.end)
    for one in segments[low : bisect_left(segments, first + length, key=lambda one: one.first)]:
        yield one.part(max(one.first, first), min(one.end, first + length))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A range of requester IDs on its way: at `place`, ID `i` is `(i & mask) + shift` (None: it has no ID there)."""

    first: int
    length: int
    place: str
    mask: int = 0xFFFF
    shift: int | None = 0
    ignored: int = 0
    origins: tuple[Origin, ...] = ()


Ways = tuple[tuple[Segment, ...], tuple[Segment, ...]]
"""What becomes of accesses, and of interrupts, which have no segment where they are lost; no neighbours are alike."""


def segment_ways(topology: Topology, segment: int) -> Ways:
    """Return what becomes of the accesses of each requester ID of a segment, and of its interrupts."""
    roots = [root for root in topology.roots.values() if root.segment == segment and root.enabled]
    windows = [(root, root.first_bus << 8, min(root.last_bus + 1 << 8, ALL_RIDS)) for root in roots]
    nameless = any(root.segment is None for root in topology.roots.values())
    return _Space(topology, segment, windows, "unresolved" if nameless else "no-iommu").ways()


def root_ways(topology: Topology, root: PciRoot) -> Ways:
    """Return the same for one root; for roots whose segment nobody tells."""
    return _Space(topology, None, [(root, 0, ALL_RIDS)], "no-iommu").ways()


class _Space:
    """One ID space: follows all its IDs."""

    def __init__(
        self, topology: Topology, segment: int | None, windows: list[tuple[PciRoot, int, int]], outside: str
    ) -> None:
        """Take the roots, in order, each with its first requester ID and the one after its last."""
        self.topology = topology
        self.segment = segment
        self.windows = windows
        self.outside = outside
        self.open_ids = _open_ids(topology, segment)
        self.masked: dict[str, bool] = {}
        self.painted: dict[tuple[str, Carries], list[tuple[int, int, IdMap]]] = {}

    def ways(self) -> Ways:
        """Return the ways of accesses and of interrupts."""
        accesses: list[Segment] = []
        interrupts: list[Segment] = []
        owned: dict[str, list[tuple[int, int]]] = {}
        for first, length, root, found in self.owners():
            piece = _Piece(first, length, "" if root is None else root.name)
            if found is None or found.target is None:
                verdict = self.outside if root is None else "no-iommu"
                said = () if found is None else (found.origin,)
                accesses += self.opened(Segment(first, length, Way(verdict, None, None), said), None)
            else:
                for segment in self.follow(_step(piece, found), "dma", MOST_HOPS):
                    accesses += self.opened(segment, found)
            if root is not None:
                owned.setdefault(root.name, []).append((first, length))
            else:
                interrupts += self.own_interrupts(first, length)
        for name, numbers in owned.items():
            for part in RangeSet(numbers):
                interrupts += self.follow(_Piece(*part, name), "msi", MOST_HOPS)
        accesses.sort(key=lambda one: one.first)
        interrupts.sort(key=lambda one: one.first)
        return joined(self.concluded(accesses)), joined(interrupts)

    def own_interrupts(self, first: int, length: int) -> Iterator[Segment]:
        """Yield the ways of interrupts of functions of no root, which only maps of their own can tell."""
        for device in self.topology.devices.values():
            if device.segment == self.segment and device.rid is not None and first <= device.rid < first + length:
                yield from self.follow(_Piece(device.rid, 1, device.name), "msi", MOST_HOPS)

    def owners(self) -> Iterator[tuple[int, int, PciRoot | None, IdMap | None]]:
        """Iterate over ranges of IDs with the root that they belong to, and its map for them."""
        free = RangeSet([(0, ALL_RIDS)])
        for root, low, end in self.windows:
            for first, length, one in _root_painted(self.topology, root):
                start, stop = max(first, low), min(first + length, end)
                if start < stop:
                    for part in free.overlapping(start, stop - start):
                        yield *part, root, one
                        free.remove(*part)
        for root, low, end in self.windows:
            for part in free.overlapping(low, max(end - low, 0)):
                yield *part, root, None
                free.remove(*part)
        for part in free:
            yield *part, None, None

    def follow(self, piece: _Piece, purpose: Carries, hops: int) -> Iterator[Segment]:
        """Follow IDs from where they are to an IOMMU, or to an MSI controller; interrupts that reach none are lost."""
        if purpose == "dma" and piece.place in self.topology.iommus:
            verdict = "controlled" if self.topology.iommus[piece.place].enabled else "disabled"
            yield _arrived(piece, verdict)
            return
        if purpose == "msi" and piece.place in self.topology.msi_controllers:
            yield _arrived(piece, "msi")
            return
        for part, one in self.matched(piece, purpose):
            if one is not None and one.target is not None and hops:
                yield from self.follow(_step(part, one), purpose, hops - 1)
            elif purpose == "dma":
                yield Segment(part.first, part.length, Way("no-iommu", None, None), part.origins)

    def matched(self, piece: _Piece, purpose: Carries) -> Iterator[tuple[_Piece, IdMap | None]]:
        """Divide a piece by the maps that take its IDs where it is."""
        maps = self.topology.maps_from(piece.place)
        if not maps:
            yield piece, None
            return
        if piece.shift is None or not piece.mask or piece.length == 1:
            number = 0 if piece.shift is None else (piece.first & piece.mask) + piece.shift
            yield piece, match(self.topology.maps_for(piece.place, number), number, purpose)
            return
        on_root = piece.place in self.topology.roots and (piece.mask, piece.shift) == (0xFFFF, 0)
        if piece.mask != 0xFFFF or (not on_root and self.is_masked(piece.place, maps)):  # noqa: PLR2004
            for number in range(piece.first, piece.first + piece.length):
                yield from self.matched(replace(piece, first=number, length=1), purpose)
            return
        start, end = piece.first + piece.shift, piece.first + piece.length + piece.shift
        if start < WRAP < end:
            head = WRAP - start
            yield from self.matched(replace(piece, length=head), purpose)
            yield from self.matched(replace(piece, first=piece.first + head, length=piece.length - head), purpose)
            return
        if start >= WRAP:
            yield from self.matched(replace(piece, shift=piece.shift - WRAP), purpose)
            return
        key = (piece.place, purpose)
        if key not in self.painted:
            self.painted[key] = painted(maps, purpose, 0, ALL_RIDS if on_root else WRAP)
        yield from _divided(piece, piece.shift, self.painted[key])

    def is_masked(self, place: str, maps: list[IdMap]) -> bool:
        """Tell whether any map from a place looks at some bits of an ID only."""
        if place not in self.masked:
            self.masked[place] = any(one.mask != ALL_BITS for one in maps)
        return self.masked[place]

    def opened(self, segment: Segment, found: IdMap | None) -> Iterator[Segment]:
        """Yield a segment; IDs that an unresolved scope may hold cannot be told when no scope has taken them."""
        way = segment.way
        if way.verdict != "no-iommu" and (found is None or found.rule != INCLUDE_ALL):
            yield segment
            return
        rest = RangeSet([(segment.first, segment.length)])
        for start, length in self.open_ids.overlapping(segment.first, segment.length):
            rest.remove(start, length)
            unknown = replace(way, verdict="unresolved", shift=None, mask=0xFFFF)
            yield Segment(start, length, unknown, segment.origins)
        for start, length in rest:
            yield Segment(start, length, way, segment.origins)

    def concluded(self, segments: Iterable[Segment]) -> Iterator[Segment]:
        """Yield segments; that there is no IOMMU is only concluded from sources that could have named one."""
        for one in segments:
            if one.way.verdict == "no-iommu" and self.topology.silence:
                yield replace(one, way=replace(one.way, verdict="unresolved"))
            else:
                yield one


def _open_ids(topology: Topology, segment: int | None) -> RangeSet:
    """Return the IDs that an unresolved scope of a unit may hold: those on buses after the one it starts on."""
    functions: dict[int, int] = {}
    hierarchy = ALL_RIDS
    for scope in topology.unresolved:
        if scope.iommu is None or scope.segment != segment:
            continue
        after = scope.start_bus + 1 << 8
        if scope.kind == "sub-hierarchy":
            hierarchy = min(hierarchy, after)
        else:
            device, function = scope.path[-1]
            number = device << 3 | function
            functions[number] = min(functions.get(number, ALL_RIDS), after)
    found = RangeSet([(hierarchy, ALL_RIDS - hierarchy)])
    for number, after in functions.items():
        for bus in range(after, ALL_RIDS, 0x100):
            found.add(bus + number, 1)
    return found


def _arrived(piece: _Piece, verdict: str) -> Segment:
    """Return the segment of IDs that have reached their end."""
    mask = 0xFFFF if piece.shift is None else piece.mask
    ignored = 0 if verdict == "msi" else piece.ignored
    way = Way(verdict, piece.place, piece.shift, mask, ignored)
    return Segment(piece.first, piece.length, way, piece.origins)


def _step(piece: _Piece, one: IdMap) -> _Piece:
    """Return the IDs after a map that holds them."""
    mask, shift = piece.mask, piece.shift
    if one.output is None:
        shift = None
    elif one.single or one.merges or shift is None:
        mask, shift = 0, one.output
    elif one.mask != ALL_BITS and (mask, shift) != (0xFFFF, 0):
        # Not as it was sent, and not all bits count: such IDs are followed one by one.
        number = (piece.first & mask) + shift
        mask, shift = 0, one.output + (number & one.mask) - one.base
    else:
        mask &= one.mask
        shift += one.output - one.base
    origins = (*piece.origins, one.origin)
    return _Piece(piece.first, piece.length, one.target or "", mask, shift, one.ignored_bits, origins)


def _divided(piece: _Piece, shift: int, parts: list[tuple[int, int, IdMap]]) -> Iterator[tuple[_Piece, IdMap | None]]:
    """Divide a piece, whose IDs have gone up by `shift`, by the ranges that maps take."""
    place, end = piece.first + shift, piece.first + piece.length + shift
    index = max(bisect_right(parts, place, key=lambda part: part[0]) - 1, 0)
    while place < end:
        while index < len(parts) and parts[index][0] + parts[index][1] <= place:
            index += 1
        one = None
        stop = end
        if index < len(parts):
            first, length, found = parts[index]
            one, stop = (found, first + length) if first <= place else (None, first)
        stop = min(stop, end)
        yield replace(piece, first=place - shift, length=stop - place), one
        place = stop


def _root_painted(topology: Topology, root: PciRoot) -> list[tuple[int, int, IdMap]]:
    """Return which map of a root takes which IDs: one straight to an MSI controller leaves them to others, if it can.

    It is `resolve`'s rule for roots for all IDs at once.
    """
    maps, controllers = topology.maps_from(root.name), topology.msi_controllers
    parts = painted(maps, "dma", 0, ALL_RIDS)
    if all(one.target not in controllers for _, _, one in parts):
        return parts
    others = painted([one for one in maps if one.target not in controllers], "dma", 0, ALL_RIDS)
    free = RangeSet((first, length) for first, length, one in parts if one.target in controllers)
    found = [part for part in parts if part[2].target not in controllers]
    for first, length, one in others:
        for part in free.overlapping(first, length):
            found.append((*part, one))
            free.remove(*part)
    for first, length, one in parts:
        if one.target in controllers:
            found += [(*part, one) for part in free.overlapping(first, length)]
    return sorted(found, key=lambda part: part[0])


def painted(maps: Iterable[IdMap], purpose: Carries, low: int, end: int) -> list[tuple[int, int, IdMap]]:
    """Return which map takes which IDs from `low` to before `end`, as `(first, length, map)` in ascending order.

    It is `resolve.match` for all IDs at once: the first map that holds an ID takes it, but for the last ID of a range
    that gives way to a later one that begins with it; fallbacks take what is left.
    """
    painter = _Painter(low, end)
    fallback = None
    for one in maps:
        if one.carries not in (purpose, "both"):
            continue
        if one.fallback:
            fallback = fallback or one
        elif one.single:
            painter.fill(one)
        elif one.length > 0:
            painter.paint(one)
    painter.settle()
    if fallback is not None:
        painter.fill(fallback)
    return sorted(painter.taken, key=lambda part: part[0])


class _Painter:
    """IDs that maps take one after the other, in time that does not grow with how often they claim the same ones."""

    def __init__(self, low: int, end: int) -> None:
        """Begin with all IDs from `low` to before `end` free."""
        self.low, self.end = low, end
        self.free = RangeSet([(low, end - low)])
        self.held: dict[int, IdMap] = {}
        self.taken: list[tuple[int, int, IdMap]] = []
        self.orders: dict[int, list[tuple[int, int]]] = {}
        self.claimed: dict[int, RangeSet] = {}

    def fill(self, one: IdMap) -> None:
        """Give a map all that is free, or only held."""
        self.taken += [(*part, one) for part in self.free]
        self.taken += [(number, 1, one) for number in self.held]
        self.free, self.held = RangeSet(), {}

    def settle(self) -> None:
        """Give each map the IDs that it only held."""
        self.taken += [(number, 1, one) for number, one in self.held.items()]
        self.held = {}

    def paint(self, one: IdMap) -> None:
        """Give a map the IDs that it holds and that are free, or that another holds until one begins with them."""
        last = one.base + one.length - 1
        if one.mask & self.end - 1 == self.end - 1:
            spans, begins, ends = [(one.base, one.length)], [one.base], [last]
        else:
            spans = self.masked(one)
            begins = [number for number in self.held if number & one.mask == one.base]
            ends = [number for number in self.numbers(one.mask, last, 1) if one.tentative_last]
        for number in begins:
            if self.held.pop(number, None) is not None:
                self.taken.append((number, 1, one))
        if one.tentative_last:
            for number in ends:
                if number in self.free:
                    self.held[number] = one
                    self.free.remove(number, 1)
        for start, length in spans:
            for part in self.free.overlapping(start, length):
                self.taken.append((*part, one))
                self.free.remove(*part)

    def masked(self, one: IdMap) -> list[tuple[int, int]]:
        """Return the ranges of IDs that a map with a mask holds, without those that one with the same mask has had."""
        claimed = self.claimed.setdefault(one.mask, RangeSet())
        values = RangeSet([(one.base, one.length)])
        for start, length in claimed.overlapping(one.base, one.length):
            values.remove(start, length)
        if not one.tentative_last:  # else it may leave its last ID to others
            claimed.add(one.base, one.length)
        return list(RangeSet((number, 1) for part in values for number in self.numbers(one.mask, *part)))

    def numbers(self, mask: int, first: int, count: int) -> list[int]:
        """Return the IDs whose bits under a mask are one of `count` values from `first`."""
        if mask not in self.orders:
            self.orders[mask] = sorted((number & mask, number) for number in range(self.low, self.end))
        order = self.orders[mask]
        low = bisect_left(order, (first, -1))
        return [number for _, number in order[low : bisect_left(order, (first + count, -1))]]
