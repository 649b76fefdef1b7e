"""Following logs: what is there, or only what is new, and then on and on (`slog2_parse_all` with DYNAMIC).

A follower looks at the folder and the files again and again; nothing it does is seen by a writer. When a writer laps
it, an UNSYNC packet says how many packets it missed. A buffer that appears while following is announced by an ONLINE
packet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .decode import Report, page_head
from .directory import default_directory, scan_sets
from .errors import Slog2Error
from .header import Ring
from .image import Image, open_image
from .layout import PAGE_HEAD_SIZE, PAGE_SIZE
from .merge import merge
from .packet import Packet, online
from .reader import Match, any_set, ignore

_IDLE_POLLS = 16
"""Idle polls between two looks at a whole ring, for pages that come after one that is damaged."""
_PATIENCE = 20
"""Polls a file may take to become a set: its maker stores the header last."""


class _RingFollower:
    """The place of a follower in one ring."""

    __slots__ = ("_at", "_begun", "_cleared", "_decoder", "_idle", "_image", "_index", "_ring")

    def __init__(self, image: Image, ring: Ring, *, fresh: bool) -> None:
        """Begin at the oldest page; `fresh` when the ring appeared just now, so that what is gone was missed."""
        self._image = image
        self._ring = ring
        self._decoder = image.decoder(ring)
        self._cleared = 0 if fresh else image.header.cleared[ring.which]
        if fresh:
            self._decoder.number = 0
        self._index = 0
        self._at = PAGE_HEAD_SIZE
        self._begun = False
        self._idle = 0

    def to_end(self) -> None:
        """Go behind the last packet there is."""
        if self._seek(max(self._image.heads(self._ring), default=1) - 1):
            self.poll()

    def poll(self) -> list[Packet]:
        """Return what came since the last time."""
        packets: list[Packet] = []
        for _ in range(self._ring.pages + 1):
            if not self._step(packets):
                break
        self._idle = 0 if packets else self._idle + 1
        if self._cleared:
            return [packet for packet in packets if packet.number >= self._cleared]
        return packets

    def _step(self, packets: list[Packet]) -> bool:
        """Read what is new in the present page; True when there is a next one to go on with."""
        # The next page first: if it is there, the present one is final when it is read after.
        following = self._head(self._index + 1)
        if not self._index:
            return self._seek(0)
        slot = (self._index - 1) % self._ring.pages
        page = self._image.read(PAGE_SIZE, self._ring.offset + slot * PAGE_SIZE)
        head = page_head(page, 0, self._ring.which, slot, self._ring.pages)
        if head is None or head[0] != self._index or len(page) < PAGE_SIZE:
            return self._seek(self._index)
        if not self._begun:
            packets += self._decoder.begin_page(head)
            self._begun = True
        more, self._at, ended = self._decoder.decode(page, self._at, head[3])
        packets += more
        if following == self._index + 1:
            if not ended:
                self._decoder.damaged(self._index, self._at)
            self._go(self._index + 1)
            return True
        overtaken = following > self._index + 1 or (self._idle % _IDLE_POLLS == _IDLE_POLLS - 1 and not more)
        return overtaken and self._seek(self._index)

    def _head(self, index: int) -> int:
        """Return the index of the page that is where page `index` belongs; 0 when none is."""
        slot = (index - 1) % self._ring.pages
        data = self._image.read(PAGE_HEAD_SIZE, self._ring.offset + slot * PAGE_SIZE)
        head = page_head(data, 0, self._ring.which, slot, self._ring.pages)
        return head[0] if head else 0

    def _seek(self, after: int) -> bool:
        """Go to the oldest page after page `after`; False when there is none."""
        index = min((found for found in self._image.heads(self._ring) if found > after), default=0)
        if index:
            self._go(index)
        return bool(index)

    def _go(self, index: int) -> None:
        self._index, self._at, self._begun = index, PAGE_HEAD_SIZE, False


@dataclass(slots=True)
class _Followed:
    """One file that is followed, or known not to be worth it (no rings)."""

    inode: int
    image: Image | None = None
    rings: tuple[_RingFollower, ...] = ()
    tries: int = 0


class Follower:
    """Follows all sets of a folder; `poll` gives what is new. A context manager, for the files it keeps open.

    Args:
        directory: folder; None for `default_directory()`.
        history: begin with what is there already (`slog2info -w`), or with what comes from now on (`-W`).
        match: chooses sets.
        report: takes findings.
        verbose: read buffers that ask to be skipped as well.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        history: bool = True,
        match: Match = any_set,
        report: Report = ignore,
        verbose: bool = False,
    ) -> None:
        """Begin to follow: with `history=False` from this very moment."""
        self._directory = directory or default_directory()
        self._match = match
        self._report = report
        self._verbose = verbose
        self._files: dict[Path, _Followed] = {}
        self._announced: list[Packet] = []
        self._look(fresh=False)
        if not history:
            for followed in self._files.values():
                for ring in followed.rings:
                    ring.to_end()

    def poll(self) -> list[Packet]:
        """Return what came since the last time, by time; at first, unless told otherwise, all there is."""
        gone = self._look(fresh=True)
        announced, self._announced = self._announced, []
        followed = [*gone, *self._files.values()]
        lanes = [iter([ring.poll()]) for one in followed for ring in one.rings]
        for one in gone:
            _close(one)
        return announced + [packet for chunk in merge(lanes) for packet in chunk]

    def _look(self, *, fresh: bool) -> list[_Followed]:
        """Take up new files and return those that are gone, which are read a last time."""
        present = scan_sets(self._directory)
        gone = [path for path, followed in self._files.items() if present.get(path) != followed.inode]
        left = [self._files.pop(path) for path in gone]
        for path, inode in present.items():
            followed = self._files.setdefault(path, _Followed(inode))
            if followed.image is None and followed.tries < _PATIENCE:
                self._take_up(path, followed, fresh=fresh)
        return left

    def _take_up(self, path: Path, followed: _Followed, *, fresh: bool) -> None:
        followed.tries += 1
        try:
            image = open_image(path, self._report if followed.tries == _PATIENCE else ignore)
        except Slog2Error as error:
            if followed.tries == _PATIENCE:
                self._report(error.finding)
            return
        if not self._match(image.header):
            os.close(image.handle)
            followed.tries = _PATIENCE
            return
        rings = [ring for ring in image.header.rings if self._verbose or not image.hides(ring)]
        followed.image = image
        followed.rings = tuple(_RingFollower(image, ring, fresh=fresh) for ring in rings)
        if fresh:
            self._announced += [online(image.stream(ring), image.header.created) for ring in rings]

    def close(self) -> None:
        """Let go of the files."""
        for followed in self._files.values():
            _close(followed)
        self._files.clear()

    def __enter__(self) -> Self:
        """Return the follower."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _close(followed: _Followed) -> None:
    if followed.image is not None:
        with suppress(OSError):
            os.close(followed.image.handle)
        followed.image = None


def never() -> bool:
    """Go on without end."""
    return False


def follow(follower: Follower, interval: float = 0.05, stop: Callable[[], bool] = never) -> Iterator[list[Packet]]:
    """Yield lists of new packets, looking every `interval` seconds while nothing comes, until `stop()` is true.

    What is there when `stop()` turns true is still given.
    """
    with follower:
        while True:
            last = stop()
            packets = follower.poll()
            if packets:
                yield packets
            elif last:
                return
            else:
                time.sleep(interval)
