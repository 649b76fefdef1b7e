"""Recording faults, VT-d 7.4: recording registers, overflow, compression, and the fault event."""

from __future__ import annotations

from ..layout import FECTL, FRCD, FSTS
from .events import Event
from .hardware import Hardware
from .registers import RegisterFile

_PENDING = FRCD.F.mask >> 64


class FaultLog:
    """The primary fault log of a unit.

    Attributes:
        compress: a fault of a source-id that has a record pending leaves no other (the specification allows it).
    """

    def __init__(self, registers: RegisterFile, hardware: Hardware, event: Event, *, compress: bool) -> None:
        """Keep the log in the unit's fault recording registers."""
        self._registers = registers
        self._event = event
        self._count = hardware.cap.NFR + 1
        self._base = hardware.cap.FRO * 16
        self._next = 0
        self.compress = compress

    def record(self, fault: FRCD) -> None:
        """Take a fault in, unless one is lost: to an overflow, or to compression."""
        registers = self._registers
        status = registers.get(FSTS)
        # 1. After an overflow nothing is recorded until software has seen it.
        if status.PFO:
            return
        # 2. Compression.
        if self.compress and any(self._is_pending(i, fault.SID) for i in range(self._count)):
            return
        # 3. The next register must be free.
        at = self._base + 16 * self._next
        if registers.raw(at + 8, 8) & _PENDING:
            registers.set(status.replace(PFO=1))
        else:
            fault.F = 1
            registers.put(at, fault.words[0], 8)
            registers.put(at + 8, fault.words[1], 8)
            if not status.PPF:
                registers.set(status.replace(PPF=1, FRI=self._next))
            self._next = (self._next + 1) % self._count
        self._event.raise_(already=bool(status.value & ~FSTS.FRI.mask))

    def cleared(self) -> None:
        """Follow a write of software to FSTS or to a recording register: PPF tells whether a record is pending."""
        registers = self._registers
        pending = any(registers.raw(self._base + 16 * i + 8, 8) & _PENDING for i in range(self._count))
        status = registers.get(FSTS)
        if not pending:
            status.PPF = 0
        registers.set(status)
        if not status.value & ~FSTS.FRI.mask:
            control = registers.get(FECTL)
            control.IP = 0
            registers.set(control)

    def _is_pending(self, index: int, source: int) -> bool:
        high = self._registers.raw(self._base + 16 * index + 8, 8)
        return bool(high & _PENDING and high & 0xFFFF == source)
