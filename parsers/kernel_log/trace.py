"""Trace events of the subsystem `iommu`, as ftrace prints them (`include/trace/events/iommu.h` of Linux)."""

from __future__ import annotations

import re

from .records import BootGroup, LogLine, LogRecord, TraceFault, TraceMapping

_EVENT = re.compile(r"(?:.{1,64}?\s(\d{1,12})\.(\d{6}): )?([a-z_]{3,30}): IOMMU: ?(.*)")
_FAULT = re.compile(r"(\S{1,64}) (\S{1,64}) iova=0x([0-9a-f]{1,16}) flags=0x([0-9a-f]{1,8})")
_MAP = re.compile(
    r"iova=0x([0-9a-f]{1,16})(?: - 0x[0-9a-f]{1,16})?(?: paddr=0x([0-9a-f]{1,16}))? "
    r"size=(?:0x([0-9a-f]{1,16})|(\d{1,20}))"
)
_GROUP = re.compile(r"groupID=(\d{1,9}) device=(\S{1,64})")


def read_trace(line: LogLine) -> LogRecord | None:
    """Return what a line that has `IOMMU:` says, or None where it is no trace event of ours."""
    match = _EVENT.match(line.message)
    if match is None:
        return None
    seconds, fraction, event, rest = match.groups()
    if seconds is not None:
        line = line._replace(time=int(seconds) * 1_000_000_000 + int(fraction) * 1000, clock="boot")
    if event == "io_page_fault" and (fault := _FAULT.match(rest)):
        return TraceFault(line, line.text, fault[1], "", fault[2], int(fault[3], 16), int(fault[4], 16))
    if event in ("map", "unmap") and (mapping := _MAP.match(rest)):
        start, physical, hexadecimal, decimal = mapping.groups()
        length = int(hexadecimal, 16) if hexadecimal else int(decimal)
        target = None if physical is None else int(physical, 16)
        return TraceMapping(line, line.text, "trace", "", int(start, 16), length, target)
    if event == "add_device_to_group" and (group := _GROUP.match(rest)):
        return BootGroup(line, line.text, "trace", "", group[2], int(group[1]))
    return None
