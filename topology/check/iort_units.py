"""Rules for the units of an IORT: registers and interrupts of SMMUs, what PMCGs monitor, names of devices, quirks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...base import Finding
from ...parsers.acpi.iort import Iort, ItsGroup, Iwb, NamedComponent, Node, Pmcg, RootComplex, SmmuV2, SmmuV3
from ...parsers.acpi.iort import names as words
from ...parsers.acpi.record import shown
from .board import Board
from .iort_nodes import NODES, at_field, each_node
from .rule import Rule

_SMMU_V3 = "DEN 0049E.f §3.1.1.2"
_SMMU = "DEN 0049E.f §3.1.1.2 and §3.1.1.3"
_NAME = "DEN 0049E.f §3.1.1.5"
_PAGE = 0x1000
_SMMU_V3_PAGE = 0x10000
_GSIVS = ("event_gsiv", "pri_gsiv", "gerror_gsiv", "sync_gsiv")
_HISILICON_161X = 1

_PATH = re.compile(r"\\(?:[A-Z_][A-Z0-9_]{0,3}(?:\.[A-Z_][A-Z0-9_]{0,3})*)")
"""An absolute path of the ACPI namespace (ACPI 6.5 §5.3)."""

_EXAMPLE = "one such as '\\_SB_.DEV0'"

_HARDWARE_ID = re.compile(r"(?:[A-Z]{3}|[A-Z0-9]{4})[0-9A-F]{4}(?::[0-9A-F]{2})?")
"""A hardware ID (ACPI 6.5 §6.1.5), as Linux writes it with the instance."""

_COUNT_QUIRK = ((b"HISI  ", b"HIP07   "), (b"HISI  ", b"HIP08   "))
"""OEM ID and OEM table ID of tables of OEM revision 0 that count mappings by the number of IDs."""

_PMCG_QUIRK = (b"HIP08   ", b"HIP09   ", b"HIP09A  ", b"HIP10   ", b"HIP10C  ", b"HIP11   ")
"""OEM table IDs of HiSilicon with PMCGs of a model of their own."""


def _base(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for SMMUs without registers, and for registers that do not begin on a page."""
    for table, node in each_node(board):
        if isinstance(node, SmmuV3 | SmmuV2):
            page = _SMMU_V3_PAGE if isinstance(node, SmmuV3) else _PAGE
            if not node.base_address or node.base_address % page:
                expected = f"an address other than 0, a multiple of {page >> 10} KiB"
                yield at_field(rule, table, node, "base_address", expected=expected)


def _span(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, SmmuV2) and not node.span:
            yield at_field(rule, table, node, "span", found="0", expected="the size of the register window")


def _twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        seen: dict[int, Node] = {}
        for node in body.nodes:
            if isinstance(node, SmmuV2 | SmmuV3) and (first := seen.setdefault(node.base_address, node)) is not node:
                message = f"the SMMU at 0x{node.base_address:x} is declared at 0x{first.offset:x} already"
                yield at_field(rule, table, node, "base_address", message)


def _interrupts_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for edge-triggered interrupts that two purposes share; an SMMU of model CN99xx has one for all four."""
    for table, body in board.tables(Iort):
        seen: dict[int, Node] = {}
        for node in body.nodes:
            names = _GSIVS if isinstance(node, SmmuV3) else ("overflow_gsiv",) if isinstance(node, Pmcg) else ()
            for name in names:
                number = getattr(node, name)
                first = seen.setdefault(number, node) if number else node
                own = {getattr(node, one) for one in names[: names.index(name)]}
                combined = isinstance(node, SmmuV3) and node.model == words.CAVIUM_CN99XX
                if first is not node:
                    message = f"the node at 0x{first.offset:x} has this interrupt already"
                elif number and number in own and not combined:
                    message = "the node has this interrupt for two purposes"
                else:
                    continue
                yield at_field(rule, table, node, name, message, found=str(number))


def _interrupt_missing(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for SMMUs that can report faults neither by wire nor by message."""
    for table, node in each_node(board):
        if isinstance(node, SmmuV3) and node.own_mapping is None and not (node.event_gsiv and node.gerror_gsiv):
            name = "gerror_gsiv" if node.event_gsiv else "event_gsiv"
            yield at_field(rule, table, node, name, found="0")


