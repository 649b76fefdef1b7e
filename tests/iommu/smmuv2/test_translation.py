"""Translation by the model: tables by hand, of every granule and level, at stage 2 and stage 1."""

from __future__ import annotations

import pytest
from iommuman.iommu.smmuv2.model import FETCH, PRIVILEGED, READ, WRITE

from .rig import AF, BANK, CB, GR1, IPA, PA, ROOT, SID, V1, Rig, capabilities, mapped

XN = 1 << 54


@pytest.mark.parametrize("level", [1, 2, 3])
def test_pages_and_blocks_of_stage_2(level: int) -> None:
    """The output is the leaf's address and the rest of the input; the neighbour is not mapped."""
    rig = mapped(level=level)
    size = 1 << 12 + 9 * (3 - level)
    assert rig.model.translate(SID, IPA) == (PA & -size) + (IPA & size - 1)
    assert rig.model.translate(SID, IPA | size - 1) == (PA & -size) + size - 1
    assert rig.model.translate(SID, IPA + size) == -1


@pytest.mark.parametrize(("granule", "code", "first", "sl0"), [(14, 2, 1, 2), (16, 1, 1, 2), (12, 0, 0, 2)])
def test_granules(granule: int, code: int, first: int, sl0: int) -> None:
    """16 KiB with concatenated first tables, and 64 KiB."""
    bits = 47 if granule == 14 else 48
    rig = Rig(tcr=1 << 31 | 5 << 16 | code << 14 | sl0 << 6 | 64 - bits)
    root = 0x400_0000
    rig.write(CB + 0x20, root, 8)
    rig._free = 0x500_0000
    rig.leaf(IPA & -1 << granule, PA & -1 << granule, first=first, granule=granule, root=root)
    assert rig.model.translate(SID, IPA) == (PA & -1 << granule) + (IPA & (1 << granule) - 1)


@pytest.mark.parametrize(
    ("t0sz", "bits", "sl0", "first"), [(24, 40, 1, 1), (28, 36, 1, 1), (32, 32, 0, 2), (21, 43, 1, 1)]
)
def test_first_tables_in_a_row(t0sz: int, bits: int, sl0: int, first: int) -> None:
    """Up to 16 first tables lie one after another; beyond the input range nothing is mapped."""
    rig = Rig(tcr=1 << 31 | 5 << 16 | sl0 << 6 | t0sz)
    top = (1 << bits) - 0x1000
    rig.leaf(top, PA & ~0xFFF, first=first)
    assert rig.model.translate(SID, top + 1) == (PA & ~0xFFF) + 1
    assert rig.model.translate(SID, top + 0x1001) == -1
    fault = rig.fault()
    assert fault is not None
    assert (fault.name, fault.level) == ("TF", 0)


@pytest.mark.parametrize(("s2ap", "xn"), [(s2ap, xn) for s2ap in range(4) for xn in (0, XN)])
def test_permissions_of_stage_2(s2ap: int, xn: int) -> None:
    """S2AP bit 0 lets read, bit 1 write; XN forbids execution; privilege does not count."""
    rig = mapped(bits=1 | AF | s2ap << 6 | xn)
    for privilege in (0, PRIVILEGED):
        got = [rig.model.translate(SID, IPA, access | privilege) == PA for access in (READ, WRITE, FETCH)]
        assert got == [bool(s2ap & 1), bool(s2ap & 2), not xn]


@pytest.mark.parametrize(
    "tcr",
    [
        0x8005_3590 | 0xC0, 0x8005_3590 & ~0xC0, 0x8005_3590 | 3 << 14, 0x8005_3580, 0x8005_3590 & ~0x3F,
        0x8005_3590 | 0x20,
    ],
)  # fmt: skip
def test_configurations_that_translate_nothing(tcr: int) -> None:
    """Reserved SL0 and TG0, and widths that the first table does not fit: translation faults of level 0."""
    rig = mapped(tcr=tcr)
    assert rig.send().reason == "TF"
    fault = rig.fault()
    assert fault is not None
    assert (fault.name, fault.level) == ("TF", 0)


@pytest.mark.parametrize("granule", ["PTFS_4K", "PTFS_64K"])
def test_granules_that_the_unit_has_not_got(granule: str) -> None:
    """Their tables translate nothing."""
    rig = mapped(capabilities(**{granule: 0}), tcr=0x8005_3590 | (0x4000 if granule == "PTFS_64K" else 0))
    assert rig.send().reason == "TF"


def test_big_endian_tables() -> None:
    """SCTLR.E."""
    rig = Rig(sctlr=0x131)
    for place in rig.leaf(IPA & ~0xFFF, PA & ~0xFFF):
        rig.memory.write(place, rig.memory.read(place, 8)[::-1])
    assert rig.model.translate(SID, IPA) == PA


