"""The manager of a guest: the ordinary `Manager`, on a `vdev smmu` unit whose requests go to the host's manager.

What the guest grants (B) is held by the host's manager together with what the host gives the VM (A), so that a device
reaches what both grant, whatever is asked first. It is computed anew at each change on either side, and programmed
without ever opening more. When the guest's manager comes, all devices of the VM are denied until it grants them memory;
when it ends, or dies, they are denied again. Only a restart of the VM opens them to the host's limit.

Source: QNX Hypervisor user's guide, `vdev smmu`. It does not say what becomes of devices whose guest's manager has
ended; to deny them is the safe state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from ..base import Origin, parse_pci_address
from ..iommu import IommuError
from ..iommu.errors import failure
from ..topology import Device, IdMap, Iommu, PciRoot, ReservedRegion, Source, Topology
from ..topology.builder import TopologyBuilder
from .errors import ManagerError
from .manager import Manager
from .mappings import Access, Segment
from .ports import Refusal
from .virtual_machine import View, VirtualMachine

if TYPE_CHECKING:
    from ..parsers.scenario import Architecture, GuestKind
    from .incidents import Incident

_Answer = TypeVar("_Answer")

VDEV = "vdev-smmu"
"""Name of the unit in the guest's topology."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What runs in a VM, as far as its manager depends on it.

    Attributes:
        kind: a QNX guest can have a manager of its own; a Linux guest cannot.
        arch: of the guest; empty where nothing says so.
        libfdt: a usable device-tree library is there (`libfdt.so`), which a guest on ARM learns its devices with.
    """

    kind: GuestKind = "qnx"
    arch: Architecture = ""
    libfdt: bool = True


class VdevPort:
    """The virtual unit. Its spaces are views of the VM's memory, its IDs the numbers of the VM's groups of devices."""

    def __init__(self, machine: VirtualMachine) -> None:
        """Take over the devices of a VM: all are denied. Raises ManagerError when the host's manager refuses."""
        self.name = VDEV
        self.leaders: tuple[str, ...] = tuple(machine.groups)
        self._machine = machine
        self._spaces: list[View] = []
        self._closed = False
        units = [] if machine.manager is None else machine.manager.ports.values()
        self._units = tuple(units)
        self.address_bits = min((unit.address_bits for unit in self._units), default=64)
        self.identifier_bits = 16
        for leader in self.leaders:
            machine.deny(leader)
        machine.narrowed = True
        machine.listen()

    def widened(self, access: Access) -> Access:
        """Return what any unit of the host grants when this is asked for."""
        found = Access.NONE
        for unit in self._units:
            found |= unit.widened(access)
        return found or access

    def create(self) -> View:
        """Have the host's manager make an object for a space."""
        view = self._ask(self._machine.create_view)
        self._spaces.append(view)
        return view

    def destroy(self, space: View) -> None:
        """Have the object destroyed; when the VM has ended it is gone already."""
        self._spaces.remove(space)
        if self._serving:
            self._ask(lambda: self._machine.destroy_view(space))

    def map(self, space: View, segment: Segment) -> None:
        """Wish for a segment: its `physical` is guest-physical, and only what the VM has of it is granted."""
        space.wish.put(segment)
        self._ask(lambda: self._machine.refresh(space, segment.start, segment.length))

    def unmap(self, space: View, start: int, length: int) -> None:
        """Wish for a range no longer."""
        space.wish.remove(start, length)
        if self._serving:
            self._ask(lambda: self._machine.refresh(space, start, length))

    def attach(self, identifier: int, space: View) -> None:
        """Let a group of devices reach what a view grants."""
        self._ask(lambda: self._machine.show(self.leaders[identifier], space))

    def block(self, identifier: int) -> None:
        """Deny a group of devices everything; when the VM has ended it is denied already."""
        if self._serving:
            self._ask(lambda: self._machine.deny(self.leaders[identifier]))

    def refusals(self) -> tuple[list[Refusal], bool]:
        """Return the refused accesses of the guest's devices: their addresses are what the guest granted them by."""
        incidents, lost = self._machine.incidents()
        found = [self._refusal(incident) for incident in incidents]
        return [one for one in found if one is not None], lost

    def close(self) -> None:
        """Let the devices go: the guest's manager has ended, and they are denied."""
        if self._serving:
            for leader in self.leaders:
                self._machine.deny(leader)
            for space in list(self._spaces):
                self.destroy(space)
            self._machine.narrowed = False
        self._closed = True

    def _refusal(self, incident: Incident) -> Refusal | None:
        for number, leader in enumerate(self.leaders):
            if any(device in self._machine.groups.get(leader, ()) for device in incident.devices):
                return replace(incident.refusal, unit=self.name, identifier=number)
        return None

    @property
    def _serving(self) -> bool:
        """Whether there is anything left to take away: else all of it has been denied."""
        return not self._closed and self._machine.alive

    def _ask(self, request: Callable[[], _Answer]) -> _Answer:
        """Return the host's answer; what it refuses is to the guest's manager a unit that refuses."""
        if self._closed:
            raise failure("VDEV-CLOSED", "the guest's manager has ended", self.name)
        try:
            return request()
        except ManagerError as error:
            raise IommuError(error.finding) from error


