"""The manager's rules, one by one, on captured boards and on topologies made for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from iommuman.base import Finding, Origin
from iommuman.iommu import IommuError, PageAllocator
from iommuman.iommu.vtd.model import READ, WRITE, RemappingUnit
from iommuman.manager import GRANULE, Access, Endpoint, Incident, Machine, Manager, ManagerError, Segment, simulate
from iommuman.topology import Device, Grant, IdMap, Iommu, PciRoot, ReservedRegion, StreamRange, Topology, load_topology
from iommuman.topology.builder import TopologyBuilder

from tests.conftest import BOARDS
from tests.manager.watch import reached

HERE = Origin("here")
RW = Access.READ | Access.WRITE
DISK, OTHER = "0000:00:03.0", "0000:00:04.1"
FIRST, SECOND = "0000:02:01.0", "0000:02:02.0"
"""Two functions behind a conventional bridge, with its ID in common."""


def started(topology: Topology, *, degraded: bool = False) -> tuple[Machine, Manager]:
    """Return a simulated board and its manager."""
    machine = simulate(topology)
    return machine, Manager(topology, machine.ports, machine.private, degraded=degraded)


@pytest.fixture
def board() -> tuple[Machine, Manager]:
    """Return the captured VT-d board."""
    return started(load_topology([str(BOARDS / "q35-vtd")]))


def small(
    *devices: Device,
    kind: str = "vtd",
    build: Callable[[TopologyBuilder], None] = lambda _: None,
) -> Topology:
    """Return a topology of one unit that takes every requester ID as it is."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu(f"{kind}@fed90000", kind, HERE, 0xFED90000, segment=0))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", f"{kind}@fed90000", 0, 0x10000, 0, HERE, "test"))
    for device in devices or (Device(DISK, "pci", HERE, 0, 0x18), Device(OTHER, "pci", HERE, 0, 0x21)):
        builder.device(device)
    build(builder)
    return Topology(builder)


def refusal(error: pytest.ExceptionInfo[ManagerError]) -> tuple[str, str]:
    """Return the reason and rule of an error."""
    return error.value.reason, error.value.finding.rule


# --- start


def test_every_device_is_denied_at_start(board: tuple[Machine, Manager]) -> None:
    """Nothing is reachable by any device before a client grants it."""
    machine, manager = board
    for member in manager.survey.members.values():
        for place in member.endpoints:
            assert reached(machine, place, [0, 0x1000, 0x80000000]) == {}
    assert manager.survey.unrestricted == manager.survey.unknown == ()


def test_devices_behind_no_unit_are_listed() -> None:
    """A device that no unit stands before is named, with the reason."""
    _, manager = started(load_topology([str(BOARDS / "virt-bypass-acpi")]))
    assert manager.survey.unrestricted[1] == ("0000:81:00.0", "the maps lead to its:0, and to no IOMMU")


def test_a_unit_without_driver_stops_the_start() -> None:
    """What cannot be programmed is refused; a degraded start goes on, and lists what is open then."""
    topology = small(kind="ipmmu")
    with pytest.raises(ManagerError) as caught:
        started(topology)
    assert refusal(caught) == ("EINVAL", "MANAGER-UNSAFE")
    assert "no driver here programs units of kind ipmmu" in str(caught.value)
    _, manager = started(topology, degraded=True)
    assert manager.survey.unrestricted[0] == (DISK, "its unit ipmmu@fed90000 is not programmed")
    client = manager.attach("vm")
    with pytest.raises(ManagerError, match="no unit is known to control this device") as caught:
        manager.add_device(client, manager.create_object(client), DISK)
    assert refusal(caught) == ("ENOENT", "MANAGER-NO-UNIT")


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (None, "no source says where its registers are"),
        (1 << 52, "its registers at 0x10000000000000 lie beyond the physical addresses of the machine"),
    ],
)
def test_a_unit_whose_registers_cannot_be_reached_stops_the_start(base: int | None, reason: str) -> None:
    """There is a driver for it, and that is not what is said."""

    def move(builder: TopologyBuilder) -> None:
        builder.iommus[0] = replace(builder.iommus[0], base=base)

    with pytest.raises(ManagerError, match=reason) as caught:
        started(small(build=move))
    assert refusal(caught) == ("EINVAL", "MANAGER-UNSAFE")


