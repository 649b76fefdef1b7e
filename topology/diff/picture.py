"""A topology reduced to what it means: things with what is said of them, in a form that does not depend on the source.

Two topologies that mean the same have equal pictures, however their tables are ordered, divide ranges or name files. So
names of structures, nodes and drivers are left out, and PCI roots are known by their segment. Where each statement was
read stays beside it, and is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ...base import Origin
from ..model import CONFIGURED_AS, Device, Iommu, PciRoot, Property, ReservedRegion, UnresolvedScope
from ..resolve import interrupt_route
from ..spaces import root_ways, segment_ways
from ..topology import Topology
from ..view import Attachment, attachments
from .regions import region_piece, stream_pieces
from .values import Access, Many, Names, Said, Spread, Value, Ways, spread

KINDS = ("unit", "msi", "device", "space", "reserved", "grants", "machine")
"""Kinds of things, in the order in which they are shown."""

WITHOUT_DMA = ("pmcg", "iwb")
"""Kinds of devices that write interrupt messages and nothing else."""

_PLATFORM = ("acpi", "dt", "mmio")
_COSMETIC = frozenset(
    {"node", "compatible", "driver", "host bridge", "path", "ID is", "own MSI", "id", "class", CONFIGURED_AS}
)
_ONE_NAME = {"COHACC override": "coherent walk", "ats-supported": "ATS supported", "ATS Supported": "ATS supported"}
_SAYS_NOTHING = frozenset({("model", "generic SMMUv3")})


class Subject(NamedTuple):
    """One thing of a picture: its kind (see `KINDS`), and its name among those of its kind."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """What is said of one thing.

    Attributes:
        fields: values by the name of what they tell; no value is empty.
        origins: where the thing itself is declared; not compared.
    """

    fields: dict[str, Value]
    origins: tuple[Origin, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """All things of a topology. The order of the items is that of the sources, and is not compared."""

    items: dict[Subject, Item]

    def renamed(self, names: Names) -> Picture:
        """Return the same with the other side's names."""
        if not names:
            return self
        return Picture(
            {
                Subject(subject.kind, names.get(subject.name, subject.name)): Item(
                    {name: value.renamed(names) for name, value in item.fields.items()}, item.origins
                )
                for subject, item in self.items.items()
            }
        )

    def of(self, kind: str) -> dict[str, Item]:
        """Return the things of one kind by name."""
        return {subject.name: item for subject, item in self.items.items() if subject.kind == kind}


def picture(topology: Topology) -> Picture:
    """Return the picture of a topology."""
    items: dict[Subject, Item] = {}
    for unit in topology.iommus.values():
        items[Subject("unit", unit.name)] = _unit(topology, unit)
    for controller in topology.msi_controllers.values():
        fields = _words(
            controller.origin,
            ("kind", "gic-its" if controller.kind == "its" else controller.kind),
            ("registers", _address(controller.base)),
            ("state", _state(enabled=controller.enabled)),
        )
        items[Subject("msi", controller.name)] = Item(fields, (controller.origin,))
    for attachment in attachments(topology):
        items[Subject("device", attachment.device.name)] = _device(attachment)
    items.update(_spaces(topology))
    items.update(_reserved(topology))
    items.update(_grants(topology))
    machine: dict[str, Value] = {}
    for fact in topology.facts:
        _tell(machine, fact.name, str(_word(fact.value)), fact.origin)
    if machine:
        items[Subject("machine", "")] = Item(machine, tuple(dict.fromkeys(fact.origin for fact in topology.facts)))
    return Picture(items)


def _tell(fields: dict[str, Value], name: str, element: str, origin: Origin) -> None:
    """Add an element to a field that is a set of words."""
    known = fields.setdefault(name, Many({}))
    if isinstance(known, Many):
        known.said.setdefault(element, (origin,))


def _word(value: str | int | bool) -> str | int:  # noqa: FBT001
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _words(origin: Origin, *pairs: tuple[str, str | int | None]) -> dict[str, Value]:
    """Return fields of one element each; those of which nothing is known are left out."""
    return {name: Many({str(value): (origin,)}) for name, value in pairs if value is not None}


