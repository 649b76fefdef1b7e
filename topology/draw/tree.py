"""A topology as a tree: each IOMMU with what it controls, then what nothing controls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...base import Origin, format_rid, printable
from ..groups import OVERRIDE, Group, isolation_groups
from ..model import HOST_BRIDGE, IdMap, Interrupt, Iommu, Property, ReservedRegion
from ..resolve import Route
from ..topology import Topology
from ..view import (
    INTERRUPT_SOURCES,
    KINDS,
    MEANINGS,
    Attachment,
    attachments,
    describe,
    grant_words,
    names_in_words,
    root_maps,
    short_origin,
    size,
    stream_words,
)
from .kernel import difference_words, group_words, unit_words

if TYPE_CHECKING:
    from ...parsers.kernel_iommu import KernelView

BOLD, DIM, RED, GREEN, YELLOW, RESET = "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[0m"


MOST_IDS = 12
"""IDs of one device that are listed in its line; `who` lists all."""


@dataclass(slots=True)
class _Line:
    """A line of the tree: a name, words about it, where it is known from, and the lines below it."""

    name: str
    text: str = ""
    origin: Origin | None = None
    colour: str = ""
    children: list[_Line] = field(default_factory=list)


def draw_tree(topology: Topology, *, provenance: bool = False, colour: bool = False) -> str:
    """Return the tree.

    Args:
        topology: what to draw.
        provenance: end each line with the file, table and offset that it is known from.
        colour: use ANSI colours; without them the text is the same.
    """
    attached = attachments(topology)
    regions = _regions_by_unit(topology, attached)
    ranges: dict[str | None, list[IdMap]] = {}
    for one in root_maps(topology):
        ranges.setdefault(one.target, []).append(one)
    members: dict[str, list[Attachment]] = {}
    for attachment in attached:
        for name in attachment.units:
            members.setdefault(name, []).append(attachment)
    lines = [
        _unit_line(topology, unit, ranges.get(unit.name, []), members.get(unit.name, []), regions.get(unit.name, []))
        for unit in topology.iommus.values()
    ]
    lines += _uncontrolled(topology, attached)
    if loose := regions.get(None):
        lines.append(_Line("reserved memory", children=[_region_line(topology, region) for region in loose]))
    if idle := [one for one in topology.grants if not one.devices]:
        children = [_Line(one.name, grant_words(one), one.origin) for one in idle]
        lines.append(_Line("granted to no device", children=children))
    if topology.msi_controllers:
        controllers = [
            _Line(one.name, one.kind + ("" if one.base is None else f", at 0x{one.base:x}"), one.origin)
            for one in topology.msi_controllers.values()
        ]
        lines.append(_Line("MSI controllers", children=controllers))
    bridges = [
        _Line(root.name, ", ".join(str(value) for name, value in root.properties if name == HOST_BRIDGE), root.origin)
        for root in topology.roots.values()
        if any(name == HOST_BRIDGE for name, _ in root.properties)
    ]
    if bridges:
        lines.append(_Line("PCI host bridges", children=bridges))
    groups = isolation_groups(topology, attached)
    if len(groups) > 1 or any(len(one.devices) > 1 or one.cautions or one.unseen for one in groups):
        lines.append(_groups_line(groups))
    for view in topology.kernel_views:
        lines.append(_kernel_line(topology, view, attached))
    out = [_summary(topology)]
    for line in lines:
        out.append("")
        out += _render(line, "", "", provenance, colour)
    return "\n".join(out) + "\n"


def _summary(topology: Topology) -> str:
    """Say what was read, and what it says of the whole machine."""
    tables = [source.kind for source in topology.sources if source.used and source.kind != "pci"]
    functions = sum(len(pci.functions) for pci in topology.pci)
    counted = [kind if (many := tables.count(kind)) == 1 else f"{many} {kind}" for kind in dict.fromkeys(tables)]
    words = [*counted, *([f"{functions} PCI function{'' if functions == 1 else 's'}"] if functions else [])]
    text = "read: " + (", ".join(words) or "nothing that speaks of IOMMUs")
    facts = [
        fact.name if fact.value is True else f"no {fact.name}" if fact.value is False else f"{fact.name} {fact.value}"
        for fact in topology.facts
    ]
    return text + ("\nmachine: " + ", ".join(facts) if facts else "")


def _groups_line(groups: tuple[Group, ...]) -> _Line:
    """Return the isolation groups: those of several devices with the reasons, and how many hold one device."""
    several = [group for group in groups if len(group.devices) > 1 or group.cautions]
    alone = sum(len(group.devices) == 1 for group in groups)
    devices = _counted(sum(len(group.devices) for group in groups), "device")
    words = [f"{len(groups)} of {devices}", *([f"{alone} of one device"] if alone else [])]
    if alone == len(groups):
        words = [devices, "each alone in one" if alone > 1 else "alone in one"]
    if unseen := sum(len(group.unseen) for group in groups):
        words.append(f"bridges and ACS of {_counted(unseen, 'device')} are not known for want of a PCI topology")
    children = []
    for group in several:
        line = _Line(names_in_words(group.devices), colour=YELLOW)
        for reason in group.reasons:
            line.children.append(_Line("why", reason.text, reason.origin))
            line.children.append(_Line("to split", reason.remedy))
        line.children += [_Line("Linux", f"gives {name} no group: {reason}") for name, reason in group.left_out]
        line.children += [_Line("beware", text) for text in group.cautions]
        children.append(line)
    if any(group.wants_acs for group in groups):
        children.append(_Line("beware", OVERRIDE))
    return _Line("isolation groups", _words(*words), children=children)


def _kernel_line(topology: Topology, view: KernelView, attached: list[Attachment]) -> _Line:
    """Return what the running kernel does, and where that differs from what firmware says."""
    from ..kernel import compare

    found = compare(topology, view, attached)
    line = _Line("Linux", f"{_counted(len(view.units), 'unit')}, {_counted(len(view.groups), 'group')}")
    line.children += [_Line(unit.name, unit_words(found, unit), unit.origin) for unit in view.units]
    line.children += [_Line(f"group {one.number}", group_words(found, one), one.origin) for one in view.groups]
    line.children += [_Line("as foretold", f"{name} is in no group: {why}") for name, why in found.as_foretold]
    for one in found.differences:
        line.children.append(_Line("DIFFERS" if one.known else "may differ", difference_words(one), colour=RED))
    if not found.differences and topology.iommus:
        line.children.append(_Line("no difference", "from what firmware says", colour=GREEN))
    elif not found.differences:
        line.children.append(_Line("nothing to compare", "no source given declares an IOMMU"))
    return line


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _unit_line(
    topology: Topology, unit: Iommu, ranges: list[IdMap], members: list[Attachment], regions: list[ReservedRegion]
) -> _Line:
    """Return an IOMMU with all that belongs to it."""
    words = [KINDS.get(unit.kind, unit.kind)]
    if unit.segment is not None:
        words.append(f"segment {unit.segment:04x}")
    if unit.base is not None:
        words.append(f"registers 0x{unit.base:x}" + (f" + {size(unit.size)}" if unit.size else ""))
    words += _property_words(unit.properties)
    if unit.bypass is not None:
        words.append("lets unknown IDs pass" if unit.bypass else "denies unknown IDs")
    if unit.reserved_ids:
        words.append("reserved IDs " + " ".join(f"0x{one:x}" for one in unit.reserved_ids[:MOST_IDS]))
        words[-1] += "" if len(unit.reserved_ids) <= MOST_IDS else f" and {len(unit.reserved_ids) - MOST_IDS} more"
    if not unit.enabled:
        words.append("NOT ENABLED")
    line = _Line(unit.name, ", ".join(words), unit.origin, BOLD + (GREEN if unit.enabled else YELLOW))
    if unit.interrupts:
        line.children.append(_Line("interrupts", _interrupt_words(unit.interrupts)))
    line.children += [_map_line(one) for one in ranges]
    line.children += _nest(topology, unit.name, members)
    line.children += [_region_line(topology, region) for region in regions]
    line.children += [
        _Line("unresolved scope", f"{_path(scope.start_bus, scope.path)}: {scope.reason}", scope.origin, YELLOW)
        for scope in topology.unresolved
        if scope.owner == unit.name
    ]
    return line


def _property_words(properties: tuple[Property, ...]) -> list[str]:
    return [name if value is True else f"{name} {value}" for name, value in properties if value is not False]


def _interrupt_words(interrupts: tuple[Interrupt, ...]) -> str:
    """Say a unit's interrupts; runs of numbered ones (`context 0` to `context 15`) are said in one piece.

    Those of a run count up with it, or are all the same one.
    """
    words: list[str] = []
    index = 0
    while index < len(interrupts):
        first = interrupts[index]
        stem = first.purpose.rpartition(" ")[0]
        last = index
        step = interrupts[index + 1].number - first.number if index + 1 < len(interrupts) else 0
        while stem and last + 1 < len(interrupts) and _continues(interrupts[last], interrupts[last + 1], stem, step):
            last += 1
        text = f"{first.purpose} {first.number}"
        if last > index:
            end = interrupts[last]
            numbers = f"{first.number}" if end.number == first.number else f"{first.number}-{end.number}"
            text = f"{first.purpose}-{end.purpose.rpartition(' ')[2]} {numbers}"
        words.append(text + (f" {first.trigger}" if first.trigger else ""))
        index = last + 1
    return ", ".join(words)


def _continues(one: Interrupt, other: Interrupt, stem: str, step: int) -> bool:
    """Tell whether a run goes on: the numbers of all count up by one, or all are the same."""
    alike = other.purpose.rpartition(" ")[0] == stem and other.trigger == one.trigger
    return alike and step in (0, 1) and other.number == one.number + step


def _map_line(one: IdMap) -> _Line:
    """Return the line of a map of requester IDs."""
    if one.fallback:
        return _Line(one.source, "every function that no other unit names", one.origin)
    if one.single:
        return _Line(one.source, f"every requester ID → {stream_words(one.output)}", one.origin)
    several = one.length > 1
    last = one.base + one.length - 1
    text = f"requester IDs 0x{one.base:04x}-0x{last:04x}" if several else f"requester ID 0x{one.base:04x}"
    if one.covers:
        text += f" behind {one.covers}"
    if one.output is None:
        text += " → no ID"
    elif one.merges:
        text += f" → 0x{one.output:x}"
    elif one.output != one.base:
        text += f" → 0x{one.output:x}" + (f"-0x{one.output + one.length - 1:x}" if several else "")
    if one.mask & 0xFFFF != 0xFFFF:  # noqa: PLR2004 - requester IDs have 16 bits
        text += f" (of which the bits 0x{one.mask & 0xFFFF:04x} count)"
    return _Line(one.source, text, one.origin)


def _nest(topology: Topology, unit: str, attached: list[Attachment]) -> list[_Line]:
    """Return the lines of a unit's devices; functions behind a bridge stand below it when both are the unit's."""
    lines: dict[str, _Line] = {}
    tops = []
    for one in attached:
        line = _device_line(one, unit)
        line.children += _grant_lines(topology, one.device.name)
        lines[one.device.name] = line
        parent = _parent(topology, one)
        if parent is not None and parent in lines:
            lines[parent].children.append(line)
        else:
            tops.append(line)
    return tops


def _parent(topology: Topology, one: Attachment) -> str | None:
    """Return the address of the bridge that a function is behind."""
    if one.device.segment is None or one.device.rid is None:
        return None
    known = topology.function(one.device.segment, one.device.rid)
    bridge = known[0].parent(known[1]) if known else None
    return bridge.address if bridge else None


def _device_line(one: Attachment, unit: str) -> _Line:
    """Return the line of a device: its IDs at the unit first, then what it is."""
    routes = [route for route in one.routes if route.verdict == "controlled" and route.iommu == unit]
    text = _words(_ids(routes), _msi_words(one), describe(one.device))
    return _Line(one.device.name, text, routes[0].hops[-1].origin)


def _grant_lines(topology: Topology, name: str) -> list[_Line]:
    """Return the lines of the memory that a device may use from start."""
    return [
        _Line("granted from start", f"{grant_words(grant)}, {grant.name}", grant.origin)
        for grant in topology.grants
        if name in grant.devices
    ]


def _words(*texts: str) -> str:
    return ", ".join(text for text in texts if text)


def _ids(routes: list[Route]) -> str:
    """Say the IDs under which an IOMMU knows a device."""
    found: dict[str, None] = {}
    for route in routes:
        if route.stream is None:
            found["no ID"] = None
            continue
        text = f"0x{route.stream:x}"
        if route.count > 1:
            text += f"-0x{route.stream + route.count - 1:x}"
        if route.ignored_bits:
            text += f" (but for the bits 0x{route.ignored_bits:x})"
        if route.bridge and text not in found:
            text += f" (by bridge {route.bridge})"
        found[text] = None
    texts = list(found)
    if texts == ["no ID"]:
        return "no ID"
    shown = texts if len(texts) <= MOST_IDS else [*texts[:MOST_IDS], f"and {len(texts) - MOST_IDS} more"]
    plural = len(texts) > 1 or any(route.count > 1 for route in routes)
    return ("IDs " if plural else "ID ") + ", ".join(shown)


def _msi_words(one: Attachment) -> str:
    """Say where a device's message-signalled interrupts go."""
    if one.msi is None:
        return ""
    target, identifier = one.msi
    return f"MSI {target}" + ("" if identifier is None else f" 0x{identifier:x}")


