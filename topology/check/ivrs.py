"""Rules for an IVRS: its fields, the blocks of a unit against each other, and its I/O APICs against the MADT."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Finding, format_pci_address
from ...parsers.acpi import Record, Table
from ...parsers.acpi.ivrs import HidEntry, IvhdExtended, IvhdFixed, Ivmd, Ivrs, SpecialEntry
from ...parsers.acpi.ivrs import names as words
from ...parsers.acpi.madt import IoApic, Madt
from .board import Board
from .dmar_walk import field_origin
from .iort_nodes import at_field
from .rule import Rule

_TABLE, _BLOCKS, _ENTRIES = "AMD 48882 §5.2", "AMD 48882 §5.2.1", "AMD 48882 §5.2.2"

_REVISIONS = (1, 2)
_WITH_HID = 2
"""The first revision of the table with blocks of type 40h."""

_REGISTERS, _PAGE = 0x4000, 0x1000
"""Bytes that the address of a unit's registers, and those that a memory block, are a multiple of."""

SOUTHBRIDGE = 0xA0
"""The requester ID 00:14.0, with which the I/O APIC of the southbridge sends."""

_OVERRIDES = {4: (SOUTHBRIDGE, "some Dell and Acer laptops"), 5: (0x2, "Dell Inspiron 7375"),
              32: (SOUTHBRIDGE, "Lenovo ideapad 330S")}  # fmt: skip
"""I/O APICs that Linux knows to be missing on machines, with the requester IDs that it gives them (amd/quirks.c)."""

_EFR_SUP = 1
"""Bit of IVinfo: the EFR images of blocks are valid."""

_Unit = IvhdFixed | IvhdExtended


def _units(board: Board) -> Iterator[tuple[Table, _Unit]]:
    """Iterate over the blocks that describe units, of every type."""
    for table, body in board.tables(Ivrs):
        yield from ((table, block) for block in body.blocks if isinstance(block, _Unit))


def _memory(board: Board) -> Iterator[tuple[Table, Ivmd]]:
    for table, body in board.tables(Ivrs):
        yield from ((table, block) for block in body.blocks if isinstance(block, Ivmd))


def _revision(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Ivrs):
        revision = table.header.revision
        if revision not in _REVISIONS:
            yield at_field(rule, table, table.header, "revision", found=str(revision), expected="1 or 2")
        elif revision < _WITH_HID and any(block.type == words.IVHD_HID for block in body.blocks):
            message = "the table has blocks of type 40h, which its revision does not define"
            yield at_field(rule, table, table.header, "revision", message, found=str(revision), expected="2")


