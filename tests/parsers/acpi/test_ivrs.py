"""IVRS: every block and entry with its bytes written out by hand (AMD IOMMU specification, document 48882, §5.2)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, build_table, parse_table
from iommuman.parsers.acpi.ivrs import (
    AliasEntry,
    DeviceEntry,
    ExtendedEntry,
    HidEntry,
    IvhdExtended,
    IvhdFixed,
    Ivmd,
    Ivrs,
    SpecialEntry,
)

from tests.conftest import corpus_files

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    43 30 60 00                # iv_info = 0x603043  (EFRSup, DMA remap, GVASize 2, PASize 48, VASize 64, HtAtsResv)
    01 02 03 04 05 06 07 08    # reserved = b"\x01\x02\x03\x04\x05\x06\x07\x08"
[blocks.0]
    10                         # type = 0x10  (IVHD)
    B0                         # flags = 0xb0  (IotlbSup, Coherent, PPRSup)
    44 00                      # length = 68
    02 00                      # device_id = 2  (00:00.2)
    40 00                      # capability_offset = 0x40
    00 00 20 FD 00 00 00 00    # base_address = 0xfd200000
    00 00                      # segment = 0
    13 05                      # info = 0x513  (MSI 19, UnitID 5)
    6E 8F 04 80                # feature_reporting = 0x80048f6e
[blocks.0 entries.0]
    01                         # type = 1  (all)
    00 00                      # device_id = 0
    D7                         # data_setting = 0xd7
[blocks.0 entries.1]
    02                         # type = 2  (select)
    18 00                      # device_id = 0x18
    28                         # data_setting = 0x28  (SysMgt 2, a reserved bit)
[blocks.0 entries.2]
    03                         # type = 3  (start of range)
    00 01                      # device_id = 0x100
    00                         # data_setting = 0
[blocks.0 entries.3]
    04                         # type = 4  (end of range)
    FF 01                      # device_id = 0x1ff
    00                         # data_setting = 0
[blocks.0 entries.4]
    00                         # type = 0  (padding)
    00 00                      # device_id = 0
    00                         # data_setting = 0
[blocks.0 entries.5]
    42                         # type = 66  (alias select)
    08 02                      # device_id = 0x208
    01                         # data_setting = 1
    0A                         # reserved = 0x0a
    30 00                      # source_device_id = 0x30
    0B                         # reserved2 = 0x0b
[blocks.0 entries.6]
    43                         # type = 67  (alias start of range)
    00 03                      # device_id = 0x300
    02                         # data_setting = 2
    00                         # reserved = 0
    38 00                      # source_device_id = 0x38
    00                         # reserved2 = 0
[blocks.0 entries.7]
    04                         # type = 4
    FF 03                      # device_id = 0x3ff
    00                         # data_setting = 0
[blocks.0 rest]
    46 00 04 00                # data = b"F\0\4\0"  (an entry of 8 bytes of which 4 are there)
[blocks.1]
    11                         # type = 0x11  (IVHD)
    3F                         # flags = 0x3f
    48 00                      # length = 72
    02 00                      # device_id = 2
    40 00                      # capability_offset = 0x40
    00 00 20 FD 01 00 00 00    # base_address = 0x1fd200000
    01 00                      # segment = 1
    00 00                      # info = 0
    01 60 86 09                # attributes = 0x09866001
    D3 29 00 00 10 00 00 00    # efr_image = 0x10000029d3
    0C 00 00 00 00 00 00 00    # efr2_image = 0x0c
[blocks.1 entries.0]
    46                         # type = 70  (extended select)
    10 04                      # device_id = 0x410
    40                         # data_setting = 0x40
    00 00 00 80                # extended_data = 0x80000000  (ATSDisabled)
[blocks.1 entries.1]
    47                         # type = 71  (extended start of range)
    00 05                      # device_id = 0x500
    80                         # data_setting = 0x80
    01 00 00 00                # extended_data = 1
[blocks.1 entries.2]
    04                         # type = 4
    FF 05                      # device_id = 0x5ff
    00                         # data_setting = 0
[blocks.1 entries.3]
    48                         # type = 72  (special device)
    00 00                      # device_id = 0
    D7                         # data_setting = 0xd7
    21                         # handle = 0x21
    A0 00                      # source_device_id = 0xa0
    01                         # variety = 1  (I/O APIC)
[blocks.1 entries.4]
    05 00 00 00                # data = b"\5\0\0\0"  (a reserved type of 4 bytes)
[blocks.2]
    40                         # type = 0x40  (IVHD)
    00                         # flags = 0
    69 00                      # length = 105
    02 00                      # device_id = 2
    40 00                      # capability_offset = 0x40
    00 00 20 FD 00 00 00 00    # base_address = 0xfd200000
    00 00                      # segment = 0
    00 00                      # info = 0
    00 00 00 00                # attributes = 0
    00 00 00 00 00 00 00 00    # efr_image = 0
    00 00 00 00 00 00 00 00    # efr2_image = 0
[blocks.2 entries.0]
    F0                         # type = 240  (ACPI HID device)
    A5 00                      # device_id = 0xa5
    40                         # data_setting = 0x40
    41 4D 44 49 30 30 32 30    # hardware_id = b"AMDI0020"
    00 00 00 00 00 00 00 00    # compatible_id = b"\0\0\0\0\0\0\0\0"
    02                         # unique_id_format = 2  (string)
    09                         # unique_id_length = 9
    5C 5F 53 42 2E 46 55 52 30 # unique_id = b"\\_SB.FUR0"
[blocks.2 entries.1]
    F0                         # type = 240
    98 00                      # device_id = 0x98
    00                         # data_setting = 0
    41 D0 0D 40 00 00 00 00    # hardware_id = b"\x41\xd0\x0d\x40\0\0\0\0"  (PNP0D40, compressed)
    41 D0 0A 03 00 00 00 00    # compatible_id = b"\x41\xd0\x0a\3\0\0\0\0"
    01                         # unique_id_format = 1  (integer)
    02                         # unique_id_length = 2
    01 01                      # unique_id = b"\1\1"
[blocks.2 entries.2]
    40 00 00 00 00 00 00 00    # data = b"@\0\0\0\0\0\0\0"  (padding of 8 bytes)
[blocks.2 rest]
    80 01                      # data = b"\x80\1"  (a type whose length nobody knows)
[blocks.3]
    22                         # type = 0x22  (IVMD)
    0F                         # flags = 0x0f
    22 00                      # length = 34
    00 01                      # device_id = 0x100
    FF 01                      # auxiliary_data = 0x1ff
    03 00                      # segment = 3
    01 02 03 04 05 06          # reserved = b"\x01\x02\x03\x04\x05\x06"
    00 F0 32 71 00 00 00 00    # start_address = 0x7132f000
    00 60 02 00 00 00 00 00    # memory_length = 0x26000
[blocks.3 rest]
    AA BB                      # data = b"\xaa\xbb"
[blocks.4]
    51 08 06 00 00 03          # data = b"Q\x08\6\0\0\3"  (a block of a type that is not documented)
"""

