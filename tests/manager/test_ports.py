"""Ports: what is the same for all units, and what each says of its own records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from iommuman.base import Origin
from iommuman.iommu import IommuError, PageAllocator, Simulated
from iommuman.iommu.amdvi.model import Unit
from iommuman.iommu.errors import failure
from iommuman.iommu.riscv.layout import FaultRecord
from iommuman.iommu.riscv.model import Model as RiscvModel
from iommuman.iommu.riscv.model import Transaction as RiscvTransaction
from iommuman.iommu.riscv.records import decode_fault
from iommuman.iommu.smmuv2.model import Model as SmmuV2Model
from iommuman.iommu.smmuv3.model import Model, Transaction
from iommuman.manager import Access, Endpoint, Machine, Manager, ManagerError, Port, Refusal, Segment, simulate
from iommuman.manager.ports import undriven
from iommuman.manager.prove import prove
from iommuman.topology import Device, IdMap, Iommu, Topology, load_topology
from iommuman.topology.builder import TopologyBuilder

from tests.conftest import BOARDS, HANDMADE

SMMU = "smmuv3@9050000"
RISCV = "riscv-iommu@3010000"


def test_events_of_an_smmu_are_told_in_the_managers_words() -> None:
    """Stream, address to the byte, access and reason of an event come through; a lost event is told."""
    topology = load_topology([str(BOARDS / "virt-smmuv3-acpi")])
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, "0000:00:03.0")
    model = machine.models[SMMU]
    assert isinstance(model, Model)
    for transaction in (
        Transaction(0x18, 0x80000123, write=True),
        Transaction(0x18, 0x90000004),
        Transaction(0x18, 0x80000000, instruction=True),
        Transaction(0x20, 0x1000),
    ):
        model.access(transaction)
    found = [incident.refusal for incident in manager.poll()]
    assert [(one.identifier, one.address, one.access, one.reason.rpartition("(")[2]) for one in found] == [
        (0x18, 0x80000123, "write", "F_PERMISSION)"),
        (0x18, 0x90000004, "read", "F_TRANSLATION)"),
        (0x18, 0x80000000, "execute", "F_PERMISSION)"),
        (0x20, None, "", "C_BAD_STE)"),
    ]
    assert all(isinstance(one, Refusal) and one.exact == (one.address is not None) for one in found)


def test_events_of_an_amd_vi_unit_are_told_in_the_managers_words() -> None:
    """Device ID, address to the byte, access and reason come through; devices behind an alias share an ID."""
    topology = load_topology([str(BOARDS / "q35-amd")])
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, "0000:00:03.0")
    unit = machine.models["amdvi@fed80000"]
    assert isinstance(unit, Unit)
    for device, address, access in ((0x18, 0x80000123, 2), (0x18, 0x90000004, 1), (0x30, 0x1000, 2)):
        unit.translate(device, address, access)
    found = [(incident.devices, incident.refusal) for incident in manager.poll()]
    assert [(names, one.identifier, one.address, one.access, one.reason) for names, one in found] == [
        (("0000:00:03.0",), 0x18, 0x80000123, "write", "no permission to write (IO_PAGE_FAULT)"),
        (("0000:00:03.0",), 0x18, 0x90000004, "read", "the address is not mapped (IO_PAGE_FAULT)"),
        (("0000:02:01.0", "0000:02:02.0"), 0x30, 0x1000, "write", "no permission to write (IO_PAGE_FAULT)"),
    ]
    manager.unmap(client, number, 0x80000000, 0x1000)
    assert unit.translate(0x18, 0x80000000) != 0x80000000
    manager.remove_device(client, "0000:00:03.0")
    manager.destroy_object(client, number)


def test_units_grant_reading_with_execution() -> None:
    """Neither VT-d nor stage 2 of an SMMU can grant execution alone; VT-d knows no execution at all."""
    for board, unit, granted in (
        ("q35-vtd", "vtd@fed90000", Access.READ),
        ("q35-amd", "amdvi@fed80000", Access.READ),
        ("virt-smmuv3-acpi", SMMU, Access.READ | Access.EXEC),
    ):
        port = simulate(load_topology([str(BOARDS / board)])).ports[unit]
        assert port.widened(Access.EXEC) == granted
        assert port.widened(Access.WRITE) == Access.WRITE


def test_faults_of_a_riscv_unit_are_told_in_the_managers_words() -> None:
    """Device, address, access and reason of a fault record come through; one of the unit itself has neither."""
    topology = load_topology([str(BOARDS / "riscv-virt-sys-dt")])
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, "0000:00:03.0")
    model = machine.models[RISCV]
    assert isinstance(model, RiscvModel)
    for transaction in (
        RiscvTransaction(0x18, 0x80000123, write=True),
        RiscvTransaction(0x18, 0x80000000, instruction=True),
        RiscvTransaction(0x208, 0x1000),
    ):
        model.access(transaction)
    found = [incident.refusal for incident in manager.poll()]
    assert [(one.identifier, one.address, one.access, one.code) for one in found] == [
        (0x18, 0x80000123, "write", 23),
        (0x18, 0x80000000, "execute", 20),
        (0x208, 0x1000, "read", 258),
    ]
    port = machine.ports[RISCV]
    assert (port.address_bits, port.identifier_bits) == (50, 24)
    assert port._refusal(decode_fault(bytes(FaultRecord(CAUSE=273)))).access == ""  # type: ignore[attr-defined]


def test_a_riscv_unit_grants_reading_with_writing() -> None:
    """No page is writable only; execution may be granted alone."""
    port = simulate(load_topology([str(BOARDS / "riscv-virt-sys-dt")])).ports[RISCV]
    assert port.widened(Access.WRITE) == Access.READ | Access.WRITE
    assert port.widened(Access.EXEC) == Access.EXEC


def test_units_that_cannot_be_programmed_say_why() -> None:
    """A kind without driver, registers that no source names, registers beyond memory."""
    topology = load_topology([str(BOARDS / "riscv-virt-dt")])
    with pytest.raises(ManagerError, match="no source says where its registers are"):
        Manager(topology, simulate(topology).ports, ())
    unit = next(iter(topology.iommus.values()))
    assert undriven(replace(unit, base=1 << 60)) == (
        "its registers at 0x1000000000000000 lie beyond the physical addresses of the machine"
    )
    assert undriven(replace(unit, kind="x")) == "no driver here programs units of kind x"


EVERY = pytest.mark.parametrize("board", ["q35-vtd", "q35-amd", "virt-smmuv3-acpi", "riscv-virt-sys-dt", "smmuv2"])
START, LARGE = 0x80000000, 0x200000
RW = Access.READ | Access.WRITE


def attached(board: str) -> tuple[Machine, Port, Any, Callable[[int], int | None]]:
    """Return a board where device 0x18 reaches three large pages, and what makes it read; units remember."""
    machine = smmu("smmuv2", None)[0] if board == "smmuv2" else simulate(load_topology([str(BOARDS / board)]))
    ((name, port),) = machine.ports.items()
    space = port.create()
    port.map(space, Segment(START, 3 * LARGE, START, RW))
    port.attach(0x18, space)
    return machine, port, space, lambda address: machine.dma(Endpoint(name, 0x18), address, False)  # noqa: FBT003


def failing(monkeypatch: pytest.MonkeyPatch, where: type, method: str, after: int) -> None:
    """Let a method fail from its call after so many on."""
    original = getattr(where, method)
    left = [after]

    def fail(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise failure("MEMORY-EXHAUSTED", "the test lets it fail")
        return original(*arguments, **options)

    monkeypatch.setattr(where, method, fail)


@EVERY
def test_what_is_taken_away_before_memory_runs_out_is_forgotten(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second split of an unmapping has no memory, what went before is unreachable, not only unmapped."""
    _, port, space, read = attached(board)
    for page in range(3):
        assert read(START + page * LARGE + 0x1000) == START + page * LARGE + 0x1000
    with monkeypatch.context() as patch:
        failing(patch, PageAllocator, "allocate", 1)
        with pytest.raises(IommuError, match="lets it fail"):
            port.unmap(space, START + 0x1000, 3 * LARGE - 0x2000)
    assert read(START + LARGE + 0x1000) is None
    port.unmap(space, START + 0x1000, 3 * LARGE - 0x2000)
    assert [read(START + page * LARGE + 0x1000) for page in range(3)] == [None] * 3
    assert read(START) == START


