"""VMs as clients of the manager: which may start, what their devices reach, and what is said when one may not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from iommuman.base import Finding, Origin
from iommuman.iommu.errors import failure
from iommuman.iommu.smmuv3.model import Model, Transaction
from iommuman.iommu.vtd.model import RemappingUnit
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
from iommuman.parsers.scenario import Passed, Ram
from iommuman.topology import Device, Grant, IdMap, ReservedRegion, Topology, load_topology
from iommuman.topology.builder import TopologyBuilder

from tests.conftest import BOARDS
from tests.manager.test_manager import DISK, FIRST, OTHER, SECOND, small
from tests.manager.watch import Reached, reached

HERE = Origin("here")
RW = Access.READ | Access.WRITE
GUEST, HOST = 0x40000000, 0x100000000
MEMORY = [Ram(GUEST, HOST, 2 * GRANULE)]
GIVEN: Reached = {GUEST: (HOST, RW), GUEST + GRANULE: (HOST + GRANULE, RW)}
PROBES = [0, 0x1000, GUEST - GRANULE, GUEST, GUEST + GRANULE, GUEST + 2 * GRANULE, HOST, 0x80000000]


def hosted(topology: Topology, *, degraded: bool = False) -> tuple[Machine, Hypervisor]:
    """Return a simulated board with a manager, and no VM as yet."""
    machine = simulate(topology)
    return machine, Hypervisor(Manager(topology, machine.ports, machine.private, degraded=degraded))


@pytest.fixture
def board() -> tuple[Machine, Hypervisor]:
    """Return the captured VT-d board."""
    return hosted(load_topology([str(BOARDS / "q35-vtd")]))


def reach(board: tuple[Machine, Hypervisor], device: str) -> Reached:
    """Return what a device reaches, which has to be the same by each of its IDs."""
    machine, hypervisor = board
    assert hypervisor.manager is not None
    first, *rest = [reached(machine, place, PROBES) for place in hypervisor.manager.member(device).endpoints]
    assert all(one == first for one in rest)
    return first


def passed(*devices: str, dma: Any = "d") -> list[Passed]:
    """Return devices that are passed through."""
    return [Passed(device, dma) for device in devices]


def refused(
    hypervisor: Hypervisor, devices: Iterable[Passed], memory: Iterable[Ram] = MEMORY, **options: bool
) -> ManagerError:
    """Return why a VM may not start; when it may not, nothing has changed."""
    with pytest.raises(ManagerError) as caught:
        hypervisor.start("b", memory, devices, **options)
    assert "b" not in hypervisor.machines
    return caught.value


def test_a_vm_client_maps_the_whole_guest_physical_memory_for_its_devices(board: tuple[Machine, Hypervisor]) -> None:
    """Each device that does DMA reaches all of the VM's memory, at guest-physical addresses, and nothing else."""
    board[1].start("a", [*MEMORY, Ram(0x1000, HOST + 0x10000, GRANULE, "r")], passed(DISK, FIRST, SECOND))
    expected = GIVEN | {0x1000: (HOST + 0x10000, Access.READ)}
    assert [reach(board, device) for device in (DISK, FIRST, SECOND)] == [expected] * 3
    assert reach(board, OTHER) == {}


def test_devices_without_dma_are_left_denied(board: tuple[Machine, Hypervisor]) -> None:
    """A device said to do none reaches nothing, is the VM's all the same, and no stranger to its incidents."""
    vm = board[1].start("a", MEMORY, [Passed(DISK, "d"), Passed(OTHER, "n")])
    assert reach(board, OTHER) == {}
    assert vm.denied == {OTHER}
    manager = board[1].manager
    assert manager is not None
    client = manager.attach("thief")
    with pytest.raises(ManagerError, match="the device belongs to client a"):
        manager.add_device(client, manager.create_object(client), OTHER)


def test_each_pass_through_device_must_say_whether_it_does_dma(board: tuple[Machine, Hypervisor]) -> None:
    """Neither `d` nor `n` is a reason not to start; unity changes nothing of that."""
    for unity in (False, True):
        error = refused(board[1], passed(DISK, dma=""), [Ram(GUEST, GUEST, GRANULE)], unity=unity)
        assert (error.reason, error.finding.rule) == ("EINVAL", "VM-DMA-UNSAID")
        assert error.finding.message == "it is not said whether the device does DMA (d) or does none (n)"
    assert reach(board, DISK) == {}


