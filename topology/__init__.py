"""One topology from all sources: which IOMMU controls which device, by which ID, and how we know."""

from __future__ import annotations

from .assemble import assemble, load_topology
from .model import (
    Device,
    Fact,
    IdMap,
    Interrupt,
    Iommu,
    MsiController,
    PciRoot,
    ReservedRegion,
    Source,
    StreamRange,
    UnresolvedScope,
)
from .resolve import Hop, Route, Sender, route_rid, route_root_rid, routes, senders
from .topology import Topology

__all__ = [
    "Device",
    "Fact",
    "Hop",
    "IdMap",
    "Interrupt",
    "Iommu",
    "MsiController",
    "PciRoot",
    "ReservedRegion",
    "Route",
    "Sender",
    "Source",
    "StreamRange",
    "Topology",
    "UnresolvedScope",
    "assemble",
    "load_topology",
    "route_rid",
    "route_root_rid",
    "routes",
    "senders",
]
