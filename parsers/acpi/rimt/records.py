"""The nodes of a RIMT as people work with them; each attribute has the specification's name and unit.

Offsets of arrays count from the start of their node, `destination_offset` from the start of the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import ClassVar

from ..layout import Layout
from ..nodes import joined
from ..record import Bits, FieldValue, Raw, Record, record
from . import layout, names


@record
class IdMapping(Record):
    """One ID mapping: `id_count` is the number of IDs itself, unlike that of an IORT."""

    NAME: ClassVar[str] = "ID mapping"
    LAYOUT: ClassVar[Layout] = Layout(layout.ID_MAPPING)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.MAPPING_FLAGS}

    source_base: int
    id_count: int
    destination_base: int
    destination_offset: int
    flags: int


@record
class Wire(Record):
    """One wired interrupt of an IOMMU: its global number, and how it triggers."""

    NAME: ClassVar[str] = "interrupt wire"
    LAYOUT: ClassVar[Layout] = Layout(layout.WIRE)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.WIRE_FLAGS}

    number: int
    flags: int


@record
class Node(Record):
    """A node; `gaps` are the bytes of it that no field covers."""

    type: int
    revision: int
    length: int
    reserved: int
    identifier: int
    gaps: tuple[Raw, ...] = field(default=(), kw_only=True)

    def inner(self) -> tuple[Record, ...]:
        """Return the records inside the node."""
        return ()

    def name_bytes(self) -> bytes:
        """Return the object's name as it stands after the fixed part, with its zero byte; empty for most nodes."""
        return b""

    def to_bytes(self) -> bytes:
        """Return the bytes of the node."""
        return joined(self.offset, self.fixed() + self.name_bytes(), self.inner(), self.gaps)

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields of the node and of what is inside it."""
        yield from Record.fields(self)
        if name := self.name_bytes():
            yield FieldValue(self.offset + self.LAYOUT.size, len(name), self.NAME, "name", name)
        parts: tuple[Record | Raw, ...] = (*self.inner(), *self.gaps)
        for part in parts:
            yield from part.fields()


@record
class Iommu(Node):
    """Node type 0: a RISC-V IOMMU, of the platform (`base_address`) or a PCIe function (`pcie_segment`, `pcie_bdf`)."""

    NAME: ClassVar[str] = "IOMMU"
    LAYOUT: ClassVar[Layout] = Layout(layout.IOMMU)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.IOMMU_FLAGS}

    hardware_id: bytes
    base_address: int
    flags: int
    proximity_domain: int
    pcie_segment: int
    pcie_bdf: int
    wire_count: int
    wire_offset: int
    wires: tuple[Wire, ...] = ()

    @property
    def is_pcie(self) -> bool:
        """Whether the unit is a PCIe function."""
        return bool(self.flags & 1)

    def inner(self) -> tuple[Record, ...]:
        """Return the interrupt wires."""
        return self.wires


@record
class PcieRootComplex(Node):
    """Node type 1: a PCIe root complex."""

    NAME: ClassVar[str] = "PCIe root complex"
    LAYOUT: ClassVar[Layout] = Layout(layout.PCIE_ROOT_COMPLEX)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.ROOT_COMPLEX_FLAGS}

    flags: int
    reserved2: int
    segment: int
    mapping_offset: int
    mapping_count: int
    mappings: tuple[IdMapping, ...] = ()

    def inner(self) -> tuple[Record, ...]:
        """Return the ID mappings."""
        return self.mappings


@record
class PlatformDevice(Node):
    """Node type 2: a device of the ACPI namespace.

    `name` is decoded byte by byte (Latin-1); `terminated` tells whether its zero byte is there.
    """

    NAME: ClassVar[str] = "platform device"
    LAYOUT: ClassVar[Layout] = Layout(layout.PLATFORM_DEVICE)

    mapping_offset: int
    mapping_count: int
    name: str = ""
    terminated: bool = True
    mappings: tuple[IdMapping, ...] = ()

    def inner(self) -> tuple[Record, ...]:
        """Return the ID mappings."""
        return self.mappings

    def name_bytes(self) -> bytes:
        """Return the name as it stands in the node."""
        return self.name.encode("latin-1") + b"\0" * self.terminated


@record
class UnknownNode(Node):
    """A node of a type, or too short a length, that no layout here describes: its header, and the rest in `gaps`."""

    NAME: ClassVar[str] = "unknown node"
    LAYOUT: ClassVar[Layout] = Layout(layout.NODE_HEADER)


@record
class Rimt(Record):
    """The table after its header: the nodes, and the bytes before (`padding`) and after them (`rest`)."""

    NAME: ClassVar[str] = "RIMT"
    LAYOUT: ClassVar[Layout] = Layout(layout.RIMT)

    node_count: int
    node_offset: int
    reserved: int
    nodes: tuple[Node, ...] = ()
    padding: bytes = b""
    rest: Raw | None = None

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        nodes = b"".join(node.to_bytes() for node in self.nodes)
        return self.fixed() + self.padding + nodes + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields of the table and its nodes."""
        yield from Record.fields(self)
        if self.padding:
            yield FieldValue(self.offset + self.LAYOUT.size, len(self.padding), self.NAME, "padding", self.padding)
        for part in (*self.nodes, *((self.rest,) if self.rest else ())):
            yield from part.fields()
