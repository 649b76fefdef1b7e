"""SRAT: every entry with its bytes written out by hand (ACPI 6.5 §5.2.16)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi.srat import (
    GenericInitiatorAffinity,
    GiccAffinity,
    ItsAffinity,
    MemoryAffinity,
    ProcessorAffinity,
    Srat,
    X2apicAffinity,
)

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    01 00 00 00                # table_revision = 1
    08 07 06 05 04 03 02 01    # reserved = 0x0102030405060708
[entries.0]
    00                         # type = 0  (processor affinity)
    10                         # length = 16
    04                         # proximity_domain_low = 4
    0A                         # apic_id = 10
    01 00 00 00                # flags = 1  (Enabled)
    0B                         # local_sapic_eid = 11
    03 02 01                   # proximity_domain_high = b"\x03\x02\x01"
    05 00 00 00                # clock_domain = 5
[entries.1]
    01                         # type = 1  (memory affinity)
    28                         # length = 40
    02 01 00 00                # proximity_domain = 0x102
    BB AA                      # reserved = 0xaabb
    00 00 00 00 02 00 00 00    # base_address = 0x200000000
    00 00 00 80 01 00 00 00    # size = 0x180000000
    DD CC BB AA                # reserved2 = 0xaabbccdd
    06 00 00 00                # flags = 6  (Hot Pluggable, NonVolatile)
    11 22 33 44 55 66 77 88    # reserved3 = 0x8877665544332211
[entries.2]
    02                         # type = 2  (x2APIC affinity)
    18                         # length = 24
    11 11                      # reserved = 0x1111
    03 00 00 00                # proximity_domain = 3
    00 01 00 00                # x2apic_id = 0x100
    01 00 00 00                # flags = 1  (Enabled)
    06 00 00 00                # clock_domain = 6
    22 22 22 22                # reserved2 = 0x22222222
[entries.3]
    03                         # type = 3  (GICC affinity)
    12                         # length = 18
    04 00 00 00                # proximity_domain = 4
    07 00 00 00                # acpi_processor_uid = 7
    00 00 00 00                # flags = 0
    08 00 00 00                # clock_domain = 8
[entries.4]
    04                         # type = 4  (ITS affinity)
    0C                         # length = 12
    05 00 00 00                # proximity_domain = 5
    33 33                      # reserved = 0x3333
    09 00 00 00                # its_id = 9
[entries.5]
    05                         # type = 5  (generic initiator affinity)
    20                         # length = 32
    44                         # reserved = 0x44
    01                         # device_handle_type = 1  (PCI)
    06 00 00 00                # proximity_domain = 6
    01 00 81 08 00 00 00 00    # device_handle = b"\1\0\x81\x08\0\0\0\0\0\0\0\0\0\0\0\0"  (0001:81:01.0)
    00 00 00 00 00 00 00 00
    03 00 00 00                # flags = 3  (Enabled, Architectural Transactions)
    55 55 55 55                # reserved2 = 0x55555555
"""


def test_every_field_of_every_entry_has_its_value_and_place() -> None:
    """All entries are read as written by hand; changing a field changes exactly its bytes."""
    body, fields = golden(TABLE)
    table = check_golden(b"SRAT", body, fields, count=46)
    assert table.findings == ()
    assert isinstance(table.body, Srat)
    kinds = [ProcessorAffinity, MemoryAffinity, X2apicAffinity, GiccAffinity, ItsAffinity, GenericInitiatorAffinity]
    assert [type(one) for one in table.body.entries] == kinds
    processor = table.body.entries[0]
    assert isinstance(processor, ProcessorAffinity)
    assert processor.proximity_domain == 0x01020304


def test_flags_have_names() -> None:
    """The parts of flags are listed by name, with their values."""
    table = parse_table(sealed(b"SRAT", golden(TABLE)[0]))
    assert {field.record: dict(field.bits) for field in table.fields() if field.name == "flags"} == {
        "processor affinity": {"Enabled": 1},
        "memory affinity": {"Enabled": 0, "Hot Pluggable": 1, "NonVolatile": 1},
        "x2APIC affinity": {"Enabled": 1},
        "GICC affinity": {"Enabled": 0},
        "generic initiator affinity": {"Enabled": 1, "Architectural Transactions": 1},
    }


FIXED = bytes(12)
CASES = {
    "no entry": (b"", []),
    "a generic port, which is not read": (b"\x06\x20" + bytes(30), []),
    "an entry too short": (
        b"\x01\x27" + bytes(37),
        [
            (
                "T: SRAT+0x30 (39 bytes): the memory affinity entry is too short: found 39 bytes, expected at least 40 "
                "(ACPI 6.5 §5.2.16); it is kept as raw data"
            )
        ],
    ),
    "an entry past the end": (
        b"\x04\x0d" + bytes(10),
        [
            (
                "T: SRAT+0x31 (1 byte): the ITS affinity entry runs past the end of the table: Length is 13, expected "
                "at most 12 (ACPI 6.5 §5.2.16); what is there is read (Linux passes the entry over)"
            )
        ],
    ),
    "an entry without length": (
        b"\x07\x00",
        [
            (
                "T: SRAT+0x31 (1 byte): the type 7 entry does not even hold its own header: Length is 0, expected at "
                "least 2 (ACPI 6.5 §5.2.16); the rest of the table is kept as raw data (Linux: 'Invalid zero length')"
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    parts, sentences = CASES[case]
    assert findings(sealed(b"SRAT", FIXED + parts)) == sentences


def test_entries_of_other_types_are_raw() -> None:
    """A type that is not read keeps its number and what it is called."""
    body = parse_table(sealed(b"SRAT", FIXED + b"\x06\x03\x01\x07\x02")).body
    assert isinstance(body, Srat)
    assert body.entries == (Raw(48, b"\x06\x03\x01", 6, "generic port affinity"), Raw(51, b"\x07\x02", 7, "type 7"))
