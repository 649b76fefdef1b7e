"""The physical memory of a board, and rules that hold reserved regions against it."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Finding, RangeSet
from ...parsers.memory_map import MemoryKind, MemoryRange
from ..model import ReservedRegion
from ..view import size
from .board import Board
from .dmar_regions import extent, regions
from .dmar_walk import whole
from .rule import Rule

KEPT: tuple[MemoryKind, ...] = ("reserved", "nvs")
"""What Linux takes an RMRR in: `arch_rmrr_sanity_check`."""


def memory_map(board: Board) -> list[MemoryRange]:
    """Return the memory map of a board: of kernels and of device trees; empty when it is not known."""
    found = list(board.inputs.memory)
    if board.inputs.trees:
        from ...parsers.devicetree import memory_ranges

        for tree in board.inputs.trees:
            found += memory_ranges(tree, [])
    return found


def of_kind(ranges: list[MemoryRange], *kinds: MemoryKind) -> RangeSet:
    """Return the addresses of memory of these kinds."""
    return RangeSet((one.start, one.length) for one in ranges if one.kind in kinds)


def usable(ranges: list[MemoryRange]) -> RangeSet:
    """Return the memory that a system uses for itself: RAM without what is reserved in it."""
    found = of_kind(ranges, "ram")
    for one in ranges:
        if one.kind in ("reserved", "nvs", "acpi"):
            found.remove(one.start, one.length)
    return found


def _rmrr(rule: Rule, board: Board) -> Iterator[Finding]:
    ranges = list(board.inputs.memory)
    free, kept = usable(ranges), of_kind(ranges, *KEPT)
    for table, _, region in regions(board) if ranges else ():
        length = region.limit - region.base + 1
        parts = free.overlapping(region.base, length)
        if parts:
            start, inside = parts[0]
            text = f"the region {extent(region)} is in usable memory, from 0x{start:x} on for {size(inside)}"
            yield rule.finding(whole(table, region), text)
        elif len(kept) and not kept.covers(region.base, length):
            text = f"the memory map does not reserve the region {extent(region)}"
            yield rule.finding(whole(table, region), text, "warning")


def _rmr(rule: Rule, board: Board) -> Iterator[Finding]:
    free = usable(memory_map(board))
    for region in board.topology.reserved:
        if region.kind == "rmr" and (parts := free.overlapping(_physical(region), region.length)):
            start, inside = parts[0]
            yield rule.finding(
                region.origin,
                f"the region at 0x{region.start:x} ({size(region.length)}) is in usable memory, from 0x{start:x} on "
                f"for {size(inside)}",
            )


def _physical(region: ReservedRegion) -> int:
    return region.start if region.physical is None else region.physical


RULES: tuple[Rule, ...] = (
    Rule(
        "MACHINE-RMRR", "error", "a reserved region of the DMAR is in usable memory", "VT-d specification 4.1 §8.4",
        "The system gives the memory to programs, and the device goes on writing to it past the unit.",
        "Linux: 'No firmware reserved region can cover this RMRR […], contact BIOS vendor for fixes', 'Your BIOS is "
        "broken; bad RMRR […]', and maps it for the device all the same. Xen: 'RMRR address range … not in reserved "
        "memory; need \"iommu_inclusive_mapping=1\"?'.",
        "report the region as reserved in the memory map (E820, EfiReservedMemoryType)", ("Linux",), _rmrr,
    ),
    Rule(
        "MACHINE-RMR", "error", "a reserved region of the IORT is in usable memory", "DEN 0049E.f §3.1.1.7",
        "The system gives the memory to programs, and the device goes on writing to it past the SMMU.",
        "Linux maps the region for the device and says nothing.",
        "report the region as EfiReservedMemoryType in the memory map", (), _rmr,
    ),
)  # fmt: skip
"""Rules that take the memory map."""
