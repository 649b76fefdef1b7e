"""Device trees: flattened blobs, and what they say about IOMMUs.

`read_devicetree` reads a blob into a `DeviceTree` of `Node` and `Property`; the other functions read the properties
that matter for IOMMUs. Those that can find something wrong take the list that findings go to; none fails on damaged
input, and their records say where they were read.
"""

from __future__ import annotations

from .addresses import Region, bus_cells, reg, translate
from .bindings import STREAM_MATCH, UNKNOWN_IOMMU, IommuBinding, iommu_binding, msi_controller_kind
from .blob import build_devicetree, is_devicetree, read_devicetree
from .idmaps import IdMapProperty, MapEntry, id_map
from .interrupts import WiredInterrupt, interrupts
from .iommu import (
    MmuMaster,
    MsiRoute,
    PciHost,
    inherited_msi_route,
    iommus,
    is_pci_host,
    mmu_masters,
    msi_route,
    pci_function,
    pci_host,
)
from .memory import memory_ranges
from .references import Reference, references
from .reserved import IommuAddresses, ReservedMemory, reserved_memory
from .tree import DeviceTree, Node, Property, Reservation

__all__ = [
    "STREAM_MATCH",
    "UNKNOWN_IOMMU",
    "DeviceTree",
    "IdMapProperty",
    "IommuAddresses",
    "IommuBinding",
    "MapEntry",
    "MmuMaster",
    "MsiRoute",
    "Node",
    "PciHost",
    "Property",
    "Reference",
    "Region",
    "Reservation",
    "ReservedMemory",
    "WiredInterrupt",
    "build_devicetree",
    "bus_cells",
    "id_map",
    "inherited_msi_route",
    "interrupts",
    "iommu_binding",
    "iommus",
    "is_devicetree",
    "is_pci_host",
    "memory_ranges",
    "mmu_masters",
    "msi_controller_kind",
    "msi_route",
    "pci_function",
    "pci_host",
    "read_devicetree",
    "references",
    "reg",
    "reserved_memory",
    "translate",
]
