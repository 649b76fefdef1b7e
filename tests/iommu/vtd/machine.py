"""A unit with tables written word by word, in plain numbers from the specification, without the driver or the layout.

Legacy: one device, 00:03.0 (source-id 0x18), address 0x40201000 + offset. Every level of its tables has one entry.
"""

from __future__ import annotations

from iommuman.iommu.platform import Memory, Simulated
from iommuman.iommu.vtd.layout import CAP, ECAP
from iommuman.iommu.vtd.model import Blocked, Hardware, RemappingUnit
from iommuman.iommu.vtd.names import Reason

BASE = 0xFED90000
SOURCE = 0x18
"""00:03.0"""
ROOT, CONTEXT, DIRECTORY, PASIDS = 0x10000, 0x11000, 0x12000, 0x13000
SECOND = {1: 0x21000, 2: 0x22000, 3: 0x23000, 4: 0x24000, 5: 0x25000}
FIRST = {1: 0x31000, 2: 0x32000, 3: 0x33000, 4: 0x34000}
QUEUE, IRTES = 0x40000, 0x50000
ADDRESS = 0x40201ABC
"""Index 1 at level 3, 1 at level 2, 1 at level 1."""
PAGE = 0x9_8765_4000
SIZES = {1: 1 << 12, 2: 1 << 21, 3: 1 << 30}

# What QEMU 10 has, with zero-length reads (22) and protected memory (6:5) added: 3 and 4 levels, 2 MiB and 1 GiB,
# 48 bits, one fault record at 0x220.
LEGACY_CAP = 0x00D2008C_222F0606 | 1 << 22 | 3 << 5
LEGACY_ECAP = 0x00F00F5A
SCALABLE_CAP = LEGACY_CAP | 1 << 56
# Also NEST 26, ERS 30, SRS 31, EAFS 34, PSS 39:35 = 19, PASID 40, SMTS 43, SSADS 45, SSTS 46, FSTS 47, SMPWCS 48 and
# RPS 49.
SCALABLE_ECAP = (
    LEGACY_ECAP | 1 << 26 | 3 << 30 | 1 << 34 | 19 << 35 | 1 << 40 | 1 << 43 | 1 << 45 | 1 << 46 | 1 << 47 | 3 << 48
)


class Machine:
    """Memory, platform and unit."""

    def __init__(self, cap: int = LEGACY_CAP, ecap: int = LEGACY_ECAP, *, haw: int = 46, compress: bool = True) -> None:
        """Make a machine whose unit does nothing yet."""
        self.memory = Memory([(0, 1 << 40)])
        self.platform = Simulated(self.memory)
        self.messages: list[tuple[int, int]] = []
        hardware = Hardware(CAP(cap), ECAP(ecap), haw)
        self.unit = RemappingUnit(self.memory, hardware, lambda a, d: self.messages.append((a, d)), compress=compress)
        self.platform.attach(BASE, 0x1000, self.unit)

    def put(self, address: int, *words: int) -> None:
        """Write doublewords."""
        for index, word in enumerate(words):
            self.memory.write_u64(address + 8 * index, word & (1 << 64) - 1)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        """Write a register."""
        self.platform.write_mmio(BASE + offset, value, size)

    def read(self, offset: int, size: int = 4) -> int:
        """Read a register."""
        return self.platform.read_mmio(BASE + offset, size)

    def start(self, root: int = ROOT) -> None:
        """Set the root table pointer, then enable translation."""
        self.write(0x20, root, 8)
        self.write(0x18, 1 << 30)
        self.write(0x18, 1 << 31)

    def reason(self, address: int = ADDRESS, access: int = 1, source: int = SOURCE, **more: object) -> Reason | None:
        """Return why a request is blocked; fail if it is not."""
        result = self.unit.translate(source, address, access, **more)  # type: ignore[arg-type]
        assert isinstance(result, Blocked), f"reached {result:#x}"
        return result.reason

    def forget(self) -> None:
        """Drop everything the unit remembers, and its fault records."""
        self.unit.caches.clear()
        self.unit.caches.interrupts.clear()
        for index in range((self.read(8, 8) >> 40 & 0xFF) + 1):
            self.write(0x220 + 16 * index + 12, 1 << 31)
        self.write(0x34, 0x7F)


