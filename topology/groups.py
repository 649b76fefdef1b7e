"""Isolation groups: which devices cannot be told apart, or can reach each other past the IOMMU, and why.

Only a whole group can be given to one owner. The rules are those of Linux's `pci_device_group` for PCI functions:
bridges that send requests as their own, ports and devices of several functions without ACS. To these come devices that
share an ID at a unit, or a unit without IDs. Linux does not group all of those: some of its drivers give the ID to the
first of the devices and leave the others without a group (`Group.left_out`). Here they are in the group all the same,
for what they share is the hardware's and not the driver's.

Sources of interrupts (I/O APIC, HPET) are in no group: they write interrupts, and no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

from ..base import Origin
from .acs import bridges_above, has_siblings, isolation
from .aliases import requesters
from .shared_ids import SharedId, shared_ids
from .topology import Topology
from .view import INTERRUPT_SOURCES, Attachment, attachments, names_in_words

if TYPE_CHECKING:
    from ..parsers.pci import PciFunction, PciTopology

Kind = Literal["bridge", "path", "functions", "id"]
"""Why devices are together: a bridge sends their requests as its own; a port on their way does not isolate; functions
of one device do not isolate; they have an ID at a unit in common."""

NO_DMA = (*INTERRUPT_SOURCES, "ioapic", "hpet")
"""Kinds of devices that are in no group."""

OVERRIDE = "pcie_acs_override= of patched kernels splits nothing: Linux would only say so, and requests pass as before"
"""What has to be said of the remedy that is offered everywhere for want of ACS."""

AS_ROOT = "read /sys, or copy it, as root: others do not see the capabilities"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason why devices are in one group.

    Attributes:
        kind: see `Kind`.
        at: the bridge, port, function or unit that it comes from.
        devices: who is together by it.
        text: the reason, a clause.
        remedy: what would split them, a clause.
        known: false when it is only that nothing says otherwise: capabilities could not be read.
        origin: where it is known from.
    """

    kind: Kind
    at: str
    devices: tuple[str, ...]
    text: str
    remedy: str
    known: bool = True
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Devices that only one owner can have.

    Attributes:
        devices: their names, in the order of `attachments`; the first gives the group its name.
        units: the IOMMUs that see them.
        reasons: why they are together; none when there is one device.
        left_out: those that Linux leaves without a group, each with the reason.
        cautions: what weakens the isolation from other groups, though Linux says that they are apart.
        unseen: PCI functions of it that no PCI topology lists, so that their bridges and ACS are not known.
    """

    devices: tuple[str, ...]
    units: tuple[str, ...]
    reasons: tuple[Reason, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    cautions: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The first of its devices."""
        return self.devices[0]

    @property
    def wants_acs(self) -> bool:
        """Whether it is together for want of ACS, for one thing."""
        return any(reason.known and reason.kind in ("path", "functions") for reason in self.reasons)


def isolation_groups(topology: Topology, attached: Sequence[Attachment] | None = None) -> tuple[Group, ...]:
    """Return the groups of all devices that an IOMMU controls, in the order of their first devices.

    Args:
        topology: the board.
        attached: its `attachments`, when they are known already.
    """
    members = [
        one
        for one in (attachments(topology) if attached is None else attached)
        if one.units and one.device.kind not in NO_DMA
    ]
    bonds = _Bonds(topology, members)
    for one in members:
        bonds.join_function(one)
    for shared in shared_ids(members):
        bonds.join_shared(shared)
    left_out = dict(_left_out(topology, members))
    reasons: dict[str, list[Reason]] = {}
    for reason in bonds.reasons():
        reasons.setdefault(bonds.top(reason.devices[0]), []).append(reason)
    found: dict[str, list[Attachment]] = {}
    for one in members:
        found.setdefault(bonds.top(one.device.name), []).append(one)
    return tuple(
        Group(
            tuple(one.device.name for one in group),
            tuple(dict.fromkeys(unit for one in group for unit in one.units)),
            tuple(reasons.get(top, ())),
            tuple((one.device.name, left_out[one.device.name]) for one in group if one.device.name in left_out),
            tuple(dict.fromkeys(text for one in group for text in bonds.cautions.get(one.device.name, ()))),
            tuple(one.device.name for one in group if one.device.name in bonds.unseen),
        )
        for top, group in found.items()
    )


def group_of(groups: Sequence[Group], name: str) -> Group | None:
    """Return the group that a device is in."""
    return next((group for group in groups if name in group.devices), None)


