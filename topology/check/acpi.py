"""Rules for what all ACPI tables have in common: their signature, their identifiers, how they came here."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Finding, Origin
from .board import Board
from .rule import Rule

_HEADER = "ACPI 6.5 §5.2.6"
_IOMMU_TABLES = ("DMAR", "IORT", "IVRS", "MCFG", "RIMT", "VIOT")
"""Signatures of the tables that speak of IOMMUs, or of the segments behind them."""

_REPLACED = b"\xef\xbf\xbd"
"""What a text codec writes for bytes that are no text: U+FFFD in UTF-8."""

_FEWEST_REPLACED = 3
_PRINTABLE = range(0x20, 0x7F)


def _signature(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for signatures that differ in one letter from that of a table that speaks of IOMMUs."""
    for table in board.inputs.tables:
        found = table.signature
        meant = [name for name in _IOMMU_TABLES if sum(a != b for a, b in zip(name, found, strict=True)) == 1]
        if meant:
            origin = Origin(table.source, found, 0, 4)
            yield rule.finding(origin, field="Signature", found=repr(found), expected=meant[0])


def _text(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for tables that went through a text codec, each byte from 0x80 on becoming U+FFFD."""
    for data, name in board.inputs.contents.items():
        if data[:4].decode("latin-1") in _IOMMU_TABLES and (count := data.count(_REPLACED)) >= _FEWEST_REPLACED:
            offset = data.index(_REPLACED)
            signature = data[:4].decode("latin-1")
            yield rule.finding(Origin(name, signature, offset, 3), found=f"{count} times EF BF BD")


def _identifiers(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for identifiers of the header that are no text; zero bytes pad them as often as spaces do."""
    for table in board.inputs.tables:
        if table.signature not in _IOMMU_TABLES:
            continue
        header = table.header
        for name, value in (("oem_id", header.oem_id), ("oem_table_id", header.oem_table_id),
                            ("creator_id", header.creator_id)):  # fmt: skip
            if all(byte in _PRINTABLE for byte in value.rstrip(b"\0")):
                continue
            offset = next(field.offset for field in header.layout.fields if field.name == name)
            yield rule.finding(
                Origin(table.source, table.signature, offset, len(value)),
                field=name.replace("_", " "), found=value.hex(" "), expected="ASCII text",
            )  # fmt: skip


RULES = (
    Rule(
        "ACPI-SIGNATURE",
        "warning",
        "a table's signature is one letter off that of a table that speaks of IOMMUs",
        _HEADER,
        "If it is that table, no system finds it, and every device that it protects reaches all of memory.",
        "Linux finds tables by their signature; it has none of these, and no IOMMU from it.",
        "write the signature of the table",
        ("iasl",),
        _signature,
    ),
    Rule(
        "ACPI-TEXT",
        "error",
        "a table went through a program that took it for text",
        _HEADER,
        "Each byte from 0x80 on has become three others: addresses and offsets are lost.",
        "Linux reads the table of the firmware and not this file.",
        "dump the table again, and copy it as binary",
        look=_text,
    ),
    Rule(
        "ACPI-IDENTIFIER",
        "note",
        "an identifier of a table's header is no text",
        _HEADER,
        "Systems that know this firmware's faults by its identifiers do not know it.",
        "Linux compares the identifiers byte by byte with those of its lists of quirks, and prints '.' for such bytes.",
        "write the identifiers in ASCII, padded with spaces",
        ("iasl",),
        _identifiers,
    ),
)  # fmt: skip
