"""Times, rates and counts as text."""

from __future__ import annotations

import pytest
from iommuman.faults.report.records import SECOND, Row, Seen
from iommuman.faults.report.words import clock_words, count_words, moment, rate_words, share, some, span, when

HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0 s"),
        (7, "7 ns"),
        (2_500, "2.5 µs"),
        (17_123_456, "17.1 ms"),
        (SECOND, "1 s"),
        (59_940_000_000, "59.9 s"),
        (60 * SECOND, "1 min"),
        (65_900_000_000, "1 min 5 s"),
        (HOUR, "1 h"),
        (2 * HOUR + 300 * SECOND, "2 h 5 min"),
        (24 * HOUR, "1 d"),
        (24_000 * HOUR + 2 * HOUR, "1,000 d 2 h"),
    ],
)
def test_lengths_of_time(length: int, text: str) -> None:
    """A length of time has the two units that fit it, or three figures of the one that does."""
    assert span(length) == text


@pytest.mark.parametrize(
    ("clock", "time", "text"),
    [
        ("utc", 1_795_224_952_891_548_074, "2026-11-21 01:35:52.891"),
        ("local", 0, "1970-01-01 00:00:00.000"),
        ("boot", 12_345_678_901, "12.345678 s"),
        ("", 1, "0.000000 s"),
        ("utc", 1 << 70, "1180591620717.411303 s"),
    ],
)
def test_moments(clock: str, time: int, text: str) -> None:
    """Clocks that count from 1970 give dates, until the year 10000; the others give seconds."""
    assert moment(clock, time) == text


def test_first_and_last() -> None:
    """Two times stand with the length between them, one time stands alone."""
    assert when(Seen("boot", SECOND, 3 * SECOND)) == "1.000000 s to 3.000000 s, 2 s"
    assert when(Seen("boot", SECOND, SECOND)) == "1.000000 s"


def test_rates_counts_and_shares() -> None:
    """Rates have two figures at least, uncertain counts a sign, and a share of nothing is no share."""
    assert [rate_words(rate) for rate in (None, 0.123, 9.94, 1234.5)] == ["at once", "0.12/s", "9.9/s", "1,234/s"]
    assert (count_words(Row(1200, 0)), count_words(Row(1200, 200))) == ("1,200", "≥ 1,000")
    assert (share(1, 3), share(0, 0)) == ("33.3 %", "")
    assert [some(number, "unit") for number in (0, 1, 2000)] == ["0 units", "1 unit", "2,000 units"]
    assert [clock_words(clock) for clock in ("utc", "local", "boot", "")] == [
        "UTC",
        "local time",
        "since the start of the machine",
        "unknown clock",
    ]
