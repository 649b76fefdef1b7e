"""Rules that hold ACPI object names and hardware IDs against the namespace that the DSDT and SSDTs declare."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...base import Finding, Origin
from ...parsers.acpi.dmar import Andd
from ...parsers.acpi.iort import Iort, NamedComponent
from ...parsers.acpi.namespace import SIGNATURES, Namespace
from ...parsers.acpi.record import shown
from .board import Board
from .dmar_walk import structures
from .rule import Rule

HARDWARE_ID = re.compile(r"[A-Z]{3}[0-9A-F]{4}|[A-Z0-9]{4}[0-9A-F]{4}")
"""A PNP ID or an ACPI ID (ACPI 6.5 §6.1.5)."""

PNP_ID = re.compile(r"PNP[0-9A-F]{4}")

WELL_KNOWN = (
    "ACPI0003", "ACPI0007", "ACPI000A", "ACPI000C", "ACPI000D", "ACPI000E", "ACPI0010", "ACPI0011", "ACPI0012",
    "ACPI0016", "ACPI0017", "PNP0000", "PNP0100", "PNP0103", "PNP0200", "PNP0303", "PNP0500", "PNP0501", "PNP0510",
    "PNP0800", "PNP0A03", "PNP0A05", "PNP0A06", "PNP0A08", "PNP0B00", "PNP0C01", "PNP0C02", "PNP0C04", "PNP0C08",
    "PNP0C09", "PNP0C0A", "PNP0C0B", "PNP0C0C", "PNP0C0D", "PNP0C0E", "PNP0C0F", "PNP0C14", "PNP0C31", "PNP0C32",
    "PNP0C33", "PNP0C40", "PNP0C50", "PNP0C60", "PNP0C80", "PNP0D10", "PNP0D20", "PNP0D40", "PNP0D80", "PNP0F03",
    "PNP0F13",
)  # fmt: skip
"""IDs that a misspelt one is likely to mean (ACPI 6.5 §5.6.7 and the list of PNP IDs)."""


def _named(board: Board) -> Iterator[tuple[Origin, str]]:
    """Iterate over the paths that IOMMU tables name, with their places."""
    for table, _, found in structures(board, Andd):
        for one in found:
            yield table.origin(one, one.length), one.object_name
    for table, body in board.tables(Iort):
        for node in body.nodes:
            if isinstance(node, NamedComponent):
                yield table.origin(node, node.length), node.name


def _object(rule: Rule, board: Board) -> Iterator[Finding]:
    named = list(_named(board))
    if not named or not any(table.signature in SIGNATURES for table in board.inputs.tables):
        return
    known = board.namespace()
    if isinstance(known, Finding):
        return
    paths = {device.path for device in known.devices}
    for origin, name in named:
        if known.device(name) is None:
            near = _near(name, sorted(paths))
            text = f"no table declares {shown(name)}"
            yield rule.finding(origin, text, "note" if known.findings else None, expected=near)


def _near(name: str, known: list[str]) -> str:
    """Return the name that is most like another one; empty when none is."""
    import difflib

    return next(iter(difflib.get_close_matches(name[:64], known[:2000], 1, 0.7)), "")


def _hardware_id(rule: Rule, board: Board) -> Iterator[Finding]:
    if not any(table.signature in SIGNATURES for table in board.inputs.tables):
        return
    known = board.namespace()
    for device in known.devices if isinstance(known, Namespace) else ():
        for name, value in (("_HID", device.hid), *(("_CID", one) for one in device.cids)):
            if value is not None and not _right(value):
                yield rule.finding(
                    device.origin, f"{name} of {device.path} is no PNP or ACPI ID", field=name, found=shown(value),
                    expected=_near(value, list(WELL_KNOWN)) or "AAA#### or NNNN####",
                )  # fmt: skip


def _unread(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for what keeps the namespace from being read, when it is wanted and the tables of a machine are there."""
    signatures = {table.signature for table in board.inputs.tables}
    if signatures.isdisjoint(SIGNATURES) and not ("APIC" in signatures and any(_named(board))):
        return
    known = board.namespace()
    found = (known,) if isinstance(known, Finding) else known.findings
    yield from (one for one in found if one.rule == rule.id)


def _right(value: str) -> bool:
    """Tell whether an ID is of one of the two forms; the letters PNP begin IDs of the first only."""
    return bool((PNP_ID if value.startswith("PNP") else HARDWARE_ID).fullmatch(value))


_UNKNOWN = "Whether the devices that IOMMU tables name are there, so that they are behind an IOMMU, is not known."
_READS_AML = "Linux runs the AML itself and needs no iasl."

UNREAD: tuple[Rule, ...] = (
    Rule(
        "NAMESPACE-TABLES", "note", "no table declares the ACPI namespace", "", _UNKNOWN, _READS_AML,
        "give the DSDT and the SSDTs", (), _unread,
    ),
    Rule(
        "NAMESPACE-SIZE", "warning", "there is too much AML to read", "", _UNKNOWN, _READS_AML,
        "give the tables of one machine", (), _unread,
    ),
    Rule(
        "NAMESPACE-IASL", "note", "the ACPI namespace cannot be read without iasl", "", _UNKNOWN, _READS_AML,
        "install iasl", (), _unread,
    ),
    Rule(
        "NAMESPACE-TABLE", "warning", "iasl cannot disassemble the whole of a table", "ACPI 6.5 §20",
        "Devices that the table declares may be missing, so a name that is not found may be there.",
        "Linux prints 'ACPI Error: AE_…' with the place when it meets AML that it cannot run.",
        "compile the table anew", ("Linux", "iasl"), _unread,
    ),
)  # fmt: skip
"""What keeps names from being held against the namespace."""

RULES: tuple[Rule, ...] = (
    *UNREAD,
    Rule(
        "MACHINE-OBJECT", "warning", "an ACPI object that an IOMMU table names is not in the namespace",
        "VT-d specification 4.1 §8.7; DEN 0049E.f §3.1.1.5",
        "The device is behind no IOMMU, as far as the system can tell, and reaches all of memory.",
        "Linux, for a DMAR: 'Failed to find handle for ACPI object …'; for an IORT nothing is said.",
        "write the path as the DSDT or SSDTs declare it; give all SSDTs, some may be loaded later", ("Linux",), _object,
    ),
    Rule(
        "MACHINE-HID", "warning", "a hardware ID is misspelt", "ACPI 6.5 §6.1.5",
        "No driver takes the device; a table that names the device by its ID does not find it.",
        "Linux binds no driver to it; Windows may refuse to start.",
        "write three letters and four hexadecimal digits, or four characters and four hexadecimal digits",
        (), _hardware_id,
    ),
)  # fmt: skip
"""Rules that take the namespace; they need iasl, and say so when it is not there."""
