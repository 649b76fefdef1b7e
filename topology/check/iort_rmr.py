"""Rules for the reserved memory ranges (RMR) of an IORT."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Finding
from ...parsers.acpi.iort import Iort, Rmr
from .board import Board
from .iort_maps import sent
from .iort_nodes import at_field, each_node
from .rule import Rule
from .spans import Span, clashes, gaps

_RMR = "DEN 0049E.f §3.1.1.7"
_GRANULE = 0x10000


def _aligned(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        for one in node.descriptors if isinstance(node, Rmr) else ():
            if one.base % _GRANULE or one.length % _GRANULE:
                yield rule.finding(
                    table.origin(one), found=f"0x{one.base:x} + 0x{one.length:x}", expected="multiples of 64 KiB"
                )  # fmt: skip


def _overlap(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for ranges, of one node or of two, that have memory in common."""
    for table, body in board.tables(Iort):
        every = [one for node in body.nodes if isinstance(node, Rmr) for one in node.descriptors if one.length]
        spans = [Span(one.base, one.base + one.length - 1, one.offset, one) for one in every]
        for before, span in clashes(spans):
            last = min(before.last, span.last)
            message = f"0x{span.first:x}-0x{last:x} is in the range at 0x{before.item.offset:x} as well"
            yield rule.finding(table.origin(span.item), message)


def _empty(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, Rmr) and not node.descriptor_count:
            yield at_field(rule, table, node, "descriptor_count", found="0", expected="at least 1")


def _unmapped(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, Rmr) and not node.mapping_count:
            yield at_field(rule, table, node, "mapping_count", found="0", expected="at least 1")


def _range(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        for one in node.mappings if isinstance(node, Rmr) else ():
            if not one.single:
                yield at_field(rule, table, one, "flags", expected="the single mapping flag")


def _stream(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for stream IDs that no root complex or named component sends to the SMMU."""
    for table, body in board.tables(Iort):
        arriving = {
            offset: [(span.first, span.last) for span in spans] for offset, spans in sent(body).items()
        }  # fmt: skip
        for node in body.nodes:
            for one in node.mappings if isinstance(node, Rmr) else ():
                first, last = one.output_base, one.output_base + (0 if one.single else one.id_count)
                if next(gaps(arriving.get(one.output_reference, []), first, last), None) == (first, last):
                    ids = f"0x{first:x}" + ("" if last == first else f"-0x{last:x}")
                    message = f"no root complex or named component sends stream ID {ids} to the SMMU of an RMR"
                    yield at_field(rule, table, one, "output_base", message)


RULES = (
    Rule(
        "IORT-RMR-ALIGN",
        "error",
        "a reserved range does not begin or end on 64 KiB",
        _RMR,
        "Systems with larger pages map more than the range: the device reaches what stands beside it.",
        "Linux prints 'RMR descriptor[0x%llx - 0x%llx] not aligned to 64K, continue with [0x%llx - 0x%llx]', the "
        "pages that it lies in.",
        "write a base and a length that are multiples of 64 KiB",
        ("Linux",),
        _aligned,
    ),
    Rule(
        "IORT-RMR-OVERLAP",
        "error",
        "two reserved ranges have memory in common",
        _RMR,
        "Two devices reach the same memory, perhaps with different attributes.",
        "Linux prints 'RMR descriptor[0x%llx - 0x%llx] overlaps, continue anyway' for ranges of one node.",
        "let one node describe the memory for all of its devices",
        ("Linux",),
        _overlap,
    ),
    Rule(
        "IORT-RMR-EMPTY",
        "warning",
        "an RMR has no memory range",
        _RMR,
        "The memory that its devices need from the start is not mapped for them.",
        "Linux passes the node by.",
        "add the descriptors, or leave the node out",
        ("Linux",),
        _empty,
    ),
    Rule(
        "IORT-RMR-UNMAPPED",
        "error",
        "an RMR is for no device",
        _RMR,
        "The memory is mapped for nobody: the device that uses it from the start faults.",
        "Linux prints 'Invalid ID mapping, skipping RMR node %p'.",
        "add a single mapping for each stream ID",
        ("Linux",),
        _unmapped,
    ),
    Rule(
        "IORT-RMR-MAPPING",
        "note",
        "an RMR has a mapping that is no single mapping",
        _RMR,
        "Every stream of the range keeps the memory mapped; document E.b allows one stream a mapping.",
        "Linux reads the output base and the count, whatever the flag is; the first versions passed by mappings of "
        "one ID.",
        "write one single mapping for each stream ID",
        look=_range,
    ),
    Rule(
        "IORT-RMR-STREAM",
        "warning",
        "an RMR is for a stream that nobody sends",
        _RMR,
        "The device that was meant has its memory not mapped, and faults as soon as the SMMU is on.",
        "Linux bypasses the SMMU for the stream at boot, and maps the memory for no device.",
        "write the stream ID that the device's own mapping gives",
        look=_stream,
    ),
)  # fmt: skip
