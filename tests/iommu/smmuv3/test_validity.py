"""ILLEGAL stream table entries and context descriptors, condition by condition; reserved bits, one by one."""

from __future__ import annotations

from typing import Any

import pytest
from iommuman.iommu.smmuv3.layout import CD, L1CD, L1STD, STE
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.model import Capabilities, Model
from iommuman.iommu.smmuv3.model.stage import stage1
from iommuman.iommu.smmuv3.model.validity import illegal_cd, illegal_ste

from .rig import CONTEXT, S1_RW, S2_RW, SID, STREAMS, Rig, capabilities

S1 = {"V": 1, "Config": 5, "S1ContextPtr": CONTEXT}
S2 = {"V": 1, "Config": 6, "S2T0SZ": 24, "S2SL0": 1, "S2PS": 5, "S2AA64": 1, "S2R": 1, "S2VMID": 9, "S2TTB": 0x40000}
BOTH = S2 | {"Config": 7, "S1ContextPtr": CONTEXT}
GOOD_CD = {"V": 1, "AA64": 1, "A": 1, "R": 1, "EPD1": 1, "T0SZ": 16, "IPS": 5, "ASID": 7, "TTB0": 0x40000}

STE_CONDITIONS: list[tuple[str, dict[str, int], dict[str, int]]] = [
    # reason, fields of the STE, capabilities; in the order of IHI 0070 5.2.2
    ("V", S1 | {"V": 0}, {}),
    ("Config selects stage 1, IDR0.S1P", S1, {"S1P": 0}),
    ("Config selects stage 1, IDR0.S1P", BOTH, {"S1P": 0}),
    ("Config selects stage 2, IDR0.S2P", S2, {"S2P": 0}),
    ("Config selects stage 2, IDR0.S2P", BOTH, {"S2P": 0}),
    ("EATS selects split-stage ATS", S1 | {"EATS": 2}, {}),
    ("EATS selects split-stage ATS", S2 | {"EATS": 2}, {}),
    ("EATS selects split-stage ATS", BOTH | {"EATS": 2, "S2S": 1}, {}),
    ("EATS selects split-stage ATS", BOTH | {"EATS": 2}, {"NS1ATS": 1}),
    ("EATS with S2S", S2 | {"EATS": 1, "S2S": 1}, {}),
    ("STRW", S1 | {"STRW": 1}, {}),
    ("STRW", S1 | {"STRW": 3}, {}),
    ("S1STALLD, IDR0.STALL_MODEL", S1 | {"S1STALLD": 1}, {"STALL_MODEL": 1}),
    ("S1STALLD, IDR0.STALL_MODEL", S1 | {"S1STALLD": 1}, {"STALL_MODEL": 2}),
    ("S1CDMax, IDR1.SSIDSIZE", S1 | {"S1CDMax": 13}, {}),
    ("S1Fmt, IDR0.CD2L", S1 | {"S1CDMax": 8, "S1Fmt": 1}, {"CD2L": 0}),
    ("S1Fmt, IDR0.CD2L", S1 | {"S1CDMax": 8, "S1Fmt": 2}, {"CD2L": 0}),
    ("S1ContextPtr", S1 | {"S1ContextPtr": 1 << 48}, {}),
    ("S1ContextPtr", BOTH | {"S1ContextPtr": 1 << 44}, {"OAS": 4}),
    ("S2S, IDR0.STALL_MODEL", S2 | {"S2S": 1}, {"STALL_MODEL": 1}),
    ("S2S clear, IDR0.STALL_MODEL", S2, {"STALL_MODEL": 2}),
    ("S2AA64, IDR0.TTF", S2 | {"S2AA64": 0}, {}),
    ("S2HA or S2HD, IDR0.HTTU", S2 | {"S2HA": 1}, {"HTTU": 0}),
    ("S2HA or S2HD, IDR0.HTTU", S2 | {"S2HD": 1}, {"HTTU": 0}),
    ("S2HD, IDR0.HTTU", S2 | {"S2HD": 1}, {"HTTU": 1}),
    ("S2TG", S2 | {"S2TG": 3}, {}),
    ("S2TG", S2 | {"S2TG": 0}, {"GRAN4K": 0}),
    ("S2TG", S2 | {"S2TG": 1}, {"GRAN64K": 0}),
    ("S2TG", S2 | {"S2TG": 2}, {"GRAN16K": 0}),
    ("S2TTB, S2PS", S2 | {"S2TTB": 1 << 40, "S2PS": 2}, {}),
    ("S2TTB, S2PS", S2 | {"S2TTB": 1 << 44}, {"OAS": 4}),
    ("S2TTB from 48 bits up", S2 | {"S2TTB": 1 << 48, "S2PS": 6}, {"OAS": 6}),
    ("S2T0SZ", S2 | {"S2T0SZ": 15, "S2SL0": 2}, {}),
    ("S2T0SZ", S2 | {"S2T0SZ": 40, "S2SL0": 0}, {"STT": 0}),
    ("S2T0SZ", S2 | {"S2T0SZ": 49, "S2SL0": 3}, {}),
    ("S2T0SZ", S2 | {"S2T0SZ": 48, "S2SL0": 0, "S2TG": 1}, {}),
    ("S2T0SZ", S2 | {"S2T0SZ": 19, "S2SL0": 2}, {"OAS": 4}),
    ("S2T0SZ", S2 | {"S2T0SZ": 20, "S2SL0": 2}, {"OAS": 3}),
    ("S2T0SZ", S2 | {"S2T0SZ": 15, "S2SL0": 2}, {"ArchMinorRev": 0}),
    ("S2SL0", S2 | {"S2T0SZ": 30, "S2SL0": 3}, {"STT": 0}),
    ("S2SL0", S2 | {"S2T0SZ": 24, "S2SL0": 3, "S2TG": 1}, {}),
    ("S2SL0", S2 | {"S2T0SZ": 24, "S2SL0": 2}, {"OAS": 3}),
    ("S2SL0", S2 | {"S2T0SZ": 24, "S2SL0": 2, "S2TG": 2}, {"OAS": 2}),
    ("S2SL0", S2 | {"S2T0SZ": 24, "S2SL0": 2, "S2TG": 1}, {"OAS": 3}),
    ("S2SL0", S2 | {"S2T0SZ": 16, "S2SL0": 3, "S2TG": 2}, {}),
    ("S2SL0 with S2T0SZ", S2 | {"S2T0SZ": 34, "S2SL0": 1}, {}),
    ("S2SL0 with S2T0SZ", S2 | {"S2T0SZ": 20, "S2SL0": 1}, {}),
    ("S2SL0 with S2T0SZ", S2 | {"S2T0SZ": 28, "S2SL0": 2, "S2TG": 2}, {}),
    ("S2SL0 with S2T0SZ", S2 | {"S2T0SZ": 35, "S2SL0": 1, "S2TG": 1}, {}),
    ("S2ENDI, IDR0.TTENDIAN", S2 | {"S2ENDI": 1}, {"TTENDIAN": 2}),
    ("S2ENDI, IDR0.TTENDIAN", S2, {"TTENDIAN": 3}),
    ("S2VMID, IDR0.VMID16", S2 | {"S2VMID": 0x100}, {"VMID16": 0}),
    ("S2VMID, IDR0.VMID16", S1 | {"S2VMID": 0x100}, {"VMID16": 0}),
    ("VMSPtr", BOTH | {"S1MPAM": 1, "VMSPtr": 1 << 48}, {"MPAM": 1}),
]

