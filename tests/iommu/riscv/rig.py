"""A model with structures written by hand, in plain numbers from the specification, without driver or layout classes.

Device 0x18 has its context at index 0x18 of a one-level directory. VA, GPA and PA differ at every level of a table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from iommuman.iommu.platform import Memory
from iommuman.iommu.riscv.layout.registers import CAPABILITIES
from iommuman.iommu.riscv.model import Capabilities, Model, Outcome, Transaction
from iommuman.iommu.riscv.records import ReportedFault, decode_fault

DID = 0x18
DDT, COMMANDS, FAULTS, REQUESTS, PDT, MSIS = 0x10000, 0x2000, 0x3000, 0x5000, 0x12000, 0x14000
G_ROOT, S_ROOT = 0x20000, 0x28000
"""Roots of the second and first stage; the former has 16 KiB."""
VA = 0x12_3456_7ABC
GPA = 0x98_7654_3ABC
"""Of 40 bits, so that it lies within Sv39x4."""
PA = 0x5_4321_0ABC
V, R, W, X, U, G, A, D = 1, 2, 4, 8, 16, 32, 64, 128
RWX_U = V | R | W | X | U | A | D
SV39, SV48, SV57 = 8, 9, 10
LEVELS = {SV39: 3, SV48: 4, SV57: 5}


def capabilities(**fields: Any) -> Capabilities:
    """Return the default capabilities with fields of the register, or of `Capabilities`, changed."""
    caps = Capabilities()
    names = {field.name for field in CAPABILITIES.fields}
    register = caps.register.replace(**{name: value for name, value in fields.items() if name in names})
    others = {name: value for name, value in fields.items() if name not in names}
    return replace(caps, register=register, **others)


class Rig:
    """A model whose queues run, with a one-level directory."""

    def __init__(self, caps: Capabilities | None = None, *, mode: int = 2, **options: Any) -> None:
        """Make it; `mode` is ddtp.iommu_mode."""
        self.memory = Memory([(0, 1 << 48)])
        self.model = Model(self.memory, caps, **options)
        self._free = 0x10_0000
        self._tail = 0
        self.write(0x18, COMMANDS >> 2 | 3, 8)  # cqb: 16 entries
        self.write(0x28, FAULTS >> 2 | 3, 8)
        self.write(0x38, REQUESTS >> 2 | 1, 8)  # 4 entries
        for csr in (0x48, 0x4C, 0x50):
            self.write(csr, 1)
        self.write(0x10, DDT >> 2 | mode, 8)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        """Write a register."""
        self.model.write_register(offset, value, size)

    def read(self, offset: int, size: int = 4) -> int:
        """Read a register."""
        return self.model.read_register(offset, size)

    def put(self, address: int, *words: int) -> None:
        """Write doublewords."""
        for index, word in enumerate(words):
            self.memory.write_u64(address + 8 * index, word)

    def page(self, size: int = 0x1000) -> int:
        """Return fresh memory aligned to its size."""
        self._free = -(-self._free // size) * size + size
        return self._free - size

    def dc(
        self, tc: int = 1, iohgatp: int = 0, ta: int = 0, fsc: int = 0, *more: int, did: int = DID, at: int = DDT
    ) -> None:
        """Write a device context of 64 bytes."""
        self.put(at + 64 * did, tc, iohgatp, ta, fsc, *(*more, 0, 0, 0, 0)[:4])

    def leaf(
        self, root: int, address: int, output: int, flags: int, level: int = 0, levels: int = 3, *, through: int = 0
    ) -> list[int]:
        """Write a leaf of a level with the tables above it; return the addresses of all entries on the way.

        `through` is added to the address of a table to get the guest physical address that entries hold. The top index
        of a second stage is wider: its root is told by its place.
        """
        table, places = root, []
        for at in range(levels - 1, level - 1, -1):
            wide = 0x7FF if at == levels - 1 and root < S_ROOT else 0x1FF
            place = table + 8 * (address >> 12 + 9 * at & wide)
            places.append(place)
            if at == level:
                self.memory.write_u64(place, output >> 12 << 10 | flags)
            elif self.memory.read_u64(place):
                table = (self.memory.read_u64(place) >> 10 << 12) - through
            else:
                table = self.page()
                self.memory.write_u64(place, table + through >> 12 << 10 | V)
        return places

    def send(self, address: int = VA, **fields: Any) -> Outcome:
        """Send a transaction of the device."""
        return self.model.access(Transaction(fields.pop("device_id", DID), address, **fields))

    def cause(self, address: int = VA, **fields: Any) -> int:
        """Return the cause of a transaction's fault; fail if it gets there."""
        outcome = self.send(address, **fields)
        assert outcome.result == "abort", outcome
        return outcome.cause

    def faults(self) -> list[ReportedFault]:
        """Consume the fault queue."""
        head, tail = self.read(0x30), self.read(0x34)
        records = []
        while head != tail:
            records.append(decode_fault(self.memory.read(FAULTS + head * 32, 32)))
            head = head + 1 & 15
        self.write(0x30, head)
        return records

    def command(self, *pairs: tuple[int, int]) -> int:
        """Submit commands, as pairs of doublewords, and return cqcsr."""
        for low, high in pairs:
            self.put(COMMANDS + self._tail * 16, low, high)
            self._tail = self._tail + 1 & 15
        self.write(0x24, self._tail)
        return self.read(0x48)


def second(
    caps: Capabilities | None = None,
    *,
    mode: int = SV39,
    level: int = 0,
    flags: int = RWX_U,
    tc: int = 1,
    **options: Any,
) -> Rig:
    """Return a rig whose device maps the page of VA at the second stage to PA, GSCID 7."""
    rig = Rig(caps, **options)
    rig.dc(tc, mode << 60 | 7 << 44 | G_ROOT >> 12)
    size = 1 << 12 + 9 * level
    rig.leaf(G_ROOT, VA, PA & -size, flags, level, LEVELS[mode])
    return rig


def first(
    caps: Capabilities | None = None,
    *,
    mode: int = SV39,
    level: int = 0,
    flags: int = RWX_U,
    tc: int = 1,
    **options: Any,
) -> Rig:
    """Return a rig whose device maps the page of VA at the first stage to PA, PSCID 5."""
    rig = Rig(caps, **options)
    rig.dc(tc, 0, 5 << 12, mode << 60 | S_ROOT >> 12)
    size = 1 << 12 + 9 * level
    rig.leaf(S_ROOT, VA, PA & -size, flags, level, LEVELS[mode])
    return rig


WINDOW = 0x40_0000_0000
"""What nested tables' guest physical addresses are above their physical ones."""


def nested(
    caps: Capabilities | None = None,
    *,
    flags1: int = RWX_U,
    flags2: int = RWX_U,
    tables: int = RWX_U,
    tc: int = 1,
    **options: Any,
) -> Rig:
    """Return a rig whose device maps VA to GPA at the first stage and that to PA at the second.

    The first 2 MiB of memory, where all tables are, are mapped with the flags `tables` at WINDOW.
    """
    rig = Rig(caps, **options)
    rig.dc(tc, SV39 << 60 | 7 << 44 | G_ROOT >> 12, 5 << 12, SV39 << 60 | S_ROOT + WINDOW >> 12)
    rig.leaf(S_ROOT, VA, GPA, flags1, through=WINDOW)
    rig.leaf(G_ROOT, GPA, PA, flags2)
    rig.leaf(G_ROOT, WINDOW, 0, tables, 1)
    return rig
