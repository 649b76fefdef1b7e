"""IORT: every node type, in each node revision that changes its layout, written out by hand (DEN 0049E.f chapter 3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from iommuman.parsers.acpi import Raw, parse_table
from iommuman.parsers.acpi.iort import (
    IdMapping,
    Iort,
    ItsGroup,
    Iwb,
    NamedComponent,
    Node,
    Pmcg,
    Rmr,
    RootComplex,
    SmmuV2,
    SmmuV3,
    UnknownNode,
)

from .test_sdt import check_golden, findings, golden, sealed

ONE_NODE = r"""
[]
    01 00 00 00                # node_count = 1
    30 00 00 00                # node_offset = 48
    44 33 22 11                # reserved = 0x11223344
"""

MAPPING = r"""
    00 01 00 00                # input_base = 0x100
    FF 00 00 00                # id_count = 0xff  (the number of IDs minus one)
    00 00 02 00                # output_base = 0x20000
    30 00 00 00                # output_reference = 0x30  (from the start of the table)
    01 00 00 00                # flags = 1  (SINGLE_MAPPING)
"""

MEMORY = r"""
    01 00 00 00                # cache_coherency = 1  (CCA)
    0A                         # allocation_hints = 0xa  (WA, AHO)
    CD AB                      # memory_reserved = 0xabcd
    07                         # memory_flags = 7  (CPM, DACS, CANWBS)
"""

NODES: dict[str, tuple[type[Node], str, int]] = {
    "ITS group": (
        ItsGroup,
        r"""
[nodes.0]
    00                         # type = 0
    1C 00                      # length = 28
    01                         # revision = 1
    01 02 03 04                # identifier = 0x04030201
    00 00 00 00                # mapping_count = 0
    00 00 00 00                # mapping_offset = 0
    02 00 00 00                # its_count = 2
[nodes.0 identifiers.0]
    05 00 00 00                # identifier = 5
[nodes.0 identifiers.1]
    06 01 00 00                # identifier = 0x106
""",
        9,
    ),
    "named component": (
        NamedComponent,
        r"""
[nodes.0]
    01                         # type = 1
    50 00                      # length = 80
    04                         # revision = 4
    02 00 00 00                # identifier = 2
    02 00 00 00                # mapping_count = 2
    28 00 00 00                # mapping_offset = 40
    21 00 00 00                # node_flags = 0x21  (stall supported, 16 PASID bits)
"""
        + MEMORY
        + r"""
    30                         # memory_address_limit = 48
    5C 5F 53 42 2E 41 30       # name = "\\_SB.A0"
    00                         # terminated = True
[nodes.0 gaps.0]
    01 02 03                   # data = b"\x01\x02\x03"  (padding to a multiple of 4)
[nodes.0 mappings.0]"""
        + MAPPING
        + r"""
[nodes.0 mappings.1]"""
        + MAPPING,
        25,
    ),
    "root complex, revision 0": (
        RootComplex,
        r"""
[nodes.0]
    02                         # type = 2
    34 00                      # length = 52
    00                         # revision = 0
    03 00 00 00                # identifier = 3
    01 00 00 00                # mapping_count = 1
    20 00 00 00                # mapping_offset = 32
"""
        + MEMORY
        + r"""
    03 00 00 00                # ats_attribute = 3  (ATS, PRI)
    02 01 00 00                # segment = 0x102
[nodes.0 mappings.0]"""
        + MAPPING,
        17,
    ),
    "root complex, revision 1": (
        RootComplex,
        r"""
[nodes.0]
    02                         # type = 2
    38 00                      # length = 56
    01                         # revision = 1
    03 00 00 00                # identifier = 3
    01 00 00 00                # mapping_count = 1
    24 00 00 00                # mapping_offset = 36
"""
        + MEMORY
        + r"""
    01 00 00 00                # ats_attribute = 1
    00 00 00 00                # segment = 0
    40                         # memory_address_limit = 64
    00 00                      # pasid_capabilities = 0  (reserved in this revision)
    00                         # reserved = 0
[nodes.0 mappings.0]"""
        + MAPPING,
        20,
    ),
    "root complex, revision 2": (
        RootComplex,
        r"""
[nodes.0]
    02                         # type = 2
    38 00                      # length = 56
    02                         # revision = 2
    03 00 00 00                # identifier = 3
    01 00 00 00                # mapping_count = 1
    24 00 00 00                # mapping_offset = 36
