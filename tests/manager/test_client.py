"""The client API: each rule of libsmmu, embedded and on the service."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from iommuman.iommu import IommuError
from iommuman.iommu.errors import failure
from iommuman.manager import (
    ANY,
    Ability,
    Access,
    Client,
    Granted,
    Incident,
    Manager,
    MmioId,
    NamedId,
    PciId,
    Segment,
    Verdict,
    simulate,
)
from iommuman.manager.calls import Added, Attached, Call, Result
from iommuman.manager.session import Limits, page_count
from iommuman.topology import load_topology

from tests.conftest import BOARDS
from tests.manager.serving import BASE, NVME, RW, SCSI, SHARED, SHARING, Serving, refused, topology, until
from tests.manager.watch import reached

Connect = Callable[..., Client]


class Board:
    """A board with its clients, embedded or on the service."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        self.serving = Serving(folder, name) if kind == "service" else None
        self.machine = self.serving.machine if self.serving else simulate(topology(name))
        self.manager = self.serving.manager if self.serving else Manager(
            topology(name), self.machine.ports, self.machine.private
        )  # fmt: skip
        self.made: list[Client] = []

    def client(self, name: str = "driver", *abilities: Ability) -> Client:
        """Return a client with these abilities besides attach."""
        everything: tuple[Ability, ...] = ("attach", *abilities)
        if self.serving is not None:
            made = Client.connect(self.serving.path, name, everything)
        else:
            made = Client.embedded(self.manager, name, everything, machine=self.machine)
        self.made.append(made)
        return made

    def reach(self, device: str, *pages: int) -> dict[int, tuple[int, Access]]:
        """Return what a device reaches at some pages, by the models."""
        if self.serving is not None:
            return self.serving.reach(device, pages)
        return reached(self.machine, self.manager.survey.members[device].endpoints[0], pages)

    def stop(self) -> None:
        """End everything."""
        for one in self.made:
            one.close()
        if self.serving is not None:
            self.serving.stop()


@pytest.fixture(params=["embedded", "service"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Board]]:
    """Return a function that makes a board of either kind."""
    made: list[Board] = []

    def board(name: str = "q35-vtd") -> Board:
        made.append(Board(request.param, name, tmp_path))
        return made[-1]

    yield board
    for one in made:
        one.stop()


@pytest.fixture
def board(make: Callable[..., Board]) -> Board:
    """Return the PC with VT-d."""
    return make()


def test_an_object_grants_its_devices_its_mappings_at_once_and_later_ones_too(board: Board) -> None:
    """smmu_obj_create: changes of mappings apply to all devices of the object, and to those added later."""
    client = board.client()
    number = client.create_object()
    assert client.map(number, [(BASE, 0x1000)], RW) == (Granted(BASE, 0x1000),)
    client.add_device(number, SCSI)
    assert board.reach(SCSI, BASE) == {BASE: (BASE, RW)}
    client.map(number, [(BASE + 0x1000, 0x1000)], Access.READ)
    client.add_device(number, NVME)
    for name in (SCSI, NVME):
        expected = {BASE: (BASE, RW), BASE + 0x1000: (BASE + 0x1000, Access.READ)}
        assert board.reach(name, BASE - 0x1000, BASE, BASE + 0x1000, BASE + 0x2000) == expected


def test_different_permissions_need_different_objects(board: Board) -> None:
    """smmu_obj_create: all devices of an object share its permissions; those of another object are its own."""
    client = board.client()
    reads, writes = client.create_object(), client.create_object()
    client.add_device(reads, SCSI)
    client.add_device(writes, NVME)
    client.map(reads, [(BASE, 0x1000)], Access.READ)
    client.map(writes, [(BASE, 0x1000)], Access.WRITE)
    assert board.reach(SCSI, BASE) == {BASE: (BASE, Access.READ)}
    assert board.reach(NVME, BASE) == {BASE: (BASE, Access.WRITE)}


def test_a_destroyed_object_leaves_its_devices_denied(board: Board) -> None:
    """smmu_obj_destroy: its devices reach nothing, and its number is no object any more."""
    client = board.client()
    number = client.create_object()
    client.map(number, [(BASE, 0x1000)], RW)
    client.add_device(number, SCSI)
    client.destroy_object(number)
    assert board.reach(SCSI, BASE) == {}
    assert refused(client.destroy_object, number).reason == "EINVAL"


