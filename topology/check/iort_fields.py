"""Rules for the single fields of an IORT: what fwts checks of them, and identifiers that are there twice."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Finding, Origin
from ...parsers.acpi import Record
from ...parsers.acpi.iort import (
    GlobalInterrupts,
    IdMapping,
    Iort,
    ItsGroup,
    ItsIdentifier,
    NamedComponent,
    Node,
    Rmr,
    RmrDescriptor,
    RootComplex,
    SmmuInterrupt,
    SmmuV2,
    SmmuV3,
)
from ...parsers.acpi.iort import names as words
from .board import Board
from .iort_nodes import NODES, always, at_field, each_node, no_other_bits
from .rule import Rule

_MEMORY = "DEN 0049E.f §3.1.1.4 and §3.1.1.5"
_KNOWN = 7
"""The newest revision of the table (document E.f)."""

_WITHDRAWN = (1, 2, 4)
_IDENTIFIED = 1
"""The first revision of the table in which nodes have identifiers."""

_NEWEST = {
    words.ITS_GROUP: 1,
    words.NAMED_COMPONENT: 4,
    words.ROOT_COMPLEX: 4,
    words.SMMU_V2: 3,
    words.SMMU_V3: 5,
    words.PMCG: 2,
    words.RMR: 3,
    words.IWB: 0,
}
"""Newest revision of each type of node."""


def _revision(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _ in board.tables(Iort):
        revision = table.header.revision
        if revision > _KNOWN or revision in _WITHDRAWN:
            message = "the table has a revision that was withdrawn" if revision <= _KNOWN else ""
            yield at_field(
                rule, table, table.header, "revision", message, found=str(revision), expected="0, 3, 5, 6, 7"
            )


def _node_revision(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        newest = _NEWEST.get(node.type)
        if newest is not None and node.revision > newest:
            message = f"the {words.NODES[node.type]} node is newer than any specification"
            yield at_field(rule, table, node, "revision", message, found=str(node.revision), expected=f"0 to {newest}")


def _identifier(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for identifiers that several nodes have, in tables whose nodes have identifiers."""
    for table, body in board.tables(Iort):
        seen: dict[int, Node] = {}
        for node in body.nodes if table.header.revision >= _IDENTIFIED else ():
            first = seen.setdefault(node.identifier, node)
            if first is not node:
                message = f"the node at 0x{first.offset:x} has this identifier already"
                yield at_field(rule, table, node, "identifier", message)


def _array_overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for arrays of a node that share bytes: entries of one are then read as those of another."""
    for table, node in each_node(board):
        spans = [(array[0].offset, array[-1].offset + array[-1].layout.size) for array in _arrays(node) if array]
        reach = 0
        for start, end in sorted(spans):
            if start < reach:
                origin = Origin(table.source, table.signature, start, min(reach, end) - start)
                yield rule.finding(origin)
            reach = max(reach, end)


def _arrays(node: Node) -> tuple[tuple[Record, ...], ...]:
    match node:
        case ItsGroup():
            return node.identifiers, node.mappings
        case SmmuV2():
            return node.global_interrupts, node.context_interrupts, node.pmu_interrupts, node.mappings
        case Rmr():
            return node.descriptors, node.mappings
    return ()


def _reserved(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        if body.reserved:
            yield at_field(rule, table, body, "reserved", expected="0")
    yield from _RESERVED(rule, board)


_RESERVED = no_other_bits(
    (NamedComponent, "memory_reserved", always(0)),
    (RootComplex, "memory_reserved", always(0)),
    (RootComplex, "reserved", always(0)),
    (SmmuV3, "reserved", always(0)),
    (RmrDescriptor, "reserved", always(0)),
)


def _its(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, ItsGroup):
            for name in ("mapping_count", "mapping_offset"):
                if getattr(node, name):
                    yield at_field(rule, table, node, name, expected="0")


def _its_empty(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, ItsGroup) and not node.its_count:
            yield at_field(rule, table, node, "its_count", expected="at least 1")


def _its_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for an ITS that is twice in one group, or in several groups of one table."""
    for table, body in board.tables(Iort):
        seen: dict[int, tuple[Node, ItsIdentifier]] = {}
        for node in body.nodes:
            for its in node.identifiers if isinstance(node, ItsGroup) else ():
                group, first = seen.setdefault(its.identifier, (node, its))
                if first is its:
                    continue
                here = group is node
                where = "this group twice" if here else f"the group at 0x{group.offset:x} as well"
                message = f"ITS {its.identifier} is in {where}"
                yield at_field(rule, table, its, "identifier", message, "warning" if here else "note")


