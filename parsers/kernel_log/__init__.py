"""Kernel logs: what Linux and Xen print of IOMMUs, of every vendor and era, as records.

Entry points: `read_kernel_log` reads a log of any length record by record, `parse_boot_log` what one says of a board.
`docs/kernel-log.md` lists the lines that are known.
"""

from __future__ import annotations

from .boot_log import BootLog, parse_boot_log
from .reader import KernelLog, LogCounts, read_kernel_log
from .records import (
    AmdEvent,
    BootFact,
    BootGroup,
    BootReserved,
    BootUnit,
    LogLine,
    LogRecord,
    RiscvFault,
    Smmuv2Fault,
    Smmuv2GlobalFault,
    Smmuv3Event,
    Smmuv3PageRequest,
    SocFault,
    Suppressed,
    TraceFault,
    TraceMapping,
    UnitError,
    VirtioFault,
    VtdFault,
    VtdStatus,
    VtdTables,
)

__all__ = [
    "AmdEvent",
    "BootFact",
    "BootGroup",
    "BootLog",
    "BootReserved",
    "BootUnit",
    "KernelLog",
    "LogCounts",
    "LogLine",
    "LogRecord",
    "RiscvFault",
    "Smmuv2Fault",
    "Smmuv2GlobalFault",
    "Smmuv3Event",
    "Smmuv3PageRequest",
    "SocFault",
    "Suppressed",
    "TraceFault",
    "TraceMapping",
    "UnitError",
    "VirtioFault",
    "VtdFault",
    "VtdStatus",
    "VtdTables",
    "parse_boot_log",
    "read_kernel_log",
]
