"""A report as one page that needs nothing else: style, pictures and the few lines that sort its tables are in it.

Names in it come from hostile input. Everything is escaped, and the page's own policy lets no script run but the one
that it names by its hash, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

from .baseline import News
from .records import PageRow, Row, SourceRow, Summary, stretches
from .svg import html, memory_map, time_line
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

TOP = 50
"""Rows of a table on the page."""

LONG = 48
"""Characters of a text that may be broken anywhere when it does not fit; shorter ones, such as names, only at spaces.
"""

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2128;--dim:#59636e;--page:#fff;--panel:#f4f6f8;--line:#d4dae1;--bar:#2f6fb5;
--heat:#b3261e;--storm:#c77700;--reserved:#c9b6ec;--granted:#a9d8b1;--registers:#c3c9d1;--window:#b4d2f0;--msi:#f0dfa0}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ed;--dim:#9aa5b1;--page:#14181d;--panel:#1d232a;--line:#38414b;
--bar:#62a3e8;--heat:#ff7b70;--storm:#f0a840;--reserved:#55447d;--granted:#2c5e3a;--registers:#4a525c;
--window:#2b4d6e;--msi:#665a26}}
body{margin:0 auto;padding:1.2rem;max-width:62rem;color:var(--ink);background:var(--page);
font:15px/1.45 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.3rem 0}.dim,caption,svg text{color:var(--dim);fill:var(--dim)}
.warn{border-left:4px solid var(--heat);background:var(--panel);padding:.5rem .8rem;margin:1rem 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{padding:.25rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
td{overflow-wrap:break-word}.long{overflow-wrap:anywhere;min-width:14rem}
th{white-space:nowrap;cursor:pointer;color:var(--dim);font-weight:600}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap;width:1%}
td.m{font-family:ui-monospace,monospace;font-size:.85em;white-space:nowrap}
svg{display:block;width:100%;min-width:36rem;height:auto}svg text{font:11px system-ui,sans-serif}
.axis{stroke:var(--line);fill:none}.bar{fill:var(--bar)}.lost,.heat{fill:var(--heat)}.storm{fill:var(--storm)}
.strip{fill:var(--panel);stroke:var(--line)}.reserved{fill:var(--reserved)}.granted{fill:var(--granted)}
.registers{fill:var(--registers)}.window{fill:var(--window)}.interrupts,.doorbell{fill:var(--msi)}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .35em 0 1em;vertical-align:-.05em}
.key.bar{background:var(--bar)}.key.heat{background:var(--heat)}.key.storm{background:var(--storm)}
.key.reserved{background:var(--reserved)}.key.granted{background:var(--granted)}.key.window{background:var(--window)}
.key.registers{background:var(--registers)}.key.doorbell{background:var(--msi)}
"""

_SCRIPT = """
for (const head of document.querySelectorAll("th")) head.onclick = () => {
  const body = head.closest("table").tBodies[0], at = head.cellIndex, up = head.dataset.up !== "1";
  for (const other of head.parentNode.cells) delete other.dataset.up;
  if (up) head.dataset.up = "1";
  const key = row => row.cells[at].dataset.v ?? row.cells[at].textContent;
  const order = (a, b) => key(a).localeCompare(key(b), "en", {numeric: true});
  body.append(...[...body.rows].sort((a, b) => up ? order(a, b) : order(b, a)));
};
"""

_LEGEND = (
    ("heat", "pages with faults"),
    ("reserved", "reserved"),
    ("granted", "granted"),
    ("window", "window of a PCI function"),
    ("registers", "registers of an IOMMU"),
    ("doorbell", "interrupts"),
)

Column = tuple[str, str]
"""Head and class of a column: `n` numbers, `m` addresses and IDs, nothing for text."""

Cell = str | tuple[str, int]
"""Text, or text and the number that it is sorted by."""


def draw_html(summary: Summary, news: News | None = None, title: str = "IOMMU faults") -> str:
    """Return a report as an HTML page.

    Args:
        summary: the report.
        news: what is new in it, when it was held against a baseline.
        title: of the page.
    """
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = [_head(summary, title)]
    if news is not None:
        body.append(_news(news))
    if summary.records:
        body += [*_pictures(summary), *_who(summary), *_where(summary), *_when(summary)]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + f"\n<script>{_SCRIPT}</script></body></html>\n"
    )


