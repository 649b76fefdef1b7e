"""The summary: literal figures of a small session, and what holds for any faults."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import Fault
from iommuman.faults.report import Limits, Summary, device_of_record, summarise
from iommuman.faults.report.records import PageRow, ReasonRow, Seen, SourceRow, Storm, Stretch, Together, stretches
from iommuman.faults.report.summary import unit_of
from iommuman.topology import load_topology

from ...conftest import HANDMADE
from .sample import MS, START, fault, overflow, session, suppressed


def seen(first: int, last: int) -> tuple[Seen, ...]:
    """Return first and last in milliseconds after START."""
    return (Seen("utc", START + first * MS, START + last * MS),)


def test_a_session_in_figures() -> None:
    """Every table of the report on the hand-made session is as counted by hand."""
    summary = summarise(session(), load_topology([str(HANDMADE / "dmar-segments")]))
    assert (summary.records, summary.accesses, summary.untimed, summary.unaddressed) == (17, 20, 0, 1)
    boot = Seen("boot", 1_500_000_000, 1_500_000_000)
    assert summary.seen == (boot, *seen(0, 5000))
    assert summary.sources.rows == (
        SourceRow(12, 0, "0000:02:01.0", "dmar0", 0, 0x208, "SGN.3", 0x7D000000, 0x7D005800, seen(0, 220)),
        SourceRow(6, 0, "0000:41:00.0", "dmar1", 0, 0x4100, "SGN.3", 0xFEE00000, 0xFEE00000, seen(1, 161)),
        SourceRow(1, 0, "", "dmar0", None, 0x9, "SGN.3", None, None, seen(5000, 5000)),
        SourceRow(1, 0, "0000:00:03.0", "dmar0", 0, 0x18, "RTA.1", 0, 0, (boot,)),
    )
    assert summary.sources.others == 0
    assert summary.pages.total == 19
    assert summary.pages.rows[:2] == (
        PageRow(6, 0, 0xFEE00000, "0000:41:00.0", several=False),
        PageRow(2, 0, 0x7D000000, "0000:02:01.0", several=False),
    )
    assert [(row.count, row.unit) for row in summary.units] == [(14, "dmar0"), (6, "dmar1")]
    assert summary.reasons.rows[0] == ReasonRow(19, 0, "SGN.3", "the write permission is missing", seen(0, 5000))
    assert summary.access == (("write", 19), ("read", 1))
    assert summary.storms == (Storm("0000:02:01.0", "dmar0", 0x208, "utc", START, 220 * MS, 12, 5),)
    assert summary.together == (Together("dmar0", "dmar1", 3, 14 * 3 / 502),)
    assert [(row.name[:15], row.count) for row in summary.places if row.count] == [
        ("reserved memory", 12),
        ("interrupt windo", 6),
    ]
    assert summary.elsewhere == 1
    assert [(line.clock, sum(line.faults), sum(line.lost)) for line in summary.time_lines] == [
        ("boot", 1, 0),
        ("utc", 19, 41),
    ]


def test_what_was_lost_is_told_and_not_counted_as_faults() -> None:
    """Notices count beside the faults: those with a number add up, those without say only that something is missing."""
    summary = summarise([overflow(0), overflow(5), suppressed(6, 40), suppressed(7, 2)])
    assert (summary.records, summary.accesses, summary.lost.total) == (0, 0, 42)
    assert [(row.unit, row.count, row.notices, row.seen) for row in summary.lost] == [
        ("DMAR", 42, 2, seen(6, 7)),
        ("dmar0", 0, 2, seen(0, 5)),
    ]
    assert summary.time_lines[0].lost == (1, 0, 0, 0, 0, 1, 40, 2)


def test_a_fault_that_tells_of_a_loss_is_both() -> None:
    """A fault register with its multiple-faults bit holds one fault, and is a notice of an unknown number more."""
    summary = summarise([fault(None, lost=True)])
    assert (summary.records, summary.accesses, summary.lost.total, summary.lost.rows[0].notices) == (1, 1, 0, 1)
    assert summary.lost.rows[0].seen == ()


def test_no_faults_are_an_answer() -> None:
    """Of nothing the report is empty."""
    summary = summarise([])
    assert (summary.records, summary.seen, summary.sources.rows, summary.time_lines) == (0, (), (), ())
    assert (summary.places, summary.elsewhere) == ((), None)


def test_interrupts_have_no_page() -> None:
    """The address of an interrupt fault is the index of a table entry, and no memory is said to be hit."""
    summary = summarise([fault(0, access="interrupt", address=0x1F)])
    assert (summary.unaddressed, summary.pages.rows, summary.sources.rows[0].low) == (1, (), None)


def test_a_page_of_several_devices_says_so() -> None:
    """A page on which two devices fault names the first by name, and that it is not alone."""
    summary = summarise([fault(0, device="b"), fault(1, device="a"), fault(2, device="b", address=0x7D000FFF)])
    assert summary.pages.rows == (PageRow(3, 0, 0x7D000000, "a", several=True),)


def test_pages_that_touch_are_one_stretch() -> None:
    """Neighbouring pages are joined; a page further on is a stretch of its own."""
    summary = summarise([fault(0, address=address) for address in (0x5000, 0x3000, 0x4FFF, 0x4000, 0x9000)])
    assert stretches(summary) == [Stretch(0x3000, 0x3000, 4), Stretch(0x9000, 0x1000, 1)]


def test_devices_are_named_by_the_record_or_the_caller() -> None:
    """The record's own name comes first, then segment and requester ID; what is given instead is used as it is."""
    assert device_of_record(fault(device="mmc0")) == "mmc0"
    assert device_of_record(fault()) == "0000:02:01.0"
    assert device_of_record(fault(segment=None)) == ""
    assert device_of_record(fault(identifier=None)) == ""
    assert device_of_record(fault(identifier=0x10000)) == ""
    assert summarise([fault()], device_of=lambda one: f"card {one.identifier}").sources.rows[0].device == "card 520"


