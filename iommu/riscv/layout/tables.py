"""Structures in memory: device and process directories, page tables, MSI page tables (chapter 2; privileged 10.3 on).

Bit n of a structure is bit n mod 64 of its doubleword n div 64. They are as they lie in memory with fctl.BE and SBE
clear.
"""

from __future__ import annotations

from ...bits import Address, Bits64, Bits128, Bits256, Field, Ignored
from ..names import MsiMode, MsiPteMode


class DirectoryEntry(Bits64):
    """Non-leaf entry of a device directory (2.1.2) or process directory (2.2.1)."""

    V = Field(0)
    PPN = Address(53, 10, low=12)


class BaseDC(Bits256):
    """Device context in base format (2.1.3): capabilities.MSI_FLAT clear.

    `fsc` is iosatp with PDTV clear, pdtp with PDTV set; `fsc_MODE` and `fsc_PPN` are at the same place in both.
    """

    V = Field(0)
    EN_ATS = Field(1)
    EN_PRI = Field(2)
    T2GPA = Field(3)
    DTF = Field(4)
    PDTV = Field(5)
    PRPR = Field(6)
    GADE = Field(7)
    SADE = Field(8)
    DPE = Field(9)
    SBE = Field(10)
    SXL = Field(11)
    custom = Ignored(31, 24)
    iohgatp_PPN = Address(107, 64, low=12)
    GSCID = Field(123, 108)
    iohgatp_MODE = Field(127, 124)
    PSCID = Field(159, 140)
    RCID = Field(179, 168)
    MCID = Field(191, 180)
    fsc_PPN = Address(235, 192, low=12)
    fsc_MODE = Field(255, 252)


class DC(BaseDC, width=512):
    """Device context in extended format (2.1.3): capabilities.MSI_FLAT set."""

    msiptp_PPN = Address(299, 256, low=12)
    msiptp_MODE = Field(319, 316, names=MsiMode)
    msi_addr_mask = Field(371, 320)
    msi_addr_pattern = Field(435, 384)


class PC(Bits128):
    """Process context (2.2.2)."""

    V = Field(0)
    ENS = Field(1)
    SUM = Field(2)
    PSCID = Field(31, 12)
    fsc_PPN = Address(107, 64, low=12)
    fsc_MODE = Field(127, 124)


class PageTableEntry(Bits64):
    """Entry of an Sv39, Sv48 or Sv57 table, and of their x4 forms (privileged specification, Svnapot, Svpbmt)."""

    V = Field(0)
    R = Field(1)
    W = Field(2)
    X = Field(3)
    U = Field(4)
    G = Field(5)
    A = Field(6)
    D = Field(7)
    RSW = Ignored(9, 8)
    PPN = Address(53, 10, low=12)
    PBMT = Field(62, 61)
    N = Field(63)


class MsiPte(Bits128):
    """MSI page table entry in basic translate mode (AIA 8.5.1)."""

    V = Field(0)
    M = Field(2, 1, names=MsiPteMode)
    PPN = Address(53, 10, low=12)
    C = Field(63)


class MsiPteMrif(Bits128):
    """MSI page table entry in MRIF mode (AIA 8.5.2)."""

    V = Field(0)
    M = Field(2, 1, names=MsiPteMode)
    MRIF_Address = Address(53, 7, low=9)
    C = Field(63)
    NID = Field(124, 124, 73, 64)
    NPPN = Address(117, 74, low=12)
