"""Reserved memory: the children of `/reserved-memory`, and what IOMMUs have to do for them.

A child has `reg` when its place is fixed; one with `size` alone is placed by the system when it boots. Devices name
the children that they use in `memory-region`. `iommu-addresses` of a child lists (device phandle, I/O virtual address,
size): with `reg`, the memory must be mapped there for that device (one to one when both are the same); without, the
addresses must not be given out to that device. The address and size have the cell counts of the device's own bus.

Sources: `dtschema/schemas/reserved-memory/reserved-memory.yaml` and `iommu-addresses`;
`of_iommu_get_resv_regions` of Linux, which looks only at children that the device names in `memory-region`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...base import Finding, Origin
from .addresses import MAX_CELLS, Region, bus_cells, number, reg, translate
from .references import references
from .tree import DeviceTree, Node


@dataclass(frozen=True, slots=True)
class IommuAddresses:
    """An entry of `iommu-addresses`: `length` bytes at `start`, as `device` sees them."""

    device: Node
    start: int
    length: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class ReservedMemory:
    """One child of `/reserved-memory`.

    Attributes:
        node: the child.
        regions: its physical memory; empty when the system places it.
        iommu_addresses: what the IOMMUs have to do.
        users: devices that name it in `memory-region`, in order.
        no_map: the system must not map it for itself.
        reusable: the system may use it while its owner does not.
        origin: the node.
    """

    node: Node
    regions: tuple[Region, ...]
    iommu_addresses: tuple[IommuAddresses, ...]
    users: tuple[Node, ...]
    no_map: bool
    reusable: bool
    origin: Origin


def reserved_memory(tree: DeviceTree, findings: list[Finding]) -> tuple[ReservedMemory, ...]:
    """Return the children of `/reserved-memory`, in order."""
    parent = tree.node("/reserved-memory")
    if parent is None:
        return ()
    users: dict[Node, list[Node]] = {}
    for node in tree.nodes:
        for entry in references(tree, node, "memory-region", findings):
            if entry.target is not None:
                users.setdefault(entry.target, []).append(node)
    return tuple(
        ReservedMemory(
            child,
            _physical(tree, child, findings),
            _iommu_addresses(tree, child, findings),
            tuple(dict.fromkeys(users.get(child, ()))),
            "no-map" in child.properties,
            "reusable" in child.properties,
            tree.origin(child),
        )
        for child in parent.children
    )


def _physical(tree: DeviceTree, child: Node, findings: list[Finding]) -> tuple[Region, ...]:
    """Return `reg` in physical addresses; as written where the parent's `ranges` is missing, as systems read it."""
    regions = []
    for region in reg(tree, child, findings):
        address = translate(child, region.address)
        regions.append(region if address is None else Region(address, region.size))
    return tuple(regions)


def _iommu_addresses(tree: DeviceTree, child: Node, findings: list[Finding]) -> tuple[IommuAddresses, ...]:
    """Return the entries of `iommu-addresses`, up to the first that cannot be read."""
    found = child.properties.get("iommu-addresses")
    if found is None:
        return ()
    cells = found.cells
    entries = []
    index = 0
    while index < len(cells):
        device = tree.phandles.get(cells[index])
        bus = None if device is None else device.parent
        address_cells, size_cells = (0, 0) if bus is None else bus_cells(bus)
        end = index + 1 + address_cells + size_cells
        problem = ""
        if device is None or bus is None:
            problem = f"no device has phandle 0x{cells[index]:x}"
        elif not (0 < address_cells <= MAX_CELLS and 0 < size_cells <= MAX_CELLS):
            problem = f"the bus of {device.path} has no addresses of memory"
        elif end > len(cells):
            problem = "the last entry is cut off"
        if problem or device is None:
            origin = tree.origin(child, "iommu-addresses", 4 * index, 4 * (len(cells) - index))
            advice = "what follows in this list cannot be read"
            findings.append(Finding("DT-IOMMU-ADDRESSES", "error", origin, problem, advice=advice))
            break
        origin = tree.origin(child, "iommu-addresses", 4 * index, 4 * (end - index))
        start = number(cells[index + 1 : index + 1 + address_cells])
        length = number(cells[index + 1 + address_cells : end])
        translated = translate(device, start, "dma-ranges")
        entries.append(IommuAddresses(device, start if translated is None else translated, length, origin))
        index = end
    return tuple(entries)
