"""Topologies as text: what people see, held to literal output; JSON held to its schema."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from iommuman.base import Origin
from iommuman.topology import (
    Device,
    IdMap,
    Interrupt,
    Iommu,
    MsiController,
    PciRoot,
    ReservedRegion,
    StreamRange,
    Topology,
    load_topology,
)
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.draw.dot import draw_dot
from iommuman.topology.draw.json import draw_json
from iommuman.topology.draw.table import draw_table
from iommuman.topology.draw.tree import draw_tree
from iommuman.topology.view import describe, size
from jsonschema import Draft202012Validator

from tests.conftest import BOARDS, FIXTURES, HANDMADE, ROOT

HERE = Origin("folder/here.bin", "TEST", 16, 4)

READABLE = sorted(
    folder
    for folder in (*BOARDS.iterdir(), *HANDMADE.iterdir(), *(HANDMADE / "damaged").iterdir())
    if any((folder / name).is_file() for name in ("DMAR.bin", "IORT.bin", "board.dtb")) and folder.name != "dtb-magic"
)


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """Return the published schema, itself checked."""
    document = json.loads((ROOT / "docs" / "topology.schema.json").read_text())
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document)


@pytest.mark.parametrize("folder", READABLE, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_json_is_what_the_schema_says(folder: Path, schema: Draft202012Validator) -> None:
    """The JSON of every fixture, damaged ones too, is valid by the published schema."""
    document = json.loads(draw_json(load_topology([str(folder)])))
    assert [error.message for error in schema.iter_errors(document)] == []


def test_the_schema_refuses_what_is_not_described(schema: Draft202012Validator) -> None:
    """A key that the schema does not name, or one that is missing, is an error: the test above can fail."""
    document = json.loads(draw_json(load_topology([str(BOARDS / "q35-vtd-plain")])))
    assert schema.is_valid(document)
    assert not schema.is_valid({**document, "more": 1})
    document["iommus"][0].pop("base")
    assert not schema.is_valid(document)


def sample() -> Topology:
    """Return a small topology with one of each thing that a drawing shows."""
    builder = TopologyBuilder()
    builder.roots += [PciRoot("pci:0000", HERE, 0), PciRoot("pci:0001", HERE, 1)]
    interrupts = (
        Interrupt("global", 9, "level"),
        Interrupt("context 0", 16),
        Interrupt("context 1", 17),
        Interrupt("context 2", 40),
    )
    builder.iommus += [
        Iommu(
            "smmuv2@1000",
            "smmuv2",
            HERE,
            0x1000,
            0x800,
            interrupts=interrupts,
            properties=(("DVM", True), ("x", False)),
        ),
        Iommu("odd@2000", "odd", HERE, enabled=False),
    ]
    builder.maps += [
        IdMap("pci:0000", "smmuv2@1000", 0, 0x100, 0x400, HERE, "ID mapping", mask=0xFF),
        IdMap("pci:0000", "smmuv2@1000", 0x100, 1, 7, HERE, "ID mapping", single=True),
        IdMap("dt:/usb", "smmuv2@1000", 0, 1, 0x10, HERE, "iommus", single=True, ignored_bits=0x30),
        IdMap("dt:/many", "smmuv2@1000", 0, 4, 0x20, HERE, "ID mapping"),
        IdMap("dt:/whole", "smmuv2@1000", 0, 1, None, HERE, "iommus", single=True),
        IdMap("dt:/off", "odd@2000", 0, 1, 1, HERE, "iommus", single=True),
        *(IdMap("dt:/lots", "smmuv2@1000", 0, 1, 0x100 + n, HERE, "iommus", single=True) for n in range(15)),
    ]
    for name in ("dt:/usb", "dt:/many", "dt:/whole", "dt:/lots", "dt:/off", "dt:/\033[31mbare"):
        builder.device(Device(name, "dt", HERE, enabled=name != "dt:/usb"))
    builder.reserved += [
        ReservedRegion("reserved-memory", 0x4000, 0x1000, HERE, "mapped", physical=0x9000, devices=("dt:/usb",)),
        ReservedRegion("rmr", 0x8000, 0x10001, HERE, "direct", streams=(StreamRange("smmuv2@1000", 4, 2),)),
        ReservedRegion("rmrr", 0xA000, 1, HERE, "direct"),
    ]
    return Topology(builder)


TREE = """\
read: nothing that speaks of IOMMUs

