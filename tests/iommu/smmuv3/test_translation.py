"""The model's translation: page size, stage, permission, access and dirty flags, geometry, overrides, both stages."""

from __future__ import annotations

import itertools

import pytest
from iommuman.iommu.smmuv3.layout import Stage1Leaf, Stage2Leaf, TableDescriptor
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.layout.queues import TlbiAll
from iommuman.iommu.smmuv3.model import FETCH, PRIVILEGED, READ, WRITE

from .rig import AF, CONTEXT, NG, S1_RW, S2_RW, SID, Rig, capabilities, simple_stage1

VA, PA = 0x40_0000_0000, 0x80_0000_0000
SIZES = [(12, 3), (12, 2), (12, 1), (14, 3), (14, 2), (16, 3), (16, 2)]
"""Granule and level of every page and block of 48-bit addresses."""
ACCESSES = [READ, WRITE, FETCH, PRIVILEGED | READ, PRIVILEGED | WRITE, PRIVILEGED | FETCH]
S2_FIELDS = {12: {"S2TG": 0, "S2SL0": 1}, 14: {"S2TG": 2, "S2SL0": 1}, 16: {"S2TG": 1, "S2SL0": 1}}
S2_START = {12: 1, 14: 2, 16: 2}


def shift_of(granule: int, level: int) -> int:
    """Return log2 of what a descriptor covers."""
    return granule + (granule - 3) * (3 - level)


def page_bit(level: int) -> int:
    """Return the bit that a leaf of the last level has set."""
    return 2 if level == 3 else 0


def expected_stage1(ap: int, xn: int) -> set[int]:
    """Say which accesses a stage 1 leaf allows, from the table of DDI 0487 D8.4 (AP[2:1], UXN in 1, PXN in 0)."""
    allowed = {PRIVILEGED | READ}
    if not ap & 2:
        allowed.add(PRIVILEGED | WRITE)
    if ap & 1:
        allowed |= {READ} if ap & 2 else {READ, WRITE}
    if not xn & 2:
        allowed.add(FETCH)
    if not xn & 1 and ap != 1:
        allowed.add(PRIVILEGED | FETCH)
    return allowed


@pytest.mark.parametrize(("granule", "level"), SIZES)
@pytest.mark.parametrize("ap", range(4))
def test_stage1_grid(granule: int, level: int, ap: int) -> None:
    """Each page size, AP, XN, AF and kind of access gives the address or the fault that the architecture says."""
    for xn, af in itertools.product(range(4), (0, AF)):
        rig = simple_stage1(granule, level, attributes=1 | NG | ap << 6 | xn << 53 | af)
        shift = shift_of(granule, level)
        for access, offset in itertools.product(ACCESSES, (0, (1 << shift) - 8)):
            got = rig.model.translate(SID, VA + offset, access)
            allowed = af and access in expected_stage1(ap, xn)
            assert got == (PA + offset if allowed else -1), (xn, af, access)
            if not allowed:
                assert rig.names() == ["F_PERMISSION" if af else "F_ACCESS"]
        assert rig.model.translate(SID, VA + (1 << shift)) == -1
        assert rig.names() == ["F_TRANSLATION"]


@pytest.mark.parametrize(("granule", "level"), SIZES)
@pytest.mark.parametrize("access_bits", range(4))
def test_stage2_grid(granule: int, level: int, access_bits: int) -> None:
    """The same for stage 2: S2AP, XN with both meanings, AF."""
    execute = {0: {FETCH, PRIVILEGED | FETCH}, 1: {FETCH}, 2: set(), 3: {PRIVILEGED | FETCH}}
    for xn, af, xnx in itertools.product(range(4), (0, AF), (0, 1)):
        rig = Rig(capabilities(XNX=xnx))
        start = S2_START[granule]
        root = rig.stage2(S2TTB=rig.page(0x20000), **S2_FIELDS[granule])
        address = 0x40_0000_0000 if granule != 14 else 0x10_0000_0000
        leaf = PA | access_bits << 6 | 0xF << 2 | af | xn << 53 | 1 | page_bit(level)
        rig.leaf(root, granule, 40, start, address, level, leaf)
        allowed = set(execute[xn]) if xnx else set() if xn & 2 else {FETCH, PRIVILEGED | FETCH}
        allowed |= {READ, PRIVILEGED | READ} if access_bits & 1 else set()
        allowed |= {WRITE, PRIVILEGED | WRITE} if access_bits & 2 else set()
        offset = (1 << shift_of(granule, level)) - 16
        for access in ACCESSES:
            got = rig.model.translate(SID, address + offset, access)
            assert got == (PA + offset if af and access in allowed else -1), (xn, af, xnx, access)


