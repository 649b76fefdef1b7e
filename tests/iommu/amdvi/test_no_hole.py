"""After each single store of the driver no device reaches what neither the old nor the new configuration grants."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu.amdvi.driver import Domain, Driver
from iommuman.iommu.amdvi.layout import IRTE
from iommuman.iommu.amdvi.layout.registers import Control, ExclusionBase, ExclusionLimit
from iommuman.iommu.amdvi.model import Blocked, Interrupt, Untouched
from iommuman.iommu.platform import PageAllocator, write_register

from ..watching import (
    MAP_PROBES,
    MAPPINGS,
    OTHER,
    OUT,
    WINDOW,
    Action,
    View,
    exhaustively,
    mapped,
    observed,
    unmapped,
)
from .watch import BASE, DEVICES, TABLES, TABLES_LENGTH, A, B, Rig, map_into

K, M = 1 << 10, 1 << 20
X_PAGE, Y_PAGE, SHARED = 0x10000, 0x20000, 0x30000
PROBES = [X_PAGE, Y_PAGE, SHARED, TABLES]
"""Pages of two domains, one that both map, and the driver's own tables, which only pass-through reaches."""
STATES: dict[str, View] = {
    "blocked": {},
    "pass-through": {page: (page, 3) for page in PROBES},
    "X": {X_PAGE: (0x5000000, 3), SHARED: (0x7000000, 1)},
    "Y": {Y_PAGE: (0x6000000, 3), SHARED: (0x7001000, 3)},
    "Z, three levels": {X_PAGE: (0x8000000, 1), Y_PAGE: (0x8001000, 2)},
}


class Scene:
    """A rig with the domains that two states need, and device B in X all the time."""

    def __init__(self, states: tuple[str, str]) -> None:
        """Make the domains."""
        self.rig = Rig(PROBES)
        self.domains: dict[str, Domain] = {}
        for name in dict.fromkeys((*states, "X")):
            if name not in ("blocked", "pass-through"):
                domain = self.domains[name] = self.rig.driver.create_domain(3 if "three" in name else 4)
                for page, (output, access) in STATES[name].items():
                    map_into(domain, page, output, 4096, access)
        self.put("X", B)

    def put(self, state: str, device: int = A) -> None:
        """Bring a device into a state."""
        driver = self.rig.driver
        if state == "blocked":
            driver.block(device)
        elif state == "pass-through":
            driver.pass_through(device)
        else:
            driver.attach(device, self.domains[state])


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATES, repeat=2)))
def test_no_store_of_a_transition_opens_a_hole(old: str, new: str) -> None:
    """For every pair of states, with the caches filled at every possible moment."""

    def scene() -> tuple[Rig, Callable[[], None], dict[int, View], dict[int, View]]:
        made = Scene((old, new))
        made.put(old)
        still = STATES["X"]
        return made.rig, lambda: made.put(new), {A: STATES[old], B: still}, {A: STATES[new], B: still}

    assert len(exhaustively(scene)) >= (old != "blocked") + (new != "blocked")


def mapping_rig(levels: int = 4) -> tuple[Rig, Domain]:
    """Return a rig with device A in a domain, and the domain to change."""
    rig = Rig(MAP_PROBES, devices=(A,))
    domain = rig.driver.create_domain(levels)
    rig.driver.attach(A, domain)
    return rig, domain


def act(domain: Domain, view: View, action: Action) -> tuple[Callable[[], None], dict[int, tuple[int, int]]]:
    """Return how to carry an action out, and the view afterwards."""
    name, start, output, length, access = action
    if name == "map":
        after = mapped(view, MAP_PROBES, start, output, length, access)
        return lambda: map_into(domain, start, output, length, access), after
    return lambda: domain.unmap(start, length), unmapped(view, start, length)


@pytest.mark.parametrize("levels", [3, 4, 6])
@pytest.mark.parametrize("name", MAPPINGS)
def test_no_store_of_a_mapping_change_opens_a_hole(name: str, levels: int) -> None:
    """Mapping, unmapping, replacing, splitting and merging, in tables of several heights."""
    before, action = MAPPINGS[name]

    def scene() -> tuple[Rig, Callable[[], None], dict[int, View], dict[int, View]]:
        rig, domain = mapping_rig(levels)
        old: View = {}
        for step in before:
            change, old = act(domain, old, step)
            change()
        change, new = act(domain, old, action)
        return rig, change, {A: old}, {A: new}

    exhaustively(scene)


# --- The unit as a whole


@pytest.mark.parametrize("running", [False, True])
def test_taking_over_never_opens_what_firmware_had_closed(running: bool) -> None:
    """From no translation, or from firmware's own tables with an exclusion range, to everything denied."""
    rig = Rig(PROBES)
    if running:
        rig.driver.pass_through(A)
        write_register(rig.platform, BASE, ExclusionLimit(Limit=X_PAGE))
        write_register(rig.platform, BASE, ExclusionBase(Base=X_PAGE, ExEn=1, Allow=1))
        old: dict[int, View] = {A: STATES["pass-through"], B: {X_PAGE: (X_PAGE, 3)}}
    else:
        rig.driver.disable()
        old = {A: STATES["pass-through"], B: STATES["pass-through"]}
    pages = PageAllocator(rig.platform, TABLES + TABLES_LENGTH, TABLES_LENGTH)
    second = Driver(rig.platform, BASE, pages, host_width=46, devices=DEVICES)
    seen: list[bool] = []

    def never_off(_kind: str, _address: int) -> None:
        seen.append(bool(rig.unit.registers.get(Control).IommuEn))

    rig.platform.observers.append(never_off)
    observed(rig, second.enable, old, {A: {}, B: {}}, fill_at=[0])
    assert not rig.unit.registers.get(ExclusionBase).ExEn
    assert seen == [] or all(seen) == running