LEGAL_STES: list[tuple[dict[str, int], dict[str, int]]] = [
    ({"V": 1}, {}),
    ({"V": 1, "Config": 3, "S1CDMax": 31, "S2TG": 3}, {}),
    ({"V": 1, "Config": 4, "EATS": 2, "S2TG": 3, "STRW": 1}, {}),
    (S1 | {"S2TG": 3, "S2ENDI": 1}, {"TTENDIAN": 2}),
    (S1 | {"STRW": 2}, {}),
    (S1 | {"STRW": 3}, {"Hyp": 0}),
    (S1 | {"STRW": 2, "S2VMID": 0x100}, {"VMID16": 0}),
    (S1 | {"S2VMID": 0x100}, {"VMID16": 0, "S2P": 0}),
    (S1 | {"S1CDMax": 12, "S1Fmt": 1}, {}),
    (S1 | {"S1CDMax": 31}, {"SSIDSIZE": 0}),
    (S1 | {"S1CDMax": 8, "S1Fmt": 3}, {"CD2L": 0}),
    (S1 | {"EATS": 2}, {"ATS": 0}),
    (S2 | {"S1CDMax": 31, "STRW": 3}, {}),
    (S2 | {"S2S": 1}, {"STALL_MODEL": 2}),
    (BOTH | {"EATS": 2}, {}),
    (BOTH | {"S1MPAM": 1, "VMSPtr": 1 << 48}, {"MPAM": 0}),
    (S2, {"TTENDIAN": 2}),
]

