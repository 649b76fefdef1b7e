"""VIOT: every node with its bytes written out by hand (ACPI 6.6 §5.2.33)."""

from __future__ import annotations

import pytest
from iommuman.parsers.acpi import Raw, build_table, parse_table
from iommuman.parsers.acpi.viot import MmioEndpoint, PciRange, UnknownNode, Viot, VirtioIommuMmio, VirtioIommuPci

from tests.conftest import corpus_files

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    05 00                      # node_count = 5
    34 00                      # node_offset = 0x34
    01 02 03 04 05 06 07 08    # reserved = b"\1\2\3\4\5\6\7\x08"
    AA BB CC DD                # padding = b"\xaa\xbb\xcc\xdd"
[nodes.0]
    03                         # type = 3  (virtio-iommu that is a PCI function)
    01                         # reserved = 1
    10 00                      # length = 16
    02 00                      # segment = 2
    10 00                      # bdf = 0x10  (00:02.0)
    11 12 13 14 15 16 17 18    # reserved2 = b"\x11\x12\x13\x14\x15\x16\x17\x18"
[nodes.1]
    01                         # type = 1  (PCI range)
    00                         # reserved = 0
    1A 00                      # length = 26
    00 00 02 00                # endpoint_start = 0x20000
    02 00                      # segment_start = 2
    03 00                      # segment_end = 3
    00 01                      # bdf_start = 0x100
    FF 02                      # bdf_end = 0x2ff  (included)
    34 00                      # output_node = 0x34
    21 22 23 24 25 26          # reserved2 = b"\x21\x22\x23\x24\x25\x26"
[nodes.1 rest]
    EE FF                      # data = b"\xee\xff"
[nodes.2]
    04                         # type = 4  (virtio-iommu with registers)
    00                         # reserved = 0
    10 00                      # length = 16
    31 32 33 34                # reserved2 = b"\x31\x32\x33\x34"
    00 00 00 0A 01 00 00 00    # base_address = 0x10a000000
[nodes.3]
    02                         # type = 2  (MMIO endpoint)
    00                         # reserved = 0
    18 00                      # length = 24
    05 00 01 00                # endpoint = 0x10005
    00 00 02 0A 00 00 00 00    # base_address = 0xa020000
    5E 00                      # output_node = 0x5e
    41 42 43 44 45 46          # reserved2 = b"\x41\x42\x43\x44\x45\x46"
[nodes.4]
    05                         # type = 5  (a reserved type)
    00                         # reserved = 0
    08 00                      # length = 8
[nodes.4 rest]
    DE AD BE EF                # data = b"\xde\xad\xbe\xef"
[rest]
    00 01                      # data = b"\0\1"
"""


def node(kind: int, rest: bytes, length: int | None = None) -> bytes:
    """Return a node: type, a zero, length, and what follows."""
    return bytes([kind, 0]) + (4 + len(rest) if length is None else length).to_bytes(2, "little") + rest


def body(*nodes: bytes, count: int | None = None, offset: int = 48) -> bytes:
    """Return the body of a table with these nodes."""
    number = len(nodes) if count is None else count
    return number.to_bytes(2, "little") + offset.to_bytes(2, "little") + bytes(8) + b"".join(nodes)


def test_every_field_of_every_node_has_its_value_and_place() -> None:
    """All nodes are read as written by hand; changing a field changes exactly its bytes."""
    data, fields = golden(TABLE)
    table = check_golden(b"VIOT", data, fields, count=38)
    assert isinstance(table.body, Viot)
    kinds = [VirtioIommuPci, PciRange, VirtioIommuMmio, MmioEndpoint, UnknownNode]
    assert [type(one) for one in table.body.nodes] == kinds
    assert [one.offset for one in table.body.nodes] == [0x34, 0x44, 0x5E, 0x6E, 0x86]
    assert [finding.rule for finding in table.findings] == ["VIOT-NODE-TYPE", "VIOT-TRAILING"]


def test_the_listing_covers_every_byte_once_and_in_order() -> None:
    """The fields of the table follow each other without gap or overlap, from the first byte to the last."""
    data = sealed(b"VIOT", golden(TABLE)[0])
    place = 0
    for field in parse_table(data).fields():
        assert field.offset == place, field
        raw = field.value if isinstance(field.value, bytes) else field.value.to_bytes(field.size, "little")
        assert raw == data[place : place + field.size], field
        place += field.size
    assert place == len(data)


def test_a_table_whose_nodes_begin_nowhere_keeps_its_bytes() -> None:
    """With an offset outside the table no node is read, and the bytes are kept."""
    table = parse_table(sealed(b"VIOT", body(node(3, bytes(12)), offset=0)))
    assert isinstance(table.body, Viot)
    assert table.body.nodes == ()
    assert table.body.rest == Raw(48, node(3, bytes(12)))


UNDER, CLAUSE = "T: VIOT+0x", "(ACPI 6.6 §5.2.33)"
RAW_TAIL = "what follows its header is kept as raw data"
CASES = {
    "no node": (body(), ""),
    "offset zero": (
        body(node(3, bytes(12)), offset=0),
        (
            f"{UNDER}26 (2 bytes): the nodes do not begin inside the table: Node offset is 0, expected 48 to "
            f"64 {CLAUSE}; "
            "no node is read"
        ),
    ),
    "one node too few": (
        body(node(3, bytes(12)), count=2),
        (
            f"{UNDER}40 (0 bytes): the table ends before node 1 of 2: found 0 bytes, expected at least 4 {CLAUSE}; "
            "no further node is read (Linux: 'Node pointer overflows')"
        ),
    ),
    "one node too many": (
        body(node(3, bytes(12)), b"\0", count=1),
        (
            f"{UNDER}40 (1 byte): bytes follow the last node: Node count is 1, expected nodes up to the end "
            f"of the table "
            f"{CLAUSE}; the bytes are kept as raw data"
        ),
    ),
    "length 0": (
        body(node(3, bytes(12), 0)),
        (
            f"{UNDER}32 (2 bytes): node 0 of 1 does not even hold its own header: Length is 0, expected at least 4 "
            f"{CLAUSE}; the rest of the table is kept as raw data"
        ),
    ),
    "past the end": (
        body(node(3, bytes(12), 17)),
        (
            f"{UNDER}32 (2 bytes): node 0 of 1 runs past the end of the table: Length is 17, expected at most 16 "
            f"{CLAUSE}; what is there is read"
        ),
    ),
    "too short": (
        body(node(1, bytes(19))),
        (
            f"{UNDER}30 (23 bytes): the PCI range node is too short: found 23 bytes, expected at least 24 {CLAUSE}; "
            f"{RAW_TAIL}"
        ),
    ),
    "type 0": (
        body(node(0, b"")),
        (
            f"{UNDER}30 (1 byte): a node of an unknown type: Type is 0, expected 1 to 4 {CLAUSE}; {RAW_TAIL} "
            "(Linux: 'Unsupported node')"
        ),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    data, sentence = CASES[case]
    assert findings(sealed(b"VIOT", data)) == [sentence] * bool(sentence)


def test_all_tables_of_the_corpus_come_back_byte_for_byte() -> None:
    """Every VIOT of the corpus is built again as it was, and those of QEMU and the good one of fwts have no finding."""
    for path in corpus_files("VIOT"):
        data = path.read_bytes()
        table = parse_table(data, path.name)
        assert build_table(table) == data
        assert not table.findings or "72c1f367a8fe" in path.name
