"""Rules for what device trees say of IOMMUs: ID maps with gaps and overlaps, cells, segments, reserved memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ...base import Finding, RangeSet, Severity
from ...parsers.devicetree import (
    STREAM_MATCH,
    DeviceTree,
    IdMapProperty,
    MapEntry,
    Node,
    id_map,
    inherited_msi_route,
    iommu_binding,
    iommus,
    is_pci_host,
    memory_ranges,
    pci_host,
    reserved_memory,
)
from .board import Board
from .devicetree_streams import STREAM_RULES
from .rule import Rule
from .spans import Span, clashes, gaps

_MAP = "Documentation/devicetree/bindings/pci/pci-iommu.txt"
_IOMMU = "Documentation/devicetree/bindings/iommu"
_KINDS: tuple[Literal["iommu", "msi"], ...] = ("iommu", "msi")
_LAST_BUS = 255
_WITHOUT_CELLS = ("fsl-pamu", "tegra-smmu")
"""Kinds of IOMMU that early bindings describe without #iommu-cells."""


def _maps(tree: DeviceTree) -> Iterator[tuple[Node, IdMapProperty]]:
    """Iterate over the `iommu-map` and `msi-map` properties; what is wrong in reading them has findings already."""
    for node in tree.nodes:
        for kind in _KINDS:
            table = id_map(tree, node, kind, [])
            if table is not None:
                yield node, table


def _buses(node: Node) -> tuple[int, int]:
    """Return the first and last bus of a host bridge; the last is below the first when it has none."""
    host = pci_host(node)
    return host.first_bus, min(host.last_bus, _LAST_BUS)


def _taken(table: IdMapProperty) -> list[tuple[int, int]]:
    """Return the IDs, after masking, that the entries of a map take."""
    return [(one.base, one.base + one.length - 1) for one in table.entries if one.length]


