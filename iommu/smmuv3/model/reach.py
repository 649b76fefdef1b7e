"""What a stream reaches through an SMMU, from the tables in memory (IHI 0070 3.3, 5.2, 5.4, 6.3.14; DDI 0487 D8).

STEs and CDs are judged by the code that looks them up; descriptors of translation tables are judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from ...errors import IommuError
from ...platform import Memory
from ...reach import EXECUTE, LIMIT, READ, WRITE, Level, Pieces, Reach, Tree, composed, reached, table_bytes
from ..layout import Stage1Leaf, Stage2Leaf
from ..layout import registers as regs
from ..names import EventNumber, FaultClass
from . import values
from .configuration import Configuration, Context
from .hardware import Model
from .stage import AFFD, BIG, HA, PR, PTW, PW, WIDE_64K, WIDE_DS, Stage
from .tlb import Tlb
from .values import PRIVILEGED, Fault
from .walk import AF, TABLE, made_dirty, permissions

_ALL = READ | WRITE | EXECUTE
_ACCESSES = ((values.READ, READ), (values.WRITE, WRITE), (values.FETCH, EXECUTE))
_SET_FLAG = 8
"""Beside the permission bits of a leaf: any access makes hardware set the access flag."""
_LATER = 4
"""From this bit up a leaf has the permission bits that it gets when hardware makes it dirty."""
_LEAF_BITS = 3 | Stage1Leaf.AP.mask | AF | Stage1Leaf.DBM.mask | Stage2Leaf.XN.mask
_MEMATTR_NORMAL = 0xC << Stage2Leaf.MemAttr.shift
_HIERARCHY = 0xF << 59
_HIGH = {0: (0, 0), WIDE_64K: (0xF000, 36), WIDE_DS: (0x300, 42)}
"""Where a descriptor keeps the address bits from 48 (or 50) up, and how far they are from their places (D8.3)."""
_STATE = 4
"""A state has the permission bits that are of use below, and from this bit up the hierarchical attributes."""

Needs = tuple[tuple[int, int], ...]
"""For each kind of access: the permission bit that it needs of a leaf (`stage.R` …), and the bit of a `Piece`."""


def reach(
    model: Model, stream: int, substream: int | None = None, *, privileged: bool = False, limit: int = LIMIT
) -> Iterator[Reach]:
    """Yield all that ordinary transactions of a stream reach, ascending by address, each run as long as can be.

    It is what a model without caches answers for every address; nothing is recorded, and memory stays as it is: a page
    that hardware would make accessible or dirty is reached if hardware could. Registers count as they are, and tables
    as memory holds them while the iterator runs. With CD.TBI the top byte of an address is a tag: addresses are given
    with it as it is without one, all zeros or all ones.

    Args:
        model: the SMMU.
        stream: stream ID, 32 bits.
        substream: substream ID of the transactions, None without.
        privileged: transactions have the privilege attribute, which STE.PRIVCFG can override.
        limit: the most runs. Tables that point to themselves can map 2^36 and more: nothing is done for a run before
            it is asked for, and tables that map nothing are visited once.

    Raises `IommuError` (`REACH-LIMIT`) instead of yielding more than `limit` runs.
    """
    if not model.read_register(regs.CR0ACK.offset, 4) & regs.CR0.SMMUEN.mask:
        aborts = model.read_register(regs.GBPA.offset, 4) & regs.GBPA.ABORT.mask
        return iter(()) if aborts else _everything(model, limit)
    configuration = Configuration(model.memory, model.caps, Tlb(), caching=False)
    configuration.program(
        regs.STRTAB_BASE(model.read_register(regs.STRTAB_BASE.offset, 8)),
        regs.STRTAB_BASE_CFG(model.read_register(regs.STRTAB_BASE_CFG.offset, 4)),
        e2h=model.e2h,
    )
    configuration.through = partial(_through, model.memory)
    try:
        context = configuration.context(stream, substream)
    except Fault:
        return iter(())
    if not context.config & 4:
        return iter(())
    needs = tuple((context.needs[code | PRIVILEGED * privileged], bit) for code, bit in _ACCESSES)
    if context.stage1_on:
        return reached(_first(model.memory, context, needs), limit)
    if context.stage2 is None:
        return _everything(model, limit)
    second = _tree(model.memory, context.stage2, needs)
    return reached(second.scan(_ALL, 0, 1 << model.caps.oas), limit)


def _everything(model: Model, limit: int) -> Iterator[Reach]:
    return reached([[(0, 0, 1 << model.caps.oas, _ALL)]], limit)


def _first(memory: Memory, context: Context, needs: Needs) -> Iterator[Pieces]:
    """Yield what stage 1 maps, TTB0 and TTB1, through stage 2 if that translates."""
    for stage in context.stage1:
        if stage is None:
            continue
        let_in = tuple((need, bit) for need, bit in needs if stage.unprivileged or need >= PR)
        if context.stage2 is None:
            tree = _tree(memory, stage, let_in)
        else:
            second = _tree(memory, context.stage2, needs)
            tables = _tree(memory, context.stage2, ((PR, READ), (PW, WRITE)), tables=True)
            tree = _tree(memory, stage, let_in, through=tables, finish=partial(composed, second))
        yield from tree.scan(_ALL, stage.key, stage.key + tree.size, stage.key)


def _through(memory: Memory, context: Context, address: int, need: int, kind: FaultClass) -> tuple[int, int, int, bool]:
    """Take the address of a CD through stage 2, for `Configuration`, which makes use of the output alone."""
    stage = cast("Stage", context.stage2)  # the caller knows that it translates
    for _, output, _, _ in _tree(memory, stage, ((need, READ),)).within(address, 1, READ):
        return output, 0, 0, False
    raise Fault(EventNumber.F_TRANSLATION, "structure fetch", stage2=True, kind=kind, ipa=address)


def _tree(
    memory: Memory,
    stage: Stage,
    needs: Needs,
    *,
    through: Tree | None = None,
    finish: Callable[[Pieces], Iterator[Pieces]] | None = None,
    tables: bool = False,
) -> Tree:
    """Return the tables of a stage; `through` is the stage 2 by which they are read, `tables` says that it is one."""
    high, lift = _HIGH[stage.wide]
    beyond = -1 << stage.output_bits
    excess = beyond & (1 << 52) - 1
    levels = []
    for shift, mask, leaf in stage.levels:
        relevant = (
            _LEAF_BITS | _HIERARCHY | _MEMATTR_NORMAL | (leaf | stage.table_mask) & excess | high & beyond >> lift
        )
        levels.append(Level(shift, mask + 1, relevant, stage.table_mask, leaf, high, lift))
    judge = partial(_descriptor, stage, tuple(levels), needs, no_device=bool(tables and stage.flags & PTW))
    if through is None:
        fetch, settle = partial(table_bytes, memory), partial(_settled, memory)
    else:
        fetch, settle = partial(_fetched_through, memory, through), partial(_settled_through, memory, through)
    return Tree(levels, stage.base, judge, fetch, finish=finish, settle=settle, big_endian=bool(stage.flags & BIG))


def _descriptor(
    stage: Stage, levels: tuple[Level, ...], needs: Needs, depth: int, state: int, bits: int, *, no_device: bool
) -> int:
    """Judge a descriptor (D8.3), for `Tree`."""
    level, last = levels[depth], depth == len(levels) - 1
    is_table = bits & 3 == TABLE and not last
    if not is_table and not (bits & 1 and level.leaf and (not last or bits & 2)):
        return 0
    address = bits & (level.table if is_table else level.leaf) | (bits & level.high) << level.lift
    if address >> stage.output_bits:
        return 0
    wanted, attributes = state & _ALL, state >> _STATE
    if is_table:
        return -1 - (wanted | (attributes | bits >> 59 & stage.table_attributes) << _STATE)
    if (no_device and not bits & _MEMATTR_NORMAL) or not (bits & AF or stage.flags & (HA | AFFD)):
        return 0
    now = permissions(stage, bits, attributes)
    dirty = permissions(stage, made_dirty(stage, bits), attributes)
    access = sum(bit for need, bit in needs if now & need) & wanted
    later = sum(bit for need, bit in needs if dirty & need) & wanted & ~access
    found = access | later << _LATER
    return found | _SET_FLAG if found and not bits & AF and stage.flags & HA else found


def _granted(found: int, *, updatable: bool) -> int:
    """Return the permission bits of a leaf that hardware may, or cannot, update."""
    access, later = found & _ALL, found >> _LATER
    if updatable:
        return access | later
    return 0 if found & _SET_FLAG else access


def _settled(memory: Memory, place: int, found: int) -> int:
    """Settle a leaf at a physical address: hardware can update it if its doubleword can be written."""
    try:
        memory.write_u64(place, memory.read_u64(place))
    except IommuError:
        return _granted(found, updatable=False)
    return _granted(found, updatable=True)


def _settled_through(memory: Memory, tables: Tree, place: int, found: int) -> int:
    """Settle a leaf of stage 1 at its IPA: stage 2 must let it be written too."""
    for _, output, _, _ in tables.within(place, 8, WRITE):
        return _settled(memory, output, found)
    return _granted(found, updatable=False)


def _fetched_through(memory: Memory, tables: Tree, address: int, size: int) -> bytes:
    """Read a table of stage 1, or a part of it within 4 KiB, at its IPA."""
    for _, output, _, _ in tables.within(address, size, READ):
        return table_bytes(memory, output, size)
    return bytes(size)
