"""What a VIOT says: which endpoints a virtio-iommu manages, and by which endpoint ID.

A range takes requester IDs of one or several PCI segments; each further segment's endpoint IDs begin 10000h later. Of
two ranges that hold one function, Linux takes the later (`drivers/acpi/viot.c`), and so does this. No virtio-iommu
translates its own accesses, whatever range holds it.
"""

from __future__ import annotations

from typing import Literal

from ..base import Finding, Origin, format_pci_address
from ..parsers.acpi import Table
from ..parsers.acpi.viot import MmioEndpoint, Node, PciRange, Viot, VirtioIommuMmio, VirtioIommuPci
from .builder import TopologyBuilder
from .model import ITSELF, Device, IdMap, Iommu

CLAUSE = "ACPI 6.6 §5.2.33"
MOST_SEGMENTS = 256
"""Segments, beside the first of each range, of which maps are made; machines have a few."""

SEGMENT_STEP = 0x10000
"""Endpoint IDs from one segment of a range to the next."""


def add_viot(builder: TopologyBuilder, table: Table, body: Viot) -> None:
    """Add what the table says."""
    _Reader(builder, table, body).run()


class _Reader:
    """Walks one table; holds what all its parts need."""

    def __init__(self, builder: TopologyBuilder, table: Table, body: Viot) -> None:
        self.builder = builder
        self.table = table
        self.nodes = body.nodes
        self.units: dict[int, VirtioIommuPci | VirtioIommuMmio] = {}
        self.names: dict[int, str] = {}
        self.segments = 0

    def run(self) -> None:
        for node in self.nodes:
            if isinstance(node, VirtioIommuPci | VirtioIommuMmio):
                self.add_unit(node)
        endpoints = set()
        for node in reversed(self.nodes):
            if isinstance(node, PciRange):
                self.add_range(node)
            elif isinstance(node, MmioEndpoint):
                if node.base_address in endpoints:
                    self.report(
                        "VIOT-ENDPOINT-TWICE", "warning", self.origin(node),
                        f"a later node names the endpoint at 0x{node.base_address:x} too",
                        advice="the later one counts, as in Linux",
                    )  # fmt: skip
                    continue
                endpoints.add(node.base_address)
                self.add_endpoint(node)

    def report(self, rule: str, severity: Literal["error", "warning", "note"], origin: Origin, message: str,
               **details: str) -> None:  # fmt: skip
        self.builder.findings.append(Finding(rule, severity, origin, message, clause=CLAUSE, **details))

    def origin(self, node: Node) -> Origin:
        return self.table.origin(node, node.length)

    def add_unit(self, node: VirtioIommuPci | VirtioIommuMmio) -> None:
        """Add a virtio-iommu."""
        origin = self.origin(node)
        self.units[node.offset] = node
        if isinstance(node, VirtioIommuMmio):
            name = self.builder.unique(f"virtio-iommu@{node.base_address:x}")
            unit = Iommu(name, "virtio-iommu", origin, node.base_address)
        else:
            address = format_pci_address(node.segment, node.bdf)
            name = self.builder.unique(f"virtio-iommu@{address}")
            unit = Iommu(name, "virtio-iommu", origin, segment=node.segment)
            if self.builder.pci and address not in self.builder.devices:
                self.report(
                    "VIOT-UNIT-ABSENT", "warning", origin, f"the virtio-iommu is to be {address}, which is not there",
                    advice="give the function that it is (Linux: 'Could not find PCI IOMMU', and has none for its "
                    "endpoints)",
                )  # fmt: skip
        self.names[node.offset] = name
        self.builder.iommus.append(unit)

    def target(self, node: PciRange | MmioEndpoint) -> str | None:
        """Return the name of the unit that a node leads to, and say when it leads to none."""
        name = self.names.get(node.output_node)
        if name is None:
            self.report(
                "VIOT-REFERENCE", "error", self.origin(node), f"a {node.NAME} does not lead to a virtio-iommu",
                field="Output node", found=f"0x{node.output_node:x}", expected="the offset of a node of type 3 or 4",
                advice="it is left out (Linux: 'No IOMMU node found')",
            )  # fmt: skip
        return name

    def add_range(self, node: PciRange) -> None:
        """Add the maps of a range of PCI functions, one for each segment."""
        origin = self.origin(node)
        target = self.target(node)
        if target is None:
            return
        for field, first, last in (
            ("PCI Segment end", node.segment_start, node.segment_end),
            ("PCI BDF end", node.bdf_start, node.bdf_end),
        ):
            if last < first:
                self.report(
                    "VIOT-RANGE", "error", origin, "a PCI range ends before it begins", field=field,
                    found=f"0x{last:x}", expected=f"at least 0x{first:x}", advice="it holds no function",
                )  # fmt: skip
                return
        for segment in range(node.segment_start, node.segment_end + 1):
            further = segment > node.segment_start
            if further and self.segments == MOST_SEGMENTS:
                self.report(
                    "VIOT-SEGMENTS", "warning", origin, "the ranges are for more segments than a machine has",
                    found=f"more than {MOST_SEGMENTS}", advice=f"what is said of segment {segment:04x} and of those "
                    "after it is left out",
                )  # fmt: skip
                return
            self.segments += further
            self.add_segment(node, target, segment, origin)

    def add_segment(self, node: PciRange, target: str, segment: int, origin: Origin) -> None:
        """Add the map of one segment of a range."""
        unit = self.units[node.output_node]
        root = self.builder.segment_root(segment, origin)
        if isinstance(unit, VirtioIommuPci) and unit.segment == segment and node.bdf_start <= unit.bdf <= node.bdf_end:
            own = self.table.origin(unit, unit.length)
            self.builder.maps.append(IdMap(root, None, unit.bdf, 1, None, own, ITSELF))
        output = node.endpoint_start + SEGMENT_STEP * (segment - node.segment_start) & 0xFFFFFFFF
        length = node.bdf_end - node.bdf_start + 1
        self.builder.maps.append(IdMap(root, target, node.bdf_start, length, output, origin, "PCI range"))

    def add_endpoint(self, node: MmioEndpoint) -> None:
        """Add a platform device."""
        target = self.target(node)
        if target is None:
            return
        origin = self.origin(node)
        name = self.builder.device(Device(f"mem:{node.base_address:x}", "mmio", origin, base=node.base_address))
        self.builder.maps.append(IdMap(name, target, 0, 1, node.endpoint, origin, "MMIO endpoint", single=True))