def test_a_vm_is_refused_when_the_manager_is_absent() -> None:
    """Without a manager there is nothing to confine its device; a VM without DMA needs none."""
    hypervisor = Hypervisor(None)
    error = refused(hypervisor, passed(DISK))
    assert (error.reason, error.finding.rule) == ("ENOENT", "VM-NO-MANAGER")
    vm = hypervisor.start("a", MEMORY, passed(DISK, dma="n"))
    assert vm.problems == [f"{DISK}: no manager runs in the host to confine it"]
    assert vm.alive
    assert vm.manager is None
    hypervisor.end("a")
    assert not vm.alive


def test_a_vm_is_refused_when_the_manager_does_not_know_a_device(board: tuple[Machine, Hypervisor]) -> None:
    """The reason is the manager's, and the devices that it knows are granted nothing."""
    error = refused(board[1], passed(DISK, "0000:77:00.0"))
    assert (error.reason, error.finding.rule) == ("ENOENT", "MANAGER-NO-UNIT")
    assert "no source names it" in str(error)
    assert reach(board, DISK) == {}


def test_a_unity_mapped_vm_starts_and_the_problem_is_reported(board: tuple[Machine, Hypervisor]) -> None:
    """Without a manager, or with a device that it does not know; what it does know is confined all the same."""
    memory = [Ram(GUEST, GUEST, GRANULE)]
    vm = board[1].start("a", memory, passed(DISK, "0000:77:00.0"), unity=True)
    (problem,) = vm.problems
    assert problem.startswith("0000:77:00.0: no unit is known to control this device: no source names it")
    assert reach(board, DISK) == {GUEST: (GUEST, RW)}
    guest = GuestManager(vm, Guest())
    assert [name for name, _ in guest.manager.survey.unrestricted] == ["0000:00:02.0"]
    alone = Hypervisor(None).start("a", memory, passed(DISK), unity=True)
    assert alone.problems == [f"{DISK}: no manager runs in the host to confine it"]


def test_a_unity_mapped_vm_has_its_memory_where_it_says(board: tuple[Machine, Hypervisor]) -> None:
    """Guest-physical memory that is elsewhere in the host contradicts the flag."""
    assert refused(board[1], passed(DISK), unity=True).finding.rule == "VM-NOT-UNITY"


def test_devices_that_share_an_id_go_to_one_vm(board: tuple[Machine, Hypervisor]) -> None:
    """Half a group is refused with the list of the others, also when those are said to do no DMA."""
    error = refused(board[1], passed(FIRST))
    assert (error.reason, error.finding.rule) == ("EBUSY", "VM-SHARED-ID")
    assert error.finding.found == f"it shares one with {SECOND}"
    error = refused(board[1], [Passed(FIRST, "d"), Passed(SECOND, "n")])
    assert (error.reason, error.finding.rule) == ("EINVAL", "VM-SHARED-DMA")
    assert error.finding.found == f"it shares one with {SECOND}"
    board[1].start("a", MEMORY, passed(FIRST, SECOND))
    assert reach(board, FIRST) == reach(board, SECOND) == GIVEN


def test_faults_are_reported_of_the_vm_where_devices_cannot_be_told_apart(board: tuple[Machine, Hypervisor]) -> None:
    """An incident of a shared ID names all who share it, and one VM."""
    vm = board[1].start("a", MEMORY, passed(FIRST, SECOND))
    manager = board[1].manager
    unit = board[0].models["vtd@fed90000"]
    assert manager is not None
    assert isinstance(unit, RemappingUnit)
    unit.translate(0x30, 0x5000)
    (incident,) = manager.poll()
    assert incident.devices == (FIRST, SECOND)
    assert board[1].machine_of(incident) is vm
    unit.translate(0x18, 0x5000)
    assert board[1].machine_of(manager.poll()[0]) is None


def test_a_device_goes_to_one_vm_only(board: tuple[Machine, Hypervisor]) -> None:
    """Not to two VMs, nor twice to one, nor while a client of the host has it."""
    board[1].start("a", MEMORY, passed(DISK))
    other = [Ram(GUEST, 0x200000000, GRANULE)]
    assert refused(board[1], passed(DISK), other).finding.rule == "VM-PASSED"
    assert refused(board[1], passed(OTHER, OTHER), other).finding.rule == "VM-DEVICE-TWICE"
    manager = board[1].manager
    assert manager is not None
    client = manager.attach("driver")
    manager.add_device(client, manager.create_object(client), OTHER)
    assert refused(board[1], passed(OTHER), other, unity=False).finding.rule == "MANAGER-OWNED"
    with pytest.raises(ManagerError, match="a VM of this name runs"):
        board[1].start("a", other, [])


