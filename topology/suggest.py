"""A configuration that says what the firmware says, so that it can be pinned, reviewed and edited.

Laid over the same board it changes nothing. What a `.smmu` file cannot say is a remark, and does not change the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..base import Origin, format_pci_address, printable
from ..parsers.smmu_config import (
    Allow,
    Configuration,
    DeviceEntry,
    DeviceSpec,
    MainUnit,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SmmuType,
    Unit,
    Use,
    write_configuration,
)
from ..parsers.smmu_config.hardware import TYPES as HARDWARE
from .merge import TYPES, type_of
from .model import Device, Iommu, ReservedRegion
from .query import reserved_for
from .resolve import Route, routes
from .senders import reaches
from .spaces import Segment, segment_ways
from .topology import Topology

Record = SmmuType | Unit | DeviceEntry | Use | Reserved | Allow
"""What a comment stands above, in the written file."""

MOST_SEGMENT = 0xFFFF
"""The highest PCI segment that a configuration can name."""

_PREFIXES = {"armsmmu": "smmu", "smmuv3": "smmu", "rcar3": "ipmmu", "riscv": "iommu"}


@dataclass(slots=True)
class Suggestion:
    """A configuration, and what people want to know beside it.

    Attributes:
        configuration: says what the board says; its records have the board's origins.
        comments: what to write above a record.
        remarks: what a configuration cannot say.
    """

    configuration: Configuration
    comments: dict[Record, str]
    remarks: list[str]

    def comment(self, record: Record) -> str:
        """Return what to write above a record; empty for nothing."""
        return self.comments.get(record, "")


def suggest(topology: Topology) -> Suggestion:
    """Return the configuration that says what a topology says."""
    return _Writer(topology).run()


@dataclass(slots=True)
class _Entry:
    """A device on its way into the configuration."""

    spec: DeviceSpec
    origin: Origin
    uses: list[Use] = field(default_factory=list)
    reserved: list[Reserved] = field(default_factory=list)


class _Run(NamedTuple):
    """Requester IDs in a row of which one line of a configuration can speak.

    Attributes:
        first: first requester ID.
        last: last requester ID.
        iommu: name of the IOMMU.
        stream: ID of `first` there; None when the IOMMU knows no IDs.
        step: by how much the ID grows from one requester ID to the next.
        unsure: a scope that cannot be followed may hold some of them.
        origins: the places that say so.
    """

    first: int
    last: int
    iommu: str
    stream: int | None
    step: int | None
    unsure: bool
    origins: tuple[Origin, ...]


class _Writer:
    """Goes through one topology; holds what all its parts need."""

    def __init__(self, topology: Topology) -> None:
        """Start with nothing said."""
        self.topology = topology
        self.units: dict[str, Unit] = {}
        self.types: dict[str, SmmuType] = {}
        self.entries: dict[str, _Entry] = {}
        self.comments: dict[Record, str] = {}
        self.remarks: list[str] = []
        self.routes = {name: routes(topology, device) for name, device in topology.devices.items()}

    def run(self) -> Suggestion:
        """Say everything that can be said."""
        for unit in self.topology.iommus.values():
            self.add_unit(unit)
        ranged = self.add_segments()
        for device in self.topology.devices.values():
            self.add_device(device, ranged)
        for region in self.topology.reserved:
            self.add_region(region)
        for name in dict.fromkeys(name for grant in self.topology.grants for name in grant.devices):
            self.add_holder(name)
        devices = tuple(record for name, entry in self.entries.items() for record in self.finished(name, entry))
        allows = tuple(
            Allow(one.name, one.start, one.length, one.read, one.write, one.origin) for one in self.topology.grants
        )
        units = sorted(self.units.values(), key=lambda unit: list(TYPES).index(unit.type))
        types = tuple(self.types[name] for name in TYPES if name in self.types)
        configuration = Configuration("", types, tuple(units), devices, allows)
        return Suggestion(configuration, self.comments, self.remarks)

    def finished(self, name: str, entry: _Entry) -> list[DeviceEntry]:
        """Return the records of a device, one for each of its sets; the first has all else, and a comment."""
        sets = list(dict.fromkeys(one.name for one in self.topology.grants if name in one.devices))
        record = DeviceEntry(entry.spec, entry.origin, next(iter(sets), ""), tuple(entry.uses), tuple(entry.reserved))
        self.comments[record] = printable(str(entry.origin))
        return [record, *(DeviceEntry(entry.spec, entry.origin, one) for one in sets[1:])]

    def add_unit(self, unit: Iommu) -> None:
        """Add a unit when a configuration can say it."""
        kind = type_of(unit.kind)
        why = self.unsaid(unit, kind)
        if why:
            self.remarks.append(f"{unit.name}, and what is behind it: {why} ({unit.origin})")
            return
        facts = dict(unit.properties)
        prefix = _PREFIXES.get(kind, kind)
        count = sum(other.name.startswith(prefix) for other in self.units.values())
        record = Unit(f"{prefix}{count}", kind, unit.base or 0, unit.origin)
        if kind == "armsmmu":
            record = replace(
                record, context_interrupt=_interrupt(unit, "context"), global_interrupt=_interrupt(unit, "global"),
                bypass=bool(unit.bypass), reserved_ids=unit.reserved_ids,
            )  # fmt: skip
        elif kind == "smmuv3" and None not in (_interrupt(unit, "event"), _interrupt(unit, "gerror")):
            record = replace(
                record, context_interrupt=_interrupt(unit, "event"), global_interrupt=_interrupt(unit, "gerror"),
                bypass=unit.bypass,
            )  # fmt: skip
        elif kind == "rcar3":
            record = replace(record, status_bit=int(facts["status bit"]))
        self.units[unit.name] = record
        self.types.setdefault(kind, SmmuType(kind, unit.origin, main=self.main() if kind == "rcar3" else None))
        self.comments[record] = printable(f"{unit.name}, {unit.origin}")

    def unsaid(self, unit: Iommu, kind: str) -> str:
        """Return why a configuration cannot say a unit; empty when it can."""
        main, bit = self.main(), dict(unit.properties).get("status bit")
        wired = None not in (_interrupt(unit, "context"), _interrupt(unit, "global"))
        reasons = (
            (not kind, f"a unit of kind {unit.kind} has no type"),
            (unit.base is None, "its registers have no address"),
            (not unit.enabled, "it is not enabled, and to name a unit is to use it"),
            ("#" in unit.name, "another unit has its address"),
            (kind == "armsmmu" and not wired, "its context and global interrupts are not known"),
            (kind == "rcar3" and main is None, "the fault bit of the main unit is not known (a board module can tell)"),
            (kind == "rcar3" and bit is None, "it has no bit in the interrupt status register"),
            (kind != "armsmmu" and bool(unit.reserved_ids), "it has reserved IDs"),
        )
        return next((text for holds, text in reasons if holds), "")

    def main(self) -> MainUnit | None:
        """Return the main-memory IPMMU, when it is known."""
        for unit in self.topology.iommus.values():
            facts = dict(unit.properties)
            number = _interrupt(unit, "fault")
            if "fault bit" in facts and unit.base is not None and number is not None:
                return MainUnit(unit.base, number, int(facts["fault bit"]))
        return None

    def add_segments(self) -> dict[int, list[_Run]]:
        """Add what the maps of PCI segments say of requester IDs; return the ranges that are said, by segment."""
        said: dict[int, list[_Run]] = {}
        for segment in dict.fromkeys(root.segment for root in self.topology.roots.values()):
            if segment is None:
                continue
            if segment > MOST_SEGMENT:
                self.remarks.append(f"requester IDs of segment {segment:x}: a configuration has no name for it")
                continue
            found = _runs(segment_ways(self.topology, segment)[0])
            if any(one.step is None for one in found):
                self.remarks.append(f"requester IDs of segment {segment:04x}: masks scatter them")
                continue
            for one in found:
                self.add_interval(segment, one, said.setdefault(segment, []))
        for root in self.topology.roots.values():
            if root.segment is None and any(one.carries != "msi" for one in self.topology.maps_from(root.name)):
                self.remarks.append(f"requester IDs of {root.name}: it has no segment number ({root.origin})")
        return said

    def add_interval(self, segment: int, one: _Run, said: list[_Run]) -> None:
        """Add one range of requester IDs."""
        name = format_pci_address(segment, one.first)
        if one.unsure:
            self.remarks.append(f"{name} and on: a scope that cannot be followed may hold some ({one.origins[0]})")
            return
        count = one.last - one.first + 1 if one.step else 1
        uses = self.uses(one.iommu, one.stream, count, one.origins[0])
        by_rid = one.iommu in self.units and TYPES[self.units[one.iommu].type].requester_ids
        if not uses or len(uses) > 1 or (by_rid and (one.stream, one.step) != (one.first, 1)):
            if one.iommu in self.units:
                self.remarks.append(f"{name} and on, at {one.iommu}: these IDs cannot be said ({one.origins[0]})")
            return
        said.append(one)
        spec = PciSpec(segment, one.first, one.last)
        key = name if one.first == one.last else f"{name}-{one.last:x}"
        self.entries[key] = _Entry(spec, one.origins[0], uses)

    def uses(self, iommu: str, stream: int | None, count: int, origin: Origin) -> list[Use]:
        """Return the uses of a unit with some IDs; none when they cannot be said."""
        unit = self.units.get(iommu)
        if unit is None:
            return []
        if TYPES[unit.type].requester_ids:
            return [Use(unit.name, origin)]
        if stream is None or count < 1 or stream + count - 1 > HARDWARE[unit.type].highest:
            return []
        if unit.type == "rcar3":
            return [Use(unit.name, origin, stream + index) for index in range(count)]
        return [Use(unit.name, origin, stream, count)]

    def add_device(self, device: Device, ranged: dict[int, list[_Run]]) -> None:
        """Add a device that has IDs of its own, or that a range does not speak for."""
        found = self.routes[device.name]
        controlled = [route for route in found if route.verdict == "controlled" and route.iommu is not None]
        if not controlled:
            return
        if device.rid is not None and self.is_covered(device, ranged, controlled):
            return
        uses: dict[tuple[str, int | None, int], Use] = {}
        for route in controlled:
            for use in self.uses(route.iommu or "", route.stream, route.count, _origin(route)):
                uses.setdefault((use.unit, use.first, use.count), use)
        said = {self.units[route.iommu].name for route in controlled if route.iommu in self.units}
        spec = _spec(device)
        where = f"{device.name} ({_origin(controlled[0])})"
        if not said:
            return  # the remark of its unit speaks of it
        if spec is None:
            self.remarks.append(f"{where}: a configuration has no name for it")
        elif (
            len(controlled) < len(found)
            or {use.unit for use in uses.values()} != said
            or any(route.iommu not in self.units for route in controlled)
        ):
            self.remarks.append(f"{where}: only a part of its IDs can be said")
        else:
            self.entries[device.name] = _Entry(spec, _origin(controlled[0]), list(uses.values()))
            bits = [f"0x{route.ignored_bits:x}" for route in controlled if route.ignored_bits]
            if bits:
                self.remarks.append(f"{where}: bits {' '.join(dict.fromkeys(bits))} of its ID are ignored")

    def is_covered(self, device: Device, ranged: dict[int, list[_Run]], controlled: list[Route]) -> bool:
        """Tell whether a range says of a function what its routes say."""
        if any(one.carries != "msi" for one in self.topology.maps_from(device.name)):
            return False
        rid = device.rid or 0
        one = next((one for one in ranged.get(device.segment or 0, []) if one.first <= rid <= one.last), None)
        return one is not None and all(route.iommu == one.iommu for route in controlled)

    def add_region(self, region: ReservedRegion) -> None:
        """Add a reserved region to the devices that it concerns."""
        place = f"reserved memory at 0x{region.start:x} ({region.origin})"
        if region.meaning != "direct":
            self.remarks.append(f"{place}: it is not mapped one to one")
            return
        if region.start + region.length > 1 << 64:
            self.remarks.append(f"{place}: it goes past the last 64-bit address")
            return
        concerned = [
            (name, spec)
            for name, device in self.topology.devices.items()
            if region in reserved_for(self.topology, device, tuple(self.routes[name]))
            and (spec := _spec(device)) is not None
        ]
        roots = [name for name in region.devices if name in self.topology.roots]
        concerned += [(name, NamedSpec(name)) for name in roots]
        for name, spec in concerned:
            entry = self.entries.setdefault(name, _Entry(spec, region.origin))
            said = Reserved(region.start, region.length, region.origin)
            entry.reserved += [] if said in entry.reserved else [said]
            self.comments[said] = printable(str(region.origin))
        rest = [name for name in region.devices if name not in dict(concerned)]
        unknown = [f"{one.iommu} ID 0x{one.base:x}" for one in region.streams if not self.is_sent(one.iommu, one.base)]
        if rest or unknown or not concerned:
            self.remarks.append(f"{place}: {' '.join((*rest, *unknown)) or 'no device'} cannot be named")

    def add_holder(self, name: str) -> None:
        """Add a device that has a set, if nothing else is said of it."""
        device = self.topology.devices[name]
        spec = _spec(device)
        if spec is not None:
            self.entries.setdefault(name, _Entry(spec, device.origin))
        else:
            self.remarks.append(f"memory that {name} is granted ({device.origin}): a configuration has no name for it")

    def is_sent(self, iommu: str, stream: int) -> bool:
        """Tell whether a known device sends an ID."""
        return any(reaches(route, iommu, stream) for found in self.routes.values() for route in found)


def _runs(segments: Iterable[Segment]) -> list[_Run]:
    """Return the requester IDs that have an IOMMU, in as few runs as can be."""
    found: list[_Run] = []
    for one in segments:
        way = one.way
        if way.target is None:
            continue
        unsure = way.verdict == "unresolved"
        run = _Run(one.first, one.last, way.target, one.stream, one.step, unsure, one.origins)
        both = _joined(found[-1], run) if found and found[-1].last + 1 == run.first else None
        found[-1:] = [*found[-1:], run] if both is None else [both]
    return found


def _joined(one: _Run, other: _Run) -> _Run | None:
    """Return two neighbours as one when the same holds for both, or when it is open which IDs are whose."""
    if one.iommu != other.iommu:
        return None
    if one.unsure or other.unsure:
        return one._replace(last=other.last, unsure=True) if one.origins == other.origins else None
    if one.stream is None or other.stream is None or None in (one.step, other.step):
        return None
    for step in (1, 0):
        fits = all(run.first == run.last or run.step == step for run in (one, other))
        if fits and one.stream + step * (other.first - one.first) == other.stream:
            return one._replace(last=other.last, step=step)
    return None


def _interrupt(unit: Iommu, purpose: str) -> int | None:
    """Return the first interrupt of a unit for a purpose."""
    return next((one.number for one in unit.interrupts if one.purpose.split(" ")[0] == purpose), None)


def _origin(route: Route) -> Origin:
    return route.hops[-1].origin


def _spec(device: Device) -> DeviceSpec | None:
    """Return what names a device in a configuration; None when nothing does."""
    if device.rid is not None:
        segment = device.segment or 0
        return PciSpec(segment, device.rid, device.rid) if segment <= MOST_SEGMENT else None
    if device.kind == "mmio" and device.base is not None:
        return MmioSpec(device.base)
    if device.kind in ("acpi", "dt") and device.name.startswith(("acpi:\\", "dt:/")) and _is_word(device.name):
        return NamedSpec(device.name)
    return None


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text


def suggestion_text(suggestion: Suggestion) -> str:
    """Return the text of a `.smmu` file: the configuration, and its remarks as comments at the end."""
    written = write_configuration(suggestion.configuration, suggestion.comment)
    remarks = [f"#   {printable(remark)}\n" for remark in suggestion.remarks]
    if not remarks:
        return written
    return written + ("\n" if written else "") + "# A configuration cannot say:\n" + "".join(remarks)
