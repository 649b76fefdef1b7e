"""The bits of Intel VT-d: registers, tables, page-table entries, descriptors, fault records.

Read it beside the Intel Virtualization Technology for Directed I/O Architecture Specification, revision 4.1 (older
mnemonics where they are better known): registers are its section 11.4, translation structures its chapter 9,
invalidation descriptors section 6.5.2. Bits that no line names are reserved; `Ignored` bits belong to software.
A register's `offset` counts from the base that the DRHD structure gives; those at an offset that CAP or ECAP tells
(`IVA`, `IOTLB`, `FRCD`) count from there.
"""

from __future__ import annotations

from ..bits import Address, Bits32, Bits64, Bits128, Bits256, Bits512, Field, Ignored
from .names import ATYPE, CIRG, IIRG, IQEI, PGTT, SVT, TT, TTM, Reason

# --- Registers, section 11.4 -----------------------------------------------------------------------------------------


class VER(Bits32, offset=0x00):
    """Version register."""

    MIN = Field(3, 0)
    MAJ = Field(7, 4)


class CAP(Bits64, offset=0x08):
    """Capability register."""

    ND = Field(2, 0)  # 2^(4 + 2 ND) domain IDs
    AFL = Field(3)
    RWBF = Field(4)
    PLMR = Field(5)
    PHMR = Field(6)
    CM = Field(7)
    SAGAW = Field(12, 8)  # bit n: n + 2 levels, 30 + 9 n bits
    MGAW = Field(21, 16)  # width - 1
    ZLR = Field(22)
    FRO = Field(33, 24)  # in units of 16 bytes
    SSLPS = Field(37, 34)  # bit 0: 2 MiB, bit 1: 1 GiB
    PSI = Field(39)
    NFR = Field(47, 40)  # records - 1
    MAMV = Field(53, 48)
    DWD = Field(54)
    DRD = Field(55)
    FS1GP = Field(56)
    PI = Field(59)
    FS5LP = Field(60)
    ECMDS = Field(61)
    ESIRTPS = Field(62)
    ESRTPS = Field(63)


class ECAP(Bits64, offset=0x10):
    """Extended capability register."""

    C = Field(0)
    QI = Field(1)
    DT = Field(2)
    IR = Field(3)
    EIM = Field(4)
    PT = Field(6)
    SC = Field(7)
    IRO = Field(17, 8)  # in units of 16 bytes
    MHMV = Field(23, 20)
    MTS = Field(25)
    NEST = Field(26)
    PRS = Field(29)
    ERS = Field(30)
    SRS = Field(31)
    NWFS = Field(33)
    EAFS = Field(34)
    PSS = Field(39, 35)  # PASID bits - 1
    PASID = Field(40)
    DIT = Field(41)
    PDS = Field(42)
    SMTS = Field(43)
    VCS = Field(44)
    SSADS = Field(45)
    SSTS = Field(46)
    FSTS = Field(47)
    SMPWCS = Field(48)
    RPS = Field(49)
    PMS = Field(51)
    ADMS = Field(52)
    RPRIVS = Field(53)


class GCMD(Bits32, offset=0x18):
    """Global command register (write only)."""

    CFI = Field(23)
    SIRTP = Field(24)
    IRE = Field(25)
    QIE = Field(26)
    WBF = Field(27)
    EAFL = Field(28)
    SFL = Field(29)
    SRTP = Field(30)
    TE = Field(31)


class GSTS(Bits32, offset=0x1C):
    """Global status register (read only)."""

    CFIS = Field(23)
    IRTPS = Field(24)
    IRES = Field(25)
    QIES = Field(26)
    WBFS = Field(27)
    AFLS = Field(28)
    FLS = Field(29)
    RTPS = Field(30)
    TES = Field(31)


class RTADDR(Bits64, offset=0x20):
    """Root table address register."""

    TTM = Field(11, 10, names=TTM)
    RTA = Address(63, 12)


class CCMD(Bits64, offset=0x28):
    """Context command register."""

    DID = Field(15, 0)
    SID = Field(31, 16)
    FM = Field(33, 32)
    CAIG = Field(60, 59, names=CIRG)
    CIRG = Field(62, 61, names=CIRG)
    ICC = Field(63)


class FSTS(Bits32, offset=0x34):
    """Fault status register."""

    PFO = Field(0)
    PPF = Field(1)
    AFO = Field(2)
    APF = Field(3)
    IQE = Field(4)
    ICE = Field(5)
    ITE = Field(6)
    FRI = Field(15, 8)


class FECTL(Bits32, offset=0x38):
    """Fault event control register; followed by data, address and upper address of its message."""

    IP = Field(30)
    IM = Field(31)


