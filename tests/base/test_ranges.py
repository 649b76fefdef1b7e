"""Range sets against a model: a plain set of integers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import RangeSet

TOP = 64
RANGES = st.tuples(st.integers(0, TOP), st.integers(0, 12))
STEPS = st.lists(st.tuples(st.booleans(), RANGES), max_size=30)


def model(steps: list[tuple[bool, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    """Return a range set and a set of integers that went through the same steps."""
    ranges, numbers = RangeSet(), set[int]()
    for adds, (start, length) in steps:
        if adds:
            ranges.add(start, length)
            numbers |= set(range(start, start + length))
        else:
            ranges.remove(start, length)
            numbers -= set(range(start, start + length))
    return ranges, numbers


def runs(numbers: set[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive integers in a set, as (start, length)."""
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number + 1 for number in numbers if number + 1 not in numbers)
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


@given(STEPS)
def test_a_range_set_holds_what_a_set_of_integers_holds(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    """After any additions and removals the ranges are exactly the runs of the integers: sorted, disjoint, joined."""
    ranges, numbers = model(steps)
    assert list(ranges) == runs(numbers)
    assert len(ranges) == len(runs(numbers))
    assert {number for number in range(TOP + 20) if number in ranges} == numbers
    assert -1 not in ranges


@given(STEPS, RANGES)
def test_overlaps_are_those_of_the_integers(steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]) -> None:
    """The parts of a range that are in the set, and whether all of it is, agree with the integers."""
    ranges, numbers = model(steps)
    wanted = set(range(asked[0], sum(asked)))
    assert ranges.overlapping(*asked) == runs(numbers & wanted)
    assert ranges.covers(*asked) == (wanted <= numbers)


@given(st.lists(RANGES, max_size=10), st.randoms(use_true_random=False))
def test_the_order_of_additions_does_not_matter(ranges: list[tuple[int, int]], order: object) -> None:
    """Sets of the same ranges are equal, in whatever order they were added, and show themselves alike."""
    shuffled = list(ranges)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert RangeSet(ranges) == RangeSet(shuffled)
    assert repr(RangeSet(ranges)) == repr(RangeSet(shuffled))


@given(STEPS, RANGES)
def test_removing_undoes_adding_what_was_not_there(
    steps: list[tuple[bool, tuple[int, int]]], extra: tuple[int, int]
) -> None:
    """Adding a range that does not overlap the set and removing it again gives the set back."""
    ranges, numbers = model(steps)
    if not numbers & set(range(extra[0], sum(extra))):
        before = list(ranges)
        ranges.add(*extra)
        ranges.remove(*extra)
        assert list(ranges) == before


def test_numbers_of_64_bits_and_more_are_exact() -> None:
    """The whole 64-bit space fits, and taking one page out of it leaves the two sides."""
    space = RangeSet([(0, 1 << 64)])
    assert space.covers(0xFFFFFFFFFFFFF000, 0x1000)
    assert not space.covers(0xFFFFFFFFFFFFF000, 0x1001)
    space.remove(0x1000, 0x1000)
    assert list(space) == [(0, 0x1000), (0x2000, (1 << 64) - 0x2000)]


def test_touching_ranges_become_one_and_a_gap_of_one_does_not() -> None:
    """Ranges that touch on either side are joined; one missing integer keeps them apart."""
    assert list(RangeSet([(0, 2), (4, 2), (2, 2)])) == [(0, 6)]
    assert list(RangeSet([(0, 2), (3, 2)])) == [(0, 2), (3, 2)]


def test_a_range_set_shows_its_ranges_in_hexadecimal() -> None:
    """The representation can be read by people and by Python."""
    shown = RangeSet([(0x1000, 0x10), (0, 1)])
    assert repr(shown) == "RangeSet([(0x0, 0x1), (0x1000, 0x10)])"
    assert repr(RangeSet()) == "RangeSet([])"


def test_a_range_set_equals_only_range_sets_and_has_no_hash() -> None:
    """It is not equal to a list of the same ranges, and cannot be the key of a dictionary."""
    assert RangeSet([(0, 1)]) != [(0, 1)]
    assert RangeSet([(0, 1)]) != RangeSet([(0, 2)])
    with pytest.raises(TypeError, match="unhashable type"):
        hash(RangeSet())


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, -1)])
def test_negative_numbers_are_refused(start: int, length: int) -> None:
    """A negative start or length is a mistake of the caller, and changes nothing."""
    ranges = RangeSet([(0, 4)])
    with pytest.raises(ValueError, match="a range needs a start and a length of 0 or more, not"):
        ranges.add(start, length)
    with pytest.raises(ValueError, match="a range needs a start and a length of 0 or more, not"):
        ranges.remove(start, length)
    assert list(ranges) == [(0, 4)]


def test_nothing_is_covered_always() -> None:
    """A range without integers is in every set, changes none, and overlaps none."""
    ranges = RangeSet([(5, 0)])
    ranges.remove(0, 0)
    assert list(ranges) == []
    assert ranges.covers(7, 0)
    assert RangeSet([(0, 9)]).overlapping(3, 0) == []
