"""Reads a log in bounded pieces, from a file, a pipe or a device, plain or gzip, and finds the lines that may matter.

Lines are looked at only where a chunk has one of the needles. A log of any length is read in constant memory.
"""

from __future__ import annotations

import errno
import io
import os
import re
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from ...base import Finding, Origin
from ..errors import ParseError

CHUNK = 256 << 10
"""Bytes that are read at once."""

MAX_LINE = 8 << 10
"""Bytes of a line that are looked at. The kernel prints at most 1 KiB; an entry of the journal has 1 to 2 KiB."""

IDLE_SECONDS = 0.2
"""Silence of a pipe after which records are given out although more lines of them might come."""

_STANDARD_INPUT = "-"
_PACKED = (
    (re.compile(rb"\xfd7zXZ\0"), "xz", "xz -dc"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2", "bzip2 -dc"),
    (re.compile(rb"\(\xb5/\xfd"), "Zstandard", "zstd -dc"),
    (re.compile(rb"LPKSHHRH"), "the journal", "journalctl -o json --file"),
)
_STEP = 64
_GZIP = b"\x1f\x8b"
_MAGIC = 10
"""Bytes of the longest of these."""


class ByteSource:
    """Gives the bytes of a log; what goes wrong on the way is in `findings`."""

    def __init__(
        self, source: BinaryIO | str | os.PathLike[str], name: str | None, wait: Callable[[], bool] | None = None
    ) -> None:
        """Open a log.

        Args:
            source: a path, `-` for the standard input, or an open binary file, which stays open.
            name: what to call it; None for its path.
            wait: called at the end of a file that may grow; reading goes on as long as it returns true.

        Raises:
            ParseError: it cannot be opened.
        """
        self.findings: list[Finding] = []
        self._wait = wait
        self._close = False
        if isinstance(source, str | os.PathLike):
            path = os.fspath(source)
            self.name = path if name is None else name
            self._file = self._open(path)
        else:
            known = getattr(source, "name", "") if name is None else name
            self.name = known if isinstance(known, str) else ""
            self._file = source
        self._poll = _poll(self._file)

    def _open(self, name: str) -> BinaryIO:
        try:
            if name == _STANDARD_INPUT:
                return _standard_input()
            if stat.S_ISDIR(os.stat(name).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            file = open(name, "rb", buffering=0)  # noqa: SIM115 - `chunks` closes it
        except (OSError, ValueError, AttributeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            advice = "name a log that is there and that may be read, or '-' for the standard input"
            text = f"this cannot be opened: {reason}"
            raise ParseError(Finding("LOG-OPEN", "error", Origin(name), text, advice=advice)) from error
        self._close = True
        return file

    def chunks(self) -> Iterator[bytes]:
        """Iterate over the bytes, unpacked; an empty piece says that a pipe has been silent for a while.

        Raises:
            ParseError: the log is packed in a way that is not read here.
        """
        try:
            pieces = self._pieces()
            first = next(pieces, b"")
            while first and len(first) < _MAGIC and (more := next(pieces, b"")):
                first += more
            for magic, name, command in _PACKED:
                if magic.match(first):
                    advice = f"unpack it first: {command} {self.name or 'FILE'}, and read from '-'"
                    raise ParseError(
                        Finding("LOG-PACKED", "error", Origin(self.name), f"this is packed by {name}", advice=advice)
                    )
            if first.startswith(_GZIP):
                yield from self._unpacked(first, pieces)
            elif first:
                yield first
                yield from pieces
        finally:
            if self._close:
                self._file.close()

    def _pieces(self) -> Iterator[bytes]:
        """Iterate over the bytes as they are; an empty piece for silence."""
        read = getattr(self._file, "read1", self._file.read)
        while True:
            if self._poll is not None and not self._poll(IDLE_SECONDS * 1000):
                yield b""
                self._poll(None)
            try:
                piece = read(CHUNK)
            except OSError as error:
                if error.errno == errno.EPIPE:  # /dev/kmsg: records were overwritten before they were read
                    self._report("LOG-OVERWRITTEN", "lines were overwritten before they were read", "they are lost")
                    continue
                self._report("LOG-READ", f"reading stopped: {error.strerror or error}", "the rest is not read")
                return
            if piece:
                yield piece
            elif self._wait is None or not self._wait():
                return
            else:
                yield b""

    def _unpacked(self, first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Iterate over what gzip packed, member by member."""
        unpacker = zlib.decompressobj(wbits=31)
        data = first
        while True:
            before = unpacker.copy()
            try:
                out = unpacker.decompress(data, CHUNK)
            except zlib.error:
                yield from _up_to_the_damage(before, data)
                self._report("LOG-GZIP", "the packed data is damaged", "what stands before the damage is read")
                return
            if out:
                yield out
            data = unpacker.unconsumed_tail
            if unpacker.eof:
                data = unpacker.unused_data.lstrip(b"\0") or next(filter(None, pieces), b"").lstrip(b"\0")
                if not data:
                    return
                if not data.startswith(_GZIP[: len(data)]):
                    self._report("LOG-GZIP", "something follows the packed data", "it is left out")
                    return
                unpacker = zlib.decompressobj(wbits=31)
            elif not data and not out:
                data = next(filter(None, pieces), b"")
                if not data:
                    self._report("LOG-GZIP", "the packed data is cut off", "what is there is read")
                    return

    def _report(self, rule: str, text: str, advice: str) -> None:
        finding = Finding(rule, "warning", Origin(self.name), text, advice=advice)
        if finding not in self.findings:
            self.findings.append(finding)


def _up_to_the_damage(unpacker: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Iterate over what can be unpacked of data that is damaged somewhere: in one piece, zlib gives nothing of it."""
    try:
        for at in range(0, len(data), _STEP):
            yield unpacker.decompress(data[at : at + _STEP])
    except zlib.error:
        return


def _standard_input() -> BinaryIO:
    """Return the standard input without a buffer, in which bytes could wait while nothing more comes."""
    try:
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except OSError:  # something stands in for it that is no file
        return sys.stdin.buffer


def _poll(file: BinaryIO) -> Callable[[float | None], list[tuple[int, int]]] | None:
    """Return what waits for bytes that somebody may write, up to so many milliseconds; None for a file that is there.

    Of files with a buffer it cannot be told whether reading will wait.
    """
    if not isinstance(file, io.RawIOBase):
        return None
    try:
        descriptor = file.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
    except OSError:
        return None
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return poller.poll


class LineFinder:
    """Cuts chunks into lines, and gives those with a needle.

    Attributes:
        lines: lines so far.
        size: bytes so far.
        cut: lines that were longer than `MAX_LINE`, of those that were looked at.
    """

    def __init__(self, needles: re.Pattern[bytes]) -> None:
        self.lines = 0
        self.size = 0
        self.cut = 0
        self._search = needles.search
        self._rest = b""
        self._goes_on = False

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Return the number and the bytes of each line that matters, up to the last newline of the chunk."""
        self.size += len(chunk)
        data = self._rest + chunk if self._rest else chunk
        end = data.rfind(b"\n") + 1
        # Of a line that goes on and on, only the beginning is kept.
        self._rest = data[end : end + MAX_LINE + 1]
        return self._found(data, end) if end else []

    def finish(self) -> list[tuple[int, bytes]]:
        """Return the last line if it matters: it has no newline."""
        data, self._rest = self._rest, b""
        return self._found(data + b"\n", len(data) + 1) if data else []

    def _found(self, data: bytes, end: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        search, number, at, goes_on = self._search, self.lines, 0, self._goes_on
        while at < end:
            match = search(data, at, end)
            if goes_on:
                stop = data.find(b"\n", at, end)
                goes_on = False
                if match is None or match.start() > stop:
                    number += 1
                    found.append((number, data[at : min(stop, at + MAX_LINE)]))
                    at = stop + 1
            if match is None:
                break
            start = data.rfind(b"\n", at, match.start()) + 1 or at
            stop = data.find(b"\n", match.end(), end)
            number += 1 if at == start else data.count(b"\n", at, start) + 1
            at = stop + 1
            if stop - start > MAX_LINE:
                self.cut += 1
                if match.end() - start <= MAX_LINE:
                    found.append((number, data[start : start + MAX_LINE]))
                continue
            line = data[start:stop]
            found.append((number, line))
            # The next line may belong to this one although it has no needle: the reason of an old VT-d fault (also
            # where a mail program broke the line), or the event behind the bracket that some kernels end a line with.
            goes_on = line.endswith((b"[", b"[\r")) or (b"Request device [" in line and b"fault reason" not in line)
        self._goes_on = goes_on
        self.lines = number + data.count(b"\n", at, end)
        return found