class GuestManager:
    """The manager of a guest that runs.

    Attributes:
        machine: the VM.
        manager: the ordinary manager, of the guest's devices by the guest's names and in guest-physical addresses.
    """

    def __init__(self, machine: VirtualMachine, guest: Guest) -> None:
        """Start it: the VM's devices are denied until it grants them memory.

        Raises ManagerError: it cannot start in this guest, or the host has no manager.
        """
        _require_able(machine, guest)
        self.machine = machine
        self._port = VdevPort(machine)
        try:
            self.manager = Manager(guest_topology(machine), {VDEV: self._port})
        except ManagerError:
            self._port.close()
            raise

    def stop(self) -> None:
        """Stop it: its devices are denied."""
        self.manager.stop()
        self._port.close()

    def die(self) -> None:
        """Let it die without a word, at whatever point: the virtual unit denies its devices."""
        self._port.close()


def _require_able(machine: VirtualMachine, guest: Guest) -> None:
    if guest.kind == "linux":
        raise ManagerError(
            "ENOENT", "GUEST-LINUX", "a Linux guest has no manager: its devices have the host's limit only",
            machine.name,
        )  # fmt: skip
    if guest.arch == "arm" and not guest.libfdt:
        raise ManagerError(
            "ENOENT", "GUEST-NO-LIBFDT", "a guest on ARM without a usable device-tree library", machine.name,
            expected="libfdt.so in the guest",
            advice="without it the guest's manager cannot learn its devices, and does not start",
        )  # fmt: skip
    if machine.manager is None or not machine.alive:
        raise ManagerError(
            "ENOENT", "GUEST-NO-VDEV", "there is no vdev smmu, since no manager runs in the host", machine.name
        )
    if machine.narrowed:
        raise ManagerError("EBUSY", "GUEST-MANAGED", "a manager runs in this guest already", machine.name)


def guest_topology(machine: VirtualMachine) -> Topology:
    """Return what a guest learns of its devices: by its own names, and behind the virtual unit as the host knows them.

    Devices that no unit of the host can tell apart have one ID here as well. A device that the host's manager does not
    know is behind no unit.
    """
    builder = TopologyBuilder()
    origin = Origin(machine.name, "vdev smmu")
    builder.sources.append(Source(machine.name, "vdev", 0))
    builder.iommus.append(Iommu(VDEV, VDEV, origin))
    builder.roots.append(PciRoot("pci:0000", origin, 0))
    numbers = {device: number for number, group in enumerate(machine.groups.values()) for device in group}
    for device, name in machine.names.items():
        if device in machine.denied:
            continue
        address = parse_pci_address(name)
        segment, rid = address or (None, None)
        builder.device(Device(name, "mmio" if address is None else "pci", origin, segment, rid))
        if device in numbers:
            builder.maps.append(
                IdMap(
                    name, VDEV, rid or 0, 1, numbers[device], origin, "vdev smmu", single=address is None,
                    overrides=address is not None,
                )
            )  # fmt: skip
            for region in machine.reserved(device):
                builder.reserved.append(
                    ReservedRegion("configured", region.start, region.length, origin, "direct", devices=(name,))
                )
    return Topology(builder)
