"""Blobs to trees and back."""

from __future__ import annotations

import importlib
import io
import random
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.parsers import ParseError
from iommuman.parsers.devicetree import (
    DeviceTree,
    Node,
    Property,
    Reservation,
    build_devicetree,
    is_devicetree,
    read_devicetree,
)
from pyfdt.pyfdt import Fdt, FdtBlobParse

from tests.conftest import missing
from tests.damage import mutants, truncations

from .build import blob, node, tree

SOURCE = """/dts-v1/;
/memreserve/ 0x80000000 0x100000;
/ {
	#address-cells = <2>;
	#size-cells = <2>;
	compatible = "example,board", "example,family";
	empty;
	smmu: iommu@2b400000 { compatible = "arm,smmu-v3"; reg = <0 0x2b400000 0 0x20000>; #iommu-cells = <1>; };
	soc { bytes = [01 02 03]; usb@1000 { iommus = <&smmu 0x42>; }; };
};
"""


def rules(found: DeviceTree) -> list[str]:
    """Return the rules of a tree's findings."""
    return [finding.rule for finding in found.findings]


def small() -> bytes:
    """Return a small blob with references and a memory reservation."""
    made = tree(
        node("iommu@2b400000", {"compatible": "arm,smmu-v3", "#iommu-cells": 1, "phandle": 1, "reg": (0, 1, 0, 2)}),
        node("soc", {"ranges": None}, node("usb@1000", {"iommus": (1, 0x42)}), node("memory", {"bytes": b"\1\2\3"})),
    )
    return build_devicetree(DeviceTree("", made.root, (), {}, (Reservation(0x80000000, 0x1000),), 3))


def header(data: bytes, **words: int) -> bytes:
    """Return the blob with words of its header replaced."""
    offsets = {
        "totalsize": 4,
        "off_dt_struct": 8,
        "off_dt_strings": 12,
        "off_mem_rsvmap": 16,
        "version": 20,
        "last_comp_version": 24,
        "size_dt_strings": 32,
        "size_dt_struct": 36,
    }
    copy = bytearray(data)
    for name, value in words.items():
        copy[offsets[name] : offsets[name] + 4] = value.to_bytes(4)
    return bytes(copy)


def structure(*tokens: int | bytes, strings: bytes = b"name\0") -> bytes:
    """Return a blob with a structure block of these words and bytes."""
    body = b"".join(token if isinstance(token, bytes) else token.to_bytes(4) for token in tokens)
    start = 40 + 16
    words = (
        0xD00DFEED,
        start + len(body) + len(strings),
        start,
        start + len(body),
        40,
        17,
        16,
        0,
        len(strings),
        len(body),
    )
    return struct.pack(">10I", *words) + bytes(16) + body + strings


ROOT = (1, bytes(4))


def test_reading_gives_nodes_properties_and_their_places() -> None:
    """Nodes come in order, with paths, parents, raw values, and offsets at which the file has these bytes."""
    data = small()
    found = read_devicetree(data, "a.dtb")
    assert [one.path for one in found.nodes] == ["/", "/iommu@2b400000", "/soc", "/soc/usb@1000", "/soc/memory"]
    assert found.findings == ()
    assert found.reservations == (Reservation(0x80000000, 0x1000),)
    assert (found.boot_cpu, found.version, found.size, found.source) == (3, 17, len(data), "a.dtb")
    for one in found.nodes:
        assert data[one.offset : one.offset + 4] == b"\0\0\0\1"
        for value in one.properties.values():
            assert data[value.offset : value.offset + len(value.raw)] == value.raw
    assert found.phandles == {1: found.nodes[1]}
    assert found.nodes[3].parent is found.nodes[2]
    assert found.node("/soc/usb@1000") is found.nodes[3]
    assert found.node("/soc/none") is None
    assert found.node("/") is found.root
    assert repr(found.nodes[3]) == "Node('/soc/usb@1000')"


def test_building_what_was_read_gives_the_same_tree() -> None:
    """A blob built from a tree reads as the same tree, and builds to the same bytes again."""
    data = small()
    again = build_devicetree(read_devicetree(data))
    assert again == data
    assert is_devicetree(again)


def test_pyfdt_takes_our_nodes() -> None:
    """The nodes work with the methods of pyfdt: `to_dtb`, `to_dts`, `walk` and `resolve_path`."""
    found = read_devicetree(small())
    fdt = Fdt()
    fdt.add_rootnode(found.root)
    again = read_devicetree(fdt.to_dtb())
    assert [one.path for one in again.nodes] == [one.path for one in found.nodes]
    assert all(one.properties == other.properties for one, other in zip(found.nodes, again.nodes, strict=True))
    text = fdt.to_dts()
    assert "iommus = <0x00000001 0x00000042>;" in text
    assert "bytes = [01 02 03];" in text
    assert "ranges;" in text
    assert fdt.resolve_path("/soc/usb@1000") is found.nodes[3]
    assert ("/soc/usb@1000", found.nodes[3]) in list(found.root.walk())
    ours = FdtBlobParse(io.BytesIO(small())).to_fdt()
    assert [path for path, _ in ours.get_rootnode().walk()] == [path for path, _ in found.root.walk()]


