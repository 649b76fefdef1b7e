"""Rules of a user's configuration: its units, devices and IDs, on the topology that it was laid over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from ...base import Finding, Origin, format_pci_address
from ..groups import isolation_groups
from ..model import Device, Iommu
from ..resolve import Route, routes
from ..view import is_bridge
from .board import Board
from .rule import Rule

if TYPE_CHECKING:
    from ...parsers.smmu_config import DeviceEntry

REGISTERS = 0x1000
"""Bytes of registers that a unit has at least, when nothing says how many."""

SHOWN = 3
"""How many devices a message names."""


def entries(board: Board) -> Iterator[tuple[DeviceEntry, list[Device]]]:
    """Iterate over the devices of a configuration, each with what it means in the topology."""
    from ...parsers.smmu_config import MmioSpec, PciSpec

    devices = board.topology.devices
    by_base = {device.base: device for device in devices.values() if device.base is not None}
    functions = sorted((one.segment or 0, one.rid, one.name) for one in devices.values() if one.rid is not None)
    for entry in board.configuration.devices if board.configuration else ():
        spec = entry.spec
        if isinstance(spec, MmioSpec):
            found = [by_base[spec.base]] if spec.base in by_base else []
        elif not isinstance(spec, PciSpec):
            found = [devices[spec.name]] if spec.name in devices else []
        elif spec.first == spec.last:
            name = format_pci_address(spec.segment, spec.first)
            found = [devices[name] if name in devices else Device(name, "pci", entry.origin, spec.segment, spec.first)]
        else:
            inside = (
                name for segment, rid, name in functions if segment == spec.segment and spec.first <= rid <= spec.last
            )
            found = [devices[name] for name in inside]
        yield entry, found


def sent(board: Board, device: Device) -> list[Route]:
    """Return the routes of a device that end at a unit."""
    return [one for one in routes(board.topology, device) if one.verdict in ("controlled", "disabled")]


def _no_unit(rule: Rule, board: Board) -> Iterator[Finding]:
    for entry, devices in entries(board):
        bare = [one.name for one in devices if _goes_round(routes(board.topology, one))]
        if bare:
            more = f" and {len(bare) - SHOWN} more" if len(bare) > SHOWN else ""
            text = f"no unit controls {', '.join(bare[:SHOWN])}{more}"
            yield rule.finding(
                entry.origin, text + (f", so the set {entry.allow!r} limits nothing" if entry.allow else "")
            )


def _goes_round(found: list[Route]) -> bool:
    """Tell whether some request of a device reaches memory without a unit."""
    return any(one.verdict in ("no-iommu", "disabled") for one in found)


def _units(board: Board) -> list[Iommu]:
    """Return the units that the configuration names."""
    bases = {one.base for one in board.configuration.units} if board.configuration else set()
    return [one for one in board.topology.iommus.values() if one.base in bases]


def _unit_unused(rule: Rule, board: Board) -> Iterator[Finding]:
    targets = {one.target for one in board.topology.maps} | {one.iommu for one in board.topology.unresolved}
    used = {use.unit for one in board.configuration.devices for use in one.uses} if board.configuration else set()
    names = {one.base: one.name for one in _units(board) if one.name in targets}
    for unit in board.configuration.units if board.configuration else ():
        if unit.name not in used and unit.base not in names:
            yield rule.finding(unit.origin, f"no device uses the unit {unit.name!r}")


def _unit_overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    if board.configuration is None:
        return
    places = {unit.base: unit.origin for unit in board.configuration.units}
    last: Iommu | None = None
    placed = sorted(
        ((one.base, one) for one in board.topology.iommus.values() if one.base is not None), key=lambda pair: pair[0]
    )
    end = 0
    for base, unit in placed:
        if last is not None and base < end and (base in places or last.base in places):
            origin = places.get(base) or places[last.base or 0]
            yield rule.finding(origin, f"the registers of {last.name} and {unit.name} overlap")
        if base + (unit.size or REGISTERS) > end:
            last, end = unit, base + (unit.size or REGISTERS)


def _bypass(rule: Rule, board: Board) -> Iterator[Finding]:
    for unit in board.configuration.units if board.configuration else ():
        if unit.bypass:
            text = f"the unit {unit.name!r} lets accesses pass whose ID no device has"
            yield rule.finding(unit.origin, text, field="bypass", found="1", expected="0")


def _id_reserved(rule: Rule, board: Board) -> Iterator[Finding]:
    for entry, devices in entries(board):
        for device in devices:
            for route in sent(board, device):
                unit = board.topology.iommus.get(route.iommu or "")
                if unit is None or route.stream is None:
                    continue
                for number in unit.reserved_ids:
                    if route.stream <= number < route.stream + route.count:
                        text = f"{device.name} has ID 0x{number:x} of {unit.name}, which is kept for the system"
                        yield rule.finding(_use_origin(entry), text)


def _use_origin(entry: DeviceEntry) -> Origin:
    """Return where the first unit of a device is named, else where the device is."""
    return entry.uses[0].origin if entry.uses else entry.origin


def _id_shared(rule: Rule, board: Board) -> Iterator[Finding]:
    spans: dict[str, list[_Span]] = {}
    sets: dict[str, dict[str, None]] = {}
    for entry, devices in entries(board):
        for device in devices if entry.allow else ():
            sets.setdefault(device.name, {})[entry.allow] = None
    for entry, devices in entries(board):
        for device in devices:
            for route in sent(board, device):
                if route.iommu is not None and route.stream is not None:
                    held = tuple(sorted(sets.get(device.name, ())))
                    span = _Span(route.stream, route.stream + route.count, device.name, held, _use_origin(entry))
                    spans.setdefault(route.iommu, []).append(span)
    for iommu, found in spans.items():
        yield from _shared(rule, iommu, sorted(found, key=lambda one: one[:3]))


class _Span(NamedTuple):
    """IDs of one device, up to before `end`, with the names of the sets that it has."""

    first: int
    end: int
    device: str
    sets: tuple[str, ...]
    origin: Origin


def _shared(rule: Rule, iommu: str, found: list[_Span]) -> Iterator[Finding]:
    """Find devices with one ID among spans of IDs that are in order; each device is told with the widest before it."""
    widest: _Span | None = None
    told = set()
    for one in found:
        if widest is not None and one.first < widest.end and one.device != widest.device:
            pair = one.device, widest.device
            if pair not in told:
                told.add(pair)
                alike = one.sets == widest.sets
                text = f"{widest.device} and {one.device} have ID 0x{one.first:x} of {iommu}"
                text += "" if alike else f", and other sets: {_listed(widest.sets)} and {_listed(one.sets)}"
                yield rule.finding(one.origin, text, "note" if alike else None)
        if widest is None or one.end > widest.end:
            widest = one


def _group_split(rule: Rule, board: Board) -> Iterator[Finding]:
    listed: dict[str, tuple[DeviceEntry, set[str]]] = {}
    for entry, devices in entries(board):
        for device in devices:
            if not is_bridge(device):
                listed.setdefault(device.name, (entry, set()))[1].update((entry.allow,) if entry.allow else ())
    for group in isolation_groups(board.topology) if listed else ():
        found = [(name, *listed[name]) for name in group.devices if name in listed]
        by_id = {name for reason in group.reasons if reason.kind in ("id", "bridge") for name in reason.devices}
        if len({id(entry) for _, entry, _ in found}) < 2 or {name for name, _, _ in found} <= by_id:  # noqa: PLR2004
            continue  # one line grants all of them, or it is told as an ID that they share
        first, (other, entry, sets) = found[0], next((one for one in found if one[2] != found[0][2]), found[1])
        text = f"{first[0]} and {other} are in one isolation group"
        alike = sets == first[2]
        held = tuple(_listed(tuple(sorted(one))) for one in (first[2], sets))
        text += "" if alike else f", and have other sets: {held[0]} and {held[1]}"
        reason = next((one for one in group.reasons if one.kind not in ("id", "bridge")), None)
        text += f": {reason.text}" if reason else ""
        advice = f"{rule.fix}, or split them: {reason.remedy}" if reason else rule.fix
        yield rule.finding(entry.origin, text, "note" if alike else None, advice=advice)


def _listed(sets: tuple[str, ...]) -> str:
    return repr(" ".join(sets) or "none")


RULES: tuple[Rule, ...] = (
    Rule(
        "CONFIG-NO-UNIT", "error", "a device of the configuration is behind no unit", "smmuman: device, use",
        "The device reaches all of memory, whatever it was granted.",
        "smmuman answers ENOENT when a client adds the device; Linux gives it no IOMMU group.",
        "say which unit controls it (`use`), or keep the device from doing DMA", (), _no_unit,
    ),
    Rule(
        "CONFIG-UNIT-UNUSED", "warning", "no device uses a unit of the configuration", "smmuman: unit, use",
        "The unit contains nothing; likely a `use` is missing, and a device goes round it.",
        "smmuman programs the unit, and denies what arrives there.", "add `use`, or remove the unit", (), _unit_unused,
    ),
    Rule(
        "CONFIG-UNIT-OVERLAP", "error", "the registers of two units overlap", "smmuman: unit",
        "Programming one unit reprograms the other, so neither protects what it should.",
        "Linux cannot reserve the second range, and leaves that unit out.",
        "mend the address of the unit", (), _unit_overlap,
    ),
    Rule(
        "CONFIG-BYPASS", "warning", "a unit lets unidentified accesses pass", "smmuman: unit, bypass",
        "A device that the configuration does not name, or names with a wrong ID, reaches all of memory.",
        "Linux denies such accesses unless arm-smmu.disable_bypass=0 is given.",
        "write 0, and name every device", (), _bypass,
    ),
    Rule(
        "CONFIG-ID-RESERVED", "error", "a device has an ID that is kept for the system", "smmuman: unit, res_sid",
        "What is programmed for the device holds for the system's own accesses as well.",
        "smmuman does not give out reserved IDs.", "take another ID, or take this one off the list", (), _id_reserved,
    ),
    Rule(
        "CONFIG-ID-SHARED", "warning", "two devices have one ID at a unit", "smmuman: use",
        "The unit cannot tell them apart: what one is granted, the other reaches.",
        "Linux puts them into one IOMMU group, and gives both to one owner.",
        "give both the same set, or wire them apart", (), _id_shared,
    ),
    Rule(
        "CONFIG-GROUP-SPLIT", "warning", "devices of one isolation group are listed apart",
        "smmuman: device; PCI Express Base Specification 6.0 §6.12",
        "The unit tells them apart, and they may reach each other past it: what one is granted, the other can get at.",
        "Linux gives the whole group to one owner: VFIO refuses a device while another of its group has a driver of "
        "its own.",
        "give them to one client or VM", (), _group_split,
    ),
)  # fmt: skip
"""Rules of units and devices."""
