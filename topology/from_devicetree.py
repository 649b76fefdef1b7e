"""What a device tree says: which IOMMU each master's `iommus` names, and what the ID maps of buses do.

A node becomes an `Iommu` when its `compatible` is that of a known kind, when something refers to it as one, or when it
has `mmu-masters`. A node with `iommus` becomes a `Device`, and each entry a map that holds whatever the ID. A PCI host
bridge becomes a `PciRoot`, whose `iommu-map` and `msi-map` carry requester IDs. A host bridge may have `iommus` as
well: those are for accesses of the bridge itself, not for the functions behind it (Linux reads them so), and belong to
a device of their own.

Sources: `drivers/iommu/of_iommu.c`, `drivers/of/base.c`, `drivers/of/irq.c`, `drivers/pci/of.c` of Linux.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from ..base import Finding, Origin, Severity
from ..parsers.devicetree import (
    STREAM_MATCH,
    UNKNOWN_IOMMU,
    DeviceTree,
    IdMapProperty,
    IommuAddresses,
    MmuMaster,
    MsiRoute,
    Node,
    PciHost,
    Reference,
    ReservedMemory,
    id_map,
    inherited_msi_route,
    interrupts,
    iommu_binding,
    iommus,
    is_pci_host,
    mmu_masters,
    msi_controller_kind,
    msi_route,
    pci_function,
    pci_host,
    reg,
    reserved_memory,
    translate,
)
from .builder import TopologyBuilder
from .model import Device, IdMap, Interrupt, Iommu, MsiController, PciRoot, Property, ReservedRegion

ALL_RIDS = 0x10000
"""Number of requester IDs of a PCI segment."""

_PURPOSES = {"eventq": "event", "priq": "pri", "cmdq-sync": "sync"}
_BUSES = frozenset({"simple-bus", "simple-mfd", "simple-pm-bus"})


def add_devicetree(builder: TopologyBuilder, tree: DeviceTree) -> None:
    """Add what a device tree says, and the findings of the tree itself.

    An overlay is left out with a finding: what it refers to is known only when it has been applied.
    """
    builder.findings.extend(tree.findings)
    if tree.node("/__fixups__") is not None or tree.node("/fragment@0/__overlay__") is not None:
        advice = "apply it to its base tree first (fdtoverlay), and read the result"
        message = "this is an overlay; it is left out"
        builder.findings.append(Finding("DT-OVERLAY", "warning", tree.origin(tree.root), message, advice=advice))
        return
    _Reader(builder, tree).run()


class _Reader:
    """Walks one tree; holds what all its parts need."""

    def __init__(self, builder: TopologyBuilder, tree: DeviceTree) -> None:
        """Read the properties that refer from node to node, and name everything that maps lead from or to."""
        self.builder = builder
        self.tree = tree
        found = builder.findings
        self.masters: dict[Node, tuple[Reference, ...]] = {}
        self.tables: dict[Node, IdMapProperty] = {}
        self.legacy: dict[Node, tuple[MmuMaster, ...]] = {}
        self.hosts: dict[Node, PciHost] = {}
        for node in tree.nodes:
            if "iommus" in node.properties:
                self.masters[node] = iommus(tree, node, found)
            if "mmu-masters" in node.properties:
                self.legacy[node] = mmu_masters(tree, node, found)
            table = id_map(tree, node, "iommu", found)
            if table is not None:
                self.tables[node] = table
            if is_pci_host(node):
                self.hosts[node] = pci_host(node)
        self.segments = self._segments()
        self.units: dict[Node, str] = {}
        self.roots: dict[Node, str] = {}
        self.devices: dict[Node, str] = {}
        self.msi_controllers: dict[Node, str] = {}
        self.bases: dict[int | None, Node] = {}

    def run(self) -> None:
        """Add everything, each kind of record in the order of the tree."""
        referred = {entry.target for entries in self.masters.values() for entry in entries}
        referred |= {entry.target for table in self.tables.values() for entry in table.entries}
        for node in self.tree.nodes:
            if node in referred or node in self.legacy or iommu_binding(node) is not None:
                self.add_iommu(node)
        for host in self.hosts.values():
            self.add_root(host)
        for node, entries in self.masters.items():
            self.add_master(node, entries)
        for node, table in self.tables.items():
            source = self.roots.get(node) or self.device(node)
            self.add_table(source, table, "dma")
            self.check_enabled(node, [entry.target for entry in table.entries if entry.length])
        for smmu, masters in self.legacy.items():
            self.add_legacy(smmu, masters)
        self.add_msi_routes()
        for region in reserved_memory(self.tree, self.builder.findings):
            self.add_reserved(region)
        self.builder.finders.append(self)

    def at(self, base: int) -> str | None:
        """Return the name of the node whose registers are at a physical address, adding it as a device."""
        if not self.bases:
            nodes = [node for node in self.tree.nodes if "reg" in node.properties and node not in self.units]
            self.bases = {self.base(node): node for node in reversed(nodes)}
        return self.sender(self.bases[base]) if base in self.bases else None

    def named(self, name: str) -> str | None:
        """Return the name again when a node has this path, adding it as a device."""
        node = self.tree.node(name.removeprefix("dt:")) if name.startswith("dt:") else None
        return None if node is None else self.sender(node)

    def base(self, node: Node) -> int | None:
        """Return the physical address of a node's first registers; what is wrong with them is no matter here."""
        if "reg" not in node.properties or pci_function(node) is not None:
            return None
        first = next(iter(reg(self.tree, node, [])), None)
        return None if first is None else translate(node, first.address)

    def report(self, rule: str, severity: Severity, origin: Origin, message: str, advice: str = "") -> None:
        """Add a finding."""
        self.builder.findings.append(Finding(rule, severity, origin, message, advice=advice))

    def _segments(self) -> dict[Node, int | None]:
        """Return the segment of each host bridge: its `linux,pci-domain`, or 0 for the only one there is."""
        found = {node: host.domain for node, host in self.hosts.items()}
        running = [node for node in self.hosts if node.available] or list(self.hosts)
        if len(running) == 1 and found[running[0]] is None:
            found[running[0]] = 0
        for node, segment in found.items():
            if segment is None and node.available:
                advice = "give every host bridge a linux,pci-domain"
                message = (
                    "this host bridge has no segment number of its own: Linux numbers such bridges as it finds them"
                )
                self.report("DT-PCI-DOMAIN", "note", self.tree.origin(node), message, advice)
        return found

    def add_iommu(self, node: Node) -> None:
        """Add one IOMMU."""
        binding = iommu_binding(node) or UNKNOWN_IOMMU
        base, size = self.registers(node)
        place = _unit_address(node) if base is None else f"{base:x}"
        function = pci_function(node)
        segment = None
        if function is not None:
            base = size = None
            segment = self.segments.get(_host_of(node))
            place = f"{function >> 8:02x}:{function >> 3 & 31:02x}.{function & 7}"
            place = place if segment is None else f"{segment:04x}:{place}"
        name = self.builder.unique(f"{binding.kind}@{place}")
        self.units[node] = name
        cells = node.u32("#iommu-cells")
        properties: list[Property] = [("node", node.path)]
        if node.compatible:
            properties.append(("compatible", node.compatible[0]))
        if binding.cells:
            properties.append(("ID is", binding.cells[0]))
        mask = node.u32("stream-match-mask")
        if mask is not None:
            properties.append(("stream match mask", f"0x{mask:x}"))
        if "dma-coherent" in node.properties:
            properties.append(("coherent walk", True))
        main = node.properties.get("renesas,ipmmu-main")
        if main is not None and len(main.cells) > 1:
            properties.append(("status bit", main.cells[1]))
        self.builder.iommus.append(
            Iommu(
                name,
                binding.kind,
                self.tree.origin(node),
                base,
                size,
                segment,
                node.available,
                1 if cells is None else cells,
                self.wired(node),
                tuple(properties),
            )
        )

    def registers(self, node: Node) -> tuple[int | None, int | None]:
        """Return the physical address and size of the first entry of `reg`."""
        first = next(iter(reg(self.tree, node, self.builder.findings)), None) if pci_function(node) is None else None
        if first is None:
            return None, None
        address = translate(node, first.address)
        if address is None:
            message = f"the registers at 0x{first.address:x} of its bus cannot be seen by the CPU"
            self.report("DT-RANGES", "warning", self.tree.origin(node, "reg"), message, "see ranges of the buses above")
        return address, first.size

    def wired(self, node: Node) -> tuple[Interrupt, ...]:
        """Return the wired interrupts of an IOMMU; of an SMMUv1 or SMMUv2 the first are global, others of contexts."""
        shared = node.u32("#global-interrupts")
        found = []
        for index, one in enumerate(interrupts(self.tree, node, self.builder.findings)):
            purpose = _PURPOSES.get(one.name, one.name)
            if not purpose and shared is not None:
                purpose = f"global {index}" if index < shared else f"context {index - shared}"
            found.append(Interrupt(purpose or f"interrupt {index}", one.number, one.trigger))
        return tuple(found)

    def add_root(self, host: PciHost) -> None:
        """Add a PCI host bridge."""
        node = host.node
        name = self.builder.unique(f"dt:{node.path}")
        self.roots[node] = name
        properties: list[Property] = [("compatible", node.compatible[0])] if node.compatible else []
        properties += [(label, True) for label in ("ats-supported", "external-facing") if label in node.properties]
        if _coherent(node):
            properties.append(("coherent", True))
        segment = self.segments[node]
        origin = self.tree.origin(node)
        self.builder.roots.append(
            PciRoot(name, origin, segment, host.first_bus, host.last_bus, node.available, tuple(properties))
        )

    def device(self, node: Node) -> str:
        """Return the name of a node as something that sends IDs, adding it as a device when it is not there."""
        if node not in self.devices:
            # A host bridge's own accesses: its plain name is that of the root.
            name = f"dt:{node.path}"
            name = self.builder.unique(name) if node in self.roots else name
            properties: list[Property] = [("compatible", node.compatible[0])] if node.compatible else []
            if node in self.roots:
                properties.append(("host bridge", self.roots[node]))
            bits = node.u32("pasid-num-bits")
            if bits:
                properties.append(("substream bits", bits))
            if "dma-can-stall" in node.properties:
                properties.append(("may stall", True))
            if _coherent(node):
                properties.append(("coherent", True))
            origin = self.tree.origin(node)
            base = None if node in self.roots else self.base(node)
            record = Device(name, "dt", origin, base=base, enabled=node.available, properties=tuple(properties))
            self.devices[node] = self.builder.device(record)
        return self.devices[node]

    def add_master(self, node: Node, entries: tuple[Reference, ...]) -> None:
        """Add a node with `iommus`."""
        source = self.device(node)
        for entry in entries:
            # What could not be read as a specifier is not passed off as an ID.
            cells = entry.cells if entry.target is not None else ()
            self.add_single(source, entry.target, cells, entry.origin, "iommus")
        self.check_enabled(node, [entry.target for entry in entries])

    def add_single(self, source: str, target: Node | None, cells: tuple[int, ...], origin: Origin, rule: str) -> None:
        """Add a map that holds whatever the ID."""
        name = None if target is None else self.units[target]
        output = cells[0] if cells else None
        ignored = _ignored_bits(target, cells)
        self.builder.maps.append(
            IdMap(source, name, 0, 1, output, origin, rule, single=True, ignored_bits=ignored, cells=cells)
        )

    def add_table(self, source: str, table: IdMapProperty, carries: Literal["dma", "msi"]) -> None:
        """Add the entries of an `iommu-map` or `msi-map`."""
        for entry in table.entries:
            name = None
            if entry.target is not None:
                name = self.units[entry.target] if carries == "dma" else self.msi_controller(entry.target)
            output = entry.cells[0] if entry.cells else None
            self.builder.maps.append(
                IdMap(
                    source,
                    name,
                    entry.base,
                    entry.length,
                    output,
                    entry.origin,
                    table.name,
                    carries,
                    mask=table.mask,
                    ignored_bits=_ignored_bits(entry.target, entry.cells) if carries == "dma" else 0,
                    cells=entry.cells,
                )
            )

    def add_legacy(self, smmu: Node, masters: tuple[MmuMaster, ...]) -> None:
        """Add the masters that an SMMU lists itself."""
        unit = self.units[smmu]
        origin = self.tree.origin(smmu, "mmu-masters")
        message = "the deprecated form mmu-masters is used"
        if self.masters:
            message += ", and iommus elsewhere: Linux then reads mmu-masters alone"
        self.report("DT-MMU-MASTERS", "warning", origin, message, "write iommus, or iommu-map, at the masters")
        for entry in masters:
            if entry.master in self.roots:
                # "mmu-masters" of a host bridge: Linux takes the requester ID for the stream ID, whatever is written.
                root = self.roots[entry.master]
                self.builder.maps.append(
                    IdMap(root, unit, 0, ALL_RIDS, 0, entry.origin, "mmu-masters", cells=entry.stream_ids)
                )
                continue
            source = self.device(entry.master)
            for stream_id in entry.stream_ids:
                self.add_single(source, smmu, (stream_id,), entry.origin, "mmu-masters")
        for entry in masters:
            self.check_enabled(entry.master, [smmu])

    def check_enabled(self, master: Node, targets: Iterable[Node | None]) -> None:
        """Report an IOMMU that is not in use while its master is."""
        for target in dict.fromkeys(targets):
            if target is not None and not target.available and master.available:
                message = f"its IOMMU {target.path} is disabled, so its accesses are not translated"
                advice = "enable the IOMMU, or take the reference away"
                self.report("DT-IOMMU-DISABLED", "warning", self.tree.origin(master), message, advice)

    def add_msi_routes(self) -> None:
        """Add where message-signalled interrupts go: of host bridges by inheritance, of all others by what they say."""
        for node in self.tree.nodes:
            if node in self.roots:
                route = inherited_msi_route(self.tree, node, self.builder.findings)
                if route is not None:
                    self.add_pci_msi(self.roots[node], route)
            elif ("msi-map" in node.properties or "msi-parent" in node.properties) and not _is_plain_bus(node):
                route = msi_route(self.tree, node, self.builder.findings)
                if route is not None:
                    self.add_own_msi(self.units.get(node) or self.device(node), route)

    def add_pci_msi(self, root: str, route: MsiRoute) -> None:
        """Add the way of a root's interrupts: its `msi-map`, or the first `msi-parent`, which keeps the ID as it is.

        A controller that takes no IDs, such as a GICv2m frame, has none at the end of the way.
        """
        if route.table is not None:
            self.add_table(root, route.table, "msi")
            return
        entry = route.parents[0]
        name = None if entry.target is None else self.msi_controller(entry.target)
        output = 0 if entry.target is None or _takes_device_ids(entry.target) else None
        self.builder.maps.append(
            IdMap(root, name, 0, ALL_RIDS, output, entry.origin, "msi-parent", "msi", cells=entry.cells)
        )

    def add_own_msi(self, source: str, route: MsiRoute) -> None:
        """Add the way of the interrupts of a device or IOMMU."""
        if route.table is not None:
            self.add_table(source, route.table, "msi")
        for entry in route.parents:
            name = None if entry.target is None else self.msi_controller(entry.target)
            cells = entry.cells if entry.target is not None else ()
            output = cells[0] if cells else None
            self.builder.maps.append(
                IdMap(source, name, 0, 1, output, entry.origin, "msi-parent", "msi", single=True, cells=cells)
            )

    def msi_controller(self, node: Node) -> str:
        """Return the name of an MSI controller, adding it when it is not there."""
        if node not in self.msi_controllers:
            name = self.builder.unique(f"dt:{node.path}")
            self.msi_controllers[node] = name
            first = next(iter(reg(self.tree, node, self.builder.findings)), None)
            base = None if first is None else translate(node, first.address)
            self.builder.msi_controllers.append(
                MsiController(name, msi_controller_kind(node), self.tree.origin(node), base, node.available)
            )
        return self.msi_controllers[node]

    def add_reserved(self, memory: ReservedMemory) -> None:
        """Add a child of `/reserved-memory`: what IOMMUs must do for it, or else that it is there."""
        facts: tuple[Property, ...] = (("node", memory.node.path),)
        facts += (("no-map", True),) if memory.no_map else ()
        facts += (("reusable", True),) if memory.reusable else ()
        add = self.builder.reserved.append
        if not memory.iommu_addresses:
            devices = tuple(self.sender(user) for user in memory.users)
            for start, size in ((region.address, region.size or 0) for region in memory.regions):
                record = ReservedRegion("reserved-memory", start, size, memory.origin, "memory", None, devices)
                add(replace(record, properties=facts))
        for entry in memory.iommu_addresses:
            if not entry.length:
                message = f"an entry for {entry.device.path} is empty"
                self.report("DT-IOMMU-ADDRESSES", "warning", entry.origin, message, "it is left out, as Linux does")
                continue
            if entry.device not in memory.users:
                message = f"{entry.device.path} does not name this node in memory-region"
                advice = "Linux does not see the entry: add the memory-region"
                self.report("DT-IOMMU-ADDRESSES", "warning", entry.origin, message, advice)
            meaning, physical = _meaning(memory, entry)
            devices = (self.sender(entry.device),)
            record = ReservedRegion(
                "reserved-memory", entry.start, entry.length, entry.origin, meaning, physical, devices
            )
            add(replace(record, properties=facts))

    def sender(self, node: Node) -> str:
        """Return the name under which a node sends IDs: of a host bridge its root."""
        return self.roots.get(node) or self.device(node)


