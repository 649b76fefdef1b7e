"""The hypervisor's side: which VM may start with which devices and memory.

What is asked here is what keeps VMs apart. Devices that a unit cannot tell apart go to one VM. A device that must keep
reaching reserved memory goes to a VM only where the VM has that very memory at the same address: the VM maps the
reserved regions of its devices itself (`SOCF_RESERVED_MANUAL`), and giving it memory of the firmware's that nobody
granted it would break the promise. A device that the configuration grants memory from start goes to no VM, since no
guest could narrow that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..base import RangeSet, parse_pci_address
from .errors import ManagerError, Reason
from .incidents import Incident
from .manager import Manager
from .mappings import Access, Mappings, Segment
from .survey import Member
from .virtual_machine import VirtualMachine, require_pages

if TYPE_CHECKING:
    from ..parsers.scenario import Passed, Ram

LETTERS = {"r": Access.READ, "w": Access.WRITE, "x": Access.EXEC}


def access_of(letters: str) -> Access:
    """Return the permissions that letters `r`, `w`, `x` stand for; others stand for none."""
    found = Access.NONE
    for letter in letters:
        found |= LETTERS.get(letter, Access.NONE)
    return found


class Hypervisor:
    """The VMs of a board.

    Attributes:
        manager: the host's; None when it does not run.
        machines: the VMs that run, by name.
    """

    def __init__(self, manager: Manager | None) -> None:
        """Run no VM as yet."""
        self.manager = manager
        self.machines: dict[str, VirtualMachine] = {}
        self._memory: dict[str, Mappings] = {}
        self._shared: dict[str, RangeSet] = {}

    def start(
        self, name: str, memory: Iterable[Ram], devices: Iterable[Passed], *, unity: bool = False
    ) -> VirtualMachine:
        """Start a VM: when this returns, its devices that do DMA reach its memory, and those that do none nothing.

        Args:
            name: of the VM.
            memory: guest-physical to host-physical, in whole pages.
            devices: passed through to it.
            unity: guest-physical addresses are host-physical ones, so that it can do without the manager: that there
                is none, or that it does not know a device, is noted in `problems` and the VM starts all the same.

        Raises ManagerError: the VM must not start, and nothing has changed. `ENOENT`: there is no manager, or it does
        not know a device; `EBUSY`: a device, or one that no unit can tell from it, is not this VM's alone; `EPERM`:
        memory is not the VM's to have, or a device cannot be kept to it; `EINVAL`: what is said makes no sense.
        """
        self._forget_the_dead()
        regions, passed = tuple(memory), tuple(devices)
        self._require_sense(name, regions, passed, unity=unity)
        for region in regions:
            self._require_own_memory(name, region)
        problems: list[str] = []
        groups = self._groups(name, passed, problems, unity=unity)
        for group, _ in groups:
            for member in group:
                _require_confined(member, regions)
        machine = VirtualMachine(name, self.manager)
        machine.unity = unity
        machine.problems += problems
        machine.names = _guest_names(passed)
        machine.denied = frozenset(one.device for one in passed if one.dma == "n")
        try:
            for region in regions if self.manager else ():
                machine.map(region.guest, region.host, region.length, access_of(region.access))
            for group, dma in groups:
                names = tuple(member.device.name for member in group)
                machine.claim(names)
                if dma:
                    machine.open(names)
        except ManagerError:
            machine.end()
            raise
        self.machines[name] = machine
        self._memory[name] = Mappings()
        self._shared[name] = RangeSet()
        for region in regions:
            self._note(name, region)
        return machine

    def give(self, name: str, memory: Ram) -> None:
        """Give a running VM memory, in place of what was there; raises ManagerError as `start` does."""
        machine = self.machine(name)
        self._require_region(name, memory, unity=machine.unity)
        self._require_own_memory(name, memory)
        if self.manager is not None:
            machine.map(memory.guest, memory.host, memory.length, access_of(memory.access))
        self._note(name, memory)

    def take(self, name: str, guest: int, length: int) -> None:
        """Take guest-physical memory from a running VM: when this returns none of its devices reaches it.

        Raises ManagerError: `ENOENT` no such VM runs, `EINVAL` the memory is no whole pages, `EIO` a unit failed.
        """
        machine = self.machine(name)
        require_pages(name, guest, 0, length)
        if self.manager is not None:
            machine.unmap(guest, length)
        self._memory[name].remove(guest, length)

    def end(self, name: str) -> None:
        """End a VM, or note that it has died: its devices are denied, and may go to another.

        Raises ManagerError (`ENOENT`): no such VM runs.
        """
        self.machine(name).end()
        self._forget_the_dead()

    def machine(self, name: str) -> VirtualMachine:
        """Return the VM that runs under a name; raises ManagerError (`ENOENT`) when none does."""
        self._forget_the_dead()
        found = self.machines.get(name)
        if found is None:
            raise ManagerError("ENOENT", "VM-NONE", "no such VM runs", name)
        return found

    def machine_of(self, incident: Incident) -> VirtualMachine | None:
        """Return the VM that an incident is of: one VM, even where it cannot be told which of its devices it was."""
        return next((one for one in self.machines.values() if one.has(incident.devices)), None)

    def _forget_the_dead(self) -> None:
        """Strike VMs that ended themselves, or whose manager has stopped: they have nothing any more."""
        for name in [name for name, one in self.machines.items() if not one.alive]:
            del self.machines[name], self._memory[name], self._shared[name]

    def _note(self, name: str, region: Ram) -> None:
        """Note what memory is a VM's."""
        self._memory[name].put(Segment(region.guest, region.length, region.host, Access.READ))
        if region.shared:
            self._shared[name].add(region.host, region.length)
        else:
            self._shared[name].remove(region.host, region.length)

    # --- What must be so before a VM starts

    def _require_sense(self, name: str, memory: Sequence[Ram], devices: Sequence[Passed], *, unity: bool) -> None:
        if name in self.machines:
            raise _no("EBUSY", "VM-RUNNING", "a VM of this name runs", name)
        guest = Mappings()
        for region in memory:
            self._require_region(name, region, unity=unity)
            if guest.within(region.guest, region.length):
                at = f"0x{region.guest:x}"
                raise _no("EINVAL", "VM-MEMORY", "guest-physical memory is there twice", name, found=at)
            guest.put(Segment(region.guest, region.length, region.host, Access.READ))
        self._require_devices_said(name, devices)

    @staticmethod
    def _require_region(name: str, region: Ram, *, unity: bool) -> None:
        require_pages(name, region.guest, region.host, region.length)
        at = f"0x{region.guest:x}"
        if not access_of(region.access):
            raise _no("EINVAL", "VM-MEMORY", "memory of a VM has none of r, w, x", name, found=at)
        if unity and region.guest != region.host:
            raise _no(
                "EINVAL", "VM-NOT-UNITY", "the VM is said to be unity-mapped and this memory is elsewhere", name,
                found=f"guest {at} at host 0x{region.host:x}",
            )  # fmt: skip

    def _require_devices_said(self, name: str, devices: Sequence[Passed]) -> None:
        seen: dict[str, str] = {}
        for one in devices:
            if one.device in seen:
                raise _no("EINVAL", "VM-DEVICE-TWICE", "the device is passed through twice", one.device)
            if one.dma not in ("d", "n"):
                raise _no(
                    "EINVAL", "VM-DMA-UNSAID", "it is not said whether the device does DMA (d) or does none (n)",
                    one.device, advice="say d, and it reaches the VM's memory, or n, and it reaches nothing",
                )  # fmt: skip
            other = next((vm.name for vm in self.machines.values() if one.device in vm.names), None)
            if other is not None:
                raise _no("EBUSY", "VM-PASSED", f"the device is passed through to VM {other}", one.device)
            seen[one.device] = name
        taken: dict[str, str] = {}
        for device, guest in _guest_names(devices).items():
            address = parse_pci_address(guest)
            if address is None and guest != device and not guest.startswith("mem:"):
                raise _no(
                    "EINVAL", "VM-GUEST-PLACE", "the guest cannot see a device there", device, found=guest,
                    expected="0:device.function in decimal, ssss:bb:dd.f, or mem:address",
                )  # fmt: skip
            if address is not None and address[1] >> 8:
                raise _no("EINVAL", "VM-GUEST-BUS", "in a guest the bus number is 0", device, found=guest)
            if guest in taken:
                raise _no("EINVAL", "VM-GUEST-TWICE", f"the guest sees {taken[guest]} there", device, found=guest)
            taken[guest] = device

    def _require_own_memory(self, name: str, region: Ram) -> None:
        """Refuse host-physical memory that another VM has, unless both say that it is shared."""
        for other, theirs in self._memory.items():
            for one in theirs if other != name else ():
                low, high = max(region.host, one.physical), min(region.host + region.length, one.physical + one.length)
                if low < high and not (region.shared and self._shared[other].covers(low, high - low)):
                    raise _no(
                        "EPERM", "VM-MEMORY-TAKEN", f"host-physical memory is VM {other}'s as well", name,
                        found=f"0x{low:x}", advice="say shared in both, if it is meant",
                    )  # fmt: skip

    def _groups(
        self, name: str, devices: Sequence[Passed], problems: list[str], *, unity: bool
    ) -> list[tuple[tuple[Member, ...], bool]]:
        """Return the devices that units control, those that cannot be told apart together, and whether they do DMA."""
        said = {one.device: one.dma for one in devices}
        found: dict[str, tuple[tuple[Member, ...], bool]] = {}
        for one in devices:
            try:
                if self.manager is None:
                    raise _no("ENOENT", "VM-NO-MANAGER", "no manager runs in the host to confine it", one.device)
                group = self.manager.group(one.device)
            except ManagerError as error:
                if one.dma == "d" and not unity:
                    raise
                problems.append(str(error))
                continue
            names = [member.device.name for member in group]
            outside = [device for device in names if device not in said]
            if outside:
                raise _no(
                    "EBUSY", "VM-SHARED-ID", f"devices that share an ID go to one VM, and {name} has not all",
                    one.device, found=f"it shares one with {', '.join(outside)}", advice="pass them through with it",
                )  # fmt: skip
            unlike = [device for device in names if said[device] != one.dma]
            if unlike:
                raise _no(
                    "EINVAL", "VM-SHARED-DMA", "devices that share an ID reach the same, and d is said of some only",
                    one.device, found=f"it shares one with {', '.join(unlike)}", advice="say d of all, or n of all",
                )  # fmt: skip
            found.setdefault(min(names), (group, one.dma == "d"))
        return list(found.values())


