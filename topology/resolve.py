"""Follows IDs through a topology: from a device to its IOMMU, and from an ID at an IOMMU back to devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ..base import Origin, format_pci_address, format_rid, parse_pci_address
from .aliases import OWN, Requester, requesters
from .model import ITSELF, Carries, Device, IdMap, PciRoot
from .topology import Topology

if TYPE_CHECKING:
    from ..parsers.pci import PciFunction

INCLUDE_ALL = "INCLUDE_PCI_ALL"
NO_MAP = "no source names an IOMMU for it"

MOST_HOPS = 64
"""Steps of one ID that are followed. Boards have two; maps of a damaged table can lead on through every ID there is."""

Verdict = Literal["controlled", "no-iommu", "disabled", "unresolved"]
"""`controlled`: the IOMMU is known. `no-iommu`: nothing stands between the device and memory. `disabled`: the source
names an IOMMU and says that it is not in use. `unresolved`: what is needed to tell is not in the sources."""


UNIT_ITSELF = "it is an IOMMU itself, which does not translate its own accesses"
"""Reason of the route of an IOMMU that is a PCI function."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of an ID: from `source` with `source_id`, by a map, to `target` with `target_id`.

    `count` IDs in a row take the same step.
    """

    source: str
    source_id: int | None
    target: str
    target_id: int | None
    rule: str
    origin: Origin
    count: int = 1


@dataclass(frozen=True, slots=True)
class Route:
    """What becomes of one ID that a device sends.

    Attributes:
        requester: the requester ID, or the component's own ID; None for a device that has none.
        why: why the device sends this ID.
        why_origin: where that is known from.
        bridge: address of the bridge that puts this ID in place of the device's own; empty when none does.
        verdict: see `Verdict`.
        iommu: name of the IOMMU; when unresolved, the one that takes what nothing else does, if there is one.
        stream: the ID at the IOMMU; None when it knows no IDs.
        count: number of IDs in a row that the route is for, from `requester` and `stream`.
        ignored_bits: bits of `stream` that the IOMMU ignores.
        hops: the way to the IOMMU.
        msi_hops: the way of message-signalled interrupts to their controller.
        reason: why there is no IOMMU, or why it cannot be told.
    """

    requester: int | None
    why: str
    why_origin: Origin | None
    verdict: Verdict
    iommu: str | None
    stream: int | None
    count: int = 1
    ignored_bits: int = 0
    hops: tuple[Hop, ...] = ()
    msi_hops: tuple[Hop, ...] = ()
    reason: str = ""
    bridge: str = ""


def routes(topology: Topology, device: Device) -> list[Route]:
    """Return what becomes of every ID that a device sends; at least one route."""
    if device.segment is not None and device.rid is not None:
        found = _function_routes(topology, device, device.segment, device.rid)
        return [_concluded(topology, route) for route in found]
    maps = topology.maps_from(device.name)
    starts = [one for one in maps if one.carries != "msi"]
    if not starts:
        msi = _msi_hops(topology, device.name, None)
        return [_concluded(topology, Route(None, "", None, "no-iommu", None, None, msi_hops=msi, reason=NO_MAP))]
    return [_concluded(topology, _component_route(topology, device, one)) for one in starts]


def _function_routes(topology: Topology, device: Device, segment: int, rid: int) -> list[Route]:
    """Return what becomes of the requester IDs of a PCI function: by its root, and by maps of its own."""
    known = topology.function(segment, rid)
    sent = requesters(*known) if known else [Requester(rid, OWN)]
    physical = _physical_rid(known[1]) if known else None
    by_root = [_segment_route(topology, segment, one, physical) for one in sent]
    stated = [one for one in topology.maps_from(device.name) if one.carries != "msi"]
    own = []
    for one in stated:
        alike = next((route for route in by_root if route.requester == one.base), by_root[0])
        begun = replace(
            alike, requester=one.base, verdict="no-iommu", iommu=None, stream=None, count=one.length, hops=(), reason=""
        )
        own.append(_finish(topology, begun, device.name, one))
    return own if any(one.overrides for one in stated) else [*by_root, *own]


def route_rid(topology: Topology, segment: int, rid: int) -> Route:
    """Return what becomes of a requester ID of a segment, whether or not a function with it is known."""
    return _concluded(topology, _segment_route(topology, segment, Requester(rid, OWN), None))


def route_root_rid(topology: Topology, root: PciRoot, rid: int) -> Route:
    """Return what becomes of a requester ID at one root; for roots whose segment nobody tells."""
    return _concluded(topology, _root_route(topology, [root], Requester(rid, OWN), None, format_rid(rid)))


def _concluded(topology: Topology, route: Route) -> Route:
    """Return the route; that it has no IOMMU is only concluded from sources that could have named one."""
    if route.verdict == "no-iommu" and topology.silence:
        return replace(route, verdict="unresolved", reason=topology.silence)
    return route


def interrupt_route(device: Device, found: Sequence[Route]) -> Route:
    """Return the route of the ID that a device's message-signalled interrupts carry.

    Behind bridges of conventional PCI it is the ID that the bridge gives them (the rule of Linux's
    `pci_msi_domain_get_msi_rid`, which is asked for each alias with the bridge that makes it).
    """
    chosen = found[0]
    for route in found[1:]:
        maker = parse_pci_address(route.bridge)
        if device.rid is None or maker is None or route.requester is None or chosen.requester is None:
            continue
        bus = chosen.requester >> 8
        if maker[1] >> 8 != bus or route.requester >> 8 != bus:
            chosen = route
    return chosen


def match(maps: list[IdMap], number: int, purpose: Carries) -> IdMap | None:
    """Return the map that takes an ID: the first that holds it, fallbacks last.

    The last ID of a range that gives way (`tentative_last`) goes to a later range that begins with it, as Linux reads
    an IORT.
    """
    held = None
    for one in maps:
        if one.carries not in (purpose, "both") or one.fallback:
            continue
        if one.single:
            return one
        masked = number & one.mask
        if not one.base <= masked < one.base + one.length:
            continue
        if held is not None:
            if masked == one.base:
                return one
            continue
        if one.tentative_last and masked == one.base + one.length - 1:
            held = one
            continue
        return one
    return held or next((one for one in maps if one.fallback and one.carries in (purpose, "both")), None)


def apply(one: IdMap, number: int | None) -> int | None:
    """Return what an ID becomes by a map that holds it."""
    if one.output is None:
        return None
    return one.output if one.single or one.merges or number is None else one.output + (number & one.mask) - one.base


def _physical_rid(function: PciFunction) -> int | None:
    """Return the requester ID of the physical function that a virtual function belongs to."""
    address = parse_pci_address(function.physfn or "")
    return address[1] if address else None


def _segment_route(topology: Topology, segment: int, requester: Requester, physical: int | None) -> Route:
    """Follow one requester ID of a segment."""
    rid = requester.rid
    roots = topology.segment_roots(segment, rid >> 8)
    name = format_pci_address(segment, rid)
    if not roots and any(root.segment is None for root in topology.roots.values()):
        reason = "no source says which PCI host has which segment; name the host and the function, as HOST/bb:dd.f"
        return replace(_begun(requester, reason=reason), verdict="unresolved")
    route = _root_route(topology, roots, requester, physical, name)
    if route.verdict == "no-iommu" or (route.hops and route.hops[0].rule == INCLUDE_ALL):
        reason = _open_scopes(topology, segment, rid)
        if reason:
            return replace(route, verdict="unresolved", stream=None, hops=(), reason=reason)
    return route


def _root_route(
    topology: Topology, roots: list[PciRoot], requester: Requester, physical: int | None, name: str
) -> Route:
    """Follow one requester ID from the first of the roots that has a map for it."""
    rid = requester.rid
    found = None
    for root in roots:
        found = _root_match(topology, root, rid)
        if physical is not None and (found is None or found.fallback):
            # VT-d scopes name physical functions only; their virtual functions follow them.
            found = _root_match(topology, root, physical)
        if found is not None:
            name = root.name
            break
    start = name if found else roots[0].name if roots else name
    msi = _msi_hops(topology, start, rid)
    if found is None or found.target is None:
        return _begun(requester, msi, _why_none(topology, rid, found, roots))
    return _finish(topology, _begun(requester, msi), name, found)


def _begun(requester: Requester, msi: tuple[Hop, ...] = (), reason: str = "") -> Route:
    """Return the route of a requester ID that has come nowhere yet."""
    return Route(
        requester.rid, requester.why, requester.origin, "no-iommu", None, None,
        msi_hops=msi, reason=reason, bridge=requester.bridge,
    )  # fmt: skip


def _root_match(topology: Topology, root: PciRoot, rid: int) -> IdMap | None:
    """Return the map of a root that takes a requester ID.

    A map straight to an MSI controller names no IOMMU, and leaves the ID to other maps: Linux asks a VIOT for what the
    IORT sends to an ITS only (`acpi_iommu_configure_id`).
    """
    maps = topology.maps_for(root.name, rid)
    found = match(maps, rid, "dma")
    if found is not None and found.target in topology.msi_controllers:
        found = match([one for one in maps if one.target not in topology.msi_controllers], rid, "dma") or found
    return found


def _component_route(topology: Topology, device: Device, first: IdMap) -> Route:
    """Follow one map of a device that is no PCI function."""
    number = None if first.single else first.base
    # Of a range, nothing says which ID the device takes, so none for its interrupts either.
    msi = _msi_hops(topology, device.name, number) if first.length == 1 else ()
    route = Route(number, first.rule, first.origin, "no-iommu", None, None, first.length, msi_hops=msi)
    if first.target is None:
        return replace(route, reason="the map leads to no unit")
    if not (first.length or first.single):
        return replace(route, requester=None, count=1, reason="its map has no IDs; a boot loader is to fill it in")
    return _finish(topology, route, device.name, first)


def _finish(topology: Topology, begun: Route, start: str, first: IdMap) -> Route:
    """Walk on from the first map until an IOMMU is reached, and complete the route."""
    hops: list[Hop] = []
    current: IdMap | None = first
    place, identifier = start, begun.requester
    seen = set()
    while current is not None and current.target is not None:
        if (place, identifier) in seen or len(hops) == MOST_HOPS:
            return replace(begun, hops=tuple(hops), reason="the maps lead in a circle")
        seen.add((place, identifier))
        after = apply(current, identifier)
        hops.append(Hop(place, identifier, current.target, after, current.rule, current.origin, begun.count))
        place, identifier = current.target, after
        if place in topology.iommus:
            enabled = topology.iommus[place].enabled
            return replace(
                begun,
                verdict="controlled" if enabled else "disabled",
                iommu=place,
                stream=after,
                ignored_bits=current.ignored_bits,
                hops=tuple(hops),
                reason="" if enabled else f"{place} is not enabled, so accesses are not translated",
            )
        current = match(topology.maps_for(place, identifier or 0), identifier or 0, "dma")
    return replace(begun, hops=tuple(hops), reason=f"the maps lead to {place}, and to no IOMMU")


def _msi_hops(topology: Topology, start: str, number: int | None) -> tuple[Hop, ...]:
    """Walk from a root or device to an MSI controller."""
    hops: list[Hop] = []
    place, identifier = start, number
    seen = set()
    while (place, identifier) not in seen and len(hops) < MOST_HOPS:
        seen.add((place, identifier))
        one = match(topology.maps_for(place, identifier or 0), identifier or 0, "msi")
        if one is None or one.target is None:
            break
        after = apply(one, identifier)
        hops.append(Hop(place, identifier, one.target, after, one.rule, one.origin))
        if one.target in topology.msi_controllers:
            return tuple(hops)
        place, identifier = one.target, after
    return ()


def _open_scopes(topology: Topology, segment: int, rid: int) -> str:
    """Say which unresolved scopes may hold a requester ID that no resolved one holds; empty when none may."""
    possible = []
    for scope in topology.unresolved:
        if scope.iommu is None or scope.segment != segment or rid >> 8 <= scope.start_bus:
            continue
        if scope.kind == "endpoint" and scope.path[-1] != (rid >> 3 & 0x1F, rid & 7):
            continue
        if scope.iommu not in possible:
            possible.append(scope.iommu)
    if not possible:
        return ""
    units = " or ".join(possible)
    return f"it may be behind a bridge of a scope of {units}; give a PCI topology (pci.json, or a copy of /sys)"


def _why_none(topology: Topology, rid: int, found: IdMap | None, roots: list[PciRoot]) -> str:
    """Say why a requester ID has no IOMMU."""
    if found is not None and found.rule == ITSELF:
        return UNIT_ITSELF
    if found is not None:
        return "the map that takes its ID leads to no unit"
    if roots:
        return f"no map of {roots[0].name} takes requester ID 0x{rid:04x} ({format_rid(rid)})"
    return "no source says anything of its PCI segment and bus" if topology.iommus else "the sources declare no IOMMU"
