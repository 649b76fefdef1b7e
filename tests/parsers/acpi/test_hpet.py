"""HPET: the table written out by hand (IA-PC HPET specification 1.0a §3.2.4)."""

from __future__ import annotations

from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi.hpet import Hpet

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    01 A7 86 80                # event_timer_block_id = 0x8086a701
    00                         # address_space_id = 0  (memory)
    40                         # register_bit_width = 64
    01                         # register_bit_offset = 1
    02                         # reserved = 2
    00 00 D0 FE 01 00 00 00    # base_address = 0x1fed00000
    03                         # hpet_number = 3
    80 37                      # minimum_clock_tick = 0x3780
    51                         # page_protection_and_oem_attribute = 0x51  (4 KiB; OEM 5)
[rest]
    AA BB                      # data = b"\xaa\xbb"
"""


def test_every_field_has_its_value_and_place() -> None:
    """The table is read as written by hand; changing a field changes exactly its bytes."""
    body, fields = golden(TABLE)
    table = check_golden(b"HPET", body, fields, count=10)
    assert isinstance(table.body, Hpet)
    assert table.body.rest == Raw(56, b"\xaa\xbb")
    assert sum(field.size for field in table.fields()) == 58
    bits = {field.name: dict(field.bits) for field in table.fields() if field.bits}
    assert bits == {
        "event_timer_block_id": {
            "HARDWARE_REV_ID": 1,
            "NUMBER_OF_COMPARATORS": 7,
            "COUNT_SIZE_CAP": 1,
            "LEGACY_REPLACEMENT": 1,
            "PCI_VENDOR_ID": 0x8086,
        },
        "page_protection_and_oem_attribute": {"page_protection": 1, "oem_attribute": 5},
    }


def test_a_table_ends_after_its_last_field() -> None:
    """Bytes after the last field give a finding and are kept; without any there is none; a byte less is no HPET."""
    body = golden(TABLE)[0]
    assert findings(sealed(b"HPET", body)) == [
        (
            "T: HPET+0x38 (2 bytes): bytes follow the last field: Length is 58, expected 56 "
            "(IA-PC HPET specification 1.0a §3.2.4); they are kept as raw data"
        )
    ]
    assert findings(sealed(b"HPET", body[:20])) == []
    assert findings(sealed(b"HPET", body[:19])) == [
        (
            "T: HPET+0x4 (4 bytes): the table is too short to be a HPET: Length is 55, expected at least 56 "
            "(ACPI 6.5 §5.2.6); what follows the header is kept as raw data"
        )
    ]
    assert isinstance(parse_table(sealed(b"HPET", body[:19])).body, Raw)
