"""Entries of AMD-Vi's event log and peripheral page request log (AMD 48882, 2.5 and 2.6), and the words for them.

Fields that an event has in common with others stand at the same place in all of them, but for INVALID_PPR_REQUEST: it
is made like an entry of the page request log. Where the fields of an event are not public in text, none is named.
"""

from __future__ import annotations

from enum import IntEnum

from ...iommu.bits import Address, Bits128, Field


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


class Event(Bits128):
    """What all events have."""

    EventCode = Field(63, 60, names=EventCode)


class IllegalDevTableEntry(Event):
    """ILLEGAL_DEV_TABLE_ENTRY."""

    DeviceID = Field(15, 0)
    PASID = Field(19, 16, 47, 32)
    GN = Field(48)
    I = Field(51)  # noqa: E741  # the manual's spelling
    RW = Field(53)
    RZ = Field(55)
    TR = Field(56)
    Address = Address(127, 66)


class IoPageFault(Event):
    """IO_PAGE_FAULT of a host address (GN clear)."""

    DeviceID = Field(15, 0)
    DomainID = Field(47, 32)
    GN = Field(48)
    NX = Field(49)
    US = Field(50)
    I = Field(51)  # noqa: E741
    PR = Field(52)
    RW = Field(53)
    PE = Field(54)
    RZ = Field(55)
    TR = Field(56)
    Address = Field(127, 64)


class GuestIoPageFault(Event):
    """IO_PAGE_FAULT of a guest address (GN set)."""

    DeviceID = Field(15, 0)
    PASID = Field(19, 16, 47, 32)
    GN = Field(48)
    NX = Field(49)
    US = Field(50)
    I = Field(51)  # noqa: E741
    PR = Field(52)
    RW = Field(53)
    PE = Field(54)
    RZ = Field(55)
    TR = Field(56)
    Address = Field(127, 64)


class DevTabHardwareError(Event):
    """DEV_TAB_HARDWARE_ERROR."""

    DeviceID = Field(15, 0)
    I = Field(51)  # noqa: E741
    RW = Field(53)
    TR = Field(56)
    Type = Field(58, 57, names=HardwareError)
    TableAddress = Address(127, 68)


class PageTabHardwareError(Event):
    """PAGE_TAB_HARDWARE_ERROR."""

    DeviceID = Field(15, 0)
    DomainID = Field(47, 32)  # with GN, the lower 16 bits of the PASID
    PASID_19_16 = Field(19, 16)
    GN = Field(48)
    I = Field(51)  # noqa: E741
    RW = Field(53)
    TR = Field(56)
    Type = Field(58, 57, names=HardwareError)
    TableAddress = Address(127, 67)


class IllegalCommandError(Event):
    """ILLEGAL_COMMAND_ERROR."""

    CommandAddress = Address(127, 68)


class CommandHardwareError(Event):
    """COMMAND_HARDWARE_ERROR."""

    Type = Field(58, 57, names=HardwareError)
    CommandAddress = Address(127, 68)


class IotlbInvTimeout(Event):
    """IOTLB_INV_TIMEOUT."""

    DeviceID = Field(15, 0)
    CommandAddress = Address(127, 68)


class InvalidDeviceRequest(Event):
    """INVALID_DEVICE_REQUEST."""

    DeviceID = Field(15, 0)
    PASID = Field(19, 16, 47, 32)
    GN = Field(48)
    US = Field(49)
    TR = Field(56)
    Type = Field(59, 57)
    Address = Field(127, 64)


class InvalidPprRequest(Event):
    """INVALID_PPR_REQUEST."""

    DeviceID = Field(15, 0)
    PASID = Field(45, 42, 31, 16)
    Tag = Field(41, 32)
    Flags = Field(59, 48)
    Address = Field(127, 64)


class RmpPageFault(Event):
    """RMP_PAGE_FAULT."""

    DeviceID = Field(15, 0)
    FlagsRMP = Field(23, 16)
    VMGTag = Field(47, 32)
    Flags = Field(59, 48)
    GPA = Field(127, 64)


class RmpHardwareError(Event):
    """RMP_HARDWARE_ERROR."""

    DeviceID = Field(15, 0)
    VMGTag = Field(47, 32)
    Flags = Field(59, 48)
    SPA = Address(127, 67)


EVENTS: dict[int, type[Event]] = {
    0x1: IllegalDevTableEntry,
    0x2: IoPageFault,
    0x3: DevTabHardwareError,
    0x4: PageTabHardwareError,
    0x5: IllegalCommandError,
    0x6: CommandHardwareError,
    0x7: IotlbInvTimeout,
    0x8: InvalidDeviceRequest,
    0x9: InvalidPprRequest,
    0xD: RmpPageFault,
    0xE: RmpHardwareError,
}
"""Event classes by code; of an IO_PAGE_FAULT with GN it is `GuestIoPageFault`."""


class PageRequest(Bits128):
    """An entry of the peripheral page request log."""

    DeviceID = Field(15, 0)
    PASID = Field(45, 42, 31, 16)
    Tag = Field(41, 32)
    EXEC = Field(49)
    READ = Field(50)
    WRITE = Field(53)
    US = Field(54)
    RSVD = Field(55)  # the device set a reserved bit of its request
    GN = Field(56)
    Type = Field(63, 60)  # 1
    Address = Address(127, 76)


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
