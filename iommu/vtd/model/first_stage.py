"""Walking the first stage, alone or nested in the second, VT-d 3.6, 3.8 and 9.7."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import IommuError
from ...platform import Memory
from ..layout import FirstStagePage
from ..names import PGTT, Reason
from .caches import Caches
from .context import Context
from .hardware import Hardware
from .requests import READ, WRITE, Fault
from .second_stage import walk_second_stage

_ADDRESS = FirstStagePage.ADDR.mask
_P, _RW, _US = FirstStagePage.P.mask, FirstStagePage.RW.mask, FirstStagePage.US.mask
_A, _D, _PS, _EA = FirstStagePage.A.mask, FirstStagePage.D.mask, FirstStagePage.PS.mask, FirstStagePage.EA.mask
_XD = FirstStagePage.XD.mask
_NO_PERMISSION = (Reason.SSL_2, Reason.SGN_6, Reason.SGN_7)


@dataclass(slots=True)
class FirstStageWalk:
    """One walk, and where it stands.

    Attributes:
        memory: where tables are.
        hardware: what the unit is.
        context: whose tables they are.
        address: input address.
        need: bits 0 to 2: read, write, execute.
        supervisor: the request has supervisor privilege.
        caches: where to remember inner tables, None to remember nothing.
        update: whether accessed and dirty bits are written.
    """

    memory: Memory
    hardware: Hardware
    context: Context
    address: int
    need: int
    supervisor: bool
    caches: Caches | None
    update: bool

    def run(self) -> tuple[int, int]:
        """Return (output page | permissions, page shift), as `walk_second_stage` does. Raises `Fault`."""
        context, address = self.context, self.address
        # 1. The address must be canonical for the number of levels.
        top = address >> 11 + 9 * context.first_levels
        if top not in (0, (1 << 53 - 9 * context.first_levels) - 1):
            raise Fault(Reason.SGN_1)
        level, guest, table, granted = self._start()
        while True:
            # 2. Read the entry of this level.
            shift = 3 + 9 * level
            index = (address >> shift & 0x1FF) << 3
            try:
                entry = self.memory.read_u64(table | index)
            except IommuError:
                raise Fault(Reason.SFL_4 if level == context.first_levels else Reason.SFL_1) from None
            # 3. Presence, permission, reserved bits, accessed and dirty bits.
            leaf = level == 1 or bool(entry & _PS and level <= 3)
            self._check(entry, level, leaf=leaf)
            granted &= entry ^ _XD
            if self.update:
                self._set_accessed(guest | index, table | index, entry, dirty=leaf and bool(self.need & WRITE))
            output = entry & _ADDRESS
            if leaf:
                break
            # 4. The next table.
            guest = output
            level -= 1
            table = self._host(guest, READ, Reason.SFL_7)
            if self.caches is not None:
                key = (level, address >> 12 + 9 * level)
                self.caches.keep(context.tlb.tables, key, (table, guest, granted))
        permissions = self._permissions(granted)
        output = output & -1 << shift
        if context.kind == PGTT.NESTED:
            return self._nest(output, shift, permissions)
        return output | permissions, shift

    def _start(self) -> tuple[int, int, int, int]:
        """Return (level, table as the entry has it, table as memory has it, granted)."""
        context = self.context
        if self.caches is not None:
            wanted = 0 if self.supervisor else _US
            wanted |= _RW if self.need & WRITE else 0
            wanted |= _XD if self.need & 4 else 0
            for level in range(1, context.first_levels):
                known = context.tlb.tables.get((level, self.address >> 12 + 9 * level))
                if known is not None and known[2] & wanted == wanted:
                    return level, known[1], known[0], known[2]
        guest = context.first_root
        return context.first_levels, guest, self._host(guest, READ, Reason.SFL_6), _RW | _US | _XD

    def _host(self, guest: int, need: int, refusal: Reason) -> int:
        """Return the host address of a first-stage table."""
        context = self.context
        if context.kind != PGTT.NESTED:
            return guest
        try:
            page, shift = walk_second_stage(self.memory, self.hardware, context, guest, need, update=self.update)
        except Fault as fault:
            if fault.reason in _NO_PERMISSION:
                raise Fault(refusal) from None
            raise
        return page & -1 << shift | guest & (1 << shift) - 1 & -4096

    def _check(self, entry: int, level: int, *, leaf: bool) -> None:
        context, hardware = self.context, self.hardware
        if not entry & _P:
            raise Fault(Reason.SFL_2)
        if not self.supervisor and not entry & _US:
            raise Fault(Reason.SGN_2)
        if self.need & WRITE and not entry & _RW and (context.wpe or not self.supervisor):
            raise Fault(Reason.SGN_6)
        reserved = hardware.first_page[level] if leaf else hardware.first_table[level]
        nested = context.kind == PGTT.NESTED
        if nested:
            reserved &= ~(hardware.beyond & _ADDRESS)
        if entry & reserved or (entry & _XD and not context.nxe):
            raise Fault(Reason.SFL_3)
        if self.need & 4 and (entry & _XD or (self.supervisor and context.smep and entry & _US and leaf)):
            raise Fault(Reason.SGN_3)
        if nested and (entry & _ADDRESS) >> context.width:
            raise Fault(Reason.SFL_5)

    def _permissions(self, granted: int) -> int:
        """Turn R/W, U/S and not-XD of the whole walk into the bits of `DomainTlb.pages`."""
        context = self.context
        writable, user, executable = bool(granted & _RW), bool(granted & _US), bool(granted & _XD)
        may_write = self.need & WRITE or not self.update  # else a later write has to walk again, to set D
        result = READ << 3
        if may_write and (writable or not context.wpe):
            result |= WRITE << 3
        if executable and not (context.smep and user):
            result |= 4 << 3
        if user:
            result |= READ | (WRITE if writable and may_write else 0) | (4 if executable else 0)
        return result

    def _nest(self, output: int, shift: int, permissions: int) -> tuple[int, int]:
        """Translate the first stage's output by the second stage: the smaller page, and what both permit."""
        guest = output | self.address & (1 << shift) - 1
        page, second_shift = walk_second_stage(
            self.memory, self.hardware, self.context, guest, self.need, update=self.update
        )
        smaller = min(shift, second_shift)
        base = (page & -1 << second_shift) + (guest & (1 << second_shift) - 1) & -1 << smaller
        return base | permissions & page, smaller

    def _set_accessed(self, guest: int, at: int, entry: int, *, dirty: bool) -> None:
        context = self.context
        new = entry | _A | (_D if dirty else 0) | (_EA if context.eafe else 0)
        if new == entry:
            return
        if not context.coherent:
            raise Fault(Reason.SFL_9)
        self._host(guest & -4096, READ | WRITE, Reason.SFL_8)
        try:
            self.memory.compare_and_swap(at, entry, new)
        except IommuError:
            raise Fault(Reason.SFL_10) from None
