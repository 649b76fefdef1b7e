"""SMMUv3 as software: writes tables and registers through a platform, never opening a hole."""

from __future__ import annotations

from .domain import Domain, Permission
from .smmu import Driver

__all__ = ["Domain", "Driver", "Permission"]