"""
        + MEMORY
        + r"""
    07 00 00 00                # ats_attribute = 7
    00 00 00 00                # segment = 0
    30                         # memory_address_limit = 48
    14 00                      # pasid_capabilities = 0x14  (width 20)
    5A                         # reserved = 0x5a
[nodes.0 mappings.0]"""
        + MAPPING,
        20,
    ),
    "root complex, revision 4": (
        RootComplex,
        r"""
[nodes.0]
    02                         # type = 2
    3C 00                      # length = 60
    04                         # revision = 4
    03 00 00 00                # identifier = 3
    01 00 00 00                # mapping_count = 1
    28 00 00 00                # mapping_offset = 40
"""
        + MEMORY
        + r"""
    07 00 00 00                # ats_attribute = 7
    00 00 00 00                # segment = 0
    30                         # memory_address_limit = 48
    14 00                      # pasid_capabilities = 0x14
    00                         # reserved = 0
    01 00 00 00                # flags = 1  (PASID supported)
[nodes.0 mappings.0]"""
        + MAPPING,
        21,
    ),
    "SMMUv1/v2": (
        SmmuV2,
        r"""
[nodes.0]
    03                         # type = 3
    78 00                      # length = 120
    03                         # revision = 3
    04 00 00 00                # identifier = 4
    01 00 00 00                # mapping_count = 1
    64 00 00 00                # mapping_offset = 100
    00 00 60 FB 01 00 00 00    # base_address = 0x1fb600000
    00 00 02 00 00 00 00 00    # span = 0x20000
    03 00 00 00                # model = 3  (CoreLink MMU-500)
    02 00 00 00                # flags = 2  (coherent walk)
    3C 00 00 00                # global_interrupt_offset = 60
    02 00 00 00                # context_interrupt_count = 2
    4C 00 00 00                # context_interrupt_offset = 76
    01 00 00 00                # pmu_interrupt_count = 1
    5C 00 00 00                # pmu_interrupt_offset = 92
[nodes.0 global_interrupts.0]
    95 00 00 00                # nsg_irpt = 149
    01 00 00 00                # nsg_irpt_flags = 1  (edge)
    96 00 00 00                # nsg_cfg_irpt = 150
    00 00 00 00                # nsg_cfg_irpt_flags = 0  (level)
[nodes.0 context_interrupts.0]
    97 00 00 00                # gsiv = 151
    00 00 00 00                # flags = 0
[nodes.0 context_interrupts.1]
    98 00 00 00                # gsiv = 152
    01 00 00 00                # flags = 1
[nodes.0 pmu_interrupts.0]
    99 00 00 00                # gsiv = 153
    01 00 00 00                # flags = 1
[nodes.0 mappings.0]"""
        + MAPPING,
        30,
    ),
    "SMMUv3, revision 0": (
        SmmuV3,
        r"""
[nodes.0]
    04                         # type = 4
    50 00                      # length = 80
    00                         # revision = 0
    05 00 00 00                # identifier = 5
    01 00 00 00                # mapping_count = 1
    3C 00 00 00                # mapping_offset = 60
    00 00 40 2B 01 00 00 00    # base_address = 0x12b400000
    03 00 00 00                # flags = 3  (COHACC override, HTTU override 1)
    0D 0C 0B 0A                # reserved = 0x0a0b0c0d
    00 10 40 2B 00 00 00 00    # vatos_address = 0x2b401000
    01 00 00 00                # model = 1  (HiSilicon Hi161x)
    6A 00 00 00                # event_gsiv = 106
    6B 00 00 00                # pri_gsiv = 107
    6C 00 00 00                # gerror_gsiv = 108
    6D 00 00 00                # sync_gsiv = 109
[nodes.0 mappings.0]"""
        + MAPPING,
        20,
    ),
    "SMMUv3, revision 1": (
        SmmuV3,
        r"""
[nodes.0]
    04                         # type = 4
    58 00                      # length = 88
    01                         # revision = 1
    05 00 00 00                # identifier = 5
    01 00 00 00                # mapping_count = 1
    44 00 00 00                # mapping_offset = 68
    00 00 40 2B 00 00 00 00    # base_address = 0x2b400000
    09 00 00 00                # flags = 9  (COHACC override, proximity domain valid)
    00 00 00 00                # reserved = 0
    00 00 00 00 00 00 00 00    # vatos_address = 0
    02 00 00 00                # model = 2  (Cavium CN99xx)
    00 00 00 00                # event_gsiv = 0
    00 00 00 00                # pri_gsiv = 0
    00 00 00 00                # gerror_gsiv = 0
    00 00 00 00                # sync_gsiv = 0
    03 02 00 00                # proximity_domain = 0x203
    00 00 00 00                # device_id_mapping_index = 0
