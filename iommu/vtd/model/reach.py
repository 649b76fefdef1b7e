"""What a device reaches through a remapping unit, from the tables in memory, VT-d 3.4 to 3.8, 3.14 and 9.1 to 9.8.

Root, context and PASID entries are judged by the code that walks them; entries of page tables are judged here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ...platform import Memory
from ...reach import EXECUTE, LIMIT, READ, WRITE, Level, Pieces, Reach, Tree, composed, reached, table_bytes, without
from ..layout import FirstStagePage, SecondStagePage
from ..names import PGTT
from .caches import Caches
from .context import Context
from .hardware import Hardware
from .requests import INTERRUPT_RANGE, Fault
from .translation import Request, Translator
from .unit import RemappingUnit

_ADDRESS = SecondStagePage.ADDR.mask
_PS = SecondStagePage.PS.mask
_P, _RW, _US, _XD = FirstStagePage.P.mask, FirstStagePage.RW.mask, FirstStagePage.US.mask, FirstStagePage.XD.mask
_FIRST_BITS = _P | _RW | _US | _PS | _XD
_ALL = READ | WRITE | EXECUTE
_INTERRUPTS = (INTERRUPT_RANGE << 20, INTERRUPT_RANGE + 1 << 20)


def reach(
    unit: RemappingUnit, source: int, pasid: int | None = None, *, privileged: bool = False, limit: int = LIMIT
) -> Iterator[Reach]:
    """Yield all that untranslated requests of a device reach, ascending by address, each run as long as can be.

    It is what `RemappingUnit.walk` answers for every address, with nothing remembered and no accessed or dirty bit
    written; registers count as the unit took them over, and tables as memory holds them while the iterator runs. Two
    things differ while translation is off: addresses end at the host address width, and the interrupt range, where
    writes are interrupts, is left out.

    Args:
        unit: the remapping unit.
        source: requester ID, 16 bits.
        pasid: PASID of the requests, None without.
        privileged: requests with a PASID ask for supervisor privilege; requests without have what the context says.
        limit: the most runs. Tables that point to themselves can map 2^36 and more: nothing is done for a run before
            it is asked for, and tables that map nothing are visited once.

    Raises `IommuError` (`REACH-LIMIT`) instead of yielding more than `limit` runs.
    """
    hardware, tables = unit.hardware, unit.tables
    if not tables.translating:
        return reached(_open(1 << hardware.haw, _ALL, tables.protected), limit)
    request = Request(source, 0, READ, pasid, privileged)
    try:
        context, supervisor = Translator(unit.memory, hardware, Caches(), tables).context(request, cached=False)
    except Fault:
        return iter(())
    allowed = _ALL if pasid is None or context.execute else READ | WRITE
    if context.kind == PGTT.PASS_THROUGH:
        return reached(_open(1 << min(hardware.mgaw, hardware.haw), allowed, tables.protected), limit)
    stages = _Stages(unit.memory, hardware, context, supervisor, allowed)
    found = stages.second() if context.kind == PGTT.SECOND_STAGE else stages.first()
    return reached(without(found, *_INTERRUPTS), limit)


def _open(end: int, access: int, protected: Iterable[tuple[int, int]]) -> Iterator[Pieces]:
    """Yield what passes untranslated, up to `end`: protected memory does not, nor do interrupts."""
    found: Iterator[Pieces] = iter([[(0, 0, end, access)]])
    for hole in (_INTERRUPTS, *protected):
        found = without(found, *hole)
    return found


def _no_interrupts(batches: Iterable[Pieces]) -> Iterator[Pieces]:
    return without(batches, *_INTERRUPTS, by_output=True)


@dataclass(slots=True)
class _Stages:
    """The stages of one context.

    Attributes:
        memory: where tables are.
        hardware: what the unit is.
        context: whose tables they are.
        supervisor: requests have supervisor privilege.
        allowed: permission bits that are not refused from the start.
    """

    memory: Memory
    hardware: Hardware
    context: Context
    supervisor: bool
    allowed: int

    def second(self) -> Iterator[Pieces]:
        """Yield what the second stage alone maps."""
        tree = self._second_tree(alone=True)
        return tree.scan(_ALL, 0, tree.size)

    def first(self) -> Iterator[Pieces]:
        """Yield what the first stage maps, in the lower and the upper half of the canonical addresses."""
        tree = self._first_tree()
        half = tree.size >> 1
        yield from tree.scan(self.allowed, 0, half)
        upper = (1 << 64) - tree.size
        yield from tree.scan(self.allowed, upper + half, upper + tree.size, upper)

    # --- Second stage. State: the permissions that every table on the way grants.

    def _second_tree(self, *, alone: bool) -> Tree:
        context, hardware = self.context, self.hardware
        levels = [
            _level(level, hardware.second_page[level] | hardware.second_table[level] | _PS | _ALL)
            for level in range(context.levels, 0, -1)
        ]
        return Tree(
            levels,
            context.root,
            self._second_entry,
            partial(table_bytes, self.memory),
            finish=(lambda pieces: _no_interrupts((pieces,))) if alone else None,
            limit=1 << context.width,
        )

    def _second_entry(self, depth: int, state: int, bits: int) -> int:
        """Judge an entry of the second stage (9.8)."""
        hardware, level = self.hardware, self.context.levels - depth
        leaf = level == 1 or bool(bits & _PS and level <= 3)
        granted = state & bits & _ALL
        if not granted & 3 or bits & (hardware.second_page[level] if leaf else hardware.second_table[level]):
            return 0
        if not leaf:
            return -1 - granted
        executable = granted & READ and (granted & EXECUTE or not self.context.second_execute)
        return (granted & 3 | (EXECUTE if executable else 0)) & self.allowed

    # --- First stage. State: the permissions that every table on the way grants, to requests of this privilege.

    def _first_tree(self) -> Tree:
        context = self.context
        levels = [
            _level(level, self._reserved(level, leaf=False) | self._reserved(level, leaf=True) | _FIRST_BITS)
            for level in range(context.first_levels, 0, -1)
        ]
        if context.kind != PGTT.NESTED:
            fetch = partial(table_bytes, self.memory)
            return Tree(
                levels, context.first_root, self._first_entry, fetch, finish=lambda pieces: _no_interrupts((pieces,))
            )
        second = self._second_tree(alone=False)
        return Tree(
            levels,
            context.first_root,
            self._first_entry,
            partial(self._nested_table, second),
            finish=lambda pieces: _no_interrupts(composed(second, pieces)),
        )

    def _reserved(self, level: int, *, leaf: bool) -> int:
        """Return the bits that a first-stage entry must not have set, XD apart."""
        hardware = self.hardware
        reserved = hardware.first_page[level] if leaf else hardware.first_table[level]
        if self.context.kind != PGTT.NESTED:
            return reserved
        # Addresses are the second stage's input, which maps none beyond its width.
        return reserved & ~(hardware.beyond & _ADDRESS)

    def _first_entry(self, depth: int, state: int, bits: int) -> int:
        """Judge an entry of the first stage (9.7)."""
        context, level = self.context, self.context.first_levels - depth
        leaf = level == 1 or bool(bits & _PS and level <= 3)
        if not bits & _P or not (self.supervisor or bits & _US):
            return 0
        if bits & self._reserved(level, leaf=leaf) or (bits & _XD and not context.nxe):
            return 0
        granted = state
        if not bits & _RW and (context.wpe or not self.supervisor):
            granted &= ~WRITE
        if bits & _XD or (leaf and bits & _US and self.supervisor and context.smep):
            granted &= ~EXECUTE
        return granted if leaf else -1 - granted

    def _nested_table(self, second: Tree, address: int, size: int) -> bytes:
        """Read a first-stage table through the second stage, which must let it be read."""
        for _, host, _, _ in second.within(address, size, READ):
            return table_bytes(self.memory, host, size)
        return bytes(size)


def _level(level: int, relevant: int) -> Level:
    shift = 3 + 9 * level
    return Level(shift, 512, relevant, _ADDRESS, _ADDRESS & -1 << shift)
