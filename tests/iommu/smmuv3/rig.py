"""A model with tables written by hand: a third coding beside driver and model, kept as plain as possible."""

from __future__ import annotations

from typing import Any

from iommuman.iommu.bits import Bits
from iommuman.iommu.platform import Memory
from iommuman.iommu.smmuv3.layout import CD, STE
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.layout.queues import Command
from iommuman.iommu.smmuv3.model import Capabilities, Model, Outcome, Transaction
from iommuman.iommu.smmuv3.records import EventRecord, decode_event

COMMANDS, EVENTS, REQUESTS, STREAMS, CONTEXT = 0x2000, 0x3000, 0x5000, 0x8000, 0x9000
SID = 3
"""The stream under test."""
AF, NG = 1 << 10, 1 << 11
S1_RW = 1 << 6 | AF | NG | 1
"""Attributes of a stage 1 block: AP 01, access flag, not global, valid."""
S2_RW = 3 << 6 | 0xF << 2 | AF | 1
"""Attributes of a stage 2 block: read and write, normal memory, access flag, valid."""


def capabilities(**fields: int) -> Capabilities:
    """Return the default capabilities with fields changed, each found in whichever register has it."""
    caps = Capabilities()
    for name, value in fields.items():
        for register in (caps.idr0, caps.idr1, caps.idr3, caps.idr5, caps.aidr):
            if name in dict(register.items()):
                setattr(register, name, value)
    return caps


class Rig:
    """A model whose registers are programmed, with stream tables of 64 entries and small queues."""

    def __init__(self, caps: Capabilities | None = None, *, enable: bool = True, **options: Any) -> None:
        """Make it; with `enable` translation and all queues run."""
        self.memory = Memory([(0, 1 << 52)])
        self.model = Model(self.memory, caps, **options)
        self._free = 0x10_0000
        self._prod = 0
        self.write(regs.STRTAB_BASE(ADDR=STREAMS))
        self.write(regs.STRTAB_BASE_CFG(LOG2SIZE=6))
        self.write(regs.CMDQ_BASE(ADDR=COMMANDS, LOG2SIZE=4))
        self.write(regs.EVENTQ_BASE(ADDR=EVENTS, LOG2SIZE=4))
        self.write(regs.PRIQ_BASE(ADDR=REQUESTS, LOG2SIZE=2))
        self.write(regs.CR2(RECINVSID=1))
        if enable:
            self.write(regs.CR0(SMMUEN=1, CMDQEN=1, EVENTQEN=1, PRIQEN=1))

    def write(self, register: Bits) -> None:
        """Write a register."""
        self.model.write_register(register.offset, register.value, register.size)

    def read(self, layout: type[Any]) -> Any:
        """Read a register."""
        return layout(self.model.read_register(layout.offset, layout.size))

    def page(self, size: int = 0x1000) -> int:
        """Return fresh memory aligned to its size."""
        self._free = -(-self._free // size) * size + size
        return self._free - size

    def command(self, *commands: Command) -> int:
        """Submit commands and return CMDQ_CONS.ERR."""
        for command in commands:
            self.memory.write(COMMANDS + (self._prod & 15) * 16, bytes(command))
            self._prod = (self._prod + 1) & 31
        self.write(regs.CMDQ_PROD(WR=self._prod))
        return int(self.read(regs.CMDQ_CONS).ERR)

    def ste(self, sid: int = SID, /, **fields: int) -> STE:
        """Write an STE."""
        ste = STE(**fields)
        self.memory.write(STREAMS + 64 * sid, bytes(ste))
        return ste

    def stage1(self, sid: int = SID, /, **fields: int) -> None:
        """Write an STE that selects stage 1."""
        self.ste(sid, **{"V": 1, "Config": 5, "S1ContextPtr": CONTEXT} | fields)

    def stage2(self, sid: int = SID, /, **fields: int) -> int:
        """Write an STE that selects stage 2: 40 bits, 4 KiB, two tables in a row at level 1; return the table."""
        table = fields.pop("S2TTB", 0) or self.page(0x2000)
        default = {"V": 1, "Config": 6, "S2T0SZ": 24, "S2SL0": 1, "S2PS": 5, "S2AA64": 1, "S2R": 1, "S2VMID": 9}
        self.ste(sid, **default | {"S2TTB": table} | fields)
        return table

    def cd(self, at: int = CONTEXT, /, **fields: int) -> CD:
        """Write a CD: TTB0 of 48 bits, 4 KiB."""
        default = {"V": 1, "AA64": 1, "A": 1, "R": 1, "EPD1": 1, "T0SZ": 16, "IPS": 5, "ASID": 7}
        cd = CD(**default | fields)
        self.memory.write(at, bytes(cd))
        return cd

    def leaf(
        self, root: int, granule: int, bits: int, start: int, address: int, level: int, descriptor: int
    ) -> list[int]:
        """Write a leaf at a level, with the tables above it; return the addresses of all descriptors on the way."""
        table, places = root, []
        for at in range(start, level + 1):
            shift = granule + (granule - 3) * (3 - at)
            width = bits - shift if at == start else granule - 3
            place = table + 8 * (address >> shift & (1 << width) - 1)
            places.append(place)
            if at == level:
                self.memory.write_u64(place, descriptor)
            elif self.memory.read_u64(place):
                table = self.memory.read_u64(place) >> 12 << 12
            else:
                table = self.page(1 << granule)
                self.memory.write_u64(place, table | 3)
        return places

    def send(self, address: int, sid: int = SID, **fields: Any) -> Outcome:
        """Send a transaction."""
        return self.model.access(Transaction(sid, address, **fields))

    def events(self) -> list[EventRecord]:
        """Consume the event queue."""
        prod, cons = self.read(regs.EVENTQ_PROD), self.read(regs.EVENTQ_CONS)
        records = []
        while cons.RD != prod.WR:
            records.append(decode_event(self.memory.read(EVENTS + (cons.RD & 15) * 32, 32)))
            cons.RD = (cons.RD + 1) & 31
        self.write(cons.replace(OVACKFLG=prod.OVFLG))
        return records

    def names(self) -> list[str]:
        """Consume the event queue and return the names of the events."""
        return [event.name for event in self.events()]


def simple_stage1(granule: int = 12, level: int = 3, bits: int = 48, attributes: int = S1_RW, **cd: int) -> Rig:
    """Return a rig whose stream maps address 0x40_0000_0000 (+ one page or block) at stage 1 to 0x80_0000_0000."""
    rig = Rig()
    root = rig.page(1 << granule)
    start = 4 - -(-(bits - granule) // (granule - 3))
    rig.stage1()
    rig.cd(**{"TTB0": root, "TG0": {12: 0, 14: 2, 16: 1}[granule], "T0SZ": 64 - bits} | cd)
    rig.leaf(root, granule, bits, start, 0x40_0000_0000, level, 0x80_0000_0000 | attributes | (2 if level == 3 else 0))
    return rig
