"""What the IOMMU remembers of page tables: it stays until a command invalidates it, as the strictest hardware keeps it.

First-stage entries lead from IOVA to guest physical address and are tagged by GSCID and PSCID, global ones by GSCID;
second-stage entries lead on and are tagged by GSCID. The two are kept apart, so an access uses both as they were
remembered, each for as long as no command names it (2.8, 3.1.1). Pointers to tables are remembered as well; only a
command without address, or with NL, takes them. What is not valid is never remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

HOST = -1
"""In place of a GSCID: the second stage is Bare."""
GLOBAL = -1
"""In place of a PSCID: mappings with G."""
Tag = tuple[int, int]
"""GSCID and PSCID."""
Entry = tuple[int, int]
"""Output minus input; the page-table entry."""
Range = tuple[int, int]
"""First and last address that a command names."""


class Space:
    """Entries under one tag.

    Attributes:
        sizes: (shift, entries by address >> shift), the smallest first.
        tables: next table, and whether it is global, by (shift, address >> shift).
        messages: MSI page table entries by guest page (second stage only).
    """

    __slots__ = ("messages", "sizes", "tables")

    def __init__(self) -> None:
        """Make an empty one."""
        self.sizes: list[tuple[int, dict[int, Entry]]] = []
        self.tables: dict[tuple[int, int], tuple[int, int]] = {}
        self.messages: dict[int, tuple[int, int]] = {}

    def insert(self, shift: int, address: int, entry: Entry) -> None:
        """Remember an entry for the 2^shift bytes around an address."""
        for known, entries in self.sizes:
            if known == shift:
                entries[address >> shift] = entry
                return
        self.sizes.append((shift, {address >> shift: entry}))
        self.sizes.sort(key=lambda pair: pair[0])

    def find(self, address: int) -> Entry | None:
        """Return the smallest entry that holds an address: which of several is used is unpredictable (3.1.1)."""
        for shift, entries in self.sizes:
            entry = entries.get(address >> shift)
            if entry is not None:
                return entry
        return None

    def invalidate(self, named: Range | None, *, tables: bool) -> None:
        """Forget everything, or what a range names: leaves, and pointers to tables if `tables`."""
        if named is None:
            for _, entries in self.sizes:
                entries.clear()
            self.messages.clear()
            self.tables.clear()
            return
        low, high = named
        for shift, entries in self.sizes:
            for key in [key for key in entries if low >> shift <= key <= high >> shift]:
                del entries[key]
        for page in [page for page in self.messages if low >> 12 <= page <= high >> 12]:
            del self.messages[page]
        if tables:
            for place in [place for place in self.tables if low >> place[0] <= place[1] <= high >> place[0]]:
                del self.tables[place]


class Tlb:
    """All spaces by tag."""

    __slots__ = ("_first", "_second")

    def __init__(self) -> None:
        """Make an empty one."""
        self._first: dict[Tag, Space] = {}
        self._second: dict[int, Space] = {}

    def first(self, gscid: int, pscid: int) -> Space:
        """Return the space of first-stage entries of a tag; it stays the same object for ever."""
        return self._first.setdefault((gscid, pscid), Space())

    def second(self, gscid: int) -> Space:
        """Return the space of second-stage entries of a tag; it stays the same object for ever."""
        return self._second.setdefault(gscid, Space())

    def forget_first(self, where: Callable[[Tag], bool], named: Range | None, *, tables: bool) -> None:
        """Forget first-stage entries under the tags that `where` accepts."""
        for tag, space in self._first.items():
            if where(tag):
                space.invalidate(named, tables=tables)

    def forget_second(self, gscid: int | None, named: Range | None, *, tables: bool) -> None:
        """Forget second-stage entries of a GSCID, or of all."""
        for known, space in self._second.items():
            if gscid is None or known == gscid:
                space.invalidate(named, tables=tables)

    def _spaces(self) -> Iterator[Space]:
        yield from self._first.values()
        yield from self._second.values()

    def __len__(self) -> int:
        """Return the number of leaves that are remembered."""
        return sum(len(entries) for space in self._spaces() for _, entries in space.sizes)
