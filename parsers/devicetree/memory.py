"""The physical memory map that a device tree tells: `/memory` nodes, `/reserved-memory`, and the reservation block.

Sources: Devicetree Specification v0.4, 3.4, 3.5 and 5.3; `early_init_dt_scan_memory` and `fdt_scan_reserved_mem` of
Linux, which look at the root's children only and pass by nodes that are not in use and ranges without a size.
"""

from __future__ import annotations

from ...base import Finding, Origin
from ..memory_map import MAX_RANGES, MemoryKind, MemoryRange
from .addresses import reg, translate
from .tree import DeviceTree, Node


def memory_ranges(tree: DeviceTree, findings: list[Finding]) -> tuple[MemoryRange, ...]:
    """Return the memory of a device tree, then what is reserved in it.

    Args:
        tree: the tree.
        findings: takes what is wrong with the `reg` of memory nodes; `reserved_memory` tells it of the others.
    """
    ranges: list[MemoryRange] = []
    for node in tree.root.children:
        if node.strings("device_type")[:1] == ("memory",):
            ranges += _ranges(tree, node, "ram", findings)
    parent = tree.node("/reserved-memory")
    for child in parent.children if parent else ():
        ranges += _ranges(tree, child, "reserved", [])
    block = Origin(tree.source, "memory reservation block")
    ranges += (MemoryRange(one.address, one.size, "reserved", block) for one in tree.reservations if one.size)
    if len(ranges) > MAX_RANGES:
        text, count = "there are too many ranges of memory", str(len(ranges))
        advice, most = "only the first are read", f"at most {MAX_RANGES}"
        origin = Origin(tree.source)
        findings.append(Finding("MEMORY-MANY", "warning", origin, text, found=count, expected=most, advice=advice))
    return tuple(ranges[:MAX_RANGES])


def _ranges(tree: DeviceTree, node: Node, kind: MemoryKind, findings: list[Finding]) -> list[MemoryRange]:
    """Return the entries of `reg` that have a size, in physical addresses where `ranges` says how."""
    if not node.available:
        return []
    origin = tree.origin(node, "reg")
    found = []
    for region in reg(tree, node, findings):
        address = translate(node, region.address)
        if region.size:
            found.append(MemoryRange(region.address if address is None else address, region.size, kind, origin))
    return found