smmuv2@1000  Arm SMMUv2, registers 0x1000 + 2 KiB, DVM
├─ interrupts  global 9 level, context 0-1 16-17, context 2 40
├─ pci:0000  requester IDs 0x0000-0x00ff → 0x400-0x4ff (of which the bits 0x00ff count)
├─ pci:0000  every requester ID → ID 0x7
├─ dt:/usb  ID 0x10 (but for the bits 0x30), not enabled
├─ dt:/many  IDs 0x20-0x23
├─ dt:/whole  no ID
├─ dt:/lots  IDs 0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x107, 0x108, 0x109, 0x10a, 0x10b, and 3 more
├─ reserved  0x4000-0x4fff (4 KiB), reserved-memory, stays mapped, physical 0x9000, for dt:/usb
└─ reserved  0x8000-0x18000 (65537 bytes), rmr, mapped one to one, for smmuv2@1000 IDs 0x4-0x5

odd@2000  odd, NOT ENABLED

NO IOMMU
└─ dt:/\\x1b[31mbare  no source names an IOMMU for it

IOMMU NOT ENABLED
└─ dt:/off  odd@2000 is not enabled, so accesses are not translated

PCI roots without IOMMU
└─ pci:0001  no IOMMU for its requester IDs

reserved memory
└─ reserved  0xa000-0xa000 (1 byte), rmrr, mapped one to one

isolation groups  1 of 4 devices
└─ dt:/usb, dt:/many, dt:/whole and dt:/lots
   ├─ why  smmuv2@1000 sees no IDs by which to tell dt:/usb, dt:/many, dt:/whole and dt:/lots apart
   └─ to split  only a unit for each of them would split them
"""


def test_the_tree_shows_everything() -> None:
    """Units with what they control, what nothing controls, and reserved memory, each in its place; controls escaped."""
    assert draw_tree(sample()) == TREE


def test_groups_say_why_and_what_is_weak() -> None:
    """Groups of several, devices that Linux leaves out, and what is not to be relied on; the others are counted."""
    text = draw_tree(load_topology([str(BOARDS / "virt-smmuv3-acpi")]))
    lines = text[text.index("isolation groups") :].splitlines()
    assert lines[0] == "isolation groups  11 of 15 devices, 8 of one device"
    assert "├─ Linux  gives 0000:02:01.0 no group: Linux's SMMUv3 driver gives a stream ID to one device only" in text
    assert lines[-1].startswith("└─ beware  pcie_acs_override= of patched kernels splits nothing")


def test_interrupts_that_are_all_the_same_are_said_once() -> None:
    """Contexts that share one interrupt, as those of i.MX8 do, are one run; where the numbers go on, another begins."""
    builder = TopologyBuilder()
    numbers = (64, 64, 64, 65, 66)
    interrupts = tuple(Interrupt(f"context {index}", number, "level") for index, number in enumerate(numbers))
    builder.iommus.append(Iommu("unit@0", "smmuv2", HERE, interrupts=interrupts))
    assert (
        draw_tree(Topology(builder)).splitlines()[-1] == "└─ interrupts  context 0-2 64 level, context 3-4 65-66 level"
    )


def test_colour_changes_nothing_but_colour() -> None:
    """Without its escape sequences, the coloured tree is the plain one."""
    coloured = draw_tree(sample(), colour=True, provenance=True)
    assert re.sub(r"\033\[\d+m", "", coloured) == draw_tree(sample(), provenance=True)
    assert "\033[31m" in coloured


def test_provenance_ends_each_line_with_its_place() -> None:
    """With provenance, every line of a fact names the file without its folder, the table, the offset and the length."""
    facts = [
        line
        for line in draw_tree(sample(), provenance=True).splitlines()
        if "@1000  Arm" in line or "├─ dt:/usb" in line
    ]
    assert [line.rpartition("  ")[2] for line in facts] == ["[here.bin: TEST+0x10 (4 bytes)]"] * 2


def test_a_real_board_as_a_tree() -> None:
    """Functions stand below their bridges, and those behind a conventional bridge show its ID beside their own."""
    lines = draw_tree(load_topology([str(BOARDS / "q35-vtd")])).splitlines()
    assert lines[0] == "read: DMAR, MCFG, 24 PCI functions"
    at = next(index for index, line in enumerate(lines) if line.startswith("├─ 0000:00:06.0"))
    assert lines[at : at + 2] == [
        "├─ 0000:00:06.0  ID 0x30, 1b36:0001 PCI bridge, bridge to bus 02-02, driver pci-stub",
        "│  ├─ 0000:02:01.0  IDs 0x208, 0x30 (by bridge 0000:00:06.0), 1000:0012 SCSI controller, driver pci-stub",
    ]


def test_sources_of_one_kind_are_counted() -> None:
    """Several trees are said in one word with their number."""
    trees = [str(BOARDS / name / "board.dtb") for name in ("virt-smmuv3-dt", "virt-gicv2m-dt")]
    assert draw_tree(load_topology(trees)).splitlines()[0] == "read: 2 devicetree"


def test_what_cannot_be_told_is_shown_as_such() -> None:
    """Scopes that need the PCI topology stand with their unit, and devices that they may hold stand apart."""
    topology = load_topology([str(HANDMADE / "dmar-two-hop-blind")])
    assert "└─ unresolved scope  bus 00, path 01.0/00.1: the buses behind 0000:00:01.0 are not known" in (
        draw_tree(topology).splitlines()
    )
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("dt:/pcie", HERE, None))
    builder.iommus.append(Iommu("unit@0", "smmuv3", HERE))
    builder.maps.append(IdMap("dt:/pcie", "unit@0", 0, 16, None, HERE, "iommu-map"))
    builder.msi_controllers.append(MsiController("its:0", "its", HERE, 0x8000))
    builder.device(Device("0000:00:01.0", "pci", HERE, 0, 8))
    text = draw_tree(Topology(builder))
    assert "├─ dt:/pcie  requester IDs 0x0000-0x000f → no ID" in text.replace("└", "├")
    assert "cannot be told\n└─ 0000:00:01.0  no source says which PCI host has which segment" in text
    assert "MSI controllers\n└─ its:0  its, at 0x8000" in text


def test_a_map_of_one_id_stands_for_itself_until_a_device_sends_it() -> None:
    """A requester ID that a map names alone has a line of its own, and none when a device of that ID has one."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("dt:/pcie", HERE, 0))
    builder.iommus.append(Iommu("unit@0", "smmuv2", HERE))
    builder.maps.append(IdMap("dt:/pcie", "unit@0", 0, 1, 0x1400, HERE, "iommu-map"))
    builder.maps.append(IdMap("dt:/pcie", "unit@0", 0x100, 1, 0x100, HERE, "iommu-map"))
    lines = draw_tree(Topology(builder)).splitlines()
    assert lines[3:] == ["├─ dt:/pcie  requester ID 0x0000 → 0x1400", "└─ dt:/pcie  requester ID 0x0100"]
    builder.device(Device("0000:01:00.0", "pci", HERE, 0, 0x100))
    lines = draw_tree(Topology(builder)).splitlines()
    assert lines[3:5] == ["├─ dt:/pcie  requester ID 0x0000 → 0x1400", "└─ 0000:01:00.0  ID 0x100"]
    blind = "bridges and ACS of 1 device are not known for want of a PCI topology"
    assert lines[6:] == [f"isolation groups  1 device, alone in one, {blind}"]


def test_a_map_without_ids_controls_nothing() -> None:
    """A PCI root whose only map is one that a boot loader is to fill in stands among those without IOMMU."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("dt:/pcie", HERE, 0))
    builder.iommus.append(Iommu("unit@0", "smmuv2", HERE))
    builder.maps.append(IdMap("dt:/pcie", "unit@0", 0, 0, 0, HERE, "iommu-map"))
    assert draw_tree(Topology(builder)).splitlines()[2:] == [
        "unit@0  Arm SMMUv2", "", "PCI roots without IOMMU", "└─ dt:/pcie  no IOMMU for its requester IDs",
    ]  # fmt: skip


def test_the_table_has_a_line_for_each_id() -> None:
    """Columns are parted by two spaces or more, so that it can be cut; provenance adds a column."""
    lines = draw_table(sample(), provenance=True).splitlines()
    rows = [re.split(r"  +", line) for line in lines]
    assert rows[0] == ["DEVICE", "REQUESTER", "IOMMU", "ID", "MSI", "VERDICT", "BY", "GROUP", "FROM"]
    place = "folder/here.bin: TEST+0x10 (4 bytes)"
    assert rows[1] == ["dt:/usb", "-", "smmuv2@1000", "0x10/0x30", "-", "controlled", "iommus", "dt:/usb", place]
    assert rows[2] == ["dt:/many", "0x0", "smmuv2@1000", "0x20-0x23", "-", "controlled", "ID mapping", "dt:/usb", place]
    assert rows[3] == ["dt:/whole", "-", "smmuv2@1000", "-", "-", "controlled", "iommus", "dt:/usb", place]
    bare = next(index for index, row in enumerate(rows) if row[0].endswith("bare"))
    assert rows[bare] == ["dt:/\\x1b[31mbare", "-", "-", "-", "-", "no-iommu", "-", "-", place]
    assert rows[bare + 1 :]
    assert {row[0] for row in rows[bare + 1 :]} <= set(sample().roots)
    plain = draw_table(load_topology([str(BOARDS / "virt-smmuv3-acpi")])).splitlines()
    assert re.split(r"  +", plain[2])[:5] == ["0000:00:03.0", "00:03.0", "smmuv3@9050000", "0x18", "its:0=0x18"]


def test_ranges_of_pci_roots_are_lines_where_no_function_is_listed() -> None:
    """An IORT alone gives a line for each range, those with interrupts and no IOMMU included; so does the graph."""
    alone = load_topology([str(BOARDS / "virt-bypass-acpi" / "IORT.bin")])
    rows = [re.split(r"  +", line) for line in draw_table(alone).splitlines()][1:]
    assert rows == [
        ["pci:0000", "00:00.0-00:1f.7", "smmuv3@9050000", "0x0-0xff", "-", "controlled", "ID mapping", "-"],
        ["pci:0000", "40:00.0-41:1f.7", "smmuv3@9050000", "0x4000-0x41ff", "-", "controlled", "ID mapping", "-"],
        ["pci:0000", "01:00.0-3f:1f.7", "-", "-", "its:0=0x100-0x3fff", "no-iommu", "ID mapping", "-"],
        ["pci:0000", "42:00.0-ff:1f.7", "-", "-", "its:0=0x4200-0xffff", "no-iommu", "ID mapping", "-"],
    ]
    assert '"pci:0000" -> "smmuv3@9050000" [label="40:00.0-41:1f.7"];' in draw_dot(alone)
    assert '"pci:0000" [shape=folder];' in draw_dot(alone)
    assert '"pci:0000" -> "memory" [label="01:00.0-3f:1f.7 no IOMMU", color=red];' in draw_dot(alone)


def test_a_range_says_which_ids_it_takes() -> None:
    """What is left to a unit is the rest; a map without IDs of its own takes any; a disabled unit controls nothing."""
    origin = Origin("T")
    builder = TopologyBuilder()
    builder.iommus += [Iommu("on", "vtd", origin), Iommu("off", "vtd", origin, enabled=False)]
    builder.roots.append(PciRoot("pci:0000", origin, 0))
    builder.msi_controllers.append(MsiController("its:0", "its", origin))
    builder.maps += [
        IdMap("pci:0000", "on", 0, 0x10000, 0, origin, "REST", fallback=True),
        IdMap("pci:0000", "off", 0, 0x10000, 5, origin, "ALL", single=True),
        IdMap("pci:0000", "on", 0x10, 1, None, origin, "ONE"),
        IdMap("pci:0000", "its:0", 0x20, 2, None, origin, "NONE", carries="both"),
        IdMap("pci:0000", None, 0x30, 2, 7, origin, "MERGED", merges=True),
    ]
    topology = Topology(builder)
    rows = [re.split(r"  +", line) for line in draw_table(topology).splitlines()][1:]
    assert rows == [
        ["pci:0000", "rest", "on", "-", "-", "controlled", "REST", "-"],
        ["pci:0000", "any", "off", "0x5", "-", "disabled", "ALL", "-"],
        ["pci:0000", "00:02.0", "on", "-", "-", "controlled", "ONE", "-"],
        ["pci:0000", "00:04.0-00:04.1", "-", "-", "its:0", "no-iommu", "NONE", "-"],
        ["pci:0000", "00:06.0-00:06.1", "-", "0x7", "-", "no-iommu", "MERGED", "-"],
    ]
    labels = re.findall(r'-> (".*?") \[label=(".*?")', draw_dot(topology))
    assert labels == [
        ('"on"', '"other IDs"'), ('"off"', '"any ID"'), ('"on"', '"00:02.0"'),
        ('"memory"', '"00:04.0-00:04.1 no IOMMU"'), ('"memory"', '"00:06.0-00:06.1 no IOMMU"'),
    ]  # fmt: skip


def test_the_graph_is_one_that_graphviz_would_take() -> None:
    """Every name is quoted; devices without IOMMU lead to memory in red; interrupts are dotted."""
    text = draw_dot(sample())
    assert text.startswith("digraph iommus {\n")
    assert '"dt:/usb" -> "smmuv2@1000" [label="0x10"];' in text
    assert '-> "memory" [label="no IOMMU", color=red];' in text
    board = draw_dot(load_topology([str(BOARDS / "virt-smmuv3-acpi")]))
    assert '"0000:00:03.0" -> "its:0" [label="MSI 0x18", style=dotted];' in board
    assert board.count("{") == board.count("}") == 1


def test_graphviz_takes_the_graph(need_tool: Callable[[str, str], str]) -> None:
    """Graphviz itself reads every fixture's graph."""
    need_tool("dot", "graphviz")
    for folder in READABLE:
        text = draw_dot(load_topology([str(folder)]))
        subprocess.run(["dot", "-Tcanon"], input=text.encode(), check=True, capture_output=True)


@pytest.mark.parametrize(
    ("length", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1 KiB"), (1536, "1536 bytes"), (3 << 20, "3 MiB"),
     (5 << 30, "5 GiB"), (7 << 40, "7 TiB"), ((1 << 30) + 1024, "1048577 KiB")],
)  # fmt: skip
def test_sizes_as_people_write_them(length: int, text: str) -> None:
    """The largest binary unit that divides a size without a rest."""
    assert size(length) == text


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ((("id", "8086:1533"), ("class", "020000"), ("driver", "igb")), "8086:1533 Ethernet controller, driver igb"),
        ((("id", "8086:1533"), ("class", "02ff00")), "8086:1533 network controller"),
        ((("id", "8086:1533"), ("class", "550000")), "8086:1533 class 550000"),
        ((("coherent", True), ("bits", 36), ("off", False)), "coherent, bits 36"),
    ],
)
def test_devices_in_words(properties: tuple[Any, ...], words: str) -> None:
    """Class codes become words; true facts are named, false ones are not."""
    assert describe(Device("x", "pci", HERE, properties=properties)) == words
