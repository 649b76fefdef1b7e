"""The register file of the model: which bits can be written, and when (IHI 0070 clause 6.3)."""

from __future__ import annotations

from ...bits import Bits
from ..layout import registers as regs
from .values import Capabilities

_READ_ONLY = (regs.IDR2, regs.IDR4, regs.IIDR, regs.CR0ACK, regs.STATUSR, regs.IRQ_CTRLACK, regs.GERROR)
_WRITABLE = (
    regs.CR0,
    regs.CR1,
    regs.CR2,
    regs.GBPA,
    regs.IRQ_CTRL,
    regs.GERRORN,
    regs.GERROR_IRQ_CFG0,
    regs.GERROR_IRQ_CFG1,
    regs.GERROR_IRQ_CFG2,
    regs.STRTAB_BASE,
    regs.STRTAB_BASE_CFG,
    regs.CMDQ_BASE,
    regs.CMDQ_PROD,
    regs.CMDQ_CONS,
    regs.EVENTQ_BASE,
    regs.EVENTQ_IRQ_CFG0,
    regs.EVENTQ_IRQ_CFG1,
    regs.EVENTQ_IRQ_CFG2,
    regs.PRIQ_BASE,
    regs.PRIQ_IRQ_CFG0,
    regs.PRIQ_IRQ_CFG1,
    regs.PRIQ_IRQ_CFG2,
    regs.EVENTQ_PROD,
    regs.EVENTQ_CONS,
    regs.PRIQ_PROD,
    regs.PRIQ_CONS,
)
_LOCKED_BY = {
    regs.CR2: regs.CR0.SMMUEN,
    regs.STRTAB_BASE: regs.CR0.SMMUEN,
    regs.STRTAB_BASE_CFG: regs.CR0.SMMUEN,
    regs.CMDQ_BASE: regs.CR0.CMDQEN,
    regs.CMDQ_CONS: regs.CR0.CMDQEN,
    regs.EVENTQ_BASE: regs.CR0.EVENTQEN,
    regs.EVENTQ_PROD: regs.CR0.EVENTQEN,
    regs.PRIQ_BASE: regs.CR0.PRIQEN,
    regs.PRIQ_PROD: regs.CR0.PRIQEN,
}
"""Registers that ignore writes while the bit of CR0 that uses them is set."""


class RegisterFile:
    """Values of all registers, each kept at the offset of its class."""

    def __init__(self, caps: Capabilities) -> None:
        """Reset: everything off; GBPA lets transactions bypass, as most implementations do."""
        self._values: dict[int, int] = {}
        self._layouts: dict[int, type[Bits]] = {}
        for layout in (*_READ_ONLY, *_WRITABLE):
            self._add(layout(0))
        for fixed in (caps.idr0, caps.idr1, caps.idr3, caps.idr5, caps.aidr):
            self._add(fixed)

    def _add(self, register: Bits) -> None:
        self._values[register.offset] = register.value
        self._layouts[register.offset] = type(register)

    def __getitem__(self, layout: type[Bits]) -> int:
        """Return the value of a register."""
        return self._values[layout.offset]

    def __setitem__(self, layout: type[Bits], value: int) -> None:
        """Set a register as hardware does."""
        self._values[layout.offset] = value

    def read(self, offset: int, size: int) -> int:
        """Read 4 or 8 bytes; what is not a register reads as zeros."""
        value = 0
        for at in range(0, size, 4):
            value |= self._read_word(offset + at) << 8 * at
        return value

    def _read_word(self, offset: int) -> int:
        if offset in self._values:
            return self._values[offset] & 0xFFFFFFFF
        layout = self._layouts.get(offset - 4)
        return self._values[offset - 4] >> 32 if layout is not None and layout.size > 4 else 0

    def write(self, offset: int, value: int, size: int) -> list[type[Bits]]:
        """Write 4 or 8 bytes and return the registers that took a value; others are left as they were."""
        taken = []
        for at in range(0, size, 4):
            layout = self._write_word(offset + at, value >> 8 * at & 0xFFFFFFFF)
            if layout is not None and layout not in taken:
                taken.append(layout)
        return taken

    def _write_word(self, offset: int, word: int) -> type[Bits] | None:
        layout = self._layouts.get(offset) or self._layouts.get(offset - 4)
        if layout not in _WRITABLE or offset - layout.offset >= layout.size:
            return None
        lock = _LOCKED_BY.get(layout)
        if lock is not None and self[regs.CR0] & lock.mask:
            return None
        shift = 8 * (offset - layout.offset)
        value = self[layout] & ~(0xFFFFFFFF << shift) | word << shift
        if layout is regs.GBPA and not value & regs.GBPA.Update.mask:
            return None
        self[layout] = value & ~layout.reserved_mask & (1 << layout.width) - 1
        return layout