def test_units_are_named_by_the_record_or_its_printer() -> None:
    """A record that names no unit is put down to what printed it, or to its kind of unit."""
    assert [unit_of(fault(iommu=unit, driver=driver)) for unit, driver in (("a", "b"), ("", "b"), ("", ""))] == [
        "a",
        "b",
        "vtd",
    ]


def test_the_most_frequent_reason_of_a_source_is_named() -> None:
    """Of many reasons the one with most accesses stands with the source, and only so many are told apart."""
    many = [fault(0, name=f"R{index}") for index in range(20)]
    summary = summarise([*many, fault(0, name="R3", count=4), fault(0, name="", reason="words")])
    assert summary.sources.rows[0].reason == "R3"


FAULTS = st.lists(
    st.builds(
        fault,
        st.one_of(st.none(), st.integers(0, 3000)),
        identifier=st.one_of(st.none(), st.integers(0, 3)),
        segment=st.sampled_from([None, 0]),
        iommu=st.sampled_from(["dmar0", "dmar1", ""]),
        address=st.one_of(st.none(), st.integers(0, 0x5000)),
        access=st.sampled_from(["read", "write", "interrupt"]),
        name=st.sampled_from(["SGN.3", "SGN.2", ""]),
        count=st.integers(1, 12),
        lost=st.booleans(),
    ),
    max_size=60,
)


