"""After each single store of the driver no device reaches what neither the old nor the new configuration grants."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu.platform import PageAllocator
from iommuman.iommu.vtd.driver import Domain
from iommuman.iommu.vtd.layout import CAP, ECAP, Irte
from iommuman.iommu.vtd.model import Blocked, Interrupt
from iommuman.iommu.vtd.names import SVT

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
    within,
)
from .watch import LEGACY, SCALABLE, TABLES, TABLES_LENGTH, A, B, Rig, map_into

K, M, G = 1 << 10, 1 << 20, 1 << 30
X_PAGE, Y_PAGE, SHARED = 0x10000, 0x20000, 0x30000
PROBES = [X_PAGE, Y_PAGE, SHARED, TABLES]
"""Pages of two domains, one that both map, and the driver's own tables, which only pass-through reaches."""
GUEST_TABLES = 0x800000
STATES = {
    "blocked": {},
    "pass-through": {page: (page, 3) for page in PROBES},
    "second-stage X": {X_PAGE: (0x5000000, 3), SHARED: (0x7000000, 1)},
    "second-stage Y": {Y_PAGE: (0x6000000, 3), SHARED: (0x7001000, 3)},
    "first-stage": {X_PAGE: (0x5100000, 3), SHARED: (0x7100000, 1)},
    "nested": {X_PAGE: (0x9200000, 3), SHARED: (0x9300000, 1)},
    "nested, same guest addresses": {X_PAGE: (0x9400000, 1)},
}
LEGACY_STATES = list(STATES)[:4]


class Scene:
    """A rig with the domains that two states need, and device B in second-stage X all the time."""

    def __init__(self, cap: CAP, ecap: ECAP, *, scalable: bool, queue: bool | None, states: tuple[str, str]) -> None:
        """Make the domains."""
        self.rig = Rig(PROBES, cap, ecap, scalable, queue)
        self.domains = {
            name: self._domain(name)
            for name in dict.fromkeys((*states, "second-stage X"))
            if "-stage" in name or "nested" in name
        }
        self.put("second-stage X", B)

    def _domain(self, name: str) -> Domain:
        """Make a domain whose view is that of the state; nested ones go through memory at 0x5200000."""
        driver = self.rig.driver
        if "nested" not in name:
            domain: Domain = driver.first_stage() if name == "first-stage" else driver.second_stage()
            for page, (output, access) in STATES[name].items():
                map_into(domain, page, output, 4096, access)
            return domain
        parent = driver.second_stage()
        parent.map(GUEST_TABLES, GUEST_TABLES, 0x10000)
        tables = PageAllocator(self.rig.platform, GUEST_TABLES + 0x8000 * ("same" in name), 0x8000)
        domain = driver.first_stage(parent, tables)
        for number, (page, (output, access)) in enumerate(STATES[name].items()):
            between = 0x5200000 + number * 0x100000
            parent.map(between, output, 4096)
            map_into(domain, page, between, 4096, access)
        return domain

    def put(self, state: str, device: int = A) -> None:
        """Bring a device into a state."""
        driver = self.rig.driver
        if state == "blocked":
            driver.block(device)
        elif state == "pass-through":
            driver.pass_through(device)
        else:
            driver.attach(device, self.domains[state])


VARIANTS = {
    "queue": (LEGACY[0], LEGACY[1], False, None),
    "registers": (LEGACY[0], LEGACY[1].replace(QI=0), False, None),
    "caching mode, write buffer": (LEGACY[0].replace(CM=1, RWBF=1), LEGACY[1], False, None),
    "caching mode, registers": (LEGACY[0].replace(CM=1, PSI=0), LEGACY[1], False, False),
    "scalable": (SCALABLE[0], SCALABLE[1], True, None),
    "scalable, caching mode": (SCALABLE[0].replace(CM=1), SCALABLE[1], True, None),
}
FEWER_STATES = ["blocked", "pass-through", "first-stage", "nested"]
PAIRS = [
    (variant, old, new)
    for variant, (cap, _, scalable, _) in VARIANTS.items()
    for old, new in itertools.product(LEGACY_STATES if not scalable else FEWER_STATES if cap.CM else STATES, repeat=2)
]


@pytest.mark.parametrize(("variant", "old", "new"), PAIRS)
def test_no_store_of_a_transition_opens_a_hole(variant: str, old: str, new: str) -> None:
    """For every pair of states, on every kind of unit, with the caches filled at every possible moment."""
    cap, ecap, scalable, queue = VARIANTS[variant]

    def scene() -> tuple[Rig, Callable[[], None], dict[int, View], dict[int, View]]:
        made = Scene(cap, ecap, scalable=scalable, queue=queue, states=(old, new))
        made.put(old)
        still: View = STATES["second-stage X"]
        return made.rig, lambda: made.put(new), {A: STATES[old], B: still}, {A: STATES[new], B: still}

    assert len(exhaustively(scene)) >= (old != "blocked") + (new != "blocked")