def _global_interrupt(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if not isinstance(node, SmmuV2):
            continue
        if not node.global_interrupt_offset:
            yield at_field(rule, table, node, "global_interrupt_offset", found="0")
        for one in node.global_interrupts:
            if not one.nsg_irpt:
                yield at_field(rule, table, one, "nsg_irpt", found="0")


def _own_mapping(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for own mappings of SMMUs that are not single or do not lead to an ITS group."""
    for table, body in board.tables(Iort):
        by_offset = {node.offset: node for node in body.nodes}
        for node in body.nodes:
            if not isinstance(node, SmmuV3) or (index := node.own_mapping) is None or index >= len(node.mappings):
                continue
            mapping = node.mappings[index]
            if not mapping.single:
                message = f"mapping {index} is the SMMU's own and is a range"
                yield at_field(rule, table, mapping, "flags", message, expected="the single mapping flag")
            elif not isinstance(by_offset.get(mapping.output_reference), ItsGroup):
                message = f"mapping {index} is the SMMU's own and does not lead to an ITS group"
                yield at_field(rule, table, mapping, "output_reference", message)


def _pmcg_reference(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        by_offset = {node.offset: node for node in body.nodes}
        for node in body.nodes:
            if isinstance(node, Pmcg) and not isinstance(
                by_offset.get(node.node_reference), SmmuV2 | SmmuV3 | RootComplex | NamedComponent
            ):
                expected = "the offset of an SMMU, root complex or named component"
                yield at_field(rule, table, node, "node_reference", expected=expected)


def _message_mapping(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for PMCGs and interrupt wire bridges whose mappings are not one single mapping."""
    for table, node in each_node(board):
        if not isinstance(node, Pmcg | Iwb) or not node.mappings:
            continue
        if len(node.mappings) > 1:
            yield at_field(rule, table, node, "mapping_count", found=str(node.mapping_count), expected="at most 1")
        elif not node.mappings[0].single:
            yield at_field(rule, table, node.mappings[0], "flags", expected="the single mapping flag")


def _path(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for names of devices that are no absolute path of the ACPI namespace."""
    for table, node in each_node(board):
        if isinstance(node, NamedComponent) and node.terminated and not _PATH.fullmatch(node.name):
            message = "a named component has no name" if not node.name else ""
            if _HARDWARE_ID.fullmatch(node.name):
                message = "the name of a device is a hardware ID, and no path"
            origin = table.origin(node, node.length)
            yield rule.finding(
                origin, message, field="device object name", found=shown(node.name), expected=_EXAMPLE
            )  # fmt: skip


def _short(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for names with segments that are not filled up to four letters."""
    for table, node in each_node(board):
        if isinstance(node, NamedComponent) and _PATH.fullmatch(node.name):
            segments = node.name[1:].split(".")
            if any(len(segment) < 4 for segment in segments):  # noqa: PLR2004 - letters of a name segment
                padded = "\\" + ".".join(segment.ljust(4, "_") for segment in segments)
                yield rule.finding(
                    table.origin(node, node.length), field="device object name", found=shown(node.name),
                    expected=shown(padded),
                )  # fmt: skip


def _name_twice(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        seen: dict[str, Node] = {}
        for node in body.nodes:
            if isinstance(node, NamedComponent) and (first := seen.setdefault(node.name, node)) is not node:
                message = f"{shown(node.name)} has the node at 0x{first.offset:x} already"
                yield rule.finding(table.origin(node, node.length), message)


def _model_quirk(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, node in each_node(board):
        if isinstance(node, SmmuV3) and node.model in (_HISILICON_161X, words.CAVIUM_CN99XX):
            yield at_field(rule, table, node, "model", found=words.SMMU_V3_MODELS[node.model])


def _pmcg_quirk(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        header = table.header
        if header.oem_id == b"HISI  " and header.oem_table_id in _PMCG_QUIRK:
            for node in body.nodes:
                if isinstance(node, Pmcg):
                    found = f"HISI {header.oem_table_id.decode().strip()}"
                    yield rule.finding(table.origin(node, node.length), found=found)


def _count_quirk(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Iort):
        header = table.header
        named = (header.oem_id, header.oem_table_id) in _COUNT_QUIRK and not header.oem_revision
        if named and any(one.id_count and not one.single for node in body.nodes for one in node.mappings):
            found = f"HISI {header.oem_table_id.decode().strip()}, OEM revision 0"
            yield rule.finding(table.origin(header), found=found)


RULES = (
    Rule(
        "IORT-SMMU-BASE",
        "error",
        "the registers of an SMMU are where none can be",
        _SMMU,
        "Nobody can program the SMMU: its devices bypass, or stop.",
        "Linux fails to claim or to reset it, and its devices bypass or do not work.",
        "write the address of its first register page",
        look=_base,
    ),
    Rule(
        "IORT-SMMU-SPAN",
        "error",
        "the registers of an SMMU have no size",
        "DEN 0049E.f §3.1.1.3",
        "Nobody can program the SMMU: its devices bypass, or stop.",
        "Linux makes a resource that ends before it begins, and the driver of the SMMU fails.",
        "write the size of the register window in bytes",
        look=_span,
    ),
    Rule(
        "IORT-SMMU-TWICE",
        "error",
        "an SMMU is declared twice",
        _SMMU,
        "Devices behind the second declaration have no SMMU.",
        "Linux fails to claim the registers a second time, and the second SMMU is not there.",
        "let all mappings lead to one node",
        look=_twice,
    ),
    Rule(
        "IORT-GSIV-TWICE",
        "warning",
        "two purposes share an edge-triggered interrupt",
        _SMMU_V3,
        "Faults of one SMMU are taken for those of another, or are not reported.",
        "Linux fails to request it a second time: 'failed to enable evtq irq', 'priq', 'gerror' or 'cmdq-sync'.",
        "give each its own interrupt, or 0 where messages are used",
        look=_interrupts_twice,
    ),
    Rule(
        "IORT-GSIV-MISSING",
        "note",
        "an SMMUv3 has neither wired interrupts nor a mapping for messages",
        _SMMU_V3,
        "Its faults are recorded, and nobody is told of them.",
        "Linux prints 'no evtq irq - events will not be reported!', or 'no gerr irq - errors will not be reported!'.",
        "write the interrupts, or give the SMMU a single mapping to an ITS group and its index",
        ("Linux",),
        _interrupt_missing,
    ),
    Rule(
        "IORT-GLOBAL-INTERRUPT",
        "warning",
        "an SMMUv1/v2 has no global fault interrupt",
        "DEN 0049E.f §3.1.1.3",
        "Faults of streams that no context takes are not reported.",
        "Linux prints 'could not register gsi hwirq 0 name [arm-smmu-global]'.",
        "write the interrupt and the offset where it stands",
        ("Linux",),
        _global_interrupt,
    ),
    Rule(
        "IORT-OWN-MAPPING-KIND",
        "error",
        "the mapping of an SMMU's own interrupts cannot serve them",
        _SMMU_V3,
        "Its faults are not reported by message; and a range that is taken for it carries no stream IDs.",
        "Linux prints '[node %p type %d] Invalid MSI mapping', and leaves the mapping out for all stream IDs.",
        "let the index name a single mapping to an ITS group; before revision 5, wire all interrupts if there is none",
        ("Linux",),
        _own_mapping,
    ),
    Rule(
        "IORT-PMCG-REFERENCE",
        "error",
        "a PMCG monitors nothing that there is",
        "DEN 0049E.f §3.1.1.6",
        "Its counters cannot be attributed; isolation is not touched.",
        "Linux does not look at the reference.",
        "write the offset of the SMMU, root complex or named component that is monitored",
        look=_pmcg_reference,
    ),
    Rule(
        "IORT-MESSAGE-MAPPING",
        "warning",
        "a source of interrupts alone has mappings other than one single mapping",
        "DEN 0049E.f §3.1.1.6 and §3.1.1.8",
        "Its messages may carry another device ID than the ITS expects.",
        "Linux takes mapping 0 of a PMCG without a wired interrupt: 'Invalid MSI mapping' if it is not single.",
        "leave one mapping, with the single mapping flag",
        ("Linux",),
        _message_mapping,
    ),
    Rule(
        "IORT-NAME-PATH",
        "warning",
        "the name of a device is no path of the ACPI namespace",
        _NAME,
        "The device is not found by it, so it has no SMMU and reaches all of memory.",
        "Linux compares it with full paths, finds no device, and says nothing.",
        "write the absolute path of the device's object",
        ("fwts",),
        _path,
    ),
    Rule(
        "IORT-NAME-SHORT",
        "note",
        "the name of a device has segments of fewer than four letters",
        _NAME,
        "Systems that compare letter by letter do not find the device, so it has no SMMU there.",
        "Linux compares with the full path, whose segments have four letters each ('\\_SB_.GPU0'); Windows takes both.",
        "fill each segment up with underscores",
        look=_short,
    ),
    Rule(
        "IORT-NAME-TWICE",
        "note",
        "a device has two nodes",
        _NAME,
        "Stream IDs that only the second node gives have no translation.",
        "Linux takes the first node of the name, and does not look for another.",
        "put all mappings of the device into one node",
        look=_name_twice,
    ),
    Rule(
        "IORT-SMMU-QUIRK",
        "note",
        "Linux drives this model of SMMUv3 in a way of its own",
        _SMMU_V3,
        "Hypervisors that take it for a generic one lose interrupts of its devices, or its registers.",
        "Linux reserves the windows of the ITS for devices of a Hi161x; a CN99xx has no register page 1 and one "
        "interrupt for all.",
        "do the same in other systems",
        ("Linux",),
        _model_quirk,
    ),
    Rule(
        "IORT-PMCG-QUIRK",
        "note",
        "Linux drives the PMCGs of this machine in a way of its own",
        "DEN 0049E.f §3.1.1.6",
        "Counts are wrong in systems that take it for a generic one; isolation is not touched.",
        "Linux chooses a model by OEM table ID (errata 162001800 and 162001900 of HiSilicon).",
        "do the same in other systems",
        ("Linux",),
        _pmcg_quirk,
    ),
    Rule(
        "IORT-COUNT-QUIRK",
        "note",
        "the firmware is one that counts IDs as they are, and not minus one",
        NODES,
        "Each range reaches one ID further than meant.",
        "Linux 5.6 and 5.7 knew the table by its identifiers; later ones let the last ID of a range give way to a "
        "range that begins with it.",
        "write the number of IDs minus one, and raise the OEM revision",
        ("Linux",),
        _count_quirk,
    ),
)  # fmt: skip
