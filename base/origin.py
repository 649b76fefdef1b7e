"""Provenance: the place in the input that a fact was read from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in an input file.

    Attributes:
        source: name of the file as the user would recognise it; empty for data that came from memory.
        part: what inside the file: a table signature (`DMAR`), a node and property (`/soc/usb@1000 iommus`).
        offset: byte offset inside the part, when the format is binary.
        length: number of bytes at that offset.
        line: line number, counted from 1, when the format is text.
        column: character of that line, counted from 1, when it is known.
    """

    source: str
    part: str = ""
    offset: int | None = None
    length: int | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Name the place in one short phrase, such as `DMAR.bin: DMAR+0x30 (24 bytes)`."""
        place = self.source
        if self.line is not None:
            place += f":{self.line}"
            place += "" if self.column is None else f":{self.column}"
        inner = self.part
        if self.offset is not None:
            inner += f"+0x{self.offset:x}"
        if self.length is not None:
            inner = f"{inner} ({self.length} byte{'' if self.length == 1 else 's'})".lstrip()
        return ": ".join(piece for piece in (place, inner) if piece)
