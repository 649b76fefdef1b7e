"""Numbers of the RISC-V IOMMU and the words of the specification for them."""

from __future__ import annotations

from enum import IntEnum


class DirectoryMode(IntEnum):
    """ddtp.iommu_mode."""

    OFF = 0
    BARE = 1
    LVL1 = 2
    LVL2 = 3
    LVL3 = 4


class SecondStageMode(IntEnum):
    """iohgatp.MODE with fctl.GXL clear."""

    BARE = 0
    SV39X4 = 8
    SV48X4 = 9
    SV57X4 = 10


class FirstStageMode(IntEnum):
    """iosatp.MODE with SXL clear."""

    BARE = 0
    SV39 = 8
    SV48 = 9
    SV57 = 10


class ProcessMode(IntEnum):
    """pdtp.MODE."""

    BARE = 0
    PD8 = 1
    PD17 = 2
    PD20 = 3


class MsiMode(IntEnum):
    """msiptp.MODE."""

    OFF = 0
    FLAT = 1


class MsiPteMode(IntEnum):
    """M of an MSI page table entry."""

    MRIF = 1
    BASIC = 3


class Signalling(IntEnum):
    """capabilities.IGS: how the IOMMU raises its own interrupts."""

    MSI = 0
    WSI = 1
    BOTH = 2


class Opcode(IntEnum):
    """Opcodes of commands."""

    IOTINVAL = 1
    IOFENCE = 2
    IODIR = 3
    ATS = 4


class Func(IntEnum):
    """Opcode and func3 of a command, as they lie side by side in bits 9:0."""

    IOTINVAL_VMA = Opcode.IOTINVAL
    IOTINVAL_GVMA = Opcode.IOTINVAL | 1 << 7
    IOFENCE_C = Opcode.IOFENCE
    IODIR_INVAL_DDT = Opcode.IODIR
    IODIR_INVAL_PDT = Opcode.IODIR | 1 << 7
    ATS_INVAL = Opcode.ATS
    ATS_PRGR = Opcode.ATS | 1 << 7


class Cause(IntEnum):
    """CAUSE of a fault record (3.2)."""

    INSTRUCTION_ACCESS_FAULT = 1
    READ_ADDRESS_MISALIGNED = 4
    READ_ACCESS_FAULT = 5
    WRITE_ADDRESS_MISALIGNED = 6
    WRITE_ACCESS_FAULT = 7
    INSTRUCTION_PAGE_FAULT = 12
    READ_PAGE_FAULT = 13
    WRITE_PAGE_FAULT = 15
    INSTRUCTION_GUEST_PAGE_FAULT = 20
    READ_GUEST_PAGE_FAULT = 21
    WRITE_GUEST_PAGE_FAULT = 23
    ALL_DISALLOWED = 256
    DDT_LOAD_FAULT = 257
    DDT_INVALID = 258
    DDT_MISCONFIGURED = 259
    TYPE_DISALLOWED = 260
    MSI_LOAD_FAULT = 261
    MSI_INVALID = 262
    MSI_MISCONFIGURED = 263
    MRIF_ACCESS_FAULT = 264
    PDT_LOAD_FAULT = 265
    PDT_INVALID = 266
    PDT_MISCONFIGURED = 267
    DDT_CORRUPTION = 268
    PDT_CORRUPTION = 269
    MSI_CORRUPTION = 270
    MRIF_CORRUPTION = 271
    INTERNAL_ERROR = 272
    MSI_WRITE_FAULT = 273
    TABLE_CORRUPTION = 274


class TransactionType(IntEnum):
    """TTYP of a fault record (3.2)."""

    NONE = 0
    UNTRANSLATED_EXECUTE = 1
    UNTRANSLATED_READ = 2
    UNTRANSLATED_WRITE = 3
    TRANSLATED_EXECUTE = 5
    TRANSLATED_READ = 6
    TRANSLATED_WRITE = 7
    ATS_REQUEST = 8
    MESSAGE = 9