def test_no_store_of_an_interrupt_change_lets_another_interrupt_through() -> None:
    """Between two entries of an index, and two tables, there is the old interrupt, the new one, or none."""
    one, two = IRTE(RemapEn=1, Vector=0x31, Destination=1), IRTE(RemapEn=1, Vector=0x42, Destination=2)
    for old, new in itertools.permutations((None, one, two), 2):
        rig = Rig(PROBES)
        rig.unit.caches.filling = True
        assert rig.unit.interrupt(A, 0xFEE00000, 5) == Untouched(0xFEE00000, 5)
        table = rig.driver.remap_interrupts(A, 16)
        table.set(5, old)
        allowed = [Interrupt(entry.Vector, entry.Destination) for entry in (old, new) if entry is not None]

        def check(_kind: str, _address: int, rig: Rig = rig, allowed: list[Interrupt] = allowed) -> None:
            found = rig.unit.interrupt(A, 0xFEE00000, 5)
            assert isinstance(found, Blocked) or found in allowed

        check("", 0)
        rig.platform.observers.append(check)
        table.set(5, new)
        if new is not None:
            assert rig.unit.interrupt(A, 0xFEE00000, 5) == Interrupt(new.Vector, new.Destination)
        allowed[:] = [] if new is None else allowed[-1:]
        rig.driver.remap_interrupts(A, 32)
        assert isinstance(rig.unit.interrupt(A, 0xFEE00000, 5), Blocked)


# --- Sequences

SEQUENCES = int(os.environ.get("IOMMUMAN_SEQUENCES", "3"))
"""Sequences: few every day, many by the environment variable."""
SEQUENCE_PROBES = [WINDOW + offset for offset in (0, 4 * K, 2 * M - 4 * K, 2 * M, 3 * M)]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("map"),
            st.sampled_from((0, 1)),
            st.sampled_from((0, 4 * K, 2 * M - 4 * K, 2 * M)),
            st.sampled_from((4 * K, 8 * K, 2 * M, 2 * M)),
            st.sampled_from((1, 2, 3)),
            st.sampled_from((OUT, OTHER)),
        ),
        st.tuples(
            st.just("unmap"),
            st.sampled_from((0, 1)),
            st.sampled_from((0, 4 * K, 2 * M)),
            st.sampled_from((4 * K, 2 * M, 4 * M)),
            st.just(0),
            st.just(0),
        ),
        st.tuples(st.just("put"), st.sampled_from((A, B)), st.integers(-2, 1), st.just(0), st.just(0), st.just(0)),
    ),
    min_size=50,
    max_size=50,
)


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps=STEPS, fill=st.lists(st.integers(0, 12), min_size=50, max_size=50))
def test_no_store_of_a_sequence_of_fifty_operations_opens_a_hole(
    steps: list[tuple[str, int, int, int, int, int]], fill: list[int]
) -> None:
    """Two devices move between two domains, pass-through and nothing while the domains change under them."""
    rig = Rig(SEQUENCE_PROBES)
    domains = [rig.driver.create_domain(levels) for levels in (3, 4)]
    inside: list[View] = [{}, {}]
    where = {A: -2, B: -2}

    def views() -> dict[int, View]:
        everything = {page: (page, 3) for page in SEQUENCE_PROBES}
        return {device: {} if at == -2 else everything if at == -1 else inside[at] for device, at in where.items()}

    def carry_out(step: tuple[str, int, int, int, int, int]) -> None:
        name, which, offset, length, access, output = step
        if name == "map":
            map_into(domains[which], WINDOW + offset, output + offset, length, access)
        elif name == "unmap":
            domains[which].unmap(WINDOW + offset, length)
        elif offset == -2:
            rig.driver.block(which)
        elif offset == -1:
            rig.driver.pass_through(which)
        else:
            rig.driver.attach(which, domains[offset])

    for step, moment in zip(steps, fill, strict=True):
        old = views()
        name, which, offset, length, access, output = step
        start = WINDOW + offset
        if name == "map":
            inside[which] = mapped(inside[which], SEQUENCE_PROBES, start, output + offset, length, access)
        elif name == "unmap":
            inside[which] = unmapped(inside[which], start, length)
        else:
            where[which] = offset
        observed(rig, lambda step=step: carry_out(step), old, views(), fill_at=[moment])  # type: ignore[misc]
        rig.unit.caches.filling = False


# --- The watch itself


def test_the_watch_sees_a_hole() -> None:
    """A driver that forgets to invalidate, or clears V, is found out."""
    rig, domain = mapping_rig()
    domain.map(WINDOW, OUT, 4 * K)
    old: View = {WINDOW: (OUT, 3)}

    def forgetful() -> None:
        domain.table.unmap(WINDOW, 4 * K)

    with pytest.raises(AssertionError):
        observed(rig, forgetful, {A: old}, {A: {}}, fill_at=[0])
    rig, domain = mapping_rig()
    domain.map(WINDOW, OUT, 4 * K)
    place = rig.driver._devices._place(A)
    with pytest.raises(AssertionError):
        observed(rig, lambda: rig.platform.write(place, bytes(8)), {A: old}, {A: {}})
