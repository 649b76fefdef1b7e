"""Ports: what is the same for all units, and what each says of its own records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from iommuman.iommu import IommuError, PageAllocator, Simulated
from iommuman.iommu.amdvi.model import Unit
from iommuman.iommu.errors import failure
from iommuman.iommu.riscv.layout import FaultRecord
from iommuman.iommu.riscv.model import Model as RiscvModel
from iommuman.iommu.riscv.model import Transaction as RiscvTransaction
from iommuman.iommu.riscv.records import decode_fault
from iommuman.iommu.smmuv3.model import Model, Transaction
from iommuman.manager import Access, Endpoint, Machine, Manager, ManagerError, Port, Refusal, Segment, simulate
from iommuman.manager.ports import undriven
from iommuman.topology import load_topology

from tests.conftest import BOARDS

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


EVERY = pytest.mark.parametrize("board", ["q35-vtd", "q35-amd", "virt-smmuv3-acpi", "riscv-virt-sys-dt"])
START, LARGE = 0x80000000, 0x200000
RW = Access.READ | Access.WRITE


def attached(board: str) -> tuple[Machine, Port, Any, Callable[[int], int | None]]:
    """Return a board where device 0x18 reaches three large pages, and what makes it read; units remember."""
    machine = simulate(load_topology([str(BOARDS / board)]))
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