def _head(summary: Summary, title: str) -> str:
    """Return what stands above all: how many, from when to when, and what was lost."""
    parts = [f"<h1>{html(title)}</h1>"]
    if not summary.records:
        parts.append("<p>No faults.</p>")
    else:
        sources = f"{'more than ' if summary.sources.others else ''}{some(len(summary.sources), 'source')}"
        units = f"{'more than ' if summary.units.others else ''}{some(len(summary.units), 'unit')}"
        parts.append(
            f"<p><b>{some(summary.accesses, 'fault')}</b> in {some(summary.records, 'record')}, {sources}, {units}</p>"
        )
    for one in summary.seen:
        parts.append(f'<p class="dim">{when(one)} ({clock_words(one.clock)})</p>')
    if summary.untimed:
        parts.append(f'<p class="dim">{some(summary.untimed, "fault")} without a time</p>')
    if summary.lost:
        rows = [
            ((f"{one.notices:,}", one.notices), (f"≥ {one.at_least:,}" if one.at_least else "not told", one.at_least),
             one.reason, one.unit)
            for one in summary.lost.rows[:TOP]
        ]  # fmt: skip
        columns = (("Notices", "n"), ("Lost", "n"), ("How", ""), ("Unit", ""))
        parts.append(
            f'<div class="warn"><p><b>At least {summary.lost.total:,} more faults were lost</b>: '
            f"no record shows them.</p>{_table('', columns, rows, len(summary.lost))}</div>"
        )
    return "\n".join(parts)


def _pictures(summary: Summary) -> list[str]:
    """Return time lines and the memory map with what their colours mean."""
    keys = '<p class="dim"><span class="key bar"></span>faults<span class="key storm"></span>storms and bursts'
    lines = [
        f'<p class="dim">{clock_words(one.clock)}</p><div class="scroll">{time_line(one, summary.storms)}</div>'
        for one in summary.time_lines
    ]
    parts = [f'<h2>Time line</h2>{keys}<span class="key heat"></span>records were lost</p>', *lines] if lines else []
    picture, left = memory_map(summary)
    if summary.pages:
        kinds = {"heat", *("doorbell" if one.kind == "interrupts" else one.kind for one in summary.places)}
        legend = "".join(f'<span class="key {kind}"></span>{words}' for kind, words in _LEGEND if kind in kinds)
        more = f'<p class="dim">{some(left, "area")} with fewer faults not shown</p>' if left else ""
        parts.append(f'<h2>Memory map</h2><p class="dim">{legend}</p><div class="scroll">{picture}</div>{more}')
    return parts


def _news(news: News) -> str:
    """Return what is new since the baseline."""
    rows: list[Sequence[Cell]] = [
        *(("faster", one.name, f"{rate_words(one.before)} before", rate_words(one.now)) for one in news.faster),
        *(("source", _source(one), one.unit, count_words(one)) for one in news.sources),
        *(("reason", one.name or one.reason, "", count_words(one)) for one in news.reasons),
        *(("page", f"0x{one.page:x}", _page_owner(one), count_words(one)) for one in news.pages),
    ]
    doubt = "" if news.sure else "<p>The baseline did not count everything: some may not be new.</p>"
    columns = (("What", ""), ("Name", ""), ("Of", ""), ("Faults", "n"))
    table = _table("", columns, rows[:TOP], len(rows)) if rows else "<p>Nothing.</p>"
    return f"<h2>New since the baseline</h2>{doubt}{table}"


def _source(one: SourceRow) -> str:
    known = one.device and one.identifier is not None
    return f"{source_words(one)} (ID {identifier_words(one.identifier)})" if known else source_words(one)


def _extent(low: int | None, high: int | None) -> str:
    if low is None or high is None:
        return ""
    return f"0x{low:x}" if low == high else f"0x{low:x} – 0x{high:x}"


def _place(start: int, length: int) -> Cell:
    return _by(_extent(start, start + length - 1), start)


def _by(text: str, number: int | None) -> Cell:
    """Return a cell that is sorted by a number; none comes first."""
    return text, 0 if number is None else number + 1


def _page_owner(one: PageRow) -> str:
    return (one.device or "not told") + (" and others" if one.several else "")


_BOTH: tuple[Column, ...] = (("Faults", "n"), ("Share", "n"))


def _counted(row: Row, total: int) -> tuple[Cell, Cell]:
    """Return how many faults a row has, and their share of all."""
    return (count_words(row), row.at_least), (share(row.at_least, total), row.at_least)


def _plain(count: int, total: int) -> tuple[Cell, Cell]:
    """Return a number of faults, and their share of all."""
    return (f"{count:,}", count), (share(count, total), count)


