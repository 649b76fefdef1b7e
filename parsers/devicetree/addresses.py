"""Addresses in a device tree: `reg` of a node, and its translation up to the CPU's physical address.

A node's `reg` is a list of (address, size) pairs. How many cells each has is said by the *parent*: its
`#address-cells` and `#size-cells`, 2 and 1 when absent, never inherited. The addresses are those of the parent's bus.
The parent's `ranges` says how that bus is seen from the one above: absent, it is not seen at all; empty, the same
addresses; otherwise (child address, parent address, size) entries. `dma-ranges` says the same for the other direction,
except that its absence means the same addresses.

Sources: Devicetree Specification v0.4, 2.3.5 to 2.3.9; `drivers/of/address.c` of Linux.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...base import Finding
from .tree import DeviceTree, Node

MAX_CELLS = 4
"""More cells than an address or size can have (OF_MAX_ADDR_CELLS of Linux)."""


@dataclass(frozen=True, slots=True)
class Region:
    """`size` bytes at an address of the node's parent bus; None when the bus gives no sizes."""

    address: int
    size: int | None


def bus_cells(bus: Node) -> tuple[int, int]:
    """Return `#address-cells` and `#size-cells` for the children of a node; 2 and 1 when it does not say."""
    address, size = bus.u32("#address-cells"), bus.u32("#size-cells")
    return 2 if address is None else address, 1 if size is None else size


def reg(tree: DeviceTree, node: Node, findings: list[Finding]) -> tuple[Region, ...]:
    """Return the entries of `reg`, as addresses of the parent bus; empty when there are none or they cannot be read.

    Source: Devicetree Specification v0.4, 2.3.6.
    """
    found = node.properties.get("reg")
    if found is None or node.parent is None:
        return ()
    address_cells, size_cells = bus_cells(node.parent)
    step = address_cells + size_cells
    if not 0 < address_cells <= MAX_CELLS or size_cells > MAX_CELLS or not found.raw or len(found.raw) % (4 * step):
        findings.append(
            Finding(
                "DT-REG",
                "error",
                tree.origin(node, "reg", 0, len(found.raw)),
                "the addresses of this node cannot be read",
                "reg",
                f"{len(found.raw)} bytes",
                f"entries of {address_cells} + {size_cells} cells",
                "Devicetree Specification v0.4, 2.3.6",
            )
        )
        return ()
    cells = found.cells
    return tuple(
        Region(
            number(cells[index : index + address_cells]),
            number(cells[index + address_cells : index + step]) if size_cells else None,
        )
        for index in range(0, len(cells), step)
    )


def translate(node: Node, address: int, by: Literal["ranges", "dma-ranges"] = "ranges") -> int | None:
    """Translate an address of the bus that `node` sits on to the CPU's physical address.

    Args:
        node: the node whose `reg` (or whose DMA) has the address.
        address: on the node's parent bus; with more than two cells, all of them as one number.
        by: `ranges` for what the CPU sees, `dma-ranges` for what the device sees.

    Returns:
        The physical address, or None when some bus on the way does not show it.

    Source: Devicetree Specification v0.4, 2.3.8 and 2.3.9; `__of_translate_address` of Linux.
    """
    bus = node.parent
    while bus is not None and bus.parent is not None:
        mapped = _one_level(bus, bus.parent, address, by)
        if mapped is None:
            return None
        address = mapped
        bus = bus.parent
    return address


def number(cells: tuple[int, ...]) -> int:
    """Return cells as one number, the highest first."""
    value = 0
    for cell in cells:
        value = value << 32 | cell
    return value


def _one_level(bus: Node, above: Node, address: int, by: str) -> int | None:
    """Translate an address of a bus to the bus above it."""
    ranges = bus.properties.get(by)
    if ranges is None:
        return address if by == "dma-ranges" else None
    if not ranges.raw:
        return address
    child_cells, size_cells = bus_cells(bus)
    parent_cells, _ = bus_cells(above)
    step = child_cells + parent_cells + size_cells
    if not step or max(child_cells, parent_cells, size_cells) > MAX_CELLS:
        return None
    cells = ranges.cells
    for index in range(0, len(cells) - step + 1, step):
        child = number(cells[index : index + child_cells])
        parent = number(cells[index + child_cells : index + child_cells + parent_cells])
        size = number(cells[index + child_cells + parent_cells : index + step])
        # Beyond 64 bits stands the kind of address space, which has to be the same.
        if address >> 64 == child >> 64 and child <= address < child + size:
            return parent + address - child
    return None
