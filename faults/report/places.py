"""Counting what addresses fall in."""

from __future__ import annotations

from bisect import bisect_right

from ...topology import Topology
from ...topology.query import Place, all_places
from .records import PAGE, PlaceRow

_ITS_LENGTH = 0x20000
"""Bytes of the two frames of a GIC ITS; of other MSI controllers the first page is what devices write to."""

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
        self._places = [*all_places(topology), *_others(topology)]
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


def _others(topology: Topology) -> list[Place]:
    """Return what a configuration grants, and what message-signalled interrupts are written to."""
    found = []
    for grant in topology.grants:
        rights = "".join(letter for letter, given in (("r", grant.read), ("w", grant.write)) if given) or "no access"
        name = f"grant {grant.name} ({rights}) of {', '.join(grant.devices) or 'no device'}"
        found.append(Place(name, grant.start, grant.length, grant.origin))
    for controller in topology.msi_controllers.values():
        if controller.base is not None:
            length = _ITS_LENGTH if "its" in controller.kind else PAGE
            found.append(Place(f"MSI doorbell of {controller.name}", controller.base, length, controller.origin))
    return found


def _kind(name: str) -> str:
    return next((kind for start, kind in _KINDS if name.startswith(start)), "other")
