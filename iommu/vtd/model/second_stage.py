"""Walking the second stage: tables of 3, 4 or 5 levels, VT-d 3.7 and 9.8."""

from __future__ import annotations

from ...errors import IommuError
from ...platform import Memory
from ..layout import SecondStagePage
from ..names import Reason
from .caches import Caches
from .context import Context
from .hardware import Hardware
from .requests import READ, WRITE, Fault

_ADDRESS = SecondStagePage.ADDR.mask
_PS = SecondStagePage.PS.mask
_A = SecondStagePage.A.mask
_D = SecondStagePage.D.mask


def walk_second_stage(
    memory: Memory,
    hardware: Hardware,
    context: Context,
    address: int,
    need: int,
    caches: Caches | None = None,
    *,
    update: bool = True,
) -> tuple[int, int]:
    """Return (output page | permissions, page shift) for an input address.

    Permissions are those of `DomainTlb.pages`. With `caches`, inner tables are remembered and looked up there.
    `update` = False leaves accessed and dirty bits alone. Raises `Fault`.
    """
    scalable = context.scalable
    # 1. The address must be within the width of the domain.
    if address >> context.width:
        raise Fault(Reason.SGN_5 if scalable else Reason.LGN_1)
    level, table, granted = context.levels, context.root, 7
    zero_length = need == 0
    if not context.second_execute:
        need &= READ | WRITE
    if caches is not None:
        level, table, granted = _nearest_table(context, address, need)
    read = memory.read_u64
    while True:
        # 2. Read the entry of this level.
        shift = 3 + 9 * level
        at = table | (address >> shift & 0x1FF) << 3
        try:
            entry = read(at)
        except IommuError:
            raise Fault(_unreadable(context, level)) from None
        # 3. What is asked must be permitted here.
        if entry & need != need or not entry & 3:
            raise Fault(_refusal(context, entry, need, zero_length=zero_length))
        granted &= entry
        # 4. Reserved bits; a page ends the walk.
        leaf = level == 1 or (entry & _PS and level <= 3)
        if entry & (hardware.second_page[level] if leaf else hardware.second_table[level]):
            raise Fault(Reason.SSL_3 if scalable else Reason.LSL_2)
        # 5. Accessed and dirty bits.
        if context.second_ad and update:
            _set_accessed(memory, context, at, entry, dirty=bool(leaf and need & WRITE))
        if leaf:
            if not context.second_execute:
                granted = granted & 3 | (granted & READ) << 2
            if context.second_ad and not need & WRITE:
                granted &= ~WRITE  # a later write has to walk again, to set D
            return entry & _ADDRESS & -1 << shift | granted | granted << 3, shift
        table = entry & _ADDRESS
        level -= 1
        if caches is not None:
            caches.keep(context.tlb.tables, (level, address >> 12 + 9 * level), (table, table, granted))


def _nearest_table(context: Context, address: int, need: int) -> tuple[int, int, int]:
    """Return (level, table, granted) of the lowest table on the way that is remembered and permits what is asked."""
    tables = context.tlb.tables
    for level in range(1, context.levels):
        known = tables.get((level, address >> 12 + 9 * level))
        if known is not None and known[2] & need == need and known[2] & 3:
            return level, known[0], known[2]
    return context.levels, context.root, 7


def _unreadable(context: Context, level: int) -> Reason:
    root = level == context.levels
    if context.scalable:
        return Reason.SSL_4 if root else Reason.SSL_1
    # The root table comes from the context entry, so it is the context entry that is not valid.
    return Reason.LCT_4 if root else Reason.LSL_1


def _refusal(context: Context, entry: int, need: int, *, zero_length: bool) -> Reason:
    if context.scalable and not entry & (7 if context.second_execute else 3):
        return Reason.SSL_2
    missing = need & ~entry
    if missing & WRITE:
        return Reason.SGN_6 if context.scalable else Reason.LGN_2
    if missing & READ or zero_length:
        return Reason.SGN_7 if context.scalable else Reason.LGN_3
    return Reason.SGN_3


def _set_accessed(memory: Memory, context: Context, at: int, entry: int, *, dirty: bool) -> None:
    new = entry | _A | (_D if dirty else 0)
    if new == entry:
        return
    if not context.coherent:
        raise Fault(Reason.SSL_5)
    try:
        memory.compare_and_swap(at, entry, new)
    except IommuError:
        raise Fault(Reason.SSL_6) from None
