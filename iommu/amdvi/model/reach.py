"""What a device reaches through a unit, from the tables in memory, AMD 48882 2.2.2 and 2.2.3.

The device table entry is judged by the code that reads it; entries of page tables are judged here. Levels may be left
out and pages have every size, so these tables have a walk of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from struct import Struct

from ...platform import PAGE_SIZE, Memory
from ...reach import EXECUTE, LIMIT, READ, WRITE, Piece, Pieces, Reach, reached, table_bytes, without
from .caches import Caches
from .device import Context, Request
from .requests import INTERRUPT_RANGE, Fault
from .translation import Translator
from .unit import Unit
from .walk import (
    ADDRESS,
    IR_SHIFT,
    LEAF_RESERVED,
    LEVEL_SHIFT,
    PRESENT,
    SIZED,
    TABLE_RESERVED,
    page_shift,
    sized_shift,
)

_ALL = READ | WRITE
_TABLE = Struct("<512Q")
_INTERRUPTS = (INTERRUPT_RANGE << 20, INTERRUPT_RANGE + 1 << 20)
_END = 1 << 64


def reach(unit: Unit, device: int, *, limit: int = LIMIT) -> Iterator[Reach]:
    """Yield all that requests of a device reach, ascending by address, each run as long as can be.

    It is what `Unit.walk` answers for every address, with nothing remembered. Two things differ where nothing is
    translated: addresses end at the physical address width, and while the unit is off the interrupt range, where
    writes are interrupts, is left out. What can be read can be executed.

    Args:
        unit: the unit.
        device: device ID, 16 bits.
        limit: the most runs. Tables that point to one another can map 2^36 and more: nothing is done for a run before
            it is asked for, and tables that map nothing are visited once.

    Raises `IommuError` (`REACH-LIMIT`) instead of yielding more than `limit` runs.
    """
    return reached(without(_mapped(unit, device), *_INTERRUPTS), limit)


def _mapped(unit: Unit, device: int) -> Iterator[Pieces]:
    tables, everything = unit.tables, 1 << unit.hardware.physical_bits
    if not tables.translating:
        return _open(everything, _ALL)
    request = Request(device, 0, READ)
    try:
        context = Translator(unit.memory, unit.hardware, Caches(), tables).context(request, cached=False)
        if not context.valid:
            return _open(everything, _ALL)
        context.refuse_illegal(request)
    except Fault:
        return iter(())
    if not context.translates:
        found: Iterator[Pieces] = iter(())
    elif not context.mode:
        found = _open(everything, context.granted)
    else:
        found = _Tree(unit.memory).scan(context)
    start, end = tables.exclusion
    if start < end and (tables.everybody or context.excluded):
        found = _with_identity(found, start, end)
    return found


def _flags(granted: int) -> int:
    return granted | EXECUTE if granted & READ else granted


def _open(end: int, granted: int) -> Iterator[Pieces]:
    return iter([[(0, 0, end, _flags(granted))]] if granted else [])


def _with_identity(batches: Iterable[Pieces], start: int, end: int) -> Iterator[Pieces]:
    """Put a range that is not translated in the place of what the tables say of it."""
    own: Piece = (start, start, end - start, _flags(_ALL))
    done = False
    for pieces in without(batches, start, end):
        if not done and pieces[-1][0] >= end:
            done = True
            yield sorted([*pieces, own])
        else:
            yield pieces
    if not done:
        yield [own]


@dataclass(slots=True)
class _Tree:
    """Host page tables.

    Attributes:
        memory: where they are.
        empty: (table, level, permissions) of those that map nothing.
    """

    memory: Memory
    empty: set[tuple[int, int, int]] = field(default_factory=set)

    def scan(self, context: Context) -> Iterator[Pieces]:
        """Yield what the tables of a device map."""
        return self._table(context.root, context.mode, 0, context.granted)

    def _table(self, table: int, level: int, base: int, granted: int) -> Iterator[Pieces]:
        """Yield what one table maps, whose first entry is for address `base`."""
        data = table_bytes(self.memory, table, PAGE_SIZE)
        shift, found = page_shift(level), False
        pieces: Pieces = []
        for number, entry in enumerate(_TABLE.unpack(data)):
            address = base + (number << shift)
            if not entry & PRESENT or address >= _END:
                continue
            access = granted & entry >> IR_SHIFT
            following = entry >> LEVEL_SHIFT & 7
            if following not in (0, SIZED):
                inner = (entry & ADDRESS, following, access)
                if not access or entry & TABLE_RESERVED or following >= level or inner in self.empty:
                    continue
                if pieces:
                    found = True
                    yield pieces
                    pieces = []
                for more in self._table(inner[0], following, address, access):
                    found = True
                    yield more
            elif access and not entry & LEAF_RESERVED:
                size = sized_shift(entry, level) if following else shift
                if size is not None:
                    output = entry & ADDRESS & -1 << size | address & (1 << size) - 1
                    pieces.append((address, output, 1 << shift, _flags(access)))
        if pieces:
            yield pieces
        elif not found:
            self.empty.add((table, level, granted))
