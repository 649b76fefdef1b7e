"""A set as a file holds it: a live set, or one of several in a saved copy.

A saved copy is nothing but sets one behind the other, each as long as its header says; so a single set's file is a
saved copy as well. Files are read, never mapped: a file cut while it is read yields fewer bytes, not a signal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..base import Finding, Origin
from .decode import Decoder, Report, page_head
from .directory import open_set, read_at
from .errors import Slog2Error
from .header import Ring, SetHeader, parse_header
from .layout import PAGE_HEAD_SIZE, PAGE_SIZE
from .packet import Packet, Stream

Head = tuple[int, int, int, int]
"""index, first number, time, check of a page."""

MAX_FINDINGS = 1000
"""Findings one image can cause; a log full of noise would otherwise report each page."""


class Limited:
    """A report that stops after `MAX_FINDINGS`."""

    __slots__ = ("_left", "_report")

    def __init__(self, report: Report) -> None:
        """Pass findings on to `report`."""
        self._report = report
        self._left = MAX_FINDINGS

    def __call__(self, finding: Finding) -> None:
        """Pass one finding on."""
        if self._left > 0:
            self._left -= 1
            self._report(finding)


@dataclass(frozen=True, slots=True)
class Image:
    """One set in an open file.

    Attributes:
        handle: file descriptor, which the image does not own.
        offset: where the set begins in the file.
        source: name of the file for findings.
        header: what the set says about itself.
        report: takes findings.
    """

    handle: int
    offset: int
    source: str
    header: SetHeader
    report: Report

    def read(self, size: int, offset: int) -> bytes:
        """Return bytes of the set; fewer where the file ends."""
        return read_at(self.handle, size, self.offset + offset)

    def stream(self, ring: Ring) -> Stream:
        """Return the origin of a ring's packets."""
        about = self.header
        flags = about.register_flags
        return Stream(about.file_name, about.set_name, about.owner_pid, ring.buffer_name, flags, about.monotonic)

    def decoder(self, ring: Ring) -> Decoder:
        """Return a decoder for a ring."""
        return Decoder(self.stream(ring), ring.which, self.source, self.report)

    def heads(self, ring: Ring) -> dict[int, Head]:
        """Return the page heads of a ring as they are now, by index."""
        found = {}
        for slot in range(ring.pages):
            data = self.read(PAGE_HEAD_SIZE, ring.offset + slot * PAGE_SIZE)
            head = page_head(data, 0, ring.which, slot, ring.pages)
            if head is not None:
                found[head[0]] = head
        return found

    def hides(self, ring: Ring) -> bool:
        """Tell whether the register flags ask readers to skip this buffer."""
        return bool(self.header.register_flags >> (3 + ring.which) & 1)


def open_image(path: Path, report: Report) -> Image:
    """Open the file of one live set. Raises Slog2Error. Close the handle when done."""
    handle = open_set(path)
    try:
        return _image(handle, 0, os.fstat(handle).st_size, str(path), report)
    except Slog2Error:
        os.close(handle)
        raise


def saved_images(handle: int, source: str, report: Report) -> Iterator[Image]:
    """Yield the sets of a saved copy, in order. What follows something that is no set cannot be found: it is reported.

    Raises Slog2Error when not even the first can be read.
    """
    size = os.fstat(handle).st_size
    offset = 0
    while offset < size:
        try:
            image = _image(handle, offset, size - offset, source, report)
        except Slog2Error as error:
            if not offset:
                raise
            report(error.finding)
            return
        yield image
        # At least its header page: a length that lies must not stop us.
        offset += max(image.header.total_bytes + PAGE_SIZE - 1 & -PAGE_SIZE, PAGE_SIZE)


def _image(handle: int, offset: int, available: int, source: str, report: Report) -> Image:
    limited = Limited(report)
    findings: list[Finding] = []
    header = parse_header(read_at(handle, PAGE_SIZE, offset), available, source, findings)
    for finding in findings:
        limited(finding)
    return Image(handle, offset, source, header, limited)


def capture(image: Image, ring: Ring) -> list[tuple[Head, bytes]]:
    """Return all pages of a ring, in order, such that none but the last was still being written when it was copied.

    The ring is copied twice. The newest page of the first copy existed when the second was begun, so all pages before
    it are final in the second; one that was overwritten meanwhile is taken from the first. Pages newer than that one
    are left for the next reading.
    """
    first, second = image.read(ring.pages * PAGE_SIZE, ring.offset), image.read(ring.pages * PAGE_SIZE, ring.offset)
    old, new = _heads(image, ring, first, quiet=True), _heads(image, ring, second, quiet=False)
    newest = max(old, default=0)
    pages = {index: (head, first[at : at + PAGE_SIZE]) for index, (head, at) in old.items()}
    pages |= {index: (head, second[at : at + PAGE_SIZE]) for index, (head, at) in new.items() if index <= newest}
    return [pages[index] for index in sorted(pages)]


def _heads(image: Image, ring: Ring, data: bytes, *, quiet: bool) -> dict[int, tuple[Head, int]]:
    """Return the page heads in a copy of a ring, with their offsets; reports slots with noise instead of a head."""
    found = {}
    for slot in range(ring.pages):
        at = slot * PAGE_SIZE
        head = page_head(data, at, ring.which, slot, ring.pages)
        if head is not None:
            found[head[0]] = head, at
        elif not quiet and any(data[at : at + 8]):
            where = Origin(image.source, f"buffer {ring.buffer_name!r} slot {slot}", ring.offset + at, PAGE_HEAD_SIZE)
            image.report(Finding("SLOG2-PAGE", "error", where, "no page head", advice="the page is not read"))
    if not quiet and len(data) < ring.pages * PAGE_SIZE:
        where = Origin(image.source, f"buffer {ring.buffer_name!r}", ring.offset, len(data))
        found_text, wanted = f"{len(data)} bytes", f"{ring.pages * PAGE_SIZE}"
        image.report(
            Finding("SLOG2-SHORT", "error", where, "the file ends too early", found=found_text, expected=wanted)
        )
    return found


def decode_pages(
    image: Image, ring: Ring, pages: list[tuple[Head, bytes]], *, whole: bool = False
) -> Iterator[list[Packet]]:
    """Yield the packets of captured pages, a list a page, and UNSYNC packets where some are missing.

    With `whole`, those missing before the first page count too, but for those that were cleared on purpose.
    """
    decoder = image.decoder(ring)
    cleared = image.header.cleared[ring.which]
    if whole and pages:
        decoder.number = min(cleared, pages[0][0][1])
    for place, (head, page) in enumerate(pages, 1):
        packets = decoder.begin_page(head)
        more, at, ended = decoder.decode(page, PAGE_HEAD_SIZE, head[3])
        if not ended and place < len(pages):
            decoder.damaged(head[0], at)
        packets += more
        if cleared:
            packets = [packet for packet in packets if packet.number >= cleared]
        if packets:
            yield packets
