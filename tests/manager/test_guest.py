"""Host and guest together: a device reaches what the host gives the VM and the guest's manager grants, and no more."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.base import Origin, format_pci_address
from iommuman.iommu.errors import failure
from iommuman.iommu.vtd.model import READ, WRITE, RemappingUnit
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
}
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
    """Return the topology of a captured board, or one of two units that is made here."""
    if name != "two units":
        return load_topology([str(BOARDS / name)])
    builder = TopologyBuilder()
    origin = Origin(name)
    builder.iommus += [Iommu("vtd", "vtd", origin, 0xFED90000), Iommu("smmuv3", "smmuv3", origin, 0x9050000)]
    builder.roots.append(PciRoot("pci:0000", origin, 0))
    for rid, output, unit in ((0x18, 0x18, "vtd"), (0x21, 0x21, "smmuv3"), (0x208, 0x30, "vtd"), (0x210, 0x30, "vtd")):
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
        if not self.narrowed:
            return self.given
        found: Reached = {}
        for at, (target, letters) in self.wishes[self.places[device]].items() if device in self.places else ():
            there, given = self.given.get(target, (0, Access.NONE))
            if given & letters:
                found[at] = (there, given & letters)
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


@pytest.mark.parametrize("name", DEVICES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(OPERATIONS, max_size=20))
def test_a_device_reaches_what_host_and_guest_grant_and_never_a_page_more(
    name: str, begun: bool, operations: list[tuple[object, ...]]
) -> None:
    """After each of any operations of host and guest: what both grant, or the host's limit before a guest narrows."""
    play = Play(name)
    play.check()
    if begun:
        play.prepare()
    for operation in operations:
        play.play(operation)
        play.check()
    play.check_everywhere()
    assert play.host is not None
    play.host.stop()
    play.present = set()
    play.check_everywhere()


def within(now: Reached, old: Reached, new: Reached) -> bool:
    """Tell whether each page and permission is granted by the old or by the new account."""
    for at, (output, letters) in now.items():
        granted = Access.NONE
        for view in (old, new):
            there, given = view.get(at, (0, Access.NONE))
            if there == output:
                granted |= given
        if letters & ~granted:
            return False
    return True


@pytest.mark.parametrize("name", DEVICES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS.filter(lambda one: one[0] != "die"), min_size=1, max_size=6))
def test_no_store_of_a_driver_opens_more_than_before_or_after(name: str, operations: list[tuple[object, ...]]) -> None:
    """After every single store that an operation of host or guest leads to, reach is within old and new together."""
    play = Play(name)
    play.prepare()
    seen: set[tuple[int, tuple[tuple[int, tuple[int, Access]], ...]]] = set()

    def look(_kind: str, _address: int) -> None:
        for device in range(4):
            seen.update((device, tuple(found.items())) for found in play.reach(device))

    for operation in operations:
        old = [dict(play.granted(device)) for device in range(4)]
        seen.clear()
        play.machine.platform.observers[:] = [look]
        play.play(operation)
        play.machine.platform.observers.clear()
        new = [play.granted(device) for device in range(4)]
        for device, found in seen:
            assert within(dict(found), old[device], new[device]), (play.devices[device], operation)
        play.check()