def test_smmu_fini_takes_everything_back(board: Board) -> None:
    """smmu_fini: what the client had is denied and free for others; the client is of no use any more."""
    client = board.client()
    number = client.create_object()
    client.map(number, [(BASE, 0x1000)], RW)
    client.add_device(number, SCSI)
    client.close()
    other = board.client("other")
    until(lambda: board.reach(SCSI, BASE) == {})
    other.add_device(other.create_object(), SCSI)
    assert refused(client.create_object).reason == "ENOTCONN"


def test_a_device_has_one_owner(board: Board) -> None:
    """smmu_device_add: EBUSY when the device belongs to another client, with libsmmu's errno; nothing changes."""
    first, second = board.client("first"), board.client("second")
    number = first.create_object()
    first.map(number, [(BASE, 0x1000)], RW)
    first.add_device(number, SCSI)
    error = refused(second.add_device, second.create_object(), SCSI)
    assert (error.reason, error.errno) == ("EBUSY", errno.EBUSY)
    assert "client first" in str(error)
    assert board.reach(SCSI, BASE) == {BASE: (BASE, RW)}


def test_a_client_moves_its_device_between_its_objects(board: Board) -> None:
    """smmu_device_add: the same client may move a device; it has the new object's mappings and not the old one's."""
    client = board.client()
    before, after = client.create_object(), client.create_object()
    client.map(before, [(BASE, 0x1000)], RW)
    client.map(after, [(BASE + 0x1000, 0x1000)], RW)
    client.add_device(before, SCSI)
    client.add_device(after, SCSI)
    assert board.reach(SCSI, BASE, BASE + 0x1000) == {BASE + 0x1000: (BASE + 0x1000, RW)}


def test_adding_to_no_object_removes(board: Board) -> None:
    """smmu_device_add with sop NULL: the device is denied; ENOENT when the caller does not own it."""
    client, other = board.client("owner"), board.client("other")
    number = client.create_object()
    client.map(number, [(BASE, 0x1000)], RW)
    client.add_device(number, SCSI)
    assert refused(other.remove_device, SCSI).reason == "ENOENT"
    assert client.remove_device(SCSI) == Added((SCSI,))
    assert board.reach(SCSI, BASE) == {}
    error = refused(client.remove_device, SCSI)
    assert (error.reason, error.errno) == ("ENOENT", errno.ENOENT)


def test_a_device_that_no_unit_is_known_to_control_is_enoent(board: Board) -> None:
    """smmu_device_add: ENOENT when the service does not know which unit controls the device, by whatever name."""
    client = board.client()
    number = client.create_object()
    for device in ("0000:77:00.0", PciId(0x77, 0, 0), "/soc/usb", PciId(0x77), MmioId(0xFE000000, 4096), "\\_SB.X"):
        assert refused(client.add_device, number, device).reason == "ENOENT"
    assert "bridge" in str(refused(client.add_device, number, "0000:00:05.0"))


def test_an_mmio_device_behind_vtd_is_enoent_with_the_reason(board: Board) -> None:
    """smmu_device_add_mmio: VT-d controls PCI devices only."""
    client = board.client()
    error = refused(client.add_mmio, client.create_object(), 0xFE000000, 4096)
    assert error.reason == "ENOENT"
    assert "VT-d units control devices that have a PCI requester ID" in str(error)


def test_an_mmio_address_that_no_source_names_is_enoent(make: Callable[..., Board]) -> None:
    """smmu_device_add_mmio: on a board with SMMUs the advice is to name the device as the sources do."""
    client = make("virt-smmuv3-dt").client()
    error = refused(client.add_mmio, client.create_object(), 0x9000000, 4096)
    assert (error.reason, error.finding.rule) == ("ENOENT", "MANAGER-NO-DEVICE")


