"""A context bank: its registers, and the stages that they configure."""

from __future__ import annotations

from .. import layout
from ..layout import FSR
from ..layout.registers import (
    ACTLR,
    CBA2R,
    CBAR,
    CONTEXTIDR,
    MAIR0,
    MAIR1,
    RESUME,
    SCTLR,
    TCR,
    TCR2,
    TTBR0,
    TTBR1,
)
from ..names import BankType, TableFormat
from .stage import Stage, stage1, stage2
from .values import Capabilities, Transaction

_ALL = (1 << 32) - 1
FAR, FSRRESTORE, IPAFAR = 0x60, 0x5C, 0x70
FSYNR0, FSYNR1 = 0x68, 0x6C
_KEPT = {
    SCTLR.offset: _ALL & ~SCTLR.reserved_mask,
    ACTLR.offset: _ALL,
    TCR2.offset: _ALL & ~TCR2.reserved_mask,
    **dict.fromkeys((TTBR0.offset, TTBR0.offset + 4, TTBR1.offset, TTBR1.offset + 4), _ALL),
    TCR.offset: _ALL,
    CONTEXTIDR.offset: _ALL,
    MAIR0.offset: _ALL,
    MAIR1.offset: _ALL,
    **dict.fromkeys((FAR, FAR + 4, FSYNR0, FSYNR1, IPAFAR, IPAFAR + 4), _ALL),
}
"""Registers that keep what is written: bits by offset."""
_NO_FLAGS = FSR.SS.mask | FSR.FORMAT.mask
"""Bits of FSR that a write of 1 does not clear."""


class Bank:
    """One context bank.

    Attributes:
        number: its number.
        words: its registers by offset, 32 bits each.
        attributes: CBAR.
        attributes2: CBA2R.
        stream: CBFRSYNRA.
        stalled: transactions that wait for RESUME.
    """

    def __init__(self, number: int, caps: Capabilities) -> None:
        """Make one, reset to zeros."""
        self.number = number
        self.words: dict[int, int] = {}
        self.attributes = CBAR(0)
        self.attributes2 = CBA2R(0)
        self.stream = 0
        self.stalled: list[Transaction] = []
        self._caps = caps
        self._stages: tuple[Stage | None, Stage | None] | None = None

    @property
    def control(self) -> SCTLR:
        """SCTLR."""
        return SCTLR(self.words.get(SCTLR.offset, 0))

    @property
    def status(self) -> FSR:
        """FSR."""
        return FSR(self.words.get(FSR.offset, 0))

    @status.setter
    def status(self, value: FSR) -> None:
        self.words[FSR.offset] = value.value

    @property
    def aarch64(self) -> bool:
        """Its tables are AArch64's."""
        return bool(self.attributes2.VA64)

    @property
    def usable(self) -> bool:
        """Whether the unit can translate as the bank is set up; otherwise its streams are faulted (ICF)."""
        kind, id0, id2 = self.attributes.TYPE, self._caps.id0, self._caps.id2
        if self.aarch64:
            known = id2.PTFS_4K or id2.PTFS_16K or id2.PTFS_64K
        else:
            known = not id0.PTFS_NO_AARCH32 and kind == BankType.STAGE2
        if kind == BankType.STAGE2:
            return bool(known and id0.S2TS)
        return bool(known and kind == BankType.STAGE1 and id0.S1TS and self.number >= self._caps.id1.NUMS2CB)

    @property
    def held(self) -> bool:
        """An earlier fault holds transactions up: SCTLR.HUPCF is 0."""
        return bool(self.status.replace(FORMAT=0).value and not self.control.HUPCF)

    def vmid(self, *, wide: bool) -> int:
        """Return its VMID; `wide` says that VMIDs of 16 bits are in use."""
        return self.attributes2.VMID16 if wide else self.attributes.VMID

    @property
    def asid(self) -> int:
        """ASID of stage 1."""
        low = TTBR1.offset if TCR(self.words.get(TCR.offset, 0)).A1 else TTBR0.offset
        return self.words.get(low + 4, 0) >> 16

    def stage(self, address: int) -> Stage | None:
        """Return the stage for an input address, None when there is none."""
        if self._stages is None:
            self._stages = self._decode()
        return self._stages[1 if address >> 63 and self.attributes.TYPE != BankType.STAGE2 else 0]

    def _decode(self) -> tuple[Stage | None, Stage | None]:
        word, control = self.words.get, self.control
        tcr, low = word(TCR.offset, 0), word(TTBR0.offset, 0) | word(TTBR0.offset + 4, 0) << 32
        if self.attributes.TYPE == BankType.STAGE2:
            return stage2(tcr, low, control, self._caps, aarch64=self.aarch64), None
        more, high = word(TCR2.offset, 0), word(TTBR1.offset, 0) | word(TTBR1.offset + 4, 0) << 32
        return (
            stage1(tcr, more, low, control, self._caps, upper=False),
            stage1(tcr, more, high, control, self._caps, upper=True),
        )

    def changed(self) -> None:
        """Have the stages decoded anew: a register was written."""
        self._stages = None

    def write(self, offset: int, value: int) -> None:
        """Write a register that has no effect beyond the bank."""
        if offset in _KEPT:
            self.words[offset] = value & _KEPT[offset]
        elif offset == FSR.offset:
            left = self.status.value & ~(value & ~_NO_FLAGS)
            self.words[offset] = left if left & ~FSR.FORMAT.mask else 0
        elif offset == FSRRESTORE:
            self.words[FSR.offset] = value & ~FSR.reserved_mask
        self.changed()

    def read(self, offset: int) -> int:
        """Read a register; those that are write only, or none, are 0."""
        return self.words.get(offset, 0) if offset in _KEPT or offset == FSR.offset else 0

    def record(self, flag: str, transaction: Transaction, level: int, *, walk: bool) -> None:
        """Record a fault, or that there was another one."""
        if self.status.replace(FORMAT=0).value:
            self.status = self.status.replace(MULTI=1)
            return
        form = TableFormat.AARCH64 if self.aarch64 else TableFormat.AARCH32_LONG
        self.status = FSR(**{flag: 1}, FORMAT=form)
        self.words[FAR], self.words[FAR + 4] = transaction.address & _ALL, transaction.address >> 32
        self.words[FSYNR0] = _syndrome(transaction, level, walk=walk)
        self.stream = transaction.stream_id & 0xFFFF

    def resume(self, value: int) -> tuple[list[Transaction], bool]:
        """Take a write to RESUME: return what was stalled, and whether it is terminated."""
        waiting, self.stalled = self.stalled, []
        left = self.status.replace(SS=0)
        self.status = left if left.replace(FORMAT=0).value else FSR(0)
        return waiting, bool(RESUME(value & RESUME.TERMINATE.mask).TERMINATE)


def _syndrome(transaction: Transaction, level: int, *, walk: bool) -> int:
    return layout.FSYNR0(
        PLVL=level, WNR=int(transaction.write), PNU=int(transaction.privileged),
        IND=int(transaction.instruction and not transaction.write), PTWF=int(walk),
    ).value  # fmt: skip