def test_damaged_sources_stop_the_start() -> None:
    """An error in what firmware says is a reason not to start."""

    def damage(builder: TopologyBuilder) -> None:
        builder.findings.append(Finding("DMAR-X", "error", HERE, "something is wrong"))

    with pytest.raises(ManagerError, match="the sources are damaged: something is wrong \\(DMAR-X\\)"):
        started(small(build=damage))
    assert started(small(build=damage), degraded=True)[1].survey.members


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ignored_bits": 0x1FFF}, "it has 8192 IDs"),
        ({"ignored_bits": 1 << 16}, "its ID 0x40 is beyond those of its unit"),
        ({"length": 5000, "base": 0}, "it has 5000 IDs"),
        ({"output": 0x10000}, "its ID 0x10000 is beyond those of its unit"),
    ],
)
def test_ids_that_cannot_be_programmed_stop_the_start(change: dict[str, Any], reason: str) -> None:
    """A device whose IDs the unit cannot tell, or cannot take, is unknown."""

    def add(builder: TopologyBuilder) -> None:
        name = builder.device(Device("acpi:X", "acpi", HERE))
        values: dict[str, Any] = {"base": 0, "length": 1, "output": 0x40} | change
        single = values["length"] == 1
        builder.maps.append(IdMap(name, "vtd@fed90000", origin=HERE, rule="test", single=single, **values))

    with pytest.raises(ManagerError, match=reason):
        started(small(build=add))


def test_interrupt_sources_are_no_devices() -> None:
    """A performance monitor that only writes messages is neither member nor open."""
    _, manager = started(small(Device("pmcg@1000", "pmcg", HERE)))
    assert manager.survey.members == {}
    assert manager.survey.unrestricted == ()


# --- grants from start


def with_grants(*grants: Grant) -> Topology:
    """Return the small topology with grants of a configuration."""
    return small(build=lambda builder: builder.grants.extend(grants))


def test_the_configuration_grants_from_start() -> None:
    """An `allow` set is reachable without any client, with its permission, in whole pages; others stay denied."""
    machine, manager = started(
        with_grants(
            Grant("a", 0x80000000, 0x1000, read=True, write=False, devices=(DISK,), origin=HERE),
            Grant("a", 0x80000800, 0x1000, read=False, write=True, devices=(DISK,), origin=HERE),
        )
    )
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), range(0x7FFFF000, 0x80003000, GRANULE)) == {
        0x80000000: (0x80000000, RW),
        0x80001000: (0x80001000, Access.WRITE),
    }
    assert reached(machine, Endpoint("vtd@fed90000", 0x21), [0x80000000]) == {}
    assert manager.object_of(DISK) is not None


def test_a_client_adds_to_what_the_configuration_grants() -> None:
    """Mappings of the client come beside start-up grants; when the device is let go, these alone are left."""
    grant = Grant("a", 0x80000000, 0x1000, read=True, write=True, devices=(DISK,), origin=HERE)
    machine, manager = started(with_grants(grant))
    client = manager.attach("driver")
    number = manager.create_object(client)
    manager.map(client, number, 0x90000000, 0x1000, Access.READ)
    manager.add_device(client, number, DISK)
    place, pages = Endpoint("vtd@fed90000", 0x18), [0x80000000, 0x90000000]
    assert reached(machine, place, pages) == {
        0x80000000: (0x80000000, RW),
        0x90000000: (0x90000000, Access.READ),
    }
    manager.detach(client)
    assert reached(machine, place, pages) == {0x80000000: (0x80000000, RW)}
    manager.stop()
    assert reached(machine, place, pages) == {}


def test_devices_that_share_an_id_are_granted_the_same_from_start() -> None:
    """A configuration that grants one of two devices with one ID more than the other is refused."""
    grant = Grant("a", 0x80000000, 0x1000, read=True, write=True, devices=(FIRST,), origin=HERE)

    def add(builder: TopologyBuilder) -> None:
        builder.grants.append(grant)
        for name in (FIRST, SECOND):
            builder.device(Device(name, "acpi", HERE))
            builder.maps.append(IdMap(name, "vtd@fed90000", 0, 1, 0x30, HERE, "test", single=True))

    with pytest.raises(ManagerError, match=f"it shares an ID with {SECOND}"):
        started(small(build=add))


# --- objects and devices


