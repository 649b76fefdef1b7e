"""ACPI tables: the header, the tables that speak of IOMMUs, and those they are held against, each both ways.

FADT, MADT, HPET, SLIT and SRAT declare no IOMMU: boards are read without their bodies, and `read_body` reads one.
"""

from __future__ import annotations

from .record import FieldValue, Raw, Record
from .sdt import SdtHeader
from .table import Table, build_table, is_table, parse_table, read_body, seal_table

__all__ = [
    "FieldValue",
    "Raw",
    "Record",
    "SdtHeader",
    "Table",
    "build_table",
    "is_table",
    "parse_table",
    "read_body",
    "seal_table",
]
