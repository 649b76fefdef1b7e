"""What the tests of merging share: small boards, configurations in a few words, and what a topology means."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from iommuman.base import Origin
from iommuman.parsers.pci import parse_pci
from iommuman.parsers.smmu_config import Configuration, parse_configuration
from iommuman.topology import Device, IdMap, Iommu, PciRoot, Topology, routes
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.diff.values import Ways
from iommuman.topology.from_pci import add_pci
from iommuman.topology.merge import merge
from iommuman.topology.spaces import segment_ways

HERE = Origin("board")


def configuration(text: str) -> Configuration:
    """Return a configuration that has nothing wrong in it."""
    found = parse_configuration(text, "user.smmu")
    assert found.findings == ()
    return found


def merged(make: Callable[[], TopologyBuilder], *texts: str | Configuration, keep: bool = False) -> Topology:
    """Return a board with configurations laid over it."""
    builder = make()
    for text in texts:
        merge(builder, configuration(text) if isinstance(text, str) else text, keep=keep)
    return Topology(builder)


def found_ids(topology: Topology, name: str) -> list[tuple[str | None, int | None]]:
    """Return the units and IDs of a device."""
    return [(route.iommu, route.stream) for route in routes(topology, topology.devices[name])]


def said(topology: Topology) -> list[tuple[str, str, str]]:
    """Return rule, severity and sentence of each finding of a merge."""
    return [(one.rule, one.severity, str(one)) for one in topology.findings]


def meaning(topology: Topology) -> tuple[Any, ...]:
    """Return what a topology means: what two that mean the same have equal, whatever the places they are known from."""
    devices = {
        name: sorted(
            (str(one.requester), one.verdict, str(one.iommu), str(one.stream), one.count, one.ignored_bits,
             str(one.msi_hops[-1:] and (one.msi_hops[-1].target, one.msi_hops[-1].target_id)))
            for one in routes(topology, device)
        )
        for name, device in topology.devices.items()
    }  # fmt: skip
    units = {
        unit.name: (unit.kind, unit.base, unit.enabled, unit.interrupts, unit.bypass, unit.reserved_ids)
        for unit in topology.iommus.values()
    }
    segments = {root.segment for root in topology.roots.values()} - {None}
    ranges = {segment: Ways(segment_ways(topology, segment or 0)[0]) for segment in segments}
    reserved = {
        (one.start, one.length, one.meaning, name) for one in topology.reserved for name in (*one.devices, *one.streams)
    }
    grants = {
        (one.name, one.start, one.length, one.read, one.write, device)
        for one in topology.grants
        for device in one.devices
    }
    return devices, units, ranges, reserved, grants


def vtd_board() -> TopologyBuilder:
    """Return a board with a VT-d unit for 00:02.0 and one for all else, and no PCI topology."""
    builder = TopologyBuilder()
    root = builder.add_root(0, HERE)
    for base in (0xFED90000, 0xFED91000):
        builder.iommus.append(Iommu(builder.unique(f"vtd@{base:x}"), "vtd", HERE, base, 0x1000, 0))
    builder.maps.append(IdMap(root, "vtd@fed90000", 0x10, 1, 0x10, Origin("DMAR", "scope"), "device scope"))
    builder.maps.append(IdMap(root, "vtd@fed91000", 0, 0x10000, 0, HERE, "INCLUDE_PCI_ALL", fallback=True))
    for rid in (0x10, 0xA0):
        builder.device(Device(f"0000:00:{rid >> 3:02x}.0", "pci", HERE, 0, rid))
    return builder


def listed_board(functions: list[dict[str, Any]], *maps: tuple[int, int]) -> TopologyBuilder:
    """Return a board with a PCI topology and two VT-d units, each with maps of (register base, requester ID)."""
    builder = TopologyBuilder()
    document = {"format": "iommuman-pci", "version": 1, "functions": functions, "root_buses": []}
    add_pci(builder, parse_pci(json.dumps(document).encode(), "pci.json"))
    root = builder.add_root(0, HERE)
    for base in (0x1000, 0x2000):
        builder.iommus.append(Iommu(builder.unique(f"vtd@{base:x}"), "vtd", HERE, base))
    builder.maps += [IdMap(root, f"vtd@{base:x}", rid, 1, rid, HERE, "device scope") for base, rid in maps]
    return builder


def smmu_board() -> TopologyBuilder:
    """Return a board with an SMMUv3, a root whose IDs it has, and a component whose messages pass it to an ITS."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot(builder.unique("pci:0000"), HERE, 0))
    builder.iommus.append(Iommu(builder.unique("smmuv3@2b400000"), "smmuv3", HERE, 0x2B400000))
    builder.maps.append(IdMap("pci:0000", "smmuv3@2b400000", 0, 0x10000, 0x10000, HERE, "ID mapping", "both"))
    builder.maps.append(IdMap("acpi:\\_SB.DEV", "smmuv3@2b400000", 0, 1, 5, HERE, "ID mapping", "both", single=True))
    builder.device(Device("acpi:\\_SB.DEV", "acpi", HERE))
    builder.device(Device("0000:00:03.0", "pci", HERE, 0, 0x18))
    return builder