@pytest.mark.parametrize("granule", [12, 14, 16])
@pytest.mark.parametrize(("ha", "hd", "dbm", "af"), list(itertools.product((0, 1), repeat=4)))
@pytest.mark.parametrize("stage", [1, 2])
def test_access_and_dirty_flags(granule: int, ha: int, hd: int, dbm: int, af: int, stage: int) -> None:
    """Hardware sets AF with HA, makes a clean page dirty with HA, HD and DBM, and otherwise faults."""
    rig = Rig()
    read_only = 3 << 6 if stage == 1 else 1 << 6
    dirty = 1 << 6 if stage == 1 else 3 << 6
    common = 3 | dbm << 51 | af << 10 | PA | (NG if stage == 1 else 0xF << 2)
    if stage == 1:
        root, start, bits = rig.page(1 << granule), 4 - -(-(48 - granule) // (granule - 3)), 48
        rig.stage1()
        rig.cd(TTB0=root, TG0={12: 0, 14: 2, 16: 1}[granule], HA=ha, HD=hd)
    else:
        root, start, bits = rig.page(0x20000), S2_START[granule], 40
        rig.stage2(S2TTB=root, S2HA=ha, S2HD=hd, **S2_FIELDS[granule])
    place = rig.leaf(root, granule, bits, start, 0x1_0000_0000, 3, common | read_only)[-1]
    reads = af or ha
    assert rig.model.translate(SID, 0x1_0000_0000) == (PA if reads else -1)
    after = common | read_only | (AF if reads else 0)
    assert rig.memory.read_u64(place) == after
    writes = reads and ha and hd and dbm
    assert rig.model.translate(SID, 0x1_0000_0000, WRITE) == (PA if writes else -1)
    assert rig.memory.read_u64(place) == (after & ~(3 << 6) | dirty if writes else after)
    names = ([] if reads else ["F_ACCESS"]) + ([] if writes else ["F_PERMISSION" if reads else "F_ACCESS"])
    assert rig.names() == names
    assert rig.model.translate(SID, 0x1_0000_0000, WRITE) == (PA if writes else -1)


@pytest.mark.parametrize("stage", [1, 2])
def test_access_flag_faults_can_be_disabled(stage: int) -> None:
    """With AFFD a clear access flag does not matter, and stays clear."""
    rig = Rig()
    if stage == 1:
        rig.stage1()
        root = rig.page()
        rig.cd(TTB0=root, AFFD=1)
        place = rig.leaf(root, 12, 48, 0, VA, 3, PA | 3 | 1 << 6)[-1]
    else:
        root = rig.stage2(S2AFFD=1)
        place = rig.leaf(root, 12, 40, 1, VA, 3, PA | 3 | 3 << 6 | 0xF << 2)[-1]
    before = rig.memory.read_u64(place)
    assert rig.model.translate(SID, VA, WRITE) == PA
    assert rig.memory.read_u64(place) == before


STAGE1_STARTS = [
    *((12, size, 0 if size <= 24 else 1 if size <= 33 else 2 if size <= 42 else 3) for size in range(16, 49)),
    *((14, size, 0 if size == 16 else 1 if size <= 27 else 2 if size <= 38 else 3) for size in range(16, 49)),
    *((16, size, 1 if size <= 21 else 2 if size <= 34 else 3) for size in range(16, 48)),
]


@pytest.mark.parametrize(("granule", "size", "start"), STAGE1_STARTS)
def test_stage1_geometry(granule: int, size: int, start: int) -> None:
    """Every T0SZ starts at the level of the table in DDI 0487 D8.2, translates its last page and nothing beyond."""
    rig = Rig()
    bits = 64 - size
    root = rig.page(max(1 << granule, 0x1000))
    rig.stage1()
    rig.cd(T0SZ=size, TG0={12: 0, 14: 2, 16: 1}[granule], TTB0=root)
    last = (1 << bits) - (1 << granule)
    rig.leaf(root, granule, bits, start, last, 3, PA | S1_RW | 2)
    assert rig.model.translate(SID, last + 8, WRITE) == PA + 8
    assert rig.model.translate(SID, last + (1 << granule)) == -1
    assert rig.names() == ["F_TRANSLATION"]


def stage2_geometries() -> list[tuple[int, int, int, int]]:
    """List granule, S2T0SZ, S2SL0 and start level of every legal stage 2 of 48 bits or fewer, from D8.2's table."""
    rows = {
        12: [(2, 0, 16, 24), (1, 1, 21, 33), (0, 2, 30, 42), (3, 3, 39, 48)],
        14: [(2, 1, 16, 27), (1, 2, 24, 38), (0, 3, 35, 48)],
        16: [(2, 1, 16, 21), (1, 2, 18, 34), (0, 3, 31, 47)],
    }
    return [
        (granule, size, sl0, start)
        for granule, table in rows.items()
        for sl0, start, low, high in table
        for size in range(low, high + 1)
    ]


@pytest.mark.parametrize(("granule", "size", "sl0", "start"), stage2_geometries())
def test_stage2_geometry(granule: int, size: int, sl0: int, start: int) -> None:
    """Every consistent S2T0SZ and S2SL0, with up to 16 concatenated tables, translates its whole input range."""
    rig = Rig()
    bits = 64 - size
    shift = shift_of(granule, start)
    root = rig.page(max(8 << bits - shift, 1 << granule))
    rig.stage2(S2TTB=root, S2T0SZ=size, S2SL0=sl0, S2TG={12: 0, 14: 2, 16: 1}[granule])
    last = (1 << bits) - (1 << granule)
    rig.leaf(root, granule, bits, start, last, 3, PA | S2_RW | 2)
    rig.leaf(root, granule, bits, start, 0, 3, PA + 0x10000 | S2_RW | 2)
    assert rig.model.translate(SID, last + 8, WRITE) == PA + 8
    assert rig.model.translate(SID, 8) == PA + 0x10008
    assert rig.model.translate(SID, last + (1 << granule)) == -1
    assert rig.names() == ["F_ADDR_SIZE" if bits == 48 else "F_TRANSLATION"]


@pytest.mark.parametrize(
    ("granule", "size", "start"), [(12, 12, -1), (12, 15, -1), (14, 12, 0), (14, 15, 0), (16, 12, 1)]
)
def test_addresses_of_52_bits(granule: int, size: int, start: int) -> None:
    """With DS (4 and 16 KiB) or 64 KiB pages, input and output addresses reach 52 bits, at both stages."""
    rig = Rig(capabilities(OAS=6, VAX=1, DS=1))
    bits, output = 64 - size, 0xA_5000_0000_0000
    # Address bits from 48 up lie in 15:12 with 64 KiB, else in 49:48 and 9:8.
    spread = output & 0xFFFF_0000_0000 | (
        output >> 36 & 0xF000 if granule == 16 else output & 3 << 48 | output >> 42 & 0x300
    )
    last = (1 << bits) - (1 << granule)
    root = rig.page(1 << granule)
    rig.stage1()
    rig.cd(T0SZ=size, TG0={12: 0, 14: 2, 16: 1}[granule], TTB0=root, IPS=6, DS=int(granule != 16))
    places = rig.leaf(root, granule, bits, start, last, 3, spread | AF | NG | 1 << 6 | 3)
    assert rig.model.translate(SID, last) == output
    assert len(places) == 4 - start
    second = 4
    table = rig.page(0x10000)
    sl0 = {(12, -1): {"S2SL0": 0, "S2SL0_2": 1}, (14, 0): {"S2SL0": 3}, (16, 1): {"S2SL0": 2}}[granule, start]
    tg = {12: 0, 14: 2, 16: 1}[granule]
    rig.stage2(second, S2TTB=table, S2T0SZ=size, S2TG=tg, S2PS=6, S2DS=int(granule != 16), **sl0)
    rig.leaf(table, granule, bits, start, last, 3, spread | AF | 3 << 6 | 0xF << 2 | 3)
    assert rig.model.translate(second, last) == output


@pytest.mark.parametrize(
    ("granule", "level", "ds"), [(12, 0, 1), (12, 0, 0), (14, 1, 1), (14, 1, 0), (16, 1, 1), (16, 1, 0)]
)
def test_largest_blocks_need_52_bits(granule: int, level: int, ds: int) -> None:
    """512 GiB, 64 GiB and 4 TiB blocks exist with 52-bit addresses only; else such a descriptor is a fault."""
    rig = Rig(capabilities(OAS=6 if ds or granule != 16 else 5, VAX=1, DS=1))
    root = rig.page(1 << granule)
    rig.stage1()
    rig.cd(TTB0=root, TG0={12: 0, 14: 2, 16: 1}[granule], DS=ds if granule != 16 else 0)
    start = 4 - -(-(48 - granule) // (granule - 3))
    rig.leaf(root, granule, 48, start, 0x4000_0000_0000, level, 0x8000_0000_0000 | S1_RW)
    expected = 0x8000_0000_1234 if ds else -1
    assert rig.model.translate(SID, 0x4000_0000_1234) == expected
    assert rig.names() == ([] if ds else ["F_TRANSLATION"])


def test_both_ranges_and_tags() -> None:
    """Bit 55 selects TTB0 or TTB1, each with its own size, granule and tag byte; EPD and a gap fault."""
    rig = Rig()
    low, high = rig.page(), rig.page(0x10000)
    rig.stage1()
    rig.cd(TTB0=low, T0SZ=25, TTB1=high, EPD1=0, T1SZ=22, TG1=3, TBI1=1)
    rig.leaf(low, 12, 39, 1, 0x1000, 3, PA | S1_RW | 2)
    top = (1 << 64) - 0x10000
    rig.leaf(high, 16, 42, 2, top, 3, PA + 0x10000 | S1_RW | 2)
    assert rig.model.translate(SID, 0x1008) == PA + 8
    assert rig.model.translate(SID, top + 0x18) == PA + 0x10018
    assert rig.model.translate(SID, 0x12FF_FFFF_FFFF_0018) == PA + 0x10018  # TBI1: the top byte does not count
    assert rig.model.translate(SID, 0x12FF_FFFF_FFFF_0018) == PA + 0x10018
    assert rig.model.translate(SID, 0x1200_0000_0000_1008) == -1  # TBI0 is clear
    assert rig.model.translate(SID, 1 << 39) == -1
    assert rig.model.translate(SID, top - (1 << 42)) == -1
    rig.cd(CONTEXT + 64, EPD0=1, EPD1=1)
    rig.stage1(5, S1ContextPtr=CONTEXT + 64)
    assert rig.send(0, 5).reason == "EPD"
    assert rig.names() == ["F_TRANSLATION"] * 4


@pytest.mark.parametrize("had", [0, 1])
@pytest.mark.parametrize(("bits", "lost"), [
    (1 << 61, {READ, WRITE}), (2 << 61, {WRITE, PRIVILEGED | WRITE}), (1 << 60, {FETCH}),
    (1 << 59, {PRIVILEGED | FETCH}),
])  # fmt: skip
@pytest.mark.parametrize("at", [0, 1, 2])
def test_hierarchical_attributes(had: int, bits: int, lost: set[int], at: int) -> None:
    """APTable, UXNTable and PXNTable of any level take rights away, unless HAD says that they do not count."""
    for ap in (0, 1):
        rig = simple_stage1(attributes=1 | NG | AF | ap << 6, HAD0=had)
        root = (rig.memory.read_u64(CONTEXT + 8) >> 4 << 4) & (1 << 52) - 1
        place = root + 8 * (VA >> 39)
        for level in range(at):
            place = (rig.memory.read_u64(place) >> 12 << 12 & (1 << 48) - 1) + 8 * (VA >> 30 - 9 * level & 511)
        rig.memory.write_u64(place, rig.memory.read_u64(place) | bits)
        allowed = expected_stage1(ap, 0) - (set() if had else lost)
        if not had and ap == 1 and bits in (1 << 61, 2 << 61):
            allowed |= {PRIVILEGED | FETCH}  # no longer writable without privilege
        if had == 0 and bits == 1 << 59:
            allowed -= {PRIVILEGED | FETCH}
        got = {access for access in ACCESSES if rig.model.translate(SID, VA, access) == PA}
        assert got == allowed


def test_wxn_pan_epan_e0pd() -> None:
    """WXN, PAN, EPAN and E0PD each take away what the architecture says."""
    assert simple_stage1(attributes=S1_RW, WXN=1).model.translate(SID, VA, FETCH) == -1
    assert simple_stage1(attributes=AF | NG | 1, WXN=1).model.translate(SID, VA, PRIVILEGED | FETCH) == -1
    assert simple_stage1(attributes=S1_RW).model.translate(SID, VA, PRIVILEGED) == PA
    assert simple_stage1(attributes=S1_RW, PAN=1).model.translate(SID, VA, PRIVILEGED) == -1
    assert simple_stage1(attributes=AF | NG | 1, PAN=1).model.translate(SID, VA, PRIVILEGED) == PA
    assert simple_stage1(attributes=AF | NG | 1, PAN=1, EPAN=1).model.translate(SID, VA, PRIVILEGED) == -1
    rig = simple_stage1(E0PD0=1)
    assert rig.model.translate(SID, VA) == -1
    assert rig.names() == ["F_TRANSLATION"]
    assert rig.model.translate(SID, VA, PRIVILEGED) == PA


@pytest.mark.parametrize("e2h", [0, 1])
def test_stream_world_el2(e2h: int) -> None:
    """NS-EL2 has one range and one privilege level; with E2H it is like EL1 but for its TLB tags."""
    rig = Rig(enable=False)
    rig.write(regs.CR2(E2H=e2h))
    rig.write(regs.CR0(SMMUEN=1, CMDQEN=1, EVENTQEN=1))
    root = rig.page()
    rig.stage1(STRW=2)
    rig.cd(TTB0=root, EPD0=0, EPD1=1, WXN=0)
    rig.leaf(root, 12, 48, 0, VA, 3, PA | AF | NG | 3)  # AP 00
    assert rig.model.translate(SID, VA, READ) == (-1 if e2h else PA)
    assert rig.model.translate(SID, VA, PRIVILEGED | WRITE) == PA
    rig.cd(TTB0=root, WXN=1, EPD1=1)
    assert rig.model.translate(SID, VA | 0xFF << 56) == -1
    fresh = Rig(enable=False)
    fresh.write(regs.CR2(E2H=e2h))
    fresh.write(regs.CR0(SMMUEN=1, EVENTQEN=1))
    fresh.stage1(STRW=2)
    root = fresh.page()
    fresh.cd(TTB0=root, WXN=1, EPD1=1)
    fresh.leaf(root, 12, 48, 0, VA, 3, PA | AF | NG | 3)
    assert fresh.model.translate(SID, VA, PRIVILEGED | FETCH) == -1


@pytest.mark.parametrize("stage", [1, 2])
def test_big_endian_tables(stage: int) -> None:
    """With ENDI or S2ENDI descriptors are big-endian, updates of flags too."""
    rig = Rig()
    root = rig.page(0x2000)
    if stage == 1:
        rig.stage1()
        rig.cd(TTB0=root, ENDI=1, HA=1, T0SZ=25)
        leaf, bits = PA | 1 << 6 | NG | 1, 39
    else:
        rig.stage2(S2TTB=root, S2ENDI=1, S2HA=1)
        leaf, bits = PA | 3 << 6 | 0xF << 2 | 1, 40
    place = root + 8 * (VA >> 30 & (1 << bits - 30) - 1)
    rig.memory.write(place, leaf.to_bytes(8, "big"))
    address = VA & (1 << bits) - 1
    assert rig.model.translate(SID, address) == PA
    assert rig.memory.read(place, 8) == (leaf | AF).to_bytes(8, "big")


@pytest.mark.parametrize(("instcfg", "privcfg"), list(itertools.product(range(4), range(4))))
@pytest.mark.parametrize("present", [0, 1])
def test_overrides(instcfg: int, privcfg: int, present: int) -> None:
    """INSTCFG and PRIVCFG change what a transaction is, also in its event, if IDR1.ATTR_PERMS_OVR is set."""
    rig = Rig(capabilities(ATTR_PERMS_OVR=present))
    rig.stage1(INSTCFG=instcfg, PRIVCFG=privcfg)
    rig.cd(TTB0=rig.page())
    for instruction, privileged, write in itertools.product((False, True), (False, True), (False, True)):
        rig.send(0, instruction=instruction, privileged=privileged, write=write)
        (event,) = rig.events()
        wanted = {2: False, 3: True}.get(instcfg, instruction) if present else instruction
        assert event.instruction == (wanted and not write)
        assert event.privileged == ({2: False, 3: True}.get(privcfg, privileged) if present else privileged)
        assert event.write == write


def nested(caps: dict[str, int] | None = None, **ste: int) -> tuple[Rig, int, int]:
    """Return a rig with both stages: CD and stage 1 tables at IPA = PA + 4 GiB; and the two tables."""
    rig = Rig(capabilities(**caps or {}))
    root1, root2 = rig.page(), rig.page(0x2000)
    shift = 0x1_0000_0000
    rig.stage2(**{"Config": 7, "S1ContextPtr": CONTEXT + shift, "S2TTB": root2} | ste)
    rig.cd(TTB0=root1 + shift)
    # stage 2 maps the first 2 MiB of memory, where all tables are, at 4 GiB
    rig.leaf(root2, 12, 40, 1, shift, 2, 0 | S2_RW)
    # stage 1 maps VA to IPA 0x50_0000_0000, whose table pointers are IPAs
    table = root1
    for level in (0, 1, 2):
        below = rig.page()
        rig.memory.write_u64(table + 8 * (VA >> 39 - 9 * level & 511), below + shift | 3)
        table = below
    rig.memory.write_u64(table, 0x50_0000_0000 | S1_RW | 2)
    return rig, table, root2


def test_nested_translation_and_its_faults() -> None:
    """Both stages translate, CD and stage 1 tables through stage 2, and every fault tells stage, class and IPA."""
    rig, table1, root2 = nested()
    assert rig.model.translate(SID, VA) == -1
    (event,) = rig.events()
    assert (event.name, event.stage, event.during, event.ipa) == ("F_TRANSLATION", 2, "IN", 0x50_0000_0000)
    rig.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW & ~0x80 | 2)
    assert rig.model.translate(SID, VA + 0xFF8) == PA + 0xFF8
    assert rig.model.translate(SID, VA + 0xFF8) == PA + 0xFF8
    assert rig.model.translate(SID, VA, WRITE) == -1
    (event,) = rig.events()
    assert (event.name, event.stage, event.during, event.ipa) == ("F_PERMISSION", 2, "IN", 0x50_0000_0000)
    rig.memory.write_u64(table1 + 8, 0x60_0000_0000_00 | S1_RW | 2)
    assert rig.model.translate(SID, VA + 0x1000) == -1
    (event,) = rig.events()
    assert (event.name, event.stage, event.during, event.ipa) == ("F_TRANSLATION", 2, "IN", 0x60_0000_0000_00)
    rig.memory.write_u64(table1 + 16, 0x50_0000_0000 | AF | NG | 3 | 3 << 6)
    assert rig.model.translate(SID, VA + 0x2000, WRITE) == -1
    (event,) = rig.events()
    assert (event.name, event.stage, event.during, event.ipa) == ("F_PERMISSION", 1, "IN", None)


@pytest.mark.parametrize("what", ["CD", "TT"])
def test_stage2_refuses_the_structures_of_stage1(what: str) -> None:
    """A CD or a stage 1 table that stage 2 does not map faults with class CD or TT and its IPA."""
    rig, _, _ = nested()
    if what == "CD":
        rig.stage2(Config=7, S1ContextPtr=CONTEXT, S2TTB=rig.page(0x2000))
    else:
        rig.cd(TTB0=0x7000_0000)
    assert rig.model.translate(SID, VA) == -1
    (event,) = rig.events()
    assert (event.name, event.stage, event.during) == ("F_TRANSLATION", 2, what)
    assert event.ipa == (CONTEXT if what == "CD" else 0x7000_0000)


def test_updates_of_stage1_through_stage2_need_write_permission() -> None:
    """An access flag of stage 1 is set through stage 2; a read-only stage 2 gives TTRnW = 0, an unreadable one 1."""
    for s2ap, ttrnw in ((1, 0), (2, 1)):
        rig, table1, root2 = nested()
        rig.cd(TTB0=rig.memory.read_u64(CONTEXT + 8) >> 4 << 4, HA=1)
        rig.memory.write_u64(table1, 0x50_0000_0000 | (S1_RW & ~AF) | 2)
        leaf2 = rig.page()
        rig.memory.write_u64(root2 + 8 * 4, leaf2 | 3)
        entries = rig.page()
        rig.memory.write_u64(leaf2, entries | 3)
        for page in range(512):
            own = table1 >> 12 == page
            rig.memory.write_u64(entries + 8 * page, page << 12 | S2_RW & ~0xC0 | (s2ap if own else 3) << 6 | 2)
        rig.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW | 2)
        assert rig.model.translate(SID, VA) == -1
        (event,) = rig.events()
        assert (event.name, event.stage, event.during) == ("F_PERMISSION", 2, "TT")
        assert event.raw[13] >> 4 == ttrnw
        rig.memory.write_u64(entries + 8 * (table1 >> 12), table1 | S2_RW | 2)
        rig.command(TlbiAll(Opcode=0x30))
        assert rig.model.translate(SID, VA) == PA
        assert rig.memory.read_u64(table1) & AF


