"""What addresses of a device mean: disjoint segments of device address, physical address and permission."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple


class Access(IntFlag):
    """What a device may do with memory; the numbers are those of libsmmu's `SMF_READ`, `SMF_WRITE`, `SMF_EXEC`."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXEC = 4

    @property
    def words(self) -> str:
        """The permissions as letters, `-` for each that is not there, such as `rw-`."""
        return "".join(letter if self & flag else "-" for letter, flag in zip("rwx", Access, strict=True))


class Segment(NamedTuple):
    """`length` bytes at device address `start` are the memory at `physical`, for these accesses."""

    start: int
    length: int
    physical: int
    access: Access

    @property
    def end(self) -> int:
        """First device address after it."""
        return self.start + self.length

    def part(self, start: int, end: int) -> Segment:
        """Return what of it lies from `start` up to `end`, which is inside it."""
        return Segment(start, end - start, self.physical + start - self.start, self.access)

    def continues(self, other: Segment) -> bool:
        """Tell whether `other` goes on where this one ends, in both addresses and with the same permission."""
        return other.start == self.end and other.physical == self.physical + self.length and other.access == self.access


@dataclass(frozen=True, slots=True)
class Granted:
    """What a mapping granted.

    Attributes:
        start: first device address, in whole granules.
        length: in bytes, in whole granules.
        beyond: `(device address, length)` ranges that rounding to granules granted beyond what was asked.
        widened: permissions that units grant beyond what was asked, since they cannot tell them apart.
    """

    start: int
    length: int
    beyond: tuple[tuple[int, int], ...] = ()
    widened: Access = Access.NONE

    @classmethod
    def of(cls, segment: Segment, start: int, length: int, widened: Access) -> Granted:
        """Return what a segment of whole granules grants, beside the range that was asked for."""
        beyond = [(segment.start, start - segment.start), (start + length, segment.end - start - length)]
        return cls(segment.start, segment.length, tuple(pair for pair in beyond if pair[1]), widened)


class Mappings:
    """Segments in ascending order; neighbours that continue each other are one.

    A change costs the logarithm of the number of segments, plus those that it touches (and the moving of a list).
    """

    __slots__ = ("_segments", "_starts")

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        """Put the given segments, later ones over earlier ones."""
        self._starts: list[int] = []
        self._segments: list[Segment] = []
        for segment in segments:
            self.put(segment)

    def put(self, segment: Segment) -> None:
        """Let a segment stand in place of whatever was at its addresses."""
        self._replace(segment.start, segment.end, segment)

    def remove(self, start: int, length: int) -> None:
        """Take a range away; parts of it may not have been there."""
        self._replace(start, start + length, None)

    def within(self, start: int, length: int) -> list[Segment]:
        """Return what is mapped in a range, cut to it."""
        end = start + length
        found = []
        for index in range(self._first(start), len(self._segments)):
            one = self._segments[index]
            if one.start >= end:
                break
            found.append(one.part(max(one.start, start), min(one.end, end)))
        return found

    def __iter__(self) -> Iterator[Segment]:
        """Iterate over the segments in ascending order of device address."""
        return iter(self._segments)

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self._segments)

    def __eq__(self, other: object) -> bool:
        """Two are equal when every device address means the same in both."""
        return self._segments == other._segments if isinstance(other, Mappings) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # what can change has no hash

    def _first(self, start: int) -> int:
        """Return the index of the first segment that ends after `start`."""
        index = bisect_right(self._starts, start)
        return index - 1 if index and self._segments[index - 1].end > start else index

    def _replace(self, start: int, end: int, new: Segment | None) -> None:
        """Put `new`, or nothing, in place of what lies from `start` to `end`."""
        first = last = self._first(start)
        while last < len(self._segments) and self._segments[last].start < end:
            last += 1
        touched = self._segments[first:last]
        pieces = [one.part(one.start, start) for one in touched[:1] if one.start < start]
        pieces += [] if new is None else [new]
        pieces += [one.part(end, one.end) for one in touched[-1:] if one.end > end]
        if new is not None:
            if first:
                first -= 1
                pieces.insert(0, self._segments[first])
            if last < len(self._segments):
                pieces.append(self._segments[last])
                last += 1
        joined: list[Segment] = []
        for one in pieces:
            if joined and joined[-1].continues(one):
                joined[-1] = joined[-1]._replace(length=joined[-1].length + one.length)
            else:
                joined.append(one)
        self._segments[first:last] = joined
        self._starts[first:last] = [one.start for one in joined]


def differing(segment: Segment, others: Mappings) -> list[Segment]:
    """Return the parts of a segment that mean something else in `others`, or nothing."""
    found = []
    place = segment.start
    for other in others.within(segment.start, segment.length):
        if (other.physical - other.start, other.access) != (segment.physical - segment.start, segment.access):
            continue
        if other.start > place:
            found.append(segment.part(place, other.start))
        place = other.end
    if place < segment.end:
        found.append(segment.part(place, segment.end))
    return found
