"""Ranges of IDs or addresses that have something in common, found in one pass over all of them in order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Owner = TypeVar("_Owner", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Span(Generic[_Owner, _Item]):
    """A range with what it stands for.

    Attributes:
        first: first ID or address.
        last: last one, which is included.
        owner: ranges of one owner may have something in common.
        item: what the range stands for.
    """

    first: int
    last: int
    owner: _Owner
    item: _Item


def clashes(spans: Iterable[Span[_Owner, _Item]]) -> Iterator[tuple[Span[_Owner, _Item], Span[_Owner, _Item]]]:
    """Yield spans that have something in common with an earlier one of another owner, each once, with that one.

    Earlier means by first ID; the one that is yielded with a span is that which reaches furthest. Takes n log n.
    """
    # Which of the spans so far reaches furthest, and which does of those with another owner than that.
    furthest: Span[_Owner, _Item] | None = None
    other: Span[_Owner, _Item] | None = None
    for span in sorted(spans, key=lambda one: one.first):
        before = other if furthest is not None and furthest.owner == span.owner else furthest
        if before is not None and before.last >= span.first:
            yield before, span
        if furthest is None or span.last > furthest.last:
            if furthest is not None and furthest.owner != span.owner:
                other = furthest
            furthest = span
        elif span.owner != furthest.owner and (other is None or span.last > other.last):
            other = span


def gaps(covered: Iterable[tuple[int, int]], first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield what of the range from `first` to `last` no covered range has, as (first, last)."""
    for start, end in sorted(covered):
        if start > last:
            break
        if start > first:
            yield first, start - 1
        first = max(first, end + 1)
    if first <= last:
        yield first, last
