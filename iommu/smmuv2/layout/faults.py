"""Fault registers of SMMUv1 and SMMUv2 (Arm IHI 0062 D.c), and the windows in which they lie side by side."""

from __future__ import annotations

from ...bits import Bits, Bits32, Bits256, Field


class FSR(Bits32, offset=0x58):
    """SMMU_CBn_FSR, fault status of a context bank."""

    TF = Field(1)
    AFF = Field(2)
    PF = Field(3)
    EF = Field(4)
    TLBMCF = Field(5)
    TLBLKF = Field(6)
    ASF = Field(7)
    UUT = Field(8)
    FORMAT = Field(10, 9)  # 0: AArch32 short, 1: AArch32 long, 2: AArch64
    SS = Field(30)
    MULTI = Field(31)


class FSYNR0(Bits32, offset=0x68):
    """SMMU_CBn_FSYNR0, fault syndrome of a context bank."""

    PLVL = Field(1, 0)
    WNR = Field(4)
    PNU = Field(5)
    IND = Field(6)
    NSATTR = Field(8)
    PTWF = Field(10)
    AFR = Field(11)
    S1CBNDX = Field(23, 16)


class CBFRSYNRA(Bits32, offset=0x400):
    """SMMU_CBFRSYNRAn, in the second global page: whose transaction it was."""

    StreamID = Field(15, 0)
    SSD_Index = Field(31, 16)


class ContextFault(Bits, width=288):
    """The registers of a context bank from 0x58 to 0x77, then its CBFRSYNRA."""

    __slots__ = ()
    FSR = Field(31, 0)
    FSRRESTORE = Field(63, 32)
    FAR = Field(127, 64)
    FSYNR0 = Field(159, 128)
    FSYNR1 = Field(191, 160)
    IPAFAR = Field(255, 192)
    CBFRSYNRA = Field(287, 256)


class GFSR(Bits32, offset=0x48):
    """SMMU_sGFSR, global fault status."""

    ICF = Field(0)
    USF = Field(1)
    SMCF = Field(2)
    UCBF = Field(3)
    UCIF = Field(4)
    CAF = Field(5)
    EF = Field(6)
    PF = Field(7)
    UUT = Field(8)
    MULTI = Field(31)


class GFSYNR0(Bits32, offset=0x50):
    """SMMU_sGFSYNR0, global fault syndrome."""

    NESTED = Field(0)
    WNR = Field(1)
    PNU = Field(2)
    IND = Field(3)
    NSSTATE = Field(4)
    NSATTR = Field(5)
    ATS = Field(6)


class GFSYNR1(Bits32, offset=0x54):
    """SMMU_sGFSYNR1: whose transaction it was."""

    StreamID = Field(15, 0)
    SSD_Index = Field(31, 16)


class GlobalFault(Bits256):
    """The registers of the first global page from 0x40 to 0x5F."""

    GFAR = Field(63, 0)
    GFSR = Field(95, 64)
    GFSRRESTORE = Field(127, 96)
    GFSYNR0 = Field(159, 128)
    GFSYNR1 = Field(191, 160)
    GFSYNR2 = Field(223, 192)
