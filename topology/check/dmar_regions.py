"""Rules of the reserved memory regions of a DMAR."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Finding, RangeSet
from ...parsers.acpi import Table
from ...parsers.acpi.dmar import Dmar, Drhd, Rmrr
from ...parsers.acpi.dmar.names import PCI_ENDPOINT
from ...parsers.pci import PciFunction
from ..query import X86_MSI_LENGTH, X86_MSI_START
from ..view import size
from .board import Board
from .dmar_walk import PAGE, PCI_SCOPES, field_origin, function_at, place, segments, structures, whole
from .rule import Rule

CLAUSE = "VT-d specification 4.1 §8.4"
USB_CLASS, DISPLAY = 0x0C03, 0x03


def extent(region: Rmrr) -> str:
    """Return a region as Linux writes it, with its size."""
    return f"0x{region.base:x}-0x{region.limit:x} ({size(region.limit - region.base + 1)})"


def regions(board: Board) -> Iterator[tuple[Table, Dmar, Rmrr]]:
    """Iterate over the reserved regions that are not upside down."""
    for table, body, found in structures(board, Rmrr):
        for region in found:
            if region.limit > region.base:
                yield table, body, region


def _align(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, region in regions(board):
        for field, name, value in (
            ("base", "Reserved Memory Region Base Address", region.base),
            ("limit", "Reserved Memory Region Limit Address", region.limit + 1),
        ):
            if value % PAGE:
                last = field == "limit"
                yield rule.finding(
                    field_origin(table, region, field), f"the region {extent(region)} is not made of whole pages",
                    field=name, found=f"0x{value - last:x}",
                    expected="one less than a multiple of 0x1000" if last else "a multiple of 0x1000",
                )  # fmt: skip


def _wide(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body, region in regions(board):
        if region.limit >> body.host_address_width + 1:
            yield rule.finding(
                field_origin(table, region, "limit"), field="Reserved Memory Region Limit Address",
                found=f"0x{region.limit:x}", expected=f"less than 0x{1 << body.host_address_width + 1:x}",
            )  # fmt: skip


def _overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    last: Rmrr | None = None
    for table, _, region in sorted(regions(board), key=lambda one: (one[2].base, one[2].offset)):
        if last is not None and region.base <= last.limit:
            yield rule.finding(
                field_origin(table, region, "base"), f"the regions {extent(last)} and {extent(region)} overlap"
            )
        if last is None or region.limit > last.limit:
            last = region


def _registers(rule: Rule, board: Board) -> Iterator[Finding]:
    registers = RangeSet(
        (unit.register_base, unit.register_bytes) for _, _, units in structures(board, Drhd) for unit in units
    )
    for table, _, region in regions(board):
        end = region.limit + 1
        if region.base < X86_MSI_START + X86_MSI_LENGTH and end > X86_MSI_START:
            text = f"the region {extent(region)} reaches into the interrupt window at 0x{X86_MSI_START:x}"
            yield rule.finding(whole(table, region), text)
        for start, _ in registers.overlapping(region.base, end - region.base)[:1]:
            text = f"the region {extent(region)} holds registers of a remapping unit, at 0x{start:x}"
            yield rule.finding(whole(table, region), text)


def _absent(rule: Rule, board: Board) -> Iterator[Finding]:
    known = segments(board)
    for table, _, region in regions(board):
        places = [place(board.topology, region.segment, one) for one in region.scopes if one.type in PCI_SCOPES]
        if region.segment in known and places and None not in places:
            present = any(board.topology.function(region.segment, rid) for rid in places if rid is not None)
            if not present:
                yield rule.finding(whole(table, region), f"no device of the region {extent(region)} is there")


def _devices(board: Board, region: Rmrr) -> list[PciFunction]:
    """Return the endpoints of a region that are known."""
    found = (function_at(board.topology, region.segment, one) for one in region.scopes if one.type == PCI_ENDPOINT)
    return [one for one in found if one is not None]


def _relaxable(function: PciFunction) -> bool:
    """Tell whether Linux takes the region to be of no use after boot."""
    return function.class_code >> 8 == USB_CLASS or function.class_code >> 16 == DISPLAY


def _relaxed(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, region in regions(board):
        for function in filter(_relaxable, _devices(board, region)):
            kind = "a USB controller" if function.class_code >> 8 == USB_CLASS else "graphics"
            yield rule.finding(whole(table, region), f"the region {extent(region)} is for {kind}, {function.address}")


def _locked(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, _, region in regions(board):
        for function in _devices(board, region):
            if not _relaxable(function):
                text = f"the region {extent(region)} ties {function.address} to the host"
                yield rule.finding(whole(table, region), text)


RULES: tuple[Rule, ...] = (
    Rule(
        "DMAR-RMRR-ALIGN", "error", "a reserved region is not made of whole pages", CLAUSE,
        "Mappings are made of pages: the devices reach more than the region, or less.",
        "Linux uses the region and taints itself: 'Your BIOS is broken; bad RMRR […]'.",
        "begin and end the region at a multiple of 4 KiB", ("fwts", "Linux"), _align,
    ),
    Rule(
        "DMAR-RMRR-WIDE", "error", "a reserved region lies beyond the host address width",
        "VT-d specification 4.1 §8.1, §8.4",
        "There is no memory at such an address, so one of the two is wrong.",
        "Older Linux: 'Your BIOS is broken; RMRR exceeds permitted address width (… bits)'; newer does not look.",
        "mend the region or the host address width", ("Linux",), _wide,
    ),
    Rule(
        "DMAR-RMRR-OVERLAP", "warning", "two reserved regions overlap", CLAUSE,
        "The devices of both reach the same memory, past any unit.",
        "Linux maps both; Xen says 'Overlapping RMRRs' and uses no unit at all.",
        "join the regions, or name the devices of both in one", (), _overlap,
    ),
    Rule(
        "DMAR-RMRR-REGISTERS", "error", "a reserved region holds registers or the interrupt window", CLAUSE,
        "A device that reaches a unit's registers can switch its own containment off; writes to the interrupt window "
        "are never translated, so a region there does nothing.",
        "Linux maps the region as it stands.", "report memory only, where the devices have their data", (), _registers,
    ),
    Rule(
        "DMAR-RMRR-ABSENT", "note", "no device of a reserved region is there", CLAUSE,
        "The memory is set aside for nothing, until a device takes that address and gets it.",
        "Xen: 'Ignore RMRR (…) (some devices in its scope are not PCI discoverable)'. Linux waits for the devices.",
        "leave the region out while its devices are switched off", ("fwts",), _absent,
    ),
    Rule(
        "DMAR-RMRR-RELAXABLE", "note", "a reserved region is for a device that does not need it later", CLAUSE,
        "The device reaches the region until a driver or virtual machine takes the device over.",
        "Linux treats regions of USB and graphics as relaxable: it maps them, and gives them up when the device is "
        "assigned.",
        "nothing is to be done", (), _relaxed,
    ),
    Rule(
        "DMAR-RMRR-LOCKED", "note", "a reserved region ties a device to the host", CLAUSE,
        "The device keeps reaching the region, so it cannot be given to a virtual machine safely.",
        "Linux refuses to assign it: 'Device is ineligible for IOMMU domain attach due to platform RMRR requirement', "
        "since 6.6 'Firmware has requested this device have a 1:1 IOMMU mapping, rejecting configuring the device "
        "without a 1:1 mapping'.",
        "switch off in the firmware's setup what uses the region (such as out-of-band management), if it can be",
        (), _locked,
    ),
)  # fmt: skip
"""Rules of RMRR structures; whether they are in usable memory is asked where the memory map is."""
