"""The walk of one translation table (DDI 0487 D8.2 and D8.3), on plain integers, with the faults of IHI 0070 7.3.22."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import IommuError
from ..names import EventNumber
from .stage import AFFD, BIG, HA, HD, WIDE_64K, Stage, stage1_permissions, stage2_permissions
from .values import Fault

TABLE = 3
AF = 1 << 10
NOT_GLOBAL = 1 << 11
DBM = 1 << 51
READ_ONLY = 1 << 7
"""AP[2] of stage 1; at stage 2 the same bit is S2AP[1], with the opposite sense."""

Tables = dict[tuple[int, int], tuple[int, int]]
Reader = Callable[[int], int]
Swapper = Callable[[int, int, int], bool]
"""Compare-and-swap of a descriptor: address, old, new."""
Leaf = tuple[int, int, int, int, int]
"""Descriptor, its address, its shift, output address of its first byte, hierarchical attributes."""


def walk(  # noqa: PLR0912  # the hot loop: no calls but the read
    stage: Stage, address: int, read: Reader, tables: Tables | None
) -> Leaf:
    """Find the leaf for an address in the range of the stage. Raises Fault.

    `read` returns the doubleword at an address of the output space of the stage that tables are fetched through.
    `tables` is the cache of table descriptors, None to do without.
    """
    levels, flags, wide, limit = stage.levels, stage.flags, stage.wide, stage.output_bits
    last = len(levels) - 1
    base, attributes, index = stage.base, 0, 0
    if tables:
        for index in range(last, 0, -1):  # the level to begin at, if one is known
            above = levels[index - 1][0]
            known = tables.get((above, address >> above))
            if known is not None:
                base, attributes = known
                break
        else:
            index = 0
    while True:
        shift, mask, leaf_mask = levels[index]
        place = base + ((address >> shift & mask) << 3)
        try:
            descriptor = read(place)
        except IommuError:
            raise Fault(EventNumber.F_WALK_EABT, "descriptor fetch", kind=1, fetch=place) from None
        if flags & BIG:
            descriptor = swap_bytes(descriptor)
        if descriptor & 3 == TABLE and index < last:
            output = base = descriptor & stage.table_mask
        elif descriptor & 1 and leaf_mask and (index < last or descriptor & 2):
            output = descriptor & leaf_mask
        else:
            raise Fault(EventNumber.F_TRANSLATION, "descriptor")
        if wide:
            output |= (descriptor & 0xF000) << 36 if wide == WIDE_64K else (descriptor & 0x300) << 42
            base = output
        if output >> limit:
            raise Fault(EventNumber.F_ADDR_SIZE, "output of descriptor")
        if descriptor & 3 != TABLE or index == last:
            return descriptor, place, shift, output, attributes
        attributes |= descriptor >> 59 & stage.table_attributes
        if tables is not None:
            tables[shift, address >> shift] = base, attributes
        index += 1


def swap_bytes(value: int) -> int:
    """Return a doubleword with its bytes in the opposite order."""
    return int.from_bytes(value.to_bytes(8, "little"), "big")


def permissions(stage: Stage, descriptor: int, attributes: int) -> int:
    """Return the permission bits of a leaf."""
    bits = descriptor >> 6 & 3 | descriptor >> 51 & 0xC
    if stage.number == 1:
        return stage1_permissions(bits | attributes << 4, stage.permission_flags)
    return stage2_permissions(bits, stage.permission_flags)


def made_dirty(stage: Stage, descriptor: int) -> int:
    """Return a leaf as hardware makes it on a write, unchanged where it may not."""
    if not (stage.flags & HD and descriptor & DBM):
        return descriptor
    return descriptor & ~READ_ONLY if stage.number == 1 else descriptor | READ_ONLY


def settle(stage: Stage, leaf: Leaf, need: int, swap: Swapper) -> tuple[int, bool]:
    """Check access flag and permissions of a leaf and update it where the configuration lets hardware do so.

    Returns the permission bits and whether a write could still make the leaf dirty. Raises Fault.
    """
    descriptor, place, _, _, attributes = leaf
    if descriptor & AF and not (stage.flags & HD):
        granted = permissions(stage, descriptor, attributes)
        if granted & need:
            return granted, False
    updated = descriptor
    if not descriptor & AF:
        if stage.flags & HA:
            updated |= AF
        elif not stage.flags & AFFD:
            raise Fault(EventNumber.F_ACCESS, "AF")
    granted = permissions(stage, descriptor, attributes)
    if not granted & need:
        updated = made_dirty(stage, updated)
        granted = permissions(stage, updated, attributes)
        if not granted & need:
            raise Fault(EventNumber.F_PERMISSION, "permission")
    if updated != descriptor:
        old, new = (swap_bytes(descriptor), swap_bytes(updated)) if stage.flags & BIG else (descriptor, updated)
        try:
            swap(place, old, new)
        except IommuError:
            raise Fault(EventNumber.F_WALK_EABT, "descriptor update", kind=1, fetch=place) from None
    return granted, made_dirty(stage, updated) != updated
