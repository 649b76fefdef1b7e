"""Times, rates, IDs and counts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from ...base import printable
from .records import SECOND, Row, Seen, SourceRow, Storm, Together

_LONG = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_MAX_SECONDS = 253_402_300_800
"""The year 10000, where dates as text end."""


def moment(clock: str, time: int) -> str:
    """Return a time: a date to the millisecond for clocks that count from 1970, else seconds to the microsecond."""
    seconds, rest = divmod(time, SECOND)
    if clock in ("utc", "local") and 0 <= seconds < _MAX_SECONDS:
        date = datetime.fromtimestamp(seconds, UTC)
        return f"{date:%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03}"
    return f"{seconds}.{rest // 1000:06} s"


def when(seen: Seen) -> str:
    """Return first and last time with how long that is, or the one time when it is one."""
    first = moment(seen.clock, seen.first)
    return f"{first} to {moment(seen.clock, seen.last)}, {span(seen.length)}" if seen.length else first


def clock_words(clock: str) -> str:
    """Return what a clock counts, as an apposition to its times."""
    return {"utc": "UTC", "local": "local time", "boot": "since the start of the machine"}.get(clock, "unknown clock")


def span(length: int) -> str:
    """Return a length of time with about three figures: `250 µs`, `17.1 s`, `2 h 5 min`."""
    seconds = length // SECOND
    if seconds >= 60:  # noqa: PLR2004 - a minute
        at = next(index for index, (_, size) in enumerate(_LONG) if seconds >= size)
        (large, size), (small, part) = _LONG[at], _LONG[at + 1]
        rest = seconds % size // part
        return f"{seconds // size:,} {large}" + (f" {rest} {small}" if rest else "")
    for size, unit in ((SECOND, "s"), (1_000_000, "ms"), (1000, "µs")):
        if length >= size:
            return f"{length / size:.3g} {unit}"
    return f"{length} ns" if length else "0 s"


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


def together_words(pair: Together) -> str:
    """Return the names of two units."""
    return f"{pair.first or 'not told'} and {pair.second or 'not told'}"


def identifier_words(identifier: int | None) -> str:
    """Return an ID in hexadecimal."""
    return "" if identifier is None else f"0x{identifier:x}"


def some(number: int, noun: str) -> str:
    """Return a number with its noun: `1 record`, `2 records`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