def legacy(
    leaf: int = 1, levels: int = 3, *, flags: int = 3, tt: int = 0, cap: int = LEGACY_CAP, ecap: int = LEGACY_ECAP
) -> Machine:
    """A legacy-mode machine that maps one page of level `leaf` at ADDRESS to PAGE rounded down to its size."""
    machine = Machine(cap, ecap)
    machine.put(ROOT, CONTEXT | 1, 0)  # root entry of bus 0: P, context table
    # Context entry of 00:03.0 at index 0x18: q0 P, TT, table; q1 AW = levels - 2, domain 0x77.
    machine.put(CONTEXT + 0x18 * 16, SECOND[levels] | tt << 2 | 1, levels - 2 | 0x77 << 8)
    second_stage(machine, leaf, levels, flags=flags)
    machine.start()
    return machine


def second_stage(machine: Machine, leaf: int = 1, levels: int = 3, *, flags: int = 3, address: int = ADDRESS) -> None:
    """Write one path of second-stage tables."""
    for level in range(levels, leaf, -1):
        machine.put(entry_at(SECOND, level, address), SECOND[level - 1] | 3)
    machine.put(entry_at(SECOND, leaf, address), output(leaf) | flags | (0x80 if leaf > 1 else 0))


def first_stage(machine: Machine, leaf: int = 1, *, flags: int = 0x67, address: int = ADDRESS) -> None:
    """Write one path of first-stage tables; flags 0x67: present, writable, user, accessed, dirty."""
    for level in range(4, leaf, -1):
        machine.put(entry_at(FIRST, level, address), FIRST[level - 1] | 0x27)
    machine.put(entry_at(FIRST, leaf, address), output(leaf) | flags | (0x80 if leaf > 1 else 0))


def entry_at(tables: dict[int, int], level: int, address: int = ADDRESS) -> int:
    """Return where the entry of a level is."""
    return tables[level] + (address >> 12 + 9 * (level - 1) & 0x1FF) * 8


def output(leaf: int) -> int:
    """Return the page that is mapped, of the size of level `leaf`."""
    return PAGE & -SIZES[leaf]


def scalable(
    pgtt: int = 2,
    *,
    leaf: int = 1,
    levels: int = 3,
    q0: int = 0,
    q2: int = 0,
    cap: int = SCALABLE_CAP,
    ecap: int = SCALABLE_ECAP,
    pasid: int = 0,
) -> Machine:
    """A scalable-mode machine: PASID entry of type `pgtt` with extra bits, and both stages written."""
    machine = Machine(cap, ecap)
    machine.put(ROOT, CONTEXT | 1, 0)  # lower half: devices 0 to 15
    # Context entry, 32 bytes, index 0x18: P, PASIDE (bit 3), PDTS = 2 (11:9), directory; q1 RID_PASID = 0.
    machine.put(CONTEXT + 0x18 * 32, DIRECTORY | 2 << 9 | 1 << 3 | 1, 0, 0, 0)
    machine.put(DIRECTORY + (pasid >> 6) * 8, PASIDS | 1)
    # PASID entry: q0 P, AW (4:2), PGTT (8:6), table; q1 domain 0x55, PWSNP (bit 23); q2 first-stage table.
    machine.put(
        PASIDS + (pasid & 63) * 64,
        SECOND[levels] | pgtt << 6 | levels - 2 << 2 | q0 | 1,
        0x55 | 1 << 23,
        FIRST[4] | q2,
        0, 0, 0, 0, 0,
    )  # fmt: skip
    first_stage(machine, leaf)
    if pgtt == 3:
        nested_second_stage(machine)
    else:
        second_stage(machine, leaf, levels)
    machine.start(ROOT | 1 << 10)
    return machine


def nested_second_stage(machine: Machine) -> None:
    """Let the second stage map the first 2 MiB (where tables are) and 1 GiB around PAGE one to one."""
    machine.put(entry_at(SECOND, 3, 0), SECOND[2] | 3)
    machine.put(entry_at(SECOND, 2, 0), SECOND[1] | 3)
    for page in range(512):
        machine.put(SECOND[1] + 8 * page, page << 12 | 3)
    machine.put(entry_at(SECOND, 3, PAGE), PAGE & -(1 << 30) | 0x83)
