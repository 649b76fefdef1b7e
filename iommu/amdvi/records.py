"""Events as people work with them, from the 16 bytes that the hardware leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...base import format_rid
from .layout.queues import EVENTS, Event, GuestIoPageFault
from .names import MEANINGS, EventCode

AccessType = Literal["read", "write", "execute", "interrupt", "translation"]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event (AMD 48882 2.5). What this kind of event does not have is None.

    Attributes:
        code: event code; `name` and `meaning` say it in words.
        device: device ID.
        domain: domain ID.
        pasid: PASID of an access to a guest address.
        address: address of the access, as the device sent it.
        place: physical address of the table entry or the command that the event is about.
        type: what the device tried.
        present: the page-table or interrupt entry was present.
        permission: what was wrong is permission.
        reserved: a reserved bit was set in a table.
        raw: the 16 bytes as they were read.
    """

    code: int
    device: int | None
    domain: int | None
    pasid: int | None
    address: int | None
    place: int | None
    type: AccessType | None
    present: bool | None
    permission: bool | None
    reserved: bool | None
    raw: bytes

    @property
    def name(self) -> str:
        """Name of the event, such as `IO_PAGE_FAULT`; the number in hexadecimal when it is not a known one."""
        return EventCode(self.code).name if self.code in MEANINGS else f"0x{self.code:x}"

    @property
    def meaning(self) -> str:
        """What the event means, as a clause; of an IO_PAGE_FAULT, what its flags add."""
        if self.code not in MEANINGS:
            return "event not defined by AMD 48882"
        if self.code != EventCode.IO_PAGE_FAULT:
            return MEANINGS[EventCode(self.code)]
        if not self.present:
            return (
                "the interrupt remapping entry is not present"
                if self.type == "interrupt"
                else "the address is not mapped"
            )
        if self.reserved:
            return "a reserved bit is set in a table entry"
        if self.permission:
            return f"no permission to {self.type}" if self.type in ("read", "write", "execute") else "no permission"
        return "a table entry has an invalid level, or the address is beyond the table"

    def __str__(self) -> str:
        """Say it in one line, such as `00:03.0 write of 0x99000: the address is not mapped (IO_PAGE_FAULT)`."""
        who = "" if self.device is None else format_rid(self.device)
        what = "" if self.address is None else f"{self.type or 'access'} of 0x{self.address:x}"
        where = "" if self.place is None else f"at 0x{self.place:x}"
        told = " ".join(part for part in (who, what, where) if part)
        return f"{told}: {self.meaning} ({self.name})" if told else f"{self.meaning} ({self.name})"


def event_bits(raw: bytes) -> Event:
    """Return an entry of the event log as the class that its code and GN ask for. Raises ValueError for its length."""
    event = Event.from_bytes(raw)
    layout = EVENTS.get(event.EventCode, Event)
    if event.EventCode == EventCode.IO_PAGE_FAULT and event.value & GuestIoPageFault.GN.mask:
        layout = GuestIoPageFault
    return layout(event.value)


def decode_event(raw: bytes) -> EventRecord:
    """Return the record in the 16 bytes of an event. Raises ValueError for another length."""
    event = event_bits(raw)
    fields = dict(event.items())
    guest = bool(fields.get("GN"))
    domain, pasid = fields.get("DomainID"), fields.get("PASID")
    if guest and domain is not None:
        pasid = fields["PASID_19_16"] << 16 | domain
        domain = None
    return EventRecord(
        code=event.EventCode,
        device=fields.get("DeviceID"),
        domain=domain,
        pasid=pasid if guest or pasid else None,
        address=fields.get("Address", fields.get("GPA")),
        place=fields.get("TableAddress", fields.get("CommandAddress", fields.get("SPA"))),
        type=_type(fields),
        present=_flag(fields, "PR"),
        permission=_flag(fields, "PE"),
        reserved=_flag(fields, "RZ"),
        raw=bytes(raw),
    )


def _type(fields: dict[str, int]) -> AccessType | None:
    if fields.get("I"):
        return "interrupt"
    if fields.get("TR"):
        return "translation"
    if "RW" not in fields:
        return None
    return "write" if fields["RW"] else "execute" if fields.get("NX") else "read"


def _flag(fields: dict[str, int], name: str) -> bool | None:
    return bool(fields[name]) if name in fields else None