SOUND = TABLE.partition("[blocks.0 rest]")[0].replace("44 00                      # length = 68", "40 00 # length = 64")
"""The table up to where its first block goes on in a way that iasl and we do not cut alike."""

FIXED = bytes(12)


def block(kind: int, rest: bytes, length: int | None = None) -> bytes:
    """Return a block: type, flags 0, length, and what follows."""
    return bytes([kind, 0]) + (4 + len(rest) if length is None else length).to_bytes(2, "little") + rest


def ivhd(entries: bytes = b"", kind: int = 0x10) -> bytes:
    """Return an IVHD with these entries."""
    return block(kind, bytes(20 if kind == 0x10 else 36) + entries)


def read(*blocks: bytes) -> Ivrs:
    """Return the body of a table with these blocks."""
    data = sealed(b"IVRS", FIXED + b"".join(blocks))
    table = parse_table(data)
    assert build_table(table) == data
    assert isinstance(table.body, Ivrs)
    return table.body


def test_every_field_of_every_block_has_its_value_and_place() -> None:
    """All blocks and entries are read as written by hand; changing a field changes exactly its bytes."""
    body, fields = golden(TABLE)
    table = check_golden(b"IVRS", body, fields, count=111)
    assert isinstance(table.body, Ivrs)
    assert [type(one) for one in table.body.blocks] == [IvhdFixed, IvhdExtended, IvhdExtended, Ivmd, Raw]
    assert [one.offset for one in table.body.blocks] == [0x30, 0x74, 0xBC, 0x125, 0x147]
    kinds = [[type(part) for part in one.inner()] for one in table.body.blocks if not isinstance(one, Raw)]
    assert kinds == [
        [*[DeviceEntry] * 5, AliasEntry, AliasEntry, DeviceEntry],
        [ExtendedEntry, ExtendedEntry, DeviceEntry, SpecialEntry, Raw],
        [HidEntry, HidEntry, Raw],
        [],
    ]
    assert [finding.rule for finding in table.findings] == [
        "IVRS-ENTRY-END",
        "IVRS-ENTRY-TYPE",
        "IVRS-ENTRY-TYPE",
        "IVRS-BLOCK-LENGTH",
        "IVRS-BLOCK-TYPE",
    ]


