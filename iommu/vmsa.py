"""Translation tables of VMSAv8, written so that nothing opens that neither old nor new mapping grants (DDI 0487 D8.2).

Both kinds of SMMU have them: their drivers write them with this, and their models read them with walks of their own.

New tables are complete before the one descriptor that links them. A block is replaced by a table, or a table by a
block, only through an invalid descriptor with the caches emptied in between (break-before-make), unless the hardware
says that it can do without (IDR3.BBML = 2). What is unmapped is freed after the caches have forgotten it. Each mapping
uses the largest blocks that its alignment permits; a table that has become one contiguous block is merged into one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct, pack, unpack_from

from .platform import PageAllocator, Platform

_VALID, _TABLE = 1, 2
_LAST_LEVEL = 3
_FIRST_BLOCK = {12: 1, 14: 2, 16: 2}
"""First level that may hold blocks, by log2 of the granule, for addresses of 48 bits."""
_ADDRESS = (1 << 48) - 1
_U64 = Struct("<Q")
Invalidate = Callable[[int, int, bool], None]
"""Empty the caches for (input address, length); True if no table descriptor went away."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Geometry of a table.

    Attributes:
        granule: log2 of the granule: 12, 14 or 16.
        input_bits: bits of an input address.
        output_bits: bits of an output address.
        start: level of the first table, 0 to 3.
        concatenated: log2 of the number of first tables in a row (stage 2).
    """

    granule: int
    input_bits: int
    output_bits: int
    start: int
    concatenated: int = 0

    @property
    def root_size(self) -> int:
        """Bytes of the first table, or tables in a row."""
        return 8 << self.input_bits - self.shift(self.start)

    def shift(self, level: int) -> int:
        """Return log2 of the bytes that one descriptor of a level covers."""
        return self.granule + (self.granule - 3) * (_LAST_LEVEL - level)


def stage1_shape(granule: int, input_bits: int, output_bits: int) -> Shape:
    """Return the shape of a stage 1 table: as few levels as resolve the input (DDI 0487 D8.2.8)."""
    levels = -(-(input_bits - granule) // (granule - 3))
    return Shape(granule, input_bits, output_bits, 4 - levels)


def stage2_shape(granule: int, input_bits: int, output_bits: int) -> Shape:
    """Return the shape of a stage 2 table: a level less where up to 16 concatenated tables replace it (D8.2.9)."""
    stride = granule - 3
    levels = -(-(input_bits - granule) // stride)
    spare = input_bits - granule - stride * (levels - 1)
    if levels > 1 and (spare <= 4 or (granule == 14 and levels == 4)):  # 16 KiB has no level 0
        return Shape(granule, input_bits, output_bits, 5 - levels, spare)
    return Shape(granule, input_bits, output_bits, 4 - levels)


class PageTable:
    """One translation table.

    Attributes:
        root: physical address of the first table.
        pages: number of granules in use for tables.
    """

    def __init__(
        self,
        platform: Platform,
        allocator: PageAllocator,
        shape: Shape,
        invalidate: Invalidate,
        *,
        hitless: bool = False,
        alias: int = 0,
    ) -> None:
        """Make an empty table.

        `hitless` says that block and table may replace one another directly. `alias` is added to a table's physical
        address to give the address by which hardware fetches it (the IPA, in a nested configuration).
        """
        self.shape = shape
        self._platform = platform
        self._allocator = allocator
        self._invalidate = invalidate
        self._hitless = hitless
        self._alias = alias
        self._size = 1 << shape.granule
        self._entries = self._size >> 3
        self._dead: list[tuple[int, int]] = []
        root = max(shape.root_size, self._size)
        self.root = allocator.allocate(root, root)
        self.pages = root >> shape.granule
        self._rows = Struct(f"<{self._entries}Q")

    # --- queries ----------------------------------------------------------------------------------------------------

    def find(self, address: int) -> tuple[int, int] | None:
        """Return (descriptor, log2 of its size) of the leaf that maps an address, None when nothing does."""
        level = self.shape.start
        entry = self._read(self._slot(self.root, level, address))
        while entry & _TABLE and level < _LAST_LEVEL:
            level += 1
            entry = self._read(self._slot(self._table(entry), level, address))
        return (entry, self.shape.shift(level)) if entry & _VALID else None

    def occupied(self, address: int, size: int) -> bool:
        """Tell whether anything is mapped in a range."""
        return self._occupied(self.root, self.shape.start, address, size)

    def _occupied(self, table: int, level: int, address: int, size: int) -> bool:
        span = 1 << self.shape.shift(level)
        if level == _LAST_LEVEL:
            count = size >> self.shape.granule
            return any(self._platform.read(self._slot(table, level, address), 8 * count))
        while size:
            count = min(size, span - (address & span - 1))
            entry = self._read(self._slot(table, level, address))
            if entry and (not entry & _TABLE or self._occupied(self._table(entry), level + 1, address, count)):
                return True
            address, size = address + count, size - count
        return False

    # --- mapping ----------------------------------------------------------------------------------------------------

    def map(self, address: int, output: int, size: int, attributes: int) -> None:
        """Map a range that is free; everything is a multiple of the granule.

        `attributes` are the bits of a leaf without valid bit, type bit and address.
        """
        self._fill(self.root, self.shape.start, address, output, size, attributes, fresh=False)

    def _fill(
        self, table: int, level: int, address: int, output: int, size: int, attributes: int, *, fresh: bool
    ) -> None:
        """Write the descriptors of a range that this table covers; `fresh` tables are not yet linked."""
        shift = self.shape.shift(level)
        span = 1 << shift
        while size:
            slot = self._slot(table, level, address)
            count = min(size, span - (address & span - 1))
            if count == span and self._leaf_fits(level, output):
                rows = size >> shift
                if level > self.shape.start:
                    rows = min(rows, self._entries - (address >> shift & self._entries - 1))
                kind = self._kind(level) | attributes
                self._platform.write(
                    slot, pack(f"<{rows}Q", *range(output | kind, (output | kind) + (rows << shift), span))
                )
                count = rows << shift
            elif entry := 0 if fresh else self._read(slot):
                self._fill(self._table(entry), level + 1, address, output, count, attributes, fresh=False)
                self._merge(slot, level, address)
            else:
                below = self._new_table()
                self._fill(below, level + 1, address, output, count, attributes, fresh=True)
                self._write(slot, self._link(below))
            address, output, size = address + count, output + count, size - count

    def map_scattered(self, address: int, outputs: Sequence[int], attributes: int) -> None:
        """Map granules at the given output addresses one after another from a free `address`."""
        self._scatter(self.root, self.shape.start, address, outputs, 0, len(outputs), attributes, fresh=False)

    def _scatter(
        self,
        table: int,
        level: int,
        address: int,
        outputs: Sequence[int],
        first: int,
        last: int,
        attributes: int,
        *,
        fresh: bool,
    ) -> None:
        shift = self.shape.shift(level)
        if level == _LAST_LEVEL:
            kind = _VALID | _TABLE | attributes
            rows = [output | kind for output in outputs[first:last]]
            self._platform.write(self._slot(table, level, address), pack(f"<{len(rows)}Q", *rows))
            return
        while first < last:
            slot = self._slot(table, level, address)
            count = min(last - first, ((1 << shift) - (address & (1 << shift) - 1)) >> self.shape.granule)
            entry = 0 if fresh else self._read(slot)
            below = self._table(entry) if entry else self._new_table()
            part = first + count
            self._scatter(below, level + 1, address, outputs, first, part, attributes, fresh=not entry)
            if entry:
                self._merge(slot, level, address)
            else:
                self._link_or_block(slot, level, below)
            address, first = address + (count << self.shape.granule), part

    def _link_or_block(self, slot: int, level: int, below: int) -> None:
        """Link a complete new table, or the block that it amounts to."""
        block = self._block(level, below)
        if block:
            self._allocator.free(below)
            self.pages -= 1
        self._write(slot, block or self._link(below))

    def _merge(self, slot: int, level: int, address: int) -> None:
        """Replace a linked table by a block if it amounts to one."""
        below = self._table(self._read(slot))
        block = self._block(level, below)
        if not block:
            return
        span = 1 << self.shape.shift(level)
        if not self._hitless:
            self._write(slot, 0)
            self._invalidate(address & -span, span, False)  # noqa: FBT003  # a table goes away
        self._write(slot, block)
        if self._hitless:
            self._invalidate(address & -span, span, False)  # noqa: FBT003
        self._allocator.free(below)
        self.pages -= 1

    def _block(self, level: int, table: int) -> int:
        """Return the block descriptor that equals a table one level below, 0 when there is none."""
        if level < _FIRST_BLOCK[self.shape.granule]:
            return 0
        first = self._read(table)
        below = level + 1
        output = first & _ADDRESS & -self._size
        if first & 3 != self._kind(below) or output & (1 << self.shape.shift(level)) - 1:
            return 0
        step = 1 << self.shape.shift(below)
        if self._read(table + self._size - 8) != first + step * (self._entries - 1):
            return 0
        rows = self._rows.unpack(self._platform.read(table, self._size))
        if rows != tuple(range(first, first + step * self._entries, step)):
            return 0
        return first & ~_TABLE

    # --- unmapping --------------------------------------------------------------------------------------------------

    def unmap(self, address: int, size: int) -> None:
        """Unmap whatever is mapped in a range of whole granules; when it returns, hardware has forgotten it."""
        try:
            self._clear(self.root, self.shape.start, address, size, self._dead)
        finally:
            # What was cleared before a failure goes too. Tables that hardware may still know of wait for the next time.
            self._invalidate(address, size, not self._dead)
        dead, self._dead = self._dead, []
        for table, level in dead:
            self._release(table, level)

    def _clear(self, table: int, level: int, address: int, size: int, dead: list[tuple[int, int]]) -> None:
        shift = self.shape.shift(level)
        span = 1 << shift
        if level == _LAST_LEVEL:
            self._platform.write(self._slot(table, level, address), bytes(8 * (size >> shift)))
            return
        while size:
            slot = self._slot(table, level, address)
            count = min(size, span - (address & span - 1))
            entry = self._read(slot)
            linked = entry & _TABLE
            if entry and count == span:
                self._write(slot, 0)
            elif linked:
                self._clear(self._table(entry), level + 1, address, count, dead)
                if not any(self._platform.read(self._table(entry), self._size)):
                    self._write(slot, 0)
                else:
                    linked = 0
            elif entry:
                self._split(slot, level, entry, address, count)
            if linked:
                dead.append((self._table(entry), level + 1))
            address, size = address + count, size - count

    def _split(self, slot: int, level: int, entry: int, address: int, size: int) -> None:
        """Replace a block by a table that maps all of it but a range."""
        span = 1 << self.shape.shift(level)
        start = address & -span
        output = entry & _ADDRESS & -self._size
        attributes = entry & ~(_ADDRESS & -self._size) & ~(_VALID | _TABLE)
        below = self._new_table()
        for low, high in ((start, address), (address + size, start + span)):
            if low < high:
                self._fill(below, level + 1, low, output + low - start, high - low, attributes, fresh=True)
        if not self._hitless:
            self._write(slot, 0)
            self._invalidate(start, span, True)  # noqa: FBT003  # only a leaf goes away
        self._write(slot, self._link(below))

    def _release(self, table: int, level: int) -> None:
        """Give a table and all below it back."""
        if level < _LAST_LEVEL:
            for entry in unpack_from(f"<{self._entries}Q", self._platform.read(table, self._size)):
                if entry & _TABLE:
                    self._release(self._table(entry), level + 1)
        self._allocator.free(table)
        self.pages -= 1

    def release(self) -> None:
        """Give all memory back; the hardware must not use the table any more, nor remember it."""
        rows = self.shape.root_size >> 3
        if self.shape.start < _LAST_LEVEL:
            for entry in unpack_from(f"<{rows}Q", self._platform.read(self.root, 8 * rows)):
                if entry & _TABLE:
                    self._release(self._table(entry), self.shape.start + 1)
        for table, level in self._dead:
            self._release(table, level)
        self._allocator.free(self.root)
        self.pages = 0

    # --- descriptors ------------------------------------------------------------------------------------------------

    def _slot(self, table: int, level: int, address: int) -> int:
        index = address >> self.shape.shift(level)
        return table + 8 * (index if level == self.shape.start else index & self._entries - 1)

    def _leaf_fits(self, level: int, output: int) -> bool:
        first = _FIRST_BLOCK[self.shape.granule]
        return level == _LAST_LEVEL or (level >= first and not output & (1 << self.shape.shift(level)) - 1)

    @staticmethod
    def _kind(level: int) -> int:
        return _VALID | _TABLE if level == _LAST_LEVEL else _VALID

    def _new_table(self) -> int:
        self.pages += 1
        return self._allocator.allocate(self._size, self._size)

    def _link(self, table: int) -> int:
        return table + self._alias | _VALID | _TABLE

    def _table(self, entry: int) -> int:
        return (entry & _ADDRESS & -self._size) - self._alias

    def _read(self, address: int) -> int:
        return int(_U64.unpack(self._platform.read(address, 8))[0])

    def _write(self, address: int, value: int) -> None:
        self._platform.write(address, _U64.pack(value))