def test_another_clients_device_is_busy_and_a_free_one_is_not(board: tuple[Machine, Manager]) -> None:
    """A device has one owner, who may move it between objects of its own."""
    machine, manager = board
    one, other = manager.attach("one"), manager.attach("other")
    first, second = manager.create_object(one), manager.create_object(one)
    manager.map(one, second, 0x80000000, 0x1000, RW)
    assert manager.add_device(one, first, DISK) is True
    with pytest.raises(ManagerError, match="the device belongs to client one") as caught:
        manager.add_device(other, manager.create_object(other), DISK)
    assert refusal(caught) == ("EBUSY", "MANAGER-OWNED")
    with pytest.raises(ManagerError) as caught:
        manager.remove_device(other, DISK)
    assert refusal(caught) == ("ENOENT", "MANAGER-NOT-OWNED")
    assert manager.add_device(one, second, DISK) is True
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x80000000]) == {0x80000000: (0x80000000, RW)}
    assert manager.add_device(one, second, OTHER) is False
    manager.remove_device(one, DISK)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x80000000]) == {}
    assert manager.object_of(DISK) is None


def test_devices_that_share_an_id_go_together(board: tuple[Machine, Manager]) -> None:
    """Alone they are refused with the list of who shares; together they are granted, and removed together."""
    _, manager = board
    client = manager.attach("vm")
    number = manager.create_object(client)
    with pytest.raises(ManagerError, match=f"it shares one with {SECOND}") as caught:
        manager.add_device(client, number, FIRST)
    assert refusal(caught) == ("EBUSY", "MANAGER-SHARED")
    manager.add_device(client, number, FIRST, together=True)
    assert manager.object_of(SECOND) is manager.object_of(FIRST)
    with pytest.raises(ManagerError) as caught:
        manager.remove_device(client, SECOND)
    assert refusal(caught) == ("EBUSY", "MANAGER-SHARED")
    manager.destroy_object(client, number)
    assert manager.object_of(FIRST) is manager.object_of(SECOND) is None


def test_bridges_and_strangers_have_no_unit(board: tuple[Machine, Manager]) -> None:
    """A bridge sends nothing of its own, and of a device that nobody names nothing is known."""
    _, manager = board
    client = manager.attach("vm")
    number = manager.create_object(client)
    with pytest.raises(ManagerError, match="it is a bridge"):
        manager.add_device(client, number, "0000:00:06.0")
    with pytest.raises(ManagerError, match="no source names it"):
        manager.add_device(client, number, "0000:00:1e.0")


def test_requests_in_the_name_of_others_are_refused(board: tuple[Machine, Manager]) -> None:
    """Objects of other clients, clients that are gone, and abilities that a client lacks."""
    _, manager = board
    one, other = manager.attach("one", ["attach"]), manager.attach("other", [])
    number = manager.create_object(one)
    for request in (
        lambda: manager.destroy_object(other, number),
        lambda: manager.map(other, number, 0, 0x1000, RW),
        lambda: manager.destroy_object(one, 99),
        lambda: manager.destroy_object(99, number),
    ):
        with pytest.raises(ManagerError) as caught:
            request()
        assert caught.value.reason == "EINVAL"
    with pytest.raises(ManagerError) as caught:
        manager.create_object(other)
    assert refusal(caught) == ("EACCES", "MANAGER-ABILITY")
    with pytest.raises(ManagerError) as caught:
        manager.map(one, number, 0, 0x1000, RW, target=0x5000)
    assert refusal(caught) == ("EACCES", "MANAGER-ABILITY")
    assert manager.client_name(one) == "one"


# --- memory


def test_ranges_are_rounded_to_pages_and_it_is_said(board: tuple[Machine, Manager]) -> None:
    """The start goes down and the end up to 4 KiB, and what that grants beyond the request is reported."""
    _, manager = board
    client = manager.attach("vm", ["attach", "target"])
    number = manager.create_object(client)
    granted = manager.map(client, number, 0x80000010, 1, Access.READ)
    assert (granted.start, granted.length) == (0x80000000, 0x1000)
    assert granted.beyond == ((0x80000000, 0x10), (0x80000011, 0xFEF))
    granted = manager.map(client, number, 0x1010, 0x1000, RW, target=0x40000010)
    assert (granted.start, granted.length) == (0x1000, 0x2000)
    assert manager.map(client, number, 0x80000000, 0x2000, RW).beyond == ()
    assert manager.unmap(client, number, 0x80000FFF, 2).length == 0x2000


