"""RIMT: every node with its bytes written out by hand (RISC-V IO Mapping Table specification 1.0)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi.rimt import Iommu, PcieRootComplex, PlatformDevice, Rimt, UnknownNode

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    04 00 00 00                # node_count = 4
    34 00 00 00                # node_offset = 0x34
    01 02 03 04                # reserved = 0x04030201
    AA BB CC DD                # padding = b"\xaa\xbb\xcc\xdd"
[nodes.0]
    00                         # type = 0  (IOMMU)
    01                         # revision = 1
    3C 00                      # length = 60
    05 06                      # reserved = 0x0605
    07 00                      # identifier = 7
    52 53 43 56 30 30 30 34    # hardware_id = b"RSCV0004"
    00 00 01 03 01 00 00 00    # base_address = 0x103010000
    03 00 00 00                # flags = 3  (a PCIe device, proximity domain valid)
    02 01 00 00                # proximity_domain = 0x102
    01 00                      # pcie_segment = 1
    08 00                      # pcie_bdf = 8
    02 00                      # wire_count = 2
    2C 00                      # wire_offset = 44
[nodes.0 gaps.0]
    0A 0B 0C 0D                # data = b"\x0a\x0b\x0c\x0d"
[nodes.0 wires.0]
    24 00 00 00                # number = 0x24
    01 00 00 00                # flags = 1  (level, active low)
[nodes.0 wires.1]
    25 00 00 00                # number = 0x25
    02 00 00 00                # flags = 2  (edge, active high)
[nodes.1]
    01                         # type = 1  (PCIe root complex)
    01                         # revision = 1
    28 00                      # length = 40
    00 00                      # reserved = 0
    01 00                      # identifier = 1
    03 00 00 00                # flags = 3  (ATS, PRI)
    0E 0F                      # reserved2 = 0x0f0e
    02 00                      # segment = 2
    14 00                      # mapping_offset = 20
    01 00                      # mapping_count = 1
[nodes.1 mappings.0]
    00 01 00 00                # source_base = 0x100
    10 00 00 00                # id_count = 16  (the number itself)
    00 20 00 00                # destination_base = 0x2000
    34 00 00 00                # destination_offset = 0x34
    01 00 00 00                # flags = 1  (ATS required)
[nodes.2]
    02                         # type = 2  (platform device)
    01                         # revision = 1
    2C 00                      # length = 44
    00 00                      # reserved = 0
    02 00                      # identifier = 2
    18 00                      # mapping_offset = 24
    01 00                      # mapping_count = 1
    5C 5F 53 42 2E 44 4D 41    # name = "\\_SB.DMA0"
    30
    00                         # terminated = True
[nodes.2 gaps.0]
    00 00                      # data = b"\0\0"
[nodes.2 mappings.0]
    00 00 00 00                # source_base = 0
    01 00 00 00                # id_count = 1
    20 00 00 00                # destination_base = 0x20
    34 00 00 00                # destination_offset = 0x34
    02 00 00 00                # flags = 2  (PRI required)
[nodes.3]
    03                         # type = 3  (a reserved type)
    01                         # revision = 1
    0A 00                      # length = 10
    00 00                      # reserved = 0
    03 00                      # identifier = 3
[nodes.3 gaps.0]
    DE AD                      # data = b"\xde\xad"
[rest]
    00                         # data = b"\0"
"""


def node(kind: int, rest: bytes, length: int | None = None) -> bytes:
    """Return a node: type, revision 1, length, identifier 0, and what follows."""
    return bytes([kind, 1]) + (8 + len(rest) if length is None else length).to_bytes(2, "little") + bytes(4) + rest


def body(*nodes: bytes, count: int | None = None, offset: int = 48) -> bytes:
    """Return the body of a table with these nodes."""
    number = len(nodes) if count is None else count
    return number.to_bytes(4, "little") + offset.to_bytes(4, "little") + bytes(4) + b"".join(nodes)


def test_every_field_of_every_node_has_its_value_and_place() -> None:
    """All nodes are read as written by hand; changing a field changes exactly its bytes."""
    data, fields = golden(TABLE)
    table = check_golden(b"RIMT", data, fields, count=59)
    assert isinstance(table.body, Rimt)
    assert [type(one) for one in table.body.nodes] == [Iommu, PcieRootComplex, PlatformDevice, UnknownNode]
    assert [one.offset for one in table.body.nodes] == [0x34, 0x70, 0x98, 0xC4]
    assert [finding.rule for finding in table.findings] == ["RIMT-NODE-TYPE", "RIMT-TRAILING"]


def test_the_listing_covers_every_byte_once() -> None:
    """The fields of the table, sorted, follow each other without gap or overlap, from the first byte to the last."""
    data = sealed(b"RIMT", golden(TABLE)[0])
    place = 0
    for field in sorted(parse_table(data).fields()):
        assert field.offset == place, field
        raw = field.value if isinstance(field.value, bytes) else field.value.to_bytes(field.size, "little")
        assert raw == data[place : place + field.size], field
        place += field.size
    assert place == len(data)


