"""What a RIMT says: how source IDs of root complexes and platform devices become device IDs at a RISC-V IOMMU.

A mapping counts its IDs themselves, unlike that of an IORT, which counts one less. Not everybody keeps to it: Linux
(`drivers/acpi/riscv/rimt.c`) takes one ID more than the table counts, and QEMU counts one less than it means. What is
here is what the table says; notes tell where the others differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ..base import Finding, Origin, format_pci_address
from ..parsers.acpi import Table
from ..parsers.acpi.rimt import IdMapping, Iommu, PcieRootComplex, PlatformDevice, Rimt
from .builder import TopologyBuilder
from .model import ITSELF, Device, IdMap, Interrupt, Property
from .model import Iommu as Unit

CLAUSE = "RIMT specification 1.0, ID mapping structure"
REGISTER_BYTES = 0x1000
LAST_RID = 0xFFFF


def add_rimt(builder: TopologyBuilder, table: Table, body: Rimt) -> None:
    """Add what the table says."""
    _Reader(builder, table, body).run()


class _Reader:
    """Walks one table; holds what all its parts need."""

    def __init__(self, builder: TopologyBuilder, table: Table, body: Rimt) -> None:
        self.builder = builder
        self.table = table
        self.nodes = body.nodes
        self.units: dict[int, Iommu] = {}
        self.names: dict[int, str] = {}
        self.roots: dict[int, str] = {}
        self.noted = False

    def run(self) -> None:
        for node in self.nodes:
            if isinstance(node, Iommu):
                self.add_unit(node)
        for node in self.nodes:
            if isinstance(node, PcieRootComplex):
                self.add_root(node)
            elif isinstance(node, PlatformDevice):
                self.add_device(node)

    def report(self, rule: str, severity: Literal["error", "warning", "note"], origin: Origin, message: str,
               **details: str) -> None:  # fmt: skip
        self.builder.findings.append(Finding(rule, severity, origin, message, clause=CLAUSE, **details))

    def add_unit(self, node: Iommu) -> None:
        """Add an IOMMU."""
        place = format_pci_address(node.pcie_segment, node.pcie_bdf) if node.is_pcie else f"{node.base_address:x}"
        name = self.builder.unique(f"riscv-iommu@{place}")
        self.units[node.offset] = node
        self.names[node.offset] = name
        properties: list[Property] = []
        hardware = node.hardware_id.rstrip(b"\0 ").decode("latin-1")
        if hardware.isascii() and hardware.isprintable() and hardware:
            properties.append(("hardware ID", hardware))
        if node.flags & 2:
            properties.append(("proximity domain", node.proximity_domain))
        if not node.wire_count:
            properties.append(("own interrupts", "by message"))
        self.builder.iommus.append(
            Unit(
                name,
                "riscv-iommu",
                self.table.origin(node, node.length),
                None if node.is_pcie else node.base_address,
                None if node.is_pcie else REGISTER_BYTES,
                node.pcie_segment if node.is_pcie else None,
                interrupts=tuple(
                    Interrupt(f"wire {index}", wire.number, "level" if wire.flags & 1 else "edge")
                    for index, wire in enumerate(node.wires)
                ),
                properties=tuple(properties),
            )
        )

    def add_root(self, node: PcieRootComplex) -> None:
        """Add a root complex with its maps."""
        origin = self.table.origin(node, node.length)
        properties: list[Property] = []
        if node.flags & 1:
            properties.append(("ATS Supported", True))
        if node.flags & 2:
            properties.append(("PRI Supported", True))
        properties += _required(node.mappings)
        if node.segment in self.roots:
            self.report(
                "RIMT-SEGMENT-TWICE", "warning", origin,
                f"the table has another root complex of segment {node.segment:04x}", field="PCIe Segment number",
                found=f"0x{node.segment:x}",
                advice="all count here (Linux looks at the first root complex of a segment only)",
            )  # fmt: skip
        name = self.builder.add_root(node.segment, origin, *properties)
        ends: dict[int, IdMapping] = {}
        self.roots.setdefault(node.segment, name)
        for mapping in node.mappings:
            self.look_for_self(name, node, mapping)
            self.note_neighbour(mapping, ends.get(mapping.source_base))
            self.add_map(name, mapping, pci=True)
            ends.setdefault(mapping.source_base + mapping.id_count, mapping)

    def look_for_self(self, root: str, node: PcieRootComplex, mapping: IdMapping) -> None:
        """Keep an IOMMU that is a function of the root complex out of a mapping to itself, and say that it is there."""
        unit = self.units.get(mapping.destination_offset)
        if unit is None or not unit.is_pcie or unit.pcie_segment != node.segment:
            return
        origin = self.table.origin(mapping)
        behind = unit.pcie_bdf - mapping.source_base
        if behind == mapping.id_count:
            self.report(
                "RIMT-COUNT-SELF", "warning", origin, "Linux takes the IOMMU itself into this mapping to it",
                field="Number of IDs", found=str(mapping.id_count),
                advice=f"the mapping ends before the unit's own ID, 0x{unit.pcie_bdf:04x}; Linux counts one ID more, "
                "and waits for the unit before it starts it",
            )  # fmt: skip
        elif 0 <= behind < mapping.id_count:
            self.report(
                "RIMT-SELF", "warning", origin, "a mapping gives an IOMMU to that IOMMU itself",
                field="Source ID Base", found=f"a range with 0x{unit.pcie_bdf:04x} in it",
                expected="ranges without the unit's own ID",
                advice="the unit's own accesses are not translated (Linux waits for the unit before it starts it)",
            )  # fmt: skip
            self.builder.maps.append(IdMap(root, None, unit.pcie_bdf, 1, None, origin, ITSELF))

    def note_neighbour(self, mapping: IdMapping, before: IdMapping | None) -> None:
        """Say when Linux takes the first ID of a mapping by the mapping that ends before it."""
        if before is None or not mapping.id_count:
            return
        theirs = (before.destination_base + before.id_count, before.destination_offset)
        if theirs != (mapping.destination_base, mapping.destination_offset):
            self.report(
                "RIMT-COUNT-OVERLAP", "warning", self.table.origin(mapping),
                "Linux takes the first ID of this mapping by the mapping that ends before it",
                field="Source ID Base", found=f"0x{mapping.source_base:x}",
                advice=f"Linux sends it as device ID 0x{theirs[0]:x} in place of 0x{mapping.destination_base:x}; put "
                "the mapping that begins with it first",
            )  # fmt: skip

    def add_device(self, node: PlatformDevice) -> None:
        """Add a platform device with its maps."""
        origin = self.table.origin(node, node.length)
        properties = tuple(_required(node.mappings))
        name = self.builder.device(Device(f"acpi:{node.name}", "acpi", origin, properties=properties))
        for mapping in node.mappings:
            self.add_map(name, mapping, pci=False)

    def add_map(self, source: str, mapping: IdMapping, *, pci: bool) -> None:
        """Add the map of a mapping, and say where others read it otherwise."""
        origin = self.table.origin(mapping)
        target = self.names.get(mapping.destination_offset)
        if target is None:
            self.report(
                "RIMT-REFERENCE", "error", origin, "a mapping does not lead to an IOMMU",
                field="Destination IOMMU Offset", found=f"0x{mapping.destination_offset:x}",
                expected="the offset of an IOMMU node",
                advice="IDs of this mapping have no IOMMU here"
                + ("" if mapping.destination_offset else " (Linux: 'ID map has NULL parent reference')"),
            )  # fmt: skip
        if not mapping.id_count:
            self.report(
                "RIMT-COUNT-ZERO", "error", origin, "a mapping of no IDs", field="Number of IDs", found="0",
                expected="at least 1", advice="it is left out (Linux takes it for one ID)",
            )  # fmt: skip
            return
        if pci:
            self.note_counts(mapping, origin)
        self.builder.maps.append(
            IdMap(source, target, mapping.source_base, mapping.id_count, mapping.destination_base, origin, "ID mapping")
        )

    def note_counts(self, mapping: IdMapping, origin: Origin) -> None:
        """Say, once a table, that Linux reads one ID more, and at a mapping as QEMU writes it that it has one less."""
        end = mapping.source_base + mapping.id_count
        if not self.noted and end <= LAST_RID:
            self.noted = True
            self.report(
                "RIMT-COUNT-LINUX", "note", origin, "Linux takes one ID more than a mapping counts",
                field="Number of IDs", found=str(mapping.id_count),
                advice=f"by this mapping Linux also sends ID 0x{end:04x} to the IOMMU, and so on for the others",
            )  # fmt: skip
        if (mapping.source_base, mapping.id_count) == (0, LAST_RID):
            self.report(
                "RIMT-COUNT-QEMU", "note", origin, "a mapping of all requester IDs but the last, as QEMU writes it",
                field="Number of IDs", found="0xffff", expected="0x10000 for all of them",
                advice="requester ID 0xffff (ff:1f.7) has no IOMMU by this mapping; Linux gives it one all the same",
            )  # fmt: skip


def _required(mappings: tuple[IdMapping, ...]) -> Iterator[Property]:
    """Iterate over what the flags of mappings ask for, with the source IDs that ask."""
    for bit, name in ((1, "ATS required"), (2, "PRI required")):
        ranges = [
            f"0x{one.source_base:x}-0x{one.source_base + max(one.id_count, 1) - 1:x}"
            for one in mappings
            if one.flags & bit
        ]
        if ranges:
            yield name, "by IDs " + " ".join(ranges)
