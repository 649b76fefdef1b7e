"""Which devices have an ID in common: single IDs, ranges, masks, and units that see none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.topology import Device, Route
from iommuman.topology.shared_ids import MOST_MASKS, SharedId, shared_ids
from iommuman.topology.view import Attachment

HERE = Origin("here")


def sends(name: str, stream: int | None, count: int = 1, ignored: int = 0, unit: str = "unit") -> Attachment:
    """Return a device with one ID, or several in a row."""
    route = Route(stream, "", None, "controlled", unit, stream, count, ignored)
    return Attachment(Device(name, "dt", HERE), (route,))


def pairs(*members: Attachment) -> set[frozenset[str]]:
    """Return who is together with whom, taken transitively as groups do."""
    groups: list[set[str]] = [{one.device.name} for one in members]
    for found in shared_ids(members):
        joined = [group for group in groups if group & set(found.devices)]
        groups = [group for group in groups if group not in joined] + [set().union(*joined)]
    return {frozenset(group) for group in groups}


def test_equal_ids_of_one_unit_are_shared() -> None:
    """The same number at another unit is another ID."""
    found = list(shared_ids([sends("a", 4), sends("b", 4), sends("c", 4, unit="other"), sends("d", 5)]))
    assert found == [SharedId("unit", 4, ("a", "b"), ("", ""))]


def test_ranges_are_shared_where_they_overlap() -> None:
    """The last ID of a range is in it, the one after is not."""
    assert pairs(sends("a", 4, 4), sends("b", 7), sends("c", 8)) == {frozenset("ab"), frozenset("c")}
    assert pairs(sends("a", 4, 4), sends("b", 2, 3), sends("c", 0, 2)) == {frozenset("ab"), frozenset("c")}


def test_a_unit_that_sees_no_ids_tells_nobody_apart() -> None:
    """Whoever else is there."""
    found = list(shared_ids([sends("a", None), sends("b", None), sends("c", 3)]))
    assert [(one.stream, one.devices) for one in found] == [(None, ("a", "b", "c"))]


def test_ids_that_differ_in_ignored_bits_are_one() -> None:
    """It is enough that one of the two ignores the bit; two that ignore none stay apart."""
    assert pairs(sends("a", 0x10, ignored=0xF), sends("b", 0x1F)) == {frozenset("ab")}
    assert pairs(sends("a", 0x10, ignored=0xF), sends("b", 0x20)) == {frozenset("a"), frozenset("b")}
    assert pairs(sends("a", 0x10, ignored=0xF), sends("b", 0x13, ignored=0xF0)) == {frozenset("ab")}
    assert pairs(sends("a", 0x00, ignored=0x1), sends("b", 0x02), sends("c", 0x03)) == {
        frozenset("a"), frozenset("b"), frozenset("c")
    }  # fmt: skip
    assert pairs(sends("a", 0x10, ignored=0x3), sends("b", 0x12, 8)) == {frozenset("ab")}


def test_that_bits_are_ignored_is_said_only_when_it_is_for_them() -> None:
    """Equal IDs are shared with or without."""
    (found,) = shared_ids([sends("a", 0x10, ignored=1), sends("b", 0x10, ignored=1)])
    assert found.ignored == 0
    (found,) = shared_ids([sends("a", 0x10, ignored=1), sends("b", 0x11, ignored=1)])
    assert found.ignored == 1


def test_of_more_masks_than_hardware_has_all_bits_count_as_ignored() -> None:
    """Rather too few devices are told apart than too many, and the time stays bounded."""
    many = [sends(f"d{number}", number << 16, ignored=number) for number in range(1, MOST_MASKS + 2)]
    wide = [sends("x", 0x1000000), sends("y", 0x10000FF)]
    assert frozenset("xy") not in pairs(*many, *wide)
    wide[0] = sends("x", 0x1000000, ignored=1)
    assert frozenset("xy") in pairs(*many, *wide)


IDS = st.tuples(st.integers(0, 31), st.sampled_from([0, 0, 1, 3, 4, 16]))


@given(st.lists(IDS, max_size=8))
def test_the_groups_are_those_of_comparing_each_with_each(sent: list[tuple[int, int]]) -> None:
    """Two IDs are one when they differ only in bits that one of them ignores."""
    members = [sends(f"d{index}", number, ignored=mask) for index, (number, mask) in enumerate(sent)]
    groups: list[set[str]] = []
    for index, (number, mask) in enumerate(sent):
        mine = {f"d{index}"}
        for other, (theirs, hidden) in enumerate(sent):
            if not (number ^ theirs) & ~(mask | hidden):
                mine.add(f"d{other}")
        joined = [group for group in groups if group & mine]
        groups = [group for group in groups if group not in joined] + [mine.union(*joined)]
    assert pairs(*members) == {frozenset(group) for group in groups}
