"""Reading logs of any size, from anywhere, whole or broken."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers import ParseError
from iommuman.parsers.kernel_log import KernelLog, VirtioFault, VtdStatus, read_kernel_log
from iommuman.parsers.kernel_log.stream import CHUNK, MAX_LINE, LineFinder

from .helpers import flat, read

FAULT = b"[    1.000000] DMAR: DRHD: handling fault status reg 2\n"
OTHER = b"[    1.000000] usb 1-1: New USB device found\n"
NEEDLE = re.compile(b"DMAR")


def statuses(log: KernelLog) -> int:
    """Return how many records there are."""
    return sum(isinstance(record, VtdStatus) for record in log)


def test_lines_are_numbered_over_chunks(tmp_path: Path) -> None:
    """In a log of many chunks each fault has the number of its line, and all lines are counted."""
    path = tmp_path / "log"
    block = OTHER * 999 + FAULT
    path.write_bytes(block * 30)
    assert path.stat().st_size > 5 * CHUNK
    log = read_kernel_log(path)
    assert [record.line.number for record in log] == [1000 * n for n in range(1, 31)]
    assert (log.counts.lines, log.counts.recognised, log.counts.unrelated) == (30_000, 30, 29_970)
    assert log.counts.size == path.stat().st_size
    assert log.name == str(path)


@given(
    st.lists(st.sampled_from([b"", b"x", b"DMAR", b"a DMAR b", b"y" * 40]), max_size=40),
    st.lists(st.integers(1, 30), min_size=1),
    st.booleans(),
)
def test_chunks_may_be_cut_anywhere(lines: list[bytes], cuts: list[int], ended: bool) -> None:
    """Where a log is cut into chunks makes no difference to the lines that are found."""
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    finder, found, at = LineFinder(NEEDLE), [], 0
    while at < len(data):
        size = cuts[at % len(cuts)]
        found += finder.feed(data[at : at + size])
        at += size
    found += finder.finish()
    assert found == [(number, line) for number, line in enumerate(lines, 1) if b"DMAR" in line]
    assert finder.lines == len(data.splitlines())


LINES = "".join(path.read_text() for path in sorted((Path(__file__).parent / "lines").glob("*.txt"))).encode()


@given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_where_chunks_end_makes_no_difference_to_records(sizes: list[int]) -> None:
    """All lines that are known, in pieces of any sizes, give the same records as in one piece."""
    pieces: list[bytes | OSError] = []
    at = 0
    while at < len(LINES):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(LINES[at : at + size])
        at += size
    log = read_kernel_log(cast("BinaryIO", Trouble(*pieces)), name="log")
    cut = sorted((record.line.number, flat(record)) for record in log)
    whole, same = read(LINES)
    assert cut == sorted((record.line.number, flat(record)) for record in whole)
    assert log.counts == same.counts


def test_a_line_without_end_takes_no_memory() -> None:
    """Of a line of 40 MB only the beginning is kept; it is one line, and the next is found."""
    finder = LineFinder(NEEDLE)
    found = finder.feed(b"DMAR")
    for _ in range(160):
        found += finder.feed(b"x" * CHUNK)
        assert len(finder._rest) <= MAX_LINE + 1
    found += finder.feed(b"DMAR\nDMAR\n")
    assert [(number, len(line)) for number, line in found] == [(1, MAX_LINE), (2, 4)]
    assert (finder.lines, finder.cut) == (2, 1)


def test_what_stands_far_out_in_a_line_is_not_looked_at() -> None:
    """A needle behind the length that is looked at gives no line, and is counted."""
    finder = LineFinder(NEEDLE)
    assert finder.feed(b"x" * (MAX_LINE + 10) + b"DMAR\n") == []
    assert (finder.lines, finder.cut) == (1, 1)


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    """A log that gzip packed is read, in several members too, with zeros behind it as tapes have them."""
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(OTHER * 50_000 + FAULT) + gzip.compress(FAULT) + bytes(700))
    log = read_kernel_log(path)
    assert statuses(log) == 2
    assert log.counts.lines == 50_002
    assert log.findings == []


@pytest.mark.parametrize("cut", [3, 12, 500, -3])
def test_gzip_that_is_cut_off_is_said(cut: int) -> None:
    """Of a packed log that is cut off, what is there is read, and one finding says so."""
    text = FAULT + b"".join(b"%d\n" % (n * 7919 % 100_003) for n in range(5000))
    log = read_kernel_log(io.BytesIO(gzip.compress(text)[:cut]), name="log.gz")
    assert statuses(log) <= 1
    assert [str(finding) for finding in log.findings] == ["log.gz: the packed data is cut off; what is there is read"]


def test_gzip_that_is_damaged_is_said() -> None:
    """Damage inside, and something else behind the packed data, are one finding each."""
    packed = gzip.compress(FAULT + os.urandom(100_000))
    damaged = packed[:50_000] + bytes(2000) + packed[52_000:]
    log = read_kernel_log(io.BytesIO(damaged), name="log")
    assert statuses(log) == 1
    assert [finding.rule for finding in log.findings] == ["LOG-GZIP"]
    log = read_kernel_log(io.BytesIO(packed + b"and more"), name="log")
    assert statuses(log) == 1
    assert [finding.message for finding in log.findings] == ["something follows the packed data"]


def test_a_gzip_bomb_is_read_in_constant_memory() -> None:
    """200 MB of zeros in 200 KB are one line, and need no 200 MB."""
    script = (
        "import io, re, zlib\n"
        "from iommuman.parsers.kernel_log import read_kernel_log\n"
        "packer = zlib.compressobj(9, wbits=31)\n"
        "data = b''.join([packer.compress(bytes(1 << 20)) for _ in range(200)] + [packer.flush()])\n"
        "log = read_kernel_log(io.BytesIO(data))\n"
        "assert list(log) == [] and log.counts.lines == 1\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000


@pytest.mark.parametrize(
    ("magic", "advice"),
    [(b"\xfd7zXZ\0", "xz -dc"), (b"BZh91AY&SY", "bzip2 -dc"), (b"(\xb5/\xfd", "zstd -dc"), (b"LPKSHHRH", "journalctl")],
)
def test_other_packings_are_refused_with_advice(magic: bytes, advice: str) -> None:
    """What is packed in another way is named, with the command that unpacks it."""
    log = read_kernel_log(io.BytesIO(magic + bytes(100)), name="log")
    with pytest.raises(ParseError, match=advice):
        list(log)


@pytest.mark.parametrize("name", ["nowhere", ".", "a\0b"])
def test_a_log_that_cannot_be_opened_is_refused(name: str, tmp_path: Path) -> None:
    """No file, a folder, and an impossible name raise the one error of the layer."""
    with pytest.raises(ParseError, match="cannot be opened"):
        read_kernel_log(str(tmp_path / name))


def test_the_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is the standard input, also where something stands in for it; without one it cannot be opened."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(FAULT)))
    assert statuses(read_kernel_log("-")) == 1
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ParseError, match="cannot be opened"):
        read_kernel_log("-")
    script = (
        "from iommuman.parsers.kernel_log import read_kernel_log\n"
        "log = read_kernel_log('-')\nprint(len(list(log)), log.counts.lines)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=FAULT * 3, capture_output=True, check=True)
    assert done.stdout == b"3 3\n"


def test_a_pipe_gives_its_records_while_it_is_silent() -> None:
    """A record whose further lines might come leaves after a moment of silence, not when the pipe ends."""
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        log = read_kernel_log(file, name="pipe")
        os.write(
            writer, b"DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x1000 [fault reason 0x06] x\n"
        )
        record = next(iter(log))
        os.write(
            writer, b"DMAR: Dump dmar0 table entries for IOVA 0x1000\nvirtio_iommu virtio0: unknown fault from EP 8"
        )
        os.close(writer)
        rest = list(log)
    assert flat(record)[:2] == ("VtdFault", "DMAR")
    assert [type(one).__name__ for one in rest] == ["VirtioFault", "VtdTables"]


def test_a_file_that_grows_is_followed(tmp_path: Path) -> None:
    """At its end one may wait; a line that is not yet whole is kept until it is."""
    path = tmp_path / "log"
    path.write_bytes(b"virtio_iommu virtio0: unknown fault ")
    pieces = [b"from EP 8", b"\n" + FAULT, b""]

    def wait() -> bool:
        with path.open("ab") as file:
            file.write(pieces[0])
        return bool(pieces.pop(0))

    log = read_kernel_log(path, wait=wait)
    assert [type(record) for record in log] == [VirtioFault, VtdStatus]
    assert log.counts.lines == 2


def test_a_writer_that_goes_away_ends_the_log(tmp_path: Path) -> None:
    """A named pipe whose writer goes away in the middle of a line ends there, and the line counts."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb") as file:
            file.write(FAULT + FAULT[:-1])

    thread = threading.Thread(target=write)
    thread.start()
    log = read_kernel_log(path)
    assert statuses(log) == 2
    thread.join()


