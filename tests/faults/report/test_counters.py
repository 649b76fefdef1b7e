"""The bounded counters: exact while there is room, honest about their error when there is none."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults.report.counters import MAX_BINS, SpaceSaving, TimeBins
from iommuman.faults.report.records import TimeLine


class Entry:
    """An entry with nothing but its count."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.count = self.error = 0


def test_a_new_key_takes_the_place_of_the_least_and_inherits_its_count() -> None:
    """With room for two, the third key stands with the count of the one that it replaced as its error."""
    counter: SpaceSaving[str, Entry] = SpaceSaving(2, Entry)
    for key, weight in (("a", 5), ("b", 1), ("b", 1), ("c", 4), ("a", 1)):
        counter.add(key, weight)
    assert {key: (entry.count, entry.error) for key, entry in counter} == {"a": (6, 0), "c": (6, 2)}
    assert counter.total == 12
    assert counter.get("b") is None


KEYS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), max_size=120)


@given(KEYS, st.integers(1, 8))
def test_true_counts_lie_between_the_bounds(added: list[tuple[int, int]], room: int) -> None:
    """No count is below the truth or, less its error, above it; no key of more than total/room is missing."""
    counter: SpaceSaving[int, Entry] = SpaceSaving(room, Entry)
    truth: Counter[int] = Counter()
    for key, weight in added:
        counter.add(key, weight)
        truth[key] += weight
    found = dict(counter)
    assert len(found) == min(room, len(truth))
    assert counter.total == truth.total()
    for key, entry in found.items():
        assert entry.count - entry.error <= truth[key] <= entry.count
    assert all(key in found for key, count in truth.items() if count * room > counter.total)
    if len(truth) <= room:
        assert {key: entry.count for key, entry in found.items()} == truth


def test_bins_widen_until_the_span_fits() -> None:
    """Two faults a second apart need bins of 8 ms, since 240 of 4 ms are shorter than a second."""
    bins = TimeBins()
    bins.add(0, 3, 0)
    bins.add(1_000_000_000, 1, 2)
    line = bins.result("boot")
    assert (line.clock, line.start, line.width, len(line.faults)) == ("boot", 0, 8_000_000, 126)
    assert (line.faults[0], line.faults[-1], line.lost[-1], sum(line.faults)) == (3, 1, 2, 4)


def test_a_single_moment_is_one_bin() -> None:
    """Faults of one millisecond stay in one bin of one millisecond that begins at a whole one."""
    bins = TimeBins()
    bins.add(5_400_000, 1, 0)
    bins.add(5_900_000, 1, 1)
    assert bins.result("utc") == TimeLine("utc", 5_000_000, 1_000_000, (2,), (1,))


@given(st.lists(st.integers(0, 1 << 70), min_size=1, max_size=60), st.randoms())
def test_bins_do_not_depend_on_the_order(times: list[int], random: object) -> None:
    """Whatever the order and the span, nothing is lost, the bins are few, and they are the same."""
    shuffled = list(times)
    getattr(random, "shuffle")(shuffled)  # noqa: B009 - hypothesis does not tell the type of its random numbers
    lines = []
    for order in (times, shuffled):
        bins = TimeBins()
        for time in order:
            bins.add(time, 1, 0)
        lines.append(bins.result("utc"))
    assert lines[0] == lines[1]
    assert sum(lines[0].faults) == len(times)
    assert len(lines[0].faults) <= MAX_BINS
