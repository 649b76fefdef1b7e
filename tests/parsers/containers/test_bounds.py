"""What is made to fill memory or to take forever is refused fast, and in little memory."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import random
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.parsers.containers.streams import MAX_UNPACKED, unpack
from iommuman.parsers.content import read_content
from iommuman.parsers.sources import Inputs

from tests.parsers.containers.making import SSDT, read, special, tar, zipped

MEASURE = """
import resource, sys
from iommuman.parsers.sources import read_sources
from iommuman.parsers import ParseError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    inputs = read_sources(sys.argv[1:])
    print([finding.rule for finding in inputs.findings])
except ParseError as error:
    print([error.finding.rule])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_maxrss - before)
print(usage.ru_utime + usage.ru_stime)
"""
ZEROS = bytes(1 << 20)


def packed(compressor: object, size: int) -> bytes:
    """Return so many MiB of zeros, compressed piece by piece."""
    assert hasattr(compressor, "compress")
    assert hasattr(compressor, "flush")
    return b"".join([*(compressor.compress(ZEROS) for _ in range(size)), compressor.flush()])


@functools.cache
def gzip_bomb() -> bytes:
    """Return a gzip file of 256 MiB of zeros."""
    import zlib

    return packed(zlib.compressobj(9, zlib.DEFLATED, 31), 256)


def zip_bomb() -> bytes:
    """Return a ZIP file of one file of 256 MiB, named 200 times."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("0", "w") as file:
            for _ in range(256):
                file.write(ZEROS)
        first = archive.getinfo("0")
        for number in range(1, 200):  # the same bytes under many names
            other = zipfile.ZipInfo(str(number))
            other.compress_type, other.compress_size, other.file_size = 8, first.compress_size, first.file_size
            other.header_offset, other.CRC = first.header_offset, first.CRC
            archive.filelist.append(other)
        archive.comment = b"made"  # so that the directory is written with them
    return made.getvalue()


def slow_bomb() -> bytes:
    """Return a gzip file that stays just below the ratio, and gives 512 MiB."""
    import zlib

    coder = zlib.compressobj(1, zlib.DEFLATED, 31)
    noise = bytes(range(256)) * 8
    return b"".join([*(coder.compress(noise + ZEROS) for _ in range(512)), coder.flush()])


def tar_header_bomb() -> bytes:
    """Return an archive whose extended header says that it is 8 GiB long."""
    made = bytearray(tar(special("x" * 200, tarfile.REGTYPE)))
    made[124:136] = b"77777777777\0"
    made[148:156] = b" " * 8
    made[148:156] = f"{sum(made[:512]):06o}\0 ".encode()
    return gzip.compress(bytes(made))


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": gzip_bomb,
    "bzip2": lambda: packed(bz2.BZ2Compressor(), 256),
    "xz": lambda: packed(lzma.LZMACompressor(preset=0), 256),
    "zip": zip_bomb,
    "slow": slow_bomb,
    "tar header": tar_header_bomb,
    "gzip in gzip": lambda: gzip.compress(gzip_bomb()),
    "gzip in zip": lambda: zipped(("x", gzip_bomb()), ("y", gzip_bomb() + b"\0")),
    "zeros in tar": lambda: tar(*((f"{number}", bytes(number + (8 << 20))) for number in range(3)), pack="gz"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_fast_and_in_little_memory(name: str, tmp_path: Path) -> None:
    """A file that gives hundreds of megabytes takes little of the allowance for memory, and a few seconds."""
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name]())
    ran = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    rules, memory, seconds = ran.stdout.splitlines()
    assert rules in ("['ARCHIVE-LARGE']", "['ARCHIVE-DAMAGED']")
    # The slow one may use all the room there is; whatever has a high ratio stops after 16 MiB.
    assert int(memory) < (400 if name == "slow" else 110) << 10
    assert float(seconds) < 10


@pytest.mark.parametrize("make", [tar, zipped])
def test_a_hundred_thousand_entries_are_looked_at_in_seconds(make: Callable[..., bytes]) -> None:
    """Of 100,000 files in one folder the first by name are looked at, as of a folder on disk."""
    data = make(("000000", SSDT), *((f"{number:06}", b"") for number in range(1, 100_000)))
    started = time.process_time()
    inputs = read(data)
    assert time.process_time() - started < 20
    assert len(inputs.tables) == 1
    assert [finding.rule for finding in inputs.findings] == ["SOURCE-MANY"]


def test_links_that_grow_are_bounded() -> None:
    """Links each of which leads twice through the next do not take forever."""
    links = [special(f"l{number}", tarfile.SYMTYPE, f"l{number + 1}/../l{number + 1}/x") for number in range(200)]
    started = time.process_time()
    inputs = read(tar(*links, ("t", SSDT)))
    assert time.process_time() - started < 5
    assert len(inputs.tables) == 1


@pytest.mark.parametrize("filler", [b"PK\3\4", b"PK\1\2", b"PK\5\6", b"\x1f\x8b", bytes(range(256)), b"0" * 512])
@pytest.mark.parametrize("head", [b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"x" * 257 + b"ustar"])
def test_hostile_content_costs_time_in_proportion(head: bytes, filler: bytes) -> None:
    """The worst repeated content behind any beginning is read in linear time."""
    data = head + filler * ((1 << 20) // len(filler))
    started = time.process_time()
    read_content(data, "a", Inputs())
    assert time.process_time() - started < 10


def test_what_came_out_of_earlier_parts_is_not_held_against_a_later_one() -> None:
    """A file of many parts, each not much smaller than what it holds, comes out whole, however much that is."""
    part = gzip.compress(bytes(range(256)) * 16 * 16 + random.Random(1).randbytes(6000))
    many = 360
    out = unpack(part * many, MAX_UNPACKED)
    assert (out.trouble, out.full, len(out.data)) == ("", False, many * (65536 + 6000))
