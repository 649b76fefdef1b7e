"""ACPI tables in an image of physical memory: found as an operating system finds them, from the root pointer.

An image is raw: its first byte is that of address 0, as QEMU's `pmemsave 0 …` and `dd` of a `/dev/mem` write it. ELF
files (`/proc/kcore`, `dump-guest-memory`) are none.

The root pointer (RSDP) is looked for where firmware without UEFI has it: at multiples of 16 in the first KiB of the
extended BIOS data area, and from 0xe0000 to 0xfffff. UEFI may put it anywhere, and tells the system where; so without
one there, all of the image is looked through, and its checksums tell it from the text `RSD PTR ` in a program.

Source: ACPI 6.5 §5.2.5.1 (where it is), §5.2.5.3 (its fields), §5.2.7 (RSDT), §5.2.8 (XSDT), §5.2.9 (FADT).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

from ...base import Finding, Origin
from ..acpi import is_table
from .tables import RSDP

MAX_TABLES = 1024
"""Most tables that are read; the largest servers have some hundred."""

MAX_BYTES = 64 << 20
"""Bytes of all tables together that are read."""

MAX_LISTED = 16
"""Most addresses that are named one by one when there is nothing at them."""

_SEARCHED = 8 << 30
"""Bytes of an image that are looked through for a pointer."""

_EBDA_SEGMENT, _EBDA_SIZE = 0x40E, 1024
_BIOS, _BIOS_END = 0xE0000, 0x100000
_STEP = 16
_PIECE = 16 << 20
_OLD_SIZE, _SIZE = 20, 36
_HEADER = 36
MAX_POINTERS = 64
"""Most pointers that are tried: firmware leaves copies, and programs hold the text."""


class Image(Protocol):
    """An image of memory."""

    size: int

    def read(self, address: int, length: int) -> bytes:
        """Return the bytes at an address, as many of them as are in the image."""


class BytesImage:
    """An image that is in memory already."""

    def __init__(self, data: bytes) -> None:
        """Look at these bytes."""
        self.size = len(data)
        self._data = data

    def read(self, address: int, length: int) -> bytes:
        """See `Image`."""
        return self._data[address : address + length]


class FileImage:
    """An image in a file, of which only what is asked for is read."""

    def __init__(self, descriptor: int) -> None:
        """Look at the file of a descriptor, which stays open as long as this is used."""
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    def read(self, address: int, length: int) -> bytes:
        """See `Image`. What the disk does not give is not in the image."""
        try:
            return os.pread(self._descriptor, length, address) if address < self.size else b""
        except OSError:
            return b""


def has_pointer(image: Image) -> bool:
    """Tell whether an image has a root pointer that holds together."""
    return next(_pointers(image), None) is not None


def read_image(image: Image, name: str, findings: list[Finding]) -> list[tuple[int, bytes]] | None:
    """Return the addresses and bytes of the tables that the root pointer leads to, each once; None without a pointer.

    Of several pointers the first that leads to a table is followed. Where it leads and nothing is, a finding says.

    Args:
        image: the image.
        name: of the image, for provenance.
        findings: takes what is wrong.
    """
    first: _Walk | None = None
    for pointer in _pointers(image):
        walk = _Walk(image, name, pointer)
        walk.run()
        first = first or walk
        if walk.tables:
            first = walk
            break
    if first is None:
        return None
    findings.extend(first.all_findings())
    return list(first.tables.items())


class _Walk:
    """Follows one root pointer."""

    def __init__(self, image: Image, name: str, pointer: int) -> None:
        self.tables: dict[int, bytes] = {}
        self._image = image
        self._name = name
        self._pointer = pointer
        self._tried: set[int] = set()
        self._room = MAX_BYTES
        self._findings: list[Finding] = []
        self._absent: list[Finding] = []

    def run(self) -> None:
        """Take the XSDT and the RSDT, the tables that they list, and the DSDT that the FADT names."""
        pointer = self._image.read(self._pointer, _SIZE)
        roots = [(int.from_bytes(pointer[16:20], "little"), 4, "RSDT")]
        if pointer[15]:
            roots.insert(0, (int.from_bytes(pointer[24:32], "little"), 8, "XSDT"))
        for address, width, signature in roots:
            if not address:
                continue
            root = self._take(address, f"the root pointer at 0x{self._pointer:x}")
            listed = root[_HEADER:] if root[:4] == signature.encode() else b""
            for place in range(0, len(listed) - width + 1, width):
                if len(self._tried) > MAX_TABLES or place >= MAX_TABLES * width:
                    self._find("MEMORY-IMAGE-MANY", address, f"the {signature} lists too many tables",
                               f"only the first {MAX_TABLES} are read")  # fmt: skip
                    break
                entry = int.from_bytes(listed[place : place + width], "little")
                if entry:
                    self._take(entry, f"the {signature} at 0x{address:x}")
        for address, table in list(self.tables.items()):
            if table[:4] == b"FACP":
                dsdt = int.from_bytes(table[140:148], "little") or int.from_bytes(table[40:44], "little")
                self._take(dsdt, f"the FADT at 0x{address:x}")

    def _take(self, address: int, by: str) -> bytes:
        """Take the table at an address, and return it; nothing when there is none, or it was taken before."""
        if address in self._tried:
            return b""
        self._tried.add(address)
        head = self._image.read(address, _HEADER)
        if not is_table(head):
            where = "outside of the image" if address + _HEADER > self._image.size else "where there is none"
            text = f"{by} names a table at 0x{address:x}, {where}"
            advice = "save the memory up to there" if where.startswith("outside") else "the other tables are read"
            if not head.startswith(b"FACS"):
                self._absent.append(Finding("MEMORY-IMAGE-TABLE", "error", Origin(self._name), text, advice=advice))
            return b""
        table = self._image.read(address, int.from_bytes(head[4:8], "little"))
        if len(table) > self._room:
            self._find("MEMORY-IMAGE-MANY", address, "the tables are too large together",
                       f"only those up to {MAX_BYTES >> 20} MiB are read")  # fmt: skip
            return b""
        self._room -= len(table)
        self.tables[address] = table
        return table

    def _find(self, rule: str, address: int, text: str, advice: str) -> None:
        if all(finding.message != text for finding in self._findings):
            self._findings.append(Finding(rule, "error", Origin(f"{self._name}@0x{address:x}"), text, advice=advice))

    def all_findings(self) -> list[Finding]:
        """Return what is wrong; of tables that are not there, the first are named and the rest counted."""
        found = [*self._findings, *self._absent[:MAX_LISTED]]
        if (more := len(self._absent) - MAX_LISTED) > 0:
            text = f"{more} more tables are named that are not there"
            found.append(Finding("MEMORY-IMAGE-TABLE", "error", Origin(self._name), text))
        return found


def _pointers(image: Image) -> Iterator[int]:
    """Iterate over the addresses of root pointers whose checksums are right, `MAX_POINTERS` at most.

    When there is one in a legal place, none is looked for elsewhere.
    """
    ebda = int.from_bytes(image.read(_EBDA_SEGMENT, 2), "little") << 4
    areas = (image.read(ebda, _EBDA_SIZE), ebda), (image.read(_BIOS, _BIOS_END - _BIOS), _BIOS)
    legal = {start + place: None for data, start in areas for place in _in(data) if not (start + place) % _STEP}
    if legal:
        yield from list(legal)[:MAX_POINTERS]
        return
    count = 0
    for start in range(0, min(image.size, _SEARCHED), _PIECE):
        for place in _in(image.read(start, _PIECE + _SIZE - 1)):
            if place < _PIECE and count < MAX_POINTERS:
                count += 1
                yield start + place


def _in(data: bytes) -> Iterator[int]:
    """Iterate over the offsets of root pointers whose checksums are right; one of ACPI 1.0 has only the first."""
    place = data.find(RSDP)
    while place >= 0:
        pointer = data[place : place + _SIZE]
        old = len(pointer) >= _OLD_SIZE and not sum(pointer[:_OLD_SIZE]) & 0xFF
        if old and (not pointer[15] or (len(pointer) == _SIZE and not sum(pointer) & 0xFF)):
            yield place
        place = data.find(RSDP, place + 1)
