"""Interrupt remapping tables, one a device, AMD 48882 2.2.5."""

from __future__ import annotations

from ...platform import PageAllocator
from ..layout import DTE, IRTE
from ..names import IntCtl
from .access import UnitAccess
from .commands import CommandBuffer

MOST_ENTRIES = 1 << 11


class InterruptTable:
    """The table of one device, all of its entries refusing at first.

    Attributes:
        device: device ID.
        entries: number of entries.
    """

    def __init__(
        self, unit: UnitAccess, pages: PageAllocator, commands: CommandBuffer, *, device: int, entries: int
    ) -> None:
        """Make a table. Raises `IommuError` (`AMDVI-INTERRUPT`) for a size that there is not."""
        if not 1 <= entries <= MOST_ENTRIES or entries & entries - 1:
            raise unit.refuse(
                "AMDVI-INTERRUPT", "a table has a power of two of entries, 1 to 2048", field="DTE.IntTabLen",
                found=str(entries), clause="AMD 48882 2.2.2.1",
            )  # fmt: skip
        self._unit = unit
        self._commands = commands
        self.device = device
        self.entries = entries
        self.table = pages.allocate(entries * IRTE.size)

    def device_entry(self) -> DTE:
        """Return what the device table entry says of interrupts."""
        return DTE(
            IV=1, IntTabLen=self.entries.bit_length() - 1, IntTabRoot=self.table, IntCtl=IntCtl.REMAP
        )  # fmt: skip

    def set(self, index: int, entry: IRTE | None) -> None:
        """Give an index its entry, or none: one store. Raises `IommuError` (`AMDVI-INTERRUPT`) beyond the table."""
        if not 0 <= index < self.entries:
            raise self._unit.refuse(
                "AMDVI-INTERRUPT", "the interrupt index is beyond the table", found=str(index),
                expected=f"less than {self.entries}",
            )  # fmt: skip
        value = 0 if entry is None else entry.value
        self._unit.platform.write(self.table + index * IRTE.size, value.to_bytes(IRTE.size, "little"))
        self._commands.interrupts(self.device)
