"""Interrupt messages through a device's interrupt remapping table, AMD 48882 2.2.5."""

from __future__ import annotations

from ...errors import IommuError
from ..layout import DTE, IRTE, IRTE128, MsiAddress, MsiData
from ..layout.queues import PageTabHardwareError
from ..names import EventCode, IntCtl, IntType
from .device import Context, Request, hardware_error
from .requests import Fault, Interrupt, Untouched
from .translation import Translator

_INDEX = 0x7FF
_SMI, _NMI, _INIT, _EXTINT = 2, 4, 5, 7
"""Message types that are no fixed (0) or arbitrated (1) interrupt."""


def remap(translator: Translator, request: Request, data: int, *, wide: bool, extended: bool) -> Interrupt | Untouched:
    """Return what becomes of an interrupt message. Raises `Fault`.

    Args:
        translator: of the unit.
        request: who writes, and where.
        data: what is written.
        wide: entries have 128 bits (Control.GAEn).
        extended: destinations have 32 bits (Control.XTEn).
    """
    untouched = Untouched(request.address, data)
    # 1. A unit that is off, or an entry that says nothing of interrupts.
    if not translator.tables.translating:
        return untouched
    context = translator.context(request, cached=True)
    if not context.interrupts:
        return untouched
    context.refuse_illegal(request)
    bits = context.interrupt_bits
    # 2. Kinds of interrupts that are not remapped.
    kind = MsiData(data & 0xFFFF).MT
    if kind not in (IntType.FIXED, IntType.ARBITRATED):
        if not _passes(bits, kind, logical=bool(MsiAddress(request.address).DM)):
            raise Fault(None)
        return untouched
    # 3. What the device table says of the others.
    if bits.IntCtl == IntCtl.ABORT:
        raise Fault(None)
    if bits.IntCtl == IntCtl.FORWARD:
        return untouched
    # 4. The entry.
    index = data & _INDEX
    ignored = bool(bits.IG)
    if index >> bits.IntTabLen:
        raise Fault(request.page_fault(context.domain), silent=ignored)
    layout = IRTE128 if wide else IRTE
    raw = _entry(translator, context, request, index, layout.size)
    entry = layout(raw)
    silent = ignored or bool(entry.SupIOPF)
    if not entry.RemapEn:
        raise Fault(request.page_fault(context.domain), silent=silent)
    if entry.reserved or entry.GuestMode or entry.IntType > IntType.ARBITRATED:
        raise Fault(request.page_fault(context.domain, PR=1, RZ=1), silent=silent)
    return Interrupt(
        vector=entry.Vector,
        destination=entry.Destination if extended else entry.Destination & 0xFF,
        type=entry.IntType,
        logical=bool(entry.DM),
        request_eoi=bool(entry.RqEoi),
    )


def _passes(bits: DTE, kind: int, *, logical: bool) -> bool:
    """Tell whether a device may raise an interrupt of a kind that is not remapped."""
    if kind == _NMI:
        return bool(bits.Lint1Pass if logical else bits.NMIPass)
    if kind == _EXTINT:
        return bool(bits.Lint0Pass if logical else bits.EIntPass)
    return bool(kind == _INIT and bits.INITPass)


def _entry(translator: Translator, context: Context, request: Request, index: int, size: int) -> int:
    """Return an entry of the table; one that is not enabled is not remembered."""
    caches = translator.caches
    known = caches.interrupts.get((request.device, index))
    if known is not None:
        return known
    place = context.interrupt_bits.IntTabRoot + index * size
    try:
        raw = int.from_bytes(translator.memory.read(place, size), "little")
    except IommuError as error:
        raise Fault(
            PageTabHardwareError(
                EventCode=EventCode.PAGE_TAB_HARDWARE_ERROR,
                Type=hardware_error(error),
                DomainID=context.domain,
                TableAddress=place & -8,
                **request.flags,
            )
        ) from None
    if raw & IRTE.RemapEn.mask:
        caches.keep(caches.interrupts, (request.device, index), raw)
    return raw
