"""Device trees as folders: against the blobs that they are the folders of."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from iommuman.base import Finding, Origin
from iommuman.cli.main import main
from iommuman.parsers import ParseError
from iommuman.parsers.devicetree import DeviceTree, folder, read_devicetree
from iommuman.parsers.devicetree.folder import read_tree_folder
from iommuman.parsers.sources import read_sources

from tests.conftest import BOARDS, FIXTURES
from tests.parsers.containers.making import SSDT, read

TREES = sorted(path for path in FIXTURES.rglob("board.dtb") if "damaged" not in str(path))


def unflattened(tree: DeviceTree, root: Path) -> Path:
    """Write a tree as Linux shows it, `name` included."""
    for node in tree.nodes:
        place = root / node.path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "name").write_bytes(node.name.partition("@")[0].strip("/").encode() + b"\0")
        for name, found in node.properties.items():
            (place / name).write_bytes(found.raw)
    return root


def values(tree: DeviceTree) -> dict[str, dict[str, bytes]]:
    """Return the raw properties of every node, by path."""
    return {node.path: {name: found.raw for name, found in node.properties.items()} for node in tree.nodes}


@pytest.mark.parametrize("path", TREES, ids=lambda path: str(path.relative_to(FIXTURES).parent))
def test_the_folders_of_a_tree_are_the_tree(path: Path, tmp_path: Path) -> None:
    """Nodes, properties and phandles are those of the blob."""
    blob = read_devicetree(path.read_bytes())
    if len({node.path for node in blob.nodes}) != len(blob.nodes):
        pytest.skip("two nodes of one path cannot both be folders")
    tree = read_tree_folder(str(unflattened(blob, tmp_path / "base")))
    assert values(tree) == values(blob)
    assert {phandle: node.path for phandle, node in tree.phandles.items()} == {
        phandle: node.path for phandle, node in blob.phandles.items()
    }
    assert tree.source == str(tmp_path / "base")
    assert tree.size == sum(len(found.raw) for node in blob.nodes for found in node.properties.values())


@pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed")
def test_dtc_reads_the_same_from_the_folders(tmp_path: Path) -> None:
    """What `dtc -I fs` makes of the folders, in which it checks `name`, has the values that are read from them."""
    root = unflattened(read_devicetree((BOARDS / "virt-smmuv3-dt" / "board.dtb").read_bytes()), tmp_path / "base")
    subprocess.run(["dtc", "-q", "-I", "fs", "-O", "dtb", "-o", tmp_path / "out", root], check=True)
    theirs = values(read_devicetree((tmp_path / "out").read_bytes()))
    assert values(read_tree_folder(str(root))) == theirs


def test_a_tree_is_read_wherever_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By itself, in a copy of /sys without the blob, beside other sources, and in an archive, it says the same."""
    path = BOARDS / "virt-smmuv3-dt" / "board.dtb"
    root = unflattened(read_devicetree(path.read_bytes()), tmp_path / "sys/firmware/devicetree/base")
    (tmp_path / "some").mkdir()
    shutil.copytree(root, tmp_path / "some/device-tree")
    (tmp_path / "some/SSDT").write_bytes(SSDT)
    (tmp_path / "link").symlink_to(root)
    with tarfile.open(tmp_path / "board.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "sys", "sys")
    texts = []
    for source in ("sys/firmware/devicetree/base", "sys", "some", "link", "board.tar.gz"):
        assert main(["dump", "--format", "table", str(tmp_path / source)]) == 0
        texts.append(capsys.readouterr().out)
    assert len(set(texts)) == 1
    main(["dump", "--format", "table", str(path)])
    assert sorted(texts[0].splitlines()) == sorted(capsys.readouterr().out.splitlines())


def test_the_blob_goes_before_the_folders(tmp_path: Path) -> None:
    """Where both can be read, the blob is, which has the reservations; where root alone may, the folders are."""
    path = BOARDS / "virt-smmuv3-dt" / "board.dtb"
    unflattened(read_devicetree(path.read_bytes()), tmp_path / "firmware/devicetree/base")
    blob = tmp_path / "firmware/fdt"
    blob.write_bytes(path.read_bytes())
    assert [tree.source for tree in read_sources([str(tmp_path)]).trees] == [str(blob)]
    blob.unlink()
    blob.mkdir()  # as good as forbidden, for root as well
    inputs = read_sources([str(tmp_path)])
    assert [tree.source for tree in inputs.trees] == [f"{tmp_path}/firmware/devicetree/base"]
    assert inputs.passed_over == [(str(blob), "Is a directory")]


def test_what_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    """A pipe in place of a property is told; links are not followed, so that they cannot lead out or round."""
    (tmp_path / "#address-cells").write_bytes(bytes(4))
    (tmp_path / "node").mkdir()
    os.mkfifo(tmp_path / "node" / "pipe")
    (tmp_path / "node" / "up").symlink_to("..")
    (tmp_path / "node" / "out").symlink_to("/etc/passwd")
    tree = read_tree_folder(str(tmp_path))
    assert list(values(tree)) == ["/", "/node"]
    assert [str(finding) for finding in tree.findings] == [
        f"{tmp_path}: /node pipe: the property cannot be read: it is no regular file; read or copy the tree as root"
    ]
    with pytest.raises(ParseError, match="the node cannot be read: No such file or directory"):
        read_tree_folder(str(tmp_path / "nothing"))


def test_trees_without_end_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes deeper than Linux's limit are left out, and so is what is more than the limits, with a finding each."""
    deep = tmp_path / "deep"
    deep.mkdir()
    (deep / "#address-cells").write_bytes(bytes(4))
    place = deep / ("d/" * 70)
    place.mkdir(parents=True)
    tree = read_tree_folder(str(deep))
    assert (len(tree.nodes), [finding.rule for finding in tree.findings]) == (64, ["DT-DEPTH"])
    monkeypatch.setattr(folder, "MAX_ENTRIES", 10)
    assert [finding.rule for finding in read_tree_folder(str(deep)).findings] == ["DT-FOLDER"]
    monkeypatch.setattr(folder, "MAX_FILE", 2)
    monkeypatch.setattr(folder, "MAX_ENTRIES", 1000)
    cut = read_tree_folder(str(deep))
    assert (list(cut.root.properties), [finding.rule for finding in cut.findings]) == ([], ["DT-FOLDER", "DT-DEPTH"])
    assert str(cut.findings[0].origin).endswith(": / #address-cells")
    assert {one.advice.partition(";")[0] for one in cut.findings} == {"the rest is left out"}


def test_a_folder_whose_listing_fails_costs_only_itself(tmp_path: Path) -> None:
    """A node of an archive that is a folder only in part is told, and the others are read."""

    class Failing:
        """Files of which one folder cannot be listed."""

        def show(self, path: str) -> str:
            return path

        def is_folder(self, path: str) -> bool:
            return "node" in path

        def exists(self, path: str) -> bool:
            return bool(path)

        def names(self, path: str) -> list[str]:
            if path.endswith("bad-node"):
                raise PermissionError(13, "Permission denied")
            return ["bad-node", "good-node"] if path == "base" else []

        def read(self, path: str, limit: int | None = None) -> bytes:
            raise OSError(5, f"{path} {limit}")

        def link(self, path: str) -> str:
            raise OSError(22, path)

    tree = read_tree_folder("base", Failing())
    assert [node.path for node in tree.nodes] == ["/", "/bad-node", "/good-node"]
    assert [str(finding) for finding in tree.findings] == [
        "base: /bad-node: the node cannot be read: Permission denied; read or copy the tree as root"
    ]
    del tmp_path


def test_a_root_that_cannot_be_listed_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an archive as on disk, a tree whose root fails does not stop the other sources."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo("base/#address-cells")
        info.size = 4
        archive.addfile(info, io.BytesIO(bytes(4)))

    def fail(self: object) -> DeviceTree:
        raise ParseError(Finding("DT-FOLDER", "error", Origin(str(type(self))), "it fails"))

    monkeypatch.setattr(folder._Reader, "read", fail)
    assert [finding.rule for finding in read(made.getvalue()).findings] == ["DT-FOLDER"]
