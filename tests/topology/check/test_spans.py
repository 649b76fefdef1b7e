"""Ranges that have something in common, against all pairs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from iommuman.topology.check.spans import Span, clashes, gaps

SPANS = st.lists(
    st.builds(
        lambda first, size, owner, item: Span(first, first + size, owner, item),
        st.integers(0, 30), st.integers(0, 12), st.integers(0, 3), st.integers(),
    ),
    max_size=12,
)  # fmt: skip


def common(one: Span[int, int], other: Span[int, int]) -> bool:
    """Tell whether two owners have an ID in common."""
    return one.owner != other.owner and one.first <= other.last and other.first <= one.last


@given(SPANS)
def test_each_span_that_clashes_with_an_earlier_one_is_told_once(spans: list[Span[int, int]]) -> None:
    """Of the spans in order, those are yielded that clash with one before them, with the one that reaches furthest."""
    ordered = sorted(spans, key=lambda one: one.first)
    found = list(clashes(spans))
    wanted = [(index, [one for one in ordered[:index] if common(one, ordered[index])]) for index in range(len(ordered))]
    assert [span for _, span in found] == [ordered[index] for index, earlier in wanted if earlier]
    for (before, _), (_, earlier) in zip(found, [pair for pair in wanted if pair[1]], strict=True):
        assert before in earlier
        assert before.last == max(one.last for one in earlier)


NUMBERS = st.integers(0, 40)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8), NUMBERS, NUMBERS)
def test_gaps_are_what_nothing_covers(sized: list[tuple[int, int]], first: int, last: int) -> None:
    """Every number of the range is in one covered range, or in one gap; gaps are in order and apart."""
    covered = [(start, start + size) for start, size in sized]
    found = list(gaps(covered, first, last))
    missing = [n for n in range(first, last + 1) if not any(start <= n <= end for start, end in covered)]
    assert [n for start, end in found for n in range(start, end + 1)] == missing
    assert all(one[1] + 1 < other[0] for one, other in pairwise(found))