class Flaky:
    """A unit whose driver fails once, at one of the calls to come."""

    def __init__(self, port: Any) -> None:
        self.port, self.left = port, 1 << 30

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        return self.counted(found) if name in ("map", "create", "attach") else found

    def counted(self, call: Any) -> Any:
        """Return a call that fails when it is its turn."""

        def counted(*arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise failure("TEST", "the unit does not answer")
            return call(*arguments)

        return counted


@pytest.mark.parametrize("name", ["q35-vtd", "virt-smmuv3-acpi"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS.filter(lambda one: one[0] != "die"), max_size=5), OPERATIONS, st.integers(1, 8))
def test_a_unit_that_fails_at_any_point_leaves_nothing_more_open(
    name: str, operations: list[tuple[object, ...]], last: tuple[object, ...], when: int
) -> None:
    """Whatever call of a unit fails: what was refused has granted nothing, and what was taken away is gone."""
    play = Play(name)
    assert play.host is not None
    ports = [Flaky(port) for port in play.host.ports.values()]
    play.host.ports.update({port.port.name: port for port in ports})
    play.prepare()
    for operation in operations:
        play.play(operation)
    old = [dict(play.granted(device)) for device in range(4)]
    for port in ports:
        port.left = when
    try:
        play.play(last)
    except ManagerError as error:
        if error.finding.rule != "TEST":
            raise
    new = [play.granted(device) for device in range(4)]
    for port in ports:
        port.left = 1 << 30
    for device in range(4):
        for found in play.reach(device):
            assert within(found, old[device], new[device]), (play.devices[device], last)


# --- one by one


@pytest.fixture
def play() -> Play:
    """Return the VT-d board with a VM of four devices, whose guest has no manager yet."""
    return Play("q35-vtd")


def refusal(error: pytest.ExceptionInfo[ManagerError]) -> tuple[str, str]:
    """Return the reason and rule of an error."""
    return error.value.reason, error.value.finding.rule


def test_the_guest_narrows_and_the_host_limits_whatever_comes_first(play: Play) -> None:
    """What the guest asks for beyond the host's limit is not granted until the host gives it, and then is at once."""
    play.start(0)
    play.move(0, 0)
    assert play.reach(0) == [{}]
    far = GUEST + PAGES * GRANULE
    play.grant(0, PAGES - 1, 2, 3, 0)
    assert play.reach(0) == [{far - GRANULE: (HOST + (PAGES - 1) * GRANULE, RW)}]
    play.vm.map(far, OTHER_HOST, GRANULE, Access.READ)
    assert play.reach(0)[0][far] == (OTHER_HOST, Access.READ)
    play.vm.map(far, OTHER_HOST, GRANULE, RW)
    assert play.reach(0)[0][far] == (OTHER_HOST, RW)


def test_a_guests_own_manager_protects_the_guest_from_its_device(play: Play) -> None:
    """Memory of the guest that its manager did not grant is out of the device's reach, though the host gives it."""
    play.start(0)
    play.move(0, 0)
    play.grant(0, 3, 1, 1, 0)
    assert play.reach(0) == [{GUEST + 3 * GRANULE: (HOST + 3 * GRANULE, Access.READ)}]


def test_withdrawal_by_the_host_takes_effect_at_once(play: Play) -> None:
    """What the host takes away no device reaches any more, though the guest's manager is neither asked nor told."""
    play.start(0)
    play.move(0, 0)
    play.grant(0, 0, 2, 3, 0)
    play.vm.unmap(GUEST, GRANULE)
    assert play.reach(0) == [{GUEST + GRANULE: (HOST + GRANULE, RW)}]
    play.vm.map(GUEST, OTHER_HOST, GRANULE, RW)
    assert play.reach(0)[0][GUEST] == (OTHER_HOST, RW)


def test_a_device_is_denied_from_the_moment_its_guests_manager_comes(play: Play) -> None:
    """Before, it has the host's limit; then nothing, until the guest grants it something."""
    assert play.reach(0) == [play.given]
    play.start(0)
    assert [play.reach(device) for device in range(2)] == [[{}], [{}]]


@pytest.mark.parametrize("clean", [True, False])
def test_devices_are_denied_when_the_guests_manager_ends(play: Play, clean: bool) -> None:
    """Stopped or dead, it leaves nothing open; the next one begins with nothing."""
    play.prepare()
    first = play.guest
    assert first is not None
    play.stop(clean)
    assert [play.reach(device) for device in range(2)] == [[{}], [{}]]
    assert play.host is not None
    thief = play.host.attach("thief")
    with pytest.raises(ManagerError, match="the device belongs to client a"):
        play.host.add_device(thief, play.host.create_object(thief), play.devices[0])
    with pytest.raises(ManagerError, match="the guest's manager has ended"):
        play_late(first, play, clean=clean)
    play.start(0)
    play.move(0, 0)
    assert play.reach(0) == [{}]


def play_late(guest: GuestManager, play: Play, *, clean: bool) -> None:
    """Let a manager that has ended ask for something all the same."""
    if not clean:
        guest.manager.map(play.client, play.objects[0], GUEST, 8 * GRANULE, RW)
    client = guest.manager.attach("late")
    guest.manager.add_device(client, guest.manager.create_object(client), play.names[1])


def test_a_linux_guest_has_the_hosts_limit_only(play: Play) -> None:
    """No manager starts there, and its devices keep reaching what the host gives."""
    with pytest.raises(ManagerError, match="a Linux guest has no manager: its devices have the host's limit only") as e:
        GuestManager(play.vm, Guest("linux"))
    assert refusal(e) == ("ENOENT", "GUEST-LINUX")
    assert play.reach(0) == [play.given]


def test_a_guest_on_arm_without_a_usable_device_tree_library_says_exactly_that(play: Play) -> None:
    """The guest's manager does not start, and says why; with the library, or on x86, it does."""
    with pytest.raises(ManagerError) as caught:
        GuestManager(play.vm, Guest("qnx", "arm", libfdt=False))
    assert caught.value.finding.message == "a guest on ARM without a usable device-tree library"
    assert refusal(caught) == ("ENOENT", "GUEST-NO-LIBFDT")
    GuestManager(play.vm, Guest("qnx", "x86", libfdt=False)).stop()
    GuestManager(play.vm, Guest("qnx", "arm"))


def test_a_guest_of_a_vm_that_has_ended_finds_no_unit(play: Play) -> None:
    """There is no virtual unit without a manager in the host, or after the VM."""
    play.hypervisor.end("a")
    with pytest.raises(ManagerError, match="there is no vdev smmu") as caught:
        GuestManager(play.vm, Guest())
    assert refusal(caught) == ("ENOENT", "GUEST-NO-VDEV")
    alone = Hypervisor(None).start("b", [Ram(GUEST, GUEST, GRANULE)], [Passed("x", "d")], unity=True)
    with pytest.raises(ManagerError, match="there is no vdev smmu"):
        GuestManager(alone, Guest())


def test_the_guest_sees_who_shares_an_id_by_its_own_names(play: Play) -> None:
    """Devices that the board cannot tell apart the guest cannot tell apart either; each has bus 0."""
    play.start(0)
    assert play.guest is not None
    members = play.guest.manager.survey.members
    assert {name: member.sharers for name, member in members.items()} == {
        "0000:00:01.0": (),
        "0000:00:02.0": (),
        "0000:00:03.0": ("0000:00:04.0",),
        "0000:00:04.0": ("0000:00:03.0",),
    }
    with pytest.raises(ManagerError, match=r"it shares one with 0000:00:04\.0"):
        play.guest.manager.add_device(play.client, play.objects[0], "0000:00:03.0")


def dma(play: Play, identifier: int, address: int, kind: int = READ) -> None:
    """Let a device of the VT-d board access memory."""
    unit = play.machine.models["vtd@fed90000"]
    assert isinstance(unit, RemappingUnit)
    unit.translate(identifier, address, kind)


def test_refused_accesses_come_to_the_guest_by_its_names_and_addresses(play: Play) -> None:
    """The guest's manager has the device under the guest's name and the address as the guest granted it."""
    play.prepare()
    assert play.guest is not None
    assert play.host is not None
    monitor = play.host.attach("monitor")
    play.host.watch(monitor, lambda: None)
    play.guest.manager.watch(play.client, lambda: None)
    found = []
    for identifier, address, kind in ((0x18, GUEST + 7 * GRANULE, WRITE), (0x30, GUEST, READ), (0x100, 0x5000, READ)):
        dma(play, identifier, address, kind)
        found += play.host.poll()
    assert [one.devices for one in found] == [
        ("0000:00:03.0",),
        ("0000:02:01.0", "0000:02:02.0"),
        ("0000:01:00.0",),
    ]
    found = play.guest.manager.poll()
    assert [(one.devices, one.refusal.unit, one.refusal.address, one.refusal.access) for one in found] == [
        (("0000:00:01.0",), "vdev-smmu", GUEST + 7 * GRANULE, "write"),
        (("0000:00:03.0", "0000:00:04.0"), "vdev-smmu", GUEST, "read"),
    ]
    assert found[0].object == play.objects[0]
    assert play.guest.manager.read_incident(play.client) == found[0]
    assert play.host.read_incident(monitor) is not None


def test_refused_accesses_of_devices_without_dma_are_the_hosts_affair() -> None:
    """The guest's manager does not know such a device; the host's has the incident, and the VM that it is of."""
    machine, hypervisor = host("q35-vtd")
    vm = hypervisor.start("a", [Ram(GUEST, HOST, GRANULE)], [Passed("0000:00:03.0", "n")])
    guest = GuestManager(vm, Guest())
    assert guest.manager.survey.members == {}
    unit = machine.models["vtd@fed90000"]
    assert isinstance(unit, RemappingUnit)
    assert hypervisor.manager is not None
    unit.translate(0x18, GUEST)
    (incident,) = hypervisor.manager.poll()
    assert hypervisor.machine_of(incident) is vm
    assert guest.manager.poll() == []


def test_the_guest_is_told_that_records_were_lost(play: Play) -> None:
    """More than 64 incidents on the board before the guest asks: the guest's watchers read that some are missing."""
    play.start(0)
    assert play.guest is not None
    assert play.host is not None
    play.guest.manager.watch(play.client, lambda: None)
    for _ in range(65):
        dma(play, 0x18, GUEST)
        play.host.poll()
    assert len(play.guest.manager.poll()) == 64
    told = play.guest.manager.read_incident(play.client)
    assert told is not None
    assert told.dropped
    dma(play, 0x18, GUEST)
    play.host.poll()
    assert len(play.guest.manager.poll()) == 1
