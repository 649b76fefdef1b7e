"""DMAR: every structure with its bytes written out by hand (VT-d specification 4.1 chapter 8)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi.dmar import Andd, Atsr, Dmar, Drhd, Rhsa, Rmrr, Satc, Sidp

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    26                         # host_address_width = 38  (39 bits)
    05                         # flags = 5  (INTR_REMAP, DMA_CTRL_PLATFORM_OPT_IN)
    01 02 03 04 05 06 07 08    # reserved = b"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a"
    09 0A
[structures.0]
    00 00                      # type = 0  (DRHD)
    28 00                      # length = 40
    00                         # flags = 0
    04                         # size = 4  (2^4 pages)
    01 00                      # segment = 1
    00 00 81 FC 02 00 00 00    # register_base = 0x2fc810000
[structures.0 scopes.0]
    01                         # type = 1  (PCI endpoint)
    08                         # length = 8
    00                         # flags = 0
    00                         # reserved = 0
    00                         # enumeration_id = 0
    00                         # start_bus = 0
    02 01                      # path = ((2, 1),)
[structures.0 scopes.1]
    02                         # type = 2  (PCI sub-hierarchy)
    0C                         # length = 12
    00                         # flags = 0
    07                         # reserved = 7
    00                         # enumeration_id = 0
    80                         # start_bus = 0x80
    1C 00 00 03 1F 07          # path = ((0x1c, 0), (0, 3), (0x1f, 7))
[structures.0 rest]
    04 05 06 07                # data = b"\x04\x05\x06\x07"  (no scope has 4 bytes)
[structures.1]
    00 00                      # type = 0  (DRHD)
    28 00                      # length = 40
    01                         # flags = 1  (INCLUDE_PCI_ALL)
    00                         # size = 0
    00 00                      # segment = 0
    00 10 D9 FE 00 00 00 00    # register_base = 0xfed91000
[structures.1 scopes.0]
    03                         # type = 3  (I/O APIC)
    08                         # length = 8
    00                         # flags = 0
    00                         # reserved = 0
    02                         # enumeration_id = 2
    F0                         # start_bus = 0xf0
    1F 00                      # path = ((0x1f, 0),)
[structures.1 scopes.1]
    04                         # type = 4  (HPET)
    08                         # length = 8
    00                         # flags = 0
    00                         # reserved = 0
    01                         # enumeration_id = 1
    F0                         # start_bus = 0xf0
    0F 00                      # path = ((0xf, 0),)
[structures.1 scopes.2]
    05                         # type = 5  (ACPI namespace device)
    08                         # length = 8
    00                         # flags = 0
    00                         # reserved = 0
    09                         # enumeration_id = 9  (device number of the ANDD below)
    00                         # start_bus = 0
    15 02                      # path = ((0x15, 2),)
[structures.2]
    01 00                      # type = 1  (RMRR)
    20 00                      # length = 32
    34 12                      # reserved = 0x1234
    00 00                      # segment = 0
    00 00 00 7C 00 00 00 00    # base = 0x7c000000
    FF FF 7F 80 00 00 00 00    # limit = 0x807fffff  (included)
[structures.2 scopes.0]
    01                         # type = 1
    08                         # length = 8
    00                         # flags = 0
    00                         # reserved = 0
    00                         # enumeration_id = 0
    00                         # start_bus = 0
    02 00                      # path = ((2, 0),)
[structures.3]
    02 00                      # type = 2  (ATSR)
    10 00                      # length = 16
    01                         # flags = 1  (ALL_PORTS)
    56                         # reserved = 0x56
    03 00                      # segment = 3
[structures.3 scopes.0]
    02                         # type = 2
    08                         # length = 8
    00                         # flags = 0
    00                         # reserved = 0
    00                         # enumeration_id = 0
    40                         # start_bus = 0x40
    01 00                      # path = ((1, 0),)
[structures.4]
    03 00                      # type = 3  (RHSA)
    14 00                      # length = 20
    78 56 34 12                # reserved = 0x12345678
    00 10 D9 FE 00 00 00 00    # register_base = 0xfed91000
    02 01 00 00                # proximity_domain = 0x102
[structures.5]
    04 00                      # type = 4  (ANDD)
    1A 00                      # length = 26
    AA BB CC                   # reserved = b"\xaa\xbb\xcc"
    09                         # device_number = 9
    5C 5F 53 42 2E 50 43 49    # object_name = "\\_SB.PCI0.I2C"
    30 2E 49 32 43
    00 00 00 00 00             # terminator = b"\0\0\0\0\0"
[structures.6]
    05 00                      # type = 5  (SATC)
    10 00                      # length = 16
    01                         # flags = 1  (ATC_REQUIRED)
    9A                         # reserved = 0x9a
    02 00                      # segment = 2
[structures.6 scopes.0]
    01                         # type = 1
    08                         # length = 8
    00                         # flags = 0
    00                         # reserved = 0
    00                         # enumeration_id = 0
    6A                         # start_bus = 0x6a
    01 00                      # path = ((1, 0),)
[structures.7]
    06 00                      # type = 6  (SIDP)
    18 00                      # length = 24
    DE BC                      # reserved = 0xbcde
    00 00                      # segment = 0
[structures.7 scopes.0]
    01                         # type = 1
    08                         # length = 8
    1F                         # flags = 0x1f  (all five)
    00                         # reserved = 0
    00                         # enumeration_id = 0
    6A                         # start_bus = 0x6a
    01 00                      # path = ((1, 0),)
[structures.7 scopes.1]
    01                         # type = 1
    08                         # length = 8
    14                         # flags = 0x14  (REQ_WO_PASID_PGSNP_NOTALLOWED, ATC_REQUIRED)
    00                         # reserved = 0
    00                         # enumeration_id = 0
    6B                         # start_bus = 0x6b
    02 00                      # path = ((2, 0),)
[structures.8]
    20 00 08 00 DE AD BE EF    # data = b"\x20\0\x08\0\xde\xad\xbe\xef"  (a reserved type)
"""

