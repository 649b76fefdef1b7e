"""A handler for the standard library's `logging` that stores into a buffer set."""

from __future__ import annotations

import logging

from .names import MAX_CODE, severity_from_level
from .writer import SetWriter

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = logging.Formatter()


class Slog2Handler(logging.Handler):
    """Stores log records into one buffer of a set.

    What a call passes as `extra` becomes fields; an `extra` named `code` the packet's code. Tracebacks and stacks are
    kept whole. A formatter, when one is set, makes the text; otherwise the text is the message alone. A failed store is
    counted in `writer.failures`.
    """

    def __init__(self, writer: SetWriter, buffer: int = 0, level: int = logging.NOTSET) -> None:
        """Store into buffer number `buffer` of a registered set."""
        super().__init__(level)
        self._writer = writer
        self._buffer = buffer

    def emit(self, record: logging.LogRecord) -> None:
        """Store one record; a message that cannot be formatted goes to `handleError`, as in every handler."""
        try:
            text = self._text(record)
        except Exception:  # noqa: BLE001 - a message's arguments are anybody's objects
            self.handleError(record)
            return
        fields = {key: value for key, value in vars(record).items() if key not in _OWN}
        code = fields.pop("code", 0)
        if not (isinstance(code, int) and 0 <= code <= MAX_CODE):
            fields["code"], code = code, 0
        when = int(record.created * 1_000_000) * 1000
        severity = severity_from_level(record.levelno)
        if fields:
            self._writer.log_fields(self._buffer, code, severity, text, fields, when)
        else:
            self._writer.log(self._buffer, code, severity, text, when)

    def _text(self, record: logging.LogRecord) -> str:
        if self.formatter is not None:
            return self.format(record)
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + _PLAIN.formatException(record.exc_info)
        elif record.exc_text:
            text += "\n" + record.exc_text
        if record.stack_info:
            text += "\n" + record.stack_info
        return text
