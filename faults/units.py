"""Which unit of a board a fault is of: by the name that its source gives, or because no other can be meant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..base import Origin
from ..topology import Iommu, Topology
from .fault import Fault

KINDS: dict[str, tuple[str, ...]] = {
    "vtd": ("vtd",),
    "smmuv3": ("smmuv3",),
    "smmuv2": ("smmuv2", "smmuv1", "qcom-iommu"),
    "amdvi": ("amdvi",),
    "riscv-iommu": ("riscv-iommu",),
    "virtio-iommu": ("virtio-iommu",),
}
"""Kinds of units of a topology by the architecture of a fault; for another architecture all come into question."""

_BASE = re.compile(r"(?:^|@)(?:0x)?([0-9a-f]{4,16})(?:\.|$)")
_NUMBERED = re.compile(r"(?:dmar|ivhd)(\d{1,4})")
_PLATFORM = re.compile(r"arm-smmu(?:-v3)?\.(\d{1,4})\.auto")
_SMMU_KINDS = ("smmuv1", "smmuv2", "smmuv3")


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a fault, or those that it can be of.

    Attributes:
        name: of the unit in the topology; empty when it cannot be told.
        why: how it was told.
        origin: what declares it.
        possible: names of the units that come into question; the one, when it was told.
    """

    name: str
    why: str
    origin: Origin
    possible: tuple[str, ...]


def find_unit(fault: Fault, topology: Topology) -> Unit:
    """Return the unit of a fault."""
    kinds = KINDS.get(fault.architecture, ())
    units = [unit for unit in topology.iommus.values() if not kinds or unit.kind in kinds]
    name = fault.iommu
    if name:
        found = _by_name(name, units) or _by_base(name, units) or _by_number(name, units)
        found = found or _by_platform_number(name, units, topology)
        if found is not None:
            unit, why = found
            return Unit(unit.name, why, unit.origin, (unit.name,))
    if len(units) == 1:
        why = f"the board has no other {units[0].kind}" if kinds else "the board has no other unit"
        return Unit(units[0].name, why, units[0].origin, (units[0].name,))
    return Unit("", "", Origin(""), tuple(unit.name for unit in units))


def _by_name(name: str, units: list[Iommu]) -> tuple[Iommu, str] | None:
    """Find it by its name in the topology, or by the end of that: a node's name, a PCI address."""
    exact = [unit for unit in units if unit.name == name]
    ends = exact or [unit for unit in units if unit.name.endswith((f"@{name}", f"/{name}"))]
    return (ends[0], "its name says so") if len(ends) == 1 else None


def _by_base(name: str, units: list[Iommu]) -> tuple[Iommu, str] | None:
    """Find it by the base address in the names of platform devices: `2b400000.iommu`."""
    match = _BASE.search(name)
    bases = [unit for unit in units if match and unit.base == int(match[1], 16)]
    return (bases[0], f"{name} has its base address in its name") if len(bases) == 1 else None


def _by_number(name: str, units: list[Iommu]) -> tuple[Iommu, str] | None:
    """Find it by its number: Linux counts `dmarN` and `ivhdN` in the order of the table.

    Of an IVRS it takes the blocks of one type only, that of the first unit, and does not count the units without one
    (`get_highest_supported_ivhd_type` of drivers/iommu/amd/init.c).
    """
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return None
    ordered = sorted(units, key=lambda unit: unit.origin.offset or 0)
    counted = [unit for unit in ordered if _block_type(unit) == _block_type(ordered[0])]
    number = int(match[1])
    if number >= len(counted):
        return None
    return counted[number], f"Linux numbers units in the order of the table, and this is {name}"


def _block_type(unit: Iommu) -> object:
    """Return the type of the block of an IVRS that declares a unit; None for other units."""
    return dict(unit.properties).get("IVHD type")


def _by_platform_number(name: str, units: list[Iommu], topology: Topology) -> tuple[Iommu, str] | None:
    """Find it by the number of its platform device: Linux makes one for every SMMU and PMCG of an IORT, in order."""
    match = _PLATFORM.fullmatch(name)
    if match is None or len(units) < 2:  # noqa: PLR2004  # of one only, the number says nothing
        return None
    components = [unit for unit in topology.iommus.values() if unit.kind in _SMMU_KINDS]
    counters = [device for device in topology.devices.values() if device.kind == "pmcg"]
    places = sorted([one.origin.offset or 0 for one in components] + [one.origin.offset or 0 for one in counters])
    number = int(match[1])
    found = [unit for unit in units if number < len(places) and unit.origin.offset == places[number]]
    why = f"Linux numbers the SMMUs and PMCGs of an IORT in its order, and this is number {number}"
    return (found[0], why) if len(found) == 1 else None
