"""What a report has that an earlier one had not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .records import SECOND, PageRow, ReasonRow, Seen, SourceRow, Summary
from .words import source_words

GROWTH = 10
"""How many times faster than before faults must come to be told."""


@dataclass(frozen=True, slots=True)
class Faster:
    """Faults that come at least `GROWTH` times as often as before.

    Attributes:
        kind: `all`, `source` or `reason`.
        name: of the source or reason; for a source with its unit.
        before: accesses a second in the baseline.
        now: accesses a second.
    """

    kind: str
    name: str
    before: float
    now: float


@dataclass(frozen=True, slots=True)
class News:
    """What is new since a baseline.

    Attributes:
        sources: devices and IDs that the baseline has not.
        pages: pages that it has not.
        reasons: reasons that it has not.
        faster: what grew.
        sure: the baseline counted everything. If not, some of what is new may have been among its others.
    """

    sources: tuple[SourceRow, ...]
    pages: tuple[PageRow, ...]
    reasons: tuple[ReasonRow, ...]
    faster: tuple[Faster, ...]
    sure: bool


def new_since(summary: Summary, baseline: Summary) -> News:
    """Return what is new in a report since a baseline.

    Rates are accesses over the time from the first fault of the report to its last, all clocks together. They are not
    compared when either report has no length in time.
    """
    sources = {_source_key(row): row for row in baseline.sources}
    pages = {row.page for row in baseline.pages}
    reasons = {(row.name, row.reason): row for row in baseline.reasons}
    before, now = _length(baseline.seen), _length(summary.seen)
    counts = [("all", "all faults", baseline.accesses, summary.accesses)]
    for row in summary.sources:
        old = sources.get(_source_key(row))
        if old is not None:
            counts.append(("source", f"{source_words(row)} {row.unit}".rstrip(), old.count, row.at_least))
    for why in summary.reasons:
        then = reasons.get((why.name, why.reason))
        if then is not None:
            counts.append(("reason", why.name or why.reason, then.count, why.at_least))
    return News(
        sources=tuple(row for row in summary.sources if _source_key(row) not in sources),
        pages=tuple(row for row in summary.pages if row.page not in pages),
        reasons=tuple(row for row in summary.reasons if (row.name, row.reason) not in reasons),
        faster=tuple(
            Faster(kind, name, SECOND * old / before, SECOND * new / now)
            for kind, name, old, new in counts
            if old and before and now and new * before >= GROWTH * old * now
        ),
        sure=not (baseline.sources.others or baseline.pages.others or baseline.reasons.others),
    )


def _source_key(row: SourceRow) -> tuple[str, str, int | None, int | None]:
    return row.device, row.unit, row.segment, row.identifier


def _length(seen: Iterable[Seen]) -> int:
    return sum(one.length for one in seen)
