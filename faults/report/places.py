"""Counting what addresses fall in."""

from __future__ import annotations

from bisect import bisect_right

from ...topology import Topology
from ...topology.query import all_places
from ..places import doorbell_places, grant_places
from .records import PlaceRow

_KINDS = (
    ("reserved memory", "reserved"),
    ("grant ", "granted"),
    ("registers of", "registers"),
    ("window ", "window"),
    ("interrupt window", "interrupts"),
    ("MSI doorbell", "doorbell"),
)


class PlaceCounter:
    """Accesses by what their address falls in, on one board.

    Attributes:
        elsewhere: accesses at addresses that fall in nothing that is known.
    """

    __slots__ = ("_bounds", "_counts", "_hit", "_places", "elsewhere")

    def __init__(self, topology: Topology) -> None:
        """Take the reserved memory, grants, registers, windows and doorbells of a board."""
        self.elsewhere = 0
        self._places = [*all_places(topology), *grant_places(topology), *doorbell_places(topology)]
        self._counts = [0] * len(self._places)
        ends = {end for one in self._places for end in (one.start, one.start + one.length)}
        self._bounds = sorted(ends)
        self._hit: dict[int, tuple[int, ...]] = {}  # between two bounds all addresses fall in the same places

    def add(self, address: int, count: int) -> None:
        """Count accesses at an address."""
        between = bisect_right(self._bounds, address)
        found = self._hit.get(between)
        if found is None:
            found = self._hit[between] = tuple(
                index for index, one in enumerate(self._places) if one.start <= address < one.start + one.length
            )
        if not found:
            self.elsewhere += count
        for index in found:
            self._counts[index] += count

    def rows(self) -> tuple[PlaceRow, ...]:
        """Return all places with their accesses, in the order of the sources."""
        return tuple(
            PlaceRow(_kind(one.name), one.name, one.start, one.length, count)
            for one, count in zip(self._places, self._counts, strict=True)
        )


def _kind(name: str) -> str:
    return next((kind for start, kind in _KINDS if name.startswith(start)), "other")
