"""Rules for what the ID mappings of an IORT mean: overlaps, loops, IDs that two devices share, segments left out.

A mapping is followed as Linux follows it (`iort_id_map`, `iort_node_map_id` of `drivers/acpi/arm64/iort.c`). What is
worked out here takes time in proportion to the number of mappings, and the sorting of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from ...base import Finding
from ...parsers.acpi import Table
from ...parsers.acpi.iort import (
    IdMapping,
    Iort,
    ItsGroup,
    Iwb,
    NamedComponent,
    Node,
    Pmcg,
    RootComplex,
    SmmuV2,
    SmmuV3,
)
from ...parsers.acpi.mcfg import Mcfg
from .board import Board
from .iort_nodes import NODES, at_field, each_node
from .rule import Rule
from .spans import Span, clashes, gaps

_ALL_RIDS = 0xFFFF
_ALL_IDS = 0xFFFFFFFF
_MOST_STEPS = 200_000
"""Most pairs of a stream range and a mapping of its SMMU that are looked at; overlaps could make billions of them."""


Owner = tuple[int, int]
"""The offset of the node that sends IDs, and what is added to its requester IDs."""


class Use(NamedTuple):
    """A mapping that carries IDs, and the node that they come from."""

    sender: Node
    mapping: IdMapping


def _ranges(node: Node) -> list[IdMapping]:
    """Return the mappings of a node that are looked up by ID."""
    own = node.own_mapping if isinstance(node, SmmuV3) else None
    return [one for index, one in enumerate(node.mappings) if index != own and not one.single]


def _overlaps(board: Board) -> Iterator[tuple[Table, Node, IdMapping, IdMapping, int]]:
    """Iterate over mappings that take IDs of one that begins before: table, node, both, number of IDs in common."""
    for table, node in each_node(board):
        if not isinstance(node, RootComplex | NamedComponent | SmmuV2 | SmmuV3):
            continue
        spans = [Span(one.input_base, one.input_base + one.id_count, id(one), one) for one in _ranges(node)]
        for before, span in clashes(spans):
            yield table, node, before.item, span.item, min(before.last, span.last) - span.first + 1


def _is_off_by_one(before: IdMapping, after: IdMapping, common: int) -> bool:
    """Tell a range that reaches one ID too far: its last ID is the first of the next."""
    return common == 1 and before.id_count > 0 and after.input_base == before.input_base + before.id_count


def _overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node, before, after, common in _overlaps(board):
        same = before.output_reference == after.output_reference
        if same and before.output_base - before.input_base == after.output_base - after.input_base:
            continue  # whichever is taken, the IDs become the same
        if not _is_off_by_one(before, after, common):
            first, second = sorted((before, after), key=lambda one: one.offset)
            ids = _ids(after.input_base, after.input_base + common - 1)
            message = (
                f"two mappings of the {node.NAME} take {ids} to different places; that at 0x{first.offset:x} is first"
            )
            yield rule.finding(table.origin(second), message, found=_words(second), expected="IDs of its own")


def _off_by_one(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node, before, after, common in _overlaps(board):
        if _is_off_by_one(before, after, common):
            message = (
                f"0x{after.input_base:x}, the last ID of a mapping of the {node.NAME}, is the first of that at "
                f"0x{after.offset:x}"
            )
            yield at_field(rule, table, before, "id_count", message, expected=f"0x{before.id_count - 1:x}")


def _overflow(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        for one in node.mappings:
            if one.single:
                continue
            for name in ("input_base", "output_base"):
                if getattr(one, name) + one.id_count > _ALL_IDS:
                    expected = f"at most 0x{_ALL_IDS - one.id_count:x} with an ID count of 0x{one.id_count:x}"
                    yield at_field(rule, table, one, name, expected=expected)


def _beyond_rids(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        for one in _ranges(node) if isinstance(node, RootComplex) else ():
            if one.input_base + one.id_count > _ALL_RIDS:
                yield rule.finding(table.origin(one), found=_words(one), expected="IDs up to 0xffff")


def _loop(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for mappings that lead back to a node on the way to them."""
    for table, body in board.tables(Iort):
        by_offset = {node.offset: node for node in body.nodes}
        done: set[int] = set()
        for start in body.nodes:
            way: dict[int, Iterator[IdMapping]] = {} if start.offset in done else {start.offset: iter(start.mappings)}
            while way:
                here = next(reversed(way))
                mapping = next(way[here], None)
                if mapping is None:
                    done.add(here)
                    del way[here]
                elif mapping.output_reference in way:
                    message = f"a mapping leads back to the node at 0x{mapping.output_reference:x}"
                    yield at_field(rule, table, mapping, "output_reference", message)
                elif mapping.output_reference in by_offset and mapping.output_reference not in done:
                    node = by_offset[mapping.output_reference]
                    way[node.offset] = iter(node.mappings)


