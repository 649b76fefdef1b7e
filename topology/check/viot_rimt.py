"""Rules for the nodes of a VIOT and a RIMT: reserved bits, identifiers, and mappings that hold the same IDs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ...base import Finding
from ...parsers.acpi import Record, Table
from ...parsers.acpi.rimt import IdMapping, Iommu, PcieRootComplex, PlatformDevice, Rimt, Wire
from ...parsers.acpi.rimt import Node as RimtNode
from ...parsers.acpi.viot import Node as ViotNode
from ...parsers.acpi.viot import UnknownNode, Viot
from .board import Board
from .dmar_walk import field_origin
from .iort_nodes import at_field
from .rule import Rule

_VIOT = "ACPI 6.6 §5.2.33"
_RIMT = "RIMT specification 1.0, RIMT node structure types"
_FLAGS = 0x3
"""The two flags that units, wires, root complexes and mappings of a RIMT have each."""


def _zeros(rule: Rule, table: Table, record: Record, name: str, value: int | bytes) -> Iterator[Finding]:
    """Return a finding when a reserved field is not zero."""
    if value if isinstance(value, int) else any(value):
        found = f"0x{value:x}" if isinstance(value, int) else value.hex(" ")
        yield rule.finding(field_origin(table, record, name), field=name, found=found, expected="0")


def _viot_reserved(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Viot):
        yield from _zeros(rule, table, body, "reserved", body.reserved)
        for node in body.nodes:
            if not isinstance(node, UnknownNode):
                yield from _viot_node(rule, table, node)


def _viot_node(rule: Rule, table: Table, node: ViotNode) -> Iterator[Finding]:
    yield from _zeros(rule, table, node, "reserved", node.reserved)
    more = getattr(node, "reserved2", b"")
    yield from _zeros(rule, table, node, "reserved2", more)


def _rimt_reserved(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Rimt):
        yield from _zeros(rule, table, body, "reserved", body.reserved)
        for node in body.nodes:
            yield from _zeros(rule, table, node, "reserved", node.reserved)
            if isinstance(node, PcieRootComplex):
                yield from _zeros(rule, table, node, "reserved2", node.reserved2)
            for record in (node, *node.inner()):
                if isinstance(record, Iommu | PcieRootComplex | Wire | IdMapping) and record.flags & ~_FLAGS:
                    yield at_field(rule, table, record, "flags", expected="no bits but 0x3")


def _identifier(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Rimt):
        seen: dict[int, RimtNode] = {}
        for node in body.nodes:
            first = seen.setdefault(node.identifier, node)
            if first is not node:
                message = f"the node at 0x{first.offset:x} has this identifier already"
                yield at_field(rule, table, node, "identifier", message)


def _overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for IDs that two mappings of a segment, or of a platform device, hold."""
    for table, body in board.tables(Rimt):
        owned: dict[int | str, list[IdMapping]] = defaultdict(list)
        for node in body.nodes:
            if isinstance(node, PcieRootComplex):
                owned[node.segment] += node.mappings
            elif isinstance(node, PlatformDevice):
                owned[node.name] += node.mappings
        for mappings in owned.values():
            yield from _shared(rule, table, mappings)


def _shared(rule: Rule, table: Table, mappings: list[IdMapping]) -> Iterator[Finding]:
    """Return a finding for each mapping that begins inside another one of these."""
    before: IdMapping | None = None
    for one in sorted(mappings, key=lambda mapping: (mapping.source_base, mapping.offset)):
        end = one.source_base + one.id_count
        reach = before.source_base + before.id_count if before else 0
        if before and one.id_count and one.source_base < reach:
            last = min(end, reach) - 1
            message = f"IDs 0x{one.source_base:x} to 0x{last:x} are in the mapping at 0x{before.offset:x} too"
            yield rule.finding(table.origin(one), message)
        if end > reach:
            before = one


RULES = (
    Rule(
        "VIOT-RESERVED", "note", "a reserved field of a VIOT is not zero", _VIOT,
        "None that is known: later systems may take the field for something.",
        "Linux does not look at it.",
        "write 0", ("fwts",), _viot_reserved,
    ),
    Rule(
        "RIMT-RESERVED", "note", "reserved bits of a RIMT are set", _RIMT,
        "None that is known: later systems may take the bits for something.",
        "Linux does not look at them.",
        "write 0", (), _rimt_reserved,
    ),
    Rule(
        "RIMT-IDENTIFIER", "note", "two nodes have one identifier", _RIMT,
        "None: mappings lead to nodes by their offsets.",
        "Linux does not look at it.",
        "give each node of the table an identifier of its own", (), _identifier,
    ),
    Rule(
        "RIMT-OVERLAP", "warning", "two mappings of one segment or device hold the same IDs",
        "RIMT specification 1.0, ID mapping structure",
        "Which IOMMU the IDs arrive at, and as which device, depends on who reads the table.",
        "Linux takes the first mapping of the first root complex of the segment that holds an ID.",
        "let each ID be in one mapping", (), _overlap,
    ),
)  # fmt: skip