def test_protected_table_walks() -> None:
    """With S2PTW, stage 1 tables in memory that stage 2 maps as device memory are refused, cached or not."""
    for ptw in (0, 1):
        rig, _, root2 = nested(S2PTW=ptw)
        rig.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW | 2)
        block = rig.memory.read_u64(root2 + 8 * 4) >> 12 << 12
        rig.memory.write_u64(block, S2_RW & ~0x3C)
        assert rig.model.translate(SID, VA) == (-1 if ptw else PA)
        assert rig.model.translate(SID, VA + 8) == (-1 if ptw else PA + 8)
        assert rig.names() == (["F_PERMISSION"] * 2 if ptw else [])


def test_substreams() -> None:
    """Substream IDs select CDs from linear and two-level tables; S1DSS says what happens without one."""
    for fmt, bits in ((0, 3), (3, 3), (1, 8), (2, 11)):
        rig = Rig()
        roots = [rig.page(), rig.page()]
        leaf = rig.page(0x10000)
        split = {1: 6, 2: 10}.get(fmt, bits)
        index = (1 << bits) - 1
        table = leaf if split == bits else rig.page(0x1000)
        for number in range(1 << bits - split if split != bits else 0):
            rig.memory.write_u64(table + 8 * number, leaf | 1)
        rig.cd(leaf, TTB0=roots[0], ASID=1)
        rig.cd(leaf + 64 * (index & (1 << split) - 1), TTB0=roots[1], ASID=2)
        rig.leaf(roots[0], 12, 48, 0, VA, 3, PA | S1_RW | 2)
        rig.leaf(roots[1], 12, 48, 0, VA, 3, PA + 0x1000 | S1_RW | 2)
        for dss in range(4):
            sid = 10 + dss
            rig.stage1(sid, S1CDMax=bits, S1Fmt=fmt, S1ContextPtr=table, S1DSS=dss)
            assert rig.model.translate(sid, VA, READ, index) == PA + 0x1000
            assert rig.model.translate(sid, VA, READ, index) == PA + 0x1000
            assert rig.model.translate(sid, VA) == {1: VA, 2: PA}.get(dss, -1)
            assert rig.model.translate(sid, VA, READ, 0) == (-1 if dss == 2 else PA)
            assert rig.model.translate(sid, VA, READ, 1 << bits) == -1
            names = rig.names()
            assert names[-1] == "C_BAD_SUBSTREAMID"
            assert (
                names[:-1] == {0: ["F_STREAM_DISABLED"], 1: [], 2: ["F_STREAM_DISABLED"], 3: ["F_STREAM_DISABLED"]}[dss]
            )


