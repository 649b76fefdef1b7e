"""The order of stores of a writer: what makes a ring readable whenever its writer is stopped.

A packet takes two stores: its body, then eight bytes of check, size, kind and severity. Until those are there the place
holds zeros, which is where readers stop. A page takes three: its index is made zero, the rest is written with zeros
where packets will go, and the new index is stored. A writer killed between any two leaves a page that says it is empty
or a page whose packets end where the last whole one does. Memory that shows the stores to another processor in another
order costs nothing but a moment: the checks fail until all of it is there.
"""

from __future__ import annotations

import errno
import threading
import zlib
from time import monotonic_ns, time_ns

from . import layout
from .header import Ring
from .layout import CONTINUED, MAX_MESSAGE, MAX_PIECE, MORE, PACKET_HEAD_SIZE, PAGE_HEAD_SIZE, PAGE_SIZE, Kind
from .schema import Schema
from .store import Memory

_HEAD_LEFT = PAGE_HEAD_SIZE - 8
_PAGE_REST = bytes(PAGE_SIZE - PAGE_HEAD_SIZE)
_NO_INDEX = bytes(8)
_SMALLEST_PIECE = 256
"""A long message begins in what is left of a page when that is worth its head."""

_pack_body = layout.PACKET_BODY.pack
_pack_commit = layout.PACKET_COMMIT.pack
_crc32 = zlib.crc32


class SetMemory:
    """The memory of one set and what all its rings count together."""

    __slots__ = ("clock", "memory", "sequence", "threads")

    def __init__(self, memory: Memory, *, monotonic: bool) -> None:
        """Begin with nothing counted."""
        self.memory = memory
        self.clock = monotonic_ns if monotonic else time_ns
        self.sequence = 0
        self.threads = threading.local()

    def thread_id(self) -> int:
        """Return the system's number of this thread; asked for once a thread, since asking is a system call."""
        try:
            number: int = self.threads.number
        except AttributeError:
            number = self.threads.number = threading.get_native_id() & 0xFFFFFFFF
        return number


class RingWriter:
    """Stores packets into one ring. Not for two threads at once: the set holds the lock."""

    __slots__ = ("at", "base", "end", "index", "limit", "number", "pages", "seed", "shared", "which")

    def __init__(self, ring: Ring, shared: SetMemory) -> None:
        """Begin before the first page."""
        self.shared = shared
        self.which = ring.which
        self.base = ring.offset
        self.pages = ring.pages
        self.limit = min(MAX_MESSAGE, (ring.pages - 1) * MAX_PIECE)
        self.index = 0
        self.number = 0
        self.seed = 0
        self.at = self.end = 0

    def store(self, kind: int, code: int, severity: int, payload: bytes, when: int | None, count: int = 1) -> None:
        """Store one packet that fits a page; `count` is how many it is to readers.

        Raises OSError when the memory fails, struct.error when a number does not fit its field.
        """
        shared, at, size = self.shared, self.at, PACKET_HEAD_SIZE + len(payload)
        if at + size > self.end:  # the end is a multiple of 8, as is the padded size
            self.turn()
            at = self.at
        number, sequence, memory = self.number, shared.sequence, shared.memory
        time = shared.clock() if when is None else when
        try:
            thread = shared.threads.number
        except AttributeError:
            thread = shared.thread_id()
        body = _pack_body(time, thread, code, sequence & 0xFFFF) + payload
        word = size | kind << 16 | severity << 24
        commit = _pack_commit(_crc32(body, self.seed ^ word), word)
        try:
            memory[at + 8 : at + size] = body
            memory[at : at + 8] = commit
            self.at = at + size + 7 & -8
            self.number = number + count
            shared.sequence = sequence + count
        except BaseException:
            # A signal handler raised between two stores, or the memory failed: go on in a new page, counted rightly.
            done = count if memory[at : at + 8] == commit else 0
            self.number, shared.sequence, self.at = number + done, sequence + done, self.end
            raise

    def turn(self) -> None:
        """Begin the next page, over the oldest one when the ring is full."""
        memory = self.shared.memory
        index = self.index + 1
        start = self.base + (index - 1) % self.pages * PAGE_SIZE
        self.at = self.end  # should a signal handler raise below, the page before is done with all the same
        head = layout.PAGE_HEAD.pack(index, self.number, self.shared.clock(), 0, 0)
        check = _crc32(head[: layout.PAGE_HEAD_CHECKED], self.which)
        memory[start : start + 8] = _NO_INDEX
        memory[start + 8 : start + PAGE_SIZE] = head[8:24] + check.to_bytes(8, "little") + _PAGE_REST
        memory[start : start + 8] = head[:8]
        self.index, self.seed = index, check
        self.at, self.end = start + PAGE_HEAD_SIZE, start + PAGE_SIZE

    def store_long(self, kind: int, code: int, severity: int, payload: bytes, when: int | None) -> None:
        """Store a message that fits no page, in pieces. Raises as `store`, and OSError EMSGSIZE beyond `limit`."""
        if len(payload) > self.limit:
            raise OSError(errno.EMSGSIZE, "longer than the ring can take")
        when = self.shared.clock() if when is None else when
        at = 0
        room = self.end - self.at - PACKET_HEAD_SIZE
        size = room if room >= _SMALLEST_PIECE else MAX_PIECE
        while at < len(payload):
            more = MORE if at + size < len(payload) else 0
            begun = CONTINUED if at else 0
            self.store(kind | more | begun, code, severity, payload[at : at + size], when, 0 if more else 1)
            at, size = at + size, MAX_PIECE

    def store_block(self, code: int, severity: int, schema: Schema, records: bytes | memoryview) -> None:
        """Store packed records of a schema, as many a packet as a page has room for. Raises as `store`."""
        size = schema.record.size
        head = len(schema.prefix).to_bytes(2, "little") + schema.prefix
        at = 0
        while at < len(records):
            count = (self.end - self.at - PACKET_HEAD_SIZE - len(head)) // size
            if count < 1:
                self.turn()
                continue
            part = bytes(records[at : at + count * size])
            self.store(Kind.BLOCK, code, severity, head + part, None, len(part) // size)
            at += len(part)