def _address(address: int | None) -> str | None:
    return None if address is None else f"0x{address:x}"


def _state(*, enabled: bool) -> str:
    return "enabled" if enabled else "not enabled"


def _properties(fields: dict[str, Value], properties: tuple[Property, ...], origin: Origin) -> None:
    """Add the properties that mean something, under one name whatever the source calls them."""
    for fact in properties:
        name, value = fact
        if name not in _COSMETIC and fact not in _SAYS_NOTHING:
            _tell(fields, _ONE_NAME.get(name, name), str(_word(value)), origin)


def _unit(topology: Topology, unit: Iommu) -> Item:
    """Return what is said of an IOMMU."""
    origin = unit.origin
    fields = _words(
        origin,
        ("kind", unit.kind),
        ("segment", None if unit.segment is None else f"{unit.segment:04x}"),
        ("registers", _address(unit.base)),
        ("size of registers", _address(unit.size)),
        ("state", _state(enabled=unit.enabled)),
        ("IDs", "yes" if unit.id_cells else "no, it has a single master"),
        ("other IDs", None if unit.bypass is None else "let through" if unit.bypass else "refused"),
    )
    for one in unit.interrupts:
        _tell(fields, "interrupts", f"{one.purpose} {one.number} {one.trigger}".rstrip(), origin)
    if unit.reserved_ids:
        fields["reserved IDs"] = spread(("reserved", number, 1, origin) for number in unit.reserved_ids)
    _properties(fields, unit.properties, origin)
    own = list(_own_interrupts(topology, unit))
    if own:
        fields["own interrupt messages"] = spread(own)
    for scope in topology.unresolved:
        if scope.owner == unit.name:
            _tell(fields, "scopes not resolved", _scope(scope), scope.origin)
    return Item(fields, (origin,))


def _own_interrupts(topology: Topology, unit: Iommu) -> Iterator[Said]:
    """Iterate over where the interrupt messages of a unit itself go."""
    for name, value in unit.properties:
        target, found, identifier = str(value).rpartition(" device ID 0x")
        if name == "own MSI" and found:
            yield Access("msi", target), int(identifier, 16), 1, unit.origin
    for one in topology.maps_from(unit.name):
        if one.carries == "msi" and one.target is not None:
            numbers = "none" if one.output is None else "stream"
            yield Access("msi", one.target, numbers), one.output or 0, one.length, one.origin


def _scope(scope: UnresolvedScope) -> str:
    path = "/".join(f"{device:02x}.{function:x}" for device, function in scope.path)
    return f"{scope.kind} in segment {scope.segment:04x}, bus {scope.start_bus:02x}, path {path}"


def _device(attachment: Attachment) -> Item:
    """Return what is said of a device."""
    device = attachment.device
    kind = "platform" if device.kind in _PLATFORM else device.kind
    fields = _words(device.origin, ("kind", kind), ("state", _state(enabled=device.enabled)))
    function = _function(device)
    if function:
        _tell(fields, "function", function, device.origin)
    _properties(fields, device.properties, device.origin)
    if device.kind not in WITHOUT_DMA:
        fields["access"] = _access(attachment)
    hops = interrupt_route(device, attachment.routes).msi_hops
    if hops:
        last = hops[-1]
        label = Access("msi", last.target, "none" if last.target_id is None else "stream")
        fields["interrupts"] = spread([(label, last.target_id or 0, 1, last.origin)])
    return Item(fields, (device.origin,))


def _function(device: Device) -> str:
    """Return what a PCI function is: vendor and device, and what its class is called."""
    properties = dict(device.properties)
    if "id" not in properties:
        return ""
    from ...parsers.pci.names import class_name

    return f"{properties['id']} {class_name(int(str(properties['class']), 16))}"


