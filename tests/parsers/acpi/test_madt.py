"""MADT: every entry with its bytes written out by hand (ACPI 6.5 §5.2.12; the RISC-V entries: ACPI 6.6 §5.2.12)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi import madt as entries
from iommuman.parsers.acpi.madt import Gicc, Madt

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    00 00 E0 FE                # local_interrupt_controller_address = 0xfee00000
    01 00 00 00                # flags = 1  (PCAT_COMPAT)
[entries.0]
    00                         # type = 0  (local APIC)
    08                         # length = 8
    05                         # acpi_processor_uid = 5
    0A                         # apic_id = 10
    03 00 00 00                # flags = 3  (Enabled, Online Capable)
[entries.1]
    01                         # type = 1  (I/O APIC)
    0C                         # length = 12
    02                         # io_apic_id = 2
    7B                         # reserved = 0x7b
    00 10 C0 FE                # io_apic_address = 0xfec01000
    18 00 00 00                # global_system_interrupt_base = 24
[entries.2]
    02                         # type = 2  (interrupt source override)
    0A                         # length = 10
    00                         # bus = 0  (ISA)
    09                         # source = 9
    14 00 00 00                # global_system_interrupt = 20
    0D 00                      # flags = 13  (active high, level)
[entries.3]
    06                         # type = 6  (I/O SAPIC)
    10                         # length = 16
    03                         # io_apic_id = 3
    7C                         # reserved = 0x7c
    30 00 00 00                # global_system_interrupt_base = 48
    00 00 00 D0 FE 00 00 00    # io_sapic_address = 0xfed0000000
[entries.4]
    09                         # type = 9  (local x2APIC)
    10                         # length = 16
    CD AB                      # reserved = 0xabcd
    02 01 00 00                # x2apic_id = 0x102
    01 00 00 00                # flags = 1  (Enabled)
    04 03 00 00                # acpi_processor_uid = 0x304
[entries.5]
    0B                         # type = 0xb  (GICC, as ACPI 6.0 to 6.4 have it)
    50                         # length = 80
    22 11                      # reserved = 0x1122
    07 00 00 00                # cpu_interface_number = 7
    08 00 00 00                # acpi_processor_uid = 8
    05 00 00 00                # flags = 5  (Enabled, VGIC Maintenance Interrupt Mode)
    01 00 00 00                # parking_protocol_version = 1
    17 00 00 00                # performance_interrupt_gsiv = 23
    00 00 01 00 10 00 00 00    # parked_address = 0x1000010000
    00 00 00 2C 00 00 00 00    # physical_base_address = 0x2c000000
    00 00 02 2C 00 00 00 00    # gicv = 0x2c020000
    00 00 01 2C 00 00 00 00    # gich = 0x2c010000
    19 00 00 00                # vgic_maintenance_interrupt = 25
    00 00 0A 08 01 00 00 00    # gicr_base_address = 0x1080a0000
    01 00 00 80 02 00 00 00    # mpidr = 0x280000001
    02                         # processor_power_efficiency_class = 2
    5A                         # reserved2 = 0x5a
    15 00                      # spe_overflow_interrupt = 21
[entries.6]
    0C                         # type = 0xc  (GICD)
    18                         # length = 24
    44 33                      # reserved = 0x3344
    01 02 03 04                # gic_id = 0x04030201
    00 00 00 08 20 00 00 00    # physical_base_address = 0x2008000000
    00 00 00 00                # system_vector_base = 0
    04                         # gic_version = 4
    0A 0B 0C                   # reserved2 = b"\x0a\x0b\x0c"
[entries.7]
    0D                         # type = 0xd  (GIC MSI frame)
    18                         # length = 24
    66 55                      # reserved = 0x5566
    02 00 00 00                # gic_msi_frame_id = 2
    00 00 02 08 00 00 00 00    # physical_base_address = 0x8020000
    01 00 00 00                # flags = 1  (SPI Count/Base Select)
    40 00                      # spi_count = 64
    50 00                      # spi_base = 80
[entries.8]
    0E                         # type = 0xe  (GICR)
    10                         # length = 16
    88 77                      # reserved = 0x7788
    00 00 0A 08 03 00 00 00    # discovery_range_base_address = 0x3080a0000
    00 00 F6 00                # discovery_range_length = 0xf60000
[entries.9]
    0F                         # type = 0xf  (GIC ITS)
    14                         # length = 20
    AA 99                      # reserved = 0x99aa
    03 00 00 00                # gic_its_id = 3
    00 00 08 08 04 00 00 00    # physical_base_address = 0x408080000
    04 03 02 01                # reserved2 = 0x01020304
[entries.10]
    0B                         # type = 0xb  (GICC, as ACPI 5.1 has it)
    4C                         # length = 76
    00 00                      # reserved = 0
    09 00 00 00                # cpu_interface_number = 9
    00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00 00 00 00 00  # more fields
    00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  # more fields
    00 00 00 00  00 00 00 00 00 00 00 00  # more fields
    0B 0A 00 00 00 00 00 00    # mpidr = 0xa0b
[entries.11]
    04 06 FF 05 00 01          # data = b"\x04\x06\xff\x05\0\1"  (a local APIC NMI, which is not read)
"""

