"""What the files and folders that a user names hold, found by their content."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from iommuman.parsers import ParseError, files, folders, sources
from iommuman.parsers.acpi import Raw, read_body, table
from iommuman.parsers.acpi.madt import Madt
from iommuman.parsers.files import read_file
from iommuman.parsers.sources import Inputs, read_sources

from tests.conftest import BOARDS
from tests.parsers.acpi.test_acpidump import write_new, write_old
from tests.parsers.acpi.test_sdt import sealed
from tests.parsers.pci.test_sysfs import space, tree, unpack

SSDT = sealed(b"SSDT", b"body")
PCI = b'{"format": "iommuman-pci", "version": 1, "functions": [{"address": "00:01.0"}]}'
DTB = (BOARDS / "virt-smmuv3-dt" / "board.dtb").read_bytes()
ADVICE = "name a table, a DTB, the text of acpidump, a folder of these, a copy of /sys, or 'live'"
NOTHING = "there is no ACPI table, acpidump text, device tree or PCI topology"
NO_KIND = "no table, acpidump text, device tree or PCI topology"


def write(folder: Path, **files: bytes) -> Path:
    """Write files into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def refused(*paths: object) -> str:
    """Return the sentence with which sources are refused."""
    with pytest.raises(ParseError) as caught:
        read_sources([str(path) for path in paths])
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (SSDT, (1, 0, 0)),
        (write_new("SSDT", SSDT).encode(), (1, 0, 0)),
        (write_old("SSDT", SSDT).encode() + write_old("SSDT", SSDT).encode(), (2, 0, 0)),
        (DTB, (0, 1, 0)),
        (PCI, (0, 0, 1)),
    ],
)
def test_a_file_is_known_by_its_content(data: bytes, kinds: tuple[int, int, int], tmp_path: Path) -> None:
    """A table, both kinds of dump, a device tree and a topology are told apart whatever the file is called."""
    path = write(tmp_path, anything=data) / "anything"
    inputs = read_sources([str(path)])
    assert (len(inputs.tables), len(inputs.trees), len(inputs.pci)) == kinds
    assert (inputs.passed_over, inputs.findings, inputs.empty) == ([], [], False)
    found = [one.source for one in inputs.tables] + [one.source for one in inputs.trees]
    assert {*found, *(one.source for one in inputs.pci)} == {str(path)}


def test_sources_are_read_in_the_order_they_are_named(tmp_path: Path) -> None:
    """Files of a folder come in the order of their names, folders and files in the order of the command line."""
    first = write(tmp_path / "first", b=sealed(b"BBBB", b""), a=sealed(b"AAAA", b""))
    second = write(tmp_path, second=sealed(b"CCCC", b"")) / "second"
    for paths, order in (((first, second), "ABC"), ((second, first), "CAB")):
        inputs = read_sources([str(path) for path in paths])
        assert "".join(one.signature[0] for one in inputs.tables) == order


def test_a_board_folder_is_read(tmp_path: Path) -> None:
    """A folder with tables, a device tree and a topology gives all three; the rest is passed over with its reason."""
    folder = write(tmp_path, t=SSDT, d=DTB, p=PCI, note=b"a remark", zero=b"")
    (folder / "linux").mkdir()
    inputs = read_sources([str(folder)])
    assert (len(inputs.tables), len(inputs.trees), len(inputs.pci)) == (1, 1, 1)
    assert inputs.passed_over == [
        (f"{folder}/linux", "a folder"),
        (f"{folder}/note", NO_KIND),
        (f"{folder}/zero", "empty"),
    ]


@pytest.mark.parametrize(("board", "tables"), [("q35-vtd", 7), ("virt-smmuv3-acpi", 5)])
def test_a_genuine_sys_tree_is_read(board: str, tables: int, tmp_path: Path) -> None:
    """Tables and functions of a real machine's tree are found; the FACS, which has no table header, is passed over."""
    root = unpack(board, tmp_path)
    inputs = read_sources([str(root)])
    assert {Path(one.source).name for one in inputs.tables} >= {"MCFG", "DSDT", "FACP"}
    assert len(inputs.tables) >= tables
    assert [Path(name).name for name, _ in inputs.passed_over] in ([], ["FACS"])
    assert len(inputs.pci) == 1
    assert inputs.findings == []


