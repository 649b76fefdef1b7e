"""What devices reach through a VT-d unit: tables by hand, hostile tables, and the model asked at every boundary."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu import IommuError, Reach
from iommuman.iommu.vtd.driver import Domain
from iommuman.iommu.vtd.layout import PasidEntry
from iommuman.iommu.vtd.model import EXECUTE, READ, WRITE, RemappingUnit, reach

from ..reaching import Answer, agree, corners, damage
from .machine import (
    ADDRESS,
    CONTEXT,
    DIRECTORY,
    FIRST,
    LEGACY_CAP,
    PAGE,
    PASIDS,
    ROOT,
    SCALABLE_CAP,
    SCALABLE_ECAP,
    SECOND,
    SIZES,
    SOURCE,
    Machine,
    entry_at,
    legacy,
    scalable,
)
from .watch import LEGACY, SCALABLE, TABLES, TABLES_LENGTH, A, Rig, map_into

K, M, G = 1 << 10, 1 << 20, 1 << 30
WINDOW, WINDOW_END = 0xFEE00000, 0xFEF00000
EXAMPLES = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
RWX, RW, RX, W = (True, True, True), (True, True, False), (True, False, True), (False, True, False)


def asking(
    unit: RemappingUnit, source: int, pasid: int | None = None, *, privileged: bool = False
) -> Callable[[int], Answer]:
    """Return what the model's walk answers, by address; while translation is off, without what is no memory."""

    def ask(address: int) -> Answer:
        if not unit.tables.translating and (address >> unit.hardware.haw or WINDOW <= address < WINDOW_END):
            return None, None, None
        read, write, execute = (
            out if isinstance(out := unit.walk(source, address, access, pasid, supervisor=privileged), int) else None
            for access in (READ, WRITE, EXECUTE)
        )
        return read, write, execute

    return ask


# --- By hand


@pytest.mark.parametrize("levels", [3, 4])
@pytest.mark.parametrize("leaf", [1, 2, 3])
def test_one_page_of_each_size(leaf: int, levels: int) -> None:
    """A page of the second stage is one run; in legacy mode what can be read can be executed."""
    size = SIZES[leaf]
    for flags, granted in ((1, RX), (2, W), (3, RWX), (7, RWX), (4, None), (0, None)):
        machine = legacy(leaf, levels, flags=flags)
        expected = [] if granted is None else [Reach(ADDRESS & -size, PAGE & -size, size, *granted)]
        assert list(reach(machine.unit, SOURCE)) == expected
        assert list(reach(machine.unit, SOURCE + 1)) == []
        assert list(reach(machine.unit, SOURCE, 5)) == [], "legacy mode knows no PASID"


def test_runs_go_on_over_pages_tables_and_sizes_and_end_where_permissions_change() -> None:
    """The last pages of a 2 MiB table, a large page, a huge page: one run; then a page to write only, then a hole."""
    machine = legacy(3)  # 1 GiB from 0x40000000 to 0x9_8000_0000
    machine.put(SECOND[3], SECOND[2] | 3)  # the GiB below it
    machine.put(SECOND[2] + 8 * 511, 0x9_7FE0_0000 | 0x83)
    machine.put(SECOND[2] + 8 * 510, SECOND[1] | 3)
    machine.put(SECOND[1] + 8 * 510, 0x9_7FDF_E000 | 3, 0x9_7FDF_F000 | 3)
    machine.put(SECOND[3] + 16, 0x26000 | 3)
    machine.put(0x26000, 0x27000 | 7)
    machine.put(0x27000, 0xA_0000_0000 | 2, 0, 0xA_0000_2000 | 1, 0xA_0000_3000 | 1, 0xA_0000_0000 | 3)
    assert list(reach(machine.unit, SOURCE)) == [
        Reach(0x3FDFE000, 0x9_7FDF_E000, G + 2 * M + 8 * K, *RWX),
        Reach(0x80000000, 0xA_0000_0000, 4 * K, *W),
        Reach(0x80002000, 0xA_0000_2000, 8 * K, *RX),
        Reach(0x80004000, 0xA_0000_0000, 4 * K, *RWX),
    ]


