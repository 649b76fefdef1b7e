"""Units of a configuration: a unit with the registers of one of the board's is that one, any other is new."""

from __future__ import annotations

from dataclasses import replace

from ...parsers.smmu_config import MainUnit, PciSpec, SmmuType, Unit
from ..builder import TopologyBuilder
from ..model import CONFIGURED_AS, Interrupt, Iommu, Property
from .kinds import TYPES, type_of
from .work import Work

_PURPOSES = {"armsmmu": ("context", "global"), "rcar3": ("", "fault")}
"""What a configuration's two interrupts of a unit are for, by type; `event` and `gerror` for all others."""

STAYS = "the board's word stays"
"""What becomes of a difference in a unit when the board's facts are kept: a unit has one kind, and the like."""


def add_units(work: Work) -> None:
    """Add the units of a configuration, or lay them over those of the board, and note their names."""
    for there in work.builder.iommus:  # of configurations before this one
        name = dict(there.properties).get(CONFIGURED_AS)
        work.units.update({str(name): there.name} if name else {})
    places: dict[int, list[int]] = {}
    for index, there in enumerate(work.builder.iommus):
        if there.base is not None:
            places.setdefault(there.base, []).append(index)
    for one in work.configuration.types:
        if one.main is not None:
            _add_unit(work, places, *_main_unit(one, one.main))
    first = len(work.builder.iommus)
    for unit in work.configuration.units:
        if unit.type in TYPES:
            bit: tuple[Property, ...] = () if unit.status_bit is None else (("status bit", unit.status_bit),)
            work.units[unit.name] = _add_unit(work, places, unit, (*bit, (CONFIGURED_AS, unit.name)))
    for name, known in work.units.items():  # a unit that is said twice may have been renamed since
        work.units[name] = work.renames.get(known, known)
    if work.renames:
        _rename(work.builder, work.renames)
    _give_segments(work, first)


def _main_unit(one: SmmuType, main: MainUnit) -> tuple[Unit, tuple[Property, ...]]:
    """Return the main-memory IPMMU of an R-Car as a unit, and its properties."""
    unit = Unit("", one.type, main.base, one.origin, global_interrupt=main.fault_interrupt)
    properties: tuple[Property, ...] = (("main memory", True), ("fault bit", main.fault_bit))
    chips = " ".join(f"0x{chip.soc:x}.0x{chip.revision:x}" for chip in main.revisions)
    return unit, (*properties, ("for SoC", chips)) if chips else properties


def _add_unit(work: Work, places: dict[int, list[int]], unit: Unit, properties: tuple[Property, ...]) -> str:
    """Add one unit, or lay it over the board's at these registers; return its name in the topology."""
    builder, wanted = work.builder, TYPES[unit.type]
    same = places.setdefault(unit.base, [])
    if same:
        best = min(same, key=lambda index: builder.iommus[index].kind not in wanted.kinds)
        return _lay_over(work, best, unit, properties)
    same.append(len(builder.iommus))
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


def _give_segments(work: Work, first: int) -> None:
    """Give new units that know requester IDs the segment of the PCI functions that use them, when it is one."""
    segments: dict[str, set[int]] = {}
    for entry in work.configuration.devices:
        if isinstance(entry.spec, PciSpec):
            for use in entry.uses:
                segments.setdefault(work.units.get(use.unit, use.unit), set()).add(entry.spec.segment)
    for index, unit in enumerate(work.builder.iommus[first:], first):
        found = segments.get(unit.name, set())
        if len(found) == 1 and TYPES[type_of(unit.kind)].requester_ids:
            work.builder.iommus[index] = replace(unit, segment=next(iter(found)))


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
        work.conflict(unit.origin, what, user, told, [board.origin], STAYS)

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
        if not work.keep:
            name = builder.unique(f"{wanted.kind}@{unit.base:x}")
            work.renames[board.name] = name
            changed = replace(changed, name=name, kind=wanted.kind, origin=unit.origin)
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
            work.conflict(unit.origin, what, user, f"has {told}", [board.origin], STAYS)
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


def _rename(builder: TopologyBuilder, renames: dict[str, str]) -> None:
    """Let everything that refers to units follow their new names."""

    def new(name: str) -> str:
        while name in renames:
            name = renames[name]
        return name

    for index, one in enumerate(builder.maps):
        if one.source in renames or one.target in renames:
            builder.maps[index] = replace(one, source=new(one.source), target=one.target and new(one.target))
    for index, scope in enumerate(builder.unresolved):
        builder.unresolved[index] = replace(scope, owner=new(scope.owner), iommu=scope.iommu and new(scope.iommu))
    for index, region in enumerate(builder.reserved):
        streams = tuple(replace(one, iommu=new(one.iommu)) for one in region.streams)
        builder.reserved[index] = replace(region, streams=streams)
    for name, device in builder.devices.items():
        if any(value in renames for _, value in device.properties):
            told = tuple((key, new(str(value)) if value in renames else value) for key, value in device.properties)
            builder.devices[name] = replace(device, properties=told)
