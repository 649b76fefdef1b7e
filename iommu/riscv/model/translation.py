"""From an IOVA to a physical address by the tables of a context: both stages, A and D, and MSIs (2.3, 2.4)."""

from __future__ import annotations

from functools import partial
from typing import cast

from ...errors import IommuError
from ...platform import Memory
from ..layout import MsiPte, MsiPteMrif
from ..names import Cause, MsiPteMode
from .directory import Context
from .stage import A, D, R, Stage, U, W
from .values import ACCESS, FETCH, GUEST, NEEDS, WRITE, Capabilities, Fault, Mrif

_IMPLICIT, _IMPLICIT_WRITE = 1, 3
"""Bits 1:0 of iotval2: an implicit access, and one that writes."""
_MSI_PTE_SIZE = 16


def unreadable(error: IommuError, access: int, corrupt: int, reason: str) -> Fault:
    """Return the fault of memory that refuses, or that is known to be damaged."""
    return Fault(corrupt if error.finding.rule == "MEMORY-CORRUPTION" else access, reason)


class Translator:
    """Walks and what they remember."""

    def __init__(self, memory: Memory, caps: Capabilities, *, caching: bool, passive: bool = False) -> None:
        """Translate by the tables in a memory.

        With `caching` off, nothing is remembered. A `passive` one only makes sure that A and D could be set.
        """
        self._memory = memory
        self._limit = caps.register.PAS
        self._mrif = caps.register.MSI_MRIF
        self._caching = caching
        self._passive = passive

    def translate(self, context: Context, address: int, access: int, *, supervisor: bool) -> tuple[int, Mrif | None]:
        """Return the physical address of an access, or where its MSI goes. Raises Fault."""
        write, need = access == WRITE, NEEDS[access]
        gpa = address
        if context.stage1 is not None:
            gpa, _ = self.first(context, address, need, write=write, supervisor=supervisor)
        if context.msi is not None and context.is_message(gpa):
            output, mrif = self.message(context, gpa)
            if access == FETCH:
                raise Fault(Cause.INSTRUCTION_ACCESS_FAULT, "execution of an interrupt file")
            return output, mrif
        output = gpa
        if context.stage2 is not None:
            output, _ = self.second(context, gpa, need, write=write)
        if output >> self._limit:
            raise Fault(ACCESS if context.translates else 0, "output, capabilities.PAS")
        return output, None

    def first(self, context: Context, address: int, need: int, *, write: bool, supervisor: bool) -> tuple[int, int]:
        """Return the guest physical address of an IOVA and the entry that maps it; the context has a first stage.

        `need` is the permission bit that the access needs, 0 for an ATS request, which takes what there is.
        """
        stage = cast("Stage", context.stage1)
        known = context.space1.find(address) or context.shared1.find(address)
        if known is not None:
            delta, entry = known
            denied = _denied(entry, need, supervisor=supervisor, total=bool(context.sum))
            if denied:
                raise Fault(stage.kind, denied)
            if not _stale(entry, write=write):
                return address + delta, entry
        read = self.read if context.stage2 is None else partial(self._read_through, context)
        tables = context.space1.tables if self._caching else None
        entry, place, shift, base, shared = stage.walk(address, read, tables)
        denied = _denied(entry, need, supervisor=supervisor, total=bool(context.sum))
        entry = self._settle(context, stage, entry, place, update=not denied, write=write) | shared
        delta = base - (address & -1 << shift)
        if self._caching and entry & A:
            (context.shared1 if shared else context.space1).insert(shift, address, (delta, entry))
        if denied:
            raise Fault(stage.kind, denied)
        return address + delta, entry

    def second(self, context: Context, gpa: int, need: int, *, write: bool, implicit: int = 0) -> tuple[int, int]:
        """Return the physical address of a guest physical address and the entry that maps it, as `first`.

        `implicit` is what bits 1:0 of iotval2 are in a fault.
        """
        try:
            return self._second(context, gpa, need, write=write)
        except Fault as fault:
            if fault.kind == GUEST:
                fault.second = gpa & ~3 | implicit
            raise

    def _second(self, context: Context, gpa: int, need: int, *, write: bool) -> tuple[int, int]:
        stage = cast("Stage", context.stage2)
        known = context.space2.find(gpa)
        if known is not None:
            delta, entry = known
            denied = _denied(entry, need)
            if denied:
                raise Fault(GUEST, denied)
            if not _stale(entry, write=write):
                return gpa + delta, entry
        tables = context.space2.tables if self._caching else None
        entry, place, shift, base, _ = stage.walk(gpa, self.read, tables)
        denied = _denied(entry, need)
        entry = self._settle(None, stage, entry, place, update=not denied, write=write)
        delta = base - (gpa & -1 << shift)
        if self._caching and entry & A:
            context.space2.insert(shift, gpa, (delta, entry))
        if denied:
            raise Fault(GUEST, denied)
        return gpa + delta, entry

    def _settle(
        self, context: Context | None, stage: Stage, entry: int, place: int, *, update: bool, write: bool
    ) -> int:
        """Return an entry with A and D as the access needs them, set in memory where the stage lets hardware do so.

        `context` is given where `place` is to be taken through the second stage. Without `update`, nothing is set.
        """
        if not update or not _stale(entry, write=write):
            return entry
        if not stage.update:
            raise Fault(stage.kind, "A or D")
        if context is not None and context.stage2 is not None:
            place, _ = self.second(context, place, W, write=True, implicit=_IMPLICIT_WRITE)
        updated = entry | A | (D if write and entry & W else 0)
        try:
            if self._passive:
                self._memory.write_u64(place, self._memory.read_u64(place))
            else:
                self._memory.compare_and_swap(place, entry, updated)
        except IommuError as error:
            raise unreadable(error, ACCESS, Cause.TABLE_CORRUPTION, "update of A or D") from None
        return updated

    def read(self, place: int) -> int:
        """Return the doubleword of a page table at a physical address. Raises Fault."""
        if place >> self._limit:
            raise Fault(ACCESS, "table, capabilities.PAS")
        try:
            return self._memory.read_u64(place)
        except IommuError as error:
            raise unreadable(error, ACCESS, Cause.TABLE_CORRUPTION, "page-table entry") from None

    def _read_through(self, context: Context, place: int) -> int:
        return self.read(self.through(context, place))

    def through(self, context: Context, place: int) -> int:
        """Return the physical address of a structure that is read: what the second stage makes of it, if there is one.

        Raises Fault.
        """
        if context.stage2 is None:
            return place
        return self.second(context, place, R, write=False, implicit=_IMPLICIT)[0]

    def message(self, context: Context, gpa: int) -> tuple[int, Mrif | None]:
        """Return where a message to a virtual interrupt file goes (2.3.3). Raises Fault."""
        low, high = self._msi_pte(context, gpa)
        pte = MsiPte(low | high << 64)
        if pte.C or pte.M not in (MsiPteMode.BASIC, MsiPteMode.MRIF):  # C: the implementation's choice
            raise Fault(Cause.MSI_MISCONFIGURED, "C or M")
        if pte.M == MsiPteMode.BASIC:
            if pte.reserved:
                raise Fault(Cause.MSI_MISCONFIGURED, "reserved bits")
            if pte.PPN >> self._limit:
                raise Fault(ACCESS, "output, capabilities.PAS")
            return pte.PPN | gpa & 0xFFF, None
        file = MsiPteMrif(pte.value)
        if not self._mrif or file.reserved:
            raise Fault(Cause.MSI_MISCONFIGURED, "reserved bits, capabilities.MSI_MRIF")
        return -1, Mrif(file.MRIF_Address, file.NPPN, file.NID)

    def _msi_pte(self, context: Context, gpa: int) -> tuple[int, int]:
        page = gpa >> 12
        known = context.space2.messages.get(page)
        if known is not None:
            return known
        place = context.message_entry(page)
        if place >> self._limit:
            raise Fault(Cause.MSI_LOAD_FAULT, "msiptp.PPN, capabilities.PAS")
        try:
            raw = self._memory.read(place, _MSI_PTE_SIZE)
        except IommuError as error:
            raise unreadable(error, Cause.MSI_LOAD_FAULT, Cause.MSI_CORRUPTION, "MSI page table entry") from None
        found = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
        if not found[0] & 1:
            raise Fault(Cause.MSI_INVALID, "V")
        if self._caching:
            context.space2.messages[page] = found
        return found


def _denied(entry: int, need: int, *, supervisor: bool = False, total: bool = False) -> str:
    """Name the permission that an entry does not give; empty when it gives what is asked.

    `total`: PC.ta.SUM lets data accesses with supervisor privilege reach pages with U.
    """
    if entry & need != need:
        return "R, W or X"
    if not supervisor:
        return "" if entry & U else "U"
    return "U" if entry & U and (need == NEEDS[FETCH] or not total) else ""


def _stale(entry: int, *, write: bool) -> bool:
    """Tell whether A, or for a write to a writable page D, is yet to be set."""
    return not entry & A or bool(write and entry & W and not entry & D)
