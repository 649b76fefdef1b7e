"""The model of one SMMUv1 or SMMUv2: registers, and transactions through them."""

from __future__ import annotations

from collections.abc import Callable

from ...platform import Memory
from ..layout import GFSR, GFSYNR0
from ..layout import registers as regs
from ..names import BankType, Privilege, StreamType
from .bank import Bank
from .mapping import StreamMapping
from .stage import NEEDS, NOT_GLOBAL, permissions, walk
from .tlb import GLOBAL, Space, Tlb
from .values import FETCH, PRIVILEGED, WRITE, Capabilities, Fault, Outcome, Transaction

_ALL = (1 << 32) - 1
_ABORTED = -1
_PASSES = -1
"""In place of a bank: a stream passes by."""
_GFAR, _GFSRRESTORE = 0x40, 0x4C
_GFSYNR0, _GFSYNR1, _GFSYNR2 = 0x50, 0x54, 0x58
_KEPT = (_GFAR, _GFAR + 4, _GFSYNR0, _GFSYNR1, _GFSYNR2, regs.ACR.offset)
_EVERY_ASID = None
_GLOBAL_PAGE = -1
"""In place of a bank's number: invalidations of the global page."""


class Model:
    """An SMMU over a memory; attach it to a `Simulated` platform at its base, `pages.total` bytes long.

    Attributes:
        caps: what it has.
        pages: where its pages are.
        memory: where tables are.
        tlb: what it remembers.
        mapping: its stream mapping.
        banks: its context banks.
        resumed: what became of transactions that RESUME let go, so far.
    """

    def __init__(self, memory: Memory, caps: Capabilities | None = None, *, caching: bool = True) -> None:
        """Make one, reset: here that is CLIENTPD set, and zeros. Raises ValueError for what is not modelled.

        `caching` off makes hardware that remembers nothing.
        """
        self.caps = caps or Capabilities()
        if self.caps.unmodelled():
            raise ValueError(f"{self.caps.unmodelled()} is not modelled as given")
        self.memory = memory
        self.pages = regs.Pages(self.caps.id1)
        self.tlb = Tlb()
        self.mapping = StreamMapping(self.caps)
        self.banks = [Bank(number, self.caps) for number in range(self.caps.id1.NUMCB)]
        self.resumed: list[tuple[Transaction, Outcome]] = []
        self._caching = caching
        self._limit = self.caps.oas
        self.control = regs.CR0(CLIENTPD=1)
        self._status = GFSR(0)
        self._words: dict[int, int] = {}
        self._pending: list[tuple[int, Callable[[], None]]] = []
        self._active: set[int] = set()
        self._routes: dict[int, tuple[int, int]] = {}

    # --- registers --------------------------------------------------------------------------------------------------

    def read_register(self, offset: int, size: int) -> int:
        """Return a register of 4 bytes, or two neighbours; what is none reads as zeros."""
        if size == 8:
            return self.read_register(offset, 4) | self.read_register(offset + 4, 4) << 32
        page, at = divmod(offset, self.pages.size)
        if page == 0:
            return self._read_global(at)
        if page == 1:
            return self._read_attributes(at)
        number = page - self.pages.count
        if not 0 <= number < len(self.banks):
            return 0
        if at == regs.TLBSTATUS.offset:
            return self._complete(number)
        return self.banks[number].read(at)

    def _read_global(self, at: int) -> int:
        caps = self.caps
        known = {0x00: self.control, 0x20: caps.id0, 0x24: caps.id1, 0x28: caps.id2, 0x3C: caps.id7, 0x48: self._status}
        if at in known:
            return known[at].value
        if at == regs.TLBGSTATUS.offset:
            return self._complete(_GLOBAL_PAGE)
        if regs.SMR.offset <= at < regs.S2CR.offset:
            number = at - regs.SMR.offset >> 2
            return self.mapping.matches[number] if number < len(self.mapping.matches) else 0
        if regs.S2CR.offset <= at < regs.S2CR.offset + 4 * regs.STREAM_ENTRIES:
            number = at - regs.S2CR.offset >> 2
            return self.mapping.targets[number].value if number < len(self.mapping.targets) else 0
        return self._words.get(at, 0)

    def _read_attributes(self, at: int) -> int:
        kind, number = at & ~0x3FF, (at & 0x3FF) >> 2
        if number >= len(self.banks):
            return 0
        bank = self.banks[number]
        return {0: bank.attributes.value, 0x400: bank.stream, 0x800: bank.attributes2.value}.get(kind, 0)

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Write a register, or two neighbours of 4 bytes; what follows from it happens at once."""
        page, at = divmod(offset, self.pages.size)
        number = page - self.pages.count
        self._routes.clear()
        if 0 <= number < len(self.banks) and regs.TLBIVA.offset <= at < regs.TLBSYNC.offset:
            self._invalidate_by(self.banks[number], at, value)
            return
        if size == 8:
            self.write_register(offset, value & _ALL, 4)
            self.write_register(offset + 4, value >> 32, 4)
        elif page == 0:
            self._write_global(at, value)
        elif page == 1:
            self._write_attributes(at, value)
        elif 0 <= number < len(self.banks):
            if at == regs.TLBSYNC.offset:
                self._active.add(number)
            elif at == regs.RESUME.offset:
                self._resume(self.banks[number], value)
            else:
                self.banks[number].write(at, value)

    def _write_global(self, at: int, value: int) -> None:
        if at == regs.CR0.offset:
            kept = ~regs.CR0.reserved_mask & _ALL
            kept &= ~(0 if self.caps.id0.EXIDS else regs.CR0.EXIDENABLE.mask)
            kept &= ~(0 if self.caps.id2.VMID16 else regs.CR0.VMID16EN.mask)
            self.control = regs.CR0(value & kept)
        elif at == GFSR.offset:
            self._status = GFSR(self._status.value & ~value)
        elif at == _GFSRRESTORE:
            self._status = GFSR(value & ~GFSR.reserved_mask)
        elif at in _KEPT:
            self._words[at] = value
        elif regs.SMR.offset <= at < regs.S2CR.offset:
            self.mapping.write_match(at - regs.SMR.offset >> 2, value, self.control)
        elif regs.S2CR.offset <= at < regs.S2CR.offset + 4 * regs.STREAM_ENTRIES:
            self.mapping.write_target(at - regs.S2CR.offset >> 2, value)
        elif at == regs.TLBIVMID.offset:
            vmid = value & (0xFFFF if self.control.VMID16EN else 0xFF)
            self._pending.append((_GLOBAL_PAGE, lambda: self._forget_all(None, vmid)))
        elif at == regs.TLBIALLNSNH.offset:
            self._pending.append((_GLOBAL_PAGE, lambda: self._forget_all(None, None)))
        elif at == regs.TLBGSYNC.offset:
            self._active.add(_GLOBAL_PAGE)

    def _write_attributes(self, at: int, value: int) -> None:
        kind, number = at & ~0x3FF, (at & 0x3FF) >> 2
        if number >= len(self.banks):
            return
        bank = self.banks[number]
        if kind == regs.CBAR.offset:
            bank.attributes = regs.CBAR(value & ~regs.CBAR.reserved_mask)
        elif kind == 0x400:
            bank.stream = value
        elif kind == regs.CBA2R.offset:
            bank.attributes2 = regs.CBA2R(value & ~regs.CBA2R.reserved_mask)
        bank.changed()

    # --- invalidation -----------------------------------------------------------------------------------------------

    def _invalidate_by(self, bank: Bank, at: int, value: int) -> None:
        """Take a write to one of a bank's TLBI registers; it is complete after its TLBSYNC."""
        vmid = bank.vmid(wide=bool(self.control.VMID16EN))
        if at in (regs.TLBIVA.offset, regs.TLBIVAL.offset):
            page = regs.TLBIVA.VA.get(value)
            page |= -(page >> 55) << 56 & (1 << 64) - 1  # the sign of an address of TTBR1
            asids = frozenset((value >> 48 & 0xFFFF, GLOBAL))
            self._later(bank, lambda: self._forget(1, vmid, asids, page, tables=at == regs.TLBIVA.offset))
        elif at in (regs.TLBIIPAS2.offset, regs.TLBIIPAS2L.offset):
            ipa = regs.TLBIIPAS2.IPA.get(value)
            self._later(bank, lambda: self._forget(2, vmid, None, ipa, tables=at == regs.TLBIIPAS2.offset))
        elif at == regs.TLBIASID.offset:
            self._later(bank, lambda: self._forget_all(1, vmid, frozenset((value & 0xFFFF,))))
        elif at == regs.TLBIALL.offset:
            self._later(bank, lambda: self._forget_all(1, vmid))

    def _later(self, bank: Bank, action: Callable[[], None]) -> None:
        self._pending.append((bank.number, action))

    def _forget(self, stage: int, vmid: int, asids: frozenset[int] | None, address: int, *, tables: bool) -> None:
        for space in self.tlb.matching(stage, vmid, asids):
            space.forget(address, tables=tables)

    def _forget_all(self, stage: int | None, vmid: int | None, asids: frozenset[int] | None = _EVERY_ASID) -> None:
        for space in self.tlb.matching(stage, vmid, asids):
            space.clear()

    def _complete(self, number: int) -> int:
        """Read a status register: active once after a sync, then its invalidations have happened.

        A global sync completes everything, that of a bank what was asked for in the bank.
        """
        if number not in self._active:
            return 0
        self._active.discard(number)
        done = [action for of, action in self._pending if number in (_GLOBAL_PAGE, of)]
        self._pending = [item for item in self._pending if number not in (_GLOBAL_PAGE, item[0])]
        for action in done:
            action()
        return 1

    # --- transactions -----------------------------------------------------------------------------------------------

    def translate(self, stream: int, address: int, access: int = 0) -> int:
        """Return the physical address of an access, or -1 if it does not get there: the fast way in.

        `access` is `READ`, `WRITE` or `FETCH`, plus `PRIVILEGED`. Faults are recorded as by `access`.
        """
        kind = access & 3
        outcome = self.access(Transaction(stream, address, kind == WRITE, kind == FETCH, bool(access & PRIVILEGED)))
        return _ABORTED if outcome.address is None else outcome.address

    def access(self, transaction: Transaction) -> Outcome:
        """Send a transaction through and return what becomes of it."""
        try:
            number, privilege = self.route(transaction.stream_id)
        except Fault as fault:
            self._record(fault.flag, transaction)
            return Outcome("abort" if self.control.GFRE else "raz_wi", reason=fault.flag)
        if number == _PASSES:
            return self._as_it_is(transaction, None)
        bank = self.banks[number]
        if bank.held:
            return self._refuse(bank, transaction, "SCTLR.HUPCF")
        if not bank.control.M:
            return self._as_it_is(transaction, number)
        code = privileged(transaction.access, privilege)
        try:
            return Outcome("done", self._translated(bank, transaction.address, NEEDS[code]), number)
        except Fault as fault:
            bank.record(fault.flag, transaction, fault.level, walk=fault.walk)
            if bank.control.CFCFG:
                bank.status = bank.status.replace(SS=1)
            return self._refuse(bank, transaction, fault.flag)

    def route(self, stream: int) -> tuple[int, int]:
        """Return the bank that a stream goes to (-1: it passes by), and its S2CR.PRIVCFG. Raises Fault (global)."""
        known = self._routes.get(stream)
        if known is None:
            known = self._routes[stream] = self._route(stream)
        return known

    def _route(self, stream: int) -> tuple[int, int]:
        target = self.mapping.target(stream, self.control)
        if target is None or target.TYPE == StreamType.BYPASS:
            return _PASSES, Privilege.DEFAULT
        if target.TYPE != StreamType.TRANSLATE:
            raise Fault("ICF")
        if len(self.banks) <= target.CBNDX:
            raise Fault("UCBF")
        if not self.banks[target.CBNDX].usable:
            raise Fault("ICF")
        return target.CBNDX, target.PRIVCFG

    def _as_it_is(self, transaction: Transaction, number: int | None) -> Outcome:
        if transaction.address >> self._limit:
            return Outcome("abort", bank=number, reason="address beyond ID2.OAS")
        return Outcome("done", transaction.address, number)

    def space(self, bank: Bank, asid: int) -> Space:
        """Return what is remembered for a bank; `asid` counts for stage 1 only."""
        second = bank.attributes.TYPE == BankType.STAGE2
        vmid = bank.vmid(wide=bool(self.control.VMID16EN))
        return self.tlb.space((2, vmid, GLOBAL) if second else (1, vmid, asid))

    def _translated(self, bank: Bank, address: int, need: int) -> int:
        asid = bank.asid
        own, shared = self.space(bank, asid), self.space(bank, GLOBAL)
        found = own.find(address) + (shared.find(address) if shared is not own else [])
        if len(found) > 1:
            raise Fault("TLBMCF")
        if found:
            delta, granted, level = found[0]
            if not granted & need:
                raise Fault("PF", level)
            return address + delta
        stage = bank.stage(address)
        if stage is None:
            raise Fault("TF", 0)
        tables = own.tables if self._caching else None
        descriptor, shift, output, attributes = walk(stage, address, self.memory.read_u64, tables)
        bits = descriptor >> 6 & 3 | descriptor >> 51 & 0xC | attributes << 4
        granted = permissions(bits, stage.number, execute_never=stage.execute_never)
        delta = output - (address & -1 << shift)
        level = stage.first + [one[0] for one in stage.levels].index(shift)
        if self._caching:
            private = stage.number == 1 and descriptor & NOT_GLOBAL
            (own if private or shared is own else shared).insert(shift, address, (delta, granted, level))
        if not granted & need:
            raise Fault("PF", level)
        return address + delta

    # --- faults -----------------------------------------------------------------------------------------------------

    def _refuse(self, bank: Bank, transaction: Transaction, reason: str) -> Outcome:
        """Stall a transaction, or end it as the bank says."""
        control = bank.control
        if control.CFCFG:
            bank.stalled.append(transaction)
            return Outcome("stall", bank=bank.number, reason=reason)
        return Outcome("abort" if control.CFRE else "raz_wi", bank=bank.number, reason=reason)

    def _resume(self, bank: Bank, value: int) -> None:
        waiting, terminated = bank.resume(value)
        result = "abort" if bank.control.CFRE else "raz_wi"
        for transaction in waiting:
            if terminated:
                self.resumed.append((transaction, Outcome(result, bank=bank.number, reason="RESUME")))  # type: ignore[arg-type]
            else:
                self.resumed.append((transaction, self.access(transaction)))

    def _record(self, flag: str, transaction: Transaction) -> None:
        """Record a global fault, or that there was another one."""
        if self._status.value:
            self._status = self._status.replace(MULTI=1)
            return
        self._status = GFSR(**{flag: 1})
        self._words[_GFAR], self._words[_GFAR + 4] = transaction.address & _ALL, transaction.address >> 32
        self._words[_GFSYNR0] = GFSYNR0(
            WNR=int(transaction.write), PNU=int(transaction.privileged),
            IND=int(transaction.instruction and not transaction.write),
        ).value  # fmt: skip
        self._words[_GFSYNR1] = transaction.stream_id & 0xFFFF
        self._words[_GFSYNR2] = 0


def privileged(access: int, override: int) -> int:
    """Return an access code after S2CR.PRIVCFG."""
    if override == Privilege.UNPRIVILEGED:
        return access & ~PRIVILEGED
    return access | PRIVILEGED if override == Privilege.PRIVILEGED else access
