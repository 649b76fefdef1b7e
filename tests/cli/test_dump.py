"""`iommuman dump`: formats, messages, exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from iommuman.parsers.acpi import build_table, parse_table, seal_table
from iommuman.parsers.acpi.iort import Iort, RootComplex

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, HANDMADE

BOARD = BOARDS / "q35-vtd"


def test_the_tree_is_the_default(run: Callable[..., Ran]) -> None:
    """A board is shown as a tree on stdout; files of the folder that are no sources are named on stderr."""
    ran = run("dump", BOARD)
    assert ran.status == 0
    assert "vtd@fed90000  Intel VT-d, segment 0000, registers 0xfed90000 + 4 KiB\n" in ran.out
    nothing = "no table, acpidump text, device tree or PCI topology"
    assert ran.err == f"passed over: {BOARD}/linux (a folder), {BOARD}/recipe.toml ({nothing})\n"


@pytest.mark.parametrize(
    ("layout", "first"),
    [("tree", "read: "), ("table", "DEVICE "), ("json", '{\n "format": "iommuman-topology"'), ("dot", "digraph ")],
)
def test_formats(run: Callable[..., Ran], layout: str, first: str) -> None:
    """Each format is what it says."""
    ran = run("dump", "--format", layout, BOARD)
    assert ran.status == 0
    assert ran.out.startswith(first)


def test_order_is_stable(run: Callable[..., Ran]) -> None:
    """Two runs write the same, so that output can be compared."""
    assert run("dump", "--format", "json", BOARD) == run("dump", "--format", "json", BOARD)


def test_colour_on_request(run: Callable[..., Ran]) -> None:
    """`--color always` colours even when stdout is no terminal, and the default then does not."""
    assert "\033[" in run("dump", "--color", "always", BOARD).out
    assert "\033[" not in run("dump", BOARD).out


def test_provenance(run: Callable[..., Ran]) -> None:
    """`--provenance` names file, table, offset and length in the tree and in the table."""
    assert "[DMAR.bin: DMAR+0x30 (128 bytes)]" in run("dump", "--provenance", BOARD).out
    assert "DMAR.bin: DMAR+0x68 (8 bytes)" in run("dump", "--provenance", "--format", "table", BOARD).out


def test_several_sources_are_one_topology(run: Callable[..., Ran]) -> None:
    """A table and a PCI topology named one by one give what their folder gives."""
    named = run("dump", "--format", "table", BOARD / "pci.json", BOARD / "DMAR.bin", BOARD / "MCFG.bin")
    assert named.out == run("dump", "--format", "table", BOARD).out


def test_findings_are_status_1_and_on_stderr(run: Callable[..., Ran]) -> None:
    """A damaged table is shown as far as it can be read; what is wrong is said in one sentence each."""
    ran = run("dump", HANDMADE / "damaged" / "dmar-checksum" / "DMAR.bin")
    assert ran.status == 1
    assert "vtd@" in ran.out
    assert ran.err.startswith("error: ")
    assert "Checksum is 0x" in ran.err


def test_what_cannot_be_read_is_status_3(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A file that is not there, or that is nothing of ours, is one sentence on stderr and no answer."""
    missing = run("dump", tmp_path / "nothing")
    assert (missing.status, missing.out) == (3, "")
    assert missing.err.startswith(
        f"iommuman: {tmp_path}/nothing: this cannot be opened: No such file or directory; name"
    )
    (tmp_path / "text").write_text("hello")
    text = run("dump", tmp_path / "text")
    assert (text.status, text.out) == (3, "")
    assert text.err.startswith(f"iommuman: {tmp_path}/text: there is no ACPI table, acpidump text, device tree or PCI")


def test_names_in_messages_are_escaped(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A file name with control characters cannot drive the terminal."""
    path = tmp_path / "evil\033[2J"
    path.write_text("hello")
    assert "\033" not in run("dump", path).err


def test_what_no_source_could_name_is_not_concluded(run: Callable[..., Ran]) -> None:
    """From functions alone nothing follows about IOMMUs: every verdict is `unresolved`, with what to give."""
    ran = run("dump", "--format", "json", BOARD / "pci.json")
    routes = [route for device in json.loads(ran.out)["devices"] for route in device["routes"]]
    assert ran.status == 0
    assert {route["verdict"] for route in routes} == {"unresolved"}
    assert {route["reason"] for route in routes} == {
        "no source given could name one; give the DMAR, IVRS, IORT, RIMT or VIOT table, or the device tree"
    }


@pytest.mark.parametrize(("board", "table"), [("q35-amd", "IVRS"), ("q35-virtio-iommu", "VIOT")])
def test_a_table_that_cannot_be_read_is_named_and_nothing_is_concluded(
    run: Callable[..., Ran], tmp_path: Path, board: str, table: str
) -> None:
    """A table that declares IOMMUs and of which only the header is left makes "no IOMMU" unknown, with status 1."""
    (tmp_path / "pci.json").write_bytes((BOARDS / board / "pci.json").read_bytes())
    (tmp_path / "table.bin").write_bytes((BOARDS / board / f"{table}.bin").read_bytes()[:40])
    ran = run("dump", tmp_path)
    assert ran.status == 1
    assert "NO IOMMU" not in ran.out
    assert f"the sources have {table}, which is not read and may name one" in ran.out
    assert f"{table}: a table that declares IOMMUs" in ran.err


@pytest.mark.parametrize(("board", "unit"), [("q35-amd", "amdvi@fed80000"), ("q35-virtio-iommu", "virtio-iommu@0000")])
def test_the_unit_itself_is_said_not_to_be_translated(run: Callable[..., Ran], board: str, unit: str) -> None:
    """A unit that is a PCI function stands among what no IOMMU controls, with the reason, and nothing is wrong."""
    ran = run("dump", BOARDS / board)
    assert ran.status == 0
    assert f"\n{unit}" in ran.out
    assert "it is an IOMMU itself, which does not translate its own accesses" in ran.out


def test_a_named_source_that_gives_nothing_is_an_error(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Of several sources, one that holds nothing is said to, and the answer has status 1."""
    (tmp_path / "text").write_text("hello")
    ran = run("dump", BOARD, tmp_path / "text")
    assert ran.status == 1
    assert (
        f"error: {tmp_path}/text: there is no ACPI table, acpidump text, device tree or PCI topology; name" in ran.err
    )


def test_an_id_that_goes_round_the_iommu_is_shown(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A device with one ID that is translated and one that is not stands in both places."""
    whole = parse_table((BOARDS / "virt-smmuv3-acpi" / "IORT.bin").read_bytes())
    assert isinstance(whole.body, Iort)
    root = next(node for node in whole.body.nodes if isinstance(node, RootComplex))
    narrow = replace(root.mappings[0], input_base=0x200, id_count=0xFF, output_base=0x200)
    nodes = tuple(
        replace(node, mappings=(narrow,) * len(node.mappings)) if node is root else node for node in whole.body.nodes
    )
    changed = seal_table(replace(whole, body=replace(whole.body, nodes=nodes)))
    (tmp_path / "IORT.bin").write_bytes(build_table(changed))
    out = run("dump", tmp_path / "IORT.bin", BOARDS / "virt-smmuv3-acpi" / "pci.json").out
    assert "─ 0000:02:01.0  ID 0x208" in out
    assert "─ 0000:02:01.0  only as 00:06.0, 1000:0012 SCSI controller" in out.partition("NO IOMMU")[2]
