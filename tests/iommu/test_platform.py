"""Memory, register dispatch and page allocation."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.iommu.bits import Bits32, Bits64, Field
from iommuman.iommu.errors import IommuError
from iommuman.iommu.platform import (
    Memory,
    PageAllocator,
    Simulated,
    load,
    read_register,
    store,
    write_register,
)


class Registers:
    """A block of registers that remembers what was written."""

    def __init__(self) -> None:
        """Start with nothing written."""
        self.values: dict[int, int] = {}

    def read_register(self, offset: int, size: int) -> int:
        """Return what was written, or the offset."""
        return self.values.get(offset, offset) & (1 << 8 * size) - 1

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Keep the value."""
        assert value < 1 << 8 * size
        self.values[offset] = value


class Control(Bits32, offset=0x18):
    """A register of the block."""

    Enable = Field(31)


def memory(path: Path | None = None) -> Memory:
    """Two ranges of RAM with a hole between them."""
    return Memory([(0, 0x4000), (0x8000, 0x4000)], path)


def test_memory_reads_zeros_until_written_and_keeps_no_pages_for_it() -> None:
    """Sparse memory costs what was written."""
    ram = memory()
    assert ram.read(0x8FFE, 4) == bytes(4)
    assert ram.read_u64(0x1000) == 0
    assert ram.resident == 0
    ram.write(0x8FFE, b"\1\2\3\4")
    assert (ram.read(0x8FFD, 6), ram.resident) == (b"\0\1\2\3\4\0", 2)
    ram.write_u64(0x1008, 0x1122334455667788)
    assert ram.read(0x1008, 8) == bytes.fromhex("8877665544332211")
    ram.write_u64(0x1008, 1)
    ram.write(0x1000, b"")
    assert ram.read_u64(0x1008) == 1


@pytest.mark.parametrize("address", [0x4000, 0x7FFF, 0xC000, 1 << 60])
def test_outside_of_ram_nobody_answers(address: int) -> None:
    """A hole refuses reads and writes with the one error of the layer."""
    for attempt in (
        lambda: memory().read(address, 1),
        lambda: memory().read_u64(address & ~7),
        lambda: memory().write(address, b"x"),
        lambda: memory().write_u64(address & ~7, 1),
    ):
        with pytest.raises(IommuError, match="no memory") as caught:
            attempt()
        assert caught.value.finding.rule == "MEMORY-ACCESS"


def test_a_write_that_fails_in_its_second_page_writes_nothing() -> None:
    """Memory is checked before it is changed."""
    ram = memory()
    with pytest.raises(IommuError):
        ram.write(0x3FFE, b"1234")
    assert ram.read(0x3FFE, 2) == bytes(2)


@pytest.mark.parametrize("kind", ["access", "corruption"])
def test_an_injected_fault_hits_its_doubleword_only_and_heals(kind: str) -> None:
    """Any byte of the doubleword fails, the neighbours do not."""
    ram = memory()
    ram.inject(0x1010, kind)  # type: ignore[arg-type]
    assert ram.read_u64(0x1008) == ram.read_u64(0x1018) == 0
    for attempt in (
        lambda: ram.read(0x1017, 1),
        lambda: ram.read(0x1000, 0x100),
        lambda: ram.read_u64(0x1010),
        lambda: ram.write(0x1010, b"x"),
        lambda: ram.write_u64(0x1010, 1),
    ):
        with pytest.raises(IommuError, match="0x1010") as caught:
            attempt()
        assert caught.value.finding.rule == f"MEMORY-{kind.upper()}"
    ram.heal()
    ram.write_u64(0x1010, 7)
    assert ram.read_u64(0x1010) == 7


def test_a_fault_can_be_for_writes_only() -> None:
    """A table can be readable while its accessed bits cannot be set."""
    ram = memory()
    ram.inject(0x1000, on="write")
    assert ram.read_u64(0x1000) == 0
    with pytest.raises(IommuError, match="write"):
        ram.compare_and_swap(0x1000, 0, 1)


def test_a_bit_can_be_damaged_silently() -> None:
    """Flipping twice restores."""
    ram = memory()
    ram.flip(0x1000, 35)
    assert ram.read_u64(0x1000) == 1 << 35
    ram.flip(0x1000, 35)
    assert ram.read_u64(0x1000) == 0


def test_compare_and_swap_writes_only_over_the_expected_value() -> None:
    """A racing change is not overwritten."""
    ram = memory()
    assert ram.compare_and_swap(0x1000, 0, 5)
    assert not ram.compare_and_swap(0x1000, 4, 6)
    assert ram.read_u64(0x1000) == 5


