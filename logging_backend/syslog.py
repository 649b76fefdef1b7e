"""Syslog lines of RFC 5424."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from .names import SYSLOG_SEVERITIES
from .packet import Packet
from .text_out import format_value

_NAME = re.compile(r"[^\x21-\x7e]")
_PARAM_NAME = re.compile(r"[^\x21-\x7e]|[=\]\"]")
_PARAM_VALUE = re.compile(r"([\\\"\]])")
_LAST_SECOND = 253402300799
_ENTERPRISE = "slog2@32473"
"""32473 is the number RFC 5612 sets aside for documentation; the project has none of its own."""


def syslog_line(packet: Packet, host: str = "-", facility: int = 16) -> str:
    """Return the packet as an RFC 5424 message, without framing.

    `facility` is 0 to 23, 16 is local0. Severities go by meaning (`SYSLOG_SEVERITIES`); one not known counts as
    informational. Buffer, code and fields are structured data (a field with the name of one of the two has `field.` in
    front); the message is UTF-8 and keeps its newlines.
    """
    severity = SYSLOG_SEVERITIES[packet.severity] if packet.severity < len(SYSLOG_SEVERITIES) else 6
    second, rest = divmod(packet.timestamp, 1_000_000_000)
    moment = datetime.fromtimestamp(min(second, _LAST_SECOND), UTC)
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
    stream = packet.stream
    own = {"buffer": stream.buffer_name, "code": str(packet.code)}
    parameters = list(own.items())
    for key, value in packet.fields.items():
        name = _PARAM_NAME.sub("_", key)[:32] or "_"
        text = value if isinstance(value, str) else format_value(value)
        parameters.append((f"field.{name}" if name in own else name, text))
    data = "".join(f' {name}="{_PARAM_VALUE.sub(_escape, text)}"' for name, text in parameters)
    where = f"{_word(host, 255)} {_word(stream.set_name, 48)} {stream.owner_pid or '-'}"
    head = f"<{facility * 8 + severity}>1 {stamp} {where} {_word(str(packet.code), 32)}"
    return f"{head} [{_ENTERPRISE}{data}] {packet.text}"


def _escape(match: re.Match[str]) -> str:
    return "\\" + match[1]


def _word(text: str, size: int) -> str:
    return _NAME.sub("_", text)[:size] or "-"