LATER = r"""
[]
    00 00 00 00                # local_interrupt_controller_address = 0
    00 00 00 00                # flags = 0
[entries.0]
    18                         # type = 0x18  (RINTC)
    24                         # length = 36
    01                         # version = 1
    7D                         # reserved = 0x7d
    01 00 00 00                # flags = 1  (Enabled)
    05 00 00 00 01 00 00 00    # hart_id = 0x100000005
    06 00 00 00                # acpi_processor_uid = 6
    02 00 00 01                # external_interrupt_controller_id = 0x01000002  (APLIC 1, IDC 2)
    00 50 00 28 00 00 00 00    # imsic_base_address = 0x28005000
    00 20 00 00                # imsic_size = 0x2000
[entries.1]
    19                         # type = 0x19  (IMSIC)
    10                         # length = 16
    01                         # version = 1
    7E                         # reserved = 0x7e
    00 00 00 00                # flags = 0
    FF 00                      # supervisor_identities = 255
    3F 00                      # guest_identities = 63
    01                         # guest_index_bits = 1
    02                         # hart_index_bits = 2
    03                         # group_index_bits = 3
    18                         # group_index_shift = 24
[entries.2]
    1A                         # type = 0x1a  (APLIC)
    24                         # length = 36
    01                         # version = 1
    01                         # aplic_id = 1
    00 00 00 00                # flags = 0
    52 53 43 56 30 30 30 32    # hardware_id = b"RSCV0002"
    04 00                      # number_of_idcs = 4
    60 00                      # total_external_interrupt_sources = 96
    40 00 00 00                # global_system_interrupt_base = 64
    00 00 00 0D 01 00 00 00    # aplic_address = 0x10d000000
    00 80 00 00                # aplic_size = 0x8000
[entries.3]
    1B                         # type = 0x1b  (PLIC)
    24                         # length = 36
    01                         # version = 1
    02                         # plic_id = 2
    52 53 43 56 30 30 30 31    # hardware_id = b"RSCV0001"
    5F 00                      # total_external_interrupt_sources = 95
    07 00                      # max_priority = 7
    00 00 00 00                # flags = 0
    00 00 60 00                # plic_size = 0x600000
    00 00 00 0C 02 00 00 00    # plic_address = 0x20c000000
    20 00 00 00                # global_system_interrupt_base = 32
[entries.4]
    0B                         # type = 0xb  (GICC, as ACPI 6.5 has it)
    54                         # length = 84
    00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00 00 00 00 00  # more fields
    00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  00 00 00 00  # more fields
    00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  00  00  # more fields
    15 00                      # spe_overflow_interrupt = 21
    1F 00                      # trbe_interrupt = 31
[entries.4 rest]
    01 02                      # data = b"\1\2"  (of a later revision)
[entries.5]
    0B                         # type = 0xb  (GICC, as ACPI 5.0 has it)
    28                         # length = 40
    00 00  00 00 00 00  00 00 00 00  01 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00 00 00 00 00  # more fields
    00 20 00 2C 00 00 00 00    # physical_base_address = 0x2c002000
"""

FIXED = bytes(8)


def read(*parts: bytes) -> Madt:
    """Return the body of a table with these entries."""
    body = parse_table(sealed(b"APIC", FIXED + b"".join(parts))).body
    assert isinstance(body, Madt)
    return body


def test_every_field_of_every_entry_has_its_value_and_place() -> None:
    """All entries are read as written by hand; changing a field changes exactly its bytes."""
    body, fields = golden(TABLE)
    table = check_golden(b"APIC", body, fields, count=82)
    assert table.findings == ()
    assert isinstance(table.body, Madt)
    assert [type(one) for one in table.body.entries] == [
        entries.LocalApic,
        entries.IoApic,
        entries.InterruptSourceOverride,
        entries.IoSapic,
        entries.LocalX2apic,
        entries.Gicc,
        entries.Gicd,
        entries.GicMsiFrame,
        entries.Gicr,
        entries.GicIts,
        entries.Gicc,
        Raw,
    ]
    assert table.body.entries[-1] == Raw(0x15A, b"\x04\x06\xff\x05\0\1", 4, "local APIC NMI")


def test_every_field_of_later_entries_has_its_value_and_place() -> None:
    """The same for RISC-V, and for GICCs with the fields of ACPI 6.5 and of ACPI 5.0."""
    body, fields = golden(LATER)
    table = check_golden(b"APIC", body, fields, count=53)
    assert table.findings == ()
    assert isinstance(table.body, Madt)
    assert [type(one).__name__ for one in table.body.entries] == ["Rintc", "Imsic", "Aplic", "Plic", "Gicc", "Gicc"]