def test_flags_have_names() -> None:
    """The parts of flags are listed by name, with their values."""
    table = parse_table(sealed(b"RIMT", golden(TABLE)[0]))
    bits = {(field.offset, field.name): dict(field.bits) for field in table.fields() if field.bits}
    assert bits[0x4C, "flags"] == {"PCIe device": 1, "Proximity Domain Valid": 1}
    assert bits[0x64, "flags"] == {"Level Triggered": 1, "Active High": 0}
    assert bits[0x78, "flags"] == {"ATS Supported": 1, "PRI Supported": 1}
    assert bits[0x94, "flags"] == {"ATS Required": 1, "PRI Required": 0}


def test_arrays_that_overlap_what_is_there_come_back() -> None:
    """Wires that run into nothing are cut, and a name that runs to the mappings has no end of its own."""
    table = parse_table(sealed(b"RIMT", body(node(2, bytes([16, 0, 1, 0]) + b"\\_SB" + bytes(20)))))
    assert isinstance(table.body, Rimt)
    (device,) = table.body.nodes
    assert isinstance(device, PlatformDevice)
    assert (device.name, device.terminated, len(device.mappings)) == ("\\_SB", False, 1)


def test_a_table_whose_nodes_begin_nowhere_keeps_its_bytes() -> None:
    """With an offset outside the table no node is read, and the bytes are kept."""
    table = parse_table(sealed(b"RIMT", body(node(3, b""), offset=49 + 8)))
    assert isinstance(table.body, Rimt)
    assert table.body.nodes == ()
    assert table.body.rest == Raw(48, node(3, b""))


UNDER, CLAUSE = "T: RIMT+0x", "(RIMT specification 1.0, RIMT node structure types)"
RAW_TAIL = "what follows its header is kept as raw data"
CASES = {
    "no node": (body(), ""),
    "offset in the header": (
        body(node(1, bytes(12)), offset=47),
        (
            f"{UNDER}28 (4 bytes): the nodes do not begin inside the table: Offset to RIMT Node Array is 47, expected "
            f"48 to 68 {CLAUSE}; no node is read"
        ),
    ),
    "one node too few": (
        body(node(1, bytes(12)), count=2),
        (
            f"{UNDER}44 (0 bytes): the table ends before node 1 of 2: found 0 bytes, expected at least 8 {CLAUSE}; "
            "no further node is read (Linux: 'RIMT node pointer overflows, bad table!')"
        ),
    ),
    "length 7": (
        body(node(1, bytes(12), 7)),
        (
            f"{UNDER}32 (2 bytes): node 0 of 1 does not even hold its own header: Length is 7, expected at least 8 "
            f"{CLAUSE}; the rest of the table is kept as raw data"
        ),
    ),
    "past the end": (
        body(node(1, bytes(12), 21)),
        (
            f"{UNDER}32 (2 bytes): node 0 of 1 runs past the end of the table: Length is 21, expected at most 20 "
            f"{CLAUSE}; what is there is read"
        ),
    ),
    "too short": (
        body(node(0, bytes(31))),
        f"{UNDER}30 (39 bytes): the IOMMU node is too short: found 39 bytes, expected at least 40 {CLAUSE}; {RAW_TAIL}",
    ),
    "reserved type": (
        body(node(3, b"")),
        f"{UNDER}30 (1 byte): a node of an unknown type: Type is 3, expected 0 to 2 {CLAUSE}; {RAW_TAIL}",
    ),
    "mappings outside": (
        body(node(1, bytes(8) + bytes([20, 0, 2, 0]) + bytes(20))),
        (
            f"{UNDER}30 (40 bytes): the ID mapping array does not lie inside its node: found 2 entries of 20 "
            f"bytes from "
            f"offset 20, expected all of them between offsets 20 and 40 {CLAUSE}; 1 of its entries are read"
        ),
    ),
    "wires before the end of the fixed part": (
        body(node(0, bytes(28) + bytes([1, 0, 39, 0]) + bytes(8))),
        (
            f"{UNDER}30 (48 bytes): the interrupt wire array does not lie inside its node: found 1 entries of "
            f"8 bytes from "
            f"offset 39, expected all of them between offsets 40 and 48 {CLAUSE}; 0 of its entries are read"
        ),
    ),
    "name without end": (
        body(node(2, bytes(4) + b"\\_SB")),
        (
            f"{UNDER}3c (4 bytes): the device object name has no end: Device Object Name is '\\_SB', "
            f"expected a zero byte "
            f"inside the node {CLAUSE}; the name is taken up to where it must end"
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    data, sentence = CASES[case]
    assert findings(sealed(b"RIMT", data)) == [sentence] * bool(sentence)
