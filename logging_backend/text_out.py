"""The line of `slog2info`: how a packet is printed, column by column.

    Dec 26 00:04:22.278                AdSDK.591851775          NativeAdSDK*     0  5  banner created
    time, 19            set and pid, right in 30        buffer, right in 20, then `*` for a buffer's first packet;
                                                        code, right in 6; with `-s` the severity; the message

The widths are those of the QNX 6.6 tool. A field longer than its width pushes the rest to the right. A message with
newlines goes on in lines without a header, unless its set asks for blanks instead (DISCARD_NEWLINE).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from .names import UNKNOWN_SEVERITY
from .packet import Form, Packet, Stream
from .values import Value, decode_text

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_NEWLINES = re.compile(r"[\r\n]+")
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
_BARE = re.compile(r"[^\s\"={}\x00-\x1f\x7f]+")
_COLOURS = {0: "\x1b[1;31m", 1: "\x1b[1;31m", 2: "\x1b[31m", 3: "\x1b[33m", 4: "\x1b[36m", 6: "\x1b[2m", 7: "\x1b[2m"}
_PLAIN = "\x1b[0m"
_SECOND = 1_000_000_000
_LAST_SECOND = 253402214400  # the last day datetime can say, in any time zone
_CACHED = 4096


@dataclass(frozen=True, slots=True)
class LineStyle:
    r"""How lines are made.

    Attributes:
        severity: with the severity column (`slog2info -s`).
        zone: time zone of the printed time; None for the machine's.
        colour: severities in colour, for terminals.
        escape: show control characters as `\x1b` and the like: a log may hold anything, and a terminal obeys it.
        fields: show key/value pairs after the message, or after its first line.
    """

    severity: bool = False
    zone: tzinfo | None = None
    colour: bool = False
    escape: bool = False
    fields: bool = True


def line_formatter(style: LineStyle) -> Callable[[Packet], str]:
    """Return the function that makes a packet's line, or lines, without a newline at the end."""
    # Packets of one second share its text, and those of one buffer with the same code and severity what is between.
    last_second, last_time = -1, ""
    last_stream: Stream | None = None
    middles: dict[int, str] = {}
    plain = not (style.escape or style.colour)

    def line(packet: Packet) -> str:
        nonlocal last_second, last_time, last_stream
        timestamp, stream, number, severity, code, _, _, form, payload, _ = packet
        second = timestamp // _SECOND
        if second != last_second:
            last_second, last_time = second, _second(second, style.zone)
        if stream is not last_stream or len(middles) >= _CACHED:
            middles.clear()
            last_stream = stream
        middle = middles.get(code << 8 | severity)
        if middle is None or not number:
            first = not number and form < Form.UNSYNC
            middle = _middle(packet, style, first=first)
            if not first:
                middles[code << 8 | severity] = middle
        text = decode_text(payload) if form == Form.TEXT and type(payload) is bytes else packet.text
        head = f"{last_time}.{timestamp // 1_000_000 % 1000:03d}{middle}"
        if plain and form != Form.RICH and not stream.register_flags:
            return head + text
        return _decorated(head, text, packet, style)

    return line


def _decorated(head: str, text: str, packet: Packet, style: LineStyle) -> str:
    """Return the line with what is not wanted of every line: fields, one line only, escapes, colour."""
    if packet.form == Form.RICH and style.fields:
        first, newline, rest = text.partition("\n")
        text = first + format_fields(packet.fields) + newline + rest
    if packet.one_line:
        text = _NEWLINES.sub(" ", text)
    text = head + text
    if style.escape:
        text = text.translate(_CONTROLS)
    colour = _COLOURS.get(packet.severity) if style.colour else None
    return f"{colour}{text}{_PLAIN}" if colour else text


def _middle(packet: Packet, style: LineStyle, *, first: bool) -> str:
    stream = packet.stream
    flag = "*" if first else " "
    text = f" {stream.file_name:>30} {stream.buffer_name:>20}{flag}{packet.code:>6}  "
    if style.severity:
        text += "-  " if packet.severity == UNKNOWN_SEVERITY else f"{packet.severity}  "
    return text


def _second(second: int, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(min(second, _LAST_SECOND), zone or UTC)
    if zone is None:
        moment = moment.astimezone()
    return f"{MONTHS[moment.month - 1]} {moment.day:02d} {moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"


def format_fields(fields: dict[str, Value]) -> str:
    """Return ` key=value` for each field: bare when nothing in it could be misread, else as a JSON string."""
    return "".join(f" {format_value(key)}={format_value(value)}" for key, value in fields.items())


def format_value(value: Value) -> str:
    """Return a value as text: text bare or as a JSON string, bytes in hexadecimal, the rest as JSON has it."""
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value) if isinstance(value, (bool, list, dict)) or value is None else repr(value)