def test_an_mmio_device_is_found_by_its_registers() -> None:
    """smmu_device_add_mmio: the device whose registers begin at the address is meant."""
    board = load_topology([str(Path(__file__).parents[2] / "fixtures/boards/virt-smmuv3-dt")])
    board.devices["0000:00:03.0"] = replace(board.devices["0000:00:03.0"], base=0x9000000)
    machine = simulate(board)
    client = Client.embedded(Manager(board, machine.ports, machine.private), "driver")
    assert client.add_mmio(client.create_object(), 0x9000000, 4096).devices == ("0000:00:03.0",)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ((0, 4, ANY), ("0000:00:04.0", "0000:00:04.1")),
        ((0, ANY, 1), ("0000:00:04.1",)),
        ((ANY, 1, 0), ()),
        ((2, ANY, ANY), (SHARED, SHARING)),
        ((0x41, 0, 0), (NVME,)),
    ],
)
def test_any_stands_for_each_there_is(board: Board, wanted: tuple[int | None, ...], found: tuple[str, ...]) -> None:
    """smmu_device_add_pci: each field may be any; functions of one bus share IDs and are taken as a whole."""
    client = board.client()
    number = client.create_object()
    if not found:
        # 02:01.0 is meant, without 02:02.0, which shares its ID
        assert refused(client.add_pci, number, *wanted).reason == "EBUSY"
        return
    assert set(client.add_pci(number, *wanted).devices) == set(found)


def test_any_of_everything_takes_all_or_nothing(board: Board) -> None:
    """smmu_device_add_pci: all three is the whole segment but its bridges; one that is another's refuses all."""
    other, client = board.client("other"), board.client()
    theirs = other.create_object()
    other.add_device(theirs, NVME)
    number = client.create_object()
    client.map(number, [(BASE, 0x1000)], RW)
    assert refused(client.add_pci, number).reason == "EBUSY"
    assert board.reach(SCSI, BASE) == {}
    other.destroy_object(theirs)
    assert len(client.add_pci(number).devices) == 15
    assert board.reach(NVME, BASE) == {BASE: (BASE, RW)}
    assert refused(client.add_pci, number, segment=7).reason == "ENOENT"


def test_any_refuses_when_one_that_is_meant_is_controlled_by_nothing() -> None:
    """A wildcard that includes a device that reaches all memory is ENOENT, so that nobody takes it for contained."""
    board = topology("q35-vtd-scopes")
    machine = simulate(board)
    client = Client.embedded(Manager(board, machine.ports, machine.private), "driver")
    assert refused(client.add_pci, client.create_object()).reason == "ENOENT"


def test_removing_any_takes_what_is_the_clients(board: Board) -> None:
    """With any, those that are the client's are taken out; ENOENT when none is."""
    client = board.client()
    number = client.create_object()
    assert refused(client.remove_device, PciId()).reason == "ENOENT"
    client.add_device(number, SCSI)
    client.add_device(number, NVME)
    assert set(client.remove_device(PciId()).devices) == {SCSI, NVME}


def test_devices_that_share_an_id_go_together(board: Board) -> None:
    """EBUSY names who shares; together, they are added, and taken out, as one."""
    client = board.client()
    number = client.create_object()
    error = refused(client.add_device, number, SHARED)
    assert error.reason == "EBUSY"
    assert SHARING in error.finding.found
    assert set(client.add_device(number, SHARED, together=True).devices) == {SHARED, SHARING}
    assert refused(client.remove_device, SHARED).reason == "EBUSY"
    assert set(client.remove_device(SHARED, together=True).devices) == {SHARED, SHARING}


def test_names_are_those_that_who_takes(make: Callable[..., Board]) -> None:
    """A device is named by its address, short or long, or by the end of its path."""
    client = make().client()
    number = client.create_object()
    assert client.add_device(number, "00:03.0").devices == (SCSI,)
    assert client.add_device(number, NamedId("ioapic:0")).devices == ("ioapic:0",)


def test_a_path_may_be_short(make: Callable[..., Board]) -> None:
    """The last part of a device-tree path is enough where one device has it."""
    client = make("dt-reserved").client()
    assert client.add_device(client.create_object(), "display@15200000").devices == ("dt:/display@15200000",)


