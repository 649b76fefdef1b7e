"""What holds for every configuration over every board: nothing said changes nothing, keep loses nothing, and so on."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.parsers.smmu_config import (
    Configuration,
    DeviceEntry,
    DeviceSpec,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SmmuType,
    Unit,
    Use,
)
from iommuman.parsers.sources import Inputs, read_sources
from iommuman.topology import Topology, assemble, routes

from tests.conftest import BOARDS, HANDMADE

from .boards import meaning

FOLDERS = (
    BOARDS / "q35-vtd",
    BOARDS / "q35-vtd-sriov",
    BOARDS / "virt-smmuv3-acpi",
    BOARDS / "virt-smmuv3-dt",
    HANDMADE / "dmar-segments",
    HANDMADE / "dmar-two-hop-blind",
    HANDMADE / "iort-e",
    HANDMADE / "iort-smmuv2",
    HANDMADE / "dt-masks",
    HANDMADE / "dt-parents",
)
KINDS = {"vtd": "vtd", "smmuv3": "smmuv3", "smmuv2": "armsmmu", "smmuv1": "armsmmu"}
USER = Origin("user.smmu")


@cache
def inputs_of(index: int) -> Inputs:
    """Return what a board's sources hold."""
    return read_sources([str(FOLDERS[index])])


@cache
def plain(index: int) -> Topology:
    """Return a board without a configuration."""
    return assemble(inputs_of(index))


def over(index: int, configuration: Configuration, *, keep: bool = False) -> Topology:
    """Return a board with a configuration."""
    return assemble(replace(inputs_of(index), configurations=[configuration]), keep=keep)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, Configuration]:
    """Draw a board, and a configuration of units (the board's, and others) and devices (the board's, and others)."""
    index = draw(st.integers(0, len(FOLDERS) - 1))
    board = plain(index)
    bases = [(KINDS[one.kind], one.base) for one in board.iommus.values() if one.kind in KINDS and one.base is not None]
    bases += [(kind, 0x10000) for kind in ("vtd", "smmuv3", "armsmmu")]
    picked = draw(st.lists(st.sampled_from(bases), min_size=1, max_size=3, unique_by=lambda one: one[1]))
    units = tuple(Unit(f"u{number}", kind, base, USER) for number, (kind, base) in enumerate(picked))
    types = tuple(SmmuType(kind, USER) for kind in dict.fromkeys(unit.type for unit in units))
    devices = draw(st.lists(entries(board, units), max_size=5, unique_by=lambda entry: entry.spec))
    return index, Configuration("user.smmu", types, units, tuple(devices))


def entries(board: Topology, units: tuple[Unit, ...]) -> st.SearchStrategy[DeviceEntry]:
    """Draw one device."""
    known: list[DeviceSpec] = [
        PciSpec(device.segment or 0, device.rid, device.rid) if device.rid is not None else NamedSpec(device.name)
        for device in board.devices.values()
        if device.kind in ("pci", "acpi", "dt")
    ]
    rids = st.integers(0, 0xFFFF) | st.integers(0, 0x3FF)
    ranges = st.tuples(st.integers(0, 2), rids, rids).map(lambda one: PciSpec(one[0], min(one[1:]), max(one[1:])))
    specs: st.SearchStrategy[DeviceSpec] = ranges | st.sampled_from([0x5000, 0x9000000, 0x6000]).map(MmioSpec)
    specs = st.sampled_from(known) | specs if known else specs

    def complete(spec: DeviceSpec) -> st.SearchStrategy[DeviceEntry]:
        uses = st.lists(st.sampled_from(units).flatmap(lambda unit: use_of(unit, spec)), max_size=2)
        reserved = st.lists(st.integers(1, 4).map(lambda page: Reserved(page << 12, 0x1000, USER)), max_size=2)
        return st.builds(DeviceEntry, st.just(spec), st.just(USER), st.just(""), uses.map(tuple), reserved.map(tuple))

    return specs.flatmap(complete)


def use_of(unit: Unit, spec: DeviceSpec) -> st.SearchStrategy[Use]:
    """Draw a use of a unit that can be for such a device."""
    if unit.type == "vtd":
        return st.just(Use(unit.name, USER))
    length = spec.last - spec.first + 1 if isinstance(spec, PciSpec) else 2
    return st.builds(Use, st.just(unit.name), st.just(USER), st.integers(0, 0x1000), st.sampled_from([1, length]))


