"""What PCI topologies and MCFG tables add to a topology: the functions there are, and the segments."""

from __future__ import annotations

from ..base import Origin
from ..parsers.acpi import Table
from ..parsers.acpi.mcfg import Mcfg
from ..parsers.pci import PciFunction, PciTopology
from .builder import TopologyBuilder
from .model import Device, Property


def add_pci(builder: TopologyBuilder, topology: PciTopology) -> None:
    """Add every function as a device."""
    builder.pci.append(topology)
    builder.findings.extend(topology.findings)
    for function in topology.functions.values():
        properties = tuple(_properties(function))
        builder.device(
            Device(function.address, "pci", function.origin, function.segment, function.rid, properties=properties)
        )


def _properties(function: PciFunction) -> list[Property]:
    """Return what people want to know of a function."""
    found: list[Property] = [
        ("id", f"{function.vendor:04x}:{function.device:04x}"),
        ("class", f"{function.class_code:06x}"),
    ]
    if function.secondary is not None:
        found.append(("bridge to", f"bus {function.secondary:02x}-{function.subordinate or 0:02x}"))
    if function.pcie_type:
        found.append(("pcie", function.pcie_type))
    if function.driver:
        found.append(("driver", function.driver))
    if function.physfn:
        found.append(("virtual function of", function.physfn))
    if function.numa_node is not None:
        found.append(("numa node", function.numa_node))
    return found


def add_segments(builder: TopologyBuilder, table: Table, body: Mcfg) -> None:
    """Add a root for every segment that an MCFG has and nothing else named."""
    for entry in body.allocations:
        builder.segment_root(entry.segment, table.origin(entry))


def add_function_segments(builder: TopologyBuilder) -> None:
    """Add a root for every segment that has functions and that nothing else named."""
    known = {root.segment for root in builder.roots}
    for topology in builder.pci:
        for segment in dict.fromkeys(segment for segment, _ in topology.functions):
            if segment not in known:
                first = next(function for function in topology.functions.values() if function.segment == segment)
                builder.segment_root(segment, Origin(first.origin.source))
                known.add(segment)