@given(FAULTS)
def test_totals_add_up(faults: list[Fault]) -> None:
    """Each table accounts for all accesses, whatever of it has rows."""
    for limits in (Limits(), Limits(rows=2)):
        summary = summarise(faults, limits=limits)
        told = [one for one in faults if not one.lost or one.address is not None or one.identifier is not None]
        assert (summary.records, summary.accesses) == (len(told), sum(one.count for one in told))
        for table in (summary.sources, summary.reasons, summary.units):
            assert table.total == summary.accesses == sum(row.at_least for row in table) + table.others
            assert len(table) <= limits.rows
        assert summary.pages.total + summary.unaddressed == summary.accesses
        assert sum(count for _, count in summary.access) == summary.accesses
        assert sum(sum(line.faults) for line in summary.time_lines) + summary.untimed == summary.accesses
    exact = summarise(faults)
    assert [table.others for table in (exact.sources, exact.pages, exact.reasons, exact.units)] == [0, 0, 0, 0]


@given(FAULTS, st.randoms(use_true_random=False))
def test_order_within_equal_times_does_not_matter(faults: list[Fault], random: object) -> None:
    """Faults of one moment give the same report in any order."""
    ordered = sorted(faults, key=lambda one: one.time or 0)
    mixed: list[Fault] = []
    for _, group in groupby(ordered, key=lambda one: one.time or 0):
        same = list(group)
        getattr(random, "shuffle")(same)  # noqa: B009 - hypothesis does not tell the type of its random numbers
        mixed += same
    assert summarise(mixed) == summarise(ordered)


def counts(summary: Summary) -> dict[str, dict[object, int]]:
    """Return what every key of every table has, and the totals."""
    return {
        "all": {"records": summary.records, "accesses": summary.accesses, "untimed": summary.untimed},
        "sources": {(row.device, row.unit, row.segment, row.identifier): row.count for row in summary.sources},
        "pages": {row.page: row.count for row in summary.pages},
        "reasons": {(row.name, row.reason): row.count for row in summary.reasons},
        "units": {row.unit: row.count for row in summary.units},
        "access": dict(summary.access),
        "lost": {(row.unit, row.reason): row.notices for row in summary.lost},
    }


@given(FAULTS, FAULTS)
def test_a_concatenation_has_the_sum_of_both(first: list[Fault], second: list[Fault]) -> None:
    """The report on two logs one after the other counts what the reports on each count."""
    whole, one, other = (counts(summarise(faults)) for faults in (first + second, first, second))
    for kind, found in whole.items():
        keys = one[kind].keys() | other[kind].keys()
        assert found == {key: one[kind].get(key, 0) + other[kind].get(key, 0) for key in keys}


def test_long_names_are_cut() -> None:
    """A name of a million characters is kept with its first 255."""
    name = "x" * 1_000_000
    summary = summarise([fault(0, device=name, iommu=name, name=name), fault(0, iommu=name, reason=name, lost=True)])
    cut = "x" * 255 + "…"
    assert (summary.sources.rows[0].unit, summary.pages.rows[0].device) == (cut, "0000:02:01.0")
    assert {row.device for row in summary.sources} == {cut, "0000:02:01.0"}
    assert {row.name for row in summary.reasons} == {cut, "SGN.3"}
    assert (summary.lost.rows[0].reason, summary.units.rows[0].unit) == (cut, cut)


def many(number: int) -> Iterator[Fault]:
    """Return faults of as many devices, pages and reasons as there are faults, and one device that stands out."""
    usual = fault(0)
    for index in range(number):
        time = START + index * MS // 10
        if index % 4:
            yield replace(usual, time=time, identifier=index, segment=None, address=index << 12, name=f"R{index}",
                          iommu=f"unit{index}", reason="")  # fmt: skip
        else:
            yield replace(usual, time=time)


def test_memory_does_not_grow_with_the_log() -> None:
    """50,000 faults, most with keys of their own, take no more memory than 10,000; the one device is found."""
    peaks = []
    for number in (10_000, 50_000):
        tracemalloc.start()
        summary = summarise(many(number), limits=Limits(rows=512))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        top = summary.sources.rows[0]
        assert top.device == "0000:02:01.0"
        assert top.at_least <= number // 4 <= top.count
        assert summary.sources.others == number - sum(row.at_least for row in summary.sources)
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 16 << 20