def test_hosts_protect_vms_from_each_other(board: tuple[Machine, Hypervisor]) -> None:
    """At the same guest-physical addresses the devices of two VMs reach each their own memory, and no other."""
    board[1].start("a", MEMORY, passed(DISK))
    board[1].start("b", [Ram(GUEST, HOST + 2 * GRANULE, GRANULE)], passed(OTHER))
    assert reach(board, DISK) == GIVEN
    assert reach(board, OTHER) == {GUEST: (HOST + 2 * GRANULE, RW)}
    board[1].end("a")
    assert (reach(board, DISK), reach(board, OTHER)) == ({}, {GUEST: (HOST + 2 * GRANULE, RW)})


def test_grants_that_come_after_start_hold_at_once(board: tuple[Machine, Hypervisor]) -> None:
    """Memory that the host gives a running VM is reached, and what it takes away is not."""
    vm = board[1].start("a", [], passed(DISK))
    assert reach(board, DISK) == {}
    vm.map(GUEST, HOST, 2 * GRANULE, RW)
    assert reach(board, DISK) == GIVEN
    vm.unmap(GUEST, GRANULE)
    assert reach(board, DISK) == {GUEST + GRANULE: (HOST + GRANULE, RW)}


def test_where_an_arm_board_cannot_tell_pci_functions_apart_isolation_and_reports_are_per_vm() -> None:
    """All functions behind a root complex have one stream: they go to one VM, and no fault is pinned on one of them."""

    def one_stream(builder: TopologyBuilder) -> None:
        builder.maps[:] = [IdMap("pci:0000", "smmuv3@fed90000", 0, 0x10000, 0x40, HERE, "test", single=True)]

    board = hosted(small(kind="smmuv3", build=one_stream))
    error = refused(board[1], passed(DISK))
    assert (error.reason, error.finding.found) == ("EBUSY", f"it shares one with {OTHER}")
    vm = board[1].start("a", MEMORY, passed(DISK, OTHER))
    assert reach(board, DISK) == reach(board, OTHER) == GIVEN
    model = board[0].models["smmuv3@fed90000"]
    assert isinstance(model, Model)
    assert board[1].manager is not None
    board[1].manager.poll()  # what asking for reach has left
    model.access(Transaction(0x40, 0x5000))
    (incident,) = board[1].manager.poll()
    assert incident.devices == (DISK, OTHER)
    assert str(incident).startswith(f"{DISK} or {OTHER} (ID 0x40 of smmuv3@fed90000): read of 0x5000 refused")
    assert board[1].machine_of(incident) is vm


def test_vtd_does_not_see_mmio_devices() -> None:
    """Such a device is passed through to no VM, but to one that is unity-mapped, and that is told."""
    board = hosted(small(Device("mem:e6ef0000", "mmio", HERE, base=0xE6EF0000)))
    error = refused(board[1], passed("mem:e6ef0000"))
    assert (error.reason, error.finding.rule) == ("ENOENT", "MANAGER-NO-UNIT")
    assert "no source names an IOMMU for it" in str(error)
    vm = board[1].start("u", [Ram(GUEST, GUEST, GRANULE)], passed("mem:e6ef0000"), unity=True)
    assert len(vm.problems) == 1


def test_vms_have_no_memory_in_common_unless_both_say_so(board: tuple[Machine, Hypervisor]) -> None:
    """Memory of another VM is refused; shared memory has to be said on both sides."""
    board[1].start("a", [Ram(GUEST, HOST, GRANULE), Ram(0, 0x300000000, GRANULE, shared=True)], passed(DISK))
    error = refused(board[1], passed(OTHER), [Ram(0, HOST - GRANULE, 2 * GRANULE, shared=True)])
    assert (error.reason, error.finding.rule, error.finding.found) == ("EPERM", "VM-MEMORY-TAKEN", f"0x{HOST:x}")
    assert refused(board[1], passed(OTHER), [Ram(0, 0x300000000, GRANULE)]).finding.rule == "VM-MEMORY-TAKEN"
    board[1].start("b", [Ram(0, 0x300000000, GRANULE, shared=True)], passed(OTHER))
    assert reach(board, OTHER) == {0: (0x300000000, RW)}


