"""Fault registers, by polling: each bank, and the unit as a whole, holds one fault and whether there were more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..layout import CBFRSYNRA, FSR, GFSR, ContextFault, GlobalFault
from ..layout.registers import RESUME
from ..records import ReportedFault, decode_context, decode_global
from .access import UnitAccess

_GLOBAL = 0x40
"""Offset of sGFAR, where `GlobalFault` begins."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What the fault registers held.

    Attributes:
        records: the faults, of banks first.
        lost: there were more that left no trace.
    """

    records: list[ReportedFault]
    lost: bool


def take(unit: UnitAccess, banks: Iterable[int]) -> Faults:
    """Take the faults of these banks and the global one, and make room for the next."""
    records = []
    for bank in banks:
        at = unit.pages.bank(bank)
        status = unit.read(FSR, at)
        if not status.replace(FORMAT=0).value:
            continue
        window = _window(unit, at + FSR.offset, ContextFault.size - CBFRSYNRA.size)
        window += bytes(unit.read(CBFRSYNRA, unit.pages.size + 4 * bank))
        records.append(decode_context(window, bank))
        unit.write(status, at)
        if status.SS:
            unit.write(RESUME(TERMINATE=1), at)
    whole = unit.read(GFSR)
    if whole.value:
        records.append(decode_global(_window(unit, _GLOBAL, GlobalFault.size)))
        unit.write(whole)
    return Faults(records, any(record.more for record in records))


def _window(unit: UnitAccess, at: int, size: int) -> bytes:
    read = unit.platform.read_mmio
    return b"".join([read(unit.base + place, 4).to_bytes(4, "little") for place in range(at, at + size, 4)])