def _who(summary: Summary) -> list[str]:
    """Return sources, reasons, kinds of access and units."""
    total = summary.accesses
    sources = [
        (*_counted(one, total), source_words(one), _by(identifier_words(one.identifier), one.identifier), one.unit,
         one.reason, _by(_extent(one.low, one.high), one.low))
        for one in summary.sources.rows[:TOP]
    ]  # fmt: skip
    reasons = [(*_counted(one, total), one.name, one.reason) for one in summary.reasons.rows[:TOP]]
    access = [(*_plain(count, total), name or "not told") for name, count in summary.access]
    units = [(*_counted(one, total), one.unit or "not told") for one in summary.units.rows[:TOP]]
    heads = (*_BOTH, ("Source", ""), ("ID", "m"), ("Unit", ""), ("Mostly", ""), ("Addresses", "m"))
    why = (*_BOTH, ("Name", "m"), ("Reason", ""))
    return [
        _table("Sources", heads, sources, len(summary.sources), summary.sources.others),
        _table("Reasons", why, reasons, len(summary.reasons), summary.reasons.others),
        _table("Kinds of access", (*_BOTH, ("Access", "")), access, len(access)),
        _table("Units", (*_BOTH, ("Unit", "")), units, len(summary.units), summary.units.others),
    ]


def _where(summary: Summary) -> list[str]:
    """Return what addresses fall in, pages, and pages that touch."""
    total = summary.accesses
    hit = sorted((one for one in summary.places if one.count), key=lambda one: -one.count)
    places = [(*_plain(one.count, total), _place(one.start, one.length), one.name) for one in hit]
    if summary.elsewhere:
        places.append((*_plain(summary.elsewhere, total), _by("elsewhere", None), "nothing that is known"))
    pages = [
        (*_counted(one, total), _by(f"0x{one.page:x}", one.page), _page_owner(one)) for one in summary.pages.rows[:TOP]
    ]
    joined = sorted(stretches(summary), key=lambda one: (-one.count, one.start))
    regions = [
        (*_plain(one.count, total), _place(one.start, one.length), f"{one.length >> 12:,}") for one in joined[:TOP]
    ]
    extent = ("Addresses", "m")
    return [
        _table("What addresses fall in", (*_BOTH, extent, ("What", "")), places[:TOP], len(places)),
        _table("Pages", (*_BOTH, ("Page", "m"), ("Of", "")), pages, len(summary.pages), summary.pages.others),
        _table("Pages that touch, as regions", (*_BOTH, extent, ("Pages", "n")), regions, len(joined)),
    ]


def _when(summary: Summary) -> list[str]:
    """Return storms, and units that fault together."""
    storms = [
        ((f"{one.count:,}", one.count), one.kind, (moment(one.clock, one.start), one.start),
         (span(one.length), one.length), (rate_words(one.rate), int(one.rate or 0)), (f"{one.peak:,}", one.peak),
         source_words(one), one.unit)
        for one in summary.storms[:TOP]
    ]  # fmt: skip
    heads = (
        ("Faults", "n"), ("Kind", ""), ("Start", "m"), ("Length", "n"), ("Rate", "n"), ("Peak in 0.1 s", "n"),
        ("Source", ""), ("Unit", ""),
    )  # fmt: skip
    together = [
        (f"{one.windows:,}", (f"{one.expected:.3g}", int(one.expected * 1000)), together_words(one))
        for one in summary.together[:TOP]
    ]
    pause, window = span(summary.limits.gap), span(summary.limits.window)
    pair = (("Times", "n"), ("By chance", "n"), ("Units", ""))
    return [
        _table(f"Storms and bursts, no pause over {pause}", heads, storms, summary.storms_seen),
        _table(f"Units that fault within the same {window}", pair, together, len(summary.together)),
    ]


def _table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], whole: int, others: int = 0) -> str:
    """Return a table, and below it what is not in it: rows left out, and faults not counted by row."""
    if not rows:
        return ""
    heads = "".join(f'<th class="{kind}">{name}</th>' if kind else f"<th>{name}</th>" for name, kind in columns)
    lines = "\n".join(
        "<tr>" + "".join(_cell(cell, kind) for cell, (_, kind) in zip(row, columns, strict=True)) + "</tr>"
        for row in rows
    )
    notes = [f"{whole - len(rows):,} more" if whole > len(rows) else ""]
    notes.append(f"{others:,} faults of these and others are not told apart" if others else "")
    note = "; ".join(one for one in notes if one)
    return (
        (f"<h2>{title}</h2>" if title else "")
        + f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>\n{lines}\n</tbody></table></div>'
        + (f'<p class="dim">{note}</p>' if note else "")
    )


def _cell(cell: Cell, kind: str) -> str:
    text, order = cell if isinstance(cell, tuple) else (cell, None)
    kind = kind or ("long" if len(text) > LONG else "")
    attributes = (f' class="{kind}"' if kind else "") + ("" if order is None else f' data-v="{order}"')
    return f"<td{attributes}>{html(text)}</td>"
