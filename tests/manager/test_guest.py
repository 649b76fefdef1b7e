"""The guest's manager, one rule after the other: narrowing, withdrawal, its end, and what it is told."""

from __future__ import annotations

import pytest
from iommuman.iommu.vtd.model import READ, WRITE, RemappingUnit
from iommuman.manager import GRANULE, Access, Guest, GuestManager, Hypervisor, ManagerError
from iommuman.parsers.scenario import Passed, Ram

from tests.manager.guest_play import GUEST, HOST, OTHER_HOST, PAGES, RW, Play, host


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