class Trouble(io.RawIOBase):
    """A file whose reads fail or give pieces, in turn."""

    def __init__(self, *pieces: bytes | OSError) -> None:
        self.pieces = list(pieces)

    def read(self, size: int = -1) -> bytes:
        """Give the next piece."""
        assert size == CHUNK
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, OSError):
            raise piece
        return piece


def test_lines_that_were_overwritten_are_said() -> None:
    """/dev/kmsg fails when records were overwritten before they were read; reading goes on, and one finding says so."""
    gone = OSError(errno.EPIPE, "Broken pipe")
    log = read_kernel_log(cast("BinaryIO", Trouble(FAULT, gone, FAULT, gone, FAULT)), name="kmsg")
    assert statuses(log) == 3
    assert [str(finding) for finding in log.findings] == [
        "kmsg: lines were overwritten before they were read; they are lost"
    ]


def test_a_read_that_fails_ends_the_log() -> None:
    """What was read before counts; one finding says why the rest is not there."""
    log = read_kernel_log(
        cast("BinaryIO", Trouble(FAULT, OSError(errno.EIO, "Input/output error"), FAULT)), name="disk"
    )
    assert statuses(log) == 1
    assert [str(finding) for finding in log.findings] == [
        "disk: reading stopped: Input/output error; the rest is not read"
    ]


