"""Words for the numbers that kernel logs print of IOMMUs.

Sources: the AMD I/O Virtualization Technology Specification 48882 (2.5, event log), the Arm SMMUv2 specification
IHI 0062 (FSR, sGFSR, FSYNR0, sGFSYNR0), the RISC-V IOMMU specification (table of CAUSE), IHI 0070 6.3.17
(SMMU_GERROR), the virtio specification 5.13.6.4 (fault reasons), and the drivers of Linux.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

AMD_EVENTS: dict[str, tuple[int | None, str]] = {
    "ILLEGAL_DEV_TABLE_ENTRY": (0x1, "the device table entry is invalid"),
    "IO_PAGE_FAULT": (0x2, ""),
    "DEV_TAB_HARDWARE_ERROR": (0x3, "the device table could not be read"),
    "PAGE_TAB_HARDWARE_ERROR": (0x4, "a page table could not be read"),
    "ILLEGAL_COMMAND_ERROR": (0x5, "a command is invalid; the unit stopped taking commands"),
    "COMMAND_HARDWARE_ERROR": (0x6, "a command could not be read; the unit stopped taking commands"),
    "IOTLB_INV_TIMEOUT": (0x7, "the device did not answer an invalidation of its translations in time"),
    "INVALID_DEVICE_REQUEST": (0x8, "the device may not make such a request"),
    "INVALID_PPR_REQUEST": (0x9, "the page request is invalid"),
    "RMP_PAGE_FAULT": (0xD, "the reverse map does not allow the access"),
    "RMP_HW_ERROR": (0xE, "the reverse map could not be read"),
    "UNKNOWN": (None, "an event that the kernel has no name for"),
    "Device not attached to domain properly": (None, "the device is not attached to a domain"),
    "Request ignored due to GN=0": (None, "a page request without a PASID was ignored"),
    "Invalid request format": (None, "the page request is invalid"),
}
"""Number of each event, and what it means; the meaning of a page fault is in its flags."""

AMD_PHYSICAL = {
    "DEV_TAB_HARDWARE_ERROR": "entry at",
    "PAGE_TAB_HARDWARE_ERROR": "entry at",
    "ILLEGAL_COMMAND_ERROR": "command at",
    "COMMAND_HARDWARE_ERROR": "command at",
    "IOTLB_INV_TIMEOUT": "command at",
    "RMP_HW_ERROR": "physical address",
}
"""Events whose address is none that a device asked for, and what it is."""

AMD_HARDWARE = {1: "master abort", 2: "target abort", 3: "data error"}
"""Flag bits 10:9 of hardware errors."""

AMD_PAGE_REQUESTS = frozenset({"INVALID_PPR_REQUEST", "Request ignored due to GN=0", "Invalid request format"})
"""What is about page requests, whose flags are others."""

AMD_COMMANDS = frozenset({"ILLEGAL_COMMAND_ERROR", "COMMAND_HARDWARE_ERROR"})
"""Events of which no device is the cause."""

AMD_HAS_TYPE = ("DEV_TAB_HARDWARE_ERROR", "PAGE_TAB_HARDWARE_ERROR", "COMMAND_HARDWARE_ERROR")


class AmdFlag:
    """Bits of the flags that Linux and Xen print."""

    GN = 1 << 0
    NX = 1 << 1
    US = 1 << 2
    I = 1 << 3  # noqa: E741 - the manual's name
    PR = 1 << 4
    RW = 1 << 5
    PE = 1 << 6
    RZ = 1 << 7
    TR = 1 << 8


SMMUV2_CONTEXT: tuple[tuple[int, str, str], ...] = (
    (1 << 1, "TF", "the address is not mapped"),
    (1 << 2, "AFF", "the access flag is clear"),
    (1 << 3, "PF", "no permission"),
    (1 << 4, "EF", "an external abort during translation"),
    (1 << 5, "TLBMCF", "overlapping translations are cached"),
    (1 << 6, "TLBLKF", "a locked translation is in the way"),
    (1 << 7, "ASF", "an address is too large"),
    (1 << 8, "UUT", "transaction of a type that the SMMU does not support"),
)
"""Bits of FSR: mask, name, meaning."""

SMMUV2_GLOBAL: tuple[tuple[int, str, str], ...] = (
    (1 << 0, "ICF", "the stream has no valid context"),
    (1 << 1, "USF", "no stream mapping matches the stream ID"),
    (1 << 2, "SMCF", "several stream mappings match the stream ID"),
    (1 << 3, "UCBF", "the stream is mapped to a context bank that does not exist"),
    (1 << 4, "UCIF", "a context bank has an interrupt that does not exist"),
    (1 << 5, "CAF", "an access to the SMMU's own registers that is not allowed"),
    (1 << 6, "EF", "an external abort"),
    (1 << 7, "PF", "no permission for a secure or a global resource"),
    (1 << 8, "UUT", "transaction of a type that the SMMU does not support"),
)
"""Bits of sGFSR: mask, name, meaning."""

SS, MULTI = 1 << 30, 1 << 31
"""FSR: the transaction is stalled; more faults came than could be recorded."""


class Cause(NamedTuple):
    """What a CAUSE of the RISC-V IOMMU means: words, the access, and the stage that failed."""

    meaning: str
    access: str = ""
    stage: int | None = None


RISCV_CAUSES: dict[int, Cause] = {
    1: Cause("the memory cannot be fetched from", "execute"),
    4: Cause("the address is misaligned", "read"),
    5: Cause("the memory cannot be read", "read"),
    6: Cause("the address is misaligned", "write"),
    7: Cause("the memory cannot be written", "write"),
    12: Cause("the address is not mapped, or not for execution", "execute", 1),
    13: Cause("the address is not mapped, or not for reading", "read", 1),
    15: Cause("the address is not mapped, or not for writing", "write", 1),
    20: Cause("the guest's address is not mapped, or not for execution", "execute", 2),
    21: Cause("the guest's address is not mapped, or not for reading", "read", 2),
    23: Cause("the guest's address is not mapped, or not for writing", "write", 2),
    256: Cause("the IOMMU lets no transactions through"),
    257: Cause("the device directory cannot be read"),
    258: Cause("the device directory has no valid entry for the device"),
    259: Cause("the device directory's entry is misconfigured"),
    260: Cause("the device may not make a transaction of this type"),
    261: Cause("an MSI page table entry cannot be read"),
    262: Cause("an MSI page table entry is not valid"),
    263: Cause("an MSI page table entry is misconfigured"),
    264: Cause("a memory-resident interrupt file cannot be accessed"),
    265: Cause("the process directory cannot be read"),
    266: Cause("the process directory has no valid entry for the process"),
    267: Cause("the process directory's entry is misconfigured"),
    268: Cause("the device directory's data is corrupt"),
    269: Cause("the process directory's data is corrupt"),
    270: Cause("an MSI page table's data is corrupt"),
    271: Cause("a memory-resident interrupt file's data is corrupt"),
    272: Cause("an error of the IOMMU's internal data path"),
    273: Cause("the IOMMU could not write a message-signalled interrupt of its own"),
    274: Cause("a page table's data is corrupt"),
}

RISCV_NO_ADDRESS = frozenset({273})
"""Causes whose iotval is no address of a device."""

VIRTIO_REASONS: dict[str, tuple[int, str]] = {
    "unknown": (0, "the host gives no reason"),
    "domain": (1, "the endpoint is not attached to a domain"),
    "page": (2, "the address is not mapped, or not for such an access"),
}
"""Number of each reason, and what it means."""

GERROR: tuple[tuple[int, str], ...] = (
    (1 << 0, "CMDQ_ERR"),
    (1 << 2, "EVENTQ_ABT_ERR"),
    (1 << 3, "PRIQ_ABT_ERR"),
    (1 << 4, "MSI_CMDQ_ABT_ERR"),
    (1 << 5, "MSI_EVENTQ_ABT_ERR"),
    (1 << 6, "MSI_PRIQ_ABT_ERR"),
    (1 << 7, "MSI_GERROR_ABT_ERR"),
    (1 << 8, "SFM_ERR"),
)
"""Bits of SMMU_GERROR."""

SOC_NAMES = {
    "Page fault": "the address is not mapped, or not for such an access",
    "BUS_ERROR": "an error on the bus",
    "fault": "a fault of the kind that the code tells",
    "translation fault": "the address is not mapped",
    "Multiple TLB hits": "overlapping translations are cached",
    "Page Table Walk Abort": "a page table could not be read",
    "PTW FAULT": "a page table could not be read",
    "PAGE FAULT": "the address is not mapped",
    "MULTI-HIT FAULT": "overlapping translations are cached",
    "BUS ERROR FAULT": "an error on the bus",
    "ACCESS PROTECTION FAULT": "no permission",
    "SECURITY PROTECTION FAULT": "no permission for the security state of the access",
    "RESERVED FAULT": "a fault that is not defined",
    "READ FAULT": "no permission to read",
    "WRITE FAULT": "no permission to write",
    "NO PTE FOR IOVA": "the address is not mapped: its page table entry is empty",
    "NO PMD FOR IOVA": "the address is not mapped: its second-level entry is empty",
    "NO PGD FOR IOVA": "the address is not mapped: its top-level entry is empty",
    "NO TTBR FOR IOVA": "the stream has no page table",
}
"""What the words of the drivers for one maker's chips mean; Samsung's may have `AR ` or `AW ` before them."""


@lru_cache(1024)
def context_fault(fsr: int) -> tuple[str, str]:
    """Return the names of the bits of FSR that are set, joined by blanks, and the meaning of the first of them."""
    return _names_of(fsr, SMMUV2_CONTEXT)


def global_fault(gfsr: int) -> tuple[str, str]:
    """Return the same for sGFSR."""
    return _names_of(gfsr, SMMUV2_GLOBAL)


def _names_of(value: int, bits: tuple[tuple[int, str, str], ...]) -> tuple[str, str]:
    present = [(name, meaning) for mask, name, meaning in bits if value & mask]
    return " ".join([name for name, _ in present]), present[0][1] if present else ""
