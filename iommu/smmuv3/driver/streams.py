"""The stream table: linear, or two levels with leaves of 256 entries made as needed (IHI 0070 clause 3.3.1)."""

from __future__ import annotations

from ...platform import PageAllocator, Platform, store, write_register
from ..layout import L1STD, STE
from ..layout.registers import STRTAB_BASE, STRTAB_BASE_CFG

_SPLIT = 8
_PAGE = 4096


class StreamTable:
    """Stream table entries in memory, all invalid at first, so that every stream is refused."""

    def __init__(
        self, platform: Platform, allocator: PageAllocator, base: int, stream_bits: int, *, two_level: bool
    ) -> None:
        """Take memory for a table of 2^stream_bits entries, or for its first level."""
        self.stream_bits = stream_bits
        self._platform = platform
        self._allocator = allocator
        self._registers = base
        self._two_level = two_level and stream_bits > _SPLIT
        size = 8 << stream_bits - _SPLIT if self._two_level else STE.size << stream_bits
        self._memory = allocator.allocate(size, max(size, _PAGE))
        self._leaves: dict[int, int] = {}

    def program(self) -> None:
        """Tell the hardware where the table is; translation must be disabled."""
        write_register(self._platform, self._registers, STRTAB_BASE(RA=1, ADDR=self._memory))
        shape = STRTAB_BASE_CFG(LOG2SIZE=self.stream_bits)
        if self._two_level:
            shape = shape.replace(FMT=1, SPLIT=_SPLIT)
        write_register(self._platform, self._registers, shape)

    def place(self, stream_id: int) -> tuple[int, bool]:
        """Return the address of an entry and whether a leaf has just been linked for it."""
        if not self._two_level:
            return self._memory + STE.size * stream_id, False
        number = stream_id >> _SPLIT
        linked = number not in self._leaves
        if linked:
            size = STE.size << _SPLIT
            leaf = self._leaves[number] = self._allocator.allocate(size, size)
            store(self._platform, self._memory + 8 * number, L1STD(Span=_SPLIT + 1, L2Ptr=leaf))
        return self._leaves[number] + STE.size * (stream_id & (1 << _SPLIT) - 1), linked
