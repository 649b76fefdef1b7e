"""The report as text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults.report import Limits, new_since, summarise
from iommuman.faults.report.text import WIDTH, draw_text
from iommuman.topology import load_topology

from ...conftest import HANDMADE
from .sample import fault, overflow, session
from .test_summary import FAULTS

SESSION = """\
20 faults, 17 records, 4 sources, 2 units
1.500000 s (since the start of the machine)
2026-11-21 01:35:52.891 to 2026-11-21 01:35:57.891, 5 s (UTC)

LOST: at least 40 more faults that no record shows
  TOLD BY   LOST      HOW                                        UNIT
  1 notice  ≥ 40      the kernel did not print so many messages  DMAR
  1 notice  not told  the fault recording registers were full    dmar0

SOURCES
  FAULTS   SHARE  SOURCE        ID      UNIT   MOSTLY  ADDRESSES
      12  60.0 %  0000:02:01.0  0x208   dmar0  SGN.3   0x7d000000-0x7d005800
       6  30.0 %  0000:41:00.0  0x4100  dmar1  SGN.3   0xfee00000
       1   5.0 %  ID 0x9        0x9     dmar0  SGN.3
       1   5.0 %  0000:00:03.0  0x18    dmar0  RTA.1   0x0

REASONS
  FAULTS   SHARE  NAME   REASON                                      FIRST                    FOR
      19  95.0 %  SGN.3  the write permission is missing             2026-11-21 01:35:52.891  5 s
       1   5.0 %  RTA.1  the present bit of the root entry is clear  1.500000 s               0 s

ACCESSES
  FAULTS   SHARE  ACCESS
      19  95.0 %  write
       1   5.0 %  read

UNITS
  FAULTS   SHARE  UNIT   FIRST                                 FOR
      14  70.0 %  dmar0  1.500000 s / 2026-11-21 01:35:52.891  0 s / 5 s
       6  30.0 %  dmar1  2026-11-21 01:35:52.892               160 ms

PAGES
  FAULTS   SHARE  PAGE        OF
       6  30.0 %  0xfee00000  0000:41:00.0
       2  10.0 %  0x7d000000  0000:02:01.0
       2  10.0 %  0x7d001000  0000:02:01.0
       2  10.0 %  0x7d002000  0000:02:01.0
       2  10.0 %  0x7d003000  0000:02:01.0
       2  10.0 %  0x7d004000  0000:02:01.0
       2  10.0 %  0x7d005000  0000:02:01.0
       1   5.0 %  0x0         0000:00:03.0

REGIONS
  FAULTS   SHARE  ADDRESSES              SIZE
      12  60.0 %  0x7d000000-0x7d005fff  6 pages
       6  30.0 %  0xfee00000-0xfee00fff  1 page
       1   5.0 %  0x0-0xfff              1 page

ADDRESSES FALL IN
  FAULTS   SHARE  ADDRESSES              WHAT
      12  60.0 %  0x7d000000-0x7f7fffff  reserved memory (rmrr) for 0000:00:02.0
       6  30.0 %  0xfee00000-0xfeefffff  interrupt window, never translated
       1   5.0 %  elsewhere              nothing that is known

STORMS AND BURSTS (no pause over 100 ms; PEAK: in a tenth of a second)
  FAULTS         START                    LENGTH  RATE  PEAK  SOURCE        UNIT
      12  burst  2026-11-21 01:35:52.891  220 ms  55/s     5  0000:02:01.0  dmar0

UNITS THAT FAULT WITHIN THE SAME 10 ms
  TIMES  BY CHANCE  UNITS
      3     0.0837  dmar0 and dmar1

TIME LINE from 1.500000 s (since the start of the machine); one column: 1 ms, highest: 1
  █

TIME LINE from 2026-11-21 01:35:52.864 (UTC); one column: 64 ms, highest: 6
  ▆█▇▄                                                                          ▂
      !  (!: records were lost)