class FEDATA(Bits32, offset=0x3C):
    """Fault event data register."""

    IMD = Field(31, 0)


class FEADDR(Bits32, offset=0x40):
    """Fault event address register."""

    MA = Address(31, 2)


class FEUADDR(Bits32, offset=0x44):
    """Fault event upper address register."""

    MUA = Field(31, 0)


class PMEN(Bits32, offset=0x64):
    """Protected memory enable register."""

    PRS = Field(0)
    EPM = Field(31)


class PLMBASE(Bits32, offset=0x68):
    """Protected low memory base register; how many low bits exist is up to the implementation."""

    PLMB = Field(31, 0)


class PLMLIMIT(Bits32, offset=0x6C):
    """Protected low memory limit register; low bits that do not exist count as ones."""

    PLML = Field(31, 0)


class PHMBASE(Bits64, offset=0x70):
    """Protected high memory base register."""

    PHMB = Field(63, 0)


class PHMLIMIT(Bits64, offset=0x78):
    """Protected high memory limit register."""

    PHML = Field(63, 0)


class IQH(Bits64, offset=0x80):
    """Invalidation queue head register, in bytes (read only)."""

    QH = Address(18, 4)


class IQT(Bits64, offset=0x88):
    """Invalidation queue tail register, in bytes."""

    QT = Address(18, 4)


class IQA(Bits64, offset=0x90):
    """Invalidation queue address register."""

    QS = Field(2, 0)  # 2^QS pages
    DW = Field(11)  # 1: descriptors of 256 bits
    IQA = Address(63, 12)


class ICS(Bits32, offset=0x9C):
    """Invalidation completion status register."""

    IWC = Field(0)


class IECTL(Bits32, offset=0xA0):
    """Invalidation event control register; followed by data, address and upper address as for faults."""

    IP = Field(30)
    IM = Field(31)


class IQERCD(Bits64, offset=0xB0):
    """Invalidation queue error record register (read only)."""

    IQEI = Field(3, 0, names=IQEI)
    ITESID = Field(47, 32)
    ICESID = Field(63, 48)


class IRTA(Bits64, offset=0xB8):
    """Interrupt remapping table address register."""

    S = Field(3, 0)  # 2^(S + 1) entries
    EIME = Field(11)
    IRTA = Address(63, 12)


class PQH(Bits64, offset=0xC0):
    """Page request queue head register, in bytes."""

    PQH = Address(18, 5)


class PQT(Bits64, offset=0xC8):
    """Page request queue tail register, in bytes."""

    PQT = Address(18, 5)


class PQA(Bits64, offset=0xD0):
    """Page request queue address register."""

    PQS = Field(2, 0)  # 2^PQS pages
    PQA = Address(63, 12)


class PRS(Bits32, offset=0xDC):
    """Page request status register."""

    PPR = Field(0)
    PRO = Field(1)


class PECTL(Bits32, offset=0xE0):
    """Page request event control register; followed by data, address and upper address as for faults."""

    IP = Field(30)
    IM = Field(31)


class IVA(Bits64, offset=0x00):
    """Invalidate address register, at 16 ECAP.IRO."""

    AM = Field(5, 0)
    IH = Field(6)
    ADDR = Address(63, 12)


class IOTLB(Bits64, offset=0x08):
    """IOTLB invalidate register, after IVA."""

    DID = Field(47, 32)
    DW = Field(48)
    DR = Field(49)
    IAIG = Field(58, 57, names=IIRG)
    IIRG = Field(61, 60, names=IIRG)
    IVT = Field(63)


class FRCD(Bits128):
    """Fault recording register, at 16 (CAP.FRO + i)."""

    FI = Address(63, 12)
    SID = Field(79, 64)
    T2 = Field(92)
    PRIV = Field(93)
    EXE = Field(94)
    PP = Field(95)
    FR = Field(103, 96, names=Reason)
    PV = Field(123, 104)
    AT = Field(125, 124, names=ATYPE)
    T1 = Field(126)
    F = Field(127)


# --- Translation structures, chapter 9 -------------------------------------------------------------------------------


class RootEntry(Bits128):
    """Root entry of legacy mode, 9.1: one a bus."""

    P = Field(0)
    CTP = Address(63, 12)


class ScalableRootEntry(Bits128):
    """Root entry of scalable mode, 9.2: lower half for devices 0 to 15, upper half for 16 to 31."""

    LP = Field(0)
    LCTP = Address(63, 12)
    UP = Field(64)
    UCTP = Address(127, 76)


