"""MCFG: windows written out by hand (PCI Firmware Specification 3.3 §4.1.2)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi.mcfg import Mcfg

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    01 02 03 04 05 06 07 08    # reserved = b"\x01\x02\x03\x04\x05\x06\x07\x08"
[allocations.0]
    00 00 00 E0 00 00 00 00    # base_address = 0xe0000000  (of bus 0)
    00 00                      # segment = 0
    00                         # start_bus = 0
    FF                         # end_bus = 255  (included)
    00 00 00 00                # reserved = b"\0\0\0\0"
[allocations.1]
    00 00 00 40 12 00 00 00    # base_address = 0x1240000000
    01 10                      # segment = 0x1001
    40                         # start_bus = 0x40
    7F                         # end_bus = 0x7f
    0A 0B 0C 0D                # reserved = b"\x0a\x0b\x0c\x0d"
[rest]
    11 22 33                   # data = b"\x11\x22\x33"  (no whole entry)
"""


def test_every_field_has_its_value_and_place() -> None:
    """The windows are read as written by hand; changing a field changes exactly its bytes."""
    body, fields = golden(TABLE)
    table = check_golden(b"MCFG", body, fields, count=12)
    assert isinstance(table.body, Mcfg)
    assert [entry.offset for entry in table.body.allocations] == [0x2C, 0x3C]
    assert table.body.rest == Raw(0x4C, b"\x11\x22\x33")
    assert sum(field.size for field in table.fields()) == 79


def window(start: int, end: int) -> bytes:
    """Return an entry for buses `start` to `end`."""
    return bytes(10) + bytes([start, end]) + bytes(4)


CASES = {
    "no entry": (b"", []),
    "one bus": (window(5, 5), []),
    "no bus": (
        window(5, 4),
        [
            (
                "T: MCFG+0x36 (2 bytes): the window ends before it begins: End Bus is 4, expected at least the "
                "start bus, 5 "
                "(PCI Firmware Specification 3.3 §4.1.2); no bus is in the window"
            )
        ],
    ),
    "a byte too many": (
        window(0, 255) + b"\0",
        [
            (
                "T: MCFG+0x3c (1 byte): bytes follow the last whole entry: found 1, expected entries of 16 "
                "bytes up to the "
                "end of the table (PCI Firmware Specification 3.3 §4.1.2); they are kept and not used"
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    entries, sentences = CASES[case]
    assert findings(sealed(b"MCFG", bytes(8) + entries)) == sentences


def test_a_table_without_entries_has_none() -> None:
    """The fixed part alone is a table without windows."""
    body = parse_table(sealed(b"MCFG", bytes(8))).body
    assert isinstance(body, Mcfg)
    assert (body.allocations, body.rest) == ((), None)
