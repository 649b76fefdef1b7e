"""What the manager makes of a topology at start: which devices it controls and by which IDs, and which it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from ..base import RangeSet
from ..topology import Device, Route, Topology, routes
from ..topology.groups import isolation_groups
from ..topology.resolve import UNIT_ITSELF
from ..topology.view import INTERRUPT_SOURCES, is_bridge
from .mappings import Access, Segment
from .ports import GRANULE, Port

MOST_IDS = 4096
"""IDs of one device that are programmed one by one; more than this is taken for a mistake."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a device's requests arrive: an ID at a unit."""

    unit: str
    identifier: int


@dataclass(frozen=True, slots=True)
class Member:
    """A device that units control.

    Attributes:
        device: its record in the topology.
        endpoints: where its requests arrive.
        sharers: names of other devices that send any of the same IDs, so that no unit can tell them apart.
        partners: names of the other devices of its isolation group: the unit can tell them apart, and they may reach
            each other past it.
        reserved: memory that it must keep reaching, one to one.
        startup: memory that the configuration grants it from start, one to one.
    """

    device: Device
    endpoints: tuple[Endpoint, ...]
    sharers: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()
    reserved: tuple[Segment, ...] = ()
    startup: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """All devices of a topology.

    Attributes:
        members: devices that units control, by name.
        at: names of the devices that send an ID to a unit; a bridge only where nothing else has its ID.
        unrestricted: devices that reach all of memory, with the reason: no unit stands between.
        unknown: devices of which it cannot be told, with the reason; a safe start has none.
    """

    members: dict[str, Member]
    at: dict[Endpoint, tuple[str, ...]]
    unrestricted: tuple[tuple[str, str], ...]
    unknown: tuple[tuple[str, str], ...]


def survey(topology: Topology, ports: Mapping[str, Port]) -> Survey:
    """Return what can be said of every device when the units of these ports are programmed.

    An IOMMU that is a PCI function is what restricts others, and is not told of. A PCI bridge passes requests on and
    sends none of its own: it is no member, so that nobody is granted memory in its name whose ID is that of what is
    behind it. A device that has an IOMMU for some of its IDs only is unrestricted, and a member for the others.
    """
    endpoints: dict[str, tuple[Endpoint, ...]] = {}
    bridges: dict[Endpoint, list[str]] = {}
    unrestricted, unknown = [], []
    for device in topology.devices.values():
        if device.kind in INTERRUPT_SOURCES:
            continue
        found, open_reason, unclear = _endpoints(routes(topology, device), ports)
        if is_bridge(device):
            for place in found:
                bridges.setdefault(place, []).append(device.name)
        elif found:
            endpoints[device.name] = found
        if open_reason:
            unrestricted.append((device.name, open_reason))
        if unclear:
            unknown.append((device.name, unclear))
    at: dict[Endpoint, list[str]] = {}
    for name, places in endpoints.items():
        for place in places:
            at.setdefault(place, []).append(name)
    group_of = {name: group.devices for group in isolation_groups(topology) for name in group.devices}
    sharers = {name: _sharers(name, places, at) for name, places in endpoints.items()}
    members = {
        name: Member(
            topology.devices[name],
            places,
            sharers[name],
            tuple(
                other
                for other in group_of.get(name, ())
                if other in endpoints and other != name and other not in sharers[name]
            ),
            tuple(_reserved(topology, name, places)),
            tuple(_startup(topology, name)),
        )
        for name, places in endpoints.items()
    }
    senders = {place: tuple(names) for place, names in (bridges | at).items()}
    return Survey(members, senders, tuple(unrestricted), tuple(unknown))


def _endpoints(found: list[Route], ports: Mapping[str, Port]) -> tuple[tuple[Endpoint, ...], str, str]:
    """Return where a device's requests arrive, why some pass freely, and why of some nothing can be told."""
    places: dict[Endpoint, None] = {}
    open_reason = unclear = ""
    for route in found:
        if route.reason == UNIT_ITSELF:
            continue
        if route.verdict == "unresolved":
            unclear = unclear or route.reason
        elif route.verdict != "controlled" or route.iommu is None:
            open_reason = open_reason or route.reason
        elif route.iommu not in ports:
            open_reason = open_reason or f"its unit {route.iommu} is not programmed"
        elif (count := route.count << route.ignored_bits.bit_count()) > MOST_IDS:
            unclear = unclear or f"it has {count} IDs, more than the {MOST_IDS} that are programmed one by one"
        elif ((route.stream or 0) + route.count - 1 | route.ignored_bits) >> ports[route.iommu].identifier_bits:
            unclear = unclear or f"its ID 0x{route.stream:x} is beyond those of its unit {route.iommu}"
        else:
            places |= {Endpoint(route.iommu, identifier): None for identifier in _sent(route)}
    return tuple(places), open_reason, unclear


def _sent(route: Route) -> list[int]:
    """Return the IDs that may arrive: where a unit ignores bits of an ID, a device may send any value of these."""
    first = route.stream or 0
    found = {identifier & ~route.ignored_bits for identifier in range(first, first + route.count)}
    for bit in range(route.ignored_bits.bit_length()):
        if route.ignored_bits >> bit & 1:
            found |= {identifier | 1 << bit for identifier in found}
    return sorted(found)


def _sharers(name: str, places: tuple[Endpoint, ...], at: dict[Endpoint, list[str]]) -> tuple[str, ...]:
    """Return the other devices that send any of these IDs."""
    return tuple(dict.fromkeys(other for place in places for other in at[place] if other != name))


def _reserved(topology: Topology, name: str, places: tuple[Endpoint, ...]) -> list[Segment]:
    """Return the reserved memory of a device that has to be mapped: `direct` and `mapped` regions."""
    found = []
    for region in topology.reserved:
        if region.meaning not in ("direct", "mapped"):
            continue
        by_id = any(
            place.unit == stream.iommu and stream.base <= place.identifier < stream.base + stream.length
            for stream in region.streams
            for place in places
        )
        if name in region.devices or by_id:
            physical = region.start if region.physical is None else region.physical
            found.append(_whole(region.start, region.length, physical, Access.READ | Access.WRITE))
    return found


def _startup(topology: Topology, name: str) -> list[Segment]:
    """Return what the configuration grants a device from start; permissions of overlapping regions add up."""
    readable, writable = RangeSet(), RangeSet()
    for grant in topology.grants:
        if name in grant.devices:
            if grant.read:
                readable.add(grant.start, grant.length)
            if grant.write:
                writable.add(grant.start, grant.length)
    edges = sorted(
        {edge for ranges in (readable, writable) for start, size in ranges for edge in (start, start + size)}
    )
    found = []
    for start, end in pairwise(edges):
        access = (Access.READ if start in readable else Access.NONE) | (
            Access.WRITE if start in writable else Access.NONE
        )
        if access:
            found.append(_whole(start, end - start, start, access))
    return found


def _whole(start: int, length: int, physical: int, access: Access) -> Segment:
    """Return a segment of whole granules that holds the given one."""
    before = start % GRANULE
    size = -(-(before + length) // GRANULE) * GRANULE
    return Segment(start - before, size, physical - before, access)
