"""Files that were cut, zeroed, overwritten, that lie or are no sets at all: readers say so, and read the rest."""

from __future__ import annotations

import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.base import Finding
from iommuman.logging_backend import (
    Follower,
    Packet,
    Schema,
    Slog2Error,
    buffer_infos,
    clear,
    packets,
    read_saved,
    save,
    snapshot,
)
from iommuman.logging_backend.image import MAX_FINDINGS, Limited
from iommuman.logging_backend.jsonl import json_line
from iommuman.logging_backend.layout import BUFFERS_AT, HEADER_CHECK_AT, KIND_MASK, PAGE_HEAD_SIZE, PAGE_SIZE, Kind
from iommuman.logging_backend.text_out import LineStyle, line_formatter

from .helpers import amount, make, read

RECORD = Schema("IH", "record %u of %u", ("n", "of"))
LINE = line_formatter(LineStyle())


def image(folder: Path) -> bytes:
    """Return the bytes of a small set with every kind of packet in it, full rings and all."""
    with make(folder, 3, 2) as writer:
        for i in range(30):
            writer.log(0, 0, 5, f"packet {i} " + "x" * 300)
        writer.log_fields(1, 1, 4, "rich", {"n": 1, "f": 1.5, "s": "text", "l": [1, {"a": None}], "big": 1 << 80})
        writer.log_deferred(1, 2, 3, "%s %d %5.1f", "a", 5, 2.5)
        writer.burst(1, 3, 2, RECORD, RECORD.pack([(i, i, 10) for i in range(10)]))
        writer.log(0, 0, 5, "long " + "y" * 6000)
        writer.log(0, 0, 5, "last")
    assert writer.path is not None
    return writer.path.read_bytes()


def examine(path: Path, limit: int = 5000) -> tuple[list[Packet], list[Finding]]:
    """Read a file in every way there is; nothing but Slog2Error may come of it."""
    findings: list[Finding] = []
    found: list[Packet] = []
    try:
        found = list(packets(read_saved(path, report=findings.append, verbose=True)))
        buffer_infos(path)
    except Slog2Error as error:
        findings.append(error.finding)
    assert len(found) <= limit
    for packet in found:
        LINE(packet)
        json_line(packet)
    return found, findings


def test_a_file_cut_anywhere(tmp_path: Path) -> None:
    """Cut at any page or within, a file yields what is left of it and a finding that it is short."""
    data = image(tmp_path / "whole")
    whole, findings = examine(next((tmp_path / "whole").iterdir()))
    assert not findings
    for size in range(0, len(data), 1000):
        path = tmp_path / "cut.1"
        path.write_bytes(data[:size])
        found, findings = examine(path)
        assert findings
        real = {(packet.stream.buffer_name, packet.number, packet.text) for packet in whole}
        assert {(packet.stream.buffer_name, packet.number, packet.text) for packet in found if not packet.lost} <= real
        assert size < 3 * PAGE_SIZE or found


def test_a_zeroed_page_loses_itself_only(tmp_path: Path) -> None:
    """With one page zeroed, the packets of the others are read and those missing in between are counted."""
    with make(tmp_path, 6) as writer:
        for i in range(40):
            writer.log(0, 0, 5, f"{i:0500d}")
    path = next(tmp_path.iterdir())
    before = read(tmp_path)
    data = bytearray(path.read_bytes())
    data[3 * PAGE_SIZE : 4 * PAGE_SIZE] = bytes(PAGE_SIZE)
    path.write_bytes(data)
    after = read(tmp_path)
    (gap,) = [packet for packet in after if packet.lost]
    assert gap.lost + len(after) - 1 == len(before)
    assert gap.text == f"-----UNSYNC----- {gap.lost} lost"
    assert gap.fields == {"lost": gap.lost}
    assert [int(packet.text) for packet in after if not packet.lost] == [
        packet.number for packet in before if not gap.number <= packet.number < gap.number + gap.lost
    ]


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """A bit flipped in a page's head or packets never shows as a different packet; what it hit is missing."""
    data = image(tmp_path / "whole")
    whole = {(p.stream.buffer_name, p.number, p.text, p.code) for p in examine(next((tmp_path / "whole").iterdir()))[0]}
    path = tmp_path / "bit.1"
    source = random.Random(3)
    for _ in range(amount("FLIPS", 500)):
        at = source.randrange(PAGE_SIZE, len(data))
        bad = bytearray(data)
        bad[at] ^= 1 << source.randrange(8)
        path.write_bytes(bad)
        found, _ = examine(path)
        assert {(p.stream.buffer_name, p.number, p.text, p.code) for p in found if not p.lost} <= whole


def test_damage_within_a_page_is_reported_with_its_place(tmp_path: Path) -> None:
    """A packet that fails its check is reported with page and offset, and the next page is read."""
    with make(tmp_path, 4) as writer:
        for i in range(12):
            writer.log(0, 0, 5, f"{i:01000d}")
    path = next(tmp_path.iterdir())
    data = bytearray(path.read_bytes())
    data[2 * PAGE_SIZE + 1500] ^= 1
    path.write_bytes(data)
    findings: list[Finding] = []
    found = read(tmp_path, findings)
    assert [finding.rule for finding in findings] == ["SLOG2-PACKET"]
    assert "page 2+0x420" in str(findings[0])
    assert found[-1].number == 11
    assert sum(packet.lost or 1 for packet in found) == 12
    with Follower(tmp_path) as follower:
        assert follower.poll() == found