class _Bonds:
    """Joins devices, and remembers why. Bridges that no IOMMU controls join what is behind them and are no members."""

    def __init__(self, topology: Topology, members: Sequence[Attachment]) -> None:
        """Begin with every device on its own."""
        self.topology = topology
        self.names = {one.device.name: None for one in members}
        self.cautions: dict[str, list[str]] = {}
        self.unseen: set[str] = set()
        self._above: dict[str, str] = {}
        self._bridges: dict[str, tuple[PciFunction, dict[str, None]]] = {}
        self._paths: dict[str, tuple[PciFunction, dict[str, None]]] = {}
        self._leaks: dict[str, PciFunction | None] = {}
        self._climbed: dict[str, PciFunction] = {}
        self._open_ports: dict[str, str] = {}
        self._slots: dict[str, tuple[PciFunction, dict[str, None]]] = {}
        self._shared: list[SharedId] = []

    def top(self, name: str) -> str:
        """Return the name that stands for all that are joined with this one."""
        way = []
        while (above := self._above.get(name, name)) != name:
            way.append(name)
            name = above
        for one in way:
            self._above[one] = name
        return name

    def _join(self, one: str, other: str) -> None:
        self._above[self.top(other)] = self.top(one)

    def join_function(self, one: Attachment) -> None:
        """Join a PCI function with what its bridges, the ports on its way and its own device put it together with."""
        device = one.device
        if device.segment is None or device.rid is None:
            return
        known = self.topology.function(device.segment, device.rid)
        if known is None:
            self.unseen.add(device.name)
            return
        pci, function = known
        place = function
        bridges = {sent.bridge for sent in requesters(pci, function) if sent.bridge}
        for bridge in bridges_above(pci, function) if bridges else ():
            if bridge.address in bridges:
                self._bridges.setdefault(bridge.address, (bridge, {}))[1][device.name] = None
                self._join(bridge.address, device.name)
                place = bridge
        place = self._climb(pci, place)
        self._join_siblings(pci, place, device.name)
        self._caution(pci, function)

    def _climb(self, pci: PciTopology, place: PciFunction) -> PciFunction:
        """Join a function with the bridges that cannot keep it apart; return the last of these.

        The way up from a bridge is gone once, whoever is behind it: what it leads to holds for all of them.
        """
        way = []
        for bridge in bridges_above(pci, place):
            leak = self._leak(pci, bridge)
            if leak is None:
                break
            self._paths.setdefault(leak.address, (leak, {}))[1].update({bridge.address: None, place.address: None})
            self._join(bridge.address, place.address)
            way.append(bridge.address)
            place = self._climbed.get(bridge.address, bridge)
            if place is not bridge:
                break
        self._climbed.update(dict.fromkeys(way, place))
        return place

    def _leak(self, pci: PciTopology, bridge: PciFunction) -> PciFunction | None:
        """Return the first port from a bridge up to the root bus that does not isolate; None when all do."""
        way = []
        found = None
        for one in chain((bridge,), pci.upstream(bridge)):
            if one.address in self._leaks:
                found = self._leaks[one.address]
                break
            way.append(one.address)
            if not isolation(one).holds:
                found = one
                break
        self._leaks.update(dict.fromkeys(way, found))
        return found

    def _join_siblings(self, pci: PciTopology, place: PciFunction, name: str) -> None:
        """Join a function with the others of its device that do not isolate, if it does not either."""
        if not has_siblings(place) or isolation(place).holds:
            return
        first = place.rid & ~7
        for rid in range(first, first + 8):
            other = pci.functions.get((place.segment, rid))
            if other is None or rid == place.rid or isolation(other).holds:
                continue
            self._join(place.address, other.address)
            members = self._slots.setdefault(f"{place.segment:04x}:{first:04x}", (place, {}))[1]
            members.update({place.address: None, other.address: None, name: None})

    def _caution(self, pci: PciTopology, function: PciFunction) -> None:
        """Note where a switch can lead from one of its ports to another: Linux looks at each port on its own."""
        for port in (function, *islice(bridges_above(pci, function), 1)):
            if port.address not in self._open_ports:
                self._open_ports[port.address] = self._open_port(pci, port)
            if text := self._open_ports[port.address]:
                self.cautions.setdefault(function.address, []).append(text)

    def _open_port(self, pci: PciTopology, port: PciFunction) -> str:
        """Say which ports of its switch a port can be reached from; empty when it is no such port, or isolates."""
        if port.pcie_type != "downstream-port" or isolation(port).holds:
            return ""
        ports = [one for one in pci.on_bus(port.segment, port.bus) if one.pcie_type == port.pcie_type]
        others = [one.address for one in ports if one is not port and not isolation(one).holds]
        if not others:
            return ""
        return (
            f"{port.address} and {names_in_words(others)} are ports of one switch without ACS: it can lead requests "
            "from one to the other past the IOMMU, though Linux keeps them apart"
        )

    def join_shared(self, shared: SharedId) -> None:
        """Join the devices that have an ID in common; said again only when it is not a bridge alone that does it."""
        first, *others = shared.devices
        for other in others:
            self._join(first, other)
        if len({bridge or name for name, bridge in zip(shared.devices, shared.bridges, strict=True)}) > 1:
            self._shared.append(shared)

    def reasons(self) -> list[Reason]:
        """Return why devices are together, those of one bridge, port, device or ID as one."""
        found = []
        for bridge, names in self._bridges.values():
            if bridge.address in self.names or len(names) > 1:
                found.append(_bridge_reason(bridge, self._members(bridge.address, names)))
        together: dict[str, dict[str, None]] = {}
        for name in self.names:
            together.setdefault(self.top(name), {})[name] = None
        for leak, names in self._paths.values():
            members = self._members(leak.address, names)
            if len(members) < 2:  # noqa: PLR2004 - what it joins are bridges that no unit controls, and what is behind
                members = tuple(together.get(self.top(leak.address), ()))
            if len(members) > 1:
                found.append(_path_reason(leak, members))
        for place, names in self._slots.values():
            members = self._members("", names)
            if len(members) > 1:
                found.append(_functions_reason(place, members))
        behind_bridge = [set(reason.devices) for reason in found if reason.kind == "bridge"]
        for one in self._shared:
            if not any(set(one.devices) <= names for names in behind_bridge):
                found.append(_id_reason(self.topology, one))
        return found

    def _members(self, first: str, names: dict[str, None]) -> tuple[str, ...]:
        """Return those of the names that are members, with the bridge itself first."""
        return tuple(name for name in dict.fromkeys((first, *names)) if name in self.names)


