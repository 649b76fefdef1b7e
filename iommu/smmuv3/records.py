"""Event records as people work with them, from the 32 bytes that the hardware leaves."""

from __future__ import annotations

from dataclasses import dataclass

from .layout.queues import EVENTS, Event
from .names import MEANINGS, EventNumber, FaultClass


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event (IHI 0070 7.3). A field that this kind of event does not have is None.

    Attributes:
        number: event number; `name` and `meaning` say it in words.
        stream_id: stream ID, 32 bits.
        substream_id: substream ID, None without.
        address: address of the transaction as it arrived; of E_PAGE_REQUEST the page.
        write: the transaction was a write.
        instruction: it was an instruction read, after overrides of the STE.
        privileged: it was privileged, after overrides of the STE.
        stage: stage of translation that failed, 1 or 2.
        during: `CD` while fetching a context descriptor, `TT` a stage 1 descriptor, `IN` for the transaction itself.
        ipa: intermediate physical address of a stage 2 fault, its low 12 bits zero.
        fetch_address: physical address that could not be read, a multiple of 8.
        stag: token for CMD_RESUME if the transaction is stalled.
        reserved: bits that are set but have no meaning.
        raw: the 32 bytes as they were read.
    """

    number: int
    stream_id: int
    substream_id: int | None
    address: int | None
    write: bool | None
    instruction: bool | None
    privileged: bool | None
    stage: int | None
    during: str | None
    ipa: int | None
    fetch_address: int | None
    stag: int | None
    reserved: int
    raw: bytes

    @property
    def name(self) -> str:
        """Name of the event, such as `F_TRANSLATION`; the number in hexadecimal when it is not a known one."""
        try:
            return EventNumber(self.number).name
        except ValueError:
            return f"0x{self.number:02x}"

    @property
    def meaning(self) -> str:
        """What the event means, as a clause."""
        try:
            return MEANINGS[EventNumber(self.number)]
        except ValueError:
            return "event not defined by IHI 0070 G.b"

    def __str__(self) -> str:
        """Say it in one line, such as `stream 0x18 write to 0x11000: no permission (F_PERMISSION, stage 2)`."""
        who = f"stream 0x{self.stream_id:x}"
        if self.substream_id is not None:
            who += f" substream 0x{self.substream_id:x}"
        if self.address is not None:
            kind = "" if self.write is None else " write to" if self.write else " read of"
            who += f"{kind} 0x{self.address:x}"
        stage = "" if self.stage is None else f", stage {self.stage}"
        during = {"CD": " while fetching a CD", "TT": " while walking stage 1"}.get(self.during or "", "")
        return f"{who}: {self.meaning}{during if self.stage == 2 else ''} ({self.name}{stage})"


def decode_event(raw: bytes) -> EventRecord:
    """Return the record in the 32 bytes of an event. Raises ValueError for another length."""
    event = EVENTS.get(raw[0] if raw else 0, Event).from_bytes(raw)
    fields = dict(event.items())
    stage2 = fields.get("S2")
    has_substream = event.SSV or event.Number == EventNumber.C_BAD_SUBSTREAMID
    kind = fields.get("CLASS")
    return EventRecord(
        number=event.Number,
        stream_id=event.StreamID,
        substream_id=event.SubstreamID if has_substream else None,
        address=fields.get("InputAddr"),
        write=_flag(fields, "RnW", wanted=0),
        instruction=_flag(fields, "InD"),
        privileged=_flag(fields, "PnU"),
        stage=None if stage2 is None else 1 + stage2,
        during=FaultClass(kind).name if kind is not None and kind in FaultClass.__members__.values() else None,
        ipa=fields.get("IPA") if stage2 else None,
        fetch_address=fields.get("FetchAddr"),
        stag=fields.get("STAG") if fields.get("Stall") else None,
        reserved=event.reserved,
        raw=bytes(raw),
    )


def _flag(fields: dict[str, int], name: str, wanted: int = 1) -> bool | None:
    value = fields.get(name)
    return None if value is None else value == wanted
