"""A sink for loguru: `logger.add(slog2_sink(writer), format="")`.

loguru stays the front door of a program: levels, `bind`, `contextualize`, `patch` and `enqueue` work as they do for any
sink. The record itself is packed, not its formatted line: the time is the record's, the level becomes a severity,
`extra` becomes fields, and `extra["code"]` the packet's code. Any format will do, but loguru formats each record for
each sink whether the sink wants it or not, and the empty one is the cheapest.

loguru itself is not imported here.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from .names import MAX_CODE, severity_from_level
from .writer import SetWriter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Message(Protocol):
    """What loguru gives a sink: a text that carries its record."""

    @property
    def record(self) -> Mapping[str, Any]:
        """The record."""


def slog2_sink(writer: SetWriter, buffer: int = 0, *, source: bool = False) -> Callable[[Message], None]:
    """Return a sink that stores records into one buffer of a set.

    With `source` the fields also tell `logger`, `function` and `line`. A failed store is counted in `writer.failures`
    and never disturbs the program.
    """

    def sink(message: Message) -> None:
        record = message.record
        text: str = record["message"]
        if record["exception"] is not None:
            text += _exception(record["exception"], text, str(message))
        when = _nanoseconds(record["time"])
        severity = severity_from_level(record["level"].no)
        fields = record["extra"]
        if not (fields or source):
            writer.log(buffer, 0, severity, text, when)
            return
        fields = dict(fields)
        code = fields.pop("code", 0)
        if not (isinstance(code, int) and 0 <= code <= MAX_CODE):
            fields["code"], code = code, 0
        if source:
            fields |= {"logger": record["name"], "function": record["function"], "line": record["line"]}
        if fields:
            writer.log_fields(buffer, code, severity, text, fields, when)
        else:
            writer.log(buffer, code, severity, text, when)

    return sink


def _nanoseconds(moment: datetime) -> int:
    """Return nanoseconds since the epoch, to the microsecond; a time without a zone, which a patch may give, is local.

    In integers, since a float is exact only until 2106, and its making is dearer besides.
    """
    try:
        since = moment - _EPOCH
    except TypeError:
        since = moment.astimezone() - _EPOCH
    return ((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _exception(exception: Any, text: str, formatted: str) -> str:
    """Return the whole traceback, with a newline in front.

    With `enqueue=True` loguru hands over the exception without its traceback; the text it formatted has it, behind the
    message when the format ends with that.
    """
    if exception.traceback is None and exception.type is not None:
        _, found, rest = formatted.partition(f"{text}\n")
        rest = rest if found else formatted
        if exception.type.__name__ in rest:
            return "\n" + rest.strip("\n")
    lines = traceback.format_exception(exception.type, exception.value, exception.traceback)
    return "\n" + "".join(lines).rstrip("\n")
