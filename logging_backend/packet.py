"""A packet as readers see it, and the buffer it came from.

`Packet` is a named tuple rather than a dataclass: a reader makes a million a second, and a frozen dataclass takes six
times as long to make. Text is made when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .names import DataType, PacketFlag, RegisterFlag
from .printf import render
from .schema import Schema
from .values import Value, decode_deferred, decode_text, rich_fields, rich_text


@dataclass(frozen=True, slots=True)
class Stream:
    """One buffer of one set, as the origin of packets.

    Attributes:
        file_name: `<set>.<pid>`, and `..<n>` for a further instance.
        set_name: name of the set.
        owner_pid: process that writes or wrote it.
        buffer_name: name of the buffer; may be empty.
        register_flags: see `RegisterFlag`.
        monotonic: times are of the monotonic clock.
    """

    file_name: str
    set_name: str
    owner_pid: int
    buffer_name: str
    register_flags: int = 0
    monotonic: bool = False


_DISCARD_NEWLINE = int(RegisterFlag.DISCARD_NEWLINE)


class Form:
    """What `Packet.payload` holds: `Packet.form` is one of these numbers."""

    TEXT = 1
    RICH = 2
    DEFERRED = 3
    RECORD = 4
    STRING = 5
    UNSYNC = 6
    ONLINE = 7


Payload = bytes | str | int | tuple[Schema, tuple[int | float | bool, ...]]


class Packet(NamedTuple):
    """One packet (`slog2_packet_info_t` with its payload).

    Attributes:
        timestamp: nanoseconds since the epoch, or of the monotonic clock when `flags` says so.
        stream: set and buffer.
        number: place in its buffer, counted from 0 when the set was made, over all that was overwritten.
        severity: 0 to 7, or `UNKNOWN_SEVERITY`.
        code: 16 bits of the program's own.
        thread_id: thread that wrote it; 0 when not known.
        sequence_number: 16 bits, rising through all buffers of the set, starting over after 65535.
        form: see `Form`.
        payload: stored form of the text; use `text` and `fields`.
        cut: the text was too long for its ring, and this is its beginning.
    """

    timestamp: int
    stream: Stream
    number: int
    severity: int
    code: int
    thread_id: int
    sequence_number: int
    form: int
    payload: Payload
    cut: bool = False

    @property
    def text(self) -> str:
        """The message, without its fields."""
        payload, form = self.payload, self.form
        if isinstance(payload, bytes):
            if form == Form.TEXT:
                return decode_text(payload)
            return rich_text(payload) if form == Form.RICH else render(*decode_deferred(payload))
        if isinstance(payload, tuple):
            return render(payload[0].text, payload[1])
        if form == Form.UNSYNC:
            return f"-----UNSYNC----- {payload} lost"
        return str(payload)

    @property
    def fields(self) -> dict[str, Value]:
        """Typed key/value pairs: those stored beside the text, or the named values of a burst's record."""
        payload = self.payload
        if isinstance(payload, tuple):
            return dict(zip(payload[0].names, payload[1], strict=False))
        if self.form == Form.RICH and isinstance(payload, bytes):
            return rich_fields(payload)
        return {"lost": self.lost} if self.form == Form.UNSYNC else {}

    @property
    def data_type(self) -> DataType:
        """Whether this is a packet of the program, or the reader's word on something lost or new."""
        if self.form < Form.UNSYNC:
            return DataType.ASCII_STRING
        return DataType.UNSYNC if self.form == Form.UNSYNC else DataType.ONLINE

    @property
    def lost(self) -> int:
        """How many packets were lost here: not 0 only for UNSYNC."""
        return self.payload if self.form == Form.UNSYNC and isinstance(self.payload, int) else 0

    @property
    def flags(self) -> PacketFlag:
        """FIRSTPACKET for the first packet ever of its buffer, MONOTONIC when the time is not the time of day."""
        first = PacketFlag.FIRSTPACKET if self.number == 0 and self.form < Form.UNSYNC else PacketFlag(0)
        return first | (PacketFlag.MONOTONIC if self.stream.monotonic else PacketFlag(0))

    @property
    def one_line(self) -> bool:
        """Whether the register flags ask for newlines to be shown as blanks."""
        return bool(self.stream.register_flags & _DISCARD_NEWLINE)


def online(stream: Stream, timestamp: int) -> Packet:
    """Return the packet that says a buffer appeared: empty buffer name, code 0, severity 0, as slog2info prints it."""
    unnamed = Stream(stream.file_name, stream.set_name, stream.owner_pid, "", stream.register_flags, stream.monotonic)
    return Packet(timestamp, unnamed, 0, 0, 0, 0, 0, Form.ONLINE, "-----ONLINE-----")


def unsync(stream: Stream, timestamp: int, number: int, lost: int) -> Packet:
    """Return the packet that says `lost` packets from `number` on were overwritten or damaged before they were read."""
    return Packet(timestamp, stream, number, 0, 0, 0, 0, Form.UNSYNC, lost)
