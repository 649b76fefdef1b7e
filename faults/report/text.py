"""A report as text of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...base import printable
from .baseline import News
from .records import Seen, Summary, TimeLine, stretches
from .words import (
    clock_words,
    count_words,
    identifier_words,
    moment,
    rate_words,
    share,
    some,
    source_words,
    span,
    together_words,
    when,
)

WIDTH = 100
NARROWEST = 8
"""Characters that a column keeps when it has to give way."""

_BARS = " ▁▂▃▄▅▆▇█"
_LINE = 80
"""Characters of a time line."""

Cells = Sequence[str]


def draw_text(summary: Summary, news: News | None = None, top: int = 10) -> str:
    """Return a report as text.

    Args:
        summary: the report.
        news: what is new in it, when it was held against a baseline.
        top: rows of each table that are shown; what is left out is counted below.
    """
    parts = [_head(summary)]
    if summary.lost:
        parts.append(_lost(summary, top))
    if news is not None:
        parts.append(_news(news, top))
    if summary.records:
        parts += _who(summary, top)
        parts += _where(summary, top)
        parts += _when(summary, top)
    lines = "\n".join(part for part in parts if part).splitlines()
    return "".join(f"{_cut(line, WIDTH)}\n" for line in lines)


def _head(summary: Summary) -> str:
    """Return the first lines: how many faults there are, and from when to when."""
    if not summary.records:
        return "no faults\n"
    facts = [
        some(summary.accesses, "fault"),
        some(summary.records, "record"),
        _some_rows(len(summary.sources), "source", exact=not summary.sources.others),
        _some_rows(len(summary.units), "unit", exact=not summary.units.others),
    ]
    lines = [", ".join(facts)]
    for one in summary.seen:
        lines.append(f"{when(one)} ({clock_words(one.clock)})")
    if summary.untimed:
        lines.append(f"{some(summary.untimed, 'fault')} without a time")
    return "\n".join(lines) + "\n"


def _some_rows(number: int, word: str, *, exact: bool) -> str:
    return some(number, word) if exact else f"more than {some(number, word)}"


def _seen(seen: Iterable[Seen]) -> tuple[str, str]:
    """Return the first and last time of a row for its columns."""
    listed = list(seen)
    firsts = [moment(one.clock, one.first) for one in listed]
    return " / ".join(firsts), " / ".join(span(one.length) for one in listed)


def _lost(summary: Summary, top: int) -> str:
    rows = [
        (some(one.notices, "notice"), f"≥ {one.at_least:,}" if one.at_least else "not told", one.reason, one.unit)
        for one in summary.lost.rows[:top]
    ]
    title = f"LOST: at least {summary.lost.total:,} more faults that no record shows"
    return _table(title, ("TOLD BY", "LOST", "HOW", "UNIT"), rows, "ll", len(summary.lost) - top)


def _news(news: News, top: int) -> str:
    """Return what is new since the baseline."""
    lines = [
        *(f"new source  {source_words(one)} {_id(one.identifier)}{printable(one.unit)}" for one in news.sources[:top]),
        *_left(len(news.sources) - top, "new source"),
        *(f"new reason  {printable(one.name or one.reason)}" for one in news.reasons[:top]),
        *_left(len(news.reasons) - top, "new reason"),
        *(f"new page    0x{one.page:x}  {printable(one.device)}" for one in news.pages[:top]),
        *_left(len(news.pages) - top, "new page"),
        *(
            f"faster      {printable(one.name)}: {rate_words(one.before)} before, {rate_words(one.now)} now"
            for one in news.faster[:top]
        ),
        *_left(len(news.faster) - top, "faster"),
    ]
    if lines and not news.sure:
        lines.append("the baseline did not count everything: what is new may have been among its others")
    return "\n".join(["NEW SINCE THE BASELINE", *(f"  {line}".rstrip() for line in lines or ["nothing"])]) + "\n"


def _id(identifier: int | None) -> str:
    return "" if identifier is None else f"ID {identifier_words(identifier)} "


def _left(number: int, what: str) -> list[str]:
    return [f"… {number:,} more: {what}"] if number > 0 else []


def _who(summary: Summary, top: int) -> list[str]:
    """Return sources, units and reasons."""
    total = summary.accesses
    sources = [
        (
            count_words(one),
            share(one.at_least, total),
            source_words(one),
            identifier_words(one.identifier),
            one.unit,
            one.reason,
            "" if one.low is None or one.high is None else _extent(one.low, one.high),
        )
        for one in summary.sources.rows[:top]
    ]
    heads = ("FAULTS", "SHARE", "SOURCE", "ID", "UNIT", "MOSTLY", "ADDRESSES")
    units = [
        (count_words(one), share(one.at_least, total), one.unit or "not told", *_seen(one.seen))
        for one in summary.units.rows[:top]
    ]
    reasons = [
        (count_words(one), share(one.at_least, total), one.name, one.reason, *_seen(one.seen))
        for one in summary.reasons.rows[:top]
    ]
    access = [(f"{count:,}", share(count, total), name or "not told") for name, count in summary.access]
    return [
        _table("SOURCES", heads, sources, "rr l  l", len(summary.sources) - top, summary.sources.others),
        _table(
            "REASONS", ("FAULTS", "SHARE", "NAME", "REASON", "FIRST", "FOR"), reasons, "rr  ll",
            len(summary.reasons) - top, summary.reasons.others,
        ),
        _table("ACCESSES", ("FAULTS", "SHARE", "ACCESS"), access, "rr"),
        _table(
            "UNITS", ("FAULTS", "SHARE", "UNIT", "FIRST", "FOR"), units, "rr ll",
            len(summary.units) - top, summary.units.others,
        ),
    ]  # fmt: skip


def _extent(low: int, high: int) -> str:
    return f"0x{low:x}" if low == high else f"0x{low:x}-0x{high:x}"


def _where(summary: Summary, top: int) -> list[str]:
    """Return pages, stretches of them, and what of the board the addresses fall in."""
    total = summary.accesses
    pages = [
        (
            count_words(one),
            share(one.at_least, total),
            f"0x{one.page:x}",
            (one.device or "not told") + (" and others" if one.several else ""),
        )
        for one in summary.pages.rows[:top]
    ]
    found = sorted(stretches(summary), key=lambda one: (-one.count, one.start))
    joined = [
        (f"{one.count:,}", share(one.count, total), f"0x{one.start:x}-0x{one.end:x}", some(one.length >> 12, "page"))
        for one in found[:top]
    ]
    hit = sorted((one for one in summary.places if one.count), key=lambda one: -one.count)
    places = [
        (f"{one.count:,}", share(one.count, total), f"0x{one.start:x}-0x{one.start + one.length - 1:x}", one.name)
        for one in hit[:top]
    ]
    if summary.elsewhere:
        places.append((f"{summary.elsewhere:,}", share(summary.elsewhere, total), "elsewhere", "nothing that is known"))
    return [
        _table(
            "PAGES", ("FAULTS", "SHARE", "PAGE", "OF"), pages, "rrl", len(summary.pages) - top, summary.pages.others
        ),
        _table("REGIONS", ("FAULTS", "SHARE", "ADDRESSES", "SIZE"), joined, "rrl", len(found) - top),
        _table("ADDRESSES FALL IN", ("FAULTS", "SHARE", "ADDRESSES", "WHAT"), places, "rrl", len(hit) - top),
    ]


def _when(summary: Summary, top: int) -> list[str]:
    """Return storms, units that fault together, and time lines."""
    storms = [
        (
            f"{one.count:,}",
            one.kind,
            moment(one.clock, one.start),
            span(one.length),
            rate_words(one.rate),
            f"{one.peak:,}",
            source_words(one),
            one.unit,
        )
        for one in summary.storms[:top]
    ]
    heads = ("FAULTS", "", "START", "LENGTH", "RATE", "PEAK", "SOURCE", "UNIT")
    title = f"STORMS AND BURSTS (no pause over {span(summary.limits.gap)}; PEAK: in a tenth of a second)"
    together = [(f"{one.windows:,}", f"{one.expected:.3g}", together_words(one)) for one in summary.together[:top]]
    return [
        _table(title, heads, storms, "rllrrr", summary.storms_seen - top),
        _table(
            f"UNITS THAT FAULT WITHIN THE SAME {span(summary.limits.window)}", ("TIMES", "BY CHANCE", "UNITS"),
            together, "rr", len(summary.together) - top,
        ),
        *(_time_line(one) for one in summary.time_lines),
    ]  # fmt: skip


def _time_line(line: TimeLine) -> str:
    """Return a time line as a row of bars, the fullest of full height, and below it where records were lost."""
    each = -(-len(line.faults) // _LINE)
    bins = [sum(line.faults[at : at + each]) for at in range(0, len(line.faults), each)]
    lost = [sum(line.lost[at : at + each]) for at in range(0, len(line.lost), each)]
    most = max(bins)
    bars = "".join(_BARS[-(-8 * one // most) if most else 0] for one in bins)
    title = f"TIME LINE from {moment(line.clock, line.start)} ({clock_words(line.clock)})"
    rows = [f"{title}; one column: {span(line.width * each)}, highest: {most:,}", f"  {bars}".rstrip()]
    if any(lost):
        rows.append("  " + "".join("!" if one else " " for one in lost).rstrip() + "  (!: records were lost)")
    return "\n".join(row for row in rows if row) + "\n"


def _table(title: str, heads: Cells, rows: Sequence[Cells], align: str, left: int = 0, others: int = 0) -> str:
    """Return a table of aligned columns; the widest give way until it fits. No rows: no table.

    `align` has a letter for each of the first columns: `r` and `l` are never cut, a space and all further columns may
    be. Below the rows stands how many are left out, and how many faults were not counted by row.
    """
    if not rows:
        return ""
    cells = [heads, *([printable(cell) for cell in row] for row in rows)]
    used = [index for index in range(len(heads)) if any(row[index] for row in cells[1:])]
    widths = {index: max(len(row[index]) for row in cells) for index in used}
    sides = align.ljust(len(heads))
    soft = [index for index in used if sides[index] == " "]
    while sum(widths.values()) + 2 * len(widths) > WIDTH:
        widest = max(soft, key=lambda index: widths[index], default=0)
        if widest not in soft or widths[widest] <= NARROWEST:
            break  # what is still too long is cut at the end of the line
        widths[widest] -= 1
    lines = [title]
    for row in cells:
        line = ""
        for index in used:
            cell = _cut(row[index], widths[index])
            line += "  " + (cell.rjust(widths[index]) if sides[index] == "r" else cell.ljust(widths[index]))
        lines.append(line.rstrip())
    if left > 0:
        lines.append(f"  … {left:,} more")
    if others:
        lines.append(f"  {others:,} faults of these and others are not told apart")
    return "\n".join(lines) + "\n"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
