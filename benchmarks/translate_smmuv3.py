"""How fast the SMMUv3 model translates and the driver maps.

Run with `python -m benchmarks translate_smmuv3`. It prints walks and cached translations a second on one core, beside a
bare loop of `struct.unpack_from` over as many descriptors as the walk reads; then the time and the table pages of
mapping 64 GiB in one piece and in scattered pages of 4 KiB, beside the arithmetic minimum of pages.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable

from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.smmuv3 import REGISTERS_SIZE, Driver, Model, Permission

BASE = 0x9050000
STREAM = 0x18
READ_WRITE = Permission.READ | Permission.WRITE
ROUNDS = 7
PAGES = 4096
GIB = 1 << 30


def best(work: Callable[[], object]) -> float:
    """Return the shortest processor time of several runs, in seconds: other load on the machine does not count."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def board(*, tlb: bool = True) -> tuple[Model, Driver]:
    """Return a started SMMU with 8 TiB of RAM, of which what is written exists."""
    memory = Memory([(0x4000_0000, 1 << 43)])
    model = Model(memory, tlb=tlb)
    platform = Simulated(memory)
    platform.attach(BASE, REGISTERS_SIZE, model)
    driver = Driver(platform, BASE, PageAllocator(platform, 0x4000_0000, GIB))
    driver.start()
    return model, driver


def bare_loop(descriptors: int) -> float:
    """Return the seconds that unpacking so many descriptors takes."""
    table = bytes(4096)
    offsets = [8 * (number % 512) for number in range(descriptors)]
    unpack_from = struct.unpack_from

    def work() -> None:
        for offset in offsets:
            unpack_from("<Q", table, offset)

    return best(work)


def time_translations(stage: int, bits: int, *, tlb: bool) -> float:
    """Return the seconds that translating `PAGES` scattered pages in random order takes."""
    model, driver = board(tlb=tlb)
    domain = driver.create_domain(stage, input_bits=bits)  # type: ignore[arg-type]
    scattered = list(range(0x1_0000_0000, 0x1_0000_0000 + PAGES * 0x2000, 0x2000))
    driver.map_scattered(domain, 0, scattered, READ_WRITE)
    driver.attach(STREAM, domain)
    addresses = [page << 12 | 0x123 for page in range(PAGES)]
    random.Random(1).shuffle(addresses)  # an order, not a secret
    translate = model.translate

    def work() -> None:
        for address in addresses:
            translate(STREAM, address)

    work()
    return best(work)


def translations(stage: int, levels: int) -> None:
    """Measure walks and cached translations of one stage, with so many table levels."""
    bits = 48 if levels == 4 else 39
    walked = time_translations(stage, bits, tlb=False)
    cached = time_translations(stage, bits, tlb=True)
    bare = bare_loop(PAGES * levels)
    print(
        f"stage {stage}, {levels} levels: {PAGES / walked:9,.0f} walks/s ({walked / bare:.1f} times the bare loop),"
        f" {PAGES / cached:11,.0f} cached/s ({cached / bare:.1f} times)"
    )


def minimum_pages(size: int, leaf: int, root_shift: int) -> int:
    """Return the least number of table pages for leaves of `leaf` bytes: full tables from the last level up."""
    pages, entries = 0, size // leaf
    covers = leaf
    while covers < 1 << root_shift:
        entries = max(-(-entries // 512), 1)
        pages += entries
        covers *= 512
    return pages


def mapping(stage: int, size: int) -> None:
    """Measure mapping `size` bytes in one aligned piece and in scattered pages."""
    for scattered in (False, True):
        _, driver = board()
        domain = driver.create_domain(stage, input_bits=39)  # type: ignore[arg-type]
        outputs = [0x10_0000_0000 + page * 0x2000 for page in range(size >> 12)] if scattered else []
        start = time.process_time()
        if scattered:
            driver.map_scattered(domain, 0, outputs, READ_WRITE)
        else:
            driver.map(domain, 0, 0x10_0000_0000, size, READ_WRITE)
        seconds = time.process_time() - start
        least = minimum_pages(size, 0x1000 if scattered else GIB, 39)
        kind = "pages of 4 KiB" if scattered else "one piece"
        print(
            f"stage {stage}: {size // GIB} GiB, {kind}: {seconds:8.3f} s,"
            f" {domain.table.pages} table pages (minimum {least})"
        )


def main(mapped: int = 64 * GIB) -> None:
    """Print all measurements; `mapped` is how many bytes are mapped."""
    for stage, level in ((1, 4), (1, 3), (2, 3)):
        translations(stage, level)
    for stage in (1, 2):
        mapping(stage, mapped)


if __name__ == "__main__":
    main()
