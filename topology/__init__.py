"""One topology from all sources: which IOMMU controls which device, by which ID, and how we know."""

from __future__ import annotations

from .load import assemble, load_topology
from .model import (
    Device,
    Fact,
    Grant,
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
from .resolve import Hop, Route, route_rid, route_root_rid, routes
from .topology import Topology

__all__ = [
    "Device",
    "Fact",
    "Grant",
    "Hop",
    "IdMap",
    "Interrupt",
    "Iommu",
    "MsiController",
    "PciRoot",
    "ReservedRegion",
    "Route",
    "Source",
    "StreamRange",
    "Topology",
    "UnresolvedScope",
    "assemble",
    "load_topology",
    "route_rid",
    "route_root_rid",
    "routes",
]
