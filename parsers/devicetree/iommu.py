"""What a device tree says about IOMMUs: masters and their specifiers, PCI host bridges, MSI controllers.

A *master* (a device that reads and writes memory) names its IOMMU in `iommus`: a list of (phandle, specifier), one
entry for each of its interfaces. What a specifier means is the IOMMU's own affair, see `bindings`. A bus whose devices
have IDs of their own (PCI, and a few others) has an `iommu-map` instead, see `idmaps`. In the older form, an SMMU
lists its masters and their stream IDs in `mmu-masters`.

Sources: `Documentation/devicetree/bindings/iommu/iommu.txt` and `arm,smmu.yaml`; `drivers/iommu/of_iommu.c`,
`drivers/of/irq.c` of Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...base import Finding, Origin
from .idmaps import IdMapProperty, id_map
from .references import Reference, references
from .tree import DeviceTree, Node

_PCI_CELLS = 3
"""`#address-cells` of a PCI bus."""


@dataclass(frozen=True, slots=True)
class MmuMaster:
    """An entry of `mmu-masters`: a master and its stream IDs at this SMMU."""

    master: Node
    stream_ids: tuple[int, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class PciHost:
    """A PCI host bridge.

    Attributes:
        node: its node.
        domain: `linux,pci-domain`; None when it does not say.
        first_bus: of `bus-range`; 0 when it does not say.
        last_bus: of `bus-range`; 255 when it does not say.
    """

    node: Node
    domain: int | None
    first_bus: int
    last_bus: int


@dataclass(frozen=True, slots=True)
class MsiRoute:
    """Where the message-signalled interrupts of a node go: an `msi-map`, or the entries of an `msi-parent`.

    Attributes:
        owner: the node that has the property; for a PCI host bridge it may be a node above.
        table: the `msi-map`; None when it is an `msi-parent`.
        parents: the entries of `msi-parent`; empty when it is an `msi-map`.
    """

    owner: Node
    table: IdMapProperty | None
    parents: tuple[Reference, ...]


def iommus(tree: DeviceTree, node: Node, findings: list[Finding]) -> tuple[Reference, ...]:
    """Return the entries of `iommus` that systems read: all up to the first that is empty or cannot be resolved.

    Source: `of_iommu_configure_dev` of Linux, which stops at the first entry that it cannot parse.
    """
    entries = references(tree, node, "iommus", findings, "#iommu-cells")
    for index, entry in enumerate(entries):
        if not entry.phandle:
            advice = "entries from here on are not read"
            findings.append(Finding("DT-PHANDLE", "error", entry.origin, "an entry is empty", advice=advice))
            return entries[:index]
    return entries


def mmu_masters(tree: DeviceTree, smmu: Node, findings: list[Finding]) -> tuple[MmuMaster, ...]:
    """Return the entries of `mmu-masters` of an SMMU; empty when it has none.

    Source: the deprecated part of `Documentation/devicetree/bindings/iommu/arm,smmu.txt`.
    """
    entries = references(tree, smmu, "mmu-masters", findings, "#stream-id-cells")
    return tuple(MmuMaster(entry.target, entry.cells, entry.origin) for entry in entries if entry.target is not None)


def is_pci_host(node: Node) -> bool:
    """Tell whether the node is a PCI host bridge: a PCI bus that does not sit on another.

    Source: `of_bus_pci_match` of Linux, which takes a node named `pcie` for one also without `device_type`.
    """
    return _is_pci_bus(node) and (node.parent is None or not _is_pci_bus(node.parent))


def pci_host(node: Node) -> PciHost:
    """Return the record of a PCI host bridge. Source: `Documentation/devicetree/bindings/pci/pci.txt` of Linux."""
    found = node.properties.get("bus-range")
    buses = found.cells if found is not None else ()
    first, last = buses[:2] if len(buses) > 1 else (0, 255)
    return PciHost(node, node.u32("linux,pci-domain"), first, last)


def pci_function(node: Node) -> int | None:
    """Return the requester ID (bus << 8 | device << 3 | function) of a child of a PCI bus; None when it has none.

    Source: IEEE 1275 PCI bus binding: bits 23:8 of the first cell of `reg`.
    """
    address = node.u32("reg")
    if node.parent is None or not _is_pci_bus(node.parent) or address is None:
        return None
    return address >> 8 & 0xFFFF


def msi_route(tree: DeviceTree, node: Node, findings: list[Finding]) -> MsiRoute | None:
    """Return where the interrupts of a node go by its own `msi-map` or `msi-parent`; None when it has neither.

    `msi-map` decides when both are there. An `msi-parent` whose controller has no `#msi-cells` has no specifier.

    Source: `of_msi_xlate` of Linux; `Documentation/devicetree/bindings/interrupt-controller/msi.txt`.
    """
    table = id_map(tree, node, "msi", findings)
    if table is not None:
        return MsiRoute(node, table, ())
    parents = references(tree, node, "msi-parent", findings, "#msi-cells", 0)
    parents = tuple(entry for entry in parents if entry.phandle)
    return MsiRoute(node, None, parents) if parents else None


def inherited_msi_route(tree: DeviceTree, node: Node, findings: list[Finding]) -> MsiRoute | None:
    """Return the route of the nearest of the node and those above it that has one, as Linux does for PCI."""
    found: Node | None = node
    while found is not None:
        route = msi_route(tree, found, findings)
        if route is not None:
            return route
        found = found.parent
    return None


def _is_pci_bus(node: Node) -> bool:
    """Tell a PCI host bridge or a bridge below it from other nodes."""
    kind = node.properties.get("device_type")
    if kind is not None:
        return kind.strings[:1] in (("pci",), ("pciex",))
    return (
        node.name.partition("@")[0] == "pcie"
        and node.u32("#address-cells") == _PCI_CELLS
        and "ranges" in node.properties
    )
