"""The promise on QEMU: while grants change, no device reaches anything that neither the old nor the new ones allow.

After each store of the drivers, and after each register that they write, a device of QEMU reads or writes at once. It
may find what was granted before the change or after it, and nothing else; pages that are never granted hold canaries.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from iommuman.base import Origin
from iommuman.iommu import PageAllocator
from iommuman.iommu.qemu import Description, Function, Probe, Qemu, start
from iommuman.manager import Access
from iommuman.manager.mappings import Segment
from iommuman.manager.ports import Port, open_port
from iommuman.topology import Iommu

CHANGES = int(os.environ.get("IOMMUMAN_CHANGES", "300"))
"""Changes of grants of each test; a long run: `IOMMUMAN_CHANGES=20000`."""
SOURCE = 3 << 3
PAGE = 4096
SLOTS = 16
"""Pages of device addresses that are granted and taken."""
POOL, CANARIES = 0x2000000, 0x2100000
"""Where pages lie that are granted, and pages that never are, from the beginning of memory."""
PAGES = 12


class Watched:
    """A platform on which a device makes an access after each store."""

    def __init__(self, machine: Qemu, watch: Callable[[], None]) -> None:
        """Watch a machine."""
        self._machine = machine
        self._watch = watch
        self.read = machine.read
        self.read_mmio = machine.read_mmio

    def write(self, address: int, data: bytes) -> None:
        """Write memory, doubleword by doubleword."""
        for at in range(0, len(data), 8):
            piece = data[at : at + 8]
            if self._machine.read(address + at, len(piece)) != piece:
                self._machine.write(address + at, piece)
                self._watch()

    def write_mmio(self, address: int, value: int, size: int) -> None:
        """Write a register."""
        self._machine.write_mmio(address, value, size)
        self._watch()


class Play:
    """A device that is granted and denied memory, and tries to reach more."""

    def __init__(self, machine: Qemu, unit: Iommu, seed: int) -> None:
        """Take the unit over."""
        self.random = Random(seed)
        self.machine = machine
        (self.probe,) = machine.probes()
        base = machine.ram[0]
        self.pool, self.canaries = base + POOL, base + CANARIES
        self.accesses = 0
        self.old: dict[int, tuple[int, Access]] = {}
        self.new: dict[int, tuple[int, Access]] = {}
        self.armed = self.forgetful = False
        self.plant()
        self.untouched = machine.read(self.canaries, PAGES * PAGE)
        watched: Any = Watched(machine, self.look)
        pages = PageAllocator(watched, base + 0x1000000, 0x800000)
        self.port: Port = open_port(unit, machine.registers, watched, pages, 48)
        self.space = self.port.create()
        self.attached = False
        self.mapped: dict[int, tuple[int, Access]] = {}
        self.armed = True  # until the unit is taken over, everything passes

    def plant(self) -> None:
        """Put a mark into each page: from 1 on for those that are granted, from 129 on for canaries."""
        for number in range(PAGES):
            self.machine.write(self.pool + number * PAGE, Probe.planted(1 + number) * (PAGE // 4))
            self.machine.write(self.canaries + number * PAGE, Probe.planted(129 + number) * (PAGE // 4))

    def granted(self, address: int, access: Access) -> set[int]:
        """Return the pages of the pool that an access may reach, by what was granted and what will be."""
        found = [grants.get(address // PAGE) for grants in (self.old, self.new)]
        return {one[0] for one in found if one is not None and access & one[1]}

    def look(self) -> None:
        """Let the device make an access."""
        if not self.armed:
            return
        self.accesses += 1
        kind = self.random.random()
        if kind < 0.7:
            address = self.random.randrange(SLOTS) * PAGE + self.random.randrange(0, PAGE, 4)
        else:  # where things are, as a unit that is open would let them be reached
            start = self.canaries if kind < 0.9 else self.pool
            address = start + self.random.randrange(PAGES * PAGE // 4) * 4
        if self.random.random() < 0.5:
            mark = self.probe.read(address)
            assert mark == 0 or mark - 1 in self.granted(address, Access.READ), (hex(address), mark)
            return
        before = self.machine.read(self.pool, PAGES * PAGE)
        self.probe.write(address, 0xBEEF)
        after = self.machine.read(self.pool, PAGES * PAGE)
        if after != before:
            changed = {at // PAGE for at in range(0, PAGES * PAGE, 4) if after[at : at + 4] != before[at : at + 4]}
            assert changed <= self.granted(address, Access.WRITE), (hex(address), changed)
            self.machine.write(self.pool, before)
        assert self.machine.read(self.canaries, PAGES * PAGE) == self.untouched, hex(address)

    def run(self, changes: int) -> None:
        """Change grants so many times."""
        for _ in range(changes):
            self.change()

    def change(self) -> None:
        """Grant a page, take one, or take or give all."""
        slot = self.random.randrange(SLOTS)
        grants = {} if not self.attached else self.new
        self.old = dict(grants)
        kind = self.random.random()
        if kind < 0.1:
            self.new = self.mapped if not self.attached else {}
            self.attached = not self.attached
            if self.attached:
                self.port.attach(SOURCE, self.space)
            else:
                self.port.block(SOURCE)
        elif slot in self.mapped:
            self.mapped = {at: grant for at, grant in self.mapped.items() if at != slot}
            self.new = self.mapped if self.attached else {}
            if self.forgetful:
                self.old = self.new
                self.look()
                return
            self.port.unmap(self.space, slot * PAGE, PAGE)
        else:
            access = self.random.choice((Access.READ, Access.WRITE, Access.READ | Access.WRITE))
            page = self.random.randrange(PAGES)
            self.mapped = {**self.mapped, slot: (page, access)}
            self.new = self.mapped if self.attached else {}
            self.port.map(self.space, Segment(slot * PAGE, PAGE, self.pool + page * PAGE, access))
        self.old = self.new
        self.look()


def unit(kind: str, base: int) -> Iommu:
    """Return a unit of a topology."""
    return Iommu("unit", kind, Origin(""), base=base, properties=(("HtTunEn", True),) if kind == "amdvi" else ())


@pytest.mark.parametrize("name", ["q35", "q35-amd", "virt"])
def test_nothing_is_reached_while_grants_change(need_qemu: Callable[[str], Description], name: str) -> None:
    """Not one canary is read or written, and no page of the pool without a grant, after any store of the drivers."""
    description = need_qemu(name)
    with start(name, (Function("intel-hda", 3),)) as machine:
        play = Play(machine, unit(description.kind, machine.registers), seed=1)
        play.run(CHANGES)
        assert play.accesses > 2 * CHANGES


def test_a_hole_is_seen(need_qemu: Callable[[str], Description]) -> None:
    """Where a driver forgets to take a page away, the device that reads it finds it, and the test fails."""
    description = need_qemu("q35")
    with start("q35", (Function("intel-hda", 3),)) as machine:
        play = Play(machine, unit(description.kind, machine.registers), seed=1)
        play.forgetful = True
        with pytest.raises(AssertionError):
            play.run(3000)
