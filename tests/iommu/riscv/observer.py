"""Hardware that looks after every single store: what each device reaches must be in the old or the new configuration.

Two models watch the same memory. One remembers all it can, and looks at every probe each time, as hardware is free to:
it shows what is stale. The other remembers nothing and shows what is visible at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.riscv.driver import Domain, Driver
from iommuman.iommu.riscv.layout.registers import REGISTERS_SIZE
from iommuman.iommu.riscv.model import READ, WRITE, Capabilities, Model

BASE = 0x10_0000_0000
RW, RO = 3, 1
"""Permissions of pages: bit 0 reading, bit 1 writing."""
Probe = tuple[int, int]
"""Device ID, address."""
Reach = dict[tuple[Probe, int], int]
"""Output address by probe and access; what is refused is missing."""


class WatchedMemory(Memory):
    """Memory that notes which doublewords are read."""

    def __init__(self) -> None:
        """Have 64 GiB of RAM."""
        super().__init__([(0, 1 << 36)])
        self.seen: set[int] = set()

    def read(self, address: int, size: int) -> bytes:
        """Note and read."""
        self.seen.update(range(address >> 3, address + size + 7 >> 3))
        return super().read(address, size)

    def read_u64(self, address: int) -> int:
        """Note and read."""
        self.seen.add(address >> 3)
        return super().read_u64(address)


class Pair:
    """Two models as one block of registers."""

    def __init__(self, models: Iterable[Model]) -> None:
        """Take them."""
        self.models = tuple(models)

    def read_register(self, offset: int, size: int) -> int:
        """Read the first one's."""
        return self.models[0].read_register(offset, size)

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Write to both."""
        for model in self.models:
            model.write_register(offset, value, size)


class Board:
    """A driver on watched hardware, with the reach that everything is meant to have."""

    def __init__(self, probes: Iterable[Probe], caps: Capabilities | None = None) -> None:
        """Put memory, models and driver together; the driver is not yet started."""
        self.memory = WatchedMemory()
        self.models = (Model(self.memory, caps), Model(self.memory, caps, caching=False))
        self.platform = Simulated(self.memory)
        self.platform.attach(BASE, REGISTERS_SIZE, Pair(self.models))
        self.allocator = PageAllocator(self.platform, 0x4000_0000, 0x1000_0000)
        self.driver = Driver(self.platform, BASE, self.allocator)
        self.probes = list(probes)
        self.ranges: dict[Domain, dict[int, tuple[int, int]]] = {}
        """Output and permissions of every page, by domain."""
        self.attached: dict[int, Domain | str] = {}
        self.looks = self.stores = 0
        self._old: Reach = {}
        self._new: Reach = {}

    def domain(self, width: int | None = None) -> Domain:
        """Make a domain."""
        made = self.driver.second_stage(width)
        self.ranges[made] = {}
        return made

    def meant(self) -> Reach:
        """Return what every probe is meant to reach."""
        reach: Reach = {}
        for probe in self.probes:
            device, address = probe
            to = self.attached.get(device)
            if to is None:
                continue
            output, access = (address, RW) if isinstance(to, str) else self.ranges[to].get(address >> 12, (0, 0))
            if not isinstance(to, str):
                output += address & 0xFFF
            if access & 1:
                reach[probe, READ] = output
            if access & 2:
                reach[probe, WRITE] = output
        return reach

    @contextmanager
    def change(self) -> Iterator[None]:
        """Watch every store in the block; what is meant changes in it, before the driver acts."""
        self._old = self.meant()
        yield
        self.platform.observers.clear()
        self._old = self._new = self.meant()
        self.look(exactly=True)

    def watch(self) -> None:
        """Begin to watch: what is meant has been changed, the driver acts next."""
        self._new = self.meant()
        self.look()
        self.platform.observers.append(self._stored)

    def _stored(self, kind: str, address: int) -> None:
        self.stores += 1
        if kind == "mmio" or address >> 3 in self.memory.seen:
            self.look()

    def look(self, *, exactly: bool = False) -> None:
        """Let both models try every probe."""
        self.looks += 1
        self.memory.seen = set()
        for model in self.models:
            for probe in self.probes:
                for access in (READ, WRITE):
                    got = model.translate(*probe, access)
                    key = (probe, access)
                    if exactly:
                        assert got == self._new.get(key, -1), f"{probe} {access}: {got:#x} at the end"
                    elif got != -1:
                        assert got in (self._old.get(key), self._new.get(key)), f"{probe} {access}: {got:#x}"

    # --- operations, watched ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the driver."""
        with self.change():
            self.attached.clear()
            self.watch()
            self.driver.start()

    def attach(self, device: int, to: Domain | str) -> None:
        """Attach a device to a domain, let it pass, or block it."""
        with self.change():
            self.attached.pop(device, None)
            if to != "block":
                self.attached[device] = to
            self.watch()
            if isinstance(to, Domain):
                self.driver.attach(device, to)
            elif to == "pass":
                self.driver.pass_through(device)
            else:
                self.driver.block(device)

    def map(self, domain: Domain, address: int, output: int, size: int, access: int = RW) -> None:
        """Map a range; what was mapped there goes."""
        with self.change():
            pages = range(size >> 12)
            self.ranges[domain].update({(address >> 12) + page: (output + (page << 12), access) for page in pages})
            self.watch()
            domain.map(address, output, size, write=bool(access & 2))

    def unmap(self, domain: Domain, address: int, size: int) -> None:
        """Unmap a range."""
        with self.change():
            for page in range(address >> 12, address + size >> 12):
                self.ranges[domain].pop(page, None)
            self.watch()
            domain.unmap(address, size)
