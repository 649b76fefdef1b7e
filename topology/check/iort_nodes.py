"""What the rules for an IORT share: its nodes, and findings about one field of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...base import Finding, Origin, Severity
from ...parsers.acpi import Record, Table
from ...parsers.acpi.iort import Iort, Node
from .board import Board
from .rule import Look, Rule

NODES = "DEN 0049E.f §3.1"

Bits = tuple[type[Record], str, Callable[[Node], int]]
"""A field of a class of records, and the bits of it that may be set in records of a node."""


def each_node(board: Board) -> Iterator[tuple[Table, Node]]:
    """Iterate over the nodes of every IORT, in order."""
    for table, body in board.tables(Iort):
        for node in body.nodes:
            yield table, node


def at_field(
    rule: Rule,
    table: Table,
    record: Record,
    name: str,
    message: str = "",
    severity: Severity | None = None,
    **details: str,
) -> Finding:
    """Return a finding about one field of a record, which says what the field holds."""
    field = next(one for one in record.layout.fields if one.name == name)
    origin = Origin(table.source, table.signature, record.offset + field.offset, field.size)
    details = {"field": name.replace("_", " "), "found": f"0x{getattr(record, name):x}", **details}
    return rule.finding(origin, message, severity, **details)


def no_other_bits(*fields: Bits) -> Look:
    """Return a function that looks for set bits of these fields that must not be set."""

    def look(rule: Rule, board: Board) -> Iterator[Finding]:
        for table, node in each_node(board):
            for record in (node, *node.inner()):
                for kind, name, allowed in fields:
                    if not isinstance(record, kind):
                        continue
                    value = getattr(record, name)
                    # A field that came with a later revision is None.
                    if value is not None and value & ~allowed(node):
                        expected = f"no bits but 0x{allowed(node):x}" if allowed(node) else "0"
                        yield at_field(rule, table, record, name, expected=expected)

    return look


def always(mask: int) -> Callable[[Node], int]:
    """Return a function that allows the same bits in every node."""
    return lambda _: mask
