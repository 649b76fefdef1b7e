"""ID maps: `iommu-map` and `msi-map`, which carry the IDs of a bus to an IOMMU or an MSI controller.

Each entry is (first ID, phandle, specifier for the first ID, number of IDs). The IDs are requester IDs for PCI (bus
<< 8 | device << 3 | function), and of the bus's own kind elsewhere. `iommu-map-mask` or `msi-map-mask` is laid over an
ID before it is looked up.

Read as Linux reads it since its 7.1 cycle (`of_map_id`): the specifier has as many cells as the target's `#iommu-cells`
or `#msi-cells` says, one when it does not say. Before that Linux took one cell whatever the target said, and boards
were written for that: so a map whose target says two cells, whose entries are all four cells long with one phandle and
a count of one, is still read with one cell. What Linux refuses it refuses only for the IDs that get that far: entries
before the damage hold.

Sources: `Documentation/devicetree/bindings/pci/pci-iommu.txt` and `pci-msi.txt`; `drivers/of/base.c` of Linux.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...base import Finding, Origin, Severity
from .tree import DeviceTree, Node

ALL_BITS = 0xFFFFFFFF
TWO_CELLS = 2
FIXED_CELLS = 3
"""Cells of an entry besides the specifier: first ID, phandle, number of IDs."""

MAX_SPECIFIER = 16
"""Most cells that a specifier may have (MAX_PHANDLE_ARGS of Linux)."""


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One entry of an ID map.

    Attributes:
        base: first ID, after masking.
        length: number of IDs; 0 is an entry that matches nothing (a boot loader fills it in).
        phandle: as written.
        target: the node that it names; None when there is none, or when systems refuse the entry.
        cells: the specifier for `base`.
        origin: the entry.
    """

    base: int
    length: int
    phandle: int
    target: Node | None
    cells: tuple[int, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class IdMapProperty:
    """An `iommu-map` or `msi-map`.

    Attributes:
        name: of the property.
        mask: bits of an ID that are looked at.
        entries: in order; the first that has an ID decides.
        one_cell: read with one cell against the target's two.
    """

    name: str
    mask: int
    entries: tuple[MapEntry, ...]
    one_cell: bool = False


def id_map(
    tree: DeviceTree, node: Node, kind: Literal["iommu", "msi"], findings: list[Finding]
) -> IdMapProperty | None:
    """Return the ID map of a node, or None when it has none.

    Source: `of_map_id` of Linux; see the module's text for how it differs between versions.
    """
    name = f"{kind}-map"
    found = node.properties.get(name)
    if found is None:
        return None
    mask = node.u32(f"{name}-mask")
    reader = _MapReader(tree, node, name, ALL_BITS if mask is None else mask, findings)
    if not found.raw or len(found.raw) % 4:
        reader.report("DT-MAP-LENGTH", 0, f"{len(found.raw)} bytes are no list of entries", "the map is not used")
    else:
        reader.read()
    return IdMapProperty(name, reader.mask, tuple(reader.entries), reader.one_cell)


class _MapReader:
    """Reads one map; `read` fills `entries`."""

    __slots__ = ("cells", "cells_name", "entries", "findings", "mask", "name", "node", "one_cell", "tree")

    def __init__(self, tree: DeviceTree, node: Node, name: str, mask: int, findings: list[Finding]) -> None:
        """Stand before the first entry."""
        self.tree = tree
        self.node = node
        self.name = name
        self.cells_name = f"#{name.removesuffix('-map')}-cells"
        self.mask = mask
        self.findings = findings
        self.cells = node.properties[name].cells
        self.entries: list[MapEntry] = []
        self.one_cell = False

    def read(self) -> None:
        """Take the entries, up to the first that cannot be read."""
        index: int | None = 0
        while index is not None and index < len(self.cells):
            index = self._entry(index)

    def report(
        self, rule: str, index: int, message: str, advice: str = "", severity: Severity = "error", cells: int = 0
    ) -> None:
        """Report something about the entry at that cell, of so many cells; 0: about all from there on."""
        origin = self.tree.origin(self.node, self.name, 4 * index, 4 * (cells or len(self.cells) - index))
        self.findings.append(Finding(rule, severity, origin, message, advice=advice))

    def _entry(self, index: int) -> int | None:
        """Take one entry; return where the next begins, None when that cannot be known or systems stop here."""
        rest = "IDs that no entry before it takes have no translation"
        cells = self.cells[index : index + FIXED_CELLS + MAX_SPECIFIER]
        if len(cells) < FIXED_CELLS - 1:
            self.report("DT-MAP-LENGTH", index, "the last entry is cut off", rest)
            return None
        base, phandle = cells[:2]
        if base & ~self.mask:
            message = f"the first ID 0x{base:x} has bits that {self.name}-mask 0x{self.mask:x} hides"
            self.report("DT-MAP-MASK", index, message, rest)
            return None
        target = self.tree.phandles.get(phandle)
        if target is None:
            self.report("DT-PHANDLE", index, f"no node has phandle 0x{phandle:x}", rest)
            # How long it is nobody can say for sure; one cell is what Linux took for granted for ten years.
            if len(cells) > FIXED_CELLS:
                origin = self.tree.origin(self.node, self.name, 4 * index, 16)
                self.entries.append(MapEntry(base, cells[3], phandle, None, cells[2:3], origin))
            return None
        count = self._specifier_cells(index, target)
        if count > MAX_SPECIFIER or len(cells) < FIXED_CELLS + count:
            cells_asked = f"{count} cell{'' if count == 1 else 's'}"
            message = f"the entry is cut off: {self.cells_name} of {target.path} asks for {cells_asked} of specifier"
            self.report("DT-MAP-LENGTH", index, message, rest)
            return None
        specifier, length = cells[2 : 2 + count], cells[2 + count]
        if count > 1 and length > 1:
            message = f"{length} IDs with a specifier of {count} cells: nobody can say which cell counts up"
            advice = "Linux refuses these IDs: write one entry for each"
            self.report("DT-MAP-RANGE", index, message, advice, cells=FIXED_CELLS + count)
            target = None
        elif not length:
            advice = "a boot loader is to fill it in"
            self.report("DT-MAP-EMPTY", index, "the entry has no IDs", advice, "note", FIXED_CELLS + count)
        origin = self.tree.origin(self.node, self.name, 4 * index, 4 * (FIXED_CELLS + count))
        self.entries.append(MapEntry(base, length, phandle, target, specifier, origin))
        return index + FIXED_CELLS + count

    def _specifier_cells(self, index: int, target: Node) -> int:
        """Return how many cells the specifier has for this target."""
        if self.one_cell:
            return 1
        stated = target.u32(self.cells_name)
        if stated is None:
            if self.cells_name == "#iommu-cells":
                message = f"{target.path} is referred to but has no {self.cells_name}"
                self.report("DT-CELLS", index, message, "read with one cell, as Linux does", "warning")
            return 1
        if index == 0 and stated == TWO_CELLS and self._written_for_one_cell():
            self.one_cell = True
            message = f"entries are written with one cell where {target.path} asks for two"
            advice = "read with one cell, as Linux does; write the second cell"
            if len(self.cells) == FIXED_CELLS + 1:
                advice = "read with one cell; Linux from 7.1 on refuses a map of one such entry: write the second cell"
            self.report("DT-MAP-CELLS", 0, message, advice, "warning")
            return 1
        return stated

    def _written_for_one_cell(self) -> bool:
        """Tell the pattern that Linux looks for: four cells an entry, one phandle, one ID each (`of_check_bad_map`)."""
        cells = self.cells
        return len(cells) % 4 == 0 and set(cells[1::4]) == {cells[1]} and set(cells[3::4]) == {1}
