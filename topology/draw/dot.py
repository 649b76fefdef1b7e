"""A topology as a graph in the DOT language, for Graphviz: devices, IOMMUs and MSI controllers, IDs on the edges."""

from __future__ import annotations

from ...base import printable
from ..topology import Topology
from ..view import KINDS, attachments


def draw_dot(topology: Topology) -> str:
    """Return the graph."""
    lines = ["digraph iommus {", "  rankdir=LR;", "  node [shape=box, fontname=monospace];"]
    for unit in topology.iommus.values():
        style = "filled" if unit.enabled else "dashed"
        label = f"{unit.name}\n{KINDS.get(unit.kind, unit.kind)}"
        lines.append(f"  {_quote(unit.name)} [label={_quote(label)}, style={style}, fillcolor=palegreen];")
    lines += [f"  {_quote(one)} [shape=ellipse];" for one in topology.msi_controllers]
    edges = []
    for one in attachments(topology):
        lines.append(f"  {_quote(one.device.name)};")
        for route in one.routes:
            if route.verdict in ("controlled", "disabled") and route.iommu:
                label = "" if route.stream is None else f"0x{route.stream:x}"
                edges.append((one.device.name, route.iommu, label))
            elif route.verdict == "no-iommu":
                edges.append((one.device.name, "memory", "no IOMMU"))
        if one.msi is not None:
            edges.append((one.device.name, one.msi[0], "MSI" if one.msi[1] is None else f"MSI 0x{one.msi[1]:x}"))
    for source, target, label in dict.fromkeys(edges):
        style = ", style=dotted" if label.startswith("MSI") else ", color=red" if target == "memory" else ""
        lines.append(f"  {_quote(source)} -> {_quote(target)} [label={_quote(label)}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quote(text: str) -> str:
    """Return a quoted identifier of the DOT language."""
    escaped = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return '"' + "\\n".join(escaped) + '"'
