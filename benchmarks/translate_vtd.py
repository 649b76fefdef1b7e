"""How fast VT-d's model translates and its driver maps.

Run as `python benchmarks/translate_vtd.py [GiB]`; the argument is the amount of memory to map, 64 by default. Prints
one line a figure.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from random import Random
from struct import Struct

from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.vtd.driver import Driver, SecondStageDomain
from iommuman.iommu.vtd.layout import CAP, ECAP
from iommuman.iommu.vtd.model import Hardware, RemappingUnit

BASE, SOURCE = 0xFED90000, 0x18
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PAGES = 1 << 14
"""Pages that the translation figures go through: fewer than the model remembers."""
SCATTER = 0x9E3779B97F4A7C15


def machine() -> tuple[RemappingUnit, Driver, PageAllocator]:
    """Return a unit with 4 levels and all page sizes, enabled by the driver."""
    memory = Memory([(0, 1 << 40)])
    platform = Simulated(memory)
    cap = CAP(ND=6, SAGAW=0b100, MGAW=47, FRO=0x22, SSLPS=3, PSI=1, MAMV=18)
    unit = RemappingUnit(memory, Hardware(cap, ECAP(QI=1, PT=1, IRO=0xF)))
    platform.attach(BASE, 0x1000, unit)
    pages = PageAllocator(platform, MIB, GIB - MIB)
    driver = Driver(platform, BASE, pages, host_width=46)
    driver.enable()
    return unit, driver, pages


def rate(count: int, run: Callable[[], None]) -> float:
    """Return operations a second of processor time, the best of five runs."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return count / best


def translation() -> None:
    """Translate through 4 KiB pages, 4 levels: remembered, walked, and walked from the root table on."""
    unit, driver, _ = machine()
    domain = driver.second_stage()
    driver.attach(SOURCE, domain)
    frames = [GIB + 8 * KIB * page for page in range(PAGES)]
    domain.map_pages(0, frames)
    addresses = [page * 4096 + 0x123 for page in Random(1).sample(range(PAGES), PAGES)]
    translate, walk, tlb = unit.translate, unit.walk, unit.caches.tlb(domain.did, None)

    def remembered() -> None:
        for address in addresses:
            translate(SOURCE, address)

    def missed() -> None:
        tlb.clear()
        for address in addresses:
            translate(SOURCE, address)

    def from_root() -> None:
        for address in addresses:
            walk(SOURCE, address)

    table = bytearray(4096)
    unpack = Struct("<Q").unpack_from

    def bare(descriptors: int) -> Callable[[], None]:
        each = range(descriptors)

        def run() -> None:
            for address in addresses:
                for _ in each:
                    unpack(table, address & 0xFF8)

        return run

    for name, run, descriptors in (
        ("translations from the IOTLB", remembered, 1),
        ("IOTLB misses, inner tables remembered", missed, 1),
        ("walks from the root table, nothing remembered", from_root, 8),  # root 2, context 2, 4 levels
    ):
        figure, plain = rate(PAGES, run), rate(PAGES, bare(descriptors))
        print(f"{name}: {figure:,.0f}/s, {plain / figure:.1f} times the time of {descriptors} struct.unpack_from each")
    tlb.clear()
    unit.caches.filling = False
    unit.caches.resolved.clear()
    figure, plain = rate(PAGES, remembered), rate(PAGES, bare(4))
    print(
        f"page walks of 4 levels, context remembered: {figure:,.0f}/s, {plain / figure:.1f} times 4 struct.unpack_from"
    )


def minimum(pages: int, levels: int = 4) -> int:
    """Return the tables that so many entries in a row need, from the lowest table up to the root."""
    tables = 0
    for _ in range(levels):
        pages = -(-pages // 512)
        tables += pages
    return tables


def mapping(size: int) -> None:
    """Map memory that fits the largest pages, and memory that fits none but the smallest."""
    cases: tuple[tuple[str, Callable[[SecondStageDomain], None], int], ...] = (
        ("1 GiB-aligned", lambda domain: domain.map(4 * GIB, 4 * GIB, size), minimum(size // GIB, 2)),
        ("4 KiB-scattered", lambda domain: domain.map_pages(4 * GIB, scattered(size)), minimum(size // 4096)),
    )
    for name, run, least in cases:
        _, driver, pages = machine()
        domain = driver.second_stage()
        before = pages.pages_in_use - 1  # the root is made already
        start = time.process_time()
        run(domain)
        seconds = time.process_time() - start
        used = pages.pages_in_use - before
        print(f"map {size // GIB} GiB {name}: {seconds:.3f} s, {used} pages of tables, {least} is the minimum")


def scattered(size: int) -> array[int]:
    """Return as many 4 KiB frames, none beside the one before it."""
    count = size // 4096
    return array("Q", [(page * SCATTER >> 3 & 0xFFFFFFF) << 12 | 1 << 40 for page in range(count)])


if __name__ == "__main__":
    translation()
    mapping(64 * GIB)
