"""A VT-d unit to watch after every single store of the driver; how, `watching` has."""

from __future__ import annotations

from dataclasses import dataclass, field

from iommuman.iommu.platform import PageAllocator, Simulated
from iommuman.iommu.vtd.driver import Domain, Driver
from iommuman.iommu.vtd.layout import CAP, ECAP
from iommuman.iommu.vtd.model import READ, WRITE, Hardware, RemappingUnit

from ..watching import TouchedMemory, views

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
        return views(ask, self.devices, self.probes)

    def fill(self) -> None:
        """Let the unit remember all it can of this instant."""
        self.unit.caches.filling = True
        self.reach(remembered=True)
        self.unit.caches.filling = False


def map_into(domain: Domain, start: int, output: int, length: int, access: int) -> None:
    """Map with permissions given as bits."""
    domain.map(start, output, length, read=bool(access & READ), write=bool(access & WRITE))
