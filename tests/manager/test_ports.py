"""Ports: what is the same for all units, and what each says of its own records."""

from __future__ import annotations

from iommuman.iommu.amdvi.model import Unit
from iommuman.iommu.smmuv3.model import Model, Transaction
from iommuman.manager import Access, Manager, Refusal, simulate
from iommuman.topology import load_topology

from tests.conftest import BOARDS

SMMU = "smmuv3@9050000"


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
