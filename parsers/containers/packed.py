"""Reads what is in archives and compressed files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...base import Finding, Origin
from .. import files
from ..content import read_content
from ..errors import ParseError
from ..folders import read_folder
from .archive import Archive
from .member import Member
from .streams import BZIP2, GZIP, MAX_UNPACKED, XZ, unpack
from .tar import is_tar, read_tar
from .zip import is_zip, read_zip, unzip

if TYPE_CHECKING:
    from ..sources import Inputs

MAX_DEPTH = 2
"""How many archives may be inside each other: a compressed table in an archive, and no more."""

MAX_FINDINGS = 20
"""Most findings about one archive; of what else is wrong the number is said."""


def read_packed(data: bytes, name: str, inputs: Inputs, depth: int) -> None:
    """Read an archive or a compressed file, which is inside `depth` others, and whatever is in it.

    Raises:
        ParseError: the one file in it cannot be read at all.
    """
    if depth >= MAX_DEPTH:
        inputs.passed_over.append((name, f"an archive inside {MAX_DEPTH} others"))
        return
    trouble = _Trouble(name, inputs)
    if is_zip(data):
        members = read_zip(data, trouble)

        def read(member: Member, limit: int | None) -> bytes:
            wanted = files.MAX_FILE + 1 if limit is None else limit
            room = min(wanted, MAX_UNPACKED - inputs.unpacked)
            out = unzip(data, member, room)
            inputs.unpacked += len(out.data)
            if out.trouble and not (out.full and room == wanted):
                trouble(f"{member.name} cannot be read whole: {out.trouble}", member.start, large=out.full)
            return bytes(out.data)

        _read_archive(Archive(name, members, read), inputs, depth, trouble)
        trouble.finish()
    elif data.startswith((GZIP, BZIP2, XZ)):
        _read_compressed(data, name, inputs, depth, trouble)
    else:
        _read_tar(data, name, inputs, depth, trouble)


def _read_compressed(data: bytes, name: str, inputs: Inputs, depth: int, trouble: _Trouble) -> None:
    """Read a compressed tar archive, or the one file that was compressed."""
    out = unpack(data, MAX_UNPACKED - inputs.unpacked)
    inputs.unpacked += len(out.data)
    if out.trouble:
        trouble(f"the compressed data cannot be read whole: {out.trouble}", out.end, large=out.full)
    rest = data[out.end :] if not out.trouble else b""
    try:
        if is_tar(out.data):
            _read_tar(out.data, name, inputs, depth, trouble)
        else:
            trouble.finish()
            read_content(bytes(out.data[: files.MAX_FILE + 1]), name, inputs, depth + 1)
    except ParseError as error:
        if not rest.strip(b"\0"):
            raise
        inputs.findings.append(error.finding)
    if rest.strip(b"\0"):  # a kernel with its device tree behind it is such a file
        read_content(rest, f"{name}@0x{out.end:x}", inputs, depth + 1)


def _read_tar(data: bytes | bytearray, name: str, inputs: Inputs, depth: int, trouble: _Trouble) -> None:
    def read(member: Member, limit: int | None) -> bytes:
        size = min(member.size, files.MAX_FILE + 1 if limit is None else limit)
        return bytes(data[member.start : member.start + size])

    _read_archive(Archive(name, read_tar(data, trouble), read), inputs, depth, trouble)
    trouble.finish()


def _read_archive(archive: Archive, inputs: Inputs, depth: int, trouble: _Trouble) -> None:
    """Read an archive as the folder that it is."""
    for reason, (first, count) in archive.misnamed.items():
        more = f", and so are {count - 1} more" if count > 1 else ""
        inputs.passed_over.append((f"{archive.name}:{first}", f"{reason}{more}"))
    if archive.repeated:
        trouble(f"{archive.repeated} entries have the name of an earlier one and other bytes; the last counts", None)
    read_folder(archive.root(), inputs, archive, depth + 1)


class _Trouble:
    """Takes what is wrong with an archive, and adds findings for the first of it."""

    def __init__(self, name: str, inputs: Inputs) -> None:
        self._name = name
        self._inputs = inputs
        self._count = 0

    def __call__(self, text: str, offset: int | None, *, large: bool = False) -> None:
        """Add a finding, with the offset in what came out of the archive."""
        self._count += 1
        if self._count > MAX_FINDINGS:
            return
        origin = Origin(self._name, offset=offset)
        if large:
            advice = "what could be read is used; unpack it, and name what is wanted of it"
            self._inputs.findings.append(Finding("ARCHIVE-LARGE", "error", origin, text, advice=advice))
        else:
            advice = "what could be read is used; make the archive again"
            self._inputs.findings.append(Finding("ARCHIVE-DAMAGED", "error", origin, text, advice=advice))

    def finish(self) -> None:
        """Say how much more is wrong than was said."""
        if self._count > MAX_FINDINGS:
            text = f"{self._count - MAX_FINDINGS} more findings about this archive are not listed"
            self._inputs.findings.append(Finding("ARCHIVE-MORE", "error", Origin(self._name), text))
        self._count = 0
