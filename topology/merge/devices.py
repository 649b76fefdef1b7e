"""Devices of a configuration: which of the board's each is, its units and IDs, its reserved memory and its grants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ...base import Origin, format_pci_address
from ...parsers.smmu_config import Allow, DeviceEntry, DeviceSpec, MmioSpec, NamedSpec, PciSpec, Use
from ..aliases import OWN, Requester, requesters
from ..model import Device, Grant, IdMap
from ..resolve import Route, routes
from .functions import add_ranges, is_moved
from .reserved import lay_reserved
from .uses import BY_RID, RULE, Wanted, route_words, says_same, takes, wanted_use, wanted_uses, words
from .work import Work


def add_devices(work: Work) -> None:
    """Add all devices of a configuration."""
    for device in work.builder.devices.values():
        if device.base is not None:
            work.at.setdefault(device.base, device.name)
    entries = _joined(work.configuration.devices)
    ranges = []
    exact = set()
    named: dict[str, DeviceEntry] = {}
    meant: dict[DeviceSpec, tuple[str, ...]] = {}
    for entry in entries:
        if isinstance(entry.spec, PciSpec) and entry.spec.first != entry.spec.last:
            ranges.append((entry, entry.spec))
            continue
        if isinstance(entry.spec, PciSpec) and entry.uses:
            exact.add((entry.spec.segment, entry.spec.first))
        name = _name(work, entry)
        if name is None:
            continue
        meant[entry.spec] = (name,)
        before = named.get(name)
        named[name] = entry if before is None else _both(before, entry)
    several = add_ranges(work, ranges, exact, _lay_over)
    for name, entry in named.items():
        _add_uses(work, name, entry)
        lay_reserved(work, (name,), entry)
    for entry, names in several:
        lay_reserved(work, names, entry)
        meant[entry.spec] = names
    _grant(work, work.configuration.allows, meant)


def _joined(entries: Sequence[DeviceEntry]) -> list[DeviceEntry]:
    """Return the entries with those of one specification joined: what can be said several times adds up."""
    found: dict[DeviceSpec, DeviceEntry] = {}
    for entry in entries:
        before = found.get(entry.spec)
        found[entry.spec] = entry if before is None else _both(before, entry)
    return list(found.values())


def _both(one: DeviceEntry, other: DeviceEntry) -> DeviceEntry:
    """Return two entries of one device as one, which has a set if one of them has: `_grant` gives each its own."""
    return replace(
        one, allow=other.allow or one.allow, uses=one.uses + other.uses, reserved=one.reserved + other.reserved
    )


def _name(work: Work, entry: DeviceEntry) -> str | None:
    """Return the name of what an entry is of, adding the device when the board does not have it.

    None for a PCI function that no source lists and of which nothing but what the board says of its ID is said.
    """
    builder, spec, origin = work.builder, entry.spec, entry.origin
    match spec:
        case PciSpec():
            name = format_pci_address(spec.segment, spec.first)
            device = Device(name, "pci", origin, spec.segment, spec.first)
            if name not in builder.devices and entry.uses and not (entry.reserved or entry.allow):
                wanted = [wanted_use(work, use) for use in entry.uses]
                if all(takes(work, use) for use in wanted) and says_same(routes(work.board, device), wanted):
                    return None
            return builder.device(device)
        case MmioSpec():
            found = work.at.get(spec.base) or next(filter(None, (find.at(spec.base) for find in builder.finders)), None)
            if found is None:
                found = builder.device(Device(f"mem:{spec.base:x}", "mmio", origin, base=spec.base))
            return work.at.setdefault(spec.base, found)
        case NamedSpec():
            return _named(work, spec.name, origin)


def _named(work: Work, name: str, origin: Origin) -> str:
    """Return the name of a device or PCI root that firmware names; one that it does not name is reported, and added."""
    builder = work.builder
    if name in builder.devices or name in work.board.roots:
        return name
    found = next(filter(None, (find.named(name) for find in builder.finders)), None)
    if found is not None:
        return found
    advice = work.near(name, builder.devices, work.board.roots) or "it is added"
    work.report("CONFIG-ABSENT", "warning", origin, f"no source names the device {name}", advice=advice)
    kind: Literal["acpi", "dt"] = "acpi" if name.startswith("acpi:") else "dt"
    return builder.device(Device(name, kind, origin))


def _add_uses(work: Work, name: str, entry: DeviceEntry) -> None:
    """Lay the uses of one device over its maps; one without any changes nothing."""
    device = work.builder.devices.get(name)
    if device is None:
        _lay_over_root(work, name, entry)
        return
    uses = list(entry.uses)
    found = wanted_uses(work, uses, pci=device.rid is not None or _has_requester_ids(work, device, uses))
    _lay_over(work, device, found)


def _has_requester_ids(work: Work, device: Device, uses: list[Use]) -> bool:
    """Tell whether the board gives a device that is no PCI function IDs at a unit that knows requester IDs."""
    return bool(uses) and any(work.kinds.get(route.iommu or "") in BY_RID for route in routes(work.board, device))


def _lay_over(work: Work, device: Device, wanted: list[Wanted]) -> None:
    """Give a device the maps that the configuration asks for, unless the board says the same."""
    found = routes(work.board, device)
    controlled = [route for route in found if route.verdict in ("controlled", "disabled")]
    same = says_same(found, wanted)
    if not wanted or (same and not is_moved(work, device)):
        return
    if controlled and not same:
        places = [route.hops[-1].origin for route in controlled if route.hops]
        told = route_words(controlled, ids=any(use.first is not None for use in wanted))
        work.conflict(wanted[0].origin, device.name, words(wanted), told, places)
    overrides = not (work.keep and controlled)
    if not work.keep:
        work.dropped.add(device.name)
    there = {(route.iommu, route.stream, route.count) for route in controlled} if work.keep else set()
    for use in wanted:
        maps = _maps(work, device, use, controlled, overrides=overrides)
        work.back += [one for one in maps if (one.target, one.output, one.length) not in there]


def _maps(work: Work, device: Device, use: Wanted, found: list[Route], *, overrides: bool) -> list[IdMap]:
    """Return the maps that a use comes to."""
    bits = use.ignored_bits
    if device.rid is None:
        ids = [(use.first, use.length)]
        if use.first is None:
            ids = [(route.stream, 1) for route in found if route.stream is not None]
        return [
            IdMap(device.name, use.unit, 0, count, first, use.origin, RULE, single=count == 1, ignored_bits=bits)
            for first, count in ids
        ]
    if use.first is not None:
        count = use.length
        return [
            IdMap(
                device.name, use.unit, device.rid, count, use.first, use.origin, RULE,
                ignored_bits=bits, overrides=overrides,
            )
        ]  # fmt: skip
    known = work.board.function(device.segment or 0, device.rid)
    sent = requesters(*known) if known else [Requester(device.rid, OWN)]
    return [
        IdMap(device.name, use.unit, one.rid, 1, one.rid, use.origin, RULE, overrides=overrides) for one in sent
    ]  # fmt: skip


def _lay_over_root(work: Work, name: str, entry: DeviceEntry) -> None:
    """Lay uses over the maps of a PCI root that is named by its node: all its functions have these IDs."""
    wanted = wanted_uses(work, entry.uses, pci=False)
    board = [one for one in work.board.maps_from(name) if one.carries != "msi"]
    made = [
        IdMap(
            name, use.unit, 0, use.length, use.first, use.origin, RULE,
            single=use.length == 1, ignored_bits=use.ignored_bits,
        )
        for use in wanted
    ]  # fmt: skip
    same = [(one.target, one.base, one.length, one.output, one.single) for one in board]
    if not made or same == [(one.target, one.base, one.length, one.output, one.single) for one in made]:
        return
    if board:
        targets = dict.fromkeys(one.target or "none" for one in board)
        work.conflict(
            entry.origin, name, words(wanted), "uses " + " and ".join(targets), [one.origin for one in board[:3]]
        )
    if not work.keep:
        work.dropped.add(name)
    work.back += made


def _grant(work: Work, allows: Sequence[Allow], meant: dict[DeviceSpec, tuple[str, ...]]) -> None:
    """Add the regions of the sets that devices have, and of those that none has."""
    holders: dict[str, list[str]] = {}
    declared = {one.name for one in allows} | {one.name for one in work.builder.grants}
    for entry in work.configuration.devices:
        if entry.allow and entry.allow not in declared:
            text = f"no `allow` declares the set {entry.allow!r}"
            advice = work.near(entry.allow, declared) or "nothing is granted"
            work.report("CONFIG-SET", "error", entry.origin, text, advice=advice)
        holders.setdefault(entry.allow, []).extend(meant.get(entry.spec, ()))
    for one in allows:
        devices = tuple(dict.fromkeys(holders.get(one.name, ())))
        grant = Grant(one.name, one.start, one.length, one.read, one.write, devices, one.origin)
        work.builder.grants.append(grant)
