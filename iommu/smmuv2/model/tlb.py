"""What the unit remembers of tables: it stays until an invalidation is complete, as the strictest hardware keeps it.

Entries are tagged by stage, VMID and, of stage 1, ASID; global ones (nG = 0) by VMID alone. A bank finds what another
bank of the same tags has put there. Pointers to tables are remembered as well. What cannot be used is not remembered.
"""

from __future__ import annotations

from .stage import Tables

GLOBAL = -1
"""In place of an ASID: entries with nG = 0, and those of stage 2."""
Tag = tuple[int, int, int]
"""Stage, VMID, ASID."""
Entry = tuple[int, int, int]
"""Output minus input; permission bits; level of the table."""


class Space:
    """Entries under one tag.

    Attributes:
        sizes: (shift, entries by address >> shift), the smallest first.
        tables: next table, and attributes gathered on the way, by (shift, address >> shift).
    """

    __slots__ = ("sizes", "tables")

    def __init__(self) -> None:
        """Make an empty one."""
        self.sizes: list[tuple[int, dict[int, Entry]]] = []
        self.tables: Tables = {}

    def insert(self, shift: int, address: int, entry: Entry) -> None:
        """Remember an entry for the 2^shift bytes around an address."""
        for known, entries in self.sizes:
            if known == shift:
                entries[address >> shift] = entry
                return
        self.sizes.append((shift, {address >> shift: entry}))
        self.sizes.sort(key=lambda pair: pair[0])

    def find(self, address: int) -> list[Entry]:
        """Return every entry that holds an address: more than one is a conflict."""
        return [entry for shift, entries in self.sizes if (entry := entries.get(address >> shift)) is not None]

    def clear(self) -> None:
        """Forget everything."""
        for _, entries in self.sizes:
            entries.clear()
        self.tables.clear()

    def forget(self, address: int, *, tables: bool) -> None:
        """Forget the entry that holds an address, and with `tables` those on the way to it."""
        for shift, entries in self.sizes:
            entries.pop(address >> shift, None)
        if tables:
            for place in [place for place in self.tables if address >> place[0] == place[1]]:
                del self.tables[place]


class Tlb:
    """All spaces by tag."""

    __slots__ = ("_spaces",)

    def __init__(self) -> None:
        """Make an empty one."""
        self._spaces: dict[Tag, Space] = {}

    def space(self, tag: Tag) -> Space:
        """Return the space of a tag; it stays the same object for ever."""
        return self._spaces.setdefault(tag, Space())

    def matching(
        self, stage: int | None = None, vmid: int | None = None, asids: frozenset[int] | None = None
    ) -> list[Space]:
        """Return the spaces of a stage, a VMID and some ASIDs; None stands for all."""
        return [
            space
            for (number, tag, asid), space in self._spaces.items()
            if stage in (None, number) and vmid in (None, tag) and (asids is None or asid in asids)
        ]

    def __len__(self) -> int:
        """Return the number of leaves that are remembered."""
        return sum(len(entries) for space in self._spaces.values() for _, entries in space.sizes)
