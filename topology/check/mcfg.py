"""Rules for MCFG, the windows to PCI configuration space, which say what segments and buses a machine has."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Finding
from ...parsers.acpi.mcfg import CLAUSE, Allocation, Mcfg
from .board import Board
from .rule import Rule

BUS = 1 << 20
"""Bytes of a window for one bus."""

_QUIRKS = {
    (b"AMAZON", b"GRAVITON"): (0,),
    (b"QCOM  ", b"QDF2432 "): (1,),
    (b"HISI  ", b"HIP05   "): (0,),
    (b"HISI  ", b"HIP06   "): (0,),
    (b"HISI  ", b"HIP07   "): (0,),
    (b"CAVIUM", b"THUNDERX"): (1, 2),
    (b"APM   ", b"XGENE   "): (1, 2, 3, 4),
    (b"Ampere", b"Altra   "): (1,),
}
"""OEM ID, OEM table ID and OEM revisions for which `drivers/acpi/pci_mcfg.c` of Linux has accessors of its own."""


def _revision(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _ in board.tables(Mcfg):
        if table.header.revision != 1:
            origin = table.origin(table.header, 9)
            yield rule.finding(origin, field="Revision", found=str(table.header.revision), expected="1")


def _empty(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Mcfg):
        if not body.allocations:
            yield rule.finding(table.origin(table.header, 8), field="Length", found=str(table.header.length))


def _base(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for windows at 0, and for those that do not begin where one of 1 MiB for each bus can."""
    for table, body in board.tables(Mcfg):
        for entry in body.allocations:
            if not entry.base_address or entry.base_address % BUS:
                yield rule.finding(
                    table.origin(entry), field="Base Address", found=f"0x{entry.base_address:x}",
                    expected="an address other than 0, a multiple of 1 MiB",
                )  # fmt: skip


def _reserved(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Mcfg):
        if any(body.reserved):
            yield rule.finding(table.origin(body), found=body.reserved.hex(" "), expected="0")
        for entry in body.allocations:
            if any(entry.reserved):
                yield rule.finding(table.origin(entry), found=entry.reserved.hex(" "), expected="0")


def _buses(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for windows of one segment that have a bus in common."""
    for table, body in board.tables(Mcfg):
        last: dict[int, Allocation] = {}
        for entry in sorted(_sound(body), key=lambda one: (one.segment, one.start_bus)):
            before = last.get(entry.segment)
            if before is not None and entry.start_bus <= before.end_bus:
                message = f"windows of segment {entry.segment:04x} have bus 0x{entry.start_bus:02x} in common"
                yield rule.finding(
                    table.origin(max(entry, before, key=lambda one: one.offset)), message,
                    found=f"buses 0x{before.start_bus:02x}-0x{before.end_bus:02x} and "
                    f"0x{entry.start_bus:02x}-0x{entry.end_bus:02x}",
                )  # fmt: skip
            if before is None or entry.end_bus > before.end_bus:
                last[entry.segment] = entry


def _windows(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for windows of different buses that have memory in common."""
    for table, body in board.tables(Mcfg):
        reach, owner = 0, None
        for entry in sorted(_sound(body), key=lambda one: one.base_address + one.start_bus * BUS):
            start = entry.base_address + entry.start_bus * BUS
            end = entry.base_address + (entry.end_bus + 1) * BUS
            # A bus that two windows of one segment have in common is the other rule's.
            if owner is not None and start < reach and not _share_a_bus(owner, entry):
                message = f"the windows of segments {owner.segment:04x} and {entry.segment:04x} have memory in common"
                yield rule.finding(
                    table.origin(max(entry, owner, key=lambda one: one.offset)), message,
                    found=f"0x{start:x}-0x{min(end, reach) - 1:x}",
                )  # fmt: skip
            if end > reach:
                reach, owner = end, entry


def _quirk(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _ in board.tables(Mcfg):
        header = table.header
        if header.oem_revision in _QUIRKS.get((header.oem_id, header.oem_table_id), ()):
            name = f"{header.oem_id.decode('latin-1').strip()} {header.oem_table_id.decode('latin-1').strip()}"
            yield rule.finding(table.origin(header), found=f"{name}, OEM revision {header.oem_revision}")


def _sound(body: Mcfg) -> Iterator[Allocation]:
    """Iterate over the windows that have a bus; one that ends before it begins has a finding already."""
    return (entry for entry in body.allocations if entry.start_bus <= entry.end_bus)


def _share_a_bus(one: Allocation, other: Allocation) -> bool:
    return one.segment == other.segment and one.start_bus <= other.end_bus and other.start_bus <= one.end_bus


RULES = (
    Rule(
        "MCFG-REVISION",
        "warning",
        "MCFG has a revision that no specification has",
        CLAUSE,
        "Windows may be laid out in another way than they are read.",
        "Linux does not look at the revision.",
        "write revision 1",
        look=_revision,
    ),
    Rule(
        "MCFG-EMPTY",
        "warning",
        "MCFG has no window",
        CLAUSE,
        "Systems find no extended capabilities: neither ATS nor PASID, nor ACS, which isolates behind a switch.",
        "Linux prints 'MCFG table detected, 0 entries'.",
        "add a window for each segment, or leave the table out",
        ("fwts",),
        _empty,
    ),
    Rule(
        "MCFG-BASE",
        "error",
        "a window of MCFG is at an address where none can be",
        CLAUSE,
        "Configuration accesses go to memory of something else.",
        "Linux finds no configuration space for the segment when the address is 0, and uses any other as it stands.",
        "write the address of bus 0 of the segment, whatever the start bus is",
        ("Linux",),
        _base,
    ),
    Rule(
        "MCFG-RESERVED",
        "note",
        "a reserved field of MCFG is not 0",
        CLAUSE,
        "Systems of a later specification may take it for something.",
        "Linux does not look at it.",
        "write 0",
        look=_reserved,
    ),
    Rule(
        "MCFG-BUS-OVERLAP",
        "error",
        "two windows of one segment have a bus in common",
        CLAUSE,
        "Which window is used for the bus depends on the system, and with it what is found there.",
        "Linux on Arm takes the first window in the table that holds all buses of the host bridge.",
        "give each bus of a segment one window",
        (),
        _buses,
    ),
    Rule(
        "MCFG-WINDOW-OVERLAP",
        "error",
        "two windows of MCFG have memory in common",
        CLAUSE,
        "One function answers at two addresses, so a driver may disable isolation of a device that it does not mean.",
        "Linux on Arm prints 'can't claim ECAM area … address conflict with …' and leaves the second host bridge out.",
        "write the address of bus 0 of each segment; a window has 1 MiB for each bus",
        ("Linux",),
        _windows,
    ),
    Rule(
        "MCFG-QUIRK",
        "note",
        "Linux reads configuration space of this machine in a way of its own",
        CLAUSE,
        "What generic code reads there, such as a bootloader or hypervisor, may be wrong.",
        "Linux prints 'MCFG quirk: ECAM at … for … with …' and takes accessors of its own for these identifiers.",
        "use the same accessors in other systems",
        ("Linux",),
        _quirk,
    ),
)  # fmt: skip
