"""Rules of a DMAR: the table itself, its remapping units, and which unit takes what no other names."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ...base import Finding, Origin, Severity
from ...parsers.acpi import Raw, Record, Table
from ...parsers.acpi.dmar import Andd, Atsr, Dmar, Drhd, Rhsa, Rmrr, Satc, ScopedStructure, Sidp
from ...parsers.acpi.dmar.names import STRUCTURES
from ...parsers.acpi.mcfg import Mcfg
from ..resolve import routes
from .board import Board
from .dmar_walk import PAGE, PCI_SCOPES, field_origin, segments, structures, whole
from .rule import Rule

INTR_REMAP, X2APIC_OPT_OUT, PLATFORM_OPT_IN = 1, 2, 4
NARROWEST, WIDEST = 11, 51
"""Of the field Host Address Width: one page (what Linux takes), and the 52 bits that processors can have at most."""

LAST_SEGMENT = 0xFFFF
"""Segments above are made up by Linux for functions behind a VMD, which no table can name."""

SHOWN = 3
"""How many devices a message names."""


def _no_units(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body, units in structures(board, Drhd):
        if not units:
            yield rule.finding(table.origin(body))


def _width(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Dmar):
        width = body.host_address_width
        if not NARROWEST <= width <= WIDEST:
            severity: Severity = "error" if width < NARROWEST else "warning"
            yield rule.finding(
                field_origin(table, body, "host_address_width"), severity=severity, field="Host Address Width",
                found=f"{width} ({width + 1} bits)", expected=f"{NARROWEST} to {WIDEST}",
            )  # fmt: skip


def _order(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Dmar):
        known = [one for one in body.structures if not isinstance(one, Raw)]
        for before, after in pairwise(known):
            if after.type < before.type:
                kinds = f"a {STRUCTURES[after.type]} follows a {STRUCTURES[before.type]}"
                yield rule.finding(table.origin(after), f"structures are not in the order of their types: {kinds}")
                break


RESERVED: tuple[tuple[type[Record], str, int], ...] = (
    (Dmar, "flags", 0xF8),
    (Dmar, "reserved", -1),
    (Drhd, "flags", 0xFE),
    (Drhd, "size", 0xF0),
    (Rmrr, "reserved", -1),
    (Atsr, "flags", 0xFE),
    (Atsr, "reserved", -1),
    (Rhsa, "reserved", -1),
    (Andd, "reserved", -1),
    (Satc, "flags", 0xFE),
    (Satc, "reserved", -1),
    (Sidp, "reserved", -1),
)
"""Structure, field, and the bits of it that are reserved."""


def _reserved(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Dmar):
        for record in (body, *body.structures):
            for kind, name, mask in RESERVED:
                if isinstance(record, kind):
                    yield from _nonzero(rule, table, record, name, mask)
            if not isinstance(record, ScopedStructure):
                continue
            for scope in record.scopes:
                yield from _nonzero(rule, table, scope, "flags", 0xE0 if isinstance(record, Sidp) else 0xFF)
                yield from _nonzero(rule, table, scope, "reserved", -1)
                if scope.type in PCI_SCOPES:
                    yield from _nonzero(rule, table, scope, "enumeration_id", -1)


def _nonzero(rule: Rule, table: Table, record: Record, name: str, mask: int) -> Iterator[Finding]:
    value = getattr(record, name)
    number = int.from_bytes(value, "little") if isinstance(value, bytes) else value
    if number & mask:
        message = f"reserved bits of a {record.NAME} are set" if mask > 0 else f"a reserved field of a {record.NAME}"
        message += "" if mask > 0 else " is not zero"
        yield rule.finding(
            field_origin(table, record, name), message, field=name,
            found=value.hex(" ") if isinstance(value, bytes) else f"0x{value:x}", expected="0",
        )  # fmt: skip


def _x2apic(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Dmar):
        if body.flags & (INTR_REMAP | X2APIC_OPT_OUT) == X2APIC_OPT_OUT:
            yield rule.finding(
                field_origin(table, body, "flags"), field="Flags", found=f"0x{body.flags:x}",
                expected="INTR_REMAP beside X2APIC_OPT_OUT, or neither",
            )  # fmt: skip


def _opt_in(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Dmar):
        if not body.flags & PLATFORM_OPT_IN:
            yield rule.finding(field_origin(table, body, "flags"), field="Flags", found=f"0x{body.flags:x}")


def _unit_align(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, units in structures(board, Drhd):
        for unit in units:
            step = PAGE if unit.register_base % PAGE else unit.register_bytes
            if unit.register_base % step:
                yield rule.finding(
                    field_origin(table, unit, "register_base"), field="Register Base Address",
                    found=f"0x{unit.register_base:x}", expected=f"a multiple of 0x{step:x}",
                )  # fmt: skip


def _unit_wide(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body, units in structures(board, Drhd):
        limit = 1 << body.host_address_width + 1
        for unit in units:
            if unit.register_base + unit.register_bytes > limit:
                yield rule.finding(
                    field_origin(table, unit, "register_base"), field="Register Base Address",
                    found=f"0x{unit.register_base:x}", expected=f"less than 0x{limit:x}",
                )  # fmt: skip


def _unit_overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, units in structures(board, Drhd):
        unique = {(unit.segment, unit.register_base): unit for unit in reversed(units) if unit.register_base}
        last: Drhd | None = None
        for unit in sorted(unique.values(), key=lambda one: (one.register_base, one.offset)):
            if last is not None and unit.register_base < last.register_base + last.register_bytes:
                yield rule.finding(
                    field_origin(table, unit, "register_base"),
                    f"the registers of the units at 0x{last.register_base:x} and 0x{unit.register_base:x} overlap",
                    field="Size", found=f"0x{last.register_bytes:x} bytes at 0x{last.register_base:x}",
                )  # fmt: skip
            if last is None or unit.register_base + unit.register_bytes > last.register_base + last.register_bytes:
                last = unit


def _segment(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, units in structures(board, Drhd):
        named = {unit.segment for unit in units}
        if not units:
            continue
        for segment, origin in _known_segments(board):
            if segment not in named:
                text = f"no unit is for PCI segment {segment:04x}"
                yield rule.finding(origin, f"{text}, which {table.signature} knows nothing of")


def _known_segments(board: Board) -> Iterator[tuple[int, Origin]]:
    """Iterate over the segments that the machine has, each once, with what says so."""
    found: dict[int, Origin] = {}
    for table, body in board.tables(Mcfg):
        for entry in body.allocations:
            found.setdefault(entry.segment, table.origin(entry))
    for pci in board.topology.pci:
        for function in pci.functions.values():
            found.setdefault(function.segment, function.origin)
    yield from ((segment, origin) for segment, origin in found.items() if segment <= LAST_SEGMENT)


def _all_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, units in structures(board, Drhd):
        first: dict[int, Drhd] = {}
        for unit in units:
            if unit.include_pci_all and first.setdefault(unit.segment, unit) is not unit:
                yield rule.finding(
                    field_origin(table, unit, "flags"),
                    f"two units of segment {unit.segment:04x} have INCLUDE_PCI_ALL: those at "
                    f"0x{first[unit.segment].register_base:x} and 0x{unit.register_base:x}",
                )  # fmt: skip


def _all_last(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, units in structures(board, Drhd):
        last = {unit.segment: unit for unit in units}
        early = {unit.segment: unit for unit in reversed(units) if unit.include_pci_all}
        for segment, unit in reversed(early.items()):
            if not last[segment].include_pci_all:
                yield rule.finding(
                    table.origin(unit), f"the INCLUDE_PCI_ALL unit of segment {segment:04x} is not its last unit"
                )


def _all_missing(rule: Rule, board: Board) -> Iterator[Finding]:
    known = segments(board)
    left: dict[int, list[str]] | None = None
    for table, body, units in structures(board, Drhd):
        taken = {unit.segment for unit in units if unit.include_pci_all}
        for segment in dict.fromkeys(unit.segment for unit in units if unit.segment not in taken):
            text = f"no unit of segment {segment:04x} has INCLUDE_PCI_ALL"
            if segment not in known:
                text += "; functions that no scope names have no IOMMU, and whether there are any is not known here"
                yield rule.finding(table.origin(body), text, "note")
                continue
            left = _without_unit(board) if left is None else left
            if names := left.get(segment):
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                yield rule.finding(table.origin(body), f"{text}, and no scope names {', '.join(names[:SHOWN])}{more}")


def _without_unit(board: Board) -> dict[int, list[str]]:
    """Return, by segment, the functions that may do DMA and have no unit; bridges pass on what others send."""
    topology = board.topology
    found: dict[int, list[str]] = {}
    for pci in topology.pci:
        for function in pci.functions.values():
            device = topology.devices.get(function.address)
            passive = function.header_type or function.class_code >> 16 == BRIDGE
            if (
                device is not None
                and not passive
                and all(one.verdict == "no-iommu" for one in routes(topology, device))
            ):
                found.setdefault(function.segment, []).append(function.address)
    return found


BRIDGE = 0x06
"""Base class of bridges, host bridges among them."""


def _all_scope(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, units in structures(board, Drhd):
        for unit in units:
            for scope in unit.scopes if unit.include_pci_all else ():
                if scope.type in PCI_SCOPES:
                    yield rule.finding(whole(table, scope))


RULES: tuple[Rule, ...] = (
    Rule(
        "DMAR-NO-UNITS", "error", "the table declares no remapping unit", "VT-d specification 4.1 §8.3",
        "Nothing stands between devices and memory.",
        "Linux uses no IOMMU: 'No DRHD structure found in DMAR table'.",
        "declare every unit with a DRHD, or leave the table out", ("Linux",), _no_units,
    ),
    Rule(
        "DMAR-WIDTH", "error", "the host address width cannot be", "VT-d specification 4.1 §8.1",
        "The table is refused, and with it every unit that it declares.",
        "Linux uses no IOMMU when the field is below 11: 'Invalid DMAR haw'. Xen refuses 0.",
        "write the width of physical addresses in bits, less one", ("Linux",), _width,
    ),
    Rule(
        "DMAR-ORDER", "error", "structures are not in the order of their types", "VT-d specification 4.1 §8.2",
        "A reader that relies on the order misses structures.",
        "Linux and Xen read on; an RHSA before its DRHD is refused by Linux ('RHSA refers to non-existent DMAR unit').",
        "put all DRHD first, then RMRR, ATSR, RHSA, ANDD, SATC, SIDP", (), _order,
    ),
    Rule(
        "DMAR-RESERVED", "warning", "a reserved field is not zero", "VT-d specification 4.1 §8",
        "A later revision of the specification may give the bits a meaning, which the firmware did not intend.",
        "Linux and Xen do not look at reserved fields.", "write zero", (), _reserved,
    ),
    Rule(
        "DMAR-X2APIC", "warning", "X2APIC_OPT_OUT is set without INTR_REMAP", "VT-d specification 4.1 §8.1",
        "The flag means nothing without interrupt remapping, so one of the two was set by mistake.",
        "Linux looks at the flag only where it remaps interrupts, so here it does nothing.",
        "set INTR_REMAP as well, or clear X2APIC_OPT_OUT", (), _x2apic,
    ),
    Rule(
        "DMAR-OPT-IN", "note", "firmware does not opt in to DMA protection", "VT-d specification 4.1 §8.1",
        "Nothing says that devices were kept out of memory before the operating system started, and external devices "
        "are not restricted by it on that ground.",
        "Linux and Windows switch kernel DMA protection for external devices on only when DMA_CTRL_PLATFORM_OPT_IN is "
        "set; /sys/bus/thunderbolt/.../iommu_dma_protection reads 0.",
        "set DMA_CTRL_PLATFORM_OPT_IN if the firmware protects memory until hand-over", (), _opt_in,
    ),
    Rule(
        "DMAR-UNIT-ALIGN", "error", "the register base of a unit is not aligned", "VT-d specification 4.1 §8.3",
        "The unit's registers are looked for at a wrong address, and what it controls goes unprotected.",
        "Linux maps the page and reads what is at the address; registers of all ones give 'Your BIOS is broken; DMAR "
        "reported at address … returns all ones'.",
        "give the address of the unit's register set, a multiple of its size", ("fwts",), _unit_align,
    ),
    Rule(
        "DMAR-UNIT-WIDE", "error", "the registers of a unit lie beyond the host address width",
        "VT-d specification 4.1 §8.1, §8.3",
        "One of the two is wrong; at such an address there are no registers.",
        "Linux reads all ones there and reports 'Your BIOS is broken; DMAR reported at address … returns all ones'.",
        "mend the register base or the host address width", (), _unit_wide,
    ),
    Rule(
        "DMAR-UNIT-OVERLAP", "error", "the registers of two units overlap", "VT-d specification 4.1 §8.3",
        "Programming one unit reprograms the other, so neither protects what it should.",
        "Linux cannot reserve the second range: 'Can't reserve memory', and uses no IOMMU.",
        "give each unit its own registers, and the right Size", (), _unit_overlap,
    ),
    Rule(
        "DMAR-SEGMENT", "error", "a PCI segment has no remapping unit", "VT-d specification 4.1 §8.3",
        "Every device of the segment reaches all of memory.",
        "Linux leaves the devices of the segment without an IOMMU and says nothing.",
        "declare at least one DRHD for each PCI segment", (), _segment,
    ),
    Rule(
        "DMAR-ALL-TWICE", "error", "two units of one segment have INCLUDE_PCI_ALL", "VT-d specification 4.1 §8.3",
        "Which of them controls what no scope names depends on who reads the table.",
        "Linux takes the first in the table; Xen says 'Only one INCLUDE_ALL device scope is allowed' and uses no unit.",
        "leave the flag with one unit of the segment, and name the other's devices by scopes", ("fwts",), _all_twice,
    ),
    Rule(
        "DMAR-ALL-LAST", "error", "an INCLUDE_PCI_ALL unit is not the last of its segment",
        "VT-d specification 4.1 §8.3",
        "A reader that takes units in their order never reaches those after it.",
        "Linux and Xen ask it last, wherever it stands.", "put it after all other units of its segment", (), _all_last,
    ),
    Rule(
        "DMAR-ALL-MISSING", "warning", "no unit of a segment takes what no scope names", "VT-d specification 4.1 §8.3",
        "Functions that no scope names have no IOMMU and reach all of memory.",
        "Linux leaves them without an IOMMU and says nothing.",
        "set INCLUDE_PCI_ALL in the last unit of the segment, or name every function by a scope", (), _all_missing,
    ),
    Rule(
        "DMAR-ALL-SCOPE", "warning", "an INCLUDE_PCI_ALL unit names PCI functions as well",
        "VT-d specification 4.1 §8.3",
        "The scope says nothing that the flag does not, or the flag was not meant.",
        "Linux passes over such scopes.", "remove the scope, or the flag", (), _all_scope,
    ),
)  # fmt: skip
"""Rules of the table and of its units."""