@pytest.mark.parametrize(
    ("start", "length", "access", "target"),
    [
        (-1, 0x1000, RW, None),
        (0, 0, RW, None),
        ((1 << 64) - 1, 2, RW, None),
        (0, 0x1000, Access.NONE, None),
        (0, 0x1000, RW, 0x10),
        (0x1000, 0x1000, RW, -0x1000),
    ],
)
def test_requests_without_sense_are_refused(
    board: tuple[Machine, Manager], start: int, length: int, access: Access, target: int | None
) -> None:
    """Ranges that cannot be, no permission, and targets with another page offset."""
    _, manager = board
    client = manager.attach("vm", ["attach", "target"])
    number = manager.create_object(client)
    with pytest.raises(ManagerError) as caught:
        manager.map(client, number, start, length, access, target=target)
    assert refusal(caught) == ("EINVAL", "MANAGER-REQUEST")


def test_the_managers_own_memory_is_never_granted(board: tuple[Machine, Manager]) -> None:
    """Tables and registers cannot be mapped, one to one or as a target: who writes them decides what devices reach."""
    machine, manager = board
    client = manager.attach("vm", ["attach", "target"])
    number = manager.create_object(client)
    for start, length in machine.private:
        for low in (start - 0x1000, start, start + length - 0x1000):
            with pytest.raises(ManagerError) as caught:
                manager.map(client, number, 0x1000, 0x2000, RW, target=low)
            assert refusal(caught) == ("EPERM", "MANAGER-PRIVATE")
    with pytest.raises(ManagerError):
        manager.map(client, number, 0, 1 << 48, RW)


def test_addresses_beyond_the_unit_are_refused(board: tuple[Machine, Manager]) -> None:
    """A device address that the unit of a device does not take is refused, and so is what no driver maps."""
    _, manager = board
    client = manager.attach("vm", ["attach", "target"])
    number = manager.create_object(client)
    manager.add_device(client, number, DISK)
    with pytest.raises(ManagerError, match="more than the 48 bits"):
        manager.map(client, number, 1 << 48, 0x1000, RW, target=0)
    with pytest.raises(ManagerError, match="are interrupts, not memory") as caught:
        manager.map(client, number, 0xFEE00000, 0x1000, RW)
    assert caught.value.reason == "EINVAL"


def test_vtd_grants_reading_with_execution_and_says_so(board: tuple[Machine, Manager]) -> None:
    """A unit that cannot tell execute from read grants reading, and the answer says that it is more than was asked."""
    machine, manager = board
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.add_device(client, number, DISK)
    assert manager.map(client, number, 0x80000000, 0x1000, Access.EXEC).widened == Access.READ
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x80000000]) == {0x80000000: (0x80000000, Access.READ)}


def with_reserved() -> Topology:
    """Return the small topology with a region that the disk must keep."""
    region = ReservedRegion("rmrr", 0x7B000000, 0x1800, HERE, "direct", None, (DISK,))
    return small(build=lambda builder: builder.reserved.append(region))


def test_reserved_memory_comes_and_goes_with_its_device() -> None:
    """A device that a client adds keeps its reserved regions; no other device of the object reaches them."""
    machine, manager = started(with_reserved())
    disk, other = Endpoint("vtd@fed90000", 0x18), Endpoint("vtd@fed90000", 0x21)
    pages = [0x7B000000, 0x7B001000, 0x7B002000]
    assert reached(machine, disk, pages) == {}
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, RW)
    manager.add_device(client, number, DISK)
    manager.add_device(client, number, OTHER)
    assert reached(machine, disk, pages) == {page: (page, RW) for page in pages[:2]}
    assert reached(machine, other, [*pages, 0x80000000]) == {0x80000000: (0x80000000, RW)}
    place = manager.object_of(DISK)
    assert place is not None
    assert list(place.granted(manager.survey.members[DISK])) == [
        Segment(0x7B000000, 0x2000, 0x7B000000, RW),
        Segment(0x80000000, 0x1000, 0x80000000, RW),
    ]
    manager.remove_device(client, DISK)
    assert reached(machine, disk, pages) == {}
    assert reached(machine, other, [0x80000000]) == {0x80000000: (0x80000000, RW)}


def test_a_client_may_map_reserved_memory_itself() -> None:
    """With manual reserved regions nothing is mapped that the client does not map."""
    machine, manager = started(with_reserved())
    client = manager.attach("vm")
    number = manager.create_object(client, manual_reserved=True)
    manager.add_device(client, number, DISK)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x7B000000]) == {}