@pytest.mark.parametrize("part", ["tables", "tree", "pci"])
def test_one_part_makes_a_sys_tree(part: str, tmp_path: Path) -> None:
    """Tables, a device tree or PCI functions alone are enough; what else is in the tree is not read."""
    write(tmp_path, stray=SSDT)
    if part == "tables":
        write(tmp_path / "firmware/acpi/tables", DMAR=sealed(b"DMAR", bytes(12)))
        write(tmp_path / "firmware/acpi/tables/dynamic", SSDT1=SSDT)
    elif part == "tree":
        write(tmp_path / "firmware", fdt=DTB)
    else:
        tree(tmp_path, space())
    inputs = read_sources([str(tmp_path)])
    assert [len(inputs.tables), len(inputs.trees), len(inputs.pci)] == [
        2 * (part == "tables"),
        part == "tree",
        part == "pci",
    ]
    assert inputs.passed_over == []


@pytest.mark.parametrize("dump", [False, True])
def test_tables_that_declare_no_iommu_are_read_when_asked_for(dump: bool, tmp_path: Path) -> None:
    """The MADT of a source keeps its body as bytes until somebody needs it, in a dump as well."""
    madt = (BOARDS / "q35-vtd" / "APIC.bin").read_bytes()
    path = write(tmp_path, source=write_new("APIC", madt).encode() if dump else madt) / "source"
    (found,) = read_sources([str(path)]).tables
    assert isinstance(found.body, Raw)
    assert isinstance(read_body(found).body, Madt)