"""


def test_the_report_on_a_session() -> None:
    """The whole report on the hand-made session stands as it is written above."""
    assert draw_text(summarise(session(), load_topology([str(HANDMADE / "dmar-segments")]))) == SESSION


def test_nothing_to_tell() -> None:
    """Without faults the report is one line; losses are told all the same."""
    assert draw_text(summarise([])) == "no faults\n"
    assert draw_text(summarise([overflow(0)])).splitlines() == [
        "no faults",
        "",
        "LOST: at least 0 more faults that no record shows",
        "  TOLD BY   LOST      HOW                                      UNIT",
        "  1 notice  not told  the fault recording registers were full  dmar0",
    ]


def test_what_is_left_out_is_counted() -> None:
    """Rows beyond the top are counted below a table; so are accesses that have no row."""
    faults = [fault(identifier=index, name=f"R{index}", device="") for index in range(9)]
    lines = draw_text(summarise(faults, limits=Limits(rows=4)), top=3).splitlines()
    assert lines[0] == "9 faults, 9 records, more than 4 sources, 1 unit"
    assert lines[1] == "9 faults without a time"
    at = lines.index("SOURCES")
    assert lines[at + 2].split() == ["≥", "1", "11.1", "%", "0000:00:01.0", "0x8", "dmar0", "R8", "0x7d000010"]
    assert lines[at + 5 : at + 7] == ["  … 1 more", "  5 faults of these and others are not told apart"]


def test_news_stand_at_the_top() -> None:
    """What is new since a baseline is told before the tables, and so is that nothing is."""
    before = summarise([fault(0), fault(1000)])
    after = summarise([fault(0, count=40), fault(1000, device="mmc0", address=0x9000, name="", reason="other")])
    text = draw_text(after, new_since(after, before), top=1)
    assert text.splitlines()[3:9] == [
        "NEW SINCE THE BASELINE",
        "  new source  mmc0 ID 0x208 dmar0",
        "  new reason  other",
        "  new page    0x9000  mmc0",
        "  faster      all faults: 2/s before, 41/s now",
        "  … 2 more: faster",
    ]
    nothing = new_since(before, before)
    assert "NEW SINCE THE BASELINE\n  nothing\n" in draw_text(before, nothing)
    doubtful = replace(new_since(after, before), sure=False)
    assert "may have been among its others" in draw_text(after, doubtful)


def test_names_do_not_drive_the_terminal() -> None:
    """Control characters of a device's name are shown escaped, and a long name gives way to the numbers."""
    text = draw_text(summarise([fault(0, device="\x1b[31mred" + "A" * 300)]))
    assert "\x1b" not in text
    assert "\\x1b[31mred" in text
    assert "0x7d000010" in text


def test_numbers_that_have_no_room_are_cut_at_the_end_of_the_line() -> None:
    """When even the columns that are never cut do not fit, the line ends at its last character, and nothing fails."""
    clocks = [("utc", 1), ("local", 1 << 100), ("boot", 1 << 120), ("", 1 << 120)]
    faults = [fault(None, time=time, clock=clock, name="", reason="", count=1 << 120) for clock, time in clocks]
    lines = draw_text(summarise(faults)).splitlines()
    assert max(len(line) for line in lines) == WIDTH
    assert lines[lines.index("REASONS") + 2].startswith("  5,316,911,983,139,663,491,615,228,241,121,378,304")


@given(FAULTS, st.text(max_size=200), st.sampled_from(["utc", "boot", "local"]))
def test_no_line_is_too_long(faults: list[Any], name: str, clock: str) -> None:
    """Whatever is in the records, each line fits, and no character drives a terminal."""
    strange = fault(1 << 60, device=name, iommu=name, reason=name, name=name, clock=clock, address=(1 << 64) - 1)
    summary = summarise([*faults, *[strange] * 12, replace(strange, lost=True)])
    lines = draw_text(summary, new_since(summary, summarise(faults))).split("\n")
    assert max(len(line) for line in lines) <= WIDTH
    assert all(line.isprintable() for line in lines)