def mutate(data: bytes, source: random.Random) -> bytes:
    """Return a mutant: a few bytes changed, blocks moved, zeroed or filled with noise, checks often mended after."""
    bad = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4))):
        kind = source.randrange(6)
        at = source.randrange(len(bad))
        if kind == 0:
            bad[at] = source.randrange(256)
        elif kind == 1:
            struct.pack_into("<I", bad, min(at & -4, len(bad) - 4), source.choice((0, 1, 0xFFFFFFFF, 1 << 31, 4096)))
        elif kind == 2:
            size = source.randrange(1, 300)
            bad[at : at + size] = source.randbytes(len(bad[at : at + size]))
        elif kind == 3 and len(bad) >= PAGE_SIZE:
            one, two = (source.randrange(len(bad) // PAGE_SIZE) * PAGE_SIZE for _ in range(2))
            bad[one : one + PAGE_SIZE] = bad[two : two + PAGE_SIZE]
        elif kind == 4:
            del bad[source.randrange(4, len(bad) + 1) :]
        else:
            place = source.choice((source.randrange(64), BUFFERS_AT + 64 + source.randrange(100)))
            if place < len(bad):
                bad[place] = source.randrange(256)
    if source.random() < 0.7:
        mend(bad)
    return bytes(bad)


def mend(bad: bytearray) -> None:
    """Make the checks of the header, of pages and of packets right again, so that what they cover is reached."""
    if len(bad) >= PAGE_SIZE:
        struct.pack_into("<I", bad, HEADER_CHECK_AT, zlib.crc32(bad[8:HEADER_CHECK_AT]))
    for base in range(PAGE_SIZE, len(bad) - PAGE_SIZE + 1, PAGE_SIZE):
        which = 0 if base < 4 * PAGE_SIZE else 1
        check = zlib.crc32(bad[base : base + 24], which)
        struct.pack_into("<I", bad, base + 24, check)
        at = base + PAGE_HEAD_SIZE
        while at + 24 <= base + PAGE_SIZE:
            word = struct.unpack_from("<I", bad, at + 4)[0]
            size = word & 0xFFFF
            if size < 24 or at + size > base + PAGE_SIZE:
                break
            struct.pack_into("<I", bad, at, zlib.crc32(bad[at + 8 : at + size], check ^ word))
            at = at + size + 7 & -8


def test_mutants_never_break_a_reader(tmp_path: Path) -> None:
    """Thousands of mutants of a set, checks mended or not: packets, findings or Slog2Error, and nothing else."""
    data = image(tmp_path / "whole")
    path = tmp_path / "mutant.1"
    source = random.Random(amount("SEED", 7))
    read_something = 0
    for _ in range(amount("MUTANTS", 1500)):
        path.write_bytes(mutate(data, source))
        found, _ = examine(path)
        read_something += bool(found)
    assert read_something > amount("MUTANTS", 1500) // 2


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=200), kind=st.sampled_from([*Kind, 9, 0x81, 0x41, 0xC1, 0x44]))
def test_any_payload_of_any_kind_is_read(tmp_path_factory: pytest.TempPathFactory, payload: bytes, kind: int) -> None:
    """A packet whose check holds but whose payload is noise becomes some text, never an exception."""
    folder = tmp_path_factory.mktemp("log")
    with make(folder) as writer:
        ring = writer._rings[0]
        ring.store(kind, 1, 5, payload, None)
        ring.store(Kind.TEXT, 1, 5, b"after", None)
    findings: list[Finding] = []
    found = read(folder, findings)
    for packet in found:
        LINE(packet)
        json_line(packet)
    assert found[-1].text == "after"
    assert kind & KIND_MASK


def test_a_block_with_a_broken_schema_is_one_packet(tmp_path: Path) -> None:
    """A block whose schema cannot be read is shown as such."""
    with make(tmp_path) as writer:
        ring = writer._rings[0]
        for prefix in (b"", b"\x01\x00\x00\x00\x00Z", b"\x40", b"\x01\x05\x00\x00\x00Iabcd"):
            ring.store(Kind.BLOCK, 1, 5, len(prefix).to_bytes(2, "little") + prefix + b"12345678", None)
        ring.store(Kind.BLOCK, 1, 5, len(RECORD.prefix).to_bytes(2, "little") + RECORD.prefix + b"123", None)
    assert {packet.text for packet in read(tmp_path)} == {"a block of records that cannot be read"}