def test_dtc_reads_what_is_built(need_tool: Callable[[str, str], str], tmp_path: Path) -> None:
    """Dtc compiles a source; what is read and built again decompiles to the same source as the original."""
    dtc = need_tool("dtc", "device-tree-compiler")
    original = tmp_path / "original.dtb"
    run = [dtc, "-q", "-I", "dts", "-O", "dtb", "-o", str(original), "-"]
    subprocess.run(run, input=SOURCE.encode(), check=True)
    again = tmp_path / "again.dtb"
    again.write_bytes(build_devicetree(read_devicetree(original.read_bytes())))

    def decompile(path: Path) -> bytes:
        return subprocess.run([dtc, "-q", "-I", "dtb", "-O", "dts", str(path)], check=True, capture_output=True).stdout

    assert decompile(again) == decompile(original)
    assert b"example,family" in decompile(again)


NAMES = st.text("abcxyz019,._+-@", min_size=1, max_size=12)
BODIES: st.SearchStrategy[tuple[str, dict[str, bytes], list[Any]]] = st.recursive(
    st.tuples(NAMES, st.dictionaries(NAMES, st.binary(max_size=20), max_size=4), st.just([])),
    lambda inner: st.tuples(
        NAMES, st.dictionaries(NAMES, st.binary(max_size=20), max_size=4), st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)


def from_body(body: tuple[str, dict[str, bytes], list[Any]]) -> Node:
    """Return the node of a generated body."""
    name, properties, children = body
    return node(name, properties, *(from_body(child) for child in children))


@given(st.lists(BODIES, max_size=4))
@settings(deadline=None, max_examples=60)
def test_libfdt_sees_the_same(bodies: list[tuple[str, dict[str, bytes], list[Any]]]) -> None:
    """Whatever tree is built, libfdt finds the same nodes and properties in it as our reader."""
    try:
        libfdt: Any = importlib.import_module("libfdt")
    except ImportError:
        missing("pylibfdt is not installed")
    data = blob(*(from_body(body) for body in bodies))
    found = read_devicetree(data)
    assert build_devicetree(found) == data
    fdt = libfdt.FdtRo(data)
    offset, depth = 0, 0
    for one in found.nodes:
        assert (fdt.get_name(offset) or "/") == one.name
        for name, value in one.properties.items():
            assert bytes(fdt.getprop(offset, name)) == value.raw
        try:
            offset, depth = fdt.next_node(offset, depth)
        except libfdt.FdtException:
            depth = -1
    assert depth < 0


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "DT-MAGIC"),
        (b"\xd0\x0d\xfe\xee" + bytes(60), "DT-MAGIC"),
        (b"\xd0\x0d\xfe\xed" + bytes(30), "DT-SIZE"),
        (header(small(), version=15), "DT-VERSION"),
        (header(small(), last_comp_version=18), "DT-VERSION"),
        (header(small(), off_dt_struct=0xFFFFFFFF), "DT-SIZE"),
        (structure(9), "DT-STRUCTURE"),
        (structure(0), "DT-STRUCTURE"),
        (structure(2), "DT-STRUCTURE"),
        (structure(), "DT-STRUCTURE"),
    ],
)
def test_what_holds_no_tree_is_refused(data: bytes, rule: str) -> None:
    """Bytes without a single readable node give the parsers' error, with a rule and the file's name."""
    with pytest.raises(ParseError) as caught:
        read_devicetree(data, "bad.dtb")
    assert caught.value.finding.rule == rule
    assert "bad.dtb" in str(caught.value)


def test_a_blob_cut_off_before_its_nodes_is_said_to_be_so() -> None:
    """Of a file that ends early, how much there is of how much is told, and not its missing nodes alone."""
    data = small()
    with pytest.raises(ParseError, match=f"the file is cut off after 74 of {len(data)} bytes"):
        read_devicetree(data[:74], "cut.dtb")


def test_version_16_has_no_size_of_its_structure() -> None:
    """A blob of version 16, whose header has nine words, reads like one of version 17."""
    found = read_devicetree(header(small(), version=16))
    assert found.version == 16
    assert len(found.nodes) == 5
    assert found.findings == ()


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"totalsize": 0x10000}, "totalsize"),
        ({"totalsize": 100}, "totalsize"),
        ({"size_dt_struct": 0x10000}, "size_dt_struct"),
        ({"size_dt_strings": 0x10000}, "size_dt_strings"),
    ],
)
def test_wrong_sizes_are_findings(words: dict[str, int], field: str) -> None:
    """A block or tree that claims more than there is, or less, is reported, and what is there is read."""
    found = read_devicetree(header(small(), **words))
    assert field in [finding.field for finding in found.findings]
    assert len(found.nodes) == 5