def test_memory_that_is_given_later_is_held_to_the_same_rules(board: tuple[Machine, Hypervisor]) -> None:
    """Whole pages, no other VM's, and where a unity-mapped VM says; what a VM gave back another may have."""
    hypervisor = board[1]
    hypervisor.start("a", MEMORY, passed(DISK))
    hypervisor.start("u", [], passed(OTHER), unity=True)
    for memory, rule in (
        (Ram(HOST, HOST, GRANULE), "VM-MEMORY-TAKEN"),
        (Ram(0, 0x1000, GRANULE), "VM-NOT-UNITY"),
        (Ram(0x1000, 0x1000, 100), "VM-MEMORY"),
        (Ram(0x1000, 0x1000, GRANULE, ""), "VM-MEMORY"),
        (Ram(0xFED90000, 0xFED90000, GRANULE), "MANAGER-PRIVATE"),
    ):
        with pytest.raises(ManagerError) as caught:
            hypervisor.give("u", memory)
        assert caught.value.finding.rule == rule
    assert reach(board, OTHER) == {}
    hypervisor.take("a", GUEST, GRANULE)
    hypervisor.give("u", Ram(HOST, HOST, GRANULE))
    assert reach(board, OTHER) == {HOST: (HOST, RW)}
    with pytest.raises(ManagerError, match="memory is VM u's as well"):
        hypervisor.give("a", Ram(GUEST, HOST, GRANULE))
    vm = hypervisor.machine("a")
    with pytest.raises(ManagerError, match="memory of a VM is whole pages"):
        vm.map(GUEST, HOST + 1, GRANULE, RW)
    with pytest.raises(ManagerError, match="memory of a VM is whole pages"):
        vm.unmap(GUEST + 1, GRANULE)
    assert reach(board, DISK) == {GUEST + GRANULE: (HOST + GRANULE, RW)}
    alone = Hypervisor(None)
    alone.start("u", [], passed(DISK), unity=True)
    alone.give("u", Ram(0, 0, GRANULE, shared=True))
    alone.start("v", [Ram(0, 0, GRANULE, shared=True)], [])
    alone.take("u", 0, GRANULE)


def test_no_vm_is_given_the_memory_of_the_manager(board: tuple[Machine, Hypervisor]) -> None:
    """Registers of a unit are refused, and nothing stays mapped."""
    error = refused(board[1], passed(DISK), [*MEMORY, Ram(0, 0xFED90000, GRANULE)])
    assert (error.reason, error.finding.rule) == ("EPERM", "MANAGER-PRIVATE")
    assert reach(board, DISK) == {}


@pytest.mark.parametrize(
    ("memory", "rule"),
    [
        ([Ram(1, 0, GRANULE)], "VM-MEMORY"),
        ([Ram(0, 8, GRANULE)], "VM-MEMORY"),
        ([Ram(0, 0, 100)], "VM-MEMORY"),
        ([Ram(0, 0, 0)], "VM-MEMORY"),
        ([Ram(-GRANULE, 0, GRANULE)], "VM-MEMORY"),
        ([Ram(0, (1 << 64) - GRANULE, 2 * GRANULE)], "VM-MEMORY"),
        ([Ram(0, 0, GRANULE, "q")], "VM-MEMORY"),
        ([Ram(0, 0, 2 * GRANULE), Ram(GRANULE, 0x9000, GRANULE)], "VM-MEMORY"),
        ([Ram(1 << 50, 0x9000, GRANULE)], "VTD-MAPPING"),
    ],
)
def test_memory_without_sense_is_refused(board: tuple[Machine, Hypervisor], memory: list[Ram], rule: str) -> None:
    """Memory is whole pages, within 64 bits and what units take, once, and good for something."""
    error = refused(board[1], passed(DISK), memory)
    assert error.reason == "EINVAL"
    assert error.finding.rule == rule


