"""IOMMUs as the manager uses them: one port for every unit, whatever its architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .port import GRANULE, AccessWord, Port, Refusal, Space

if TYPE_CHECKING:
    from ...iommu import PageAllocator, Platform
    from ...topology import Iommu

__all__ = ["BEFORE_SMMUV3", "DRIVEN", "GRANULE", "AccessWord", "Port", "Refusal", "Space", "open_port", "undriven"]

BEFORE_SMMUV3 = ("smmuv1", "smmuv2")
"""Kinds of units that are driven and modelled as one."""

DRIVEN = ("vtd", "smmuv3", *BEFORE_SMMUV3, "riscv-iommu", "amdvi")
"""Kinds of units that there is a driver for."""


def open_port(unit: Iommu, base: int, platform: Platform, pages: PageAllocator, host_width: int) -> Port:
    """Take a unit over with every ID denied.

    Args:
        unit: of a kind that is `DRIVEN`.
        base: physical address of its registers.
        platform: what its driver runs on.
        pages: where its tables go.
        host_width: bits of a physical address.

    Raises:
        IommuError: the unit is not there, lacks what the driver needs, or does not answer.
    """
    if unit.kind == "vtd":
        from .vtd import VtdPort

        return VtdPort(platform, base, pages, unit.name, host_width)
    if unit.kind == "amdvi":
        from .amdvi import AmdviPort

        return AmdviPort(platform, base, pages, unit, host_width)
    if unit.kind == "riscv-iommu":
        from .riscv import RiscvPort

        return RiscvPort(platform, base, pages, unit.name)
    if unit.kind in BEFORE_SMMUV3:
        from .smmuv2 import SmmuV2Port

        return SmmuV2Port(platform, base, pages, unit.name)
    from .smmuv3 import SmmuV3Port

    return SmmuV3Port(platform, base, pages, unit.name)


def undriven(unit: Iommu) -> str:
    """Return why a unit that is enabled has no port."""
    if unit.kind not in DRIVEN:
        return f"no driver here programs units of kind {unit.kind}"
    if unit.base is None:
        return "no source says where its registers are (a unit that is a PCI function has them where its BAR is set to)"
    return f"its registers at 0x{unit.base:x} lie beyond the physical addresses of the machine"
