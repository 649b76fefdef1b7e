"""Proofs: they hold on a programmed board, and name every page when bits are changed behind the manager's back."""

from __future__ import annotations

import json

import pytest
from iommuman.iommu.vtd.layout import SecondStagePage
from iommuman.manager import Access, Machine, Manager, Segment, simulate
from iommuman.manager.draw import draw_memory, draw_proofs, proof_object
from iommuman.manager.prove import Proof, prove
from iommuman.topology import load_topology

from tests.conftest import BOARDS

RW = Access.READ | Access.WRITE
DISK = "0000:00:03.0"


def granted(board: str) -> tuple[Machine, Manager, int, int]:
    """Return a board whose disk is granted three pages, one of them elsewhere and for reading."""
    topology = load_topology([str(BOARDS / board)])
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm", ["attach", "target"])
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x2000, RW)
    manager.map(client, number, 0x10000, 0x1000, Access.READ | Access.EXEC, target=0x40000000)
    manager.add_device(client, number, DISK)
    return machine, manager, client, number


def of(proofs: list[Proof], device: str) -> Proof:
    """Return the proof of a device."""
    return next(proof for proof in proofs if proof.device == device)


@pytest.mark.parametrize(
    ("board", "access"),
    [
        ("q35-vtd", Access.READ),
        ("q35-amd", Access.READ),
        ("virt-smmuv3-acpi", Access.READ | Access.EXEC),
        ("riscv-virt-sys-dt", Access.READ | Access.EXEC),
    ],
)
def test_what_is_granted_is_what_is_reached(board: str, access: Access) -> None:
    """On a programmed board every proof holds, and the disk's names the three pages."""
    machine, manager, _, number = granted(board)
    proofs = list(prove(machine, manager))
    assert all(proof.holds for proof in proofs)
    disk = of(proofs, DISK)
    assert (disk.object, disk.owner) == (number, "vm")
    assert (
        disk.reached
        == disk.granted
        == (
            Segment(0x10000, 0x1000, 0x40000000, access),
            Segment(0x80000000, 0x2000, 0x80000000, RW),
        )
    )
    assert all(proof.reached == () and proof.owner == "" for proof in proofs if proof.device != DISK)


def leaf(machine: Machine, manager: Manager) -> int:
    """Return the physical address of the second-stage entry of device address 0x80000000."""
    space = manager.object_of(DISK)
    assert space is not None
    (slot,) = space._slots.values()
    table = slot.space.table.root
    for level in (4, 3, 2):
        entry = int.from_bytes(machine.memory.read(table + 8 * (0x80000000 >> 12 + 9 * (level - 1) & 511), 8), "little")
        table = entry & SecondStagePage.ADDR.mask
    return int(table)


def test_a_page_opened_behind_the_managers_back_is_found() -> None:
    """A page more, a permission more, and a page that leads elsewhere: each is named as what it is."""
    machine, manager, _, _ = granted("q35-vtd")
    table = leaf(machine, manager)
    machine.memory.write_u64(table + 16, 0x90000003)  # 0x80002000 leads to 0x90000000
    disk = of(list(prove(machine, manager)), DISK)
    assert not disk.holds
    assert disk.beyond == (Segment(0x80002000, 0x1000, 0x90000000, RW),)
    assert disk.missing == ()
    machine.memory.write_u64(table + 16, 0)
    machine.memory.write_u64(table, 0x80000001)  # 0x80000000 can be read only
    machine.memory.write_u64(table + 8, 0x90001003)  # 0x80001000 leads elsewhere
    disk = of(list(prove(machine, manager)), DISK)
    assert disk.beyond == (Segment(0x80001000, 0x1000, 0x90001000, RW),)
    assert disk.missing == (
        Segment(0x80000000, 0x1000, 0x80000000, Access.WRITE),
        Segment(0x80001000, 0x1000, 0x80001000, RW),
    )


def test_proofs_are_drawn_for_people_and_programs() -> None:
    """Lines name device, ID, owner and ranges, and what is wrong is marked; JSON has the same."""
    machine, manager, _, _ = granted("q35-vtd")
    lines = list(draw_proofs(prove(machine, manager)))
    assert lines[:4] == [
        "0000:00:00.0  vtd@fed90000 ID 0x0: reaches nothing",
        "0000:00:03.0  vtd@fed90000 ID 0x18, object 2 of vm: reaches 12 KiB, as granted",
        "  r--  0x10000-0x10fff at 0x40000000  (4 KiB)",
        "  rw-  0x80000000-0x80001fff  (8 KiB)",
    ]
    machine.memory.write_u64(leaf(machine, manager), 0x90000003)
    proofs = list(prove(machine, manager))
    assert list(draw_proofs([of(proofs, DISK)])) == [
        "0000:00:03.0  vtd@fed90000 ID 0x18, object 2 of vm: reaches 12 KiB, NOT AS GRANTED",
        "  r--  0x10000-0x10fff at 0x40000000  (4 KiB)",
        "  rw-  0x80000000-0x80000fff at 0x90000000  (4 KiB)",
        "  rw-  0x80001000-0x80001fff  (4 KiB)",
        "! reached but not granted  rw-  0x80000000-0x80000fff at 0x90000000  (4 KiB)",
        "! granted but not reached  rw-  0x80000000-0x80000fff  (4 KiB)",
    ]
    document = json.loads(json.dumps(proof_object(of(proofs, DISK))))
    assert document["holds"] is False
    assert document["beyond"] == [
        {"address": "0x80000000", "length": "0x1000", "physical": "0x90000000", "access": "rw-"}
    ]


def test_memory_is_drawn_range_by_range() -> None:
    """Each physical range that a device reaches has a line with all who reach it, neighbours alike in one."""
    machine, manager, client, number = granted("q35-vtd")
    second = manager.create_object(client)
    manager.map(client, second, 0x80001000, 0x2000, Access.READ)
    manager.add_device(client, second, "0000:00:04.1")
    assert draw_memory(prove(machine, manager)) == [
        "0x40000000-0x40000fff  4 KiB  0000:00:03.0 r--",
        "0x80000000-0x80000fff  4 KiB  0000:00:03.0 rw-",
        "0x80001000-0x80001fff  4 KiB  0000:00:03.0 rw-, 0000:00:04.1 r--",
        "0x80002000-0x80002fff  4 KiB  0000:00:04.1 r--",
    ]
    manager.destroy_object(client, number)
    manager.destroy_object(client, second)
    assert draw_memory(prove(machine, manager)) == []
