"""The registers of a unit: what software can read, write and clear, AMD 48882 3.4."""

from __future__ import annotations

from typing import TypeVar

from ...bits import Bits
from ..layout import registers as layout
from .hardware import Hardware

_Register = TypeVar("_Register", bound=Bits)

_C = layout.Control
_CONTROLS = (
    _C.IommuEn, _C.HtTunEn, _C.EventLogEn, _C.EventIntEn, _C.ComWaitIntEn, _C.InvTimeout, _C.PassPW, _C.ResPassPW,
    _C.Coherent, _C.Isoc, _C.CmdBufEn,
)  # fmt: skip
"""Fields of the control register that every unit has; those of features that are not there read as 0."""
_S = layout.Status
_CLEARED_BY_ONE = _S.EventOverflow.mask | _S.EventLogInt.mask | _S.ComWaitInt.mask


class RegisterFile:
    """Contents of the registers, and which bits software may change. What is not here reads as 0."""

    def __init__(self, hardware: Hardware) -> None:
        """Give every register its value after reset."""
        efr = hardware.efr
        control = sum(field.mask for field in _CONTROLS)
        control |= _C.GAEn.mask if efr.GASup else 0
        control |= _C.XTEn.mask if efr.XTSup else 0
        self._writable: dict[int, int] = {
            layout.Control.offset: control,
            **{
                register.offset: ~register.reserved_mask & (1 << 64) - 1
                for register in (
                    layout.DevTabBase, layout.CmdBufBase, layout.EventLogBase, layout.ExclusionBase,
                    layout.ExclusionLimit, layout.CmdBufHead, layout.CmdBufTail, layout.EventLogHead,
                    layout.EventLogTail,
                )
            },
        }  # fmt: skip
        self._values = {layout.EFR.offset: efr.value}

    def read(self, offset: int, size: int) -> int:
        """Return 4 or 8 bytes, as software reads them."""
        value = self._values.get(offset & -8, 0)
        return value >> 8 * (offset & 4) & (1 << 8 * size) - 1

    def write(self, offset: int, value: int, size: int) -> None:
        """Write 4 or 8 bytes, as software does: read-only bits stay, a one clears those that it clears."""
        at = offset & -8
        lanes = (1 << 8 * size) - 1 << 8 * (offset & 4)
        value <<= 8 * (offset & 4)
        old = self._values.get(at, 0)
        writable = self._writable.get(at, 0) & lanes
        clearable = _CLEARED_BY_ONE & lanes if at == layout.Status.offset else 0
        self._values[at] = (old & ~writable | value & writable) & ~(value & clearable)

    def get(self, register: type[_Register]) -> _Register:
        """Return a register."""
        return register(self._values.get(register.offset, 0))

    def set(self, register: Bits) -> None:
        """Set a register, as hardware does."""
        self._values[register.offset] = register.value