[nodes.0 mappings.0]"""
        + MAPPING,
        22,
    ),
    "SMMUv3, revision 5": (
        SmmuV3,
        r"""
[nodes.0]
    04                         # type = 4
    6C 00                      # length = 108
    05                         # revision = 5
    05 00 00 00                # identifier = 5
    02 00 00 00                # mapping_count = 2
    44 00 00 00                # mapping_offset = 68
    00 00 40 2B 00 00 00 00    # base_address = 0x2b400000
    15 00 00 00                # flags = 0x15  (COHACC, HTTU override 2, DeviceID mapping index valid)
    00 00 00 00                # reserved = 0
    00 00 00 00 00 00 00 00    # vatos_address = 0
    00 00 00 00                # model = 0
    6A 00 00 00                # event_gsiv = 106
    6B 00 00 00                # pri_gsiv = 107
    6C 00 00 00                # gerror_gsiv = 108
    6D 00 00 00                # sync_gsiv = 109
    00 00 00 00                # proximity_domain = 0
    01 00 00 00                # device_id_mapping_index = 1
[nodes.0 mappings.0]"""
        + MAPPING
        + r"""
[nodes.0 mappings.1]"""
        + MAPPING,
        27,
    ),
    "PMCG, revision 0": (
        Pmcg,
        r"""
[nodes.0]
    05                         # type = 5
    34 00                      # length = 52
    00                         # revision = 0
    06 00 00 00                # identifier = 6
    01 00 00 00                # mapping_count = 1
    20 00 00 00                # mapping_offset = 32
    00 20 44 2B 00 00 00 00    # page0_base = 0x2b442000
    70 00 00 00                # overflow_gsiv = 112
    48 00 00 00                # node_reference = 0x48  (from the start of the table)
[nodes.0 mappings.0]"""
        + MAPPING,
        14,
    ),
    "PMCG, revision 1": (
        Pmcg,
        r"""
[nodes.0]
    05                         # type = 5
    28 00                      # length = 40
    01                         # revision = 1
    06 00 00 00                # identifier = 6
    00 00 00 00                # mapping_count = 0
    00 00 00 00                # mapping_offset = 0
    00 20 44 2B 00 00 00 00    # page0_base = 0x2b442000
    00 00 00 00                # overflow_gsiv = 0
    48 00 00 00                # node_reference = 0x48
    00 20 45 2B 00 00 00 00    # page1_base = 0x2b452000
""",
        10,
    ),
    "RMR": (
        Rmr,
        r"""
[nodes.0]
    06                         # type = 6
    58 00                      # length = 88
    03                         # revision = 3
    07 00 00 00                # identifier = 7
    01 00 00 00                # mapping_count = 1
    44 00 00 00                # mapping_offset = 68
    17 00 00 00                # flags = 0x17  (remapping permitted, privileged, normal write-back)
    02 00 00 00                # descriptor_count = 2
    1C 00 00 00                # descriptor_offset = 28
[nodes.0 descriptors.0]
    00 00 00 F0 00 00 00 00    # base = 0xf0000000
    00 00 20 00 00 00 00 00    # length = 0x200000
    99 00 00 00                # reserved = 0x99
[nodes.0 descriptors.1]
    00 00 00 F8 08 00 00 00    # base = 0x8f8000000
    00 00 01 00 00 00 00 00    # length = 0x10000
    00 00 00 00                # reserved = 0
[nodes.0 mappings.0]"""
        + MAPPING,
        20,
    ),
    "IWB": (
        Iwb,
        r"""
[nodes.0]
    07                         # type = 7
    38 00                      # length = 56
    00                         # revision = 0
    08 00 00 00                # identifier = 8
    01 00 00 00                # mapping_count = 1
    24 00 00 00                # mapping_offset = 36
    00 00 00 2F 00 00 00 00    # base_address = 0x2f000000
    02 01                      # iwb_index = 0x102
    5C 5F 53 42 2E 49 57 42    # name = "\\_SB.IWB0"
    30
    00                         # terminated = True
