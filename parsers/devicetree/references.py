"""Lists of references: (phandle, specifier) entries such as those of `iommus`, `msi-parent`, `interrupts-extended`.

How many cells the specifier of an entry has is said by the node that the phandle names, in a property such as
`#iommu-cells`. So an entry that names no node hides all that follow it: nobody knows where the next one begins.

Source: Devicetree Specification v0.4, 2.3.3; `of_parse_phandle_with_args` of Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...base import Finding, Origin
from .tree import DeviceTree, Node


@dataclass(frozen=True, slots=True)
class Reference:
    """One entry of a list of references.

    Attributes:
        phandle: as written; 0 is an entry that is left empty on purpose.
        target: the node that it names; None when there is none, or its specifier cannot be read.
        cells: the specifier.
        origin: the entry, with phandle.
    """

    phandle: int
    target: Node | None
    cells: tuple[int, ...]
    origin: Origin


def references(
    tree: DeviceTree,
    node: Node,
    name: str,
    findings: list[Finding],
    cells_name: str = "",
    default: int | None = None,
) -> tuple[Reference, ...]:
    """Return the entries of the list `name` of a node; empty when it has none.

    Args:
        tree: the tree that the node belongs to.
        node: the node with the list.
        name: of the property that is the list.
        findings: takes what is wrong.
        cells_name: property of the target that gives the number of cells; without a name entries are phandles only.
        default: number of cells when the target does not say; None makes that an error.

    The first entry that cannot be resolved is the last that is returned, with `target` None.
    """
    found = node.properties.get(name)
    if found is None:
        return ()
    if len(found.raw) % 4:
        origin = tree.origin(node, name, 0, len(found.raw))
        findings.append(Finding("DT-LENGTH", "error", origin, f"{len(found.raw)} bytes are no whole number of cells"))
    cells = found.cells
    entries: list[Reference] = []
    index = 0
    while index < len(cells):
        phandle = cells[index]
        target = tree.phandles.get(phandle)
        count = 0
        problem = None
        if phandle == 0:
            pass
        elif target is None:
            problem = _unknown(tree, node, name, index, phandle)
        elif cells_name:
            stated = target.u32(cells_name)
            if stated is None and default is None:
                problem = _missing(tree, node, name, index, target, cells_name)
            count = (default or 0) if stated is None else stated
            if index + 1 + count > len(cells):
                problem = _cut_off(tree, node, name, index, count, len(cells))
        if problem is not None:
            findings.append(problem)
            origin = tree.origin(node, name, 4 * index, 4 * (len(cells) - index))
            entries.append(Reference(phandle, None, cells[index + 1 :], origin))
            break
        origin = tree.origin(node, name, 4 * index, 4 * (1 + count))
        entries.append(Reference(phandle, target, cells[index + 1 : index + 1 + count], origin))
        index += 1 + count
    return tuple(entries)


def _unknown(tree: DeviceTree, node: Node, name: str, index: int, phandle: int) -> Finding:
    """Say that no node has the phandle."""
    return Finding(
        "DT-PHANDLE",
        "error",
        tree.origin(node, name, 4 * index, 4),
        "no node has this phandle",
        "phandle",
        f"0x{phandle:x}",
        clause="Devicetree Specification v0.4, 2.3.3",
        advice="what follows in this list cannot be read",
    )


def _missing(tree: DeviceTree, node: Node, name: str, index: int, target: Node, cells_name: str) -> Finding:
    """Say that the target does not tell the size of its specifiers."""
    return Finding(
        "DT-CELLS",
        "error",
        tree.origin(node, name, 4 * index, 4),
        f"{target.path} is referred to but has no {cells_name}",
        advice="what follows in this list cannot be read",
    )


def _cut_off(tree: DeviceTree, node: Node, name: str, index: int, count: int, length: int) -> Finding:
    """Say that the last specifier is not all there."""
    return Finding(
        "DT-LENGTH",
        "error",
        tree.origin(node, name, 4 * index, 4 * (length - index)),
        "the last entry is cut off",
        found=f"{length - index - 1} cells after the phandle",
        expected=str(count),
    )
