"""DMAR: Intel's DMA remapping reporting table."""

from __future__ import annotations

from .reader import read_dmar
from .records import Andd, Atsr, DeviceScope, Dmar, Drhd, Rhsa, Rmrr, Satc, ScopedStructure, Sidp, Structure

__all__ = [
    "Andd",
    "Atsr",
    "DeviceScope",
    "Dmar",
    "Drhd",
    "Rhsa",
    "Rmrr",
    "Satc",
    "ScopedStructure",
    "Sidp",
    "Structure",
    "read_dmar",
]
