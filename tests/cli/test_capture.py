"""`iommuman capture`: a `/sys` tree to a folder that is a board."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.parsers.sources import read_sources

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, FIXTURES


@pytest.fixture
def sys_tree(tmp_path: Path) -> Path:
    """Return a genuine `/sys` tree, unpacked."""
    with tarfile.open(FIXTURES / "sys" / "q35-vtd.tar.gz") as archive:
        archive.extractall(tmp_path)  # noqa: S202 - our own archive; Debian 12 has no filter for it yet
    return tmp_path / "sys"


def test_a_capture_is_the_board(run: Callable[..., Ran], sys_tree: Path, tmp_path: Path) -> None:
    """What is saved from a board's `/sys` equals the board's fixture: tables byte for byte, functions one by one."""
    saved = tmp_path / "new" / "board"
    ran = run("capture", saved, "--sys", sys_tree)
    assert ran.status == 0
    assert "DMAR.bin  176 bytes\n" in ran.out
    for table in BOARDS.joinpath("q35-vtd").glob("*.bin"):
        assert (saved / table.name).read_bytes() == table.read_bytes()
    assert run("dump", "--format", "table", saved).out == run("dump", "--format", "table", BOARDS / "q35-vtd").out


def test_the_device_tree_is_saved_as_it_is(run: Callable[..., Ran], tmp_path: Path) -> None:
    """The blob is copied and not written anew."""
    blob = (BOARDS / "virt-smmuv3-dt" / "board.dtb").read_bytes()
    (tmp_path / "sys" / "firmware").mkdir(parents=True)
    (tmp_path / "sys" / "firmware" / "fdt").write_bytes(blob)
    assert run("capture", tmp_path / "board", "--sys", tmp_path / "sys").status == 0
    assert (tmp_path / "board" / "board.dtb").read_bytes() == blob
    assert not (tmp_path / "board" / "pci.json").exists()


def test_nothing_is_written_over(run: Callable[..., Ran], sys_tree: Path, tmp_path: Path) -> None:
    """A second capture into the same folder is refused, and changes nothing."""
    saved = tmp_path / "board"
    run("capture", saved, "--sys", sys_tree)
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    ran = run("capture", saved, "--sys", sys_tree)
    assert ran.status == 3
    assert ran.err == f"iommuman: {saved}/APIC.bin: this cannot be written: File exists; name a new folder\n"
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_functions_without_any_do_not_make_a_file(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A machine with a PCI folder and no functions gets no PCI file."""
    (tmp_path / "sys" / "bus" / "pci" / "devices").mkdir(parents=True)
    (tmp_path / "sys" / "firmware" / "acpi" / "tables").mkdir(parents=True)
    table = (BOARDS / "q35-vtd" / "DMAR.bin").read_bytes()
    (tmp_path / "sys" / "firmware" / "acpi" / "tables" / "DMAR").write_bytes(table)
    run("capture", tmp_path / "board", "--sys", tmp_path / "sys")
    assert [path.name for path in (tmp_path / "board").iterdir()] == ["DMAR.bin"]


def test_only_a_sys_tree_is_captured(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A folder that is no `/sys` tree, such as a board, is refused in one sentence, and nothing is made."""
    ran = run("capture", tmp_path / "board", "--sys", BOARDS / "q35-vtd")
    assert ran.status == 3
    assert ran.err.endswith(
        "this is no /sys tree: it has no firmware tables, device tree or PCI functions; name /sys or a copy of it\n"
    )
    ran = run("capture", tmp_path / "board", "--sys", FIXTURES / "sys/q35-vtd.tar.gz")
    assert ran.status == 3
    assert ran.err.endswith("this is a file, and no /sys tree; name a folder; an archive has to be unpacked before\n")
    assert not (tmp_path / "board").exists()


def test_the_memory_map_is_saved_as_text(run: Callable[..., Ran], tmp_path: Path) -> None:
    """What `/sys/firmware/memmap` says is saved in the form of `/proc/iomem`, and read from there again."""
    root = tmp_path / "sys" / "firmware"
    (root / "acpi" / "tables").mkdir(parents=True)
    (root / "acpi" / "tables" / "DMAR").write_bytes((BOARDS / "q35-vtd" / "DMAR.bin").read_bytes())
    entries = (("0x0", "0x9fbff", "System RAM"), ("0x9fc00", "0x9ffff", "Reserved"))
    for number, values in enumerate(entries):
        (root / "memmap" / str(number)).mkdir(parents=True)
        for name, value in zip(("start", "end", "type"), values, strict=True):
            (root / "memmap" / str(number) / name).write_text(value + "\n")
    ran = run("capture", tmp_path / "board", "--sys", tmp_path / "sys")
    assert (ran.status, ran.err) == (0, "")
    text = "00000000-0009fbff : System RAM\n0009fc00-0009ffff : Reserved\n"
    assert (tmp_path / "board" / "iomem.txt").read_text() == text
    memory = read_sources([str(tmp_path / "board")]).memory
    assert [(one.start, one.length, one.kind) for one in memory] == [(0, 0x9FC00, "ram"), (0x9FC00, 0x400, "reserved")]
