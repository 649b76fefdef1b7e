"""The drivers on hardware that we did not write: QEMU's emulated units, with real DMA behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from iommuman.iommu import PageAllocator
from iommuman.iommu.amdvi.driver import Driver as AmdviDriver
from iommuman.iommu.amdvi.layout.registers import Control
from iommuman.iommu.qemu import Copier, Description, Function, Qemu, start
from iommuman.iommu.riscv.driver import Driver as RiscvDriver
from iommuman.iommu.smmuv3 import Driver as SmmuDriver
from iommuman.iommu.smmuv3.driver.domain import Permission
from iommuman.iommu.vtd.driver import Driver as VtdDriver

SOURCE = 3 << 3
FUNCTIONS = (Function("lsi53c895a", 3),)
PROGRAM = 0x7000


def engine(machine: Qemu) -> Copier:
    """Return the DMA engine; its program lies at 3 MiB of memory and is seen at `PROGRAM`."""
    copier = machine.copiers()[0]
    copier.set_program(machine.ram[0] + 0x300000, PROGRAM)
    return copier


def moves(machine: Qemu, copier: Copier, source: int, target: int, at: tuple[int, int]) -> bool:
    """Tell whether a copy from and to two IOVAs moved the bytes between the two physical addresses."""
    pattern = bytes(range(64))
    machine.write(at[0], pattern)
    machine.write(at[1], bytes(64))
    copier.copy(source, target, 64)
    return machine.read(at[1], 64) == pattern


def test_the_vtd_driver_runs_on_qemu(need_qemu: Callable[[str], Description]) -> None:
    """What is mapped can be reached, what is not cannot, and QEMU's fault record names the device and the address."""
    need_qemu("q35")
    with start("q35", FUNCTIONS) as machine:
        copier = engine(machine)
        driver = VtdDriver(machine, machine.registers, PageAllocator(machine, 0x1000000, 0x1000000))
        driver.enable()
        assert not moves(machine, copier, 0x10000, 0x11000, (0x310000, 0x311000))
        assert driver.take_faults().records[0].source == SOURCE
        domain = driver.second_stage()
        driver.attach(SOURCE, domain)
        domain.map(PROGRAM, 0x300000, 0x1000, write=False)
        domain.map(0x10000, 0x310000, 0x1000, write=False)
        domain.map(0x11000, 0x311000, 0x1000)
        assert moves(machine, copier, 0x10000, 0x11000, (0x310000, 0x311000))
        assert not driver.take_faults().records
        domain.map(0x12000, 0x312000, 0x1000, write=False)  # QEMU records no fault of a page that it has cached
        assert not moves(machine, copier, 0x11000, 0x12000, (0x311000, 0x312000))
        record = driver.take_faults().records[0]
        assert (record.source, record.address >> 12, record.reason) == (SOURCE, 0x12, 5)
        domain.unmap(0x11000, 0x1000)
        assert not moves(machine, copier, 0x10000, 0x11000, (0x310000, 0x311000))
        driver.block(SOURCE)
        assert not moves(machine, copier, 0x10000, 0x10000, (0x310000, 0x311000))
        driver.pass_through(SOURCE)
        copier.set_program(0x300000, 0x300000)
        assert moves(machine, copier, 0x310000, 0x311000, (0x310000, 0x311000))


def test_the_amdvi_driver_runs_on_qemu(need_qemu: Callable[[str], Description]) -> None:
    """What is mapped can be reached, what is not cannot. QEMU 10.0 records no event, so none is asked for."""
    need_qemu("q35-amd")
    with start("q35-amd", FUNCTIONS) as machine:
        copier = engine(machine)
        pages = PageAllocator(machine, 0x1000000, 0x1000000)
        driver = AmdviDriver(machine, machine.registers, pages, host_width=40, wiring=Control(HtTunEn=1))
        driver.enable()
        assert not moves(machine, copier, 0x10000, 0x11000, (0x310000, 0x311000))
        domain = driver.create_domain()
        driver.attach(SOURCE, domain)
        domain.map(PROGRAM, 0x300000, 0x1000, write=False)
        domain.map(0x10000, 0x310000, 0x1000, write=False)
        domain.map(0x11000, 0x311000, 0x1000)
        assert moves(machine, copier, 0x10000, 0x11000, (0x310000, 0x311000))
        domain.map(0x12000, 0x312000, 0x1000, write=False)
        assert not moves(machine, copier, 0x11000, 0x12000, (0x311000, 0x312000))
        domain.map(0x12000, 0x312000, 0x1000)
        assert moves(machine, copier, 0x11000, 0x12000, (0x311000, 0x312000))
        domain.unmap(0x11000, 0x1000)
        assert not moves(machine, copier, 0x10000, 0x11000, (0x310000, 0x311000))
        driver.block(SOURCE)
        assert not moves(machine, copier, 0x10000, 0x10000, (0x310000, 0x311000))
        driver.pass_through(SOURCE)
        copier.set_program(0x300000, 0x300000)
        assert moves(machine, copier, 0x310000, 0x311000, (0x310000, 0x311000))
        driver.attach(SOURCE, domain)
        assert not moves(machine, copier, 0x310000, 0x311000, (0x310000, 0x311000))


