"""The other way round: from an ID at an IOMMU to the devices that send it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..base import format_pci_address, format_rid
from .model import Device, PciRoot
from .resolve import Route, route_rid, route_root_rid, routes
from .topology import Topology

MAX_RID = 0xFFFF


@dataclass(frozen=True, slots=True)
class Sender:
    """Something that sends a given ID to an IOMMU: a known device, or a requester ID of which no device is known."""

    name: str
    device: Device | None
    route: Route


def senders(topology: Topology, iommu: str, stream: int) -> list[Sender]:
    """Return everything that reaches an IOMMU with a given ID, each once, known devices first."""
    found = []
    for device in topology.devices.values():
        route = next((route for route in routes(topology, device) if reaches(route, iommu, stream)), None)
        if route is not None:  # of several ways that lead to one ID, the first
            found.append(Sender(device.name, device, route))
    named = {sender.name for sender in found}
    for root, rid in _inverse(topology, iommu, stream):
        if root.segment is None:
            name, route = f"{root.name}/{format_rid(rid)}", route_root_rid(topology, root, rid)
        else:
            name, route = format_pci_address(root.segment, rid), route_rid(topology, root.segment, rid)
        if name in topology.devices:
            continue  # its routes have been looked at above
        if reaches(route, iommu, stream) and name not in named:
            named.add(name)
            found.append(Sender(name, None, route))
    for root in topology.roots.values():
        found += _merged(topology, root, iommu, stream)
        if any(one.single and one.target == iommu for one in topology.maps_from(root.name)):
            route = route_root_rid(topology, root, 0)
            if reaches(route, iommu, stream):
                found.append(Sender(f"every function of {root.name}", None, route))
    return found


def _merged(topology: Topology, root: PciRoot, iommu: str, stream: int) -> Iterator[Sender]:
    """Iterate over the ranges of requester IDs that all arrive with this ID, each as one sender."""
    for one in topology.maps_from(root.name):
        if one.merges and one.target == iommu and one.output == stream:
            route = route_root_rid(topology, root, one.base)
            last = one.base + one.length - 1
            yield Sender(f"requester IDs 0x{one.base:04x}-0x{last:04x} of {root.name}", None, route)


def reaches(route: Route, iommu: str, stream: int) -> bool:
    """Tell whether a route ends at the IOMMU, with an ID that the IOMMU takes for this one."""
    if route.iommu != iommu or route.verdict not in ("controlled", "disabled"):
        return False
    if route.stream is None:
        return True
    if route.count > 1:
        return route.stream <= stream < route.stream + route.count
    return (route.stream ^ stream) & ~route.ignored_bits == 0


def _inverse(topology: Topology, iommu: str, stream: int) -> Iterator[tuple[PciRoot, int]]:
    """Iterate over roots and requester IDs that some map would turn into this ID; a route has to confirm them."""
    for root in topology.roots.values():
        for one in topology.maps_from(root.name):
            if one.target != iommu or one.output is None or one.carries == "msi" or one.single or one.merges:
                continue
            rid = stream - one.output + one.base
            if one.base <= rid < one.base + one.length and rid <= MAX_RID:
                yield root, rid
