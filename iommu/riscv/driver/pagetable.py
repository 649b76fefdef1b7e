"""Second-stage page tables: the largest pages that fit, split and merged as mappings change, one store at a time.

After every store the table grants what it granted before or what it will grant: a table is filled before it is linked,
a page is cleared and forgotten before another takes its place, and a split or a merge is one store between two equal
translations, of which hardware may use either (3.1.1). Tables that are no longer linked may be used again only after
the unit has forgotten them too: changes are handed out as `Changes`, and kept until `settled`: what a call that failed
had changed is among them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from ...platform import PAGE_SIZE, PageAllocator, Platform
from ..layout import PageTableEntry

_LINK = PageTableEntry.V.mask
_IS_LEAF = PageTableEntry.R.mask | PageTableEntry.W.mask | PageTableEntry.X.mask
_PPN = PageTableEntry.PPN.mask
_ENTRIES = 512
_TABLE = Struct(f"<{_ENTRIES}Q")
_ENTRY = Struct("<Q")
_EMPTY = bytes(PAGE_SIZE)
_ROOT_SIZE = 4 * PAGE_SIZE


@dataclass(slots=True)
class Changes:
    """What the unit has to forget.

    Attributes:
        leaves: addresses, one in each page that was cleared or has shrunk.
        unlinked: tables that may be used again when the unit has forgotten that they were linked.
    """

    leaves: list[int] = field(default_factory=list)
    unlinked: list[int] = field(default_factory=list)


def _shift(level: int) -> int:
    """Return log2 of what an entry covers; level 0 is the last."""
    return 12 + 9 * level


class PageTable:
    """A tree with a root of 2048 entries and tables of 512.

    Attributes:
        root: physical address of the root.
        levels: number of levels.
        changes: what the unit has still to forget.
        pages: number of pages of 4 KiB in use for tables.
    """

    def __init__(self, platform: Platform, allocator: PageAllocator, levels: int) -> None:
        """Make an empty tree."""
        self._platform = platform
        self._allocator = allocator
        self.levels = levels
        self.root = allocator.allocate(_ROOT_SIZE, _ROOT_SIZE)
        self.changes = Changes()
        self.pages = 4

    def map(self, start: int, output: int, length: int, flags: int) -> Changes:
        """Map a range in which nothing is mapped; `flags` are the bits of its leaves. Multiples of 4 KiB throughout."""
        self._map(self.root, self.levels - 1, start, start + length, output - start, flags, self.changes)
        return self.changes

    def unmap(self, start: int, length: int) -> Changes:
        """Take away whatever is mapped in a range; larger pages at its ends are split."""
        self._clear(self.root, self.levels - 1, start, start + length, self.changes)
        return self.changes

    def settled(self) -> None:
        """Begin with no changes: the unit has forgotten them, and tables are given back."""
        self.changes = Changes()

    def give_back(self, table: int) -> None:
        """Return one table of `Changes.unlinked` to the allocator."""
        self._allocator.free(table)
        self.pages -= 1

    def release(self) -> None:
        """Give all tables back. Nothing may use them any more."""
        for at in range(0, _ROOT_SIZE, PAGE_SIZE):
            for entry in self._entries(self.root + at):
                if self._is_link(entry):
                    for table in self._subtree((entry & _PPN) << 2, self.levels - 2):
                        self.give_back(table)
        for table in self.changes.unlinked:
            self.give_back(table)
        self._allocator.free(self.root)
        self.pages = 0

    # --- entries ----------------------------------------------------------------------------------------------------

    def _slot(self, table: int, level: int, address: int) -> int:
        index = address >> _shift(level)
        return table + 8 * (index if level == self.levels - 1 else index & _ENTRIES - 1)

    def _read(self, slot: int) -> int:
        return int(_ENTRY.unpack(self._platform.read(slot, 8))[0])

    def _write(self, slot: int, entry: int) -> None:
        self._platform.write(slot, _ENTRY.pack(entry))

    def _entries(self, table: int) -> tuple[int, ...]:
        return _TABLE.unpack(self._platform.read(table, PAGE_SIZE))

    @staticmethod
    def _is_link(entry: int) -> bool:
        return bool(entry) and not entry & _IS_LEAF

    def _new_table(self) -> int:
        table = self._allocator.allocate()
        self.pages += 1
        return table

    def _subtree(self, table: int, level: int) -> list[int]:
        found = [table]
        if level:
            for entry in self._entries(table):
                if self._is_link(entry):
                    found += self._subtree((entry & _PPN) << 2, level - 1)
        return found

    # --- mapping ----------------------------------------------------------------------------------------------------

    def _map(self, table: int, level: int, start: int, end: int, delta: int, flags: int, changes: Changes) -> None:
        """Map what of [start, end) lies below this table, at address + `delta`."""
        size = 1 << _shift(level)
        while start < end:
            whole = (end - start) // size if start % size == 0 and (start + delta) % size == 0 else 0
            slot = self._slot(table, level, start)
            if whole:
                first = start + delta >> 2 | flags
                step = size >> 2
                leaves = range(first, first + whole * step, step)
                self._platform.write(slot, b"".join([leaf.to_bytes(8, "little") for leaf in leaves]))
                start += whole * size
                continue
            stop = min(end, (start & -size) + size)
            entry = self._read(slot)
            below = (entry & _PPN) << 2 if entry else self._new_table()
            self._map(below, level - 1, start, stop, delta, flags, changes)
            if not entry:
                self._write(slot, below >> 2 | _LINK)
            else:
                self._merge(slot, level, below, changes)
            start = stop

    def _merge(self, slot: int, level: int, below: int, changes: Changes) -> None:
        """Put one page in the place of a linked table that amounts to it."""
        step = 1 << _shift(level - 1) - 2
        first = self._read(below)
        if not first & _IS_LEAF or (first & _PPN) % (step * _ENTRIES):
            return
        if self._read(below + PAGE_SIZE - 8) != first + step * (_ENTRIES - 1):
            return
        if self._entries(below) == tuple(range(first, first + step * _ENTRIES, step)):
            self._write(slot, first)
            changes.unlinked.append(below)

    # --- unmapping --------------------------------------------------------------------------------------------------

    def _clear(self, table: int, level: int, start: int, end: int, changes: Changes) -> None:
        """Clear what of [start, end) lies below this table."""
        size = 1 << _shift(level)
        while start < end:
            stop = min(end, (start & -size) + size)
            slot = self._slot(table, level, start)
            entry = self._read(slot)
            if entry and stop - start == size:
                self._write(slot, 0)
                if self._is_link(entry):
                    changes.unlinked += self._subtree((entry & _PPN) << 2, level - 1)
                else:
                    changes.leaves.append(start)
            elif self._is_link(entry):
                below = (entry & _PPN) << 2
                self._clear(below, level - 1, start, stop, changes)
                if self._platform.read(below, PAGE_SIZE) == _EMPTY:
                    self._write(slot, 0)
                    changes.unlinked.append(below)
            elif entry:
                self._split(slot, level, entry, start, stop)
                changes.leaves.append(start)
            start = stop

    def _split(self, slot: int, level: int, entry: int, start: int, end: int) -> None:
        """Put a table with a hole from `start` to `end` in the place of a page: all of it is made before the store."""
        size = 1 << _shift(level)
        low = start & -size
        delta = ((entry & _PPN) << 2) - low
        flags = entry & ~_PPN
        below = self._new_table()
        unused = Changes()  # nothing that is linked changes
        for first, last in ((low, start), (end, low + size)):
            self._map(below, level - 1, first, last, delta, flags, unused)
        self._write(slot, below >> 2 | _LINK)