[nodes.0 mappings.0]"""
        + MAPPING,
        15,
    ),
    "unknown type": (
        UnknownNode,
        r"""
[nodes.0]
    08                         # type = 8
    28 00                      # length = 40
    00                         # revision = 0
    09 00 00 00                # identifier = 9
    01 00 00 00                # mapping_count = 1
    10 00 00 00                # mapping_offset = 16
[nodes.0 mappings.0]"""
        + MAPPING
        + r"""
[nodes.0 gaps.0]
    DE AD BE EF                # data = b"\xde\xad\xbe\xef"
""",
        12,
    ),
}

KNOWN = [name for name in NODES if name != "unknown type"]


def node_bytes(name: str) -> bytes:
    """Return the bytes of one of the nodes above."""
    return golden(NODES[name][1])[0]


def nodes_table(*nodes: bytes, count: int | None = None, padding: bytes = b"", rest: bytes = b"") -> bytes:
    """Return a table with these nodes."""
    fixed = (len(nodes) if count is None else count, 48 + len(padding), 0)
    return sealed(b"IORT", b"".join(part.to_bytes(4, "little") for part in fixed) + padding + b"".join(nodes) + rest)


def read(*nodes: bytes) -> Iort:
    """Return the body of a table with these nodes."""
    body = parse_table(nodes_table(*nodes)).body
    assert isinstance(body, Iort)
    return body


@pytest.mark.parametrize("name", NODES)
def test_every_field_of_every_node_has_its_value_and_place(name: str) -> None:
    """The node is read as written by hand; changing a field changes exactly its bytes and no other."""
    kind, text, count = NODES[name]
    body, fields = golden(ONE_NODE + text.replace("\n\n", "\n"))
    table = check_golden(b"IORT", body, fields, count=3 + count)
    assert isinstance(table.body, Iort)
    assert type(table.body.nodes[0]) is kind
    assert table.body.nodes[0].length == len(body) - 12
    assert [finding.rule for finding in table.findings] == ([] if name in KNOWN else ["IORT-NODE-TYPE"])


@pytest.mark.parametrize("name", NODES)
def test_the_listing_covers_every_byte_once(name: str) -> None:
    """The fields of a node, put back at their offsets, give all of its bytes, and no byte is in two fields."""
    data = nodes_table(node_bytes(name))
    covered = bytearray(len(data))
    for field in parse_table(data).fields():
        raw = field.value if isinstance(field.value, bytes) else field.value.to_bytes(field.size, "little")
        assert raw == data[field.offset : field.offset + field.size], field
        for place in range(field.offset, field.offset + field.size):
            covered[place] += 1
    assert covered == b"\x01" * len(data)


def test_all_nodes_fit_into_one_table() -> None:
    """Nodes of all types one after the other, with padding before and bytes after them, are all read."""
    nodes = [node_bytes(name) for name in NODES]
    data = nodes_table(*nodes, padding=b"pad!", rest=b"rest")
    table = parse_table(data)
    assert isinstance(table.body, Iort)
    assert [type(node) for node in table.body.nodes] == [kind for kind, _, _ in NODES.values()]
    assert table.body.padding == b"pad!"
    assert table.body.rest == Raw(len(data) - 4, b"rest")
    assert [field.name for field in table.body.fields()][3] == "padding"
    assert [(finding.rule, finding.severity) for finding in table.findings] == [
        ("IORT-NODE-TYPE", "warning"),
        ("IORT-TRAILING", "warning"),
    ]


def test_fields_of_later_revisions_are_none_before_them() -> None:
    """A node of a revision that does not have a field has None there."""
    first, second, fourth = (read(node_bytes(f"root complex, revision {revision}")).nodes[0] for revision in (0, 1, 4))
    assert isinstance(first, RootComplex)
    assert isinstance(second, RootComplex)
    assert isinstance(fourth, RootComplex)
    assert (first.memory_address_limit, first.pasid_capabilities, first.reserved, first.flags) == (None,) * 4
    assert (second.memory_address_limit, second.flags, fourth.flags) == (64, None, 1)
    unit = read(node_bytes("SMMUv3, revision 0")).nodes[0]
    assert isinstance(unit, SmmuV3)
    assert (unit.proximity_domain, unit.device_id_mapping_index) == (None, None)
    group = read(node_bytes("PMCG, revision 0")).nodes[0]
    assert isinstance(group, Pmcg)
    assert group.page1_base is None


@pytest.mark.parametrize(
    ("name", "revision", "field"),
    [
        ("root complex, revision 0", 4, "flags"),
        ("root complex, revision 0", 1, "memory_address_limit"),
        ("root complex, revision 2", 4, "flags"),
        ("SMMUv3, revision 0", 5, "proximity_domain"),
        ("PMCG, revision 0", 1, "page1_base"),
    ],
)
def test_mappings_are_never_taken_for_fields(name: str, revision: int, field: str) -> None:
    """A node of a later revision whose mappings begin where an earlier layout ends has that earlier layout."""
    data = bytearray(node_bytes(name))
    data[3] = revision
    (node,) = read(bytes(data)).nodes
    assert getattr(node, field) is None
    assert node.mappings[0].output_base == 0x20000


@pytest.mark.parametrize(("name", "size"), [("root complex, revision 1", 36), ("SMMUv3, revision 1", 68)])
def test_revision_0_nodes_as_long_as_revision_1_keep_what_follows_as_padding(name: str, size: int) -> None:
    """Nodes of revision 0 in the field have room for the later fields: these bytes are no fields, and are not lost."""
    data = bytearray(node_bytes(name))
    data[3] = 0
    (node,) = read(bytes(data)).nodes
    assert node.gaps == (Raw(48 + node.layout.size, bytes(data[node.layout.size : size]), name="padding"),)
    assert node.to_bytes() == data


def test_named_parts_of_flags_are_listed() -> None:
    """The bits of every flags field are listed by name, with their values."""

    def bits(name: str) -> dict[str, dict[str, int]]:
        return {field.name: dict(field.bits) for field in read(node_bytes(name)).nodes[0].fields() if field.bits}

    assert bits("named component") == {
        "node_flags": {"Stall Supported": 1, "PASID Bits": 16},
        "allocation_hints": {"Transient": 0, "Write Allocate": 1, "Read Allocate": 0, "Override": 1},
        "memory_flags": {"Coherent Path": 1, "Device Attributes": 1, "CANWBS": 1},
        "flags": {"SINGLE_MAPPING": 1},
    }
    assert bits("root complex, revision 4")["ats_attribute"] == {
        "ATS Supported": 1,
        "PRI Supported": 1,
        "PASID Forwarding": 1,
    }
    assert bits("root complex, revision 4")["pasid_capabilities"] == {"Max PASID Width": 20}
    unit = read(node_bytes("SMMUv3, revision 5")).nodes[0]
    assert next(dict(field.bits) for field in unit.fields() if field.name == "flags") == {
        "COHACC Override": 1,
        "HTTU Override": 2,
        "Proximity Domain Valid": 0,
        "DeviceID Mapping Valid": 1,
    }
    old = read(node_bytes("SMMUv1/v2")).nodes[0]
    assert [dict(field.bits) for field in old.fields() if field.bits][:3] == [
        {"DVM Supported": 0, "Coherent Walk": 1},
        {"Edge Triggered": 1},
        {"Edge Triggered": 0},
    ]
    region = read(node_bytes("RMR")).nodes[0]
    assert next(dict(field.bits) for field in region.fields() if field.bits) == {
        "Remap Permitted": 1,
        "Access Privileged": 1,
        "Attributes": 5,
    }


@pytest.mark.parametrize(
    ("changes", "index"),
    [
        ({}, 1),
        ({"flags": 0x05}, None),
        ({"revision": 4}, None),
        ({"revision": 4, "event_gsiv": 0}, 1),
        ({"revision": 4, "pri_gsiv": 0}, 1),
        ({"revision": 4, "gerror_gsiv": 0}, 1),
        ({"revision": 1, "sync_gsiv": 0}, 1),
        ({"device_id_mapping_index": None}, None),
    ],
)
def test_the_units_own_mapping_depends_on_revision_and_wiring(changes: dict[str, Any], index: int | None) -> None:
    """From revision 5 on a flag says whether the index counts; before, it counts unless all interrupts are wired."""
    node = read(node_bytes("SMMUv3, revision 5")).nodes[0]
    assert isinstance(node, SmmuV3)
    assert replace(node, **changes).own_mapping == index


def test_single_is_bit_0_of_the_flags() -> None:
    """Only bit 0 makes a mapping a single one."""
    assert [IdMapping(0, 0, 0, 0, 0, flags).single for flags in (0, 1, 2, 3)] == [False, True, False, True]


def test_names_at_a_fixed_place_are_found() -> None:
    """A mapping array at offset 61, as in tables with 32-byte name fields, leaves name and padding before it alone."""
    body, _ = golden(
        r"""
    01                         # type
    51 00                      # length
    02                         # revision
    00 00 00 00                # identifier
    01 00 00 00                # mapping count
    3D 00 00 00                # mapping offset
    00 00 00 00                # node flags
    00 00 00 00 00 00 00 00    # memory access properties
    20                         # memory address size limit
