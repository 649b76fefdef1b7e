"""Registering a buffer set and logging into it.

A program registers a set once and logs from any of its threads. A log call never raises and never waits for anybody but
another thread of the same program in the middle of a store: it returns 0, or the number of the error (`errno`), and the
set counts what failed. That holds for a full disk, for a folder that went away and for arguments that are nonsense.

- A signal handler may log, or close the set, while the thread it interrupted is logging: that is done right after.
- After `fork()` the child's first call makes a set of its own; two processes never write one ring.
- A file that was unlinked or cut under the writer is replaced by a new one when the next page is begun.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from . import directory as folder
from . import layout
from .directory import Limits
from .errors import Slog2Error, refuse
from .header import BufferConfig, SetHeader, build_header, check_names, place_rings
from .layout import CUT, MAX_PIECE, PACKET_HEAD_SIZE, PAGE_SIZE, Kind
from .names import NO_LOG_VERBOSITY, RegisterFlag, Severity
from .ring import RingWriter, SetMemory
from .schema import Schema
from .store import Memory, create_file, is_whole, open_memory
from .values import encode_deferred, encode_fields, encode_text

MAX_INSTANCES = 1000
RETRY_SECONDS = 1.0
"""How long a set that could not be made waits before the next try."""

_DEFAULT_LIMITS = Limits()
# A member of an enumeration is looked up and counted with at several times the cost of a number.
_TEXT, _RICH, _DEFERRED = int(Kind.TEXT), int(Kind.RICH), int(Kind.DEFERRED)
_BAD_ARGUMENT = (struct.error, TypeError, ValueError, AttributeError, LookupError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class SetConfig:
    """What to register (`slog2_buffer_set_config_t`).

    Attributes:
        buffer_set_name: the program's name, as a rule; at most 63 bytes.
        buffers: one to four.
        verbosity_level: highest severity number stored, or `NO_LOG_VERBOSITY`.
        max_retries: with the flag LIMIT_RETRIES, tries to enter the set before a call gives up with EBUSY.
    """

    buffer_set_name: str
    buffers: tuple[BufferConfig, ...] = (BufferConfig("default"),)
    verbosity_level: int = Severity.INFO
    max_retries: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a set's file is made.

    Attributes:
        directory: folder; None for `default_directory()`.
        mode: permission bits of the file: who may read the log.
        limits: what the sets of the folder may take together.
        mapped: store into a mapping (fast), or through system calls (a file cut by others cannot end the program).
        monotonic: stamp packets with the monotonic clock, for boards whose time of day jumps.
    """

    directory: Path | None = None
    mode: int = 0o600
    limits: Limits = _DEFAULT_LIMITS
    mapped: bool = True
    monotonic: bool = False