def test_the_guest_sees_its_devices_where_it_is_told(board: tuple[Machine, Hypervisor]) -> None:
    """Places are given in decimal or as addresses, on bus 0; devices without one get the next that is free."""
    vm = board[1].start("a", MEMORY, [Passed(DISK, "d", "0:18.1"), Passed(OTHER, "d"), Passed("0000:41:00.0", "d")])
    assert vm.names == {DISK: "0000:00:12.1", OTHER: "0000:00:01.0", "0000:41:00.0": "0000:00:02.0"}
    board[1].end("a")
    for place, rule in (
        ("1:2.0", "VM-GUEST-BUS"),
        ("0000:01:02.0", "VM-GUEST-BUS"),
        ("0:99.0", "VM-GUEST-PLACE"),
        ("somewhere", "VM-GUEST-PLACE"),
    ):
        assert refused(board[1], [Passed(DISK, "d", place)]).finding.rule == rule
    error = refused(board[1], [Passed(DISK, "d", "0:1.0"), Passed(OTHER, "d", "0000:00:01.0")])
    assert error.finding.rule == "VM-GUEST-TWICE"
    many = [Passed(f"0000:00:{slot:02x}.{function}", "n") for slot in range(32) for function in range(8)]
    assert len(set(Hypervisor(None).start("a", [], many[:255]).names.values())) == 255
    assert refused(Hypervisor(None), many, []).finding.rule == "VM-GUEST-TWICE"


@pytest.mark.parametrize("clean", [True, False])
def test_the_end_of_a_vm_denies_its_devices(board: tuple[Machine, Hypervisor], clean: bool) -> None:
    """Ended or dead, its devices reach nothing and are free for another."""
    vm = board[1].start("a", MEMORY, passed(DISK))
    if clean:
        board[1].end("a")
    else:
        vm.end()
    assert reach(board, DISK) == {}
    with pytest.raises(ManagerError, match="the VM has ended"):
        vm.map(GUEST, HOST, GRANULE, RW)
    with pytest.raises(ManagerError, match="no such VM runs"):
        board[1].end("a")
    board[1].start("a", MEMORY, passed(DISK))
    assert reach(board, DISK) == GIVEN


def test_a_device_that_is_withdrawn_reaches_nothing_and_is_free(board: tuple[Machine, Hypervisor]) -> None:
    """With it goes what cannot be told from it, and another VM may have them."""
    vm = board[1].start("a", MEMORY, passed(DISK, FIRST, SECOND))
    assert vm.withdraw(SECOND) == (FIRST, SECOND)
    assert (reach(board, FIRST), reach(board, DISK)) == ({}, GIVEN)
    with pytest.raises(ManagerError, match="VM a has no such device"):
        vm.withdraw(FIRST)
    board[1].start("b", [Ram(0, 0x300000000, GRANULE)], passed(FIRST, SECOND))
    assert reach(board, SECOND) == {0: (0x300000000, RW)}


# --- reserved memory and grants from start


def reserving(builder: TopologyBuilder) -> None:
    """Let a device keep a page of the firmware's."""
    builder.reserved.append(ReservedRegion("rmrr", 0x80000000, GRANULE, HERE, "direct", devices=(DISK,)))


def test_reserved_memory_is_the_vms_to_map_or_the_device_is_refused() -> None:
    """A VM is never given reserved memory that nobody granted it; with that memory, the guest's manager keeps it."""
    board = hosted(small(build=reserving))
    for wrong in ([], [Ram(0x80000000, HOST + 0x8000, GRANULE)], [Ram(0x80000000, 0x80000000, GRANULE, "r")]):
        error = refused(board[1], passed(DISK), [*MEMORY, *wrong])
        assert (error.reason, error.finding.rule) == ("EPERM", "VM-RESERVED")
        assert error.finding.found == "0x80000000-0x80000fff"
    kept = {0x80000000: (0x80000000, RW)}
    vm = board[1].start("a", [*MEMORY, Ram(0x80000000, 0x80000000, GRANULE)], passed(DISK))
    assert reach(board, DISK) == GIVEN | kept
    guest = GuestManager(vm, Guest())
    client = guest.manager.attach("driver")
    assert reach(board, DISK) == {}
    guest.manager.add_device(client, guest.manager.create_object(client), vm.names[DISK])
    assert reach(board, DISK) == kept


def test_a_device_with_grants_from_start_goes_to_no_vm() -> None:
    """No guest could narrow what the configuration grants."""

    def granting(builder: TopologyBuilder) -> None:
        builder.grants.append(Grant("set", 0x1000, GRANULE, read=True, write=True, devices=(DISK,), origin=HERE))

    board = hosted(small(build=granting))
    for dma in ("d", "n"):
        error = refused(board[1], passed(DISK, dma=dma))
        assert (error.reason, error.finding.rule) == ("EPERM", "VM-STARTUP-GRANT")
    assert reach(board, DISK) == {0x1000: (0x1000, RW)}


