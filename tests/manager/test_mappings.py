"""Mappings: disjoint segments, held to a plain dictionary of single bytes."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from iommuman.manager import Access, Mappings, Segment

RW = Access.READ | Access.WRITE

SEGMENTS = st.builds(
    Segment,
    st.integers(0, 40),
    st.integers(1, 20),
    st.integers(0, 60),
    st.sampled_from([Access.READ, Access.WRITE, RW]),
)
CHANGES = st.lists(st.one_of(SEGMENTS, st.tuples(st.integers(0, 40), st.integers(1, 20))), max_size=12)


def plain(mappings: Mappings) -> dict[int, tuple[int, Access]]:
    """Return every single device address with what it means."""
    return {one.start + offset: (one.physical + offset, one.access) for one in mappings for offset in range(one.length)}


@given(CHANGES)
def test_changes_do_what_they_do_to_single_addresses(changes: list[Segment | tuple[int, int]]) -> None:
    """After any changes every address means what the last change at it says, and segments are as long as can be."""
    mappings = Mappings()
    expected: dict[int, tuple[int, Access]] = {}
    for change in changes:
        if isinstance(change, Segment):
            mappings.put(change)
            expected |= {change.start + at: (change.physical + at, change.access) for at in range(change.length)}
        else:
            mappings.remove(*change)
            expected = {at: what for at, what in expected.items() if not change[0] <= at < sum(change)}
        assert plain(mappings) == expected
    found = list(mappings)
    assert len(mappings) == len(found)
    for one, after in pairwise(found):
        assert one.end <= after.start
        assert not one.continues(after)


@given(CHANGES, st.integers(0, 60), st.integers(1, 30))
def test_a_part_is_cut_out_of_the_whole(changes: list[Segment | tuple[int, int]], start: int, length: int) -> None:
    """What is within a range is what single addresses of it mean."""
    mappings = Mappings(change for change in changes if isinstance(change, Segment))
    cut = plain(Mappings(mappings.within(start, length)))
    assert cut == {at: what for at, what in plain(mappings).items() if start <= at < start + length}


def test_neighbours_become_one_only_when_they_go_on_in_both_addresses() -> None:
    """Segments are joined when device address, physical address and permission go on, and else stay two."""
    joined = Mappings([Segment(0, 4, 100, RW), Segment(4, 4, 104, RW)])
    assert list(joined) == [Segment(0, 8, 100, RW)]
    assert list(Mappings([Segment(4, 4, 104, RW), Segment(0, 4, 100, RW)])) == list(joined)
    assert len(Mappings([Segment(0, 4, 100, RW), Segment(4, 4, 105, RW)])) == 2
    assert len(Mappings([Segment(0, 4, 100, RW), Segment(4, 4, 104, Access.READ)])) == 2


def test_mappings_are_equal_when_addresses_mean_the_same() -> None:
    """How segments were put does not matter to equality; another type is never equal."""
    assert Mappings([Segment(0, 8, 100, RW)]) == Mappings([Segment(4, 4, 104, RW), Segment(0, 4, 100, RW)])
    assert Mappings() != [Segment(0, 8, 100, RW)]


def test_permissions_have_words() -> None:
    """An access is shown as letters."""
    assert [access.words for access in (Access.READ, RW, Access.EXEC, Access.NONE)] == ["r--", "rw-", "--x", "---"]
