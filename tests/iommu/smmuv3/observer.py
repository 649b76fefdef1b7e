"""Hardware that looks after every single store: what each device reaches must be in the old or the new configuration.

Two models watch the same memory. One has caches, and fills them at every look, as hardware is free to: it shows what is
stale. The other has none and shows what is visible at once. A store to memory that neither model read when it last
looked cannot change what they see, and is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.smmuv3 import REGISTERS_SIZE, Capabilities, Domain, Driver, Model, Permission
from iommuman.iommu.smmuv3.model import READ, WRITE

BASE = 0x10_0000_0000
GUEST, WINDOW = 0x3000_0000, 0x1_0000_0000
"""Where the tables of nested domains are, and what is added to get their IPA."""
RW, RO = Permission.READ | Permission.WRITE, Permission.READ
Probe = tuple[int, int | None, int]
"""Stream ID, substream ID, address."""
Reach = dict[tuple[Probe, int], int]
"""Output address by probe and access; what is refused is missing."""


class WatchedMemory(Memory):
    """Memory that notes which doublewords are read."""

    def __init__(self) -> None:
        """Have 64 GiB of RAM."""
        super().__init__([(0, 1 << 36)])
        self.seen: set[int] = set()
        self.noting = False

    def read(self, address: int, size: int) -> bytes:
        """Note and read."""
        if self.noting:
            self.seen.update(range(address >> 3, address + size + 7 >> 3))
        return super().read(address, size)

    def read_u64(self, address: int) -> int:
        """Note and read."""
        if self.noting:
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


class Space:
    """What a domain is meant to map: disjoint (start, size, output, permission)."""

    def __init__(self, parent: Space | None = None) -> None:
        """Map nothing."""
        self.parent = parent
        self.ranges: list[tuple[int, int, int, Permission]] = []

    def map(self, start: int, output: int, size: int, permission: Permission) -> None:
        """Add a range."""
        self.ranges.append((start, size, output, permission))

    def unmap(self, start: int, size: int) -> None:
        """Take a range away."""
        kept = []
        for low, length, output, permission in self.ranges:
            for first, last in ((low, min(low + length, start)), (max(low, start + size), low + length)):
                if first < last:
                    kept.append((first, last - first, output + first - low, permission))
        self.ranges = kept

    def free(self, start: int, size: int) -> bool:
        """Tell whether nothing is mapped in a range."""
        return all(start >= low + length or low >= start + size for low, length, _, _ in self.ranges)

    def find(self, address: int) -> tuple[int, Permission]:
        """Return output and permission of an address; no permission where nothing is mapped."""
        for low, length, output, permission in self.ranges:
            if low <= address < low + length:
                if self.parent is None:
                    return output + address - low, permission
                final, below = self.parent.find(output + address - low)
                return final, permission & below
        return 0, Permission(0)


class Board:
    """A driver on watched hardware, with the reach that everything is meant to have."""

    def __init__(self, caps: Capabilities | None = None, probes: Iterable[Probe] = (), **driver: int) -> None:
        """Put memory, models and driver together; the driver is not yet started."""
        self.memory = WatchedMemory()
        caps = caps or Capabilities()
        self.models = (Model(self.memory, caps), Model(self.memory, caps, caching=False))
        self.platform = Simulated(self.memory)
        self.platform.attach(BASE, REGISTERS_SIZE, Pair(self.models))
        self.allocator = PageAllocator(self.platform, 0x4000_0000, 0x1000_0000)
        self.guest = PageAllocator(self.platform, GUEST, 0x100_0000)
        self.driver = Driver(self.platform, BASE, self.allocator, **driver)
        self.probes = list(probes)
        self.spaces: dict[Domain, Space] = {}
        # After reset GBPA lets everything pass.
        self.attached: dict[tuple[int, int | None], Space | str] = {probe[:2]: "bypass" for probe in self.probes}
        self.looks = self.stores = 0
        self._old: Reach = {}
        self._new: Reach = {}

    def domain(self, stage: int, parent: Domain | None = None, **options: int) -> Domain:
        """Make a domain; one with a parent has its tables in guest memory."""
        if parent is None:
            made = self.driver.create_domain(stage, **options)  # type: ignore[arg-type]
        else:
            made = self.driver.create_domain(1, parent=parent, allocator=self.guest, alias=WINDOW, **options)  # type: ignore[arg-type]
        self.spaces[made] = Space(self.spaces[parent] if parent is not None else None)
        return made

    def meant(self) -> Reach:
        """Return what every probe is meant to reach."""
        reach: Reach = {}
        for probe in self.probes:
            stream, substream, address = probe
            to = self.attached.get((stream, substream), "abort")
            if to == "abort":
                continue
            output, permission = (address, RW) if isinstance(to, str) else to.find(address)
            if permission & Permission.READ:
                reach[probe, READ] = output
            if permission & Permission.WRITE:
                reach[probe, WRITE] = output
        return reach

    @contextmanager
    def change(self) -> Iterator[None]:
        """Watch every store in the block; the block also changes what is meant, before it acts."""
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
        self.memory.noting = True
        for model in self.models:
            for probe in self.probes:
                stream, substream, address = probe
                for access in (READ, WRITE):
                    got = model.translate(stream, address, access, substream)
                    key = (probe, access)
                    if exactly:
                        assert got == self._new.get(key, -1), f"{probe} {access}: {got:#x} at the end"
                    elif got != -1:
                        assert got in (self._old.get(key), self._new.get(key)), f"{probe} {access}: {got:#x}"
        self.memory.noting = False

    # --- operations, watched ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the driver."""
        with self.change():
            self.attached.clear()
            self.watch()
            self.driver.start()

    def attach(self, stream: int, to: Domain | str, **options: object) -> int:
        """Attach a stream and return the number of CMD_SYNC that it took."""
        before = self.driver.commands.syncs
        with self.change():
            for key in [key for key in self.attached if key[0] == stream]:
                del self.attached[key]
            default = options.get("default", "domain") if options.get("substream_bits") else "domain"
            if default == "domain":
                self.attached[stream, None] = to if isinstance(to, str) else self.spaces[to]
            elif default == "bypass":
                self.attached[stream, None] = "bypass"
            self.watch()
            self.driver.attach(stream, to, **options)  # type: ignore[arg-type]
        return self.driver.commands.syncs - before

    def set_substream(self, stream: int, substream: int, domain: Domain | None) -> int:
        """Set a substream and return the number of CMD_SYNC that it took."""
        before = self.driver.commands.syncs
        with self.change():
            self.attached.pop((stream, substream), None)
            if domain is not None:
                self.attached[stream, substream] = self.spaces[domain]
            self.watch()
            self.driver.set_substream(stream, substream, domain)
        return self.driver.commands.syncs - before

    def map(self, domain: Domain, address: int, output: int, size: int, permission: Permission = RW) -> None:
        """Map a range."""
        with self.change():
            self.spaces[domain].map(address, output, size, permission)
            self.watch()
            self.driver.map(domain, address, output, size, permission)

    def unmap(self, domain: Domain, address: int, size: int) -> None:
        """Unmap a range."""
        with self.change():
            self.spaces[domain].unmap(address, size)
            self.watch()
            self.driver.unmap(domain, address, size)
