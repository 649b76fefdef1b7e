"""Domains: what a device is attached to, with the page tables that say what it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...errors import IommuError
from ...platform import PAGE_SIZE, PageAllocator
from ...radix import Changes, Format, RadixTable
from ..layout import DTE, PTE, TableEntry
from .access import UnitAccess
from .commands import CommandBuffer

_INTERRUPTS = (0xFEE00000, 0x100000)
_HYPERTRANSPORT = (0xFD00000000, 0x300000000)
"""Addresses to which HyperTransport gives a meaning of its own."""
_LEAF_LEVELS = (1, 2, 3, 4)
"""4 KiB, 2 MiB, 1 GiB, 512 GiB: what an entry spans by itself, so that one store changes a page whole."""

FORMAT = Format(
    table=(0, *(TableEntry(PR=1, NextLevel=level - 1, IR=1, IW=1).value for level in range(1, 7))),
    present=PTE.PR.mask,
    kind=PTE.NextLevel.mask,
    large=0,
    volatile=PTE.A.mask | PTE.D.mask,
    address=PTE.Address.mask,
    leaf_levels=_LEAF_LEVELS,
)


class Domain:
    """Host page tables and a domain ID.

    Attributes:
        number: domain ID, which tags everything the unit remembers of this domain.
        table: the page tables.
        width: bits of address that devices may use in it.
        attached: device IDs in it.
    """

    def __init__(
        self,
        unit: UnitAccess,
        pages: PageAllocator,
        commands: CommandBuffer,
        *,
        number: int,
        levels: int,
        output_width: int,
    ) -> None:
        """Make an empty domain."""
        self._unit = unit
        self._commands = commands
        self._output_width = output_width
        self.number = number
        self.width = min(12 + 9 * levels, 64)
        self.table = RadixTable(unit.platform, pages, FORMAT, levels)
        self.attached: set[int] = set()

    def map(self, address: int, output: int, length: int, *, read: bool = True, write: bool = True) -> None:
        """Let devices reach `length` bytes from `output` at `address`; what was mapped there is taken away before.

        All three are multiples of 4096. Raises `IommuError` (`AMDVI-MAPPING`) for what cannot be mapped.
        """
        flags = self._flags(read=read, write=write)
        self._check(address, length)
        self._check_output(output, length)
        self._change(lambda: self.table.unmap(address, length))
        self._change(lambda: self.table.map(address, output, length, flags))

    def map_pages(self, address: int, frames: Sequence[int], *, read: bool = True, write: bool = True) -> None:
        """Let devices reach 4 KiB pages, wherever they are in memory, one after another from `address`; as `map`."""
        flags = self._flags(read=read, write=write)
        length = len(frames) * PAGE_SIZE
        self._check(address, length)
        for frame in frames:
            self._check_output(frame, PAGE_SIZE)
        self._change(lambda: self.table.unmap(address, length))
        self._change(lambda: self.table.map_pages(address, frames, flags))

    def unmap(self, address: int, length: int) -> None:
        """Take a range away from devices; when this returns they cannot reach it. Parts may have been unmapped."""
        self._check(address, length)
        self._change(lambda: self.table.unmap(address, length))

    def entry(self) -> DTE:
        """Return the device table entry of a device in this domain, but for its interrupts."""
        return DTE(
            V=1, TV=1, Mode=self.table.levels, Root=self.table.root, IR=1, IW=1, DomainID=self.number
        )  # fmt: skip

    def _change(self, change: Callable[[], Changes]) -> None:
        """Change the tables. What is changed when that fails is forgotten too; what is not forgotten is next time."""
        try:
            change()
        finally:
            self._forget(self.table.changes)
            self.table.settled()

    def _forget(self, changes: Changes) -> None:
        """Make the unit forget what changed, then give back tables it cannot find any more."""
        if changes.stale:
            self._commands.pages(self.number, changes.stale)
        for table in changes.unlinked:
            self.table.give_back(table)

    def _flags(self, *, read: bool, write: bool) -> int:
        if not (read or write):
            raise self._unit.refuse("AMDVI-MAPPING", "a page without read and write is not mapped at all")
        return PTE(PR=1, IR=int(read), IW=int(write)).value

    def _check(self, address: int, length: int) -> None:
        if (address | length) % PAGE_SIZE or length <= 0 or address < 0:
            raise self._refused(address, length, "addresses and lengths are multiples of 4 KiB, and not zero")
        if address + length > 1 << self.width:
            raise self._refused(address, length, f"the domain takes addresses of {self.width} bits")
        for (start, size), why in (
            (_INTERRUPTS, "0xfee00000 to 0xfeefffff are interrupts, not memory"),
            (_HYPERTRANSPORT, "0xfd00000000 to 0xffffffffff belong to HyperTransport, not to memory"),
        ):
            if address < start + size and start < address + length:
                raise self._refused(address, length, why)

    def _check_output(self, output: int, length: int) -> None:
        if output % PAGE_SIZE or output < 0 or output + length > 1 << self._output_width:
            raise self._refused(output, length, f"memory has pages of 4 KiB and addresses of {self._output_width} bits")

    def _refused(self, address: int, length: int, why: str) -> IommuError:
        return self._unit.refuse(
            "AMDVI-MAPPING",
            f"0x{address:x} and 0x{length:x} bytes cannot be mapped: {why}",
            clause="AMD 48882 2.2.3",
        )