def test_bytes_after_the_tree_do_no_harm() -> None:
    """A file may be longer than the tree in it."""
    assert read_devicetree(small() + bytes(1000)).findings == ()


def test_misaligned_blocks_are_findings() -> None:
    """Blocks at addresses that are not aligned are read and reported."""
    data = small()
    start = int.from_bytes(data[8:12])
    strings = int.from_bytes(data[12:16])
    moved = header(
        data[:start] + b"\0\0" + data[start:],
        off_dt_struct=start + 2,
        off_dt_strings=strings + 2,
        totalsize=len(data) + 2,
    )
    found = read_devicetree(moved)
    assert rules(found) == ["DT-ALIGN"]
    assert len(found.nodes) == 5
    assert "DT-ALIGN" in rules(read_devicetree(header(data, off_mem_rsvmap=44)))


def test_reservations_without_end_are_left_out() -> None:
    """A reservation block that runs to the end of the file is not believed."""
    data = small()
    found = read_devicetree(header(data, off_mem_rsvmap=len(data) & ~7))
    assert (found.reservations, rules(found)) == ((), ["DT-RESERVE"])


PROP = (3, 4, 0, 7)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ((*ROOT, 5), "there is no token 0x5"),
        ((*ROOT, 9), "ends inside a node"),
        ((*ROOT, 2), "without an END token"),
        ((*ROOT, 2, 2, 9), "a node ends that has not begun"),
        ((*ROOT, 2, *ROOT, 2, 9), "there is a second root"),
        ((*ROOT, 2, *PROP, 9), "outside of any node"),
        ((*ROOT, 3, 4), "a property is cut off"),
        ((*ROOT, 3, 100, 0, 7), "reaches beyond the structure block"),
        ((*ROOT, 3, 0xFFFFFFFF, 0, 7), "reaches beyond the structure block"),
        ((*ROOT, 1, b"abcdefgh"), "a node's name has no end"),
        ((*ROOT, 1, b"a" * 300 + bytes(4), 2, 2, 9), "a node's name has no end"),
        ((*ROOT, 1, b"a/b\0", 2, 2, 9), "'a/b' is no name for a node"),
        ((*ROOT, 1, b"\xff\0\0\0", 2, 2, 9), "is no name for a node"),
        ((*ROOT, 3, 0, 99, 2, 9), "a property has no name at 0x63"),
        ((*ROOT, 3, 0, 4, 2, 9), "a property has no name at 0x4"),
        ((*ROOT, *PROP, *PROP, 2, 9), "the property is there twice"),
        ((*ROOT, 1, b"a\0\0\0", 2, *PROP, 2, 9), "a property stands after a child node"),
        ((*ROOT, 1, b"a\0\0\0", 2, 1, b"a\0\0\0", 2, 2, 9), "a sibling has the same name"),
    ],
)
def test_damage_in_the_structure_is_a_finding(tokens: tuple[int | bytes, ...], text: str) -> None:
    """Each kind of damage in the structure block is reported, and the root is still there."""
    found = read_devicetree(structure(*tokens), "x.dtb")
    assert found.root.path == "/"
    assert any(text in str(finding) for finding in found.findings)


def test_the_first_of_two_properties_counts() -> None:
    """Of two properties with one name the first is looked up, and both are written back."""
    data = structure(*ROOT, 3, 4, 0, 7, 3, 4, 0, 8, 2, 9)
    found = read_devicetree(data)
    assert found.root.u32("name") == 7
    assert [one.raw[-1] for one in found.root.subdata] == [7, 8]
    assert build_devicetree(found) == data


def test_a_property_after_a_child_is_not_seen() -> None:
    """A property that stands after a child is kept for writing, and not looked up, as in Linux and libfdt."""
    found = read_devicetree(structure(*ROOT, 1, b"a\0\0\0", 2, *PROP, 2, 9))
    assert found.root.properties == {}
    assert len(found.root.subdata) == 2


def test_nop_tokens_are_passed_over() -> None:
    """NOP tokens have no meaning wherever they stand."""
    found = read_devicetree(structure(4, *ROOT, 4, *PROP, 4, 2, 4, 9))
    assert (rules(found), found.root.u32("name")) == ([], 7)


