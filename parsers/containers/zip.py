"""ZIP files: the entries, and what comes out of one.

The central directory says what there is. Where it is lost, as at the end of a file that was cut off, the headers
before the entries are read instead.

Source: PKWARE, APPNOTE.TXT - .ZIP File Format Specification 6.3.10, 4.3 (structures), 4.4 (fields), 4.5.3 (Zip64).
"""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Iterator

from .member import MAX_MEMBERS, Kind, Member, Trouble
from .streams import Unpacked, inflate

_LOCAL, _CENTRAL, _END, _END64, _LOCATOR = b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7"
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
_END_RECORD = struct.Struct("<4s4H2LH")
_MAX_COMMENT = 0xFFFF
_END64_SIZE, _LOCATOR_SIZE = 56, 20
_NEXT = re.compile(rb"PK(?:\x03\x04|\x01\x02|\x07\x08)")
_ENCRYPTED, _SIZES_FOLLOW = 1, 8
_METHODS = (0, 8, 12)
_UNIX = 3
_ALL_ONES = 0xFFFFFFFF


def is_zip(data: bytes) -> bool:
    """Tell whether the bytes begin as a ZIP file does."""
    return data.startswith((_LOCAL, _END))


def read_zip(data: bytes, trouble: Trouble) -> list[Member]:
    """Return the entries of a ZIP file, `MAX_MEMBERS` at most."""
    directory = _directory(data)
    if directory is None:
        trouble("the directory of the archive is lost; what stands before it is looked at", len(data))
        entries = _from_headers(data)
    else:
        entries = _from_directory(data, directory, trouble)
    found: list[Member] = []
    for member in entries:
        if len(found) == MAX_MEMBERS:
            trouble(f"the archive has more than {MAX_MEMBERS} entries; only the first are looked at", member.start)
            break
        found.append(member)
    return found


def unzip(data: bytes, member: Member, room: int) -> Unpacked:
    """Return the content of a file, `room` bytes of it at most."""
    start = member.start
    if start + _LOCAL_HEADER.size > len(data) or not data.startswith(_LOCAL, start):
        return Unpacked(bytearray(), start, "there is nothing where the directory says that it is")
    *_, name, extra = _LOCAL_HEADER.unpack_from(data, start)
    start += _LOCAL_HEADER.size + name + extra
    out = inflate(data, start, start + member.size, member.method, room)
    if not out.trouble and member.crc is not None:
        import zlib

        if zlib.crc32(out.data) != member.crc:
            out.trouble = "its checksum is wrong"
    return out


def _directory(data: bytes) -> int | None:
    """Return where the central directory begins; None when there is none."""
    end = data.rfind(_END, max(0, len(data) - _MAX_COMMENT - _END_RECORD.size))
    if end < 0 or end + _END_RECORD.size > len(data):
        return None
    *_, offset, _comment = _END_RECORD.unpack_from(data, end)
    if end >= _LOCATOR_SIZE and data.startswith(_LOCATOR, end - _LOCATOR_SIZE):
        record = int.from_bytes(data[end - 12 : end - 4], "little")
        if not data.startswith(_END64, record) or record + _END64_SIZE > len(data):
            return None
        (offset,) = struct.unpack_from("<Q", data, record + 48)
        end = record
    return int(offset) if offset == end or data.startswith(_CENTRAL, offset) else None


def _from_directory(data: bytes, place: int, trouble: Trouble) -> Iterator[Member]:
    """Iterate over the entries of the central directory."""
    while data.startswith(_CENTRAL, place) and place + _CENTRAL_HEADER.size <= len(data):
        fields = _CENTRAL_HEADER.unpack_from(data, place)
        _, made, _, flags, method, _, _, crc, size, _, names, extras, comments, _, _, attributes, offset = fields
        place += _CENTRAL_HEADER.size
        name = data[place : place + names]
        size, offset = _wide(data[place + names : place + names + extras], fields[9], size, offset)
        place += names + extras + comments
        mode = attributes >> 16 if made >> 8 == _UNIX else 0
        yield _member(name, flags, method, offset, size, crc, mode)
    if not data.startswith((_END, _END64), place):
        trouble("the directory of the archive is damaged; what it says from here on is lost", place)


def _wide(extra: bytes, unpacked: int, size: int, offset: int) -> tuple[int, int]:
    """Return size and offset, from the Zip64 extra field where 32 bits do not hold them."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        if kind == 1:
            numbers = [int.from_bytes(extra[at : at + 8], "little") for at in range(place + 4, place + 4 + length, 8)]
            for index, value in enumerate((unpacked, size, offset)):
                if value == _ALL_ONES and numbers:
                    number = numbers.pop(0)
                    size = number if index == 1 else size
                    offset = number if index == 2 else offset  # noqa: PLR2004
        place += 4 + length
    return size, offset


def _from_headers(data: bytes) -> Iterator[Member]:
    """Iterate over the entries by the headers that stand before them."""
    place = data.find(_LOCAL)
    while 0 <= place <= len(data) - _LOCAL_HEADER.size:
        _, _, flags, method, _, _, crc, size, _, names, extras = _LOCAL_HEADER.unpack_from(data, place)
        name = data[place + _LOCAL_HEADER.size :][:names]
        start = place + _LOCAL_HEADER.size + names + extras
        known = not flags & _SIZES_FOLLOW
        if not known or size == _ALL_ONES:
            following = _NEXT.search(data, start)
            size = (following.start() if following else len(data)) - start
        yield _member(name, flags, method, place, max(size, 0), crc if known else None, 0)
        place = data.find(_LOCAL, start + max(size, 0))


def _member(name: bytes, flags: int, method: int, start: int, size: int, crc: int | None, mode: int) -> Member:
    text = name.decode("utf-8", "surrogateescape")
    kind: Kind = "folder" if text.endswith("/") else "link" if stat.S_ISLNK(mode) else "file"
    target = ""
    if kind != "folder" and flags & _ENCRYPTED:
        kind, target = "other", "it is encrypted"
    elif kind != "folder" and method not in _METHODS:
        kind, target = "other", f"it is compressed by method {method}, which is not read"
    return Member(text, kind, start, size, target, method, crc)