@pytest.mark.parametrize("text", [TABLE, LATER])
def test_the_listing_covers_every_byte_once_and_in_order(text: str) -> None:
    """The fields of the table follow each other without gap or overlap, from the first byte to the last."""
    data = sealed(b"APIC", golden(text)[0])
    place = 0
    for field in parse_table(data).fields():
        assert field.offset == place, field
        raw = field.value if isinstance(field.value, bytes) else field.value.to_bytes(field.size, "little")
        assert raw == data[place : place + field.size], field
        place += field.size
    assert place == len(data)


@pytest.mark.parametrize(
    ("size", "last"),
    [
        (40, "physical_base_address"),
        (75, "physical_base_address"),
        (76, "mpidr"),
        (79, "mpidr"),
        (80, "spe_overflow_interrupt"),
        (81, "spe_overflow_interrupt"),
        (82, "trbe_interrupt"),
        (90, "trbe_interrupt"),
    ],
)
def test_a_gicc_has_the_fields_that_its_length_has_room_for(size: int, last: str) -> None:
    """The length tells the revision; fields of later ones are None, and bytes after the last field are the rest."""
    (one,) = read(bytes([0xB, size]) + bytes(size - 2)).entries
    assert isinstance(one, Gicc)
    names = ["physical_base_address", "mpidr", "spe_overflow_interrupt", "trbe_interrupt"]
    assert [name for name in names if getattr(one, name) is not None][-1] == last
    assert len(one.to_bytes()) == size


def test_flags_have_names() -> None:
    """The parts of flags are listed by name, with their values."""
    table = parse_table(sealed(b"APIC", golden(TABLE)[0]))
    bits = {field.record: dict(field.bits) for field in table.fields() if field.name == "flags"}
    assert bits == {
        "MADT": {"PCAT_COMPAT": 1},
        "local APIC": {"Enabled": 1, "Online Capable": 1},
        "interrupt source override": {"Polarity": 1, "Trigger Mode": 3},
        "local x2APIC": {"Enabled": 1, "Online Capable": 0},
        "GICC": {
            "Enabled": 0,
            "Performance Interrupt Mode": 0,
            "VGIC Maintenance Interrupt Mode": 0,
            "Online Capable": 0,
        },
        "GIC MSI frame": {"SPI Count/Base Select": 1},
    }


UNDER = "T: APIC+0x2c (1 byte): "
CASES = {
    "no entry": (b"", [], []),
    "an unknown type": (b"\x80\x03\x01", [], [Raw(44, b"\x80\x03\x01", 0x80, "type 128")]),
    "half a header": (
        b"\0",
        [
            UNDER + "too few bytes are left for an entry: found 1, expected at least 2 (ACPI 6.5 §5.2.12); "
            "they are kept as raw data"
        ],
        [Raw(44, b"\0")],
    ),
    "no length": (
        b"\x01\x00" + bytes(10),
        [
            (
                "T: APIC+0x2d (1 byte): the I/O APIC entry does not even hold its own header: Length is 0, expected at "
                "least 2 (ACPI 6.5 §5.2.12); the rest of the table is kept as raw data (Linux: 'Invalid zero length')"
            )
        ],
        [Raw(44, b"\x01\x00" + bytes(10))],
    ),
    "too short for its type": (
        b"\x01\x0b" + bytes(9) + b"\x05\x02",
        [
            (
                "T: APIC+0x2c (11 bytes): the I/O APIC entry is too short: found 11 bytes, expected at least 12 "
                "(ACPI 6.5 §5.2.12); it is kept as raw data"
            )
        ],
        [Raw(44, b"\x01\x0b" + bytes(9), 1, "I/O APIC"), Raw(55, b"\x05\x02", 5, "local APIC address override")],
    ),
    "a short GICC": (
        b"\x0b\x27" + bytes(37),
        [
            (
                "T: APIC+0x2c (39 bytes): the GICC entry is too short: found 39 bytes, expected at least 40 "
                "(ACPI 6.5 §5.2.12); it is kept as raw data"
            )
        ],
        [Raw(44, b"\x0b\x27" + bytes(37), 0xB, "GICC")],
    ),
    "past the end": (
        b"\x80\x05\x01\x02",
        [
            (
                "T: APIC+0x2d (1 byte): the type 128 entry runs past the end of the table: Length is 5, expected at "
                "most 4 (ACPI 6.5 §5.2.12); what is there is read (Linux passes the entry over)"
            )
        ],
        [Raw(44, b"\x80\x05\x01\x02", 0x80, "type 128")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding, and nothing is lost."""
    parts, sentences, kept = CASES[case]
    assert findings(sealed(b"APIC", FIXED + parts)) == sentences
    assert list(read(parts).entries) == kept


def test_an_entry_that_runs_past_the_end_is_read_as_far_as_it_goes() -> None:
    """An I/O APIC whose length claims one byte more than there is has all its fields."""
    (one,) = read(bytes.fromhex("01 0D 02 00 00 00 C0 FE 00 00 00 00")).entries
    assert isinstance(one, entries.IoApic)
    assert (one.length, one.io_apic_id, one.io_apic_address, one.rest) == (13, 2, 0xFEC00000, None)
