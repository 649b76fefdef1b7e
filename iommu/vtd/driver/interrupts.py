"""The interrupt remapping table, VT-d 5.1 and 9.10."""

from __future__ import annotations

from ...errors import failure
from ...platform import PageAllocator, load
from ..layout import ECAP, GSTS, IRTA, Irte, MsiAddress
from .access import UnitAccess
from .invalidation import Invalidation


class InterruptTable:
    """A table of interrupt remapping entries, all of them not present at first.

    Attributes:
        entries: number of entries.
        extended: x2APIC mode: destinations of 32 bits.
    """

    def __init__(
        self,
        unit: UnitAccess,
        pages: PageAllocator,
        invalidation: Invalidation,
        *,
        entries: int = 256,
        extended: bool = False,
    ) -> None:
        """Make the table and switch interrupt remapping on. Raises `IommuError` for what the unit does not have."""
        unit.require(unit.ecap.IR, ECAP, ECAP.IR, "interrupt remapping")
        unit.require(unit.ecap.QI, ECAP, ECAP.QI, "interrupt remapping without an invalidation queue")
        if extended:
            unit.require(unit.ecap.EIM, ECAP, ECAP.EIM, "x2APIC mode")
        if not 2 <= entries <= 1 << 16 or entries & entries - 1:
            raise failure(
                "VTD-INTERRUPT", "a table has a power of two of entries, 2 to 65536", unit.name,
                field="IRTA.S", found=str(entries), clause="Intel VT-d 4.1, 11.4",
            )  # fmt: skip
        self._unit = unit
        self._invalidation = invalidation
        self.entries = entries
        self.extended = extended
        self._table = pages.allocate(entries * Irte.size)
        unit.write(IRTA(IRTA=self._table, S=entries.bit_length() - 2, EIME=int(extended)))
        unit.command(SIRTP=1)
        invalidation.interrupt(None)
        if unit.read(GSTS).CFIS:
            unit.command(CFI=0)
        unit.command(IRE=1)

    def set(self, index: int, entry: Irte | None) -> None:
        """Give an index its entry, or none. Raises `IommuError` (`VTD-INTERRUPT`) for an index beyond the table."""
        if not 0 <= index < self.entries:
            raise failure(
                "VTD-INTERRUPT", "the interrupt index is beyond the table", self._unit.name,
                found=str(index), expected=f"less than {self.entries}",
            )  # fmt: skip
        platform, at = self._unit.platform, self._table + index * Irte.size
        if load(platform, at, Irte).P:
            platform.write(at, bytes(8))
            self._invalidation.interrupt(index)
        if entry is None:
            return
        platform.write(at + 8, entry.words[1].to_bytes(8, "little"))
        platform.write(at, entry.words[0].to_bytes(8, "little"))
        if self._unit.cap.CM:
            self._invalidation.interrupt(index)
        self._unit.flush_write_buffer()

    def message(self, index: int) -> tuple[int, int]:
        """Return address and data that a device has to write to raise the interrupt of an index."""
        return MsiAddress(RANGE=0xFEE, FORMAT=1, HANDLE=index).value, 0