def test_pages_whose_output_skips_or_repeats_are_runs_of_their_own() -> None:
    """Of the frames 0, 1, 3, 3, 4, 2 only neighbours that go on from one another are one run."""
    machine = legacy()
    frames = (0, 1, 3, 3, 4, 2)
    machine.put(SECOND[1], *[PAGE + (frame << 12) | 3 for frame in frames])
    start = ADDRESS & -2 * M
    assert list(reach(machine.unit, SOURCE)) == [
        Reach(start, PAGE, 8 * K, *RWX),
        Reach(start + 8 * K, PAGE + 12 * K, 4 * K, *RWX),
        Reach(start + 12 * K, PAGE + 12 * K, 8 * K, *RWX),
        Reach(start + 20 * K, PAGE + 8 * K, 4 * K, *RWX),
    ]


def test_both_halves_of_the_first_stage() -> None:
    """Addresses of the upper half are canonical; to requests without privilege, what is not the user's is not there."""
    machine = scalable(1, q2=1 | 1 << 5, ecap=SCALABLE_ECAP)
    machine.put(FIRST[4] + 8 * 511, FIRST[3] | 0x27)
    machine.put(FIRST[3] + 8 * 511, 0x8_0000_0000 | 0xA7)
    machine.put(FIRST[3] + 8 * 510, 0x8_4000_0000 | 0xA3)
    low = Reach(ADDRESS & -4096, PAGE, 4 * K, *RWX)
    hidden = Reach(510 * G, 0x8_4000_0000, G, *RW)
    user = [low, Reach(511 * G, 0x8_0000_0000, G, *RWX)]
    upper = (1 << 64) - (1 << 39)
    assert list(reach(machine.unit, SOURCE)) == [
        *user,
        Reach(upper + (ADDRESS & -4096), PAGE, 4 * K, *RWX),
        Reach((1 << 64) - G, 0x8_0000_0000, G, *RWX),
    ]
    assert hidden in list(reach(machine.unit, SOURCE, 0, privileged=True))
    assert next(reach(machine.unit, SOURCE, 0)) == low._replace(execute=False), "ERE is clear"


def test_nothing_passes_when_dma_is_aborted() -> None:
    """RTADDR.TTM 3 with ECAP.ADMS, and reserved modes, let nothing pass."""
    for ecap in (SCALABLE_ECAP | 1 << 52, SCALABLE_ECAP):
        machine = Machine(SCALABLE_CAP, ecap)
        machine.start(ROOT | 3 << 10)
        assert list(reach(machine.unit, SOURCE)) == []


def test_everything_passes_without_translation_but_protected_memory_and_interrupts() -> None:
    """With TE clear, all addresses of the host; PMEN takes its regions out."""
    machine = Machine()
    rest = Reach(WINDOW_END, WINDOW_END, (1 << 46) - WINDOW_END, *RWX)
    assert list(reach(machine.unit, SOURCE)) == [Reach(0, 0, WINDOW, *RWX), rest]
    machine.write(0x68, 0)
    machine.write(0x6C, 0x100000)
    machine.write(0x70, 1 << 32, 8)
    machine.write(0x78, 1 << 32, 8)
    machine.write(0x64, 1 << 31)
    high = 1 << 32
    assert list(reach(machine.unit, SOURCE)) == [
        Reach(2 * M, 2 * M, WINDOW - 2 * M, *RWX),
        Reach(WINDOW_END, WINDOW_END, high - WINDOW_END, *RWX),
        Reach(high + M, high + M, (1 << 46) - high - M, *RWX),
    ]
    agree(reach(machine.unit, SOURCE), asking(machine.unit, SOURCE), [0, M, 2 * M - 1, 2 * M, high, high + M, 1 << 46])


def test_pass_through_ends_at_the_smaller_width() -> None:
    """Pass-through goes up to the smaller of host and guest address width, without interrupts."""
    for mgaw, haw, end in ((47, 46, 46), (38, 46, 39), (47, 39, 39)):
        machine = Machine(LEGACY_CAP & ~(0x3F << 16) | mgaw << 16, haw=haw)
        machine.put(ROOT, CONTEXT | 1)
        machine.put(CONTEXT + SOURCE * 16, 2 << 2 | 1, 1)
        machine.start()
        assert list(reach(machine.unit, SOURCE)) == [
            Reach(0, 0, WINDOW, *RWX),
            Reach(WINDOW_END, WINDOW_END, (1 << end) - WINDOW_END, *RWX),
        ]
    machine = scalable(4)
    assert [run[3:] for run in reach(machine.unit, SOURCE, 0)] == [RW, RW], "ERE is clear"
    assert [run[3:] for run in reach(machine.unit, SOURCE)] == [RWX, RWX]


