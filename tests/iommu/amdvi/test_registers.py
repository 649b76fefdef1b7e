"""Registers: what software can change, by whole and by half, and what it cannot."""

from __future__ import annotations

import pytest
from iommuman.iommu.errors import IommuError

from .machine import FEATURES, STATUS, Machine

WRITABLE = {
    0x00: 0x000F_FFFF_FFFF_F1FF,
    0x08: 0x0F0F_FFFF_FFFF_F000,
    0x10: 0x0F0F_FFFF_FFFF_F000,
    0x20: 0x000F_FFFF_FFFF_F003,
    0x28: 0x000F_FFFF_FFFF_F000,
    0x30: 0,
    0x38: 0,
    0x2000: 0x7FFF0,
    0x2010: 0x7FFF0,
    0x2018: 0x7FFF0,
    0x2030: 0,
    0x3FF8: 0,
}


@pytest.mark.parametrize("offset", WRITABLE)
def test_what_can_be_written(offset: int) -> None:
    """Ones stay where a field is; the features are read-only, and what is not there reads as 0."""
    machine = Machine(control=0)
    before = machine.read(offset) if offset == 0x30 else 0
    machine.write(offset, 0)
    machine.write(offset, (1 << 64) - 1)
    assert machine.read(offset) == WRITABLE[offset] | before
    machine.write(offset, 0)
    machine.write(offset + 4, 0xFFFFFFFF, 4)
    assert machine.read(offset) == WRITABLE[offset] >> 32 << 32 | before
    assert machine.read(offset + 4, 4) == WRITABLE[offset] >> 32 | before >> 32


def test_the_features_are_those_of_the_unit() -> None:
    """As the unit was made."""
    assert Machine().read(0x30) == FEATURES
    assert Machine(1 << 6).read(0x30) == 1 << 6


def test_control_has_the_switches_of_the_features_that_are_there() -> None:
    """GAEn and XTEn with their features; guest translation and page requests never."""
    everything = (1 << 64) - 1
    common = 0x1FFF
    for features, more in ((0, 0), (1 << 7, 1 << 17), (1 << 2, 1 << 50)):
        machine = Machine(features, control=0)
        machine.write(0x18, everything)
        assert machine.read(0x18) == common | more


def test_status_is_cleared_by_ones_and_not_written() -> None:
    """Run bits follow the control register and nothing else."""
    machine = Machine()
    assert machine.read(STATUS) == 0x18
    machine.write(STATUS, (1 << 64) - 1)
    assert machine.read(STATUS) == 0x18
    machine.write(0x18, 0)
    assert machine.read(STATUS) == 0
    with pytest.raises(IommuError):
        machine.read(STATUS + 2, 4)
