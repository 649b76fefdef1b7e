"""One access, step by step: the structures that are read are those that the driver wrote, and the verdict is right."""

from __future__ import annotations

from itertools import pairwise

import pytest
from iommuman.manager import Access, Machine, Manager, simulate
from iommuman.manager.dma import Piece, TracedMemory, access
from iommuman.manager.draw import draw_piece, piece_object
from iommuman.topology import load_topology

from tests.conftest import BOARDS

DISK = "0000:00:03.0"
RISCV = "riscv-virt-sys-dt"


def board(name: str) -> tuple[Machine, Manager]:
    """Return a traced board whose disk may read one page."""
    topology = load_topology([str(BOARDS / name)])
    machine = simulate(topology, TracedMemory, caching=False)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, DISK)
    return machine, manager


def accesses(name: str, device: str, address: int, length: int, *, write: bool = False) -> list[Piece]:
    """Return what becomes of an access on a new board."""
    machine, manager = board(name)
    (place,) = manager.member(device).endpoints
    return list(access(machine, manager, place, address, length, write=write))


WALKS = {
    "q35-vtd": [
        "root entry",
        "context entry",
        *(f"second-stage entry of level {level}" for level in (4, 3, 2, 1)),
    ],
    "q35-amd": [
        "device table entry (DTE)",
        *(f"page-table entry of level {level}" for level in (4, 3, 2, 1)),
    ],
    "virt-smmuv3-acpi": [
        "level 1 stream table descriptor",
        "stream table entry (STE)",
        *(f"stage 2 descriptor, step {step}" for step in (1, 2, 3, 4)),
    ],
    RISCV: [
        "device directory entry, step 1",
        "device directory entry, step 2",
        "device context (DC)",
        *(f"second-stage entry of level {level}" for level in (3, 2, 1, 0)),
    ],
}
SHIFTS = {RISCV: 2}
"""How far to the left the page number of a page-table entry lies as an address."""


@pytest.mark.parametrize("name", WALKS)
def test_an_access_is_shown_page_by_page_with_every_structure(name: str) -> None:
    """The part inside the granted page is allowed, the next one refused, each with the whole walk."""
    inside, outside = accesses(name, DISK, 0x80000FF0, 0x20)
    assert (inside.address, inside.length, inside.physical, inside.incident) == (0x80000FF0, 16, 0x80000FF0, None)
    assert (outside.address, outside.length, outside.physical) == (0x80001000, 16, None)
    assert outside.incident is not None
    assert outside.incident.devices == (DISK,)
    assert [step.what for step in inside.steps] == [step.what for step in outside.steps] == WALKS[name]
    last = inside.steps[-1]
    lift = SHIFTS.get(name, 0)
    assert last.value << lift & 0xFFFFFF000 == 0x80000000
    assert outside.steps[-1].value == 0
    # each entry is where the one before it points to
    for before, after in pairwise(inside.steps[-4:]):
        assert before.value << lift & 0xFFFFFFFFF000 == after.address & ~0xFFF


@pytest.mark.parametrize("name", WALKS)
def test_what_is_not_granted_stops_early(name: str) -> None:
    """A device without any grant is refused at its own entry; a write of what is read-only at the last one."""
    other = {"q35-amd": "0000:00:1f.2", RISCV: "0000:01:00.0"}.get(name, "0000:00:04.0")
    (piece,) = accesses(name, other, 0x80000000, 1)
    assert piece.physical is None
    assert len(piece.steps) <= (3 if name == RISCV else 2)
    (piece,) = accesses(name, DISK, 0x80000000, 1, write=True)
    assert piece.physical is None
    assert [step.what for step in piece.steps] == WALKS[name]


def test_a_part_is_drawn_with_its_bytes() -> None:
    """Text and JSON show the address and value of each structure, and the verdict."""
    (piece,) = accesses("q35-vtd", DISK, 0x80000004, 8)
    lines = list(draw_piece(piece))
    assert lines[0] == "0x80000004, 8 bytes"
    assert lines[-2].startswith("  second-stage entry of level 1  [0x")
    assert lines[-2].endswith("] = 0x0000000080000001")
    assert lines[-1] == "  allowed: physical 0x80000004"
    assert piece_object(piece)["physical"] == "0x80000004"
    (piece,) = accesses("q35-vtd", DISK, 0x80000004, 8, write=True)
    assert list(draw_piece(piece))[-2] == "  REFUSED: no permission to write (LGN.2)"
    found = piece_object(piece)
    assert found["reason"] == "no permission to write (LGN.2)"
    assert found["steps"][-1]["value"] == "0x0000000080000001"
    silent = Piece(0, 1, None, (), None)
    assert list(draw_piece(silent)) == ["0x0, 1 byte", "  REFUSED; nothing was recorded"]
    assert piece_object(silent)["reason"] == ""
