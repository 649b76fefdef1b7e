"""Device trees from folders: what is read back is what the blob they came from says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from iommuman.parsers.devicetree import Node, folders, read_devicetree
from iommuman.parsers.devicetree.folders import flatten
from iommuman.parsers.sources import read_sources

from tests.conftest import BOARDS

BOARD = BOARDS / "virt-smmuv3-dt" / "board.dtb"


def unpack(node: Node, folder: Path) -> None:
    """Write a node as Linux shows it: a file for each property, a folder for each node."""
    folder.mkdir(parents=True)
    for name, value in node.properties.items():
        (folder / name).write_bytes(value.to_raw())
    for child in node.children:
        unpack(child, folder / child.name)


def listed(node: Node) -> dict[str, dict[str, bytes]]:
    """Return the properties of all nodes by path."""
    found = {node.path: {name: value.to_raw() for name, value in node.properties.items()}}
    for child in node.children:
        found |= listed(child)
    return found


def test_a_board_from_its_folders_says_the_same(tmp_path: Path) -> None:
    """Every node and every property of a captured board, byte for byte."""
    whole = read_devicetree(BOARD.read_bytes(), "blob")
    unpack(whole.root, tmp_path / "base")
    data, findings = flatten(str(tmp_path / "base"))
    again = read_devicetree(data, "folders")
    assert (findings, again.findings) == ((), ())
    assert listed(again.root) == listed(whole.root)


def test_a_sys_tree_is_read_by_its_folders_where_there_is_no_blob_to_read(tmp_path: Path) -> None:
    """The blob is for root alone; with it, the folders are not looked at."""
    (tmp_path / "bus/pci/devices").mkdir(parents=True)
    unpack(read_devicetree(BOARD.read_bytes(), "blob").root, tmp_path / "firmware/devicetree/base")
    assert [tree.source for tree in read_sources([str(tmp_path)]).trees] == [str(tmp_path / "firmware/devicetree/base")]
    (tmp_path / "firmware/fdt").write_bytes(BOARD.read_bytes())
    assert [tree.source for tree in read_sources([str(tmp_path)]).trees] == [str(tmp_path / "firmware/fdt")]


def test_what_cannot_be_read_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    """A pipe in place of a property; links to folders are no nodes and are not followed."""
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "reg").write_bytes(b"\0\0\0\1")
    os.mkfifo(tmp_path / "model")
    (tmp_path / "loop").symlink_to(tmp_path)
    data, findings = flatten(str(tmp_path))
    assert [one.origin.part for one in findings] == ["loop", "model"]
    assert listed(read_devicetree(data, "x").root) == {"/": {}, "/usb": {"reg": b"\0\0\0\1"}}


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    """The tree may change while it is read."""
    data, findings = flatten(str(tmp_path / "none"))
    assert [one.rule for one in findings] == ["DT-FOLDER"]
    assert listed(read_devicetree(data, "x").root) == {"/": {}}


@pytest.mark.parametrize(("name", "limit"), [("MOST_DEPTH", 1), ("MAX_FILE", 20)])
def test_depth_and_size_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    """What is beyond is left out, and named."""
    monkeypatch.setattr(folders, name, limit)
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/long").write_bytes(bytes(64))
    data, findings = flatten(str(tmp_path))
    assert findings
    assert "/a/b/c" not in listed(read_devicetree(data, "x").root)
