"""Counters that stay small however long the input is: the most frequent keys, and numbers over time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar

from .records import TimeLine


class Counted(Protocol):
    """What a `SpaceSaving` keeps of each key: how much was counted, and how much of that may belong to others."""

    count: int
    error: int


K = TypeVar("K", bound=Hashable)
E = TypeVar("E", bound=Counted)


class SpaceSaving(Generic[K, E]):
    """The most frequent keys of a stream, in bounded memory.

    Up to `capacity` keys are counted exactly. A key beyond that takes the place of the least frequent one and inherits
    its count as its `error`: what is counted is at most `count` and at least `count - error`, and a key with more than
    `total / capacity` is never missed (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k
    Elements in Data Streams, ICDT 2005).

    Attributes:
        total: all that was added, whether its key is still there or not.
    """

    __slots__ = ("_capacity", "_entries", "_heap", "_make", "_turn", "total")

    def __init__(self, capacity: int, make: Callable[[], E]) -> None:
        """Start empty; `make` returns the entry of a new key, with a count and an error of 0."""
        self.total = 0
        self._capacity = capacity
        self._make = make
        self._entries: dict[K, E] = {}
        self._heap: list[tuple[int, int, K]] = []  # (count when last looked at, turn, key): the least is on top
        self._turn = 0

    def add(self, key: K, weight: int) -> E:
        """Count a key; returns its entry, in which the caller may note more."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._enter(key)
        entry.count += weight
        self.total += weight
        return entry

    def __iter__(self) -> Iterator[tuple[K, E]]:
        """Iterate over keys and entries, in no order that means anything."""
        return iter(self._entries.items())

    def get(self, key: K) -> E | None:
        """Return the entry of a key, if it is there."""
        return self._entries.get(key)

    def _enter(self, key: K) -> E:
        """Make room for a new key and return its entry."""
        made = self._make()
        self._turn += 1  # keys are never compared: they may be of types that cannot be
        if len(self._entries) < self._capacity:
            heapq.heappush(self._heap, (0, self._turn, key))
        else:
            least = self._least()
            self._entries.pop(self._heap[0][2])
            made.count = made.error = least
            heapq.heapreplace(self._heap, (least, self._turn, key))
        self._entries[key] = made
        return made

    def _least(self) -> int:
        """Bring the least frequent key to the top of the heap; returns its count."""
        while True:
            seen, turn, key = self._heap[0]
            count = self._entries[key].count
            if count == seen:
                return count
            heapq.heapreplace(self._heap, (count, turn, key))


FIRST_WIDTH = 1_000_000
"""Nanoseconds of a time line's bins as long as they suffice: 1 ms."""

MAX_BINS = 240
"""Bins of a time line at most; when it gets longer, they double their width."""


class TimeBins:
    """Faults and losses of one clock over time, in at most `MAX_BINS` bins whatever the span is."""

    __slots__ = ("_bins", "_high", "_low", "_width")

    def __init__(self) -> None:
        """Start empty."""
        self._width = FIRST_WIDTH
        self._bins: dict[int, list[int]] = {}
        self._low = self._high = 0

    def add(self, time: int, faults: int, lost: int) -> None:
        """Count accesses and losses at a time in nanoseconds."""
        at = time // self._width
        found = self._bins.get(at)
        if found is None:
            if not self._bins:
                self._low = self._high = at
            self._low, self._high = min(self._low, at), max(self._high, at)
            while self._high - self._low >= MAX_BINS:
                self._widen()
            found = self._bins.setdefault(time // self._width, [0, 0])
        found[0] += faults
        found[1] += lost

    def _widen(self) -> None:
        """Double the width of the bins."""
        self._width *= 2
        self._low, self._high = self._low // 2, self._high // 2
        old, self._bins = self._bins, {}
        for at, (faults, lost) in old.items():
            both = self._bins.setdefault(at // 2, [0, 0])
            both[0] += faults
            both[1] += lost

    def result(self, clock: str) -> TimeLine:
        """Return the bins in order, empty ones included; something must have been added."""
        bins = [self._bins.get(at, (0, 0)) for at in range(self._low, self._high + 1)]
        start = self._low * self._width
        return TimeLine(clock, start, self._width, tuple(one[0] for one in bins), tuple(one[1] for one in bins))
