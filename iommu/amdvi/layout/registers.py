"""Memory-mapped registers, section 3.4. All have 64 bits and may be accessed by halves; bits not named are reserved."""

from __future__ import annotations

from ...bits import Address, Bits64, Field

REGISTERS_SIZE = 0x4000
"""Bytes of registers, without those of performance counters."""


class DevTabBase(Bits64, offset=0x0000):
    """Device table base address register."""

    Size = Field(8, 0)  # Size + 1 pages of 128 entries
    Base = Address(51, 12)


class CmdBufBase(Bits64, offset=0x0008):
    """Command buffer base address register; a write sets head and tail to 0."""

    ComBase = Address(51, 12)
    ComLen = Field(59, 56)  # 2^n commands, 8 to 15


class EventLogBase(Bits64, offset=0x0010):
    """Event log base address register; a write sets head and tail to 0."""

    EventBase = Address(51, 12)
    EventLen = Field(59, 56)  # 2^n events, 8 to 15


class Control(Bits64, offset=0x0018):
    """IOMMU control register."""

    IommuEn = Field(0)
    HtTunEn = Field(1)
    EventLogEn = Field(2)
    EventIntEn = Field(3)
    ComWaitIntEn = Field(4)
    InvTimeout = Field(7, 5)
    PassPW = Field(8)
    ResPassPW = Field(9)
    Coherent = Field(10)
    Isoc = Field(11)
    CmdBufEn = Field(12)
    PprLogEn = Field(13)
    PprIntEn = Field(14)
    PprEn = Field(15)
    GTEn = Field(16)
    GAEn = Field(17)
    CRW = Field(21, 18)
    SmiFEn = Field(22)
    SlfWBDis = Field(23)
    SmiFLogEn = Field(24)
    GAMEn = Field(27, 25)
    GALogEn = Field(28)
    GAIntEn = Field(29)
    DualPprLogEn = Field(31, 30)
    DualEventLogEn = Field(33, 32)
    DevTblSegEn = Field(36, 34)
    PrivAbrtEn = Field(38, 37)
    PprAutoRspEn = Field(39)
    MarcEn = Field(40)
    BlkStopMrkEn = Field(41)
    PprAutoRspAon = Field(42)
    DomainIDPNE = Field(43)
    EPHEn = Field(45)
    HADUpdate = Field(47, 46)
    GDUpdateDis = Field(48)
    XTEn = Field(50)
    IntCapXTEn = Field(51)
    vCmdEn = Field(52)  # noqa: N815  # the manual's spelling
    vIommuEn = Field(53)  # noqa: N815
    GAUpdateDis = Field(54)
    GAPPIEn = Field(55)


class ExclusionBase(Bits64, offset=0x0020):
    """Exclusion range base register."""

    ExEn = Field(0)
    Allow = Field(1)  # for all devices, else for those with DTE.EX
    Base = Address(51, 12)


class ExclusionLimit(Bits64, offset=0x0028):
    """Exclusion range limit register: the last page of the range."""

    Limit = Address(51, 12)


class EFR(Bits64, offset=0x0030):
    """Extended feature register (read only)."""

    PreFSup = Field(0)
    PPRSup = Field(1)
    XTSup = Field(2)
    NXSup = Field(3)
    GTSup = Field(4)
    IASup = Field(6)
    GASup = Field(7)
    HESup = Field(8)
    PCSup = Field(9)
    HATS = Field(11, 10)  # 4 + HATS levels of host tables
    GATS = Field(13, 12)
    GLXSup = Field(15, 14)
    SmiFSup = Field(17, 16)
    SmiFRC = Field(20, 18)
    GAMSup = Field(23, 21)
    DualPprLogSup = Field(25, 24)
    DualEventLogSup = Field(29, 28)
    PASmax = Field(36, 32)  # PASID bits - 1
    USSup = Field(37)
    DevTblSegSup = Field(39, 38)
    PprOvrflwEarlySup = Field(40)
    PprAutoRspSup = Field(41)
    MarcSup = Field(43, 42)
    BlkStopMrkSup = Field(44)
    PerfOptSup = Field(45)
    MsiCapMmioSup = Field(46)
    GIoSup = Field(48)
    HASup = Field(49)
    EPHSup = Field(50)
    AttrFWSup = Field(51)
    HDSup = Field(52)
    InvIotlbTypeSup = Field(54)
    vIommuSup = Field(55)  # noqa: N815
    GAUpdateDisSup = Field(61)
    ForcePhyDestSup = Field(62)
    SNPSup = Field(63)


class PprLogBase(Bits64, offset=0x0038):
    """Peripheral page request log base address register."""

    PprLogBase = Address(51, 12)
    PprLogLen = Field(59, 56)


class CmdBufHead(Bits64, offset=0x2000):
    """Command buffer head pointer register, in bytes."""

    CmdHdPtr = Address(18, 4)


class CmdBufTail(Bits64, offset=0x2008):
    """Command buffer tail pointer register, in bytes."""

    CmdTailPtr = Address(18, 4)


class EventLogHead(Bits64, offset=0x2010):
    """Event log head pointer register, in bytes."""

    EventHdPtr = Address(18, 4)


class EventLogTail(Bits64, offset=0x2018):
    """Event log tail pointer register, in bytes."""

    EventTailPtr = Address(18, 4)


class Status(Bits64, offset=0x2020):
    """IOMMU status register."""

    EventOverflow = Field(0)
    EventLogInt = Field(1)
    ComWaitInt = Field(2)
    EventLogRun = Field(3)
    CmdBufRun = Field(4)
    PprOverflow = Field(5)
    PprInt = Field(6)
    PprLogRun = Field(7)
    GALogRun = Field(8)
    GALOverflow = Field(9)
    GAInt = Field(10)
    PprOverflowB = Field(11)
    PprLogActive = Field(12)
    EventOverflowB = Field(15)
    EventLogActive = Field(16)
    PprOverflowEarlyB = Field(17)
    PprOverflowEarly = Field(18)


class PprLogHead(Bits64, offset=0x2030):
    """Peripheral page request log head pointer register, in bytes."""

    PprHdPtr = Address(18, 4)


class PprLogTail(Bits64, offset=0x2038):
    """Peripheral page request log tail pointer register, in bytes."""

    PprTailPtr = Address(18, 4)