def test_aarch32_tables_of_stage_2() -> None:
    """An SMMUv1: CBA2R.VA64 is 0, T0SZ has a sign (-8: 40 bits), SL0 1 begins at level 1; FORMAT tells it."""
    rig = Rig(V1, tcr=0x8000_3558)
    rig.write(GR1 + 0x800 + 4 * BANK, 0)
    low = IPA & 0xFF_FFFF_F000
    rig.leaf(low, PA & ~0xFFF, first=1)
    assert rig.model.translate(SID, low + 5) == (PA & ~0xFFF) + 5
    assert rig.model.translate(SID, low + 0x1000) == rig.model.translate(SID, low | 1 << 40) == -1
    assert rig.read(CB + 0x58) == 0x8000_0202
    rig.write(CB + 0x30, 0x8000_3598)
    rig.write(0x68, 0)
    rig.write(0x70, 0)
    assert rig.read(0x74) == 1
    assert rig.model.translate(SID, low) == -1, "SL0 2 is reserved"
    rig.write(CB + 0x30, 0x8000_3500)
    rig.leaf(0x4000_0000, PA & ~0xFFF, first=2, root=ROOT)
    assert rig.model.translate(SID, 0x4000_0000) == PA & ~0xFFF, "T0SZ 0: 32 bits"


# --- stage 1


def first(tcr: int = 0x80_3510, sctlr: int = 0x121, bits: int = 0x40 | AF | 1, **options: int) -> Rig:
    """Return a rig whose bank, with ASID 9, maps IPA to PA at stage 1 by TTBR0."""
    rig = Rig(tcr=tcr, sctlr=sctlr)
    rig.write(GR1 + 4 * BANK, 0x1_0000 | 7)
    rig.write(CB + 0x20, 9 << 48 | ROOT, 8)
    rig.write(CB + 0x10, 5)
    rig.leaf(IPA & ~0xFFF, PA & ~0xFFF, bits, **options)
    return rig


@pytest.mark.parametrize(
    ("bits", "table", "sctlr", "expected"),
    [
        (0x40, 0, 0x121, "rwx rw-"),
        (0x00, 0, 0x121, "--x rwx"),
        (0x80, 0, 0x121, "--x r-x"),
        (0xC0, 0, 0x121, "r-x r-x"),
        (0x40 | 1 << 54, 0, 0x121, "rw- rw-"),
        (0xC0 | 1 << 53, 0, 0x121, "r-x r--"),
        (0x40, 1 << 61, 0x121, "--x rwx"),
        (0x40, 1 << 62, 0x121, "r-x r-x"),
        (0xC0, 1 << 60, 0x121, "r-- r-x"),
        (0xC0, 1 << 59, 0x121, "r-x r--"),
        (0x40, 0, 0x321, "rw- rw-"),
        (0x00, 0, 0x321, "--x rw-"),
    ],
)
def test_permissions_of_stage_1(bits: int, table: int, sctlr: int, expected: str) -> None:
    """AP, UXN, PXN, those of tables, and WXN: unprivileged and privileged."""
    rig = first(bits=bits | AF | 1, sctlr=sctlr, table_bits=table)
    got = [
        "".join(
            letter if rig.model.translate(SID, IPA, access | privilege) == PA else "-"
            for letter, access in zip("rwx", (READ, WRITE, FETCH), strict=True)
        )
        for privilege in (0, PRIVILEGED)
    ]
    assert " ".join(got) == expected


def test_the_upper_half_of_addresses() -> None:
    """TTBR1 takes addresses with all upper bits set; EPD disables either."""
    rig = first(tcr=2 << 30 | 16 << 16 | 0x3510)
    upper = 0xFFFF << 48
    rig.write(CB + 0x28, 0x80_0000, 8)
    rig.leaf(0x7000, 0x9000, 0x40 | AF | 1, root=0x80_0000)
    assert rig.model.translate(SID, IPA) == PA
    assert rig.model.translate(SID, upper | 0x7123) == 0x9123
    assert rig.model.translate(SID, 0xFF7F << 48 | 0x7123) == -1
    rig.write(CB + 0x30, 2 << 30 | 1 << 23 | 16 << 16 | 1 << 7 | 0x3510)
    rig.write(0x68, 0)
    rig.write(0x70, 0)
    assert (rig.read(0x74), rig.read(0x74)) == (1, 0)
    assert rig.model.translate(SID, IPA) == rig.model.translate(SID, upper | 0x7123) == -1


def test_widths_of_stage_1() -> None:
    """T0SZ 39 needs two levels; 40 and 15 are reserved; PASIZE limits outputs."""
    rig = first(tcr=0x80_3527)
    rig.leaf(0x12_3000, 0x9000, 0x40 | AF | 1, first=2, root=0x90_0000)
    rig.write(CB + 0x20, 0x90_0000, 8)
    assert rig.model.translate(SID, 0x12_3456) == 0x9456
    assert rig.model.translate(SID, 1 << 25) == -1
    for size in (40, 15):
        rig.write(CB + 0x30, 0x80_3500 | size)
        rig.write(0x68, 0)
        rig.write(0x70, 0)
        rig.read(0x74)
        assert rig.model.translate(SID, 0x12_3456) == -1
    rig = first()
    rig.write(CB + 0x10, 0)
    assert rig.send().reason == "ASF"
