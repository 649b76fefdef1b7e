"""The register page: reset values, what is read-only, what follows from a write."""

from __future__ import annotations

import pytest
from iommuman.iommu.errors import IommuError

from .machine import BASE, LEGACY_CAP, LEGACY_ECAP, SCALABLE_CAP, SCALABLE_ECAP, Machine


def test_reset_values_are_those_of_the_specification() -> None:
    """Version, capabilities, masked events, everything else zero."""
    machine = Machine()
    nonzero = {offset: machine.read(offset) for offset in range(0, 0x1000, 4) if machine.read(offset)}
    assert nonzero == {
        0x00: 0x10,
        0x08: LEGACY_CAP & 0xFFFFFFFF,
        0x0C: LEGACY_CAP >> 32,
        0x10: LEGACY_ECAP,
        0x38: 1 << 31,
        0xA0: 1 << 31,
        0xE0: 1 << 31,
    }


# Offset and size of each register, the bits that stay after all ones were written, fresh after reset.
WRITABLE = [
    (0x00, 8, 0x10),
    (0x08, 8, SCALABLE_CAP),
    (0x10, 8, SCALABLE_ECAP),
    (0x20, 8, 0xFFFFFFFFFFFFFC00),
    (0x28, 8, 0x78000003FFFFFFFF),
    (0x34, 4, 0),
    (0x38, 4, 1 << 31),
    (0x3C, 4, 0xFFFFFFFF),
    (0x40, 4, 0xFFFFFFFC),
    (0x44, 4, 0xFFFFFFFF),
    (0x58, 8, 0),
    (0x64, 4, 1 << 31 | 1),
    (0x68, 4, 0xFFF00000),
    (0x6C, 4, 0xFFF00000),
    (0x70, 8, 0xFFFFFFFFFFF00000),
    (0x78, 8, 0xFFFFFFFFFFF00000),
    (0x80, 8, 0),
    (0x88, 8, 0x7FFF0),
    (0x90, 8, 0xFFFFFFFFFFFFF807),
    (0x9C, 4, 0),
    (0xA0, 4, 1 << 31),
    (0xB0, 8, 0),
    (0xB8, 8, 0xFFFFFFFFFFFFF80F),
    (0xC0, 8, 0x7FFE0),
    (0xC8, 8, 0x7FFE0),
    (0xD0, 8, 0xFFFFFFFFFFFFF007),
    (0xDC, 4, 0),
    (0xE0, 4, 1 << 31),
    (0xF0, 8, 0xFFFFFFFFFFFFF07F),
    (0x220, 8, 0),
    (0x228, 8, 0),
    (0x1000 - 8, 8, 0),
]


@pytest.mark.parametrize(("offset", "size", "left"), WRITABLE)
def test_writing_all_ones_sets_the_bits_that_exist(offset: int, size: int, left: int) -> None:
    """Reserved, read-only and status bits stay as they were."""
    machine = Machine(SCALABLE_CAP, SCALABLE_ECAP)
    machine.write(offset, (1 << 8 * size) - 1, size)
    assert machine.read(offset, size) == left


def test_commands_show_in_the_status() -> None:
    """Switches follow the command, pointers stay set, one-shot commands without effect show nothing."""
    machine = Machine()
    machine.write(0x18, 1 << 30)
    assert machine.read(0x1C) == 1 << 30
    machine.write(0x18, 1 << 24)
    assert machine.read(0x1C) == 1 << 30 | 1 << 24
    machine.write(0x18, 1 << 31 | 1 << 29 | 1 << 28 | 1 << 27 | 0x7FFFFF)
    assert machine.read(0x1C) == 1 << 31 | 1 << 30 | 1 << 24
    machine.platform.write_mmio(BASE + 0x18, 0, 8)
    assert machine.read(0x1C) == 1 << 30 | 1 << 24
    assert machine.read(0x18) == 0


def test_registers_are_read_in_words_of_4_or_8_bytes() -> None:
    """Halves of a 64-bit register can be read by themselves; other sizes do not exist."""
    machine = Machine()
    assert machine.read(0x08) | machine.read(0x0C) << 32 == machine.read(0x08, 8)
    with pytest.raises(IommuError):
        machine.read(0x08, 2)
