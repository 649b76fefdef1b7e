"""One virtual machine as a client of the host's manager: its memory, and what its devices reach of it.

A VM is an ordinary client. It owns one object with the whole of its memory, guest-physical to host-physical, and one
object with nothing. Its devices are in the first, until the guest has a manager of its own: that one makes *views*, of
what it grants itself, and a device in a view reaches what both grant. A device that the guest denies is in the object
with nothing, so that it stays the VM's.
"""

from __future__ import annotations

from collections.abc import Iterable

from .errors import ManagerError
from .incidents import Incident
from .manager import Manager
from .mappings import Access, Mappings, Segment, differing
from .ports import GRANULE

EVERYTHING = Segment(0, 1 << 64, 0, Access.READ | Access.WRITE | Access.EXEC)
"""The wish of a guest that narrows nothing."""


def require_pages(name: str, guest: int, host: int, length: int) -> None:
    """Refuse memory that is no whole pages: rounding it would give a VM more than it was granted."""
    if length <= 0 or min(guest, host) < 0 or any(number % GRANULE for number in (guest, host, length)):
        what = "is whole pages of 4 KiB"
    elif max(guest, host) + length > 1 << 64:
        what = "lies within 64 bits"
    else:
        return
    raise ManagerError("EINVAL", "VM-MEMORY", f"memory of a VM {what}", name, found=f"0x{max(guest, 0):x}")


class View:
    """An object of the host's manager that grants what of a wish the VM has.

    Attributes:
        number: of the object.
        wish: device addresses to guest-physical ones.
        programmed: what the object grants: device addresses to host-physical ones.
    """

    __slots__ = ("number", "programmed", "wish")

    def __init__(self, number: int, wish: Iterable[Segment] = ()) -> None:
        """Grant nothing as yet."""
        self.number = number
        self.wish = Mappings(wish)
        self.programmed = Mappings()

    def wanted(self, memory: Mappings, start: int, length: int) -> Mappings:
        """Return what a range of device addresses is to mean when the VM's memory is this."""
        found = Mappings()
        for wish in self.wish.within(start, length):
            for there in memory.within(wish.physical, wish.length):
                if wish.access & there.access:
                    at = wish.start + there.start - wish.physical
                    found.put(Segment(at, there.length, there.physical, wish.access & there.access))
        return found

    def showing(self, start: int, length: int) -> list[tuple[int, int]]:
        """Return the `(start, length)` ranges of device addresses that are wished to be this guest-physical range."""
        found = []
        for wish in self.wish:
            low = max(wish.physical, start)
            high = min(wish.physical + wish.length, start + length)
            if low < high:
                found.append((wish.start + low - wish.physical, high - low))
        return found