class ContextEntry(Bits128):
    """Context entry of legacy mode, 9.3: one a function."""

    P = Field(0)
    FPD = Field(1)
    TT = Field(3, 2, names=TT)
    SSPTPTR = Address(63, 12)
    AW = Field(66, 64)  # AW + 2 levels
    AVAIL = Ignored(70, 67)
    DID = Field(87, 72)


class ScalableContextEntry(Bits256):
    """Context entry of scalable mode, 9.4."""

    P = Field(0)
    FPD = Field(1)
    DTE = Field(2)
    PASIDE = Field(3)
    PRE = Field(4)
    PDTS = Field(11, 9)  # directory of 2^(PDTS + 7) entries
    PASIDDIRPTR = Address(63, 12)
    RID_PASID = Field(83, 64)
    RID_PRIV = Field(84)


class PasidDirectoryEntry(Bits64):
    """PASID directory entry, 9.5: one for 64 PASIDs."""

    P = Field(0)
    FPD = Field(1)
    SMPTBLPTR = Address(63, 12)


class PasidEntry(Bits512):
    """PASID table entry, 9.6."""

    P = Field(0)
    FPD = Field(1)
    AW = Field(4, 2)
    SSEE = Field(5)
    PGTT = Field(8, 6, names=PGTT)
    SSADE = Field(9)
    SSPTPTR = Address(63, 12)
    DID = Field(79, 64)
    PWSNP = Field(87)
    PGSNP = Field(88)
    CD = Field(89)
    EMTE = Field(90)
    EMT = Field(93, 91)
    PWT = Field(94)
    PCD = Field(95)
    PAT = Field(127, 96)
    SRE = Field(128)
    ERE = Field(129)
    FSPM = Field(131, 130)  # 0: 4 levels, 1: 5 levels
    WPE = Field(132)
    NXE = Field(133)
    SMEP = Field(134)
    EAFE = Field(135)
    FSPTPTR = Address(191, 140)


class FirstStageTable(Bits64):
    """First-stage entry that points to a table, 9.7 (levels 5 to 2, PS = 0)."""

    P = Field(0)
    RW = Field(1)
    US = Field(2)
    PWT = Field(3)
    PCD = Field(4)
    A = Field(5)
    AVAIL6 = Ignored(6)
    PS = Field(7)
    AVAIL = Ignored(9, 8)
    EA = Field(10)
    AVAIL11 = Ignored(11)
    ADDR = Address(51, 12)
    AVAIL_HIGH = Ignored(62, 52)
    XD = Field(63)


class FirstStagePage(Bits64):
    """First-stage entry that maps a 4 KiB page, 9.7; in large pages bit 7 is PS and PAT moves to bit 12."""

    P = Field(0)
    RW = Field(1)
    US = Field(2)
    PWT = Field(3)
    PCD = Field(4)
    A = Field(5)
    D = Field(6)
    PS = Field(7)
    G = Field(8)
    AVAIL9 = Ignored(9)
    EA = Field(10)
    AVAIL11 = Ignored(11)
    ADDR = Address(51, 12)
    AVAIL_HIGH = Ignored(62, 52)
    XD = Field(63)


class SecondStageTable(Bits64):
    """Second-stage entry that points to a table, 9.8 (PS = 0)."""

    R = Field(0)
    W = Field(1)
    X = Field(2)
    AVAIL = Ignored(6, 3)
    PS = Field(7)  # reserved in levels 4 and 5
    A = Field(8)
    AVAIL_LOW = Ignored(10, 9)
    ADDR = Address(51, 12)
    AVAIL_HIGH = Ignored(61, 52)
    AVAIL63 = Ignored(63)


class SecondStagePage(Bits64):
    """Second-stage entry that maps a page of 4 KiB, 2 MiB or 1 GiB, 9.8."""

    R = Field(0)
    W = Field(1)
    X = Field(2)
    EMT = Field(5, 3)
    IPAT = Field(6)
    PS = Field(7)
    A = Field(8)
    D = Field(9)
    AVAIL10 = Ignored(10)
    SNP = Field(11)
    ADDR = Address(51, 12)
    AVAIL_HIGH = Ignored(61, 52)
    TM = Field(62)
    AVAIL63 = Ignored(63)


class Irte(Bits128):
    """Interrupt remapping table entry for a remapped interrupt, 9.10."""

    P = Field(0)
    FPD = Field(1)
    DM = Field(2)
    RH = Field(3)
    TM = Field(4)
    DLM = Field(7, 5)
    AVAIL = Ignored(11, 8)
    IM = Field(15)
    V = Field(23, 16)
    DST = Field(63, 32)
    SID = Field(79, 64)
    SQ = Field(81, 80)
    SVT = Field(83, 82, names=SVT)


