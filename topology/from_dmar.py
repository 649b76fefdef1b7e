"""What a DMAR says: which VT-d unit controls which PCI function, I/O APIC, HPET or ACPI device.

A unit's scopes name functions by a start bus and a path of (device, function) pairs. A path of one pair is an address;
a longer one leads through bridges, whose secondary bus numbers only the machine's PCI topology tells (VT-d
specification 4.1 §8.3.1). Units with INCLUDE_PCI_ALL take what no other unit of their segment names; Linux asks them
last wherever they stand in the table, and so does this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..base import Finding, Origin, format_pci_address
from ..parsers.acpi import Raw, Table
from ..parsers.acpi.dmar import Andd, Atsr, DeviceScope, Dmar, Drhd, Rhsa, Rmrr, Satc, Sidp
from ..parsers.acpi.dmar.names import (
    HPET,
    IOAPIC,
    NAMESPACE_DEVICE,
    PCI_ENDPOINT,
    PCI_SUB_HIERARCHY,
    SCOPES,
    SIDP_FLAGS,
)
from .builder import TopologyBuilder
from .model import Device, Fact, IdMap, Iommu, Property, ReservedRegion, UnresolvedScope

if TYPE_CHECKING:
    from ..parsers.pci import PciFunction

CLAUSE = "VT-d specification 4.1 §8.3.1"
BRIDGE_CLASS = 0x06
"""Base class of bridges; Linux tolerates such a function with a header of type 0 in a sub-hierarchy scope."""


Scoped = Drhd | Rmrr | Atsr | Satc | Sidp
"""The structures that end with device scopes."""


class _Place(NamedTuple):
    """Where a scope leads: a PCI function, and what is known of it."""

    address: str
    rid: int
    function: PciFunction | None


def add_dmar(builder: TopologyBuilder, table: Table, body: Dmar) -> None:
    """Add what the table says. PCI topologies have been added before, so that paths can be followed."""
    _Reader(builder, table, body).run()


class _Reader:
    """Walks one table; holds what all its parts need."""

    def __init__(self, builder: TopologyBuilder, table: Table, body: Dmar) -> None:
        self.builder = builder
        self.table = table
        self.structures = [one for one in body.structures if not isinstance(one, Raw)]
        self.body = body
        self.units = {(one.segment, one.base) for one in builder.iommus if one.kind == "vtd"}
        self.namespace = {one.device_number: one for one in self.structures if isinstance(one, Andd)}

    def run(self) -> None:
        self.add_facts()
        units = [(one, name) for one in self.structures if isinstance(one, Drhd) if (name := self.add_unit(one))]
        # Linux puts each unit without INCLUDE_PCI_ALL at the front of its list (`dmar_register_drhd_unit`): of two
        # that claim one device, the later in the table has it.
        for unit, name in reversed(units):
            self.add_scopes(unit, name)
        for one in self.structures:
            if isinstance(one, Rmrr):
                self.add_reserved(one)
            elif isinstance(one, Rhsa):
                self.add_affinity(one)
            elif isinstance(one, Atsr | Satc | Sidp):
                self.add_properties(one)

    def report(self, rule: str, severity: Literal["error", "warning", "note"], origin: Origin, message: str,
               **details: str) -> None:  # fmt: skip
        self.builder.findings.append(Finding(rule, severity, origin, message, **details))

    def add_facts(self) -> None:
        """Note what the table's own fields say of the machine."""
        origin = self.table.origin(self.body)
        flags = self.body.flags
        facts: tuple[Property, ...] = (
            ("host address width", self.body.host_address_width + 1),
            ("interrupt remapping", bool(flags & 1)),
            ("x2APIC opt-out", bool(flags & 2)),
            ("DMA protection opt-in", bool(flags & 4)),
        )
        self.builder.facts.extend(Fact(name, value, origin) for name, value in facts)

    def add_unit(self, unit: Drhd) -> str | None:
        """Add a unit and return its name; None for one that cannot be used."""
        origin = self.table.origin(unit, unit.length)
        if not unit.register_base:
            self.report(
                "DMAR-UNIT-BASE", "error", origin, "the unit has no registers", field="Register Base Address",
                found="0", expected="the address of its register set", clause="VT-d specification 4.1 §8.3",
                advice="it is left out (Linux uses no unit at all then: 'Your BIOS is broken; DMAR reported at "
                "address 0')",
            )  # fmt: skip
            return None
        if (unit.segment, unit.register_base) in self.units:
            self.report(
                "DMAR-UNIT-TWICE", "warning", origin, f"the unit at 0x{unit.register_base:x} is declared twice",
                clause="VT-d specification 4.1 §8.3", advice="the second declaration is left out, as Linux does",
            )  # fmt: skip
            return None
        name = self.builder.unique(f"vtd@{unit.register_base:x}")
        self.units.add((unit.segment, unit.register_base))
        properties: tuple[Property, ...] = (("INCLUDE_PCI_ALL", True),) if unit.include_pci_all else ()
        self.builder.iommus.append(
            Iommu(name, "vtd", origin, unit.register_base, unit.register_bytes, unit.segment, properties=properties)
        )
        return name

    def add_scopes(self, unit: Drhd, name: str) -> None:
        """Add what a unit's scopes name, and what INCLUDE_PCI_ALL leaves to it."""
        root = self.builder.segment_root(unit.segment, self.table.origin(unit, unit.length))
        for scope in unit.scopes:
            self.add_scope(name, root, unit, scope)
        if unit.include_pci_all:
            self.builder.maps.append(
                IdMap(root, name, 0, 0x10000, 0, self.table.origin(unit), "INCLUDE_PCI_ALL", fallback=True)
            )

    def add_scope(self, unit: str, root: str, structure: Drhd, scope: DeviceScope) -> None:
        """Add the maps of one scope of a unit."""
        origin = self.table.origin(scope, scope.length)
        if scope.type in (PCI_ENDPOINT, PCI_SUB_HIERARCHY):
            place = self.follow(unit, unit, structure, scope)
            if place is None:
                return
            self.builder.maps.append(IdMap(root, unit, place.rid, 1, place.rid, origin, "device scope"))
            if scope.type == PCI_SUB_HIERARCHY:
                self.add_hierarchy(unit, root, structure, scope, place)
            return
        name = self.device_name(scope, origin)
        if name is None or not scope.path:
            return
        device, function = scope.path[-1]
        source_id = scope.start_bus << 8 | device << 3 & 0xF8 | function & 7
        kind: Literal["ioapic", "hpet", "acpi"] = (
            "ioapic" if scope.type == IOAPIC else "hpet" if scope.type == HPET else "acpi"
        )
        self.builder.device(Device(name, kind, origin))
        self.builder.maps.append(
            IdMap(name, unit, 0, 1, source_id, origin, f"{SCOPES[scope.type]} scope", carries="both", single=True)
        )

    def add_hierarchy(self, unit: str, root: str, structure: Drhd, scope: DeviceScope, place: _Place) -> None:
        """Add the map of what is behind a bridge."""
        origin = self.table.origin(scope, scope.length)
        if place.function is None:
            reason = f"the buses behind {place.address} are not known"
            self.unresolved(unit, unit, structure, scope, reason)
            return
        first, last = place.function.secondary, place.function.subordinate
        if first and last is not None and last >= first:
            length = last - first + 1 << 8
            self.builder.maps.append(
                IdMap(root, unit, first << 8, length, first << 8, origin, "device scope", covers=place.address)
            )

    def device_name(self, scope: DeviceScope, origin: Origin) -> str | None:
        """Return the name of what a scope of type 3 to 5 means."""
        number = scope.enumeration_id
        if scope.type == IOAPIC:
            return f"ioapic:{number}"
        if scope.type == HPET:
            return f"hpet:{number}"
        if scope.type == NAMESPACE_DEVICE:
            if number in self.namespace:
                return f"acpi:{self.namespace[number].object_name}"
            self.report(
                "DMAR-ANDD-MISSING", "error", origin, "no ANDD structure declares the device of a namespace scope",
                field="Enumeration ID", found=str(number), clause="VT-d specification 4.1 §8.7",
                advice="the scope is left out",
            )  # fmt: skip
            return None
        self.report(
            "DMAR-SCOPE-TYPE", "warning", origin, "a device scope of a reserved type", field="Type",
            found=str(scope.type), expected="1 to 5", clause=CLAUSE, advice="it is left out, as Linux does",
        )  # fmt: skip
        return None

    def follow(self, owner: str, iommu: str | None, structure: Scoped, scope: DeviceScope) -> _Place | None:
        """Follow a scope's path to its function; None, with the reason noted, when that cannot be done."""
        if not scope.path:
            return None
        segment = structure.segment
        origin = self.table.origin(scope, scope.length)
        bus = scope.start_bus
        rids = []
        for device, function in scope.path:
            if device > 31 or function > 7:  # noqa: PLR2004 - five and three bits
                self.report(
                    "DMAR-SCOPE-PATH", "error", origin, "a path element cannot be", field="Path",
                    found=f"device {device}, function {function}", expected="at most 31 and 7", clause=CLAUSE,
                    advice="the scope is left out",
                )  # fmt: skip
                return None
        for index, (device, function) in enumerate(scope.path):
            rids.append(bus << 8 | device << 3 | function)
            if index == len(scope.path) - 1:
                break
            if not self.builder.pci:
                reason = f"the buses behind {format_pci_address(segment, rids[-1])} are not known"
                self.unresolved(owner, iommu, structure, scope, reason)
                return None
            bridge = self.bridge(segment, rids[-1])
            if bridge is None:
                self.report(
                    "DMAR-SCOPE-ABSENT", "warning", origin, "the path leads through a bridge that is not there",
                    field="Path", found=format_pci_address(segment, rids[-1]), clause=CLAUSE,
                    advice="the scope is left out; check the bus numbers of the firmware against the PCI topology",
                )  # fmt: skip
                return None
            bus = bridge.secondary or 0
        return self.checked(segment, rids[-1], scope, origin)

    def checked(self, segment: int, rid: int, scope: DeviceScope, origin: Origin) -> _Place | None:
        """Return the place when the function there, if known, is of the kind that the scope says."""
        address = format_pci_address(segment, rid)
        function = self.function(segment, rid)
        if function is not None:
            bridge_header = function.header_type in (1, 2)
            wrong = (
                bridge_header
                if scope.type == PCI_ENDPOINT
                else not bridge_header and function.class_code >> 16 != BRIDGE_CLASS
            )
            if wrong:
                self.report(
                    "DMAR-SCOPE-KIND", "warning", origin, f"{address} is not what the scope says it is", field="Type",
                    found=SCOPES[scope.type], expected="an endpoint" if scope.type != PCI_ENDPOINT else "a bridge",
                    clause=CLAUSE, advice="the scope is left out (Linux: 'Device scope type does not match')",
                )  # fmt: skip
                return None
        elif self.builder.pci:
            self.report(
                "DMAR-SCOPE-ABSENT", "note", origin, f"the scope names {address}, which is not there", clause=CLAUSE
            )
        self.builder.device(Device(address, "pci", origin, segment, rid))
        return _Place(address, rid, function)

    def function(self, segment: int, rid: int) -> PciFunction | None:
        """Return the PCI function at this address, if it is known."""
        found = (topology.functions.get((segment, rid)) for topology in self.builder.pci)
        return next((one for one in found if one), None)

    def bridge(self, segment: int, rid: int) -> PciFunction | None:
        """Return the bridge at this address, if it is known."""
        found = (topology.bridge_at(segment, rid) for topology in self.builder.pci)
        return next((one for one in found if one), None)

    def unresolved(self, owner: str, iommu: str | None, structure: Scoped, scope: DeviceScope, reason: str) -> None:
        """Note a scope that would need the PCI topology."""
        origin = self.table.origin(scope, scope.length)
        kind: Literal["endpoint", "sub-hierarchy"] = "endpoint" if scope.type == PCI_ENDPOINT else "sub-hierarchy"
        self.builder.unresolved.append(
            UnresolvedScope(owner, iommu, structure.segment, scope.start_bus, scope.path, kind, reason, origin)
        )

    def add_reserved(self, region: Rmrr) -> None:
        """Add a reserved memory region for the devices of its scopes."""
        origin = self.table.origin(region, region.length)
        if region.limit <= region.base:
            self.report(
                "DMAR-RMRR-RANGE", "error", origin, "the reserved region ends before it begins",
                field="Reserved Memory Region Limit Address", found=f"0x{region.limit:x}",
                expected=f"more than 0x{region.base:x}", clause="VT-d specification 4.1 §8.4",
                advice="it is left out (Linux: 'Your BIOS is broken; bad RMRR')",
            )  # fmt: skip
            return
        owner = f"RMRR 0x{region.base:x}"
        devices = tuple(dict.fromkeys(self.scope_devices(owner, region)))
        self.builder.reserved.append(
            ReservedRegion("rmrr", region.base, region.limit - region.base + 1, origin, "direct", devices=devices)
        )

    def scope_devices(self, owner: str, structure: Scoped) -> Iterator[str]:
        """Iterate over the names of the devices that a structure's scopes mean."""
        for scope in structure.scopes:
            if scope.type in (PCI_ENDPOINT, PCI_SUB_HIERARCHY):
                place = self.follow(owner, None, structure, scope)
                if place is not None:
                    yield place.address
                continue
            name = self.device_name(scope, self.table.origin(scope, scope.length))
            if name is not None:
                yield name

    def add_affinity(self, affinity: Rhsa) -> None:
        """Add the proximity domain of a unit."""
        fact: Property = ("proximity domain", affinity.proximity_domain)
        units = self.builder.iommus
        for index, unit in enumerate(units):
            if unit.kind == "vtd" and unit.base == affinity.register_base:
                units[index] = replace(unit, properties=(*unit.properties, fact))
                return
        self.report(
            "DMAR-RHSA-UNIT", "warning", self.table.origin(affinity), "no unit has the registers of an RHSA structure",
            field="Register Base Address", found=f"0x{affinity.register_base:x}",
            clause="VT-d specification 4.1 §8.6", advice="it is left out (Linux: a firmware bug line)",
        )  # fmt: skip

    def add_properties(self, structure: Atsr | Satc | Sidp) -> None:
        """Add what ATSR, SATC and SIDP structures say of devices."""
        if isinstance(structure, Atsr) and structure.flags & 1:
            origin = self.table.origin(structure)
            self.builder.facts.append(Fact("ATS on all root ports of segment", f"{structure.segment:04x}", origin))
            return
        for scope in structure.scopes:
            if scope.type not in (PCI_ENDPOINT, PCI_SUB_HIERARCHY):
                continue
            place = self.follow(structure.NAME, None, structure, scope)
            if place is None:
                continue
            for fact in _scope_properties(structure, scope):
                self.builder.describe(place.address, fact)


def _scope_properties(structure: Atsr | Satc | Sidp, scope: DeviceScope) -> Iterator[Property]:
    """Iterate over what the structure says of one of its devices."""
    if isinstance(structure, Atsr):
        yield "ATS", "supported by the root port"
    elif isinstance(structure, Satc):
        yield "ATC", "required" if structure.flags & 1 else "not required"
    else:
        for name, (bit, _) in SIDP_FLAGS.items():
            if scope.flags >> bit & 1:
                yield name, True