def _uncontrolled(topology: Topology, attached: list[Attachment]) -> Iterator[_Line]:
    """Return the groups of devices that no IOMMU is known to control."""
    silent = [one for one in attached if one.device.kind in INTERRUPT_SOURCES]
    if silent:
        lines = [
            _Line(one.device.name, _words(describe(one.device), _msi_words(one)), one.device.origin) for one in silent
        ]
        yield _Line("interrupt sources", children=lines)
    groups = (
        ("no-iommu", "NO IOMMU", RED),
        ("disabled", "IOMMU NOT ENABLED", RED),
        ("unresolved", "cannot be told", YELLOW),
    )
    for verdict, title, colour in groups:
        found = [
            (one, [route for route in one.routes if route.verdict == verdict])
            for one in attached
            if one.device.kind not in INTERRUPT_SOURCES and any(route.verdict == verdict for route in one.routes)
        ]
        if not found:
            continue
        line = _Line(title, children=[], colour=BOLD + colour)
        for one, routes in found:
            ids = _sent(one, routes) if len(routes) < len(one.routes) else ""
            text = _words(ids, describe(one.device), routes[0].reason, _msi_words(one))
            grants = _grant_lines(topology, one.device.name)
            line.children.append(_Line(one.device.name, text, one.device.origin, children=grants))
        yield line
    bare = [root for root in topology.roots.values() if not _has_unit(topology, root.name) and root.enabled]
    if bare and not topology.silence:
        text = "no IOMMU for its requester IDs"
        yield _Line("PCI roots without IOMMU", children=[_Line(root.name, text, root.origin) for root in bare])


