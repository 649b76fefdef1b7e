"""Rules of the device scopes of a DMAR: what units, root ports, ACPI devices and interrupt sources they name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...base import Finding, Origin, Severity, format_pci_address
from ...parsers.acpi import Raw, Table
from ...parsers.acpi.dmar import Andd, Atsr, Drhd, Rmrr, Satc, ScopedStructure, Sidp
from ...parsers.acpi.dmar.names import HPET, IOAPIC, NAMESPACE_DEVICE, PCI_ENDPOINT, PCI_SUB_HIERARCHY, SCOPES
from ...parsers.acpi.dmar.records import DeviceScope
from ...parsers.acpi.record import shown
from .board import Board
from .dmar import INTR_REMAP
from .dmar_walk import PCI_SCOPES, field_origin, function_at, place, scope_name, segments, structures, whole
from .rule import Rule

ALL_PORTS = 1
CLAUSE = "VT-d specification 4.1 §8.3.1"

Scoped = Drhd | Rmrr | Atsr | Satc | Sidp
"""The structures that end with device scopes."""

ALLOWED: dict[type[Scoped], tuple[int, ...]] = {
    Rmrr: (PCI_ENDPOINT, PCI_SUB_HIERARCHY, NAMESPACE_DEVICE),
    Atsr: (PCI_SUB_HIERARCHY,),
    Satc: (PCI_ENDPOINT,),
    Sidp: (PCI_ENDPOINT,),
}
"""Which types of scope a structure may have; units may have all."""

OBJECT_NAME = re.compile(r"\\[A-Z_][A-Z0-9_]{0,3}(?:\.[A-Z_][A-Z0-9_]{0,3})*")
"""An absolute path of the ACPI namespace (ACPI 6.5 §5.3): segments of at most four characters."""


def _scoped(board: Board, *kinds: type[Scoped]) -> Iterator[tuple[Table, Scoped]]:
    """Iterate over the structures of these kinds, of all DMARs."""
    for table, _, found in structures(board, ScopedStructure):
        for structure in found:
            if isinstance(structure, kinds):
                yield table, structure


def _none(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, structure in _scoped(board, Drhd, Rmrr, Atsr, Satc, Sidp):
        excused = isinstance(structure, Drhd | Atsr) and structure.flags & 1
        if not structure.scopes and not structure.rest and not excused:
            severity: Severity | None = "error" if isinstance(structure, Rmrr) else None
            yield rule.finding(whole(table, structure), f"the {structure.NAME} names no device", severity)


def _allowed(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, structure in _scoped(board, *ALLOWED):
        allowed = ALLOWED[type(structure)]
        for scope in structure.scopes:
            if scope.type in SCOPES and scope.type not in allowed:
                yield rule.finding(
                    field_origin(table, scope, "type"), f"a scope of a {structure.NAME} names the wrong kind of device",
                    field="Type", found=f"{scope.type} ({SCOPES[scope.type]})",
                    expected=" or ".join(f"{kind} ({SCOPES[kind]})" for kind in allowed),
                )  # fmt: skip


def _claims(board: Board) -> Iterator[tuple[Table, Drhd, DeviceScope, int]]:
    """Iterate over the PCI scopes that units have a device by, with its requester ID."""
    for table, structure in _scoped(board, Drhd):
        if isinstance(structure, Drhd) and not structure.include_pci_all:
            for scope in structure.scopes:
                rid = place(board.topology, structure.segment, scope) if scope.type in PCI_SCOPES else None
                if rid is not None:
                    yield table, structure, scope, rid


def _claimed(rule: Rule, board: Board) -> Iterator[Finding]:
    first: dict[tuple[int, int], Drhd] = {}
    for table, unit, scope, rid in _claims(board):
        other = first.setdefault((unit.segment, rid), unit)
        if other.register_base != unit.register_base:
            yield rule.finding(
                whole(table, scope),
                f"the units at 0x{other.register_base:x} and 0x{unit.register_base:x} both claim "
                f"{format_pci_address(unit.segment, rid)}",
            )


def _nested(rule: Rule, board: Board) -> Iterator[Finding]:
    claims = list(_claims(board))
    owners: dict[tuple[int, int], tuple[Drhd, str]] = {}
    bridges = {(unit.segment, rid): unit for _, unit, scope, rid in reversed(claims) if scope.type == PCI_SUB_HIERARCHY}
    for (segment, rid), unit in bridges.items():
        bridge = board.topology.function(segment, rid)
        if bridge is not None and bridge[1].secondary:
            for bus in range(bridge[1].secondary, (bridge[1].subordinate or 0) + 1):
                owners.setdefault((unit.segment, bus), (unit, bridge[1].address))
    for table, unit, scope, rid in claims:
        above = owners.get((unit.segment, rid >> 8))
        if above is not None and above[0].register_base != unit.register_base:
            yield rule.finding(
                whole(table, scope),
                f"the unit at 0x{unit.register_base:x} claims {format_pci_address(unit.segment, rid)}, which is behind "
                f"{above[1]} of the unit at 0x{above[0].register_base:x}",
            )


def _bus(rule: Rule, board: Board) -> Iterator[Finding]:
    behind = {
        (function.segment, function.secondary): function
        for pci in board.topology.pci
        for function in pci.functions.values()
        if function.secondary and function.secondary > function.bus
    }
    for table, structure in _scoped(board, Drhd, Rmrr, Atsr, Satc, Sidp):
        segment = structure.segment
        for scope in structure.scopes if behind else ():
            bridge = behind.get((segment, scope.start_bus))
            if scope.type in PCI_SCOPES and bridge is not None:
                yield rule.finding(
                    field_origin(table, scope, "start_bus"), severity="warning" if len(scope.path) == 1 else None,
                    field="Start Bus Number", found=f"0x{scope.start_bus:02x}, which is behind {bridge.address}",
                    expected="the first bus of a host bridge, and a path through the bridges",
                )  # fmt: skip


def _twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, structure in _scoped(board, Drhd, Rmrr, Atsr, Satc, Sidp):
        seen = set()
        for scope in structure.scopes:
            what = scope.type, scope.enumeration_id, scope.start_bus, scope.path
            if what in seen:
                yield rule.finding(
                    whole(table, scope), f"a {structure.NAME} names {_named(board, structure, scope)} twice"
                )
            seen.add(what)


def _named(board: Board, structure: Scoped, scope: DeviceScope) -> str:
    if scope.type in PCI_SCOPES:
        return scope_name(board.topology, structure.segment, scope)
    return f"{SCOPES.get(scope.type, 'device')} {scope.enumeration_id}"


def _number(rule: Rule, board: Board) -> Iterator[Finding]:
    first: dict[tuple[int, int], tuple[Drhd, DeviceScope]] = {}
    for table, unit in _scoped(board, Drhd):
        for scope in unit.scopes:
            if scope.type not in (IOAPIC, HPET) or not isinstance(unit, Drhd):
                continue
            other, before = first.setdefault((scope.type, scope.enumeration_id), (unit, scope))
            # An HPET may send from a function for each comparator, so one number may have several paths at one unit.
            if before is not scope and (scope.type == IOAPIC or other.register_base != unit.register_base):
                yield rule.finding(
                    field_origin(table, scope, "enumeration_id"),
                    f"{SCOPES[scope.type]} {scope.enumeration_id} has more than one scope: at the units at "
                    f"0x{other.register_base:x} and 0x{unit.register_base:x}",
                    field="Enumeration ID", found=str(scope.enumeration_id),
                )  # fmt: skip


def _unit_absent(rule: Rule, board: Board) -> Iterator[Finding]:
    known = segments(board)
    for table, unit, scope, rid in _claims(board):
        if unit.segment in known and board.topology.function(unit.segment, rid) is None:
            address = format_pci_address(unit.segment, rid)
            yield rule.finding(
                whole(table, scope), f"the unit at 0x{unit.register_base:x} names {address}, which is absent"
            )


def _remap_scopes(rule: Rule, board: Board) -> Iterator[Finding]:
    if any(table.signature == "APIC" for table in board.inputs.tables):
        return  # the I/O APICs of the machine are known, and each is looked for
    for table, body, units in structures(board, Drhd):
        if body.flags & INTR_REMAP and units and not _io_apics(units):
            yield rule.finding(field_origin(table, body, "flags"))


def _remap_off(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body, units in structures(board, Drhd):
        if not body.flags & INTR_REMAP and _io_apics(units):
            yield rule.finding(field_origin(table, body, "flags"), field="Flags", found=f"0x{body.flags:x}")


def _io_apics(units: list[Drhd]) -> set[int]:
    return {scope.enumeration_id for unit in units for scope in unit.scopes if scope.type == IOAPIC}


def _atsr_scopes(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, structure in _scoped(board, Atsr):
        if isinstance(structure, Atsr) and structure.flags & ALL_PORTS and structure.scopes:
            yield rule.finding(whole(table, structure), found=f"{len(structure.scopes)} scopes", expected="none")


def _atsr_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, found in structures(board, Atsr):
        seen = set()
        for one in found:
            if one.flags & ALL_PORTS and one.segment in seen:
                yield rule.finding(table.origin(one), f"segment {one.segment:04x} has ALL_PORTS twice")
            seen |= {one.segment} if one.flags & ALL_PORTS else set()


def _atsr_port(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, structure in _scoped(board, Atsr):
        for scope in structure.scopes:
            function = function_at(board.topology, structure.segment, scope)
            if scope.type == PCI_SUB_HIERARCHY and function is not None and function.pcie_known:
                kind = function.pcie_type or "no PCI Express port"
                if kind != "root-port":
                    yield rule.finding(
                        whole(table, scope), f"the ATSR names {function.address}, which is no root port", found=kind,
                        expected="root-port",
                    )  # fmt: skip


def _andd(board: Board) -> Iterator[tuple[Table, Andd]]:
    for table, _, found in structures(board, Andd):
        for one in found:
            yield table, one


def _andd_unused(rule: Rule, board: Board) -> Iterator[Finding]:
    used = {
        scope.enumeration_id
        for _, unit in _scoped(board, Drhd)
        for scope in unit.scopes
        if scope.type == NAMESPACE_DEVICE
    }
    for table, one in _andd(board):
        if one.device_number not in used:
            yield rule.finding(
                table.origin(one, one.length),
                f"no unit has a scope for ACPI device {one.device_number}, {shown(one.object_name)}",
            )


def _andd_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    seen: dict[int, Andd] = {}
    for table, one in _andd(board):
        if seen.setdefault(one.device_number, one) is not one:
            yield rule.finding(
                field_origin(table, one, "device_number"), field="ACPI Device Number", found=str(one.device_number)
            )


def _andd_path(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, one in _andd(board):
        if not OBJECT_NAME.fullmatch(one.object_name):
            start = one.offset + one.layout.size
            origin = Origin(table.source, table.signature, start, len(one.object_name))
            yield rule.finding(origin, field="ACPI Object Name", found=shown(one.object_name))


def _satc_device(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, structure in _scoped(board, Satc, Sidp):
        for scope in structure.scopes:
            function = function_at(board.topology, structure.segment, scope)
            if scope.type == PCI_ENDPOINT and function is not None and function.pcie_type not in (None, "rc-endpoint"):
                yield rule.finding(
                    whole(table, scope), f"the {structure.NAME} names {function.address}, which is not integrated",
                    found=str(function.pcie_type), expected="rc-endpoint",
                )  # fmt: skip


def _satc_absent(rule: Rule, board: Board) -> Iterator[Finding]:
    known = segments(board)
    for table, structure in _scoped(board, Satc):
        for scope in structure.scopes if structure.segment in known else ():
            rid = place(board.topology, structure.segment, scope) if scope.type in PCI_SCOPES else None
            if rid is not None and board.topology.function(structure.segment, rid) is None:
                address = format_pci_address(structure.segment, rid)
                yield rule.finding(whole(table, scope), f"the SATC names {address}, which is absent")


def _satc_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body, _ in structures(board, Satc):
        seen = set()
        for one in body.structures:
            if isinstance(one, Raw) or not isinstance(one, Satc):
                continue
            if (one.segment, one.flags) in seen:
                yield rule.finding(table.origin(one), f"segment {one.segment:04x} has two SATC with the same flags")
            seen.add((one.segment, one.flags))


RULES: tuple[Rule, ...] = (
    Rule(
        "DMAR-SCOPE-NONE", "warning", "a structure names no device", "VT-d specification 4.1 §8.3-8.9",
        "The structure has no effect: no device is protected by the unit, or reaches the region.",
        "Linux prints nothing; Xen drops an RMRR without devices.",
        "name the devices by scopes, or remove the structure", (), _none,
    ),
    Rule(
        "DMAR-SCOPE-ALLOWED", "warning", "a scope names the wrong kind of device", "VT-d specification 4.1 §8.4-8.9",
        "What the structure says of the device is not heard.",
        "Linux takes scopes of PCI functions and ACPI devices only, and of an ATSR the root ports.",
        "use the type of scope that the structure is for", (), _allowed,
    ),
    Rule(
        "DMAR-SCOPE-CLAIMED", "error", "two units claim one device", CLAUSE,
        "Which unit the device's requests reach is settled in hardware; when the system programs the other, the device "
        "is either blocked or not contained.",
        "Linux takes the unit that stands later in the table, without a word.",
        "leave the scope with the unit that the device is wired to", (), _claimed,
    ),
    Rule(
        "DMAR-SCOPE-NESTED", "warning", "a device is behind a bridge that another unit claims", CLAUSE,
        "Requests from behind a bridge arrive where those of the bridge do, so one of the two scopes is wrong.",
        "Linux takes the unit that stands later in the table.",
        "give the bridge and what is behind it to one unit", (), _nested,
    ),
    Rule(
        "DMAR-SCOPE-BUS", "error", "the path of a scope does not start at a host bridge", CLAUSE,
        "The scope names another device, or none, once the system renumbers buses.",
        "Linux matches a path of one element all the same ('RMRR entry for device … is broken - applying workaround'), "
        "and a longer one never.",
        "start at the first bus of the host bridge, with a path element for each bridge", ("Linux",), _bus,
    ),
    Rule(
        "DMAR-SCOPE-TWICE", "warning", "a structure names one device twice", CLAUSE,
        "Likely another device was meant the second time, and is now missing.",
        "Linux and Xen pass over the second scope.", "remove it, or name the device that was meant", (), _twice,
    ),
    Rule(
        "DMAR-SCOPE-NUMBER", "error", "one I/O APIC or HPET has several scopes", CLAUSE,
        "Its interrupts are checked against the source ID of one scope; if it is the wrong one, they are blocked.",
        "Linux takes the first scope of a number that it comes to; 'Blocked an interrupt request due to source-id "
        "verification failure' follows when that is the wrong one.",
        "give each I/O APIC and HPET one scope, at the unit that it is wired to", (), _number,
    ),
    Rule(
        "DMAR-UNIT-ABSENT", "warning", "a unit names a PCI function that is absent", CLAUSE,
        "Whatever takes that address later is put behind this unit; and Xen gives up all protection.",
        "Xen uses no unit at all: 'Non-existent device … in this DRHD's scope!', 'DRHD is invalid (some devices in its "
        "scope are not PCI discoverable)'. Linux waits for the device.",
        "leave out scopes of devices that firmware has switched off or hidden", ("fwts",), _unit_absent,
    ),
    Rule(
        "DMAR-IR-SCOPES", "error", "INTR_REMAP is set and no scope names an I/O APIC", "VT-d specification 4.1 §8.1",
        "Interrupts are not remapped, so any device can raise any interrupt.",
        "Linux remaps no interrupt: 'ioapic … has no mapping iommu, interrupt remapping will be disabled'.",
        "name every I/O APIC of the MADT by a scope of type 3", ("Linux",), _remap_scopes,
    ),
    Rule(
        "DMAR-IR-OFF", "note", "the table does not announce interrupt remapping", "VT-d specification 4.1 §8.1",
        "Any device can raise any interrupt, also one that is assigned to a virtual machine.",
        "Linux remaps no interrupt, uses no x2APIC, and assigns devices only with allow_unsafe_interrupts.",
        "set INTR_REMAP if the units can remap interrupts", (), _remap_off,
    ),
    Rule(
        "DMAR-ATSR-SCOPES", "warning", "an ATSR with ALL_PORTS names ports as well", "VT-d specification 4.1 §8.5",
        "The scopes say nothing: all ports of the segment are meant, or ALL_PORTS was not.",
        "Linux and Xen pass over the scopes.", "remove the scopes, or clear ALL_PORTS", (), _atsr_scopes,
    ),
    Rule(
        "DMAR-ATSR-TWICE", "warning", "a segment has ALL_PORTS twice", "VT-d specification 4.1 §8.5",
        "The second structure says nothing new.",
        "Xen uses no unit at all: 'Only one ALL_PORTS device scope is allowed' (segment 0).",
        "remove the second", (), _atsr_twice,
    ),
    Rule(
        "DMAR-ATSR-PORT", "error", "an ATSR names a function that is no root port", "VT-d specification 4.1 §8.5",
        "ATS stays off for devices below the root port that was meant, or is switched on where it is not supported.",
        "Linux looks for the root port of a device only, so the scope is not found.",
        "name PCI Express root ports", (), _atsr_port,
    ),
    Rule(
        "DMAR-ANDD-UNUSED", "warning", "no unit has a scope for an ACPI device", "VT-d specification 4.1 §8.7",
        "The device is behind no unit and reaches all of memory.",
        "Linux: 'No IOMMU scope found for ANDD enumeration ID … (…)'.",
        "add a scope of type 5 to its unit, or remove the declaration", ("Linux",), _andd_unused,
    ),
    Rule(
        "DMAR-ANDD-TWICE", "error", "two ACPI devices have one device number", "VT-d specification 4.1 §8.7",
        "Scopes of that number mean one of the two, and which is left to the reader.",
        "Linux puts both devices behind the unit of the scope, with the same source ID.",
        "number the devices differently", (), _andd_twice,
    ),
    Rule(
        "DMAR-ANDD-PATH", "error", "an ACPI object name is no absolute path", "VT-d specification 4.1 §8.7",
        "The device is not found, so it is behind no unit and reaches all of memory.",
        "Linux: 'Failed to find handle for ACPI object …'.",
        r"write the path from the root, such as \_SB.PCI0.I2C0", ("Linux",), _andd_path,
    ),
    Rule(
        "DMAR-SATC-DEVICE", "warning", "an SATC or SIDP names a device that is not integrated",
        "VT-d specification 4.1 §8.8, §8.9",
        "The device's own translation cache is trusted, or required, on wrong grounds.",
        "Linux takes the table at its word, and switches ATS on without asking for the device's root port.",
        "name root-complex integrated endpoints; for slots, use an ATSR", (), _satc_device,
    ),
    Rule(
        "DMAR-SATC-ABSENT", "note", "an SATC names a device that is absent", "VT-d specification 4.1 §8.8",
        "Whatever takes that address later is taken for an integrated device with a translation cache.",
        "Xen: 'Non-existent device (…) is reported in SATC scope!', and it drops an SATC of which no device is there. "
        "Linux waits for the device.",
        "leave out scopes of devices that firmware has switched off or hidden", (), _satc_absent,
    ),
    Rule(
        "DMAR-SATC-TWICE", "warning", "two SATC of a segment have the same flags", "VT-d specification 4.1 §8.8",
        "A reader that expects one of each misses the devices of the second.",
        "Linux reads both.", "put devices with the same flags into one SATC", (), _satc_twice,
    ),
)  # fmt: skip
"""Rules of device scopes, and of the structures that are little more."""
