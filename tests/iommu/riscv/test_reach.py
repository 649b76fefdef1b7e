"""What devices reach through an IOMMU: tables by hand, hostile tables, and the model asked at every boundary."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu import IommuError, Memory, Reach
from iommuman.iommu.riscv.model import FETCH, PRIVILEGED, READ, WRITE, Model, reach
from iommuman.iommu.riscv.model.reach import next_match

from ..reaching import Answer, agree, corners, damage
from .rig import (
    DID,
    G_ROOT,
    GPA,
    LEVELS,
    MSIS,
    PA,
    PDT,
    RWX_U,
    S_ROOT,
    SV39,
    VA,
    WINDOW,
    A,
    D,
    G,
    R,
    Rig,
    U,
    V,
    W,
    X,
    capabilities,
    first,
    nested,
    second,
)
from .test_driver import Setup

K, M = 1 << 10, 1 << 20
GADE, SADE, PDTV = 128, 256, 32
N = 1 << 63
SHIFTS = (30, 21, 12)
EXAMPLES = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
RWX, RW, RX = (True, True, True), (True, True, False), (True, False, True)


def freeze(memory: Memory) -> None:
    """Let stores of hardware succeed or fail, and be forgotten, so that answers stay the same."""

    def write(address: int, size: int) -> None:
        if memory._faults:
            memory._check("write", address, size)
        memory._writable(address >> 12)

    vars(memory)["write_u64"] = lambda address, _: write(address, 8)
    vars(memory)["write"] = lambda address, data: write(address, len(data))


def asking(
    model: Model, process: int | None = None, *, privileged: bool = False, device: int = DID
) -> Callable[[int], Answer]:
    """Return what the model answers, by address; `model` is one without caches."""
    more = PRIVILEGED * privileged

    def ask(address: int) -> Answer:
        found = (model.translate(device, address, access | more, process) for access in (READ, WRITE, FETCH))
        read, write, execute = (None if output == -1 else output for output in found)
        return read, write, execute

    return ask


# --- by hand


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize(("mode", "level"), [(mode, level) for mode in LEVELS for level in range(LEVELS[mode])])
def test_one_page_of_each_size(make: Callable[..., Rig], mode: int, level: int) -> None:
    """A page is one run, with its permissions, in every mode."""
    size = 1 << 12 + 9 * level
    for flags, granted in ((R, (True, False, False)), (R | W, RW), (R | W | X, RWX), (X, (False, False, True))):
        rig = make(mode=mode, level=level, flags=flags | V | U | A | D)
        assert list(reach(rig.model, DID)) == [Reach(VA & -size, PA & -size, size, *granted)]
        assert list(reach(rig.model, DID + 1)) == [], "no context"
        assert list(reach(rig.model, DID, 3)) == [], "no processes"
        assert rig.faults() == [], "nothing is reported"


@pytest.mark.parametrize("make", [first, second])
def test_entries_that_mean_nothing(make: Callable[..., Rig]) -> None:
    """Reserved bits, W without R, clear U, misaligned pages, pages beyond PAS: nothing is reached."""
    root = G_ROOT if make is second else S_ROOT
    for flags in (0, V, RWX_U & ~U, RWX_U & ~R, RWX_U | 1 << 54, RWX_U | 3 << 61, RWX_U & ~A, RWX_U | N):
        assert list(reach(make(flags=flags).model, DID)) == []
    rig = make(level=1)
    rig.leaf(root, VA, (PA & -2 * M) + 4 * K, RWX_U, 1)
    assert list(reach(rig.model, DID)) == []
    assert list(reach(make(capabilities(PAS=34)).model, DID)) == []
    assert list(reach(make(capabilities(Svpbmt=0), flags=RWX_U | 1 << 61).model, DID)) == []
    assert len(list(reach(make(flags=RWX_U | 1 << 61).model, DID))) == 1
    rig = make()
    rig.memory.write_u64(root + 8 * (VA >> 30), rig.memory.read_u64(root + 8 * (VA >> 30)) | U)
    assert list(reach(rig.model, DID)) == []


def test_modes_of_the_directory() -> None:
    """Off reaches nothing; Bare, and a context with both stages Bare, all physical addresses."""
    for mode, expected in ((0, []), (1, [Reach(0, 0, 1 << 40, *RWX)])):
        assert list(reach(Rig(capabilities(PAS=40), mode=mode).model, DID)) == expected
    rig = Rig(capabilities(PAS=40))
    rig.dc(1)
    assert list(reach(rig.model, DID)) == [Reach(0, 0, 1 << 40, *RWX)]


def test_napot_pages_are_runs() -> None:
    """Sixteen entries are 64 KiB; one of another encoding is nothing."""
    for make, root in ((first, S_ROOT), (second, G_ROOT)):
        rig = make()
        (*_, place) = rig.leaf(root, VA, 0, 0)
        for page in range(16):
            rig.memory.write_u64((place & -128) + 8 * page, ((PA & -0x10000) >> 12 | 8) << 10 | RWX_U | N)
        assert list(reach(rig.model, DID)) == [Reach(VA & -0x10000, PA & -0x10000, 64 * K, *RWX)]
        rig.memory.write_u64(place & -128, ((PA & -0x10000) >> 12 | 9) << 10 | RWX_U | N)
        assert list(reach(rig.model, DID)) == [Reach((VA & -0x10000) + 4 * K, (PA & -0x10000) + 4 * K, 60 * K, *RWX)]
        rig = make(level=1)
        rig.leaf(root, VA, 8 << 12, RWX_U | N, 1)
        assert list(reach(rig.model, DID)) == []


def test_the_upper_half_is_at_the_top() -> None:
    """Addresses of the first stage are sign-extended."""
    rig = Rig()
    rig.dc(1, 0, 0, 8 << 60 | S_ROOT >> 12)
    rig.leaf(S_ROOT, (1 << 64) - 4096, PA & -4096, RWX_U)
    rig.leaf(S_ROOT, 0, PA & -4096, RWX_U)
    low, high = Reach(0, PA & -4096, 4 * K, *RWX), Reach((1 << 64) - 4096, PA & -4096, 4 * K, *RWX)
    assert list(reach(rig.model, DID)) == [low, high]


@pytest.mark.parametrize(("supervisor", "total", "user"), list(product((False, True), (0, 1), (0, 1))))
def test_processes_and_privilege(supervisor: bool, total: int, user: int) -> None:
    """U, SUM and ENS count as the model counts them."""
    rig = Rig(caching=False)
    rig.dc(1 | PDTV, 0, 0, 1 << 60 | PDT >> 12)
    rig.put(PDT + 16 * 9, 3 | total << 2, 8 << 60 | S_ROOT >> 12)
    rig.put(PDT + 16 * 8, 1, 8 << 60 | S_ROOT >> 12)
    rig.leaf(S_ROOT, VA, PA, RWX_U & ~U | user * U)
    found = list(reach(rig.model, DID, 9, privileged=supervisor))
    agree(found, asking(rig.model, 9, privileged=supervisor), [VA])
    assert list(reach(rig.model, DID, 8, privileged=True)) == []
    assert list(reach(rig.model, DID, 7)) == []
    assert list(reach(rig.model, DID)) == [Reach(0, 0, 1 << 56, *RWX)]


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize("flags", [0, A, D])
def test_accessed_and_dirty_that_hardware_would_set(make: Callable[..., Rig], flags: int) -> None:
    """A page is reached if its entry can be written, and memory stays as it is."""
    root = G_ROOT if make is second else S_ROOT
    rig = make(flags=V | R | W | U | flags, tc=1 | SADE | GADE)
    (*_, place) = rig.leaf(root, VA, PA, V | R | W | U | flags)
    run = Reach(VA & -4096, PA & -4096, 4 * K, *RW)
    assert list(reach(rig.model, DID)) == [run]
    assert rig.memory.read_u64(place) & 0xC0 == flags
    rig.memory.inject(place, on="write")
    assert list(reach(rig.model, DID)) == ([run._replace(write=False)] if flags == A else [])


def test_updates_of_guests_need_their_second_stage() -> None:
    """A of a first-stage page can be set only where the second stage lets its table be written."""
    for tables, tc, reached in ((RWX_U, SADE, True), (RWX_U & ~W, SADE, False), (RWX_U & ~D, SADE, False),
                                (RWX_U & ~D, SADE | GADE, True)):  # fmt: skip
        rig = nested(flags1=RWX_U & ~A, tables=tables, tc=1 | tc)
        assert bool(list(reach(rig.model, DID))) == reached
        rig = nested(flags1=RWX_U & ~D, tables=tables, tc=1 | tc)
        assert next(iter(reach(rig.model, DID))).write == reached


def test_nested_stages() -> None:
    """Runs are those of both stages; a table that the second does not map is nothing."""
    rig = nested(flags2=RWX_U & ~W)
    assert list(reach(rig.model, DID)) == [Reach(VA & -4096, PA & -4096, 4 * K, *RX)]
    rig = nested(tables=V | X | U | A | D)
    assert list(reach(rig.model, DID)) == []


def test_guests_process_directory_is_read_without_a_trace() -> None:
    """It is read through the second stage, whose A stays clear."""
    rig = Rig()
    rig.dc(1 | PDTV | GADE, 8 << 60 | G_ROOT >> 12, 0, 1 << 60 | PDT + WINDOW >> 12)
    rig.put(PDT + 16 * 3, 1, 0)
    (*_, place) = rig.leaf(G_ROOT, WINDOW, 0, RWX_U & ~(A | D), 1)
    assert list(reach(rig.model, DID, 3)) == [Reach(WINDOW, 0, 2 * M, *RWX)]
    assert rig.memory.read_u64(place) & (A | D) == 0


@pytest.mark.parametrize("mask", [0, 1, 3, 0x1001, 0x3003, 0xFFF])
@pytest.mark.parametrize("stage", [0, 8])
def test_interrupt_files(mask: int, stage: int) -> None:
    """Pages of virtual interrupt files lead where the MSI page table says, and nowhere else."""
    rig = Rig(capabilities(PAS=47), caching=False)
    iohgatp = stage << 60 | G_ROOT >> 12 if stage else 0
    rig.dc(1, iohgatp, 0, 0, 1 << 60 | MSIS >> 12, mask, 0x28000)
    rig.leaf(G_ROOT, 0x2800_0000, 0x2800_0000, RWX_U, 1)
    for number in range(0, 16, 2):
        rig.put(MSIS + 16 * number, (0x2_4000_0000 >> 12) + number << 10 | 7, 0)
    rig.put(MSIS + 16 * 4, 0x60_0000 >> 2 | 3, 0)
    pages = [0x2800_0000 + (page << 12) for page in (*range(8), 0x1000, 0x1001, 0x3003, 0x10000)]
    found = list(reach(rig.model, DID))
    assert agree(found, asking(rig.model), pages) > 8


def test_interrupt_files_behind_the_first_stage() -> None:
    """What the first stage maps to a file goes there, page by page."""
    rig = Rig(caching=False)
    rig.dc(1, 0, 0, 8 << 60 | S_ROOT >> 12, 1 << 60 | MSIS >> 12, 1, 0x28003)
    rig.put(MSIS, PA >> 12 << 10 | 7, 0)
    rig.leaf(S_ROOT, VA, 0x2800_0000, RWX_U, 1)
    found = list(reach(rig.model, DID))
    begin = VA & -2 * M
    assert [(run.address - begin, run.length) for run in found] == [
        (0, 8 * K), (8 * K, 4 * K), (16 * K, 2 * M - 16 * K),
    ]  # fmt: skip
    agree(found, asking(rig.model), [(VA & -2 * M) + page * 4096 for page in range(6)])


@given(st.integers(0, (1 << 52) - 1), st.integers(0, (1 << 52) - 1), st.integers(0, (1 << 52) - 1))
def test_the_next_interrupt_file(mask: int, pattern: int, page: int) -> None:
    """It is the smallest page from a given one on that matches in the bits that the mask does not have."""
    mask, pattern, page = mask & 0x3F, pattern & 0x3F, page & 0x3F
    matching = [one for one in range(page, 64) if (one ^ pattern) & ~mask & 0x3F == 0]
    assert next_match(mask, pattern, page) == (matching[0] if matching else None)


# --- hostile tables


def test_tables_that_point_to_themselves() -> None:
    """Nothing is done before it is asked for, and `limit` ends it."""
    rig = Rig()
    rig.dc(1, 10 << 60 | G_ROOT >> 12)
    table = rig.page()
    for at in range(2048):
        rig.memory.write_u64(G_ROOT + 8 * at, table >> 2 | V)
    for at in range(0, 512, 2):
        rig.memory.write_u64(table + 8 * at, table >> 2 | V)
        rig.memory.write_u64(table + 8 * at + 8, PA >> 12 << 10 & ~0x3FFFF_FFC00 | RWX_U)
    assert len(list(islice(reach(rig.model, DID), 1000))) == 1000
    with pytest.raises(IommuError, match="more than 100 runs"):
        list(reach(rig.model, DID, limit=100))
    for at in range(512):
        rig.memory.write_u64(table + 8 * at, table >> 2 | V)
    assert list(reach(rig.model, DID)) == []


def test_masks_of_everything() -> None:
    """A mask that makes all of memory interrupt files is not looked through to the end."""
    rig = Rig()
    rig.dc(1, 0, 0, 0, 1 << 60 | MSIS >> 12, (1 << 52) - 1, 0)
    with pytest.raises(IommuError, match="more than 1000 interrupt files") as caught:
        list(reach(rig.model, DID, limit=1000))
    assert caught.value.finding.field == "DC.msi_addr_mask"


# --- against the model

FLAGS = st.sampled_from(
    [0, V, RWX_U, RWX_U, RWX_U & ~W, V | X | U | A | D, RWX_U & ~U, RWX_U & ~A, RWX_U & ~D, RWX_U | G, RWX_U | 1 << 61,
     RWX_U | 1 << 54, RWX_U & ~R]
)  # fmt: skip


def grow(rig: Rig, root: int, source: random.Random, flags: list[int]) -> list[int]:
    """Fill tables at random with entries 0, 1, 8, 9 and 511 of each level; return the places of all entries."""
    places = []
    tables = [root]
    for shift in SHIFTS:
        below = []
        for table in tables:
            for number in (0, 1, 8, 9, 511):
                place = table + 8 * number
                kind = source.random()
                if shift > 12 and kind < 0.5:
                    page = rig.page()
                    below.append(page)
                    entry = page >> 2 | V
                else:
                    output = source.randrange(1 << 40) & -1 << (shift if kind < 0.9 else 12)
                    entry = output >> 2 | source.choice(flags)
                    if shift == 12 and kind > 0.7:
                        entry = entry & ~(0xF << 10) | 8 << 10 | N
                rig.memory.write_u64(place, entry)
                places.append(place)
        tables = below
    return places


@EXAMPLES
@given(st.integers(0, 1 << 32), st.lists(FLAGS, min_size=1, max_size=4), st.sampled_from([0, SADE, GADE, SADE | GADE]),
       st.booleans(), st.booleans())  # fmt: skip
def test_random_tables(seed: int, flags: list[int], tc: int, nest: bool, privileged: bool) -> None:
    """Every boundary of every run, and the corners of all tables, are answered as the model does, damage included."""
    source = random.Random(seed)
    rig = Rig(caching=False)
    probes = corners(SHIFTS, (0, 1, 8, 9, 511))
    probes += [(1 << 64) - (1 << 39) + at for at in probes if at < 1 << 39]
    places = []
    if nest or source.random() < 0.5:
        iohgatp = SV39 << 60 | G_ROOT >> 12
        places += grow(rig, G_ROOT, source, flags)
    else:
        iohgatp = 0
    rig.leaf(G_ROOT, WINDOW, 0, RWX_U & ~source.choice((0, W, D, A)), 1)
    fsc = 0
    if nest or not iohgatp:
        fsc = SV39 << 60 | (S_ROOT + (WINDOW if iohgatp else 0)) >> 12
        places += grow(rig, S_ROOT, source, flags)
        if iohgatp:
            for place in places:
                entry = rig.memory.read_u64(place)
                if place >= S_ROOT and entry & 0x3FF == V and entry >> 10 << 12 < WINDOW:
                    rig.memory.write_u64(place, entry + (WINDOW >> 2))
    rig.dc(1 | PDTV | tc, iohgatp, 0, 1 << 60 | (PDT + (WINDOW if iohgatp else 0)) >> 12)
    rig.put(PDT, 7, fsc)
    damage(rig.memory, places, source)
    freeze(rig.memory)
    found = reach(rig.model, DID, 0, privileged=privileged)
    agree(found, asking(rig.model, 0, privileged=privileged), probes)


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20), st.booleans(), st.booleans()), max_size=12
    )
)
def test_tables_of_the_driver(steps: list[tuple[int, int, int, bool, bool]]) -> None:
    """What the driver maps and unmaps is what is reached."""
    setup = Setup()
    domain = setup.driver.second_stage()
    setup.driver.attach(DID, domain)
    meant: dict[int, tuple[int, bool]] = {}
    for at, to, pages, write, unmap in steps:
        unit = 256 * K
        start, output, length = at * unit, 0x8000_0000 + to * unit, pages * unit
        if unmap:
            domain.unmap(start, length)
            for page in range(start, start + length, 4096):
                meant.pop(page, None)
        else:
            domain.map(start, output, length, write=write)
            meant |= {page: (output + page - start, write) for page in range(start, start + length, 4096)}
    seen = {
        run.address + at: (run.output + at, run.write)
        for run in reach(setup.model, DID)
        for at in range(0, run.length, 4096)
    }
    assert seen == meant


def test_guest_addresses_beyond_the_second_stage() -> None:
    """A first stage that leads beyond its width leads nowhere."""
    rig = nested()
    rig.leaf(S_ROOT, 0, 1 << 41, RWX_U, 2, through=WINDOW)
    assert [run.address for run in reach(rig.model, DID)] == [VA & -4096]
    assert GPA >> 41 == 0
