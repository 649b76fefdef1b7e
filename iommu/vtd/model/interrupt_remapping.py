"""Interrupt requests through the interrupt remapping table, VT-d 5.1 and 5.2."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import IommuError
from ...platform import Memory
from ..layout import Irte, MsiAddress, MsiData, PostedDescriptor, PostedIrte
from ..names import SVT, Reason
from .caches import Caches
from .hardware import Hardware
from .invalidation import FUNCTION_MASKS
from .requests import Fault, Interrupt, Posted, Untouched


@dataclass(slots=True)
class InterruptTable:
    """Where interrupts are remapped: what GCMD took over from IRTA.

    Attributes:
        remapping: GSTS.IRES.
        compatibility: GSTS.CFIS, interrupts of compatibility format pass.
        root: the table.
        entries: number of its entries.
        extended: IRTA.EIME, x2APIC mode.
    """

    remapping: bool = False
    compatibility: bool = False
    root: int = 0
    entries: int = 2
    extended: bool = False


class InterruptRemapper:
    """The part of a unit that remaps interrupts."""

    def __init__(self, memory: Memory, hardware: Hardware, caches: Caches, table: InterruptTable) -> None:
        """Remap with the table that `table` points to."""
        self._memory = memory
        self._hardware = hardware
        self._caches = caches
        self._table = table

    def index(self, address: int, data: int) -> int:
        """Return the index that a remappable request names (5.1.3), which may lie beyond the table."""
        bits = MsiAddress(address)
        return bits.HANDLE + (MsiData(data & 0xFFFF).SUBHANDLE if bits.SHV else 0)

    def remap(self, source: int, address: int, data: int) -> Interrupt | Posted | Untouched:
        """Return what becomes of an interrupt message. Raises `Fault`."""
        table = self._table
        # 1. Without remapping nothing changes.
        if not table.remapping:
            return Untouched(address, data)
        bits = MsiAddress(address)
        # 2. Compatibility format.
        if not bits.FORMAT:
            if table.extended or not table.compatibility:
                raise Fault(Reason.IR_COMPATIBILITY)
            return Untouched(address, data)
        # 3. The request itself.
        if data >> 16 or (data and not bits.SHV) or bits.reserved:
            raise Fault(Reason.IR_REQUEST_RSVD)
        index = self.index(address, data)
        if index >= table.entries:
            raise Fault(Reason.IR_INDEX)
        # 4. The entry.
        raw = self._entry(index)
        entry = Irte(raw)
        silent = bool(entry.FPD)
        if not entry.P:
            raise Fault(Reason.IR_NOT_PRESENT, silent=silent)
        if self._malformed(raw):
            raise Fault(Reason.IR_RSVD, silent=silent)
        # 5. Who asks.
        if not _source_valid(entry, source):
            raise Fault(Reason.IR_SOURCE, silent=silent)
        if entry.IM:
            return self._post(PostedIrte(raw), silent=silent)
        return Interrupt(
            vector=entry.V,
            destination=entry.DST if table.extended else entry.DST >> 8 & 0xFF,
            delivery_mode=entry.DLM,
            logical=bool(entry.DM),
            redirection_hint=bool(entry.RH),
            level=bool(entry.TM),
        )

    def _entry(self, index: int) -> int:
        known = self._caches.interrupts.get(index)
        if known is not None:
            return known
        try:
            raw = int.from_bytes(self._memory.read(self._table.root + index * Irte.size, Irte.size), "little")
        except IommuError:
            raise Fault(Reason.IR_READ) from None
        # An entry that is not present is remembered in caching mode only.
        if raw & 1 or self._hardware.cap.CM:
            self._caches.keep(self._caches.interrupts, index, raw)
        return raw

    def _malformed(self, raw: int) -> bool:
        """Tell whether reserved bits, or values that this unit or mode does not have, are set."""
        entry = Irte(raw)
        if entry.SVT == 3:
            return True
        if entry.IM:
            posted = PostedIrte(raw)
            return bool(posted.reserved or not self._hardware.cap.PI or posted.PDA & self._hardware.beyond)
        narrow = not self._table.extended and entry.DST & ~0xFF00
        return bool(entry.reserved or narrow or entry.DLM in (3, 6))

    def _post(self, entry: PostedIrte, *, silent: bool) -> Posted:
        """Request the vector in the posted interrupt descriptor, and notify unless that is under way (5.2.3)."""
        at = entry.PDA
        try:
            descriptor = PostedDescriptor.from_bytes(self._memory.read(at, PostedDescriptor.size))
        except IommuError:
            raise Fault(Reason.IR_POSTED_READ, silent=silent) from None
        if descriptor.reserved:
            raise Fault(Reason.IR_POSTED_RSVD, silent=silent)
        descriptor.PIR |= 1 << entry.V
        notify = not descriptor.ON and (entry.URG or not descriptor.SN)
        if notify:
            descriptor.ON = 1
        try:
            self._memory.write(at, bytes(descriptor))
        except IommuError:
            raise Fault(Reason.IR_POSTED_READ, silent=silent) from None
        destination = descriptor.NDST if self._table.extended else descriptor.NDST >> 8 & 0xFF
        return Posted(at, entry.V, Interrupt(descriptor.NV, destination) if notify else None)


def _source_valid(entry: Irte, source: int) -> bool:
    """Check the requester by SID and SQ, or by a range of buses (9.10)."""
    if entry.SVT == SVT.SID:
        return (entry.SID ^ source) & 0xFFFF & ~FUNCTION_MASKS[entry.SQ] == 0
    if entry.SVT == SVT.BUS:
        return entry.SID >> 8 <= source >> 8 <= entry.SID & 0xFF
    return True
