"""The bits of the RISC-V IOMMU, as its specification 1.0 and the privileged specification lay them out."""

from __future__ import annotations

from . import queues, registers
from .queues import FaultRecord, PageRequest
from .tables import DC, PC, BaseDC, DirectoryEntry, MsiPte, MsiPteMrif, PageTableEntry

__all__ = [
    "DC",
    "PC",
    "BaseDC",
    "DirectoryEntry",
    "FaultRecord",
    "MsiPte",
    "MsiPteMrif",
    "PageRequest",
    "PageTableEntry",
    "queues",
    "registers",
]
