"""Records of the RISC-V IOMMU (specification 1.0), and the words for their numbers.

Section 3.2 (fault/event queue) and 3.3 (page-request queue). Structures are as they lie in memory with fctl.BE clear.
"""

from __future__ import annotations

from ...iommu.bits import Address, Bits128, Bits256, Field, Ignored
from ..fault import Access


class FaultRecord(Bits256):
    """An entry of the fault queue."""

    CAUSE = Field(11, 0)
    PID = Field(31, 12)
    PV = Field(32)
    PRIV = Field(33)
    TTYP = Field(39, 34)
    DID = Field(63, 40)
    custom = Ignored(95, 64)
    iotval = Field(191, 128)
    iotval2 = Field(255, 192)


class PageRequest(Bits128):
    """An entry of the page-request queue."""

    PID = Field(31, 12)
    PV = Field(32)
    PRIV = Field(33)
    EXEC = Field(34)
    DID = Field(63, 40)
    R = Field(64)
    W = Field(65)
    L = Field(66)
    PRGI = Field(75, 67)
    ADDR = Address(127, 76)


CAUSES: dict[int, str] = {
    1: "the memory cannot be fetched from",
    4: "the address of a read is misaligned",
    5: "the memory cannot be read",
    6: "the address of a write is misaligned",
    7: "the memory cannot be written",
    12: "the address is not mapped, or not for execution",
    13: "the address is not mapped, or not for reading",
    15: "the address is not mapped, or not for writing",
    20: "the guest's address is not mapped, or not for execution",
    21: "the guest's address is not mapped, or not for reading",
    23: "the guest's address is not mapped, or not for writing",
    256: "all inbound transactions are disallowed",
    257: "a device directory entry could not be read",
    258: "the device directory entry is not valid",
    259: "the device directory entry is misconfigured",
    260: "the type of transaction is disallowed",
    261: "an MSI page table entry could not be read",
    262: "the MSI page table entry is not valid",
    263: "the MSI page table entry is misconfigured",
    264: "a memory-resident interrupt file could not be accessed",
    265: "a process directory entry could not be read",
    266: "the process directory entry is not valid",
    267: "the process directory entry is misconfigured",
    268: "data of the device directory is corrupt",
    269: "data of the process directory is corrupt",
    270: "data of the MSI page table is corrupt",
    271: "data of a memory-resident interrupt file is corrupt",
    272: "error on an internal data path",
    273: "the unit's own interrupt could not be written",
    274: "data of a page table is corrupt",
}
"""What each cause means (3.2, table of fault record CAUSE field encodings)."""

CAUSE_ACCESS: dict[int, Access] = {
    **dict.fromkeys((1, 12, 20), "execute"),
    **dict.fromkeys((4, 5, 13, 21), "read"),
    **dict.fromkeys((6, 7, 15, 23), "write"),
}
"""What was tried, by the causes that say so: for sources that do not tell the transaction type."""

FIRST_STAGE = frozenset({12, 13, 15})
SECOND_STAGE = frozenset({20, 21, 23})
"""Causes that tell the stage; those of the second have the guest physical address in iotval2."""

OF_THE_UNIT = frozenset({273})
"""Causes of which no device's transaction is the reason, so that iotval is no address of one."""

FIRST_CUSTOM_CAUSE = 2048
TTYPS: dict[int, str] = {
    1: "untranslated read for execute",
    2: "untranslated read",
    3: "untranslated write or AMO",
    5: "translated read for execute",
    6: "translated read",
    7: "translated write or AMO",
    8: "ATS translation request",
    9: "message request",
}
"""Transaction types."""


def cause_words(cause: int) -> str:
    """Return what a cause means, as a clause."""
    known = CAUSES.get(cause)
    if known is not None:
        return known
    return "cause that the implementation defines" if cause >= FIRST_CUSTOM_CAUSE else "reserved cause"
