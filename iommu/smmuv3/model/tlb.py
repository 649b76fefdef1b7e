"""The translation cache: what was walked stays until a command invalidates it, as the strictest hardware would keep it.

A `Space` holds the entries of one tag: stage 1 and combined entries by stream world, VMID and ASID (global ones apart),
stage 2 entries by VMID. A combined entry of a nested walk is not found by IPA, so CMD_TLBI_S2_IPA alone leaves it
(IHI 0070 clause 4.4.3). Table descriptors are cached too; only an invalidation with Leaf = 0 takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

World = str
"""`EL1`, `EL2`, `EL2-E2H`, or `S2` for entries of stage 2."""
GLOBAL = -1
"""In place of an ASID: entries with nG = 0."""
Tag = tuple[World, int, int]
"""World, VMID, ASID."""
Entry = tuple[int, int, int, int, bool, int]
"""Output minus input; permissions of all stages; of the first; IPA minus input; a write could make it dirty; shift of
the descriptor that maps it (a combined entry can be smaller)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The addresses an invalidation names.

    Attributes:
        start, length: bytes of address space.
        leaf: only last-level information.
        shifts: only entries from descriptors of these shifts; empty for all.
    """

    start: int
    length: int
    leaf: bool
    shifts: frozenset[int] = frozenset()


class Space:
    """Entries under one tag.

    Attributes:
        sizes: (shift, entries by address >> shift), the smallest first.
        tables: cached table descriptors by (shift, address >> shift): next table and attributes gathered on the way.
    """

    __slots__ = ("sizes", "tables")

    def __init__(self) -> None:
        """Make an empty one."""
        self.sizes: list[tuple[int, dict[int, Entry]]] = []
        self.tables: dict[tuple[int, int], tuple[int, int]] = {}

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

    def invalidate(self, scope: Scope) -> None:
        """Forget what the scope names."""
        low, high = scope.start, scope.start + scope.length
        for shift, entries in self.sizes:
            for key in _keys(entries, low >> shift, high - 1 >> shift):
                if not scope.shifts or entries[key][5] in scope.shifts:
                    del entries[key]
        if not scope.leaf:
            for place in [place for place in self.tables if low >> place[0] <= place[1] <= high - 1 >> place[0]]:
                del self.tables[place]


def _keys(entries: dict[int, Entry], first: int, last: int) -> list[int]:
    if last - first < len(entries):
        return [key for key in range(first, last + 1) if key in entries]
    return [key for key in entries if first <= key <= last]


class Tlb:
    """All spaces by tag."""

    __slots__ = ("_spaces",)

    def __init__(self) -> None:
        """Make an empty one."""
        self._spaces: dict[Tag, Space] = {}

    def space(self, tag: Tag) -> Space:
        """Return the space of a tag; it stays the same object for ever."""
        found = self._spaces.get(tag)
        if found is None:
            found = self._spaces[tag] = Space()
        return found

    def invalidate(self, where: Callable[[Tag], bool], scope: Scope | None = None) -> None:
        """Forget, under the tags that `where` accepts, everything or what the scope names."""
        for space in self._matching(where):
            if scope is None:
                space.clear()
            else:
                space.invalidate(scope)

    def _matching(self, where: Callable[[Tag], bool]) -> Iterator[Space]:
        return (space for tag, space in self._spaces.items() if where(tag))

    def __len__(self) -> int:
        """Return the number of entries."""
        return sum(len(entries) for space in self._spaces.values() for _, entries in space.sizes)
