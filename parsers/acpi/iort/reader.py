"""Bytes of an IORT to records: bounds first, and every node that can be read is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ..layout import Layout
from ..record import Raw, Record, Report, shown
from . import layout, names
from .records import (
    GlobalInterrupts,
    IdMapping,
    Iort,
    ItsGroup,
    ItsIdentifier,
    Iwb,
    NamedComponent,
    Node,
    Pmcg,
    Rmr,
    RmrDescriptor,
    RootComplex,
    SmmuInterrupt,
    SmmuV2,
    SmmuV3,
    UnknownNode,
)

CLAUSE = "DEN 0049E.f §3.1"

_HEADER = Layout(layout.NODE_HEADER)
_NODES: dict[int, type[Node]] = {
    names.ITS_GROUP: ItsGroup,
    names.NAMED_COMPONENT: NamedComponent,
    names.ROOT_COMPLEX: RootComplex,
    names.SMMU_V2: SmmuV2,
    names.SMMU_V3: SmmuV3,
    names.PMCG: Pmcg,
    names.RMR: Rmr,
    names.IWB: Iwb,
}
_Entry = TypeVar("_Entry", bound=Record)


def read_iort(data: bytes, offset: int, report: Report) -> Iort:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    start = offset + Iort.LAYOUT.size
    count, first, _ = Iort.LAYOUT.read(data, offset)
    if not start <= first <= len(data):
        if count:
            report(
                "IORT-NODE-OFFSET", "error", offset + 4, 4, "the nodes do not begin inside the table",
                field="Offset to Array of IORT Nodes", found=str(first), expected=f"{start} to {len(data)}",
                clause="DEN 0049E.f §3", advice="no node is read",
            )  # fmt: skip
        return Iort.read(data, offset, rest=Raw(start, data[start:]) if start < len(data) else None)
    nodes: list[Node] = []
    place = first
    while len(nodes) < count:
        end = _node_end(data, place, report, f"node {len(nodes)} of {count}")
        if end is None:
            break
        nodes.append(_read_node(data, place, end, report))
        place = end
    rest = Raw(place, data[place:]) if place < len(data) else None
    if rest and len(nodes) == count:
        report(
            "IORT-TRAILING", "warning", place, len(rest.data), "bytes follow the last node",
            field="Number of IORT Nodes", found=str(count), expected="nodes up to the end of the table",
            clause="DEN 0049E.f §3", advice="the bytes are kept as raw data",
        )  # fmt: skip
    return Iort.read(data, offset, nodes=tuple(nodes), padding=data[start:first], rest=rest)


def _node_end(data: bytes, place: int, report: Report, which: str) -> int | None:
    """Return where the node at `place` ends, or None when nothing after `place` can be told apart."""
    left = len(data) - place
    if left < _HEADER.size:
        report(
            "IORT-NODE-END", "error", place, left, f"the table ends before {which}",
            found=f"{left} bytes", expected=f"at least {_HEADER.size}", clause=CLAUSE,
            advice="no further node is read (Linux: 'IORT node pointer overflows, bad table!')",
        )  # fmt: skip
        return None
    length: int = _HEADER.read(data, place)[1]
    if length < _HEADER.size:
        report(
            "IORT-NODE-LENGTH", "error", place + 1, 2, f"{which} does not even hold its own header", field="Length",
            found=str(length), expected=f"at least {_HEADER.size}", clause=CLAUSE,
            advice="the rest of the table is kept as raw data",
        )  # fmt: skip
        return None
    if length > left:
        report(
            "IORT-NODE-END", "error", place + 1, 2, f"{which} runs past the end of the table", field="Length",
            found=str(length), expected=f"at most {left}", clause=CLAUSE, advice="what is there is read",
        )  # fmt: skip
        return len(data)
    return place + length


def _read_node(data: bytes, place: int, end: int, report: Report) -> Node:
    """Read the node from `place` to `end`."""
    kind, _, revision, _, mapping_count, mapping_offset = _HEADER.read(data, place)
    node = _NODES.get(kind, UnknownNode)
    label = names.NODES.get(kind, f"type {kind}")
    if node is UnknownNode:
        report(
            "IORT-NODE-TYPE", "warning", place, 1, "a node of an unknown type", field="Type", found=str(kind),
            expected=f"0 to {max(names.NODES)}", clause=CLAUSE, advice="what follows its header is kept as raw data",
        )  # fmt: skip
    elif place + node.LAYOUTS[0][1].size > end:
        report(
            "IORT-NODE-LENGTH", "error", place, end - place, f"the {label} node is too short",
            found=f"{end - place} bytes", expected=f"at least {node.LAYOUTS[0][1].size}", clause=CLAUSE,
            advice="what follows its header is kept as raw data",
        )  # fmt: skip
        node = UnknownNode
    mappings = _read_array(
        IdMapping, data, place, end, mapping_offset, mapping_count, report, "ID mapping", node.LAYOUTS[0][1].size
    )
    limit = mappings[0].offset if mappings else end
    fixed = next(layout for since, layout in reversed(node.LAYOUTS) if _fits(layout, since, revision, place, limit))
    parts = _read_parts(node, data, place, end, fixed, limit, report)
    named = len(parts["name"]) + parts["terminated"] if "name" in parts else 0
    inner = [record for part in parts.values() if isinstance(part, tuple) for record in part]
    gaps = _gaps(data, place, end, place + fixed.size + named, [*inner, *mappings])
    return node.read_node(data, place, fixed, mappings=mappings, gaps=gaps, **parts)


def _fits(layout: Layout, since: int, revision: int, place: int, limit: int) -> bool:
    """Tell whether a node of this revision has this layout: it must not reach into the mappings."""
    return not since or (revision >= since and place + layout.size <= limit)


def _read_parts(
    node: type[Node], data: bytes, place: int, end: int, fixed: Layout, limit: int, report: Report
) -> dict[str, Any]:
    """Read what a node of this class holds after its fixed part, besides the mappings."""
    values = dict(zip((field.name for field in fixed.fields), fixed.read(data, place), strict=True))
    after = place + fixed.size

    def array(entry: type[_Entry], name: str, what: str) -> tuple[_Entry, ...]:
        start, count = values[f"{name}_offset"], values[f"{name}_count"]
        return _read_array(entry, data, place, end, start, count, report, what, fixed.size)

    if node is ItsGroup:
        what = "ITS identifier"
        return {
            "identifiers": _read_array(
                ItsIdentifier, data, place, end, fixed.size, values["its_count"], report, what, fixed.size
            )
        }
    if node in (NamedComponent, Iwb):
        return _read_name(data, after, max(limit, after), report)
    if node is SmmuV2:
        values["global_interrupt_count"] = 1 if values["global_interrupt_offset"] else 0
        return {
            "global_interrupts": array(GlobalInterrupts, "global_interrupt", "global interrupt"),
            "context_interrupts": array(SmmuInterrupt, "context_interrupt", "context interrupt"),
            "pmu_interrupts": array(SmmuInterrupt, "pmu_interrupt", "PMU interrupt"),
        }
    if node is Rmr:
        return {"descriptors": array(RmrDescriptor, "descriptor", "memory range descriptor")}
    return {}


def _read_name(data: bytes, start: int, limit: int, report: Report) -> dict[str, Any]:
    """Read the object name from `start`, which ends with the first zero byte before `limit`."""
    name, zero, _ = data[start:limit].partition(b"\0")
    if not zero:
        report(
            "IORT-NAME", "error", start, len(name), "the device object name has no end", field="Device Object Name",
            found=shown(name.decode("latin-1")), expected="a zero byte inside the node", clause="DEN 0049E.f §3.1.1.5",
            advice="the name is taken up to where it must end",
        )  # fmt: skip
    return {"name": name.decode("latin-1"), "terminated": bool(zero)}


def _read_array(
    entry: type[_Entry],
    data: bytes,
    place: int,
    end: int,
    start: int,
    count: int,
    report: Report,
    what: str,
    minimum: int,
) -> tuple[_Entry, ...]:
    """Read `count` entries from `start` bytes into the node at `place`; those outside the node are named, not read."""
    if not count:
        return ()
    size = entry.LAYOUT.size
    room = (end - place - start) // size if minimum <= start <= end - place else 0
    if room < count:
        report(
            "IORT-ARRAY-END", "error", place, end - place, f"the {what} array does not lie inside its node",
            found=f"{count} entries of {size} bytes from offset {start}",
            expected=f"all of them between offsets {minimum} and {end - place}",
            clause=CLAUSE, advice=f"{room} of its entries are read",
        )  # fmt: skip
    first = place + start
    return tuple(entry.read(data, first + index * size) for index in range(min(room, count)))


def _gaps(data: bytes, place: int, end: int, fixed_end: int, records: Sequence[Record]) -> tuple[Raw, ...]:
    """Return the bytes from `place` to `end` that neither the part up to `fixed_end` nor the records cover."""
    spans = [(place, fixed_end), *((record.offset, record.offset + record.LAYOUT.size) for record in records)]
    gaps = []
    reached = place
    for start, stop in (*sorted(spans), (end, end)):
        if start > reached:
            gaps.append(Raw(reached, data[reached:start], name="padding"))
        reached = max(reached, stop)
    return tuple(gaps)
