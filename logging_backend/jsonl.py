"""JSON Lines in the names of OpenTelemetry's logs data model, one flat object a packet.

`Timestamp` is nanoseconds since the epoch, `SeverityNumber` 1 to 24. Names of attributes follow OpenTelemetry where it
has one (`process.pid`, `thread.id`) and begin with `slog2.` where it has none. Fields of the packet stand among the
attributes under their own names, with their own types.
"""

from __future__ import annotations

import base64
import json
import math

from .names import OTEL_SEVERITY_NUMBERS, severity_name
from .packet import Packet
from .values import Value


def to_otel(packet: Packet) -> dict[str, object]:
    """Return the log record of a packet as a dictionary that `json.dumps` takes.

    Bytes become base64 text, infinities and not-a-number their names; whole numbers stay whole at any size.
    """
    stream, severity = packet.stream, packet.severity
    attributes: dict[str, object] = {
        "slog2.buffer": stream.buffer_name,
        "slog2.code": packet.code,
        "slog2.number": packet.number,
        "slog2.sequence": packet.sequence_number,
        "slog2.type": packet.data_type.name,
        "thread.id": packet.thread_id,
    }
    if stream.monotonic:
        attributes["slog2.monotonic"] = True
    for key, value in packet.fields.items():
        attributes[f"field.{key}" if key in attributes else key] = _plain(value)
    record: dict[str, object] = {"Timestamp": packet.timestamp}
    if severity < len(OTEL_SEVERITY_NUMBERS):
        record |= {"SeverityNumber": OTEL_SEVERITY_NUMBERS[severity], "SeverityText": severity_name(severity)}
    resource = {"service.name": stream.set_name, "process.pid": stream.owner_pid, "slog2.file": stream.file_name}
    return record | {"Body": packet.text, "Attributes": attributes, "Resource": resource}


def json_line(packet: Packet) -> str:
    """Return the packet's line, without a newline; characters beyond ASCII are escaped, so any text survives."""
    return json.dumps(to_otel(packet), separators=(",", ":"))


def _plain(value: Value) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
