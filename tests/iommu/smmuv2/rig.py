"""A model with registers and tables written by hand, in plain numbers, without driver or layout classes.

Stream 0x18 is matched by entry 3 and goes to bank 5, whose VMID is 7. Input and output differ at every level.
"""

from __future__ import annotations

from typing import Any

from iommuman.iommu.platform import Memory
from iommuman.iommu.smmuv2.layout.registers import ID0, ID1, ID2
from iommuman.iommu.smmuv2.model import Capabilities, Model, Outcome, Transaction
from iommuman.iommu.smmuv2.records import ReportedFault, decode_context, decode_global

SID, ENTRY, BANK, VMID = 0x18, 3, 5, 7
PAGE = 0x1000
GR1 = PAGE
CB = (64 + BANK) * PAGE
"""Offset of the bank's page in the default unit: 64 pages of 4 KiB before the banks."""
ROOT = 0x20_0000
IPA = 0x12_3456_7ABC
PA = 0x5_4321_0ABC
AF = 1 << 10
LEAF = 0x3FF & ~0x3 | AF | 1
"""S2AP 3, inner shareable, normal write-back, access flag; valid, without the type bit."""


def capabilities(**fields: int) -> Capabilities:
    """Return the default capabilities with fields of identification registers changed."""
    caps = Capabilities()
    registers = []
    for register in (caps.id0, caps.id1, caps.id2):
        names = {field.name for field in register.fields}
        registers.append(register.replace(**{name: value for name, value in fields.items() if name in names}))
    id0, id1, id2 = registers
    assert isinstance(id0, ID0)
    assert isinstance(id1, ID1)
    assert isinstance(id2, ID2)
    return Capabilities(id0, id1, id2, caps.id7)


PLAIN = capabilities(EXIDS=0)
INDEXED = capabilities(SMS=0, EXIDS=0, NUMSMRG=64)
V1 = capabilities(EXIDS=0, S1TS=0, PTFS_4K=0, PTFS_16K=0, PTFS_64K=0, VMID16=0, IAS=2, OAS=2)
"""An MMU-400: stage 2 with AArch32 tables of 40 bits."""


class Rig:
    """A model whose stream translates at stage 2: four levels of 4 KiB, 48 bits on both sides."""

    def __init__(
        self, caps: Capabilities | None = None, *, sctlr: int = 0x121, tcr: int = 0x8005_3590, **options: Any
    ) -> None:
        """Make it; `sctlr` is by default M, CFRE and HUPCF, `tcr` T0SZ 16, SL0 2, PS 48 bits."""
        self.memory = Memory([(0, 1 << 48)])
        self.model = Model(self.memory, caps, **options)
        self._free = 0x30_0000
        self.write(GR1 + 0x800 + 4 * BANK, 1)  # CBA2R: AArch64
        self.write(GR1 + 4 * BANK, VMID)  # CBAR: stage 2
        self.write(CB + 0x30, tcr)
        self.write(CB + 0x20, ROOT, 8)
        self.write(CB, sctlr)
        self.write(0xC00 + 4 * ENTRY, BANK)  # S2CR
        self.write(0x800 + 4 * ENTRY, 1 << 31 | SID)  # SMR
        self.write(0, 0x402)  # sCR0: USFCFG, GFRE

    def write(self, offset: int, value: int, size: int = 4) -> None:
        """Write a register."""
        self.model.write_register(offset, value, size)

    def read(self, offset: int, size: int = 4) -> int:
        """Read a register."""
        return self.model.read_register(offset, size)

    def page(self, size: int = 0x1000) -> int:
        """Return fresh memory aligned to its size."""
        self._free = -(-self._free // size) * size + size
        return self._free - size

    def leaf(
        self,
        address: int,
        output: int,
        bits: int = LEAF,
        level: int = 3,
        *,
        first: int = 0,
        root: int = ROOT,
        granule: int = 12,
        table_bits: int = 0,
    ) -> list[int]:
        """Write a leaf of a level with the tables above it; return the addresses of all descriptors on the way."""
        table, places, stride = root, [], granule - 3
        for at in range(first, level + 1):
            index = address >> granule + stride * (3 - at)
            place = table + 8 * (index if at == first else index & (1 << stride) - 1)
            places.append(place)
            if at == level:
                self.memory.write_u64(place, output | bits | (2 if level == 3 else 0))
            elif self.memory.read_u64(place):
                table = self.memory.read_u64(place) & 0xFFFF_FFFF_F000
            else:
                table = self.page(1 << granule)
                self.memory.write_u64(place, table | 3 | table_bits)
        return places

    def send(self, address: int = IPA, stream_id: int = SID, **fields: Any) -> Outcome:
        """Send a transaction of the stream."""
        return self.model.access(Transaction(stream_id, address, **fields))

    def fault(self) -> ReportedFault | None:
        """Return what the bank's fault registers hold, and clear them."""
        raw = b"".join(self.read(CB + at).to_bytes(4, "little") for at in range(0x58, 0x78, 4))
        raw += self.read(GR1 + 0x400 + 4 * BANK).to_bytes(4, "little")
        status = self.read(CB + 0x58)
        self.write(CB + 0x58, status)
        return decode_context(raw, BANK) if status else None

    def global_fault(self) -> ReportedFault | None:
        """Return what the global fault registers hold, and clear them."""
        raw = b"".join(self.read(at).to_bytes(4, "little") for at in range(0x40, 0x60, 4))
        status = self.read(0x48)
        self.write(0x48, status)
        return decode_global(raw) if status else None


def mapped(caps: Capabilities | None = None, bits: int = LEAF, level: int = 3, **options: Any) -> Rig:
    """Return a rig that maps the page, or block, of IPA to PA."""
    rig = Rig(caps, **options)
    size = 1 << 12 + 9 * (3 - level)
    rig.leaf(IPA & -size, PA & -size, bits, level)
    return rig
