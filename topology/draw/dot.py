"""A topology as a graph in the DOT language, for Graphviz: devices, IOMMUs and MSI controllers, IDs on the edges."""

from __future__ import annotations

from ...base import format_rid, printable
from ..topology import Topology
from ..view import KINDS, attachments, root_maps


def draw_dot(topology: Topology) -> str:
    """Return the graph."""
    lines = ["digraph iommus {", "  rankdir=LR;", "  node [shape=box, fontname=monospace];"]
    for unit in topology.iommus.values():
        style = "filled" if unit.enabled else "dashed"
        label = f"{unit.name}\n{KINDS.get(unit.kind, unit.kind)}"
        lines.append(f"  {_quote(unit.name)} [label={_quote(label)}, style={style}, fillcolor=palegreen];")
    lines += [f"  {_quote(one)} [shape=ellipse];" for one in topology.msi_controllers]
    edges = []
    ranges = root_maps(topology)
    lines += [f"  {_quote(root)} [shape=folder];" for root in dict.fromkeys(one.source for one in ranges)]
    for one in ranges:
        last = f"-{format_rid(one.base + one.length - 1)}" if one.length > 1 else ""
        words = "other IDs" if one.fallback else "any ID" if one.single else format_rid(one.base) + last
        if one.target in topology.iommus:
            edges.append((one.source, one.target, words))
        else:
            edges.append((one.source, "memory", f"{words} no IOMMU"))
    for attached in attachments(topology):
        lines.append(f"  {_quote(attached.device.name)};")
        for route in attached.routes:
            if route.verdict in ("controlled", "disabled") and route.iommu:
                label = "" if route.stream is None else f"0x{route.stream:x}"
                edges.append((attached.device.name, route.iommu, label))
            elif route.verdict == "no-iommu":
                edges.append((attached.device.name, "memory", "no IOMMU"))
        if attached.msi is not None:
            edges.append(
                (
                    attached.device.name,
                    attached.msi[0],
                    "MSI" if attached.msi[1] is None else f"MSI 0x{attached.msi[1]:x}",
                )
            )
    for source, target, label in dict.fromkeys(edges):
        style = ", style=dotted" if label.startswith("MSI") else ", color=red" if target == "memory" else ""
        lines.append(f"  {_quote(source)} -> {_quote(target)} [label={_quote(label)}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quote(text: str) -> str:
    """Return a quoted identifier of the DOT language."""
    escaped = (printable(line).replace("\\", "\\\\").replace('"', '\\"') for line in text.split("\n"))
    return '"' + "\\n".join(escaped) + '"'
