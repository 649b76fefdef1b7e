"""The register file of the model: which bits software can write, which it clears by writing 1 (chapter 5)."""

from __future__ import annotations

from ...bits import Bits
from ..layout import registers as regs
from .values import Capabilities

_READ_ONLY: tuple[type[Bits], ...] = (regs.CQH, regs.FQT, regs.PQT, regs.TR_RESPONSE)
_WHOLE: tuple[type[Bits], ...] = (
    regs.CQT,
    regs.FQH,
    regs.PQH,
    regs.CQB,
    regs.FQB,
    regs.PQB,
    regs.TR_REQ_IOVA,
    regs.TR_REQ_CTL,
)
_CLEARED = {
    regs.CQCSR.offset: regs.CQCSR.cqmf.mask | regs.CQCSR.cmd_to.mask | regs.CQCSR.cmd_ill.mask
    | regs.CQCSR.fence_w_ip.mask,
    regs.FQCSR.offset: regs.FQCSR.fqmf.mask | regs.FQCSR.fqof.mask,
    regs.PQCSR.offset: regs.PQCSR.pqmf.mask | regs.PQCSR.pqof.mask,
    regs.IPSR.offset: 0xF,
}  # fmt: skip
"""Bits that writing 1 clears, and writing 0 leaves."""


class RegisterFile:
    """Values of all registers, each kept at its offset."""

    def __init__(self, caps: Capabilities) -> None:
        """Reset: everything off, 0 but for what is fixed."""
        self._values: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._writable: dict[int, int] = {}
        have = caps.register
        self._add(regs.CAPABILITIES, 0, have.value)
        self._add(regs.FCTL, caps.fctl, regs.FCTL.WSI.mask if have.IGS == 1 else 0)
        self._add(regs.DDTP, regs.DDTP.iommu_mode.mask | regs.DDTP.PPN.mask)
        for layout in _READ_ONLY:
            self._add(layout, 0)
        for layout in _WHOLE:
            self._add(layout, (1 << layout.width) - 1 & ~layout.reserved_mask)
        for csr in (regs.CQCSR, regs.FQCSR, regs.PQCSR):
            self._add(csr, 3)
        self._add(regs.IPSR, 0)
        self._add(regs.ICVEC, (caps.vectors - 1) * 0x1111)
        if have.QOSID:
            limit = (1 << caps.qos_bits) - 1
            self._add(regs.IOMMU_QOSID, limit | limit << 16)
        if have.IGS != 1:
            for vector in range(caps.vectors):
                at = regs.MSI_ENTRY_SIZE * vector
                self._add(regs.MSI_ADDR, regs.MSI_ADDR.ADDR.mask, at=at)
                self._add(regs.MSI_DATA, 0xFFFFFFFF, at=at)
                self._add(regs.MSI_VEC_CTL, 1, at=at)
        if not have.DBG:
            self._writable[regs.TR_REQ_IOVA.offset] = self._writable[regs.TR_REQ_CTL.offset] = 0

    def _add(self, layout: type[Bits], writable: int, value: int = 0, *, at: int = 0) -> None:
        self._values[layout.offset + at] = value
        self._sizes[layout.offset + at] = layout.size
        self._writable[layout.offset + at] = writable

    def __getitem__(self, layout: type[Bits]) -> int:
        """Return the value of a register."""
        return self._values[layout.offset]

    def __setitem__(self, layout: type[Bits], value: int) -> None:
        """Set a register as hardware does."""
        self._values[layout.offset] = value

    def vector(self, layout: type[Bits], number: int) -> int:
        """Return a register of the MSI configuration table."""
        return self._values[layout.offset + regs.MSI_ENTRY_SIZE * number]

    def read(self, offset: int, size: int) -> int:
        """Read 4 or 8 bytes; what is not a register reads as zeros."""
        value = 0
        for at in range(0, size, 4):
            value |= self._word(offset + at) << 8 * at
        return value

    def _word(self, offset: int) -> int:
        for start in (offset, offset - 4):
            if self._sizes.get(start, 0) > offset - start:
                return self._values[start] >> 8 * (offset - start) & 0xFFFFFFFF
        return 0

    def write(self, offset: int, value: int, size: int) -> dict[int, int]:
        """Take 4 or 8 bytes; return what the registers that were written held before, by their offsets."""
        before: dict[int, int] = {}
        for at in range(0, size, 4):
            self._write_word(offset + at, value >> 8 * at & 0xFFFFFFFF, before)
        return before

    def _write_word(self, offset: int, word: int, before: dict[int, int]) -> None:
        for start in (offset, offset - 4):
            if self._sizes.get(start, 0) > offset - start:
                shift = 8 * (offset - start)
                old = self._values[start]
                before.setdefault(start, old)
                mask = self._writable[start] & 0xFFFFFFFF << shift
                cleared = word << shift & _CLEARED.get(start, 0)
                self._values[start] = (old & ~mask | word << shift & mask) & ~cleared
                return
