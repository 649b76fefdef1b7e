"""The bits of SMMUv3, as the Arm SMMU architecture (IHI 0070 G.b) and DDI 0487 M.a.a lay them out, and nothing else."""

from __future__ import annotations

from . import queues, registers
from .tables import CD, L1CD, L1STD, STE, Stage1Leaf, Stage2Leaf, TableDescriptor

__all__ = [
    "CD",
    "L1CD",
    "L1STD",
    "STE",
    "Stage1Leaf",
    "Stage2Leaf",
    "TableDescriptor",
    "queues",
    "registers",
]
