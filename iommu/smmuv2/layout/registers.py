"""Memory-mapped registers (Arm IHI 0062 D.c): the two global pages, and the pages of the context banks.

The offset of a register is that in its page; the n-th of several is 4n bytes further. `Pages` says where pages are.
"""

from __future__ import annotations

from ...bits import Address, Bits32, Bits64, Field
from ..names import BankType, Privilege, StreamType

STREAM_ENTRIES = 256
"""SMR and S2CR registers that there is room for."""


class CR0(Bits32, offset=0x00):
    """SMMU_sCR0, configuration of the whole unit."""

    CLIENTPD = Field(0)
    GFRE = Field(1)
    GFIE = Field(2)
    EXIDENABLE = Field(3)
    GCFGFRE = Field(4)
    GCFGFIE = Field(5)
    USFCFG = Field(10)
    VMIDPNE = Field(11)
    PTM = Field(12)
    FB = Field(13)
    BSU = Field(15, 14)
    VMID16EN = Field(31)


class ACR(Bits32, offset=0x10):
    """SMMU_sACR; its bits are the implementation's (MMU-500: CACHE_LOCK 26, S2CRB_TLBEN 10, SMTNMB_TLBEN 8)."""


class ID0(Bits32, offset=0x20):
    """SMMU_IDR0."""

    NUMSMRG = Field(7, 0)
    EXIDS = Field(8)
    NUMSIDB = Field(12, 9)
    CTTW = Field(14)
    NUMIRPT = Field(23, 16)
    PTFS_NO_AARCH32S = Field(24)
    PTFS_NO_AARCH32 = Field(25)
    ATOSNS = Field(26)  # 1: no address translation operations
    SMS = Field(27)
    NTS = Field(28)
    S2TS = Field(29)
    S1TS = Field(30)


class ID1(Bits32, offset=0x24):
    """SMMU_IDR1."""

    NUMCB = Field(7, 0)
    NUMS2CB = Field(23, 16)  # so many banks, from 0, are of stage 2 only
    NUMPAGENDXB = Field(30, 28)
    PAGESIZE = Field(31)


class ID2(Bits32, offset=0x28):
    """SMMU_IDR2; codes of sizes are those of `names.SIZES`."""

    IAS = Field(3, 0)
    OAS = Field(7, 4)
    UBS = Field(11, 8)
    PTFS_4K = Field(12)
    PTFS_16K = Field(13)
    PTFS_64K = Field(14)
    VMID16 = Field(15)


class ID7(Bits32, offset=0x3C):
    """SMMU_IDR7: revision of the implementation, not of the architecture."""

    MINOR = Field(3, 0)
    MAJOR = Field(7, 4)


class TLBIVMID(Bits32, offset=0x64):
    """SMMU_TLBIVMID: forget everything of a VMID. Write only."""

    VMID = Field(15, 0)


class TLBIALLNSNH(Bits32, offset=0x68):
    """SMMU_TLBIALLNSNH: forget everything that is Non-secure and not of a hypervisor. Write only, any value."""


class TLBIALLH(Bits32, offset=0x6C):
    """SMMU_TLBIALLH: forget everything of a hypervisor. Write only, any value."""


class TLBGSYNC(Bits32, offset=0x70):
    """SMMU_sTLBGSYNC: begin to complete invalidations. Write only, any value."""


class TLBGSTATUS(Bits32, offset=0x74):
    """SMMU_sTLBGSTATUS."""

    GSACTIVE = Field(0)


class SMR(Bits32, offset=0x800):
    """SMMU_SMRn, stream match, while sCR0.EXIDENABLE is 0. A bit of MASK that is 1 is not compared."""

    ID = Field(14, 0)
    MASK = Field(30, 16)
    VALID = Field(31)


class ExtendedSMR(Bits32, offset=0x800):
    """SMMU_SMRn while sCR0.EXIDENABLE is 1; whether it is valid is in S2CR."""

    ID = Field(15, 0)
    MASK = Field(31, 16)


class S2CR(Bits32, offset=0xC00):
    """SMMU_S2CRn, what becomes of a stream."""

    CBNDX = Field(7, 0)
    EXIDVALID = Field(10)
    TYPE = Field(17, 16, names=StreamType)
    PRIVCFG = Field(25, 24, names=Privilege)


class CBAR(Bits32, offset=0x000):
    """SMMU_CBARn, attributes of a context bank, in the second global page."""

    VMID = Field(7, 0)
    BPSHCFG = Field(9, 8)
    MEMATTR = Field(15, 12)
    TYPE = Field(17, 16, names=BankType)
    IRPTNDX = Field(31, 24)


class CBA2R(Bits32, offset=0x800):
    """SMMU_CBA2Rn, further attributes of a context bank, in the second global page."""

    VA64 = Field(0)
    VMID16 = Field(31, 16)