def test_interrupts_are_no_memory_neither_as_input_nor_as_output() -> None:
    """Large pages around 0xfee00000 have a hole there; a page whose output lies there is not reached at all."""
    machine = legacy(3)
    for number in range(4):
        machine.put(SECOND[3] + 8 * number, number * G + G | 0x83)
    machine.put(SECOND[3] + 8 * 5, SECOND[2] | 3)
    machine.put(SECOND[2], SECOND[1] | 3)
    machine.put(SECOND[1], WINDOW - 4 * K | 3, WINDOW | 3, WINDOW_END - 4 * K | 3, WINDOW_END | 3)
    out = WINDOW - G
    assert list(reach(machine.unit, SOURCE)) == [
        Reach(0, G, out, *RWX),
        Reach(out + M, WINDOW_END, WINDOW - out - M, *RWX),
        Reach(WINDOW_END, WINDOW_END + G, 4 * G - WINDOW_END, *RWX),
        Reach(5 * G, WINDOW - 4 * K, 4 * K, *RWX),
        Reach(5 * G + 12 * K, WINDOW_END, 4 * K, *RWX),
    ]


def test_the_width_of_a_domain_ends_a_page_that_is_larger() -> None:
    """With MGAW of 25 bits, of a large page as much is reached as addresses have bits for."""
    machine = legacy(3, cap=LEGACY_CAP & ~(0x3F << 16) | 24 << 16)
    machine.put(SECOND[3], 0x83)
    assert list(reach(machine.unit, SOURCE)) == [Reach(0, 0, 32 * M, *RWX)]


def test_nested_translation_takes_what_both_stages_grant() -> None:
    """Both stages must map a page; the smaller page and the lesser permission count."""
    machine = scalable(3, leaf=2)
    machine.put(entry_at(SECOND, 3, PAGE), SECOND[2] + 0x40000 | 3)
    middle = PAGE & -2 * M
    table = SECOND[2] + 0x40000
    machine.put(entry_at({2: table}, 2, middle), SECOND[2] + 0x41000 | 3)
    machine.put(SECOND[2] + 0x41000 + 8 * 7, 0xA_0000_7000 | 1, 0xA_0000_8000 | 3, 0xA_0000_9000 | 3)
    at = (ADDRESS & -2 * M) + 7 * 4096
    assert list(islice(reach(machine.unit, SOURCE), 2)) == [
        Reach(at, 0xA_0000_7000, 4 * K, *RX),
        Reach(at + 4096, 0xA_0000_8000, 8 * K, *RWX),
    ]
    machine.put(SECOND[1] + 8 * (FIRST[3] >> 12), FIRST[3] | 2)
    assert list(reach(machine.unit, SOURCE)) == [], "a table that may only be written is not read"


def test_memory_that_cannot_be_read_takes_only_its_entries_away() -> None:
    """One bad doubleword of a table, or a table where no memory is, hides what lies below it and nothing else."""
    machine = legacy()
    for page in range(512):
        machine.put(SECOND[1] + 8 * page, PAGE + (page << 12) | 3)
    start = ADDRESS & -2 * M
    machine.memory.inject(SECOND[1] + 8 * 100)
    machine.put(SECOND[3], 1 << 41 | 3)
    assert list(reach(machine.unit, SOURCE)) == [
        Reach(start, PAGE, 100 * 4096, *RWX),
        Reach(start + 101 * 4096, PAGE + 101 * 4096, 411 * 4096, *RWX),
    ]


def test_caches_are_not_asked() -> None:
    """What the unit remembers does not count: tables do."""
    machine = legacy()
    assert isinstance(machine.unit.translate(SOURCE, ADDRESS), int)
    machine.put(entry_at(SECOND, 1), 0)
    assert isinstance(machine.unit.look(SOURCE, ADDRESS), int)
    before = dict(machine.unit.caches.contexts)
    assert list(reach(machine.unit, SOURCE)) == []
    assert machine.unit.caches.contexts == before


# --- Hostile tables


def full(machine: Machine, table: int, entry: int) -> None:
    """Write the same entry 512 times."""
    machine.put(table, *[entry] * 512)


