"""Software's side of AMD-Vi: programs a unit in an order that never opens a hole, and shares no code with the model."""

from __future__ import annotations

from .domain import Domain
from .events import Events
from .interrupts import InterruptTable
from .unit import Driver

__all__ = ["Domain", "Driver", "Events", "InterruptTable"]
