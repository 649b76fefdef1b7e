"""A device tree from the folders that Linux shows it in: `/sys/firmware/devicetree/base`, a file for each property.

Everybody may read these, and only root the blob (`/sys/firmware/fdt`). They hold what a boot loader left and what Linux
added since. What is made of them is a blob again (Devicetree Specification v0.4 §5), so that there is one reader.
"""

from __future__ import annotations

import os
import struct

from ...base import Finding, Origin
from ..sources import MAX_FILE, read_file

MOST_DEPTH = 64
"""Folders inside each other that are followed."""

_BEGIN, _END, _PROPERTY, _FINISH = 1, 2, 3, 9
_HEADER = struct.Struct(">10I")


def flatten(folder: str) -> tuple[bytes, tuple[Finding, ...]]:
    """Return the blob that the folders stand for, and what could not be read."""
    made = _Blob(folder)
    made.node(folder, "", 0)
    structure = b"".join((*made.parts, struct.pack(">I", _FINISH)))
    names = bytes(made.names)
    at = _HEADER.size + 16  # an empty memory reservation block of one entry
    head = _HEADER.pack(
        0xD00DFEED, at + len(structure) + len(names), at, at + len(structure), _HEADER.size, 17, 16, 0,
        len(names), len(structure),
    )  # fmt: skip
    return head + bytes(16) + structure + names, tuple(made.findings)


class _Blob:
    """The parts of the blob that is being made."""

    def __init__(self, root: str) -> None:
        """Start without any."""
        self.root = root
        self.parts: list[bytes] = []
        self.names = bytearray()
        self.findings: list[Finding] = []
        self._offsets: dict[bytes, int] = {}
        self._size = 0

    def node(self, folder: str, name: str, depth: int) -> None:
        """Add a folder: its properties first, then the nodes in it."""
        self._add(struct.pack(">I", _BEGIN) + _padded(os.fsencode(name) + b"\0"))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._complain(folder, error.strerror or str(error))
            entries = []
        inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
        for entry in entries:
            if entry not in inner:
                self._property(entry.path, entry.name)
        for entry in inner:
            if depth == MOST_DEPTH or self._size > MAX_FILE:
                self._complain(entry.path, "the tree is too deep or too large")
                break
            self.node(entry.path, entry.name, depth + 1)
        self._add(struct.pack(">I", _END))

    def _property(self, path: str, name: str) -> None:
        try:
            value = read_file(path)
        except OSError as error:
            self._complain(path, error.strerror or str(error))
            return
        if len(value) + self._size > MAX_FILE:
            self._complain(path, "the tree is too large")
            return
        key = os.fsencode(name) + b"\0"
        if key not in self._offsets:
            self._offsets[key] = len(self.names)
            self.names += key
        self._add(struct.pack(">3I", _PROPERTY, len(value), self._offsets[key]) + _padded(value))

    def _add(self, part: bytes) -> None:
        self.parts.append(part)
        self._size += len(part)

    def _complain(self, path: str, reason: str) -> None:
        where = Origin(self.root, os.path.relpath(path, self.root))
        text = f"this part of the device tree cannot be read: {reason}"
        advice = "the tree is read without it"
        self.findings.append(Finding("DT-FOLDER", "warning", where, text, advice=advice))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
