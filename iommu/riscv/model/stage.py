"""One stage of translation and the walk of its table, on plain integers (privileged specification 10.3 to 10.6).

What the walk finds wrong is the page fault of its stage; what the reader of entries finds wrong is the reader's.
"""

from __future__ import annotations

from collections.abc import Callable

from ..layout import DC, PageTableEntry
from ..layout.registers import CAPABILITIES
from .values import GUEST, PAGE, Fault

V, R, W, X, U, G, A, D = 1, 2, 4, 8, 16, 32, 64, 128
N = PageTableEntry.N.mask
PBMT = PageTableEntry.PBMT.mask
PPN = PageTableEntry.PPN.mask
_UNNAMED = PageTableEntry.reserved_mask
_RSW60T59 = 3 << 59
_NOT_IN_POINTERS = N | PBMT | U | A | D
_LEAF = R | X
_NAPOT_SHIFT = 16
"""log2 of the only NAPOT page: 64 KiB (Svnapot)."""
_LEVELS = {8: 3, 9: 4, 10: 5}
"""Levels by MODE of iosatp and iohgatp."""

Tables = dict[tuple[int, int], tuple[int, int]]
Reader = Callable[[int], int]
Leaf = tuple[int, int, int, int, int]
"""Entry, its address, log2 of what it maps, output address of its first byte, G of it or of a pointer to it."""


class Stage:
    """Where the table of one stage is and how it is walked.

    Attributes:
        kind: fault of this stage: `PAGE` or `GUEST`.
        root: address of the first table.
        shifts: log2 of what an entry of each level covers, the first level first.
        top: mask of an index into the first table.
        bits: bits of an input address.
        update: hardware sets A and D (SADE, GADE).
        reserved: bits that must be clear in an entry.
    """

    __slots__ = ("bits", "kind", "reserved", "root", "shifts", "top", "update")

    def __init__(self, kind: int, mode: int, root: int, update: int, have: CAPABILITIES) -> None:
        """Make a stage of one of the supported modes but Bare."""
        levels = _LEVELS[mode]
        self.kind = kind
        self.root = root
        self.shifts = tuple(12 + 9 * level for level in range(levels - 1, -1, -1))
        self.top = 0x7FF if kind == GUEST else 0x1FF
        self.bits = 12 + 9 * levels + (2 if kind == GUEST else 0)
        self.update = bool(update)
        self.reserved = _UNNAMED & ~(_RSW60T59 if have.Svrsw60t59b else 0) | (0 if have.Svpbmt else PBMT)

    def admits(self, address: int) -> bool:
        """Tell whether the bits above those that are translated are as they must be."""
        if self.kind == GUEST:
            return address >> self.bits == 0
        high = address >> self.bits - 1
        return high in (0, (1 << 65 - self.bits) - 1)

    def walk(  # noqa: PLR0912 - the hot loop: no calls but the read
        self, address: int, read: Reader, tables: Tables | None
    ) -> Leaf:
        """Find the leaf for an address. Raises Fault.

        `read` returns the doubleword at an address of the output space of the stage that tables are fetched through.
        `tables` is what is remembered of pointers, None to do without.
        """
        if not self.admits(address):
            raise Fault(self.kind, "address")
        shifts = self.shifts
        last = len(shifts) - 1
        base, shared, index = self.root, 0, 0
        if tables:
            for index in range(last, 0, -1):  # the level to begin at, if one is known
                above = shifts[index - 1]
                known = tables.get((above, address >> above))
                if known is not None:
                    base, shared = known
                    break
            else:
                index = 0
        while True:
            shift = shifts[index]
            place = base + ((address >> shift & (0x1FF if index else self.top)) << 3)
            entry = read(place)
            if not entry & V or entry & (R | W) == W or entry & self.reserved or entry & PBMT == PBMT:
                raise Fault(self.kind, "page-table entry")
            output = (entry & PPN) << 2
            if entry & _LEAF:
                if entry & N:
                    if index < last or entry >> 10 & 0xF != 8:
                        raise Fault(self.kind, "N")
                    return entry, place, _NAPOT_SHIFT, output & -1 << _NAPOT_SHIFT, shared | entry & G
                if output & (1 << shift) - 1:
                    raise Fault(self.kind, "misaligned superpage")
                return entry, place, shift, output, shared | entry & G
            if entry & _NOT_IN_POINTERS or index == last:
                raise Fault(self.kind, "pointer")
            base = output
            shared |= entry & G
            if tables is not None:
                tables[shift, address >> shift] = base, shared
            index += 1


def first_stage(mode: int, root: int, dc: DC, have: CAPABILITIES) -> Stage | None:
    """Return the first stage of a device context for an iosatp; None when that is Bare."""
    return Stage(PAGE, mode, root, dc.SADE, have) if mode else None


def second_stage(dc: DC, have: CAPABILITIES) -> Stage | None:
    """Return the second stage of a device context; None when it is Bare."""
    return Stage(GUEST, dc.iohgatp_MODE, dc.iohgatp_PPN, dc.GADE, have) if dc.iohgatp_MODE else None
