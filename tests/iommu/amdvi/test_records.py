"""Events in words."""

from __future__ import annotations

import pytest
from iommuman.iommu.amdvi.records import decode_event

EVENTS = {
    (0x2000_001D_0000_0A00, 0x637C000): "0a:00.0 read of 0x637c000: the address is not mapped (IO_PAGE_FAULT)",
    (0x2070_0043_0000_0200, 0xECDD5004): "02:00.0 write of 0xecdd5004: no permission to write (IO_PAGE_FAULT)",
    (0x2052_0043_0000_0200, 0x4): "02:00.0 execute of 0x4: no permission to execute (IO_PAGE_FAULT)",
    (0x2150_0043_0000_0200, 0x4): "02:00.0 translation of 0x4: no permission (IO_PAGE_FAULT)",
    (0x2090_0043_0000_0200, 0x4): "02:00.0 read of 0x4: a reserved bit is set in a table entry (IO_PAGE_FAULT)",
    (0x2010_0043_0000_0200, 0x4): "02:00.0 read of 0x4: a table entry has an invalid level, or the address is beyond "
    "the table (IO_PAGE_FAULT)",
    (0x2008_0043_0000_0200, 0xFEE00000): "02:00.0 interrupt of 0xfee00000: the interrupt remapping entry is not "
    "present (IO_PAGE_FAULT)",
    (0x10A0_0000_0000_0600, 0x135300000): "06:00.0 write of 0x135300000: the device table entry is invalid "
    "(ILLEGAL_DEV_TABLE_ENTRY)",
    (0x3200_0000_0000_0018, 0x8000): "00:03.0 at 0x8000: the device table entry could not be read "
    "(DEV_TAB_HARDWARE_ERROR)",
    (0x5000_0000_0000_0000, 0x9010): "at 0x9010: a command is invalid, and the command processor has stopped "
    "(ILLEGAL_COMMAND_ERROR)",
    (0x8000_0000_0000_0018, 0x9010): "00:03.0 access of 0x9010: the device sent a request of a kind that it may not "
    "send (INVALID_DEVICE_REQUEST)",
    (0xA000_0000_0000_0000, 0): "a performance counter has overflowed (EVENT_COUNTER_ZERO)",
    (0, 0): "event not defined by AMD 48882 (0x0)",
}


@pytest.mark.parametrize("words", EVENTS)
def test_events_in_one_line(words: tuple[int, int]) -> None:
    """Who, what, where, and why."""
    raw = b"".join(word.to_bytes(8, "little") for word in words)
    record = decode_event(raw)
    assert str(record) == EVENTS[words]
    assert record.raw == raw


def test_events_of_guest_addresses() -> None:
    """With GN the domain ID is a part of the PASID."""
    for code in (2, 4):
        raw = (code << 60 | 1 << 48 | 0x1234 << 32 | 5 << 16 | 0x18).to_bytes(8, "little") + bytes(8)
        record = decode_event(raw)
        assert (record.domain, record.pasid) == (None, 0x51234)
    with pytest.raises(ValueError, match="16 bytes"):
        decode_event(bytes(8))
