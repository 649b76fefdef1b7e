"""Several tables or trees in one file, text in UTF-16, and the folders that ACPI's tools write."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest
from iommuman.parsers.containers import tables, trees
from iommuman.parsers.sources import read_sources

from tests.conftest import BOARDS
from tests.parsers.acpi.test_acpidump import write_new, write_old
from tests.parsers.acpi.test_sdt import sealed
from tests.parsers.containers.making import DMAR, MCFG, SSDT, found, read, sentences
from tests.parsers.devicetree.build import blob, node

FACS = b"FACS" + (64).to_bytes(4, "little") + bytes(56)
RSDP = b"RSD PTR " + bytes(7) + b"\2" + bytes(20)
OLD_RSDP = b"RSD PTR " + bytes(12)
BOARD = BOARDS / "q35-vtd"
ONE = blob(node("one"))
TWO = blob(node("two"))


@pytest.mark.parametrize("padding", [b"", b"\0" * 13, b"\xff" * 8])
def test_tables_after_each_other_are_read(padding: bytes) -> None:
    """Each table of a file is read under its offset; structures without a header among them are named."""
    data = padding.join((DMAR, FACS, SSDT, RSDP, MCFG, OLD_RSDP))
    inputs = read(data)
    places = [data.index(one) for one in (DMAR, FACS, SSDT, RSDP, MCFG)]
    assert found(inputs) == [
        ("DMAR", f"a@0x{places[0]:x}"), ("SSDT", f"a@0x{places[2]:x}"), ("MCFG", f"a@0x{places[4]:x}"),
    ]  # fmt: skip
    assert [reason for _, reason in inputs.passed_over] == [
        "FACS is no table with a header",
        "RSDP is no table with a header",
        "RSDP is no table with a header",
    ]
    assert [finding for table in inputs.tables for finding in table.findings] == []


def test_what_is_wrong_with_tables_after_each_other() -> None:
    """One that is there twice is read once; bytes behind the last are told, and so is one that is cut off."""
    inputs = read(DMAR + SSDT + DMAR + b"rest")
    assert inputs.passed_over == []
    assert [finding.rule for finding in inputs.tables[2].findings] == ["ACPI-TRAILING"]
    assert read(DMAR + SSDT + DMAR).passed_over == [(f"a@0x{len(DMAR + SSDT):x}", "the same as a@0x0")]
    inputs = read(DMAR + SSDT[:38])
    assert [finding.rule for finding in inputs.tables[1].findings] == ["ACPI-LENGTH", "ACPI-CHECKSUM"]


def test_one_table_of_several_that_is_too_large_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read at all is a finding, and the rest is read; a file has no more tables than the limit."""
    large = b"BIG!" + (36).to_bytes(4, "little") + bytes(28) + bytes(17 << 20)
    inputs = read(DMAR + large + b"x")
    assert found(inputs) == [("DMAR", "a@0x0")]
    assert [finding.rule for finding in inputs.findings] == ["ACPI-SIZE"]
    monkeypatch.setattr(tables, "MAX_TABLES", 1)
    assert found(read(DMAR + SSDT + MCFG)) == [("DMAR", "a@0x0"), ("SSDT", f"a@0x{len(DMAR):x}")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("write", [write_new, write_old])
def test_text_with_a_byte_order_mark_is_read(write: object, encoding: str) -> None:
    """A dump that PowerShell sent to a file is read with its lines, and so is one with a mark of UTF-8."""
    assert callable(write)
    text = "".join(
        (write("DMAR", DMAR), write("SSDT", SSDT), write("SSDT", sealed(b"SSDT", b"2")), write("FACS", FACS))
    )
    data = text.replace("\n", "\r\n").encode(encoding)
    if encoding == "utf-16-be":
        data = b"\xfe\xff" + data
    inputs = read(data)
    assert [name for name, _ in found(inputs)] == ["DMAR", "SSDT", "SSDT"]
    assert inputs.findings == []
    assert [reason for _, reason in inputs.passed_over] == ["FACS is no table with a header"]


def test_half_a_character_of_utf_16_is_answered() -> None:
    """Text that is cut off in a character, or is none, does no harm."""
    data = write_new("DMAR", DMAR).encode("utf-16")
    assert [name for name, _ in found(read(data[:-1]))] == ["DMAR"]
    assert read(b"\xff\xfe\x00\xd8\x00").passed_over == [("a", "no table, acpidump text, device tree or PCI topology")]


@pytest.mark.skipif(shutil.which("acpixtract") is None, reason="acpixtract is not installed")
def test_what_acpixtract_takes_out_of_a_dump_is_what_the_dump_gives(tmp_path: Path) -> None:
    """The files that ACPICA's own program writes (`ssdt1.dat`, …) hold the tables that are read from the dump."""
    second = sealed(b"SSDT", b"second")
    text = "".join(
        write_new(path.stem, path.read_bytes()) for path in sorted(BOARD.glob("*.bin")) if path.stem != "FACS"
    )
    text += write_new("SSDT", SSDT) + write_new("SSDT", second) + write_new("FACS", FACS)
    (tmp_path / "dump.txt").write_text(text)
    (tmp_path / "out").mkdir()
    subprocess.run(["acpixtract", "-a", "../dump.txt"], cwd=tmp_path / "out", check=True, capture_output=True)
    assert (tmp_path / "out" / "ssdt2.dat").exists()
    dumped = read_sources([str(tmp_path / "dump.txt")])
    folder = read_sources([str(tmp_path / "out")])
    assert sorted(table.header.fixed() for table in dumped.tables) == sorted(
        table.header.fixed() for table in folder.tables
    )
    assert folder.passed_over == [(f"{tmp_path}/out/facs.dat", "FACS is no table with a header")]
    joined = tmp_path / "all"
    joined.write_bytes(b"".join(path.read_bytes() for path in sorted((tmp_path / "out").iterdir())))
    assert [table.signature for table in read_sources([str(joined)]).tables] == [
        table.signature for table in folder.tables
    ]


def test_the_tables_folder_of_linux_is_read_by_itself(tmp_path: Path) -> None:
    """`/sys/firmware/acpi/tables` gives its tables and those that were loaded later; `data` holds no tables."""
    for name, data in (("DMAR", DMAR), ("SSDT1", SSDT), ("dynamic/SSDT2", sealed(b"SSDT", b"2")), ("data/BERT", b"x")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    inputs = read_sources([str(tmp_path)])
    assert [Path(table.source).name for table in inputs.tables] == ["DMAR", "SSDT1", "SSDT2"]
    assert inputs.passed_over == []


@pytest.mark.parametrize("padding", [b"", bytes(3), b"\xff" * 4096])
def test_trees_after_each_other_are_read(padding: bytes) -> None:
    """Each tree of a file is read under its offset, whatever stands between them."""
    inputs = read(ONE + padding + TWO)
    places = [0, len(ONE + padding)]
    assert [tree.source for tree in inputs.trees] == [f"a@0x{place:x}" for place in places]
    assert [tree.root.children[0].name for tree in inputs.trees] == ["one", "two"]
    assert inputs.findings == []


def test_trees_behind_something_are_read() -> None:
    """A tree behind a kernel, compressed or not, is read under its offset; the magic number alone is no tree."""
    kernel = b"MZ" + b"kernel\xd0\x0d\xfe\xed" * 200
    assert [tree.source for tree in read(kernel + ONE).trees] == [f"a@0x{len(kernel):x}"]
    packed = gzip.compress(kernel, mtime=0)
    assert [tree.source for tree in read(packed + ONE).trees] == [f"a@0x{len(packed):x}"]
    assert read(kernel).trees == []
    assert read(b"x" + ONE[:30]).trees == []
    # The same tree is read once.
    assert read(b"x" + ONE + ONE).passed_over == [(f"a@0x{1 + len(ONE):x}", "the same as a@0x1")]


def test_damage_to_one_tree_of_several_stops_nothing() -> None:
    """A first tree with a damaged header, and one that is cut off, are told, and the rest is read."""
    damaged = bytearray(ONE)
    damaged[24:28] = (99).to_bytes(4)
    inputs = read(bytes(damaged[:4]) + bytes(4) + bytes(damaged[8:]) + TWO + ONE[:-8])
    assert [tree.root.children[0].name for tree in inputs.trees] == ["two", "one"]
    assert [finding.rule for finding in inputs.findings] == ["DT-VERSION"]
    assert trees.MAX_TREES == 1024


def test_a_fit_image_is_named() -> None:
    """The trees inside a FIT image are not looked at, and it says what to do."""
    fit = blob(node("images", {}, node("fdt-1", {"data": ONE})), node("configurations"))
    assert read(fit).passed_over == [("a", "a FIT image; take the device tree out of it with dumpimage")]
    assert sentences(read(fit)) == []
