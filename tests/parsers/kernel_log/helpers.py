"""What the tests of kernel logs share."""

from __future__ import annotations

import io
from dataclasses import fields

from iommuman.parsers.kernel_log import KernelLog, LogRecord, read_kernel_log

Flat = tuple[object, ...]


def flat(record: LogRecord) -> Flat:
    """Return the class, the driver, the unit and the values of a record, without its lines."""
    own = [getattr(record, field.name) for field in fields(record)[4:]]
    return (type(record).__name__, record.driver, record.unit, *own)


def read(text: str | bytes, **options: int) -> tuple[list[LogRecord], KernelLog]:
    """Read a log, and return its records and what is said of it as a whole."""
    data = text.encode() if isinstance(text, str) else text
    log = read_kernel_log(io.BytesIO(data), name="log", year=options.get("year", 2024))
    return list(log), log
