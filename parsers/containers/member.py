"""One entry of an archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MAX_MEMBERS = 100_000
"""Most entries of one archive that are looked at."""

Kind = Literal["file", "folder", "link", "hard link", "other"]

Trouble = Callable[[str, int], None]
"""Takes what is wrong, as a clause, and the offset where it is."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of an archive, as its header says it.

    Attributes:
        name: as it stands there; nobody has looked at it.
        kind: what it is.
        start: where its bytes begin in the archive; in a ZIP file, where its local header does.
        size: how many bytes there are, compressed.
        target: where a link leads; why another thing is not read.
        method: how a ZIP file holds it.
        crc: CRC-32 of what comes out, when it is known.
    """

    name: str
    kind: Kind
    start: int = 0
    size: int = 0
    target: str = ""
    method: int = 0
    crc: int | None = None
