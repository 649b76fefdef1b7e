"""What an address falls in and what it just misses, as attribution tells it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.faults import places
from iommuman.faults.attribute import attribute
from iommuman.faults.places import PAGE, Landscape
from iommuman.faults.raw import vtd
from iommuman.parsers.memory_map import MemoryRange
from iommuman.topology import Grant, Topology
from iommuman.topology.builder import TopologyBuilder

from tests.faults.test_attribute import made, read, translation
from tests.faults.test_units import board

HERE = Origin("here")


@pytest.mark.parametrize(
    ("identifier", "address", "tags", "place"),
    [
        (0x10, 0x80000010, {"own-reserved"}, "reserved memory (rmr) for smmuv3@9050000 ID 0x10"),
        (0x20, 0x80000010, {"other-reserved"}, "reserved memory (rmr) for smmuv3@9050000 ID 0x10"),
        (0x20, 0x9000FFFF, {"own-reserved"}, "reserved memory (rmrr) for acpi:DMA1"),
        (0x10, 0xA0000000, {"own-grant"}, "grant ring (r) of acpi:DMA0"),
        (0x20, 0xA0000000, {"other-grant"}, "grant ring (r) of acpi:DMA0"),
        (0x20, 0xA1000000, {"other-grant"}, "grant nobody (no access) of no device"),
        (0x10, 0x9050000, {"registers"}, "registers of smmuv3@9050000"),
        (0x10, 0x7020040, {"msi"}, "MSI doorbell of v2m"),
        (0x10, 0x8090040, {"msi", "linux-msi"}, "MSI doorbell of its:0"),
        (0x10, 0x8000000, {"linux-msi"}, "the window in which Linux maps MSI doorbells"),
        (0x10, 0x10, {"first-page"}, ""),
        (0x10, 0x55550000, set(), ""),
    ],
)
def test_what_an_address_falls_in(identifier: int, address: int, tags: set[str], place: str) -> None:
    """Reserved memory and grants by whose they are, registers, doorbells, the first page, or nothing."""
    found = attribute(translation(identifier, address), made())
    assert found.tags == tags
    assert [one.name for one in found.places][:1] == ([place] if place else [])


@pytest.mark.parametrize(
    ("address", "tags", "near"),
    [
        (0xA0002000, {"past-end"}, "just past the end of grant ring (r) of acpi:DMA0 0xa0000000-0xa0001fff (8 KiB)"),
        (0xA0002FFF, {"past-end"},
         "just past the end of grant ring (r) of acpi:DMA0 0xa0000000-0xa0001fff (8 KiB), 4095 bytes after"),
        (0x9FFFFFFC, {"before-start"},
         "4 bytes before the start of grant ring (r) of acpi:DMA0 0xa0000000-0xa0001fff (8 KiB)"),
        (0x9FFFF000, {"before-start"},
         "4096 bytes before the start of grant ring (r) of acpi:DMA0 0xa0000000-0xa0001fff (8 KiB)"),
        (0x9FFFEFFF, set(), ""),
        (0xA0003000, set(), ""),
        (0x9070000, set(), "just past the end of registers of smmuv3@9050000 0x9050000-0x906ffff (128 KiB)"),
    ],
)  # fmt: skip
def test_what_an_address_just_misses(address: int, tags: set[str], near: str) -> None:
    """Within one page of the end or the start; of registers it is told, but is no reason."""
    found = attribute(translation(0x10, address), made())
    assert found.tags == tags
    assert [str(one) for one in found.near] == ([near] if near else [])


def test_a_page_alone_does_not_miss_a_start() -> None:
    """Where the record has the page only, the page before a start is not near: every byte of it is further away."""
    topology = board("q35-vtd")
    assert attribute(read(0x18, 0xFED8F000), topology).near == ()
    assert [one.distance for one in attribute(read(0x18, 0xFED91000), topology).near] == [0]


def test_windows_of_functions_and_of_interrupts() -> None:
    """A PCI function's window is named with its function; on x86 the interrupt window is known."""
    topology = board("q35-vtd")
    function = topology.function(0, 0x20)
    assert function is not None
    start = next(one.start for one in function[1].resources if one.flags & 0x200)
    assert "window" in attribute(read(0x18, start), topology).tags
    assert attribute(read(0x18, 0xFEE00000), topology).tags == {"msi"}


def test_the_memory_map_says_ram_and_holes() -> None:
    """With a memory map an address is in RAM, in something else, or in a hole."""
    memory = [MemoryRange(0, 0x80000000, "ram", HERE), MemoryRange(0xF0000000, 0x1000, "reserved", HERE)]
    tags = {
        address: attribute(translation(0x10, address), made(), memory).tags
        for address in (0x55550000, 0xF0000000, 0xF8000000)
    }
    assert tags == {0x55550000: {"ram"}, 0xF0000000: {"no-ram"}, 0xF8000000: {"hole"}}


def test_an_interrupt_index_is_no_address() -> None:
    """What a VT-d interrupt fault has in place of an address falls in nothing."""
    fault = vtd.decode(vtd.encode(FI=0x26 << 48, SID=0x18, FR=0x26, F=1), HERE)
    found = attribute(fault, board("q35-vtd"))
    assert (found.places, found.near, found.tags) == ((), (), frozenset())


EXTENTS = st.lists(st.tuples(st.integers(0, 12).map(lambda n: n * 0x800), st.integers(0, 5).map(lambda n: n * 0x900)))


def around(address: int, landscape: Landscape) -> tuple[set[str], set[tuple[str, int]], bool, bool]:
    """Return the names of what an address falls in and of what it misses with the distance, and two tags."""
    found = landscape.around(translation(0x10, address), (), ())
    near = {(one.place.name.split()[1], one.distance) for one in found.near}
    return {one.name.split()[1] for one in found.places}, near, "other-grant" in found.tags, "ram" in found.tags


@given(EXTENTS, EXTENTS, st.lists(st.integers(0, 0xC000), min_size=1, max_size=20), st.sampled_from([1, 16384]))
def test_each_extent_is_told_where_it_is(
    grants: list[tuple[int, int]], ram: list[tuple[int, int]], addresses: list[int], most: int
) -> None:
    """However extents overlap, and however little is remembered, the answer is that of looking at each of them."""
    builder = TopologyBuilder()
    builder.grants += [
        Grant(f"g{number}", start, length, read=True, write=True, devices=(), origin=HERE)
        for number, (start, length) in enumerate(grants)
    ]
    memory = [MemoryRange(start, length, "ram", HERE) for start, length in ram]
    landscape = Landscape(Topology(builder), memory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "MOST_REMEMBERED", most)
        for address in addresses:
            inside, near = set(), set()
            for number, (start, length) in enumerate(grants):
                if start <= address < start + length:
                    inside.add(f"g{number}")
                elif start - PAGE <= address < start:
                    near.add((f"g{number}", address - start))
                elif start + length <= address < start + length + PAGE:
                    near.add((f"g{number}", address - start - length))
            in_ram = any(start <= address < start + length for start, length in ram)
            names, *others = around(address, landscape)
            assert (names - {"memory"}, *others) == (inside, near, bool(inside), in_ram)
