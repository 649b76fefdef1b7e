"""A domain: one address space of stage 2, in a context bank of its own."""

from __future__ import annotations

from ...platform import PAGE_SIZE, PageAllocator
from ...smmuv3.layout import Stage2Leaf
from ...vmsa import Invalidate, PageTable, stage2_shape
from ..layout import FSR
from ..layout.registers import CBA2R, CBAR, SCTLR, TLBIIPAS2, TLBIIPAS2L, TLBIVMID, TTBR0, VTCR
from ..names import BankType
from .access import UnitAccess

_FEW = 32
"""More pages than this are forgotten with the whole VMID."""
_SL0 = {2: 0, 1: 1, 0: 2}
"""SL0 by start level, with 4 KiB pages."""
_WRITE_BACK = 1
_INNER_SHAREABLE = 3
_NORMAL_WRITE_BACK = 0xF


class Domain:
    """One address space.

    Attributes:
        bank: number of its context bank.
        vmid: tags everything that the unit remembers of it.
        width: bits of an address that devices may use.
        table: its translation table.
        streams: `(stream, mask)` of what is attached to it.
    """

    def __init__(self, unit: UnitAccess, pages: PageAllocator, bank: int) -> None:
        """Make an empty address space; see `Driver.create_domain`."""
        self._unit = unit
        self.bank = bank
        self.vmid = bank + 1
        self.width = unit.input_bits
        shape = stage2_shape(12, self.width, unit.output_bits)
        invalidate: Invalidate = self._invalidate
        self.table = PageTable(unit.platform, pages, shape, invalidate)
        self.streams: set[tuple[int, int]] = set()
        if self.table.root >> unit.output_bits:
            self.table.release()
            raise unit.refuse(f"the memory for tables is beyond the {unit.output_bits} bits that the unit addresses")

    def enable(self) -> None:
        """Set the context bank up. Until it translates it passes everything on: no stream may lead to it before."""
        unit, at, shape = self._unit, self._unit.pages.bank(self.bank), self.table.shape
        unit.write(CBA2R(VA64=int(unit.aarch64)), unit.pages.size + 4 * self.bank)
        unit.write(CBAR(TYPE=BankType.STAGE2, VMID=self.vmid), unit.pages.size + 4 * self.bank)
        # Of AArch32 tables T0SZ is 32 minus the width as a number of five bits with a sign: the same bits for 40.
        size = 64 - self.width if unit.aarch64 else 32 - self.width & 0x1F
        control = VTCR(
            T0SZ=size, SL0=_SL0[shape.start], IRGN0=_WRITE_BACK, ORGN0=_WRITE_BACK, SH0=_INNER_SHAREABLE,
            PS=unit.ps if unit.aarch64 else 0, RES1=1,
        )  # fmt: skip
        unit.write(control, at)
        unit.write(TTBR0(BADDR=self.table.root), at)
        unit.write(FSR(unit.read(FSR, at).value), at)
        unit.write(SCTLR(M=1, CFRE=1, HUPCF=1), at)

    def disable(self) -> None:
        """Take the context bank out of use; no stream may lead to it."""
        self._unit.write(SCTLR(0), self._unit.pages.bank(self.bank))
        self.forget()

    def map(
        self, address: int, output: int, length: int, *, read: bool = True, write: bool = True, execute: bool = False
    ) -> None:
        """Let devices reach `length` bytes from `output` at `address`; what was mapped there is taken away before.

        All three are multiples of 4096. Raises `IommuError` (`SMMU-REQUEST`, `SMMU-TIMEOUT`, `MEMORY-EXHAUSTED`).
        """
        self._check(address, length, self.width)
        self._check(output, length, self._unit.output_bits)
        if not (read or write):
            raise self._unit.refuse("a mapping needs read or write permission")
        if self.table.occupied(address, length):
            self.table.unmap(address, length)
        leaf = Stage2Leaf(
            MemAttr=_NORMAL_WRITE_BACK, S2AP=int(read) | int(write) << 1, SH=_INNER_SHAREABLE, AF=1,
            XN=0 if execute else 2,
        )  # fmt: skip
        self.table.map(address, output, length, leaf.value)

    def unmap(self, address: int, length: int) -> None:
        """Take a range away, mapped or not; when this returns no device reaches it. Raises as `map`."""
        self._check(address, length, self.width)
        self.table.unmap(address, length)

    def forget(self) -> None:
        """Make the unit forget everything of this domain."""
        self._unit.write(TLBIVMID(VMID=self.vmid))
        self._unit.sync()

    def _invalidate(self, address: int, size: int, leaf: bool) -> None:  # noqa: FBT001  # the type `Invalidate`
        """Make the unit forget a range. An SMMUv1, which has no AArch64 tables, cannot by address."""
        unit = self._unit
        if size > _FEW * PAGE_SIZE or not unit.aarch64:
            self.forget()
            return
        at = unit.pages.bank(self.bank)
        for page in range(address, address + size, PAGE_SIZE):
            unit.write((TLBIIPAS2L if leaf else TLBIIPAS2)(IPA=page), at)
        unit.sync(self.bank)

    def _check(self, address: int, length: int, bits: int) -> None:
        if length <= 0 or (address | length) % PAGE_SIZE:
            raise self._unit.refuse(f"0x{address:x} and {length} bytes are not whole pages of {PAGE_SIZE} bytes")
        if address < 0 or address + length > 1 << bits:
            raise self._unit.refuse(f"0x{address:x} and {length} bytes exceed {bits} bits")
