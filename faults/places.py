"""What the address of a fault falls in, and what it only just misses."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ..parsers.memory_map import MemoryRange
from ..topology import Grant, ReservedRegion, Topology
from ..topology.query import Place, all_places
from .fault import Fault

PAGE = 0x1000
MOST_REMEMBERED = 16384
"""Stretches of addresses of which it is remembered what is there; then all are forgotten, and looked at anew."""
LINUX_MSI, LINUX_MSI_LENGTH = 0x8000000, 0x100000
"""Where Linux maps MSI doorbells for devices behind an Arm SMMU (MSI_IOVA_BASE and _LENGTH of its drivers)."""

_ARM = ("smmuv2", "smmuv3")
_GRANTED = ("reserved memory", "grant ")
_DOORBELLS = 0x20000
"""Bytes of an ITS' two frames; of other MSI controllers the first of them."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Something that the address misses by less than a page.

    Attributes:
        place: what it is.
        distance: bytes from its end to the address, 0 for the first byte after it; negative: bytes before its start.
    """

    place: Place
    distance: int

    def __str__(self) -> str:
        """Say it in words, such as `just past the end of reserved memory … (0x8 bytes after)`."""
        if self.distance >= 0:
            after = f", {self.distance} bytes after" if self.distance else ""
            return f"just past the end of {self.place.name} {self.place.extent}{after}"
        return f"{-self.distance} bytes before the start of {self.place.name} {self.place.extent}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of an address.

    Attributes:
        places: what it falls in.
        near: what it misses by less than a page.
        tags: the same in words that rules go by: `own-reserved`, `other-reserved`, `own-grant`, `other-grant`,
            `msi`, `linux-msi`, `registers`, `window`, `past-end`, `before-start`, `first-page`; with a memory map
            `ram`, `hole` or `no-ram`.
    """

    places: tuple[Place, ...] = ()
    near: tuple[Neighbour, ...] = ()
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What is the same for all addresses between two at which something, or the page beside it, begins or ends."""

    places: tuple[Place, ...]
    reserved: tuple[ReservedRegion, ...]
    grants: tuple[Grant, ...]
    memory: tuple[MemoryRange, ...]


class Landscape:
    """All that addresses of one board can fall in, gathered once."""

    def __init__(self, topology: Topology, memory: Collection[MemoryRange] = ()) -> None:
        """Take a board, and its memory map where that is known."""
        self._topology = topology
        self._memory = memory
        self._places = [*all_places(topology), *grant_places(topology), *doorbell_places(topology)]
        arm = next((unit for unit in topology.iommus.values() if unit.kind.startswith("smmu")), None)
        window = "the window in which Linux maps MSI doorbells"
        self._arm = [] if arm is None else [Place(window, LINUX_MSI, LINUX_MSI_LENGTH, arm.origin)]
        held: tuple[Place | Grant | MemoryRange, ...] = (*self._places, *topology.grants, *memory)
        extents = [(one.start, one.length) for one in held]
        extents += [(start, region.length) for region in topology.reserved for start in _starts(region)]
        ends = {at for start, length in extents for at in (start - PAGE, start, start + length, start + length + PAGE)}
        self._ends = sorted(ends)
        self._stretches: dict[int, _Stretch] = {}

    def around(self, fault: Fault, devices: Collection[str], units: Collection[str]) -> Surroundings:
        """Return what the address of a fault falls in, and what it just misses.

        Args:
            fault: the fault; without an address, and for an interrupt fault whose address is an index, nothing is
                known.
            devices: names of the devices that may have done it.
            units: names of the units at which the fault's ID may have arrived.
        """
        address = fault.address
        if address is None or (fault.architecture == "vtd" and fault.access == "interrupt"):
            return Surroundings()
        places, near = [], []
        stretch = self._stretch(address)
        before = 0 if fault.address_bits else PAGE  # of a page alone, no byte is known to be near what follows it
        for place in (*stretch.places, *self._arm) if fault.architecture in _ARM else stretch.places:
            start, length = place.start, place.length
            past = address - start - length
            if past >= PAGE or address < start - before:
                continue
            if past >= 0:
                near.append(Neighbour(place, past))
            elif address < start:
                near.append(Neighbour(place, address - start))
            else:
                places.append(place)
        # Windows and registers are at physical addresses: what follows them there means nothing to a device address.
        close = [one for one in near if one.place.name.startswith(_GRANTED)]
        tags = {"past-end" if one.distance >= 0 else "before-start" for one in close}
        tags |= {tag for place in places if (tag := _tag(place))}
        tags |= _owners(fault, stretch, devices, units)
        if address < PAGE:
            tags.add("first-page")
        if self._memory:
            ranges = stretch.memory
            places += [Place(f"physical memory ({one.kind})", one.start, one.length, one.origin) for one in ranges]
            tags.add("ram" if any(one.kind == "ram" for one in ranges) else "no-ram" if ranges else "hole")
        return Surroundings(tuple(places), tuple(near), frozenset(tags))

    def _stretch(self, address: int) -> _Stretch:
        """Return what is at an address or within a page of it."""
        index = bisect_right(self._ends, address)
        found = self._stretches.get(index)
        if found is None:
            if len(self._stretches) >= MOST_REMEMBERED:
                self._stretches.clear()
            found = self._stretches[index] = _Stretch(
                tuple(one for one in self._places if one.start - PAGE <= address < one.start + one.length + PAGE),
                tuple(
                    region
                    for region in self._topology.reserved
                    if any(start <= address < start + region.length for start in _starts(region))
                ),
                tuple(one for one in self._topology.grants if one.start <= address < one.start + one.length),
                tuple(one for one in self._memory if one.start <= address < one.start + one.length),
            )
        return found


def grant_places(topology: Topology) -> Iterator[Place]:
    """Iterate over the memory that a configuration grants, with whom it is granted to and how."""
    for grant in topology.grants:
        who = ", ".join(grant.devices) or "no device"
        rights = "".join(letter for letter, given in (("r", grant.read), ("w", grant.write)) if given) or "no access"
        yield Place(f"grant {grant.name} ({rights}) of {who}", grant.start, grant.length, grant.origin)


def doorbell_places(topology: Topology) -> Iterator[Place]:
    """Iterate over the registers that message-signalled interrupts are written to."""
    for controller in topology.msi_controllers.values():
        if controller.base is not None:
            length = _DOORBELLS if "its" in controller.kind else PAGE
            yield Place(f"MSI doorbell of {controller.name}", controller.base, length, controller.origin)


def _tag(place: Place) -> str:
    """Return the tag that a place's kind has; reserved memory and grants have theirs by who owns them."""
    for start, tag in (
        ("interrupt window", "msi"),
        ("MSI doorbell", "msi"),
        ("the window in which Linux", "linux-msi"),
        ("registers of", "registers"),
        ("window ", "window"),
    ):
        if place.name.startswith(start):
            return tag
    return ""


def _starts(region: ReservedRegion) -> list[int]:
    """Return where a region begins: as a device address and as a physical one, which may be the same."""
    return [start for start in (region.start, region.physical) if start is not None]


def _owners(fault: Fault, stretch: _Stretch, devices: Collection[str], units: Collection[str]) -> set[str]:
    """Return whether reserved memory and grants at an address are those of the devices that may have done it."""
    tags = set()
    for region in stretch.reserved:
        by_stream = any(
            stream.iommu in units
            and fault.identifier is not None
            and stream.base <= fault.identifier < stream.base + stream.length
            for stream in region.streams
        )
        own = by_stream or any(name in devices for name in region.devices)
        tags.add("own-reserved" if own else "other-reserved")
    for grant in stretch.grants:
        tags.add("own-grant" if any(name in devices for name in grant.devices) else "other-grant")
    return tags