def _sent(one: Attachment, routes: list[Route]) -> str:
    """Say which of a device's IDs the routes are for, when others fare differently."""
    words = []
    for route in routes:
        if route.requester is not None:
            words.append(format_rid(route.requester) if one.device.rid is not None else f"0x{route.requester:x}")
    return "only as " + ", ".join(words) if words else "in part"


def _has_unit(topology: Topology, root: str) -> bool:
    """Tell whether any map of a root leads to an IOMMU; one without IDs, for a boot loader to fill in, does not."""
    return any(one.target in topology.iommus and (one.length or one.single) for one in topology.maps_from(root))


def _region_line(topology: Topology, region: ReservedRegion) -> _Line:
    """Return the line of a reserved region."""
    words = [f"0x{region.start:x}-0x{region.start + region.length - 1:x} ({size(region.length)})", region.kind]
    words.append(MEANINGS[region.meaning])
    if region.physical is not None:
        words.append(f"physical 0x{region.physical:x}")
    if region.devices:
        words.append("for " + " ".join(region.devices))
    words += [f"for {stream.iommu} {stream_words(stream.base, stream.length)}" for stream in region.streams[:MOST_IDS]]
    if len(region.streams) > MOST_IDS:
        words.append(f"and {len(region.streams) - MOST_IDS} more")
    words += [
        f"for a scope that is not resolved ({_path(scope.start_bus, scope.path)})"
        for scope in topology.unresolved
        if scope.owner == f"RMRR 0x{region.start:x}" and region.kind == "rmrr"
    ]
    words += _property_words(region.properties)
    return _Line("reserved", _words(*words), region.origin, YELLOW)