@given(st.integers(0, len(FOLDERS) - 1), st.booleans())
def test_an_empty_configuration_is_the_identity(index: int, keep: bool) -> None:
    """A configuration that says nothing changes no record of a topology but the list of its sources."""
    board, found = plain(index), over(index, Configuration("empty"), keep=keep)
    same = ("iommus", "roots", "devices", "msi_controllers", "maps", "reserved", "grants", "unresolved", "facts")
    for name in (*same, "findings", "silence", "passed_over"):
        assert getattr(found, name) == getattr(board, name)
    assert found.sources[:-1] == board.sources


@settings(max_examples=50)
@given(cases())
def test_keep_never_loses_a_fact_of_the_board(case: tuple[int, Configuration]) -> None:
    """With `keep` every unit, every way of a device to its unit, and every reserved region of the board stays."""
    index, configuration = case
    board, found = plain(index), over(index, configuration, keep=True)
    for name, unit in board.iommus.items():
        now = found.iommus[name]
        assert (now.kind, now.base, now.enabled, now.interrupts[: len(unit.interrupts)]) == (
            unit.kind,
            unit.base,
            unit.enabled,
            unit.interrupts,
        )
    for name, device in board.devices.items():
        now_routes = {(one.iommu, one.stream, one.count) for one in routes(found, found.devices[name])}
        for route in routes(board, device):
            if route.verdict in ("controlled", "disabled"):
                assert (route.iommu, route.stream, route.count) in now_routes, name
    assert found.reserved[: len(board.reserved)] == board.reserved


@settings(max_examples=50)
@given(cases())
def test_override_leaves_no_way_to_a_unit_that_was_not_named(case: tuple[int, Configuration]) -> None:
    """A device whose uses can be goes to the units that the user names for it, and to no other."""
    index, configuration = case
    found = over(index, configuration)
    wrong = {one.origin for one in found.findings if one.severity == "error" and one.origin == USER}
    if wrong:
        return  # a use that cannot be was left out, and which it was is not told apart here
    names = {
        unit.name: next(one.name for one in found.iommus.values() if one.base == unit.base)
        for unit in configuration.units
    }
    exact = {
        entry.spec
        for entry in configuration.devices
        if not (isinstance(entry.spec, PciSpec) and entry.spec.first != entry.spec.last)
    }
    for device in found.devices.values():
        entry = _entry_of(configuration, exact, device.segment, device.rid, device.name, device.base)
        if entry is None or not entry.uses:
            continue
        allowed = {names[use.unit] for use in entry.uses}
        got = {route.iommu for route in routes(found, device) if route.iommu is not None}
        assert got <= allowed, device.name


def _entry_of(
    configuration: Configuration,
    exact: set[DeviceSpec],
    segment: int | None,
    rid: int | None,
    name: str,
    base: int | None,
) -> DeviceEntry | None:
    """Return the one entry that speaks of a device: its own, else the last range that it is in."""
    own: DeviceSpec = PciSpec(segment or 0, rid, rid) if rid is not None else NamedSpec(name)
    for entry in configuration.devices:
        if entry.spec in exact and entry.uses and entry.spec in (own, MmioSpec(-1 if base is None else base)):
            return entry
    for entry in reversed(configuration.devices):
        spec = entry.spec
        if not isinstance(spec, PciSpec) or spec in exact or not entry.uses or rid is None:
            continue
        if spec.segment == segment and spec.first <= rid <= spec.last:
            return entry
    return None


@settings(max_examples=50)
@given(cases(), st.randoms(use_true_random=False))
def test_order_does_not_matter_where_options_do_not_meet(case: tuple[int, Configuration], random: object) -> None:
    """Units, and devices of which no two ranges meet, may be said in any order."""
    index, configuration = case
    ranges = [
        entry.spec
        for entry in configuration.devices
        if isinstance(entry.spec, PciSpec) and entry.spec.first != entry.spec.last
    ]
    if any(
        one is not other and one.segment == other.segment and one.first <= other.last and other.first <= one.last
        for one in ranges
        for other in ranges
    ):
        return
    devices, units = list(configuration.devices), list(configuration.units)
    random.shuffle(devices)  # type: ignore[attr-defined]
    random.shuffle(units)  # type: ignore[attr-defined]
    other = replace(configuration, devices=tuple(devices), units=tuple(units))
    assert meaning(over(index, configuration)) == meaning(over(index, other))


@settings(max_examples=50)
@given(cases(), st.booleans())
def test_laying_it_over_twice_is_laying_it_over_once(case: tuple[int, Configuration], keep: bool) -> None:
    """A configuration over a board that has it already means the same."""
    index, configuration = case
    once = assemble(replace(inputs_of(index), configurations=[configuration]), keep=keep)
    twice = assemble(replace(inputs_of(index), configurations=[configuration] * 2), keep=keep)
    assert meaning(once)[:3] == meaning(twice)[:3]