def test_memory_in_a_file_is_shared_with_whoever_maps_it(tmp_path: Path) -> None:
    """Ranges lie one after another in the file; two memories on one file see each other's stores."""
    path = tmp_path / "ram"
    one, two = memory(path), memory(path)
    one.write(0x9000, b"seen")
    one.write_u64(0x3FF8, 0x31)
    assert (two.read(0x9000, 4), two.read_u64(0x3FF8)) == (b"seen", 0x31)
    assert path.stat().st_size == 0x8000
    one.close()
    two.close()
    assert path.read_bytes()[0x5000:0x5004] == b"seen"
    assert path.read_bytes()[0x3FF8] == 0x31
    memory().close()


@pytest.mark.parametrize("ranges", [[(1, 0x1000)], [(0, 0x800)], [(0, 0x2000), (0x1000, 0x1000)], [(0, 0)]])
def test_ram_that_cannot_be_is_refused(ranges: list[tuple[int, int]]) -> None:
    """Ranges are whole pages, and disjoint."""
    with pytest.raises(ValueError, match="RAM"):
        Memory(ranges)


def test_registers_answer_at_their_addresses_only() -> None:
    """Dispatch goes by address, size and alignment; everything else is refused."""
    platform, one, two = Simulated(memory()), Registers(), Registers()
    platform.attach(0xFED90000, 0x1000, one)
    platform.attach(0xFED91000, 0x1000, two)
    platform.write_mmio(0xFED91018, 0x80000000, 4)
    assert (one.values, two.values) == ({}, {0x18: 0x80000000})
    assert platform.read_mmio(0xFED90008, 8) == 8
    assert read_register(platform, 0xFED91000, Control) == Control(Enable=1)
    write_register(platform, 0xFED90000, Control(Enable=1))
    assert one.values == {0x18: 0x80000000}
    for address, size in ((0xFED92000, 4), (0xFED90FFC, 8), (0xFED90004, 8), (0xFED90000, 2), (0, 4)):
        with pytest.raises(IommuError, match="answers") as caught:
            platform.read_mmio(address, size)
        assert caught.value.finding.rule == "MMIO-ACCESS"
    with pytest.raises(ValueError, match="overlap"):
        platform.attach(0xFED91800, 0x1000, one)


def test_observers_see_every_single_store_that_changes_something() -> None:
    """A doubleword is one store; one that leaves memory as it was is none."""
    platform = Simulated(memory())
    platform.attach(0x100000, 0x1000, Registers())
    seen: list[tuple[str, int]] = []
    platform.observers.append(lambda kind, address: seen.append((kind, address)))
    platform.write(0x1004, bytes(4) + b"\1" + bytes(15) + b"\2")
    platform.write_mmio(0x100008, 0, 8)
    platform.write_mmio(0x100008, 0, 8)
    assert seen == [("memory", 0x1008), ("memory", 0x1018), ("mmio", 0x100008), ("mmio", 0x100008)]
    assert platform.read(0x1008, 17) == b"\1" + bytes(15) + b"\2"
    platform.observers.clear()
    platform.write(0x1008, b"\3")
    assert platform.read(0x1008, 1) == b"\3"


def test_structures_go_to_memory_and_back() -> None:
    """`store` and `load` are the bytes of the class."""
    platform = Simulated(memory())
    store(platform, 0x1000, Bits64(0x0102))
    assert platform.read(0x1000, 8) == b"\2\1\0\0\0\0\0\0"
    assert load(platform, 0x1000, Bits64) == Bits64(0x0102)


def test_pages_come_zeroed_and_aligned_and_go_back() -> None:
    """What was handed out is exclusive, clean, and used again after it was freed."""
    platform = Simulated(memory())
    pages = PageAllocator(platform, 0x9000, 0x3000)
    first = pages.allocate()
    platform.write(first, b"dirty")
    second = pages.allocate(0x1001, 0x2000)
    assert (first, second, pages.pages_in_use) == (0x9000, 0xA000, 3)
    with pytest.raises(IommuError) as caught:
        pages.allocate(1)
    assert caught.value.finding.rule == "MEMORY-EXHAUSTED"
    pages.free(first)
    with pytest.raises(IommuError):
        pages.allocate(0x2000)
    assert (pages.pages_in_use, pages.allocate(), platform.read(first, 5)) == (2, first, bytes(5))
    pages.free(second)
    with pytest.raises(ValueError, match="0xa000"):
        pages.free(second)
    with pytest.raises(ValueError, match="whole pages"):
        PageAllocator(platform, 0x9001, 0x3000)
