"""What a device reaches through an IOMMU, from the tables in memory (2.3; privileged specification 10.3 to 10.6).

Device and process contexts are judged by the code that looks them up; page tables are judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from struct import Struct

from ...errors import IommuError, failure
from ...platform import Memory
from ...reach import EXECUTE, LIMIT, READ, WRITE, Level, Pieces, Reach, Tree, composed, reached, table_bytes
from ..layout import registers as regs
from ..names import DirectoryMode
from .directory import Context, Directory
from .hardware import Model
from .stage import PBMT, PPN, A, D, N, R, Stage, U, V, W, X
from .tlb import Tlb
from .translation import Translator
from .values import Fault

_ALL = READ | WRITE | EXECUTE
_BITS = ((R, READ), (W, WRITE), (X, EXECUTE))
_LATER = 4
"""From this bit up a leaf has the permission bits that it gets when hardware sets A or D."""
_SET_ACCESSED = 8 << _LATER
"""Beside them: any access makes hardware set A."""
_LOW = V | R | W | X | U | A | D | N | PBMT
_ENTRIES = Struct("<512Q")
_PAGES = (1 << 52) - 1


def reach(
    model: Model, device: int, process: int | None = None, *, privileged: bool = False, limit: int = LIMIT
) -> Iterator[Reach]:
    """Yield all that untranslated requests of a device reach, ascending by address, each run as long as can be.

    It is what a model that remembers nothing answers for every address; nothing is reported, and memory stays as it
    is: a page whose A or D hardware would set is reached if hardware could. Registers count as they are, and tables as
    memory holds them while the iterator runs. Interrupt files in memory (MRIF) are no memory that a device reaches.

    Args:
        model: the IOMMU.
        device: device ID, 24 bits.
        process: process ID of the requests, None without.
        privileged: requests ask for supervisor privilege, which counts with a process ID only.
        limit: the most runs. Tables that point to themselves can map 2^36 and more: nothing is done for a run before
            it is asked for, and tables that map nothing are visited once.

    Raises `IommuError` (`REACH-LIMIT`) instead of yielding more than `limit` runs, or looking at more interrupt files.
    """
    register = regs.DDTP(model.read_register(regs.DDTP.offset, 8))
    if register.iommu_mode == DirectoryMode.OFF:
        return iter(())
    most = 1 << model.caps.register.PAS
    everything: list[Pieces] = [[(0, 0, most, _ALL)]]
    if register.iommu_mode == DirectoryMode.BARE:
        return reached(everything, limit)
    translator = Translator(model.memory, model.caps, caching=False, passive=True)
    directory = Directory(model.memory, model.caps, Tlb(), caching=False)
    directory.mode, directory.root = register.iommu_mode, register.PPN
    directory.through = translator.through
    supervisor = privileged and process is not None
    try:
        context = directory.device(device)
        directory.enter(context, device, process)
    except Fault:
        return iter(())
    if supervisor and context.ens == 0:
        return iter(())
    tables = _Tables(model.memory, context, translator, limit, model.caps.register.PAS)
    return reached(tables.pieces(supervisor=supervisor), limit)


class _Tables:
    """The tables of one context."""

    def __init__(self, memory: Memory, context: Context, translator: Translator, limit: int, pas: int) -> None:
        self._memory = memory
        self._context = context
        self._translator = translator
        self._limit = limit
        self._pas = pas
        self._looked = 0
        self._second: Tree | None = None
        self._through: Tree | None = None
        if context.stage2 is not None:
            self._second = self._tree(context.stage2)
            self._through = self._tree(context.stage2)

    def pieces(self, *, supervisor: bool) -> Iterator[Pieces]:
        """Yield what the device reaches."""
        context = self._context
        if context.stage1 is None:
            # Interrupt files may lie where nothing else can.
            yield from self._onward([(0, 0, 1 << (64 if context.msi is not None else 59), _ALL)])
            return
        stage = context.stage1
        tree = self._tree(stage, self._through, supervisor=supervisor, finish=self._onward)
        half = 1 << stage.bits - 1
        yield from tree.scan(_ALL, 0, half)
        # The upper half of the table is at the top of the address space.
        lift = (1 << 64) - 2 * half
        yield from self._lifted(tree.scan(_ALL, half, 2 * half), lift)

    @staticmethod
    def _lifted(batches: Iterator[Pieces], lift: int) -> Iterator[Pieces]:
        for pieces in batches:
            yield [(address + lift, output, length, access) for address, output, length, access in pieces]

    # --- after the first stage --------------------------------------------------------------------------------------

    def _onward(self, pieces: Pieces) -> Iterator[Pieces]:
        """Take guest physical addresses further: to interrupt files, through the second stage, or as they are."""
        if self._context.msi is None:
            yield from self._mapped(pieces)
            return
        for piece in pieces:
            yield from self._with_messages(piece)

    def _with_messages(self, piece: tuple[int, int, int, int]) -> Iterator[Pieces]:
        """Yield what becomes of a piece that interrupt files may lie in."""
        address, gpa, length, access = piece
        _, mask, pattern = self._context.msi or (0, 0, 0)
        at, end = gpa, gpa + length
        while at < end:
            page = next_match(mask, pattern, at >> 12)
            start = end if page is None else min(max(page << 12, at), end)
            if start > at:
                yield from self._mapped([(address + at - gpa, at, start - at, access)])
            if page is None or start >= end:
                return
            stop = min((page << 12) + 4096, end)
            yield from self._message(address + start - gpa, start, stop - start, access & (READ | WRITE))
            at = stop

    def _message(self, address: int, gpa: int, length: int, access: int) -> Iterator[Pieces]:
        self._looked += 1
        if self._looked > self._limit:
            raise failure(
                "REACH-LIMIT",
                f"there may be more than {self._limit} interrupt files",
                field="DC.msi_addr_mask",
                found=f"0x{(self._context.msi or (0, 0, 0))[1]:x}",
                advice="look at the mask, or allow more runs",
            )
        try:
            output, mrif = self._translator.message(self._context, gpa)
        except Fault:
            return
        if mrif is None and access:
            yield [(address, output, length, access)]

    def _mapped(self, pieces: Pieces) -> Iterator[Pieces]:
        """Take pieces through the second stage, if there is one; leave out what no memory can be at."""
        if self._second is not None:
            yield from composed(self._second, pieces)
            return
        most = 1 << self._pas
        left = [
            (address, output, min(length, most - output), access)
            for address, output, length, access in pieces
            if output < most
        ]
        if left:
            yield left

    # --- trees ------------------------------------------------------------------------------------------------------

    def _tree(
        self,
        stage: Stage,
        through: Tree | None = None,
        *,
        supervisor: bool = False,
        finish: Callable[[Pieces], Iterator[Pieces]] | None = None,
    ) -> Tree:
        """Return the tables of a stage; `through` is the second stage by which they are read."""
        beyond = (PPN & -1 << self._pas - 2) if through is None else 0
        levels = []
        for shift in stage.shifts:
            entries = (stage.top if shift == stage.shifts[0] else 0x1FF) + 1
            relevant = _LOW | stage.reserved | _below(shift) | beyond
            levels.append(Level(shift, entries, relevant, 0, 0, PPN, 2))
        judge = partial(_judge, stage, beyond, supervisor=supervisor, total=bool(self._context.sum))
        fetch = partial(_fetched, self._memory, through)
        settle = partial(_settled, self._memory, through)
        return Tree(levels, stage.root, judge, fetch, finish=finish, settle=settle)


def next_match(mask: int, pattern: int, page: int) -> int | None:
    """Return the first page from `page` on that equals `pattern` in the bits that `mask` does not have."""
    fixed = ~mask & _PAGES
    wrong = (page ^ pattern) & fixed
    if not wrong:
        return page
    top = wrong.bit_length() - 1
    # Where what is fixed is too high already, the next free bit above has to go up.
    bits = [top] if pattern >> top & 1 else [at for at in range(top + 1, 52) if mask >> at & 1 and not page >> at & 1]
    if not bits:
        return None
    under = (1 << bits[0]) - 1
    return page & ~(under << 1 | 1) | 1 << bits[0] | pattern & fixed & under


def _below(shift: int) -> int:
    """Return the bits of a PPN that are clear in a leaf, because it is aligned to its size."""
    return (1 << shift - 2) - 1 & PPN


def _judge(stage: Stage, beyond: int, depth: int, wanted: int, bits: int, *, supervisor: bool, total: bool) -> int:
    """Judge an entry, for `Tree`; those of NAPOT pages are as `_fetched` leaves them."""
    last = depth == len(stage.shifts) - 1
    if not bits & V or bits & (R | W) == W or bits & stage.reserved or bits & PBMT == PBMT or bits & beyond:
        return 0
    if not bits & (R | X):
        return 0 if bits & (N | PBMT | U | A | D) or last else -1 - wanted
    if not last and bits & (N | _below(stage.shifts[depth])):
        return 0
    allowed = wanted
    if not supervisor:
        allowed = wanted if bits & U else 0
    elif bits & U:
        allowed = wanted & (READ | WRITE) if total else 0
    granted = sum(bit for mask, bit in _BITS if bits & mask) & allowed
    if not granted or not (bits & A or stage.update):
        return 0
    access = granted if bits & D else granted & ~WRITE
    later = granted & ~access if stage.update else 0
    found = access | later << _LATER
    return found if bits & A else found | _SET_ACCESSED


def _fetched(memory: Memory, through: Tree | None, address: int, size: int) -> bytes:
    """Read a table, or 4 KiB of it, at its physical or guest physical address."""
    if through is not None:
        for _, output, _, _ in through.within(address, size, READ):
            return _expanded(table_bytes(memory, output, size))
        return bytes(size)
    return _expanded(table_bytes(memory, address, size))


def _expanded(table: bytes) -> bytes:
    """Give each entry of a NAPOT page the output of its own 4 KiB, and clear what is no NAPOT page (Svnapot)."""
    if max(table[7::8]) < 0x80:
        return table
    entries = list(_ENTRIES.unpack(table))
    for index, entry in enumerate(entries):
        if entry & N:
            entries[index] = entry & ~(0xF << 10) | (index & 0xF) << 10 if entry >> 10 & 0xF == 8 else 0
    return _ENTRIES.pack(*entries)


def _settled(memory: Memory, through: Tree | None, place: int, found: int) -> int:
    """Return the permission bits of a leaf that hardware has to update: it can if it can write the entry."""
    access, later = found & _ALL, found >> _LATER & _ALL
    output = place
    if through is not None:
        pieces = list(through.within(place, 8, WRITE))
        if not pieces:
            return 0 if found & _SET_ACCESSED else access
        output = pieces[0][1]
    try:
        memory.write_u64(output, memory.read_u64(output))
    except IommuError:
        return 0 if found & _SET_ACCESSED else access
    return access | later
