"""Questions about one thing: the device of a name, the memory reserved for it, what lies at an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..base import Finding, IommumanError, Origin, format_pci_address, parse_pci_address, printable
from .groups import Group, group_of, isolation_groups
from .model import Device, Grant, PciRoot, ReservedRegion
from .resolve import Route, route_root_rid, routes
from .senders import reaches
from .topology import Topology
from .view import Attachment, attachments, size, stream_words

X86_MSI_START, X86_MSI_LENGTH = 0xFEE00000, 0x100000
"""Writes to this window are interrupts on x86 and are never translated (VT-d specification 4.1 §3.14; AMD's alike)."""


class TopologyError(IommumanError):
    """A question that the topology cannot answer: the one exception class of this layer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of one device.

    Attributes:
        device: the device; made up from its address when no source lists it.
        listed: whether a source lists it.
        routes: what becomes of its IDs.
        reserved: the reserved memory that concerns it.
        grants: the memory that it may use from start.
        sharers: for each IOMMU and ID of it, the other devices that have the same.
        group: its isolation group; None when it is in none.
    """

    device: Device
    listed: bool
    routes: tuple[Route, ...]
    reserved: tuple[ReservedRegion, ...]
    sharers: tuple[tuple[str, int, tuple[str, ...]], ...]
    grants: tuple[Grant, ...] = ()
    group: Group | None = None


def ask(topology: Topology, name: str) -> Answer:
    r"""Return what is known of the device of this name.

    Names are those of the topology, and short forms of them: `02:01.0` (segment 0), `\\_SB.USB0` and `/soc/usb@1000`
    without their prefix, the last part of a path when only one device has it, and `HOST/bb:dd.f` for a function of a
    PCI host bridge whose segment no source tells.

    Raises:
        TopologyError: no device has the name, or several have.
    """
    host, _, rest = name.rpartition("/")
    address = parse_pci_address(name)
    if address is not None:
        return _answer(topology, format_pci_address(*address), address)
    if host and (inner := parse_pci_address(rest)) is not None:
        return _ask_host(topology, host, inner[1])
    return _answer(topology, _find(topology, name), None)


def _answer(topology: Topology, name: str, address: tuple[int, int] | None) -> Answer:
    """Gather what is known of the device of a full name."""
    device = topology.devices.get(name)
    listed = device is not None
    if device is None:
        segment, rid = address or (None, None)
        device = Device(name, "pci", Origin(""), segment, rid)
    found = tuple(routes(topology, device))
    grants = tuple(grant for grant in topology.grants if device.name in grant.devices)
    reserved = reserved_for(topology, device, found)
    attached = attachments(topology)
    group = group_of(isolation_groups(topology, attached), device.name)
    return Answer(device, listed, found, reserved, _sharers(attached, device, found), grants, group)


def _ask_host(topology: Topology, host: str, rid: int) -> Answer:
    """Answer for a function of a host bridge that is named by its node."""
    names = [root for root in topology.roots if root in (host, f"dt:{host}") or root.endswith("/" + host)]
    if len(names) != 1:
        raise _unknown(host, "PCI host bridge", names, list(topology.roots))
    root: PciRoot = topology.roots[names[0]]
    if root.segment is not None:
        return _answer(topology, format_pci_address(root.segment, rid), (root.segment, rid))
    device = Device(f"{root.name}/{format_pci_address(0, rid)[5:]}", "pci", root.origin, None, rid)
    found = (route_root_rid(topology, root, rid),)
    return Answer(device, listed=False, routes=found, reserved=reserved_for(topology, device, found), sharers=())


def _find(topology: Topology, name: str) -> str:
    """Return the full name of the device that a user means."""
    for full in (name, f"acpi:{name}", f"dt:{name}"):
        if full in topology.devices:
            return full
    ends = [full for full in topology.devices if full.endswith((f"/{name}", f".{name}"))]
    if not ends and "\\" in name:
        ends = [full for full in topology.devices if _unpadded(full) in (_unpadded(name), f"acpi:{_unpadded(name)}")]
    if len(ends) == 1:
        return ends[0]
    hosts = [root for root in topology.roots if root in (name, f"dt:{name}")]
    if not ends and hosts:
        text = f"{hosts[0]} is a PCI host bridge, and no device"
        raise TopologyError(
            Finding("TOPOLOGY-NAME", "error", Origin(""), text, advice=f"name a function of it, as {hosts[0]}/01:00.0")
        )
    raise _unknown(name, "device", ends, list(topology.devices))


def _unpadded(name: str) -> str:
    """Return an ACPI path without the underscores that fill its segments up to four letters (ACPI 6.5 §5.3)."""
    return ".".join(part.rstrip("_") for part in name.split("."))


def _unknown(name: str, kind: str, several: list[str], known: list[str]) -> TopologyError:
    """Return the error for a name that means no thing, or more than one."""
    import difflib

    where = Origin("")
    if several:
        text, near = f"{len(several)} things are called '{printable(name)}'", several[:5]
    else:
        text, near = f"there is no {kind} '{printable(name)}'", difflib.get_close_matches(name, known, 3, 0.4)
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    else:
        advice = f"such names are {' or '.join(known[:3])}" if known else "the sources name none"
    return TopologyError(Finding("TOPOLOGY-NAME", "error", where, text, advice=advice))


def reserved_for(topology: Topology, device: Device, found: tuple[Route, ...]) -> tuple[ReservedRegion, ...]:
    """Return the reserved memory that concerns a device, by its name or by the IDs of its routes."""
    return tuple(
        region
        for region in topology.reserved
        if device.name in region.devices
        or any(
            route.iommu == stream.iommu
            and route.stream is not None
            and route.stream < stream.base + stream.length
            and stream.base < route.stream + route.count
            for stream in region.streams
            for route in found
        )
    )


def _sharers(
    attached: Sequence[Attachment], device: Device, found: tuple[Route, ...]
) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """Return who else has the IDs of a device."""
    others = [
        (other.device.name, route)
        for other in attached
        if other.device.name != device.name
        for route in other.routes
        if route.verdict == "controlled"
    ]
    shared = []
    for own in found:
        if own.iommu is None or own.stream is None or own.verdict != "controlled":
            continue
        names = tuple(dict.fromkeys(name for name, route in others if reaches(route, own.iommu, own.stream)))
        if names:
            shared.append((own.iommu, own.stream, names))
    return tuple(dict.fromkeys(shared))


@dataclass(frozen=True, slots=True)
class Place:
    """Something that an address falls in: its name and what it is, its range, and where it is known from."""

    name: str
    start: int
    length: int
    origin: Origin

    @property
    def extent(self) -> str:
        """The range in words."""
        return f"0x{self.start:x}-0x{self.start + self.length - 1:x} ({size(self.length)})"


def at_address(topology: Topology, address: int) -> list[Place]:
    """Return everything that an address falls in: reserved memory, registers of IOMMUs, windows of PCI functions."""
    return [place for place in all_places(topology) if place.start <= address < place.start + place.length]


def all_places(topology: Topology) -> list[Place]:
    """Return everything that an address can fall in, each once."""
    places = []
    for region in topology.reserved:
        owners = [
            *region.devices,
            *(f"{one.iommu} {stream_words(one.base, one.length)}" for one in region.streams),
        ]
        name = f"reserved memory ({region.kind}) for {', '.join(owners) or 'no device that is named'}"
        starts = dict.fromkeys(start for start in (region.start, region.physical) if start is not None)
        places += [Place(name, start, region.length, region.origin) for start in starts]
    for unit in topology.iommus.values():
        if unit.base is not None:
            places.append(Place(f"registers of {unit.name}", unit.base, unit.size or 0x1000, unit.origin))
            if unit.kind in ("vtd", "amdvi"):
                places.append(Place("interrupt window, never translated", X86_MSI_START, X86_MSI_LENGTH, unit.origin))
    for pci in topology.pci:
        for function in pci.functions.values():
            places += [
                Place(f"window {index} of {function.address}", one.start, one.end - one.start + 1, function.origin)
                for index, one in enumerate(function.resources)
                if one.end >= one.start and one.flags & MEMORY
            ]
    return list({(place.name, place.start): place for place in places}.values())


MEMORY = 0x200
"""Linux's resource flag for memory, as opposed to port numbers."""