def _access(attachment: Attachment) -> Spread:
    """Return how IOMMUs know a device, and which of its requests meet none."""
    pieces: list[Said] = []
    for route in attachment.routes:
        origin = route.hops[-1].origin if route.hops else attachment.device.origin
        if route.stream is not None:
            # Bits that the IOMMU ignores make no difference, whatever is written in them.
            first = route.stream & ~route.ignored_bits if route.count == 1 else route.stream
            pieces.append(
                (Access(route.verdict, route.iommu, "stream", route.ignored_bits), first, route.count, origin)
            )
        elif route.verdict in ("controlled", "disabled") or route.requester is None:
            pieces.append((Access(route.verdict, route.iommu, "none"), 0, 1, origin))
        else:
            pieces.append((Access(route.verdict, route.iommu, "sent"), route.requester, route.count, origin))
    return spread(pieces)


def _spaces(topology: Topology) -> Iterator[tuple[Subject, Item]]:
    """Iterate over the PCI ID spaces: one for each segment, and one for each root whose segment nobody tells."""
    members: dict[int | str, list[PciRoot]] = {}
    for root in topology.roots.values():
        members.setdefault(root.name if root.segment is None else root.segment, []).append(root)
    for key, roots in members.items():
        name = key if isinstance(key, str) else f"pci:{key:04x}"
        fields: dict[str, Value] = {}
        enabled = [root for root in roots if root.enabled]
        _tell(fields, "state", _state(enabled=bool(enabled)), roots[0].origin)
        buses = [
            ("buses", root.first_bus, root.last_bus - root.first_bus + 1, root.origin)
            for root in enabled
            if root.last_bus >= root.first_bus
        ]
        if buses:
            fields["buses"] = spread(buses)
        for root in roots:
            _properties(fields, root.properties, root.origin)
        ways, interrupts = root_ways(topology, roots[0]) if isinstance(key, str) else segment_ways(topology, key)
        fields["requester IDs"] = Ways(ways)
        if interrupts:
            fields["interrupts"] = Ways(interrupts)
        yield Subject("space", name), Item(fields, tuple(root.origin for root in roots))


def _reserved(topology: Topology) -> Iterator[tuple[Subject, Item]]:
    """Iterate over the reserved memory of each device, of IDs of each unit, and of nobody."""
    owners: dict[str, dict[str, list[Said]]] = {}
    said: dict[str, list[ReservedRegion]] = {}
    for region in topology.reserved:
        names = region.devices or (() if region.streams else ("",))
        for name in names if region.length > 0 else ():
            owners.setdefault(name, {}).setdefault("memory", []).append(region_piece(region))
            said.setdefault(name, []).append(region)
    for unit, pieces in stream_pieces(topology.reserved).items():
        owners.setdefault(unit, {}).setdefault("memory of IDs", []).extend(pieces)
    scopes: dict[str, dict[str, Value]] = {}
    for scope in topology.unresolved:
        if scope.owner not in topology.iommus:
            _tell(scopes.setdefault(scope.owner, {}), "scopes not resolved", _scope(scope), scope.origin)
    for name in dict.fromkeys((*owners, *scopes)):
        fields: dict[str, Value] = {what: spread(pieces) for what, pieces in owners.get(name, {}).items()}
        fields.update(scopes.get(name, {}))
        yield Subject("reserved", name), Item(fields, tuple(region.origin for region in said.get(name, ())))


def _grants(topology: Topology) -> Iterator[tuple[Subject, Item]]:
    """Iterate over the memory that a configuration grants to each device; what no device has is of nobody."""
    owners: dict[str, list[Said]] = {}
    for grant in topology.grants:
        for name in grant.devices or ("",):
            for label, holds in (("read", grant.read), ("write", grant.write)):
                if holds and grant.length:
                    owners.setdefault(name, []).append((label, grant.start, grant.length, grant.origin))
    for name, pieces in owners.items():
        origins = tuple(dict.fromkeys(origin for *_, origin in pieces))
        yield Subject("grants", name), Item({"memory": spread(pieces)}, origins)
