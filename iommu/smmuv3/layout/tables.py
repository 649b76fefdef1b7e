"""Structures in memory: stream table, context descriptors, translation tables (IHI 0070 chapter 5, DDI 0487 D8.3).

Bit n of a structure is bit n mod 64 of its 64-bit word n div 64. What belongs to states and features not modelled
(Secure state, MPAM, indirections, 128-bit descriptors) is named all the same, so that `reserved` means reserved.
"""

from __future__ import annotations

from ...bits import Address, Bits64, Bits512, Field, Ignored
from ..names import StreamConfig


class L1STD(Bits64):
    """Level 1 stream table descriptor (5.1): 2^(Span - 1) entries from L2Ptr."""

    Span = Field(4, 0)
    L2Ptr = Address(55, 6)


class STE(Bits512):
    """Stream table entry (5.2)."""

    V = Field(0)
    Config = Field(3, 1, names=StreamConfig)
    S1Fmt = Field(5, 4)
    S1ContextPtr = Address(55, 6)
    S1CDMax = Field(63, 59)
    S1DSS = Field(65, 64)
    S1CIR = Field(67, 66)
    S1COR = Field(69, 68)
    S1CSH = Field(71, 70)
    S2HWU = Field(75, 72)
    DRE = Field(76)
    CONT = Field(80, 77)
    DCP = Field(81)
    PPAR = Field(82)
    MEV = Field(83)
    SW_RESERVED = Ignored(87, 84)
    S1PIE = Field(88)
    S2FWB = Field(89)
    S1MPAM = Field(90)
    S1STALLD = Field(91)
    EATS = Field(93, 92)
    STRW = Field(95, 94)
    MemAttr = Field(99, 96)
    MTCFG = Field(100)
    ALLOCCFG = Field(104, 101)
    SHCFG = Field(109, 108)
    NSCFG = Field(111, 110)
    PRIVCFG = Field(113, 112)
    INSTCFG = Field(115, 114)
    IMPDEF1 = Ignored(127, 116)
    S2VMID = Field(143, 128)
    IMPDEF2 = Ignored(159, 144)
    S2T0SZ = Field(165, 160)
    S2SL0 = Field(167, 166)
    S2IR0 = Field(169, 168)
    S2OR0 = Field(171, 170)
    S2SH0 = Field(173, 172)
    S2TG = Field(175, 174)
    S2PS = Field(178, 176)
    S2AA64 = Field(179)
    S2ENDI = Field(180)
    S2AFFD = Field(181)
    S2PTW = Field(182)
    S2HD = Field(183)
    S2HA = Field(184)
    S2S = Field(185)
    S2R = Field(186)
    S2HAFT = Field(187)
    S2PIE = Field(188)
    S2POE = Field(189)
    DPT_VMATCH = Field(191, 190)
    S2NSW = Field(192)
    S2NSA = Field(193)
    S2SL0_2 = Field(194)
    S2DS = Field(195)
    S2TTB = Address(247, 196)
    S2SKL = Field(254, 253)
    IMPDEF4 = Ignored(271, 256)
    PARTID = Field(287, 272)
    S_S2T0SZ = Field(293, 288)
    S_S2SL0 = Field(295, 294)
    S_S2TG = Field(303, 302)
    MECID = Field(319, 304)
    PMG = Field(327, 320)
    MPAM_NS = Field(328)
    AssuredOnly = Field(329)
    TL0 = Field(330)
    TL1 = Field(331)
    VMSPtr = Address(375, 332)
    S2SW = Field(384)
    S2SA = Field(385)
    S_S2SL0_2 = Field(386)
    S_S2TTB = Address(439, 388)
    S_S2SKL = Field(446, 445)
    S2POI = Field(511, 448)


class L1CD(Bits64):
    """Level 1 context descriptor (5.3)."""

    V = Field(0)
    L2Ptr = Address(55, 12)


class CD(Bits512):
    """Context descriptor (5.4)."""

    T0SZ = Field(5, 0)
    TG0 = Field(7, 6)
    IR0 = Field(9, 8)
    OR0 = Field(11, 10)
    SH0 = Field(13, 12)
    EPD0 = Field(14)
    ENDI = Field(15)
    T1SZ = Field(21, 16)
    TG1 = Field(23, 22)
    IR1 = Field(25, 24)
    OR1 = Field(27, 26)
    SH1 = Field(29, 28)
    EPD1 = Field(30)
    V = Field(31)
    IPS = Field(34, 32)
    AFFD = Field(35)
    WXN = Field(36)
    UWXN = Field(37)
    TBI0 = Field(38)
    TBI1 = Field(39)
    PAN = Field(40)
    AA64 = Field(41)
    HD = Field(42)
    HA = Field(43)
    S = Field(44)
    R = Field(45)
    A = Field(46)
    ASET = Field(47)
    ASID = Field(63, 48)
    NSCFG0 = Field(64)
    HAD0 = Field(65)
    E0PD0 = Field(66)
    HAFT = Field(67)
    TTB0 = Address(119, 68)
    PnCH = Field(122)
    EPAN = Field(123)
    HWU0 = Field(127, 124)
    NSCFG1 = Field(128)
    HAD1 = Field(129)
    E0PD1 = Field(130)
    AIE = Field(131)
    TTB1 = Address(183, 132)
    DS = Field(186)
    PIE = Field(187)
    HWU1 = Field(191, 188)
    MAIR0 = Field(223, 192)
    MAIR1 = Field(255, 224)
    AMAIR0 = Field(287, 256)
    AMAIR1 = Field(319, 288)
    IMPDEF5 = Ignored(351, 320)
    PARTID = Field(367, 352)
    PMG = Field(375, 368)
    PIIU = Field(431, 384)
    PIIP = Field(495, 448)


class TableDescriptor(Bits64):
    """A descriptor that points to the next table (DDI 0487 D8.3.1); the attributes are those of stage 1."""

    Valid = Field(0)
    Table = Field(1)
    Unused = Ignored(9, 2)
    AF = Field(10)
    Unused11 = Ignored(11)
    NextTable = Address(47, 12)
    Unused51 = Ignored(58, 51)
    PXNTable = Field(59)
    UXNTable = Field(60)
    APTable = Field(62, 61)
    NSTable = Field(63)


class Stage1Leaf(Bits64):
    """A block or page descriptor of stage 1 (D8.3.2). Bits of OutputAddress below the page or block are 0."""

    Valid = Field(0)
    Page = Field(1)
    AttrIndx = Field(4, 2)
    NS = Field(5)
    AP = Field(7, 6)
    SH = Field(9, 8)
    AF = Field(10)
    nG = Field(11)  # noqa: N815  # the manual's spelling
    OutputAddress = Address(47, 12)
    GP = Field(50)
    DBM = Field(51)
    Contiguous = Field(52)
    PXN = Field(53)
    UXN = Field(54)
    Software = Ignored(58, 55)
    PBHA = Ignored(62, 59)
    Unused63 = Ignored(63)


class Stage2Leaf(Bits64):
    """A block or page descriptor of stage 2 (D8.3.2)."""

    Valid = Field(0)
    Page = Field(1)
    MemAttr = Field(5, 2)
    S2AP = Field(7, 6)
    SH = Field(9, 8)
    AF = Field(10)
    FnXS = Field(11)
    OutputAddress = Address(47, 12)
    DBM = Field(51)
    Contiguous = Field(52)
    XN = Field(54, 53)
    Software = Ignored(58, 55)
    PBHA = Ignored(62, 59)
