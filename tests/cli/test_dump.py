"""`iommuman dump`: formats, messages, exit statuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, HANDMADE

BOARD = BOARDS / "q35-vtd"


def test_the_tree_is_the_default(run: Callable[..., Ran]) -> None:
    """A board is shown as a tree on stdout; files of the folder that are no sources are named on stderr."""
    ran = run("dump", BOARD)
    assert ran.status == 0
    assert "vtd@fed90000  Intel VT-d, segment 0000, registers 0xfed90000 + 4 KiB\n" in ran.out
    assert [line.partition(": ")[0] for line in ran.err.splitlines()] == ["passed over", "passed over"]


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


def test_json_of_a_board_without_iommu(run: Callable[..., Ran]) -> None:
    """No IOMMU is an answer: every device is listed with that verdict, and the status is 0."""
    ran = run("dump", "--format", "json", BOARD / "pci.json")
    devices = json.loads(ran.out)["devices"]
    assert ran.status == 0
    assert {route["verdict"] for device in devices for route in device["routes"]} == {"no-iommu"}
