"""No stream reaches, after any single store of the driver, what neither the old nor the new configuration grants."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from iommuman.iommu.smmuv2.driver import Domain
from iommuman.iommu.smmuv2.driver.access import UnitAccess
from iommuman.iommu.smmuv2.driver.streams import StreamTable
from iommuman.iommu.smmuv2.layout.registers import CR0, S2CR, SMR
from iommuman.iommu.smmuv2.model import READ, WRITE, Capabilities

from .observer import BASE, RO, RW, Board
from .rig import INDEXED, PLAIN, V1

STREAMS = (0x18, 0x19)
M = 1 << 21
CUTS = [page << 12 for page in (0, 1, 16, 511, 512, 513, 1024)]
PROBES = [(stream, cut + 8) for stream in STREAMS for cut in CUTS] + [(stream, M - 4096) for stream in STREAMS]
UNITS = {"v2": Capabilities(), "15 bits": PLAIN, "indexed": INDEXED, "v1": V1}


def populated(caps: Capabilities | None = None) -> tuple[Board, list[Domain | None]]:
    """Return a started board, and all that a stream can be attached to, with something mapped in each domain."""
    board = Board(PROBES, caps)
    board.before = {((probe), access): probe[1] for probe in PROBES for access in (READ, WRITE)}
    board.start()
    targets: list[Domain | None] = [None]
    for output in (0x2_0000_0000, 0x3_0000_0000):
        domain = board.domain()
        targets.append(domain)
        board.map(domain, 0, output, 0x1000)
        board.map(domain, M, output + M, 0x1000, RO)
    return board, targets


@pytest.mark.parametrize("unit", UNITS)
def test_every_pair_of_configurations(unit: str) -> None:
    """All transitions between blocked and two domains leave no hole, whatever stream mapping the unit has."""
    board, targets = populated(UNITS[unit])
    for before, after in itertools.product(targets, targets):
        board.attach(0x18, before)
        board.attach(0x18, after)
    assert board.looks > 50


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("control", [0, 1, 0x400, 0x8, 0x401])
def test_taking_over_a_unit_that_runs(unit: str, control: int) -> None:
    """Whatever sCR0 and the entries are: from the first store on no more than before, at the end nothing.

    Stream 0x18 is matched by two entries, which is a conflict; 0x19 by one that passes it on, or by none.
    """
    caps = UNITS[unit]
    board, targets = populated(caps)
    board.attach(0x18, targets[1])
    write = board.platform.write_mmio
    for entry, match, target in ((5, 0x18, 0x400), (6, 0x18 | 1 << 16, 0x401), (7, 0x1F, 0x10400), (24, 0x1C, 0x401)):
        if caps is not INDEXED:
            write(BASE + SMR.offset + 4 * entry, match | (0 if control & 8 else 1 << 31), 4)
        write(BASE + S2CR.offset + 4 * entry, target, 4)
    write(BASE, control, 4)
    board.attached.clear()
    board.before = {
        (probe, access): got
        for probe in PROBES
        for access in (READ, WRITE)
        if (got := board.models[1].translate(*probe, access)) != -1
    }
    board.driver = type(board.driver)(board.platform, BASE, board.allocator)
    board.ranges.clear()
    board.start()
    board.attach(0x18, board.domain())


def test_a_bank_that_is_used_again_shows_nothing_of_before() -> None:
    """A released domain's translations are forgotten before its bank and its tables are used again."""
    board, targets = populated()
    first = targets[1]
    assert first is not None
    board.attach(0x18, first)
    board.attach(0x18, None)
    board.release(first)
    again = board.domain()
    assert (again.bank, again.vmid) == (first.bank, first.vmid)
    board.attach(0x18, again)
    board.map(again, 0, 0x7_0000_0000, 0x2000)


CELL = st.integers(0, len(CUTS) - 2)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("map"), st.integers(1, 2), CELL, CELL, st.integers(0, 2), st.sampled_from((RW, RO))),
        st.tuples(st.just("unmap"), st.integers(1, 2), CELL, CELL),
        st.tuples(st.just("attach"), st.sampled_from(STREAMS), st.integers(0, 2)),
    ),
    max_size=50,
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.explicit]
)
@given(OPERATIONS, st.sampled_from(sorted(UNITS)))
def test_sequences_of_operations(steps: list[tuple[Any, ...]], unit: str) -> None:
    """Up to 50 operations on two domains and two streams, with pages and blocks split and merged."""
    board, targets = populated(UNITS[unit])
    board.attach(0x18, targets[1])
    for step in steps:
        if step[0] == "attach":
            board.attach(step[1], targets[step[2]])
            continue
        domain = targets[step[1]]
        assert domain is not None
        low, high = sorted((CUTS[step[2]], CUTS[step[3] + 1]))
        if low == high:
            continue
        if step[0] == "map":
            board.map(domain, low, 0x4_0000_0000 + (step[4] << 30) + low, high - low, step[5])
        else:
            board.unmap(domain, low, high - low)