def test_tables_that_point_to_themselves_end_at_the_limit() -> None:
    """2^36 runs are not enumerated: what is asked for is yielded, then the limit is an error of its own."""
    machine = legacy(levels=4)
    full(machine, SECOND[4], SECOND[4] | 3)
    runs = reach(machine.unit, SOURCE, limit=1000)
    assert list(islice(runs, 1000))[999] == Reach(999 << 12, SECOND[4], 4 * K, *RWX)
    with pytest.raises(IommuError) as caught:
        next(runs)
    finding = caught.value.finding
    assert (finding.rule, finding.found) == ("REACH-LIMIT", "another run at 0x3e8000")
    assert finding.message == "the tables map more than 1000 runs of memory"
    assert len(list(reach(legacy().unit, SOURCE, limit=1))) == 1


@pytest.mark.parametrize("last", [0, WINDOW | 3, 1 << 50 | 3, 4, 1 << 20 | 0xF8])
def test_tables_that_lead_nowhere_are_visited_once(last: int) -> None:
    """512 entries at each of four levels, to one table of nothing, of interrupts, or of reserved bits."""
    machine = legacy(levels=4)
    for level in (4, 3, 2):
        full(machine, SECOND[level], SECOND[level - 1] | 3)
    full(machine, SECOND[1], last)
    assert list(reach(machine.unit, SOURCE)) == []
    full(machine, SECOND[2], 1 << 41 | 3)
    assert list(reach(machine.unit, SOURCE)) == [], "tables where no memory is"


def test_nested_stages_that_never_agree_are_visited_once() -> None:
    """Pages to read only, over 2^36 pages to write only: no permission is left, and no time is lost."""
    machine = scalable(3, levels=4)
    full(machine, SECOND[4], SECOND[4] | 2)
    machine.put(SECOND[4], SECOND[3] | 3)
    nothing = 0x26000
    machine.put(SECOND[3], SECOND[2] | 3)
    for number in range(1, 512):
        machine.put(SECOND[3] + 8 * number, nothing | 2)
    full(machine, nothing, nothing | 2)
    for level in (4, 3):
        full(machine, FIRST[level], FIRST[level - 1] | 0x27)
    full(machine, FIRST[2], 1 << 30 | 0xA5)
    full(machine, FIRST[3], 2 << 30 | 0xA5)
    assert list(reach(machine.unit, SOURCE)) == []


def test_thousands_of_different_wrong_entries_are_all_refused() -> None:
    """What is known of entries is bounded: 5,120 huge pages, each with other address bits that must be zero."""
    machine = legacy(levels=4)
    for number in range(10):
        table = 0x60000 + number * 0x1000
        machine.put(SECOND[4] + 8 * number, table | 3)
        machine.put(table, *[number * 512 + entry + 1 << 12 | 0x83 for entry in range(512)])
    machine.put(0x60000 + 8 * 7, G | 0x83)
    assert list(reach(machine.unit, SOURCE)) == [Reach(7 * G, G, G, *RWX)]


def test_a_huge_page_over_thousands_of_scattered_pages() -> None:
    """One entry of the first stage, nested, becomes as many runs as the second stage has pages."""
    machine = scalable(3, leaf=3)
    middle = PAGE & -G
    machine.put(entry_at(SECOND, 3, middle), 0x60000 | 3)
    for number in range(9):
        table = 0x61000 + number * 0x1000
        machine.put(0x60000 + 8 * number, table | 3)
        machine.put(table, *[(number * 512 + page) * 2 + 0x100000 << 12 | 3 for page in range(512)])
    start = ADDRESS & -G
    expected = [Reach(start + (page << 12), page * 2 + 0x100000 << 12, 4 * K, *RWX) for page in range(9 * 512)]
    assert list(islice(reach(machine.unit, SOURCE), 9 * 512)) == expected


def test_nested_pages_all_over_a_large_second_stage() -> None:
    """More blocks than are held at a time, and entries with ignored bits, are answered as the walk does."""
    machine = scalable(3, levels=3)
    for level3 in range(1, 10):
        table = 0x100000 + level3 * 0x1000
        machine.put(SECOND[3] + 8 * level3, table | 3)
        for number in range(512):
            machine.put(table + 8 * number, level3 << 30 | number << 21 | 0x83)
    for number in range(9):
        table = 0x200000 - 0x10000 + number * 0x1000
        machine.put(FIRST[2] + 8 * number, table | 0x27)
        for page in range(512):
            frame = number + 1 << 30 | page << 21
            junk = (page * 8 + number) << 52 & 0x7FF << 52
            machine.put(table + 8 * page, frame | 0x67 | junk)
    probes = [n << 21 | p << 12 | G for n in range(9) for p in range(0, 512, 37)]
    assert agree(reach(machine.unit, SOURCE), asking(machine.unit, SOURCE), probes) > 9000


