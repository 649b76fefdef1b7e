"""Tables that are an array of nodes, with arrays and names inside these: IORT, RIMT and VIOT.

Bounds first: a node that can be read is, and what cannot be told apart is kept as raw data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from .record import Raw, Record, Report, shown

_Node = TypeVar("_Node", bound=Record)
_Entry = TypeVar("_Entry", bound=Record)


class NodeArray(NamedTuple):
    """What is known of one table's array of nodes.

    Attributes:
        rule: how the identifiers of rules begin.
        clause: where the specification has the nodes.
        table_clause: where it has the fields that say where they are.
        header_size: bytes of a node's header.
        length_at: where in the header a node's length stands, as two bytes.
        count_field: what the specification calls the number of nodes.
        offset_field: what it calls the place of the first.
        offset_at: where that field stands in the table.
        offset_size: in bytes.
        end_advice: what becomes of a table that ends before its last node.
    """

    rule: str
    clause: str
    table_clause: str
    header_size: int
    length_at: int
    count_field: str
    offset_field: str
    offset_at: int
    offset_size: int
    end_advice: str


def read_nodes(
    data: bytes,
    start: int,
    first: int,
    count: int,
    kind: NodeArray,
    read: Callable[[int, int], _Node],
    report: Report,
) -> tuple[tuple[_Node, ...], bytes, Raw | None]:
    """Read `count` nodes from offset `first` of a table whose own fields end at `start`.

    `read` is given where a node begins and ends. Returns the nodes, and the bytes before and after them.
    """
    if not start <= first <= len(data):
        if count:
            report(
                f"{kind.rule}-NODE-OFFSET", "error", kind.offset_at, kind.offset_size,
                "the nodes do not begin inside the table", field=kind.offset_field, found=str(first),
                expected=f"{start} to {len(data)}", clause=kind.table_clause, advice="no node is read",
            )  # fmt: skip
        return (), b"", Raw(start, data[start:]) if start < len(data) else None
    nodes: list[_Node] = []
    place = first
    while len(nodes) < count:
        end = _node_end(data, place, kind, report, f"node {len(nodes)} of {count}")
        if end is None:
            break
        nodes.append(read(place, end))
        place = end
    rest = Raw(place, data[place:]) if place < len(data) else None
    if rest and len(nodes) == count:
        report(
            f"{kind.rule}-TRAILING", "warning", place, len(rest.data), "bytes follow the last node",
            field=kind.count_field, found=str(count), expected="nodes up to the end of the table",
            clause=kind.table_clause, advice="the bytes are kept as raw data",
        )  # fmt: skip
    return tuple(nodes), data[start:first], rest


def _node_end(data: bytes, place: int, kind: NodeArray, report: Report, which: str) -> int | None:
    """Return where the node at `place` ends, or None when nothing after `place` can be told apart."""
    left = len(data) - place
    if left < kind.header_size:
        report(
            f"{kind.rule}-NODE-END", "error", place, left, f"the table ends before {which}",
            found=f"{left} bytes", expected=f"at least {kind.header_size}", clause=kind.clause,
            advice=f"no further node is read{kind.end_advice}",
        )  # fmt: skip
        return None
    at = place + kind.length_at
    length = int.from_bytes(data[at : at + 2], "little")
    if length < kind.header_size:
        report(
            f"{kind.rule}-NODE-LENGTH", "error", at, 2, f"{which} does not even hold its own header", field="Length",
            found=str(length), expected=f"at least {kind.header_size}", clause=kind.clause,
            advice="the rest of the table is kept as raw data",
        )  # fmt: skip
        return None
    if length > left:
        report(
            f"{kind.rule}-NODE-END", "error", at, 2, f"{which} runs past the end of the table", field="Length",
            found=str(length), expected=f"at most {left}", clause=kind.clause, advice="what is there is read",
        )  # fmt: skip
        return len(data)
    return place + length


class NodePlace(NamedTuple):
    """A node that is being read, and how to speak of it.

    Attributes:
        data: the table.
        place: where the node begins in it.
        end: where it ends.
        fixed_size: bytes of its fixed part, before which no array begins.
        rule: how the identifiers of rules begin.
        clause: where the specification has the node.
        report: collects what is wrong.
    """

    data: bytes
    place: int
    end: int
    fixed_size: int
    rule: str
    clause: str
    report: Report

    def array(self, entry: type[_Entry], start: int, count: int, what: str) -> tuple[_Entry, ...]:
        """Read `count` entries from `start` bytes into the node; those outside it are named, not read."""
        if not count:
            return ()
        size, length = entry.LAYOUT.size, self.end - self.place
        room = (length - start) // size if self.fixed_size <= start <= length else 0
        if room < count:
            self.report(
                f"{self.rule}-ARRAY-END", "error", self.place, length,
                f"the {what} array does not lie inside its node",
                found=f"{count} entries of {size} bytes from offset {start}",
                expected=f"all of them between offsets {self.fixed_size} and {length}",
                clause=self.clause, advice=f"{room} of its entries are read",
            )  # fmt: skip
        return entry.read_array(self.data, self.place + start, min(room, count))

    def name(self, start: int, limit: int, field: str, clause: str) -> tuple[str, bool]:
        """Read the name at offset `start` of the table, which ends with the first zero byte before `limit`.

        Returns it, decoded byte by byte, and whether its zero byte is there.
        """
        name, zero, _ = self.data[start:limit].partition(b"\0")
        if not zero:
            self.report(
                f"{self.rule}-NAME", "error", start, len(name), f"the {field.lower()} has no end", field=field,
                found=shown(name.decode("latin-1")), expected="a zero byte inside the node", clause=clause,
                advice="the name is taken up to where it must end",
            )  # fmt: skip
        return name.decode("latin-1"), bool(zero)

    def gaps(self, covered: int, *arrays: Sequence[Record]) -> tuple[Raw, ...]:
        """Return the bytes of the node that neither its first part, up to offset `covered`, nor the arrays cover."""
        spans = [(one[0].offset, one[-1].offset + one[-1].LAYOUT.size) for one in arrays if one]
        gaps = []
        reached = covered
        for start, stop in (*sorted(spans), (self.end, self.end)):
            if start > reached:
                gaps.append(Raw(reached, self.data[reached:start], name="padding"))
            reached = max(reached, stop)
        return tuple(gaps)


def joined(offset: int, fixed: bytes, records: Iterable[Record], gaps: Iterable[Raw]) -> bytes:
    """Return the bytes of a node at `offset` of its table: its first part, the records inside it, and the rest."""
    pieces = [(offset, fixed)]
    pieces += [(record.offset, record.fixed()) for record in records]
    pieces += [(gap.offset, gap.data) for gap in gaps]
    node = bytearray(max(start + len(data) for start, data in pieces) - offset)
    for start, data in pieces:
        node[start - offset : start - offset + len(data)] = data
    return bytes(node)
