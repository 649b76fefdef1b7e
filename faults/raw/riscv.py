"""RISC-V IOMMU: entries of the fault queue, 32 bytes each, and of the page-request queue, 16 bytes.

Source: RISC-V IOMMU architecture specification 1.0, 3.2 and 3.3.
"""

from __future__ import annotations

from ...base import Origin
from ...iommu.riscv.layout.queues import FaultRecord, PageRequest
from ...iommu.riscv.names import CAUSES, FIRST_STAGE_CAUSES, SECOND_STAGE_CAUSES, TTYPS, TransactionType, cause_words
from ..fault import Access, Fault
from .record import Facts, Format, all_zero, check_size, rest

FAULT_SIZE = 32
REQUEST_SIZE = 16
_ACCESS: dict[int, Access] = {
    1: "execute",
    2: "read",
    3: "write",
    5: "execute",
    6: "read",
    7: "write",
    8: "translation",
}
_CAUSE_ACCESS: dict[int, Access] = {
    **dict.fromkeys((1, 12, 20), "execute"),
    **dict.fromkeys((4, 5, 13, 21), "read"),
    **dict.fromkeys((6, 7, 15, 23), "write"),
}
"""What was tried, by the causes that say so: for sources that do not tell the transaction type."""
_OF_THE_UNIT = frozenset({273})
"""Causes of which no device's transaction is the reason, so that iotval is no address of one."""
_IMPLICIT = ("the write of an implicit access", "implicit access")
"""Bits 1 and 0 of iotval2 in guest page faults."""


def decode(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the fault in an entry of the fault queue. Raises FaultError for another length than 32 bytes."""
    check_size(raw, (FAULT_SIZE,), "RISC-V IOMMU fault record", origin)
    bits = FaultRecord.from_bytes(raw)
    guest = bits.CAUSE in SECOND_STAGE_CAUSES
    told = ["CAUSE", "TTYP", "PV"]
    more: Facts = (("TTYP", f"{bits.TTYP} ({TTYPS.get(bits.TTYP, 'reserved')})"),) if bits.TTYP else ()
    if bits.TTYP:
        told.append("DID")
    if bits.TTYP in _ACCESS:
        told.append("iotval")
    elif bits.TTYP == TransactionType.MESSAGE:
        told.append("iotval")
        more += (("message code", bits.iotval),)
    if bits.PV:
        told += ["PID", "PRIV"]
    if guest:
        told.append("iotval2")
        more += _implicit(bits.iotval2)
    return Fault(
        origin,
        "riscv-iommu",
        iommu=iommu,
        reason=cause_words(bits.CAUSE),
        code=bits.CAUSE,
        identifier=bits.DID if bits.TTYP else None,
        substream=bits.PID if bits.PV else None,
        address=bits.iotval if bits.TTYP in _ACCESS else None,
        access=_ACCESS.get(bits.TTYP, ""),
        privileged=bool(bits.PRIV) if bits.PV else None,
        stage=1 if bits.CAUSE in FIRST_STAGE_CAUSES else 2 if guest else None,
        ipa=bits.iotval2 & ~3 if guest else None,
        facts=(*more, *rest(bits, told)),
        raw=bytes(raw),
    )


def decode_printed(
    cause: int,
    device: int | None,
    address: int | None,
    second: int | None,
    origin: Origin,
    iommu: str = "",
    process: int | None = None,
) -> Fault:
    """Return the fault of the fields that Linux prints; as TTYP is none, only the cause tells what was tried.

    Args:
        cause: CAUSE.
        device: DID; like the others None where it is not known.
        address: iotval.
        second: iotval2.
        origin: of the fields.
        iommu: name of the unit.
        process: PID; None also when there is none.
    """
    alone, guest = cause in _OF_THE_UNIT, cause in SECOND_STAGE_CAUSES
    facts: Facts = (("iotval", address),) if alone and address else ()
    if second:
        facts += _implicit(second) if guest else (("iotval2", second),)
    return Fault(
        origin,
        "riscv-iommu",
        iommu=iommu,
        reason=cause_words(cause),
        code=cause,
        identifier=None if alone else device,
        substream=process,
        address=None if alone else address,
        access=_CAUSE_ACCESS.get(cause, ""),
        stage=1 if cause in FIRST_STAGE_CAUSES else 2 if guest else None,
        ipa=second & ~3 if second is not None and guest else None,
        facts=facts,
    )


def _implicit(second: int) -> Facts:
    """Return what the low bits of iotval2 say of a guest page fault."""
    return tuple((name, 1) for name, bit in zip(_IMPLICIT, (2, 1), strict=True) if second & bit)


def decode_request(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the request in an entry of the page-request queue. Raises FaultError for another length than 16 bytes."""
    check_size(raw, (REQUEST_SIZE,), "RISC-V IOMMU page request", origin)
    bits = PageRequest.from_bytes(raw)
    stop = bits.L and not bits.R and not bits.W
    return Fault(
        origin,
        "riscv-iommu",
        iommu=iommu,
        reason="the device stops using a process ID" if stop else "the device asks for a page",
        name="stop marker" if stop else "page request",
        identifier=bits.DID,
        substream=bits.PID if bits.PV else None,
        address=bits.ADDR,
        address_bits=12,
        access="translation",
        privileged=bool(bits.PRIV) if bits.PV else None,
        facts=rest(bits, ("DID", "PV", "ADDR", *(("PID", "PRIV") if bits.PV else ()))),
        raw=bytes(raw),
    )


def encode(**fields: int) -> bytes:
    """Return a fault record with these fields of `FaultRecord`. Raises ValueError when one does not fit."""
    return bytes(FaultRecord(**fields))


def encode_request(**fields: int) -> bytes:
    """Return a page request with these fields of `PageRequest`. Raises ValueError when one does not fit."""
    return bytes(PageRequest(**fields))


def _doubts(raw: bytes) -> str:
    bits = FaultRecord.from_bytes(raw)
    if bits.CAUSE not in CAUSES:
        return f"there is no cause {bits.CAUSE}"
    if bits.TTYP and bits.TTYP not in TTYPS:
        return f"there is no transaction type {bits.TTYP}"
    if not bits.PV and (bits.PID or bits.PRIV):
        return "it has a process ID, and PV is clear"
    if not bits.TTYP and (bits.DID or bits.PV):
        return "it has a device ID and no transaction type"
    return "reserved bits are set" if bits.reserved or bits.custom else ""


def _request_doubts(raw: bytes) -> str:
    bits = PageRequest.from_bytes(raw)
    if bits.reserved:
        return "reserved bits are set"
    if not bits.PV and (bits.PID or bits.PRIV or bits.EXEC):
        return "it has a process ID, and PV is clear"
    return "" if bits.R or bits.W or bits.L else "it asks for no access"


_ALL = 2**64 - 1
FORMATS = (
    Format(
        "riscv-iommu",
        "fault",
        "RISC-V IOMMU fault record",
        FAULT_SIZE,
        decode,
        all_zero,
        _doubts,
        16,
        _ALL,
        24,
        _ALL & ~3,
    ),
    Format(
        "riscv-iommu",
        "page request",
        "RISC-V IOMMU page request",
        REQUEST_SIZE,
        decode_request,
        all_zero,
        _request_doubts,
        8,
        PageRequest.ADDR.mask >> 64,
    ),
)
"""The records of this architecture."""