def _regions_by_unit(topology: Topology, attached: list[Attachment]) -> dict[str | None, list[ReservedRegion]]:
    """Return the reserved regions that concern each IOMMU, and under None those that concern none."""
    units_of = {one.device.name: one.units for one in attached}
    found: dict[str | None, list[ReservedRegion]] = {}
    for region in topology.reserved:
        units = {stream.iommu for stream in region.streams}
        units.update(unit for name in region.devices for unit in units_of.get(name, ()))
        for unit in (*sorted(units), *([] if units else [None])):
            found.setdefault(unit, []).append(region)
    return found


def _path(bus: int, path: tuple[tuple[int, int], ...]) -> str:
    return f"bus {bus:02x}, path " + "/".join(f"{device:02x}.{function:x}" for device, function in path)


def _render(line: _Line, lead: str, below: str, provenance: bool, colour: bool) -> Iterator[str]:  # noqa: FBT001
    """Yield the text of a line and of those below it."""
    paint = colour and line.colour
    text = f"{lead}{line.colour if paint else ''}{printable(line.name)}{RESET if paint else ''}"
    if line.text:
        text += f"  {printable(line.text)}"
    if provenance and line.origin is not None:
        where = printable(short_origin(line.origin))
        text += f"  {DIM if colour else ''}[{where}]{RESET if colour else ''}"
    yield text
    for index, child in enumerate(line.children):
        last = index == len(line.children) - 1
        branch, trunk = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _render(child, below + branch, below + trunk, provenance, colour)