@pytest.mark.parametrize("stage", [1, 2])
def test_the_smmuv3_driver_runs_on_qemu(need_qemu: Callable[[str], Description], stage: Literal[1, 2]) -> None:
    """What is mapped can be reached, what is not cannot, and QEMU's event names the stream and the address."""
    need_qemu("virt")
    with start("virt", FUNCTIONS) as machine:
        base = machine.ram[0]
        program, one, two, three = (base + offset for offset in (0x300000, 0x310000, 0x311000, 0x312000))
        copier = engine(machine)
        pages = PageAllocator(machine, base + 0x1000000, 0x1000000)
        driver = SmmuDriver(machine, machine.registers, pages, stream_bits=9)
        driver.start()
        assert not moves(machine, copier, 0x10000, 0x11000, (one, two))
        domain = driver.create_domain(stage)
        driver.attach(SOURCE, domain)
        driver.events()
        driver.map(domain, PROGRAM, program, 0x1000, Permission.READ)
        driver.map(domain, 0x10000, one, 0x1000, Permission.READ)
        driver.map(domain, 0x11000, two, 0x1000, Permission.READ | Permission.WRITE)
        assert moves(machine, copier, 0x10000, 0x11000, (one, two))
        assert driver.events()[0] == []
        driver.map(domain, 0x12000, three, 0x1000, Permission.READ)  # QEMU records no fault of a page it has cached
        assert not moves(machine, copier, 0x11000, 0x12000, (two, three))
        event = driver.events()[0][0]
        assert (event.number, event.stream_id, (event.address or 0) >> 12) == (0x13, SOURCE, 0x12)
        driver.unmap(domain, 0x11000, 0x1000)
        assert not moves(machine, copier, 0x10000, 0x11000, (one, two))
        assert driver.events()[0][0].number == 0x10
        driver.attach(SOURCE, "abort")
        assert not moves(machine, copier, 0x10000, 0x11000, (one, two))
        driver.attach(SOURCE, "bypass")
        copier.set_program(program, program)
        assert moves(machine, copier, one, two, (one, two))


def test_the_riscv_driver_runs_on_qemu(need_qemu: Callable[[str], Description]) -> None:
    """What is mapped can be reached, what is not cannot, and QEMU's fault record names the device and the address."""
    need_qemu("virt-riscv")
    with start("virt-riscv", FUNCTIONS) as machine:
        base = machine.ram[0]
        program, one, two, three = (base + offset for offset in (0x300000, 0x310000, 0x311000, 0x312000))
        copier = engine(machine)
        driver = RiscvDriver(machine, machine.registers, PageAllocator(machine, base + 0x1000000, 0x1000000))
        driver.start()
        assert not moves(machine, copier, 0x10000, 0x11000, (one, two))
        record = driver.take_faults().records[0]
        assert (record.device_id, record.cause) == (SOURCE, 258)
        domain = driver.second_stage()
        driver.attach(SOURCE, domain)
        domain.map(PROGRAM, program, 0x1000, write=False)
        domain.map(0x10000, one, 0x1000, write=False)
        domain.map(0x11000, two, 0x1000)
        assert moves(machine, copier, 0x10000, 0x11000, (one, two))
        assert driver.take_faults().records == ()
        domain.map(0x12000, three, 0x1000, write=False)  # QEMU records no fault of a page that it has cached
        assert not moves(machine, copier, 0x11000, 0x12000, (two, three))
        record = driver.take_faults().records[0]
        assert (record.device_id, (record.address or 0) >> 12, record.cause) == (SOURCE, 0x12, 23)
        domain.unmap(0x11000, 0x1000)
        assert not moves(machine, copier, 0x10000, 0x11000, (one, two))
        assert driver.take_faults().records[0].cause == 23
        driver.block(SOURCE)
        assert not moves(machine, copier, 0x10000, 0x11000, (one, two))
        driver.pass_through(SOURCE)
        copier.set_program(program, program)
        assert moves(machine, copier, one, two, (one, two))