CD_CONDITIONS: list[tuple[str, dict[str, int], dict[str, int], dict[str, int]]] = [
    # reason, fields of the CD, of the STE, capabilities; in the order of IHI 0070 5.4.2
    ("V", {"V": 0}, {}, {}),
    ("S, STE.S1STALLD", {"S": 1}, {"S1STALLD": 1}, {}),
    ("A clear, IDR0.TERM_MODEL", {"A": 0}, {}, {"TERM_MODEL": 1}),
    ("S, IDR0.STALL_MODEL", {"S": 1}, {}, {"STALL_MODEL": 1}),
    ("S clear, IDR0.STALL_MODEL", {}, {}, {"STALL_MODEL": 2}),
    ("AA64, IDR0.TTF", {"AA64": 0}, {}, {}),
    ("HA or HD, IDR0.HTTU", {"HA": 1}, {}, {"HTTU": 0}),
    ("HA or HD, IDR0.HTTU", {"HD": 1}, {}, {"HTTU": 0}),
    ("HD, IDR0.HTTU", {"HA": 1, "HD": 1}, {}, {"HTTU": 1}),
    ("ASID, IDR0.ASID16", {"ASID": 0x100}, {}, {"ASID16": 0}),
    ("ENDI, IDR0.TTENDIAN", {"ENDI": 1}, {}, {"TTENDIAN": 2}),
    ("ENDI, IDR0.TTENDIAN", {"ENDI": 0}, {}, {"TTENDIAN": 3}),
    ("TG0", {"TG0": 3}, {}, {}),
    ("TG0", {"TG0": 0}, {}, {"GRAN4K": 0}),
    ("TG0", {"TG0": 1}, {}, {"GRAN64K": 0}),
    ("TG0", {"TG0": 2}, {}, {"GRAN16K": 0}),
    ("T0SZ", {"T0SZ": 15}, {}, {}),
    ("T0SZ", {"T0SZ": 40}, {}, {"STT": 0}),
    ("T0SZ", {"T0SZ": 49}, {}, {}),
    ("T0SZ", {"T0SZ": 48, "TG0": 1}, {}, {}),
    ("T0SZ", {"T0SZ": 15, "DS": 1}, {}, {"DS": 1}),
    ("T0SZ", {"T0SZ": 11, "DS": 1}, {}, {"DS": 1, "VAX": 1}),
    ("TTB0, IPS", {"TTB0": 1 << 40, "IPS": 2}, {}, {}),
    ("TTB0, IPS", {"TTB0": 1 << 44}, {}, {"OAS": 4}),
    ("TTB0 from 48 bits up", {"TTB0": 1 << 48, "IPS": 6}, {}, {"OAS": 6}),
    ("TG1", {"EPD1": 0, "T1SZ": 16, "TG1": 0}, {}, {}),
    ("T1SZ", {"EPD1": 0, "T1SZ": 15, "TG1": 2}, {}, {}),
    ("TTB1, IPS", {"EPD1": 0, "T1SZ": 16, "TG1": 2, "TTB1": 1 << 48}, {}, {}),
]


@pytest.mark.parametrize(("reason", "fields", "caps"), STE_CONDITIONS)
def test_each_illegal_ste(reason: str, fields: dict[str, int], caps: dict[str, int]) -> None:
    """Each condition alone makes the STE ILLEGAL: abort, and C_BAD_STE with nothing but the stream in it."""
    rig = Rig(capabilities(**caps))
    rig.ste(SID, **fields)
    outcome = rig.send(0x1000)
    assert (outcome.result, outcome.reason) == ("abort", reason)
    (event,) = rig.events()
    assert (event.name, event.stream_id, event.address, event.reserved) == ("C_BAD_STE", SID, None, 0)


@pytest.mark.parametrize(("fields", "caps"), LEGAL_STES)
def test_legal_stes(fields: dict[str, int], caps: dict[str, int]) -> None:
    """What a condition does not cover is legal: fields of stages and features that are not in use are ignored."""
    assert illegal_ste(STE(**fields), capabilities(**caps)) == ""