class _LimitedLock:
    """A lock that gives up with EBUSY after a number of tries."""

    __slots__ = ("_lock", "_tries")

    def __init__(self, retries: int) -> None:
        self._lock = threading.RLock()
        self._tries = retries + 1

    def __enter__(self) -> bool:
        for _ in range(self._tries):
            if self._lock.acquire(blocking=False):
                return True
            time.sleep(0)
        raise BlockingIOError(errno.EBUSY, "the set is in use")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class SetWriter:
    """A registered set; see `register`. Safe to use from many threads."""

    def __init__(self, config: SetConfig, flags: int, placement: Placement) -> None:
        """Prepare a set that has no file yet; use `register`."""
        self.config = config
        self.register_flags = RegisterFlag(flags)
        self.placement = placement
        self.path: Path | None = None
        self.failures: dict[int, int] = {}
        self._closed = False
        self._retry_at = 0.0
        self._retry_error = 0
        self._handle = -1
        self._size = PAGE_SIZE * (1 + sum(buffer.num_pages for buffer in config.buffers))
        self._verbosity = config.verbosity_level
        self._threshold = _threshold(config.verbosity_level)
        self._reset()
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(me))

    def _reset(self) -> None:
        """Stand as before the first store, with no file."""
        self._lock = (
            _LimitedLock(self.config.max_retries)
            if self.register_flags & RegisterFlag.LIMIT_RETRIES
            else threading.RLock()
        )
        self._counting = threading.RLock()
        self._busy = False
        self._waiting: list[Callable[[], None]] = []
        self._shared: SetMemory | None = None
        self._rings: tuple[RingWriter, ...] = ()

    def log(self, buffer: int, code: int, severity: int, text: str, when: int | None = None) -> int:
        """Store a text (`slog2c`); returns 0 or the number of the error.

        `buffer` counts from 0 in the order of the configuration; `code` is any 16 bits; `when` is the time in
        nanoseconds when it is not now. A text longer than the ring less one page, or 1 MiB, is cut.
        """
        try:
            if severity > self._threshold:
                return 0
            payload = text.encode()
            if len(payload) > MAX_PIECE:
                return self._run(self._store_text, buffer, code, severity, payload, when)
        except UnicodeEncodeError:
            return self._run(self._store_text, buffer, code, severity, encode_text(text), when)
        except _BAD_ARGUMENT:
            return self._failed(errno.EINVAL)
        return self._put(buffer, _TEXT, code, severity, payload, when)

    def log_fields(
        self, buffer: int, code: int, severity: int, text: str, fields: Mapping[str, object], when: int | None = None
    ) -> int:
        """Store a text with key/value pairs, whose types readers get back; otherwise as `log`."""
        try:
            if severity > self._threshold:
                return 0
            pairs = encode_fields(fields)
            words = encode_text(text)
        except Exception:  # noqa: BLE001 - the values are anybody's objects
            return self._failed(errno.EINVAL)
        return self._run(self._store_rich, buffer, code, severity, words, pairs, when)

    def log_deferred(self, buffer: int, code: int, severity: int, form: str, *arguments: object) -> int:
        """Store a printf format and its arguments (`slog2fa`): the text is made by whoever reads it.

        Returns 0 or the number of the error; EMSGSIZE when it does not fit the ring.
        """
        try:
            if severity > self._threshold:
                return 0
            payload = encode_deferred(form, arguments)
        except Exception:  # noqa: BLE001 - the arguments are anybody's objects
            return self._failed(errno.EINVAL)
        return self._put(buffer, _DEFERRED, code, severity, payload, None)

    def burst(self, buffer: int, code: int, severity: int, schema: Schema, records: bytes | memoryview) -> int:
        """Store many packed records of a schema (`Schema.pack`), each a packet of its own to readers.

        Returns 0 or the number of the error; EINVAL when the length is not a multiple of a record's.
        """
        try:
            if severity > self._threshold:
                return 0
            view = memoryview(records).cast("B")
            if len(view) % schema.record.size:
                return self._failed(errno.EINVAL)
        except _BAD_ARGUMENT:
            return self._failed(errno.EINVAL)
        return self._run(self._store_block, buffer, code, severity, schema, view)

    @property
    def verbosity(self) -> int:
        """Highest severity number stored, for the whole set (`slog2_get_verbosity`)."""
        return self._verbosity

    def set_verbosity(self, verbosity: int) -> int:
        """Set the verbosity of the whole set (`slog2_set_verbosity`): 0 to 7 or `NO_LOG_VERBOSITY`; else EINVAL."""
        if not 0 <= verbosity <= Severity.DEBUG2 and verbosity != NO_LOG_VERBOSITY:
            return self._failed(errno.EINVAL)
        self._verbosity, self._threshold = verbosity, _threshold(verbosity)
        return self._run(self._store_state, 0)

    def find_buffer(self, buffer_name: str) -> int | None:
        """Return the number of the buffer of that name (`slog2_find_buffer`), or None."""
        names = [buffer.buffer_name for buffer in self.config.buffers]
        return names.index(buffer_name) if buffer_name in names else None

    def close(self) -> int:
        """End the set: it stays readable until its space is needed. Later calls return EPERM."""
        return 0 if self._closed else self._run(self._end)

    def __enter__(self) -> Self:
        """Return the set."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the set."""
        self.close()

    def open(self) -> None:
        """Make the set's file if it has none. Raises OSError."""
        with self._lock:
            if not self._rings:
                self._open()

    # Below: with the lock held, but for `_run` and `_failed`.

    def _run(self, job: Callable[..., None], *arguments: object) -> int:
        """Do a job under the lock and turn what goes wrong into a number."""
        try:
            with self._lock:
                if self._busy:
                    # A signal handler of the very thread that is storing. Its own store must end first.
                    self._waiting.append(partial(job, *arguments))
                    return 0
                try:
                    self._busy = True
                    job(*arguments)
                finally:
                    self._busy = False
                    if self._waiting:
                        self._catch_up()
        except OSError as error:
            return self._failed(error.errno or errno.EIO)
        except _BAD_ARGUMENT:
            return self._failed(errno.EINVAL)
        return 0

    def _put(self, buffer: int, kind: int, code: int, severity: int, payload: bytes, when: int | None) -> int:
        """Store one packet: by the shortest way when the page at hand has room for it, else as `_run` does `_store`."""
        try:
            with self._lock:
                if not self._busy and self._rings and buffer >= 0:
                    ring = self._rings[buffer]
                    if ring.at + PACKET_HEAD_SIZE + len(payload) <= ring.end:
                        try:
                            self._busy = True
                            ring.store(kind, code, severity, payload, when)
                        finally:
                            self._busy = False
                            if self._waiting:
                                self._catch_up()
                        return 0
        except OSError as error:
            return self._failed(error.errno or errno.EIO)
        except _BAD_ARGUMENT:
            return self._failed(errno.EINVAL)
        return self._run(self._store, buffer, kind, code, severity, payload, when)

    def _catch_up(self) -> None:
        """Store what signal handlers logged meanwhile."""
        waiting, self._waiting = self._waiting, []
        for job in waiting:
            self._run(job)

    def _failed(self, number: int) -> int:
        with self._counting:
            self.failures[number] = self.failures.get(number, 0) + 1
        return number

    def _store(self, buffer: int, kind: int, code: int, severity: int, payload: bytes, when: int | None) -> None:
        ring = self._any_ring(buffer)
        size = len(payload)
        if ring.at + PACKET_HEAD_SIZE + size > ring.end:
            ring = self._ring(buffer)
        if size > MAX_PIECE:
            ring.store_long(kind, code, severity, payload, when)
        else:
            ring.store(kind, code, severity, payload, when)

    def _store_text(self, buffer: int, code: int, severity: int, payload: bytes, when: int | None) -> None:
        limit = self._any_ring(buffer).limit
        kind = _TEXT | (CUT if len(payload) > limit else 0)
        self._store(buffer, kind, code, severity, _cut(payload, limit), when)

    def _store_rich(self, buffer: int, code: int, severity: int, words: bytes, pairs: bytes, when: int | None) -> None:
        room = self._any_ring(buffer).limit - len(pairs) - 4
        if room < 0:
            raise OSError(errno.EMSGSIZE, "fields longer than the ring can take")
        kind = _RICH
        if len(words) > room:
            kind, words = _RICH | CUT, _cut(words, room)
        self._store(buffer, kind, code, severity, b"".join((len(words).to_bytes(4, "little"), words, pairs)), when)

    def _store_block(self, buffer: int, code: int, severity: int, schema: Schema, view: memoryview) -> None:
        self._ring(buffer).store_block(code, severity, schema, view)

    def _end(self) -> None:
        try:
            self._store_state(time.time_ns())
        finally:
            self._closed = True
            self._let_go()

    def _store_state(self, closed: int) -> None:
        if self._shared is not None and is_whole(self._handle, self._size):
            state = layout.STATE.pack(self._verbosity, bool(closed), 0, 0, closed)
            self._shared.memory[layout.STATE_AT : layout.STATE_AT + layout.STATE.size] = state

    def _any_ring(self, buffer: int) -> RingWriter:
        """Return the ring of a buffer, whatever became of its file. Raises as `_ring`."""
        return self._rings[buffer] if self._rings and buffer >= 0 else self._ring(buffer)

    def _ring(self, buffer: int) -> RingWriter:
        """Return the ring of a buffer, with a file under it that is as it was made. Raises OSError, IndexError."""
        if not 0 <= buffer < len(self.config.buffers):
            raise IndexError(buffer)
        if self._shared is None or not is_whole(self._handle, self._size):
            self._open()
        return self._rings[buffer]

    def _open(self) -> None:
        """Make the set's file, at most one try a second when that fails. Raises OSError."""
        if self._closed:
            raise OSError(errno.EPERM, "the set is closed")
        now = time.monotonic()
        if now < self._retry_at:
            raise OSError(self._retry_error, "the set cannot be made")
        self._let_go()
        try:
            self._make()
        except OSError as error:
            self._retry_at, self._retry_error = now + RETRY_SECONDS, error.errno or errno.EIO
            self._let_go()
            raise

    def _make(self) -> None:
        where = self.placement.directory or folder.default_directory()
        folder.make_directory(where)
        folder.make_room(where, self.placement.limits, self._size)
        self.path, instance = self._create(where)
        memory = open_memory(self._handle, self._size, mapped=self.placement.mapped)
        page = build_header(self._header(instance))
        memory[8:PAGE_SIZE] = page[8:]
        memory[0:8] = page[:8]
        self._take(memory)

    def _take(self, memory: Memory) -> None:
        self._shared = SetMemory(memory, monotonic=self.placement.monotonic)
        self._rings = tuple(RingWriter(ring, self._shared) for ring in place_rings(self.config.buffers))

    def _create(self, where: Path) -> tuple[Path, int]:
        for instance in range(MAX_INSTANCES):
            path = where / self._header(instance).file_name
            try:
                self._handle = create_file(path, self._size, self.placement.mode)
            except FileExistsError:
                continue
            return path, instance
        raise FileExistsError(errno.EEXIST, "too many sets of this name")

    def _header(self, instance: int) -> SetHeader:
        pid = os.getpid()
        return SetHeader(
            set_name=self.config.buffer_set_name,
            owner_pid=pid,
            owner_start=folder.process_start(pid),
            instance=instance,
            register_flags=int(self.register_flags),
            monotonic=self.placement.monotonic,
            created=time.time_ns(),
            created_monotonic=time.monotonic_ns(),
            total_bytes=self._size,
            rings=place_rings(self.config.buffers),
            verbosity_level=self._verbosity,
        )

    def _let_go(self) -> None:
        if self._shared is not None:
            self._shared.memory.close()
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._shared, self._rings = -1, None, ()