def _map_gap(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for buses of a host bridge of which its map takes no ID."""
    for tree in board.inputs.trees:
        for node in tree.nodes:
            table = id_map(tree, node, "iommu", []) if is_pci_host(node) and node.available else None
            if table is None or not any(one.length for one in table.entries):
                continue
            first, last = _buses(node)
            mask = table.mask
            taken = RangeSet((one.base, one.length) for one in table.entries if one.length)
            missing = [
                bus for bus in range(first, last + 1)
                if mask >> 8 and not taken.overlapping(bus << 8 & mask, (mask & 0xFF) + 1)
            ]  # fmt: skip
            if missing:
                text = _bus_words(missing)
                yield rule.finding(tree.origin(node, table.name), f"the map takes no ID of {text}")


def _bus_words(buses: list[int]) -> str:
    """Name buses in ranges."""
    words = []
    start = before = buses[0]
    for bus in (*buses[1:], -1):
        if bus != before + 1:
            words.append(f"0x{start:02x}" if start == before else f"0x{start:02x}-0x{before:02x}")
            start = bus
        before = bus
    more = f" and {len(words) - 4} ranges more" if len(words) > 4 else ""  # noqa: PLR2004 - as many are named
    return ("bus " if len(buses) == 1 else "buses ") + ", ".join(words[:4]) + more


def _map_overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    for tree in board.inputs.trees:
        for _, table in _maps(tree):
            spans = [
                Span(one.base, one.base + one.length - 1, _outcome(one), one) for one in table.entries if one.length
            ]
            for before, span in clashes(spans):
                message = (
                    f"an entry of {table.name} takes IDs from 0x{span.first:x} to 0x{min(before.last, span.last):x}, "
                    f"which the entry for 0x{before.item.base:x} leads elsewhere"
                )
                yield rule.finding(span.item.origin, message)


def _outcome(one: MapEntry) -> tuple[int, tuple[int, ...]]:
    """Return what is the same for two entries that make the same of an ID."""
    cells = (one.cells[0] - one.base, *one.cells[1:]) if one.cells else ()
    return one.phandle, cells


def _msi_gap(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for IDs that an IOMMU takes and for which the interrupts lead nowhere."""
    for tree in board.inputs.trees:
        for node in tree.nodes:
            table = id_map(tree, node, "iommu", []) if is_pci_host(node) and node.available else None
            route = inherited_msi_route(tree, node, []) if table is not None else None
            if table is None or route is None or route.table is None or not route.table.entries:
                continue
            # With masks, IDs of one map are not those of the other.
            if table.mask & 0xFFFF != route.table.mask & 0xFFFF:
                continue
            taken = _taken(route.table)
            missing = [gap for first, last in _taken(table) for gap in gaps(taken, first, min(last, 0xFFFF))]
            if missing:
                first, last = missing[0]
                message = f"the IOMMU takes IDs from 0x{first:x} to 0x{last:x}, and msi-map does not"
                yield rule.finding(tree.origin(route.owner, "msi-map"), message)


def _cells(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for IOMMUs whose #iommu-cells is missing, or another number than their binding gives."""
    for tree in board.inputs.trees:
        for node in tree.nodes:
            binding = iommu_binding(node)
            if binding is None or "mmu-masters" in node.properties:
                continue
            stated = node.u32("#iommu-cells")
            allowed = (1, 2) if binding.cells == STREAM_MATCH else (len(binding.cells),)
            if (binding.kind in _WITHOUT_CELLS and stated is None) or stated in allowed:
                continue
            found = "missing" if stated is None else str(stated)
            yield rule.finding(
                tree.origin(node, "" if stated is None else "#iommu-cells"), field="#iommu-cells", found=found,
                expected=" or ".join(map(str, allowed)),
            )  # fmt: skip


def _domain_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for host bridges of one segment that have a bus in common."""
    for tree in board.inputs.trees:
        spans = []
        for node in tree.nodes:
            if is_pci_host(node) and node.available and (domain := pci_host(node).domain) is not None:
                first, last = _buses(node)
                if first <= last:
                    spans.append(Span(domain << 8 | first, domain << 8 | last, node.path, node))
        for before, span in clashes(spans):
            message = f"{before.item.path} has segment {span.first >> 8:04x} and bus 0x{span.first & 0xFF:02x} as well"
            yield rule.finding(tree.origin(span.item, "linux,pci-domain"), message)


def _bus_range(rule: Rule, board: Board) -> Iterator[Finding]:
    for tree in board.inputs.trees:
        for node in tree.nodes:
            found = node.properties.get("bus-range") if is_pci_host(node) else None
            if found is None:
                continue
            first, last = (*found.cells, 0, 0)[:2]
            if len(found.cells) < 2 or not first <= last <= _LAST_BUS:  # noqa: PLR2004 - first and last
                text = " ".join(str(cell) for cell in found.cells[:4])
                yield rule.finding(
                    tree.origin(node, "bus-range"), found=text or "nothing", expected="0 to 255, in order"
                )


def _mapped(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for reserved memory that a device is to see at another address, or in another size, than it has."""
    for tree in board.inputs.trees:
        for memory in reserved_memory(tree, []):
            for entry in memory.iommu_addresses:
                if not memory.regions or not entry.length:
                    continue
                region = memory.regions[0]
                if (region.address, region.size) == (entry.start, entry.length):
                    continue
                size = region.size or 0
                message = ""
                severity: Severity = rule.severity
                if region.address == entry.start:
                    message = f"{entry.device.path} sees reserved memory in another size than it has"
                    severity = "warning"
                yield rule.finding(
                    entry.origin, message, severity, found=f"0x{entry.start:x} + 0x{entry.length:x}",
                    expected=f"0x{region.address:x} + 0x{size:x}",
                )  # fmt: skip


def _outside(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for reserved memory with a fixed place that is in no memory node, in trees that have such nodes."""
    for tree in board.inputs.trees:
        memory = RangeSet((one.start, one.length) for one in memory_ranges(tree, []) if one.kind == "ram")
        for one in reserved_memory(tree, []) if memory else ():
            for region in one.regions:
                if region.size and not memory.covers(region.address, region.size):
                    found = f"0x{region.address:x} + 0x{region.size:x}"
                    yield rule.finding(tree.origin(one.node, "reg"), found=found)


def _entry_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for tree in board.inputs.trees:
        for node in tree.nodes:
            seen = set()
            for entry in iommus(tree, node, []) if "iommus" in node.properties else ():
                key = entry.phandle, entry.cells
                if key in seen and entry.cells:
                    cells = " ".join(f"0x{cell:x}" for cell in entry.cells)
                    yield rule.finding(entry.origin, found=cells, expected="an ID of its own")
                seen.add(key)


RULES = (
    Rule(
        "DT-MAP-GAP",
        "note",
        "an iommu-map leaves out buses of its host bridge",
        _MAP,
        "Functions on these buses are not translated: they reach all of memory.",
        "Linux prints 'no iommu-map translation for id 0x… on …' as information, and sets up no IOMMU.",
        "add entries for these buses, or narrow bus-range",
        ("Linux",),
        _map_gap,
    ),
    Rule(
        "DT-MAP-OVERLAP",
        "error",
        "two entries of a map take the same IDs to different places",
        _MAP,
        "A system that reads the other entry gives the memory of the device to another one.",
        "Linux takes the first entry that has the ID.",
        "give each entry IDs of its own; the last cell is the number of IDs",
        look=_map_overlap,
    ),
    Rule(
        "DT-MSI-GAP",
        "note",
        "an msi-map leaves out IDs that the iommu-map takes",
        "Documentation/devicetree/bindings/pci/pci-msi.txt",
        "Functions with these IDs are translated, and their interrupts carry an ID that the controller may not know.",
        "Linux leaves the ID unchanged and asks the next bus above; the function may be left with wired interrupts.",
        "let both maps take the same IDs",
        look=_msi_gap,
    ),
    Rule(
        "DT-IOMMU-CELLS",
        "warning",
        "an IOMMU has another number of cells than its binding gives",
        _IOMMU,
        "Masters cannot refer to it, or their IDs are read from the wrong cell.",
        "Linux prints 'could not get #iommu-cells for' the node when it is missing; drivers refuse other numbers.",
        "write the number that the binding gives",
        ("Linux",),
        _cells,
    ),
    Rule(
        "DT-DOMAIN-TWICE",
        "warning",
        "two host bridges have one segment and a bus in common",
        "Documentation/devicetree/bindings/pci/pci.txt",
        "Two functions have one address, so rules for one are applied to the other.",
        "Linux fails to set up the second host bridge: the bus exists already.",
        "give every host bridge its own linux,pci-domain",
        look=_domain_twice,
    ),
    Rule(
        "DT-BUS-RANGE",
        "error",
        "the buses of a host bridge cannot be",
        "Documentation/devicetree/bindings/pci/pci.txt",
        "Which requester IDs the host bridge has cannot be told.",
        "Linux prints 'No bus range found for …' when it cannot read the property, and takes all buses.",
        "write the first and the last bus, from 0 to 255",
        ("Linux",),
        _bus_range,
    ),
    Rule(
        "DT-IOMMU-ADDRESSES-MAPPED",
        "note",
        "reserved memory is to be seen at another address than it has",
        "dt-schema reserved-memory/reserved-memory.yaml",
        "A system that cannot map it there keeps the addresses free, and a device that uses it from the start faults.",
        "Linux prints 'treating non-direct mapping [%pr] -> [%pap-%pap] as reservation', and maps nothing.",
        "write address and size as in reg, where the device can be moved",
        ("Linux",),
        _mapped,
    ),
    Rule(
        "DT-RESERVED-OUTSIDE",
        "note",
        "reserved memory is in no memory node",
        "Devicetree Specification v0.4, 3.5",
        "If the address is wrong, the memory that the device uses belongs to programs.",
        "Linux has nothing to take out of its memory there, and says nothing.",
        "look whether the memory is kept from the system in another way, or correct the address",
        look=_outside,
    ),
    Rule(
        "DT-IOMMUS-TWICE",
        "warning",
        "a master names one ID twice",
        f"{_IOMMU}/iommu.txt",
        "If another ID was meant, the interface that sends it is not translated.",
        "Linux takes both entries; the drivers of SMMUs make one of them.",
        "write the ID of the other interface, or take one entry away",
        look=_entry_twice,
    ),
    *STREAM_RULES,
)  # fmt: skip
