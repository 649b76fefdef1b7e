"""Collects the records of all sources, in input order, and keeps their names unique."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ..base import Finding, Origin
from .model import (
    Device,
    Fact,
    Grant,
    IdMap,
    Iommu,
    MsiController,
    PciRoot,
    Property,
    ReservedRegion,
    Source,
    UnresolvedScope,
)

if TYPE_CHECKING:
    from ..parsers.kernel_iommu import KernelView
    from ..parsers.pci import PciTopology


class Finder(Protocol):
    """Finds devices that a source has and that nothing in it made a record of; they are added when they are found."""

    def at(self, base: int) -> str | None:
        """Return the name of the device whose registers are at a physical address."""
        ...

    def named(self, name: str) -> str | None:
        """Return the name again when the source has a device of this name."""
        ...


class TopologyBuilder:
    """The lists that become a `Topology`; each source's reader adds to them."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.sources: list[Source] = []
        self.iommus: list[Iommu] = []
        self.roots: list[PciRoot] = []
        self.devices: dict[str, Device] = {}
        self.msi_controllers: list[MsiController] = []
        self.maps: list[IdMap] = []
        self.reserved: list[ReservedRegion] = []
        self.grants: list[Grant] = []
        self.unresolved: list[UnresolvedScope] = []
        self.findings: list[Finding] = []
        self.facts: list[Fact] = []
        self.pci: list[PciTopology] = []
        self.kernel_views: list[KernelView] = []
        self.finders: list[Finder] = []
        self.silence = ""
        self._names: dict[str, int] = {}
        self._segments: dict[int, str] = {}
        self._indexed = 0

    def unique(self, name: str) -> str:
        """Return the name, or the name with `#2`, `#3`, … when it has been given out before."""
        count = self._names.get(name, 0) + 1
        self._names[name] = count
        return name if count == 1 else f"{name}#{count}"

    def device(self, device: Device) -> str:
        """Add a device unless one of its name is there already (the first that names it stays); return its name."""
        self.devices.setdefault(device.name, device)
        return device.name

    def describe(self, name: str, fact: Property) -> None:
        """Add a property to a device that is there."""
        device = self.devices[name]
        if fact not in device.properties:
            self.devices[name] = replace(device, properties=(*device.properties, fact))

    def segment_root(self, segment: int, origin: Origin) -> str:
        """Return the name of the root that stands for a whole PCI segment, adding it when it is not there."""
        for root in self.roots[self._indexed :]:
            if root.segment is not None:
                self._segments.setdefault(root.segment, root.name)
        self._indexed = len(self.roots)
        return self._segments.get(segment) or self.add_root(segment, origin)

    def add_root(self, segment: int, origin: Origin, *properties: Property) -> str:
        """Add a root complex of a PCI segment, and return its name."""
        name = self.unique(f"pci:{segment:04x}")
        self.roots.append(PciRoot(name, origin, segment, properties=properties))
        return name
