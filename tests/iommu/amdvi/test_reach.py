"""What devices reach through an AMD-Vi unit: tables by hand, hostile ones, and the model asked at every boundary."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu import IommuError, Reach
from iommuman.iommu.amdvi.model import READ, WRITE, Unit, reach

from ..reaching import Answer, agree, corners, damage
from .machine import ADDRESS, DEVICE, DEVICES, DOMAIN, PAGE, RW, SIZES, TABLES, TV, Machine, V, entry_at, mapped
from .watch import TABLES as DRIVER_TABLES
from .watch import TABLES_LENGTH, A, Rig, map_into

K, M, G = 1 << 10, 1 << 20, 1 << 30
WINDOW, WINDOW_END = 0xFEE00000, 0xFEF00000
EXAMPLES = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
RWX, RX, W = (True, True, True), (True, False, True), (False, True, False)


def asking(unit: Unit, device: int, *, width: int = 64) -> Callable[[int], Answer]:
    """Return what the model's walk answers, by address; what can be read can be executed."""

    def ask(address: int) -> Answer:
        if address >> width or WINDOW <= address < WINDOW_END:
            return None, None, None
        read, write = (
            out if isinstance(out := unit.walk(device, address, access), int) else None for access in (READ, WRITE)
        )
        return read, write, read

    return ask


# --- By hand


@pytest.mark.parametrize("levels", range(1, 7))
def test_one_page_of_each_size(levels: int) -> None:
    """A leaf of each level of tables of each height is one run."""
    for leaf in range(1, levels + 1):
        size, address = SIZES[leaf], ADDRESS % SIZES[levels]
        for flags, granted in ((1, RX), (2, W), (3, RWX), (0, None)):
            machine = mapped(leaf, levels, leaf_bits=flags << 61, address=address)
            start = address & -size
            expected = [] if granted is None else [Reach(start, PAGE & -size, size, *granted)]
            if granted and start < WINDOW < start + size:
                cut = WINDOW_END - start
                expected = [
                    Reach(start, PAGE & -size, WINDOW - start, *granted),
                    Reach(WINDOW_END, (PAGE & -size) + cut, size - cut, *granted),
                ]
            assert list(reach(machine.unit, DEVICE)) == expected, (levels, leaf)


def test_a_page_that_encodes_its_size_is_what_its_entries_say() -> None:
    """16 entries of 64 KiB are one run; an entry that is left out is a hole."""
    machine = mapped(1, 3)
    entry = 0x1234_0000 | 0x7000 | 7 << 9 | 1 | RW
    first = TABLES[1]
    machine.put(first, *[entry] * 16)
    assert list(reach(machine.unit, DEVICE)) == [Reach(0x40200000, 0x12340000, 64 * K, *RWX)]
    machine.put(first + 8, 0)
    assert list(reach(machine.unit, DEVICE)) == [
        Reach(0x40200000, 0x12340000, 4 * K, *RWX),
        Reach(0x40202000, 0x12342000, 56 * K, *RWX),
    ]


def test_levels_that_are_left_out_span_what_their_table_does() -> None:
    """An entry of level 4 that points to a table of level 1: 2 MiB from the start of its 512 GiB."""
    machine = mapped(4, 4)
    machine.put(TABLES[4] + 8, TABLES[1] | 1 | 1 << 9 | RW)
    machine.put(TABLES[1], *[PAGE + 4096 * page | 1 | RW for page in range(512)])
    machine.put(TABLES[4], 0)
    assert list(reach(machine.unit, DEVICE)) == [Reach(512 * G, PAGE, 2 * M, *RWX)]


def test_what_passes_untranslated() -> None:
    """A unit that is off, an entry that is not valid, and one without levels: up to the physical width."""
    machine = Machine()
    everything = [Reach(0, 0, WINDOW, *RWX), Reach(WINDOW_END, WINDOW_END, (1 << 46) - WINDOW_END, *RWX)]
    assert list(reach(machine.unit, DEVICE)) == everything
    machine.entry(V | TV | RW)
    assert list(reach(machine.unit, DEVICE)) == everything
    machine.entry(V | TV | 1 << 62)
    assert next(reach(machine.unit, DEVICE)) == Reach(0, 0, WINDOW, *W)
    for words in ((V | TV,), (V | RW,), (V | TV | RW | 1 << 2,), (V | TV | RW | 7 << 9,)):
        machine.entry(*words)
        assert list(reach(machine.unit, DEVICE)) == []
    assert list(reach(machine.unit, 0x80)) == [], "beyond the table"
    machine.write(0x18, 0)
    assert list(reach(machine.unit, 0x80)) == everything