def test_a_mapping_may_not_take_the_place_of_reserved_memory() -> None:
    """A device address means one place: the contradiction is refused, before and after the device comes."""
    machine, manager = started(with_reserved())
    client = manager.attach("vm", ["attach", "target"])
    number = manager.create_object(client)
    manager.add_device(client, number, DISK)
    with pytest.raises(ManagerError) as caught:
        manager.map(client, number, 0x7B001000, 0x1000, RW, target=0x1000)
    assert refusal(caught) == ("EINVAL", "MANAGER-CONFLICT")
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x7B001000]) == {0x7B001000: (0x7B001000, RW)}
    second = manager.create_object(client)
    manager.map(client, second, 0x7B001000, 0x1000, RW, target=0x1000)
    with pytest.raises(ManagerError) as caught:
        manager.add_device(client, second, DISK)
    assert refusal(caught) == ("EINVAL", "MANAGER-CONFLICT")
    assert manager.object_of(DISK) is not None
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x7B001000]) == {0x7B001000: (0x7B001000, RW)}


def test_permissions_add_up_where_reserved_memory_is_mapped_as_well() -> None:
    """Reserved memory that the client maps for reading only stays writable for the device that needs it."""
    machine, manager = started(with_reserved())
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.add_device(client, number, DISK)
    manager.map(client, number, 0x7B000000, 0x1000, Access.READ)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x7B000000]) == {0x7B000000: (0x7B000000, RW)}


def test_reserved_memory_by_stream_and_elsewhere() -> None:
    """A region may name an ID at a unit, and may lie at another physical address."""

    def add(builder: TopologyBuilder) -> None:
        streams = (StreamRange("vtd@fed90000", 0x10, 0x10),)
        builder.reserved += [
            ReservedRegion("rmr", 0x7B000000, 0x1000, HERE, "direct", streams=streams),
            ReservedRegion("reserved-memory", 0x10000000, 0x1000, HERE, "mapped", 0x50000000, (DISK,)),
            ReservedRegion("reserved-memory", 0x20000000, 0x1000, HERE, "avoid", None, (DISK,)),
        ]

    machine, manager = started(small(build=add))
    client = manager.attach("vm")
    manager.add_device(client, manager.create_object(client), DISK)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x7B000000, 0x10000000, 0x20000000]) == {
        0x7B000000: (0x7B000000, RW),
        0x10000000: (0x50000000, RW),
    }


# --- incidents


def read_by(machine: Machine, source: int, address: int, access: int = READ) -> None:
    """Let a device make one access."""
    unit = machine.models["vtd@fed90000"]
    assert isinstance(unit, RemappingUnit)
    unit.translate(source, address, access)


def test_watchers_are_told_once_and_keep_being_given_records(board: tuple[Machine, Manager]) -> None:
    """No history before the first watch; one notice for each; records are kept in order until they are read."""
    machine, manager = board
    told: list[str] = []
    logged: list[Incident] = []
    manager.sinks.append(logged.append)
    watcher, deaf = manager.attach("watcher", []), manager.attach("deaf")
    read_by(machine, 0x18, 0x1000)
    (unwatched,) = manager.poll()
    assert str(unwatched).startswith("0000:00:03.0 (ID 0x18 of vtd@fed90000): read of 0x1000 refused: ")
    assert str(unwatched).endswith("(LRT.2)")
    assert manager.read_incident(watcher) is None
    manager.watch(watcher, lambda: told.append("told"))
    read_by(machine, 0x20, 0x2000, WRITE)
    manager.poll()
    read_by(machine, 0x21, 0x3000)
    manager.poll()
    assert told == ["told"]
    first, second = manager.read_incident(watcher), manager.read_incident(watcher)
    assert first is not None
    assert second is not None
    assert (first.devices, first.refusal.access, first.refusal.address) == (("0000:00:04.0",), "write", 0x2000)
    assert second.devices == (OTHER,)
    assert manager.read_incident(watcher) is None
    assert manager.read_incident(deaf) is None
    assert len(logged) == 3


def test_a_notice_comes_at_once_when_records_are_kept(board: tuple[Machine, Manager]) -> None:
    """Who asks to be told while records wait is told at once."""
    machine, manager = board
    told: list[str] = []
    watcher = manager.attach("watcher", [])
    manager.watch(watcher, lambda: told.append("first"))
    read_by(machine, 0x18, 0x1000)
    manager.poll()
    manager.watch(watcher, lambda: told.append("second"))
    assert told == ["first", "second"]


