"""Tar archives: the entries, in the order of the archive.

The old format, ustar, that of GNU tar (long names, numbers in base 256) and that of pax are read. Sparse files are
named and not read. Damage costs what it hits: after a header that is none, reading goes on at the next one.

Sources: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual 1.34, "Basic Tar
Format" and "GNU Extensions to the Archive Format".
"""

from __future__ import annotations

from typing import NamedTuple

from .member import MAX_MEMBERS, Kind, Member, Trouble

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""Bytes of the longest extended header that is read: it holds names."""

_CHECKSUM = slice(148, 156)
_ZERO = bytes(BLOCK)
_KINDS: dict[bytes, Kind] = {b"0": "file", b"\0": "file", b"7": "file", b"5": "folder", b"2": "link", b"1": "hard link"}
_OTHERS = {b"3": "a character device", b"4": "a block device", b"6": "a named pipe", b"S": "a sparse file"}
_SPARSE_MORE, _SPARSE_NEXT = 482, 504


class _Extended(NamedTuple):
    """What extended headers say of the entry that follows."""

    path: str = ""
    link: str = ""
    size: int | None = None
    sparse: bool = False


def is_tar(data: bytes | bytearray) -> bool:
    """Tell whether the bytes begin as a tar archive does."""
    return len(data) >= BLOCK and (data[257:262] == b"ustar" or _is_header(data[:BLOCK]))


def read_tar(data: bytes | bytearray, trouble: Trouble) -> list[Member]:
    """Return the entries of an archive, `MAX_MEMBERS` at most."""
    found: list[Member] = []
    common = extended = _Extended()
    place, lost = 0, False
    while place + BLOCK <= len(data):
        header = data[place : place + BLOCK]
        if header == _ZERO and not lost:
            return found
        if not _is_header(header):
            if not lost:
                trouble("a header of the archive is damaged, and what it stands for is lost", place)
            lost, place, extended = True, place + BLOCK, common
            continue
        lost = False
        letter = bytes(header[156:157])
        size = _number(header[124:136])
        start = place + BLOCK
        if letter in b"xXgLK":
            text = bytes(data[start : start + min(size, MAX_EXTENSION)])
            if len(text) < size:
                trouble("an extended header of the archive is cut off", place)
            extended = _extend(text, letter, extended)
            common = extended if letter == b"g" else common
            place = start + _whole(size)
            continue
        if extended.size is not None:
            size = extended.size
        if len(found) == MAX_MEMBERS:
            trouble(f"the archive has more than {MAX_MEMBERS} entries; only the first are looked at", place)
            return found
        member = _member(header, letter, extended, start, size)
        found.append(member)
        extended = common
        if letter == b"S" and header[_SPARSE_MORE]:
            while start + BLOCK <= len(data) and data[start + _SPARSE_NEXT]:
                start += BLOCK
            start += BLOCK
        place = start + (0 if member.kind in ("folder", "link", "hard link") or letter in b"346" else _whole(size))
    cut = place > len(data) or lost or len(data) % BLOCK
    trouble("the archive is cut off" if cut else "the archive has no end; it may be cut off", min(place, len(data)))
    return found


def _is_header(block: bytes | bytearray) -> bool:
    """Tell whether a block is a header by its checksum; old archives have sums of signed bytes."""
    try:
        expected = int(bytes(block[_CHECKSUM]).strip(b" \0"), 8)
    except ValueError:
        return False
    plain = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    return expected == plain or expected == plain - 256 * sum(1 for byte in block if byte > 127)  # noqa: PLR2004


def _number(field: bytes | bytearray) -> int:
    """Return a number in octal digits, or in base 256; 0 for none."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:]) if field[0] == 0x80 else 0  # noqa: PLR2004
    digits = bytes(field).partition(b"\0")[0].strip()
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else 0


def _whole(size: int) -> int:
    """Return a size in whole blocks."""
    return size + -size % BLOCK


def _text(field: bytes | bytearray) -> str:
    return bytes(field).partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _member(header: bytes | bytearray, letter: bytes, extended: _Extended, start: int, size: int) -> Member:
    """Return what a header and the extended headers before it stand for."""
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345]:
        name = f"{_text(header[345:500])}/{name}"
    name = extended.path or name
    if extended.sparse:
        letter = b"S"
    if letter in _OTHERS:
        return Member(name, "other", target=_OTHERS[letter])
    kind = _KINDS.get(letter, "file")  # POSIX: what is not known is to be taken for a file
    if kind == "file" and name.endswith("/"):  # before ustar there was no letter for folders
        kind = "folder"
    return Member(name, kind, start, size, extended.link or _text(header[157:257]))


def _extend(text: bytes, letter: bytes, extended: _Extended) -> _Extended:
    """Take in an extended header: a long name (`L`) or link (`K`) of GNU tar, or the records of pax.

    Such a record is `length key=value` and a line end; those that say nothing of interest are passed by.
    """
    if letter in b"LK":
        return extended._replace(path=_text(text)) if letter == b"L" else extended._replace(link=_text(text))
    place = 0
    while place < len(text):
        digits, _, _ = text[place : place + 11].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        if length <= len(digits):  # it would not go on
            break
        record = text[place + len(digits) + 1 : place + length - 1]
        key, equals, value = record.partition(b"=")
        if not equals:
            break
        words = value.decode("utf-8", "surrogateescape")
        if key == b"path":
            extended = extended._replace(path=words)
        elif key == b"linkpath":
            extended = extended._replace(link=words)
        elif key == b"size" and value.isdigit():
            extended = extended._replace(size=int(value[:20]))
        elif key.startswith(b"GNU.sparse."):
            extended = extended._replace(sparse=True, path=words if key == b"GNU.sparse.name" else extended.path)
        place += length
    return extended