@pytest.mark.parametrize(
    ("start", "end"),
    [(0x40200000, 0x40203000), (0, 0x1000), (0x50000000, 0x50001000), (0x40201000, 0x40202000), (0, 1 << 32)],
)
def test_the_exclusion_range_takes_the_place_of_the_tables(start: int, end: int) -> None:
    """Before, after, between and over what is mapped; only where it is for the device."""
    machine = mapped()
    machine.put(entry_at(1) - 8, PAGE - 4096 | 1 | RW, PAGE | 1 | RW, PAGE + 4096 | 1 | RW)
    machine.write(0x28, end - 4096)
    machine.write(0x20, start | 1)
    assert list(reach(machine.unit, DEVICE)) == [Reach(0x40200000, PAGE - 4096, 12 * K, *RWX)]
    machine.write(0x20, start | 3)
    found = list(reach(machine.unit, DEVICE))
    assert agree(found, asking(machine.unit, DEVICE), [start, end - 1, end, ADDRESS, 0x401FFFFF])
    machine.entry(V | TV)
    assert next(reach(machine.unit, DEVICE))[:2] == (start, start)


# --- Asked at every boundary


def random_table(
    source: random.Random, machine: Machine, level: int, table: int, depth: int, places: list[int]
) -> None:
    """Fill a table with all that entries can be, and those below it."""
    for number in source.sample(range(512), 3) + [0, 1, 511][: source.randrange(4)]:
        kind = source.randrange(8)
        at = table + 8 * number
        places.append(at)
        bits = source.choice((0, 1, 2, 3, 3, 3)) << 61 | source.choice((1, 1, 1, 1, 0))
        if kind < 3 and level > 1:
            below = source.randrange(1, level) if kind == 2 else level - 1
            child = 0x100000 + 0x1000 * source.randrange(1, 40)
            machine.put(at, child | below << 9 | bits)
            if depth:
                random_table(source, machine, below, child, depth - 1, places)
        elif kind == 3:
            ones = (1 << source.randrange(12, 12 + 9 * level)) - 0x1000
            machine.put(at, 0x8_0000_0000_0000 | ones | 7 << 9 | bits)
        elif kind == 4:
            machine.put(at, PAGE | source.randrange(8) << 9 | bits | 1 << source.randrange(52, 64))
        else:
            machine.put(at, PAGE + source.choice((0, 1 << 3 + 9 * level)) * number & (1 << 52) - 1 & ~0xE00 | bits)


@EXAMPLES
@given(st.integers(0, 1 << 32), st.integers(1, 6))
def test_random_tables(seed: int, levels: int) -> None:
    """Levels left out, every size, tables that are used twice, bits that are reserved, and memory that fails."""
    source = random.Random(seed)
    machine = Machine()
    places: list[int] = []
    machine.entry(TABLES[levels] | V | TV | levels << 9 | source.choice((1, 2, 3, 3, 3)) << 61, DOMAIN)
    random_table(source, machine, levels, TABLES[levels], 3, places)
    if source.randrange(2):
        damage(machine.memory, places, source)
    if not source.randrange(3):
        machine.write(0x28, source.choice((0x5000, 1 << 30)))
        machine.write(0x20, source.choice((0x3000, 0x40000000)) | 3)
    shifts = [3 + 9 * level for level in range(levels, 0, -1)]
    probes = corners(shifts, [0, 1, 511], bits=64) if levels < 4 else []
    found = list(islice(reach(machine.unit, DEVICE), 3000))
    if len(found) < 3000:
        agree(found, asking(machine.unit, DEVICE), probes)


@EXAMPLES
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.sampled_from([0, 4 * K, 2 * M - 4 * K, 2 * M, G - 4 * K, G, 5 * G, 512 * G]),
            st.sampled_from([4 * K, 8 * K, 2 * M, 2 * M + 4 * K, G]),
            st.sampled_from([1, 2, 3]),
            st.sampled_from([0, 2 * G]),
        ),
        max_size=8,
    )
)
def test_tables_that_the_driver_made(operations: list[tuple[bool, int, int, int, int]]) -> None:
    """What is mapped and unmapped is what is reached, as the model answers at both sides of every boundary."""
    rig = Rig([])
    domain = rig.driver.create_domain()
    rig.driver.attach(A, domain)
    for is_map, start, length, access, delta in operations:
        if is_map:
            map_into(domain, start, start + delta, length, access)
        else:
            domain.unmap(start, length)
    agree(reach(rig.unit, A), asking(rig.unit, A), [0, DRIVER_TABLES, DRIVER_TABLES + TABLES_LENGTH])


# --- Hostile tables


def test_tables_that_are_one_another_do_not_take_for_ever() -> None:
    """A table whose every entry is the same table below: the first runs come at once, and the limit holds."""
    machine = Machine()
    machine.entry(TABLES[6] | V | TV | 6 << 9 | RW, DOMAIN)
    for level in range(6, 1, -1):
        machine.put(TABLES[level], *[TABLES[level - 1] | 1 | level - 1 << 9 | RW] * 512)
    assert list(reach(machine.unit, DEVICE)) == [], "what maps nothing is visited once"
    machine.put(TABLES[1], *[PAGE | 1 | RW] * 2)
    assert len(list(islice(reach(machine.unit, DEVICE), 5))) == 5
    with pytest.raises(IommuError) as error:
        list(reach(machine.unit, DEVICE, limit=1000))
    assert error.value.finding.rule == "REACH-LIMIT"
    machine.memory.inject(DEVICES + 32 * DEVICE)
    assert list(reach(machine.unit, DEVICE)) == []
