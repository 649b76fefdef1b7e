"""The topology of a board: all that its sources say, in one place and with one set of names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from ..base import Finding
from .builder import TopologyBuilder
from .model import (
    Device,
    Fact,
    Grant,
    IdMap,
    Iommu,
    MsiController,
    PciRoot,
    ReservedRegion,
    Source,
    UnresolvedScope,
)

if TYPE_CHECKING:
    from ..parsers.kernel_iommu import KernelView
    from ..parsers.pci import PciFunction, PciTopology

ALL_BITS = 0xFFFFFFFF
"""The mask of a map that looks at every bit of an ID."""

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
        grants: memory that a configuration grants from start.
        unresolved: VT-d scopes that need a PCI topology.
        facts: what is said of the whole machine.
        pci: PCI topologies.
        kernel_views: what running kernels make of their IOMMUs.
        findings: what is wrong with the sources.
        passed_over: files that were no source, each with the reason.
        silence: why nothing follows from no source naming an IOMMU for a device; empty when that is an answer.
    """

    __slots__ = (
        "_exact",
        "_maps_from",
        "_segments",
        "_wide",
        "devices",
        "facts",
        "findings",
        "grants",
        "iommus",
        "kernel_views",
        "maps",
        "msi_controllers",
        "passed_over",
        "pci",
        "reserved",
        "roots",
        "silence",
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
        self.grants: tuple[Grant, ...] = tuple(builder.grants)
        self.unresolved: tuple[UnresolvedScope, ...] = tuple(builder.unresolved)
        self.facts: tuple[Fact, ...] = tuple(builder.facts)
        self.pci: tuple[PciTopology, ...] = tuple(builder.pci)
        self.kernel_views: tuple[KernelView, ...] = tuple(builder.kernel_views)
        self.findings: tuple[Finding, ...] = tuple(builder.findings)
        self.passed_over: tuple[tuple[str, str], ...] = tuple(passed_over)
        self.silence = builder.silence
        self._maps_from: dict[str, list[IdMap]] = {}
        self._exact: dict[tuple[str, int], list[tuple[int, IdMap]]] = {}
        self._wide: dict[str, list[tuple[int, IdMap]]] = {}
        for order, one in enumerate(self.maps):
            self._maps_from.setdefault(one.source, []).append(one)
            if one.length == 1 and not one.single and not one.fallback and one.mask == ALL_BITS:
                self._exact.setdefault((one.source, one.base), []).append((order, one))
            else:
                self._wide.setdefault(one.source, []).append((order, one))
        self._segments: dict[int | None, list[PciRoot]] = {}
        for root in self.roots.values():
            self._segments.setdefault(root.segment, []).append(root)

    def maps_from(self, name: str) -> list[IdMap]:
        """Return the maps whose IDs come from this root, device or IOMMU, in order."""
        return self._maps_from.get(name, [])

    def maps_for(self, name: str, number: int) -> list[IdMap]:
        """Return those of `maps_from` that can hold an ID, in order: tables may name thousands of IDs one by one."""
        exact, wide = self._exact.get((name, number)), self._wide.get(name, [])
        found = wide if exact is None else sorted((*exact, *wide), key=lambda pair: pair[0])
        return [one for _, one in found]

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
            root for root in self._segments.get(segment, []) if root.first_bus <= bus <= root.last_bus and root.enabled
        ]


def _by_name(records: Iterable[_Named]) -> dict[str, _Named]:
    return {record.name: record for record in records}
