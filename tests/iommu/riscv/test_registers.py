"""Registers after reset, the bits that can be written, output queues that overflow, the debug interface."""

from __future__ import annotations

import pytest

from .rig import DDT, DID, PA, VA, Rig, capabilities, second


def test_registers_after_reset() -> None:
    """Everything is off; capabilities read as given, and what is no register as zeros."""
    rig = Rig(mode=0)
    for csr in (0x48, 0x4C, 0x50):
        rig.write(csr, 0)
    assert rig.read(0, 8) == rig.model.caps.register.value
    assert rig.read(4) == rig.model.caps.register.value >> 32
    assert rig.read(0x10, 8) & 15 == 0
    assert rig.read(0x58, 8) == rig.read(0x800, 8) == rig.read(0xC) == 0
    rig.write(0, 0, 8)
    rig.write(0x800, 1, 8)
    assert rig.read(0, 8) == rig.model.caps.register.value


@pytest.mark.parametrize(
    ("offset", "size", "kept"),
    [
        (0x18, 8, (1 << 54) - 1024 | 31), (0x28, 8, (1 << 54) - 1024 | 31), (0x38, 8, (1 << 54) - 1024 | 31),
        (0x10, 8, 0), (0x20, 4, 0), (0x34, 4, 0), (0x44, 4, 0), (0x2F8, 8, 0x3333), (0x258, 8, (1 << 64) - 4096),
        (0x268, 8, 0), (0x300, 8, (1 << 56) - 4), (0x308, 4, 0xFFFFFFFF), (0x30C, 4, 1), (0x338, 4, 0xFFFFFFFF),
        (0x340, 8, 0), (0x270, 4, 0),
    ],
)  # fmt: skip
def test_bits_that_can_be_written(offset: int, size: int, kept: int) -> None:
    """Reserved and read-only bits stay 0; a mode of ddtp that there is not is not taken."""
    rig = Rig(mode=0)
    for csr in (0x48, 0x4C, 0x50):
        rig.write(csr, 0)
    rig.write(0x10, 0, 8)
    rig.write(offset, (1 << 8 * size) - 1, size)
    assert rig.read(offset, size) == kept
    if size == 8 and kept:
        for half in (0, 4):
            rig.write(offset + half, 0)
            rig.write(offset + half, 0xFFFFFFFF)
        assert rig.read(offset, size) == kept
        assert rig.read(offset + 4) == kept >> 32


def test_registers_that_capabilities_take_away() -> None:
    """Without DBG there is no debug interface; with QOSID there is a register."""
    rig = Rig(capabilities(DBG=0, QOSID=1, qos_bits=4))
    rig.write(0x258, VA, 8)
    rig.write(0x260, 1 | DID << 40, 8)
    assert rig.read(0x258, 8) == rig.read(0x260, 8) == 0
    rig.write(0x270, 0xFFFFFFFF)
    assert rig.read(0x270) == 0x000F_000F


def test_transitions_of_ddtp() -> None:
    """From Off and Bare to anything; from a directory only to Off. A mode that is not supported is not taken."""
    rig = Rig(capabilities(directories=frozenset((2, 3))), mode=0)
    for old, new, taken in ((0, 1, 1), (1, 2, 2), (2, 3, 2), (2, 1, 2), (2, 0, 0), (0, 4, 0), (0, 5, 0), (0, 3, 3)):
        assert rig.read(0x10, 8) & 15 == old
        rig.write(0x10, DDT >> 2 | new, 8)
        assert rig.read(0x10, 8) & 15 == taken


def test_queues_whose_base_is_in_use() -> None:
    """While a queue is on its base stays; indexes have only the bits of the queue's size."""
    rig = Rig()
    for base, csr in ((0x18, 0x48), (0x28, 0x4C), (0x38, 0x50)):
        old = rig.read(base, 8)
        rig.write(base, 0, 8)
        assert rig.read(base, 8) == old
        rig.write(csr, 0)
        rig.write(base, 1, 8)
        assert rig.read(base, 8) == 1
        assert rig.read(csr) == 0
    for index in (0x24, 0x30, 0x40):
        rig.write(index, 0xFFFFFFFF)
        assert rig.read(index) == 3


def test_the_fault_queue_overflows() -> None:
    """One place stays free; then fqof is set, and records are lost until it is cleared."""
    rig = second()
    for page in range(16):
        rig.send(page << 12)
    assert (rig.read(0x34), rig.read(0x4C)) == (15, 1 | 1 << 16 | 1 << 9)
    assert [record.address for record in rig.faults()] == [page << 12 for page in range(15)]
    rig.send(0)
    assert rig.faults() == [], "still overflown"
    rig.write(0x4C, 1 | 1 << 9)
    rig.send(0x5000)
    assert [record.address for record in rig.faults()] == [0x5000]
    assert rig.read(0x34) == 0, "the index went around"


def test_a_fault_queue_that_cannot_be_written() -> None:
    """Fqmf is set, the record is lost, and all further ones."""
    rig = second()
    rig.memory.inject(0x3000, length=64)
    rig.send(0)
    assert (rig.read(0x34), rig.read(0x4C)) == (0, 1 | 1 << 16 | 1 << 8)
    rig.memory.heal()
    rig.send(0)
    assert rig.faults() == []
    rig.write(0x4C, 0)
    assert rig.read(0x4C) == 1 << 8
    rig.send(0)
    rig.write(0x4C, 1)
    assert (rig.read(0x4C), rig.read(0x34)) == (1 | 1 << 16, 0), "enabling clears the flags"
    rig.send(0)
    assert len(rig.faults()) == 1


def test_the_debug_interface() -> None:
    """It translates as for a device, and says the page or that there is a fault, which is reported."""
    rig = second()
    rig.write(0x258, VA, 8)
    rig.write(0x260, 1 | DID << 40, 8)
    assert rig.read(0x260, 8) == DID << 40
    assert rig.read(0x268, 8) == PA >> 12 << 10
    rig.write(0x260, 1 | 8 | 1 << 32 | 5 << 12 | DID << 40, 8)
    assert rig.read(0x268, 8) == 1
    (record,) = rig.faults()
    assert (record.cause, record.process_id, record.write) == (260, 5, False)
    rig.write(0x260, DID << 40, 8)
    assert rig.read(0x268, 8) == 1, "nothing is asked"
    rig.write(0x258, 0, 8)
    rig.write(0x264, DID << 8)
    rig.write(0x260, 1)
    assert rig.faults()[0].write, "without NW a write is asked for"