def test_the_listing_covers_every_byte_once_and_in_order() -> None:
    """The fields of the table follow each other without gap or overlap, from the first byte to the last."""
    data = sealed(b"IVRS", golden(TABLE)[0])
    place = 0
    for field in parse_table(data).fields():
        assert field.offset == place, field
        raw = field.value if isinstance(field.value, bytes) else field.value.to_bytes(field.size, "little")
        assert raw == data[place : place + field.size], field
        place += field.size
    assert place == len(data)


def test_flags_have_names() -> None:
    """The parts of flags and settings are listed by name, with their values."""
    table = parse_table(sealed(b"IVRS", golden(TABLE)[0]))
    bits = {
        (field.offset, field.name): {name: value for name, value in field.bits if value} for field in table.fields()
    }
    assert bits[0x24, "iv_info"] == {
        "EFRSup": 1,
        "DMA remap": 1,
        "GVASize": 2,
        "PASize": 48,
        "VASize": 64,
        "HtAtsResv": 1,
    }
    assert bits[0x31, "flags"] == {"IotlbSup": 1, "Coherent": 1, "PPRSup": 1}
    assert bits[0x42, "info"] == {"MSInum": 19, "UnitID": 5}
    assert bits[0x44, "feature_reporting"] == {
        "NXSup": 1,
        "GTSup": 1,
        "GLXSup": 1,
        "IASup": 1,
        "GASup": 1,
        "PASmax": 15,
        "PNCounters": 4,
        "PNBanks": 2,
        "HATS": 2,
    }
    assert bits[0x4B, "data_setting"] == {
        "INITPass": 1,
        "EIntPass": 1,
        "NMIPass": 1,
        "SysMgt": 1,
        "Lint0Pass": 1,
        "Lint1Pass": 1,
    }
    assert bits[0x4F, "data_setting"] == {"SysMgt": 2}
    assert bits[0x88, "attributes"] == {"HATDis": 1, "PNCounters": 3, "PNBanks": 3, "MsiNumPPR": 19}
    assert bits[0x8C, "efr_image"] == {
        "PreFSup": 1,
        "PPRSup": 1,
        "GTSup": 1,
        "IASup": 1,
        "GASup": 1,
        "HESup": 1,
        "HATS": 2,
        "GATS": 2,
        "PASmax": 16,
    }
    assert bits[0xA0, "extended_data"] == {"ATSDisabled": 1}
    assert bits[0x126, "flags"] == {"Unity": 1, "IR": 1, "IW": 1, "ExclusionRange": 1}


HIDS = {
    "eight characters": (b"AMDI0020", 2, b"\\_SB.FUR0", ("AMDI0020", "\\_SB.FUR0")),
    "seven characters": (b"PNP0D40\0", 0, b"", ("PNP0D40", "")),
    "compressed": (b"\x41\xd0\x0d\x40\0\0\0\0", 1, b"\x01\x01", ("PNP0D40", "257")),
    "none": (bytes(8), 1, b"", ("", "")),
    "unprintable": (b"\x01\xff\0\0\0\0\0\x07", 2, b"7\0junk", ("01ff000000000007", "7")),
    "unknown format of the UID": (b"AMDI0040", 3, b"abc", ("AMDI0040", "")),
}


@pytest.mark.parametrize("case", HIDS)
def test_identifiers_are_text(case: str) -> None:
    """Hardware IDs are text or compressed EISA IDs; unique IDs are text or little-endian numbers."""
    hardware, form, unique, wanted = HIDS[case]
    entry = b"\xf0\xa5\0\0" + hardware + bytes(8) + bytes([form, len(unique)]) + unique
    (unit,) = read(ivhd(entry, 0x40)).blocks
    assert isinstance(unit, IvhdExtended)
    (device,) = unit.entries
    assert isinstance(device, HidEntry)
    assert (device.hid, device.uid) == wanted