@pytest.mark.parametrize(("reason", "fields", "ste", "caps"), CD_CONDITIONS)
def test_each_illegal_cd(reason: str, fields: dict[str, int], ste: dict[str, int], caps: dict[str, int]) -> None:
    """Each condition alone makes the CD ILLEGAL: abort, and C_BAD_CD."""
    rig = Rig(capabilities(**caps))
    rig.ste(SID, **S1 | ste)
    rig.cd(**GOOD_CD | fields)
    outcome = rig.send(0x1000)
    assert (outcome.result, outcome.reason) == ("abort", reason)
    assert rig.names() == ["C_BAD_CD"]


def test_legal_cds() -> None:
    """A disabled range is not looked at; EL2 has no 16-bit ASID and no second range."""
    ste, both_off = STE(**S1), {"EPD0": 1, "EPD1": 1, "TG0": 3, "ENDI": 1}
    assert illegal_cd(CD(**GOOD_CD), ste, Capabilities()) == ""
    assert illegal_cd(CD(**GOOD_CD | both_off), ste, capabilities(TTENDIAN=2)) == ""
    assert illegal_cd(CD(**GOOD_CD | both_off), ste, capabilities(TTENDIAN=2), single=True) == "ENDI, IDR0.TTENDIAN"
    wide = CD(**GOOD_CD | {"ASID": 0x100, "EPD1": 0, "EPD0": 1})
    assert illegal_cd(wide, ste, capabilities(ASID16=0), single=True) == ""
    assert stage1(wide, Capabilities(), upper=True, single=True) is None


@pytest.mark.parametrize("config", [4, 5, 6, 7])
def test_every_reserved_bit_of_an_ste(config: int) -> None:
    """Reserved, ignored and implementation defined bits of an STE, flipped one at a time, change nothing."""
    quiet = STE.reserved_mask | sum(
        getattr(STE, name).mask
        for name in ("SW_RESERVED", "IMPDEF1", "IMPDEF2", "IMPDEF4", "DRE", "DCP", "PPAR", "MEV", "S2HWU", "DPT_VMATCH")
    )
    quiet |= sum(field.mask for field in STE.fields if field.mask >> 256)  # Secure, MPAM, indirection
    count = 0
    for bit in range(512):
        if not quiet >> bit & 1:
            continue
        count += 1
        rig = Rig()
        root = rig.page(0x2000)
        if config & 2:
            rig.leaf(root, 12, 40, 1, 0x4000, 3, 0x7000 | S2_RW | 2)
            for page in (CONTEXT >> 12, *range(0x100, 0x110)):
                rig.leaf(root, 12, 40, 1, page << 12, 3, page << 12 | S2_RW | 2)
        first = 0x10A000
        fields = {4: {"V": 1, "Config": 4}, 5: S1, 6: S2 | {"S2TTB": root}, 7: BOTH | {"S2TTB": root}}[config]
        raw = STE(**fields).value ^ 1 << bit
        rig.memory.write(STREAMS + 64 * SID, raw.to_bytes(64, "little"))
        if config & 1:
            rig.cd(TTB0=first, T0SZ=34)
            rig.memory.write_u64(first, first + 0x1000 | 3)
            rig.memory.write_u64(first + 0x1000 + 8 * 5, 0x4000 | S1_RW | 2)
        expected = {4: 0x5008, 5: 0x4008, 6: -1, 7: 0x7008}[config]
        assert rig.model.translate(SID, 0x5008) == expected, bit
        assert STE(raw).value == raw
    assert count >= 100


def test_every_reserved_bit_of_a_cd_and_of_the_first_level_descriptors() -> None:
    """Reserved and unused bits of CD, L1STD and L1CD, flipped one at a time, change nothing."""
    unused = (
        "IMPDEF5",
        "PARTID",
        "PMG",
        "PIIU",
        "PIIP",
        "PIE",
        "AIE",
        "PnCH",
        "HWU0",
        "HWU1",
        "UWXN",
        "HAFT",
        "NSCFG0",
    )
    quiet = (
        CD.reserved_mask | sum(getattr(CD, name).mask for name in unused) | CD.TTB1.mask | CD.T1SZ.mask | CD.TG1.mask
    )
    for bit in range(512):
        if quiet >> bit & 1:
            rig = Rig()
            root = rig.page()
            rig.stage1()
            cd = rig.cd(TTB0=root)
            rig.memory.write(CONTEXT, (cd.value ^ 1 << bit).to_bytes(64, "little"))
            rig.leaf(root, 12, 48, 0, 0x5000, 3, 0x7000 | S1_RW | 2)
            assert rig.model.translate(SID, 0x5008) == 0x7008, bit
    for bit in range(64):
        if L1STD.reserved_mask >> bit & 1:
            rig = two_level_rig(L1STD(Span=9, L2Ptr=0x20000).value | 1 << bit)
            assert rig.model.translate(0x105, 0x5008) == 0x5008, bit
        if L1CD.reserved_mask >> bit & 1:
            rig = Rig()
            rig.stage1(S1CDMax=7, S1Fmt=1, S1DSS=2)
            root = rig.page()
            rig.memory.write_u64(CONTEXT, 0x30000 | 1 | 1 << bit)
            rig.cd(0x30000, TTB0=root)
            rig.leaf(root, 12, 48, 0, 0x5000, 3, 0x7000 | S1_RW | 2)
            assert rig.model.translate(SID, 0x5008) == 0x7008, bit


