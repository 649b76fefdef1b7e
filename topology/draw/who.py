"""Answers about one device, ID or address, as text and as JSON."""

from __future__ import annotations

import json
from typing import Any

from ...base import Origin, format_rid, printable
from ..cost import cost
from ..groups import OVERRIDE
from ..query import Answer, Place
from ..resolve import Hop, Route, interrupt_route
from ..senders import Sender
from ..view import MEANINGS, describe, grant_words, names_in_words, short_origin, size
from .json import grant_object, group_object, origin_object, region_object, route_object

VERDICTS = {
    "controlled": "",
    "no-iommu": "no IOMMU: it reaches all of memory",
    "disabled": "its IOMMU is not enabled: it reaches all of memory",
    "unresolved": "this cannot be told",
}


def draw_answer(answer: Answer, *, costs: bool = False) -> str:
    """Return what is known of a device, each step with its place in the sources; `costs`: of reserved memory too."""
    lines = [f"{answer.device.name}  {describe(answer.device)}".rstrip()]
    if not answer.listed:
        lines.append("  no source lists this function; this is what becomes of its ID")
    for route in answer.routes:
        lines += _route_lines(answer, route)
    for unit, stream, names in answer.sharers:
        lines.append(f"  ID 0x{stream:x} of {unit} is shared with {', '.join(names)}: they cannot be told apart by it")
    lines += _group_lines(answer)
    if msi := interrupt_route(answer.device, answer.routes).msi_hops:
        lines.append("  its message-signalled interrupts")
        lines += [_hop_line(hop) for hop in msi]
    for region in answer.reserved:
        extent = f"0x{region.start:x}-0x{region.start + region.length - 1:x} ({size(region.length)})"
        lines.append(f"  reserved memory {extent}, {region.kind}, {MEANINGS[region.meaning]}{_where(region.origin)}")
    lines += _cost_lines(answer) if costs else []
    for grant in answer.grants:
        lines.append(f"  granted from start {grant_words(grant)}, {grant.name}{_where(grant.origin)}")
    return "\n".join(printable(line) for line in lines) + "\n"


def _group_lines(answer: Answer) -> list[str]:
    """Return the lines of the isolation group: who is in it, why, and what would split it."""
    group = answer.group
    if group is None:
        return []
    others = [name for name in group.devices if name != answer.device.name]
    blind = "" if not group.unseen else " (no PCI topology lists it, so its bridges and ACS are not known)"
    if not others:
        return [f"  alone in its isolation group{blind}", *(f"    beware: {text}" for text in group.cautions)]
    blind = f" (bridges and ACS of {names_in_words(group.unseen)} are not known)" if group.unseen else ""
    lines = [f"  in one isolation group with {names_in_words(others)}{blind}"]
    for reason in group.reasons:
        lines.append(f"    why: {reason.text}{_where(reason.origin)}")
        lines.append(f"    to split: {reason.remedy}")
    lines += [f"    Linux gives {name} no group: {reason}" for name, reason in group.left_out]
    lines += [f"    beware: {text}" for text in (*group.cautions, *([OVERRIDE] if group.wants_acs else []))]
    return lines


def _cost_lines(answer: Answer) -> list[str]:
    """Return what the reserved memory costs that must stay mapped."""
    found = cost(answer.reserved)
    if found is None:
        return ["    costs nothing: no reserved memory has to stay mapped for this device"]
    rounding = f", {size(found.rounding)} of it by rounding to whole pages" if found.rounding else ""
    tables = f"{size(found.small)} with pages of 4 KiB, {size(found.large)} with the largest pages that fit"
    return [
        f"    costs {size(found.memory)} of memory that nobody else gets{rounding}",
        f"    costs page tables of {found.levels} levels, in each domain that maps it: {tables}",
    ]


