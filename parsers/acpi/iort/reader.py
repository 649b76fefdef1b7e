"""Bytes of an IORT to records: bounds first, and every node that can be read is."""

from __future__ import annotations

from typing import Any, TypeVar

from ..layout import Layout
from ..nodes import NodeArray, NodePlace, read_nodes
from ..record import Record, Report
from . import layout, names
from .records import (
    GlobalInterrupts,
    IdMapping,
    Iort,
    ItsGroup,
    ItsIdentifier,
    Iwb,
    NamedComponent,
    Node,
    Pmcg,
    Rmr,
    RmrDescriptor,
    RootComplex,
    SmmuInterrupt,
    SmmuV2,
    SmmuV3,
    UnknownNode,
)

CLAUSE = "DEN 0049E.f §3.1"

_HEADER = Layout(layout.NODE_HEADER)
_ARRAY = NodeArray(
    "IORT",
    CLAUSE,
    "DEN 0049E.f §3",
    _HEADER.size,
    length_at=1,
    count_field="Number of IORT Nodes",
    offset_field="Offset to Array of IORT Nodes",
    offset_at=40,
    offset_size=4,
    end_advice=" (Linux: 'IORT node pointer overflows, bad table!')",
)
_NODES: dict[int, type[Node]] = {
    names.ITS_GROUP: ItsGroup,
    names.NAMED_COMPONENT: NamedComponent,
    names.ROOT_COMPLEX: RootComplex,
    names.SMMU_V2: SmmuV2,
    names.SMMU_V3: SmmuV3,
    names.PMCG: Pmcg,
    names.RMR: Rmr,
    names.IWB: Iwb,
}
_Entry = TypeVar("_Entry", bound=Record)


def read_iort(data: bytes, offset: int, report: Report) -> Iort:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    start = offset + Iort.LAYOUT.size
    count, first, _ = Iort.LAYOUT.read(data, offset)

    def read(place: int, end: int) -> Node:
        return _read_node(data, place, end, report)

    nodes, padding, rest = read_nodes(data, start, first, count, _ARRAY, read, report)
    return Iort.read(data, offset, nodes=nodes, padding=padding, rest=rest)


def _read_node(data: bytes, place: int, end: int, report: Report) -> Node:
    """Read the node from `place` to `end`."""
    kind, _, revision, _, mapping_count, mapping_offset = _HEADER.read(data, place)
    node = _NODES.get(kind, UnknownNode)
    label = names.NODES.get(kind, f"type {kind}")
    if node is UnknownNode:
        report(
            "IORT-NODE-TYPE", "warning", place, 1, "a node of an unknown type", field="Type", found=str(kind),
            expected=f"0 to {max(names.NODES)}", clause=CLAUSE, advice="what follows its header is kept as raw data",
        )  # fmt: skip
    elif place + node.LAYOUTS[0][1].size > end:
        report(
            "IORT-NODE-LENGTH", "error", place, end - place, f"the {label} node is too short",
            found=f"{end - place} bytes", expected=f"at least {node.LAYOUTS[0][1].size}", clause=CLAUSE,
            advice="what follows its header is kept as raw data",
        )  # fmt: skip
        node = UnknownNode
    here = NodePlace(data, place, end, node.LAYOUTS[0][1].size, "IORT", CLAUSE, report)
    mappings = here.array(IdMapping, mapping_offset, mapping_count, "ID mapping")
    limit = mappings[0].offset if mappings else end
    fixed = next(layout for since, layout in reversed(node.LAYOUTS) if _fits(layout, since, revision, place, limit))
    parts = _read_parts(node, here._replace(fixed_size=fixed.size), fixed, limit)
    named = len(parts["name"]) + parts["terminated"] if "name" in parts else 0
    arrays = (part for part in parts.values() if isinstance(part, tuple))
    gaps = here.gaps(place + fixed.size + named, *arrays, mappings)
    return node.read_node(data, place, fixed, mappings=mappings, gaps=gaps, **parts)


def _fits(layout: Layout, since: int, revision: int, place: int, limit: int) -> bool:
    """Tell whether a node of this revision has this layout: it must not reach into the mappings."""
    return not since or (revision >= since and place + layout.size <= limit)


def _read_parts(node: type[Node], here: NodePlace, fixed: Layout, limit: int) -> dict[str, Any]:
    """Read what a node of this class holds after its fixed part, besides the mappings."""
    after = here.place + fixed.size
    if node in (NamedComponent, Iwb):
        name, terminated = here.name(after, max(limit, after), "Device Object Name", "DEN 0049E.f §3.1.1.5")
        return {"name": name, "terminated": terminated}
    values = dict(zip((field.name for field in fixed.fields), fixed.read(here.data, here.place), strict=True))

    def array(entry: type[_Entry], name: str, what: str) -> tuple[_Entry, ...]:
        return here.array(entry, values[f"{name}_offset"], values[f"{name}_count"], what)

    if node is ItsGroup:
        return {"identifiers": here.array(ItsIdentifier, fixed.size, values["its_count"], "ITS identifier")}
    if node is SmmuV2:
        values["global_interrupt_count"] = 1 if values["global_interrupt_offset"] else 0
        return {
            "global_interrupts": array(GlobalInterrupts, "global_interrupt", "global interrupt"),
            "context_interrupts": array(SmmuInterrupt, "context_interrupt", "context interrupt"),
            "pmu_interrupts": array(SmmuInterrupt, "pmu_interrupt", "PMU interrupt"),
        }
    if node is Rmr:
        return {"descriptors": array(RmrDescriptor, "descriptor", "memory range descriptor")}
    return {}
