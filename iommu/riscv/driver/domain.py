"""A domain: one address space of the second stage that devices can be attached to."""

from __future__ import annotations

from collections.abc import Callable

from ...platform import PAGE_SIZE, PageAllocator
from ..layout import DC, PageTableEntry
from ..names import SecondStageMode
from .access import UnitAccess
from .pagetable import Changes, PageTable
from .queues import CommandQueue, forget_guests

_FEW = 64
"""More pages than this are forgotten with the whole domain."""


class Domain:
    """One address space.

    Attributes:
        gscid: tags everything that the unit remembers of it.
        mode: iohgatp.MODE.
        width: bits of an address that devices may use.
        table: its page table.
        devices: IDs of the devices attached to it.
    """

    def __init__(
        self, unit: UnitAccess, pages: PageAllocator, commands: CommandQueue, mode: SecondStageMode, gscid: int
    ) -> None:
        """Make an empty address space; see `Driver.second_stage`."""
        self._unit = unit
        self._commands = commands
        self.gscid = gscid
        self.mode = mode
        levels = 3 + mode - SecondStageMode.SV39X4
        self.width = 14 + 9 * levels
        self.table = PageTable(unit.platform, pages, levels)
        self.devices: set[int] = set()

    def map(
        self, address: int, output: int, length: int, *, read: bool = True, write: bool = True, execute: bool = False
    ) -> None:
        """Let devices reach `length` bytes from `output` at `address`; what was mapped there is taken away before.

        All three are multiples of 4096. Raises `IommuError` (`RISCV-REQUEST`, `MEMORY-EXHAUSTED`).
        """
        self._check(address, length, self.width)
        self._check(output, length, self._unit.capabilities.PAS)
        if (write and not read) or not (read or execute):
            raise self._unit.refuse("a page is for reading or for execution, and writable only if it is readable")
        # Accessed and dirty are set from the start: no update is ever needed.
        flags = PageTableEntry(V=1, R=int(read), W=int(write), X=int(execute), U=1, A=1, D=int(write)).value
        self._change(lambda: self.table.unmap(address, length))
        self._change(lambda: self.table.map(address, output, length, flags))

    def unmap(self, address: int, length: int) -> None:
        """Take a range away, mapped or not; when this returns no device reaches it. Raises as `map`."""
        self._check(address, length, self.width)
        self._change(lambda: self.table.unmap(address, length))

    def forget(self) -> None:
        """Make the unit forget everything of this domain."""
        self._commands.run([forget_guests(self.gscid)])

    def context(self) -> DC:
        """Return the device context of a device in this domain."""
        return DC(V=1, iohgatp_PPN=self.table.root, iohgatp_MODE=self.mode, GSCID=self.gscid)

    def _change(self, change: Callable[[], Changes]) -> None:
        """Change the tables. What is changed when that fails is forgotten too; what is not forgotten is next time."""
        try:
            change()
        finally:
            self._forget(self.table.changes)
            self.table.settled()

    def _forget(self, changes: Changes) -> None:
        """Make the unit forget what changed, then give back tables that it cannot find any more."""
        if changes.unlinked or len(changes.leaves) > _FEW:
            # An address names leaves only, not the way to them (3.1.1).
            self.forget()
        elif changes.leaves:
            self._commands.run([forget_guests(self.gscid, leaf) for leaf in changes.leaves])
        for table in changes.unlinked:
            self.table.give_back(table)

    def _check(self, address: int, length: int, bits: int) -> None:
        if length <= 0 or (address | length) % PAGE_SIZE:
            raise self._unit.refuse(f"0x{address:x} and {length} bytes are not whole pages of {PAGE_SIZE} bytes")
        if address < 0 or address + length > 1 << bits:
            raise self._unit.refuse(f"0x{address:x} and {length} bytes exceed {bits} bits")
