"""The hardware's side of VT-d: reads tables and registers as a unit does, and shares no code with the driver."""

from __future__ import annotations

from .caches import Caches
from .hardware import Hardware
from .reach import reach
from .requests import (
    ATOMIC,
    EXECUTE,
    READ,
    WRITE,
    ZERO_LENGTH,
    Blocked,
    Interrupt,
    Posted,
    Untouched,
)
from .unit import RemappingUnit

__all__ = [
    "ATOMIC",
    "EXECUTE",
    "READ",
    "WRITE",
    "ZERO_LENGTH",
    "Blocked",
    "Caches",
    "Hardware",
    "Interrupt",
    "Posted",
    "RemappingUnit",
    "Untouched",
    "reach",
]