# --- Mapping, unmapping, splitting, merging

KINDS = ["legacy", "legacy, caching mode", "legacy, registers", "scalable", "first stage", "nested", "parent of nested"]


def mapping_rig(kind: str) -> tuple[Rig, Domain]:
    """Return a rig with device A in a domain, and the domain to change."""
    if kind.startswith("legacy"):
        cap = LEGACY[0].replace(CM=int("caching" in kind))
        rig = Rig(MAP_PROBES, cap, LEGACY[1], queue=False if "registers" in kind else None, devices=(A,))
        domain: Domain = rig.driver.second_stage()
        attached = domain
    else:
        rig = Rig(MAP_PROBES, *SCALABLE, scalable=True, devices=(A,))
        if kind == "scalable":
            attached = domain = rig.driver.second_stage()
        elif kind == "first stage":
            attached = domain = rig.driver.first_stage()
        else:
            parent = rig.driver.second_stage()
            parent.map(TABLES, TABLES, TABLES_LENGTH)
            child = rig.driver.first_stage(parent)
            attached, domain = child, (child if kind == "nested" else parent)
            if kind == "nested":
                parent.map(OUT - 2 * M, OUT - 2 * M, G + 8 * M)
                parent.map(OTHER - 2 * M, OTHER - 2 * M, G + 8 * M)
            else:
                child.map(WINDOW - 2 * M, WINDOW - 2 * M, 2 * G)
    rig.driver.attach(A, attached)
    return rig, domain


def act(domain: Domain, view: View, action: Action) -> tuple[Callable[[], None], dict[int, tuple[int, int]]]:
    """Return how to carry an action out, and the view afterwards."""
    name, start, output, length, access = action
    if name == "map":
        return lambda: map_into(domain, start, output, length, access), mapped(
            view, MAP_PROBES, start, output, length, access
        )
    return lambda: domain.unmap(start, length), unmapped(view, start, length)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAPPINGS)
def test_no_store_of_a_mapping_change_opens_a_hole(kind: str, name: str) -> None:
    """Mapping, unmapping, replacing, splitting and merging, in every kind of domain."""
    before, action = MAPPINGS[name]
    if kind in ("first stage", "nested") and 2 in {item[4] for item in (*before, action)}:
        pytest.skip("the first stage has no pages for writing only")

    def scene() -> tuple[Rig, Callable[[], None], dict[int, View], dict[int, View]]:
        rig, domain = mapping_rig(kind)
        old: View = {}
        for step in before:
            change, old = act(domain, old, step)
            change()
        change, new = act(domain, old, action)
        return rig, change, {A: old}, {A: new}

    exhaustively(scene)


# --- The unit as a whole


