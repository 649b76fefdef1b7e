"""Registers of the Non-secure programming interface (IHI 0070 clause 6.3), in the order of their offsets.

Page 1 begins 64 KiB above page 0 and holds the indexes of the event and PRI queues.
"""

from __future__ import annotations

from ...bits import Address, Bits32, Bits64, Field

PAGE1 = 0x10000
"""Offset of register page 1."""
REGISTERS_SIZE = 0x20000
"""Bytes of both register pages."""


class IDR0(Bits32, offset=0x000):
    """What is implemented: stages, formats, models."""

    RME_IMPL = Field(30)
    ST_LEVEL = Field(28, 27)
    TERM_MODEL = Field(26)
    STALL_MODEL = Field(25, 24)
    ATSRECERR = Field(23)
    TTENDIAN = Field(22, 21)
    VATOS = Field(20)
    CD2L = Field(19)
    VMID16 = Field(18)
    VMW = Field(17)
    PRI = Field(16)
    ATOS = Field(15)
    SEV = Field(14)
    MSI = Field(13)
    ASID16 = Field(12)
    NS1ATS = Field(11)
    ATS = Field(10)
    Hyp = Field(9)
    DORMHINT = Field(8)
    HTTU = Field(7, 6)
    BTM = Field(5)
    COHACC = Field(4)
    TTF = Field(3, 2)
    S1P = Field(1)
    S2P = Field(0)


class IDR1(Bits32, offset=0x004):
    """Sizes: queues and IDs, as logarithms to base 2."""

    ECMDQ = Field(31)
    TABLES_PRESET = Field(30)
    QUEUES_PRESET = Field(29)
    REL = Field(28)
    ATTR_TYPES_OVR = Field(27)
    ATTR_PERMS_OVR = Field(26)
    CMDQS = Field(25, 21)
    EVENTQS = Field(20, 16)
    PRIQS = Field(15, 11)
    SSIDSIZE = Field(10, 6)
    SIDSIZE = Field(5, 0)


class IDR2(Bits32, offset=0x008):
    """Place of the VATOS page."""

    BA_VATOS = Field(9, 0)


class IDR3(Bits32, offset=0x00C):
    """Features from SMMUv3.1 on."""

    AIE = Field(23)
    MTEPERM = Field(22)
    THE = Field(21)
    S2PO = Field(20)
    S2PI = Field(19)
    S1PI = Field(18)
    EPAN = Field(17)
    PASIDTT = Field(16)
    DPT = Field(15)
    PTWNNC = Field(14)
    E0PD = Field(13)
    BBML = Field(12, 11)
    RIL = Field(10)
    STT = Field(9)
    FWB = Field(8)
    MPAM = Field(7)
    PPS = Field(5)
    XNX = Field(4)
    PBHA = Field(3)
    HAD = Field(2)


class IDR4(Bits32, offset=0x010):
    """Implementation defined."""

    IMPDEF = Field(31, 0)


class IDR5(Bits32, offset=0x014):
    """Address sizes and granules."""

    STALL_MAX = Field(31, 16)
    VAX = Field(11, 10)
    D128 = Field(8)
    DS = Field(7)
    GRAN64K = Field(6)
    GRAN16K = Field(5)
    GRAN4K = Field(4)
    OAS = Field(2, 0)


class IIDR(Bits32, offset=0x018):
    """Who made it."""

    ProductID = Field(31, 20)
    Variant = Field(19, 16)
    Revision = Field(15, 12)
    Implementer = Field(11, 0)


class AIDR(Bits32, offset=0x01C):
    """Revision of the architecture: 0.0 is SMMUv3.0, 0.4 is SMMUv3.4."""

    ArchMajorRev = Field(7, 4)
    ArchMinorRev = Field(3, 0)


class CR0(Bits32, offset=0x020):
    """Enables of the interface and its queues."""

    DPT_WALK_EN = Field(10)
    VMW = Field(8, 6)
    ATSCHK = Field(4)
    CMDQEN = Field(3)
    EVENTQEN = Field(2)
    PRIQEN = Field(1)
    SMMUEN = Field(0)


class CR0ACK(CR0, offset=0x024):
    """CR0 as it has taken effect."""


class CR1(Bits32, offset=0x028):
    """Memory attributes of table and queue accesses."""

    TABLE_SH = Field(11, 10)
    TABLE_OC = Field(9, 8)
    TABLE_IC = Field(7, 6)
    QUEUE_SH = Field(5, 4)
    QUEUE_OC = Field(3, 2)
    QUEUE_IC = Field(1, 0)


class CR2(Bits32, offset=0x02C):
    """Behaviour of translation."""

    REC_CFG_ATS = Field(3)
    PTM = Field(2)
    RECINVSID = Field(1)
    E2H = Field(0)


class STATUSR(Bits32, offset=0x040):
    """Status."""

    DORMANT = Field(0)


class GBPA(Bits32, offset=0x044):
    """What happens to transactions while SMMUEN is 0."""

    Update = Field(31)
    ABORT = Field(20)
    INSTCFG = Field(19, 18)
    PRIVCFG = Field(17, 16)
    SHCFG = Field(13, 12)
    ALLOCCFG = Field(11, 8)
    MTCFG = Field(4)
    MemAttr = Field(3, 0)


