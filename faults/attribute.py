"""Who did it, and to what: a fault laid beside the topology of its board.

A unit knows an ID, not a device. Every device that sends the ID is a candidate, and none of several is picked.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..base import Origin, format_pci_address, parse_pci_address
from ..parsers.memory_map import MemoryRange
from ..parsers.pci.names import class_name
from ..topology import Device, Hop, Topology
from ..topology.query import Place, TopologyError, ask
from ..topology.senders import Sender, senders
from .causes import Cause, Known, find_cause
from .fault import Fault
from .places import Landscape, Neighbour, Surroundings
from .units import Unit, find_unit

MOST_LISTED = 64
"""Candidates that are kept; a single stream of many functions has no use for more."""
MOST_REMEMBERED = 65536
"""IDs whose senders are remembered; then all are forgotten, and found out anew."""
BRIDGE = 0x06
"""Base class of bridges, which seldom access memory themselves."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device that may have done it.

    Attributes:
        name: as the topology calls it.
        unit: the unit that its ID reaches.
        why: why it comes into question.
        hops: the way of its ID to the unit, each step with its origin.
        listed: whether a source lists the device, rather than only the ID being possible.
        words: what kind of device it is, such as `NVMe controller`; empty: not known.
        driver: of the capture of its PCI functions; empty: none or not known.
        origin: what says the words and the driver, else what names the device.
        bridge: it is a bridge.
    """

    name: str
    unit: str
    why: str
    hops: tuple[Hop, ...] = ()
    listed: bool = True
    words: str = ""
    driver: str = ""
    origin: Origin | None = None
    bridge: bool = False

    def __str__(self) -> str:
        """Name it, with what it is and its driver: `0000:01:00.0 (NVMe controller, driver nvme)`."""
        more = ", ".join(part for part in (self.words, self.driver and f"driver {self.driver}") if part)
        return f"{self.name} ({more})" if more else self.name


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a board's topology adds to a fault.

    Attributes:
        unit: whose record it is.
        candidates: the devices that may have done it, bridges last; several share the ID, and none is picked.
        more: number of further candidates that are not kept.
        places: what the address falls in.
        near: what it misses by less than a page.
        tags: the address in words that rules go by; see `Surroundings`.
        cause: the likely cause, and what to do next.
        conflicts: what the fault's source says and the board does not bear out.
        hints: what else helps to find the device.
    """

    unit: Unit
    candidates: tuple[Candidate, ...] = ()
    more: int = 0
    places: tuple[Place, ...] = ()
    near: tuple[Neighbour, ...] = ()
    tags: frozenset[str] = frozenset()
    cause: Cause | None = None
    conflicts: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the candidates."""
        return tuple(candidate.name for candidate in self.candidates)


def attribute(fault: Fault, topology: Topology, memory: Collection[MemoryRange] = ()) -> Attribution:
    """Return what the topology of its board, and its memory map where it is known, say of a fault."""
    return Attributor(topology, memory)(fault)


class Attributor:
    """Attributes many faults of one board: who sends an ID is found out once."""

    def __init__(self, topology: Topology, memory: Collection[MemoryRange] = ()) -> None:
        """Take a board, and its memory map where that is known."""
        self._topology = topology
        self._landscape = Landscape(topology, memory)
        self._known: dict[tuple[object, ...], _Senders] = {}

    def __call__(self, fault: Fault) -> Attribution:
        """Return what the board says of a fault."""
        key = (fault.architecture, fault.iommu, fault.identifier, fault.segment, fault.device)
        who = self._known.get(key)
        if who is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            who = self._known[key] = _who(fault, self._topology)
        around = self._landscape.around(fault, who.names, who.unit.possible)
        return Attribution(
            unit=who.unit,
            candidates=who.kept,
            more=len(who.names) - len(who.kept),
            places=around.places,
            near=around.near,
            tags=around.tags,
            cause=_cause(fault, around, who.kept),
            conflicts=who.conflicts,
            hints=who.hints,
        )


@dataclass(frozen=True, slots=True)
class _Senders:
    """What is the same for all faults of one ID."""

    unit: Unit
    names: tuple[str, ...]
    kept: tuple[Candidate, ...]
    conflicts: tuple[str, ...]
    hints: tuple[str, ...]


def _who(fault: Fault, topology: Topology) -> _Senders:
    """Return the unit of a fault and the devices that may have done it, bridges last."""
    unit = find_unit(fault, topology)
    found, conflicts = _candidates(fault, topology, unit)
    sure = [one for one in found if one.listed] or found
    if not unit.name and len(units := {one.unit for one in sure}) == 1:
        name = units.pop()
        why = "no other unit gets this ID" + (" from a known device" if sure[0].listed else "")
        unit = Unit(name, why, topology.iommus[name].origin, (name,))
        found = [one for one in found if one.unit == name]
    if any(one.listed for one in found):
        found = [one for one in found if one.listed]
    found.sort(key=lambda one: one.bridge)
    kept = tuple(found[:MOST_LISTED])
    names = tuple(one.name for one in found)
    return _Senders(unit, names, kept, tuple(conflicts), tuple(_hints(topology, kept)))


def _cause(fault: Fault, around: Surroundings, kept: tuple[Candidate, ...]) -> Cause | None:
    """Return the likely cause in words, with the names of the device and of the place filled in."""
    words = {"who": kept[0].name} if len(kept) == 1 else {}
    if around.places:
        words["place"] = around.places[0].name
    if around.near:
        words["near"] = around.near[0].place.name
    known: Known = "listed" if any(one.listed for one in kept) else "possible" if kept else "nobody"
    return find_cause(fault, around.tags, words=words, known=known)


def _candidates(fault: Fault, topology: Topology, unit: Unit) -> tuple[list[Candidate], list[str]]:
    """Return the devices that send the fault's ID, and what does not fit with the device that its source names."""
    found: list[Candidate] = []
    if fault.identifier is not None:
        for name in unit.possible:
            for sender in senders(topology, name, fault.identifier):
                if fault.segment is None or _segment(sender) in (None, fault.segment):
                    found.append(_from_sender(sender, name, topology))
    if not fault.device:
        return found, []
    named, conflict = _named(fault, topology, unit)
    if fault.identifier is None:
        return ([named] if named else []), [conflict] if conflict else []
    if named is not None and all(one.name != named.name for one in found):
        others = " or ".join(one.name for one in found[:3]) or "no device that is known"
        conflict = f"its source names {named.name}, but the ID 0x{fault.identifier:x} is that of {others}"
    return found, [conflict] if conflict else []


