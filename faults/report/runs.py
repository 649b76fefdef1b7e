"""What can only be seen in order of time: storms of one source, and units that fault together."""

from __future__ import annotations

import heapq
from itertools import combinations
from typing import NamedTuple

from .counters import SpaceSaving
from .records import TENTH, Limits, Storm, Together

MAX_OPEN = 4096
"""Runs that are followed at a time; when more sources fault, those that have been quiet the longest end early."""

MAX_STORMS = 256
"""Storms kept: those with most accesses."""

MAX_UNITS = 1024
"""Units of one window that are noted."""

MAX_TOGETHER = 32
"""Units of one window that are paired, the first by name: 496 pairs."""

MAX_PAIRS = 4096

LEAST_WINDOWS = 2
"""Windows that two units must share: once is no pattern."""


class Source(NamedTuple):
    """What is taken for one source of faults."""

    device: str
    unit: str
    segment: int | None
    identifier: int | None


class _Run:
    """A run of faults of one source that goes on."""

    __slots__ = ("count", "last", "peak", "start", "tenth", "tenths")

    def __init__(self, time: int) -> None:
        self.start = self.last = time
        self.count = self.peak = self.tenths = 0
        self.tenth = time // TENTH

    def add(self, time: int, count: int) -> None:
        self.start, self.last = min(self.start, time), max(self.last, time)
        self.count += count
        if time // TENTH != self.tenth:
            self.tenth, self.tenths = time // TENTH, 0
        self.tenths += count
        self.peak = max(self.peak, self.tenths)


class Runs:
    """Follows the runs of all sources and keeps the largest.

    Attributes:
        seen: runs that were bursts or storms, kept or not.
    """

    __slots__ = ("_kept", "_limits", "_open", "seen")

    def __init__(self, limits: Limits) -> None:
        """Start with no run."""
        self.seen = 0
        self._limits = limits
        self._open: dict[tuple[str, Source], _Run] = {}
        self._kept: list[tuple[tuple[int, int, str], Storm]] = []

    def add(self, clock: str, source: Source, time: int, count: int) -> None:
        """Note accesses of a source at a time; one that lies back by less than the gap is of the run as well."""
        run = self._open.get((clock, source))
        gap = self._limits.gap
        if run is not None and not run.start - gap <= time <= run.last + gap:
            self._end(clock, source, run)
            run = None
        if run is None:
            if len(self._open) >= MAX_OPEN:
                self._make_room(clock, time)
            run = self._open[clock, source] = _Run(time)
        run.add(time, count)

    def _make_room(self, clock: str, time: int) -> None:
        """End the runs that are over; when that frees little, also those that have been quiet the longest."""
        over = [key for key, run in self._open.items() if key[0] == clock and run.last + self._limits.gap < time]
        if len(over) < MAX_OPEN // 4:
            over = sorted(self._open, key=lambda key: self._open[key].last)[: MAX_OPEN // 4]
        for key in over:
            self._end(*key, self._open.pop(key))

    def _end(self, clock: str, source: Source, run: _Run) -> None:
        """Keep a run that is over if it was a storm."""
        if run.count >= self._limits.least:
            self.seen += 1
            storm = _storm(clock, source, run)
            order = (storm.count, -storm.start, f"{clock} {source}")
            if len(self._kept) < MAX_STORMS:
                heapq.heappush(self._kept, (order, storm))
            elif order > self._kept[0][0]:
                heapq.heapreplace(self._kept, (order, storm))

    def result(self) -> tuple[tuple[Storm, ...], int]:
        """Return the largest storms, those that go on included, and how many there were. Nothing ends by asking."""
        other = Runs(self._limits)
        other.seen, other._kept = self.seen, list(self._kept)
        for key, run in self._open.items():
            other._end(*key, run)
        ranked = sorted(other._kept, key=lambda one: (-one[0][0], -one[0][1], one[0][2]))
        return tuple(storm for _, storm in ranked), other.seen


def _storm(clock: str, source: Source, run: _Run) -> Storm:
    length = run.last - run.start
    return Storm(source.device, source.unit, source.identifier, clock, run.start, length, run.count, run.peak)


class _Count:
    """A plain entry of a `SpaceSaving`."""

    __slots__ = ("count", "error")

    def __init__(self) -> None:
        self.count = self.error = 0


class _Window:
    """The window of time of one clock that is being filled."""

    __slots__ = ("at", "high", "low", "units")

    def __init__(self, at: int) -> None:
        self.at = self.low = self.high = at
        self.units: set[str] = set()


class Windows:
    """Counts in how many windows of time each unit, and each pair of units, faults."""

    __slots__ = ("_pairs", "_units", "_width", "_windows")

    def __init__(self, limits: Limits) -> None:
        """Start with no window."""
        self._width = limits.window
        self._windows: dict[str, _Window] = {}
        self._units: SpaceSaving[str, _Count] = SpaceSaving(limits.rows, _Count)
        self._pairs: SpaceSaving[tuple[str, str], _Count] = SpaceSaving(MAX_PAIRS, _Count)

    def add(self, clock: str, unit: str, time: int) -> None:
        """Note a fault of a unit."""
        at = time // self._width
        window = self._windows.get(clock)
        if window is None:
            window = self._windows[clock] = _Window(at)
        elif at != window.at:
            self._close(window)
            window.at = at
            window.low, window.high = min(window.low, at), max(window.high, at)
        if len(window.units) < MAX_UNITS:
            window.units.add(unit)

    def _close(self, window: _Window) -> None:
        """Count the units of a window and empty it."""
        units = sorted(window.units)
        window.units.clear()
        for unit in units:
            self._units.add(unit, 1)
        for pair in combinations(units[:MAX_TOGETHER], 2):
            self._pairs.add(pair, 1)

    def result(self) -> tuple[Together, ...]:
        """Return the pairs that fault together more often than by chance; the windows that are open are counted."""
        for window in self._windows.values():
            self._close(window)
        total = sum(window.high - window.low + 1 for window in self._windows.values())
        found = []
        for (first, second), pair in self._pairs:
            one, other = self._units.get(first), self._units.get(second)
            windows = pair.count - pair.error
            if windows < LEAST_WINDOWS or one is None or other is None:
                continue
            if windows * total > one.count * other.count:
                found.append(Together(first, second, windows, one.count * other.count / total))
        return tuple(sorted(found, key=lambda one: (-one.windows, one.first, one.second)))
