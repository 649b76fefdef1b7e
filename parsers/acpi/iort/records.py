"""The nodes of an IORT as people work with them; each attribute has the specification's name and unit.

Fields that came with a later node revision are None in nodes that do not have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, ClassVar, Self

from ..layout import Layout
from ..nodes import joined
from ..record import Bits, FieldValue, Raw, Record, record
from . import layout, names


@record
class IdMapping(Record):
    """One ID mapping (§3.1).

    `id_count` is the number of IDs minus one; `output_reference` is an offset from the start of the table.
    """

    NAME: ClassVar[str] = "ID mapping"
    LAYOUT: ClassVar[Layout] = Layout(layout.ID_MAPPING)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.MAPPING_FLAGS}

    input_base: int
    id_count: int
    output_base: int
    output_reference: int
    flags: int

    @property
    def single(self) -> bool:
        """Whether the mapping gives one output ID whatever the input is."""
        return bool(self.flags & 1)


@record
class ItsIdentifier(Record):
    """The number of one GIC ITS, as the MADT gives it."""

    NAME: ClassVar[str] = "ITS identifier"
    LAYOUT: ClassVar[Layout] = Layout(layout.ITS_IDENTIFIER)

    identifier: int


@record
class GlobalInterrupts(Record):
    """The global interrupts of an SMMUv1/v2: faults (`nsg_irpt`) and configuration accesses (`nsg_cfg_irpt`)."""

    NAME: ClassVar[str] = "global interrupts"
    LAYOUT: ClassVar[Layout] = Layout(layout.GLOBAL_INTERRUPTS)
    BITS: ClassVar[Mapping[str, Bits]] = {
        "nsg_irpt_flags": names.INTERRUPT_FLAGS,
        "nsg_cfg_irpt_flags": names.INTERRUPT_FLAGS,
    }

    nsg_irpt: int
    nsg_irpt_flags: int
    nsg_cfg_irpt: int
    nsg_cfg_irpt_flags: int


@record
class SmmuInterrupt(Record):
    """One context or PMU interrupt of an SMMUv1/v2."""

    NAME: ClassVar[str] = "interrupt"
    LAYOUT: ClassVar[Layout] = Layout(layout.INTERRUPT)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.INTERRUPT_FLAGS}

    gsiv: int
    flags: int


@record
class RmrDescriptor(Record):
    """One reserved range of an RMR: `base` a physical address, `length` in bytes."""

    NAME: ClassVar[str] = "memory range descriptor"
    LAYOUT: ClassVar[Layout] = Layout(layout.RMR_DESCRIPTOR)

    base: int
    length: int
    reserved: int


@record
class Node(Record):
    """A node (§3.1) with its ID mappings; `gaps` are the bytes of it that no field covers."""

    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]]
    """The layouts of the fixed part, each with the node revision that it came with, the newest last."""

    type: int
    length: int
    revision: int
    identifier: int
    mapping_count: int
    mapping_offset: int
    mappings: tuple[IdMapping, ...] = field(default=(), kw_only=True)
    gaps: tuple[Raw, ...] = field(default=(), kw_only=True)

    @classmethod
    def read_node(cls, data: bytes, offset: int, fixed: Layout, **parts: Any) -> Self:
        """Read a node whose fixed part has the given layout of `LAYOUTS`; fields after it are None."""
        missing = len(cls.LAYOUTS[-1][1].fields) - len(fixed.fields)
        return cls(offset, *fixed.read(data, offset), *([None] * missing), **parts)

    @property
    def layout(self) -> Layout:
        """The longest layout of which this node has every field."""
        for _, known in reversed(self.LAYOUTS[1:]):
            if getattr(self, known.fields[-1].name) is not None:
                return known
        return self.LAYOUTS[0][1]

    def inner(self) -> Iterator[Record]:
        """Iterate over the records inside the node, mappings last."""
        yield from self.mappings

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
            yield FieldValue(self.offset + self.layout.size, len(name), self.NAME, "name", name)
        parts: tuple[Record | Raw, ...] = (*self.inner(), *self.gaps)
        for part in parts:
            yield from part.fields()


@record
class ItsGroup(Node):
    """Node type 0: GIC ITS units that translate the same device IDs (§3.1.1.1)."""

    NAME: ClassVar[str] = "ITS group"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = ((0, Layout(layout.ITS_GROUP)),)

    its_count: int
    identifiers: tuple[ItsIdentifier, ...] = ()

    def inner(self) -> Iterator[Record]:
        """Iterate over the identifiers and mappings."""
        yield from self.identifiers
        yield from self.mappings


@record
class NamedComponent(Node):
    """Node type 1: a device of the ACPI namespace (§3.1.1.5).

    `name` is decoded byte by byte (Latin-1); `terminated` tells whether its zero byte is there.
    """

    NAME: ClassVar[str] = "named component"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = ((0, Layout(layout.NAMED_COMPONENT)),)
    BITS: ClassVar[Mapping[str, Bits]] = {
        "node_flags": names.NAMED_COMPONENT_FLAGS,
        "allocation_hints": names.ALLOCATION_HINTS,
        "memory_flags": names.MEMORY_FLAGS,
    }

    node_flags: int
    cache_coherency: int
    allocation_hints: int
    memory_reserved: int
    memory_flags: int
    memory_address_limit: int
    name: str = ""
    terminated: bool = True

    def name_bytes(self) -> bytes:
        """Return the name as it stands in the node."""
        return self.name.encode("latin-1") + b"\0" * self.terminated


@record
class RootComplex(Node):
    """Node type 2: a PCI root complex (§3.1.1.4)."""

    NAME: ClassVar[str] = "root complex"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = (
        (0, Layout(layout.ROOT_COMPLEX)),
        (1, Layout(layout.ROOT_COMPLEX_1)),
        (4, Layout(layout.ROOT_COMPLEX_4)),
    )
    BITS: ClassVar[Mapping[str, Bits]] = {
        "allocation_hints": names.ALLOCATION_HINTS,
        "memory_flags": names.MEMORY_FLAGS,
        "ats_attribute": names.ATS_ATTRIBUTE,
        "pasid_capabilities": names.PASID_CAPABILITIES,
        "flags": names.ROOT_COMPLEX_FLAGS,
    }

    cache_coherency: int
    allocation_hints: int
    memory_reserved: int
    memory_flags: int
    ats_attribute: int
    segment: int
    memory_address_limit: int | None = None
    pasid_capabilities: int | None = None
    reserved: int | None = None
    flags: int | None = None


@record
class SmmuV2(Node):
    """Node type 3: an SMMUv1 or SMMUv2 (§3.1.1.3); offsets of interrupts count from the node start."""

    NAME: ClassVar[str] = "SMMUv1/v2"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = ((0, Layout(layout.SMMU_V2)),)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.SMMU_V2_FLAGS}

    base_address: int
    span: int
    model: int
    flags: int
    global_interrupt_offset: int
    context_interrupt_count: int
    context_interrupt_offset: int
    pmu_interrupt_count: int
    pmu_interrupt_offset: int
    global_interrupts: tuple[GlobalInterrupts, ...] = ()
    context_interrupts: tuple[SmmuInterrupt, ...] = ()
    pmu_interrupts: tuple[SmmuInterrupt, ...] = ()

    def inner(self) -> Iterator[Record]:
        """Iterate over the interrupts and mappings."""
        yield from self.global_interrupts
        yield from self.context_interrupts
        yield from self.pmu_interrupts
        yield from self.mappings


@record
class SmmuV3(Node):
    """Node type 4: an SMMUv3 (§3.1.1.2)."""

    NAME: ClassVar[str] = "SMMUv3"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = (
        (0, Layout(layout.SMMU_V3)),
        (1, Layout(layout.SMMU_V3_1)),
    )
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.SMMU_V3_FLAGS}

    base_address: int
    flags: int
    reserved: int
    vatos_address: int
    model: int
    event_gsiv: int
    pri_gsiv: int
    gerror_gsiv: int
    sync_gsiv: int
    proximity_domain: int | None = None
    device_id_mapping_index: int | None = None

    @property
    def own_mapping(self) -> int | None:
        """Index of the mapping that gives the unit's own MSI device ID, None when there is none.

        Node revisions 1 to 4 have one unless all four interrupts are wired; from revision 5 on a flag says so.
        """
        if self.device_id_mapping_index is None:
            return None
        if self.revision >= 5:  # noqa: PLR2004 - the revision that brought the flag
            return self.device_id_mapping_index if self.flags & 1 << 4 else None
        wired = self.event_gsiv and self.pri_gsiv and self.gerror_gsiv and self.sync_gsiv
        return None if wired else self.device_id_mapping_index


@record
class Pmcg(Node):
    """Node type 5: a performance monitor counter group (§3.1.1.6)."""

    NAME: ClassVar[str] = "PMCG"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = ((0, Layout(layout.PMCG)), (1, Layout(layout.PMCG_1)))

    page0_base: int
    overflow_gsiv: int
    node_reference: int
    page1_base: int | None = None


@record
class Rmr(Node):
    """Node type 6: reserved memory ranges (§3.1.1.7)."""

    NAME: ClassVar[str] = "RMR"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = ((0, Layout(layout.RMR)),)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.RMR_FLAGS}

    flags: int
    descriptor_count: int
    descriptor_offset: int
    descriptors: tuple[RmrDescriptor, ...] = ()

    def inner(self) -> Iterator[Record]:
        """Iterate over the descriptors and mappings."""
        yield from self.descriptors
        yield from self.mappings


@record
class Iwb(Node):
    """Node type 7: a GICv5 interrupt wire bridge (§3.1.1.8)."""

    NAME: ClassVar[str] = "IWB"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = ((0, Layout(layout.IWB)),)

    base_address: int
    iwb_index: int
    name: str = ""
    terminated: bool = True

    def name_bytes(self) -> bytes:
        """Return the name as it stands in the node."""
        return self.name.encode("latin-1") + b"\0" * self.terminated


@record
class UnknownNode(Node):
    """A node of a type, or too short a length, that no layout here describes: its header, and the rest in `gaps`."""

    NAME: ClassVar[str] = "unknown node"
    LAYOUTS: ClassVar[tuple[tuple[int, Layout], ...]] = ((0, Layout(layout.NODE_HEADER)),)


@record
class Iort(Record):
    """The table after its header (§3): the nodes, and the bytes before (`padding`) and after them (`rest`)."""

    NAME: ClassVar[str] = "IORT"
    LAYOUT: ClassVar[Layout] = Layout(layout.IORT)

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
