"""Entries of the command buffer (section 2.4), the event log (2.5) and the peripheral page request log (2.6).

A command class names the fields of that one command, so that what is left over is reserved; `COMMANDS` finds it by
opcode. Fields that an event has in common with others stand at the same place in all of them, but for
INVALID_PPR_REQUEST: it is made like an entry of the page request log. Where the fields of an event are not public in
text, none is named.
"""

from __future__ import annotations

from ...bits import Address, Bits128, Field
from ..names import EventCode, HardwareError, Opcode


class Command(Bits128):
    """What all commands have."""

    Opcode = Field(63, 60, names=Opcode)


class CompletionWait(Command):
    """COMPLETION_WAIT."""

    s = Field(0)  # store Data
    i = Field(1)  # interrupt
    f = Field(2)  # later commands wait
    StoreAddress = Address(51, 3)
    Data = Field(127, 64)


class InvalidateDevtabEntry(Command):
    """INVALIDATE_DEVTAB_ENTRY."""

    DeviceID = Field(15, 0)


class InvalidateIommuPages(Command):
    """INVALIDATE_IOMMU_PAGES; with S, the lowest bit of Address[62:12] that is 0 says the size."""

    PASID = Field(19, 0)
    DomainID = Field(47, 32)
    S = Field(64)
    PDE = Field(65)  # tables on the way too
    GN = Field(66)
    Address = Address(127, 76)


class InvalidateIotlbPages(Command):
    """INVALIDATE_IOTLB_PAGES."""

    DeviceID = Field(15, 0)
    PASID = Field(59, 56, 23, 16, 55, 48)
    MaxPend = Field(31, 24)
    QueueID = Field(47, 32)
    S = Field(64)
    GN = Field(66)
    Type = Field(69, 68)
    Address = Address(127, 76)


class InvalidateInterruptTable(Command):
    """INVALIDATE_INTERRUPT_TABLE."""

    DeviceID = Field(15, 0)


class PrefetchIommuPages(Command):
    """PREFETCH_IOMMU_PAGES."""

    DeviceID = Field(15, 0)
    PFCount = Field(31, 24)
    DomainID = Field(47, 32)
    S = Field(64)
    GN = Field(66)
    Inval = Field(68)
    Address = Address(127, 76)


class CompletePprRequest(Command):
    """COMPLETE_PPR_REQUEST."""

    DeviceID = Field(15, 0)
    PASID = Field(51, 32)
    GN = Field(66)
    Tag = Field(105, 96)
    Status = Field(111, 108)


class InvalidateIommuAll(Command):
    """INVALIDATE_IOMMU_ALL."""


COMMANDS: dict[int, type[Command]] = {
    Opcode.COMPLETION_WAIT: CompletionWait,
    Opcode.INVALIDATE_DEVTAB_ENTRY: InvalidateDevtabEntry,
    Opcode.INVALIDATE_IOMMU_PAGES: InvalidateIommuPages,
    Opcode.INVALIDATE_IOTLB_PAGES: InvalidateIotlbPages,
    Opcode.INVALIDATE_INTERRUPT_TABLE: InvalidateInterruptTable,
    Opcode.PREFETCH_IOMMU_PAGES: PrefetchIommuPages,
    Opcode.COMPLETE_PPR_REQUEST: CompletePprRequest,
    Opcode.INVALIDATE_IOMMU_ALL: InvalidateIommuAll,
}
"""Command classes by opcode."""


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
