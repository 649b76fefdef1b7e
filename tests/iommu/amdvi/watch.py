"""An AMD-Vi unit to watch after every single store of the driver; how, `watching` has."""

from __future__ import annotations

from dataclasses import dataclass, field

from iommuman.iommu.amdvi.driver import Domain, Driver
from iommuman.iommu.amdvi.layout.registers import EFR
from iommuman.iommu.amdvi.model import READ, WRITE, Hardware, Unit
from iommuman.iommu.platform import PageAllocator, Simulated

from ..watching import TouchedMemory, views

BASE = 0xFED80000
TABLES, TABLES_LENGTH = 0x100000, 0x100000
"""Where the driver has its tables."""
A, B = 0x18, 0x19
"""Two devices."""
DEVICES = 0x80
"""Device IDs that the table is for: one page."""


@dataclass
class Rig:
    """A platform with unit and driver, enabled, and the question what devices reach.

    Attributes:
        probes: page addresses that are asked for.
        efr: what the unit has.
        devices: devices that are asked about.
    """

    probes: list[int]
    efr: EFR = field(default_factory=lambda: EFR(IASup=1, HATS=2))
    devices: tuple[int, ...] = (A, B)

    def __post_init__(self) -> None:
        """Build it and take the unit over."""
        self.memory = TouchedMemory()
        self.platform = Simulated(self.memory)
        self.unit = Unit(self.memory, Hardware(self.efr, physical_bits=46))
        self.platform.attach(BASE, 0x4000, self.unit)
        self.pages = PageAllocator(self.platform, TABLES, TABLES_LENGTH)
        self.driver = Driver(self.platform, BASE, self.pages, host_width=46, devices=DEVICES)
        self.unit.caches.filling = False
        self.driver.enable()

    def reach(self, *, remembered: bool) -> dict[int, dict[int, tuple[int, int]]]:
        """Return the view of every device."""
        return views(self.unit.look if remembered else self.unit.walk, self.devices, self.probes)

    def fill(self) -> None:
        """Let the unit remember all it can of this instant."""
        self.unit.caches.filling = True
        self.reach(remembered=True)
        self.unit.caches.filling = False


def map_into(domain: Domain, start: int, output: int, length: int, access: int) -> None:
    """Map with permissions given as bits."""
    domain.map(start, output, length, read=bool(access & READ), write=bool(access & WRITE))
