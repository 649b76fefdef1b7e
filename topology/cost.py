"""What reserved memory costs: the whole pages that nobody else gets, and the page tables that map them.

The tables are those of VT-d, AMD-Vi (version 1), RISC-V, and SMMUs with a granule of 4 KiB: 4 KiB each, 512 entries,
nine bits of address a level. A root table is part of every domain, reserved memory or not, and counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .model import ReservedRegion

PAGE_BITS = 12
TABLE = 4096
INDEX_BITS = 9
LEVELS = 4
"""Levels of tables, for addresses of 48 bits; memory beyond takes more."""

MOST_LEVELS = 6
LARGE = (21, 30)
"""Bits of the larger pages: 2 MiB and 1 GiB."""

_MAPPED = ("direct", "mapped")

Blocks = list[tuple[int, int]]
"""First and last number of blocks of one size, ascending, apart."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What some regions cost, in bytes.

    Attributes:
        memory: whole pages of 4 KiB that they lie in.
        rounding: how much of that is in no region, and kept from others all the same.
        levels: levels of the page tables.
        small: page tables of one domain that maps them with pages of 4 KiB.
        large: the same with the largest pages that fit: 4 KiB, 2 MiB, 1 GiB.
    """

    memory: int
    rounding: int
    levels: int
    small: int
    large: int


def cost(regions: Iterable[ReservedRegion]) -> Cost | None:
    """Return what the regions cost that have to stay mapped in a device's domain; None when there are none."""
    extents = sorted(
        (one.start, one.start + one.length - 1) for one in regions if one.meaning in _MAPPED and one.length
    )
    if not extents:
        return None
    pages = _blocks(extents, PAGE_BITS)
    memory = sum(last - first + 1 for first, last in pages) << PAGE_BITS
    bits = max(last for _, last in extents).bit_length()
    levels = next(one for one in range(LEVELS, MOST_LEVELS + 1) if one == MOST_LEVELS or bits <= _span(one))
    small = sum(last - first + 1 for level in range(1, levels) for first, last in _blocks(extents, _span(level)))
    large = sum(_partial(pages, _span(level), _span(level) in LARGE) for level in range(1, levels))
    used = sum(last - first + 1 for first, last in _blocks(extents, 0))
    return Cost(memory, memory - used, levels, (small + 1) * TABLE, (large + 1) * TABLE)


def _span(level: int) -> int:
    """Return the bits of address that a table of a level covers; level 1 has pages of 4 KiB."""
    return PAGE_BITS + INDEX_BITS * level


def _blocks(extents: Iterable[tuple[int, int]], bits: int) -> Blocks:
    """Return the blocks of a size that extents, in ascending order, touch; each once."""
    found: Blocks = []
    for start, end in extents:
        first, last = start >> bits, end >> bits
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def _partial(pages: Blocks, bits: int, is_page: bool) -> int:  # noqa: FBT001
    """Return how many blocks need a table: those touched, but for those that one large page maps."""
    shift = bits - PAGE_BITS
    touched = sum(last - first + 1 for first, last in _blocks(pages, shift))
    if not is_page:
        return touched
    return touched - sum(max(0, (last + 1 >> shift) - (first + (1 << shift) - 1 >> shift)) for first, last in pages)
