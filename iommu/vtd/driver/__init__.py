"""Software's side of VT-d: programs a unit in an order that never opens a hole, and shares no code with the model."""

from __future__ import annotations

from .domains import Domain, FirstStageDomain, SecondStageDomain
from .faults import Faults
from .interrupts import InterruptTable
from .unit import Driver

__all__ = ["Domain", "Driver", "Faults", "FirstStageDomain", "InterruptTable", "SecondStageDomain"]
