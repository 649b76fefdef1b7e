"""What the rules of a DMAR share: its structures, the places of their fields, and where a device scope leads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from ...base import Origin, format_pci_address
from ...parsers.acpi import Record, Table
from ...parsers.acpi.dmar import Dmar, ScopedStructure
from ...parsers.acpi.dmar.names import PCI_ENDPOINT, PCI_SUB_HIERARCHY
from ...parsers.acpi.dmar.records import DeviceScope
from ...parsers.pci import PciFunction
from ..topology import Topology
from .board import Board

_Kind = TypeVar("_Kind")

PCI_SCOPES = (PCI_ENDPOINT, PCI_SUB_HIERARCHY)
"""Types of the scopes that mean PCI functions."""

PAGE = 0x1000


def structures(board: Board, kind: type[_Kind]) -> Iterator[tuple[Table, Dmar, list[_Kind]]]:
    """Iterate over the DMARs of a board, each with its structures of one kind in order."""
    for table, body in board.tables(Dmar):
        yield table, body, [one for one in body.structures if isinstance(one, kind)]


def field_origin(table: Table, record: Record, name: str) -> Origin:
    """Return where a field of a record's fixed part stands."""
    field = next(one for one in record.layout.fields if one.name == name)
    return Origin(table.source, table.signature, record.offset + field.offset, field.size)


def whole(table: Table, record: ScopedStructure | DeviceScope) -> Origin:
    """Return where a record with all its parts stands."""
    return table.origin(record, record.length)


def segments(board: Board) -> set[int]:
    """Return the PCI segments of which functions are known."""
    return {segment for pci in board.topology.pci for segment, _ in pci.functions}


def place(topology: Topology, segment: int, scope: DeviceScope) -> int | None:
    """Return the requester ID that the path of a scope leads to; None when that cannot be told."""
    if not scope.path or any(device > 31 or function > 7 for device, function in scope.path):  # noqa: PLR2004
        return None
    bus = scope.start_bus
    for device, function in scope.path[:-1]:
        bridge = topology.function(segment, bus << 8 | device << 3 | function)
        if bridge is None or not bridge[1].secondary:
            return None
        bus = bridge[1].secondary
    device, function = scope.path[-1]
    return bus << 8 | device << 3 | function


def function_at(topology: Topology, segment: int, scope: DeviceScope) -> PciFunction | None:
    """Return the function that the path of a scope leads to, if it is known."""
    rid = place(topology, segment, scope)
    found = None if rid is None else topology.function(segment, rid)
    return found[1] if found else None


def scope_name(topology: Topology, segment: int, scope: DeviceScope) -> str:
    """Return what a scope of a PCI function names, in words: its address, else its bus and path."""
    rid = place(topology, segment, scope)
    if rid is not None:
        return format_pci_address(segment, rid)
    path = "/".join(f"{device:02x}.{function:x}" for device, function in scope.path)
    return f"{segment:04x}:{scope.start_bus:02x}:{path}"
