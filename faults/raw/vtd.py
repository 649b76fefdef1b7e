"""VT-d: fault recording registers, 16 bytes each, and entries of the page request queue, 32 bytes.

Source: VT-d specification 4.1, 11.4.7.6 (fault recording registers), 11.4.7.1 (FSTS), 7.4.1 (page request descriptor).
"""

from __future__ import annotations

from ...base import Origin
from ...iommu.vtd.layout import FRCD, FSTS, IQERCD, PageRequest
from ...iommu.vtd.names import MEANINGS, Reason
from ...iommu.vtd.records import decode_fault
from ..fault import Access, Fault
from .record import Facts, Format, all_zero, check_size, rest

FAULT_SIZE = 16
REQUEST_SIZE = 32
PAGE_REQUEST = 1
"""Type of a page request descriptor."""

_TOLD = ("FI", "SID", "T1", "T2", "FR", "F")


def decode(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the fault in a fault recording register. Raises FaultError for another length than 16 bytes.

    Of the address the register keeps the page; for an interrupt fault `address` is the interrupt index.
    """
    check_size(raw, (FAULT_SIZE,), "VT-d fault record", origin)
    bits, record = FRCD.from_bytes(raw), decode_fault(raw)
    access: Access = "read" if record.type == "read" else "write" if record.type == "write" else "translation"
    access = "atomic" if record.type == "atomic" else access
    if record.index is not None:
        access = "interrupt"
    elif record.address_type == 1:
        access = "translation"
    elif record.execute and record.type == "read":
        access = "execute"
    usual = record.type == "write" if record.index is not None else access in (record.type, "execute")
    more: Facts = () if usual else (("type", record.type),)
    more += (("F", 0),) if not bits.F else ()
    if record.index is not None and (low := bits.FI & 0xFFFF_FFFF_FFFF):
        more += (("FI below the index", low),)
    told = (*_TOLD, "PP", "PV", "PRIV", "EXE") if bits.PP else _TOLD
    if record.execute and access != "execute":
        more += (("EXE", 1),)
    return Fault(
        origin,
        "vtd",
        iommu=iommu,
        reason=record.meaning,
        name=record.name if record.reason in _KNOWN else "",
        code=record.reason,
        identifier=record.source,
        substream=record.pasid,
        address=record.address if record.index is None else record.index,
        address_bits=12 if record.index is None else 0,
        access=access,
        privileged=record.privileged if bits.PP else None,
        facts=(*more, *rest(bits, told)),
        raw=bytes(raw),
    )


def decode_request(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the request in an entry of the page request queue. Raises FaultError for another length than 32 bytes."""
    check_size(raw, (REQUEST_SIZE,), "VT-d page request", origin)
    bits = PageRequest.from_bytes(raw)
    told = ("TYPE", "RID", "ADDR", *(("PP", "PASID", "PRIV") if bits.PP else ()))
    more: Facts = () if bits.TYPE == PAGE_REQUEST else (("TYPE", bits.TYPE),)
    return Fault(
        origin,
        "vtd",
        iommu=iommu,
        reason="the device asks for a page",
        name="page request",
        identifier=bits.RID,
        substream=bits.PASID if bits.PP else None,
        address=bits.ADDR,
        address_bits=12,
        access="translation",
        privileged=bool(bits.PRIV) if bits.PP else None,
        facts=(*more, *rest(bits, told)),
        raw=bytes(raw),
    )


def decode_status(status: int, details: int | None, origin: Origin, iommu: str = "") -> list[Fault]:
    """Return what the fault status register says beside the records.

    Args:
        status: FSTS.
        details: IQERCD; None: not known.
        origin: of the register.
        iommu: name of the unit.
    """
    bits = FSTS(status & 0xFFFFFFFF)
    queue = None if details is None else IQERCD(details & 0xFFFFFFFFFFFFFFFF)
    found = []
    if bits.PFO:
        reason = "faults were lost: the fault recording registers were full"
        found.append(Fault(origin, "vtd", iommu=iommu, reason=reason, name="PFO", lost=True, count=0))
    if bits.IQE:
        facts = (("IQEI", IQERCD.IQEI.show(queue.IQEI)),) if queue else ()
        reason = "the invalidation queue has stopped at a descriptor that is invalid or could not be read"
        found.append(Fault(origin, "vtd", iommu=iommu, reason=reason, name="IQE", facts=facts))
    if bits.ITE:
        reason = "a device did not answer an invalidation of its translation cache in time"
        identifier = queue.ITESID if queue else None
        found.append(Fault(origin, "vtd", iommu=iommu, reason=reason, name="ITE", identifier=identifier))
    if bits.ICE:
        reason = "a device answered an invalidation of its translation cache wrongly"
        identifier = queue.ICESID if queue else None
        found.append(Fault(origin, "vtd", iommu=iommu, reason=reason, name="ICE", identifier=identifier))
    return found


def encode(**fields: int) -> bytes:
    """Return a fault recording register with these fields of `FRCD`. Raises ValueError when one does not fit."""
    return bytes(FRCD(**fields))


def encode_request(**fields: int) -> bytes:
    """Return a page request with these fields of `PageRequest`. Raises ValueError when one does not fit."""
    return bytes(PageRequest(**fields))


_KNOWN = frozenset(int(reason) for reason in MEANINGS if reason not in (Reason.SGN_9, Reason.SGN_10))


def _doubts(raw: bytes) -> str:
    bits = FRCD.from_bytes(raw)
    if bits.FR not in _KNOWN:
        return f"there is no fault reason 0x{bits.FR:02x}"
    return "reserved bits are set" if bits.reserved else ""


def _request_doubts(raw: bytes) -> str:
    bits = PageRequest.from_bytes(raw)
    if bits.TYPE != PAGE_REQUEST:
        return f"its type is {bits.TYPE}, not 1"
    return "reserved bits are set" if bits.reserved else ""


def _vacant(raw: bytes) -> bool:
    return not raw[15] & 0x80


FORMATS = (
    Format("vtd", "fault", "VT-d fault record", FAULT_SIZE, decode, _vacant, _doubts, 0, FRCD.FI.mask),
    Format(
        "vtd",
        "page request",
        "VT-d page request",
        REQUEST_SIZE,
        decode_request,
        all_zero,
        _request_doubts,
        8,
        PageRequest.ADDR.mask >> 64,
    ),
)
"""The records of this architecture."""
