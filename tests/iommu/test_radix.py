"""What drivers of page tables share, beyond what the tests of each driver show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from iommuman.iommu.radix import aligned_blocks


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(0, 20))
def test_blocks_to_invalidate_cover_the_range_and_are_aligned(start: int, count: int, most: int) -> None:
    """Every block is as the invalidation address register wants it; together they are the range."""
    blocks = aligned_blocks(start << 12, count << 12, most)
    at = start
    for address, order in blocks:
        assert order <= most
        assert address == at << 12
        assert at % (1 << order) == 0
        at += 1 << order
    assert at == start + count
