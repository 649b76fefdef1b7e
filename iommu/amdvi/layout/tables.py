"""Structures in memory: device table, host page tables, interrupt remapping tables (section 2.2)."""

from __future__ import annotations

from ...bits import Address, Bits32, Bits64, Bits128, Bits256, Field
from ...bits import Ignored as Unused
from ..names import IntCtl, IntType


class DTE(Bits256):
    """Device table entry, 2.2.2.1: one a device ID."""

    V = Field(0)
    TV = Field(1)
    HAD = Field(8, 7)
    Mode = Field(11, 9)  # levels of the host page tables, 0: none
    Root = Address(51, 12)
    PPR = Field(52)
    GPRP = Field(53)
    GIoV = Field(54)
    GV = Field(55)
    GLX = Field(57, 56)
    IR = Field(61)
    IW = Field(62)
    DomainID = Field(79, 64)
    I = Field(96)  # noqa: E741  # the manual's spelling
    SE = Field(97)
    SA = Field(98)
    IoCtl = Field(100, 99)
    Cache = Field(101)
    SD = Field(102)
    EX = Field(103)
    SysMgt = Field(105, 104)
    SATS = Field(106)
    GCR3 = Address(127, 107, 95, 80, 60, 58, low=12)
    IV = Field(128)
    IntTabLen = Field(132, 129)  # 2^n entries, up to 11
    IG = Field(133)
    IntTabRoot = Address(179, 134, low=6)
    GuestPagingMode = Field(183, 182)
    INITPass = Field(184)
    EIntPass = Field(185)
    NMIPass = Field(186)
    HPTMode = Field(187)
    IntCtl = Field(189, 188, names=IntCtl)
    Lint0Pass = Field(190)
    Lint1Pass = Field(191)
    vImuEn = Field(207)  # noqa: N815
    GDeviceID = Field(223, 208)
    GuestID = Field(239, 224)
    AttrV = Field(246)
    Mode0FC = Field(247)
    SnoopAttribute = Field(255, 248)


class PTE(Bits64):
    """Host page-table entry that maps a page, 2.2.3: NextLevel 0 of the level's own size, 7 of the size it encodes."""

    PR = Field(0)
    UNUSED_LOW = Unused(4, 1)
    A = Field(5)
    D = Field(6)
    UNUSED = Unused(8, 7)
    NextLevel = Field(11, 9)
    Address = Address(51, 12)
    U = Field(59)
    FC = Field(60)
    IR = Field(61)
    IW = Field(62)
    UNUSED_HIGH = Unused(63)


class TableEntry(Bits64):
    """Host page-table entry that points to a table of level NextLevel, 2.2.3."""

    PR = Field(0)
    UNUSED_LOW = Unused(4, 1)
    A = Field(5)
    UNUSED = Unused(8, 6)
    NextLevel = Field(11, 9)
    Address = Address(51, 12)
    IR = Field(61)
    IW = Field(62)
    UNUSED_HIGH = Unused(63)


class IRTE(Bits32):
    """Interrupt remapping table entry of 32 bits, 2.2.5."""

    RemapEn = Field(0)
    SupIOPF = Field(1)
    IntType = Field(4, 2, names=IntType)
    RqEoi = Field(5)
    DM = Field(6)
    GuestMode = Field(7)
    Destination = Field(15, 8)
    Vector = Field(23, 16)


class IRTE128(Bits128):
    """Interrupt remapping table entry of 128 bits for an interrupt of the host, 2.2.5: the format with Control.GAEn."""

    RemapEn = Field(0)
    SupIOPF = Field(1)
    IntType = Field(4, 2, names=IntType)
    RqEoi = Field(5)
    DM = Field(6)
    GuestMode = Field(7)
    Destination = Field(127, 120, 31, 8)
    Vector = Field(71, 64)


class MsiAddress(Bits64):
    """Address of an interrupt message as a device sends it."""

    DONT_CARE = Unused(1, 0)
    DM = Field(2)
    RH = Field(3)
    Destination = Field(19, 12)
    RANGE = Field(31, 20)  # 0xFEE


class MsiData(Bits32):
    """Data of an interrupt message; where it is remapped, Index takes the place of vector and message type."""

    Vector = Field(7, 0)
    MT = Field(10, 8)
    Level = Field(14)
    TM = Field(15)
