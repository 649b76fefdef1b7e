"""Faults as log records, and back: JSON Lines in the names of OpenTelemetry, and fields of a slogger2 packet.

Both say the same: a fault's facts are attributes `fault.<name>` (docs/faults.md lists them), so that the JSON that
`slog2info` makes of a packet reads back like a line that was written here. Addresses are hexadecimal text, since JSON
numbers lose bits above 2**53; bytes are hexadecimal text as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from ...base import Finding, Origin, printable
from ..fault import Access, Architecture, Clock, Fault
from .losses import Losses
from .summary import device_of_record

Report = Callable[[Finding], None]

ERROR, WARNING = 2, 3
"""Severities of slogger2: of a fault, and of a record that says that others were lost."""

_OTEL = {ERROR: (17, "ERROR"), WARNING: (13, "WARN")}
"""SeverityNumber and SeverityText of OpenTelemetry's logs data model for these."""

MAX_CODE = 0xFFFF
MAX_LINE = 1 << 22
"""Characters of a line that is read."""

MAX_NAME = 255
"""Characters of the name of a buffer that tell it from others."""

MAX_BITS = 128
_ARCHITECTURES: tuple[str, ...] = get_args(Architecture)
_ACCESSES: tuple[str, ...] = get_args(Access)
_CLOCKS: tuple[str, ...] = get_args(Clock)


class PacketFields(NamedTuple):
    """What `SetWriter.log_fields` of the log takes: user code, severity, text, and fields with their types."""

    code: int
    severity: int
    text: str
    fields: dict[str, object]


def sentence(fault: Fault) -> str:
    """Return a fault in one sentence: unit, reason, and who wanted to do what where."""
    words = fault.reason or fault.name or "fault"
    device = device_of_record(fault)
    if not device and fault.identifier is not None:
        device = f"ID 0x{fault.identifier:x}"
    at = "" if fault.address is None else f" at 0x{fault.address:x}"
    what = f"{fault.access}{at}".strip()
    doing = f"{what}{' ' if what else ''}by {device}" if device else what
    name = f" ({fault.name})" if fault.name and fault.name != words else ""
    unit = fault.iommu or fault.driver
    times = f", {fault.count} times" if fault.count > 1 else ""
    return printable(f"{unit + ': ' if unit else ''}{words}{name}{': ' + doing if doing else ''}{times}")


def attributes(fault: Fault) -> dict[str, object]:
    """Return what a fault holds under the names of its attributes; what is not known has none."""
    found: dict[str, object] = {"fault.reason": fault.reason}
    for name, kind in _FIELDS.items():
        value = getattr(fault, name)
        if value not in (None, "", b"", ()) and not (name in _USUAL and value == _USUAL[name]):
            found[f"fault.{name}"] = kind.write(value)
    for name in _PLACE:
        value = getattr(fault.origin, name)
        if value not in (None, ""):
            found[f"fault.origin.{name}"] = value
    return found


def json_line(fault: Fault) -> str:
    """Return a fault as a line of JSON, without a newline; characters beyond ASCII are escaped.

    `Timestamp` is there when the clock counts in UTC; the time of any clock is `fault.time`.
    """
    number, severity = _OTEL[WARNING if fault.lost else ERROR]
    record: dict[str, object] = {}
    if fault.time is not None and fault.clock == "utc":
        record["Timestamp"] = fault.time
    record |= {"SeverityNumber": number, "SeverityText": severity, "Body": sentence(fault)}
    record |= {"Attributes": attributes(fault), "Resource": {"service.name": "iommuman"}}
    return json.dumps(record, separators=(",", ":"))


def to_slog2(fault: Fault) -> PacketFields:
    """Return a fault as a packet of the log: the code of the reason is the user code, when it has at most 16 bits.

    Written with the fault's own time as time of the packet where its clock counts in UTC.
    """
    code = fault.code if fault.code is not None and 0 <= fault.code <= MAX_CODE else 0
    return PacketFields(code, WARNING if fault.lost else ERROR, sentence(fault), attributes(fault))


def from_slog2(fields: Mapping[str, object], origin: Origin, report: Report) -> Fault | None:
    """Return the fault that the fields of a packet hold; None when it is another packet. See `from_attributes`."""
    return from_attributes(fields, origin, report)


def from_json_lines(lines: Iterable[str], source: str, report: Report) -> Iterator[Fault]:
    """Read faults from JSON Lines, as `json_line` or `slog2info --json` wrote them.

    Lines about other things pass by. Lines of `slog2info` that say that packets were lost are notices of a loss.

    Args:
        lines: with or without their newlines.
        source: name of the file.
        report: takes what is wrong: lines that are no JSON objects or too long, and attributes that are left out.
    """
    losses = Losses()
    for number, line in enumerate(lines, 1):
        origin = Origin(source, line=number)
        if len(line) > MAX_LINE:
            report(_finding(origin, f"the line has more than {MAX_LINE:,} characters", "", "it is passed by"))
            continue
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            report(_finding(origin, "the line is no JSON object", "", "it is passed by"))
            continue
        found = record.get("Attributes")
        if not isinstance(found, dict):
            continue
        fault = from_attributes(found, origin, report)
        if fault is not None:
            yield from losses.fault_in(_buffer(record, found))
            yield fault
        elif found.get("slog2.type") == "UNSYNC":
            yield from _lost(record, found, origin, losses)