def _takes_device_ids(controller: Node) -> bool:
    """Tell whether an MSI controller tells senders apart; early trees have an ITS without `#msi-cells`."""
    return bool(controller.u32("#msi-cells")) or msi_controller_kind(controller) == "gic-its"


def _ignored_bits(target: Node | None, cells: tuple[int, ...]) -> int:
    """Return the bits of a stream ID that an SMMUv1 or SMMUv2 does not compare: second cell, or `stream-match-mask`.

    Source: `arm_smmu_of_xlate` of Linux.
    """
    binding = None if target is None else iommu_binding(target)
    if target is None or binding is None or binding.cells != STREAM_MATCH:
        return 0
    return cells[1] if len(cells) > 1 else target.u32("stream-match-mask") or 0


def _meaning(memory: ReservedMemory, entry: IommuAddresses) -> tuple[Literal["direct", "mapped", "avoid"], int | None]:
    """Return what an `iommu-addresses` entry asks for, and the physical address when it is another one.

    Source: `iommu_resv_region_get_type` of Linux, which takes `mapped` for `avoid` with a warning.
    """
    if not memory.regions:
        return "avoid", None
    first = memory.regions[0]
    if (first.address, first.size) == (entry.start, entry.length):
        return "direct", None
    return "mapped", first.address


def _coherent(node: Node) -> bool:
    """Tell whether accesses of a node are coherent: the nearest that says so, of the node and those above it.

    Source: `of_dma_is_coherent` of Linux.
    """
    found: Node | None = node
    while found is not None:
        if "dma-coherent" in found.properties:
            return True
        if "dma-noncoherent" in found.properties:
            return False
        found = found.parent
    return False


def _is_plain_bus(node: Node) -> bool:
    """Tell a bus that sends nothing itself: an `msi-parent` there is for host bridges below it."""
    return not _BUSES.isdisjoint(node.compatible)


def _unit_address(node: Node) -> str:
    """Return what tells a node without `reg` from others of its kind: the address in its name, else its path."""
    unit = node.name.partition("@")[2].lower()
    return unit if unit and not unit.strip("0123456789abcdef") else f"dt:{node.path}"


def _host_of(node: Node) -> Node:
    """Return the host bridge above a PCI function; the root of the tree when there is none."""
    while node.parent is not None and not is_pci_host(node):
        node = node.parent
    return node