def test_plus_one_says_that_a_unit_had_not_seen_the_mappings(make: Callable[..., Board]) -> None:
    """smmu_device_add: +1 when the device's unit had none of the object's; it has the mappings already."""
    board = make("dmar-segments")
    client = board.client()
    number = client.create_object()
    client.map(number, [(BASE, 0x1000)], RW)
    results = [client.add_device(number, name) for name in ("0000:00:02.0", "0000:00:14.0", "0000:00:1d.0")]
    assert [int(one) for one in results] == [1, 1, 0]
    assert board.reach("0000:00:14.0", BASE) == {BASE: (BASE, RW)}


def test_mapping_several_entries_is_all_or_nothing(board: Board) -> None:
    """smmu_mapping_add: several entries in one call; one that cannot be leaves everything as it was."""
    client = board.client()
    number = client.create_object()
    client.add_device(number, SCSI)
    client.map(number, [(BASE, 0x1000), (BASE + 0x4000, 0x2000)], RW)
    pages = [BASE + at for at in range(0, 0x7000, 0x1000)]
    before = board.reach(SCSI, *pages)
    assert set(before) == {BASE, BASE + 0x4000, BASE + 0x5000}
    bad = [(BASE, 0x2000), (1 << 50, 0x1000)]
    assert refused(client.map, number, bad, Access.READ).reason == "EINVAL"
    assert refused(client.map, number, [(BASE, 0x2000), (BASE, 0)], Access.NONE).reason == "EINVAL"
    assert board.reach(SCSI, *pages) == before


