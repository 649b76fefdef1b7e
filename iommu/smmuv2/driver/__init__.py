"""Software's side of an SMMUv1 or SMMUv2: writes tables and registers through a platform, never opening a hole."""

from __future__ import annotations

from .domain import Domain
from .faults import Faults
from .unit import Driver

__all__ = ["Domain", "Driver", "Faults"]
