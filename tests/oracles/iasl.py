"""What `iasl -d` says of ACPI data tables, field by field.

A listing has one line a field:

    [024h 0036   1]           Host Address Width : 26
    [05Ch 0092   1]        Hints (decoded below) : 00
                                       Transient : 0

Offset (hexadecimal and decimal), length in bytes (decimal; newer versions write `001h`), name, value. Lines without
brackets after a "(decoded below)" are bits or bit fields of the field above, lowest first.
"""

from __future__ import annotations

import contextlib
import re
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import OracleMissing

RAW_DATA = "Raw Table Data"
"""Name of the field that holds the hexadecimal dump at the end of a listing."""

SECONDS = 10.0
SECONDS_EACH = 0.05
"""Time iasl gets for a run, and in addition for each table (it needs some 2 ms)."""
LARGEST_LISTING = 16 << 20
"""Bytes of a listing after which iasl is taken to have lost its way."""

_FIELD = re.compile(r"^\[([0-9A-Fa-f]+)h (\d+)\s+(?:([0-9A-Fa-f]+)h|(\d+))\]\s*(.*?) :(?: (.*))?$")
_BITS = re.compile(r"^\s{3,}([A-Za-z0-9(][^:]*?) : ([0-9A-Fa-f]+)\s*$")
_RAW_HEAD = re.compile(r"^Raw Table Data: Length (\d+) \(0x[0-9A-Fa-f]+\)\s*$")
_RAW_LINE = re.compile(r"^\s+([0-9A-Fa-f]{4,}): ((?:[0-9A-Fa-f]{2} )+)")
_BYTES = re.compile(r"^[0-9A-Fa-f]{2}(?: [0-9A-Fa-f]{2})*$")
_PAIR = re.compile(r"^([0-9A-Fa-f]{2}),([0-9A-Fa-f]{2})$")
_HEX = re.compile(r"^[0-9A-Fa-f]+$")
_STRING = re.compile(r'^"(.*)"\s*(\[.*\])?$', re.DOTALL)
_STOPPED = re.compile(
    r"^(?:\*{4} )?(Unknown (?:(?:DMAR|IVRS|MADT|SRAT) subtable|IORT node) type 0x[0-9A-Fa-f]+"
    r"|Unknown IVRS device entry type/length: .*|Invalid zero length subtable|Unknown ACPI table signature \[.{4}\])$"
)
_LABEL = re.compile(r"^\[.*\]$")
_REMARK = re.compile(r"\s*/\*(.*?)\*+/\s*$")


@dataclass(frozen=True, slots=True)
class IaslField:
    """One field of a listing.

    Attributes:
        offset: bytes from the start of the table; for bits, that of the field they belong to.
        length: bytes; for bits, that of the field they belong to.
        name: as iasl prints it, without "(decoded below)".
        value: an integer; bytes of a buffer or a path element; or the text of a string.
        text: the value as printed, with what follows it.
        bits: whether this is a bit or bit field of the field above.
        order: place among the bits of that field, from 0 (the lowest).
    """

    offset: int
    length: int
    name: str
    value: int | bytes | str
    text: str
    bits: bool
    order: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing taken apart.

    Attributes:
        fields: its fields, in the order of the listing, the raw dump last.
        remarks: what iasl says beside them, such as a wrong checksum or a table that ends too early.
        unread: lines this module does not understand.
    """

    fields: list[IaslField]
    remarks: list[str]
    unread: list[str]


def disassemble(paths: Sequence[Path], workdir: Path) -> dict[Path, list[IaslField]]:
    """Return the fields of each table; those iasl refuses have none.

    Raises:
        OracleMissing: iasl is not installed.
    """
    return {path: listing.fields for path, listing in listings(paths, workdir).items()}


def listings(paths: Sequence[Path], workdir: Path) -> dict[Path, Listing]:
    """Return the listing of each table, from one run of iasl.

    iasl crashes or loops on some damaged tables: such a table has an empty listing, and the rest cost one more run.


    Raises:
        OracleMissing: iasl is not installed.
    """
    iasl = shutil.which("iasl")
    if iasl is None:
        raise OracleMissing("iasl is not installed (Debian: acpica-tools)")
    workdir.mkdir(parents=True, exist_ok=True)
    names = {path: f"t{number:05}" for number, path in enumerate(paths)}
    for path, name in names.items():
        (workdir / f"{name}.dat").write_bytes(path.read_bytes())
        (workdir / f"{name}.dsl").unlink(missing_ok=True)
    waiting = list(names.values())
    while waiting:
        _run(iasl, [f"{name}.dat" for name in waiting], workdir)
        done = [name for name in waiting if (workdir / f"{name}.dsl").exists()]
        if done and not _is_whole(workdir / f"{done[-1]}.dsl"):
            (workdir / f"{done[-1]}.dsl").write_text("")  # iasl ended or lost its way here
        elif len(done) < len(waiting):
            done.append(waiting[len(done)])
        waiting = waiting[len(done) :]
    found = {}
    for path, name in names.items():
        listing = workdir / f"{name}.dsl"
        text = listing.read_text(encoding="latin-1") if listing.exists() else ""
        found[path] = read_listing(text)
    return found


def _run(iasl: str, tables: list[str], workdir: Path) -> None:
    """Let iasl disassemble; stopped when it writes or runs without end, as it does on some damaged tables."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [iasl, "-d", *tables],
            cwd=workdir,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=SECONDS + len(tables) * SECONDS_EACH,
            preexec_fn=_limit_output,
        )