@EVERY
def test_a_range_that_was_not_forgotten_is_forgotten_next_time(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the unit cannot be told to forget a range, unmapping fails, and the next one does not pass that over."""
    _, port, space, read = attached(board)
    port.unmap(space, START, 0x1000)
    assert read(START + 0x1000) == START + 0x1000
    with monkeypatch.context() as patch:
        failing(patch, Simulated, "write_mmio", 0)
        with pytest.raises(IommuError, match="lets it fail"):
            port.unmap(space, START, LARGE)
    port.unmap(space, START, LARGE)
    assert read(START + 0x1000) is None


@EVERY
@pytest.mark.parametrize("after", range(4))
def test_a_device_that_was_not_forgotten_is_forgotten_next_time(
    board: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the unit cannot be told to forget a device's entry, denying fails, and the next one does not."""
    _, port, _, read = attached(board)
    assert read(START) == START
    with monkeypatch.context() as patch:
        failing(patch, Simulated, "write_mmio", after)
        with suppress(IommuError):  # some units are told in fewer stores
            port.block(0x18)
    port.block(0x18)
    assert read(START) is None


@EVERY
def test_tables_that_wait_to_be_forgotten_go_with_their_space(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a failed unmapping took out of the tables is given back when the address space is destroyed."""
    _, port, space, _ = attached(board)
    pages = getattr(space.table, "_pages", None) or space.table._allocator
    used = pages.pages_in_use
    space = port.create()
    port.map(space, Segment(START, 0x1000, START, RW))
    with monkeypatch.context() as patch:
        failing(patch, Simulated, "write_mmio", 0)
        with pytest.raises(IommuError, match="lets it fail"):
            port.unmap(space, START, 0x1000)
    port.destroy(space)
    assert pages.pages_in_use == used


HANDMADE_SMMUV2 = [str(HANDMADE / "iort-smmuv2")]
HERE = Origin("here")
GPU = "acpi:\\_SB.GPU0"


def test_faults_of_an_smmuv2_are_told_in_the_managers_words() -> None:
    """Stream, address to the byte, access and reason come through, of a bank and of the unit; lost ones are told."""
    topology = load_topology(HANDMADE_SMMUV2)
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, GPU)
    model = machine.models["smmuv2@2b700000"]
    assert isinstance(model, SmmuV2Model)
    assert model.translate(0x20, 0x80000123) == 0x80000123
    model.translate(0x20, 0x80000123, 1)
    model.translate(0x20, 0x90000000, 2)
    model.translate(0x10, 0x1000, 2)
    port = machine.ports["smmuv2@2b700000"]
    assert (port.address_bits, port.identifier_bits) == (48, 16)
    records, lost = port.refusals()
    assert [(one.identifier, one.address, one.access, one.reason, one.exact) for one in records] == [
        (0x20, 0x80000123, "write", "no permission (PF)", True),
        (0x10, 0x1000, "execute", "unidentified stream: no stream match entry has this ID (USF)", True),
    ]
    assert lost
    model.translate(0x20, 0x90000000)
    (one,), lost = port.refusals()
    assert (one.access, one.reason, one.code, lost) == ("read", "the address is not mapped (TF)", 0x402, False)
    assert port.widened(Access.EXEC) == Access.READ | Access.EXEC
    manager.unmap(client, number, 0x80000000, 0x1000)
    assert model.translate(0x20, 0x80000123) == -1
    manager.remove_device(client, GPU)
    manager.destroy_object(client, number)


def smmu(kind: str, size: int | None, *streams: int) -> tuple[Machine, Manager]:
    """Return a board with one SMMU, whose devices send one ID each."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu(f"{kind}@2b500000", kind, HERE, 0x2B500000, size))
    for stream in streams:
        builder.device(Device(f"dt:/{stream}", "dt", HERE))
        builder.maps.append(IdMap(f"dt:/{stream}", f"{kind}@2b500000", 0, 1, stream, HERE, "test", single=True))
    topology = Topology(builder)
    machine = simulate(topology)
    return machine, Manager(topology, machine.ports, machine.private)


def test_an_smmuv1_addresses_40_bits() -> None:
    """Everything of such a board, tables as well, is below 2^40; as many banks as its registers have room for."""
    machine, manager = smmu("smmuv1", 0x20000, 5)
    port = machine.ports["smmuv1@2b500000"]
    assert (port.address_bits, port.identifier_bits) == (40, 15)
    assert all(start + length <= 1 << 40 for start, length in machine.private)
    assert (0x2B500000, 0x20000) in machine.private
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, "dt:/5")
    (proof,) = prove(machine, manager)
    assert proof.holds
    assert proof.reached == proof.granted


def test_an_smmuv2_that_has_no_more_banks_or_stream_entries() -> None:
    """ENOSPC; what was granted before stays, and nothing else opens."""
    machine, manager = smmu("smmuv2", None, *range(9))
    client = manager.attach("vm")
    objects = [manager.create_object(client) for _ in range(9)]
    for number in objects[:8]:
        manager.add_device(client, number, f"dt:/{number - objects[0]}")
    with pytest.raises(ManagerError, match="all 8 context banks are in use") as caught:
        manager.add_device(client, objects[8], "dt:/8")
    assert (caught.value.reason, caught.value.finding.rule) == ("ENOSPC", "SMMU-BANKS")
    assert all(proof.holds for proof in prove(machine, manager))
    machine, manager = smmu("smmuv2", None, *range(129))
    client = manager.attach("vm")
    number = manager.create_object(client)
    for stream in range(128):
        manager.add_device(client, number, f"dt:/{stream}")
    with pytest.raises(ManagerError, match="all 128 stream match entries are in use") as caught:
        manager.add_device(client, number, "dt:/128")
    assert (caught.value.reason, caught.value.finding.rule) == ("ENOSPC", "SMMU-STREAM-ENTRIES")
    assert all(proof.holds for proof in prove(machine, manager))


def test_a_device_of_whose_id_bits_are_ignored_sends_any_of_them() -> None:
    """An entry for each ID that may arrive; a device that sends one of them too can only be granted with it."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("smmuv2@2b500000", "smmuv2", HERE, 0x2B500000))
    for name, stream, ignored in (("dt:/a", 0x402, 0x12), ("dt:/b", 0x410, 0), ("dt:/c", 0x403, 0)):
        builder.device(Device(name, "dt", HERE))
        builder.maps.append(
            IdMap(name, "smmuv2@2b500000", 0, 1, stream, HERE, "test", single=True, ignored_bits=ignored)
        )
    topology = Topology(builder)
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    assert [place.identifier for place in manager.member("dt:/a").endpoints] == [0x400, 0x402, 0x410, 0x412]
    assert manager.member("dt:/a").sharers == ("dt:/b",)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    with pytest.raises(ManagerError, match="devices that share an ID can be granted together only"):
        manager.add_device(client, number, "dt:/a")
    manager.add_device(client, number, "dt:/a", together=True)
    model = machine.models["smmuv2@2b500000"]
    assert isinstance(model, SmmuV2Model)
    reached = [stream for stream in range(0x500) if model.translate(stream, 0x80000000) != -1]
    assert reached == [0x400, 0x402, 0x410, 0x412]
    assert all(proof.holds for proof in prove(machine, manager))
