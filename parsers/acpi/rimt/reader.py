"""Bytes of a RIMT to records: bounds first, and every node that can be read is."""

from __future__ import annotations

from ..layout import Layout
from ..nodes import NodeArray, NodePlace, read_nodes
from ..record import Report
from . import layout, names
from .records import IdMapping, Iommu, Node, PcieRootComplex, PlatformDevice, Rimt, UnknownNode, Wire

CLAUSE = "RIMT specification 1.0, RIMT node structure types"

_HEADER = Layout(layout.NODE_HEADER)
_ARRAY = NodeArray(
    "RIMT",
    CLAUSE,
    CLAUSE,
    _HEADER.size,
    length_at=2,
    count_field="Number of RIMT Nodes",
    offset_field="Offset to RIMT Node Array",
    offset_at=40,
    offset_size=4,
    end_advice=" (Linux: 'RIMT node pointer overflows, bad table!')",
)
_NODES: dict[int, type[Node]] = {
    names.IOMMU: Iommu,
    names.PCIE_ROOT_COMPLEX: PcieRootComplex,
    names.PLATFORM_DEVICE: PlatformDevice,
}


def read_rimt(data: bytes, offset: int, report: Report) -> Rimt:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    start = offset + Rimt.LAYOUT.size
    count, first, _ = Rimt.LAYOUT.read(data, offset)

    def read(place: int, end: int) -> Node:
        return _read_node(data, place, end, report)

    nodes, padding, rest = read_nodes(data, start, first, count, _ARRAY, read, report)
    return Rimt.read(data, offset, nodes=nodes, padding=padding, rest=rest)


def _read_node(data: bytes, place: int, end: int, report: Report) -> Node:
    """Read the node from `place` to `end`."""
    kind = data[place]
    node = _NODES.get(kind, UnknownNode)
    if node is UnknownNode:
        report(
            "RIMT-NODE-TYPE", "warning", place, 1, "a node of an unknown type", field="Type", found=str(kind),
            expected=f"0 to {max(names.NODES)}", clause=CLAUSE, advice="what follows its header is kept as raw data",
        )  # fmt: skip
    elif place + node.LAYOUT.size > end:
        report(
            "RIMT-NODE-LENGTH", "error", place, end - place, f"the {names.NODES[kind]} node is too short",
            found=f"{end - place} bytes", expected=f"at least {node.LAYOUT.size}", clause=CLAUSE,
            advice="what follows its header is kept as raw data",
        )  # fmt: skip
        node = UnknownNode
    here = NodePlace(data, place, end, node.LAYOUT.size, "RIMT", CLAUSE, report)
    after = place + node.LAYOUT.size
    if node is Iommu:
        count, start = Iommu.LAYOUT.read(data, place)[-2:]
        wires = here.array(Wire, start, count, "interrupt wire")
        return Iommu.read(data, place, wires=wires, gaps=here.gaps(after, wires))
    if node is PcieRootComplex:
        start, count = PcieRootComplex.LAYOUT.read(data, place)[-2:]
        mappings = here.array(IdMapping, start, count, "ID mapping")
        return PcieRootComplex.read(data, place, mappings=mappings, gaps=here.gaps(after, mappings))
    if node is PlatformDevice:
        start, count = PlatformDevice.LAYOUT.read(data, place)[-2:]
        mappings = here.array(IdMapping, start, count, "ID mapping")
        limit = mappings[0].offset if mappings else end
        name, terminated = here.name(after, limit, "Device Object Name", CLAUSE)
        gaps = here.gaps(after + len(name) + terminated, mappings)
        return PlatformDevice.read(data, place, name=name, terminated=terminated, mappings=mappings, gaps=gaps)
    return UnknownNode.read(data, place, gaps=here.gaps(after))