def test_names_are_kept_byte_for_byte() -> None:
    """Names that are not ASCII survive reading and building."""
    data = structure(*ROOT, 3, 0, 0, 1, b"\xe4\xff\0\0", 2, 2, 9, strings=b"na\xefve\0")
    found = read_devicetree(data)
    assert found.nodes[1].name == "\xe4\xff"
    assert rules(found) == ["DT-NAME", "DT-NAME"]
    assert build_devicetree(found) == data


@pytest.mark.parametrize(
    ("phandle", "text"), [(0, "no phandle"), (0xFFFFFFFF, "no phandle"), (b"\1", "4 bytes, not 1")]
)
def test_phandles_that_are_none(phandle: int | bytes, text: str) -> None:
    """A phandle of 0, of all ones, or of another size than a cell is reported and refers to nothing."""
    found = tree(node("a", {"phandle": phandle}))
    assert found.phandles == {}
    assert text in str(found.findings[0])


def test_a_phandle_belongs_to_the_first_node_that_has_it() -> None:
    """A second node with the same phandle is reported; the old name of the property counts as well."""
    found = tree(
        node("a", {"linux,phandle": 5}), node("b", {"phandle": 5}), node("c", {"phandle": 6, "linux,phandle": 5})
    )
    assert {key: one.path for key, one in found.phandles.items()} == {5: "/a", 6: "/c"}
    assert rules(found) == ["DT-PHANDLE"]


def test_nesting_is_bounded() -> None:
    """5,000 nodes inside each other are read down to the limit of Linux, without recursion."""
    depth = 5000
    deep = structure(*ROOT, *(1, b"a\0\0\0") * depth, *PROP, *(2,) * depth, *PROP, 2, 9)
    found = read_devicetree(deep)
    assert len(found.nodes) == 64
    assert [rule for rule in rules(found) if rule == "DT-DEPTH"] == ["DT-DEPTH"]
    assert rules(read_devicetree(build_devicetree(found))) == ["DT-ORDER"]
    cut_off = read_devicetree(structure(*ROOT, *(1, b"a\0\0\0") * depth))
    assert len(cut_off.nodes) == 64


def test_time_is_linear_in_the_number_of_siblings() -> None:
    """Four times as many siblings take less than ten times as long (they would take 16 times if each searched all)."""

    def seconds(count: int) -> float:
        data = blob(*(node(f"n@{number:x}", {"reg": number}) for number in range(count)))
        times = []
        for _ in range(3):
            start = time.process_time()
            read_devicetree(data)
            times.append(time.process_time() - start)
        return min(times)

    assert seconds(8000) < 10 * seconds(2000)


def test_every_truncation_is_answered() -> None:
    """Each shorter version of a blob is refused or read with a finding."""
    for data in truncations(small()):
        try:
            found = read_devicetree(data)
        except ParseError:
            continue
        assert found.findings


def test_mutants_are_answered() -> None:
    """Blobs with a wrong byte are refused or read, and what is read can be built."""
    for data in mutants(small(), count=3000):
        try:
            found = read_devicetree(data)
        except ParseError:
            continue
        build_devicetree(found)


def test_noise_behind_a_header_is_answered() -> None:
    """Words chosen at random, mostly tokens, are refused or read."""
    source = random.Random(1)
    for _ in range(300):
        words = [source.choice((1, 2, 3, 4, 9, 0, source.getrandbits(32), source.getrandbits(5))) for _ in range(60)]
        read_devicetree(structure(*ROOT, *words))


def test_properties_speak_for_themselves() -> None:
    """Accessors of a property and of a node give a default instead of failing on a value of the wrong size."""
    whole, short = Property("a", b"\0\0\0\1\0\0\0\2\3"), Property("a", b"\1")
    assert (whole.cells, whole.u32, whole.u64, len(whole)) == ((1, 2), 1, 0x100000002, 9)
    assert (short.cells, short.u32, short.u64, short.to_raw()) == ((), None, None, b"\1")
    assert Property("s", b"a\0b\0").strings == ("a", "b")
    assert Property("s", b"a\0b").strings == ("a", "b")
    assert Property("s").strings == ()
    assert Property("s")
    assert repr(short) == "Property('a', b'\\x01')"
    assert short == Property("a", b"\1", 99)
    assert short != whole
    assert short != 1
    assert hash(short) == hash(Property("a", b"\1"))
    made = node("n", {"compatible": b"x\0y\0"})
    assert (made.compatible, made.u32("none"), made.strings("none"), bool(made)) == (("x", "y"), None, (), True)


@pytest.mark.parametrize(
    ("status", "available"), [("okay", True), ("ok", True), ("disabled", False), ("fail-x", False)]
)
def test_a_node_is_available_when_it_and_all_above_it_are(status: str, available: bool) -> None:
    """`status` of a node or of one above it takes it out of use; an empty `status` says nothing."""
    found = tree(node("bus", {"status": status}, node("dev", {"status": None})))
    assert found.nodes[2].available is available
    assert found.root.available
