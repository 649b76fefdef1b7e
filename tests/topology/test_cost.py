"""What reserved memory costs: tables counted by hand, and held to a count of every page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.topology import ReservedRegion
from iommuman.topology.cost import Cost, cost

MIB, GIB = 1 << 20, 1 << 30


def region(start: int, length: int, meaning: str = "direct") -> ReservedRegion:
    """Return reserved memory."""
    return ReservedRegion("rmrr", start, length, Origin(""), meaning)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        # 40 MiB of graphics memory, whose last 2 MiB are whole: root, two tables, and 20 of pages; or none of pages
        ([(0x7D000000, 40 * MIB)], Cost(40 * MIB, 0, 4, 23 * 4096, 3 * 4096)),
        # a USB controller's 128 KiB
        ([(0x7B800000, 0x20000)], Cost(0x20000, 0, 4, 4 * 4096, 4 * 4096)),
        # one byte more than a page, across 2 MiB
        ([(0x1FFFFF, 2)], Cost(0x2000, 0x1FFE, 4, 5 * 4096, 5 * 4096)),
        # 2 GiB from 1 GiB on, and 64 KiB beyond
        ([(GIB, 2 * GIB + 0x10000)], Cost(2 * GIB + 0x10000, 0, 4, (1 + 1 + 3 + 1025) * 4096, 4 * 4096)),
        # two regions share tables; an overlap counts once
        ([(0, 0x1000), (0x1000, 0x1000)], Cost(0x2000, 0, 4, 4 * 4096, 4 * 4096)),
        ([(0, 0x2000), (0x1000, 0x800)], Cost(0x2000, 0, 4, 4 * 4096, 4 * 4096)),
        ([(1 << 48, 0x1000)], Cost(0x1000, 0, 5, 5 * 4096, 5 * 4096)),
        ([((1 << 64) - 0x1000, 0x1000)], Cost(0x1000, 0, 6, 6 * 4096, 6 * 4096)),
    ],
)
def test_costs(regions: list[tuple[int, int]], expected: Cost) -> None:
    """Memory in whole pages, and the tables of a domain that maps nothing else."""
    assert cost([region(*one) for one in regions]) == expected


def test_what_need_not_be_mapped_costs_nothing() -> None:
    """Addresses to avoid, memory that no IOMMU is told of, and empty regions have no cost here."""
    assert cost([region(0, 4096, "avoid"), region(0, 4096, "memory"), region(0, 0)]) is None
    assert cost([]) is None


@given(st.lists(st.tuples(st.integers(0, 40 * MIB), st.integers(1, 6 * MIB)), min_size=1, max_size=4))
def test_tables_are_those_that_the_pages_need(regions: list[tuple[int, int]]) -> None:
    """With pages of 4 KiB there is a table wherever a page is; large pages never take more, and lose only tables."""
    found = cost([region(*one) for one in regions])
    assert found is not None
    pages = {page for start, length in regions for page in range(start >> 12, (start + length - 1 >> 12) + 1)}
    assert found.memory == len(pages) * 4096
    tables = {(level, page >> 9 * level) for page in pages for level in (1, 2, 3)}
    assert found.small == (len(tables) + 1) * 4096
    whole = {page >> 9 for page in pages if all(page >> 9 << 9 | low in pages for low in range(512))}
    assert found.large == found.small - len(whole) * 4096