# --- The model asked at every boundary

NUMBERS = (0, 1, 2, 256, 511)
"""Entries that random tables have."""
POOL = [0x60000 + 0x1000 * number for number in range(6)]
SECOND_POOL = [0x70000 + 0x1000 * number for number in range(4)]
MIDDLE = 0x80000
"""The second-stage table that maps the first 2 MiB, where all tables are, one to one, when stages are nested."""


def random_output(source: random.Random, level: int, number: int) -> int:
    """Return an address that may go on from its neighbour's, be an interrupt, in no memory, or too wide."""
    size = 1 << 3 + 9 * level
    base = source.choice((0, 0x4000_0000, 0x4000_0000, 0xC000_0000, 0xFEC0_0000, 1 << 38, 1 << 41, 1 << 45, 1 << 46))
    return (base + number * size) & (-size if source.random() < 0.95 else -4096)


def random_table(machine: Machine, source: random.Random, table: int, pool: list[int], flags: tuple[int, ...]) -> None:
    """Write entries that mean something at one level or another."""
    level = source.choice((1, 1, 2, 3))
    for number in NUMBERS:
        kind = source.random()
        if kind < 0.2:
            continue
        entry = source.choice(flags)
        if kind < 0.6:
            entry |= source.choice(pool)
        else:
            entry |= random_output(source, level, number) | (0x80 if level > 1 else 0)
        machine.put(table + 8 * number, entry)


SECOND_FLAGS = (3, 3, 3, 7, 7, 7, 1, 2, 5, 4, 0x303, 3 | 1 << 52)
FIRST_FLAGS = (0x27, 0x27, 0x27, 0x27, 0x67, 0x67, 0x25, 0x23, 0x07, 0x26, 0x27 | 1 << 63, 0x67 | 1 << 11)


def random_machine(source: random.Random, kind: int) -> Machine:
    """Return a machine with random tables; kind 0 is legacy mode, else PGTT."""
    wide = source.random() < 0.3
    ecap = SCALABLE_ECAP | source.choice((0, 1 << 2 | 1 << 7 | 1 << 53))
    cap = SCALABLE_CAP | source.choice((0, 1 << 60))
    if wide:
        cap = cap & ~(0x3F << 16) | source.choice((24, 31, 38, 40, 47, 56, 56)) << 16 | 1 << 11
    machine = Machine(cap, ecap, haw=source.choice((39, 46, 46)))
    levels = source.choice((3, 4, 5) if wide else (3, 4))
    machine.put(ROOT, CONTEXT | 1)
    if kind == 0:
        tt = source.choice((0, 0, 0, 1, 2))
        machine.put(CONTEXT + SOURCE * 16, SECOND_POOL[0] | tt << 2 | 1, levels - 2)
    else:
        machine.put(CONTEXT + SOURCE * 32, DIRECTORY | 2 << 9 | 1 << 3 | 1)
        machine.put(DIRECTORY, PASIDS | 1)
        bits = {name: int(source.random() < 0.85) for name in ("SRE", "NXE")}
        bits |= {name: source.getrandbits(1) for name in ("ERE", "WPE", "SMEP", "EAFE", "SSEE", "SSADE")}
        entry = PasidEntry(P=1, AW=levels - 2, PGTT=kind, SSPTPTR=SECOND_POOL[0], DID=5, PWSNP=1, **bits)
        entry.FSPTPTR = POOL[0]
        entry.FSPM = int(bool(cap >> 60 & 1) and source.random() < 0.3)
        machine.put(PASIDS, *entry.words)
    for table in POOL:
        random_table(machine, source, table, POOL, FIRST_FLAGS)
    pool = SECOND_POOL + ([MIDDLE] if kind == 3 else [])
    for table in SECOND_POOL:
        random_table(machine, source, table, pool, SECOND_FLAGS)
    if kind == 3:
        for level in range(levels - 1):
            machine.put(SECOND_POOL[level], SECOND_POOL[level + 1] | 7 if level < levels - 2 else MIDDLE | 7)
        for page in (*NUMBERS, *range(0x60, 0x66)):
            machine.put(MIDDLE + 8 * page, page << 12 | source.choice((7, 7, 7, 7, 7, 3, 1, 2)))
    machine.start(ROOT | (1 << 10 if kind else 0))
    return machine