def _route_lines(answer: Answer, route: Route) -> list[str]:
    """Return the lines of one route."""
    sent = ""
    if route.requester is not None:
        is_pci = answer.device.rid is not None
        number = f"requester ID 0x{route.requester:04x} ({format_rid(route.requester)})" if is_pci else (
            f"ID 0x{route.requester:x}" + (f" to 0x{route.requester + route.count - 1:x}" if route.count > 1 else "")
        )  # fmt: skip
        sent = f"  {number}, {route.why}{_where(route.why_origin if is_pci else None)}"
    lines = [sent] if sent else []
    lines += [_hop_line(hop) for hop in route.hops]
    if route.ignored_bits:
        lines.append(f"       of this ID, the bits 0x{route.ignored_bits:x} are ignored")
    if route.verdict != "controlled":
        lines.append(f"    {VERDICTS[route.verdict]} ({route.reason})")
    return lines


def _hop_line(hop: Hop) -> str:
    """Return the line of one step."""
    identifier = "" if hop.target_id is None else f" ID 0x{hop.target_id:x}"
    if hop.count > 1 and hop.target_id is not None:
        identifier = f" IDs 0x{hop.target_id:x}-0x{hop.target_id + hop.count - 1:x}"
    return f"    → {hop.target}{identifier}, by {hop.rule}{_where(hop.origin)}"


def _where(origin: Origin | None) -> str:
    return f"  [{short_origin(origin)}]" if origin is not None and origin.source else ""


def draw_senders(iommu: str, stream: int, found: list[Sender]) -> str:
    """Return who sends an ID to an IOMMU."""
    lines = [f"ID 0x{stream:x} of {iommu}" + ("" if found else "  nobody that the sources speak of sends it")]
    for sender in found:
        words = describe(sender.device) if sender.device is not None else "no source lists this function"
        lines.append(f"  {sender.name}  {words}".rstrip())
        if sender.route.bridge:
            lines.append(f"    {sender.route.why}{_where(sender.route.why_origin)}")
        lines += [_hop_line(hop) for hop in sender.route.hops]
    if len(found) > 1:
        lines.append(f"  these {len(found)} cannot be told apart by this ID")
    return "\n".join(printable(line) for line in lines) + "\n"


def draw_places(address: int, found: list[Place]) -> str:
    """Return what an address falls in."""
    lines = [f"0x{address:x}" + ("" if found else "  nothing that the sources speak of")]
    lines += [f"  {place.name}, {place.extent}{_where(place.origin)}" for place in found]
    return "\n".join(printable(line) for line in lines) + "\n"


def answer_json(answer: Answer, *, costs: bool = False) -> str:
    """Return what is known of a device as JSON; `costs`: what its reserved memory costs, in bytes, too."""
    found = cost(answer.reserved) if costs else None
    told = None if found is None else {name: getattr(found, name) for name in found.__slots__}
    return _dump(
        {
            "device": answer.device.name,
            "listed": answer.listed,
            "properties": dict(answer.device.properties),
            "routes": [route_object(route) for route in answer.routes],
            "reserved": [region_object(region) for region in answer.reserved],
            "grants": [grant_object(grant) for grant in answer.grants],
            "group": None if answer.group is None else group_object(answer.group),
            "sharers": [
                {"iommu": unit, "id": stream, "devices": list(names)} for unit, stream, names in answer.sharers
            ],
        }
        | ({"cost": told} if costs else {})
    )


def senders_json(iommu: str, stream: int, found: list[Sender]) -> str:
    """Return who sends an ID as JSON."""
    senders = [{"name": one.name, "listed": one.device is not None, "route": route_object(one.route)} for one in found]
    return _dump({"iommu": iommu, "id": stream, "senders": senders})


def places_json(address: int, found: list[Place]) -> str:
    """Return what an address falls in as JSON."""
    places = [
        {
            "name": one.name,
            "start": f"0x{one.start:x}",
            "length": f"0x{one.length:x}",
            "origin": origin_object(one.origin),
        }
        for one in found
    ]
    return _dump({"address": f"0x{address:x}", "places": places})


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"
