"""Rules that hold the ACPI tables of one machine against each other.

Nothing follows from a table that was not given, unless the MADT shows that the tables of a machine are there: a user
may name one table alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...base import Finding, Origin
from ...parsers.acpi import Record, Table
from ...parsers.acpi.dmar import Dmar, Drhd, Rhsa
from ...parsers.acpi.dmar.names import HPET, IOAPIC
from ...parsers.acpi.dmar.records import DeviceScope
from ...parsers.acpi.hpet import Hpet
from ...parsers.acpi.iort import Iort, ItsGroup, Iwb, Pmcg, RootComplex, SmmuV2, SmmuV3
from ...parsers.acpi.iort.records import Node
from ...parsers.acpi.madt import Gicd, GicIts, GicMsiFrame, IoApic, Madt
from ...parsers.acpi.mcfg import Mcfg
from ...parsers.acpi.slit import LOCAL, Slit
from ...parsers.acpi.srat import Srat, domain_of
from .board import Board
from .dmar import INTR_REMAP
from .dmar_walk import field_origin, structures, whole
from .rule import Rule

SINGLE = ("DMAR", "IORT", "IVRS", "VIOT", "RIMT", "APIC", "MCFG", "HPET", "SRAT", "SLIT", "FACP", "DSDT")
"""Signatures that a machine has one table of (ACPI 6.5 §5.2.6); of SSDT, PSDT and others it may have many."""

PROXIMITY_VALID = 1 << 3
"""Flag of an SMMUv3 node: its proximity domain is valid (DEN 0049E.f §3.1.1.2)."""

SPI, EXTENDED_SPI = range(32, 1020), range(4096, 5120)
"""INTIDs that are shared peripheral interrupts (GIC architecture, IHI 0069H §2.2.1)."""


def _scopes(board: Board, kind: int) -> Iterator[tuple[Table, Dmar, DeviceScope]]:
    """Iterate over the scopes of one type that units have."""
    for table, body, units in structures(board, Drhd):
        for unit in units:
            yield from ((table, body, scope) for scope in unit.scopes if scope.type == kind)


def _nodes(board: Board) -> Iterator[tuple[Table, Node]]:
    for table, body in board.tables(Iort):
        yield from ((table, node) for node in body.nodes if isinstance(node, Node))


def _io_apic(rule: Rule, board: Board) -> Iterator[Finding]:
    remaps = any(body.flags & INTR_REMAP and units for _, body, units in structures(board, Drhd))
    named = {scope.enumeration_id for _, _, scope in _scopes(board, IOAPIC)}
    for table, body in board.tables(Madt) if remaps else ():
        for entry in body.entries:
            if isinstance(entry, IoApic) and entry.io_apic_id not in named:
                yield rule.finding(
                    table.origin(entry), f"no scope of the DMAR names I/O APIC {entry.io_apic_id}", field="I/O APIC ID",
                    found=str(entry.io_apic_id), expected=_one_of(named),
                )  # fmt: skip


def _io_apic_absent(rule: Rule, board: Board) -> Iterator[Finding]:
    madts = board.tables(Madt)
    there = {entry.io_apic_id for _, body in madts for entry in body.entries if isinstance(entry, IoApic)}
    for table, _, scope in _scopes(board, IOAPIC) if madts else ():
        if scope.enumeration_id not in there:
            yield rule.finding(
                field_origin(table, scope, "enumeration_id"),
                f"a scope names I/O APIC {scope.enumeration_id}, which the MADT does not have", field="Enumeration ID",
                found=str(scope.enumeration_id), expected=_one_of(there),
            )  # fmt: skip


def _one_of(numbers: set[int]) -> str:
    shown = sorted(numbers)[:8]
    return " or ".join(map(str, shown)) if shown else "none"


def _hpet(rule: Rule, board: Board) -> Iterator[Finding]:
    named = {scope.enumeration_id for _, _, scope in _scopes(board, HPET)}
    remaps = any(body.flags & INTR_REMAP and units for _, body, units in structures(board, Drhd))
    for table, body in board.tables(Hpet) if remaps else ():
        if body.hpet_number not in named:
            yield rule.finding(
                field_origin(table, body, "hpet_number"), f"no scope of the DMAR names HPET {body.hpet_number}",
                "warning" if named else None, field="HPET Number", found=str(body.hpet_number), expected=_one_of(named),
            )  # fmt: skip


def _hpet_absent(rule: Rule, board: Board) -> Iterator[Finding]:
    if not board.tables(Madt) or any(table.signature == "HPET" for table in board.inputs.tables):
        return
    for table, _, scope in _scopes(board, HPET):
        yield rule.finding(
            whole(table, scope), f"a scope names HPET {scope.enumeration_id}, and there is no HPET table"
        )


def _domains(board: Board) -> Iterator[tuple[Origin, int, str]]:
    """Iterate over the proximity domains that IOMMUs are said to be in, with what is."""
    for table, _, found in structures(board, Rhsa):
        for one in found:
            unit = f"the unit at 0x{one.register_base:x}"
            yield field_origin(table, one, "proximity_domain"), one.proximity_domain, unit
    for table, node in _nodes(board):
        if isinstance(node, SmmuV3) and node.flags & PROXIMITY_VALID and node.proximity_domain is not None:
            unit = f"the SMMUv3 at 0x{node.base_address:x}"
            yield field_origin(table, node, "proximity_domain"), node.proximity_domain, unit


def _proximity(rule: Rule, board: Board) -> Iterator[Finding]:
    srats = board.tables(Srat)
    there = {
        domain
        for table, body in srats
        for entry in body.entries
        if (domain := domain_of(entry, table.header.revision)) is not None
    }
    complete = any(table.signature == "APIC" for table in board.inputs.tables)
    for origin, domain, unit in _domains(board) if srats or complete else ():
        if domain in there:
            continue
        if srats:
            text = f"{unit} is in proximity domain {domain}, which the SRAT does not have"
            yield rule.finding(origin, text, found=str(domain), expected=_one_of(there))
        elif not any(table.signature == "SRAT" for table in board.inputs.tables):
            yield rule.finding(origin, f"{unit} is in proximity domain {domain}, and there is no SRAT", "note")


def _distances(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Slit):
        count = body.number_of_system_localities
        for at, distance in enumerate(body.distances):
            start, end = divmod(at, count)
            if (distance == LOCAL) != (start == end) or distance < LOCAL:
                origin = replace(table.origin(body, 1), offset=body.offset + body.LAYOUT.size + at)
                text = f"domain {end} cannot be at this distance from domain {start}"
                expected = str(LOCAL) if start == end else f"{LOCAL + 1} to 255"
                yield rule.finding(origin, text, found=str(distance), expected=expected)


def _localities(rule: Rule, board: Board) -> Iterator[Finding]:
    counts = [body.number_of_system_localities for _, body in board.tables(Slit)]
    for origin, domain, unit in _domains(board) if counts else ():
        if domain >= max(counts):
            text = f"{unit} is in proximity domain {domain}, for which the SLIT has no distances"
            yield rule.finding(origin, text, found=str(domain), expected=f"below {max(counts)}")


def _windows(board: Board) -> dict[int, Origin]:
    """Return the segments of the MCFG, each with its first window."""
    found: dict[int, Origin] = {}
    for table, body in board.tables(Mcfg):
        for entry in body.allocations:
            found.setdefault(entry.segment, table.origin(entry))
    return found


def _without_root(rule: Rule, board: Board) -> Iterator[Finding]:
    roots = {node.segment for _, node in _nodes(board) if isinstance(node, RootComplex)}
    for segment, origin in _windows(board).items() if board.tables(Iort) else ():
        if segment not in roots:
            yield rule.finding(origin, f"PCI segment {segment:04x} of the MCFG has no root complex in the IORT")


def _without_window(rule: Rule, board: Board) -> Iterator[Finding]:
    windows = _windows(board)
    for table, node in _nodes(board) if windows else ():
        if isinstance(node, RootComplex) and node.segment not in windows:
            text = f"the MCFG has no window for PCI segment {node.segment:04x} of this root complex"
            yield rule.finding(field_origin(table, node, "segment"), text)


def _its(rule: Rule, board: Board) -> Iterator[Finding]:
    madts = board.tables(Madt)
    entries = [entry for _, body in madts for entry in body.entries]
    there = {entry.gic_its_id for entry in entries if isinstance(entry, GicIts)}
    # QEMU writes a group whether or not there is an ITS; with frames instead, Linux falls back to these.
    frames = not there and any(isinstance(entry, GicMsiFrame) for entry in entries)
    for table, node in _nodes(board) if madts else ():
        for one in node.identifiers if isinstance(node, ItsGroup) else ():
            if one.identifier not in there:
                yield rule.finding(
                    table.origin(one), f"the IORT names ITS {one.identifier}, which the MADT does not have",
                    "note" if frames else None, field="GIC ITS Identifier", found=str(one.identifier),
                    expected=_one_of(there),
                )  # fmt: skip


def _its_unused(rule: Rule, board: Board) -> Iterator[Finding]:
    named = {one.identifier for _, node in _nodes(board) if isinstance(node, ItsGroup) for one in node.identifiers}
    for table, body in board.tables(Madt) if board.tables(Iort) else ():
        for entry in body.entries:
            if isinstance(entry, GicIts) and entry.gic_its_id not in named:
                yield rule.finding(table.origin(entry), f"no group of the IORT has ITS {entry.gic_its_id}")


def _wired(node: Node) -> Iterator[tuple[Record, str]]:
    """Iterate over the interrupts of a node: the record and its field."""
    if isinstance(node, SmmuV3):
        yield from ((node, name) for name in ("event_gsiv", "pri_gsiv", "gerror_gsiv", "sync_gsiv"))
    elif isinstance(node, Pmcg):
        yield node, "overflow_gsiv"
    elif isinstance(node, SmmuV2):
        yield from ((one, "nsg_irpt") for one in node.global_interrupts)
        yield from ((one, "nsg_cfg_irpt") for one in node.global_interrupts)
        yield from ((one, "gsiv") for one in (*node.context_interrupts, *node.pmu_interrupts))


def _interrupt(rule: Rule, board: Board) -> Iterator[Finding]:
    nodes = list(_nodes(board))
    distributors = [entry for _, body in board.tables(Madt) for entry in body.entries if isinstance(entry, Gicd)]
    if not distributors or any(isinstance(node, Iwb) for _, node in nodes):
        return  # another interrupt controller, or a GICv5, which numbers interrupts differently
    for table, node in nodes:
        for record, name in _wired(node):
            number = getattr(record, name)
            if number and number not in SPI and number not in EXTENDED_SPI:
                yield rule.finding(
                    field_origin(table, record, name), f"a wired interrupt of a {node.NAME} is no shared interrupt",
                    field=name, found=str(number), expected="32 to 1019, or 4096 to 5119",
                )  # fmt: skip


def _single(rule: Rule, board: Board) -> Iterator[Finding]:
    first: dict[str, Table] = {}
    for table in board.inputs.tables:
        other = first.setdefault(table.signature, table)
        if table.signature in SINGLE and other is not table:
            text = f"there are two {table.signature} tables; the other is {other.source}"
            yield rule.finding(Origin(table.source, table.signature), text)
    for tree in board.inputs.trees[1:]:
        text = f"there are two device trees; the other is {board.inputs.trees[0].source}"
        yield rule.finding(Origin(tree.source), text, clause="Devicetree Specification v0.4, chapter 5")


RULES: tuple[Rule, ...] = (
    Rule(
        "MACHINE-IOAPIC", "error", "an I/O APIC of the MADT is in no scope of the DMAR",
        "VT-d specification 4.1 §8.3.1",
        "Interrupts are not remapped, so any device can raise any interrupt.",
        "Linux remaps no interrupt at all: 'ioapic … has no mapping iommu, interrupt remapping will be disabled'.",
        "name the I/O APIC by a scope of type 3, with the ID that the MADT gives it", ("Linux",), _io_apic,
    ),
    Rule(
        "MACHINE-IOAPIC-ABSENT", "warning", "a scope of the DMAR names an I/O APIC that the MADT does not have",
        "VT-d specification 4.1 §8.3.1",
        "Likely the ID is another one, and the I/O APIC that is there is in no scope.",
        "Linux passes over the scope.", "give the scope the ID of the MADT", (), _io_apic_absent,
    ),
    Rule(
        "MACHINE-HPET", "note", "the HPET is in no scope of the DMAR", "VT-d specification 4.1 §8.3.1",
        "If it can send message-signalled interrupts, they are blocked, or not used.",
        "Linux, when it wants to use them: 'Failed to set source-id of HPET block (…)'.",
        "name an HPET that can send such interrupts by a scope of type 4, with the number of the HPET table",
        ("Linux",), _hpet,
    ),
    Rule(
        "MACHINE-HPET-ABSENT", "note", "a scope of the DMAR names an HPET, and there is no HPET table",
        "VT-d specification 4.1 §8.3.1",
        "Nothing, unless the HPET is only declared in the ACPI namespace, or switched off.",
        "Linux passes over the scope.", "leave the scope out when the HPET is switched off", (), _hpet_absent,
    ),
    Rule(
        "MACHINE-PROXIMITY", "warning", "an IOMMU is in a proximity domain that does not exist",
        "ACPI 6.5 §5.2.16; VT-d specification 4.1 §8.6; DEN 0049E.f §3.1.1.2",
        "None for isolation: its tables are put into any memory, which may be far from it.",
        "Linux takes no node for the unit.", "use the domain that the SRAT gives the processors beside the unit",
        (), _proximity,
    ),
    Rule(
        "MACHINE-LOCALITY", "note", "an IOMMU is in a proximity domain that the SLIT does not have",
        "ACPI 6.5 §5.2.17; VT-d specification 4.1 §8.6; DEN 0049E.f §3.1.1.2",
        "None for isolation: how far its tables are from it is not known.",
        "Linux takes its default distance of 20 to other nodes.",
        "give the SLIT a row and a column for each domain of the SRAT", (), _localities,
    ),
    Rule(
        "SLIT-DISTANCE", "warning", "a distance of the SLIT cannot be", "ACPI 6.5 §5.2.17",
        "None for isolation: the whole table is not used.",
        "Linux takes default distances, and prints 'SLIT table looks invalid. Not used.'.",
        "write 10 for a domain and itself, and more than 10 for two domains", ("Linux", "fwts"), _distances,
    ),
    Rule(
        "MACHINE-MCFG-ROOT", "warning", "a PCI segment has no root complex in the IORT", "DEN 0049E.f §3.1.1.4",
        "Its devices have no SMMU and no way for their interrupts: they reach all of memory.",
        "Linux finds no node for the host bridge and leaves its devices without an SMMU, without a word.",
        "add a root complex node with the segment's number", (), _without_root,
    ),
    Rule(
        "MACHINE-ROOT-MCFG", "warning", "a root complex of the IORT is of a segment without a window",
        "DEN 0049E.f §3.1.1.4; PCI Firmware Specification 3.3 §4.1.2",
        "Likely the segment number is wrong, and the mappings reach no device.",
        "Linux looks root complexes up by the segment of the host bridge (_SEG); a bridge may have its window in _CBA.",
        "use the segment number of the MCFG and of _SEG", (), _without_window,
    ),
    Rule(
        "MACHINE-ITS", "error", "the IORT names an ITS that the MADT does not have",
        "DEN 0049E.f §3.1.1.1; ACPI 6.5 §5.2.12.18",
        "Devices behind it have no message-signalled interrupts.",
        "Linux finds no MSI domain for them, without a word, and drivers fail to get interrupts.",
        "use the GIC ITS ID of the MADT", (), _its,
    ),
    Rule(
        "MACHINE-ITS-UNUSED", "note", "an ITS of the MADT is in no group of the IORT", "DEN 0049E.f §3.1.1.1",
        "No device is said to use it.", "Linux starts it, and maps no device to it.",
        "add it to an ITS group if devices write to it", (), _its_unused,
    ),
    Rule(
        "MACHINE-GSIV", "error", "an interrupt of the IORT is none that a device can raise by wire",
        "DEN 0049E.f §3.1.1; IHI 0069H §2.2.1",
        "Faults of the unit are not told.",
        "Linux: 'could not register gsi hwirq … name […]'; or the interrupt never comes.",
        "write the GSIV of a shared interrupt",
        (), _interrupt,
    ),
    Rule(
        "MACHINE-TWICE", "warning", "there are two tables, or device trees, where a machine has one", "ACPI 6.5 §5.2.6",
        "Which of them holds depends on who reads them.",
        "Linux takes the first table in the XSDT, and the tree that the boot loader hands over.",
        "leave one; if they are of two machines, look at each alone", (), _single,
    ),
)  # fmt: skip
"""Rules that take more than one table."""