class VirtualMachine:
    """A VM that runs. `Hypervisor.start` makes it, once it knows that it may be.

    Attributes:
        name: of the VM.
        manager: the host's; None when there is none (then nothing here can be called but `alive`).
        unity: its guest-physical addresses are host-physical ones.
        problems: what is wrong with it although it runs.
        memory: what its devices may reach: guest-physical to host-physical.
        groups: its devices that do DMA and that units control: those that no unit can tell apart are one group,
            by the name of the first.
        names: all its devices, by the host's name: what the guest calls them.
        denied: those of its devices that do no DMA.
        narrowed: a manager runs in the guest.
    """

    def __init__(self, name: str, manager: Manager | None) -> None:
        """Attach to the manager, with nothing to reach."""
        self.name = name
        self.manager = manager
        self.unity = False
        self.problems: list[str] = []
        self.memory = Mappings()
        self.groups: dict[str, tuple[str, ...]] = {}
        self.names: dict[str, str] = {}
        self.denied: frozenset[str] = frozenset()
        self.narrowed = False
        self._ended = False
        self._views: list[View] = []
        if manager is not None:
            self._client = manager.attach(name, ("attach", "target"))
            self._nothing = manager.create_object(self._client, manual_reserved=True)
            self._whole = self.create_view([EVERYTHING])

    @property
    def alive(self) -> bool:
        """Whether it runs, and the host's manager, if there is one, serves it."""
        return not self._ended and (self.manager is None or self.manager.has_client(self._client))

    # --- Devices

    def claim(self, group: tuple[str, ...]) -> None:
        """Make devices the VM's own, and deny them everything; raises ManagerError as `Manager.add_device` does."""
        self._host.add_device(self._client, self._nothing, group[0], together=True)

    def open(self, group: tuple[str, ...]) -> None:
        """Let devices that are the VM's reach all of its memory."""
        self.groups[group[0]] = group
        self.show(group[0], self._whole)

    def show(self, leader: str, view: View) -> None:
        """Let the devices of a group reach what a view grants, and nothing else."""
        if leader not in self.groups:
            raise ManagerError(
                "ENOENT", "VM-NO-DEVICE", "the host has taken the device away", leader, advice="ask the host for it"
            )
        self._host.add_device(self._client, view.number, leader, together=True)

    def deny(self, leader: str) -> None:
        """Deny the devices of a group everything; they stay the VM's."""
        if leader in self.groups:
            self._host.add_device(self._client, self._nothing, leader, together=True)

    def reserved(self, device: str) -> tuple[Segment, ...]:
        """Return the memory that a device of the VM must keep reaching, which the VM has at the same addresses."""
        return self._host.member(device).reserved

    def withdraw(self, device: str) -> tuple[str, ...]:
        """Take a device away, with all that no unit can tell from it, and return their names.

        When this returns they reach nothing, and another client may have them.

        Raises ManagerError (`ENOENT`): the VM has no such device.
        """
        leader = next((leader for leader, group in self.groups.items() if device in group), None)
        if leader is None:
            raise ManagerError("ENOENT", "VM-NO-DEVICE", f"VM {self.name} has no such device", device)
        gone = self._host.create_object(self._client, manual_reserved=True)
        self._host.add_device(self._client, gone, leader, together=True)
        self._host.destroy_object(self._client, gone)
        for one in self.groups[leader]:
            del self.names[one]
        return self.groups.pop(leader)

    # --- Memory

    def map(self, guest: int, host: int, length: int, access: Access) -> None:
        """Give the VM memory: `length` bytes at guest-physical `guest` are those at `host`, all whole pages.

        It replaces what was there, for every device and every view at once.

        Raises ManagerError as `Manager.map` does, with nothing changed.
        """
        require_pages(self.name, guest, host, length)
        self._change(guest, length, Segment(guest, length, host, access))

    def unmap(self, guest: int, length: int) -> None:
        """Take memory away: when this returns, no device of the VM reaches it, whatever the guest grants."""
        require_pages(self.name, guest, 0, length)
        self._change(guest, length, None)

    def _change(self, start: int, length: int, new: Segment | None) -> None:
        self._require_alive()
        before = self.memory.within(start, length)
        self._put(start, length, new)
        try:
            self._show(start, length)
        except ManagerError:
            self._put(start, length, None)
            for segment in before:
                self.memory.put(segment)
            try:
                self._show(start, length)
            except ManagerError:
                # Some objects have the old memory and some the new: safe is neither.
                self.end()
            raise

    def _put(self, start: int, length: int, new: Segment | None) -> None:
        if new is None:
            self.memory.remove(start, length)
        else:
            self.memory.put(new)

    def _show(self, start: int, length: int) -> None:
        """Have every view agree with a range of the VM's memory."""
        for view in self._views:
            for at, size in view.showing(start, length):
                self.refresh(view, at, size)

    # --- Views

    def create_view(self, wish: Iterable[Segment] = ()) -> View:
        """Make an object that grants what of a wish the VM has; raises ManagerError when the VM has ended."""
        view = View(self._host.create_object(self._client, manual_reserved=True), wish)
        self._views.append(view)
        return view

    def destroy_view(self, view: View) -> None:
        """Forget a view that no device is in."""
        self._views.remove(view)
        self._host.destroy_object(self._client, view.number)

    def refresh(self, view: View, start: int, length: int) -> None:
        """Make the object of a view grant what it should in a range of device addresses.

        What goes is taken away before anything is given. Raises ManagerError: part of it may be done.
        """
        wanted = view.wanted(self.memory, start, length)
        for old in view.programmed.within(start, length):
            for gone in differing(old, wanted):
                self._host.unmap(self._client, view.number, gone.start, gone.length)
                view.programmed.remove(gone.start, gone.length)
        for new in wanted:
            for piece in differing(new, view.programmed):
                self._host.map(
                    self._client, view.number, piece.start, piece.length, piece.access, target=piece.physical
                )
                view.programmed.put(piece)

    # --- Refused accesses, and the end

    def listen(self) -> None:
        """Have the host's manager keep incidents for this VM from now on."""
        self._host.watch(self._client, lambda: None)

    def incidents(self) -> tuple[list[Incident], bool]:
        """Return the incidents of the VM's devices since the last call, and whether records were lost."""
        found, lost = [], False
        while self.alive:
            one = self._host.read_incident(self._client)
            if one is None:
                break
            lost = lost or one.dropped
            if self.has(one.devices):
                found.append(one)
        return found, lost

    def has(self, devices: Iterable[str]) -> bool:
        """Tell whether any of these devices is the VM's."""
        return any(device in self.names for device in devices)

    def end(self) -> None:
        """End it, or note that it has died: its devices are denied everything, and are nobody's."""
        if self.alive and self.manager is not None:
            self.manager.detach(self._client)
        self._ended = True
        self._views.clear()

    @property
    def _host(self) -> Manager:
        return self._require_alive()

    def _require_alive(self) -> Manager:
        if self.manager is None or not self.alive:
            raise ManagerError("EIO", "VM-ENDED", "the VM has ended, or the host has no manager", self.name)
        return self.manager
