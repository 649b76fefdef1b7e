"""Watching hardware after every single store of the driver.

What devices reach is asked of the model in two ways: with nothing remembered (every entry is read anew) and with what
it remembers. Hardware is free in when it fills its caches, so a run is repeated with the caches filled after each store
in turn: whatever state memory is in for an instant may be the one that stays remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.vtd.driver import Domain, Driver
from iommuman.iommu.vtd.layout import CAP, ECAP
from iommuman.iommu.vtd.model import READ, WRITE, Hardware, RemappingUnit

BASE = 0xFED90000
TABLES, TABLES_LENGTH = 0x100000, 0x100000
"""Where the driver has its tables."""
A, B = 0x18, 0x19
"""Two devices."""

LEGACY = (
    CAP(ND=1, SAGAW=0b110, MGAW=47, ZLR=1, FRO=0x22, SSLPS=3, PSI=1, MAMV=18, DWD=1, DRD=1),
    ECAP(QI=1, IR=1, PT=1, IRO=0xF),
)
SCALABLE = (
    LEGACY[0].replace(FS1GP=1),
    LEGACY[1].replace(NEST=1, PSS=19, PASID=1, SMTS=1, SSTS=1, FSTS=1, SMPWCS=1, RPS=1),
)


class TouchedMemory(Memory):
    """Memory that knows which doublewords were read.

    A store to a doubleword that no probe reads cannot change what the probes see, so it needs no new look: that is
    what makes it possible to look after every store that matters.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        super().__init__([(0, 1 << 40)])
        self.touched: set[int] = set()

    def read_u64(self, address: int) -> int:
        """Read, and remember what was read."""
        self.touched.add(address)
        return super().read_u64(address)

    def read(self, address: int, size: int) -> bytes:
        """Read, and remember what was read."""
        self.touched.update(range(address & -8, address + size, 8))
        return super().read(address, size)


View = Mapping[int, tuple[int, int]]
"""What a device reaches of the probed pages: by address, (output, permissions)."""


@dataclass
class Rig:
    """A platform with unit and driver, enabled, and the question what devices reach.

    Attributes:
        probes: page addresses that are asked for.
        devices: devices that are asked about.
    """

    probes: list[int]
    cap: CAP = field(default_factory=lambda: LEGACY[0])
    ecap: ECAP = field(default_factory=lambda: LEGACY[1])
    scalable: bool = False
    queue: bool | None = None
    devices: tuple[int, ...] = (A, B)

    def __post_init__(self) -> None:
        """Build it and take the unit over."""
        self.memory = TouchedMemory()
        self.platform = Simulated(self.memory)
        self.unit = RemappingUnit(self.memory, Hardware(self.cap, self.ecap))
        self.platform.attach(BASE, 0x1000, self.unit)
        self.pages = PageAllocator(self.platform, TABLES, TABLES_LENGTH)
        mode = "scalable" if self.scalable else "legacy"
        self.driver = Driver(self.platform, BASE, self.pages, mode=mode, queue=self.queue, host_width=46)  # type: ignore[arg-type]
        self.unit.caches.filling = False
        self.driver.enable()

    def reach(self, *, remembered: bool) -> dict[int, dict[int, tuple[int, int]]]:
        """Return the view of every device."""
        ask = self.unit.look if remembered else self.unit.walk
        views: dict[int, dict[int, tuple[int, int]]] = {}
        for device in self.devices:
            view = views[device] = {}
            for page in self.probes:
                reads, writes = ask(device, page, READ), ask(device, page, WRITE)
                read_ok, write_ok = isinstance(reads, int), isinstance(writes, int)
                if read_ok and write_ok:
                    assert reads == writes
                if read_ok or write_ok:
                    output = reads if isinstance(reads, int) else writes
                    assert isinstance(output, int)
                    view[page] = (output, read_ok * READ | write_ok * WRITE)
        return views

    def fill(self) -> None:
        """Let the unit remember all it can of this instant."""
        self.unit.caches.filling = True
        self.reach(remembered=True)
        self.unit.caches.filling = False


def within(now: View, old: View, new: View) -> bool:
    """Tell whether every page, and every permission, is granted by the old or by the new view."""
    for page, (output, access) in now.items():
        granted = 0
        for view in (old, new):
            if page in view and view[page][0] == output:
                granted |= view[page][1]
        if access & ~granted:
            return False
    return True


def observed(
    rig: Rig,
    change: Callable[[], None],
    old: Mapping[int, View],
    new: Mapping[int, View],
    *,
    fill_at: Iterable[int] = (),
    walks: bool = True,
) -> list[int]:
    """Carry a change out, look after every store, and return the numbers of the stores that probes could notice.

    Args:
        rig: the rig, whose devices have the `old` views.
        change: calls the driver.
        old: views before, by device.
        new: views after.
        fill_at: numbers of stores after which the unit fills its caches; 0 is before the first.
        walks: look with nothing remembered as well.
    """
    stores = 0
    noticed: list[int] = []
    fill = set(fill_at)
    first = min(fill, default=0)
    memory = rig.memory
    read: set[int] = set()

    def look(when: str) -> None:
        nonlocal read
        memory.touched = read = set()
        if walks:
            compare(rig.reach(remembered=False), f"walk {when}")
        if stores >= first:
            compare(rig.reach(remembered=True), f"caches of {sorted(fill)} {when}")
        memory.touched = set()

    def check(kind: str, address: int) -> None:
        nonlocal stores
        stores += 1
        if stores in fill:
            rig.fill()
        elif kind == "memory" and address & -8 not in read and stores > first:
            return
        if kind == "mmio" or address & -8 in read:
            noticed.append(stores)
        look(f"after store {stores}, {kind} 0x{address:x}")

    def compare(now: Mapping[int, View], when: str) -> None:
        for device in rig.devices:
            assert within(now[device], old[device], new[device]), (when, hex(device), now[device], old, new)

    if 0 in fill:
        rig.fill()
    look("before the first store")
    rig.platform.observers.append(check)
    change()
    rig.platform.observers.clear()
    assert rig.reach(remembered=False) == new, "at the end exactly what was asked for"
    assert rig.reach(remembered=True) == new, "and nothing else is remembered"
    return noticed


def exhaustively(
    make: Callable[[], tuple[Rig, Callable[[], None], Mapping[int, View], Mapping[int, View]]],
) -> list[int]:
    """Observe a change once for every store after which filled caches could matter; return these stores.

    `make` sets the same scene anew each time. Each moment is tried with caches that are empty before, and with caches
    that already hold everything from before the change.
    """
    noticed = observed(*make())
    for moment in (0, *noticed):
        for fill_at in {(moment,), (0, moment)}:
            observed(*make(), fill_at=fill_at, walks=False)
    return noticed


def mapped(
    view: Mapping[int, tuple[int, int]], probes: list[int], start: int, output: int, length: int, access: int
) -> dict[int, tuple[int, int]]:
    """Return the view after mapping a range."""
    more = {page: (output + page - start, access) for page in probes if start <= page < start + length}
    return {**view, **more}


def unmapped(view: Mapping[int, tuple[int, int]], start: int, length: int) -> dict[int, tuple[int, int]]:
    """Return the view after unmapping a range."""
    return {page: value for page, value in view.items() if not start <= page < start + length}


def map_into(domain: Domain, start: int, output: int, length: int, access: int) -> None:
    """Map with permissions given as bits."""
    domain.map(start, output, length, read=bool(access & READ), write=bool(access & WRITE))
