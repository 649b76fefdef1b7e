"""The context descriptors of one stream: a single one, or a table by substream (IHI 0070 clause 5.3)."""

from __future__ import annotations

from ...platform import PageAllocator, Platform, load, store
from ..layout import CD, L1CD, STE
from .entries import Group, cd_update

_LEAF_BITS = 6
"""log2 of the context descriptors in a leaf of 4 KiB (S1Fmt 1)."""
_PAGE = 4096
_LINEAR, _TWO_LEVEL = 0, 1


class ContextTable:
    """Context descriptors in memory.

    `bits` is log2 of their number. From 7 bits up the table has two levels if the hardware can; its leaves are made as
    they are needed.
    """

    def __init__(self, platform: Platform, allocator: PageAllocator, bits: int, alias: int, *, two_level: bool) -> None:
        """Make a table of invalid descriptors. `alias` turns its physical address into the one hardware uses."""
        self.bits = bits
        self._platform = platform
        self._allocator = allocator
        self._alias = alias
        self._two_level = two_level and bits > _LEAF_BITS
        size = 8 << bits - _LEAF_BITS if self._two_level else CD.size << bits
        self._memory = allocator.allocate(size, max(size, _PAGE))
        self._leaves: dict[int, int] = {}

    def fields(self) -> STE:
        """Return an STE that has the fields of this table and nothing else."""
        return STE(
            S1ContextPtr=self._memory + self._alias, S1Fmt=_TWO_LEVEL if self._two_level else _LINEAR, S1CDMax=self.bits
        )

    def _place(self, index: int) -> tuple[int, bool]:
        """Return the physical address of a descriptor and whether its leaf has just been linked."""
        if not self._two_level:
            return self._memory + CD.size * index, False
        number = index >> _LEAF_BITS
        linked = number not in self._leaves
        if linked:
            leaf = self._leaves[number] = self._allocator.allocate(_PAGE)
            store(self._platform, self._memory + 8 * number, L1CD(V=1, L2Ptr=leaf + self._alias))
        return self._leaves[number] + CD.size * (index & (1 << _LEAF_BITS) - 1), linked

    def update(self, index: int, new: CD) -> tuple[int, list[Group], bool]:
        """Return where a descriptor is, the groups of stores that change it, and whether a leaf was linked for it."""
        place, linked = self._place(index)
        return place, cd_update(load(self._platform, place, CD), new), linked

    def release(self) -> None:
        """Give the memory back; the hardware must have forgotten the table."""
        for leaf in self._leaves.values():
            self._allocator.free(leaf)
        self._allocator.free(self._memory)