class PostedIrte(Bits128):
    """Interrupt remapping table entry for a posted interrupt, 9.11."""

    P = Field(0)
    FPD = Field(1)
    AVAIL = Ignored(11, 8)
    URG = Field(14)
    IM = Field(15)
    V = Field(23, 16)
    PDA = Address(127, 96, 63, 38, low=6)
    SID = Field(79, 64)
    SQ = Field(81, 80)
    SVT = Field(83, 82, names=SVT)


class PostedDescriptor(Bits512):
    """Posted interrupt descriptor, 9.12."""

    PIR = Field(255, 0)
    ON = Field(256)
    SN = Field(257)
    NV = Field(279, 272)
    NDST = Field(319, 288)
    AVAIL = Ignored(511, 320)


# --- Invalidation descriptors, section 6.5.2; 256-bit ones have two zero words more -----------------------------------


class ContextInvalidate(Bits128):
    """Context cache invalidate descriptor, type 1."""

    TYPE = Field(11, 9, 3, 0)
    G = Field(5, 4, names=CIRG)
    DID = Field(31, 16)
    SID = Field(47, 32)
    FM = Field(49, 48)


class IotlbInvalidate(Bits128):
    """IOTLB invalidate descriptor, type 2."""

    TYPE = Field(11, 9, 3, 0)
    G = Field(5, 4, names=IIRG)
    DW = Field(6)
    DR = Field(7)
    DID = Field(31, 16)
    AM = Field(69, 64)
    IH = Field(70)
    ADDR = Address(127, 76)


class DeviceTlbInvalidate(Bits128):
    """Device-TLB invalidate descriptor, type 3."""

    TYPE = Field(11, 9, 3, 0)
    PFSID = Field(63, 52, 15, 12)
    MIP = Field(20, 16)
    SID = Field(47, 32)
    S = Field(64)
    ADDR = Address(127, 76)


class InterruptEntryInvalidate(Bits128):
    """Interrupt entry cache invalidate descriptor, type 4."""

    TYPE = Field(11, 9, 3, 0)
    G = Field(4)  # 0: all, 1: by index
    IM = Field(31, 27)
    IIDX = Field(47, 32)


class Wait(Bits128):
    """Invalidation wait descriptor, type 5."""

    TYPE = Field(11, 9, 3, 0)
    IF = Field(4)
    SW = Field(5)
    FN = Field(6)
    PD = Field(7)
    DATA = Field(63, 32)
    ADDR = Address(127, 66)


class PasidIotlbInvalidate(Bits128):
    """PASID-based IOTLB invalidate descriptor, type 6."""

    TYPE = Field(11, 9, 3, 0)
    G = Field(5, 4)  # 2: all of the PASID, 3: pages
    DID = Field(31, 16)
    PASID = Field(51, 32)
    AM = Field(69, 64)
    IH = Field(70)
    ADDR = Address(127, 76)


class PasidCacheInvalidate(Bits128):
    """PASID cache invalidate descriptor, type 7."""

    TYPE = Field(11, 9, 3, 0)
    G = Field(5, 4)  # 0: domain, 1: one PASID of a domain, 3: all
    DID = Field(31, 16)
    PASID = Field(51, 32)


class PasidDeviceTlbInvalidate(Bits128):
    """PASID-based device-TLB invalidate descriptor, type 8."""

    TYPE = Field(11, 9, 3, 0)
    MIP = Field(8, 4)
    PFSID = Field(63, 52, 15, 12)
    SID = Field(31, 16)
    PASID = Field(51, 32)
    G = Field(64)
    S = Field(75)
    ADDR = Address(127, 76)


class PageRequest(Bits256):
    """Page request descriptor, an entry of the page request queue."""

    TYPE = Field(7, 0)  # 1
    PP = Field(8)
    PDP = Field(9)
    RID = Field(31, 16)
    PASID = Field(51, 32)
    EXE = Field(52)
    PRIV = Field(53)
    R = Field(64)
    W = Field(65)
    LPIG = Field(66)
    PRGI = Field(75, 67)
    ADDR = Address(127, 76)
    DATA = Field(255, 128)


# --- Interrupt requests, section 5.1.2 --------------------------------------------------------------------------------


class MsiAddress(Bits64):
    """Address of a remappable interrupt message."""

    DONT_CARE = Ignored(1, 0)
    HANDLE = Field(2, 2, 19, 5)
    SHV = Field(3)
    FORMAT = Field(4)  # 1: remappable
    RANGE = Field(31, 20)  # 0xFEE


class MsiData(Bits32):
    """Data of a remappable interrupt message with SHV set; without, all of it is 0."""

    SUBHANDLE = Field(15, 0)
