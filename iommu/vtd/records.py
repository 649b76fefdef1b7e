"""Fault records as people work with them, from the 16 bytes that the hardware leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...base import format_rid
from .layout import FRCD
from .names import MEANINGS, Reason

RequestType = Literal["write", "page request", "read", "atomic"]
_TYPES: dict[tuple[int, int], RequestType] = {
    (0, 0): "write",
    (0, 1): "page request",
    (1, 0): "read",
    (1, 1): "atomic",
}


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault of a device, VT-d 7.4 and 11.4 (fault recording register).

    Attributes:
        source: requester ID, 16 bits.
        reason: fault reason as a number; `name` and `meaning` say it in words.
        address: address of the request, its low 12 bits zero; for interrupt faults 0.
        index: interrupt index of an interrupt fault, else None.
        type: what the device tried.
        pasid: PASID of the request, None without.
        privileged: the request asked for supervisor privilege.
        execute: the request asked to execute.
        address_type: 0 untranslated, 1 translation request, 2 translated.
        raw: the 16 bytes as they were read.
    """

    source: int
    reason: int
    address: int
    index: int | None
    type: RequestType
    pasid: int | None
    privileged: bool
    execute: bool
    address_type: int
    raw: bytes

    @property
    def name(self) -> str:
        """Mnemonic of the reason, such as `LGN.3`; the number in hexadecimal when it is not a known one."""
        try:
            return Reason(self.reason).name.replace("_", ".")
        except ValueError:
            return f"0x{self.reason:02x}"

    @property
    def meaning(self) -> str:
        """What the reason means, as a clause."""
        try:
            return MEANINGS[Reason(self.reason)]
        except ValueError:
            return "reason not defined by VT-d 4.1"

    def __str__(self) -> str:
        """Say it in one line, such as `00:03.0 read of 0x99000: no permission to read (LGN.3, reason 0x06)`."""
        what = f"{self.type} of 0x{self.address:x}" if self.index is None else f"interrupt {self.index}"
        pasid = "" if self.pasid is None else f" with PASID 0x{self.pasid:x}"
        return f"{format_rid(self.source)} {what}{pasid}: {self.meaning} ({self.name}, reason 0x{self.reason:02x})"


def decode_fault(raw: bytes) -> FaultRecord:
    """Return the record in the 16 bytes of a fault recording register. Raises ValueError for another length."""
    bits = FRCD.from_bytes(raw)
    interrupt = 0x20 <= bits.FR < 0x30
    return FaultRecord(
        source=bits.SID,
        reason=bits.FR,
        address=0 if interrupt else bits.FI,
        index=bits.FI >> 48 if interrupt else None,
        type=_TYPES[bits.T1, bits.T2],
        pasid=bits.PV if bits.PP else None,
        privileged=bool(bits.PP and bits.PRIV),
        execute=bool(bits.PP and bits.EXE),
        address_type=bits.AT,
        raw=bytes(raw),
    )
