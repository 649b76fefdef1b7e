"""FADT: the table written out by hand (ACPI 6.5 §5.2.9)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi.fadt import Fadt
from iommuman.parsers.acpi.fadt.names import BLOCKS, MSI_NOT_SUPPORTED, RESET_REGISTER, SLEEP_REGISTERS

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    01 02 03 04             # firmware_ctrl = 0x4030201
    05 06 07 08             # dsdt = 0x8070605
    09                      # reserved = 0x9
    0A                      # preferred_pm_profile = 0xa
    0B 0C                   # sci_int = 0xc0b
    0D 0E 0F 10             # smi_cmd = 0x100f0e0d
    11                      # acpi_enable = 0x11
    12                      # acpi_disable = 0x12
    13                      # s4bios_req = 0x13
    14                      # pstate_cnt = 0x14
    15 16 17 18             # pm1a_evt_blk = 0x18171615
    19 1A 1B 1C             # pm1b_evt_blk = 0x1c1b1a19
    1D 1E 1F 20             # pm1a_cnt_blk = 0x201f1e1d
    21 22 23 24             # pm1b_cnt_blk = 0x24232221
    25 26 27 28             # pm2_cnt_blk = 0x28272625
    29 2A 2B 2C             # pm_tmr_blk = 0x2c2b2a29
    2D 2E 2F 30             # gpe0_blk = 0x302f2e2d
    31 32 33 34             # gpe1_blk = 0x34333231
    35                      # pm1_evt_len = 0x35
    36                      # pm1_cnt_len = 0x36
    37                      # pm2_cnt_len = 0x37
    38                      # pm_tmr_len = 0x38
    39                      # gpe0_blk_len = 0x39
    3A                      # gpe1_blk_len = 0x3a
    3B                      # gpe1_base = 0x3b
    3C                      # cst_cnt = 0x3c
    3D 3E                   # p_lvl2_lat = 0x3e3d
    3F 40                   # p_lvl3_lat = 0x403f
    41 42                   # flush_size = 0x4241
    43 44                   # flush_stride = 0x4443
    45                      # duty_offset = 0x45
    46                      # duty_width = 0x46
    47                      # day_alrm = 0x47
    48                      # mon_alrm = 0x48
    49                      # century = 0x49
    09 01                   # iapc_boot_arch = 0x109
    4C                      # reserved2 = 0x4c
    01 00 50 00             # flags = 0x500001
[parts.0]
    51                      # address_space_id = 0x51  (reset register)
    52                      # register_bit_width = 0x52
    53                      # register_bit_offset = 0x53
    54                      # access_size = 0x54
    55 56 57 58 59 5A 5B 5C # address = 0x5c5b5a5958575655
[parts.1]
    5D                      # reset_value = 0x5d
    02 80                   # arm_boot_arch = 0x8002
    60                      # minor_version = 0x60
[parts.2]
    61 62 63 64 65 66 67 68 # x_firmware_ctrl = 0x6867666564636261
    69 6A 6B 6C 6D 6E 6F 70 # x_dsdt = 0x706f6e6d6c6b6a69
[parts.3]
    71                      # address_space_id = 0x71  (PM1a event block)
    72                      # register_bit_width = 0x72
    73                      # register_bit_offset = 0x73
    74                      # access_size = 0x74
    75 76 77 78 79 7A 7B 7C # address = 0x7c7b7a7978777675
[parts.4]
    7D                      # address_space_id = 0x7d  (PM1b event block)
    7E                      # register_bit_width = 0x7e
    7F                      # register_bit_offset = 0x7f
    80                      # access_size = 0x80
    81 82 83 84 85 86 87 88 # address = 0x8887868584838281
[parts.5]
    89                      # address_space_id = 0x89  (PM1a control block)
    8A                      # register_bit_width = 0x8a
    8B                      # register_bit_offset = 0x8b
    8C                      # access_size = 0x8c
    8D 8E 8F 90 91 92 93 94 # address = 0x94939291908f8e8d
[parts.6]
    95                      # address_space_id = 0x95  (PM1b control block)
    96                      # register_bit_width = 0x96
    97                      # register_bit_offset = 0x97
    98                      # access_size = 0x98
    99 9A 9B 9C 9D 9E 9F A0 # address = 0xa09f9e9d9c9b9a99
[parts.7]
    A1                      # address_space_id = 0xa1  (PM2 control block)
    A2                      # register_bit_width = 0xa2
    A3                      # register_bit_offset = 0xa3
    A4                      # access_size = 0xa4
    A5 A6 A7 A8 A9 AA AB AC # address = 0xacabaaa9a8a7a6a5
[parts.8]
    AD                      # address_space_id = 0xad  (PM timer block)
    AE                      # register_bit_width = 0xae
    AF                      # register_bit_offset = 0xaf
    B0                      # access_size = 0xb0
    B1 B2 B3 B4 B5 B6 B7 B8 # address = 0xb8b7b6b5b4b3b2b1
[parts.9]
    B9                      # address_space_id = 0xb9  (GPE0 block)
    BA                      # register_bit_width = 0xba
    BB                      # register_bit_offset = 0xbb
    BC                      # access_size = 0xbc
    BD BE BF C0 C1 C2 C3 C4 # address = 0xc4c3c2c1c0bfbebd
[parts.10]
    C5                      # address_space_id = 0xc5  (GPE1 block)
    C6                      # register_bit_width = 0xc6
    C7                      # register_bit_offset = 0xc7
    C8                      # access_size = 0xc8
    C9 CA CB CC CD CE CF D0 # address = 0xd0cfcecdcccbcac9
[parts.11]
    D1                      # address_space_id = 0xd1  (sleep control register)
    D2                      # register_bit_width = 0xd2
    D3                      # register_bit_offset = 0xd3
    D4                      # access_size = 0xd4
    D5 D6 D7 D8 D9 DA DB DC # address = 0xdcdbdad9d8d7d6d5
[parts.12]
    DD                      # address_space_id = 0xdd  (sleep status register)
    DE                      # register_bit_width = 0xde
    DF                      # register_bit_offset = 0xdf
    E0                      # access_size = 0xe0
    E1 E2 E3 E4 E5 E6 E7 E8 # address = 0xe8e7e6e5e4e3e2e1
[parts.13]
    E9 EA EB EC ED EE EF F0 # hypervisor_vendor_identity = 0xf0efeeedecebeae9
[rest]
    AA BB                   # data = b"\xaa\xbb"
"""


