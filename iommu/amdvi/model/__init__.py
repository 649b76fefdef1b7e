"""The hardware's side of AMD-Vi: reads tables and registers as a unit does, and shares no code with the driver."""

from __future__ import annotations

from .caches import Caches
from .hardware import Hardware
from .reach import reach
from .requests import ATOMIC, READ, WRITE, Blocked, Interrupt, Untouched
from .unit import Unit

__all__ = [
    "ATOMIC",
    "READ",
    "WRITE",
    "Blocked",
    "Caches",
    "Hardware",
    "Interrupt",
    "Unit",
    "Untouched",
    "reach",
]
