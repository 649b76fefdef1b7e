"""SMMUv1 and SMMUv2, which have no queue: the fault registers of a context bank, and the global ones.

A record is the window of the registers as memory shows it: of a context bank the 32 bytes from 0x58 and, where it is
known, its CBFRSYNRA after them (36 bytes); of the global registers the 32 bytes from 0x40.

Source: Arm IHI 0062 D.c, chapters 10 and 16.
"""

from __future__ import annotations

from ...base import Origin
from ...iommu.smmuv2.layout import CBFRSYNRA, FSR, FSYNR0, GFSR, GFSYNR0, GFSYNR1, ContextFault, GlobalFault
from ...iommu.smmuv2.names import CONTEXT_FLAGS, GLOBAL_FLAGS
from ..fault import Access, Fault
from .record import Facts, Format, check_size, rest

CONTEXT_SIZE = 36
GLOBAL_SIZE = 32
_BARE = 32
"""Bytes of a context bank's window without CBFRSYNRA."""


def decode(raw: bytes, origin: Origin, iommu: str = "", bank: int | None = None) -> Fault:
    """Return the fault that a context bank's registers tell; `code` is the FSR.

    Raises FaultError for another length than 32 or 36 bytes; with 32 the stream is not known.
    """
    check_size(raw, (_BARE, CONTEXT_SIZE), "SMMUv2 context bank window", origin)
    whole = ContextFault(int.from_bytes(raw, "little"))
    status, syndrome = FSR(whole.FSR), FSYNR0(whole.FSYNR0)
    reason, name = _words(dict(status.items()), CONTEXT_FLAGS)
    facts: Facts = rest(status, (*CONTEXT_FLAGS, "MULTI"))
    facts += rest(syndrome, ("WNR", "PNU", "IND"))
    facts += rest(whole, ("FSR", "FAR", "FSYNR0", "IPAFAR", "CBFRSYNRA"))
    who = CBFRSYNRA(whole.CBFRSYNRA)
    return Fault(
        origin,
        "smmuv2",
        iommu=iommu,
        reason=reason,
        name=name,
        code=whole.FSR,
        identifier=who.StreamID if len(raw) == CONTEXT_SIZE else None,
        address=whole.FAR,
        access=_access(syndrome.WNR, syndrome.IND),
        privileged=bool(syndrome.PNU),
        ipa=whole.IPAFAR or None,
        domain=bank,
        lost=bool(status.MULTI),
        facts=facts + rest(who, ("StreamID",)) + _also_instruction(syndrome.WNR, syndrome.IND),
        raw=bytes(raw),
    )


def decode_global(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the fault that the global registers tell; `code` is the GFSR.

    Raises FaultError for another length than 32 bytes.
    """
    check_size(raw, (GLOBAL_SIZE,), "SMMUv2 global window", origin)
    whole = GlobalFault.from_bytes(raw)
    status, syndrome, who = GFSR(whole.GFSR), GFSYNR0(whole.GFSYNR0), GFSYNR1(whole.GFSYNR1)
    reason, name = _words(dict(status.items()), GLOBAL_FLAGS)
    facts: Facts = rest(status, (*GLOBAL_FLAGS, "MULTI"))
    facts += rest(syndrome, ("WNR", "PNU", "IND", "ATS")) + rest(who, ("StreamID",))
    facts += rest(whole, ("GFAR", "GFSR", "GFSYNR0", "GFSYNR1"))
    if syndrome.ATS and syndrome.WNR:
        facts += (("WNR", 1),)
    return Fault(
        origin,
        "smmuv2",
        iommu=iommu,
        reason=reason,
        name=name,
        code=whole.GFSR,
        identifier=who.StreamID,
        address=whole.GFAR,
        access="translation" if syndrome.ATS else _access(syndrome.WNR, syndrome.IND),
        privileged=bool(syndrome.PNU),
        lost=bool(status.MULTI),
        facts=facts + _also_instruction(syndrome.WNR or syndrome.ATS, syndrome.IND),
        raw=bytes(raw),
    )


def encode(**registers: int) -> bytes:
    """Return a context bank's window with these registers of `ContextFault`; without CBFRSYNRA it has 32 bytes.

    Raises ValueError when a value does not fit.
    """
    whole = bytes(ContextFault(**registers))
    return whole if "CBFRSYNRA" in registers else whole[:_BARE]


def encode_global(**registers: int) -> bytes:
    """Return the global window with these registers of `GlobalFault`. Raises ValueError when a value does not fit."""
    return bytes(GlobalFault(**registers))


def _words(fields: dict[str, int], meanings: dict[str, str]) -> tuple[str, str]:
    """Return what the flags that are set mean, and their names."""
    names = [name for name in meanings if fields[name]]
    return "; ".join(meanings[name] for name in names) or "no fault flag is set", " ".join(names)


def _access(write: int, instruction: int) -> Access:
    return "write" if write else "execute" if instruction else "read"


def _also_instruction(other: int, instruction: int) -> Facts:
    """Return the flag that an access of another word leaves untold."""
    return (("IND", 1),) if other and instruction else ()


def _vacant(raw: bytes) -> bool:
    return not any(FSR(ContextFault.from_bytes(raw).FSR).replace(FORMAT=0).value.to_bytes(4, "little"))


def _global_vacant(raw: bytes) -> bool:
    return not GlobalFault.from_bytes(raw).GFSR


def _doubts(raw: bytes) -> str:
    whole = ContextFault(int.from_bytes(raw, "little"))
    status = FSR(whole.FSR)
    if not any(value for name, value in status.items() if name in CONTEXT_FLAGS):
        return "FSR has no fault flag"
    return "reserved bits are set" if status.reserved or FSYNR0(whole.FSYNR0).reserved else ""


def _global_doubts(raw: bytes) -> str:
    whole = GlobalFault.from_bytes(raw)
    status = GFSR(whole.GFSR)
    if not any(value for name, value in status.items() if name in GLOBAL_FLAGS):
        return "GFSR has no fault flag"
    return "reserved bits are set" if status.reserved or GFSYNR0(whole.GFSYNR0).reserved or whole.reserved else ""


_ALL = 2**64 - 1
FORMATS = (
    Format("smmuv2", "context", "SMMUv2 context bank window", CONTEXT_SIZE, decode, _vacant, _doubts, 8, _ALL),
    Format(
        "smmuv2", "global", "SMMUv2 global window", GLOBAL_SIZE, decode_global, _global_vacant, _global_doubts, 0, _ALL
    ),
)
"""The records of this architecture."""
