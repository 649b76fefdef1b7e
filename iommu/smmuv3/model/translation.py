"""From an address to an address, for one stream: one stage or both, through the translation cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from ...errors import IommuError
from ...platform import Memory
from ..names import EventNumber, FaultClass
from .configuration import Context
from .stage import PR, PTW, PW, Stage, W
from .tlb import Entry, Space
from .values import Capabilities, Fault
from .walk import NOT_GLOBAL, Leaf, settle, walk

_TOP_BYTE = 0xFF << 56
_NORMAL_MEMATTR = 0x0C
"""MemAttr[3:2] of a stage 2 leaf: 0 is device memory."""
_DEVICE = 64
"""Beside the permission bits of a stage 2 entry: it maps device memory."""
_WRITES = W | PW


class Translator:
    """Walks tables and keeps what it finds in the spaces of a context."""

    def __init__(self, memory: Memory, caps: Capabilities, *, caching: bool) -> None:
        """Translate on a memory; with `caching` off nothing is kept."""
        self._memory = memory
        self._caps = caps
        self._caching = caching

    def translate(self, context: Context, address: int, need: int) -> int:
        """Return the physical address for an access that needs the permission bit `need`. Raises Fault."""
        if context.stage1_on:
            stage, address = self._select(context, address, need)
            if context.stage2 is not None:
                return self._nested(context, stage, address, need)
            return self._single(context, stage, address, need)
        if address >> self._caps.oas:
            # Stage 1 is bypassed: the input has to fit the address range that is implemented.
            raise Fault(EventNumber.F_ADDR_SIZE, "input address")
        if context.stage2 is None:
            return address
        return self.stage2(context, address, need, FaultClass.IN)[0]

    def _select(self, context: Context, address: int, need: int) -> tuple[Stage, int]:
        """Choose TTB0 or TTB1 and check the range (DDI 0487 D8.2); the address comes back without its tag byte."""
        upper = address >> 55 & 1 if context.both_ranges else 0
        stage = context.stage1[upper]
        if context.tbi >> upper & 1:
            address = address | _TOP_BYTE if upper else address & ~_TOP_BYTE
        if stage is None:
            raise Fault(EventNumber.F_TRANSLATION, "EPD")
        if address >> stage.input_bits << stage.input_bits != stage.key:
            raise Fault(EventNumber.F_TRANSLATION, "input range")
        if not stage.unprivileged and need < PR:
            raise Fault(EventNumber.F_TRANSLATION, "E0PD")
        return stage, address

    def _single(self, context: Context, stage: Stage, address: int, need: int) -> int:
        if self._caching:
            entry = self._cached(context, address)
            if entry is not None and not self._refused(entry, address, need):
                return address + entry[0]
        leaf = walk(stage, address, self._memory.read_u64, context.space.tables if self._caching else None)
        granted, cleanable = settle(stage, leaf, need, self._memory.compare_and_swap)
        delta = leaf[3] - (address >> leaf[2] << leaf[2])
        if self._caching:
            self._keep(context, leaf, leaf[2], address, (delta, granted, granted, 0, cleanable, leaf[2]))
        return address + delta

    def _nested(self, context: Context, stage: Stage, address: int, need: int) -> int:
        entry = self._cached(context, address)
        if entry is not None and not self._refused(entry, address, need):
            return address + entry[0]
        leaf, granted, cleanable = self._walk_through(context, stage, address, need)
        ipa = leaf[3] + (address & (1 << leaf[2]) - 1)
        output, shift, granted2, cleanable2 = self.stage2(context, ipa, need, FaultClass.IN)
        shift = min(shift, leaf[2])
        entry = (output - address, granted & granted2, granted, ipa - address, cleanable or cleanable2, leaf[2])
        self._keep(context, leaf, shift, address, entry)
        return output

    def first_stage(self, context: Context, address: int, need: int) -> int:
        """Return what stage 1 alone makes of an address, as split-stage ATS hands it out. Raises Fault."""
        if not context.stage1_on:
            return address
        stage, address = self._select(context, address, need)
        leaf = self._walk_through(context, stage, address, need)[0]
        return leaf[3] + (address & (1 << leaf[2]) - 1)

    def _walk_through(self, context: Context, stage: Stage, address: int, need: int) -> tuple[Leaf, int, bool]:
        """Walk stage 1 with its descriptors fetched through stage 2."""
        tables = context.space.tables if self._caching else None
        leaf = walk(stage, address, partial(self._read_through, context), tables)
        granted, cleanable = settle(stage, leaf, need, partial(self._swap_through, context))
        return leaf, granted, cleanable

    def stage2(self, context: Context, ipa: int, need: int, kind: FaultClass) -> tuple[int, int, int, bool]:
        """Return output, log2 of the size of its page, permissions, and whether a write could make it dirty.

        Raises Fault with the IPA; `kind` says what the address is for.
        """
        stage, space = cast("Stage", context.stage2), context.space2  # callers know that it translates
        if ipa >> stage.input_bits:
            raise Fault(EventNumber.F_TRANSLATION, "input range", stage2=True, kind=kind, ipa=ipa)
        found = space.find(ipa) if self._caching else ()
        if len(found) > 1 and self._conflicts():
            raise Fault(EventNumber.F_TLB_CONFLICT, "overlapping entries", stage2=True, kind=kind, ipa=ipa)
        if found and (found[0][1] & need or not (found[0][4] and need & _WRITES)):
            delta, granted, _, _, cleanable, shift = found[0]
        else:
            try:
                leaf = walk(stage, ipa, self._memory.read_u64, space.tables if self._caching else None)
                granted, cleanable = settle(stage, leaf, need, self._memory.compare_and_swap)
            except Fault as fault:
                fault.stage2, fault.kind, fault.ipa = True, kind, ipa
                raise
            shift = leaf[2]
            delta = leaf[3] - (ipa >> shift << shift)
            if not leaf[0] >> 2 & _NORMAL_MEMATTR:
                granted |= _DEVICE
            if self._caching:
                space.insert(shift, ipa, (delta, granted, granted, 0, cleanable, shift))
        if not granted & need or (granted & _DEVICE and stage.flags & PTW and kind == FaultClass.TT):
            raise Fault(EventNumber.F_PERMISSION, "permission or S2PTW", stage2=True, kind=kind, ipa=ipa)
        return ipa + delta, shift, granted, cleanable

    def _read_through(self, context: Context, place: int) -> int:
        """Read a stage 1 descriptor at its IPA."""
        physical = self._descriptor(context, place, PR)
        return self._physically(physical, partial(self._memory.read_u64, physical))

    def _swap_through(self, context: Context, place: int, old: int, new: int) -> bool:
        """Update a stage 1 descriptor at its IPA, which stage 2 must let be written."""
        physical = self._descriptor(context, place, PW)
        return bool(self._physically(physical, partial(self._memory.compare_and_swap, physical, old, new)))

    def _descriptor(self, context: Context, place: int, need: int) -> int:
        try:
            return self.stage2(context, place, need, FaultClass.TT)[0]
        except Fault as fault:
            fault.tt_read = need == PR
            raise

    @staticmethod
    def _physically(address: int, access: Callable[[], int]) -> int:
        try:
            return access()
        except IommuError:
            raise Fault(EventNumber.F_WALK_EABT, "descriptor access", kind=FaultClass.TT, fetch=address) from None

    def _cached(self, context: Context, address: int) -> Entry | None:
        found = context.space.find(address) + context.shared.find(address)
        if len(found) > 1 and self._conflicts():
            raise Fault(EventNumber.F_TLB_CONFLICT, "overlapping entries")
        return found[0] if found else None

    def _conflicts(self) -> bool:
        return self._caps.idr3.BBML < 2  # level 2: overlapping entries never conflict

    @staticmethod
    def _refused(entry: Entry, address: int, need: int) -> bool:
        """Tell whether a cached entry has to be walked again; raises Fault when it forbids the access outright."""
        if entry[1] & need:
            return False
        if entry[4] and need & _WRITES:
            return True  # hardware may make it dirty
        stage2 = bool(entry[2] & need)
        raise Fault(
            EventNumber.F_PERMISSION, "cached permission", stage2=stage2, ipa=address + entry[3] if stage2 else 0
        )

    def _keep(self, context: Context, leaf: Leaf, shift: int, address: int, entry: Entry) -> None:
        if self._caching:
            space: Space = context.space if leaf[0] & NOT_GLOBAL or not context.has_asid else context.shared
            space.insert(shift, address, entry)