def _require_confined(member: Member, memory: Sequence[Ram]) -> None:
    """Refuse a device that would reach more, or has to reach more, than the VM's memory."""
    device = member.device.name
    if member.startup:
        raise _no(
            "EPERM", "VM-STARTUP-GRANT", "the configuration grants the device memory that no guest could narrow",
            device, found=f"0x{member.startup[0].start:x}", advice="take the device's allow set out of it",
        )  # fmt: skip
    own = Mappings(Segment(one.guest, one.length, one.host, access_of(one.access)) for one in memory)
    for region in member.reserved:
        there = own.within(region.start, region.length)
        same = all(
            part.physical - part.start == region.physical - region.start
            and part.access & region.access == region.access
            for part in there
        )
        if not same or sum(part.length for part in there) != region.length:
            raise _no(
                "EPERM", "VM-RESERVED", "the device must keep reaching reserved memory that the VM does not have",
                device, found=f"0x{region.start:x}-0x{region.end - 1:x}",
                advice="give the VM that memory at that address, if the firmware may lose it to the guest",
            )  # fmt: skip


def _guest_names(devices: Sequence[Passed]) -> dict[str, str]:
    """Return what the guest calls its devices, in the names of a topology; PCI functions without a place get one."""
    found: dict[str, str] = {}
    free = iter(range(1, 1 << 8))
    fixed = {guest_name(one.guest) for one in devices if one.guest}
    for one in devices:
        if one.guest:
            found[one.device] = guest_name(one.guest)
        elif parse_pci_address(one.device) is not None:
            places = (f"0000:00:{slot & 0x1F:02x}.{slot >> 5:x}" for slot in free)
            found[one.device] = next((place for place in places if place not in fixed), one.device)
        else:
            found[one.device] = one.device
    return found


def guest_name(guest: str) -> str:
    """Return a place as devices are named: `0:18.0`, bus, device and function in decimal, is `0000:00:12.0`."""
    bus, colon, rest = guest.partition(":")
    slot, dot, function = rest.partition(".")
    if colon and dot and all(part.isdecimal() and len(part) < 4 for part in (bus, slot, function)):  # noqa: PLR2004
        return f"0000:{int(bus):02x}:{int(slot):02x}.{int(function):x}"
    return guest


def _no(reason: Reason, rule: str, message: str, part: str, **details: str) -> ManagerError:
    return ManagerError(reason, rule, message, part, **details)