"""
        + "41" * 31
        + "\n00\n"
        + MAPPING
    )
    (node,) = read(body).nodes
    assert isinstance(node, NamedComponent)
    assert (node.name, node.terminated, node.gaps) == ("A" * 31, True, ())
    assert node.mappings[0].offset == 48 + 61


def test_interrupt_arrays_may_stand_anywhere_in_the_node() -> None:
    """Arrays in another order than usual are read from where the offsets say, and built back there."""
    data = bytearray(node_bytes("SMMUv1/v2"))
    data[40], data[48], data[56] = 84, 68, 60  # global interrupts last, PMU interrupts first
    (node,) = read(bytes(data)).nodes
    assert isinstance(node, SmmuV2)
    assert [one.gsiv for one in (*node.pmu_interrupts, *node.context_interrupts)] == [149, 150, 151]
    assert node.global_interrupts[0].nsg_irpt == 152
    assert node.to_bytes() == data


def test_a_node_without_global_interrupts_has_none() -> None:
    """An offset of 0 means that there is no global interrupt array."""
    data = bytearray(node_bytes("SMMUv1/v2"))
    data[40] = 0
    (node,) = read(bytes(data)).nodes
    assert isinstance(node, SmmuV2)
    assert node.global_interrupts == ()
    assert node.gaps == (Raw(48 + 60, bytes(data[60:76]), name="padding"),)


def header(kind: int, length: int, mappings: tuple[int, int] = (0, 0)) -> bytes:
    """Return a node header."""
    numbers = b"".join(number.to_bytes(4, "little") for number in mappings)
    return bytes([kind]) + length.to_bytes(2, "little") + bytes(5) + numbers


def named(name: bytes) -> bytes:
    """Return a named component without mappings."""
    return header(1, 29 + len(name)) + bytes(13) + name


GROUP = header(0, 20) + bytes(4)
ON = "T: IORT+0x"
PART = "(DEN 0049E.f §3.1)"
CASES = {
    "nodes before the body's end": (
        sealed(b"IORT", bytes([1, 0, 0, 0, 47, 0, 0, 0, 0, 0, 0, 0]) + GROUP),
        [
            (
                f"{ON}28 (4 bytes): the nodes do not begin inside the table: Offset to Array of IORT Nodes is "
                f"47, expected "
                "48 to 68 (DEN 0049E.f §3); no node is read"
            )
        ],
    ),
    "nodes past the end": (
        sealed(b"IORT", bytes([1, 0, 0, 0, 49, 0, 0, 0, 0, 0, 0, 0])),
        [
            (
                f"{ON}28 (4 bytes): the nodes do not begin inside the table: Offset to Array of IORT Nodes is "
                f"49, expected "
                "48 to 48 (DEN 0049E.f §3); no node is read"
            )
        ],
    ),
    "no nodes, and no place for them": (sealed(b"IORT", bytes(12)), []),
    "no nodes": (nodes_table(), []),
    "one node": (nodes_table(GROUP), []),
    "bytes after the last node": (
        nodes_table(GROUP, rest=b"\0"),
        [
            (
                f"{ON}44 (1 byte): bytes follow the last node: Number of IORT Nodes is 1, expected nodes up to "
                f"the end of "
                "the table (DEN 0049E.f §3); the bytes are kept as raw data"
            )
        ],
    ),
    "a node too many claimed": (
        nodes_table(GROUP, count=2),
        [
            (
                f"{ON}44 (0 bytes): the table ends before node 1 of 2: found 0 bytes, expected at least 16 {PART}; no "
                "further node is read (Linux: 'IORT node pointer overflows, bad table!')"
            )
        ],
    ),
    "no room for a node": (
        nodes_table(GROUP, bytes(15)),
        [
            (
                f"{ON}44 (15 bytes): the table ends before node 1 of 2: found 15 bytes, expected at least 16 "
                f"{PART}; no "
                "further node is read (Linux: 'IORT node pointer overflows, bad table!')"
            )
        ],
    ),
    "node of 15 bytes": (
        nodes_table(header(0, 15) + bytes(4)),
        [
            (
                f"{ON}31 (2 bytes): node 0 of 1 does not even hold its own header: Length is 15, expected at least 16 "
                f"{PART}; the rest of the table is kept as raw data"
            )
        ],
    ),
    "node of 16 bytes": (
        nodes_table(header(0, 16)),
        [
            (
                f"{ON}30 (16 bytes): the ITS group node is too short: found 16 bytes, expected at least 20 "
                f"{PART}; what "
                "follows its header is kept as raw data"
            )
        ],
    ),
    "node past the end": (
        nodes_table(header(0, 21) + bytes(4)),
        [
            (
                f"{ON}31 (2 bytes): node 0 of 1 runs past the end of the table: Length is 21, expected at most "
                f"20 {PART}; what "
                "is there is read"
            )
        ],
    ),
    "node of type 8": (
        nodes_table(header(8, 16)),
        [
            (
                f"{ON}30 (1 byte): a node of an unknown type: Type is 8, expected 0 to 7 {PART}; what follows "
                f"its header is "
                "kept as raw data"
            )
        ],
    ),
    "name without end": (
        nodes_table(named(b"\\_SB")),
        [
            (
                f"{ON}4d (4 bytes): the device object name has no end: Device Object Name is '\\_SB', "
                f"expected a zero byte "
                "inside the node (DEN 0049E.f §3.1.1.5); the name is taken up to where it must end"
            )
        ],
    ),
    "name with its end": (nodes_table(named(b"\\_SB\0")), []),
    "no name": (
        nodes_table(named(b"")),
        [
            (
                f"{ON}4d (0 bytes): the device object name has no end: Device Object Name is '', expected a zero byte "
                "inside the node (DEN 0049E.f §3.1.1.5); the name is taken up to where it must end"
            )
        ],
    ),
    "mapping ends with the node": (nodes_table(header(0, 40, (1, 20)) + bytes(24)), []),
    "mapping past the node": (
        nodes_table(header(0, 40, (2, 20)) + bytes(24)),
        [
            (
                f"{ON}30 (40 bytes): the ID mapping array does not lie inside its node: found 2 entries of 20 "
                f"bytes from "
                f"offset 20, expected all of them between offsets 20 and 40 {PART}; 1 of its entries are read"
            )
        ],
    ),
    "mapping over the fixed part": (
        nodes_table(header(0, 40, (1, 19)) + bytes(24)),
        [
            (
                f"{ON}30 (40 bytes): the ID mapping array does not lie inside its node: found 1 entries of 20 "
                f"bytes from "
                f"offset 19, expected all of them between offsets 20 and 40 {PART}; 0 of its entries are read"
            )
        ],
    ),
    "identifiers past the node": (
        nodes_table(header(0, 24) + b"\x02\0\0\0" + bytes(4)),
        [
            (
                f"{ON}30 (24 bytes): the ITS identifier array does not lie inside its node: found 2 entries of "
                f"4 bytes from "
                f"offset 20, expected all of them between offsets 20 and 24 {PART}; 1 of its entries are read"
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    data, sentences = CASES[case]
    assert findings(data) == sentences


def test_a_count_of_four_thousand_million_entries_costs_nothing() -> None:
    """Counts from the table are held against the room that there is before anything is read."""
    table = parse_table(nodes_table(header(0, 40, (0xFFFFFFFF, 20)) + b"\xff\xff\xff\xff" + bytes(20)))
    assert isinstance(table.body, Iort)
    (group,) = table.body.nodes
    assert isinstance(group, ItsGroup)
    assert (len(group.mappings), len(group.identifiers)) == (1, 5)
    assert [finding.rule for finding in table.findings] == ["IORT-ARRAY-END", "IORT-ARRAY-END"]


def test_names_that_run_into_the_mappings_end_there() -> None:
    """A name without its zero byte is cut where the mappings begin, and the bytes are the same again when built."""
    data = header(1, 53, (1, 33)) + bytes(13) + b"ABCD" + bytes(20)
    table = parse_table(nodes_table(data))
    assert isinstance(table.body, Iort)
    (node,) = table.body.nodes
    assert isinstance(node, NamedComponent)
    assert (node.name, node.terminated) == ("ABCD", False)
    assert node.to_bytes() == data
