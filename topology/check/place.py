"""The bytes that a finding is about, and where they stand in their file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...base import Finding, Origin
from ...parsers.acpi import Table, build_table
from ...parsers.sources import Inputs

if TYPE_CHECKING:
    from ...parsers.devicetree import Node

SHOWN = 16
"""Most bytes of one place that are shown; a place of which the length is not known is shown as far as this."""

_BLOCKS = {"structure block": 8, "strings block": 12, "memory reservation block": 16}
"""The blocks of a flattened device tree, and where its header has their offsets."""


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of an input.

    Attributes:
        data: the first of them, `SHOWN` at most.
        length: how many there are.
        file_offset: where they begin in their file; None when the file holds them in another form, as a dump does.
    """

    data: bytes
    length: int
    file_offset: int | None

    @property
    def hex(self) -> str:
        """The bytes in hexadecimal; an ellipsis follows when there are more."""
        return self.data.hex(" ") + (" …" if self.length > len(self.data) else "")


class Places:
    """Finds the places of findings in the inputs that they are about."""

    __slots__ = ("_built", "_files", "_nodes", "_tables", "_trees")

    def __init__(self, inputs: Inputs) -> None:
        """Look in these inputs."""
        self._files = {name: data for data, name in inputs.contents.items()}
        self._tables: dict[tuple[str, str], Table | None] = {}
        for table in inputs.tables:
            key = table.source, table.signature
            # Of two tables with one signature in one dump, an origin does not say which it means.
            self._tables[key] = None if key in self._tables else table
        self._trees = {name: tree for tree in inputs.trees for name in tree.sources}
        self._built: dict[tuple[str, str], bytes] = {}
        self._nodes: dict[str, dict[str, Node]] = {}

    def of(self, finding: Finding) -> Place | None:
        """Return the place of a finding; None when it is about no bytes, or nobody can tell about which."""
        origin = finding.origin
        if (origin.source, origin.part) in self._tables:
            return self._in_table(origin)
        if origin.source in self._trees:
            return self._in_block(origin) if origin.part in (*_BLOCKS, "header") else self._in_property(origin)
        return None

    def _in_table(self, origin: Origin) -> Place | None:
        key = origin.source, origin.part
        table = self._tables[key]
        if table is None or origin.offset is None:
            return None
        if key not in self._built:
            self._built[key] = build_table(table)
        data = self._built[key]
        # In the text of a dump the bytes are digits.
        raw = self._files.get(origin.source, data)[: len(data)] == data
        return _cut(data, origin.offset, origin.length, 0 if raw else None)

    def _in_block(self, origin: Origin) -> Place | None:
        data = self._files.get(origin.source)
        if data is None or origin.offset is None:
            return None
        start = int.from_bytes(data[_BLOCKS[origin.part] :][:4]) if origin.part in _BLOCKS else 0
        return _cut(data, start + origin.offset, origin.length, 0)

    def _in_property(self, origin: Origin) -> Place | None:
        """Find a property, or as much of its value as the origin names; a node as such has no bytes to show."""
        tree = self._trees[origin.source]
        if origin.source not in self._nodes:
            nodes: dict[str, Node] = {}
            for node in tree.nodes:
                nodes.setdefault(node.path, node)
            self._nodes[origin.source] = nodes
        path, _, name = origin.part.rpartition(" ")
        found = self._nodes[origin.source].get(path)
        value = None if found is None else found.properties.get(name)
        if value is None:
            return None
        return _cut(value.raw, origin.offset or 0, origin.length, value.offset)


def _cut(data: bytes, offset: int, length: int | None, start: int | None) -> Place | None:
    """Return `length` bytes at `offset` of data that begins at `start` of its file."""
    there = max(len(data) - offset, 0)
    length = min(SHOWN if length is None else length, there)
    if not length:
        return None
    return Place(data[offset : offset + min(length, SHOWN)], length, None if start is None else start + offset)
