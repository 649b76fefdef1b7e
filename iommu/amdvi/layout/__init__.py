"""The bits of AMD-Vi, as the AMD I/O Virtualization Technology specification (48882) lays them out, and no more."""

from __future__ import annotations

from . import queues, registers
from .tables import DTE, IRTE, IRTE128, PTE, MsiAddress, MsiData, TableEntry

__all__ = ["DTE", "IRTE", "IRTE128", "PTE", "MsiAddress", "MsiData", "TableEntry", "queues", "registers"]
