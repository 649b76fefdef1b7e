"""Memory-mapped registers, chapter 5 (section numbers are those of RISC-V IOMMU 1.0), in 4 KiB from the base."""

from __future__ import annotations

from ...bits import Address, Bits32, Bits64, Field, Ignored
from ..names import DirectoryMode, Signalling

REGISTERS_SIZE = 0x1000


class CAPABILITIES(Bits64, offset=0x000):
    """IOMMU capabilities (5.3); NL, S and Svrsw60t59b belong to extensions that came after 1.0."""

    version = Field(7, 0)  # 0x10: 1.0
    Sv32 = Field(8)
    Sv39 = Field(9)
    Sv48 = Field(10)
    Sv57 = Field(11)
    Svrsw60t59b = Field(14)
    Svpbmt = Field(15)
    Sv32x4 = Field(16)
    Sv39x4 = Field(17)
    Sv48x4 = Field(18)
    Sv57x4 = Field(19)
    AMO_MRIF = Field(21)
    MSI_FLAT = Field(22)
    MSI_MRIF = Field(23)
    AMO_HWAD = Field(24)
    ATS = Field(25)
    T2GPA = Field(26)
    END = Field(27)
    IGS = Field(29, 28, names=Signalling)
    HPM = Field(30)
    DBG = Field(31)
    PAS = Field(37, 32)  # bits of a physical address
    PD8 = Field(38)
    PD17 = Field(39)
    PD20 = Field(40)
    QOSID = Field(41)
    NL = Field(42)
    S = Field(43)
    custom = Ignored(63, 56)


class FCTL(Bits32, offset=0x008):
    """Features-control register (5.4)."""

    BE = Field(0)
    WSI = Field(1)
    GXL = Field(2)
    custom = Ignored(31, 16)


class DDTP(Bits64, offset=0x010):
    """Device-directory-table pointer (5.5)."""

    iommu_mode = Field(3, 0, names=DirectoryMode)
    busy = Field(4)
    PPN = Address(53, 10, low=12)


class CQB(Bits64, offset=0x018):
    """Command-queue base (5.6)."""

    LOG2SZ = Field(4, 0)  # log2 of the entries, minus 1
    PPN = Address(53, 10, low=12)


class CQH(Bits32, offset=0x020):
    """Command-queue head (5.7): the next command that the IOMMU fetches; read only."""

    index = Field(31, 0)


class CQT(Bits32, offset=0x024):
    """Command-queue tail (5.8)."""

    index = Field(31, 0)


class FQB(Bits64, offset=0x028):
    """Fault-queue base (5.9)."""

    LOG2SZ = Field(4, 0)
    PPN = Address(53, 10, low=12)


class FQH(Bits32, offset=0x030):
    """Fault-queue head (5.10)."""

    index = Field(31, 0)


class FQT(Bits32, offset=0x034):
    """Fault-queue tail (5.11): read only."""

    index = Field(31, 0)


class PQB(Bits64, offset=0x038):
    """Page-request-queue base (5.12)."""

    LOG2SZ = Field(4, 0)
    PPN = Address(53, 10, low=12)


class PQH(Bits32, offset=0x040):
    """Page-request-queue head (5.13)."""

    index = Field(31, 0)


class PQT(Bits32, offset=0x044):
    """Page-request-queue tail (5.14): read only."""

    index = Field(31, 0)


class CQCSR(Bits32, offset=0x048):
    """Command-queue control and status (5.15)."""

    cqen = Field(0)
    cie = Field(1)
    cqmf = Field(8)
    cmd_to = Field(9)
    cmd_ill = Field(10)
    fence_w_ip = Field(11)
    cqon = Field(16)
    busy = Field(17)
    custom = Ignored(31, 28)


class FQCSR(Bits32, offset=0x04C):
    """Fault-queue control and status (5.16)."""

    fqen = Field(0)
    fie = Field(1)
    fqmf = Field(8)
    fqof = Field(9)
    fqon = Field(16)
    busy = Field(17)
    custom = Ignored(31, 28)


class PQCSR(Bits32, offset=0x050):
    """Page-request-queue control and status (5.17)."""

    pqen = Field(0)
    pie = Field(1)
    pqmf = Field(8)
    pqof = Field(9)
    pqon = Field(16)
    busy = Field(17)
    custom = Ignored(31, 28)


class IPSR(Bits32, offset=0x054):
    """Interrupt pending status (5.18)."""

    cip = Field(0)
    fip = Field(1)
    pmip = Field(2)
    pip = Field(3)
    custom = Ignored(15, 8)


class TR_REQ_IOVA(Bits64, offset=0x258):  # noqa: N801 - the specification's name
    """Translation-request IOVA (5.24)."""

    vpn = Address(63, 12)


class TR_REQ_CTL(Bits64, offset=0x260):  # noqa: N801
    """Translation-request control (5.25)."""

    go = Field(0)
    Priv = Field(1)
    Exe = Field(2)
    NW = Field(3)
    PID = Field(31, 12)
    PV = Field(32)
    custom = Ignored(39, 36)
    DID = Field(63, 40)


class TR_RESPONSE(Bits64, offset=0x268):  # noqa: N801
    """Translation-response (5.26): read only."""

    fault = Field(0)
    PBMT = Field(8, 7)
    S = Field(9)
    PPN = Address(53, 10, low=12)
    custom = Ignored(63, 60)


class IOMMU_QOSID(Bits32, offset=0x270):  # noqa: N801
    """QoS IDs of the IOMMU's own requests."""

    RCID = Field(11, 0)
    MCID = Field(27, 16)


class ICVEC(Bits64, offset=0x2F8):
    """Interrupt-cause-to-vector register (5.27)."""

    civ = Field(3, 0)
    fiv = Field(7, 4)
    pmiv = Field(11, 8)
    piv = Field(15, 12)
    custom = Ignored(63, 32)


class MSI_ADDR(Bits64, offset=0x300):  # noqa: N801
    """Message address of vector 0 (5.28); that of vector n is 16 n further, and so on for data and control."""

    ADDR = Address(55, 2)


class MSI_DATA(Bits32, offset=0x308):  # noqa: N801
    """Message data of vector 0 (5.28)."""

    data = Field(31, 0)


class MSI_VEC_CTL(Bits32, offset=0x30C):  # noqa: N801
    """Vector control of vector 0 (5.28)."""

    M = Field(0)


MSI_ENTRY_SIZE = 16