FIXED = bytes([38, 1]) + bytes(10)
SCOPE = bytes([1, 8, 0, 0, 0, 0, 2, 0])


def structure(kind: int, rest: bytes, length: int | None = None) -> bytes:
    """Return a remapping structure: type, length, and what follows."""
    return kind.to_bytes(2, "little") + (length or 4 + len(rest)).to_bytes(2, "little") + rest


def drhd(scopes: bytes = b"") -> bytes:
    """Return a DRHD with these scopes."""
    return structure(0, bytes.fromhex("00 00 00 00 00 00 D9 FE 00 00 00 00") + scopes)


def read(*structures: bytes) -> Dmar:
    """Return the body of a table with these structures."""
    body = parse_table(sealed(b"DMAR", FIXED + b"".join(structures))).body
    assert isinstance(body, Dmar)
    return body


def test_every_field_of_every_structure_has_its_value_and_place() -> None:
    """All structures and scope types are read as written by hand; changing a field changes exactly its bytes."""
    body, fields = golden(TABLE)
    table = check_golden(b"DMAR", body, fields, count=118)
    assert isinstance(table.body, Dmar)
    kinds = [Drhd, Drhd, Rmrr, Atsr, Rhsa, Andd, Satc, Sidp, Raw]
    assert [type(one) for one in table.body.structures] == kinds
    assert [one.offset for one in table.body.structures] == [0x30, 0x58, 0x80, 0xA0, 0xB0, 0xC4, 0xDE, 0xEE, 0x106]
    assert [finding.rule for finding in table.findings] == ["DMAR-SCOPE-LENGTH", "DMAR-STRUCTURE-TYPE"]


def test_the_listing_covers_every_byte_once_and_in_order() -> None:
    """The fields of the table follow each other without gap or overlap, from the first byte to the last."""
    data = sealed(b"DMAR", golden(TABLE)[0])
    place = 0
    for field in parse_table(data).fields():
        assert field.offset == place, field
        raw = field.value if isinstance(field.value, bytes) else field.value.to_bytes(field.size, "little")
        assert raw == data[place : place + field.size], field
        place += field.size
    assert place == len(data)


