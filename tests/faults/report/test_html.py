"""The report as a page: whole, in need of nothing else, and safe from the names in it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.faults.report import Limits, new_since, summarise
from iommuman.faults.report.html import TOP, draw_html
from iommuman.faults.report.svg import MAX_AREAS
from iommuman.topology import Topology, load_topology
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.model import ReservedRegion

from ...conftest import HANDMADE
from .sample import fault, overflow, session
from .test_summary import FAULTS

VOID = {"meta"}
HOSTILE = "</title></td><script>alert(1)</script><img src=http://x/ onerror='x'>\"&\x1b[31m"


class Page(HTMLParser):
    """Reads a page, and fails on a tag that is not closed where it should be."""

    def __init__(self, text: str) -> None:
        """Read the whole page."""
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: dict[str, int] = {}
        self.attributes: set[str] = set()
        self.policy = ""
        self.script = ""
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; its attributes must differ."""
        assert len({name for name, _ in attrs}) == len(attrs)
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}
        self.policy += (dict(attrs).get("content") or "") if ("http-equiv", "Content-Security-Policy") in attrs else ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that has no inside."""
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what people read, and the script."""
        if self.open and self.open[-1] == "script":
            self.script += data
        elif "style" not in self.open:
            self.text += data


HARMLESS = {
    "aria-label", "charset", "class", "content", "d", "data-v", "height", "http-equiv", "lang", "name", "opacity",
    "role", "rx", "text-anchor", "viewbox", "width", "x", "y",
}  # fmt: skip


def check(text: str) -> Page:
    """Return the page, which fetches nothing and runs no script but its own."""
    page = Page(text)
    assert (
        page.tags["script"] == page.tags["html"] == page.tags["body"] == page.tags["title"] - text.count("<title>") + 1
    )
    assert page.attributes <= HARMLESS
    assert page.tags.keys().isdisjoint({"img", "link", "iframe", "object", "a", "base", "form"})
    assert "url(" not in text
    assert "@import" not in text
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert page.policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return page


def test_the_page_on_a_session() -> None:
    """The page has the figures, both pictures and all tables, and refers to nothing outside."""
    summary = summarise(session(), load_topology([str(HANDMADE / "dmar-segments")]))
    text = draw_html(summary, new_since(summary, summarise([fault(0), fault(60_000)])), "Board 7")
    assert "http:" not in text
    assert "src=" not in text
    page = check(text)
    for words in (
        "Board 7",
        "20 faults in 17 records, 4 sources, 2 units",
        "2026-11-21 01:35:52.891 to 2026-11-21 01:35:57.891, 5 s (UTC)",
        "At least 40 more faults were lost",
        "New since the baseline",
        "0000:41:00.0 (ID 0x4100)",
        "all faults",
        "2026-11-21 01:35:53.024: 4 faults in 32 ms",
        "burst of 12 faults in 220 ms: 0000:02:01.0 dmar0",
        "40 MiB, 12 faults",
        "reserved memory (rmrr) for 0000:00:02.0: 0x7d000000-0x7f7fffff, 12 faults",
        "0x7d000000-0x7d005fff: 12 faults",
        "nothing that is known",
        "dmar0 and dmar1",
    ):
        assert words in page.text, words
    heads = re.findall(r"<h2>([^<]*)</h2>", text)
    assert heads == [
        "New since the baseline",
        "Time line",
        "Memory map",
        "Sources",
        "Reasons",
        "Kinds of access",
        "Units",
        "What addresses fall in",
        "Pages",
        "Pages that touch, as regions",
        "Storms and bursts, no pause over 100 ms",
        "Units that fault within the same 10 ms",
    ]


def test_the_bar_of_a_bin_is_as_high_as_its_share() -> None:
    """Of two bins with 4 and 1 faults the second has a quarter of the height; a loss has a mark of its own."""
    text = draw_html(summarise([fault(0, count=4), fault(10), overflow(10)]))
    assert [float(high) for high in re.findall(r'class="bar"[^>]* height="([0-9.]+)"', text)] == [120.0, 30.0]
    assert text.count('class="lost"') == 1
    assert "at least 1 lost" in text


def test_storms_that_overlap_have_lanes_of_their_own() -> None:
    """Two storms at once stand below each other; when the lanes are full, the rest is left to the table."""
    faults = [fault(index, identifier=who) for index in range(12) for who in range(8)]
    rows = re.findall(r'class="storm" x="[0-9.]+" y="(\d+)"', draw_html(summarise(faults)))
    assert rows == ["154", "163", "172", "181", "190", "199"]