def test_bypass_and_silence() -> None:
    """Config 100 bypasses within the output size; 0xx aborts without an event; disabled translation obeys GBPA."""
    rig = Rig()
    rig.ste(V=1, Config=4)
    assert rig.model.translate(SID, 0xFFFF_FFFF_FFF8, WRITE) == 0xFFFF_FFFF_FFF8
    assert rig.model.translate(SID, 1 << 48) == -1
    (event,) = rig.events()
    assert (event.name, event.stage, event.during) == ("F_ADDR_SIZE", 1, "IN")
    for config in range(4):
        rig.ste(4 + config, V=1, Config=config)
        assert rig.send(0, 4 + config).result == "abort"
    assert rig.events() == []
    off = Rig(enable=False)
    off.write(regs.CR0(EVENTQEN=1))
    assert off.model.translate(SID, 0x1234) == 0x1234
    assert off.send(1 << 48).reason == "input address"
    off.write(regs.GBPA(ABORT=1))
    assert off.model.translate(SID, 0x1234) == 0x1234  # without Update nothing changes
    off.write(regs.GBPA(ABORT=1, Update=1))
    assert off.model.translate(SID, 0x1234) == -1
    assert off.read(regs.GBPA).Update == 0
    assert off.events() == []


def test_every_ignored_bit_of_a_leaf_and_of_a_table_is_ignored() -> None:
    """Reserved and software bits of descriptors, flipped one at a time, change nothing."""
    meaning1 = Stage1Leaf.AP.mask | Stage1Leaf.AF.mask | 3 | (1 << 48) - (1 << 12)
    for bit in range(64):
        if meaning1 >> bit & 1 or bit in (53, 54):
            continue
        rig = simple_stage1(attributes=S1_RW | 1 << bit if bit != 11 else S1_RW & ~NG)
        assert (rig.model.translate(SID, VA + 8), rig.model.translate(SID, VA, WRITE)) == (PA + 8, PA), bit
    table_meaning = 3 | TableDescriptor.NextTable.mask | 0xF << 59
    for bit in range(64):
        if not table_meaning >> bit & 1:
            rig = simple_stage1()
            root = (rig.memory.read_u64(CONTEXT + 8) >> 4 << 4) & (1 << 52) - 1
            place = root + 8 * (VA >> 39)
            rig.memory.write_u64(place, rig.memory.read_u64(place) ^ 1 << bit)
            assert rig.model.translate(SID, VA, WRITE) == PA, bit
    meaning2 = Stage2Leaf.S2AP.mask | AF | 3 | (1 << 48) - (1 << 12)
    for bit in range(64):
        if not meaning2 >> bit & 1:
            rig = Rig()
            rig.leaf(rig.stage2(), 12, 40, 1, VA, 3, (PA | S2_RW | 2) ^ 1 << bit)
            assert rig.model.translate(SID, VA, WRITE) == PA, bit
