"""What is new since a baseline."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults.report import Limits, new_since, summarise
from iommuman.faults.report.baseline import Faster
from iommuman.faults.report.json import draw_json, read_json

from .sample import fault, session


def test_nothing_is_new_in_the_same_report() -> None:
    """A report held against itself, written and read back, has nothing new."""
    summary = summarise(session())
    news = new_since(summary, read_json(draw_json(summary)))
    assert (news.sources, news.pages, news.reasons, news.faster, news.sure) == ((), (), (), (), True)


def test_new_devices_pages_and_reasons_are_named() -> None:
    """A device, a page and a reason that the baseline has not are new; those that it has are not."""
    before = summarise([fault(0), fault(10)])
    after = summarise([fault(0), fault(10, identifier=0x18, address=0x9010, name="SGN.2")])
    news = new_since(after, before)
    assert [row.device for row in news.sources] == ["0000:00:03.0"]
    assert [row.page for row in news.pages] == [0x9000]
    assert [row.name for row in news.reasons] == ["SGN.2"]
    assert news.faster == ()


def test_growth_to_ten_times_the_rate_is_told() -> None:
    """From 2 a second to 20 is told; to 19 is not. One source of two that grew is named."""
    before = summarise([fault(0), fault(1000), fault(0, identifier=0x18), fault(500, identifier=0x18)])
    after = summarise([fault(0), fault(1000, count=19), fault(10, identifier=0x18, count=19)])
    assert new_since(after, before).faster == (Faster("source", "0000:02:01.0 dmar0", 2.0, 20.0),)
    both = summarise([fault(0), fault(1000, count=39)])
    assert new_since(both, before).faster == (
        Faster("all", "all faults", 4.0, 40.0),
        Faster("source", "0000:02:01.0 dmar0", 2.0, 40.0),
        Faster("reason", "SGN.3", 4.0, 40.0),
    )


def test_rates_of_reports_without_a_length_are_not_compared() -> None:
    """A report of one moment, or without times, has no rate."""
    moment, nothing, second = summarise([fault(0)]), summarise([fault()]), summarise([fault(0), fault(1000)])
    much = summarise([fault(0), fault(1, count=100_000)])
    assert new_since(much, moment).faster == new_since(much, nothing).faster == new_since(moment, second).faster == ()


def test_doubt_is_told_when_the_baseline_did_not_count_all() -> None:
    """When the baseline's tables overflowed, what is missing from it may have been there."""
    before = summarise([fault(0, identifier=index) for index in range(3)], limits=Limits(rows=2))
    assert not new_since(summarise([fault(0)]), before).sure


@given(st.lists(st.integers(0, 4)), st.lists(st.integers(0, 4)))
def test_new_is_what_the_baseline_has_not(before: list[int], after: list[int]) -> None:
    """Exactly the IDs of the one list that are not in the other are new."""
    news = new_since(*(summarise([fault(identifier=one) for one in ids]) for ids in (after, before)))
    assert {row.identifier for row in news.sources} == set(after) - set(before)
