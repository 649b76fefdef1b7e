"""The pictures of the page: a time line, and a map of memory. Everything that comes from input is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from ...base import printable
from .records import PlaceRow, Storm, Stretch, Summary, TimeLine, stretches
from .words import clock_words, moment, some, source_words, span

WIDTH = 960
_LEFT, _TOP, _HEIGHT = 4, 22, 120
_LANES = 6
_LANE = 9
MAX_AREAS = 16
"""Strips of the map: areas of memory, those with most faults."""

_NEAR = 1 << 24
"""Bytes that may lie between two things of one area, at least."""


def html(text: str) -> str:
    """Return text from input as it may stand in HTML, in an attribute or between tags."""
    return escape(printable(text))


def time_line(line: TimeLine, storms: Sequence[Storm]) -> str:
    """Return a time line: a bar a bin, below it the storms of the clock, and marks where records were lost."""
    most = max(1, *line.faults)
    step = (WIDTH - 2 * _LEFT) / len(line.faults)
    base = _TOP + _HEIGHT
    parts = []
    for index, (faults, lost) in enumerate(zip(line.faults, line.lost, strict=True)):
        at, start = _LEFT + index * step, line.start + index * line.width
        when = moment(line.clock, start)
        if faults:
            height = max(1.5, faults / most * _HEIGHT)
            parts.append(
                f'<rect class="bar" x="{at:.1f}" y="{base - height:.1f}" width="{max(1, step - 0.5):.1f}" '
                f'height="{height:.1f}"><title>{when}: {some(faults, "fault")} in {span(line.width)}</title></rect>'
            )
        if lost:
            parts.append(
                f'<path class="lost" d="M{at + step / 2:.1f} {base + 2} l4 7 h-8 z">'
                f"<title>{when}: at least {lost:,} lost</title></path>"
            )
    lanes = _lanes(line, storms)
    for number, (storm, first, last) in lanes:
        left, right = (_LEFT + (WIDTH - 2 * _LEFT) * part for part in (first, last))
        title = f"{storm.kind} of {storm.count:,} faults in {span(storm.length)}: {source_words(storm)} {storm.unit}"
        parts.append(
            f'<rect class="storm" x="{left:.1f}" y="{base + 12 + number * _LANE}" width="{max(3, right - left):.1f}" '
            f'height="{_LANE - 2}" rx="2"><title>{html(title)}</title></rect>'
        )
    used = 1 + max((number for number, _ in lanes), default=-1)
    foot = base + 12 + used * _LANE + 14
    end = line.start + len(line.faults) * line.width
    labels = (
        f'<text x="{_LEFT}" y="14">{most:,} in {span(line.width)}</text>'
        f'<text x="{_LEFT}" y="{foot}">{moment(line.clock, line.start)}</text>'
        f'<text x="{WIDTH - _LEFT}" y="{foot}" text-anchor="end">{moment(line.clock, end)}</text>'
    )
    grid = f'<path class="axis" d="M{_LEFT} {_TOP} H{WIDTH - _LEFT} M{_LEFT} {base} H{WIDTH - _LEFT}"/>'
    what = f"Faults over time ({clock_words(line.clock)})"
    return _svg(foot + 8, what, grid + "".join(parts) + labels)


def _lanes(line: TimeLine, storms: Iterable[Storm]) -> list[tuple[int, tuple[Storm, float, float]]]:
    """Return the storms of a time line with the lane that each has room in, and where it begins and ends (0 to 1)."""
    whole = len(line.faults) * line.width
    free = [-1.0] * _LANES
    found = []
    for storm in sorted((one for one in storms if one.clock == line.clock), key=lambda one: one.start):
        first, last = ((storm.start + more - line.start) / whole for more in (0, storm.length))
        number = next((index for index, until in enumerate(free) if until < first), None)
        if number is not None:
            free[number] = max(last, first + 0.005)
            found.append((number, (storm, first, last)))
    return found


class _Area(NamedTuple):
    """A part of memory that is drawn as one strip."""

    start: int
    end: int
    places: tuple[PlaceRow, ...]
    pages: tuple[Stretch, ...]

    @property
    def total(self) -> int:
        return sum(one.count for one in self.pages)


def memory_map(summary: Summary) -> tuple[str, int]:
    """Return a map of memory, one strip an area, and how many areas are not on it.

    On a strip stand the places of the board that lie there and, darker the more there are, the pages with faults.
    Areas with faults come before those without.
    """
    areas = _areas(stretches(summary), summary.places)
    kept = sorted(sorted(areas, key=lambda one: -one.total)[:MAX_AREAS], key=lambda one: one.start)
    most = max((one.count / one.length for area in kept for one in area.pages), default=1)
    parts = []
    top = 4
    for area in kept:
        drawn, height = _strip(area, top, most)
        parts.append(drawn)
        top += height
    return _svg(top, "Memory, by device address", "".join(parts)), len(areas) - len(kept)


def _areas(pages: list[Stretch], places: tuple[PlaceRow, ...]) -> list[_Area]:
    """Return the parts of memory in which something lies, cut where far more lies nothing than is near."""
    things: list[PlaceRow | Stretch] = [*pages, *(one for one in places if one.length)]
    things.sort(key=lambda one: (one.start, one.length))
    found: list[_Area] = []
    inside: list[PlaceRow | Stretch] = []
    low = high = 0
    for thing in things:
        if inside and thing.start > high + max(_NEAR, (high - low) // 4):
            found.append(_area(low, high, inside))
            inside = []
        low, high = (
            (low, max(high, thing.start + thing.length)) if inside else (thing.start, thing.start + thing.length)
        )
        inside.append(thing)
    return [*found, _area(low, high, inside)] if inside else found


def _area(low: int, high: int, inside: list[PlaceRow | Stretch]) -> _Area:
    """Return what lies in one part of memory as an area."""
    places = tuple(one for one in inside if isinstance(one, PlaceRow))
    return _Area(low, high, places, tuple(one for one in inside if isinstance(one, Stretch)))


def _strip(area: _Area, top: int, most: float) -> tuple[str, int]:
    """Return an area as a strip at a height of the picture, and how high it is."""
    length = area.end - area.start
    scale = (WIDTH - 2 * _LEFT) / length

    def across(start: int, size: int) -> str:
        """Return where a range is drawn, wide enough to be seen and inside the strip."""
        wide = max(2, size * scale)
        left = min(_LEFT + (start - area.start) * scale, WIDTH - _LEFT - wide)
        return f'x="{left:.1f}" width="{wide:.1f}"'

    words = f"{_size(length)}, {some(area.total, 'fault')}"
    parts = [
        f'<text x="{_LEFT}" y="{top + 11}">0x{area.start:x}</text>',
        f'<text x="{WIDTH - _LEFT}" y="{top + 11}" text-anchor="end">0x{area.end - 1:x}</text>',
        f'<text x="{WIDTH / 2}" y="{top + 11}" text-anchor="middle">{words}</text>',
        f'<rect class="strip" x="{_LEFT}" y="{top + 16}" width="{WIDTH - 2 * _LEFT}" height="34"/>',
    ]
    for one in area.places:
        parts.append(
            f'<rect class="{html(one.kind)}" {across(one.start, one.length)} y="{top + 16}" height="34">'
            f"<title>{html(one.name)}: "
            f"0x{one.start:x}-0x{one.start + one.length - 1:x}, {some(one.count, 'fault')}</title></rect>"
        )
    for heat in area.pages:
        dark = 0.35 + 0.65 * (heat.count / heat.length / most)
        parts.append(
            f'<rect class="heat" {across(heat.start, heat.length)} y="{top + 24}" height="18" '
            f'opacity="{dark:.2f}"><title>0x{heat.start:x}-0x{heat.end:x}: '
            f"{some(heat.count, 'fault')}</title></rect>"
        )
    return "".join(parts), 60


def _size(length: int) -> str:
    """Return a number of bytes with about three figures."""
    for bits, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
        if length >> bits:
            return f"{length / (1 << bits):.4g} {unit}"
    return f"{length / 1024:.4g} KiB"


def _svg(height: float, what: str, inner: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{html(what)}">{inner}</svg>'