def test_64_records_are_kept_and_the_next_read_says_that_more_were_lost(board: tuple[Machine, Manager]) -> None:
    """New records are dropped when the list is full; the next one read has the flag, and only that."""
    machine, manager = board
    watcher = manager.attach("watcher", [])
    manager.watch(watcher, lambda: None)
    for page in range(70):
        read_by(machine, 0x18, page << 12)
        manager.poll()
    found = []
    while (one := manager.read_incident(watcher)) is not None:
        found.append(one)
    assert [one.refusal.address for one in found] == [page << 12 for page in range(64)]
    assert [one.dropped for one in found] == [True, *[False] * 63]


def test_faults_lost_by_the_unit_are_told_to_watchers(board: tuple[Machine, Manager]) -> None:
    """When the unit's own registers overflow, the next record says that some were lost."""
    machine, manager = board
    watcher = manager.attach("watcher", [])
    manager.watch(watcher, lambda: None)
    for source in range(0x100, 0x120):
        read_by(machine, source, 0x1000)
    manager.poll()
    first = manager.read_incident(watcher)
    assert first is not None
    assert first.dropped
    assert first.devices == ("0000:01:00.0",)
    read_by(machine, 0xFFFF, 0x1000)
    found = manager.poll()
    assert str(found[0]).startswith("a device that nobody knows (ID 0xffff of vtd@fed90000)")


def test_a_group_is_not_pinned_on_one_of_its_members(board: tuple[Machine, Manager]) -> None:
    """A fault of a shared ID names everybody who has it, and the object that they are in."""
    machine, manager = board
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.add_device(client, number, FIRST, together=True)
    read_by(machine, 0x30, 0x1000)
    (incident,) = manager.poll()
    assert (incident.devices, incident.object) == ((FIRST, SECOND), number)
    assert str(incident).startswith("0000:02:01.0 or 0000:02:02.0 (ID 0x30")


# --- when units fail


class Failing:
    """Makes one method of a port fail from its n-th call on, once or for ever."""

    def __init__(self, port: Any, method: str, *, after: int = 0, times: int = 1, rule: str = "TEST") -> None:
        """Wrap the method."""
        self.real, self.after, self.times, self.rule = getattr(port, method), after, times, rule
        setattr(port, method, self)

    def __call__(self, *arguments: Any) -> Any:
        """Fail, or do what is asked."""
        if self.after:
            self.after -= 1
        elif self.times:
            self.times -= 1
            raise IommuError(Finding(self.rule, "error", Origin("", "unit"), "the unit failed"))
        return self.real(*arguments)


def two_objects() -> tuple[Machine, Manager, int, int]:
    """Return a board where the disk is in an object that maps one page."""
    machine, manager = started(with_reserved())
    client = manager.attach("vm", ["attach", "target"])
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, RW)
    manager.add_device(client, number, DISK)
    manager.add_device(client, number, OTHER)
    return machine, manager, client, number


def test_a_mapping_that_fails_half_way_leaves_everything_as_it_was() -> None:
    """When the second address space of an object cannot be changed, the first goes back too."""
    machine, manager, client, number = two_objects()
    Failing(manager.ports["vtd@fed90000"], "map", after=1)
    with pytest.raises(ManagerError, match="the unit failed"):
        manager.map(client, number, 0x80000000, 0x3000, Access.READ)
    for identifier in (0x18, 0x21):
        assert reached(machine, Endpoint("vtd@fed90000", identifier), range(0x80000000, 0x80003000, 0x1000)) == {
            0x80000000: (0x80000000, RW)
        }


def test_devices_are_denied_when_nothing_can_be_put_back() -> None:
    """When even the way back fails, the devices of that address space reach nothing."""
    machine, manager, client, number = two_objects()
    Failing(manager.ports["vtd@fed90000"], "map", times=100)
    with pytest.raises(ManagerError, match="the unit failed"):
        manager.map(client, number, 0x80000000, 0x3000, Access.READ)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), range(0x80000000, 0x80003000, 0x1000)) == {}


