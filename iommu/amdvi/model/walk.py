"""Walking host page tables: up to six levels, levels left out, pages of every power of two, AMD 48882 2.2.3."""

from __future__ import annotations

from ...errors import IommuError
from ...platform import Memory
from ..layout import PTE, TableEntry
from ..layout.queues import PageTabHardwareError
from ..names import EventCode
from .caches import Caches
from .device import Context, Request, hardware_error
from .requests import Fault

ADDRESS = PTE.Address.mask
PRESENT = PTE.PR.mask
LEAF_RESERVED = PTE.reserved_mask
TABLE_RESERVED = TableEntry.reserved_mask
LEVEL_SHIFT = PTE.NextLevel.shift
IR_SHIFT = PTE.IR.shift
SIZED = 7
"""NextLevel of a page whose address encodes its size."""


def page_shift(level: int) -> int:
    """Return log2 of the bytes that an entry of a level spans."""
    return 3 + 9 * level


def sized_shift(entry: int, level: int) -> int | None:
    """Return log2 of the size that an entry with NextLevel 7 encodes; None when it is no size of that level.

    The lowest bit of the address that is 0 says it: of bit k, the page has 2^(k+1) bytes.
    """
    ones = (entry & ADDRESS) >> 12
    shift = 12 + (~ones & ones + 1).bit_length()
    return shift if page_shift(level) < shift < page_shift(level + 1) else None


def walk(memory: Memory, context: Context, request: Request, caches: Caches | None = None) -> tuple[int, int]:
    """Return (output page | permissions, log2 of the page size). Raises `Fault`.

    With `caches`, inner tables are remembered and looked up there.
    """
    address, need = request.address, request.need
    level, table, granted = context.mode, context.root, context.granted
    # 1. The tables must reach as far as the address.
    if address >> page_shift(level + 1):
        raise Fault(request.page_fault(context.domain, PR=1))
    if caches is not None:
        level, table, granted = _nearest_table(caches, context, address, need)
    while True:
        # 2. Read the entry of this level.
        shift = page_shift(level)
        place = table | (address >> shift & 0x1FF) << 3
        try:
            entry = memory.read_u64(place)
        except IommuError as error:
            raise Fault(
                PageTabHardwareError(
                    EventCode=EventCode.PAGE_TAB_HARDWARE_ERROR,
                    Type=hardware_error(error),
                    DomainID=context.domain,
                    TableAddress=place,
                    **request.flags,
                )
            ) from None
        if not entry & PRESENT:
            raise Fault(request.page_fault(context.domain))
        # 3. Reserved bits.
        following = entry >> LEVEL_SHIFT & 7
        leaf = following in (0, SIZED)
        if entry & (LEAF_RESERVED if leaf else TABLE_RESERVED):
            raise Fault(request.page_fault(context.domain, PR=1, RZ=1))
        # 4. What is asked must be permitted here.
        if need & ~(entry >> IR_SHIFT):
            raise Fault(request.page_fault(context.domain, PR=1, PE=1))
        granted &= entry >> IR_SHIFT
        # 5. A page ends the walk.
        if leaf:
            size = sized_shift(entry, level) if following == SIZED else shift
            if size is None:
                raise Fault(request.page_fault(context.domain, PR=1))
            return entry & ADDRESS & -1 << size | granted, size
        # 6. The next table is of a lower level; address bits of levels between are 0.
        span = page_shift(following + 1)
        if following >= level or (address & (1 << shift) - 1) >> span:
            raise Fault(request.page_fault(context.domain, PR=1))
        table, level = entry & ADDRESS, following
        if caches is not None:
            caches.keep(caches.tlb(context.domain).tables, (level, address >> span), (table, granted))


def _nearest_table(caches: Caches, context: Context, address: int, need: int) -> tuple[int, int, int]:
    """Return (level, table, granted) of the lowest table on the way that is remembered and permits what is asked."""
    tables = caches.tlb(context.domain).tables
    for level in range(1, context.mode):
        known = tables.get((level, address >> page_shift(level + 1)))
        if known is not None and known[1] & need == need:
            return level, *known
    return context.mode, context.root, context.granted
