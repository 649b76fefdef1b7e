"""Text that acpidump writes: hexadecimal dumps of many tables in one file.

The rules are those of acpixtract (ACPICA), old pmtools dumps included: a line with ` @ ` that does not start with a
space begins a table, lines that start with a space and hold `: ` carry up to 16 bytes, anything else is passed by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...base import Finding, Origin

MAX_HEADER = 49
"""A header line is shorter than this; data lines, whose text column may contain ` @ `, are longer."""

HEX_COLUMNS = 49
"""Characters after the first `:` that can hold the 16 bytes of a line."""

_HEADER = re.compile(r"\S.{3,} @ ")
_BYTE = re.compile(r"[0-9A-Fa-f]{2}\Z")


@dataclass(frozen=True, slots=True)
class DumpedTable:
    """One table of a dump: its name there, its bytes, and the line (from 1) on which it begins."""

    name: str
    data: bytes
    line: int


def is_acpidump(text: bytes) -> bool:
    """Tell whether text looks like a dump: a header line, and a line of bytes after it, near its beginning."""
    lines = text[:4096].decode("latin-1").splitlines()
    headers = [index for index, line in enumerate(lines) if _is_header(line)]
    return bool(headers) and any(_data_bytes(line) for line in lines[headers[0] + 1 :])


def parse_acpidump(text: bytes, source: str = "") -> tuple[list[DumpedTable], list[Finding]]:
    """Return the tables of a dump in its order, and what is wrong with its lines.

    A signature may come several times (SSDTs): each is a table of its own.
    """
    tables: list[DumpedTable] = []
    findings: list[Finding] = []
    name, begun, data, broken = "", 0, bytearray(), False

    def finish() -> None:
        if name and data:
            tables.append(DumpedTable(name, bytes(data), begun))

    for number, line in enumerate(text.decode("latin-1").split("\n"), 1):
        if _is_header(line):
            finish()
            name, begun, data, broken = line[:4].rstrip(), number, bytearray(), False
            if name == "RSD":  # pmtools and acpidump write 'RSD PTR @', acpixtract names it RSDP
                name = "RSDP"
        elif name and not broken and (found := _data_bytes(line)):
            offset = int(line.partition(":")[0].strip(), 16)
            if offset != len(data):
                origin = Origin(source, name, line=number)
                findings.append(
                    Finding(
                        "ACPIDUMP-OFFSET",
                        "error",
                        origin,
                        "lines of the dump are missing or out of order",
                        field="offset",
                        found=f"0x{offset:x}",
                        expected=f"0x{len(data):x}",
                        advice="the table is read up to here; dump it again",
                    )
                )
                broken = True
                continue
            data += found
    finish()
    return tables, findings


def _is_header(line: str) -> bool:
    return len(line) < MAX_HEADER and _HEADER.match(line) is not None


def _data_bytes(line: str) -> bytes:
    """Return the bytes that a line of the dump carries; none for any other line."""
    offset, colon, rest = line.partition(":")
    if not line.startswith(" ") or not colon or not re.fullmatch(r" *[0-9A-Fa-f]{4,8}", offset):
        return b""
    found = bytearray()
    for word in rest[:HEX_COLUMNS].split()[:16]:
        if not _BYTE.match(word):
            break
        found.append(int(word, 16))
    return bytes(found)