UNDER = "T: IVRS+0x"
TOP, INNER = "(AMD 48882 §5.2.1)", "(AMD 48882 §5.2.2)"
CASES = {
    "no room for a block": (
        b"\x10\0\x18",
        [
            (
                f"{UNDER}30 (3 bytes): too few bytes are left for a block: found 3, expected at least 6 {TOP}; "
                "they are kept as raw data"
            )
        ],
    ),
    "length 0": (
        block(0x10, bytes(20), 0),
        [
            (
                f"{UNDER}32 (2 bytes): the IVHD 10h block does not even hold its own header: Length is 0, "
                f"expected at least "
                f"6 {TOP}; the rest of the table is kept as raw data (Linux does not come past a block of "
                "length 0)"
            )
        ],
    ),
    "length 4": (
        block(0x11, b""),
        [
            (
                f"{UNDER}30 (4 bytes): the IVHD 11h block is too short: found 4 bytes, expected at least 40 "
                f"{TOP}; it is kept as raw data"
            )
        ],
    ),
    "just long enough": (ivhd(), []),
    "one byte past the end": (
        block(0x20, bytes(28), 33),
        [
            (
                f"{UNDER}32 (2 bytes): the IVMD 20h block runs past the end of the table: Length is 33, "
                f"expected at most 32 "
                f"{TOP}; what is there is read (Linux reads on past the table)"
            )
        ],
    ),
    "undocumented type": (
        block(0x51, bytes(28)),
        [
            (
                f"{UNDER}30 (1 byte): a block of a type that is not documented, 51h: Type is 0x51, expected "
                f"0x10, 0x11, 0x40, "
                f"or 0x20 to 0x22 {TOP}; it is kept as raw data (Linux skips it)"
            )
        ],
    ),
    "memory block of 34 bytes": (
        block(0x21, bytes(30)),
        [
            (
                f"{UNDER}32 (2 bytes): the IVMD 21h block is too long: Length is 34, expected 32 {TOP}; what "
                "follows its fields is kept as raw data"
            )
        ],
    ),
    "reserved entry": (
        ivhd(bytes([68]) + bytes(7)),
        [
            (
                f"{UNDER}48 (1 byte): a device entry of a reserved type: Type is 68, expected a type of the "
                f"specification "
                f"{INNER}; it is kept as raw data (Linux skips it)"
            )
        ],
    ),
    "entry of unknown length": (
        ivhd(bytes([128]) + bytes(7)),
        [
            (
                f"{UNDER}48 (1 byte): a device entry of a type whose length nobody knows: Type is 128, expected "
                f"less than "
                f"128, or 240 {INNER}; the rest of the block is kept as raw data (Linux does not come past it)"
            )
        ],
    ),
    "half an entry": (
        ivhd(bytes([66]) + bytes(3)),
        [
            (
                f"{UNDER}48 (4 bytes): the alias select entry runs past the end of its block: found 4 bytes, "
                f"expected at "
                f"least 8 {INNER}; the rest of the block is kept as raw data"
            )
        ],
    ),
    "HID entry without its UID": (
        ivhd(bytes([240]) + bytes(20) + b"\x01", 0x40),
        [
            (
                f"{UNDER}58 (22 bytes): the ACPI HID device entry runs past the end of its block: found 22 "
                f"bytes, expected "
                f"at least 23 {INNER}; the rest of the block is kept as raw data"
            )
        ],
    ),
    "HID entry without its end": (
        ivhd(bytes([240]) + bytes(20), 0x40),
        [
            (
                f"{UNDER}58 (21 bytes): the ACPI HID device entry runs past the end of its block: found 21 "
                f"bytes, expected "
                f"at least 22 {INNER}; the rest of the block is kept as raw data"
            )
        ],
    ),
    "padding": (ivhd(bytes(4) + bytes([64]) + bytes(7)), []),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    blocks, sentences = CASES[case]
    assert findings(sealed(b"IVRS", FIXED + blocks)) == sentences


def test_all_tables_of_the_corpus_come_back_byte_for_byte() -> None:
    """Every real IVRS is read without an error but for fwts's own negative test, and built again as it was."""
    for path in corpus_files("IVRS"):
        data = path.read_bytes()
        table = parse_table(data, path.name)
        assert build_table(table) == data
        rules = {finding.rule for finding in table.findings}
        assert rules <= {"IVRS-BLOCK-TYPE"} or "fwts" in path.name, path