def test_flags_have_names() -> None:
    """The parts of flags and of the Size field are listed by name, with their values."""
    table = parse_table(sealed(b"DMAR", golden(TABLE)[0]))
    bits = {(field.offset, field.name): dict(field.bits) for field in table.fields() if field.bits}
    assert bits[0x25, "flags"] == {"INTR_REMAP": 1, "X2APIC_OPT_OUT": 0, "DMA_CTRL_PLATFORM_OPT_IN": 1}
    assert bits[0x34, "flags"] == {"INCLUDE_PCI_ALL": 0}
    assert bits[0x35, "size"] == {"register_set_pages": 4}
    assert bits[0x5C, "flags"] == {"INCLUDE_PCI_ALL": 1}
    assert bits[0xA4, "flags"] == {"ALL_PORTS": 1}
    assert bits[0xE2, "flags"] == {"ATC_REQUIRED": 1}
    assert bits[0x100, "flags"] == {
        "REQ_WO_PASID_NESTED_NOTALLOWED": 0,
        "REQ_WO_PASID_PWSNP_NOTALLOWED": 0,
        "REQ_WO_PASID_PGSNP_NOTALLOWED": 1,
        "ATC_HARDENED": 0,
        "ATC_REQUIRED": 1,
    }


def test_the_unit_tells_what_its_fields_mean() -> None:
    """INCLUDE_PCI_ALL is bit 0 of the flags; N in bits 3:0 of Size, and in no other, makes a window of 2^N pages."""
    units = [read(structure(0, bytes([flags, size]) + bytes(10))).structures[0] for flags, size in ((0, 0), (3, 0xF4))]
    assert all(isinstance(unit, Drhd) for unit in units)
    assert [unit.include_pci_all for unit in units if isinstance(unit, Drhd)] == [False, True]
    assert [unit.register_bytes for unit in units if isinstance(unit, Drhd)] == [0x1000, 0x10000]


def test_a_scope_with_half_a_path_element_keeps_the_odd_byte() -> None:
    """A scope of 9 bytes has one path element, and its last byte is listed as the rest."""
    unit = read(drhd(bytes([1, 9, 0, 0, 0, 5, 2, 0, 7]))).structures[0]
    assert isinstance(unit, Drhd)
    assert unit.scopes[0].path == ((2, 0),)
    assert unit.scopes[0].rest == b"\x07"
    assert [tuple(field) for field in unit.scopes[0].fields()][-2:] == [
        (0x46, 2, "device scope", "path", b"\x02\x00", ()),
        (0x48, 1, "device scope", "rest", b"\x07", ()),
    ]


def test_the_rest_of_a_structure_is_kept() -> None:
    """Bytes after the last field of an RHSA, and after the name of an ANDD, are part of their records."""
    affinity, device = read(structure(3, bytes(16) + b"more"), structure(4, bytes(3) + b"\x01A\0pad")).structures
    assert isinstance(affinity, Rhsa)
    assert affinity.rest == Raw(0x44, b"more")
    assert isinstance(device, Andd)
    assert (device.object_name, device.terminator) == ("A", b"\0pad")
    assert [(field.offset, field.name, field.value) for field in device.fields()][-2:] == [
        (0x50, "object_name", b"A\0"),
        (0x52, "padding", b"pad"),
    ]


def test_an_andd_without_room_for_a_name_has_none() -> None:
    """Of a structure that ends before its name only the four fixed fields are listed."""
    (device,) = read(structure(4, bytes(3) + b"\x01")).structures
    assert isinstance(device, Andd)
    assert (device.object_name, device.terminator) == ("", b"")
    assert [field.name for field in device.fields()] == ["type", "length", "reserved", "device_number"]