def test_a_board_is_shown_without_what_names_nothing_in_it(tmp_path: Path) -> None:
    """`dump` of a folder imports what reads the MADT for its I/O APIC, and no more: start-up time is a feature."""
    code = (
        "import sys; from iommuman.cli.main import main; "
        f"assert main(['dump', {str(BOARDS / 'q35-vtd')!r}]) == 0; "
        "print(sorted(name for name in sys.modules if name.startswith('iommuman.parsers')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "iommuman.parsers.acpi.dmar.reader" in ran.stdout
    assert "iommuman.parsers.acpi.madt.reader" in ran.stdout
    unread = ("hpet", "srat", "slit", "namespace", "memory_map")
    assert not [name for name in unread if f".{name}" in ran.stdout]


def test_live_is_the_machines_own_tree_unless_there_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`live` means `/sys`; a file or folder of that name comes first."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "sys/firmware", fdt=DTB)
    monkeypatch.setattr(sources, "_SYS", str(tmp_path / "sys"))
    assert [len(one) for one in (read_sources(["live"]).trees, read_sources(["live"]).tables)] == [1, 0]
    write(tmp_path, live=SSDT)
    assert [len(one) for one in (read_sources(["live"]).trees, read_sources(["live"]).tables)] == [0, 1]


def test_what_is_not_there_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """A missing file, a path that cannot be, a loop of links, a pipe, a socket and a device are refused by name."""
    advice = "name a file or folder that is there and that may be read"
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tmp_path, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
    reasons = {
        str(tmp_path / "nothing"): "No such file or directory",
        str(tmp_path / "loop"): "Too many levels of symbolic links",
        str(tmp_path / "pipe"): "it is no regular file",
        str(tmp_path / "socket"): "No such device or address",
        "/dev/null": "it is no regular file",
        "x" * 5000: "File name too long",
        "": "No such file or directory",
    }
    for path, reason in reasons.items():
        name = path or "''"
        assert refused(path) == f"{name}: this cannot be opened: {reason}; {advice}"
    assert "this cannot be opened: embedded null" in refused("a\0b")
    assert "this cannot be opened: " in refused("\ud800")


def test_what_only_root_may_read_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tables of `/sys` are there, and to name another file would not help."""
    (tmp_path / "DMAR").write_bytes(b"")

    def forbid(path: str, limit: int | None = None) -> bytes:
        raise PermissionError(13, "Permission denied", path, limit)

    monkeypatch.setattr("iommuman.parsers.files.read_file", forbid)
    with pytest.raises(ParseError) as caught:
        read_sources([str(tmp_path)])
    assert caught.value.finding.advice == "read it, or copy it, as root"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    """A forbidden file is refused when named, a finding in a folder; a forbidden folder holds nothing."""
    folder = write(tmp_path / "folder", secret=SSDT, plain=SSDT)
    (folder / "secret").chmod(0)
    assert "this cannot be opened: Permission denied; read it, or copy it, as root" in refused(folder / "secret")
    write(tmp_path / "closed", inner=SSDT).chmod(0)
    (folder / "link").symlink_to(tmp_path / "closed" / "inner")
    try:
        inputs = read_sources([str(folder)])
        assert (len(inputs.tables), inputs.passed_over) == (1, [])
        assert [(one.rule, one.origin.source) for one in inputs.findings] == [
            ("SOURCE-OPEN", f"{folder}/link"),
            ("SOURCE-OPEN", f"{folder}/secret"),
        ]
        closed = tmp_path / "closed"
        assert refused(closed) == f"{closed}: {NOTHING} (Permission denied); {ADVICE}"
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_nothing_of_use_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    """When all sources together hold nothing, the error is that of the first, and says what to name."""
    note = write(tmp_path / "one", note=b"a remark") / "note"
    empty = write(tmp_path / "two")
    assert refused(note) == f"{note}: {NOTHING}; {ADVICE}"
    assert refused(empty) == f"{empty}: {NOTHING}; {ADVICE}"
    assert refused(empty, note) == refused(empty)
    assert refused(note.parent) == f"{note.parent}: {NOTHING} ({note}: {NO_KIND}); {ADVICE}"
    assert refused() == f"{NOTHING}; {ADVICE}"
    assert Inputs().empty


def test_a_damaged_file_in_a_folder_does_not_stop_the_others(tmp_path: Path) -> None:
    """What is wrong with a file that was not named is a finding; alone, or named, it is the error."""
    folder = write(tmp_path, bad=PCI[:-1], good=SSDT)
    inputs = read_sources([str(folder)])
    assert len(inputs.tables) == 1
    assert [finding.rule for finding in inputs.findings] == ["PCI-FILE"]
    with pytest.raises(ParseError, match="bad:1: this is no JSON that can be read"):
        read_sources([str(folder / "bad")])
    (folder / "good").unlink()
    with pytest.raises(ParseError, match="bad:1: this is no JSON that can be read"):
        read_sources([str(folder)])


def test_pipes_and_loops_in_a_folder_do_no_harm(tmp_path: Path) -> None:
    """A named pipe does not hang the reader; it, and links that lead nowhere or round, are passed over."""
    folder = write(tmp_path, table=SSDT)
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "broken").symlink_to("nowhere")
    (folder / "up").symlink_to("..")
    inputs = read_sources([str(folder)])
    assert len(inputs.tables) == 1
    assert inputs.passed_over == [
        (f"{folder}/broken", "No such file or directory"),
        (f"{folder}/loop", "Too many levels of symbolic links"),
        (f"{folder}/pipe", "it is no regular file"),
        (f"{folder}/up", "a folder"),
    ]


@pytest.mark.parametrize("limit", [1 << 20, (1 << 20) - 1])
def test_files_over_the_limit_are_passed_over(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of just the largest size is read; of one that is larger, no more than one byte too many is."""
    monkeypatch.setattr(files, "MAX_FILE", limit)
    path = write(tmp_path, big=sealed(b"SSDT", bytes((1 << 20) - 36))) / "big"
    assert len(read_file(str(path))) == min(1 << 20, limit + 1)
    if limit == 1 << 20:
        assert read_sources([str(path)]).tables[0].size == 1 << 20
    else:
        assert refused(path) == f"{path}: {NOTHING} (larger than 0 MiB); {ADVICE}"


def test_a_file_is_read_up_to_what_is_asked(tmp_path: Path) -> None:
    """With a limit no more bytes than that are read."""
    path = str(write(tmp_path, data=b"0123456789") / "data")
    assert (read_file(path, 4), read_file(path, 10), read_file(path, 99)) == (b"0123", b"0123456789", b"0123456789")
    with pytest.raises(IsADirectoryError):
        read_file(str(tmp_path))


def test_a_folder_of_a_hundred_thousand_entries_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first ten thousand by name are looked at, and a finding says so."""
    names = [f"{number:06}" for number in range(100_000)]
    folder = write(tmp_path / "many", **dict.fromkeys(names[:3], b""), **{"000003": SSDT})

    class Entry:
        def __init__(self, name: str) -> None:
            self.name = name

    monkeypatch.setattr(os, "scandir", lambda _: map(Entry, reversed(names)))
    inputs = read_sources([str(folder)])
    assert len(inputs.tables) == 1
    assert len(inputs.passed_over) == 9_999
    assert [(finding.rule, finding.severity) for finding in inputs.findings] == [("SOURCE-MANY", "warning")]


def test_a_folder_that_fails_is_an_error_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a folder's entries cannot be had, the other sources are read, and the reason is told."""
    table_file = write(tmp_path, table=SSDT) / "table"

    def fail(_: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", fail)
    inputs = read_sources([str(tmp_path), str(table_file)])
    assert len(inputs.tables) == 1
    assert str(inputs.findings[0]).startswith(
        f"{tmp_path}: there is no ACPI table, acpidump text, device tree or PCI topology (Input/output error); name"
    )


def test_a_source_that_gives_nothing_names_what_is_in_it_alone(tmp_path: Path) -> None:
    """What other sources passed over is not said of it; of several entries the first is named, and the rest counted."""
    sound = write(tmp_path / "sound", table=SSDT, other=b"text")
    barren = write(tmp_path / "barren", one=b"text", two=b"text2")
    (finding,) = read_sources([str(sound), str(barren)]).findings
    assert f" ({barren}/one: " in finding.message
    assert finding.message.endswith(", and 1 more)")


@pytest.mark.parametrize("most", [3, 2])
def test_a_folder_with_too_many_entries_is_told(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the limit all files are looked at, above it the first by name."""
    monkeypatch.setattr(folders, "MAX_ENTRIES", most)
    folder = write(tmp_path, c=SSDT, b=sealed(b"SSDT", b"b"), a=sealed(b"SSDT", b"a"))
    inputs = read_sources([str(folder)])
    assert [Path(one.source).name for one in inputs.tables] == ["a", "b", "c"][:most]
    sentence = (
        f"{folder}: the folder has too many entries: found 3, expected at most 2; only the first by name are "
        f"looked at; "
        "name the others on their own"
    )
    assert [str(finding) for finding in inputs.findings] == [sentence] * (most == 2)


def test_structures_without_a_header_in_a_dump_are_passed_over(tmp_path: Path) -> None:
    """The root pointer and the FACS of a dump are named with their line, and the tables are read."""
    text = write_new("RSD PTR", bytes(20)) + write_new("FACS", b"FACS" + bytes(60)) + write_new("SSDT", SSDT)
    path = write(tmp_path, dump=text.encode()) / "dump"
    inputs = read_sources([str(path)])
    assert [one.signature for one in inputs.tables] == ["SSDT"]
    assert inputs.passed_over == [
        (f"{path}:1", "RSDP is no table with a header"),
        (f"{path}:5", "FACS is no table with a header"),
    ]


def test_one_table_too_large_does_not_stop_a_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of a dump that is refused is a finding, and the others are read."""
    monkeypatch.setattr(table, "MAX_SIZE", 48)
    text = write_new("SSDT", SSDT + bytes(9)) + write_new("DMAR", sealed(b"DMAR", bytes(12)))
    path = write(tmp_path, dump=text.encode()) / "dump"
    inputs = read_sources([str(path)])
    assert [one.signature for one in inputs.tables] == ["DMAR"]
    assert [finding.rule for finding in inputs.findings] == ["ACPI-SIZE"]


def test_damage_of_a_dump_is_told(tmp_path: Path) -> None:
    """Lines that are missing in a dump, and the table that is shorter for it, are findings at their places."""
    lines = write_new("SSDT", SSDT).splitlines()
    del lines[2]
    path = write(
        tmp_path, dump="\n".join(lines).encode() + b"\n" + write_new("DMAR", sealed(b"DMAR", bytes(12))).encode()
    )
    inputs = read_sources([str(path / "dump")])
    assert [finding.rule for finding in inputs.findings] == ["ACPIDUMP-OFFSET"]
    assert [one.signature for one in inputs.tables] == ["DMAR"]


TEXT_OF_A_LINK = b"../../../devices/LNXSYSTM:00/LNXSYBUS:00/PNP0A08:00"


@pytest.mark.parametrize("data", [TEXT_OF_A_LINK, b"\xef\xbf\xbd" * 20, b"\x7fELF" + bytes(60), b"{}", b"\xd0\x0d\xfe"])
def test_what_is_something_else_is_passed_over(data: bytes, tmp_path: Path) -> None:
    """Links kept as text, text that a codec broke, programs and other JSON are nothing of ours."""
    folder = write(tmp_path, other=data, table=SSDT)
    assert read_sources([str(folder)]).passed_over == [(f"{folder}/other", NO_KIND)]


def test_a_file_that_is_there_twice_is_read_once(tmp_path: Path) -> None:
    """The second of two files with one content is passed over with the name of the first."""
    folder = write(tmp_path, one=SSDT, two=SSDT)
    inputs = read_sources([str(folder)])
    assert len(inputs.tables) == 1
    assert inputs.passed_over == [(f"{folder}/two", f"the same as {folder}/one")]
    for names in (("one", "two"), ("one", "one")):
        named = read_sources([str(folder / name) for name in names])
        assert (len(named.tables), named.findings) == (1, [])
        assert named.passed_over == [(f"{folder}/{names[1]}", f"the same as {folder}/one")]
    assert len(read_sources([str(folder), str(folder / "one")]).tables) == 1


IOMEM = b"00001000-0009fbff : System RAM\n0009fc00-0009ffff : Reserved\n"
LOG = b"[    0.0] Linux version 6.1\n[    0.0] BIOS-e820: [mem 0x0000000000001000-0x000000000009fbff] usable\n"


@pytest.mark.parametrize(("data", "count"), [(IOMEM, 2), (LOG, 1)])
def test_a_memory_map_is_read_beside_a_table(data: bytes, count: int, tmp_path: Path) -> None:
    """The text of `/proc/iomem` and a kernel log give the memory map, silently, in a folder or by name."""
    folder = write(tmp_path, table=SSDT, text=data)
    for paths in ([folder], [folder / "table", folder / "text"]):
        inputs = read_sources([str(path) for path in paths])
        assert (len(inputs.tables), len(inputs.memory)) == (1, count)
        assert (inputs.passed_over, inputs.findings) == ([], [])
        assert inputs.memory[0].origin.source == str(folder / "text")


def test_a_memory_map_alone_is_no_board(tmp_path: Path) -> None:
    """Nothing can be made of a memory map when no source says anything else."""
    path = write(tmp_path, text=LOG) / "text"
    assert refused(path) == f"{path}: {NOTHING}; {ADVICE}"


def test_a_memory_map_that_was_hidden_is_told(tmp_path: Path) -> None:
    """`/proc/iomem` as other users than root see it gives a finding and no range."""
    folder = write(tmp_path, table=SSDT, text=b"00000000-00000000 : System RAM\n")
    inputs = read_sources([str(folder)])
    assert inputs.memory == []
    assert [finding.rule for finding in inputs.findings] == ["MEMORY-HIDDEN"]


def test_the_memory_map_of_a_sys_tree_is_read(tmp_path: Path) -> None:
    """The folders of `firmware/memmap` are read beside the tables."""
    write(tmp_path / "firmware/acpi/tables", DMAR=sealed(b"DMAR", bytes(12)))
    write(tmp_path / "firmware/memmap/0", start=b"0x1000\n", end=b"0x1fff\n", type=b"System RAM\n")
    (found,) = read_sources([str(tmp_path)]).memory
    assert (found.start, found.length, found.kind) == (0x1000, 0x1000, "ram")
    assert found.origin.source == f"{tmp_path}/firmware/memmap/0"