def _buffer(record: Mapping[str, object], found: Mapping[str, object]) -> str:
    """Return file and name of the buffer that a packet's line is of."""
    resource = record.get("Resource")
    file = resource.get("slog2.file", "") if isinstance(resource, dict) else ""
    return f"{file} {found.get('slog2.buffer', '')}"[:MAX_NAME]


def _lost(record: Mapping[str, object], found: Mapping[str, object], origin: Origin, losses: Losses) -> Iterator[Fault]:
    """Yield the notice of a line that says that packets were lost; one without numbers passes by."""
    try:
        count, time = _whole(found.get("lost")), _whole(record.get("Timestamp"))
    except ValueError:
        return
    monotonic = found.get("slog2.monotonic") is True
    name = str(found.get("slog2.buffer", ""))
    yield from losses.lost_in(_buffer(record, found), name, count, time, origin, monotonic=monotonic)


def from_attributes(found: Mapping[str, object], origin: Origin, report: Report) -> Fault | None:
    """Return the fault of attributes, or None when there is no `fault.reason` among them.

    Args:
        found: names and values, others than those of faults too.
        origin: where they were read; an origin among them comes first.
        report: takes what is wrong: an attribute that is not what it must be is named and left out.
    """
    if "fault.reason" not in found:
        return None
    values: dict[str, Any] = {}
    for name, kind in _FIELDS.items():
        value = found.get(f"fault.{name}")
        if value is None:
            continue
        try:
            values[name] = kind.read(value)
        except (ValueError, TypeError):
            advice = "the attribute is left out"
            report(_finding(origin, f"the attribute is not {kind.words}", f"fault.{name}", advice, value))
    values.setdefault("architecture", "")
    if values.get("time") is None:
        values.pop("clock", None)
    return Fault(origin=_origin(found, origin), **values)


def _origin(found: Mapping[str, object], origin: Origin) -> Origin:
    """Return the origin that attributes tell, or the place where they stand."""
    values: dict[str, Any] = {}
    for name, kind in _PLACE.items():
        value = found.get(f"fault.origin.{name}")
        if isinstance(value, kind) and not isinstance(value, bool) and value != "":
            values[name] = value
    return Origin(values.pop("source", ""), **values) if values else origin


def _finding(origin: Origin, message: str, field: str, advice: str, value: object = None) -> Finding:
    plain = isinstance(value, str | int | float)  # lists and objects can be nested too deeply to be shown
    found = "" if value is None else printable(repr(value)[:80]) if plain else f"a {type(value).__name__}"
    return Finding("FAULT-JSONL", "warning", origin, message, field=field, found=found, advice=advice)


class _Kind(NamedTuple):
    """How a value is written and read, and what it must be; `read` raises ValueError or TypeError."""

    words: str
    write: Callable[[Any], object]
    read: Callable[[Any], object]


def _same(value: Any) -> object:
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << MAX_BITS:
        raise ValueError
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _address(value: Any) -> int:
    text = _text(value)
    if not text.startswith("0x"):
        raise ValueError
    return _whole(int(text, 16) if len(text) <= len("0x") + MAX_BITS // 4 else -1)


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(_text(value))


def _facts(value: Any) -> tuple[tuple[str, str | int], ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_fact(one) for one in value)


def _fact(value: Any) -> tuple[str, str | int]:
    if not isinstance(value, list) or len(value) != len(("name", "value")) or isinstance(value[1], bool):
        raise ValueError
    name, fact = value
    if not isinstance(fact, str | int):
        raise TypeError
    return _text(name), fact


def _one_of(words: tuple[str, ...]) -> _Kind:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return _Kind(f"one of {', '.join(word for word in words if word)}", _same, read)


_TEXT = _Kind("text", _same, _text)
_WHOLE = _Kind(f"a whole number of at most {MAX_BITS} bits", _same, _whole)
_FLAG = _Kind("true or false", _same, _flag)
_ADDRESS = _Kind(f"a hexadecimal number of at most {MAX_BITS} bits, as text", lambda value: f"0x{value:x}", _address)

_FIELDS: dict[str, _Kind] = {
    "architecture": _one_of(_ARCHITECTURES),
    "driver": _TEXT,
    "iommu": _TEXT,
    "reason": _TEXT,
    "name": _TEXT,
    "code": _WHOLE,
    "time": _WHOLE,
    "clock": _one_of(_CLOCKS),
    "segment": _WHOLE,
    "identifier": _WHOLE,
    "substream": _WHOLE,
    "device": _TEXT,
    "address": _ADDRESS,
    "address_bits": _WHOLE,
    "access": _one_of(_ACCESSES),
    "privileged": _FLAG,
    "stage": _WHOLE,
    "ipa": _ADDRESS,
    "domain": _WHOLE,
    "lost": _FLAG,
    "count": _WHOLE,
    "facts": _Kind("a list of names and values", lambda value: [list(fact) for fact in value], _facts),
    "raw": _Kind("bytes in hexadecimal", lambda value: value.hex(), _bytes),
    "text": _TEXT,
    "place": _TEXT,
}

_USUAL: dict[str, object] = {"address_bits": 0, "lost": False, "count": 1}
"""Values that need no attribute."""

_PLACE: dict[str, type] = {"source": str, "part": str, "offset": int, "length": int, "line": int, "column": int}
