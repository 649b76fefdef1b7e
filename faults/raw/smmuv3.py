"""SMMUv3: entries of the event queue, 32 bytes each, and of the PRI queue, 16 bytes.

Source: Arm IHI 0070 G.b, 7.3 (event records), 8.1 (PRI queue).
"""

from __future__ import annotations

from ...base import Origin
from ...iommu.smmuv3.layout.queues import EVENTS, Event, PageRequest
from ...iommu.smmuv3.names import EventNumber
from ...iommu.smmuv3.records import EventRecord, decode_event
from ..fault import Access, Fault
from .record import Facts, Format, all_zero, check_size, rest

EVENT_SIZE = 32
REQUEST_SIZE = 16
_OWN = (0xE0, 0xEF)
"""Numbers of events that implementations define."""

_DURING = {"CD": "context descriptor fetch", "TT": "stage 1 table walk", "IN": "the transaction itself"}
_TRANSLATION = (EventNumber.F_BAD_ATS_TREQ, EventNumber.E_PAGE_REQUEST)
_TOLD = ("Number", "SSV", "StreamID", "PnU", "InD", "RnW", "S2", "CLASS", "InputAddr")


def decode(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the fault in an event. Raises FaultError for another length than 32 bytes."""
    check_size(raw, (EVENT_SIZE,), "SMMUv3 event", origin)
    record = decode_event(raw)
    event = EVENTS.get(raw[0], Event).from_bytes(raw)
    has_class = any(field.name == "CLASS" for field in event.fields)
    more: Facts = (("during", _DURING.get(record.during or "", "reserved class 3")),) if has_class else ()
    told = _TOLD if record.substream_id is None else (*_TOLD, "SubstreamID")
    told = told if record.ipa is None else (*told, "IPA")
    known = raw[0] in EventNumber.__members__.values()
    meaning = record.meaning if known or not _OWN[0] <= raw[0] <= _OWN[1] else "event that the implementation defines"
    if record.instruction and record.write:
        more += (("InD", 1),)
    return Fault(
        origin,
        "smmuv3",
        iommu=iommu,
        reason=meaning,
        name=record.name if known else "",
        code=record.number,
        identifier=record.stream_id,
        substream=record.substream_id,
        address=record.address,
        address_bits=12 if record.number == EventNumber.E_PAGE_REQUEST else 0,
        access=_access(record),
        privileged=record.privileged,
        stage=record.stage,
        ipa=record.ipa,
        facts=(*more, *rest(event, told)),
        raw=bytes(raw),
    )


def _access(record: EventRecord) -> Access:
    if record.number in _TRANSLATION:
        return "translation"
    if record.write is None:
        return ""
    return "write" if record.write else "execute" if record.instruction else "read"


def decode_request(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the request in an entry of the PRI queue. Raises FaultError for another length than 16 bytes."""
    check_size(raw, (REQUEST_SIZE,), "SMMUv3 page request", origin)
    bits = PageRequest.from_bytes(raw)
    return Fault(
        origin,
        "smmuv3",
        iommu=iommu,
        reason="the device asks for a page",
        name="page request",
        identifier=bits.StreamID,
        substream=bits.SubstreamID if bits.SSV else None,
        address=bits.Addr,
        address_bits=12,
        access="translation",
        privileged=bool(bits.Priv),
        facts=rest(bits, ("StreamID", "SSV", "Priv", "Addr", *(("SubstreamID",) if bits.SSV else ()))),
        raw=bytes(raw),
    )


def encode(**fields: int) -> bytes:
    """Return an event with these fields of the class that its Number has. Raises ValueError when one does not fit."""
    return bytes(EVENTS.get(fields.get("Number", 0), Event)(**fields))


def encode_request(**fields: int) -> bytes:
    """Return a page request with these fields of `PageRequest`. Raises ValueError when one does not fit."""
    return bytes(PageRequest(**fields))


def _doubts(raw: bytes) -> str:
    if raw[0] not in EventNumber.__members__.values() and not _OWN[0] <= raw[0] <= _OWN[1]:
        return f"there is no event 0x{raw[0]:02x}"
    return "reserved bits are set" if raw[0] in EVENTS and EVENTS[raw[0]].from_bytes(raw).reserved else ""


def _request_doubts(raw: bytes) -> str:
    bits = PageRequest.from_bytes(raw)
    if bits.reserved:
        return "reserved bits are set"
    if bits.SubstreamID and not bits.SSV:
        return "it has a substream ID, and SSV is clear"
    return "" if bits.R or bits.W or bits.X or bits.Last else "it asks for no access"


FORMATS = (
    Format(
        "smmuv3", "fault", "SMMUv3 event", EVENT_SIZE, decode, all_zero, _doubts, 16, 2**64 - 1, 24, 0xFFFFFFFFFFF000
    ),
    Format(
        "smmuv3",
        "page request",
        "SMMUv3 page request",
        REQUEST_SIZE,
        decode_request,
        all_zero,
        _request_doubts,
        8,
        PageRequest.Addr.mask >> 64,
    ),
)
"""The records of this architecture."""
