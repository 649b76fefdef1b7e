"""Archives and compressed files: read in place as the folders that they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from iommuman.cli.main import main
from iommuman.parsers import ParseError, files
from iommuman.parsers.containers import member, packed, streams
from iommuman.parsers.sources import Inputs, read_sources

from tests.conftest import FIXTURES
from tests.parsers.containers.making import DMAR, FILES, MCFG, SSDT, found, read, sentences, special, tar, zipped
from tests.parsers.pci.test_sysfs import unpack

BOARD = [("DMAR", "a:board/DMAR.bin"), ("MCFG", "a:board/MCFG.bin"), ("SSDT", "a:board/SSDT.bin")]


@pytest.mark.parametrize("pack", ["", "gz", "bz2", "xz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar_is_read(form: int, pack: str) -> None:
    """The files of an archive are found in each format and compression, and named by archive and path."""
    inputs = read(tar(*FILES, form=form, pack=pack))
    assert (found(inputs), inputs.findings, inputs.passed_over) == (BOARD, [], [])


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_what_gnu_tar_writes_is_read(form: str, tmp_path: Path) -> None:
    """Each format of the tar program is read, with long names where it has them."""
    long = "n" * 40 + "/" + ("m" * 90 if form in ("v7", "ustar") else "m" * 200)
    if form == "v7":
        long = "n" * 40
    for name, data in ((f"{long}", SSDT), ("DMAR", DMAR)):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in" / "link").symlink_to("DMAR")
    subprocess.run(["tar", f"--format={form}", "-cf", tmp_path / "out", "-C", tmp_path / "in", "."], check=True)
    inputs = read((tmp_path / "out").read_bytes())
    assert ("DMAR", "a:DMAR") in found(inputs)
    if "/" not in long:
        assert ("SSDT", f"a:{long}") in found(inputs)
    else:
        assert inputs.passed_over[-1] == (f"a:{long.partition('/')[0]}", "a folder")
    assert ("a:link", "the same as a:DMAR") in inputs.passed_over
    assert inputs.findings == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_every_kind_of_zip_is_read(method: int, stream: bool) -> None:
    """The files of a ZIP file are found, whatever the compression and wherever their sizes stand."""
    data = zipped(*FILES, method=method, stream=stream)
    inputs = read(data)
    assert (found(inputs), inputs.findings, inputs.passed_over) == (BOARD, [], [])


@pytest.mark.skipif(shutil.which("zip") is None, reason="the zip program is not installed")
def test_what_info_zip_writes_is_read(tmp_path: Path) -> None:
    """The zip program's own output is read, links that it keeps included; an encrypted file is named."""
    (tmp_path / "DMAR").write_bytes(DMAR)
    (tmp_path / "link").symlink_to("DMAR")
    subprocess.run(["zip", "-qy", "out.zip", "DMAR", "link"], cwd=tmp_path, check=True)
    inputs = read((tmp_path / "out.zip").read_bytes())
    assert found(inputs) == [("DMAR", "a:DMAR")]
    assert inputs.passed_over == [("a:link", "the same as a:DMAR")]
    subprocess.run(["zip", "-qP", "secret", "secret.zip", "DMAR"], cwd=tmp_path, check=True)
    assert read((tmp_path / "secret.zip").read_bytes()).passed_over == [("a:DMAR", "it is encrypted")]


def test_a_zip_file_with_numbers_of_64_bits_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes, offsets and the directory are found where 32 bits do not hold them."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 50)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = zipped(*FILES)
    assert b"PK\6\6" in data
    assert (found(read(data)), read(data).findings) == (BOARD, [])
    lost = bytearray(data)
    lost[data.index(b"PK\6\6")] ^= 1
    assert found(read(bytes(lost))) == BOARD
    assert "the directory of the archive is lost" in sentences(read(bytes(lost)))[0]


def test_a_method_that_is_not_read_is_named() -> None:
    """A file compressed by LZMA in a ZIP file is passed over with the number of its method."""
    inputs = read(zipped(("DMAR", DMAR), method=zipfile.ZIP_LZMA))
    assert inputs.passed_over == [("a:DMAR", "it is compressed by method 14, which is not read")]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_is_read(compress: object) -> None:
    """One file, of any kind, is read under the name of the compressed one; parts after each other are one file."""
    assert callable(compress)
    assert found(read(compress(DMAR))) == [("DMAR", "a")]
    inputs = read(compress(DMAR[:20]) + compress(DMAR[20:]) + bytes(4))
    assert (found(inputs), inputs.findings) == ([("DMAR", "a")], [])


