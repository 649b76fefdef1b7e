"""How fast what a device reaches is listed.

Run with `python -m benchmarks reach`. It prints 4 KiB pages a second of processor time: scattered, so that every page
is a run, and side by side, for each kind of translation; beside a bare loop that unpacks as many entries and makes as
many records.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable

from iommuman.iommu import Memory, PageAllocator, Reach, Simulated, smmuv3
from iommuman.iommu.vtd import model as vtd
from iommuman.iommu.vtd.driver import Driver
from iommuman.iommu.vtd.layout import CAP, ECAP

DEVICE = 0x18
PAGES = 1 << 18
ROUNDS = 3
FIRST = 0x1_0000_0000
START = 0x4000_0000
SCATTERED = list(range(FIRST, FIRST + PAGES * 0x2000, 0x2000))
SIDE_BY_SIDE = list(range(FIRST + 0x1000, FIRST + 0x1000 + PAGES * 0x1000, 0x1000))
CAPABILITIES = CAP(ND=1, SAGAW=0b110, MGAW=47, FRO=0x22, SSLPS=3, PSI=1, MAMV=18, FS1GP=1)
EXTENDED = ECAP(QI=1, PT=1, IRO=0xF, NEST=1, PSS=19, PASID=1, SMTS=1, SSTS=1, FSTS=1, SMPWCS=1, RPS=1)


def best(work: Callable[[], Iterable[object]]) -> float:
    """Return the shortest processor time of several enumerations, in seconds."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in work():
            pass
        times.append(time.process_time() - start)
    return min(times)


def bare_loop() -> Iterable[Reach]:
    """Unpack a table of scattered pages over and over, and make a record of each entry."""
    table = struct.pack("<512Q", *SCATTERED[:512])
    for _ in range(PAGES // 512):
        for entry in struct.unpack("<512Q", table):
            yield Reach(entry, entry, 4096, read=True, write=True, execute=True)


def vtd_board(stage: str, frames: list[int]) -> Callable[[], Iterable[object]]:
    """Return the enumeration of a device behind a VT-d unit."""
    memory = Memory([(0, 1 << 40)])
    platform = Simulated(memory)
    unit = vtd.RemappingUnit(memory, vtd.Hardware(CAPABILITIES, EXTENDED))
    platform.attach(0xFED90000, 0x1000, unit)
    pages = PageAllocator(platform, 0x100000, 0x1000_0000)
    driver = Driver(platform, 0xFED90000, pages, mode="scalable", host_width=46)
    driver.enable()
    domain = driver.second_stage() if stage != "first stage" else driver.first_stage()
    if stage == "nested":
        domain.map(0, 0, 1 << 31)
        domain.map(FIRST, FIRST, 1 << 36)
        domain = driver.first_stage(domain)  # type: ignore[arg-type]
    domain.map_pages(START, frames)
    driver.attach(DEVICE, domain)
    return lambda: vtd.reach(unit, DEVICE)


def smmu_board(stage: str, frames: list[int]) -> Callable[[], Iterable[object]]:
    """Return the enumeration of a stream behind an SMMU."""
    memory = Memory([(0x4000_0000, 1 << 43)])
    platform = Simulated(memory)
    model = smmuv3.Model(memory)
    platform.attach(0x9050000, smmuv3.REGISTERS_SIZE, model)
    driver = smmuv3.Driver(platform, 0x9050000, PageAllocator(platform, 0x4000_0000, 1 << 30))
    driver.start()
    permission = smmuv3.Permission.READ | smmuv3.Permission.WRITE
    domain = driver.create_domain(1 if stage == "first stage" else 2)
    if stage == "nested":
        driver.map(domain, 0x4000_0000, 0x4000_0000, 1 << 30, permission)
        driver.map(domain, FIRST, FIRST, 1 << 36, permission)
        domain = driver.create_domain(1, parent=domain)
    driver.map_scattered(domain, START, frames, permission)
    driver.attach(DEVICE, domain)
    return lambda: smmuv3.reach(model, DEVICE)


def main() -> None:
    """Print the figures."""
    print(f"{'bare loop':26} {PAGES / best(bare_loop):14,.0f} pages/s")
    for name, board in (("VT-d", vtd_board), ("SMMUv3", smmu_board)):
        for stage in ("first stage", "second stage", "nested"):
            for order, frames in (("scattered", SCATTERED), ("side by side", SIDE_BY_SIDE)):
                print(f"{name:7}{stage:13}{order:14}{PAGES / best(board(stage, frames)):12,.0f} pages/s")


if __name__ == "__main__":
    main()