@pytest.mark.parametrize("scalable", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_taking_over_never_opens_what_firmware_had_closed(scalable: bool, running: bool) -> None:
    """From no translation with protected memory, or from firmware's own tables, to everything blocked."""
    cap, ecap = SCALABLE if scalable else LEGACY
    rig = Rig(PROBES, cap.replace(PLMR=1), ecap, scalable)
    if running:
        rig.driver.pass_through(A)
        old: dict[int, View] = {A: STATES["pass-through"], B: {}}
    else:
        rig.driver.disable()
        rig.platform.write_mmio(0xFED90068, TABLES, 4)
        rig.platform.write_mmio(0xFED9006C, TABLES, 4)
        rig.platform.write_mmio(0xFED90064, 1 << 31, 4)
        open_view = {page: (page, 3) for page in PROBES if page != TABLES}
        old = {A: open_view, B: open_view}
    rig.pages = PageAllocator(rig.platform, TABLES + TABLES_LENGTH, TABLES_LENGTH)
    second = type(rig.driver)(
        rig.platform, 0xFED90000, rig.pages, mode="scalable" if scalable else "legacy", host_width=46
    )
    observed(rig, second.enable, old, {A: {}, B: {}}, fill_at=[0])
    assert rig.platform.read_mmio(0xFED90064, 4) == 0


def test_no_store_of_an_interrupt_change_lets_another_interrupt_through() -> None:
    """Between two entries of an index there is the old interrupt, the new one, or none."""
    one = Irte(P=1, V=0x31, DST=0x100, SVT=SVT.SID, SID=A)
    two = Irte(P=1, V=0x42, DST=0x200, SVT=SVT.SID, SID=B)
    for caching, (old, new) in itertools.product((0, 1), itertools.permutations((None, one, two), 2)):
        rig = Rig(PROBES, LEGACY[0].replace(CM=caching))
        table = rig.driver.remap_interrupts(16)
        address, data = table.message(5)
        grants = {None: set(), A: {(A, Interrupt(0x31, 1))}, B: {(B, Interrupt(0x42, 2))}}
        allowed = grants[old.SID if old else None] | grants[new.SID if new else None]
        table.set(5, old)
        rig.unit.caches.filling = True

        def check(
            _kind: str,
            _address: int,
            rig: Rig = rig,
            message: tuple[int, int] = (address, data),
            allowed: set[tuple[int, Interrupt]] = allowed,
        ) -> None:
            for device in (A, B):
                result = rig.unit.interrupt(device, *message)
                assert isinstance(result, Blocked) or (device, result) in allowed

        check("", 0)
        rig.platform.observers.append(check)
        table.set(5, new)
        for device in (A, B):
            result = rig.unit.interrupt(device, address, data)
            assert ((device, result) in grants[new.SID if new else None]) == (new is not None and device == new.SID)


# --- Sequences

SEQUENCES = int(os.environ.get("IOMMUMAN_SEQUENCES", "3"))
"""Sequences of each kind of unit: few every day, many by the environment variable."""
SEQUENCE_PROBES = [WINDOW + offset for offset in (0, 4 * K, 2 * M - 4 * K, 2 * M, 3 * M)]
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("map"),
            st.sampled_from((0, 1)),
            st.sampled_from((0, 4 * K, 2 * M - 4 * K, 2 * M)),
            st.sampled_from((4 * K, 8 * K, 2 * M, 2 * M)),
            st.sampled_from((1, 3)),
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


@pytest.mark.parametrize("kind", ["legacy", "caching mode", "second stage", "first stage"])
@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps=STEPS, fill=st.lists(st.integers(0, 12), min_size=50, max_size=50))
def test_no_store_of_a_sequence_of_fifty_operations_opens_a_hole(
    kind: str, steps: list[tuple[str, int, int, int, int, int]], fill: list[int]
) -> None:
    """Two devices move between two domains, pass-through and nothing while the domains change under them."""
    if kind in ("legacy", "caching mode"):
        rig = Rig(SEQUENCE_PROBES, LEGACY[0].replace(CM=int(kind != "legacy")))
    else:
        rig = Rig(SEQUENCE_PROBES, *SCALABLE, scalable=True)
    domains: list[Domain] = [
        rig.driver.first_stage() if kind == "first stage" else rig.driver.second_stage() for _ in (0, 1)
    ]
    inside: list[View] = [{}, {}]
    where = {A: -2, B: -2}

    def views() -> dict[int, View]:
        everything = {page: (page, 3) for page in SEQUENCE_PROBES}
        return {device: {} if at == -2 else everything if at == -1 else inside[at] for device, at in where.items()}

    for (name, which, offset, length, access, output), moment in zip(steps, fill, strict=True):
        old = views()
        start = WINDOW + offset
        if name == "map":
            inside[which] = mapped(inside[which], SEQUENCE_PROBES, start, output + offset, length, access)

            def change(
                d: Domain = domains[which], s: int = start, o: int = output + offset, n: int = length, a: int = access
            ) -> None:
                map_into(d, s, o, n, a)

        elif name == "unmap":
            inside[which] = unmapped(inside[which], start, length)

            def change(d: Domain = domains[which], s: int = start, n: int = length) -> None:  # type: ignore[misc]
                d.unmap(s, n)

        else:
            where[which] = offset

            def change(device: int = which, at: int = offset) -> None:  # type: ignore[misc]
                if at == -2:
                    rig.driver.block(device)
                elif at == -1:
                    rig.driver.pass_through(device)
                else:
                    rig.driver.attach(device, domains[at])

        observed(rig, change, old, views(), fill_at=[moment])
        rig.unit.caches.filling = False


# --- The watch itself


def test_the_watch_sees_a_hole() -> None:
    """A driver that forgets to invalidate, or that changes an entry in place, is found out."""
    rig, domain = mapping_rig("legacy")
    domain.map(WINDOW, OUT, 4 * K)
    old: View = {WINDOW: (OUT, 3)}

    def forgetful() -> None:
        domain.table.unmap(WINDOW, 4 * K)

    with pytest.raises(AssertionError):
        observed(rig, forgetful, {A: old}, {A: {}}, fill_at=[0])
    rig, domain = mapping_rig("legacy")
    domain.map(WINDOW, OUT, 4 * K)
    with pytest.raises(AssertionError):
        observed(rig, lambda: rig.driver.pass_through(A), {A: old}, {A: old})
    assert within({1: (2, 1)}, {1: (2, 3)}, {})
    assert not within({1: (2, 3)}, {1: (2, 1)}, {1: (3, 2)})
