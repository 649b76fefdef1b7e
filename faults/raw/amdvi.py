"""AMD-Vi: entries of the event log and of the peripheral page request log, 16 bytes each.

Source: AMD 48882 rev 3.x, 2.5 (event logging), 2.6 (peripheral page request logging).
"""

from __future__ import annotations

from dataclasses import replace

from ...base import Origin
from ...iommu.amdvi.layout.queues import EVENTS, Event, GuestIoPageFault, PageRequest
from ...iommu.amdvi.names import MEANINGS, EventCode
from ...iommu.amdvi.records import AccessType, decode_event, event_bits
from ..fault import Fault
from .record import Facts, Format, all_zero, check_size, rest

SIZE = 16
PAGE_REQUEST = 1
"""Type of a page request."""

_CODE, _FLAGS = 60, 48
_SPOKEN: dict[AccessType | None, tuple[str, ...]] = {
    "interrupt": ("I",),
    "translation": ("TR",),
    "write": ("RW",),
    "execute": ("NX",),
}
"""Flags that say no more than what was tried."""

_PHYSICAL = ("TableAddress", "CommandAddress", "SPA")


def decode(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the fault in an entry of the event log. Raises FaultError for another length than 16 bytes.

    `address` is what the device accessed; addresses of table entries and commands are in the facts.
    """
    check_size(raw, (SIZE,), "AMD-Vi event", origin)
    event, record = event_bits(raw), decode_event(raw)
    fields = dict(event.items())
    guest = bool(fields.get("GN"))
    told = ["EventCode", "DeviceID", "Address", "GPA", "DomainID", "PASID"]
    if guest:
        told.append("PASID_19_16")
    privileged = not fields["US"] if guest and "US" in fields else None
    if privileged is not None:
        told.append("US")
    return Fault(
        origin,
        "amdvi",
        iommu=iommu,
        reason=record.meaning,
        name=record.name if record.code in MEANINGS else "",
        code=record.code,
        identifier=record.device,
        substream=record.pasid,
        address=record.address,
        access=record.type or "",
        privileged=privileged,
        domain=record.domain,
        facts=rest(event, (*told, *_SPOKEN.get(record.type, ()))),
        raw=bytes(raw),
    )


def decode_printed(name: str, flags: int, origin: Origin) -> tuple[Fault, str]:
    """Return the fault of an event by its name and flags, and where its address is none of a device, that field.

    What the event has beside these is 0 in it, if the event has it at all. With a name that is none of an event there
    is no code.

    Args:
        name: as in `EventCode`.
        flags: bits 59:48 of the event.
        origin: where they are.
    """
    if name not in EventCode.__members__:
        return replace(decode(bytes(SIZE), origin), code=None, raw=b""), ""
    code = EventCode[name]
    told = decode((code << _CODE | flags << _FLAGS).to_bytes(SIZE, "little"), origin)
    fields = EVENTS.get(code, Event).fields
    return replace(told, raw=b""), next((field.name for field in fields if field.name in _PHYSICAL), "")


def decode_request(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the request in an entry of the page request log. Raises FaultError for another length than 16 bytes."""
    check_size(raw, (SIZE,), "AMD-Vi page request", origin)
    bits = PageRequest.from_bytes(raw)
    more: Facts = () if bits.Type == PAGE_REQUEST else (("Type", bits.Type),)
    return Fault(
        origin,
        "amdvi",
        iommu=iommu,
        reason="the device asks for a page",
        name="page request",
        identifier=bits.DeviceID,
        substream=bits.PASID if bits.GN else None,
        address=bits.Address,
        address_bits=12,
        access="translation",
        privileged=not bits.US,
        facts=(*more, *rest(bits, ("DeviceID", "Type", "Address", "US", "GN", *(("PASID",) if bits.GN else ())))),
        raw=bytes(raw),
    )


def encode(**fields: int) -> bytes:
    """Return an event with these fields of the class that its EventCode and GN have.

    Raises ValueError when one does not fit.
    """
    code = fields.get("EventCode", 0)
    layout = EVENTS.get(code, Event)
    if code == EventCode.IO_PAGE_FAULT and fields.get("GN"):
        layout = GuestIoPageFault
    return bytes(layout(**fields))


def encode_request(**fields: int) -> bytes:
    """Return a page request with these fields of `PageRequest`. Raises ValueError when one does not fit."""
    return bytes(PageRequest(**fields))


def _doubts(raw: bytes) -> str:
    event = event_bits(raw)
    if event.EventCode not in MEANINGS:
        return f"there is no event code 0x{event.EventCode:x}"
    return "reserved bits are set" if event.EventCode in EVENTS and event.reserved else ""


def _request_doubts(raw: bytes) -> str:
    bits = PageRequest.from_bytes(raw)
    if bits.Type != PAGE_REQUEST:
        return f"its type is {bits.Type}, not 1"
    if bits.reserved:
        return "reserved bits are set"
    return "" if bits.READ or bits.WRITE or bits.EXEC else "it asks for no access"


FORMATS = (
    Format("amdvi", "fault", "AMD-Vi event", SIZE, decode, all_zero, _doubts, 8, 2**64 - 1),
    Format(
        "amdvi",
        "page request",
        "AMD-Vi page request",
        SIZE,
        decode_request,
        all_zero,
        _request_doubts,
        8,
        PageRequest.Address.mask >> 64,
    ),
)
"""The records of this architecture."""