def two_level_rig(descriptor: int, split: int = 8, bits: int = 10, **options: Any) -> Rig:
    """Return a rig with a two-level stream table whose second L1 entry is `descriptor`, and bypass STEs at 0x20000."""
    rig = Rig(enable=False, **options)
    rig.write(regs.STRTAB_BASE(ADDR=0x18000))
    rig.write(regs.STRTAB_BASE_CFG(FMT=1, SPLIT=split, LOG2SIZE=bits))
    rig.memory.write_u64(0x18008, descriptor)
    for index in range(1 << split):
        rig.memory.write(0x20000 + 64 * index, bytes(STE(V=1, Config=4)))
    rig.write(regs.CR2(RECINVSID=1))
    rig.write(regs.CR0(SMMUEN=1, CMDQEN=1, EVENTQEN=1))
    return rig


@pytest.mark.parametrize("split", [6, 8, 10])
@pytest.mark.parametrize("span", range(32))
def test_spans_of_a_two_level_stream_table(split: int, span: int) -> None:
    """Each Span admits 2^(Span - 1) streams; 0, reserved values and more than the split are invalid streams."""
    rig = two_level_rig(L1STD(Span=span, L2Ptr=0x20000).value, split, 12)
    first = 1 << split
    reach = 1 << span - 1 if 0 < span <= min(split + 1, 11) else 0
    for offset in sorted({0, 1, reach - 1, reach, first - 1} & set(range(first))):
        assert rig.model.translate(first + offset, 0x1008) == (0x1008 if offset < reach else -1)
        assert rig.names() == ([] if offset < reach else ["C_BAD_STREAMID"])


def test_stream_ids_out_of_the_table() -> None:
    """A stream beyond LOG2SIZE is refused in both formats; the event needs RECINVSID."""
    for recinvsid in (0, 1):
        rig = Rig(enable=False)
        rig.write(regs.CR2(RECINVSID=recinvsid))
        rig.write(regs.CR0(SMMUEN=1, EVENTQEN=1))
        assert rig.send(0, 64).reason == "StreamID, STRTAB_BASE_CFG.LOG2SIZE"
        assert rig.names() == ["C_BAD_STREAMID"] * recinvsid
    rig = two_level_rig(0, bits=7)  # not more than the split: one descriptor
    assert rig.model.translate(128, 0) == -1
    rig = Rig(capabilities(ST_LEVEL=0), enable=False)
    rig.write(regs.STRTAB_BASE_CFG(FMT=1, SPLIT=8, LOG2SIZE=6))
    rig.write(regs.CR0(SMMUEN=1, EVENTQEN=1))
    rig.ste(V=1, Config=4)
    assert rig.model.translate(SID, 0x40) == 0x40  # without two-level support FMT is ignored


UNMODELLED = {
    "RME_IMPL": 1, "TTF": 3, "HTTU": 3, "ATOS": 1, "ECMDQ": 1, "TABLES_PRESET": 1, "QUEUES_PRESET": 1, "S1PI": 1,
    "S2PI": 1, "S2PO": 1, "DPT": 1, "PASIDTT": 1, "D128": 1, "OAS": 7, "VAX": 2,
}  # fmt: skip


@pytest.mark.parametrize("name", UNMODELLED)
def test_capabilities_that_are_not_modelled_are_refused(name: str) -> None:
    """The model does not pretend."""
    with pytest.raises(ValueError, match=name):
        Model(Rig().memory, capabilities(**{name: UNMODELLED[name]}))