UNDER = "T: DMAR+0x"
CASES = {
    "no room for a structure": (
        b"\x00\x00\x04",
        [
            (
                f"{UNDER}30 (3 bytes): too few bytes are left for a remapping structure: found 3, expected at least 4 "
                "(VT-d specification 4.1 §8.2); they are kept as raw data"
            )
        ],
    ),
    "length 3": (
        structure(2, bytes(4), 3),
        [
            (
                f"{UNDER}32 (2 bytes): the ATSR structure does not even hold its own header: Length is 3, expected at "
                "least 4 (VT-d specification 4.1 §8.2); the rest of the table is kept as raw data "
                "(Linux: 'Invalid 0-length structure')"
            )
        ],
    ),
    "length 4": (
        structure(2, b""),
        [
            (
                f"{UNDER}30 (4 bytes): the ATSR structure is too short: found 4 bytes, expected at least 8 "
                "(VT-d specification 4.1 §8.2); it is kept as raw data"
            )
        ],
    ),
    "just long enough": (structure(2, bytes(4)), []),
    "one byte past the end": (
        structure(2, bytes(4), 9),
        [
            (
                f"{UNDER}32 (2 bytes): the ATSR structure runs past the end of the table: Length is 9, expected "
                f"at most 8 "
                "(VT-d specification 4.1 §8.2); what is there is read (Linux: 'Record passes table end', and "
                "uses no IOMMU)"
            )
        ],
    ),
    "first reserved type": (
        structure(7, b""),
        [
            (
                f"{UNDER}30 (2 bytes): a remapping structure of a reserved type: Type is 7, expected 0 to 6 "
                "(VT-d specification 4.1 §8.2); it is kept as raw data (Linux skips it)"
            )
        ],
    ),
    "last known type": (structure(6, bytes(4)), []),
    "name without end": (
        structure(4, bytes(3) + b"\x01\\_SB\x1b"),
        [
            (
                f"{UNDER}38 (5 bytes): the ACPI object name has no end: ACPI Object Name is '\\_SB\\x1b', "
                f"expected a zero "
                "byte inside the structure (VT-d specification 4.1 §8.7); the name is taken up to the end "
                "(Linux rejects the table)"
            )
        ],
    ),
    "long name without end": (
        structure(4, bytes(3) + b"\x01" + b"A" * 100),
        [
            (
                f"{UNDER}38 (100 bytes): the ACPI object name has no end: ACPI Object Name is '{'A' * 64}' and 36 "
                "characters more, expected a zero byte inside the structure (VT-d specification 4.1 §8.7); "
                "the name is taken up to the end (Linux rejects the table)"
            )
        ],
    ),
    "name with its end": (structure(4, bytes(3) + b"\x01\\_SB\0"), []),
    "scope of 7 bytes": (
        drhd(bytes([1, 7, 0, 0, 0, 0, 2])),
        [
            (
                f"{UNDER}41 (1 byte): a device scope holds no whole path: Length is 7, expected 6 plus 2 for each path "
                "element, of which there is at least one (VT-d specification 4.1 §8.3.1); whole elements are read"
            )
        ],
    ),
    "scope of 6 bytes": (
        drhd(bytes([1, 6, 0, 0, 0, 0])),
        [
            (
                f"{UNDER}41 (1 byte): a device scope holds no whole path: Length is 6, expected 6 plus 2 for each path "
                "element, of which there is at least one (VT-d specification 4.1 §8.3.1); whole elements are read"
            )
        ],
    ),
    "scope of 8 bytes": (drhd(SCOPE), []),
    "scope one byte too long": (
        drhd(bytes([1, 9, 0, 0, 0, 0, 2, 0])),
        [
            (
                f"{UNDER}40 (8 bytes): a device scope does not fit its structure: Length is 9, expected 8 to 8 "
                "(VT-d specification 4.1 §8.3.1); the rest of the structure is kept as raw data"
            )
        ],
    ),
    "scope of length 0": (
        drhd(SCOPE + bytes([1, 0, 0, 0, 0, 0, 2, 0])),
        [
            (
                f"{UNDER}48 (8 bytes): a device scope does not fit its structure: Length is 0, expected 8 to 8 "
                "(VT-d specification 4.1 §8.3.1); the rest of the structure is kept as raw data"
            )
        ],
    ),
    "one byte for a scope": (
        drhd(SCOPE + b"\x01"),
        [
            (
                f"{UNDER}48 (1 byte): too few bytes are left for a device scope: found 1, expected none, or at least 8 "
                "(VT-d specification 4.1 §8.3.1); the rest of the structure is kept as raw data"
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    structures, sentences = CASES[case]
    assert findings(sealed(b"DMAR", FIXED + structures)) == sentences
