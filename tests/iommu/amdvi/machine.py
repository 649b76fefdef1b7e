"""A unit with tables written word by word, in plain numbers from the specification, without the driver or the layout.

One device, 00:03.0 (device ID 0x18), address 0x40201ABC. Every level of its tables has one entry.
"""

from __future__ import annotations

from iommuman.iommu.amdvi.layout.registers import EFR
from iommuman.iommu.amdvi.model import Blocked, Hardware, Unit
from iommuman.iommu.platform import Memory, Simulated

BASE = 0xFED80000
DEVICE = 0x18
"""00:03.0"""
DOMAIN = 0x77
DEVICES, COMMANDS, EVENTS, IRTES = 0x10000, 0x20000, 0x30000, 0x40000
TABLES = {level: 0x50000 + 0x1000 * level for level in range(1, 7)}
ADDRESS = 0x40201ABC
"""Index 1 at level 3, 1 at level 2, 1 at level 1."""
PAGE = 0x9_8765_4000
SIZES = {level: 1 << 3 + 9 * level for level in range(1, 7)}
RW = 3 << 61

V, TV = 1, 2
CONTROL, STATUS = 0x18, 0x2020
ON = 1 | 1 << 2 | 1 << 12
"""IommuEn, EventLogEn, CmdBufEn."""
FEATURES = 1 << 6 | 1 << 7 | 2 << 10
"""IASup, GASup, HATS = 2: six levels."""


class Machine:
    """Memory, platform and unit, its buffers set, and the unit on."""

    def __init__(self, features: int = FEATURES, *, control: int = ON, device_tlbs: bool = True) -> None:
        """Make a machine whose device table is zeros: every device passes."""
        self.memory = Memory([(0, 1 << 40)])
        self.platform = Simulated(self.memory)
        self.notices = 0
        hardware = Hardware(EFR(features), 46, device_tlbs=device_tlbs)
        self.unit = Unit(self.memory, hardware, self._notice)
        self.platform.attach(BASE, 0x4000, self.unit)
        self.tail = self.head = 0
        self.write(0x00, DEVICES | 0)  # 128 entries
        self.write(0x08, COMMANDS | 8 << 56)
        self.write(0x10, EVENTS | 8 << 56)
        self.write(CONTROL, control)

    def _notice(self) -> None:
        self.notices += 1

    def put(self, address: int, *words: int) -> None:
        """Write doublewords."""
        for index, word in enumerate(words):
            self.memory.write_u64(address + 8 * index, word & (1 << 64) - 1)

    def write(self, offset: int, value: int, size: int = 8) -> None:
        """Write a register."""
        self.platform.write_mmio(BASE + offset, value, size)

    def read(self, offset: int, size: int = 8) -> int:
        """Read a register."""
        return self.platform.read_mmio(BASE + offset, size)

    def entry(self, *words: int, device: int = DEVICE) -> None:
        """Write a device table entry; the unit forgets the old one."""
        self.put(DEVICES + 32 * device, *words, *[0] * (4 - len(words)))
        self.unit.caches.clear()

    def command(self, low: int, high: int = 0) -> None:
        """Give the unit a command."""
        self.put(COMMANDS + self.tail, low, high)
        self.tail = (self.tail + 16) % 4096
        self.write(0x2008, self.tail)

    def events(self) -> list[tuple[int, int]]:
        """Return the events since the last call, as two words each."""
        found = []
        while self.head != self.read(0x2018):
            at = EVENTS + self.head
            found.append((self.memory.read_u64(at), self.memory.read_u64(at + 8)))
            self.head = (self.head + 16) % 4096
        self.write(0x2010, self.head)
        return found

    def flags(self, address: int = ADDRESS, access: int = 1, device: int = DEVICE) -> tuple[int, int]:
        """Return code and `flags` (bits 59:48) of the one event of a request; fail if it passes."""
        result = self.unit.translate(device, address, access)
        assert isinstance(result, Blocked), f"reached {result:#x}"
        ((low, _),) = self.events()
        assert result.recorded
        assert result.event is not None
        assert low == result.event.words[0]
        return low >> 60, low >> 48 & 0xFFF


def mapped(leaf: int = 1, levels: int = 3, *, leaf_bits: int = RW, q1: int = DOMAIN, address: int = ADDRESS) -> Machine:
    """A machine that maps one page of level `leaf` at ADDRESS to PAGE rounded down to its size."""
    machine = Machine()
    machine.entry(TABLES[levels] | V | TV | levels << 9 | RW, q1)
    for level in range(levels, leaf, -1):
        machine.put(entry_at(level, address), TABLES[level - 1] | 1 | level - 1 << 9 | RW)
    machine.put(entry_at(leaf, address), PAGE & -SIZES[leaf] | 1 | leaf_bits)
    return machine


def entry_at(level: int, address: int = ADDRESS) -> int:
    """Return where the entry of a level is."""
    return TABLES[level] + (address >> 3 + 9 * level & 0x1FF) * 8