PLACES = [
    *(table + 8 * number for table in (*POOL, *SECOND_POOL) for number in NUMBERS),
    ROOT, CONTEXT + SOURCE * 16, CONTEXT + SOURCE * 16 + 8, CONTEXT + SOURCE * 32, DIRECTORY,
    *(PASIDS + 8 * word for word in range(3)), *(MIDDLE + 8 * page for page in range(0x60, 0x66)),
]  # fmt: skip
CORNERS = {
    levels: corners([3 + 9 * level for level in range(levels, 0, -1)], NUMBERS if levels < 5 else NUMBERS[:3])
    for levels in (3, 4, 5)
}


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
@EXAMPLES
@given(seed=st.integers(0, 1 << 32))
def test_random_tables_are_reached_as_the_walk_says(kind: int, seed: int) -> None:
    """Every page of random tables, whole and damaged, with and without PASID and privilege."""
    source = random.Random(seed)
    machine = random_machine(source, kind)
    if source.random() < 0.6:
        damage(machine.memory, PLACES, source)
    levels = source.choice((3, 4)) if kind in (0, 2) else 4
    sample = CORNERS[levels] if kind != 4 else [0, WINDOW, WINDOW_END, 1 << 39, 1 << 46]
    probes = [*source.sample(sample, min(len(sample), 300)), *source.sample(CORNERS[5], 20)]
    probes += [(1 << 64) - (1 << 48) + at for at in source.sample(CORNERS[4], 100) if at >> 47 & 1]
    pasid = source.choice((None, None, 0, 0, 0, 70)) if kind else None
    privileged = bool(source.getrandbits(1)) and pasid is not None
    unit = machine.unit
    runs = reach(unit, SOURCE, pasid, privileged=privileged)
    agree(islice(runs, 5000), asking(unit, SOURCE, pasid, privileged=privileged), probes)


STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from((0, 4 * K, 8 * K, 2 * M - 4 * K, 2 * M, 4 * M, G - 2 * M, G)),
        st.sampled_from((4 * K, 8 * K, 2 * M, 2 * M + 4 * K, 4 * M)),
        st.sampled_from((0x1_0000_0000, 0x1_0000_1000, 0x2_0000_0000)),
        st.sampled_from((1, 3, 3)),
    ),
    max_size=8,
)


@pytest.mark.parametrize("kind", ["legacy", "second", "first", "nested", "pass-through", "blocked"])
@EXAMPLES
@given(steps=STEPS)
def test_what_the_driver_maps_is_reached(kind: str, steps: list[tuple[bool, int, int, int, int]]) -> None:
    """Maps and unmaps, with the splits and merges that follow, against the walk and against a list of pages."""
    rig = Rig([], *(LEGACY if kind == "legacy" else SCALABLE), scalable=kind != "legacy")
    driver, start = rig.driver, 0x1_0000_0000
    if kind == "pass-through":
        driver.pass_through(A)
    if kind in ("pass-through", "blocked"):
        agree(reach(rig.unit, A), asking(rig.unit, A), [0, WINDOW, 1 << 45, 1 << 46, 1 << 47])
        return
    shift = 0
    if kind == "nested":
        parent = driver.second_stage()
        parent.map(TABLES, TABLES, TABLES_LENGTH)
        parent.map(start, start + 0x10_0000_0000, 8 * G)
        shift = 0x10_0000_0000
        domain: Domain = driver.first_stage(parent)
    else:
        domain = driver.first_stage() if kind == "first" else driver.second_stage()
    driver.attach(A, domain)
    marks = sorted({start + offset for _, offset, *_ in steps} | {start + at + n for _, at, n, *_ in steps})
    model: dict[int, tuple[int, int]] = {}
    for unmap, offset, length, output, access in steps:
        inside = [mark for mark in marks if start + offset <= mark < start + offset + length]
        if unmap:
            domain.unmap(start + offset, length)
            model = {mark: found for mark, found in model.items() if mark not in inside}
        else:
            map_into(domain, start + offset, output + offset, length, access)
            model |= {mark: (output + mark - start + shift, access) for mark in inside}
    runs = list(reach(rig.unit, A))
    agree(runs, asking(rig.unit, A), [mark + at for mark in marks for at in (-4096, 0, 4096)])
    for mark in marks:
        run = next((run for run in runs if run.address <= mark < run.address + run.length), None)
        found = None if run is None else (run.output + mark - run.address, run.read + 2 * run.write)
        assert found == model.get(mark)
