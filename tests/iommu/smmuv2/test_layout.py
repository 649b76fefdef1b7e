"""Bits of SMMUv2, against numbers written by hand."""

from __future__ import annotations

import pytest
from iommuman.iommu.bits import Bits
from iommuman.iommu.smmuv2.layout import ContextFault, GlobalFault
from iommuman.iommu.smmuv2.layout import registers as regs
from iommuman.iommu.smmuv2.layout.registers import Pages
from iommuman.iommu.smmuv2.records import decode_context, decode_global

BITS: list[tuple[type[Bits], str, int, int]] = [
    (regs.CR0, "CLIENTPD", 0, 0), (regs.CR0, "GFRE", 1, 1), (regs.CR0, "GFIE", 2, 2), (regs.CR0, "EXIDENABLE", 3, 3),
    (regs.CR0, "GCFGFRE", 4, 4), (regs.CR0, "GCFGFIE", 5, 5), (regs.CR0, "USFCFG", 10, 10),
    (regs.CR0, "VMIDPNE", 11, 11), (regs.CR0, "PTM", 12, 12), (regs.CR0, "FB", 13, 13), (regs.CR0, "BSU", 15, 14),
    (regs.CR0, "VMID16EN", 31, 31),
    (regs.ID0, "NUMSMRG", 7, 0), (regs.ID0, "EXIDS", 8, 8), (regs.ID0, "NUMSIDB", 12, 9), (regs.ID0, "CTTW", 14, 14),
    (regs.ID0, "NUMIRPT", 23, 16), (regs.ID0, "PTFS_NO_AARCH32S", 24, 24), (regs.ID0, "PTFS_NO_AARCH32", 25, 25),
    (regs.ID0, "ATOSNS", 26, 26), (regs.ID0, "SMS", 27, 27), (regs.ID0, "NTS", 28, 28), (regs.ID0, "S2TS", 29, 29),
    (regs.ID0, "S1TS", 30, 30),
    (regs.ID1, "NUMCB", 7, 0), (regs.ID1, "NUMS2CB", 23, 16), (regs.ID1, "NUMPAGENDXB", 30, 28),
    (regs.ID1, "PAGESIZE", 31, 31),
    (regs.ID2, "IAS", 3, 0), (regs.ID2, "OAS", 7, 4), (regs.ID2, "UBS", 11, 8), (regs.ID2, "PTFS_4K", 12, 12),
    (regs.ID2, "PTFS_16K", 13, 13), (regs.ID2, "PTFS_64K", 14, 14), (regs.ID2, "VMID16", 15, 15),
    (regs.ID7, "MINOR", 3, 0), (regs.ID7, "MAJOR", 7, 4), (regs.TLBGSTATUS, "GSACTIVE", 0, 0),
    (regs.SMR, "ID", 14, 0), (regs.SMR, "MASK", 30, 16), (regs.SMR, "VALID", 31, 31),
    (regs.ExtendedSMR, "ID", 15, 0), (regs.ExtendedSMR, "MASK", 31, 16),
    (regs.S2CR, "CBNDX", 7, 0), (regs.S2CR, "EXIDVALID", 10, 10), (regs.S2CR, "TYPE", 17, 16),
    (regs.S2CR, "PRIVCFG", 25, 24),
    (regs.CBAR, "VMID", 7, 0), (regs.CBAR, "BPSHCFG", 9, 8), (regs.CBAR, "MEMATTR", 15, 12),
    (regs.CBAR, "TYPE", 17, 16), (regs.CBAR, "IRPTNDX", 31, 24), (regs.CBA2R, "VA64", 0, 0),
    (regs.CBA2R, "VMID16", 31, 16),
    (regs.SCTLR, "M", 0, 0), (regs.SCTLR, "TRE", 1, 1), (regs.SCTLR, "AFE", 2, 2), (regs.SCTLR, "AFFD", 3, 3),
    (regs.SCTLR, "E", 4, 4), (regs.SCTLR, "CFRE", 5, 5), (regs.SCTLR, "CFIE", 6, 6), (regs.SCTLR, "CFCFG", 7, 7),
    (regs.SCTLR, "HUPCF", 8, 8), (regs.SCTLR, "WXN", 9, 9), (regs.SCTLR, "UWXN", 10, 10),
    (regs.SCTLR, "ASIDPNE", 12, 12),
    (regs.RESUME, "TERMINATE", 0, 0), (regs.TCR2, "PASIZE", 2, 0), (regs.TCR2, "AS", 4, 4),
    (regs.TCR2, "SEP", 17, 15), (regs.TTBR0, "ASID", 63, 48), (regs.TTBR1, "ASID", 63, 48),
    (regs.TCR, "T0SZ", 5, 0), (regs.TCR, "EPD0", 7, 7), (regs.TCR, "IRGN0", 9, 8), (regs.TCR, "ORGN0", 11, 10),
    (regs.TCR, "SH0", 13, 12), (regs.TCR, "TG0", 15, 14), (regs.TCR, "A1", 22, 22), (regs.TCR, "EPD1", 23, 23),
    (regs.VTCR, "T0SZ", 5, 0), (regs.VTCR, "SL0", 7, 6), (regs.VTCR, "PS", 18, 16), (regs.VTCR, "RES1", 31, 31),
    (regs.TLBSTATUS, "SACTIVE", 0, 0),
]  # fmt: skip
"""Register, field, and the bits that Linux's `arm-smmu.h` and the manual give it."""


