"""The bytes that findings are about."""

from __future__ import annotations

from iommuman.base import Finding, Origin
from iommuman.parsers.acpi import build_table, parse_table
from iommuman.parsers.devicetree import read_devicetree
from iommuman.parsers.sources import Inputs
from iommuman.topology.check.place import Place, Places

from tests.parsers.devicetree.build import blob, node

from .iorts import SOUND

RAW = build_table(SOUND)
TREE = blob(node("usb@0", {"iommus": (1, 0x42)}), node("soc", {"ranges": None}))


def place(inputs: Inputs, *origin: object) -> Place | None:
    """Return the place of a finding with this origin."""
    return Places(inputs).of(Finding("X-Y", "note", Origin(*origin), "m"))  # type: ignore[arg-type]


FILE = Inputs(tables=[parse_table(RAW, "t")], contents={RAW: "t"})
DUMP = Inputs(tables=[parse_table(RAW, "t")], contents={b"IORT @ 0x0": "t"})


def test_a_place_in_a_table_is_shown_up_to_sixteen_bytes() -> None:
    """Bytes, how many there are, and where they stand in the file; of a dump, the file holds digits instead."""
    found = place(FILE, "t", "IORT", 72, 88)
    assert found == Place(RAW[72:88], 88, 72)
    assert found.hex == "04 58 00 05 01 00 00 00 01 00 00 00 44 00 00 00 …"
    assert place(DUMP, "t", "IORT", 72, 88) == Place(RAW[72:88], 88, None)
    assert place(Inputs(tables=[SOUND]), "IORT.bin", "IORT", 9, 1) == Place(RAW[9:10], 1, 9)


def test_a_place_of_no_known_length_is_shown_as_far_as_a_line() -> None:
    """Sixteen bytes, or what is left of the table."""
    assert place(FILE, "t", "IORT", 8) == Place(RAW[8:24], 16, 8)
    end = place(FILE, "t", "IORT", 550)
    assert end == Place(RAW[550:], 10, 550)
    assert end.hex == RAW[550:].hex(" ")
    assert place(FILE, "t", "IORT", 560) is None
    assert place(FILE, "t", "IORT", 10_000, 4) is None


def test_what_is_about_no_bytes_has_no_place() -> None:
    """A table as a whole, another file, a text; and of two tables with one signature nobody can tell which is meant."""
    assert place(FILE, "t", "IORT") is None
    assert place(FILE, "other", "IORT", 8, 1) is None
    assert place(FILE, "t", "", None, None, 3) is None
    twice = Inputs(tables=[parse_table(RAW, "t"), parse_table(RAW, "t")])
    assert place(twice, "t", "IORT", 8, 1) is None


def test_a_place_in_a_tree_is_that_of_a_property_or_block() -> None:
    """The value of a property, or part of it; the header; a token of the structure block; a node has no bytes."""
    tree = read_devicetree(TREE, "b")
    inputs = Inputs(trees=[tree], contents={TREE: "b"})
    value = tree.nodes[1].properties["iommus"]
    assert place(inputs, "b", "/usb@0 iommus", 4, 4) == Place(b"\0\0\0\x42", 4, value.offset + 4)
    assert place(inputs, "b", "/usb@0 iommus") == Place(b"\0\0\0\1\0\0\0\x42", 8, value.offset)
    assert place(inputs, "b", "header", 4, 4) == Place(len(TREE).to_bytes(4), 4, 4)
    start = int.from_bytes(TREE[8:12])
    assert place(inputs, "b", "structure block", 0, 4) == Place(b"\0\0\0\1", 4, start)
    assert place(inputs, "b", "structure block") is None
    assert place(inputs, "b", "/usb@0") is None
    assert place(inputs, "b", "/usb@0 nothing", 0, 4) is None
    assert place(inputs, "b", "/nowhere iommus", 0, 4) is None
    assert place(inputs, "b", "/soc ranges", 0, 4) is None
    assert place(Inputs(trees=[tree]), "b", "header", 4, 4) is None
