"""All that is held to QEMU. An architecture that joins adds a line."""

from __future__ import annotations

from collections.abc import Callable

from .amdvi import Amdvi
from .harness import Architecture
from .riscv import Riscv
from .smmuv3 import Smmu
from .vtd import Vtd

ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "vtd legacy": lambda: Vtd("q35"),
    "vtd scalable, second stage": lambda: Vtd("q35-scalable"),
    "vtd scalable, first stage": lambda: Vtd("q35-first-stage"),
    "amdvi": Amdvi,
    "smmuv3 two-level": lambda: Smmu("virt"),
    "smmuv3 linear": lambda: Smmu("virt", two_level=False),
    "riscv": Riscv,
}