@pytest.mark.parametrize(("register", "field", "most", "least"), BITS)
def test_fields_are_where_the_manual_has_them(register: type[Bits], field: str, most: int, least: int) -> None:
    """The bits of each field."""
    assert getattr(register, field).mask == (2 << most) - (1 << least)


OFFSETS = {
    "CR0": 0x00, "ACR": 0x10, "ID0": 0x20, "ID1": 0x24, "ID2": 0x28, "ID7": 0x3C, "TLBIVMID": 0x64,
    "TLBIALLNSNH": 0x68, "TLBIALLH": 0x6C, "TLBGSYNC": 0x70, "TLBGSTATUS": 0x74, "SMR": 0x800, "S2CR": 0xC00,
    "CBAR": 0x000, "CBA2R": 0x800, "SCTLR": 0x00, "ACTLR": 0x04, "RESUME": 0x08, "TCR2": 0x10, "TTBR0": 0x20,
    "TTBR1": 0x28, "TCR": 0x30, "VTCR": 0x30, "CONTEXTIDR": 0x34, "MAIR0": 0x38, "MAIR1": 0x3C, "TLBIVA": 0x600,
    "TLBIASID": 0x610, "TLBIALL": 0x618, "TLBIVAL": 0x620, "TLBIIPAS2": 0x630, "TLBIIPAS2L": 0x638, "TLBSYNC": 0x7F0,
    "TLBSTATUS": 0x7F4,
}  # fmt: skip


@pytest.mark.parametrize("name", OFFSETS)
def test_registers_are_where_the_manual_has_them(name: str) -> None:
    """Offsets in their pages."""
    assert getattr(regs, name).offset == OFFSETS[name]


@pytest.mark.parametrize(
    ("id1", "page", "banks", "total"),
    [
        (0x0000_0008, 0x1000, 0x2000, 0x4000),
        (0x2000_0008, 0x1000, 0x8000, 0x1_0000),
        (0xB000_0040, 0x1_0000, 0x10_0000, 0x20_0000),
    ],
)
def test_banks_are_the_upper_half(id1: int, page: int, banks: int, total: int) -> None:
    """NUMPAGE is 2^(NUMPAGENDXB + 1); pages have 4 or 64 KiB."""
    pages = Pages(regs.ID1(id1))
    assert (pages.size, pages.bank(0), pages.bank(1), pages.total) == (page, banks, banks + page, total)


def test_addresses_of_invalidations() -> None:
    """TLBIIPAS2 takes the page number; TLBIVA has the ASID above it."""
    assert regs.TLBIIPAS2(IPA=0x1234_5000).value == 0x1_2345
    assert regs.TLBIIPAS2L(IPA=0xFFFF_FFFF_F000).value == 0xF_FFFF_FFFF
    assert regs.TLBIVA(VA=0x1234_5000, ASID=5).value == 5 << 48 | 0x1_2345


def test_the_kernel_log_of_a_context_fault() -> None:
    """fsr=0x402, fsynr=0x3d0023: AArch64, a privileged read that no entry of level 3 translates."""
    raw = bytes(ContextFault(FSR=0x402, FAR=0x9D4B_B500, FSYNR0=0x3D_0023, CBFRSYNRA=0xC88))
    found = decode_context(raw, 61)
    assert (found.name, found.level, found.write, found.privileged, found.stream_id) == ("TF", 3, False, True, 0xC88)
    assert str(found) == "stream 0xc88 read of 0x9d4bb500: the address is not mapped (TF, bank 61, level 3)"
    with pytest.raises(ValueError, match="36 bytes, not 32"):
        decode_context(raw[:32], 61)


def test_the_kernel_log_of_a_global_fault() -> None:
    """GFSR 0x2, GFSYNR0 0x2, GFSYNR1 0x43: a write by stream 0x43, which is not identified."""
    found = decode_global(bytes(GlobalFault(GFSR=2, GFSYNR0=2, GFSYNR1=0x43, GFAR=0x1000)))
    assert (found.bank, found.name, found.write, found.stream_id, found.more) == (None, "USF", True, 0x43, False)
    assert str(found) == (
        "stream 0x43 write of 0x1000: unidentified stream: no stream match entry has this ID (USF, global)"
    )
    assert decode_global(bytes(GlobalFault(GFSR=0x8000_0000))).meaning == "no fault flag is set"
    assert "fetch of" in str(decode_global(bytes(GlobalFault(GFSR=1, GFSYNR0=8))))
