"""A VM whose guest may have a manager, and an account of what host and guest grant its devices."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import strategies as st
from iommuman.base import Origin, format_pci_address
from iommuman.manager import (
    GRANULE,
    Access,
    Guest,
    GuestManager,
    Hypervisor,
    Machine,
    Manager,
    ManagerError,
    simulate,
)
from iommuman.manager.prove import prove
from iommuman.parsers.scenario import Passed, Ram
from iommuman.topology import Device, IdMap, Iommu, PciRoot, Topology, load_topology
from iommuman.topology.builder import TopologyBuilder

from tests.conftest import BOARDS
from tests.manager.watch import Reached, reached

RW = Access.READ | Access.WRITE
GUEST, HOST = 0x40000000, 0x100000000
"""Where the VM of the properties has its memory, as the guest and as the host sees it."""
OTHER_HOST = 0x200000000
PAGES = 8
DEVICES = {
    # 02:01.0 and 02:02.0 are behind a conventional bridge and share its ID
    "q35-vtd": ("0000:00:03.0", "0000:00:04.1", "0000:02:01.0", "0000:02:02.0"),
    "virt-smmuv3-acpi": ("0000:00:03.0", "0000:00:04.1", "0000:02:01.0", "0000:02:02.0"),
    # one VM behind two units of different architecture; the last two share an ID at one of them
    "two units": ("0000:00:03.0", "0000:00:04.1", "0000:02:01.0", "0000:02:02.0"),
    "a RISC-V unit": ("0000:00:03.0", "0000:00:04.1", "0000:02:01.0", "0000:02:02.0"),
}
UNITS = {"two units": ("vtd", "smmuv3", "vtd", "vtd"), "a RISC-V unit": ("riscv-iommu",) * 4}
"""Of boards that are made here: the unit of each device."""
BASES = {"vtd": 0xFED90000, "smmuv3": 0x9050000, "riscv-iommu": 0x3010000}
GROUPS = ((0,), (1,), (2, 3))
PROBES = [0, HOST, *(GUEST + page * GRANULE for page in range(-1, 2 * PAGES))]

page, count, access = st.integers(0, PAGES - 1), st.integers(1, 4), st.integers(1, 3)
OPERATIONS = st.one_of(
    st.tuples(st.just("give"), page, count, access, st.sampled_from([HOST, OTHER_HOST])),
    st.tuples(st.just("take"), page, count),
    st.tuples(st.just("withdraw"), st.integers(0, 3)),
    st.tuples(st.just("start"), st.just(0)),
    st.tuples(st.just("stop"), st.booleans()),
    st.tuples(st.just("grant"), st.integers(0, 1), page, count, access, st.sampled_from([0, 1, -1])),
    st.tuples(st.just("revoke"), st.integers(0, 1), page, count),
    st.tuples(st.just("move"), st.integers(0, 1), st.integers(0, 3)),
    st.tuples(st.just("remove"), st.integers(0, 3)),
    st.tuples(st.just("renew"), st.integers(0, 1)),
    st.tuples(st.just("die"), st.just(0)),
)


@cache
def board(name: str) -> Topology:
    """Return the topology of a captured board, or one with other units that is made here."""
    if name not in UNITS:
        return load_topology([str(BOARDS / name)])
    builder = TopologyBuilder()
    origin = Origin(name)
    builder.iommus += [Iommu(kind, kind, origin, base) for kind, base in BASES.items() if kind in UNITS[name]]
    builder.roots.append(PciRoot("pci:0000", origin, 0))
    for (rid, output), unit in zip(
        ((0x18, 0x18), (0x21, 0x21), (0x208, 0x30), (0x210, 0x30)), UNITS[name], strict=True
    ):
        device = builder.device(Device(format_pci_address(0, rid), "pci", origin, 0, rid))
        builder.maps.append(IdMap(device, unit, rid, 1, output, origin, "test", overrides=True))
    return Topology(builder)


def host(name: str) -> tuple[Machine, Hypervisor]:
    """Return a simulated board with a manager, and no VM as yet."""
    machine = simulate(board(name))
    return machine, Hypervisor(Manager(board(name), machine.ports, machine.private))


class Play:
    """A VM with four devices and a guest that may have a manager with two objects, and an account of what they did."""

    def __init__(self, name: str) -> None:
        self.devices = DEVICES[name]
        self.machine, self.hypervisor = host(name)
        self.host = self.hypervisor.manager
        assert self.host is not None
        self.open()

    def open(self) -> None:
        """Start the VM."""
        passed = [Passed(device, "d") for device in self.devices]
        self.vm = self.hypervisor.start("a", [Ram(GUEST, HOST, PAGES * GRANULE)], passed)
        self.given: Reached = {GUEST + at: (HOST + at, RW) for at in range(0, PAGES * GRANULE, GRANULE)}
        self.names = [self.vm.names[device] for device in self.devices]
        self.present = set(range(4))
        self.known: set[int] = set()
        self.guest: GuestManager | None = None
        self.narrowed = False
        self.wishes: list[Reached] = [{}, {}]
        self.places: dict[int, int] = {}

    def play(self, operation: tuple[object, ...]) -> None:
        """Do one operation, and note what it means."""
        getattr(self, str(operation[0]))(*operation[1:])

    # --- host

    def give(self, first: int, pages: int, letters: int, base: int) -> None:
        """Give the VM memory, more or less or another than it had."""
        start = GUEST + first * GRANULE
        self.vm.map(start, base + first * GRANULE, pages * GRANULE, Access(letters))
        for at in range(0, pages * GRANULE, GRANULE):
            self.given[start + at] = (base + first * GRANULE + at, Access(letters))

    def take(self, first: int, pages: int) -> None:
        """Take memory away from the VM."""
        self.vm.unmap(GUEST + first * GRANULE, pages * GRANULE)
        for at in range(pages):
            self.given.pop(GUEST + (first + at) * GRANULE, None)

    def withdraw(self, device: int) -> None:
        """Take a device away, and what cannot be told from it."""
        if device not in self.present:
            with pytest.raises(ManagerError):
                self.vm.withdraw(self.devices[device])
            return
        self.vm.withdraw(self.devices[device])
        self.present -= set(next(group for group in GROUPS if device in group))

    def die(self, _: int) -> None:
        """Let the VM die, look, and start it again."""
        self.hypervisor.end("a")
        self.present = set()
        self.check()
        if self.guest is not None:
            self.grant(0, 0, 1, 3, 0)
            self.check()
            self.guest.stop()
        self.open()

    # --- guest

    def start(self, _: int) -> None:
        """Start the guest's manager; one at a time."""
        if self.guest is not None:
            with pytest.raises(ManagerError, match="a manager runs in this guest already"):
                GuestManager(self.vm, Guest())
            return
        self.guest = GuestManager(self.vm, Guest())
        self.narrowed = True
        self.known = set(self.present)
        self.client = self.guest.manager.attach("driver", ("attach", "target"))
        self.objects = [self.guest.manager.create_object(self.client) for _ in range(2)]

    def prepare(self) -> None:
        """Start the guest's manager, with every device in one of its objects and half of the memory granted."""
        self.start(0)
        for device in range(4):
            self.move(device % 2, device)
        self.grant(0, 0, 6, 3, 0)
        self.grant(1, 2, 6, 1, -1)
        self.check()

    def stop(self, clean: bool) -> None:
        """End the guest's manager, or let it die; with a guest that has none nothing happens."""
        if self.guest is None:
            return
        self.guest.stop() if clean else self.guest.die()
        self.guest = None
        self.wishes, self.places = [{}, {}], {}

    def grant(self, which: int, first: int, pages: int, letters: int, shift: int) -> None:
        """Grant guest-physical memory, one to one or at another page."""
        if self.guest is None:
            return
        start = GUEST + first * GRANULE
        target = start + shift * GRANULE
        try:
            self.guest.manager.map(
                self.client, self.objects[which], start, pages * GRANULE, Access(letters), target=target
            )
        except ManagerError:
            if self.vm.alive:
                raise
            return
        for at in range(0, pages * GRANULE, GRANULE):
            self.wishes[which][start + at] = (target + at, Access(letters))

    def revoke(self, which: int, first: int, pages: int) -> None:
        """Take a grant of the guest's away."""
        if self.guest is None:
            return
        self.guest.manager.unmap(self.client, self.objects[which], GUEST + first * GRANULE, pages * GRANULE)
        for at in range(pages):
            self.wishes[which].pop(GUEST + (first + at) * GRANULE, None)

    def move(self, which: int, device: int) -> None:
        """Put a device, with those that cannot be told from it, into an object of the guest's."""
        if self.guest is None:
            return
        group = next(group for group in GROUPS if device in group)
        if device not in self.known:
            with pytest.raises(ManagerError):
                self.put(which, device)
        elif device not in self.present:
            with pytest.raises(ManagerError, match="the host has taken the device away"):
                self.put(which, device)
        else:
            self.put(which, device)
            self.places |= dict.fromkeys(group, which)

    def put(self, which: int, device: int) -> None:
        """Ask the guest's manager to move a device."""
        assert self.guest is not None
        self.guest.manager.add_device(self.client, self.objects[which], self.names[device], together=True)

    def remove(self, device: int) -> None:
        """Take a device of the guest's out of its object; those that it cannot be told from would stay."""
        if self.guest is None or device not in self.places or device not in self.present:
            return
        name = self.names[device]
        if device > 1:
            with pytest.raises(ManagerError, match="share an ID"):
                self.guest.manager.remove_device(self.client, name)
            return
        self.guest.manager.remove_device(self.client, name)
        del self.places[device]

    def renew(self, which: int) -> None:
        """Destroy an object of the guest's, and make another."""
        if self.guest is None:
            return
        self.guest.manager.destroy_object(self.client, self.objects[which])
        self.objects[which] = self.guest.manager.create_object(self.client)
        self.wishes[which] = {}
        self.places = {device: place for device, place in self.places.items() if place != which}

    # --- what is so

    def granted(self, device: int) -> Reached:
        """Return what a device is to reach."""
        if device not in self.present:
            return {}
        assert self.host is not None
        (place, *_) = self.host.member(self.devices[device]).endpoints
        widened = self.host.ports[place.unit].widened  # what the unit cannot tell apart
        if not self.narrowed:
            return {at: (there, widened(letters)) for at, (there, letters) in self.given.items()}
        found: Reached = {}
        for at, (target, letters) in self.wishes[self.places[device]].items() if device in self.places else ():
            there, given = self.given.get(target, (0, Access.NONE))
            if given & letters:
                found[at] = (there, widened(given & letters))
        return found

    def reach(self, device: int) -> list[Reached]:
        """Return what each ID of a device reaches."""
        assert self.host is not None
        return [reached(self.machine, place, PROBES) for place in self.host.member(self.devices[device]).endpoints]

    def check(self) -> None:
        """Every device reaches exactly what the account says, by each of its IDs."""
        for device in range(4):
            for found in self.reach(device):
                assert found == self.granted(device), self.devices[device]

    def check_everywhere(self) -> None:
        """The same of every address there is: the tables are enumerated, also those of all other devices."""
        assert self.host is not None
        for proof in prove(self.machine, self.host):
            assert proof.holds
            found = {
                one.start + at: (one.physical + at, one.access & RW)
                for one in proof.reached
                for at in range(0, one.length, GRANULE)
            }
            known = proof.device in self.devices
            assert found == (self.granted(self.devices.index(proof.device)) if known else {}), proof.device
