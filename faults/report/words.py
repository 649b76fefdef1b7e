"""Times, rates, IDs and counts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from ...base import printable
from .records import SECOND, Row, SourceRow, Storm

_UNITS = ((86_400 * SECOND, "d"), (3600 * SECOND, "h"), (60 * SECOND, "min"), (SECOND, "s"), (1_000_000, "ms"))
_MAX_SECONDS = 253_402_300_800
"""The year 10000, where dates as text end."""


def moment(clock: str, time: int) -> str:
    """Return a time: a date to the millisecond for clocks that count from 1970, else seconds to the microsecond."""
    seconds, rest = divmod(time, SECOND)
    if clock in ("utc", "local") and 0 <= seconds < _MAX_SECONDS:
        date = datetime.fromtimestamp(seconds, UTC)
        return f"{date:%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03}"
    return f"{seconds}.{rest // 1000:06} s"


def clock_words(clock: str) -> str:
    """Return what a clock counts, as an apposition to its times."""
    return {"utc": "UTC", "local": "local time", "boot": "since the start of the machine"}.get(clock, "unknown clock")


def span(length: int) -> str:
    """Return a length of time in its largest fitting unit, with three figures at least: `17.1 s`, `250 ms`."""
    for size, unit in _UNITS:
        if length >= size:
            digits = 0 if length >= 100 * size else 1 if length >= 10 * size else 2
            text = f"{length / size:.{digits}f}"
            return f"{text.rstrip('0').rstrip('.') if digits else text} {unit}"
    return f"{length / 1000:g} µs" if length else "0 s"


def rate_words(rate: float | None) -> str:
    """Return accesses a second."""
    if rate is None:
        return "at once"
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"  # noqa: PLR2004 - two figures say enough below


def count_words(row: Row) -> str:
    """Return how many accesses a row has for sure; `≥` when there may be more."""
    return f"{'≥ ' if row.error else ''}{row.at_least:,}"


def share(part: int, total: int) -> str:
    """Return a part in per cent of a total."""
    return f"{100 * part / total:.1f} %" if total else ""


def source_words(one: SourceRow | Storm) -> str:
    """Return the name of a source, or what stands for it when no device is known."""
    if one.device:
        return printable(one.device)
    return "not told" if one.identifier is None else f"ID 0x{one.identifier:x}"


def identifier_words(identifier: int | None) -> str:
    """Return an ID in hexadecimal."""
    return "" if identifier is None else f"0x{identifier:x}"


def some(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 record`, `2 records`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
