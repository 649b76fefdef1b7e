"""No device reaches, after any single store of the driver, what neither the old nor the new configuration grants."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from iommuman.iommu.riscv.driver import Domain, pagetable
from iommuman.iommu.riscv.driver import domain as domain_module
from iommuman.iommu.riscv.driver.directory import DeviceDirectory
from iommuman.iommu.riscv.driver.queues import forget_device, forget_guests
from iommuman.iommu.riscv.layout import DC

from .observer import RO, RW, Board
from .rig import capabilities

DEVICES = (0x18, 0x119)
M, G = 1 << 21, 1 << 30
CUTS = [page << 12 for page in (0, 1, 16, 511, 512, 513, 1024)]
PROBES = [(device, cut + 8) for device in DEVICES for cut in CUTS] + [(device, M - 4096) for device in DEVICES]


def populated(**caps: int) -> tuple[Board, dict[str, Domain | str]]:
    """Return a started board and everything that a device can be attached to, with something mapped in each."""
    board = Board(PROBES, capabilities(**caps))
    board.start()
    targets: dict[str, Domain | str] = {"block": "block", "pass": "pass"}
    for name, output in (("a", 0x2_0000_0000), ("b", 0x3_0000_0000)):
        domain = targets[name] = board.domain()
        board.map(domain, 0, output, 0x1000)
        board.map(domain, M, output + M, 0x1000, RO)
    return board, targets


@pytest.mark.parametrize("caps", [{}, {"MSI_FLAT": 0, "MSI_MRIF": 0}])
def test_every_pair_of_configurations(caps: dict[str, int]) -> None:
    """All transitions between blocked, passing and two domains leave no hole, in both formats of the context."""
    board, targets = populated(**caps)
    for before, after in itertools.product(targets, targets):
        board.attach(0x18, targets[before])
        board.attach(0x18, targets[after])
    assert board.looks > 100


def test_taking_over_a_unit_that_runs() -> None:
    """Whatever it was configured to and remembers: from the first store on no more than that, at the end nothing."""
    board, targets = populated()
    for device, name in zip(DEVICES, ("a", "pass"), strict=True):
        board.attach(device, targets[name])
    old = dict(board.attached)
    board.driver = type(board.driver)(board.platform, 0x10_0000_0000, board.allocator)
    board.attached = old
    board.start()
    board.ranges.clear()
    board.attach(0x18, board.domain())


def operations(rows: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Return a strategy for sequences of operations."""
    cell = st.integers(0, len(CUTS) - 2)
    return st.lists(
        st.one_of(
            st.tuples(st.just("map"), st.integers(0, 1), cell, cell, st.integers(0, 2), st.sampled_from((RW, RO))),
            st.tuples(st.just("unmap"), st.integers(0, 1), cell, cell),
            st.tuples(st.just("attach"), st.sampled_from(DEVICES), st.sampled_from(("block", "pass", "a", "b"))),
        ),
        max_size=rows,
    )


def play(board: Board, targets: dict[str, Domain | str], steps: list[tuple[Any, ...]]) -> None:
    """Carry operations out."""
    domains = [targets["a"], targets["b"]]
    for step in steps:
        if step[0] == "attach":
            board.attach(step[1], targets[step[2]])
            continue
        domain = domains[step[1]]
        assert isinstance(domain, Domain)
        low, high = sorted((CUTS[step[2]], CUTS[step[3] + 1]))
        if low == high:
            continue
        if step[0] == "map":
            board.map(domain, low, 0x4_0000_0000 + step[4] * G + low, high - low, step[5])
        else:
            board.unmap(domain, low, high - low)


@settings(
    max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.explicit]
)
@given(operations(50))
def test_sequences_of_operations(steps: list[tuple[Any, ...]]) -> None:
    """Up to 50 operations on two domains and two devices, with pages and superpages split and merged."""
    board, targets = populated()
    board.attach(0x18, targets["a"])
    play(board, targets, steps)


