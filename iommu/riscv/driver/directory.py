"""The device directory: who is attached to what (2.1).

A device context that is valid is never changed in place: V goes first, the unit forgets, the other doublewords are
written, and the doubleword with V goes last. Between, the device is denied. What is not valid is never remembered
(2.8), so nothing needs to be forgotten after.
"""

from __future__ import annotations

from ...platform import PAGE_SIZE, PageAllocator, load, store
from ..layout import DC, BaseDC, DirectoryEntry
from ..names import DirectoryMode
from .access import UnitAccess
from .queues import CommandQueue, forget_device


class DeviceDirectory:
    """Device contexts in memory, all invalid at first, so that every device is denied.

    Attributes:
        mode: ddtp.iommu_mode.
        device_bits: bits of a device ID.
        root: address of the root table.
    """

    def __init__(self, unit: UnitAccess, pages: PageAllocator, commands: CommandQueue) -> None:
        """Make an empty directory; `mode` is for the caller to set."""
        self._unit = unit
        self._pages = pages
        self._commands = commands
        self._unforgotten: set[int] = set()
        self._extended = bool(unit.capabilities.MSI_FLAT)
        self.mode = DirectoryMode.OFF
        self.root = pages.allocate()

    @property
    def device_bits(self) -> int:
        """Bits of a device ID that the mode takes."""
        if self.mode == DirectoryMode.LVL3:
            return 24
        return self._leaf_bits + (9 if self.mode == DirectoryMode.LVL2 else 0)

    @property
    def _leaf_bits(self) -> int:
        return 6 if self._extended else 7

    def set(self, device_id: int, context: DC | None) -> None:
        """Give a device its context, or none."""
        place = self._place(device_id, make=context is not None)
        if place is None:
            return
        if load(self._unit.platform, place, BaseDC).V:
            self._unforgotten.add(device_id)
            self._unit.platform.write(place, bytes(8))
        if device_id in self._unforgotten:  # now, or since a call that failed
            self._commands.run([forget_device(device_id)])
            self._unforgotten.discard(device_id)
        if context is None:
            return
        words = context.words[: (DC.size if self._extended else BaseDC.size) // 8]
        for index in range(len(words) - 1, -1, -1):
            self._unit.platform.write(place + 8 * index, words[index].to_bytes(8, "little"))

    def _place(self, device_id: int, *, make: bool) -> int | None:
        """Return where a context is; without `make`, None where there is no table for it."""
        table = self.root
        for level in range(self.mode - DirectoryMode.LVL1, 0, -1):
            place = table + 8 * (device_id >> self._leaf_bits + 9 * (level - 1) & 0x1FF)
            entry = load(self._unit.platform, place, DirectoryEntry)
            if not entry.V:
                if not make:
                    return None
                entry = DirectoryEntry(V=1, PPN=self._pages.allocate())
                store(self._unit.platform, place, entry)
            table = entry.PPN
        return table + (device_id & (1 << self._leaf_bits) - 1) * (PAGE_SIZE >> self._leaf_bits)
