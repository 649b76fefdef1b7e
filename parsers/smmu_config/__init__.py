"""The configuration of smmuman: `.smmu` files and option words."""

from __future__ import annotations

from .records import (
    Allow,
    Configuration,
    DeviceEntry,
    DeviceSpec,
    Firmware,
    MainUnit,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SmmuType,
    SocRevision,
    Unit,
    Use,
)

__all__ = [
    "Allow",
    "Configuration",
    "DeviceEntry",
    "DeviceSpec",
    "Firmware",
    "MainUnit",
    "MmioSpec",
    "NamedSpec",
    "PciSpec",
    "Reserved",
    "SmmuType",
    "SocRevision",
    "Unit",
    "Use",
]
