"""Interrupt remapping: what a device table entry says of interrupts, both formats of entries, every refusal."""

from __future__ import annotations

import pytest
from iommuman.iommu.amdvi.model import Blocked, Interrupt, Untouched

from .machine import DEVICE, DOMAIN, FEATURES, IRTES, ON, Machine

MSI = 0xFEE01000
LOG2 = 5
REMAP, FORWARD, ABORT = 2 << 60, 1 << 60, 0
IV = 1
PR, WR, RZ, I = 0x10, 0x20, 0x80, 8  # noqa: E741


def machine_with(control: int = REMAP, *, extra: int = 0, features: int = FEATURES, wide: bool = False) -> Machine:
    """A machine whose device has an interrupt table of 32 entries; DMA is not its business."""
    machine = Machine(features, control=ON | (1 << 17 if wide else 0))
    machine.entry(0, DOMAIN, IRTES | IV | LOG2 << 1 | control | extra)
    return machine


def refused(machine: Machine, data: int = 3, address: int = MSI) -> tuple[int, int, int]:
    """Return code, flags and address of the event of an interrupt."""
    found = machine.unit.interrupt(DEVICE, address, data)
    assert isinstance(found, Blocked), found
    ((low, high),) = machine.events()
    assert low & 0xFFFF == DEVICE
    return low >> 60, low >> 48 & 0xFFF, high


def test_an_entry_of_32_bits() -> None:
    """Vector, destination, type, mode and the wish to hear of its end."""
    machine = machine_with()
    machine.memory.write(IRTES + 12, (1 | 1 << 2 | 1 << 5 | 1 << 6 | 0x42 << 8 | 0x31 << 16).to_bytes(4, "little"))
    assert machine.unit.interrupt(DEVICE, MSI, 3) == Interrupt(0x31, 0x42, 1, logical=True, request_eoi=True)
    assert machine.unit.interrupt(DEVICE, MSI, 0xFFFF_F803) == Interrupt(0x31, 0x42, 1, logical=True, request_eoi=True)
    assert machine.events() == []


@pytest.mark.parametrize(("extended", "destination"), [(False, 0x78), (True, 0x12345678)])
def test_an_entry_of_128_bits(extended: bool, destination: int) -> None:
    """With GAEn; the destination has 32 bits with XTEn, else 8."""
    machine = machine_with(features=FEATURES | 1 << 2, wide=True)
    if extended:
        machine.write(0x18, ON | 1 << 17 | 1 << 50)
    machine.put(IRTES + 48, 1 | 0x345678 << 8, 0x12 << 56 | 0x31)
    assert machine.unit.interrupt(DEVICE, MSI, 3) == Interrupt(0x31, destination)


def test_what_is_not_remapped() -> None:
    """A unit that is off, an entry without IV, IntCtl forward; abort leaves no event that is known."""
    for made in (
        machine_with(FORWARD),
        Machine(),
    ):
        assert made.unit.interrupt(DEVICE, MSI, 3) == Untouched(MSI, 3)
    off = machine_with(ABORT)
    assert off.unit.interrupt(DEVICE, MSI, 3) == Blocked(None)
    assert off.events() == []
    off.write(0x18, 0)
    assert off.unit.interrupt(DEVICE, MSI, 3) == Untouched(MSI, 3)


@pytest.mark.parametrize(
    ("kind", "logical", "bit"),
    [(4, False, 58), (4, True, 63), (5, False, 56), (5, True, 56), (7, False, 57), (7, True, 62)],
)
def test_interrupts_that_pass_by_leave(kind: int, logical: bool, bit: int) -> None:
    """NMI, INIT and ExtINT, physical or logical, each have their bit; SMI and reserved types have none."""
    address, data = MSI | logical << 2, kind << 8
    assert machine_with(extra=1 << bit).unit.interrupt(DEVICE, address, data) == Untouched(address, data)
    others = sum(1 << other for other in (56, 57, 58, 62, 63) if other != bit)
    assert machine_with(extra=others).unit.interrupt(DEVICE, address, data) == Blocked(None)
    for never in (2, 3, 6):
        assert machine_with(extra=others | 1 << bit).unit.interrupt(DEVICE, address, never << 8) == Blocked(None)


@pytest.mark.parametrize("bit", [52, 53, 54, 55, 59])
def test_reserved_bits_of_the_device_table_entry(bit: int) -> None:
    """And those of features that are not there; DMA does not mind them."""
    machine = machine_with(extra=1 << bit)
    assert refused(machine) == (1, RZ | WR | I, MSI)
    assert machine.unit.translate(DEVICE, 0x1000) == 0x1000


def test_encodings_that_there_are_not() -> None:
    """IntCtl 3, and more than 2048 entries."""
    assert refused(machine_with(3 << 60)) == (1, WR | I, MSI)
    for length in range(16):
        machine = Machine()
        machine.entry(0, 0, IRTES | IV | length << 1 | REMAP)
        expected = 2 if length <= 11 else 1
        assert refused(machine, 0)[0] == expected


def test_an_index_beyond_the_table_and_an_entry_that_is_off() -> None:
    """Both are page faults without PR; IG and SupIOPF silence them."""
    machine = machine_with()
    assert refused(machine, 31) == (2, WR | I, MSI)
    machine.memory.write(IRTES + 4 * 32, (1).to_bytes(4, "little"))
    assert refused(machine, 32) == (2, WR | I, MSI)
    quiet = machine_with(extra=1 << 5)
    for data in (31, 32):
        assert isinstance(quiet.unit.interrupt(DEVICE, MSI, data), Blocked)
    assert quiet.events() == []
    machine.memory.write(IRTES + 12, (2).to_bytes(4, "little"))
    assert isinstance(machine.unit.interrupt(DEVICE, MSI, 3), Blocked)
    assert machine.events() == []


@pytest.mark.parametrize("bits", [1 << 7, 2 << 2, 7 << 2, *(1 << bit for bit in range(24, 32))])
def test_entries_that_are_wrong(bits: int) -> None:
    """Guest mode, reserved types and reserved bits."""
    machine = machine_with()
    machine.memory.write(IRTES + 12, (1 | bits).to_bytes(4, "little"))
    assert refused(machine) == (2, PR | RZ | WR | I, MSI)


def test_an_entry_that_cannot_be_read() -> None:
    """Told as an error of a page table, with the address of the entry."""
    machine = machine_with()
    machine.memory.inject(IRTES + 8)
    assert refused(machine) == (4, 0x200 | WR | I, IRTES + 8)


def test_entries_are_remembered_until_they_are_invalidated() -> None:
    """Those that are on; by device."""
    machine = machine_with()
    assert isinstance(machine.unit.interrupt(DEVICE, MSI, 3), Blocked)
    for vector in (0x31, 0x32):
        machine.memory.write(IRTES + 12, (1 | vector << 16).to_bytes(4, "little"))
        assert machine.unit.interrupt(DEVICE, MSI, 3) == Interrupt(0x31, 0)
        machine.command(5 << 60 | DEVICE + 1)
    machine.command(5 << 60 | DEVICE)
    assert machine.unit.interrupt(DEVICE, MSI, 3) == Interrupt(0x32, 0)