CAUSES: dict[int, str] = {
    Cause.INSTRUCTION_ACCESS_FAULT: "the memory cannot be fetched from",
    Cause.READ_ADDRESS_MISALIGNED: "the address of a read is misaligned",
    Cause.READ_ACCESS_FAULT: "the memory cannot be read",
    Cause.WRITE_ADDRESS_MISALIGNED: "the address of a write is misaligned",
    Cause.WRITE_ACCESS_FAULT: "the memory cannot be written",
    Cause.INSTRUCTION_PAGE_FAULT: "the address is not mapped, or not for execution",
    Cause.READ_PAGE_FAULT: "the address is not mapped, or not for reading",
    Cause.WRITE_PAGE_FAULT: "the address is not mapped, or not for writing",
    Cause.INSTRUCTION_GUEST_PAGE_FAULT: "the guest's address is not mapped, or not for execution",
    Cause.READ_GUEST_PAGE_FAULT: "the guest's address is not mapped, or not for reading",
    Cause.WRITE_GUEST_PAGE_FAULT: "the guest's address is not mapped, or not for writing",
    Cause.ALL_DISALLOWED: "all inbound transactions are disallowed",
    Cause.DDT_LOAD_FAULT: "a device directory entry could not be read",
    Cause.DDT_INVALID: "the device directory entry is not valid",
    Cause.DDT_MISCONFIGURED: "the device directory entry is misconfigured",
    Cause.TYPE_DISALLOWED: "the type of transaction is disallowed",
    Cause.MSI_LOAD_FAULT: "an MSI page table entry could not be read",
    Cause.MSI_INVALID: "the MSI page table entry is not valid",
    Cause.MSI_MISCONFIGURED: "the MSI page table entry is misconfigured",
    Cause.MRIF_ACCESS_FAULT: "a memory-resident interrupt file could not be accessed",
    Cause.PDT_LOAD_FAULT: "a process directory entry could not be read",
    Cause.PDT_INVALID: "the process directory entry is not valid",
    Cause.PDT_MISCONFIGURED: "the process directory entry is misconfigured",
    Cause.DDT_CORRUPTION: "data of the device directory is corrupt",
    Cause.PDT_CORRUPTION: "data of the process directory is corrupt",
    Cause.MSI_CORRUPTION: "data of the MSI page table is corrupt",
    Cause.MRIF_CORRUPTION: "data of a memory-resident interrupt file is corrupt",
    Cause.INTERNAL_ERROR: "error on an internal data path",
    Cause.MSI_WRITE_FAULT: "the unit's own interrupt could not be written",
    Cause.TABLE_CORRUPTION: "data of a page table is corrupt",
}
"""What each cause means (3.2, table of fault record CAUSE field encodings)."""

TTYPS: dict[int, str] = {
    TransactionType.UNTRANSLATED_EXECUTE: "untranslated read for execute",
    TransactionType.UNTRANSLATED_READ: "untranslated read",
    TransactionType.UNTRANSLATED_WRITE: "untranslated write or AMO",
    TransactionType.TRANSLATED_EXECUTE: "translated read for execute",
    TransactionType.TRANSLATED_READ: "translated read",
    TransactionType.TRANSLATED_WRITE: "translated write or AMO",
    TransactionType.ATS_REQUEST: "ATS translation request",
    TransactionType.MESSAGE: "message request",
}
"""Transaction types."""

FIRST_STAGE_CAUSES = frozenset(
    (Cause.INSTRUCTION_PAGE_FAULT, Cause.READ_PAGE_FAULT, Cause.WRITE_PAGE_FAULT),
)
SECOND_STAGE_CAUSES = frozenset(
    (Cause.INSTRUCTION_GUEST_PAGE_FAULT, Cause.READ_GUEST_PAGE_FAULT, Cause.WRITE_GUEST_PAGE_FAULT),
)
"""Causes that tell the stage; those of the second have the guest physical address in iotval2."""

FIRST_CUSTOM_CAUSE = 2048


def cause_words(cause: int) -> str:
    """Return what a cause means, as a clause."""
    known = CAUSES.get(cause)
    if known is not None:
        return known
    return "cause that the implementation defines" if cause >= FIRST_CUSTOM_CAUSE else "reserved cause"