def _coherency(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, NamedComponent | RootComplex) and node.cache_coherency > 1:
            yield at_field(rule, table, node, "cache_coherency", expected="0 or 1")


def _attributes(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for what coherent access, coherent path (CPM) and cacheable attributes (DACS) cannot be together."""
    for table, node in each_node(board):
        if not isinstance(node, NamedComponent | RootComplex):
            continue
        coherent, path, cacheable = node.cache_coherency == 1, node.memory_flags & 1, node.memory_flags >> 1 & 1
        if coherent and not path:
            message = "accesses are fully coherent and have no coherent path to memory"
            yield at_field(rule, table, node, "memory_flags", message, expected="CPM set, as CCA is 1")
        elif path and cacheable and not coherent:
            message = "accesses are cacheable on a coherent path and are not fully coherent"
            yield at_field(rule, table, node, "memory_flags", message, expected="CCA 1, as CPM and DACS are set")


def _model(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, SmmuV2 | SmmuV3):
            known = words.SMMU_V2_MODELS if isinstance(node, SmmuV2) else words.SMMU_V3_MODELS
            if node.model not in known:
                yield at_field(rule, table, node, "model", found=str(node.model), expected=f"0 to {max(known)}")


def _rmr_flags(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if not isinstance(node, Rmr):
            continue
        if node.flags >> 10:
            yield at_field(rule, table, node, "flags", expected="bits 31:10 clear")
        elif node.flags >> 2 not in words.RMR_ATTRIBUTES:
            message = "the memory of an RMR has attributes that are not defined"
            yield at_field(rule, table, node, "flags", message, expected=f"attributes 0 to {max(words.RMR_ATTRIBUTES)}")


def _address_limit(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, NamedComponent | RootComplex) and node.memory_address_limit == 0:
            yield at_field(rule, table, node, "memory_address_limit", found="0", expected="the number of address bits")


def _component_bits(node: Node) -> int:
    return 0x3F if node.revision >= 2 else 0  # noqa: PLR2004 - the revision that brought the flags


def _pasid_bits(node: Node) -> int:
    return 0x1F if node.revision >= 2 else 0  # noqa: PLR2004 - reserved before revision 2


def _smmu_v3_bits(node: Node) -> int:
    """Return the flags that an SMMUv3 node has: 3 came with revision 1, 4 with revision 5."""
    return 0x07 | 0x08 * (node.revision >= 1) | 0x10 * (node.revision >= 5)  # noqa: PLR2004


RULES = (
    Rule(
        "IORT-REVISION",
        "warning",
        "the table has a revision that no specification has",
        "DEN 0049E.f §3",
        "Nodes may be laid out in another way than they are read.",
        "Linux does not look at the revision of the table, only at those of nodes.",
        "write revision 0, 3, 5, 6 or 7, whichever describes the nodes",
        ("iasl",),
        _revision,
    ),
    Rule(
        "IORT-NODE-REVISION",
        "warning",
        "a node is newer than any specification",
        NODES,
        "Fields may mean something else than they are read as.",
        "Linux reads it as the newest revision that it knows.",
        "write the revision whose layout the node has",
        ("fwts",),
        _node_revision,
    ),
    Rule(
        "IORT-IDENTIFIER",
        "error",
        "two nodes have one identifier",
        NODES,
        "Other tables that name a node by its identifier may mean the wrong one.",
        "Linux does not look at identifiers.",
        "number the nodes through",
        look=_identifier,
    ),
    Rule(
        "IORT-ARRAY-OVERLAP",
        "error",
        "two arrays of a node share bytes",
        NODES,
        "Interrupts are read as ID mappings, or the other way round.",
        "Linux reads each array where its offset says.",
        "correct the offset, or the count, of one of the arrays",
        look=_array_overlap,
    ),
    Rule(
        "IORT-RESERVED",
        "warning",
        "a reserved field is not 0",
        NODES,
        "Systems of a later specification may take it for something.",
        "Linux does not look at it.",
        "write 0",
        ("fwts",),
        _reserved,
    ),
    Rule(
        "IORT-MAP-FLAGS",
        "warning",
        "a mapping has flags that are not defined",
        NODES,
        "It may be meant as something else than a plain range of IDs.",
        "Linux looks at bit 0 alone.",
        "clear all flags but bit 0",
        ("fwts",),
        no_other_bits((IdMapping, "flags", always(1))),
    ),
    Rule(
        "IORT-INTERRUPT-FLAGS",
        "warning",
        "an interrupt has flags that are not defined",
        "DEN 0049E.f §3.1.1.3",
        "The interrupt may be set up with the wrong trigger, so that faults are not reported.",
        "Linux takes the lowest bit for edge-triggered, whatever the others are.",
        "clear all flags but bit 0, which is set for edge-triggered",
        ("fwts",),
        no_other_bits(
            (GlobalInterrupts, "nsg_irpt_flags", always(1)),
            (GlobalInterrupts, "nsg_cfg_irpt_flags", always(1)),
            (SmmuInterrupt, "flags", always(1)),
        ),
    ),
    Rule(
        "IORT-ITS-MAPPINGS",
        "error",
        "an ITS group has ID mappings",
        "DEN 0049E.f §3.1.1.1",
        "Nothing comes after an ITS; whatever was meant is not done.",
        "Linux never looks for mappings of an ITS group.",
        "write 0 for the number and the offset of its mappings",
        ("fwts",),
        _its,
    ),
    Rule(
        "IORT-ITS-EMPTY",
        "error",
        "an ITS group has no ITS",
        "DEN 0049E.f §3.1.1.1",
        "Messages of the devices behind it are not delivered, or to whatever ITS is read from the next node.",
        "Linux prints 'requested ITS ID index [0] overruns ITS entries [0]'.",
        "name the ITS units of the group, or leave the group out",
        ("Linux",),
        _its_empty,
    ),
    Rule(
        "IORT-ITS-TWICE",
        "warning",
        "an ITS is in the table twice",
        "DEN 0049E.f §3.1.1.1",
        "Device IDs of both groups are those of one ITS, and may be the same for two devices.",
        "Linux takes the first ITS of a group for all of its devices.",
        "name each ITS once",
        look=_its_twice,
    ),
    Rule(
        "IORT-COHERENCY",
        "error",
        "the coherency attribute of a device is not defined",
        _MEMORY,
        "Systems may leave out cache maintenance that the device needs.",
        "Linux takes coherency from _CCA and not from here; Windows reads it.",
        "write 1 for fully coherent, 0 for not coherent",
        ("fwts",),
        _coherency,
    ),
    Rule(
        "IORT-ALLOCATION-HINTS",
        "warning",
        "reserved allocation hints are set",
        _MEMORY,
        "Systems of a later specification may take them for something.",
        "Linux does not look at them.",
        "clear bits 7:4",
        ("fwts",),
        no_other_bits(
            (NamedComponent, "allocation_hints", always(0xF)), (RootComplex, "allocation_hints", always(0xF))
        ),
    ),
    Rule(
        "IORT-MEMORY-FLAGS",
        "warning",
        "reserved memory access flags are set",
        _MEMORY,
        "Systems of a later specification may take them for something.",
        "Linux looks at CANWBS (bit 2) alone.",
        "clear bits 7:3",
        ("fwts",),
        no_other_bits((NamedComponent, "memory_flags", always(7)), (RootComplex, "memory_flags", always(7))),
    ),
    Rule(
        "IORT-MEMORY-ATTRIBUTES",
        "error",
        "the memory access properties of a device contradict each other",
        _MEMORY,
        "Systems may leave out cache maintenance that the device needs.",
        "Linux takes coherency from _CCA and not from here; Windows reads it.",
        "set CPM where CCA is 1, and CCA where CPM and DACS are set",
        ("fwts",),
        _attributes,
    ),
    Rule(
        "IORT-ADDRESS-LIMIT",
        "warning",
        "a device has no address bits",
        _MEMORY,
        "Systems may give the device addresses that it cannot send, or none at all.",
        "Linux prints 'Named component missing memory address limit', or 'Root complex …', and sets no limit.",
        "write the number of address bits that the device has, 64 for no limit",
        ("Linux",),
        _address_limit,
    ),
    Rule(
        "IORT-COMPONENT-FLAGS",
        "warning",
        "reserved flags of a named component are set",
        "DEN 0049E.f §3.1.1.5",
        "Before revision 2 all are reserved: a device that can stall or has PASIDs is not known as such.",
        "Linux reads PASID bits and the stall flag whatever the revision is.",
        "clear bits 31:6, or raise the revision of the node to 2",
        ("fwts",),
        no_other_bits((NamedComponent, "node_flags", _component_bits)),
    ),
    Rule(
        "IORT-ROOT-FLAGS",
        "warning",
        "reserved flags of a root complex are set",
        "DEN 0049E.f §3.1.1.4",
        "Systems of a later specification may allow ATS or PASIDs that the root complex does not have.",
        "Linux looks at ATS (bit 0 of the ATS attribute) and PASID support alone.",
        "clear bits 31:3 of the ATS attribute, 15:5 of the PASID capabilities, 31:1 of the flags",
        ("fwts",),
        no_other_bits(
            (RootComplex, "ats_attribute", always(7)),
            (RootComplex, "pasid_capabilities", _pasid_bits),
            (RootComplex, "flags", always(1)),
        ),
    ),
    Rule(
        "IORT-SMMU-MODEL",
        "warning",
        "an SMMU is of a model that is not defined",
        "DEN 0049E.f §3.1.1.2 and §3.1.1.3",
        "The SMMU may not be driven at all, and its devices bypass or stop.",
        "Linux fails to set up an SMMUv1/v2 of an unknown model; an SMMUv3 it takes for a generic one.",
        "write the number of a generic model when there is none of its own",
        ("fwts", "Linux"),
        _model,
    ),
    Rule(
        "IORT-SMMU-FLAGS",
        "warning",
        "reserved flags of an SMMU are set",
        "DEN 0049E.f §3.1.1.2 and §3.1.1.3",
        "A flag of a later revision is not followed: the proximity domain came with 1, the DeviceID flag with 5.",
        "Linux reads the proximity domain whatever the revision is.",
        "clear the flags, or raise the revision of the node",
        ("fwts",),
        no_other_bits((SmmuV2, "flags", always(3)), (SmmuV3, "flags", _smmu_v3_bits)),
    ),
    Rule(
        "IORT-RMR-FLAGS",
        "warning",
        "reserved flags of an RMR are set",
        "DEN 0049E.f §3.1.1.7",
        "The memory may be mapped for the device with the wrong attributes.",
        "Linux maps attributes above 5 as memory that is not cached, and looks at bits 9:0 alone.",
        "clear bits 31:10, and use attributes 0 to 5",
        ("fwts",),
        _rmr_flags,
    ),
)  # fmt: skip