def _limit_output() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_LISTING, LARGEST_LISTING))


def _is_whole(listing: Path) -> bool:
    """Tell whether iasl reached the end: the raw dump is the last it writes."""
    if listing.stat().st_size >= LARGEST_LISTING:
        return False
    return RAW_DATA in listing.read_text(encoding="latin-1")


def read_listing(text: str) -> Listing:
    """Take a listing apart."""
    reader = _Reader()
    for line in _joined(_without_header(text)):
        reader.take(line)
    reader.finish()
    return Listing(reader.fields, reader.remarks, reader.unread)


def _without_header(text: str) -> list[str]:
    """Return the lines after the comment that begins a listing."""
    lines = text.splitlines()
    if lines and lines[0].startswith("/*"):
        for number, line in enumerate(lines):
            if line.strip() == "*/":
                return lines[number + 1 :]
    return lines


def _joined(lines: list[str]) -> list[str]:
    r"""Join a buffer's continuation lines to its first; ` \` at the end of a line asks for the next."""
    joined: list[str] = []
    more = False
    for line in lines:
        goes_on = line.endswith(" \\")
        part = line[:-1].rstrip() if goes_on else line
        if more:
            joined[-1] += " " + part.strip()
        else:
            joined.append(part)
        more = goes_on and (more or line.startswith("["))
    return joined


class _Reader:
    """The state of reading: the last field whose bits may follow, and the raw dump under way."""

    def __init__(self) -> None:
        self.fields: list[IaslField] = []
        self.remarks: list[str] = []
        self.unread: list[str] = []
        self._parent: IaslField | None = None
        self._order = 0
        self._raw: bytearray | None = None
        self._raw_length = 0

    def take(self, line: str) -> None:
        if not line.strip():
            return
        if (head := _RAW_HEAD.match(line)) is not None:
            self._raw, self._raw_length = bytearray(), int(head[1])
        elif self._raw is not None:
            self._take_raw(line)
        elif (field := _FIELD.match(line)) is not None:
            self._take_field(line, field)
        elif (bits := _BITS.match(line)) is not None and self._parent is not None:
            parent = self._parent
            value = int(bits[2], 16)
            self.fields.append(
                IaslField(parent.offset, parent.length, bits[1].strip(), value, bits[2], bits=True, order=self._order)
            )
            self._order += 1
        elif (stopped := _STOPPED.match(line.strip())) is not None:
            self.remarks.append(stopped[1])
        elif line.lstrip().startswith("/*"):
            self.remarks.append(line.strip().strip("/* "))
        else:
            self.unread.append(line)

    def finish(self) -> None:
        if self._raw is not None:
            if len(self._raw) != self._raw_length:
                self.unread.append(f"{RAW_DATA}: {len(self._raw)} bytes of {self._raw_length}")
            self.fields.append(IaslField(0, len(self._raw), RAW_DATA, bytes(self._raw), "", bits=False))

    def _take_raw(self, line: str) -> None:
        dump = _RAW_LINE.match(line)
        if self._raw is None or dump is None or int(dump[1], 16) != len(self._raw):
            self.unread.append(line)
            return
        self._raw += bytes.fromhex(dump[2])

    def _take_field(self, line: str, field: re.Match[str]) -> None:
        offset, length = int(field[1], 16), int(field[3], 16) if field[3] else int(field[4])
        name, text = field[5].strip(), (field[6] or "").strip()
        plain = text
        if (remark := _REMARK.search(text)) is not None:
            self.remarks.append(remark[1].strip())
            plain = text[: remark.start()]
        value = _value(name, length, plain)
        if value is None or int(field[2]) != offset:
            self.unread.append(line)
            return
        decoded = name.endswith("(decoded below)")
        one = IaslField(offset, length, name.removesuffix("(decoded below)").strip(), value, text, bits=False)
        self.fields.append(one)
        self._parent = one if decoded else None
        self._order = 0


def _value(name: str, length: int, text: str) -> int | bytes | str | None:
    """Return the value of a printed text, or None when it is of no known form."""
    if (string := _STRING.match(text)) is not None:
        return string[1]
    if _LABEL.match(text) or (not text and not length):
        return text
    if (pair := _PAIR.match(text)) is not None:
        return bytes.fromhex(pair[1] + pair[2])
    number, _, label = text.partition(" [")
    if label:
        text = number.strip()
    if _BYTES.match(text) and (length > 1 or name.endswith("Padding")) and len(text.split()) == length:
        return bytes.fromhex(text)
    if _HEX.match(text) and len(text) == 2 * length:
        return int(text, 16)
    return None
