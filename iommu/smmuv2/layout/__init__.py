"""The bits of SMMUv1 and SMMUv2, as Arm IHI 0062 D.c lays them out; descriptors of tables are those of SMMUv3."""

from __future__ import annotations

from . import registers
from .faults import CBFRSYNRA, FSR, FSYNR0, GFSR, GFSYNR0, GFSYNR1, ContextFault, GlobalFault

__all__ = [
    "CBFRSYNRA",
    "FSR",
    "FSYNR0",
    "GFSR",
    "GFSYNR0",
    "GFSYNR1",
    "ContextFault",
    "GlobalFault",
    "registers",
]