def test_things_that_are_no_sets(tmp_path: Path) -> None:
    """Links, pipes, folders, empty files and other people's files are reported or passed over, and never waited for."""
    with make(tmp_path, name="good") as writer:
        writer.log(0, 0, 5, "fine")
    outside = tmp_path.parent / "outside"
    outside.write_bytes(image(tmp_path.parent / "other"))
    (tmp_path / "link.1").symlink_to(outside)
    os.mkfifo(tmp_path / "pipe.2")
    (tmp_path / "folder.3").mkdir()
    (tmp_path / "empty.4").touch()
    (tmp_path / "noise.5").write_bytes(b"\xff" * 10000)
    (tmp_path / "new.6").write_bytes(bytes(10000))
    version = bytearray(outside.read_bytes())
    version[8] = 9
    (tmp_path / "version.7").write_bytes(version)
    (tmp_path / "not a set").touch()
    findings: list[Finding] = []
    assert [packet.text for packet in read(tmp_path, findings)] == ["fine"]
    assert len(findings) == 7
    with Follower(tmp_path, report=findings.append) as follower:
        assert [packet.text for packet in follower.poll()] == ["fine"]
        for _ in range(40):
            assert not follower.poll()
    assert len(findings) == 14
    with pytest.raises(Slog2Error, match="not a plain file"):
        read_saved(tmp_path / "pipe.2")
    assert not clear(tmp_path / "noise.5")


def test_a_header_that_lies_about_rings(tmp_path: Path) -> None:
    """Rings outside the file, upon each other or of absurd size are left out or read as far as they go."""
    data = image(tmp_path / "whole")
    for first, pages, readable in (
        (1, 1 << 31, False),
        (0, 3, False),
        (9, 3, False),
        (1, 6, True),
        (1, 1, True),
        (1, 900, True),
    ):
        bad = bytearray(data)
        struct.pack_into("<II", bad, BUFFERS_AT + 64, first, pages)
        mend(bad)
        path = tmp_path / "lie.1"
        path.write_bytes(bad)
        found, findings = examine(path)
        assert findings
        assert ("b0" in {packet.stream.buffer_name for packet in found}) is readable or pages > 3


def test_a_sparse_giant_is_read_quickly(tmp_path: Path) -> None:
    """A file that claims to be a terabyte costs neither its memory nor its time."""
    data = image(tmp_path / "whole")
    path = tmp_path / "giant.1"
    path.write_bytes(data)
    os.truncate(path, 1 << 40)
    found, findings = examine(path)
    assert found[-1].text
    assert [finding.rule for finding in findings] == ["SLOG2-MAGIC"]


def test_findings_are_limited() -> None:
    """A log full of noise does not flood the reader with findings."""
    found: list[Finding] = []
    limited = Limited(found.append)
    from iommuman.base import Origin

    for _ in range(MAX_FINDINGS + 5):
        limited(Finding("X", "note", Origin(""), "x"))
    assert len(found) == MAX_FINDINGS


def test_a_page_whose_numbers_go_back_is_reported(tmp_path: Path) -> None:
    """Pages whose packet numbers fall are read, with a warning that packets may come twice."""
    with make(tmp_path, 4) as writer:
        ring = writer._rings[0]
        writer.log(0, 0, 5, "one")
        writer.log(0, 0, 5, "two")
        ring.number = 0
        ring.turn()
        writer.log(0, 0, 5, "again")
    findings: list[Finding] = []
    assert [packet.text for packet in read(tmp_path, findings)] == ["one", "two", "again"]
    assert [finding.rule for finding in findings] == ["SLOG2-NUMBER"]


def test_a_saved_copy_holds_what_a_snapshot_holds(tmp_path: Path) -> None:
    """Saved sets read as the live ones did, damage behind them is reported, and a copy never replaces a file."""
    image(tmp_path / "logs")
    with make(tmp_path / "logs", 2, name="other") as writer:
        writer.log(0, 0, 5, "other")
    live = read(tmp_path / "logs")
    (tmp_path / "logs" / "bad.1").write_bytes(b"bad")
    findings: list[Finding] = []
    copy = tmp_path / "copy"
    assert save(copy, tmp_path / "logs", report=findings.append) == 2
    assert len(findings) == 1
    assert list(packets(read_saved(copy))) == live
    with pytest.raises(Slog2Error, match="cannot be written"):
        save(copy, tmp_path / "logs")
    copy.write_bytes(copy.read_bytes() + b"trailing")
    found, findings = examine(copy)
    assert found == live
    assert [finding.rule for finding in findings] == ["SLOG2-MAGIC"]


def test_clearing_hides_what_is_there(tmp_path: Path) -> None:
    """After clear, readers see only what is logged later, and the writer has noticed nothing."""
    with make(tmp_path, 4, 4) as writer:
        writer.log(0, 0, 5, "old")
        assert writer.path is not None
        assert clear(writer.path)
        assert not read(tmp_path)
        writer.log(0, 0, 5, "new")
        writer.log(1, 0, 5, "new too")
        assert [(packet.number, packet.text) for packet in read(tmp_path)] == [(1, "new"), (0, "new too")]
        with Follower(tmp_path) as follower:
            assert [packet.text for packet in follower.poll()] == ["new", "new too"]
        assert clear(writer.path)
    assert not read(tmp_path)


def test_reading_a_folder_that_is_not_there() -> None:
    """No folder, no packets."""
    assert not list(snapshot(Path("/nonexistent/folder")))
