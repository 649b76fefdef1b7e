"""Kernel logs: what Linux and Xen print of IOMMUs, of every vendor and era, as records.

Entry point: `read_kernel_log`. `docs/kernel-log.md` lists the lines that are known.
"""

from __future__ import annotations

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
    "read_kernel_log",
]
