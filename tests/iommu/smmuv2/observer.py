"""Hardware that looks after every single store: what each stream reaches must be in the old or the new configuration.

Two models watch the same memory. One remembers all it can, and looks at every probe each time, as hardware is free to:
it shows what is stale. The other remembers nothing and shows what is visible at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.smmuv2.driver import Domain, Driver
from iommuman.iommu.smmuv2.model import READ, WRITE, Capabilities, Model

BASE = 0x2B50_0000
RW, RO = 3, 1
"""Permissions of pages: bit 0 reading, bit 1 writing."""
Probe = tuple[int, int]
"""Stream ID, address."""
Reach = dict[tuple[Probe, int], int]
"""Output address by probe and access; what is refused is missing."""


class WatchedMemory(Memory):
    """Memory that notes which doublewords are read."""

    def __init__(self) -> None:
        """Have 64 GiB of RAM."""
        super().__init__([(0, 1 << 36)])
        self.seen: set[int] = set()

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
        """Read both, since reading can complete an invalidation; answer as the first does."""
        return next(model.read_register(offset, size) for model in self.models)

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
        self.platform.attach(BASE, self.models[0].pages.total, Pair(self.models))
        self.allocator = PageAllocator(self.platform, 0x4000_0000, 0x1000_0000)
        self.driver = Driver(self.platform, BASE, self.allocator)
        self.probes = list(probes)
        self.ranges: dict[Domain, dict[int, tuple[int, int]]] = {}
        """Output and permissions of every page, by domain."""
        self.attached: dict[int, Domain] = {}
        self.before: Reach | None = None
        """What every probe reaches before the unit is taken over; None: what `attached` says."""
        self.looks = 0
        self._old: Reach = {}
        self._new: Reach = {}

    def domain(self) -> Domain:
        """Make a domain, watched: no stream's reach changes."""
        with self.change():
            self.watch()
            made = self.driver.create_domain()
            self.ranges[made] = {}
        return made

    def release(self, domain: Domain) -> None:
        """Release a domain, watched."""
        with self.change():
            self.watch()
            self.driver.release(domain)
            del self.ranges[domain]

    def meant(self) -> Reach:
        """Return what every probe is meant to reach."""
        reach: Reach = {}
        for probe in self.probes:
            stream, address = probe
            to = self.attached.get(stream)
            if to is None:
                continue
            output, access = self.ranges[to].get(address >> 12, (0, 0))
            output += address & 0xFFF
            if access & 1:
                reach[probe, READ] = output
            if access & 2:
                reach[probe, WRITE] = output
        return reach

    @contextmanager
    def change(self) -> Iterator[None]:
        """Watch every store in the block; what is meant changes in it, before the driver acts."""
        self._old = self.meant() if self.before is None else self.before
        yield
        self.platform.observers.clear()
        self.before = None
        self._old = self._new = self.meant()
        self.look(exactly=True)

    def watch(self) -> None:
        """Begin to watch: what is meant has been changed, the driver acts next."""
        self._new = self.meant()
        self.look()
        self.platform.observers.append(self._stored)

    def _stored(self, kind: str, address: int) -> None:
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

    def attach(self, stream: int, to: Domain | None) -> None:
        """Attach a stream to a domain, or block it."""
        with self.change():
            self.attached.pop(stream, None)
            if to is not None:
                self.attached[stream] = to
            self.watch()
            if to is None:
                self.driver.block(stream)
            else:
                self.driver.attach(stream, to)

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
