"""Page tables as drivers write them: the largest pages that fit, split and merged as mappings change, store by store.

A tree has tables of 512 entries of 8 bytes; what an entry looks like, `Format` says.

After every store the tables grant what they granted before or what they will grant: a table is filled before it is
linked, an entry that maps something else is cleared, and forgotten by the unit, before it is written again, and a
split or a merge is one store between two equal translations. Tables that are no longer linked go back to the allocator
only after the unit has forgotten them too; so changes are handed out as `Changes`, and kept until `settled`: what a
call that failed had changed is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

from .platform import PAGE_SIZE, PageAllocator, Platform

_TABLE = Struct("<512Q")
_EMPTY = bytes(PAGE_SIZE)


@dataclass(frozen=True, slots=True)
class Format:
    """How entries of one stage are written.

    Attributes:
        table: what to set in an entry that points to a table, by the entry's level (index 0 is not used).
        present: an entry with none of these bits set maps nothing.
        kind: the bits that tell a page from a table above level 1; `table` and `large` have them set in their way.
        large: what to set in a leaf above level 1.
        volatile: bits that hardware sets by itself.
        address: address bits of an entry.
        leaf_levels: levels at which pages may be mapped, 1 (4 KiB) first.
    """

    table: tuple[int, ...]
    present: int
    kind: int
    large: int
    volatile: int
    address: int
    leaf_levels: tuple[int, ...]


@dataclass(slots=True)
class Changes:
    """What the unit has to forget.

    Attributes:
        stale: `(start, length)` of addresses whose translation, or the tables on the way to it, changed.
        unlinked: tables that may be used again when the unit has forgotten.
    """

    stale: list[tuple[int, int]] = field(default_factory=list)
    unlinked: list[int] = field(default_factory=list)

    def add(self, start: int, length: int) -> None:
        """Add to `stale`; a range right after the last becomes one with it."""
        if self.stale and sum(self.stale[-1]) == start:
            start, before = self.stale.pop()
            length += before
        self.stale.append((start, length))


class RadixTable:
    """A tree of 4 KiB tables with 512 entries each.

    Attributes:
        root: address of the top table.
        levels: number of levels.
        changes: what the unit has still to forget.
    """

    def __init__(self, platform: Platform, pages: PageAllocator, form: Format, levels: int) -> None:
        """Make an empty tree."""
        self._platform = platform
        self._pages = pages
        self._form = form
        self.levels = levels
        self.root = pages.allocate()
        self.changes = Changes()

    def map(self, start: int, output: int, length: int, flags: int) -> Changes:
        """Map a range in which nothing is mapped; `flags` are the bits of its leaves. Multiples of 4 KiB throughout."""
        self._map(self.root, self.levels, start, start + length, output - start, flags, self.changes)
        return self.changes

    def map_pages(self, start: int, frames: Sequence[int], flags: int) -> Changes:
        """Map 4 KiB pages one after another to the given addresses, in a range in which nothing is mapped."""
        done = 0
        while done < len(frames):
            address = start + done * PAGE_SIZE
            count = 512 - (address >> 12) % 512
            self._map_frames(self.root, self.levels, address, frames[done : done + count], flags, self.changes)
            done += count
        return self.changes

    def unmap(self, start: int, length: int) -> Changes:
        """Take away whatever is mapped in a range; larger pages at its ends are split."""
        self._clear(self.root, self.levels, start, start + length, self.changes)
        return self.changes

    def settled(self) -> None:
        """Begin with no changes: the unit has forgotten them, and tables are given back."""
        self.changes = Changes()

    def give_back(self, table: int) -> None:
        """Return one table of `Changes.unlinked` to the allocator, after the unit has forgotten it."""
        self._pages.free(table)

    def release(self) -> None:
        """Give all tables back. Nothing may use them any more."""
        for table in (*self._subtree(self.root, self.levels), *self.changes.unlinked):
            self._pages.free(table)

    # --- Reading and writing entries

    def _entries(self, table: int) -> tuple[int, ...]:
        return _TABLE.unpack(self._platform.read(table, PAGE_SIZE))

    def _entry(self, table: int, index: int) -> int:
        return int.from_bytes(self._platform.read(table + 8 * index, 8), "little")

    def _put(self, table: int, index: int, entry: int) -> None:
        self._platform.write(table + 8 * index, entry.to_bytes(8, "little"))

    def _is_table(self, entry: int, level: int) -> bool:
        form = self._form
        return level > 1 and bool(entry & form.present) and entry & form.kind != form.large

    def _leaf(self, output: int, level: int, flags: int) -> int:
        return output | flags | (self._form.large if level > 1 else 0)

    def _subtree(self, table: int, level: int) -> list[int]:
        found = [table]
        if level > 1:
            for entry in self._entries(table):
                if self._is_table(entry, level):
                    found += self._subtree(entry & self._form.address, level - 1)
        return found

    # --- Mapping

    def _map(self, table: int, level: int, start: int, end: int, delta: int, flags: int, changes: Changes) -> None:
        """Map what of [start, end) lies below this table, at address + `delta`."""
        shift = 3 + 9 * level
        size = 1 << shift
        may_map = level in self._form.leaf_levels
        run: list[int] = []
        first = start >> shift
        for number in range(first, (end - 1 >> shift) + 1):
            low = number << shift
            if may_map and start <= low and low + size <= end and (low + delta) % size == 0:
                run.append(self._leaf(low + delta, level, flags))
                continue
            self._flush(table, number - len(run), run)
            inner = (max(start, low), min(end, low + size))
            self._descend(table, level, number & 511, changes, (*inner, delta, flags))
        self._flush(table, (end - 1 >> shift) + 1 - len(run), run)

    def _flush(self, table: int, number: int, run: list[int]) -> None:
        """Write leaves that lie side by side, and start another run."""
        if run:
            data = b"".join(entry.to_bytes(8, "little") for entry in run)
            self._platform.write(table + 8 * (number & 511), data)
            run.clear()

    def _descend(self, table: int, level: int, index: int, changes: Changes, inner: tuple[int, int, int, int]) -> None:
        """Map a part of what one entry spans: in its table, or in a new one that is linked when it is filled."""
        entry = self._entry(table, index)
        start, end, delta, flags = inner
        if entry & self._form.present:
            child = entry & self._form.address
            self._map(child, level - 1, start, end, delta, flags, changes)
            self._merge(table, level, index, child, start, changes)
            return
        child = self._pages.allocate()
        self._map(child, level - 1, start, end, delta, flags, changes)
        self._put(table, index, child | self._form.table[level])

    def _map_frames(
        self, table: int, level: int, start: int, frames: Sequence[int], flags: int, changes: Changes
    ) -> None:
        """Map frames that all lie below one table of level 1."""
        index = start >> 3 + 9 * level & 511
        if level == 1:
            self._platform.write(table + 8 * index, b"".join([(f | flags).to_bytes(8, "little") for f in frames]))
            return
        entry = self._entry(table, index)
        present = entry & self._form.present
        child = entry & self._form.address if present else self._pages.allocate()
        self._map_frames(child, level - 1, start, frames, flags, changes)
        if present:
            self._merge(table, level, index, child, start, changes)
            return
        whole = self._whole(child, level)
        if whole is None:
            self._put(table, index, child | self._form.table[level])
        else:  # frames that happen to lie side by side
            self._put(table, index, whole)
            changes.unlinked.append(child)

    def _whole(self, child: int, level: int) -> int | None:
        """Return the leaf of this level that translates as the table `child` does, None when there is none."""
        form = self._form
        step = 1 << 3 + 9 * (level - 1)
        if level not in form.leaf_levels:
            return None
        first, last = self._entry(child, 0) & ~form.volatile, self._entry(child, 511) & ~form.volatile
        aligned = (first & form.address) % (512 * step) == 0
        if self._is_table(first, level - 1) or not first & form.present or last != first + 511 * step or not aligned:
            return None
        if any(entry & ~form.volatile != first + i * step for i, entry in enumerate(self._entries(child))):
            return None
        return first | form.large

    def _merge(self, table: int, level: int, index: int, child: int, address: int, changes: Changes) -> None:
        whole = self._whole(child, level)
        if whole is not None:
            self._put(table, index, whole)
            shift = 3 + 9 * level
            changes.add(address >> shift << shift, 1 << shift)
            changes.unlinked.append(child)

    # --- Unmapping

    def _clear(self, table: int, level: int, start: int, end: int, changes: Changes) -> None:
        """Clear what of [start, end) lies below this table."""
        shift = 3 + 9 * level
        size = 1 << shift
        first, last = start >> shift, end - 1 >> shift
        entries = _TABLE.unpack(self._platform.read(table, PAGE_SIZE))
        for number in range(first, last + 1):
            index, low = number & 511, number << shift
            entry = entries[index]
            if not entry & self._form.present:
                continue
            inner = (max(start, low), min(end, low + size))
            if inner == (low, low + size):
                self._put(table, index, 0)
                changes.add(low, size)
                if self._is_table(entry, level):
                    changes.unlinked += self._subtree(entry & self._form.address, level - 1)
            elif self._is_table(entry, level):
                child = entry & self._form.address
                self._clear(child, level - 1, *inner, changes)
                if self._platform.read(child, PAGE_SIZE) == _EMPTY:
                    self._put(table, index, 0)
                    changes.unlinked.append(child)
                    changes.add(low, size)
            else:
                self._split(table, level, index, entry, inner, changes)

    def _split(self, table: int, level: int, index: int, entry: int, hole: tuple[int, int], changes: Changes) -> None:
        """Put a table with a hole in the place of a large page: all of it is made before the one store."""
        child = self._pages.allocate()
        step = 1 << 3 + 9 * (level - 1)
        leaf = entry if level - 1 > 1 else entry & ~self._form.large
        self._platform.write(child, _TABLE.pack(*(leaf + i * step for i in range(512))))
        inner = Changes()
        self._clear(child, level - 1, *hole, inner)
        self._put(table, index, child | self._form.table[level])
        changes.add(hole[0], hole[1] - hole[0])


def aligned_blocks(start: int, length: int, most: int) -> list[tuple[int, int]]:
    """Cover a range by `(address, order)`: 2^order pages of 4 KiB, so aligned, `order` at most `most`."""
    blocks = []
    page, end = start >> 12, (start + length + 0xFFF) >> 12
    while page < end:
        order = min(most, (end - page).bit_length() - 1)
        if page:
            order = min(order, (page & -page).bit_length() - 1)
        blocks.append((page << 12, order))
        page += 1 << order
    return blocks