def test_no_faults_are_a_page_as_well() -> None:
    """Without faults the page says so; what was lost is there all the same."""
    assert "No faults." in check(draw_html(summarise([]))).text
    page = check(draw_html(summarise([overflow(0)]), new_since(summarise([]), summarise([]))))
    assert "No faults." in page.text
    assert "not told" in page.text
    assert "Nothing." in page.text


def test_faults_without_time_or_address_need_no_pictures() -> None:
    """What is not known is not drawn."""
    page = check(draw_html(summarise([fault(address=None)])))
    assert "svg" not in page.tags
    assert "1 fault without a time" in page.text


def test_names_from_input_stay_text() -> None:
    """Tags, quotes and control characters in names of devices, units, reasons and the board do nothing."""
    builder = TopologyBuilder()
    builder.reserved.append(ReservedRegion("rmrr", 0, 0x9000, Origin(""), "direct", devices=(HOSTILE,)))
    strange = [fault(index, device=HOSTILE, iommu=HOSTILE, name=HOSTILE, reason=HOSTILE) for index in range(12)]
    other = [fault(index, iommu=HOSTILE + "2", device="") for index in range(0, 12, 5)]
    summary = summarise([*strange, *other, overflow(3), fault(3, lost=True, reason=HOSTILE)], Topology(builder))
    text = draw_html(summary, new_since(summary, summarise([])), HOSTILE)
    page = check(text)
    assert "<img" not in text
    assert "\x1b" not in text
    assert page.text.count("<script>alert(1)</script>") > 10


def test_what_has_no_room_is_counted() -> None:
    """Rows beyond the page's, areas beyond the map's and accesses without a row are told in numbers."""
    summary = summarise([fault(identifier=index, address=index << 40) for index in range(70)], limits=Limits(rows=60))
    summary_news = new_since(summary, summarise([fault()], limits=Limits(rows=1)))
    page = check(draw_html(summary, summary_news))
    assert "more than 60 sources" in page.text
    assert f"{60 - TOP} more; 10 faults of these and others are not told apart" in page.text
    assert f"{60 - MAX_AREAS} areas with fewer faults not shown" in page.text
    doubtful = new_since(summary, summarise([fault(identifier=1), fault(identifier=2)], limits=Limits(rows=1)))
    assert "some may not be new" in draw_html(summary, doubtful)


@given(FAULTS, st.text(max_size=60))
def test_any_report_is_a_whole_page(faults: list[Any], name: str) -> None:
    """Whatever was summed up, the tags of the page match and nothing is fetched."""
    strange = [fault(index * 7, device=name, iommu=name, reason=name, name=name) for index in range(12)]
    check(draw_html(summarise([*faults, *strange]), title=name))


@pytest.mark.parametrize(("address", "strips"), [(0x7000, 1), (0x2000000, 2)])
def test_what_lies_near_shares_a_strip(address: int, strips: int) -> None:
    """Pages within 16 MiB of each other are drawn on one strip, those further away on their own."""
    text = draw_html(summarise([fault(address=0x1000), fault(address=address)]))
    assert text.count('class="strip"') == strips


def test_columns_are_sorted_by_their_numbers() -> None:
    """IDs and addresses carry the number that they are sorted by; what is not known comes first."""
    text = draw_html(summarise([fault(), fault(identifier=None, address=None, count=2)]))
    assert f'<td class="m" data-v="{0x208 + 1}">0x208</td>' in text
    assert f'<td class="m" data-v="{0x7D000010 + 1}">0x7d000010</td>' in text
    assert '<td class="m" data-v="0"></td>' in text
    assert '<td class="n" data-v="2">66.7 %</td>' in text


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ((1,), "4 KiB, 1 fault"),
        ((0, 0xFFF), "16 MiB, 2 faults"),
        ((0, 0x101), "1.008 MiB, 2 faults"),
        ((0, 0x1001, 0x2002), "32.01 MiB, 3 faults"),
    ],
)
def test_the_size_of_a_strip_is_rounded(pages: tuple[int, ...], words: str) -> None:
    """A strip says how much memory it shows in four figures."""
    assert words in draw_html(summarise([fault(address=page << 12) for page in pages]))


def test_a_page_at_the_end_of_a_strip_stays_inside() -> None:
    """A page that would be narrower than can be seen is drawn two wide, and not beyond the end of its strip."""
    builder = TopologyBuilder()
    builder.reserved.append(ReservedRegion("rmrr", 0, 5 << 40, Origin(""), "direct"))
    text = draw_html(summarise([fault(address=(5 << 40) - 1)], Topology(builder)))
    assert '<rect class="heat" x="954.0" width="2.0"' in text
    assert "5 TiB, 1 fault" in text
