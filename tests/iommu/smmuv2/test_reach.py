"""What streams reach: tables of the driver, random and damaged ones, and the model asked at every boundary."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu import IommuError
from iommuman.iommu.reach import Reach
from iommuman.iommu.smmuv2.model import FETCH, PRIVILEGED, READ, WRITE, Model, reach

from ..reaching import Answer, agree, corners, damage
from .rig import AF, BANK, CB, GR1, IPA, LEAF, PA, ROOT, SID, V1, Rig, mapped
from .test_driver import Setup

EXAMPLES = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
SHIFTS = (39, 30, 21, 12)
NUMBERS = (0, 1, 511)
RW = (True, True, False)


def asking(model: Model, stream: int = SID, *, privileged: bool = False) -> Callable[[int], Answer]:
    """Return what the model answers, by address; `model` is one without caches."""
    more = PRIVILEGED * privileged

    def ask(address: int) -> Answer:
        found = (model.translate(stream, address, access | more) for access in (READ, WRITE, FETCH))
        read, write, execute = (None if output == -1 else output for output in found)
        return read, write, execute

    return ask


def test_what_a_driver_mapped() -> None:
    """Runs go on over ends of pages and tables where output and permissions do."""
    unit = Setup()
    domain = unit.driver.create_domain()
    domain.map(0x1F_F000, 0x9000_F000, 0x20_2000)
    domain.map(0x8000_0000, 0x4000_0000, 0x4000_0000, write=False, execute=True)
    unit.driver.attach(0x18, domain)
    assert list(reach(unit.model, 0x18)) == [
        Reach(0x1F_F000, 0x9000_F000, 0x20_2000, *RW),
        Reach(0x8000_0000, 0x4000_0000, 0x4000_0000, read=True, write=False, execute=True),
    ]
    assert list(reach(unit.model, 0x19)) == []
    unit.driver.block(0x18)
    assert list(reach(unit.model, 0x18)) == []


def test_what_is_not_translated() -> None:
    """A stream that passes by, or whose bank does, reaches all that there is; one that is held up reaches nothing."""
    rig = mapped()
    everything = [Reach(0, 0, 1 << 48, read=True, write=True, execute=True)]
    rig.write(CB, 0x120)
    assert list(reach(rig.model, SID)) == everything
    rig.write(0xC0C, 0x1_0000)
    assert list(reach(rig.model, SID)) == everything
    rig.write(0xC0C, 0x2_0000)
    assert list(reach(rig.model, SID)) == []
    rig.write(0xC0C, BANK)
    rig.write(CB, 0x21)
    assert len(list(reach(rig.model, SID))) == 1
    rig.send(0x1000)
    assert list(reach(rig.model, SID)) == []
    rig.write(CB + 0x58, 0x402)
    rig.write(CB + 0x30, 0x8005_35D0)
    assert list(reach(rig.model, SID)) == [], "SL0 3"
    rig.write(CB + 0x30, 0x8000_3590)
    rig.write(CB + 0x20, 1 << 33, 8)
    assert list(reach(rig.model, SID)) == [], "a root beyond 32 bits"
    rig.write(0, 1)
    assert list(reach(rig.model, SID)) == everything


def test_tables_that_point_to_themselves() -> None:
    """Nothing is done before it is asked for, and the limit ends it."""
    rig = Rig(caching=False)
    for number in range(0, 512, 2):
        rig.memory.write_u64(ROOT + 8 * number, ROOT | LEAF | 3)
    found = reach(rig.model, SID)
    assert len(list(islice(found, 10))) == 10
    with pytest.raises(IommuError, match="more than 5 runs"):
        list(reach(rig.model, SID, limit=5))


def entries() -> st.SearchStrategy[list[tuple[int, ...]]]:
    """Return a strategy for leaves: numbers at each level, level, output page, permission and other bits."""
    number = st.sampled_from(NUMBERS)
    bits = st.sampled_from((LEAF, LEAF & ~0x80, LEAF & ~0x40, LEAF | 1 << 54, LEAF & ~AF, 0x40 | AF | 1, AF | 1))
    return st.lists(st.tuples(number, number, number, number, st.integers(1, 3), st.integers(0, 7), bits), max_size=12)


def random_tables(rig: Rig, leaves: list[tuple[int, ...]], table_bits: int, root: int) -> None:
    """Write leaves where neither a block is on the way nor a table in their place."""
    for *path, level, output, bits in leaves:
        address = sum(number << shift for number, shift in zip(path, SHIFTS, strict=True))
        table = root
        for at in range(level + 1):
            entry = rig.memory.read_u64(table + 8 * path[at]) if table else 0
            if entry & 3 == (3 if at == level < 3 else 1):
                break
            table = entry & 0xFFFF_FFFF_F000
        else:
            size = 1 << SHIFTS[level]
            rig.leaf(address & -size, output * size, bits, level, root=root, table_bits=table_bits)


@EXAMPLES
@given(entries(), st.integers(0, 1 << 32), st.booleans(), st.sampled_from((0x121, 0x129, 0x321)))
def test_random_and_damaged_tables_of_stage_2(leaves: list[tuple[int, ...]], seed: int, wide: bool, sctlr: int) -> None:
    """At both sides of every boundary, and at every corner of every table, the model answers the same."""
    rig = Rig(sctlr=sctlr, tcr=0x8005_3590 if wide else 0x8001_3590, caching=False)
    random_tables(rig, leaves, 0, ROOT)
    places = [place for page in range(ROOT, rig._free, 4096) for place in range(page, page + 4096, 8)]
    used = [
        place for place in places if (ROOT <= place < ROOT + 4096 or place >= 0x30_0000) and rig.memory.read_u64(place)
    ]
    if len(used) > 2:
        damage(rig.memory, used, random.Random(seed))
    agree(reach(rig.model, SID), asking(rig.model), corners(SHIFTS, NUMBERS, bits=48))


@EXAMPLES
@given(entries(), entries(), st.sampled_from((0, 1 << 59, 1 << 60, 1 << 61, 1 << 62)), st.booleans(), st.integers(0, 3))
def test_random_tables_of_stage_1(
    low: list[tuple[int, ...]], high: list[tuple[int, ...]], table_bits: int, privileged: bool, privcfg: int
) -> None:
    """Both halves, hierarchical attributes, privilege and what replaces it."""
    rig = Rig(tcr=2 << 30 | 16 << 16 | 0x3510, caching=False)
    rig.write(GR1 + 4 * BANK, 0x1_0000)
    rig.write(CB + 0x10, 5)
    rig.write(CB + 0x28, 0x80_0000, 8)
    rig.write(0xC0C, privcfg << 24 | BANK)
    random_tables(rig, low, table_bits, ROOT)
    random_tables(rig, high, table_bits, 0x80_0000)
    probes = corners(SHIFTS, NUMBERS, bits=48) + corners(SHIFTS, NUMBERS, 0xFFFF << 48)
    agree(reach(rig.model, SID, privilege=privileged), asking(rig.model, privileged=privileged), probes)


def test_descriptors_that_map_nothing() -> None:
    """A block at level 0, no page bit at level 3, no valid bit, an output beyond the range, no access flag."""
    rig = Rig(tcr=0x8002_3590, caching=False)
    rig.leaf(0, 0, LEAF, 0)
    last = rig.leaf(1 << 39, 0)[-1]
    for number, descriptor in enumerate((LEAF, LEAF & ~1 | 2, LEAF | 3 | 1 << 40, LEAF & ~AF | 3, LEAF | 3)):
        rig.memory.write_u64(last + 8 * number, descriptor)
    rig.leaf(1 << 40, 1 << 40, LEAF, 1)
    assert [run.address for run in reach(rig.model, SID)] == [(1 << 39) + 0x4000]
    agree(reach(rig.model, SID), asking(rig.model), corners(SHIFTS, (0, 1, 2, 3, 4), bits=48))


def test_big_endian_and_concatenated_tables() -> None:
    """SCTLR.E, and 16 first tables in a row."""
    rig = Rig(sctlr=0x131, tcr=1 << 31 | 5 << 16 | 1 << 6 | 21, caching=False)
    for place in rig.leaf(0x7FF_FFFF_F000, PA & ~0xFFF, first=1):
        rig.memory.write(place, rig.memory.read(place, 8)[::-1])
    assert list(reach(rig.model, SID)) == [
        Reach(0x7FF_FFFF_F000, PA & ~0xFFF, 0x1000, read=True, write=True, execute=True)
    ]
    agree(reach(rig.model, SID), asking(rig.model), [0, IPA])


def test_an_smmuv1() -> None:
    """AArch32 tables of 40 bits."""
    rig = Rig(V1, tcr=0x8000_3558, caching=False)
    rig.write(GR1 + 0x800 + 4 * BANK, 0)
    rig.leaf(0xFF_FFFF_F000, PA & ~0xFFF, first=1)
    assert agree(reach(rig.model, SID), asking(rig.model), [0, IPA]) > 0
