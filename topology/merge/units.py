"""Units of a configuration: a unit with the registers of one of the board's is that one, any other is new."""

from __future__ import annotations

from dataclasses import replace

from ...base import Origin
from ...parsers.smmu_config import MainUnit, SmmuType, Unit
from ..builder import TopologyBuilder
from ..model import Interrupt, Iommu, Property
from .kinds import TYPES, UnitType
from .work import CONFIGURED_AS, Work

_PURPOSES = {"armsmmu": ("context", "global"), "rcar3": ("", "fault")}
"""What a configuration's two interrupts of a unit are for, by type; `event` and `gerror` for all others."""


def add_units(work: Work) -> None:
    """Add the units of a configuration, or lay them over those of the board, and note their names."""
    for there in work.builder.iommus:  # of configurations before this one
        name = dict(there.properties).get(CONFIGURED_AS)
        work.units.update({str(name): there.name} if name else {})
    for one in work.configuration.types:
        if one.main is not None:
            _add_unit(work, *_main_unit(one, one.main))
    for unit in work.configuration.units:
        if unit.type in TYPES:
            bit: tuple[Property, ...] = () if unit.status_bit is None else (("status bit", unit.status_bit),)
            work.units[unit.name] = _add_unit(work, unit, (*bit, (CONFIGURED_AS, unit.name)))


def _main_unit(one: SmmuType, main: MainUnit) -> tuple[Unit, tuple[Property, ...]]:
    """Return the main-memory IPMMU of an R-Car as a unit, and its properties."""
    unit = Unit("", one.type, main.base, one.origin, global_interrupt=main.fault_interrupt)
    properties: tuple[Property, ...] = (("main memory", True), ("fault bit", main.fault_bit))
    chips = " ".join(f"0x{chip.soc:x}.0x{chip.revision:x}" for chip in main.revisions)
    return unit, (*properties, ("for SoC", chips)) if chips else properties


def _add_unit(work: Work, unit: Unit, properties: tuple[Property, ...]) -> str:
    """Add one unit, or lay it over the board's; return its name in the topology."""
    builder, wanted = work.builder, TYPES[unit.type]
    same = [index for index, one in enumerate(builder.iommus) if one.base == unit.base]
    same.sort(key=lambda index: builder.iommus[index].kind not in wanted.kinds)
    if same:
        return _lay_over(work, same[0], unit, properties)
    name = builder.unique(f"{wanted.kind}@{unit.base:x}")
    builder.iommus.append(
        Iommu(
            name,
            wanted.kind,
            unit.origin,
            unit.base,
            interrupts=tuple(_interrupts(unit)),
            properties=properties,
            bypass=unit.bypass,
            reserved_ids=unit.reserved_ids,
        )
    )
    return name


def _interrupts(unit: Unit) -> list[Interrupt]:
    """Return the interrupts that a configuration gives a unit."""
    purposes = _PURPOSES.get(unit.type, ("event", "gerror"))
    numbers = (unit.context_interrupt, unit.global_interrupt)
    return [Interrupt(purpose, number) for purpose, number in zip(purposes, numbers, strict=True) if number is not None]


def _lay_over(work: Work, index: int, unit: Unit, properties: tuple[Property, ...]) -> str:
    """Change one of the board's units as the configuration says, and report where they differ."""
    builder, board, wanted = work.builder, work.builder.iommus[index], TYPES[unit.type]
    what = f"the unit at 0x{unit.base:x}"

    def differ(user: str, told: str) -> None:
        work.conflict(unit.origin, what, user, told, [board.origin])

    interrupts = _merged_interrupts(work, board, unit, what)
    bypass = board.bypass if not unit.bypass and board.bypass is None else unit.bypass  # not said is denied
    bypass = board.bypass if bypass is None else bypass
    if board.bypass not in (None, bypass):
        differ(_bypass(bypass), _bypass(board.bypass))
        bypass = board.bypass if work.keep else bypass
    reserved = unit.reserved_ids or board.reserved_ids
    if work.keep:
        reserved = tuple(dict.fromkeys((*board.reserved_ids, *unit.reserved_ids)))
    elif board.reserved_ids and set(reserved) != set(board.reserved_ids):
        differ(f"reserves the IDs {_listed(reserved)}", f"reserves {_listed(board.reserved_ids)}")
    enabled = board.enabled or not work.keep
    if not board.enabled:
        differ("is used", "is not enabled")
    named = dict((*board.properties, *properties))
    changed = replace(
        board, interrupts=interrupts, bypass=bypass, reserved_ids=reserved, enabled=enabled,
        properties=tuple(named.items()),
    )  # fmt: skip
    if board.kind not in wanted.kinds:
        differ(f"is of type {unit.type}", f"is {board.kind}")
        changed = changed if work.keep else _renamed(builder, changed, wanted, unit.origin)
    builder.iommus[index] = changed
    return changed.name


def _merged_interrupts(work: Work, board: Iommu, unit: Unit, what: str) -> tuple[Interrupt, ...]:
    """Return the interrupts of a unit of which both speak.

    The board may have many for one purpose, of which a configuration names one: that is no difference.
    """
    found = list(board.interrupts)
    for said in _interrupts(unit):
        alike = [one for one in found if one.purpose.split(" ")[0] in (said.purpose, "interrupt")]
        if any(one.number == said.number for one in alike):
            continue
        alike = [one for one in alike if not one.purpose.startswith("interrupt")]
        if alike:
            user = f"has {said.purpose} interrupt {said.number}"
            told = " ".join(str(number) for number in dict.fromkeys(one.number for one in alike))
            work.conflict(unit.origin, what, user, f"has {told}", [board.origin])
            if work.keep:
                continue
            place = found.index(alike[0])
            found = [one for one in found if one not in alike]
            found.insert(place, said)
        else:
            found.append(said)
    return tuple(found)


def _bypass(value: bool | None) -> str:  # noqa: FBT001
    return "lets unknown IDs pass" if value else "denies unknown IDs"


def _listed(numbers: tuple[int, ...]) -> str:
    return " ".join(f"0x{number:x}" for number in numbers)


def _renamed(builder: TopologyBuilder, unit: Iommu, wanted: UnitType, origin: Origin) -> Iommu:
    """Give a unit the kind of a type, and its name with it; what refers to the unit follows."""
    old, new = unit.name, builder.unique(f"{wanted.kind}@{unit.base:x}")
    for index, one in enumerate(builder.maps):
        if old in (one.source, one.target):
            source = new if one.source == old else one.source
            target = new if one.target == old else one.target
            builder.maps[index] = replace(one, source=source, target=target)
    for index, scope in enumerate(builder.unresolved):
        if old in (scope.owner, scope.iommu):
            owner = new if scope.owner == old else scope.owner
            builder.unresolved[index] = replace(scope, owner=owner, iommu=new if scope.iommu == old else scope.iommu)
    for index, region in enumerate(builder.reserved):
        streams = tuple(replace(one, iommu=new) if one.iommu == old else one for one in region.streams)
        builder.reserved[index] = replace(region, streams=streams)
    for name, device in builder.devices.items():
        if any(value == old for _, value in device.properties):
            told = tuple((key, new if value == old else value) for key, value in device.properties)
            builder.devices[name] = replace(device, properties=told)
    return replace(unit, name=new, kind=wanted.kind, origin=origin)