def test_entries_before_one_that_a_unit_refuses_are_taken_back(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the hardware fails at the second of several entries, the first means again what it did before the call."""
    client = board.client()
    number = client.create_object()
    client.add_device(number, SCSI)
    client.map(number, [(BASE, 0x1000)], Access.READ)
    (port,) = board.manager.ports.values()
    map_segment = port.map

    def full(space: object, segment: Segment) -> None:
        if segment.start == BASE + 0x4000:
            raise IommuError(failure("MEMORY-EXHAUSTED", "", "no page is left").finding)
        map_segment(space, segment)

    monkeypatch.setattr(port, "map", full)
    assert refused(client.map, number, [(BASE, 0x2000), (BASE + 0x4000, 0x1000)], RW).reason == "ENOSPC"
    assert board.reach(SCSI, BASE, BASE + 0x1000, BASE + 0x4000) == {BASE: (BASE, Access.READ)}


def test_smf_none_removes(board: Board) -> None:
    """smmu_mapping_add: no READ, WRITE or EXEC bit takes the ranges away."""
    client = board.client()
    number = client.create_object()
    client.add_device(number, SCSI)
    client.map(number, [(BASE, 0x3000)], RW)
    assert client.map(number, [(BASE, 0x1000), (BASE + 0x2000, 1)], Access.NONE) == (
        Granted(BASE, 0x1000),
        Granted(BASE + 0x2000, 0x1000),
    )
    assert set(board.reach(SCSI, BASE, BASE + 0x1000, BASE + 0x2000)) == {BASE + 0x1000}


def test_rounding_is_outwards_and_reported(board: Board) -> None:
    """Starts round down and ends up to 4 KiB, and the answer tells what that grants beyond what was asked."""
    client = board.client()
    number = client.create_object()
    client.add_device(number, SCSI)
    (granted,) = client.map(number, [(BASE + 0x10, 0x1000)], RW)
    assert granted == Granted(BASE, 0x2000, ((BASE, 0x10), (BASE + 0x1010, 0xFF0)))
    assert set(board.reach(SCSI, BASE - 0x1000, BASE, BASE + 0x1000, BASE + 0x2000)) == {BASE, BASE + 0x1000}


def test_what_a_unit_cannot_tell_apart_is_reported(board: Board) -> None:
    """VT-d's second stage grants execution with reading only: the answer says that reading was granted too."""
    client = board.client()
    number = client.create_object()
    client.add_device(number, SCSI)
    (granted,) = client.map(number, [(BASE, 0x1000)], Access.EXEC)
    assert granted.widened == Access.READ


def test_a_target_needs_the_ability_and_moves_memory(board: Board) -> None:
    """SMF_TARGET: EACCES without smmu/target; with it, entries are device addresses and the target physical ones."""
    plain, client = board.client("plain"), board.client("hypervisor", "target")
    error = refused(plain.map, plain.create_object(), [(BASE, 0x1000)], RW, target=0x40000000)
    assert (error.reason, error.errno) == ("EACCES", errno.EACCES)
    number = client.create_object()
    client.add_device(number, SCSI)
    client.map(number, [(BASE, 0x1000), (BASE + 0x1000, 0x1000)], RW, target=0x40000000)
    assert board.reach(SCSI, BASE, BASE + 0x1000) == {
        BASE: (0x40000000, RW),
        BASE + 0x1000: (0x40001000, RW),
    }


def test_entries_with_one_target_follow_each_other(board: Board) -> None:
    """With a gap between entries it would not be plain where the second one lies: EINVAL."""
    client = board.client("hypervisor", "target")
    number = client.create_object()
    error = refused(client.map, number, [(BASE, 0x1000), (BASE + 0x2000, 0x1000)], RW, target=0x40000000)
    assert (error.reason, error.errno) == ("EINVAL", errno.EINVAL)
    client.map(number, [(BASE + 0x10, 0x10), (BASE + 0x20, 0x10)], RW, target=0x40000010)
    assert refused(client.map, number, [(BASE, 0x1000)], RW, target=0x40000010).reason == "EINVAL"


def test_the_managers_own_memory_is_nobodys(board: Board) -> None:
    """EPERM for the registers of a unit, also by way of a target."""
    client = board.client("hypervisor", "target")
    number = client.create_object()
    assert refused(client.map, number, [(0xFED90000, 1)], Access.READ).reason == "EPERM"
    assert refused(client.map, number, [(BASE, 0x1000)], RW, target=0xFED90000).reason == "EPERM"


def test_reserved_regions_are_mapped_unless_the_client_does_it(make: Callable[..., Board]) -> None:
    """SOCF_NONE: the service adds and removes reserved regions itself; SOCF_RESERVED_MANUAL: the client does."""
    board = make("dmar-segments")
    client = board.client()
    ((start, length), *_) = client.reserved("0000:00:14.0")
    automatic, manual = client.create_object(), client.create_object(manual_reserved=True)
    client.add_device(automatic, "0000:00:14.0")
    assert board.reach("0000:00:14.0", start, start + length) == {start: (start, RW)}
    client.add_device(manual, "0000:00:14.0")
    assert board.reach("0000:00:14.0", start) == {}
    client.map(manual, [(start, length)], RW)
    assert board.reach("0000:00:14.0", start) == {start: (start, RW)}


def test_reserved_regions_are_reported_for_one_device(board: Board) -> None:
    """smmu_device_report_reserved: none for most devices; several at once make no sense; ENOENT as elsewhere."""
    client = board.client()
    assert client.reserved(NVME) == ()
    assert refused(client.reserved, PciId(0, 4)).reason == "EINVAL"
    assert refused(client.reserved, "0000:77:00.0").reason == "ENOENT"


def violate(client: Client, count: int = 1, address: int = 0x12345000) -> None:
    """Have a device refused."""
    for at in range(count):
        verdict = client.dma(NVME, address + 0x1000 * at, 8)
        assert verdict == Verdict(allowed=False, refused=address + 0x1000 * at)


def test_a_watcher_owns_nothing_and_is_told_once(board: Board) -> None:
    """smmu_xfer_notify: one-shot; the client registers again to be told again."""
    watcher, other = board.client("watcher"), board.client("other", "dma")
    told: list[int] = []
    watcher.notify(lambda: told.append(1))
    violate(other, 3)
    until(lambda: told == [1])
    assert isinstance(watcher.status(), Incident)
    assert isinstance(watcher.status(), Incident)
    assert isinstance(watcher.status(), Incident)
    assert watcher.status() is None
    watcher.notify(lambda: told.append(2))
    violate(other)
    until(lambda: told == [1, 2])
    watcher.notify(lambda: told.append(3))  # there is one to read already
    until(lambda: told == [1, 2, 3])


def test_there_is_no_history(board: Board) -> None:
    """Faults that occur while a client is not registered are never told to it."""
    watcher, other = board.client("watcher"), board.client("other", "dma")
    violate(other)
    watcher.notify(lambda: None)
    assert watcher.status() is None


def test_a_record_says_what_the_hardware_says(board: Board) -> None:
    """smmu_xfer_status: the device, the object, the address without its page offset (VT-d), the raw record."""
    client = board.client("driver", "dma")
    number = client.create_object()
    client.add_device(number, NVME)
    client.notify(lambda: None)
    violate(client, address=0x12345678)
    found = client.status()
    assert found is not None
    assert (found.devices, found.object, found.dropped) == ((NVME,), number, False)
    refusal = found.refusal
    assert (refusal.unit, refusal.identifier, refusal.address) == ("vtd@fed90000", 0x4100, 0x12345000)
    assert (refusal.exact, refusal.access, len(refusal.raw)) == (False, "read", 16)
    assert abs(found.time / 1e9 - time.time()) < 60


def test_64_records_are_kept_then_new_ones_dropped_and_the_next_read_says_so(board: Board) -> None:
    """smmu_xfer_status: at most 64 a client; new ones are dropped and SSF_DROPPED_FAULTS is set once; reading frees."""
    watcher, other = board.client("watcher"), board.client("other", "dma")
    watcher.notify(lambda: None)
    violate(other, 66)
    records = list(iter(watcher.status, None))
    assert len(records) == 64
    assert [one.dropped for one in records if one] == [True] + [False] * 63
    assert [one.refusal.address for one in records if one] == [0x12345000 + 0x1000 * at for at in range(64)]
    violate(other)
    last = watcher.status()
    assert last is not None
    assert not last.dropped


def test_a_file_descriptor_becomes_readable_once(board: Board) -> None:
    """notify_fd: readable when there is a record, unreadable again after the next call when there is none."""
    watcher, other = board.client("watcher"), board.client("other", "dma")
    descriptor = watcher.notify_fd()
    assert select.select([descriptor], [], [], 0)[0] == []
    violate(other)
    assert select.select([descriptor], [], [], 10)[0] == [descriptor]
    assert watcher.status() is not None
    assert watcher.notify_fd() == descriptor
    assert select.select([descriptor], [], [], 0)[0] == []


def test_a_file_descriptor_that_is_closed_is_never_written(board: Board) -> None:
    """A notice that comes when the client has been closed goes nowhere: the number may be another file's by then."""
    watcher = board.client("watcher")
    descriptor = watcher.notify_fd()
    watcher.close()
    other = os.eventfd(0, os.EFD_NONBLOCK)
    if other != descriptor:
        os.dup2(other, descriptor)
    watcher._signal()
    with pytest.raises(BlockingIOError):
        os.eventfd_read(descriptor)
    for number in {other, descriptor}:
        os.close(number)


def test_an_answer_to_another_call_is_an_error() -> None:
    """What carries calls out has to give their results."""

    class Confused:
        """Answers everything alike."""

        attached = Attached()
        remote = False

        def expect(self, notice: Callable[[], None]) -> None:
            """Forget it."""

        def call(self, call: Call) -> Result:
            """Answer something."""
            del call
            return Attached()

        def close(self) -> None:
            """Do nothing."""

    assert refused(Client(Confused()).create_object).reason == "EPROTO"


def test_refusals_can_be_awaited(board: Board) -> None:
    """refused(): an awaitable that ends when there is a record to read."""
    watcher, other = board.client("watcher"), board.client("other", "dma")

    async def wait() -> Incident | None:
        waiting = asyncio.create_task(watcher.refused())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        violate(other)
        await asyncio.wait_for(waiting, 10)
        return watcher.status()

    assert asyncio.run(wait()) is not None


def test_a_callback_may_call(board: Board) -> None:
    """What is called may read the record and register again."""
    watcher, other = board.client("watcher"), board.client("other", "dma")
    seen: list[Incident] = []

    def again() -> None:
        while (found := watcher.status()) is not None:
            seen.append(found)
        if len(seen) < 3:
            watcher.notify(again)

    watcher.notify(again)
    for _ in range(3):
        count = len(seen)
        violate(other)
        until(lambda count=count: len(seen) > count)  # type: ignore[misc]
        time.sleep(0.05)
    assert len(seen) == 3


def test_dma_needs_the_ability_and_one_device(board: Board) -> None:
    """dma: EACCES without it; one device, and a range that there is."""
    plain, client = board.client("plain"), board.client("driver", "dma")
    assert refused(plain.dma, NVME, 0).reason == "EACCES"
    assert refused(client.dma, PciId(), 0).reason == "EINVAL"
    assert refused(client.dma, NVME, (1 << 64) - 1, 2).reason == "EINVAL"
    assert refused(client.dma, "0000:77:00.0", 0).reason == "ENOENT"


def test_dma_tells_how_far_it_got(board: Board) -> None:
    """An access over two pages of which one is granted is refused at the second; writes where only reading may be."""
    client = board.client("driver", "dma", "target")
    number = client.create_object()
    client.add_device(number, NVME)
    client.map(number, [(BASE, 0x1000)], Access.READ, target=0x40000000)
    assert client.dma(NVME, BASE + 8, 16) == Verdict(allowed=True, physical=0x40000008)
    assert client.dma(NVME, BASE + 0xFF8, 16) == Verdict(allowed=False, physical=0x40000FF8, refused=BASE + 0x1000)
    assert client.dma(NVME, BASE, 1, write=True) == Verdict(allowed=False, refused=BASE)


def test_dma_behind_a_stream_is_as_exact(make: Callable[..., Board]) -> None:
    """On an SMMUv3 board accesses go the same way, and the record has the whole address."""
    client = make("virt-smmuv3-acpi").client("driver", "dma")
    number = client.create_object()
    client.add_device(number, NVME)
    client.map(number, [(BASE, 0x1000)], RW)
    client.notify(lambda: None)
    assert client.dma(NVME, BASE + 8, 16, write=True) == Verdict(allowed=True, physical=BASE + 8)
    assert not client.dma(NVME, BASE + 0x1008).allowed
    found = client.status()
    assert found is not None
    assert (found.refusal.address, found.refusal.exact) == (BASE + 0x1008, True)


def test_a_device_that_no_unit_controls_reaches_everything() -> None:
    """Accesses of a device with no unit go through; of a bridge, as its ID; of one of which nothing is known, not."""
    machine = simulate(topology("q35-vtd-scopes"))
    manager = Manager(topology("q35-vtd-scopes"), machine.ports, machine.private)
    client = Client.embedded(manager, "x", ("attach", "dma"), machine=machine)
    name = manager.survey.unrestricted[0][0]
    assert client.dma(name, BASE).physical == BASE
    machine = simulate(topology("q35-vtd"))
    manager = Manager(topology("q35-vtd"), machine.ports, machine.private)
    client = Client.embedded(manager, "x", ("attach", "dma"), machine=machine)
    assert client.dma("0000:00:05.0", BASE) == Verdict(allowed=False, refused=BASE)
    functions = load_topology([str(BOARDS / "q35-vtd" / "pci.json")])
    machine = simulate(functions)
    manager = Manager(functions, machine.ports, machine.private, degraded=True)
    client = Client.embedded(manager, "x", ("attach", "dma"), machine=machine)
    assert client.dma(manager.survey.unknown[0][0], BASE) == Verdict(allowed=False, refused=BASE)


def test_without_a_simulated_board_no_device_is_at_our_command() -> None:
    """An access on a manager without a machine is EINVAL."""
    machine = simulate(topology("q35-vtd"))
    manager = Manager(topology("q35-vtd"), machine.ports, machine.private)
    client = Client.embedded(manager, "x", ("attach", "dma"))
    assert refused(client.dma, NVME, BASE).reason == "EINVAL"


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda one: one.add_pci(1, 256), "device.bus"),
        (lambda one: one.add_pci(1, 0, 32), "device.device"),
        (lambda one: one.add_pci(1, 0, 0, 8), "device.function"),
        (lambda one: one.add_pci(1, segment=-1), "device.segment"),
        (lambda one: one.add_mmio(1, 1 << 64, 1), "device.phys"),
        (lambda one: one.add_mmio(1, 0, 0), "device.length"),
        (lambda one: one.add_device(0, SCSI), "object"),
        (lambda one: one.add_device(1, "x" * 1025), "device.name"),
        (lambda one: one.map(1, [(-1, 1)], RW), "entries[0].start"),
        (lambda one: one.map(1, [], RW), "entries"),
        (lambda one: one.map(1, [(0, 1)] * 1025, RW), "entries"),
        (lambda one: one.map(1, [(0, 1)], Access(8)), "access"),
        (lambda one: one.map(1, [(0, 1)], RW, target=1 << 64), "target"),
        (lambda one: one.dma(SCSI, 0, 0), "length"),
        (lambda one: one.create_object(manual_reserved=1), "manual_reserved"),
    ],
)
def test_an_argument_out_of_bounds_is_einval(board: Board, call: Callable[[Client], object], field: str) -> None:
    """Arguments are checked before they go anywhere, and the error names the one that cannot be."""
    error = refused(call, board.client())
    assert (error.reason, error.finding.field) == ("EINVAL", field)


