"""Storms of one source, and units that fault together."""

from __future__ import annotations

import pytest
from iommuman.faults.report import runs
from iommuman.faults.report.records import SECOND, Limits, Storm, Together
from iommuman.faults.report.runs import Runs, Source, Windows

MS = 1_000_000
NVME = Source("0000:01:00.0", "dmar0", 0, 0x100)
USB = Source("0000:06:00.0", "dmar0", 0, 0x600)


def test_a_pause_longer_than_the_gap_ends_a_storm() -> None:
    """Twelve faults with pauses of 100 ms are one burst; after 101 ms a new run begins, too short to be told."""
    followed = Runs(Limits())
    for index in range(12):
        followed.add("utc", NVME, 5 * SECOND + index * 50 * MS, 1)
    followed.add("utc", NVME, 5 * SECOND + 550 * MS + 101 * MS, 9)
    found, seen = followed.result()
    assert found == (Storm("0000:01:00.0", "dmar0", 0x100, "utc", 5 * SECOND, 550 * MS, 12, 2),)
    assert seen == 1
    assert found[0].kind == "burst"
    assert found[0].rate == pytest.approx(21.82, abs=0.01)


def test_a_storm_lasts_a_second_or_more() -> None:
    """A run of a second is a storm; a run of one instant has no rate."""
    followed = Runs(Limits(gap=SECOND, least=2))
    for time in (0, SECOND):
        followed.add("boot", NVME, time, 1)
    followed.add("boot", USB, 7, 30)
    instant, storm = followed.result()[0]
    assert (storm.kind, storm.rate) == ("storm", 2.0)
    assert (instant.kind, instant.rate, instant.peak) == ("burst", None, 30)


def test_the_peak_is_that_of_the_fullest_tenth_of_a_second() -> None:
    """Of 1, 5 and 2 accesses in three tenths the peak is 5."""
    followed = Runs(Limits(least=1))
    for time, count in ((0, 1), (100, 2), (199, 3), (200, 2)):
        followed.add("utc", NVME, time * MS, count)
    assert followed.result()[0][0].peak == 5


def test_clocks_and_sources_have_runs_of_their_own() -> None:
    """The same moment by two clocks, or of two sources, is not one run."""
    followed = Runs(Limits(least=1))
    for clock, source in (("utc", NVME), ("boot", NVME), ("utc", USB)):
        followed.add(clock, source, 0, 1)
    assert followed.result()[1] == 3


def test_a_time_that_lies_back_a_little_belongs_to_the_run() -> None:
    """Records of two CPUs that are out of order by less than the gap are of one run, which then begins earlier."""
    followed = Runs(Limits(least=1))
    for time in (100, 60, 120):
        followed.add("utc", NVME, time * MS, 1)
    assert followed.result()[0][0].start == 60 * MS
    assert followed.result()[0][0].length == 60 * MS
    followed.add("utc", NVME, 0, 1)  # 60 ms before the begin: still of it
    followed.add("utc", NVME, 900 * MS, 1)
    followed.add("utc", NVME, 0, 1)  # far back: a machine that was started anew
    assert followed.result()[1] == 3


def test_asking_ends_nothing() -> None:
    """A run that is told of while it goes on is told of once, whole, when it is over."""
    followed = Runs(Limits(least=1))
    followed.add("utc", NVME, 0, 1)
    assert followed.result()[0][0].count == 1
    followed.add("utc", NVME, 1, 1)
    assert [storm.count for storm in followed.result()[0]] == [2]


def test_what_is_followed_and_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more sources than are followed, those that are over end first, else the quietest; the largest are kept."""
    monkeypatch.setattr(runs, "MAX_OPEN", 4)
    monkeypatch.setattr(runs, "MAX_STORMS", 2)
    followed = Runs(Limits(gap=10, least=1))
    for index, time in enumerate((0, 1, 2, 3, 4)):  # the fifth has no room: the first ends early
        followed.add("utc", Source(f"d{index}", "", None, None), time, index + 1)
    followed.add("utc", NVME, 100, 9)  # all others are over
    found, seen = followed.result()
    assert seen == 6
    assert [(storm.device, storm.count) for storm in found] == [("0000:01:00.0", 9), ("d4", 5)]
    assert len(followed._open) == 1
    followed.add("utc", USB, 200, 1)  # too small to be kept
    assert followed.result()[0] == found


def test_units_that_share_windows_more_often_than_by_chance() -> None:
    """Of 100 windows two units share 3 where chance would give 0.12; a third shares one, which is no pattern."""
    windows = Windows(Limits(window=10))
    for at in (0, 50, 99):
        windows.add("utc", "dmar0", 10 * at)
        windows.add("utc", "dmar1", 10 * at + 9)
    windows.add("utc", "dmar2", 990)
    windows.add("utc", "dmar1", 600)
    assert windows.result() == (Together("dmar0", "dmar1", 3, 0.12),)


def test_units_that_always_fault_share_windows_by_chance() -> None:
    """Two units that fault in every window are no finding: chance would have it so."""
    windows = Windows(Limits(window=10))
    for at in range(50):
        windows.add("utc", "dmar0", 10 * at)
        windows.add("utc", "dmar1", 10 * at)
    assert windows.result() == ()


def test_asking_for_windows_twice_counts_none_twice() -> None:
    """The window that is open when the question is asked is counted once."""
    windows = Windows(Limits(window=10))
    for at in (0, 7, 50):
        windows.add("utc", "a", 10 * at)
        windows.add("utc", "b", 10 * at)
        found = windows.result()
    assert found[0].windows == 3
    assert windows.result() == found


def test_units_of_a_window_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more units than are noted in one window the rest is passed by, and of these only the first are paired."""
    monkeypatch.setattr(runs, "MAX_UNITS", 3)
    monkeypatch.setattr(runs, "MAX_TOGETHER", 2)
    windows = Windows(Limits(window=10))
    for at in (0, 50):
        for unit in "cbad":
            windows.add("utc", unit, 10 * at)
    assert [(pair.first, pair.second) for pair in windows.result()] == [("a", "b")]
    assert windows._units.get("d") is None
