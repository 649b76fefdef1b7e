"""Software's side of the RISC-V IOMMU: writes tables, queues and registers through a platform, never opening a hole."""

from __future__ import annotations

from .domain import Domain
from .queues import Faults
from .unit import Driver

__all__ = ["Domain", "Driver", "Faults"]
