"""What an IORT says: how requester IDs become stream IDs at an SMMU, and device IDs at an ITS.

Nodes refer to each other through ID mappings; an ID is carried from a root complex or named component to an SMMU, and
from there to an ITS group (DEN 0049E.f §3.1, §4). Counts in the table are one less than the number of IDs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ..base import Finding, Origin
from ..base.quick import quick
from ..parsers.acpi import Table
from ..parsers.acpi.iort import (
    IdMapping,
    Iort,
    ItsGroup,
    Iwb,
    NamedComponent,
    Node,
    Pmcg,
    Rmr,
    RootComplex,
    SmmuV2,
    SmmuV3,
)
from ..parsers.acpi.iort import names as words
from .builder import TopologyBuilder
from .model import Carries, Device, IdMap, Interrupt, Iommu, MsiController, Property, ReservedRegion, StreamRange

_map = quick(IdMap)
CLAUSE = "DEN 0049E.f §3.1"
ALLOWED: dict[type[Node], tuple[type[Node], ...]] = {
    NamedComponent: (SmmuV2, SmmuV3, ItsGroup),
    RootComplex: (SmmuV2, SmmuV3, ItsGroup),
    SmmuV2: (ItsGroup,),
    SmmuV3: (ItsGroup, Iwb),
    Pmcg: (ItsGroup,),
    Rmr: (SmmuV2, SmmuV3),
    Iwb: (ItsGroup,),
}
"""Which nodes the mappings of a node may lead to."""

FIRST_RMR = 3
"""The first node revision of RMR that Linux reads; the earlier ones were withdrawn."""


def add_iort(builder: TopologyBuilder, table: Table, body: Iort) -> None:
    """Add what the table says."""
    _Reader(builder, table, body).run()


class _Reader:
    """Walks one table; holds what all its parts need."""

    def __init__(self, builder: TopologyBuilder, table: Table, body: Iort) -> None:
        self.builder = builder
        self.table = table
        self.nodes = body.nodes
        self.by_offset = {node.offset: node for node in body.nodes}
        self.names = {node.offset: self.name(node) for node in body.nodes}

    def run(self) -> None:
        for node in self.nodes:
            if isinstance(node, SmmuV3):
                self.add_smmu_v3(node)
            elif isinstance(node, SmmuV2):
                self.add_smmu_v2(node)
            elif isinstance(node, ItsGroup):
                origin = self.table.origin(node, node.length)
                self.builder.msi_controllers.append(MsiController(self.names[node.offset], "its", origin))
            elif isinstance(node, NamedComponent):
                self.add_component(node)
            elif isinstance(node, Pmcg | Iwb):
                self.add_interrupt_source(node)
        for node in self.nodes:
            if isinstance(node, Rmr):
                self.add_reserved(node)
            elif type(node) in ALLOWED:
                self.add_maps(node)

    def name(self, node: Node) -> str:
        """Give a node its name in the topology."""
        match node:
            case RootComplex():
                origin = self.table.origin(node, node.length)
                return self.builder.add_root(node.segment, origin, *_root_properties(node))
            case NamedComponent():
                return f"acpi:{node.name}"  # several nodes of one device are one device
            case SmmuV3():
                name = f"smmuv3@{node.base_address:x}"
            case SmmuV2():
                name = f"{'smmuv1' if node.model in words.SMMU_V1_MODELS else 'smmuv2'}@{node.base_address:x}"
            case ItsGroup():
                name = "its:" + ",".join(str(its.identifier) for its in node.identifiers)
            case Pmcg():
                name = f"pmcg@{node.page0_base:x}"
            case Iwb():
                name = f"iwb:{node.iwb_index}"
            case _:
                name = f"node@{node.offset:x}"
        return self.builder.unique(name)

    def report(self, rule: str, severity: Literal["error", "warning", "note"], origin: Origin, message: str,
               **details: str) -> None:  # fmt: skip
        self.builder.findings.append(Finding(rule, severity, origin, message, **details))

    def add_smmu_v3(self, node: SmmuV3) -> None:
        """Add an SMMUv3."""
        wired = (
            ("event", node.event_gsiv),
            ("pri", node.pri_gsiv),
            ("gerror", node.gerror_gsiv),
            ("sync", node.sync_gsiv),
        )
        properties: list[Property] = [("model", words.SMMU_V3_MODELS.get(node.model, f"model {node.model}"))]
        if node.flags & 1:
            properties.append(("COHACC override", True))
        if node.flags >> 1 & 3:
            properties.append(("HTTU override", node.flags >> 1 & 3))
        if node.proximity_domain is not None and node.flags & 1 << 3:
            properties.append(("proximity domain", node.proximity_domain))
        if node.vatos_address:
            properties.append(("VATOS", f"0x{node.vatos_address:x}"))
        if own := self.own_msi(node):
            properties.append(own)
        self.builder.iommus.append(
            Iommu(
                self.names[node.offset],
                "smmuv3",
                self.table.origin(node, node.length),
                node.base_address,
                0x10000 if node.model == words.CAVIUM_CN99XX else 0x20000,
                interrupts=tuple(Interrupt(purpose, number, "edge") for purpose, number in wired if number),
                properties=tuple(properties),
            )
        )

    def own_msi(self, node: SmmuV3) -> Property | None:
        """Return where the unit's own interrupts go, when it signals them by message."""
        index = node.own_mapping
        if index is None:
            return None
        if index >= len(node.mappings):
            if not node.mappings and index == 0 and node.revision < 5:  # noqa: PLR2004 - revision 5 brought the flag
                return None  # nothing says that there is a mapping, and no interrupt is wired or needed
            self.report(
                "IORT-OWN-MAPPING", "error", self.table.origin(node), "the unit's own mapping is not there",
                field="DeviceID mapping index", found=str(index), expected=f"less than {len(node.mappings)}",
                clause="DEN 0049E.f §3.1.1.2", advice="its interrupts have no device ID",
            )  # fmt: skip
            return None
        mapping = node.mappings[index]
        target = self.names.get(mapping.output_reference, "nothing")
        return "own MSI", f"{target} device ID 0x{mapping.output_base:x}"

    def add_smmu_v2(self, node: SmmuV2) -> None:
        """Add an SMMUv1 or SMMUv2."""
        interrupts = [
            Interrupt(purpose, number, _trigger(flags))
            for one in node.global_interrupts
            for purpose, number, flags in (
                ("global", one.nsg_irpt, one.nsg_irpt_flags),
                ("global config", one.nsg_cfg_irpt, one.nsg_cfg_irpt_flags),
            )
            if number
        ]
        for purpose, entries in (("context", node.context_interrupts), ("pmu", node.pmu_interrupts)):
            interrupts += [
                Interrupt(f"{purpose} {index}", entry.gsiv, _trigger(entry.flags))
                for index, entry in enumerate(entries)
            ]
        properties: list[Property] = [("model", words.SMMU_V2_MODELS.get(node.model, f"model {node.model}"))]
        if node.flags & 1:
            properties.append(("DVM", True))
        if node.flags & 2:
            properties.append(("coherent walk", True))
        name = self.names[node.offset]
        self.builder.iommus.append(
            Iommu(
                name,
                "smmuv1" if node.model in words.SMMU_V1_MODELS else "smmuv2",
                self.table.origin(node, node.length),
                node.base_address,
                node.span,
                interrupts=tuple(interrupts),
                properties=tuple(properties),
            )
        )

    def add_component(self, node: NamedComponent) -> None:
        """Add a device of the ACPI namespace."""
        properties: list[Property] = []
        if node.memory_address_limit:
            properties.append(("address bits", node.memory_address_limit))
        if node.cache_coherency & 1:
            properties.append(("coherent", True))
        if node.revision >= 2:  # noqa: PLR2004 - reserved before revision 2
            if node.node_flags & 1:
                properties.append(("may stall", True))
            if node.node_flags >> 1 & 31:
                properties.append(("substream bits", node.node_flags >> 1 & 31))
        origin = self.table.origin(node, node.length)
        self.builder.device(Device(self.names[node.offset], "acpi", origin, properties=tuple(properties)))

    def add_interrupt_source(self, node: Pmcg | Iwb) -> None:
        """Add a node that only sends interrupts."""
        properties: tuple[Property, ...] = ()
        kind: Literal["pmcg", "iwb"] = "iwb"
        if isinstance(node, Pmcg):
            kind = "pmcg"
            properties = (("monitors", self.names.get(node.node_reference, "nothing")),)
            if node.overflow_gsiv:
                properties += (("overflow interrupt", node.overflow_gsiv),)
        elif node.name:
            properties = (("path", node.name),)
        origin = self.table.origin(node, node.length)
        self.builder.device(Device(self.names[node.offset], kind, origin, properties=properties))

    def add_maps(self, node: Node) -> None:
        """Add the mappings of a node."""
        own = node.own_mapping if isinstance(node, SmmuV3) else None
        may_be_single = isinstance(node, NamedComponent | RootComplex | Pmcg | Iwb)
        carries: Carries = "msi" if isinstance(node, Pmcg | Iwb) else "both"
        for index, mapping in enumerate(node.mappings):
            if index == own:
                continue
            origin = self.table.origin(mapping)
            target = self.target(node, mapping, origin)
            single = mapping.single
            if single and not may_be_single:
                self.report(
                    "IORT-SINGLE", "warning", origin, f"a single mapping is not for {node.NAME} nodes", field="Flags",
                    found="Single mapping", clause=CLAUSE,
                    advice="it is left out (Linux: 'SINGLE MAPPING flag not allowed for node type')",
                )  # fmt: skip
                continue
            self.builder.maps.append(
                _map(
                    self.names[node.offset],
                    target,
                    0 if single else mapping.input_base,
                    1 if single else mapping.id_count + 1,
                    mapping.output_base,
                    origin,
                    "ID mapping",
                    carries=carries,
                    single=single,
                    tentative_last=not single and mapping.id_count > 0,
                )
            )

    def target(self, node: Node, mapping: IdMapping, origin: Origin) -> str | None:
        """Return the name of the node that a mapping leads to, and say when it leads nowhere it may."""
        other = self.by_offset.get(mapping.output_reference)
        if other is None:
            self.report(
                "IORT-REFERENCE", "error", origin, "a mapping does not lead to a node", field="Output reference",
                found=f"0x{mapping.output_reference:x}", expected="the offset of a node", clause=CLAUSE,
                advice="IDs of this mapping have no IOMMU here"
                + ("" if mapping.output_reference else " (Linux: 'ID map has NULL parent reference')"),
            )  # fmt: skip
            return None
        if not isinstance(other, ALLOWED[type(node)]):
            allowed = " or ".join(kind.NAME for kind in ALLOWED[type(node)])
            self.report(
                "IORT-REFERENCE-TYPE", "error", origin, f"a mapping of a {node.NAME} leads to a {other.NAME}",
                field="Output reference", found=f"0x{mapping.output_reference:x}", expected=allowed, clause=CLAUSE,
                advice="it is followed as it stands, as Linux does",
            )  # fmt: skip
        return self.names[other.offset]

    def add_reserved(self, node: Rmr) -> None:
        """Add the memory ranges of an RMR."""
        if node.revision < FIRST_RMR:
            self.report(
                "IORT-RMR-REVISION", "note", self.table.origin(node), "Linux does not read an RMR of this revision",
                field="Revision", found=str(node.revision), expected=f"at least {FIRST_RMR}",
                clause="DEN 0049E.f §3.1.1.7",
            )  # fmt: skip
        streams = tuple(self.streams(node))
        attributes = node.flags >> 2 & 0xFF
        properties: tuple[Property, ...] = (
            ("attributes", words.RMR_ATTRIBUTES.get(attributes, f"0x{attributes:x}")),
            ("remap permitted", bool(node.flags & 1)),
            ("privileged", bool(node.flags & 2)),
        )
        for descriptor in node.descriptors:
            origin = self.table.origin(descriptor)
            if not descriptor.length:
                self.report(
                    "IORT-RMR-RANGE", "error", origin, "a reserved range is empty", field="Length", found="0",
                    expected="a multiple of 64 KiB", clause="DEN 0049E.f §3.1.1.7",
                    advice="it is left out, as Linux does",
                )  # fmt: skip
                continue
            self.builder.reserved.append(
                ReservedRegion(
                    "rmr", descriptor.base, descriptor.length, origin, "direct", streams=streams, properties=properties
                )
            )

    def streams(self, node: Rmr) -> Iterator[StreamRange]:
        """Iterate over the stream IDs that an RMR is for."""
        for mapping in node.mappings:
            target = self.target(node, mapping, self.table.origin(mapping))
            if target is not None:
                yield StreamRange(target, mapping.output_base, 1 if mapping.single else mapping.id_count + 1)


def _trigger(flags: int) -> Literal["edge", "level"]:
    return "edge" if flags & 1 else "level"


def _root_properties(node: RootComplex) -> tuple[Property, ...]:
    """Return what people want to know of a root complex."""
    found: list[Property] = []
    for name, (bit, _) in words.ATS_ATTRIBUTE.items():
        if node.ats_attribute >> bit & 1:
            found.append((name, True))
    if node.cache_coherency & 1:
        found.append(("coherent", True))
    if node.revision >= 1 and node.memory_address_limit:
        found.append(("address bits", node.memory_address_limit))
    if node.flags is not None and node.flags & 1:
        found.append(("PASID supported", True))
    return tuple(found)
