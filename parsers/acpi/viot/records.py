"""The nodes of a VIOT as people work with them; each attribute has the specification's name and unit.

Ends of ranges are included. `output_node` is the offset of a node from the start of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import ClassVar

from ..layout import Layout
from ..record import FieldValue, Raw, Record, record
from . import layout


@record
class Node(Record):
    """A node; `rest` is what stands in it after the fields that are known."""

    type: int
    reserved: int
    length: int
    rest: Raw | None = field(default=None, kw_only=True)

    def to_bytes(self) -> bytes:
        """Return the bytes of the node."""
        return self.fixed() + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        if self.rest:
            yield from self.rest.fields()


@record
class PciRange(Node):
    """Node type 1: PCI functions by segment and requester ID; `endpoint_start` is the endpoint ID of the first."""

    NAME: ClassVar[str] = "PCI range"
    LAYOUT: ClassVar[Layout] = Layout(layout.PCI_RANGE)

    endpoint_start: int
    segment_start: int
    segment_end: int
    bdf_start: int
    bdf_end: int
    output_node: int
    reserved2: bytes


@record
class MmioEndpoint(Node):
    """Node type 2: the platform device whose first memory window is at `base_address`."""

    NAME: ClassVar[str] = "MMIO endpoint"
    LAYOUT: ClassVar[Layout] = Layout(layout.MMIO_ENDPOINT)

    endpoint: int
    base_address: int
    output_node: int
    reserved2: bytes


@record
class VirtioIommuPci(Node):
    """Node type 3: a virtio-iommu that is a PCI function."""

    NAME: ClassVar[str] = "virtio-iommu (PCI)"
    LAYOUT: ClassVar[Layout] = Layout(layout.VIRTIO_IOMMU_PCI)

    segment: int
    bdf: int
    reserved2: bytes


@record
class VirtioIommuMmio(Node):
    """Node type 4: a virtio-iommu with registers at `base_address`."""

    NAME: ClassVar[str] = "virtio-iommu (MMIO)"
    LAYOUT: ClassVar[Layout] = Layout(layout.VIRTIO_IOMMU_MMIO)

    reserved2: bytes
    base_address: int


@record
class UnknownNode(Node):
    """A node of a type, or too short a length, that no layout here describes: its header, and `rest`."""

    NAME: ClassVar[str] = "unknown node"
    LAYOUT: ClassVar[Layout] = Layout(layout.NODE_HEADER)


@record
class Viot(Record):
    """The table after its header: the nodes, and the bytes before (`padding`) and after them (`rest`)."""

    NAME: ClassVar[str] = "VIOT"
    LAYOUT: ClassVar[Layout] = Layout(layout.VIOT)

    node_count: int
    node_offset: int
    reserved: bytes
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
