"""The drivers on hardware that we did not write: QEMU's emulated VT-d and SMMUv3, with real DMA behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from iommuman.iommu.platform import PageAllocator
from iommuman.iommu.smmuv3 import Driver as SmmuDriver
from iommuman.iommu.smmuv3.driver.domain import Permission
from iommuman.iommu.vtd.driver import Driver as VtdDriver

from .qemu import SOURCE, Engine, QtestPlatform, machine, version

BAR1 = 0x10 + 4
BAR2 = 0x10 + 8


def start_engine_x86(platform: QtestPlatform, program: int) -> Engine:
    """Program the controller's windows through ports CF8h and CFCh."""

    def configure(offset: int, value: int) -> None:
        platform.command(f"outl 0xcf8 0x{0x80000000 | SOURCE << 8 | offset:x}")
        platform.command(f"outl 0xcfc 0x{value:x}")

    configure(BAR1, 0xE0000000)
    configure(BAR2, 0xE0002000)
    configure(4, 6)
    return Engine(platform, 0xE0000000, program)


def start_engine_arm(platform: QtestPlatform, program: int) -> Engine:
    """Program the controller's windows through the configuration window of the `virt` machine."""
    function = 0x3F000000 | SOURCE << 12
    for offset, value in ((BAR1, 0x10000000), (BAR2, 0x10002000), (4, 6)):
        platform.write_mmio(function + offset, value, 4)
    return Engine(platform, 0x10000000, program)


def moves(platform: QtestPlatform, engine: Engine, source: int, target: int, at: tuple[int, int]) -> bool:
    """Tell whether a copy from and to two IOVAs moved the bytes between the two physical addresses."""
    pattern = bytes(range(64))
    platform.write(at[0], pattern)
    platform.write(at[1], bytes(64))
    engine.copy(source, target, 64, 0x7000)
    return platform.read(at[1], 64) == pattern


def test_the_vtd_driver_runs_on_qemu(need_tool: Callable[[str, str], str], tmp_path: Path) -> None:
    """What is mapped can be reached, what is not cannot, and QEMU's fault record names the device and the address."""
    qemu = need_tool("qemu-system-x86_64", "qemu-system-x86")
    arguments = ["-M", "q35,memory-backend=ram", "-device", "intel-iommu"]
    with machine(qemu, arguments, tmp_path, 0) as platform:
        engine = start_engine_x86(platform, 0x300000)
        driver = VtdDriver(platform, 0xFED90000, PageAllocator(platform, 0x1000000, 0x1000000))
        driver.enable()
        assert not moves(platform, engine, 0x10000, 0x11000, (0x310000, 0x311000))
        assert driver.take_faults().records[0].source == SOURCE
        domain = driver.second_stage()
        driver.attach(SOURCE, domain)
        domain.map(0x7000, 0x300000, 0x1000, write=False)
        domain.map(0x10000, 0x310000, 0x1000, write=False)
        domain.map(0x11000, 0x311000, 0x1000)
        assert moves(platform, engine, 0x10000, 0x11000, (0x310000, 0x311000))
        assert not driver.take_faults().records
        domain.map(0x12000, 0x312000, 0x1000, write=False)  # QEMU records no fault of a page that it has cached
        assert not moves(platform, engine, 0x11000, 0x12000, (0x311000, 0x312000))
        record = driver.take_faults().records[0]
        assert (record.source, record.address >> 12, record.reason) == (SOURCE, 0x12, 5)
        domain.unmap(0x11000, 0x1000)
        assert not moves(platform, engine, 0x10000, 0x11000, (0x310000, 0x311000))
        driver.block(SOURCE)
        assert not moves(platform, engine, 0x10000, 0x10000, (0x310000, 0x311000))
        driver.pass_through(SOURCE)
        engine.copy(0x310000, 0x311000, 64, 0x300000)
        assert platform.read(0x311000, 64) == bytes(range(64))


@pytest.mark.parametrize("stage", [1, 2])
def test_the_smmuv3_driver_runs_on_qemu(
    need_tool: Callable[[str, str], str], tmp_path: Path, stage: Literal[1, 2]
) -> None:
    """What is mapped can be reached, what is not cannot, and QEMU's event names the stream and the address."""
    qemu = need_tool("qemu-system-aarch64", "qemu-system-arm")
    arguments = ["-M", "virt,iommu=smmuv3,highmem=off,memory-backend=ram", "-cpu", "max"]
    if stage == 2:
        arguments += ["-global", "arm-smmuv3.stage=2"]
        if version(qemu) < (8, 1):
            pytest.skip("this QEMU has no stage 2: 8.1 and later have it")
    run_smmu(qemu, arguments, tmp_path, 0x40000000, stage)


def run_smmu(qemu: str, arguments: list[str], folder: Path, base: int, stage: Literal[1, 2]) -> None:
    """Run the driver through grants, refusals and changes."""
    with machine(qemu, arguments, folder, base) as platform:
        program, one, two, three = (base + offset for offset in (0x300000, 0x310000, 0x311000, 0x312000))
        engine = start_engine_arm(platform, program)
        driver = SmmuDriver(platform, 0x09050000, PageAllocator(platform, base + 0x1000000, 0x1000000), stream_bits=9)
        driver.start()
        assert not moves(platform, engine, 0x10000, 0x11000, (one, two))
        domain = driver.create_domain(stage)
        driver.attach(SOURCE, domain)
        driver.events()
        driver.map(domain, 0x7000, program, 0x1000, Permission.READ)
        driver.map(domain, 0x10000, one, 0x1000, Permission.READ)
        driver.map(domain, 0x11000, two, 0x1000, Permission.READ | Permission.WRITE)
        assert moves(platform, engine, 0x10000, 0x11000, (one, two))
        assert driver.events()[0] == []
        driver.map(
            domain, 0x12000, three, 0x1000, Permission.READ
        )  # QEMU records no fault of a page that it has cached
        assert not moves(platform, engine, 0x11000, 0x12000, (two, three))
        event = driver.events()[0][0]
        assert (event.number, event.stream_id, (event.address or 0) >> 12) == (0x13, SOURCE, 0x12)
        driver.unmap(domain, 0x11000, 0x1000)
        assert not moves(platform, engine, 0x10000, 0x11000, (one, two))
        assert driver.events()[0][0].number == 0x10
        driver.attach(SOURCE, "abort")
        assert not moves(platform, engine, 0x10000, 0x11000, (one, two))
        driver.attach(SOURCE, "bypass")
        engine.copy(one, two, 64, program)
        assert platform.read(two, 64) == bytes(range(64))
