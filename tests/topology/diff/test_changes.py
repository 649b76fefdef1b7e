"""What differs: nothing from itself, the mirror image from the other side, and enough to get from one to the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.topology import (
    Device,
    Fact,
    Grant,
    IdMap,
    Iommu,
    PciRoot,
    ReservedRegion,
    StreamRange,
    load_topology,
)
from iommuman.topology.diff.changes import Change, apply, diff, mirror
from iommuman.topology.diff.picture import Picture, Subject, picture

from tests.conftest import BOARDS, ROOT, corpus_files
from tests.topology.diff.boards import (
    HERE,
    THERE,
    Record,
    board,
    by_thing,
    fixture_pictures,
    fixture_topologies,
    function,
    picture_of,
    root,
    takes,
    unit,
)


@cache
def all_changes() -> dict[tuple[str, str], tuple[Change, ...]]:
    """Return what differs between each two fixtures."""
    pictures = fixture_pictures()
    return {(one, other): diff(a, b) for one, a in pictures.items() for other, b in pictures.items()}


def holds(a: Picture, b: Picture) -> None:
    """Hold two pictures to what must be true of any."""
    there, back = diff(a, b), diff(b, a)
    assert apply(a, there) == b
    assert apply(b, back) == a
    assert by_thing(mirror(there)) == by_thing(back)
    assert (there == ()) == (a == b)


def test_there_are_fixtures() -> None:
    """The properties below are tried on boards of every kind."""
    assert len(fixture_pictures()) > 40


@pytest.mark.parametrize("name", fixture_topologies())
def test_a_board_does_not_differ_from_itself(name: str) -> None:
    """A board read a second time differs in nothing from the first."""
    assert diff(fixture_pictures()[name], picture(fixture_topologies()[name])) == ()


@pytest.mark.parametrize("name", fixture_topologies())
def test_what_is_listed_leads_from_any_board_to_any_other(name: str) -> None:
    """Applying what is listed to one fixture gives the other, for each ordered pair."""
    pictures = fixture_pictures()
    for other, b in pictures.items():
        assert apply(pictures[name], all_changes()[name, other]) == b, other


@pytest.mark.parametrize("name", fixture_topologies())
def test_the_other_way_round_is_the_mirror_image(name: str) -> None:
    """What differs between B and A is the mirror image of what differs between A and B, for each ordered pair."""
    for other in fixture_pictures():
        assert by_thing(mirror(all_changes()[name, other])) == by_thing(all_changes()[other, name]), other


def test_boards_that_are_equal_are_the_only_ones_without_changes() -> None:
    """Nothing is listed exactly when the pictures are equal."""
    pictures = fixture_pictures()
    for (one, other), changes in all_changes().items():
        assert (changes == ()) == (pictures[one] == pictures[other]), (one, other)


def test_real_machines_hold_as_well() -> None:
    """Mirror image and application hold for real tables, where these are present."""
    pictures = [picture(load_topology([str(path)])) for path in corpus_files("DMAR", "IORT")[:160:4]]
    for a in pictures:
        for b in pictures:
            holds(a, b)


def test_the_same_board_by_acpi_and_by_device_tree() -> None:
    """Of a board that ACPI and a device tree describe, only what they really say differently differs."""
    pictures = fixture_pictures()
    changes = diff(pictures["virt-smmuv3-acpi"], pictures["virt-smmuv3-dt"])
    assert [(one.kind, one.subject.kind, one.subject.name, one.field) for one in changes] == [
        ("moved", "msi", "its:0", ""),
        ("changed", "msi", "its:0", "registers"),
        ("removed", "device", "0000:00:09.0", ""),
        ("removed", "device", "0000:40:00.0", ""),
        ("removed", "device", "0000:41:00.0", ""),
        ("changed", "space", "pci:0000", "address bits"),
        ("changed", "space", "pci:0000", "requester IDs"),
    ]


def test_the_order_of_the_sources_makes_no_difference() -> None:
    """A board whose files are named one by one, in another order, is the same board."""
    folder = BOARDS / "q35-vtd"
    named = load_topology([str(folder / "pci.json"), str(folder / "MCFG.bin"), str(folder / "DMAR.bin")])
    assert diff(fixture_pictures()["q35-vtd"], picture(named)) == ()


# Small boards, in which anything may be another from one to the next.
UNITS = st.lists(
    st.builds(
        lambda base, kind, segment, enabled: Iommu(
            f"{kind}@{base:x}", kind, HERE, base, segment=segment, enabled=enabled
        ),
        st.sampled_from([0x1000, 0x2000, 0x3000]),
        st.sampled_from(["vtd", "smmuv3"]),
        st.sampled_from([0, None]),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
)
TARGETS = [f"{kind}@{base}000" for kind in ("vtd", "smmuv3") for base in (1, 2, 3)]
DEVICES = st.lists(
    st.one_of(
        st.builds(function, st.integers(0, 6), st.sampled_from(["", "8086:1", "8086:2"])),
        st.builds(
            lambda name: Device(name, "dt" if name.startswith("dt") else "acpi", HERE),
            st.sampled_from(["dt:/usb@1", "dt:/soc/usb@1", "dt:/soc/mmc@2", r"acpi:\_SB.USB@1"]),
        ),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)
MAPS = st.lists(
    st.builds(
        lambda source, target, base, length, output, single: IdMap(
            source, target, base, length, output, HERE, "test", single=single
        ),
        st.sampled_from(["pci:0000", "dt:/host", "dt:/usb@1", "dt:/soc/usb@1", "dt:/soc/mmc@2"]),
        st.sampled_from(TARGETS),
        st.integers(0, 6),
        st.integers(1, 4),
        st.sampled_from([None, 0, 4, 8]),
        st.sampled_from([False, False, True]),
    ),
    max_size=5,
)
REGIONS = st.lists(
    st.builds(
        lambda start, length, devices, streams: ReservedRegion(
            "rmr", start, length, HERE, "direct", None, devices, streams
        ),
        st.integers(0, 8),
        st.integers(0, 4),
        st.sampled_from([(), ("dt:/usb@1",), ("0000:00:00.1",)]),
        st.sampled_from([(), (StreamRange("vtd@1000", 0, 4),), (StreamRange("vtd@1000", 2, 4),)]),
    ),
    max_size=3,
)
GRANTS = st.lists(
    st.builds(
        lambda start, length, read, devices: Grant("set", start, length, read, not read, devices, HERE),
        st.integers(0, 8),
        st.integers(0, 4),
        st.booleans(),
        st.sampled_from([(), ("dt:/usb@1",), ("0000:00:00.1",)]),
    ),
    max_size=3,
)
ROOTS = st.sampled_from(
    [(), (root(),), (root(), PciRoot("dt:/host", HERE, None)), (PciRoot("dt:/bus/host", HERE, None),)]
)
FACTS = st.sampled_from(
    [(), (Fact("interrupt remapping", value=True, origin=HERE),), (Fact("opt-in", value=False, origin=HERE),)]
)
SMALL_BOARDS = st.tuples(UNITS, DEVICES, MAPS, REGIONS, GRANTS, ROOTS, FACTS).map(
    lambda parts: picture_of(*(record for part in parts for record in part))
)


@given(SMALL_BOARDS, SMALL_BOARDS)
def test_any_two_boards_hold(a: Picture, b: Picture) -> None:
    """Whatever two boards say, the mirror image and the application of what differs hold."""
    holds(a, b)


def test_what_ranges_a_table_writes_makes_no_difference() -> None:
    """One range and the two that make it up are the same, and so is the order of entries."""
    one = picture_of(root(), unit(), unit(0x2000), takes(0, 8), takes(16, 8, target="vtd@2000"))
    other = picture_of(
        root(), unit(), unit(0x2000), takes(16, 8, target="vtd@2000"), takes(4, 4), takes(0, 4), takes(0, 8)
    )
    assert diff(one, other) == ()


def test_a_unit_elsewhere_is_moved() -> None:
    """A unit with the same devices at another address is moved, and its devices are where they were."""
    a = picture_of(root(), unit(), function(8), takes(0, 0x10000))
    b = picture_of(root(), unit(0x5000), function(8), takes(0, 0x10000, target="vtd@5000"))
    moved, registers = diff(a, b)
    assert (moved.kind, moved.before, moved.after, moved.field) == (
        ("moved", Subject("unit", "vtd@1000"), Subject("unit", "vtd@5000"), "")
    )
    assert (registers.kind, registers.field) == ("changed", "registers")
    assert moved.renames
    assert not registers.renames


def test_a_device_behind_another_unit_is_moved() -> None:
    """A device that goes from one unit to another is one change with both, and so is a region that moves whole."""
    stays = takes(0x10, 8), takes(0x18, 8, target="vtd@2000"), unit(), unit(0x2000), root(), function(8)
    a = picture_of(*stays, takes(8), ReservedRegion("rmrr", 0x1000, 64, HERE, "direct", devices=("0000:00:01.0",)))
    b = picture_of(*stays, takes(8, target="vtd@2000"),
                   ReservedRegion("rmrr", 0x9000, 64, THERE, "direct", devices=("0000:00:01.0",)))  # fmt: skip
    device, ids, region = diff(a, b)
    assert (device.kind, device.field) == ("moved", "access")
    assert (ids.kind, ids.subject.kind) == ("changed", "space")
    assert (region.kind, region.origins_before, region.origins_after) == ("moved", (HERE,), (THERE,))


def test_reserved_memory_of_a_device_that_moved_moves_with_it() -> None:
    """What belongs to a device with another name is compared with what belongs to it there, and can be gone."""
    region = ReservedRegion("rmrr", 0x1000, 64, HERE, "direct", devices=("0000:00:01.0",))
    a = picture_of(root(), function(8, "8086:1"), region)
    b = picture_of(root(), function(16, "8086:1"))
    changes = diff(a, b)
    assert [(one.kind, one.subject) for one in changes] == [
        ("moved", Subject("device", "0000:00:01.0")),
        ("changed", Subject("device", "0000:00:01.0")),
        ("removed", Subject("reserved", "0000:00:01.0")),
    ]
    assert apply(a, changes) == b


def test_order_is_that_of_the_sources() -> None:
    """Things come by kind; within a kind those of A in its order, then those that only B has in its order."""
    a = picture_of(unit(0x3000), unit(0x2000), Device("dt:/z", "dt", HERE), Device("dt:/y", "dt", HERE))
    b = picture_of(unit(0x9000, "smmuv3"), unit(0x8000, "smmuv3"), Device("dt:/x", "dt", HERE))
    names = [one.subject.name for one in diff(a, b)]
    assert names == ["vtd@3000", "vtd@2000", "smmuv3@9000", "smmuv3@8000", "dt:/z", "dt:/y", "dt:/x"]


def test_a_change_names_its_thing() -> None:
    """The thing of a change is named as A names it, and as B does when A has it not."""
    added = Change("added", None, Subject("unit", "b"))
    assert added.subject == Subject("unit", "b")
    assert Change("moved", Subject("unit", "a"), Subject("unit", "b")).subject == Subject("unit", "a")
    assert mirror([added]) == (Change("removed", Subject("unit", "b"), None),)


def test_silence_is_seen() -> None:
    """A board of which nothing can be concluded differs from one that has no IOMMU."""
    records: tuple[Record, ...] = (root(), function(8))
    a, b = picture(board(records)), picture(board(records, "no table"))
    assert [(one.subject.kind, one.field) for one in diff(a, b)] == [("device", "access"), ("space", "requester IDs")]


def test_the_example_of_the_documentation_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python example of docs/diff.md runs as it stands."""
    monkeypatch.chdir(ROOT)
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "diff.md").read_text(), re.DOTALL)
    assert example is not None
    run: Callable[[str, dict[str, object]], None] = exec
    run(example[1], {})