def _forget(me: weakref.ref[SetWriter]) -> None:
    """After a fork, in the child: the set is the parent's."""
    writer = me()
    if writer is not None:
        writer._let_go()  # noqa: SLF001 - the fork hook must not hold the set itself
        writer._reset()  # noqa: SLF001
        writer._retry_at = 0.0  # noqa: SLF001


def _threshold(verbosity: int) -> int:
    return -1 if verbosity == NO_LOG_VERBOSITY else verbosity


def _cut(payload: bytes, limit: int) -> bytes:
    """Return the payload, or as many of its characters as take at most `limit` bytes."""
    if len(payload) <= limit:
        return payload
    while limit > 0 and payload[limit] & 0xC0 == 0x80:  # noqa: PLR2004 - how UTF-8 marks a byte inside a character
        limit -= 1
    return payload[:limit]


def register(
    config: SetConfig, flags: int = 0, placement: Placement | None = None, *, required: bool = True
) -> SetWriter:
    """Make a buffer set and return it (`slog2_register`).

    Raises Slog2Error when the configuration cannot be a set, and, when `required`, when the file cannot be made. With
    `required=False` a program goes on without its log: each call returns the error, and the file is tried for again
    once a second.
    """
    check_names(config.buffer_set_name, config.buffers)
    if not 0 <= config.verbosity_level <= Severity.DEBUG2 and config.verbosity_level != NO_LOG_VERBOSITY:
        found, expected = str(config.verbosity_level), f"0 to 7, or {NO_LOG_VERBOSITY}"
        raise refuse("SLOG2-VERBOSITY", config.buffer_set_name, "no such verbosity", found=found, expected=expected)
    writer = SetWriter(config, flags, placement or Placement())
    try:
        writer.open()
    except OSError as error:
        if required:
            where = str(writer.placement.directory or folder.default_directory())
            advice = f"set {folder.ENVIRONMENT} to a folder that can be written"
            raise refuse("SLOG2-REGISTER", where, "no set can be made", found=str(error), advice=advice) from error
    return writer


__all__ = ["MAX_INSTANCES", "Limits", "Placement", "SetConfig", "SetWriter", "Slog2Error", "register"]
