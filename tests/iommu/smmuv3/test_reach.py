"""What streams reach through an SMMU: tables by hand, hostile tables, and the model asked at every boundary."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice, pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu import IommuError, Memory, Reach
from iommuman.iommu.smmuv3 import Domain, Model, Permission, reach
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.model import FETCH, PRIVILEGED, READ, WRITE, Capabilities

from ..reaching import Answer, agree, corners, damage
from .rig import AF, CONTEXT, NG, S1_RW, S2_RW, SID, STREAMS, Rig, capabilities, simple_stage1
from .test_driver import Setup

K, M, G = 1 << 10, 1 << 20, 1 << 30
VA, PA = 0x40_0000_0000, 0x80_0000_0000
EXAMPLES = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)
RWX, RW, R, X = (True, True, True), (True, True, False), (True, False, False), (False, False, True)
NX = 3 << 53


def freeze(memory: Memory) -> None:
    """Let stores of hardware succeed or fail, and be forgotten, so that answers stay the same."""

    def write(address: int, size: int) -> None:
        if memory._faults:
            memory._check("write", address, size)
        memory._writable(address >> 12)

    vars(memory)["write_u64"] = lambda address, _: write(address, 8)
    vars(memory)["write"] = lambda address, data: write(address, len(data))


def asking(
    model: Model, stream: int = SID, substream: int | None = None, *, privileged: bool = False
) -> Callable[[int], Answer]:
    """Return what the model answers, by address; `model` is one without caches."""
    more = PRIVILEGED * privileged

    def ask(address: int) -> Answer:
        found = (model.translate(stream, address, access | more, substream) for access in (READ, WRITE, FETCH))
        read, write, execute = (None if output == -1 else output for output in found)
        return read, write, execute

    return ask


# --- By hand


@pytest.mark.parametrize(("granule", "level"), [(12, 3), (12, 2), (12, 1), (14, 3), (14, 2), (16, 3), (16, 2)])
def test_one_page_of_each_size_of_stage1(granule: int, level: int) -> None:
    """A page or block is one run, with the permissions that AP and XN give to data accesses without privilege."""
    size = 1 << granule + (granule - 3) * (3 - level)
    for ap, xn, granted, privileged in (
        (1, 0, RWX, RW), (1, 3, RW, RW), (3, 3, R, R), (0, 3, None, RW), (2, 0, X, (True, False, True)),
    ):  # fmt: skip
        rig = simple_stage1(granule, level, attributes=1 | NG | AF | ap << 6 | xn << 53)
        expected = [] if granted is None else [Reach(VA, PA, size, *granted)]
        assert list(reach(rig.model, SID)) == expected
        assert list(reach(rig.model, SID, privileged=True)) == [Reach(VA, PA, size, *privileged)]
        assert list(reach(rig.model, SID, 1)) == [], "the stream has no substreams"
        assert list(reach(rig.model, SID + 1)) == [], "the STE is not valid"


@pytest.mark.parametrize("access", range(4))
def test_one_page_of_stage2(access: int) -> None:
    """S2AP gives reading and writing, XN takes execution."""
    rig = Rig()
    root = rig.stage2()
    rig.leaf(root, 12, 40, 1, VA, 3, PA | access << 6 | 0xF << 2 | AF | 3 | 2 << 53)
    granted = (bool(access & 1), bool(access & 2), False)
    assert list(reach(rig.model, SID)) == ([Reach(VA, PA, 4 * K, *granted)] if access else [])


def test_a_disabled_smmu_lets_pass_or_aborts() -> None:
    """With SMMUEN clear GBPA.ABORT says so: one run over all of the output, or nothing."""
    rig = Rig(enable=False)
    assert list(reach(rig.model, SID)) == [Reach(0, 0, 1 << 48, *RWX)]
    rig.write(regs.GBPA(ABORT=1, Update=1))
    assert list(reach(rig.model, SID)) == []


def test_streams_that_bypass_or_abort() -> None:
    """Config 4 is one run over all of the output; 0 is nothing, and so are streams beyond the table."""
    rig = Rig(capabilities(OAS=2))
    rig.ste(SID, V=1, Config=4)
    rig.ste(SID + 1, V=1, Config=0)
    assert list(reach(rig.model, SID)) == [Reach(0, 0, 1 << 40, *RWX)]
    assert list(reach(rig.model, SID + 1)) == []
    assert list(reach(rig.model, 64)) == []


def test_stage1_without_substream_may_be_bypassed() -> None:
    """With S1DSS 1, what has no substream ID goes by stage 2 alone, or anywhere; substream 1 has its CD."""
    for config, expected in ((5, [Reach(0, 0, 1 << 48, *RWX)]), (7, [Reach(VA, PA, 2 * M, *RWX)])):
        rig = Rig()
        root = rig.stage2(Config=config, S1CDMax=4, S1DSS=1, S1ContextPtr=CONTEXT)
        rig.leaf(root, 12, 40, 1, VA, 2, PA | S2_RW)
        assert list(reach(rig.model, SID)) == expected
        rig.leaf(root, 12, 40, 1, CONTEXT, 2, S2_RW)
        tables = rig.page()
        rig.cd(CONTEXT + 64, TTB0=tables)
        rig.leaf(tables, 12, 48, 0, 0x1000, 1, (VA if config == 7 else PA) & -G | S1_RW)
        assert list(reach(rig.model, SID, 1)) == [Reach(0, PA, 2 * M if config == 7 else G, *RWX)]


def test_stream_and_context_tables_of_two_levels() -> None:
    """L1STD and L1CD lead to the STE and the CD, the CD by way of stage 2."""
    rig = Rig(enable=False)
    rig.write(regs.STRTAB_BASE_CFG(FMT=1, SPLIT=6, LOG2SIZE=8))
    table, l1, l2, root, tables = rig.page(), rig.page(), rig.page(), rig.page(), rig.page(0x2000)
    rig.write(regs.STRTAB_BASE(ADDR=table))
    rig.memory.write_u64(table + 8, STREAMS | 7)
    rig.stage2(2, Config=7, S1CDMax=8, S1Fmt=1, S1DSS=0, S1ContextPtr=VA + l1, S2TTB=tables)
    rig.leaf(tables, 12, 40, 1, VA, 1, S2_RW)
    rig.memory.write_u64(l1 + 8, VA + l2 | 1)
    rig.cd(l2 + 64, TTB0=VA + root)
    rig.memory.write_u64(root, VA + root | 3)
    rig.memory.write_u64(root + 8 * 5, VA | S1_RW)
    rig.write(regs.CR0(SMMUEN=1))
    expected = [Reach(10 * M, 0, 2 * M, *RWX), Reach(5 * G, 0, G, *RWX)]
    assert list(reach(rig.model, 64 + 2, 65)) == expected, "a block at level 2, then one at level 1"
    assert list(reach(rig.model, 64 + 2)) == []
    assert list(reach(rig.model, 64 + 2, 64)) == [], "the CD is not valid"
    rig.memory.write_u64(tables + 8 * (VA >> 30 & 0x3FF), 0)
    assert list(reach(rig.model, 64 + 2, 65)) == [], "stage 2 does not map the L1CD"


def test_concatenated_tables_of_stage2_are_one() -> None:
    """Sixteen tables in a row at the first level are one table, and runs go on from one to the next."""
    rig = Rig()
    root = rig.stage2(S2TTB=rig.page(0x20000), S2T0SZ=64 - 43, S2SL0=1)
    for number in (511, 512, 513, 8191):
        rig.memory.write_u64(root + 8 * number, PA + (number << 30) | S2_RW)
    assert list(reach(rig.model, SID)) == [
        Reach(511 * G, PA + 511 * G, 3 * G, *RWX),
        Reach(8191 * G, PA + 8191 * G, G, *RWX),
    ]


def test_the_upper_range_has_its_own_table() -> None:
    """TTB1 translates addresses at the top, with its own granule; TBI makes no difference to what is listed."""
    for tbi in (0, 1):
        rig = simple_stage1(EPD1=0, TG1=3, T1SZ=64 - 42, TBI0=tbi, TBI1=tbi, TTB1=0x70000)
        rig.memory.write_u64(0x70000 + 8 * 8191, 0x60_0000_0000 | S1_RW)
        top = (1 << 64) - (1 << 29)
        assert list(reach(rig.model, SID)) == [Reach(VA, PA, 4 * K, *RWX), Reach(top, 0x60_0000_0000, 1 << 29, *RWX)]
        rig.cd(EPD0=1, EPD1=0, TG1=3, T1SZ=64 - 42, TTB1=0x70000, E0PD1=1)
        assert list(reach(rig.model, SID)) == []
        assert [run.address for run in reach(rig.model, SID, privileged=True)] == [top]


def test_addresses_of_52_bits_are_put_together() -> None:
    """With 64 KiB, bits 15:12 of a descriptor are bits 51:48 of the address; with DS, bits 9:8 are bits 51:50."""
    rig = Rig(capabilities(OAS=6, VAX=1))
    rig.stage1()
    rig.cd(TG0=1, T0SZ=16, IPS=6, TTB0=0x70000)
    rig.memory.write_u64(0x70000, 0x80000 | 3)
    rig.memory.write_u64(0x80000, 0x3000 | 1 << 29 | S1_RW)
    assert list(reach(rig.model, SID)) == [Reach(0, 3 << 48 | 1 << 29, 1 << 29, *RWX)]
    rig = Rig(capabilities(OAS=6, VAX=1, DS=1))
    rig.stage1()
    rig.cd(T0SZ=16, IPS=6, DS=1, TTB0=0x70000)
    rig.memory.write_u64(0x70000, 0x80000 | 3)
    rig.memory.write_u64(0x80000, 2 << 8 | 1 << 49 | S1_RW)
    assert list(reach(rig.model, SID)) == [Reach(0, 2 << 50 | 1 << 49, G, *RWX)]


def test_hardware_that_updates_descriptors_must_be_able_to() -> None:
    """A page to be made accessible, or dirty, is reached if its descriptor can be written; memory stays as it is."""
    rig = simple_stage1(attributes=1 | NG | 3 << 6 | NX | 1 << 51, HA=1, HD=1)
    place = next(at for at in range(0x10_0000, rig._free, 8) if rig.memory.read_u64(at) & 1 << 51)
    before = rig.memory.read_u64(place)
    assert list(reach(rig.model, SID)) == [Reach(VA, PA, 4 * K, *RW)]
    assert rig.memory.read_u64(place) == before
    rig.memory.inject(place, on="write")
    assert list(reach(rig.model, SID)) == []
    rig.memory.heal()
    rig.memory.write_u64(place, before | AF)
    assert list(reach(rig.model, SID)) == [Reach(VA, PA, 4 * K, *RW)]
    rig.memory.inject(place, on="write")
    assert list(reach(rig.model, SID)) == [Reach(VA, PA, 4 * K, *R)]


def nested(**fields: int) -> tuple[Rig, int, int]:
    """Return a rig with both stages, their tables, and memory below 4 MiB mapped one to one with 4 KiB pages."""
    rig = Rig()
    second, first = rig.page(0x2000), rig.page()
    rig.stage2(Config=7, S1ContextPtr=CONTEXT, S2TTB=second, **fields)
    rig.cd(TTB0=first, HA=1)
    for page in range(1024):
        rig.leaf(second, 12, 40, 1, page << 12, 3, page << 12 | S2_RW | 2)
    return rig, first, second


def test_nested_translation_takes_what_both_stages_grant() -> None:
    """A block of stage 1 over pages of stage 2: the smaller page and the lesser permission count."""
    rig, first, second = nested()
    rig.leaf(first, 12, 48, 0, VA, 2, 0x40_0000 | S1_RW)
    rig.leaf(second, 12, 40, 1, 0x40_1000, 3, PA | S2_RW | 2)
    rig.leaf(second, 12, 40, 1, 0x40_2000, 3, PA + 0x1000 | S2_RW & ~(2 << 6) | 2 | 2 << 53)
    assert list(reach(rig.model, SID)) == [
        Reach(VA + 0x1000, PA, 4 * K, *RWX),
        Reach(VA + 0x2000, PA + 0x1000, 4 * K, *R),
    ]


def test_tables_of_stage1_in_memory_that_stage2_guards() -> None:
    """A descriptor that stage 2 lets be read but not written is not updated; device memory has no tables with S2PTW."""
    rig, first, second = nested()
    places = rig.leaf(first, 12, 48, 0, VA, 3, 0x10_0000 | S1_RW & ~AF | 2)
    assert list(reach(rig.model, SID)) == [Reach(VA, 0x10_0000, 4 * K, *RWX)]
    rig.leaf(second, 12, 40, 1, places[-1] & -4096, 3, places[-1] & -4096 | S2_RW & ~(2 << 6) | 2)
    assert list(reach(rig.model, SID)) == []
    for ptw in (0, 1):
        rig, first, second = nested(S2PTW=ptw)
        places = rig.leaf(first, 12, 48, 0, VA, 3, 0x10_0000 | S1_RW | 2)
        rig.leaf(second, 12, 40, 1, places[1] & -4096, 3, places[1] & -4096 | S2_RW & ~(0xF << 2) | 2)
        assert len(list(reach(rig.model, SID))) == 1 - ptw


def test_caches_are_not_asked() -> None:
    """What the SMMU remembers, tables, STEs or CDs, does not count."""
    rig = simple_stage1()
    assert rig.model.translate(SID, VA) == PA
    rig.ste(V=0)
    assert list(reach(rig.model, SID)) == []
    assert rig.model.translate(SID, VA) == PA


# --- Hostile tables


def full(rig: Rig, table: int, descriptor: int) -> None:
    """Write the same descriptor 512 times."""
    rig.memory.write(table, descriptor.to_bytes(8, "little") * 512)


def test_tables_that_point_to_themselves_end_at_the_limit() -> None:
    """2^36 runs are not enumerated: what is asked for is yielded, then the limit is an error of its own."""
    rig = simple_stage1()
    root = rig.page()
    rig.cd(TTB0=root)
    full(rig, root, root | AF | 1 << 6 | 3)
    runs = reach(rig.model, SID, limit=1000)
    assert list(islice(runs, 1000))[999] == Reach(999 << 12, root, 4 * K, *RWX)
    with pytest.raises(IommuError) as caught:
        next(runs)
    assert (caught.value.finding.rule, caught.value.finding.found) == ("REACH-LIMIT", "another run at 0x3e8000")


@pytest.mark.parametrize("last", [0, 1, AF | 1 << 6, 3, 1 << 52 | 1, NX | AF | 3])
def test_tables_that_lead_nowhere_are_visited_once(last: int) -> None:
    """512 descriptors at each of four levels, to one table of nothing, or of pages that no device may use."""
    rig = simple_stage1()
    tables = [rig.page() for _ in range(4)]
    rig.cd(TTB0=tables[0])
    for table, following in pairwise(tables):
        full(rig, table, following | 3)
    full(rig, tables[-1], last)
    assert list(reach(rig.model, SID)) == []


def test_nested_stages_that_never_agree_are_visited_once() -> None:
    """Pages to read only, over very many pages to write only: no permission is left, and no time is lost."""
    rig, _, second = nested()
    nothing = rig.page()
    full(rig, nothing, nothing | 2 << 6 | AF | 0xF << 2 | NX | 3)
    for number in range(1, 1024):
        rig.memory.write_u64(second + 8 * number, nothing | 3)
    tables = [rig.page() for _ in range(3)]
    rig.memory.write(CONTEXT, bytes(64))
    rig.cd(TTB0=tables[0])
    full(rig, tables[0], tables[1] | 3)
    full(rig, tables[1], tables[2] | 3)
    full(rig, tables[2], 1 << 30 | 3 << 6 | AF | NX | 1)
    assert list(reach(rig.model, SID)) == []


# --- The model asked at every boundary

NUMBERS = (0, 1, 2, 511)
FLAGS1 = (
    S1_RW,
    S1_RW,
    S1_RW,
    3 << 6 | AF | NG | 1,
    AF | 1,
    S1_RW & ~AF,
    1,
    S1_RW | NX,
    S1_RW | 1 << 53,
    3 << 6 | AF | 1,
)
FLAGS2 = (S2_RW, S2_RW, S2_RW, 1 << 6 | AF | 0x3D, 2 << 6 | AF | 0x3D, S2_RW & ~AF, AF | 0x3D, S2_RW | 2 << 53)
TG0, TG1 = {12: 0, 14: 2, 16: 1}, {12: 2, 14: 1, 16: 3}
STARTS2 = {
    12: ((40, 1, 1), (48, 0, 2), (34, 1, 1), (33, 2, 0)),
    14: ((40, 2, 1), (47, 1, 2)),
    16: ((40, 2, 1), (46, 1, 2)),
}
"""Input bits, start level and S2SL0 by granule."""


class Random:
    """Random tables for one stream."""

    def __init__(self, seed: int, config: int) -> None:
        """Write them."""
        self.source = source = random.Random(seed)
        caps = {"OAS": source.choice((2, 5, 5, 6)), "HTTU": 2, "XNX": source.getrandbits(1)}
        wide = caps["OAS"] == 6
        caps |= {"VAX": int(wide), "DS": int(wide), "ArchMinorRev": 2}
        self.caps: Capabilities = capabilities(**caps)
        self.rig = Rig(self.caps, caching=False)
        self.ds = int(wide and source.random() < 0.5)
        self.places = [STREAMS + 64 * SID + 8 * word for word in range(4)]
        self.places += [CONTEXT + 8 * word for word in range(2)]
        self.corners = [0, 1 << 32, (1 << self.caps.oas) - 1, 1 << self.caps.oas]
        self.granule2 = source.choice((12, 12, 14, 16))
        bits2, start2, sl0 = source.choice(STARTS2[self.granule2])
        self.bits2 = min(bits2, self.caps.oas)
        if config & 2:
            pool = self.pool(6)
            for table in pool:
                self.table(table, pool, self.granule2, FLAGS2)
            self.rig.stage2(
                Config=config, S1ContextPtr=CONTEXT, S2TTB=pool[0], S2TG=TG0[self.granule2], S2T0SZ=64 - self.bits2,
                S2SL0=sl0, S2PS=self.caps.idr5.OAS, S2DS=self.ds if self.granule2 != 16 else 0,
                **{name: source.getrandbits(1) for name in ("S2HA", "S2HD", "S2AFFD", "S2PTW")},
            )  # fmt: skip
            self.add_corners(self.granule2, start2, self.bits2, 0)
            if config == 7:
                self.one_to_one(pool, start2)
        else:
            self.rig.ste(V=1, Config=config, S1ContextPtr=CONTEXT, STRW=source.choice((0, 0, 0, 2)))
        if config & 1:
            self.context()

    def pool(self, count: int) -> list[int]:
        """Return fresh tables of the largest size."""
        return [self.rig.page(0x10000) for _ in range(count)]

    def add_corners(self, granule: int, start: int, bits: int, base: int) -> None:
        """Ask at the corners of every page that a table of this shape can map by `NUMBERS`."""
        shifts = [granule + (granule - 3) * (3 - level) for level in range(start, 4)]
        found = corners(shifts, NUMBERS, bits=bits)
        self.corners += [base + at for at in self.source.sample(found, min(len(found), 150))]

    def output(self, level: int, granule: int, number: int) -> int:
        """Return an output that may go on from its neighbour's, or be too wide."""
        shift = granule + (granule - 3) * (3 - level)
        base = self.source.choice((0, 0, 1 << 30, 1 << 32, 1 << 36, 1 << 40, 1 << 47))
        return (base + (number << shift)) & (1 << 48) - (1 << shift)

    def table(self, table: int, pool: list[int], granule: int, flags: tuple[int, ...], *, big: bool = False) -> None:
        """Write descriptors that mean something at one level or another."""
        source, level = self.source, self.source.choice((3, 3, 2, 1))
        for number in (*NUMBERS, (1 << granule - 3) - 1):
            kind = source.random()
            if kind < 0.15:
                continue
            if kind < 0.6:
                descriptor = source.choice(pool) | 3 | (source.getrandbits(4) << 59 if source.random() < 0.2 else 0)
                descriptor |= source.choice((0, AF | 1 << 6, AF | 3 << 6))
            else:
                descriptor = self.output(level, granule, number) | source.choice(flags) | (2 if level == 3 else 0)
                descriptor |= source.choice((0, 0, 0, 1 << 51)) | source.choice((0, 0, 0, 0x3000, 0x200))
            self.put(table + 8 * number, descriptor, big=big)

    def put(self, place: int, descriptor: int, *, big: bool = False) -> None:
        """Write a descriptor."""
        self.places.append(place)
        self.rig.memory.write(place, descriptor.to_bytes(8, "big" if big else "little"))

    def one_to_one(self, pool: list[int], start: int) -> None:
        """Let stage 2 map the memory that has tables, page by page, most of it to be read and written."""
        granule, table = self.granule2, pool[0]
        for depth, level in enumerate(range(start, 3)):
            shift = granule + (granule - 3) * (3 - level)
            self.put(table + 8 * (0x10_0000 >> shift if level == 3 else 0), pool[depth + 1] | 3)
            table = pool[depth + 1]
        for page in range((0x8000 >> granule), (0x30_0000 >> granule)):
            if page < 1 << granule - 3:
                flags = self.source.choice((S2_RW,) * 30 + FLAGS2)
                self.put(table + 8 * page, page << granule | flags | 2)

    def context(self) -> None:
        """Write the CD and its tables."""
        source = self.source
        granule, granule1 = source.choice((12, 14, 16)), source.choice((12, 14, 16))
        bits, bits1 = source.choice((48, 48, 42, 39, 36)), source.choice((48, 42, 39))
        pool, big = self.pool(7), bool(source.random() < 0.2)
        for table in pool:
            self.table(table, pool, granule, FLAGS1, big=big)
        names = ("HA", "HD", "AFFD", "WXN", "PAN", "EPAN", "E0PD1", "HAD0", "HAD1")
        self.rig.cd(
            TTB0=pool[0], TTB1=pool[1], T0SZ=64 - bits, T1SZ=64 - bits1, TG0=TG0[granule], TG1=TG1[granule1],
            EPD0=int(source.random() < 0.1), EPD1=source.getrandbits(1), ENDI=int(big), DS=self.ds,
            IPS=source.choice((self.caps.idr5.OAS, self.caps.idr5.OAS, 2)),
            **{name: source.getrandbits(1) for name in names},
        )  # fmt: skip
        for size, width, base in ((granule, bits, 0), (granule1, bits1, (1 << 64) - (1 << bits1))):
            self.add_corners(size, 4 - -(-(width - size) // (size - 3)), width, base)


@pytest.mark.parametrize("config", [0, 4, 5, 6, 7])
@EXAMPLES
@given(seed=st.integers(0, 1 << 32))
def test_random_tables_are_reached_as_the_model_says(config: int, seed: int) -> None:
    """Every page of random tables, whole and damaged, of all granules, with and without privilege."""
    made = Random(seed, config)
    source, rig = made.source, made.rig
    if source.random() < 0.6:
        damage(rig.memory, made.places, source)
    freeze(rig.memory)
    privileged = bool(source.getrandbits(1))
    runs = islice(reach(rig.model, SID, privileged=privileged), 20000)
    agree(runs, asking(rig.model, privileged=privileged), made.corners)


STEPS = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(0, 20),
        st.sampled_from((1, 2, 3, 8)),
        st.sampled_from((0x1_0000_0000, 0x1_0020_0000, 0x2_0000_0000)),
        st.sampled_from((1, 3, 7)),
    ),
    max_size=8,
)


