"""RIMT: the IO mapping table of RISC-V."""

from __future__ import annotations

from .reader import read_rimt
from .records import IdMapping, Iommu, Node, PcieRootComplex, PlatformDevice, Rimt, UnknownNode, Wire

__all__ = [
    "IdMapping",
    "Iommu",
    "Node",
    "PcieRootComplex",
    "PlatformDevice",
    "Rimt",
    "UnknownNode",
    "Wire",
    "read_rimt",
]