def test_every_field_has_its_value_and_place() -> None:
    """The table is read as written by hand; changing a field changes exactly its bytes."""
    body, fields = golden(TABLE)
    table = check_golden(b"FACP", body, fields, count=38 + 5 + 3 + 2 + 8 * 5 + 2 * 5 + 1 + 1)
    assert isinstance(table.body, Fadt)
    assert table.body.rest == Raw(276, b"\xaa\xbb")
    assert sum(field.size for field in table.fields()) == 278
    assert table.body.arm_boot_arch == 0x8002
    assert table.body.iapc_boot_arch & MSI_NOT_SUPPORTED


def test_flags_have_the_words_of_the_specification() -> None:
    """Each flag is named, at its bit."""
    table = parse_table(sealed(b"FACP", golden(TABLE)[0]))
    bits = {field.name: [name for name, value in field.bits if value] for field in table.fields() if field.bits}
    assert bits == {
        "iapc_boot_arch": ["LEGACY_DEVICES", "MSI Not Supported"],
        "flags": ["WBINVD", "HW_REDUCED_ACPI", "PERSISTENT_CPU_CACHES"],
        "arm_boot_arch": ["PSCI_USE_HVC"],
    }


def test_registers_are_listed_by_their_names() -> None:
    """Fields of a generic address belong to the register that it is for, in the table's order."""
    table = parse_table(sealed(b"FACP", golden(TABLE)[0]))
    registers = [field.record for field in table.fields() if field.name == "address"]
    assert registers == [RESET_REGISTER, *BLOCKS, *SLEEP_REGISTERS]


@pytest.mark.parametrize(("size", "parts"), [(116, 0), (128, 1), (132, 2), (148, 3), (244, 11), (268, 13), (276, 14)])
def test_a_table_ends_with_a_part_of_its_revision(size: int, parts: int) -> None:
    """A table of each revision's length is whole; the flags of Arm are there from 132 bytes on."""
    data = sealed(b"FACP", golden(TABLE)[0][: size - 36])
    assert findings(data) == []
    body = parse_table(data).body
    assert isinstance(body, Fadt)
    assert len(body.parts) == parts
    assert body.rest is None
    assert body.arm_boot_arch == (0x8002 if parts > 1 else None)


def test_a_table_that_ends_within_a_field_says_so() -> None:
    """The bytes after the last whole field are kept; a table shorter than that of ACPI 1.0 is none."""
    body = golden(TABLE)[0]
    assert findings(sealed(b"FACP", body[: 129 - 36])) == [
        (
            "T: FACP+0x80 (1 byte): the table ends within a field or after the last one: Length is 129, expected 116, "
            "132, 244, 268 or 276 (ACPI 6.5 §5.2.9); the bytes after the last whole field are kept as raw data"
        )
    ]
    assert isinstance(parse_table(sealed(b"FACP", body[:79])).body, Raw)