def test_an_unmapping_that_fails_half_way_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no memory for the second split, what the driver has cleared before is mapped again."""
    machine, manager, client, number = two_objects()
    manager.map(client, number, 0x90000000, 0x600000, RW)
    allocate, calls = PageAllocator.allocate, []

    def second_fails(pages: PageAllocator, *arguments: int) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise IommuError(Finding("MEMORY-EXHAUSTED", "error", Origin("", "unit"), "no page is free"))
        return allocate(pages, *arguments)

    monkeypatch.setattr(PageAllocator, "allocate", second_fails)
    with pytest.raises(ManagerError, match="no page is free"):
        manager.unmap(client, number, 0x90001000, 0x5FE000)
    pages = range(0x90000000, 0x90600000, 0x1000)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), pages) == {page: (page, RW) for page in pages}


def test_devices_are_denied_when_half_a_mapping_cannot_be_taken_back() -> None:
    """When a mapping fails half way, and what is there of it cannot be taken away, its devices reach nothing."""
    machine, manager, client, number = two_objects()
    port: Any = manager.ports["vtd@fed90000"]
    whole = port.map

    def half(space: Any, segment: Segment) -> None:
        whole(space, segment.part(segment.start, segment.start + 0x1000))
        raise IommuError(Finding("TEST", "error", Origin("", "unit"), "the unit failed"))

    port.map = half
    Failing(port, "unmap")
    with pytest.raises(ManagerError, match="the unit failed"):
        manager.map(client, number, 0x90000000, 0x2000, RW)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x80000000, 0x90000000]) == {}


@pytest.mark.parametrize(("method", "reason"), [("create", "ENOSPC"), ("map", "EINVAL"), ("attach", "EIO")])
def test_a_device_that_cannot_be_attached_reaches_nothing(method: str, reason: str) -> None:
    """A unit that fails while a device is added leaves the device without any memory."""
    machine, manager = started(with_reserved())
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, RW)
    Failing(manager.ports["vtd@fed90000"], method)
    with pytest.raises(ManagerError) as caught:
        manager.add_device(client, number, DISK)
    assert caught.value.reason == reason
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x80000000, 0x7B000000]) == {}
    manager.add_device(client, number, DISK)
    assert reached(machine, Endpoint("vtd@fed90000", 0x18), [0x80000000]) == {0x80000000: (0x80000000, RW)}


def test_a_device_that_cannot_be_blocked_is_an_error() -> None:
    """A unit that does not take the order to deny is not passed over in silence."""
    _, manager, client, _ = two_objects()
    Failing(manager.ports["vtd@fed90000"], "block")
    with pytest.raises(ManagerError) as caught:
        manager.remove_device(client, DISK)
    assert caught.value.reason == "EIO"


def test_table_memory_that_runs_out_is_said() -> None:
    """When there is no memory for tables, the error is of space."""
    _, manager, client, number = two_objects()
    Failing(manager.ports["vtd@fed90000"], "map", rule="MEMORY-EXHAUSTED")
    with pytest.raises(ManagerError) as caught:
        manager.map(client, number, 0x90000000, 0x1000, RW)
    assert refusal(caught) == ("ENOSPC", "MEMORY-EXHAUSTED")


def test_devices_of_one_group_are_one_clients(board: tuple[Machine, Manager]) -> None:
    """Functions without ACS may reach each other past the unit: while a client has one, nobody else gets another."""
    _, manager = board
    first, second = manager.attach("first"), manager.attach("second")
    assert manager.survey.members["0000:00:04.0"].partners == ("0000:00:04.1",)
    number, other = manager.create_object(first), manager.create_object(second)
    manager.add_device(first, number, "0000:00:04.0")
    with pytest.raises(ManagerError) as caught:
        manager.add_device(second, other, "0000:00:04.1")
    assert (caught.value.reason, caught.value.finding.rule) == ("EBUSY", "MANAGER-GROUP")
    assert caught.value.finding.message == "0000:00:04.0 of the same isolation group belongs to client first"
    manager.add_device(first, manager.create_object(first), "0000:00:04.1")
    manager.remove_device(first, "0000:00:04.1")
    manager.remove_device(first, "0000:00:04.0")
    manager.add_device(second, other, "0000:00:04.1")


def test_those_that_share_an_id_are_no_partners_as_well(board: tuple[Machine, Manager]) -> None:
    """They can only be granted together, which says more."""
    _, manager = board
    member = manager.survey.members["0000:02:01.0"]
    assert (member.sharers, member.partners) == (("0000:02:02.0",), ())