def test_a_device_of_the_platform_is_passed_by_its_registers() -> None:
    """A device that is no PCI function keeps its name in the guest, or has the address that it is given there."""

    def platform(builder: TopologyBuilder) -> None:
        name = builder.device(Device("mem:e6ef0000", "mmio", HERE))
        builder.maps.append(IdMap(name, "smmuv3@fed90000", 0, 1, 0x40, HERE, "test", single=True))

    board = hosted(small(kind="smmuv3", build=platform))
    vm = board[1].start("a", MEMORY, passed("mem:e6ef0000"))
    guest = GuestManager(vm, Guest())
    client = guest.manager.attach("driver")
    number = guest.manager.create_object(client)
    guest.manager.map(client, number, GUEST, GRANULE, Access.READ)
    guest.manager.add_device(client, number, "mem:e6ef0000")
    assert reach(board, "mem:e6ef0000") == {GUEST: (HOST, Access.READ)}


# --- units that fail


class Failing:
    """A port whose `map` fails after a number of calls; `broken` for good, else once."""

    def __init__(self, port: Any, after: int, *, broken: bool) -> None:
        self.port, self.after, self.broken = port, after, broken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.port, name)

    def map(self, *arguments: Any) -> None:
        """Map, or fail."""
        self.after -= 1
        if self.after == -1 or (self.after < 0 and self.broken):
            raise failure("TEST", "the unit does not answer")
        self.port.map(*arguments)


@pytest.mark.parametrize("broken", [False, True])
def test_a_change_that_fails_leaves_the_vm_as_it_was_or_denied(broken: bool) -> None:
    """Half of the views with new memory and half with old is no state to stay in."""
    topology = small()
    machine = simulate(topology)
    port = Failing(machine.ports["vtd@fed90000"], 1 << 30, broken=broken)
    hypervisor = Hypervisor(Manager(topology, {"vtd@fed90000": port}, machine.private))
    board = machine, hypervisor
    vm = hypervisor.start("a", MEMORY, passed(DISK, OTHER))
    guest = GuestManager(vm, Guest())
    client = guest.manager.attach("driver")
    for device in (DISK, OTHER):
        number = guest.manager.create_object(client)
        guest.manager.map(client, number, GUEST, GRANULE, RW)
        guest.manager.add_device(client, number, vm.names[device])
    old = {GUEST: (HOST, RW)}
    assert reach(board, DISK) == reach(board, OTHER) == old
    port.after = 1
    with pytest.raises(ManagerError, match="the unit does not answer"):
        vm.map(GUEST, HOST + 0x10000, GRANULE, RW)
    assert reach(board, DISK) == reach(board, OTHER) == ({} if broken else old)
    assert vm.alive is not broken
    port.after = 1 << 30
    if not broken:
        vm.unmap(GUEST, GRANULE)
        assert reach(board, DISK) == reach(board, OTHER) == {}


def test_a_guests_manager_that_is_not_safe_to_start_leaves_its_devices_denied(
    board: tuple[Machine, Hypervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lets the virtual unit go, so that another may come."""
    vm = board[1].start("a", MEMORY, passed(DISK))
    damaged = small(build=lambda builder: builder.findings.append(Finding("X", "error", HERE, "wrong")))
    with monkeypatch.context() as patch:
        patch.setattr("iommuman.manager.guest.guest_topology", lambda _: damaged)
        with pytest.raises(ManagerError, match="it is not safe to start"):
            GuestManager(vm, Guest())
    assert reach(board, DISK) == {}
    GuestManager(vm, Guest())


def test_a_guest_whose_unit_fails_is_told(board: tuple[Machine, Hypervisor]) -> None:
    """What the host's manager refuses is to the guest a unit that refuses: the host's own reason, and no grant."""
    vm = board[1].start("a", MEMORY, passed(DISK))
    guest = GuestManager(vm, Guest())
    client = guest.manager.attach("driver", ("attach", "target"))
    number = guest.manager.create_object(client)
    guest.manager.add_device(client, number, vm.names[DISK])
    vm.end()
    with pytest.raises(ManagerError, match="the VM has ended"):
        guest.manager.map(client, number, GUEST, GRANULE, RW)
    guest.manager.unmap(client, number, GUEST, GRANULE)
    guest.stop()
    assert reach(board, DISK) == {}