class AGBPA(Bits32, offset=0x048):
    """Implementation defined attributes of bypass."""

    IMPDEF = Field(31, 0)


class IRQ_CTRL(Bits32, offset=0x050):  # noqa: N801  # register names are the manual's
    """Interrupt enables."""

    EVENTQ_IRQEN = Field(2)
    PRIQ_IRQEN = Field(1)
    GERROR_IRQEN = Field(0)


class IRQ_CTRLACK(IRQ_CTRL, offset=0x054):  # noqa: N801
    """Interrupt enables as they have taken effect."""


class GERROR(Bits32, offset=0x060):
    """Global errors: one is active while its bit differs from GERRORN."""

    DPT_ERR = Field(10)
    CMDQP_ERR = Field(9)
    SFM_ERR = Field(8)
    MSI_GERROR_ABT_ERR = Field(7)
    MSI_PRIQ_ABT_ERR = Field(6)
    MSI_EVENTQ_ABT_ERR = Field(5)
    MSI_CMDQ_ABT_ERR = Field(4)
    PRIQ_ABT_ERR = Field(3)
    EVENTQ_ABT_ERR = Field(2)
    CMDQ_ERR = Field(0)


class GERRORN(GERROR, offset=0x064):
    """Global errors that software has acknowledged."""


class GERROR_IRQ_CFG0(Bits64, offset=0x068):  # noqa: N801
    """Address of the message for a global error."""

    ADDR = Address(55, 2)


class GERROR_IRQ_CFG1(Bits32, offset=0x070):  # noqa: N801
    """Data of the message."""

    DATA = Field(31, 0)


class GERROR_IRQ_CFG2(Bits32, offset=0x074):  # noqa: N801
    """Attributes of the message."""

    SH = Field(5, 4)
    MemAttr = Field(3, 0)


class STRTAB_BASE(Bits64, offset=0x080):  # noqa: N801
    """Place of the stream table."""

    RA = Field(62)
    ADDR = Address(55, 6)


class STRTAB_BASE_CFG(Bits32, offset=0x088):  # noqa: N801
    """Shape of the stream table."""

    FMT = Field(17, 16)
    SPLIT = Field(10, 6)
    LOG2SIZE = Field(5, 0)


class CMDQ_BASE(Bits64, offset=0x090):  # noqa: N801
    """Place and size of the command queue."""

    RA = Field(62)
    ADDR = Address(55, 5)
    LOG2SIZE = Field(4, 0)


class CMDQ_PROD(Bits32, offset=0x098):  # noqa: N801
    """Where software writes next."""

    WR = Field(19, 0)


class CMDQ_CONS(Bits32, offset=0x09C):  # noqa: N801
    """Where hardware reads next, and why it stopped."""

    ERR = Field(30, 24)
    RD = Field(19, 0)


class EVENTQ_BASE(Bits64, offset=0x0A0):  # noqa: N801
    """Place and size of the event queue."""

    WA = Field(62)
    ADDR = Address(55, 5)
    LOG2SIZE = Field(4, 0)


class EVENTQ_IRQ_CFG0(GERROR_IRQ_CFG0, offset=0x0B0):  # noqa: N801
    """Address of the message for a non-empty event queue."""


class EVENTQ_IRQ_CFG1(GERROR_IRQ_CFG1, offset=0x0B8):  # noqa: N801
    """Data of the message."""


class EVENTQ_IRQ_CFG2(GERROR_IRQ_CFG2, offset=0x0BC):  # noqa: N801
    """Attributes of the message."""


class PRIQ_BASE(EVENTQ_BASE, offset=0x0C0):  # noqa: N801
    """Place and size of the PRI queue."""


class PRIQ_IRQ_CFG0(GERROR_IRQ_CFG0, offset=0x0D0):  # noqa: N801
    """Address of the message for the PRI queue."""


class PRIQ_IRQ_CFG1(GERROR_IRQ_CFG1, offset=0x0D8):  # noqa: N801
    """Data of the message."""


class PRIQ_IRQ_CFG2(GERROR_IRQ_CFG2, offset=0x0DC):  # noqa: N801
    """Attributes of the message."""

    LO = Field(31)


class EVENTQ_PROD(Bits32, offset=0x100A8):  # noqa: N801
    """Where hardware writes next; OVFLG differs from OVACKFLG while an overflow is not acknowledged."""

    OVFLG = Field(31)
    WR = Field(19, 0)


class EVENTQ_CONS(Bits32, offset=0x100AC):  # noqa: N801
    """Where software reads next."""

    OVACKFLG = Field(31)
    RD = Field(19, 0)


class PRIQ_PROD(EVENTQ_PROD, offset=0x100C8):  # noqa: N801
    """Where hardware writes the next page request."""


class PRIQ_CONS(EVENTQ_CONS, offset=0x100CC):  # noqa: N801
    """Where software reads the next page request."""
