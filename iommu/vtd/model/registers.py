"""The register page of a unit: what software can read, write and clear, VT-d 11.4."""

from __future__ import annotations

from typing import TypeVar

from ...bits import Bits
from .. import layout
from .hardware import Hardware

_Register = TypeVar("_Register", bound=Bits)

REGISTER_PAGE = 4096
"""Bytes of registers that the model answers to."""

_EVENTS = (layout.FECTL.offset, layout.IECTL.offset, layout.PECTL.offset)
_WRITABLE: tuple[tuple[type[Bits], int], ...] = (
    (layout.RTADDR, ~layout.RTADDR.reserved_mask),
    (layout.CCMD, ~layout.CCMD.reserved_mask & ~layout.CCMD.CAIG.mask),
    (layout.PMEN, layout.PMEN.EPM.mask),
    (layout.PLMBASE, 0xFFF00000),
    (layout.PLMLIMIT, 0xFFF00000),
    (layout.PHMBASE, 0xFFFFFFFFFFF00000),
    (layout.PHMLIMIT, 0xFFFFFFFFFFF00000),
    (layout.IQT, layout.IQT.QT.mask),
    (layout.IQA, ~layout.IQA.reserved_mask),
    (layout.IRTA, ~layout.IRTA.reserved_mask),
    (layout.PQH, layout.PQH.PQH.mask),
    (layout.PQT, layout.PQT.PQT.mask),
    (layout.PQA, ~layout.PQA.reserved_mask),
)
_CLEARED_BY_ONE: tuple[tuple[type[Bits], int], ...] = (
    (
        layout.FSTS,
        layout.FSTS.PFO.mask
        | layout.FSTS.AFO.mask
        | layout.FSTS.APF.mask
        | layout.FSTS.IQE.mask
        | layout.FSTS.ICE.mask
        | layout.FSTS.ITE.mask,
    ),
    (layout.ICS, layout.ICS.IWC.mask),
    (layout.PRS, layout.PRS.PPR.mask | layout.PRS.PRO.mask),
)


class RegisterFile:
    """Contents of the register page, and which bits software may change."""

    def __init__(self, hardware: Hardware) -> None:
        """Give every register its value after reset."""
        self._words = [0] * (REGISTER_PAGE // 4)
        self._writable = [0] * (REGISTER_PAGE // 4)
        self._clearable = [0] * (REGISTER_PAGE // 4)
        cap, ecap = hardware.cap, hardware.ecap
        for register in (layout.VER(MAJ=1), cap, ecap):
            self.set(register)
        absent = {
            layout.PLMBASE: not cap.PLMR,
            layout.PLMLIMIT: not cap.PLMR,
            layout.PHMBASE: not cap.PHMR,
            layout.PHMLIMIT: not cap.PHMR,
            layout.PMEN: not (cap.PLMR or cap.PHMR),
        }
        for register_class, mask in _WRITABLE:
            if not absent.get(register_class):
                self._permit(self._writable, register_class.offset, mask, register_class.size)
        if not ecap.SMTS:
            self._writable[layout.IQA.offset // 4] &= ~layout.IQA.DW.mask
        for register_class, mask in _CLEARED_BY_ONE:
            self._permit(self._clearable, register_class.offset, mask, register_class.size)
        for offset in _EVENTS:
            self.put(offset, layout.FECTL.IM.mask, 4)
            self._permit(self._writable, offset, layout.FECTL.IM.mask, 4)
            self._permit(self._writable, offset + 4, 0xFFFFFFFF, 4)
            self._permit(self._writable, offset + 8, 0xFFFFFFFFFFFFFFFC, 8)
        iotlb = ecap.IRO * 16
        self._permit(self._writable, iotlb + layout.IVA.offset, ~layout.IVA.reserved_mask, 8)
        mask = ~layout.IOTLB.reserved_mask & ~layout.IOTLB.IAIG.mask
        self._permit(self._writable, iotlb + layout.IOTLB.offset, mask, 8)
        for index in range(cap.NFR + 1):
            self._permit(self._clearable, cap.FRO * 16 + 16 * index + 12, 1 << 31, 4)

    def raw(self, offset: int, size: int) -> int:
        """Return 4 or 8 bytes as an integer."""
        word = self._words[offset // 4]
        return word if size == 4 else word | self._words[offset // 4 + 1] << 32

    def put(self, offset: int, value: int, size: int) -> None:
        """Set 4 or 8 bytes, as hardware does: without regard to what software may write."""
        self._words[offset // 4] = value & 0xFFFFFFFF
        if size == 8:
            self._words[offset // 4 + 1] = value >> 32

    def write(self, offset: int, value: int, size: int) -> None:
        """Write 4 or 8 bytes, as software does: read-only bits stay, a one clears those that it clears."""
        for at in range(offset // 4, (offset + size) // 4):
            writable, clearable = self._writable[at], self._clearable[at]
            word = self._words[at] & ~writable | value & writable
            self._words[at] = word & ~(value & clearable)
            value >>= 32

    def get(self, register: type[_Register], base: int = 0) -> _Register:
        """Return a register, which stands at `base` plus its offset."""
        return register(self.raw(base + register.offset, register.size))

    def set(self, register: Bits, base: int = 0) -> None:
        """Set a register, as hardware does."""
        self.put(base + register.offset, register.value, register.size)

    @staticmethod
    def _permit(masks: list[int], offset: int, mask: int, size: int) -> None:
        for index in range(size // 4):
            masks[offset // 4 + index] = mask >> 32 * index & 0xFFFFFFFF
