"""The header that every system description table begins with (ACPI 6.5 §5.2.6), and its checksum."""

from __future__ import annotations

from typing import ClassVar

from construct import Bytes, Int8ul, Int32ul, Struct

from .layout import Layout
from .record import Record, record

SDT_HEADER = Struct(
    "signature" / Bytes(4),
    "length" / Int32ul,
    "revision" / Int8ul,
    "checksum" / Int8ul,
    "oem_id" / Bytes(6),
    "oem_table_id" / Bytes(8),
    "oem_revision" / Int32ul,
    "creator_id" / Bytes(4),
    "creator_revision" / Int32ul,
)


@record
class SdtHeader(Record):
    """The 36-byte header: `length` counts the whole table in bytes; the identifiers are bytes, often space padded."""

    NAME: ClassVar[str] = "header"
    LAYOUT: ClassVar[Layout] = Layout(SDT_HEADER)

    signature: bytes
    length: int
    revision: int
    checksum: int
    oem_id: bytes
    oem_table_id: bytes
    oem_revision: int
    creator_id: bytes
    creator_revision: int


def checksum(table: bytes) -> int:
    """Return the value of the checksum byte (offset 9) that makes the sum of all bytes of the table 0 modulo 256."""
    return (table[9] - sum(table)) & 0xFF
