"""Values: differences as sets, and what was different put back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.topology.diff.values import (
    Access,
    Many,
    Spread,
    Value,
    Ways,
    count,
    difference,
    patched,
    ranges,
    spread,
    without,
)
from iommuman.topology.spaces import Segment, Way

from tests.topology.diff.boards import HERE, THERE

PIECES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=6)
MANY = st.lists(st.sampled_from("abcdef"), max_size=4).map(lambda words: Many(dict.fromkeys(words, (HERE,))))
SPREADS = st.lists(
    st.tuples(st.sampled_from([Access("controlled", "u"), Access("controlled", "v"), "read"]), st.integers(0, 40),
              st.integers(1, 9), st.just(HERE)), max_size=6,
).map(spread)  # fmt: skip
WAY = st.builds(
    Way,
    st.sampled_from(["controlled", "no-iommu"]),
    st.sampled_from(["u", None]),
    st.sampled_from([None, 0, 8]),
    st.sampled_from([0xFFFF, 0xFFFC, 3, 0]),
    st.sampled_from([0, 1]),
)
WAYS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), WAY), max_size=5).map(
    lambda parts: Ways(
        Segment(
            sum(gap + length for gap, length, _ in parts[:index]) + parts[index][0], parts[index][1], parts[index][2]
        )
        for index in range(len(parts))
    )
)


def some(value: Value) -> Value | None:
    """Return the value, or None when it is empty: pictures hold no empty ones."""
    empty = (isinstance(value, Many) and not value.said) or value in (Spread({}, ()), Ways(()))
    return None if empty else value


@given(PIECES, PIECES)
def test_ranges_are_sets(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """Ranges hold exactly the integers of their pieces, and differences those that only the one has."""

    def members(pieces: list[tuple[int, int]]) -> set[int]:
        return {number for start, length in pieces for number in range(start, start + length)}

    whole, part = ranges(*one), ranges(*other)
    assert members(list(whole)) == members(one)
    assert count(whole) == len(members(one))
    assert all(first[0] + first[1] < second[0] for first, second in pairwise(whole))
    assert members(list(without(whole, part))) == members(one) - members(other)


@given(st.one_of(st.tuples(MANY, MANY), st.tuples(SPREADS, SPREADS), st.tuples(WAYS, WAYS)))
def test_what_differs_leads_from_one_to_the_other(pair: tuple[Value, Value]) -> None:
    """Taking away what only the one says, and adding what only the other says, gives the other; both ways round."""
    before, after = some(pair[0]), some(pair[1])
    was, now = difference(before, after)
    assert patched(before, was, now) == after
    assert patched(after, now, was) == before
    assert (was is None and now is None) == (before == after)


@given(WAYS, WAYS)
def test_ways_differ_where_an_id_fares_otherwise(one: Ways, other: Ways) -> None:
    """Of each ID that is in the difference the two say something else, and of no other."""
    rest = one.minus(other)
    for number in range(80):
        mine, theirs = one.at(number), other.at(number)
        same = (
            mine is not None
            and theirs is not None
            and (mine.verdict, mine.target, mine.ignored, mine.at(number))
            == ((theirs.verdict, theirs.target, theirs.ignored, theirs.at(number)))
        )
        assert ((rest.at(number) if rest else None) is not None) == (mine is not None and not same)


def test_masks_that_make_no_difference_are_no_difference() -> None:
    """Two masks that leave the IDs of a range the same say the same, and for other IDs only those differ."""
    masked = Ways([Segment(0, 0x200, Way("controlled", "u", 0, 0xFF))])
    plain = Ways([Segment(0, 0x200, Way("controlled", "u", 0))])
    rest = masked.minus(plain)
    assert rest is not None
    assert [(one.first, one.length) for one in rest.segments] == [(0x100, 0x100)]
    assert Ways([Segment(0, 0x100, Way("controlled", "u", 0, 0xFF))]) == Ways(
        [Segment(0, 0x80, Way("controlled", "u", 0)), Segment(0x80, 0x80, Way("controlled", "u", 0))]
    )


def test_places_are_those_of_what_is_said() -> None:
    """A part of a value names the places that say that part, each once; equality does not look at places."""
    first, second = Access("controlled", "u"), Access("controlled", "v")
    value = spread([(first, 0, 4, HERE), (first, 2, 4, THERE), (second, 0, 4, THERE)])
    assert value.places() == (HERE, THERE)
    assert value.places_of({first: ((5, 1),)}) == (THERE,)
    assert value == spread([(first, 0, 6, Origin("x")), (second, 0, 4, HERE)])
    rest = value.minus(spread([(first, 1, 9, HERE)]))
    assert rest is not None
    assert (rest.parts, rest.places()) == ({first: ((0, 1),), second: ((0, 4),)}, (HERE, THERE))


def test_neighbours_that_say_the_same_are_one() -> None:
    """Segments that touch and say the same become one segment, with the places of both."""
    way = Way("controlled", "u", 0)
    ways = Ways([Segment(0, 4, way, (HERE,)), Segment(4, 4, way, (THERE,)), Segment(9, 1, way, (THERE,))])
    assert [(one.first, one.length, one.origins) for one in ways.segments] == [(0, 8, (HERE, THERE)), (9, 1, (THERE,))]
    assert ways.places() == (HERE, THERE)
    assert ways.at(8) is None


def test_other_names() -> None:
    """Names in values are those of the other side when asked for."""
    names = {"u": "w"}
    assert Many({"u": (HERE,), "x": (HERE,)}).renamed(names) == Many({"w": (), "x": ()})
    label, other = Access("controlled", "u"), Access("controlled", "w")
    both = spread([(label, 0, 4, HERE), (other, 4, 4, HERE)])
    assert both.renamed(names).parts == {other: ((0, 8),)}
    assert both.renamed(names).places() == (HERE,)
    ways = Ways([Segment(0, 4, Way("controlled", "u", 0)), Segment(4, 4, Way("no-iommu", None, None))])
    assert [one.way.target for one in ways.renamed(names).segments] == ["w", None]


def test_values_of_two_kinds_are_wholly_different() -> None:
    """A field that is of another kind on the other side is gone and come as a whole."""
    words, numbers = Many({"a": (HERE,)}), spread([("read", 0, 4, HERE)])
    assert difference(words, numbers) == (words, numbers)
    assert patched(words, words, numbers) == numbers
    assert patched(words, None, numbers) == numbers
    assert words != numbers
    assert numbers != words
    assert Ways(()) != words


def test_values_show_what_they_say() -> None:
    """The representation of a value shows what it says."""
    assert repr(Many({"a": ()})) == "Many(['a'])"
    assert repr(spread([("read", 0, 4, HERE)])) == "Spread({'read': ((0, 4),)})"
    assert repr(Ways([Segment(16, 4, Way("no-iommu", None, None))])).startswith("Ways(0x10+0x4: Way(verdict='no-iommu'")