@pytest.mark.parametrize(("kind", "granule"), [*product(("1", "2", "nested"), (12, 14, 16)), ("bypass", 12)])
@EXAMPLES
@given(steps=STEPS, large=st.booleans())
def test_what_the_driver_maps_is_reached(
    kind: str, granule: int, steps: list[tuple[bool, int, int, int, int]], large: bool
) -> None:
    """Maps and unmaps, with the splits and merges that follow, against the model and against a list of pages."""
    board = Setup()
    uncached = Model(board.memory, caching=False)
    driver = board.driver
    if kind == "bypass":
        driver.attach(SID, "bypass")
        assert list(reach(board.model, SID)) == [Reach(0, 0, 1 << 48, *RWX)]
        return
    start, shift = 0x1_0000_0000, 0
    if kind == "nested":
        parent = driver.create_domain(2, granule=granule)  # type: ignore[arg-type]
        driver.map(parent, 0x4000_0000, 0x4000_0000, 0x1000_0000, Permission.READ | Permission.WRITE)
        shift = 0x10_0000_0000
        driver.map(parent, start, start + shift, 8 * G, Permission(7))
        domain: Domain = driver.create_domain(1, granule=granule, parent=parent)  # type: ignore[arg-type]
    else:
        domain = driver.create_domain(int(kind), granule=granule)  # type: ignore[arg-type]
    driver.attach(SID, domain)
    unit = 1 << (2 * granule - 3 if large and granule != 16 else granule)
    model: dict[int, tuple[int, tuple[bool, bool, bool]]] = {}
    for unmap, number, count, output, access in steps:
        pages = range(number, number + count)
        driver.unmap(domain, start + number * unit, count * unit)
        model = {page: found for page, found in model.items() if page not in pages}
        if not unmap:
            output = output // unit * unit  # noqa: PLW2901
            driver.map(domain, start + number * unit, output + number * unit, count * unit, Permission(access))
            granted = (bool(access & 1), bool(access & 2), bool(access & 4))
            model |= {page: (output + page * unit + shift, granted) for page in pages}
    runs = list(reach(board.model, SID))
    for register in (regs.STRTAB_BASE, regs.STRTAB_BASE_CFG, regs.CR0):
        value = board.model.read_register(register.offset, register.size) & ~(0 if register is not regs.CR0 else 0xE)
        uncached.write_register(register.offset, value, register.size)
    agree(runs, asking(uncached), [start + page * unit for page in range(32)])
    for page, expected in model.items():
        at = start + page * unit
        run = next(run for run in runs if run.address <= at < run.address + run.length)
        assert (run.output + at - run.address, run[3:]) == expected
    assert sum(run.length for run in runs) == len(model) * unit
