"""The device table: who is attached to what, AMD 48882 2.2.2.

An entry whose V bit is clear lets everything pass, so no entry of ours ever has it clear: a device that is denied has a
valid entry without page tables and without permission. An entry is 32 bytes, of which the unit may see each doubleword
before the others. Doubleword 0 alone says what memory a device reaches, so it goes to denial first (one store), the
unit forgets, the doubleword with the domain ID is written, and doubleword 0 last. The unit forgets before that too, so
that no reading begun before joins the old domain ID to the new tables. Doubleword 2 has all that is said of interrupts,
and is one store.
"""

from __future__ import annotations

from ...platform import PAGE_SIZE, PageAllocator, load
from ..layout import DTE
from ..layout.registers import DevTabBase
from .access import UnitAccess
from .commands import CommandBuffer

DENIED = DTE(V=1, TV=1)
"""Mode 0 with IR and IW clear: no translation, and no permission."""
PER_PAGE = PAGE_SIZE // DTE.size


class DeviceTable:
    """The table of all device IDs.

    Attributes:
        count: number of device IDs that have an entry; those beyond are refused by the unit.
    """

    def __init__(self, unit: UnitAccess, pages: PageAllocator, count: int) -> None:
        """Make a table in which every device is denied."""
        self._unit = unit
        self.count = -(-count // PER_PAGE) * PER_PAGE
        self._unforgotten: set[int] = set()
        self._table = pages.allocate(self.count * DTE.size)
        page = bytes(DENIED) * PER_PAGE
        for at in range(self._table, self._table + self.count * DTE.size, PAGE_SIZE):
            unit.platform.write(at, page)

    @property
    def base(self) -> DevTabBase:
        """What the register has to say."""
        return DevTabBase(Base=self._table, Size=self.count // PER_PAGE - 1)

    def entry(self, device: int) -> DTE:
        """Return the entry of a device ID."""
        return load(self._unit.platform, self._place(device), DTE)

    def set(self, device: int, entry: DTE, commands: CommandBuffer) -> None:
        """Give a device another entry; what it says of interrupts stays."""
        before = self.entry(device)
        if before.words[0] != DENIED.words[0]:
            self._unforgotten.add(device)
            self._put(device, 0, DENIED.words[0])
        if device in self._unforgotten:  # now, or since a call that failed
            commands.device(device)
            # Without levels too: a unit may remember for the domain that an address is itself, as QEMU's does.
            commands.domain(before.DomainID)
            self._unforgotten.discard(device)
        if before.words[1] != entry.words[1]:
            self._put(device, 1, entry.words[1])
            commands.device(device)
        self._put(device, 0, entry.words[0])
        commands.device(device)

    def set_interrupts(self, device: int, entry: DTE, commands: CommandBuffer) -> None:
        """Say what becomes of the interrupts of a device, by doubleword 2 of `entry`."""
        self._put(device, 2, entry.words[2])
        commands.device(device)
        commands.interrupts(device)

    def _place(self, device: int) -> int:
        return self._table + device * DTE.size

    def _put(self, device: int, index: int, word: int) -> None:
        self._unit.platform.write(self._place(device) + 8 * index, word.to_bytes(8, "little"))
