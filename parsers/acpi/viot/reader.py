"""Bytes of a VIOT to records: bounds first, and every node that can be read is."""

from __future__ import annotations

from ..layout import Layout
from ..nodes import NodeArray, read_nodes
from ..record import Raw, Report
from . import layout, names
from .records import MmioEndpoint, Node, PciRange, UnknownNode, Viot, VirtioIommuMmio, VirtioIommuPci

CLAUSE = "ACPI 6.6 §5.2.33"

_HEADER = Layout(layout.NODE_HEADER)
_ARRAY = NodeArray(
    "VIOT",
    CLAUSE,
    CLAUSE,
    _HEADER.size,
    length_at=2,
    count_field="Node count",
    offset_field="Node offset",
    offset_at=38,
    offset_size=2,
    end_advice=" (Linux: 'Node pointer overflows')",
)
_NODES: dict[int, type[Node]] = {
    names.PCI_RANGE: PciRange,
    names.MMIO_ENDPOINT: MmioEndpoint,
    names.VIRTIO_IOMMU_PCI: VirtioIommuPci,
    names.VIRTIO_IOMMU_MMIO: VirtioIommuMmio,
}


def read_viot(data: bytes, offset: int, report: Report) -> Viot:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    start = offset + Viot.LAYOUT.size
    count, first, _ = Viot.LAYOUT.read(data, offset)

    def read(place: int, end: int) -> Node:
        return _read_node(data, place, end, report)

    nodes, padding, rest = read_nodes(data, start, first, count, _ARRAY, read, report)
    return Viot.read(data, offset, nodes=nodes, padding=padding, rest=rest)


def _read_node(data: bytes, place: int, end: int, report: Report) -> Node:
    """Read the node from `place` to `end`."""
    kind = data[place]
    node = _NODES.get(kind, UnknownNode)
    if node is UnknownNode:
        report(
            "VIOT-NODE-TYPE", "warning", place, 1, "a node of an unknown type", field="Type", found=str(kind),
            expected=f"1 to {max(names.NODES)}", clause=CLAUSE,
            advice="what follows its header is kept as raw data (Linux: 'Unsupported node')",
        )  # fmt: skip
    elif place + node.LAYOUT.size > end:
        report(
            "VIOT-NODE-LENGTH", "error", place, end - place, f"the {names.NODES[kind]} node is too short",
            found=f"{end - place} bytes", expected=f"at least {node.LAYOUT.size}", clause=CLAUSE,
            advice="what follows its header is kept as raw data",
        )  # fmt: skip
        node = UnknownNode
    after = place + node.LAYOUT.size
    return node.read(data, place, rest=Raw(after, data[after:end]) if after < end else None)
