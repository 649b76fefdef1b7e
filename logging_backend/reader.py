"""Reading logs once: all sets of a folder, or saved copies, merged by time (`slog2_parse_all` without DYNAMIC)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..base import Finding
from . import layout
from .decode import Report
from .directory import default_directory, list_sets, open_set, read_header
from .errors import Slog2Error, refuse
from .header import SetHeader
from .image import Image, capture, decode_pages, open_image, saved_images
from .layout import PAGE_HEAD_SIZE, PAGE_SIZE
from .merge import merge
from .packet import Packet

Match = Callable[[SetHeader], bool]
"""Chooses sets by what their headers say."""


def any_set(_: SetHeader) -> bool:
    """Choose every set."""
    return True


def ignore(_: Finding) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class BufferInfo:
    """What a buffer holds (`slog2_buffer_info_t` and its counts).

    Attributes:
        set_file: `<set>.<pid>[..<n>]`.
        buffer_name: name of the buffer.
        buffer_size: bytes of its ring.
        overwritten: packets that were stored and overwritten since.
        stored: packets stored since the set was made.
        alive: the set was not closed. Whether its owner still runs is for `directory.is_alive`.
    """

    set_file: str
    buffer_name: str
    buffer_size: int
    overwritten: int
    stored: int
    alive: bool


def snapshot(
    directory: Path | None = None, match: Match = any_set, report: Report = ignore, *, verbose: bool = False
) -> Iterator[list[Packet]]:
    """Yield all packets of all sets of a folder as they are now, merged by time, in lists.

    Everything is copied before the first packet is given, so a slow reader of the result loses nothing. With `verbose`
    buffers that ask to be skipped are read as well. What cannot be read is reported, and the rest given.
    """
    lanes: list[Iterator[list[Packet]]] = []
    for image in _images(directory, match, report):
        lanes += _lanes(image, verbose=verbose)
    return merge(lanes)


def _images(directory: Path | None, match: Match, report: Report) -> Iterator[Image]:
    """Iterate over the sets of a folder that are chosen; each is open until the next is asked for."""
    for path in list_sets(directory or default_directory()):
        try:
            image = open_image(path, report)
        except Slog2Error as error:
            report(error.finding)
            continue
        try:
            if match(image.header):
                yield image
        finally:
            os.close(image.handle)


def read_saved(
    path: Path, match: Match = any_set, report: Report = ignore, *, verbose: bool = False, whole: bool = False
) -> Iterator[list[Packet]]:
    """Yield all packets of a saved copy, or of one set's file, merged by time, in lists. Raises Slog2Error.

    Args:
        path: of the file.
        match: chooses sets.
        report: takes findings.
        verbose: read buffers that ask to be skipped as well.
        whole: what was overwritten before the oldest packet there is, is told by an UNSYNC packet too.
    """
    handle = open_set(path)
    try:
        images = saved_images(handle, str(path), report)
        lanes = [
            lane for image in images if match(image.header) for lane in _lanes(image, verbose=verbose, whole=whole)
        ]
    finally:
        os.close(handle)
    return merge(lanes)


def _lanes(image: Image, *, verbose: bool, whole: bool = False) -> list[Iterator[list[Packet]]]:
    rings = [ring for ring in image.header.rings if verbose or not image.hides(ring)]
    return [decode_pages(image, ring, capture(image, ring), whole=whole) for ring in rings]


def packets(chunks: Iterable[list[Packet]]) -> Iterator[Packet]:
    """Yield packets one by one."""
    for chunk in chunks:
        yield from chunk


def buffer_infos(path: Path, report: Report = ignore) -> list[BufferInfo]:
    """Return what each buffer of a set's file holds. Raises Slog2Error."""
    image = open_image(path, report)
    try:
        infos = []
        for ring in image.header.rings:
            pages = capture(image, ring)
            decoder = image.decoder(ring)
            for head, page in pages[-1:]:
                decoder.begin_page(head)
                decoder.decode(page, PAGE_HEAD_SIZE, head[3])
            oldest = pages[0][0][1] if pages else 0
            name, size, alive = image.header.file_name, ring.pages * PAGE_SIZE, not image.header.closed
            infos.append(BufferInfo(name, ring.buffer_name, size, oldest, decoder.number or 0, alive))
        return infos
    finally:
        os.close(image.handle)


def save(target: Path, directory: Path | None = None, match: Match = any_set, report: Report = ignore) -> int:
    """Copy sets of a folder into one new file (`slog2_dump_logs_to_file`); returns how many.

    Each ring is copied as a snapshot takes it. Raises Slog2Error when the file exists or cannot be written.
    """
    count = 0
    try:
        with target.open("xb") as file:
            for image in _images(directory, match, report):
                file.writelines(_copy(image))
                count += 1
    except OSError as error:
        raise refuse("SLOG2-SAVE", str(target), "cannot be written", found=str(error)) from error
    return count


def _copy(image: Image) -> Iterator[bytes]:
    """Yield a set's bytes: header, then each slot with the page a snapshot has for it, or zeros."""
    total = image.header.total_bytes & -PAGE_SIZE
    at = PAGE_SIZE
    yield image.read(PAGE_SIZE, 0)
    for ring in image.header.rings:
        yield bytes(ring.offset - at)
        at = min(ring.offset + ring.pages * PAGE_SIZE, total)
        slots = {(head[0] - 1) % ring.pages: page for head, page in capture(image, ring)}
        for slot in range((at - ring.offset) // PAGE_SIZE):
            yield slots.get(slot, b"").ljust(PAGE_SIZE, b"\0")
    yield bytes(max(0, total - at))


def clear(path: Path) -> bool:
    """Hide all packets a set holds now from readers, by a mark in its header that the writer never looks at.

    Returns False when the file cannot be written or is no set.
    """
    try:
        header, infos = read_header(path), buffer_infos(path)
    except Slog2Error:
        return False
    marks = list(header.cleared)
    for ring, info in zip(header.rings, infos, strict=False):
        marks[ring.which] = max(marks[ring.which], info.stored)
    with suppress(OSError):
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                os.pwrite(handle, layout.CLEARED.pack(*marks), layout.CLEARED_AT)
                return True
        finally:
            os.close(handle)
    return False