def _bridge_reason(bridge: PciFunction, members: tuple[str, ...]) -> Reason:
    behind = [name for name in members if name != bridge.address]
    if bridge.pcie_type == "pcie-to-pci-bridge":
        sent = f"PCI Express to PCI bridge {bridge.address} sends requests of {names_in_words(behind)} as its own"
    elif not bridge.pcie_known:
        sent = f"bridge {bridge.address}, of which nothing says that it is PCI Express, may send requests of "
        sent += f"{names_in_words(behind)} as its own"
    else:
        sent = f"conventional PCI bridge {bridge.address} sends requests of {names_in_words(behind)} as its own"
    remedy = "conventional PCI has no requester IDs: move a device to a PCI Express slot to have it apart"
    if not bridge.pcie_known:
        remedy = AS_ROOT
    return Reason("bridge", bridge.address, members, sent, remedy, bridge.pcie_known, bridge.origin)


def _path_reason(leak: PciFunction, members: tuple[str, ...]) -> Reason:
    found = isolation(leak)
    text = f"{leak.pcie_type or 'bridge'} {leak.address} {found.why}: requests of what is behind it can reach "
    text += "neighbours without passing the IOMMU"
    if not found.known:
        remedy = AS_ROOT
    elif found.off:
        remedy = "have firmware or the kernel switch it on; Linux does when it knows of the IOMMU before the port"
    else:
        where = "a switch with ACS" if leak.pcie_type in ("downstream-port", "upstream-port") else "a port with ACS"
        remedy = f"use {where}, or another slot"
    return Reason("path", leak.address, members, text, remedy, found.known, leak.origin)


def _functions_reason(place: PciFunction, members: tuple[str, ...]) -> Reason:
    found = isolation(place)
    text = f"{names_in_words(members)} are functions of one device, and none isolates: {place.address} {found.why}"
    if not found.known:
        remedy = AS_ROOT
    elif found.off:
        remedy = "have firmware or the kernel switch ACS of the functions on"
    else:
        remedy = "give the whole device to one owner, or use a device whose functions have ACS"
    return Reason("functions", place.address, members, text, remedy, found.known, place.origin)


def _id_reason(topology: Topology, shared: SharedId) -> Reason:
    names = names_in_words(shared.devices)
    unit = topology.iommus[shared.unit]
    if shared.stream is None:
        text = f"{unit.name} sees no IDs by which to tell {names} apart"
        remedy = "only a unit for each of them would split them"
    elif shared.ignored:
        text = f"{unit.name} ignores the bits 0x{shared.ignored:x} of the IDs of {names}"
        remedy = "give them IDs that differ in other bits, or a mask that leaves these bits in"
    elif shared.by_map:
        text = f"{shared.rule} gives {names} one ID of {unit.name}, 0x{shared.stream:x}"
        remedy = "have firmware give each requester ID an ID of its own, if the root complex sends it on to the unit"
    else:
        text = f"{names} have one ID of {unit.name}, 0x{shared.stream:x}"
        remedy = "have firmware give each its own ID, if the hardware sends different ones"
    return Reason("id", unit.name, shared.devices, text, remedy, origin=shared.origin)


def _left_out(topology: Topology, members: Sequence[Attachment]) -> list[tuple[str, str]]:
    """Return the devices that Linux leaves without a group, with the reason; it takes devices in this order."""
    taken: dict[tuple[str, int], str] = {}
    found = []
    for one in members:
        controlled = [route for route in one.routes if route.verdict == "controlled" and route.stream is not None]
        kinds = {topology.iommus[route.iommu].kind: route for route in controlled if route.iommu is not None}
        own = {(route.iommu or "", route.stream or 0) for route in controlled}
        holder = next((taken[place] for place in sorted(own) if place in taken), None)
        if "smmuv3" in kinds and holder is not None:
            text = f"Linux's SMMUv3 driver gives a stream ID to one device only, and {holder} has it"
            found.append((one.device.name, text))
            continue
        if "virtio-iommu" in kinds and any(route.bridge for route in controlled):
            text = "a virtio-iommu knows no endpoint by its own ID, as requests arrive with that of the bridge; "
            found.append((one.device.name, text + "Linux asks by the former, and gives up"))
            continue
        taken |= dict.fromkeys(own, one.device.name)
    return found
