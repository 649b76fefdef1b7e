"""The driver's hands: one unit's registers, what they say it has, waiting for it, and refusals."""

from __future__ import annotations

from typing import TypeVar

from ...bits import Bits, Field
from ...errors import IommuError, failure
from ...platform import Platform
from ..layout.registers import (
    ID0,
    ID1,
    ID2,
    TLBGSTATUS,
    TLBGSYNC,
    TLBSTATUS,
    TLBSYNC,
    Pages,
)
from ..names import SIZES

_Register = TypeVar("_Register", bound=Bits)

CLAUSE = "Arm IHI 0062 D.c, chapter 16"
_PATIENCE = 100_000
"""How often a register is read before the hardware is given up."""
_AARCH32_BITS = 40
"""Bits of both addresses of AArch32 stage 2 tables."""


class UnitAccess:
    """Registers of the unit at one base address.

    Attributes:
        platform: the platform it is on.
        base: physical address of its registers.
        name: what it is called in errors.
        id0, id1, id2: its identification registers, read once.
        pages: where its pages are.
        aarch64: stage 2 has AArch64 tables with 4 KiB pages; otherwise AArch32 tables with long descriptors.
        input_bits, output_bits: bits of the addresses of stage 2.
        ps: code of the latter.
    """

    def __init__(self, platform: Platform, base: int) -> None:
        """Look at the unit. Raises `IommuError` (`SMMU-UNSUPPORTED`) when it lacks what the driver needs."""
        self.platform = platform
        self.base = base
        self.name = f"SMMU at 0x{base:x}"
        self.id0, self.id1, self.id2 = self.read(ID0), self.read(ID1), self.read(ID2)
        self.pages = Pages(self.id1)
        if not self.id0.S2TS:
            raise self.unsupported(ID0.S2TS, "stage 2", self.id0.value)
        if not 0 < self.id1.NUMCB <= self.pages.count:
            raise self.unsupported(ID1.NUMCB, "as many context banks as there is room for", self.id1.value)
        if not self.id0.NUMSMRG:
            raise self.unsupported(ID0.NUMSMRG, "stream mapping", self.id0.value)
        self.aarch64 = bool(self.id2.PTFS_4K)
        if not self.aarch64 and self.id0.PTFS_NO_AARCH32:
            raise self.unsupported(ID2.PTFS_4K, "tables with 4 KiB pages", self.id2.value)
        widths = [SIZES[min(code, len(SIZES) - 1)] for code in (self.id2.IAS, self.id2.OAS)]
        most = SIZES[-1] if self.aarch64 else _AARCH32_BITS
        self.input_bits, self.output_bits = (min(width, most) for width in widths)
        self.ps = SIZES.index(self.output_bits)

    def read(self, register: type[_Register], at: int = 0) -> _Register:
        """Read a register; `at` is the offset of its page, or how far the n-th of several is from the first."""
        return register(self.platform.read_mmio(self.base + at + register.offset, register.size))

    def write(self, register: Bits, at: int = 0) -> None:
        """Write a register, placed as by `read`."""
        self.platform.write_mmio(self.base + at + register.offset, register.value, register.size)

    def sync(self, bank: int | None = None) -> None:
        """Wait until invalidations are complete: those of a bank, or the global ones.

        Raises `IommuError` (`SMMU-TIMEOUT`) when the unit does not get there.
        """
        at = 0 if bank is None else self.pages.bank(bank)
        self.write(TLBGSYNC(0) if bank is None else TLBSYNC(0), at)
        for _ in range(_PATIENCE):
            active = self.read(TLBGSTATUS).GSACTIVE if bank is None else self.read(TLBSTATUS, at).SACTIVE
            if not active:
                return
        what = "sTLBGSYNC" if bank is None else f"TLBSYNC of bank {bank}"
        raise failure("SMMU-TIMEOUT", f"the unit does not complete {what}", self.name, clause=CLAUSE)

    def unsupported(self, field: Field, what: str, found: int) -> IommuError:
        """Make the exception for what a register says is not there."""
        return failure(
            "SMMU-UNSUPPORTED", f"this unit does not have {what}", self.name,
            field=field.name, found=f"0x{found:x}", clause=CLAUSE,
        )  # fmt: skip

    def refuse(self, message: str) -> IommuError:
        """Make the exception for a request that makes no sense."""
        return failure("SMMU-REQUEST", message, self.name)