class SCTLR(Bits32, offset=0x00):
    """SMMU_CBn_SCTLR, control of a context bank."""

    M = Field(0)
    TRE = Field(1)
    AFE = Field(2)
    AFFD = Field(3)
    E = Field(4)
    CFRE = Field(5)
    CFIE = Field(6)
    CFCFG = Field(7)
    HUPCF = Field(8)
    WXN = Field(9)
    UWXN = Field(10)
    ASIDPNE = Field(12)


class ACTLR(Bits32, offset=0x04):
    """SMMU_CBn_ACTLR; its bits are the implementation's (MMU-500: CPRE 1)."""


class RESUME(Bits32, offset=0x08):
    """SMMU_CBn_RESUME: what becomes of stalled transactions. Write only."""

    TERMINATE = Field(0)  # 0: they are tried again


class TCR2(Bits32, offset=0x10):
    """SMMU_CBn_TCR2, for stage 1 with AArch64 tables."""

    PASIZE = Field(2, 0)
    AS = Field(4)
    TBI0 = Field(5)
    TBI1 = Field(6)
    SEP = Field(17, 15)


class TTBR0(Bits64, offset=0x20):
    """SMMU_CBn_TTBR0."""

    BADDR = Address(47, 0)
    ASID = Field(63, 48)


class TTBR1(Bits64, offset=0x28):
    """SMMU_CBn_TTBR1."""

    BADDR = Address(47, 0)
    ASID = Field(63, 48)


class TCR(Bits32, offset=0x30):
    """SMMU_CBn_TCR of stage 1 with AArch64 tables."""

    T0SZ = Field(5, 0)
    EPD0 = Field(7)
    IRGN0 = Field(9, 8)
    ORGN0 = Field(11, 10)
    SH0 = Field(13, 12)
    TG0 = Field(15, 14)
    T1SZ = Field(21, 16)
    A1 = Field(22)
    EPD1 = Field(23)
    IRGN1 = Field(25, 24)
    ORGN1 = Field(27, 26)
    SH1 = Field(29, 28)
    TG1 = Field(31, 30)


class VTCR(Bits32, offset=0x30):
    """SMMU_CBn_TCR of stage 2. With AArch32 tables T0SZ is a number of five bits with a sign, and TG0 and PS are 0."""

    T0SZ = Field(5, 0)
    SL0 = Field(7, 6)
    IRGN0 = Field(9, 8)
    ORGN0 = Field(11, 10)
    SH0 = Field(13, 12)
    TG0 = Field(15, 14)
    PS = Field(18, 16)
    RES1 = Field(31)


class CONTEXTIDR(Bits32, offset=0x34):
    """SMMU_CBn_CONTEXTIDR."""

    PROCID = Field(31, 0)


class MAIR0(Bits32, offset=0x38):
    """SMMU_CBn_MAIR0, memory attributes 0 to 3 of stage 1."""

    Attr = Field(31, 0)


class MAIR1(Bits32, offset=0x3C):
    """SMMU_CBn_MAIR1, memory attributes 4 to 7 of stage 1."""

    Attr = Field(31, 0)


class TLBIVA(Bits64, offset=0x600):
    """SMMU_CBn_TLBIVA (AArch64): forget the translations of a page, and the tables on the way to it. Write only."""

    VA = Address(43, 0, low=12)
    ASID = Field(63, 48)


class TLBIASID(Bits32, offset=0x610):
    """SMMU_CBn_TLBIASID: forget everything of an ASID. Write only."""

    ASID = Field(15, 0)


class TLBIALL(Bits32, offset=0x618):
    """SMMU_CBn_TLBIALL: forget all stage 1 translations of the bank's VMID. Write only, any value."""


class TLBIVAL(Bits64, offset=0x620):
    """SMMU_CBn_TLBIVAL (AArch64): forget the translations of a page. Write only."""

    VA = Address(43, 0, low=12)
    ASID = Field(63, 48)


class TLBIIPAS2(Bits64, offset=0x630):
    """SMMU_CBn_TLBIIPAS2: forget the stage 2 translations of a page, and the tables on the way to it. Write only."""

    IPA = Address(35, 0, low=12)


class TLBIIPAS2L(Bits64, offset=0x638):
    """SMMU_CBn_TLBIIPAS2L: forget the stage 2 translations of a page. Write only."""

    IPA = Address(35, 0, low=12)


class TLBSYNC(Bits32, offset=0x7F0):
    """SMMU_CBn_TLBSYNC: begin to complete the invalidations of this bank. Write only, any value."""


class TLBSTATUS(Bits32, offset=0x7F4):
    """SMMU_CBn_TLBSTATUS."""

    SACTIVE = Field(0)


class Pages:
    """Where the pages of a unit are.

    Attributes:
        size: bytes of a page.
        count: pages of the global half; as many of context banks follow.
        total: bytes of all registers.
    """

    def __init__(self, id1: ID1) -> None:
        """Work it out from SMMU_IDR1."""
        self.size = 0x10000 if id1.PAGESIZE else 0x1000
        self.count = 2 << id1.NUMPAGENDXB
        self.total = 2 * self.count * self.size

    def bank(self, number: int) -> int:
        """Return the offset of the page of a context bank."""
        return (self.count + number) * self.size