def test_a_magic_number_may_come_in_pieces() -> None:
    """Two bytes at a time are enough to see that a log is packed."""
    packed = gzip.compress(FAULT)
    pieces = [packed[at : at + 2] for at in range(0, len(packed), 2)]
    assert statuses(read_kernel_log(cast("BinaryIO", Trouble(*pieces)))) == 1


def test_an_empty_log_is_empty() -> None:
    """No bytes: no lines, no records, no findings."""
    records, log = read(b"")
    assert (records, log.counts.lines, log.findings) == ([], 0, [])


NOISE: list[Callable[[], bytes]] = [
    lambda: os.urandom(1 << 20),
    lambda: bytes(1 << 20),
    lambda: b"\xff\xfe" * (1 << 18),
    lambda: b"mmu" * (1 << 18),
    lambda: b"DMAR: " * (1 << 17),
    lambda: b"iommu fault callbacks suppressed: " * (1 << 14),
    lambda: (b"AMD-Vi: Event logged [" + b"a=" * 4000 + b"\n") * 20,
    lambda: (b"exynos-sysmmu a: b: " + b"A " * 4000 + b"\n") * 20,
    lambda: (b"x IOMMU: " + b" 1.000000: " * 700 + b"\n") * 20,
]


@pytest.mark.parametrize("noise", NOISE)
def test_noise_costs_little_time_and_hides_nothing(noise: Callable[[], bytes]) -> None:
    """Whatever bytes surround it, a fault on a line of its own is found, and soon."""
    start = time.process_time()
    records, log = read(noise() + b"\n" + FAULT)
    assert sum(isinstance(record, VtdStatus) for record in records) == 1
    assert log.counts.lines >= 2
    assert time.process_time() - start < 2


@given(st.binary(max_size=2000), st.sampled_from([b"", b"{", b"\x1f\x8b", b"DMAR: ", b"(XEN) [VT-D]"]))
def test_any_bytes_are_a_log(data: bytes, prefix: bytes) -> None:
    """No bytes raise anything but that they are packed otherwise, and lines are counted once each."""
    try:
        _, log = read(prefix + data)
    except ParseError as error:
        assert error.finding.rule == "LOG-PACKED"  # noqa: PT017 - nothing is raised of most bytes
        return
    counts = log.counts
    assert counts.recognised + counts.unparsed <= counts.lines