def _named(fault: Fault, topology: Topology, unit: Unit) -> tuple[Candidate | None, str]:
    """Return the device that the fault's source names, or why there is none."""
    try:
        answer = ask(topology, fault.device)
    except TopologyError as error:
        return None, error.finding.message
    reached = [route for route in answer.routes if route.iommu is not None]
    at = next((route for route in reached if route.iommu in unit.possible), None)
    why = "the source of the fault names it"
    name = at.iommu if at is not None and at.iommu is not None else unit.name
    candidate = _described(answer.device, name, why, at.hops if at else (), topology, listed=answer.listed)
    if reached and at is None and unit.possible:
        units = " or ".join(dict.fromkeys(str(route.iommu) for route in reached))
        return candidate, f"its source names {answer.device.name}, which is behind {units}"
    return candidate, ""


def _from_sender(sender: Sender, unit: str, topology: Topology) -> Candidate:
    route = sender.route
    why = f"it has this ID {route.why}" if route.bridge else "it sends this ID"
    if sender.device is not None:
        return _described(sender.device, unit, why, route.hops, topology, listed=True)
    return Candidate(sender.name, unit, "this ID would be its own", route.hops, listed=False)


def _described(
    device: Device, unit: str, why: str, hops: tuple[Hop, ...], topology: Topology, *, listed: bool
) -> Candidate:
    """Return a candidate with what the capture of PCI functions says of it."""
    known = None
    if device.segment is not None and device.rid is not None:
        known = topology.function(device.segment, device.rid)
    if known is None:
        return Candidate(device.name, unit, why, hops, listed, origin=device.origin)
    function = known[1]
    return Candidate(
        device.name,
        unit,
        why,
        hops,
        listed,
        words=class_name(function.class_code),
        driver=function.driver or "",
        origin=function.origin,
        bridge=function.class_code >> 16 == BRIDGE,
    )


def _segment(sender: Sender) -> int | None:
    """Return the PCI segment of a sender, if it is a PCI function of a known segment."""
    if sender.device is not None:
        return sender.device.segment
    address = parse_pci_address(sender.name)
    return address[0] if address else None


def _hints(topology: Topology, kept: tuple[Candidate, ...]) -> list[str]:
    """Say of an ID that no listed device has what is on the same bus."""
    hints = []
    for one in kept:
        address = parse_pci_address(one.name)
        if one.listed or address is None or not topology.pci:
            continue
        segment, rid = address
        same = [
            function.address
            for pci in topology.pci
            for function in pci.functions.values()
            if (function.segment, function.bus) == (segment, rid >> 8)
        ]
        bridges = [
            function.address
            for pci in topology.pci
            for function in pci.functions.values()
            if function.segment == segment and function.secondary == rid >> 8
        ]
        name = format_pci_address(segment, rid)
        if same:
            hints.append(f"no source lists {name}; on its bus there are {', '.join(same[:8])}")
        elif bridges:
            hints.append(f"no source lists {name}, nor anything else on its bus, which is behind {bridges[0]}")
        else:
            hints.append(f"no source lists {name}, nor any bridge that leads to its bus")
    return hints
