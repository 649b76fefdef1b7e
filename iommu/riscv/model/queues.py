"""The queues that the IOMMU fills, with faults and page requests (3.2, 3.3)."""

from __future__ import annotations

from enum import Enum

from ...bits import Bits
from ...errors import IommuError
from ...platform import Memory
from ..layout import registers as regs
from .registers import RegisterFile


class Taken(Enum):
    """What became of an entry."""

    QUEUED = 0
    OFF = 1
    FAULT = 2
    OVERFLOW = 3


class OutputQueue:
    """A queue in memory, its indexes and flags in registers.

    fqcsr and pqcsr have the same bits at the same places.
    """

    def __init__(
        self,
        memory: Memory,
        registers: RegisterFile,
        size: int,
        base: type[Bits],
        head: type[Bits],
        tail: type[Bits],
        csr: type[Bits],
    ) -> None:
        """Make a queue of entries of `size` bytes on its four registers."""
        self._memory = memory
        self._registers = registers
        self._size = size
        self._base = base
        self._head = head
        self._tail = tail
        self._csr = csr

    @property
    def mask(self) -> int:
        """Bits of an index."""
        return (2 << (self._registers[self._base] & regs.FQB.LOG2SZ.mask)) - 1

    def control(self, before: int) -> None:
        """Follow a write to the control register: when the queue is enabled it becomes empty and its flags clear."""
        now = self._registers[self._csr]
        if now & ~before & 1:
            self._registers[self._tail] = 0
            now &= ~(regs.FQCSR.fqmf.mask | regs.FQCSR.fqof.mask)
        now = now | regs.FQCSR.fqon.mask if now & 1 else now & ~regs.FQCSR.fqon.mask
        self._registers[self._csr] = now

    def put(self, entry: bytes) -> Taken:
        """Queue an entry, or note why it cannot be; while it is noted, entries are discarded."""
        csr = self._registers[self._csr]
        if not csr & regs.FQCSR.fqon.mask:
            return Taken.OFF
        if csr & regs.FQCSR.fqmf.mask:
            return Taken.FAULT
        if csr & regs.FQCSR.fqof.mask:
            return Taken.OVERFLOW
        tail, mask = self._registers[self._tail], self.mask
        if (tail + 1 ^ self._registers[self._head]) & mask == 0:
            self._registers[self._csr] = csr | regs.FQCSR.fqof.mask
            return Taken.OVERFLOW
        base = regs.FQB.PPN.get(self._registers[self._base])
        try:
            self._memory.write(base + tail * self._size, entry)
        except IommuError:
            self._registers[self._csr] = csr | regs.FQCSR.fqmf.mask
            return Taken.FAULT
        self._registers[self._tail] = tail + 1 & mask
        return Taken.QUEUED
