"""Numbers of AMD-Vi and their names, in the words of the specification."""

from __future__ import annotations

from enum import IntEnum


class Opcode(IntEnum):
    """Bits 63:60 of a command."""

    COMPLETION_WAIT = 0x1
    INVALIDATE_DEVTAB_ENTRY = 0x2
    INVALIDATE_IOMMU_PAGES = 0x3
    INVALIDATE_IOTLB_PAGES = 0x4
    INVALIDATE_INTERRUPT_TABLE = 0x5
    PREFETCH_IOMMU_PAGES = 0x6
    COMPLETE_PPR_REQUEST = 0x7
    INVALIDATE_IOMMU_ALL = 0x8
    INSERT_GUEST_EVENT = 0x9
    RESET_VMMIO = 0xA


class IntCtl(IntEnum):
    """What becomes of fixed and arbitrated interrupts, DTE.IntCtl."""

    ABORT = 0
    FORWARD = 1
    REMAP = 2


class IntType(IntEnum):
    """How a remapped interrupt is delivered, IRTE.IntType."""

    FIXED = 0
    ARBITRATED = 1


class EventCode(IntEnum):
    """EventCode of the event log."""

    ILLEGAL_DEV_TABLE_ENTRY = 0x1
    IO_PAGE_FAULT = 0x2
    DEV_TAB_HARDWARE_ERROR = 0x3
    PAGE_TAB_HARDWARE_ERROR = 0x4
    ILLEGAL_COMMAND_ERROR = 0x5
    COMMAND_HARDWARE_ERROR = 0x6
    IOTLB_INV_TIMEOUT = 0x7
    INVALID_DEVICE_REQUEST = 0x8
    INVALID_PPR_REQUEST = 0x9
    EVENT_COUNTER_ZERO = 0xA
    GUEST_EVENT_FAULT = 0xB
    VIOMMU_HARDWARE_ERROR = 0xC
    RMP_PAGE_FAULT = 0xD
    RMP_HARDWARE_ERROR = 0xE


class HardwareError(IntEnum):
    """Type of an event about an error of hardware."""

    MASTER_ABORT = 1
    TARGET_ABORT = 2
    DATA_ERROR = 3


MEANINGS: dict[EventCode, str] = {
    EventCode.ILLEGAL_DEV_TABLE_ENTRY: "the device table entry is invalid",
    EventCode.IO_PAGE_FAULT: "the access is not allowed",
    EventCode.DEV_TAB_HARDWARE_ERROR: "the device table entry could not be read",
    EventCode.PAGE_TAB_HARDWARE_ERROR: "a page table entry could not be read",
    EventCode.ILLEGAL_COMMAND_ERROR: "a command is invalid, and the command processor has stopped",
    EventCode.COMMAND_HARDWARE_ERROR: "a command could not be read, and the command processor has stopped",
    EventCode.IOTLB_INV_TIMEOUT: "the device did not answer an invalidation of its translation cache in time",
    EventCode.INVALID_DEVICE_REQUEST: "the device sent a request of a kind that it may not send",
    EventCode.INVALID_PPR_REQUEST: "the device sent a page request that is invalid, or that it may not send",
    EventCode.EVENT_COUNTER_ZERO: "a performance counter has overflowed",
    EventCode.GUEST_EVENT_FAULT: "an event of a guest could not be delivered",
    EventCode.VIOMMU_HARDWARE_ERROR: "hardware error of the virtual IOMMU",
    EventCode.RMP_PAGE_FAULT: "the reverse map does not allow the access",
    EventCode.RMP_HARDWARE_ERROR: "the reverse map could not be read",
}
"""What each event means."""
