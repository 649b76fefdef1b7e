"""ACPI tables: the header, and the tables that speak of IOMMUs, each both ways between bytes and records."""

from __future__ import annotations

from .record import FieldValue, Raw, Record
from .sdt import SdtHeader
from .table import Table, build_table, is_table, parse_table, seal_table

__all__ = [
    "FieldValue",
    "Raw",
    "Record",
    "SdtHeader",
    "Table",
    "build_table",
    "is_table",
    "parse_table",
    "seal_table",
]
