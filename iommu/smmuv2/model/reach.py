"""What a stream reaches through an SMMU, from registers and the tables in memory (IHI 0062 D.c; DDI 0487 D8)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain

from ...reach import EXECUTE, LIMIT, READ, WRITE, Level, Reach, Tree, reached, table_bytes
from ..names import BankType
from . import values
from .hardware import Model, privileged
from .stage import AF, NEEDS, TABLE, Stage, permissions
from .values import PRIVILEGED, Fault

_ALL = READ | WRITE | EXECUTE
_ACCESSES = ((values.READ, READ), (values.WRITE, WRITE), (values.FETCH, EXECUTE))
_LEAF_BITS = 3 | 3 << 6 | AF | 3 << 53
_HIERARCHY = 0xF << 59
Needs = tuple[tuple[int, int], ...]
"""For each kind of access: the permission bit that it needs of a leaf, and the bit of a `Piece`."""


def reach(model: Model, stream: int, *, privilege: bool = False, limit: int = LIMIT) -> Iterator[Reach]:
    """Yield all that transactions of a stream reach, ascending by address, each run as long as can be.

    It is what a model without caches answers for every address; nothing is recorded. Registers count as they are, so
    that a bank with a fault that holds others up (SCTLR.HUPCF = 0) lets nothing through, and tables as memory holds
    them while the iterator runs.

    Args:
        model: the SMMU.
        stream: stream ID, 16 bits.
        privilege: transactions have the privilege attribute, which S2CR.PRIVCFG can override.
        limit: the most runs.

    Raises `IommuError` (`REACH-LIMIT`) instead of yielding more than `limit` runs.
    """
    try:
        number, override = model.route(stream)
    except Fault:
        return iter(())
    everything = [[(0, 0, 1 << model.caps.oas, _ALL)]]
    if number < 0:
        return reached(everything, limit)
    bank = model.banks[number]
    if bank.held:
        return iter(())
    if not bank.control.M:
        return reached(everything, limit)
    needs = tuple((NEEDS[privileged(code | PRIVILEGED * privilege, override)], bit) for code, bit in _ACCESSES)
    sides = (0,) if bank.attributes.TYPE == BankType.STAGE2 else (0, 1 << 63)
    stages = [stage for stage in (bank.stage(side) for side in sides) if stage is not None]
    return reached(chain.from_iterable(_scan(model, stage, needs) for stage in stages), limit)


def _scan(model: Model, stage: Stage, needs: Needs) -> Iterator[list[tuple[int, int, int, int]]]:
    """Yield what the tables of a stage map."""
    if stage.base >> stage.output_bits:
        return iter(())
    excess = (1 << 48) - 1 & -1 << stage.output_bits
    levels = tuple(
        Level(shift, mask + 1, _LEAF_BITS | _HIERARCHY | (leaf | stage.table_mask) & excess, stage.table_mask, leaf)
        for shift, mask, leaf in stage.levels
    )
    judge = partial(_descriptor, stage, levels, needs)
    fetch = partial(table_bytes, model.memory)
    tree = Tree(levels, stage.base, judge, fetch, big_endian=stage.big_endian)
    return tree.scan(0, stage.key, stage.key + tree.size, stage.key)


def _descriptor(stage: Stage, levels: tuple[Level, ...], needs: Needs, depth: int, state: int, bits: int) -> int:
    """Judge a descriptor (D8.3), for `Tree`; a state is the hierarchical attributes."""
    level, last = levels[depth], depth == len(levels) - 1
    is_table = bits & 3 == TABLE and not last
    if not is_table and not (bits & 1 and level.leaf and (not last or bits & 2)):
        return 0
    if bits & (level.table if is_table else level.leaf) >> stage.output_bits << stage.output_bits:
        return 0
    if is_table:
        return -1 - (state | (bits >> 59 & 0xF if stage.number == 1 else 0))
    if stage.needs_flag and not bits & AF:
        return 0
    granted = permissions(
        bits >> 6 & 3 | bits >> 51 & 0xC | state << 4, stage.number, execute_never=stage.execute_never
    )
    return sum(bit for need, bit in needs if granted & need)
