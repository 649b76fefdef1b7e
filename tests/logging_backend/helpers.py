"""What the tests of the log share: sets of a few pages, what is read back, and how heavy the heavy tests are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from iommuman.logging_backend import (
    BufferConfig,
    Packet,
    Placement,
    SetConfig,
    SetWriter,
    packets,
    register,
    snapshot,
)

if TYPE_CHECKING:
    from iommuman.base import Finding


def amount(name: str, default: int) -> int:
    """Return how much a heavy test does: IOMMUMAN_LOG_<name>, or a number that suits every day."""
    return int(os.environ.get(f"IOMMUMAN_LOG_{name}", default))


def make(folder: Path, *pages: int, name: str = "test", flags: int = 0, **placement: object) -> SetWriter:
    """Register a set that stores everything, with a buffer `b0`, `b1`, ... of each number of pages."""
    buffers = tuple(BufferConfig(f"b{i}", count) for i, count in enumerate(pages or (4,)))
    where = Placement(directory=folder, **placement)  # type: ignore[arg-type]
    return register(SetConfig(name, buffers, verbosity_level=7), flags, where)


def read(folder: Path, findings: list[Finding] | None = None) -> list[Packet]:
    """Return all packets of a folder; without a list for findings there must be none."""
    found: list[Finding] = [] if findings is None else findings
    result = list(packets(snapshot(folder, report=found.append)))
    if findings is None:
        assert not found, [str(finding) for finding in found]
    return result


def texts(folder: Path) -> list[str]:
    """Return the texts of all packets of a folder."""
    return [packet.text for packet in read(folder)]


def numbered(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of all packets of a folder, which must be whole."""
    return ((packet.number, packet.text) for packet in read(folder))
