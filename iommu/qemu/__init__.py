"""QEMU's emulated IOMMUs as hardware to drive: machines that never run a processor, with devices that do real DMA.

Guest memory is shared with this process, registers are reached over QEMU's test protocol, and DMA passes through QEMU's
own implementation of the IOMMU, which nobody here wrote. See `docs/iommu-qemu.md`.
"""

from __future__ import annotations

from .engine import Copier, Engine, Probe
from .find import Installed, find_qemu
from .machines import MACHINES, Description, Function
from .pci import Placed
from .platform import Qemu, installed, start

__all__ = [
    "MACHINES",
    "Copier",
    "Description",
    "Engine",
    "Function",
    "Installed",
    "Placed",
    "Probe",
    "Qemu",
    "find_qemu",
    "installed",
    "start",
]