@pytest.mark.parametrize("board", ["q35-vtd", "virt-smmuv3-acpi"])
@pytest.mark.parametrize("form", ["tree", "table", "json", "dot"])
def test_a_sys_tree_in_an_archive_is_the_folder(
    board: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `dump` says of a genuine tree in an archive is, but for names, what it says of the unpacked one."""
    archive, folder = FIXTURES / "sys" / f"{board}.tar.gz", unpack(board, tmp_path)
    texts = []
    for source, name in ((archive, f"{archive}:sys"), (folder, str(folder))):
        main(["dump", "--format", form, str(source), *(["--provenance"] if form in ("tree", "table") else [])])
        texts.append(capsys.readouterr().out.replace(name, "X").replace(f"[{Path(name).name}: ", "[X: "))
    assert texts[0] == texts[1]
    assert len(texts[0]) > 1000


def test_a_sys_tree_that_tar_filled_up_is_read() -> None:
    """Tar fills up attributes with zeros, which are a page long as /sys says, and what only root may read."""
    config = bytearray(64)
    config[:4] = b"\x86\x80\x01\x19"
    config[6], config[0x34] = 0x10, 0x40
    where = "sys/bus/pci/devices/0000:00:01.0"
    entries = [
        (f"{where}/config", bytes(config).ljust(256, b"\0")),
        (f"{where}/vendor", b"0x8086\n".ljust(4096, b"\0")),
    ]
    entries += [(f"sys/firmware/memmap/0/{part}", text.ljust(4096, b"\0")) for part, text in
                (("start", b"0x1000\n"), ("end", b"0x1fff\n"), ("type", b"System RAM\n"))]  # fmt: skip
    inputs = read(tar(*entries))
    (function,) = inputs.pci[0].functions.values()
    assert (function.vendor, function.pcie_known) == (0x8086, False)
    assert [finding.rule for finding in inputs.pci[0].findings] == ["PCI-CAPABILITIES"]
    assert [(one.start, one.length, one.origin.source) for one in inputs.memory] == [
        (0x1000, 0x1000, "a:sys/firmware/memmap/0")
    ]


def test_links_stay_in_the_archive(tmp_path: Path) -> None:
    """Links lead to what is in the archive, over folders too; such as lead out, nowhere, or round are passed over."""
    outside = tmp_path / "outside"
    outside.write_bytes(DMAR)
    entries: list[tuple[str, bytes] | tarfile.TarInfo] = [
        ("d/inner/SSDT", SSDT),
        special("d/to", tarfile.SYMTYPE, "inner/../../d/./inner"),
        special("d/over", tarfile.SYMTYPE, "to/SSDT"),
        special("d/absolute", tarfile.SYMTYPE, str(outside)),
        special("d/up", tarfile.SYMTYPE, "../.." + str(outside)),
        special("d/round", tarfile.SYMTYPE, "round"),
        special("d/nowhere", tarfile.SYMTYPE, "nothing"),
        special("d/twin", tarfile.LNKTYPE, "d/inner/SSDT"),
        special("d/hard", tarfile.LNKTYPE, str(outside)),
        special("d/null", tarfile.CHRTYPE),
        special("d/disk", tarfile.BLKTYPE),
        special("d/pipe", tarfile.FIFOTYPE),
    ]
    inputs = read(tar(*entries))
    assert found(inputs) == [("SSDT", "a:d/over")]
    assert inputs.passed_over == [
        ("a:d/hard", "it is a hard link to what is not in the archive"),
        ("a:d/absolute", "it leads out of the archive"),
        ("a:d/disk", "a block device"),
        ("a:d/inner", "a folder"),
        ("a:d/nowhere", "No such file or directory"),
        ("a:d/null", "a character device"),
        ("a:d/pipe", "a named pipe"),
        ("a:d/round", "Too many levels of symbolic links"),
        ("a:d/to", "a folder"),
        ("a:d/twin", "the same as a:d/over"),
        ("a:d/up", "it leads out of the archive"),
    ]


def test_names_do_no_harm() -> None:
    """Names that lead out, that are too long or deep, or hold a zero are passed over; `/` in front is taken off."""
    inputs = read(
        tar(
            ("../DMAR", DMAR), ("a/../../b", DMAR), ("/abs/SSDT", SSDT), ("abs/./x//MCFG", MCFG),
            ("n" * 5000, DMAR), ("d/" * 70 + "DMAR", DMAR), form=tarfile.PAX_FORMAT,
        )
    )  # fmt: skip
    assert found(inputs) == [("SSDT", "a:abs/SSDT")]
    assert inputs.passed_over == [
        ("a:../DMAR", "it leads out of the archive, and so are 1 more"),
        (f"a:{'n' * 4096}", "its name is too long, and so are 1 more"),
        ("a:abs/x", "a folder"),
    ]
    hidden = zipped(("xDMAR", DMAR), ("SSDT", SSDT)).replace(b"xDMAR", b"\0DMAR")
    inputs = read(hidden)
    assert found(inputs) == [("SSDT", "a:SSDT")]
    assert inputs.passed_over == [("a:\0DMAR", "its name holds a zero byte")]


def test_the_last_of_several_with_one_name_counts() -> None:
    """As when an archive is unpacked, an entry takes the place of an earlier one, which is told."""
    for data in (tar(("x", DMAR), ("x", MCFG), ("y", SSDT)), tar(("x", MCFG), ("y", SSDT), ("y/z", DMAR))):
        assert found(read(data)) == [("MCFG", "a:x"), ("SSDT", "a:y")]
    assert sentences(read(tar(("x", DMAR), ("x", MCFG), ("x", SSDT)))) == [
        "ARCHIVE-DAMAGED a: 2 entries have the name of an earlier one and other bytes; the last counts"
    ]
    taken = read(tar(("x/y", DMAR), special("x", tarfile.SYMTYPE, "z"), ("z", SSDT)))
    assert found(taken) == [("SSDT", "a:x")]


def test_archives_inside_archives_are_bounded() -> None:
    """A compressed table in an archive is read, and an archive in one; what is deeper is named."""
    deep = tar(("DMAR.gz", gzip.compress(DMAR)))
    assert found(read(deep)) == [("DMAR", "a:DMAR.gz")]
    assert found(read(tar(("inner.tar", tar(*FILES))))) == [(name, f"a:inner.tar:{rest[2:]}") for name, rest in BOARD]
    assert read(tar(("x.tar", deep))).passed_over == [("a:x.tar:DMAR.gz", "an archive inside 2 others")]


def test_what_stands_behind_compressed_data_is_read() -> None:
    """As of a kernel with a tree behind it, what follows is read under the name of the file and its offset."""
    kernel = gzip.compress(b"kernel" * 100, mtime=0)
    inputs = read(kernel + DMAR)
    assert found(inputs) == [("DMAR", f"a@0x{len(kernel):x}")]


def test_what_stands_behind_what_cannot_be_read_is_read() -> None:
    """A tree of a version that nobody knows is a finding when something follows it."""
    strange = b"\xd0\x0d\xfe\xed" + (64).to_bytes(4) + b"\xff" * 56
    inputs = read(gzip.compress(strange) + DMAR)
    assert ([kind for kind, _ in found(inputs)], [one.rule for one in inputs.findings]) == (["DMAR"], ["DT-VERSION"])
    with pytest.raises(ParseError, match="version"):
        read(gzip.compress(strange))


def test_a_sparse_file_is_named(tmp_path: Path) -> None:
    """Files with holes, old and new, are passed over, and what stands after them is read."""
    with (tmp_path / "a").open("wb") as file:
        for place in range(60):
            file.seek(place << 17)
            file.write(b"x")
    (tmp_path / "b").write_bytes(DMAR)
    for form in ("gnu", "posix"):
        subprocess.run(["tar", f"--format={form}", "-cSf", "out", "a", "b"], cwd=tmp_path, check=True)
        inputs = read((tmp_path / "out").read_bytes(), "t")
        assert (found(inputs), inputs.findings) == ([("DMAR", "t:b")], [])
        assert inputs.passed_over == [("t:a", "a sparse file")]


def test_global_headers_and_numbers_in_base_256_are_read() -> None:
    """A pax header for all entries holds for all of them; sizes in base 256 are read."""
    made = bytearray(tar(("x", DMAR), ("y", SSDT)))
    made[124:136] = b"\x80" + len(DMAR).to_bytes(11)
    made[148:156] = b" " * 8
    made[148:156] = f"{sum(made[:512]):06o}\0 ".encode()
    assert found(read(bytes(made))) == [("DMAR", "a:x"), ("SSDT", "a:y")]
    assert found(read(pax(b"size", str(len(DMAR)).encode()) + tar(("x", DMAR)))) == [("DMAR", "a:x")]
    shared = io.BytesIO()
    with tarfile.open(fileobj=shared, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "all"}) as archive:
        archive.addfile(special("x", tarfile.REGTYPE))
    assert read(shared.getvalue()).passed_over == [("a:all", "empty")]


def pax(key: bytes, value: bytes) -> bytes:
    """Return an extended header of one record."""
    record = b" " + key + b"=" + value + b"\n"
    text = str(len(record) + 2).encode() + record
    info = special("pax", tarfile.XHDTYPE)
    info.size = len(text)
    return info.tobuf(tarfile.USTAR_FORMAT) + text.ljust(512, b"\0")


def test_odd_headers_are_read_as_far_as_they_go() -> None:
    """Extended headers that are cut off or no records are told or passed by; old folders are known by their `/`."""
    assert found(read(pax(b"other", b"1") + tar(("x", DMAR)))) == [("DMAR", "a:x")]
    broken = bytearray(pax(b"path", b"hidden"))
    broken[512] = ord("x")
    assert found(read(bytes(broken) + tar(("x", DMAR)))) == [("DMAR", "a:x")]
    nothing = pax(b"", b"")
    assert found(read(nothing.replace(b" =\n", b" .\n") + tar(("x", DMAR)))) == [("DMAR", "a:x")]
    linked = special("link", tarfile.SYMTYPE, "t" * 150)
    assert found(read(tar(linked, ("t" * 150, DMAR), form=tarfile.PAX_FORMAT))) == [("DMAR", "a:link")]
    long = special("pax", tarfile.XHDTYPE)
    long.size = 2 << 20
    inputs = read(long.tobuf(tarfile.USTAR_FORMAT) + bytes(2 << 20) + tar(("x", DMAR)))
    assert found(inputs) == [("DMAR", "a:x")]
    assert sentences(inputs) == ["ARCHIVE-DAMAGED a: +0x0: an extended header of the archive is cut off"]
    folder = special("old/", tarfile.REGTYPE)
    assert read(folder.tobuf(tarfile.USTAR_FORMAT) + tar(("x", DMAR))).passed_over == [("a:old", "a folder")]


def test_damage_costs_what_it_hits() -> None:
    """Behind a header that is none the next one is read; of an archive that is cut off what is there is read."""
    whole = tar(*FILES)
    broken = bytearray(whole)
    broken[1024 + 148] ^= 1  # the second header
    inputs = read(bytes(broken))
    assert found(inputs) == [BOARD[0], BOARD[2]]
    assert sentences(inputs) == [
        "ARCHIVE-DAMAGED a: +0x400: a header of the archive is damaged, and what it stands for is lost"
    ]
    inputs = read(whole[:1024])
    end = "ARCHIVE-DAMAGED a: +0x400: the archive has no end; it may be cut off"
    assert (found(inputs), sentences(inputs)) == ([BOARD[0]], [end])
    inputs = read(whole[: 1536 + 30])
    assert (found(inputs), sentences(inputs)) == ([BOARD[0]], ["ARCHIVE-DAMAGED a: +0x61e: the archive is cut off"])
    packed_whole = tar(*FILES, pack="gz")
    inputs = read(packed_whole[:-30])
    assert found(inputs)[0] == BOARD[0]
    assert "the compressed data cannot be read whole: it is cut off" in sentences(inputs)[0]


def test_a_damaged_zip_file_gives_what_is_left() -> None:
    """Without its directory the headers before the files are read; a wrong checksum is told, and the file used."""
    for stream in (False, True):
        data = zipped(*FILES, stream=stream)
        inputs = read(data[: data.index(b"PK\1\2") + 10])
        assert found(inputs) == BOARD
        assert "the directory of the archive is lost" in sentences(inputs)[0]
        inputs = read(data[: data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)] + data[data.index(b"PK\5\6") :])
        assert found(inputs)
    stored = bytearray(zipped(("DMAR", DMAR), ("SSDT", SSDT), method=zipfile.ZIP_STORED))
    stored[stored.index(b"DMAR", 34) + 40] ^= 1
    inputs = read(bytes(stored))
    assert [name for name, _ in found(inputs)] == ["DMAR", "SSDT"]
    assert sentences(inputs) == ["ARCHIVE-DAMAGED a: +0x0: DMAR cannot be read whole: its checksum is wrong"]
    moved = bytearray(zipped(("DMAR", DMAR), ("SSDT", SSDT)))
    place = moved.index(b"PK\1\2") + 42
    moved[place + 50 : place + 54] = (7).to_bytes(4, "little")
    assert "there is nothing where the directory says that it is" in str(sentences(read(bytes(moved))))


def test_a_member_too_large_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file over the limit one byte too many comes out at most, and it is named."""
    monkeypatch.setattr(files, "MAX_FILE", 1000)
    for data in (tar(("big", bytes(2000))), zipped(("big", bytes(2000))), zipped(("big", bytes(2000)), method=0)):
        inputs = Inputs()
        packed.read_packed(data, "a", inputs, 0)
        assert (inputs.passed_over, inputs.findings) == ([("a:big", "larger than 0 MiB")], [])


def test_a_stored_file_that_is_cut_off_is_told() -> None:
    """What is there of a file in a ZIP file without its end is used."""
    data = zipped(("DMAR", DMAR), method=zipfile.ZIP_STORED)
    inputs = read(data[: 34 + 40])
    assert [table.size for table in inputs.tables] == [40]
    assert sentences(inputs)[1:] == ["ARCHIVE-DAMAGED a: +0x0: DMAR cannot be read whole: it is cut off"]


@pytest.mark.parametrize("make", [tar, zipped])
def test_room_for_what_comes_out_is_shared(make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All archives of a command together give no more than so many bytes, and it is told when they would."""
    assert callable(make)
    monkeypatch.setattr(packed, "MAX_UNPACKED", 35_000)
    for name in ("a", "b"):
        content = make(("t", SSDT), ("z", name.encode() * 20_000))
        (tmp_path / name).write_bytes(gzip.compress(content) if make is tar else content)
    inputs = read_sources([str(tmp_path)])
    assert len(inputs.tables) == 1
    assert [finding.rule for finding in inputs.findings][:1] == ["ARCHIVE-LARGE"]
    assert inputs.unpacked <= 35_000


def test_the_number_of_entries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More entries than the limit are not looked at, and it is told."""
    from iommuman.parsers.containers import tar as tar_reader
    from iommuman.parsers.containers import zip as zip_reader

    for reader, data in ((tar_reader, tar(*FILES)), (zip_reader, zipped(*FILES))):
        monkeypatch.setattr(reader, "MAX_MEMBERS", 2)
        inputs = read(data)
        assert found(inputs) == BOARD[:2]
        assert "more than 2 entries" in sentences(inputs)[0]
    assert member.MAX_MEMBERS == 100_000


def test_many_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of more compressed parts than the limit is read as far as that."""
    monkeypatch.setattr(streams, "MAX_STREAMS", 2)
    inputs = read(gzip.compress(DMAR[:20]) + gzip.compress(DMAR[20:]) + gzip.compress(b"more"))
    assert found(inputs) == [("DMAR", "a")]
    assert "it has more than 2 parts" in sentences(inputs)[0]


def test_findings_of_one_archive_are_bounded() -> None:
    """Of many damaged files the first are told one by one, and the rest counted."""
    data = bytearray(zipped(*((f"{number:04}", sealed_text(number)) for number in range(50)), method=0))
    for number in range(50):
        place = data.index(f"{number:04}".encode()) + 4
        data[place] ^= 0xFF
    inputs = read(bytes(data))
    assert [finding.rule for finding in inputs.findings] == ["ARCHIVE-DAMAGED"] * 20 + ["ARCHIVE-MORE"]
    assert inputs.findings[-1].message == "30 more findings about this archive are not listed"


def sealed_text(number: int) -> bytes:
    """Return a text that is no source."""
    return f"text {number}".encode()