def _reserved(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for reserved bits; bits 12:0 of attributes, which most tables use, are not looked at."""
    for table, body in board.tables(Ivrs):
        yield from _bits(rule, table, body, "iv_info", 0x7FFFE3)
        yield from _zeros(rule, table, body)
    for table, unit in _units(board):
        yield from _bits(rule, table, unit, "info", 0x1F1F)
        if isinstance(unit, IvhdExtended):
            yield from _bits(rule, table, unit, "attributes", 0x0FFFFFFF)
    for table, block in _memory(board):
        yield from _bits(rule, table, block, "flags", 0xF)
        yield from _zeros(rule, table, block)


def _bits(rule: Rule, table: Table, record: Record, name: str, allowed: int) -> Iterator[Finding]:
    """Return a finding when bits of a field are set that may not be."""
    if getattr(record, name) & ~allowed:
        yield at_field(rule, table, record, name, expected=f"no bits but 0x{allowed:x}")


def _zeros(rule: Rule, table: Table, record: Ivrs | Ivmd) -> Iterator[Finding]:
    """Return a finding when the reserved bytes of a record are not zero."""
    if any(record.reserved):
        origin = field_origin(table, record, "reserved")
        yield rule.finding(origin, field="reserved", found=record.reserved.hex(" "), expected="zeros")


def _alignment(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, unit in _units(board):
        if unit.base_address % _REGISTERS:
            yield at_field(rule, table, unit, "base_address", expected="a multiple of 0x4000")


def _memory_alignment(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, block in _memory(board):
        for name in ("start_address", "memory_length"):
            if getattr(block, name) % _PAGE:
                yield at_field(rule, table, block, name, expected="a multiple of 0x1000")


def _differ(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for blocks of one unit that do not say the same of it."""
    for table, body in board.tables(Ivrs):
        first: dict[tuple[int, int, str], _Unit] = {}
        for unit in (block for block in body.blocks if isinstance(block, _Unit)):
            names = ["base_address", "capability_offset"]
            names += ["efr_image"] if isinstance(unit, IvhdExtended) and body.iv_info & _EFR_SUP else []
            for name in names:
                other = first.setdefault((unit.segment, unit.device_id, name), unit)
                if getattr(other, name) != getattr(unit, name):
                    message = (
                        f"the {words.BLOCKS[unit.type]} block of {format_pci_address(unit.segment, unit.device_id)} "
                        f"differs from the one at 0x{other.offset:x}"
                    )
                    yield at_field(rule, table, unit, name, message, expected=f"0x{getattr(other, name):x}")


def _unique_id(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, unit in _units(board):
        for entry in unit.entries:
            if not isinstance(entry, HidEntry):
                continue
            if entry.unique_id_format > words.UID_STRING:
                yield at_field(rule, table, entry, "unique_id_format", expected="0, 1 or 2")
            elif bool(entry.unique_id_format) != bool(entry.unique_id_length):
                expected = "at least 1" if entry.unique_id_format else "0 when there is no unique ID"
                found = str(entry.unique_id_length)
                yield at_field(rule, table, entry, "unique_id_length", found=found, expected=expected)


def _named(board: Board) -> dict[int, tuple[Table, SpecialEntry]]:
    """Return the entries that name I/O APICs and that count, by the ID of the I/O APIC."""
    found = {}
    for table, unit in _units(board):
        for entry in unit.entries:
            if isinstance(entry, SpecialEntry) and entry.variety == words.IOAPIC:
                device = board.topology.devices.get(f"ioapic:{entry.handle}")
                if device is not None and device.origin == table.origin(entry):
                    found[entry.handle] = table, entry
    return found


def _io_apics(board: Board) -> Iterator[tuple[Table, IoApic]]:
    """Iterate over the I/O APICs of the MADT when an IVRS declares units."""
    if any(_units(board)):
        for table, body in board.tables(Madt):
            yield from ((table, entry) for entry in body.entries if isinstance(entry, IoApic))


def _io_apic(rule: Rule, board: Board) -> Iterator[Finding]:
    named = _named(board)
    for table, entry in _io_apics(board):
        number = entry.io_apic_id
        if number in named:
            continue
        rid, machines = _OVERRIDES.get(number, (None, ""))
        advice = f"until the table is mended, boot Linux with ivrs_ioapic[{number}]=<bus>:<device>.<function>"
        if rid is not None:
            value = f"{rid >> 8:02x}:{rid >> 3 & 0x1F:02x}.{rid & 7}"
            advice = f"until the table is mended, boot Linux with ivrs_ioapic[{number}]={value} (right on {machines})"
        yield rule.finding(
            table.origin(entry), f"the IVRS does not name I/O APIC {number}", field="I/O APIC ID", found=str(number),
            expected=" or ".join(map(str, sorted(named)[:8])) or "none", advice=advice,
        )  # fmt: skip


def _southbridge(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for a machine of which no I/O APIC sends as 00:14.0; those that no entry names have a finding already."""
    named = _named(board)
    known = [named[entry.io_apic_id] for _, entry in _io_apics(board) if entry.io_apic_id in named]
    if known and all(entry.source_device_id != SOUTHBRIDGE for _, entry in known):
        table, first = known[0]
        yield at_field(rule, table, first, "source_device_id", expected="0xa0")


RULES = (
    Rule(
        "IVRS-REVISION", "warning", "the table has a revision that is not documented", _TABLE,
        "Blocks may mean something else than is read here.",
        "Linux does not look at the revision.",
        "write revision 2", ("fwts",), _revision,
    ),
    Rule(
        "IVRS-RESERVED", "note", "reserved bits are set", _BLOCKS,
        "None that is known: later systems may take the bits for something.",
        "Linux does not look at them.",
        "write 0", ("fwts",), _reserved,
    ),
    Rule(
        "IVRS-UNIT-ALIGN", "error", "the registers of a unit do not begin at a multiple of 16 KiB", _ENTRIES,
        "The address is another one, so the unit is not programmed and translates nothing.",
        "Linux maps what stands at the address, and programs that.",
        "write the base address of the unit's capability, of which bits 13:0 are 0", (), _alignment,
    ),
    Rule(
        "IVRS-BLOCKS-DIFFER", "warning", "the blocks of one unit differ in what they say of it", _ENTRIES,
        "Which of them is right depends on which type of block a system reads.",
        "Linux reads the blocks of the highest type that it knows, and of a wrong one says 'EFR mismatch. Use IVHD "
        "EFR'.",
        "write the same address, capability offset and EFR image into all blocks of a unit", (), _differ,
    ),
    Rule(
        "IVRS-HID-UID", "warning", "the unique ID of an ACPI HID entry does not fit its format", _ENTRIES,
        "The device may not be found by its unique ID, and then it has no IOMMU.",
        "Linux prints 'Invalid UID length.' when there is a length and no format; it takes no other format than 1 "
        "and 2.",
        "write format 0 and length 0 without a unique ID, else format 1 or 2 and its length", ("Linux",), _unique_id,
    ),
    Rule(
        "IVRS-MEMORY-ALIGN", "note", "a memory block is not made of whole pages", _ENTRIES,
        "Devices also reach what stands beside the memory in its first and last page.",
        "Linux rounds to whole pages.",
        "write multiples of 4 KiB", (), _memory_alignment,
    ),
    Rule(
        "IVRS-IOAPIC", "error", "an I/O APIC of the MADT is not named by the IVRS", _ENTRIES,
        "Interrupts are not remapped, so any device can raise any interrupt.",
        "Linux prints 'IOAPIC[…] not in IVRS table' and 'Disabling interrupt remapping', unless its "
        "list of laptops has the machine.",
        "name the I/O APIC by a special device entry, with the ID that the MADT gives it", ("Linux",), _io_apic,
    ),
    Rule(
        "IVRS-SOUTHBRIDGE", "warning", "no I/O APIC sends as 00:14.0, as that of the southbridge does", _ENTRIES,
        "Interrupts are not remapped, so any device can raise any interrupt.",
        "Linux prints 'No southbridge IOAPIC found' and 'Disabling interrupt remapping'.",
        "give the I/O APIC of the southbridge the source device ID 00a0h", ("Linux",), _southbridge,
    ),
)  # fmt: skip