def test_an_argument_of_a_strange_type_is_einval(board: Board) -> None:
    """What no message can carry is refused as any other wrong argument."""
    assert refused(board.client().destroy_object, object()).reason == "EINVAL"


def test_attaching_needs_a_name_and_abilities_there_are() -> None:
    """An embedded client has whatever abilities it asks for, as long as there are such."""
    machine = simulate(topology("q35-vtd"))
    manager = Manager(topology("q35-vtd"), machine.ports, machine.private)
    assert refused(Client.embedded, manager, "").reason == "EINVAL"
    assert refused(Client.embedded, manager, "x", ("attach", "fly")).reason == "EINVAL"
    assert get_args(Ability) == ("attach", "target", "dma")
    watcher = Client.embedded(manager, "x", ())
    assert refused(watcher.create_object).reason == "EACCES"
    watcher.close()
    watcher.close()
    assert refused(watcher.status).reason == "ENOTCONN"


def test_a_client_has_its_limits() -> None:
    """EDQUOT: objects, stretches of memory, and pages in tables; what is given back counts no more."""
    machine = simulate(topology("q35-vtd"))
    manager = Manager(topology("q35-vtd"), machine.ports, machine.private)
    limits = Limits(objects=2, mappings=4, pages=8)
    client = Client.embedded(manager, "x", ("attach", "target"), limits=limits)
    first, second = client.create_object(), client.create_object()
    error = refused(client.create_object)
    assert (error.reason, error.errno) == ("EDQUOT", errno.EDQUOT)
    client.map(first, [(BASE, 0x6000)], RW)
    assert refused(client.map, second, [(BASE, 0x3000)], RW).reason == "EDQUOT"
    client.map(first, [(BASE, 0x6000)], Access.NONE)
    client.map(second, [(BASE, 0x3000)], RW)
    client.map(first, [(0, 0x4000)], RW)
    client.map(second, [(0x10000, 0x1000)], RW)
    assert refused(client.map, second, [(0x20000, 0x1000)], RW).reason == "EDQUOT"
    client.destroy_object(second)
    client.create_object()
    client.map(first, [(0x40000000, 3 << 30)], RW, target=1 << 33)
    assert refused(client.map, 99, [(BASE, 0x1000)], RW).reason == "EINVAL"


@pytest.mark.parametrize(
    ("start", "length", "physical", "pages"),
    [
        (0, 0, 0, 0),
        (0, 1, 0, 1),
        (0x800, 0x1000, 0x800, 2),
        (0, 1 << 30, 0, 1),
        (0, 1 << 30, 1 << 21, 512),
        (0, 1 << 30, 1 << 12, 1 << 18),
        (0x1FF000, 0x202000, 0x1FF000, 3),
        (0, 1 << 47, 0x1000, 1 << 35),
    ],
)
def test_pages_are_as_large_as_both_addresses_allow(start: int, length: int, physical: int, pages: int) -> None:
    """A stretch takes as many pages as its alignment needs."""
    assert page_count(start, length, physical) == pages


def test_several_threads_may_call(tmp_path: Path) -> None:
    """Answers go to the calls that they belong to, whichever thread made them."""
    with Serving(tmp_path) as serving, serving.connect("x") as client:
        numbers: list[int] = []

        def make() -> None:
            for _ in range(20):
                numbers.append(client.create_object())

        threads = [threading.Thread(target=make) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(set(numbers)) == 80