def sent(body: Iort) -> dict[int, list[Span[Owner, Use]]]:
    """Return the IDs that root complexes and named components send, by the offset of the node that they go to.

    IDs that one device, or one requester ID, has twice are of one owner.
    """
    arriving: dict[int, list[Span[Owner, Use]]] = {}
    for node in body.nodes:
        if not isinstance(node, RootComplex | NamedComponent):
            continue
        for one in node.mappings:
            owner = (node.offset, one.output_base - one.input_base)
            if one.single or isinstance(node, NamedComponent):
                owner = (node.offset, 0)
            last = one.output_base + (0 if one.single else one.id_count)
            span = Span(one.output_base, min(last, _ALL_IDS), owner, Use(node, one))
            arriving.setdefault(one.output_reference, []).append(span)
    return arriving


def _streams(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        arriving = sent(body)
        for smmu in body.nodes:
            if isinstance(smmu, SmmuV2 | SmmuV3):
                yield from _shared(rule, table, arriving.get(smmu.offset, []), f"stream ID of the {smmu.NAME}", smmu)


def _device_ids(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        arriving = sent(body)
        at_its: dict[int, list[Span[Owner, Use]]] = {}
        steps = iter(range(_MOST_STEPS))
        for node in body.nodes:
            if isinstance(node, SmmuV2 | SmmuV3):
                for reference, span in _through(arriving.get(node.offset, []), node, steps):
                    at_its.setdefault(reference, []).append(span)
            if isinstance(node, SmmuV3 | Pmcg | Iwb):
                own = node.own_mapping if isinstance(node, SmmuV3) else 0
                for one in node.mappings[own : own + 1] if own is not None else ():
                    span = Span(one.output_base, one.output_base, (node.offset, 0), Use(node, one))
                    at_its.setdefault(one.output_reference, []).append(span)
        for its in body.nodes:
            if isinstance(its, ItsGroup):
                spans = [*arriving.get(its.offset, []), *at_its.get(its.offset, [])]
                yield from _shared(rule, table, spans, "device ID of the ITS group", its)


def _through(
    streams: list[Span[Owner, Use]], smmu: Node, steps: Iterator[int]
) -> Iterator[tuple[int, Span[Owner, Use]]]:
    """Carry stream IDs on from an SMMU: yield where they go, and the IDs that they are there, while there are steps."""
    mappings = sorted(_ranges(smmu), key=lambda one: one.input_base)
    ends: list[int] = []  # how far the mappings up to each of them reach
    for one in mappings:
        ends.append(max(one.input_base + one.id_count, ends[-1] if ends else 0))
    for span in streams:
        offset, change = span.owner
        for index in range(bisect_left(ends, span.first), len(mappings)):
            one = mappings[index]
            if next(steps, None) is None:
                return
            if one.input_base > span.last:
                break
            first = max(span.first, one.input_base)
            last = min(span.last, one.input_base + one.id_count)
            if first <= last:
                shift = one.output_base - one.input_base
                # What one device sends is its own, whatever it becomes; requester IDs are told apart.
                owner = (offset, 0 if isinstance(span.item.sender, NamedComponent) else change + shift)
                yield one.output_reference, Span(first + shift, last + shift, owner, span.item)


def _shared(rule: Rule, table: Table, spans: list[Span[Owner, Use]], what: str, at: Node) -> Iterator[Finding]:
    """Report IDs of one unit that two senders have; of devices that the table names one by one, as a note."""
    for before, span in clashes(spans):
        one, other = before.item, span.item
        ids = _ids(span.first, min(before.last, span.last))
        message = f"{ids} is a {what} at 0x{at.offset:x} for {_name(one.sender)} and for {_name(other.sender)}"
        named = isinstance(one.sender, NamedComponent) and isinstance(other.sender, NamedComponent)
        origin = table.origin(max(one.mapping, other.mapping, key=lambda mapping: mapping.offset))
        yield rule.finding(origin, message, "note" if named else None)


def _root_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        seen: dict[int, Node] = {}
        for node in body.nodes:
            if isinstance(node, RootComplex) and (first := seen.setdefault(node.segment, node)) is not node:
                message = f"the root complex at 0x{first.offset:x} has segment {node.segment:04x} already"
                yield at_field(rule, table, node, "segment", message)


def _root_gap(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for requester IDs, of the buses that MCFG gives a segment if there is one, that no mapping takes."""
    buses: dict[int, list[tuple[int, int]]] = {}
    for _, mcfg in board.tables(Mcfg):
        for entry in mcfg.allocations:
            buses.setdefault(entry.segment, []).append((entry.start_bus, entry.end_bus))
    for table, body in board.tables(Iort):
        seen: set[int] = set()
        for node in body.nodes:
            if not isinstance(node, RootComplex) or node.segment in seen:
                continue
            seen.add(node.segment)
            taken = [(one.input_base, one.input_base + one.id_count) for one in _ranges(node)]
            if any(one.single for one in node.mappings):
                continue
            windows = buses.get(node.segment, [(0, 255)])
            missing = [gap for first, last in windows for gap in gaps(taken, first << 8, last << 8 | 255)]
            if missing:
                text = ", ".join(f"0x{first:04x}-0x{last:04x}" for first, last in missing[:4])
                more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""  # noqa: PLR2004 - as many are named
                message = f"no mapping takes requester IDs {text}{more} of segment {node.segment:04x}"
                yield rule.finding(table.origin(node, node.length), message)


def _root_single(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        for one in node.mappings if isinstance(node, RootComplex) else ():
            if one.single:
                yield at_field(rule, table, one, "flags", expected="a range of IDs")


def _component_range(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, NamedComponent) and node.mappings and not node.mappings[0].single:
            message = f"the first mapping of {_name(node)} is no single mapping"
            yield at_field(rule, table, node.mappings[0], "flags", message)


def _words(one: IdMapping) -> str:
    """Return what a mapping takes and gives."""
    last = one.input_base + one.id_count
    return f"0x{one.input_base:x}-0x{last:x} to 0x{one.output_base:x} of the node at 0x{one.output_reference:x}"


def _ids(first: int, last: int) -> str:
    """Return a range of IDs in words, or the one ID that it is."""
    return f"0x{first:x}" + ("" if last == first else f"-0x{last:x}")


def _name(node: Node) -> str:
    """Name a node for people."""
    if isinstance(node, NamedComponent):
        return node.name or "a device without a name"
    return f"segment {node.segment:04x}" if isinstance(node, RootComplex) else f"the {node.NAME} at 0x{node.offset:x}"


RULES = (
    Rule(
        "IORT-MAP-OVERLAP",
        "error",
        "two mappings of a node take the same IDs to different places",
        NODES,
        "Which stream ID a device has depends on the system: a system that reads the other mapping gives its memory to "
        "another device.",
        "Linux takes the first in the table, or prints '[map %p] conflicting mapping for input ID 0x%x' when it ends "
        "there.",
        "give each mapping IDs of its own; the ID count is the number of IDs minus one",
        ("Linux",),
        _overlap,
    ),
    Rule(
        "IORT-MAP-OFF-BY-ONE",
        "warning",
        "a mapping reaches one ID into the next: its count may be the number of IDs, and not that minus one",
        NODES,
        "A system without a workaround gives the first function of the next range the wrong stream ID.",
        "Linux prints '[map %p] conflicting mapping for input ID 0x%x' and 'applying workaround.', and takes the "
        "mapping that begins with the ID.",
        "write the number of IDs minus one",
        ("Linux",),
        _off_by_one,
    ),
    Rule(
        "IORT-MAP-OVERFLOW",
        "error",
        "a mapping runs past the last ID there can be",
        NODES,
        "IDs past 0xffffffff begin again at 0, where they are those of other devices, or the range takes nothing.",
        "Linux adds in 32 bits: no ID is both above the base and below the end.",
        "correct the base or the count",
        look=_overflow,
    ),
    Rule(
        "IORT-RID-RANGE",
        "warning",
        "a mapping of a root complex takes IDs that no function has",
        NODES,
        "Requester IDs have 16 bits. A count of 0x10000 is one too many: its last stream ID is another device's. IDs "
        "of a form that only one system knows leave the functions without an SMMU in all others.",
        "Linux never looks for such an ID.",
        "let ranges end at 0xffff; the ID count is the number of IDs minus one",
        look=_beyond_rids,
    ),
    Rule(
        "IORT-LOOP",
        "error",
        "mappings lead in a circle",
        NODES,
        "The IDs never arrive at an ITS.",
        "Linux follows them without end: the boot hangs as soon as a device behind it asks for interrupts.",
        "let SMMUs lead to ITS groups",
        look=_loop,
    ),
    Rule(
        "IORT-STREAM-SHARED",
        "warning",
        "two senders have one stream ID at an SMMU",
        NODES,
        "The SMMU cannot tell them apart: each reaches all memory that the other was given.",
        "Linux puts them into one group when they are PCI functions; a platform device it gives the ID a second time, "
        "where the SMMUv3 driver refuses it ('stream … already in tree').",
        "give each its own output range",
        look=_streams,
    ),
    Rule(
        "IORT-DEVICE-ID-SHARED",
        "warning",
        "two senders have one device ID at an ITS",
        NODES,
        "Each can raise the interrupts of the other.",
        "Linux lets them share one table of interrupts.",
        "give each its own output range at the ITS group",
        look=_device_ids,
    ),
    Rule(
        "IORT-ROOT-TWICE",
        "warning",
        "two root complexes have one segment",
        "DEN 0049E.f §3.1.1.4",
        "IDs that only the second takes have no SMMU: their functions reach all of memory.",
        "Linux takes the first root complex of a segment for all of its functions.",
        "put all mappings of a segment into one node",
        look=_root_twice,
    ),
    Rule(
        "IORT-ROOT-GAP",
        "note",
        "a root complex leaves out requester IDs",
        NODES,
        "Functions with these IDs have neither SMMU nor ITS: they reach all of memory.",
        "Linux sets up no SMMU for them, and says nothing.",
        "add mappings, if there can be functions with these IDs",
        look=_root_gap,
    ),
    Rule(
        "IORT-ROOT-SINGLE",
        "warning",
        "all functions of a root complex have one stream ID",
        NODES,
        "The SMMU cannot tell any function of the segment from another.",
        "Linux follows the mapping, whatever the requester ID is.",
        "clear the single mapping flag and give a range of IDs",
        look=_root_single,
    ),
    Rule(
        "IORT-COMPONENT-RANGE",
        "note",
        "the first mapping of a device is a range",
        "DEN 0049E.f §3.1.1.5",
        "Which of the IDs the device sends nobody can tell, unless its driver knows.",
        "Linux gives the device no SMMU, unless a bus driver asks for a certain ID: it takes single mappings from the "
        "first on, up to one that is none.",
        "write one single mapping for each stream ID",
        ("Linux",),
        _component_range,
    ),
)  # fmt: skip
