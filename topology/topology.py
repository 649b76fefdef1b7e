"""The topology of a board: all that its sources say, in one place and with one set of names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from ..base import Finding
from .builder import TopologyBuilder
from .model import (
    Device,
    Fact,
    IdMap,
    Iommu,
    MsiController,
    PciRoot,
    ReservedRegion,
    Source,
    UnresolvedScope,
)

if TYPE_CHECKING:
    from ..parsers.pci import PciFunction, PciTopology

_Named = TypeVar("_Named", Iommu, PciRoot, MsiController)


class Topology:
    """Who controls whom, as the sources say it. It does not change once it is made.

    Attributes:
        sources: what was read.
        iommus: IOMMUs by name.
        roots: PCI roots by name.
        devices: devices by name.
        msi_controllers: MSI controllers by name.
        maps: ID maps in the order of the sources.
        reserved: reserved memory.
        unresolved: VT-d scopes that need a PCI topology.
        facts: what is said of the whole machine.
        pci: PCI topologies.
        findings: what is wrong with the sources.
        passed_over: files that were no source, each with the reason.
    """

    __slots__ = (
        "_maps_from",
        "devices",
        "facts",
        "findings",
        "iommus",
        "maps",
        "msi_controllers",
        "passed_over",
        "pci",
        "reserved",
        "roots",
        "sources",
        "unresolved",
    )

    def __init__(self, builder: TopologyBuilder, passed_over: Iterable[tuple[str, str]] = ()) -> None:
        """Take over what a builder has collected."""
        self.sources: tuple[Source, ...] = tuple(builder.sources)
        self.iommus = _by_name(builder.iommus)
        self.roots = _by_name(builder.roots)
        self.devices: dict[str, Device] = dict(builder.devices)
        self.msi_controllers = _by_name(builder.msi_controllers)
        self.maps: tuple[IdMap, ...] = tuple(builder.maps)
        self.reserved: tuple[ReservedRegion, ...] = tuple(builder.reserved)
        self.unresolved: tuple[UnresolvedScope, ...] = tuple(builder.unresolved)
        self.facts: tuple[Fact, ...] = tuple(builder.facts)
        self.pci: tuple[PciTopology, ...] = tuple(builder.pci)
        self.findings: tuple[Finding, ...] = tuple(builder.findings)
        self.passed_over: tuple[tuple[str, str], ...] = tuple(passed_over)
        self._maps_from: dict[str, list[IdMap]] = {}
        for one in self.maps:
            self._maps_from.setdefault(one.source, []).append(one)

    def maps_from(self, name: str) -> list[IdMap]:
        """Return the maps whose IDs come from this root, device or IOMMU, in order."""
        return self._maps_from.get(name, [])

    def function(self, segment: int, rid: int) -> tuple[PciTopology, PciFunction] | None:
        """Return a PCI function and the topology that it is part of."""
        for topology in self.pci:
            found = topology.functions.get((segment, rid))
            if found is not None:
                return topology, found
        return None

    def segment_roots(self, segment: int, bus: int) -> list[PciRoot]:
        """Return the roots that a bus of a segment can belong to, in order."""
        return [
            root
            for root in self.roots.values()
            if root.segment == segment and root.first_bus <= bus <= root.last_bus and root.enabled
        ]


def _by_name(records: Iterable[_Named]) -> dict[str, _Named]:
    return {record.name: record for record in records}
