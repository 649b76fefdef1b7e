"""A DMA request's way from source-id and address to a host address, VT-d 3.4 to 3.8, 3.14 and 7.1.

`Translator.translate` follows the order in which the specification checks. With `cached`, what the unit remembers is
looked up before memory and filled on the way; without, every step reads memory and nothing is remembered or written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ...platform import Memory
from ..names import ATYPE, PGTT, TTM, Reason
from .caches import Caches
from .context import Context, fetch_legacy, fetch_pasid, fetch_scalable
from .first_stage import FirstStageWalk
from .hardware import Hardware
from .requests import INTERRUPT_RANGE, PAGE_REQUEST, READ, Fault
from .second_stage import walk_second_stage

_Key = TypeVar("_Key")
_Entry = TypeVar("_Entry")


@dataclass(slots=True)
class Tables:
    """Where the unit's tables are: what GCMD's one-shot commands took over from the registers.

    Attributes:
        translating: GSTS.TES.
        mode: RTADDR.TTM.
        root: root table.
        protected: `(start, end)` of the protected memory regions, while PMEN has them enabled.
    """

    translating: bool = False
    mode: int = TTM.LEGACY
    root: int = 0
    protected: tuple[tuple[int, int], ...] = ()


@dataclass(slots=True)
class Request:
    """A DMA request; not frozen, since one is made for every walk and freezing doubles what that costs.

    Attributes:
        source: requester ID.
        address: untranslated address, or translated if `kind` says so.
        need: bits 0 to 2: read, write, execute; `PAGE_REQUEST` for a page request.
        pasid: PASID, or None.
        supervisor: privilege asked for.
        kind: ATYPE.
    """

    source: int
    address: int
    need: int
    pasid: int | None = None
    supervisor: bool = False
    kind: int = ATYPE.UNTRANSLATED


class Translator:
    """The translating part of a unit."""

    def __init__(self, memory: Memory, hardware: Hardware, caches: Caches, tables: Tables) -> None:
        """Translate with the tables in `memory` that `tables` points to."""
        self.memory = memory
        self.hardware = hardware
        self.caches = caches
        self.tables = tables

    def translate(self, request: Request, *, cached: bool) -> int:
        """Return the host address of a request. Raises `Fault`."""
        # 1. Without translation only protected memory is guarded.
        if not self.tables.translating:
            return self._unprotected(request.address)
        context, supervisor = self.context(request, cached=cached)
        try:
            return self._in_context(request, context, supervisor=supervisor, cached=cached)
        except Fault as fault:
            fault.silent = fault.silent or context.fpd
            raise

    def context(self, request: Request, *, cached: bool) -> tuple[Context, bool]:
        """Return the context of a request, and whether it has supervisor privilege. Raises `Fault`."""
        tables, source, pasid = self.tables, request.source, request.pasid
        # 2. The mode and the root table register.
        if tables.mode == TTM.ABORT and self.hardware.ecap.ADMS:
            raise Fault(None)
        scalable = tables.mode == TTM.SCALABLE and self.hardware.ecap.SMTS
        if (tables.mode != TTM.LEGACY and not scalable) or tables.root & self.hardware.beyond:
            raise Fault(Reason.RTA_1)
        if scalable:
            return self._scalable_context(request, cached=cached)
        if pasid is not None:
            raise Fault(Reason.RTA_2)
        if request.need == PAGE_REQUEST:
            raise Fault(Reason.RTA_3)
        # 3. Root and context entry.
        found = self.caches.contexts.get(source) if cached else None
        if found is None:
            found = self._fetched(
                self.caches.contexts,
                source,
                (source, None),
                lambda: fetch_legacy(self.memory, self.hardware, tables.root, source),
                cached=cached,
            )
        # 4. Requests of other address types need leave.
        if request.kind != ATYPE.UNTRANSLATED and not found.requests_translated:
            raise Fault(Reason.LCT_5, silent=found.fpd)
        return self._ready(found, None, cached=cached), False

    def _scalable_context(self, request: Request, *, cached: bool) -> tuple[Context, bool]:
        source, pasid = request.source, request.pasid
        # 3. Root and context entry.
        found = self.caches.scalable.get(source) if cached else None
        if found is None:
            found = self._fetched(
                self.caches.scalable,
                source,
                (source, None),
                lambda: fetch_scalable(self.memory, self.hardware, self.tables.root, source),
                cached=cached,
            )
        # 4. What the context entry does not allow.
        if request.kind != ATYPE.UNTRANSLATED and not found.dte:
            raise Fault(Reason.SCT_5, silent=found.fpd)
        if pasid is not None and not found.paside:
            raise Fault(Reason.SCT_6, silent=found.fpd)
        if request.need == PAGE_REQUEST and not found.pre:
            raise Fault(Reason.SCT_8, silent=found.fpd)
        # 5. PASID entry.
        number = found.rid_pasid if pasid is None else pasid
        context = self.caches.pasids.get((source, number)) if cached else None
        if context is None:
            outer = found
            context = self._fetched(
                self.caches.pasids,
                (source, number),
                (source, number),
                lambda: fetch_pasid(self.memory, self.hardware, outer, number, rid=pasid is None),
                cached=cached,
            )
        # 6. What the PASID entry does not allow.
        supervisor = request.supervisor if pasid is not None else found.rid_privileged
        if pasid is not None and request.need & 4 and not context.execute:
            raise Fault(Reason.SPT_5, silent=context.fpd)
        if supervisor and not context.supervisor:
            raise Fault(Reason.SPT_6, silent=context.fpd)
        first_stage = context.kind in (PGTT.FIRST_STAGE, PGTT.NESTED)
        return self._ready(context, number if first_stage else None, cached=cached), supervisor

    def _ready(self, context: Context, pasid: int | None, *, cached: bool) -> Context:
        """Give a context the translations that are remembered under its tag."""
        if cached and self.caches.filling:
            context.tlb = self.caches.tlb(context.did, pasid)
        elif cached:
            context.tlb = self.caches.tlbs.get((context.did, pasid), context.tlb)
        return context

    def _fetched(
        self,
        cache: dict[_Key, _Entry],
        key: _Key,
        absent_key: tuple[int, int | None],
        fetch: Callable[[], _Entry],
        *,
        cached: bool,
    ) -> _Entry:
        """Return an entry from memory and remember it; in caching mode remember refusals too."""
        if not cached:
            return fetch()
        refusal = self.caches.absent.get(absent_key)
        if refusal is not None:
            raise Fault(refusal[0], silent=refusal[1])
        try:
            entry = fetch()
        except Fault as fault:
            if self.hardware.cap.CM and fault.reason is not None:
                self.caches.keep(self.caches.absent, absent_key, (fault.reason, fault.silent))
            raise
        self.caches.keep(cache, key, entry)
        return entry

    def _in_context(self, request: Request, context: Context, *, supervisor: bool, cached: bool) -> int:
        scalable, address = context.scalable, request.address
        # 7. Translated requests are taken at their word, and guarded.
        if request.kind == ATYPE.TRANSLATED:
            return self._unprotected(address)
        # 8. The interrupt range is no memory.
        if address >> 20 == INTERRUPT_RANGE:
            raise Fault(Reason.SGN_8 if scalable else Reason.LGN_4)
        # 9. Pass-through.
        if context.kind == PGTT.PASS_THROUGH:
            if address >> min(self.hardware.mgaw, self.hardware.haw):
                raise Fault(Reason.SGN_4 if scalable else Reason.LGN_1)
            return self._unprotected(address)
        # 10. Translation, remembered or walked; its outcome must not be an interrupt.
        need = request.need & 7
        if need == 0 and not self.hardware.cap.ZLR:
            need = READ
        if cached:
            output = self._remembered_page(request, context, need, supervisor=supervisor)
        else:
            page, shift = self._walk(request, context, need, supervisor=supervisor, caches=None)
            output = (page & -1 << shift) + (address & (1 << shift) - 1)
        if output >> 20 == INTERRUPT_RANGE:
            raise Fault(Reason.SGN_8 if scalable else Reason.LGN_4)
        return output

    def _remembered_page(self, request: Request, context: Context, need: int, *, supervisor: bool) -> int:
        """Return the host address, from what is remembered or by a walk that is remembered."""
        address, tlb, caches = request.address, context.tlb, self.caches
        tag = need << 3 if supervisor else need
        found = tlb.find(address, tag)
        if found is None:
            refusal = tlb.refusals.get((address >> 12, tag))
            if refusal is not None:
                raise Fault(refusal)
            try:
                page, shift = self._walk(request, context, need, supervisor=supervisor, caches=caches)
            except Fault as fault:
                if self.hardware.cap.CM and fault.reason is not None:
                    caches.keep(tlb.refusals, (address >> 12, tag), fault.reason)
                raise
            base = page & -1 << shift
            found = base + (address & (1 << shift) - 1)
            # 512 GiB pages do not exist, so every page has a cache of its size; one in the interrupt range has none.
            if found >> 20 != INTERRUPT_RANGE:
                caches.keep(tlb.pages[(shift - 12) // 9], address >> shift, base | page & 0x3F)
        if caches.filling and request.pasid is None and not supervisor:
            caches.resolved[request.source] = context
        return found

    def _walk(
        self, request: Request, context: Context, need: int, *, supervisor: bool, caches: Caches | None
    ) -> tuple[int, int]:
        """Walk the stages of a context; without caches, accessed and dirty bits are left alone as well."""
        update = caches is not None
        if context.kind == PGTT.SECOND_STAGE:
            return walk_second_stage(self.memory, self.hardware, context, request.address, need, caches, update=update)
        walk = FirstStageWalk(self.memory, self.hardware, context, request.address, need, supervisor, caches, update)
        return walk.run()

    def _unprotected(self, address: int) -> int:
        """Return the address unless it lies in protected memory, which blocks without a record (11.4, PMEN)."""
        for start, end in self.tables.protected:
            if start <= address < end:
                raise Fault(None)
        return address
