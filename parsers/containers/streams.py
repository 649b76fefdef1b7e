"""What comes out of compressed data: as much as is sound and as there is room for.

Sources: RFC 1951 (deflate), RFC 1952 (gzip: members may follow each other), The .xz File Format 1.2.1 (streams may
follow each other, with zeros between them).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_UNPACKED = 256 << 20
"""Bytes that may come out of all archives of one command: a `/sys` tree with its PCI functions is below 100 MiB."""

MAX_RATIO = 1000
"""How many times larger than what it came from anything may be, `FREE` bytes aside. Deflate reaches 1032 for zeros."""

FREE = 16 << 20
"""Bytes that may come out of anything, however small it is."""

MAX_STREAMS = 10_000
"""Most compressed streams after each other in one file: bgzip writes one for each 64 KiB."""

_XZ_MEMORY = 128 << 20
"""Bytes that decoding xz may take: `xz -9` asks for 65 MiB."""

_ZIP_BZIP2 = 12
_CHUNK = 16 << 10
_STEP = 1 << 20
_PADDING = re.compile(rb"\0+")

GZIP, BZIP2, XZ = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"


@dataclass(slots=True)
class Unpacked:
    """What came out.

    Attributes:
        data: the bytes.
        end: where in the input the compressed data ends.
        trouble: why it ends early, as a clause; empty when all of it came out.
        full: it ends early because there is no room for more, or it looks made to fill memory.
    """

    data: bytearray
    end: int = 0
    trouble: str = ""
    full: bool = False


def unpack(data: bytes, room: int) -> Unpacked:
    """Decompress a file of gzip, bzip2 or xz; at most `room` bytes come out."""
    magic = next(magic for magic in (GZIP, BZIP2, XZ) if data.startswith(magic))
    coder = _coder(magic)
    out = Unpacked(bytearray())
    for _ in range(MAX_STREAMS):
        _run(coder, data, 0, len(data), out, room)
        if out.trouble:
            break
        padding = _PADDING.match(data, out.end)
        following = out.end if padding is None else padding.end()
        if not data.startswith(magic, following):
            break
        out.end = following
    else:
        out.trouble = f"it has more than {MAX_STREAMS} parts"
    return out


def inflate(data: bytes, start: int, end: int, method: int, room: int) -> Unpacked:
    """Decompress `data[start:end]`, which a ZIP file holds by that method (0, 8 or 12); at most `room` bytes."""
    out = Unpacked(bytearray(), start)
    if method == 0:
        out.data += data[start : min(end, start + room)]
        out.end = end
        if end > len(data):
            out.trouble = "it is cut off"
        elif end - start > room:
            out.trouble, out.full = _no_room(room), True
    else:
        coder = _coder(BZIP2 if method == _ZIP_BZIP2 else b"")
        _run(coder, data, start, min(end, len(data)), out, room)
    return out


class _Coder(NamedTuple):
    """What makes a decompressor, and what that raises for damaged data."""

    make: Callable[[], Any]
    error: type[Exception]


def _coder(magic: bytes) -> _Coder:
    """Return the decompressor for what begins so; for nothing, that of deflate without anything around it."""
    if magic == BZIP2:
        import bz2

        return _Coder(bz2.BZ2Decompressor, OSError)
    if magic == XZ:
        import lzma

        return _Coder(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), lzma.LZMAError)
    import zlib

    return _Coder(lambda: zlib.decompressobj(31 if magic else -15), zlib.error)


def _run(coder: _Coder, data: bytes, begin: int, limit: int, out: Unpacked, room: int) -> None:
    """Decompress one stream that begins at `out.end` and ends before `limit`; add what comes out to `out`.

    `begin` is where the first stream began, of which `out` has what came out already.
    """
    stream = coder.make()
    place = out.end
    piece = b""
    ended = False
    while not stream.eof:
        # zlib gives back what it did not take; the others keep it, and say when they want more.
        if not piece and getattr(stream, "needs_input", True):
            piece = data[place : min(place + _CHUNK, limit)]
            place += len(piece)
            ended = not piece
        try:
            made = stream.decompress(piece, _STEP)
        except coder.error as error:
            out.trouble = f"it is damaged ({error})"
            break
        piece = getattr(stream, "unconsumed_tail", b"")
        out.data += made
        if len(out.data) > room:
            del out.data[room:]
            out.trouble, out.full = _no_room(room), True
        elif len(out.data) > FREE and len(out.data) > MAX_RATIO * (place - len(piece) - begin):
            out.trouble, out.full = f"more than {MAX_RATIO} times as much comes out as there is", True
        elif ended and not made and not stream.eof:
            out.trouble = "it is cut off"
        if out.trouble:
            break
    out.end = place - len(getattr(stream, "unused_data", b""))


def _no_room(room: int) -> str:
    return f"more comes out than the {room} bytes for which there is room"