@pytest.mark.parametrize("hole", CUTS[:-2])
def test_superpages_are_split_and_merged(hole: int) -> None:
    """A hole in a superpage is a table in its place; filled again, it becomes one page again."""
    board, targets = populated()
    domain = targets["b"]
    assert isinstance(domain, Domain)
    board.attach(0x18, domain)
    board.unmap(domain, 0, M + 0x1000)
    pages = domain.table.pages
    board.map(domain, 0, 0x6_0000_0000, 2 * M)
    full = domain.table.pages
    assert full == 6, "root, and a table of each level above the superpages"
    board.unmap(domain, hole, 0x1000)
    assert domain.table.pages == full + 1
    board.map(domain, hole, 0x6_0000_0000 + hole, 0x1000)
    assert domain.table.pages == full
    board.unmap(domain, 0, 2 * M)
    assert domain.table.pages == pages == 4


def test_a_superpage_takes_the_place_of_many_pages() -> None:
    """Mapping over a table of pages unlinks it, and its memory is used again only when it is forgotten."""
    board, targets = populated()
    domain = targets["a"]
    assert isinstance(domain, Domain)
    board.attach(0x18, domain)
    for page in range(70):
        board.map(domain, page << 13, 0x4_0000_0000 + (page << 12), 0x1000)
    board.map(domain, 0, 0x6_0000_0000, 2 * M)
    board.unmap(domain, 0, 2 * M)


# --- faults put into the driver on purpose are seen

BREAKS = {
    "the unit does not forget the device": "device",
    "V is written first": "first",
    "pages are not forgotten": "leaves",
    "tables are freed before they are forgotten": "tables",
    "only leaves are forgotten where tables went": "pointers",
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_driver_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The observer fails for each of these."""
    what = BREAKS[name]

    def unsafe(self: DeviceDirectory, device_id: int, context: DC | None) -> None:
        place = self._place(device_id, make=True)
        assert place is not None
        words = (context or DC()).words
        order = range(8) if what == "first" else range(7, -1, -1)
        if what == "first":
            self._unit.platform.write(place, bytes(8))
            self._commands.run([forget_device(device_id)])
        for index in order:
            self._unit.platform.write(place + 8 * index, words[index].to_bytes(8, "little"))
        if what != "device":
            self._commands.run([forget_device(device_id)])

    if what in ("device", "first"):
        monkeypatch.setattr(DeviceDirectory, "set", unsafe)
    if what == "leaves":
        monkeypatch.setattr(Domain, "_forget", lambda *_: None)
    if what == "pointers":
        monkeypatch.setattr(domain_module, "_FEW", 1 << 20)

        def leaves_only(self: Domain, changes: pagetable.Changes) -> None:
            self._commands.run([forget_guests(self.gscid, leaf) for leaf in changes.leaves or [0]])
            for table in changes.unlinked:
                self.table.give_back(table)

        monkeypatch.setattr(Domain, "_forget", leaves_only)
    if what == "tables":
        forget = Domain._forget

        def early(self: Domain, changes: pagetable.Changes) -> None:
            for table in changes.unlinked:
                self.table.give_back(table)
                # whoever gets the page fills it
                self._unit.platform.write(table, b"".join([(0x2_4000_00DF).to_bytes(8, "little")] * 512))
            changes = pagetable.Changes(changes.leaves or [0] * 100)
            forget(self, changes)

        monkeypatch.setattr(Domain, "_forget", early)
    with pytest.raises(AssertionError):
        broken()


def broken() -> None:
    """Do what a driver with any of these faults does wrong."""
    board, targets = populated()
    domain = targets["a"]
    assert isinstance(domain, Domain)
    board.attach(0x18, domain)
    board.attach(0x18, "pass")
    board.attach(0x18, targets["b"])
    board.attach(0x18, domain)
    board.unmap(domain, 0, 0x1000)
    board.map(domain, 0, 0x6_0000_0000, 0x2000)
    board.unmap(domain, 0, 2 * M)
    board.map(domain, 0, 0x7_0000_0000, 0x2000)
