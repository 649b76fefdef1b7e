"""From a stream ID to a context: stream table, CD table, and the caches of what they held (IHI 0070 3.3, 3.21.3).

Each structure is cached on its own, L1STD and L1CD too, and stays until a CMD_CFGI names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...errors import IommuError
from ...platform import Memory
from ..layout import CD, L1CD, L1STD, STE
from ..layout.registers import STRTAB_BASE, STRTAB_BASE_CFG
from ..names import EventNumber, FaultClass, StreamConfig
from .stage import PR, Stage, stage1, stage2
from .tlb import GLOBAL, Space, Tlb
from .validity import effective_strw, illegal_cd, illegal_ste
from .values import Capabilities, Fault

_S1DSS_TERMINATE, _S1DSS_BYPASS, _S1DSS_CD0 = 0, 1, 2
_MAX_SPAN = 11
_MOST_MEANINGS = 1024
_STE_SIZE = _CD_SIZE = 64
_Key = TypeVar("_Key")
_ANY_READ = PR
"""Configuration is read as privileged data."""

_NEEDS = (1, 2, 4, 0, 8, 16, 32, 0)
"""Permission bit by access code."""


class Context:
    """How transactions of one stream, or one substream of it, are handled.

    Attributes:
        config: STE.Config.
        ste, cd: the structures; `cd` is None where stage 1 does not translate.
        stage1_on: a CD is in use.
        stage1: stages of TTB0 and TTB1, None where disabled.
        stage2: the stage, None where it does not translate.
        both_ranges: TTB1 exists in this stream world.
        tbi: bit 0 TBI0, bit 1 TBI1.
        needs: permission bit by access code, after the overrides of the STE.
        codes: access code after overrides.
        has_asid: entries can be tagged by ASID.
        space, shared: cached entries by ASID, and global ones; `space2`: those of stage 2.
    """

    __slots__ = (
        "both_ranges",
        "cd",
        "codes",
        "config",
        "has_asid",
        "needs",
        "shared",
        "space",
        "space2",
        "stage1",
        "stage1_on",
        "stage2",
        "ste",
        "tbi",
    )

    def __init__(self, ste: STE) -> None:
        """Start from an STE: nothing translates yet."""
        self.config = ste.Config
        self.ste = ste
        self.cd: CD | None = None
        self.stage1_on = False
        self.stage1: tuple[Stage | None, Stage | None] = (None, None)
        self.stage2: Stage | None = None
        self.both_ranges = False
        self.tbi = 0
        self.codes: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
        self.needs: tuple[int, ...] = _NEEDS
        self.has_asid = False
        self.space = self.shared = self.space2 = Space()


def overridden(code: int, instcfg: int, privcfg: int) -> int:
    """Return an access code after INSTCFG and PRIVCFG (of an STE or of GBPA); a write is never an instruction."""
    kind, privileged = code & 3, code & 4
    if privcfg & 2:
        privileged = (privcfg & 1) << 2
    if instcfg & 2 and kind != 1:
        kind = (instcfg & 1) << 1
    return kind | privileged


class _Meaning:
    """An STE, what is wrong with it, and what it makes of accesses and addresses."""

    __slots__ = ("codes", "illegal", "needs", "stage2", "ste")

    def __init__(self, ste: STE, caps: Capabilities) -> None:
        """Decode an STE."""
        self.ste = ste
        self.illegal = illegal_ste(ste, caps)
        self.codes = tuple(range(8))
        if caps.idr1.ATTR_PERMS_OVR:
            self.codes = tuple(overridden(code, ste.INSTCFG, ste.PRIVCFG) for code in range(8))
        self.needs = tuple(_NEEDS[code] for code in self.codes)
        self.stage2: Stage | None = None
        if not self.illegal and ste.Config & StreamConfig.STAGE2 == StreamConfig.STAGE2:
            self.stage2 = stage2(ste, caps)


class Configuration:
    """Finds contexts and caches what it reads."""

    def __init__(self, memory: Memory, caps: Capabilities, tlb: Tlb, *, caching: bool) -> None:
        """Read from a memory; with `caching` off everything is read afresh each time."""
        self._memory = memory
        self._caps = caps
        self._tlb = tlb
        self._caching = caching
        self._l1stds: dict[int, int] = {}
        self._stes: dict[int, int] = {}
        self._l1cds: dict[tuple[int, int], int] = {}
        self._cds: dict[tuple[int, int], int] = {}
        self._base = 0
        self._shape = (0, 0, False)
        self.e2h = False
        # What an STE or a CD means depends on its bits only: decoding is remembered by value, apart from the caches.
        self._meanings: dict[int, _Meaning] = {}
        self._cd_meanings: dict[tuple[int, int, bool], tuple[CD, str, tuple[Stage | None, Stage | None]]] = {}
        self.through: Callable[[Context, int, int, FaultClass], tuple[int, int, int, bool]]
        """Stage 2, by which CDs are fetched: set by the model."""

    def program(self, base: STRTAB_BASE, shape: STRTAB_BASE_CFG, *, e2h: bool) -> None:
        """Take the registers that say where and what the stream table is."""
        two_level = bool(shape.FMT == 1 and self._caps.idr0.ST_LEVEL)
        self._base = base.ADDR
        self._shape = (min(shape.LOG2SIZE, self._caps.idr1.SIDSIZE), shape.SPLIT, two_level)
        self.e2h = e2h

    def context(self, stream_id: int, substream_id: int | None) -> Context:
        """Return the context of a transaction. Raises Fault; its `context` says how far things got."""
        meaning = self._meaning(stream_id)
        ste = meaning.ste
        context = Context(ste)
        if not context.config & 4:
            return context
        context.codes, context.needs = meaning.codes, meaning.needs
        context.stage2 = meaning.stage2
        try:
            self._complete(context, stream_id, substream_id)
        except Fault as fault:
            fault.context = context
            raise
        return context

    def _complete(self, context: Context, stream_id: int, substream_id: int | None) -> None:
        ste = context.ste
        if ste.Config == StreamConfig.NESTED and ste.S1MPAM and self._caps.idr3.MPAM:
            self._fetch(ste.VMSPtr, EventNumber.F_VMS_FETCH)
        if context.stage2 is not None:
            context.space2 = context.space = self._tlb.space(("S2", ste.S2VMID, GLOBAL))
        index = self._cd_index(ste, substream_id)
        if index is not None:
            self._add_stage1(context, stream_id, index)

    def ste(self, stream_id: int) -> STE:
        """Return the legal STE of a stream. Raises Fault."""
        return self._meaning(stream_id).ste

    def _meaning(self, stream_id: int) -> _Meaning:
        raw = self._stes.get(stream_id)
        if raw is None:
            raw = int.from_bytes(self._fetch(self._ste_address(stream_id), EventNumber.F_STE_FETCH), "little")
            self._check_overlap(stream_id, raw)
            if self._caching:
                self._stes[stream_id] = raw
        meaning = self._meanings.get(raw)
        if meaning is None:
            if len(self._meanings) > _MOST_MEANINGS:
                self._meanings.clear()
            meaning = self._meanings[raw] = _Meaning(STE(raw), self._caps)
        if meaning.illegal:
            raise Fault(EventNumber.C_BAD_STE, meaning.illegal)
        return meaning

    def _check_overlap(self, stream_id: int, raw: int) -> None:
        """Refuse an STE that an entry cached with CONT covers, or that covers one, unless they are identical (5.2)."""
        for other, known in self._stes.items():
            span = max(STE.CONT.get(raw), STE.CONT.get(known))
            if span and known != raw and other >> span == stream_id >> span:
                raise Fault(EventNumber.F_CFG_CONFLICT, "STE.CONT")

    def _ste_address(self, stream_id: int) -> int:
        bits, split, two_level = self._shape
        if stream_id >> bits:
            raise Fault(EventNumber.C_BAD_STREAMID, "StreamID, STRTAB_BASE_CFG.LOG2SIZE")
        base = self._base
        if not two_level:
            return (base & -(_STE_SIZE << bits)) + _STE_SIZE * stream_id
        number = stream_id >> split
        raw = self._l1stds.get(number)
        if raw is None:
            size = 8 << max(bits - split, 3)
            data = self._fetch((base & -size) + 8 * number, EventNumber.F_STE_FETCH, 8)
            raw = int.from_bytes(data, "little")
            if self._caching:
                self._l1stds[number] = raw
        descriptor = L1STD(raw)
        span = descriptor.Span
        offset = stream_id & (1 << split) - 1
        if not 0 < span <= min(_MAX_SPAN, split + 1) or offset >> span - 1:
            raise Fault(EventNumber.C_BAD_STREAMID, "L1STD.Span")
        return (descriptor.L2Ptr & -(_STE_SIZE << span - 1)) + _STE_SIZE * offset

    def _cd_index(self, ste: STE, substream_id: int | None) -> int | None:
        """Return which CD a transaction uses, None where stage 1 does not translate it (5.2, S1DSS)."""
        if substream_id is not None:
            disabled = not ste.Config & 1 or not ste.S1CDMax or not self._caps.idr1.SSIDSIZE
            if disabled or substream_id >> ste.S1CDMax:
                raise Fault(EventNumber.C_BAD_SUBSTREAMID, "SubstreamID, S1CDMax")
            if substream_id == 0 and ste.S1DSS == _S1DSS_CD0:
                raise Fault(EventNumber.F_STREAM_DISABLED, "SubstreamID 0, S1DSS")
            return substream_id
        if not ste.Config & 1:
            return None
        if ste.S1CDMax and self._caps.idr1.SSIDSIZE:
            if ste.S1DSS == _S1DSS_BYPASS:
                return None
            if ste.S1DSS != _S1DSS_CD0:
                raise Fault(EventNumber.F_STREAM_DISABLED, "no SubstreamID, S1DSS")
        return 0

    def _add_stage1(self, context: Context, stream_id: int, index: int) -> None:
        ste, caps = context.ste, self._caps
        raw = self._cds.get((stream_id, index))
        if raw is None:
            address = self._cd_address(context, stream_id, index)
            raw = int.from_bytes(self._fetch_through(context, address, _CD_SIZE), "little")
            if self._caching:
                self._cds[stream_id, index] = raw
        strw = effective_strw(ste, caps)
        single = bool(strw) and not self.e2h
        cd, reason, stages = self._cd_meaning(raw, ste, single=single)
        if reason:
            raise Fault(EventNumber.C_BAD_CD, reason)
        context.cd, context.stage1_on, context.both_ranges = cd, True, not single
        context.stage1 = stages
        context.tbi = cd.TBI0 | cd.TBI1 << 1
        context.has_asid = not single
        world = "EL1" if not strw else "EL2" if single else "EL2-E2H"
        vmid = ste.S2VMID if caps.idr0.S2P and world == "EL1" else 0
        context.space = self._tlb.space((world, vmid, 0 if single else cd.ASID))
        context.shared = self._tlb.space((world, vmid, GLOBAL))

    def _cd_meaning(self, raw: int, ste: STE, *, single: bool) -> tuple[CD, str, tuple[Stage | None, Stage | None]]:
        key = (raw, ste.S1STALLD, single)
        known = self._cd_meanings.get(key)
        if known is None:
            cd, caps = CD(raw), self._caps
            reason = illegal_cd(cd, ste, caps, single=single)
            stages: tuple[Stage | None, Stage | None] = (None, None)
            if not reason:
                stages = (stage1(cd, caps, upper=False, single=single), stage1(cd, caps, upper=True, single=single))
            if len(self._cd_meanings) > _MOST_MEANINGS:
                self._cd_meanings.clear()
            known = self._cd_meanings[key] = cd, reason, stages
        return known

    def _cd_address(self, context: Context, stream_id: int, index: int) -> int:
        ste = context.ste
        pointer = ste.S1ContextPtr
        if not ste.S1CDMax or not self._caps.idr1.SSIDSIZE:
            return pointer
        if ste.S1Fmt not in (1, 2):
            return (pointer & -(_CD_SIZE << ste.S1CDMax)) + _CD_SIZE * index
        split = 6 if ste.S1Fmt == 1 else 10
        number = index >> split
        raw = self._l1cds.get((stream_id, number))
        if raw is None:
            size = 8 << max(ste.S1CDMax - split, 3)
            raw = int.from_bytes(self._fetch_through(context, (pointer & -size) + 8 * number, 8), "little")
            if self._caching:
                self._l1cds[stream_id, number] = raw
        descriptor = L1CD(raw)
        if not descriptor.V or descriptor.L2Ptr >> self._caps.oas:
            raise Fault(EventNumber.C_BAD_SUBSTREAMID, "L1CD")
        return (descriptor.L2Ptr & -(_CD_SIZE << split)) + _CD_SIZE * (index & (1 << split) - 1)

    def _fetch_through(self, context: Context, address: int, size: int) -> bytes:
        if context.stage2 is not None:
            address = self.through(context, address, _ANY_READ, FaultClass.CD)[0]
        return self._fetch(address, EventNumber.F_CD_FETCH, size)

    def _fetch(self, address: int, event: EventNumber, size: int = 64) -> bytes:
        try:
            if not address >> self._caps.oas:
                return self._memory.read(address, size)
        except IommuError:
            pass
        raise Fault(event, "structure fetch", fetch=address & (1 << self._caps.oas) - 1)

    def forget_streams(self, first: int, last: int, *, leaf: bool) -> None:
        """Invalidate STEs of a range, all CDs found through them, and without `leaf` their L1STDs."""
        _drop(self._stes, lambda stream: first <= stream <= last)
        _drop(self._cds, lambda key: first <= key[0] <= last)
        _drop(self._l1cds, lambda key: first <= key[0] <= last)
        if not leaf:
            split = self._shape[1]
            _drop(self._l1stds, lambda number: first >> split <= number <= last >> split)

    def forget_cds(self, stream_id: int, index: int | None, *, leaf: bool) -> None:
        """Invalidate a CD of a stream, or all of them; without `leaf` the L1CDs on the way too."""
        _drop(self._cds, lambda key: key[0] == stream_id and index in (None, key[1]))
        if not leaf:
            # Any granule of the L1 table may hold the index: taking more than asked for is permitted.
            _drop(self._l1cds, lambda key: key[0] == stream_id)

    def __len__(self) -> int:
        """Return the number of cached structures."""
        return len(self._l1stds) + len(self._stes) + len(self._l1cds) + len(self._cds)


def _drop(cache: dict[_Key, int], where: Callable[[_Key], bool]) -> None:
    for key in [key for key in cache if where(key)]:
        del cache[key]
