"""Wired interrupts of a node: `interrupts`, `interrupts-extended` and `interrupt-names`.

`interrupts` holds specifiers for the node's interrupt parent: the node that `interrupt-parent` names, or else the
parent, and so on upwards until a node has `#interrupt-cells`. `interrupts-extended` names the controller in each
entry and wins when both are there. `interrupt-names` runs parallel to either.

Source: Devicetree Specification v0.4, 2.4; `of_irq_find_parent` of Linux; the `arm,gic-v3` binding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...base import Finding, Origin
from .bindings import is_gic
from .references import references
from .tree import DeviceTree, Node

_GIC_CELLS = 3
# First cell of a GIC specifier: what is added to the second to make the INTID (SPI, PPI, extended SPI, extended PPI).
_GIC_FIRST_INTID = {0: 32, 1: 16, 2: 4096, 3: 1056}


@dataclass(frozen=True, slots=True)
class WiredInterrupt:
    """One interrupt of a node.

    Attributes:
        name: of `interrupt-names`; empty when it has none.
        controller: the node that the specifier is for; None when it cannot be found.
        cells: the specifier.
        number: the INTID at a GIC, elsewhere the first cell.
        trigger: `edge` or `level` at a GIC; empty when not said.
        origin: the entry.
    """

    name: str
    controller: Node | None
    cells: tuple[int, ...]
    number: int
    trigger: Literal["edge", "level", ""]
    origin: Origin


def interrupts(tree: DeviceTree, node: Node, findings: list[Finding]) -> tuple[WiredInterrupt, ...]:
    """Return the interrupts of a node, in order; those that cannot be read are left out with a finding.

    Source: Devicetree Specification v0.4, 2.4.1.
    """
    names = node.strings("interrupt-names")
    if "interrupts-extended" in node.properties:
        entries = [
            (entry.target, entry.cells, entry.origin)
            for entry in references(tree, node, "interrupts-extended", findings, "#interrupt-cells")
        ]
    else:
        entries = _plain(tree, node, findings)
    return tuple(
        _interrupt(names[index] if index < len(names) else "", controller, cells, origin)
        for index, (controller, cells, origin) in enumerate(entries)
        if controller is not None and cells
    )


def interrupt_parent(tree: DeviceTree, node: Node) -> Node | None:
    """Return the controller that `interrupts` of the node is for; None when there is none.

    Source: `of_irq_find_parent` of Linux.
    """
    seen = set()  # references can lead in a circle
    found: Node | None = node
    while found is not None and found not in seen:
        seen.add(found)
        phandle = found.u32("interrupt-parent")
        found = found.parent if phandle is None else tree.phandles.get(phandle)
        if found is not None and "#interrupt-cells" in found.properties:
            return found
    return None


def _plain(tree: DeviceTree, node: Node, findings: list[Finding]) -> list[tuple[Node | None, tuple[int, ...], Origin]]:
    """Return the entries of `interrupts`."""
    found = node.properties.get("interrupts")
    if found is None:
        return []
    controller = interrupt_parent(tree, node)
    step = None if controller is None else controller.u32("#interrupt-cells")
    cells = found.cells
    if not step or len(found.raw) % (4 * step):
        origin = tree.origin(node, "interrupts", 0, len(found.raw))
        message, expected = "there is no interrupt parent", ""
        if controller is not None:
            message = "the entries do not fit the interrupt parent"
            expected = f"entries of {step} cells, as {controller.path} asks"
        found_size = f"{len(found.raw)} bytes"
        findings.append(Finding("DT-INTERRUPTS", "error", origin, message, "interrupts", found_size, expected))
        return []
    return [
        (controller, cells[index : index + step], tree.origin(node, "interrupts", 4 * index, 4 * step))
        for index in range(0, len(cells), step)
    ]


def _interrupt(name: str, controller: Node, cells: tuple[int, ...], origin: Origin) -> WiredInterrupt:
    """Make the record; a GIC's cells are (type, number, flags), bits 3:0 of the flags being the trigger."""
    trigger: Literal["edge", "level", ""] = ""
    if len(cells) < _GIC_CELLS or not is_gic(controller):
        return WiredInterrupt(name, controller, cells, cells[0], trigger, origin)
    first = _GIC_FIRST_INTID.get(cells[0], 0)
    if cells[2] & 3:
        trigger = "edge"
    elif cells[2] & 12:
        trigger = "level"
    return WiredInterrupt(name, controller, cells, first + cells[1], trigger, origin)