# --- faults put into the driver on purpose are seen

BREAKS = (
    "pages are not forgotten",
    "the invalidation is not waited for",
    "only leaves are forgotten where tables went",
    "the entry is valid before it has a target",
    "unmatched streams pass by while entries go",
    "entries go before all of them fault",
    "the bank is put to use before it translates",
)


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_driver_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The observer fails for each of these."""
    if name == BREAKS[0]:
        monkeypatch.setattr(Domain, "_invalidate", lambda *_: None)
    elif name == BREAKS[1]:
        monkeypatch.setattr(UnitAccess, "sync", lambda *_: None)
    elif name == BREAKS[2]:
        whole = Domain._invalidate

        def leaves(self: Domain, address: int, _size: int, _leaf: bool) -> None:
            whole(self, address, 0x1000, True)  # noqa: FBT003

        monkeypatch.setattr(Domain, "_invalidate", leaves)
    elif name == BREAKS[3]:

        def early(self: StreamTable, index: int, stream: int, mask: int, target: S2CR) -> None:
            self._unit.write(SMR(ID=stream, MASK=mask, VALID=1), 4 * index)
            self._unit.write(target, 4 * index)

        monkeypatch.setattr(StreamTable, "_validate", early)
        monkeypatch.setattr(StreamTable, "_invalidate", lambda self, index: self._unit.write(SMR(0), 4 * index))
    elif name in BREAKS[4:6]:
        monkeypatch.setattr(StreamTable, "deny_all", _careless(keep=name == BREAKS[4]))
    else:
        monkeypatch.setattr(Domain, "enable", lambda _: None)
    with pytest.raises(AssertionError):
        broken(PLAIN if name in BREAKS[3:6] else None)


def _careless(*, keep: bool) -> Any:
    def deny_all(self: StreamTable) -> None:
        if not keep:
            self._unit.write(self._unit.read(CR0).replace(USFCFG=1))
        for at in range(0, 4 * self._count, 4):
            self._unit.write(SMR(0), at)
        for at in range(0, 4 * self._count, 4):
            self._unit.write(S2CR(TYPE=2), at)
        self._unit.write(CR0(USFCFG=1, GFRE=1))

    return deny_all


def broken(caps: Capabilities | None) -> None:
    """Do what a driver with any of these faults does wrong."""
    board, targets = populated(caps)
    first, second = targets[1:]
    assert first is not None
    assert second is not None
    for at, value in ((SMR.offset + 4 * 100, 1 << 31 | 0x19), (S2CR.offset + 400, 0x20000)):
        board.platform.write_mmio(BASE + at, value, 4)
    for entry, target in ((0, 0), (1, 1)):  # a conflict
        board.platform.write_mmio(BASE + S2CR.offset + 4 * entry, target | 0x400, 4)
        board.platform.write_mmio(BASE + SMR.offset + 4 * entry, 1 << 31 | 0x18, 4)
    board.platform.write_mmio(BASE, 0, 4)
    board.before = {}
    board.driver = type(board.driver)(board.platform, BASE, board.allocator)
    board.start()
    board.ranges.clear()
    domain = board.domain()
    board.map(domain, 0, 0x2_0000_0000, 0x1000)
    other = board.domain()
    board.map(other, 0, 0x5_0000_0000, 0x1000)
    board.attach(0x18, other)
    board.attach(0x18, None)
    board.attach(0x19, domain)
    board.attach(0x19, None)
    board.attach(0x18, domain)
    board.unmap(domain, 0, 0x1000)
    board.map(domain, 0, 0x6_0000_0000, 0x2000)
    board.unmap(domain, 0, 2 * M)
    board.map(domain, 0, 0x7_0000_0000, 0x2000)


def test_the_observer_takes_what_is_right() -> None:
    """The sequence in which broken drivers are seen passes with the right one."""
    broken(None)
    broken(PLAIN)
