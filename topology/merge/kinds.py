"""The types of units that a configuration speaks of, and what becomes of the firmware's word on each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ...parsers.smmu_config import Configuration, SmmuType
from ..builder import TopologyBuilder
from ..model import IdMap, ReservedRegion
from .work import Work


@dataclass(frozen=True, slots=True)
class UnitType:
    """A type of the option `smmu`.

    Attributes:
        kind: of a unit of which only the configuration speaks.
        kinds: kinds in the topology that are of this type.
        tables: kinds of sources in which firmware declares such units.
        requester_ids: whether such a unit knows devices by their requester IDs, so that `use` takes no ID.
    """

    kind: str
    kinds: tuple[str, ...]
    tables: tuple[str, ...]
    requester_ids: bool = False


TYPES = {
    "armsmmu": UnitType("smmuv2", ("smmuv2", "smmuv1"), ("IORT", "devicetree")),
    "rcar3": UnitType("ipmmu", ("ipmmu",), ("devicetree",)),
    "vtd": UnitType("vtd", ("vtd",), ("DMAR",), requester_ids=True),
    "smmuv3": UnitType("smmuv3", ("smmuv3",), ("IORT", "devicetree")),
    "amdvi": UnitType("amdvi", ("amdvi",), ("IVRS",), requester_ids=True),
    "riscv": UnitType("riscv-iommu", ("riscv-iommu",), ("RIMT", "devicetree")),
}
"""Types by their names in a configuration."""


def type_of(kind: str) -> str:
    """Return the type whose units have this kind; empty when a configuration cannot speak of them."""
    return next((name for name, one in TYPES.items() if kind in one.kinds), "")


def ignored_tables(configurations: Iterable[Configuration]) -> set[str]:
    """Return the signatures of tables of which configurations ignore everything that they could declare."""
    types = {one.type for configuration in configurations for one in configuration.types if one.firmware == "ignore"}
    tables = {table for name in types if name in TYPES for table in TYPES[name].tables}
    needed = {table for name, one in TYPES.items() if name not in types for table in one.tables}
    return tables - needed


def apply_types(work: Work) -> None:
    """Do what `smmu TYPE ignore` and `smmu TYPE require` ask for."""
    last = {one.type: one for one in work.configuration.types if one.firmware and one.type in TYPES}
    for name, one in last.items():
        if one.firmware == "ignore":
            _ignore(work.builder, TYPES[name])
        else:
            _require(work, one)


def _require(work: Work, one: SmmuType) -> None:
    """Report that firmware declares no unit of a type that it is required to declare."""
    wanted = TYPES[one.type]
    if any(unit.kind in wanted.kinds for unit in work.builder.iommus):
        return
    tables = " or ".join(wanted.tables)
    found = [source.kind for source in work.builder.sources if source.kind in wanted.tables]
    text = f"firmware is required to declare units of type {one.type}, and no source declares one"
    advice = "the table has none that can be used" if found else "give the table, or write no `require`"
    work.report("CONFIG-REQUIRE", "error", one.origin, text, expected=tables, advice=advice)


def _ignore(builder: TopologyBuilder, wanted: UnitType) -> None:
    """Take away what firmware says of units of a type: the units, their maps and scopes, memory reserved at them."""
    dropped = {unit.name for unit in builder.iommus if unit.kind in wanted.kinds}
    builder.iommus[:] = [unit for unit in builder.iommus if unit.name not in dropped]
    builder.maps[:] = [kept for one in builder.maps if (kept := _without(one, dropped)) is not None]
    builder.unresolved[:] = [one for one in builder.unresolved if one.iommu not in dropped]
    builder.reserved[:] = [left for one in builder.reserved if (left := _elsewhere(one, dropped)) is not None]
    if "DMAR" in wanted.tables:  # a DMAR speaks of VT-d alone: nothing that only it says is left
        builder.facts[:] = [one for one in builder.facts if one.origin.part != "DMAR"]
        builder.unresolved[:] = [one for one in builder.unresolved if one.origin.part != "DMAR"]
        builder.reserved[:] = [region for region in builder.reserved if region.kind != "rmrr"]
        for name in [name for name, device in builder.devices.items() if device.origin.part == "DMAR"]:
            del builder.devices[name]


def _without(one: IdMap, dropped: set[str]) -> IdMap | None:
    """Return what is left of a map: those to a dropped unit stay for the interrupts that pass it, if they carry any."""
    if one.target not in dropped or one.carries == "msi":
        return one
    return replace(one, carries="msi") if one.carries == "both" else None


def _elsewhere(one: ReservedRegion, dropped: set[str]) -> ReservedRegion | None:
    """Return what is left of a reserved region when the IDs of some units no longer count."""
    streams = tuple(stream for stream in one.streams if stream.iommu not in dropped)
    if one.streams and not streams and not one.devices:
        return None
    return replace(one, streams=streams)
