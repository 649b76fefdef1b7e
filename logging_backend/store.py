"""The memory a writer stores into: a new file, mapped, or written through the system for who cannot trust the file.

A store is `memory[low:high] = data`. A mapping is the fast one: a store is a copy in memory. Its price is that a file
cut short by somebody else, while it is mapped, ends the program at its next store beyond the end (SIGBUS), in any
language. The writer looks at the size of the file at each page; who shares the folder with others that are not to be
trusted takes `FileMemory`, whose stores are system calls and can only fail.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from pathlib import Path
from typing import Protocol

from .layout import PAGE_SIZE


class Memory(Protocol):
    """What a writer stores into."""

    def __setitem__(self, where: slice, data: bytes, /) -> None:
        """Store bytes at a slice of the same length."""

    def __getitem__(self, where: slice, /) -> bytes:
        """Return the bytes of a slice."""

    def close(self) -> None:
        """Let go of the memory."""


class FileMemory:
    """Memory whose every store is a `pwrite`: it raises OSError and never a signal."""

    __slots__ = ("_handle",)

    def __init__(self, handle: int) -> None:
        """Take a descriptor of a file open for writing; it is duplicated."""
        self._handle = os.dup(handle)

    def __setitem__(self, where: slice, data: bytes, /) -> None:
        """See `Memory`."""
        if os.pwrite(self._handle, data, where.start) != len(data):
            raise OSError(errno.EIO, "only a part was written")

    def __getitem__(self, where: slice, /) -> bytes:
        """See `Memory`."""
        return os.pread(self._handle, where.stop - where.start, where.start)

    def close(self) -> None:
        """See `Memory`."""
        os.close(self._handle)


def create_file(path: Path, size: int, mode: int) -> int:
    """Make a new file of `size` bytes with all its space, and return its descriptor.

    Raises OSError; FileExistsError when there is one of the name. Nothing is left behind then. The space is taken at
    once, so that a full disk shows here and not as a signal at some later store.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(handle, mode)
        _take_space(handle, size)
    except OSError:
        os.close(handle)
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    return handle


def _take_space(handle: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    for offset in range(0, size, PAGE_SIZE):  # macOS
        os.pwrite(handle, bytes(PAGE_SIZE), offset)


def open_memory(handle: int, size: int, *, mapped: bool) -> Memory:
    """Return the memory of a file. Raises OSError when it cannot be mapped."""
    return mmap.mmap(handle, size) if mapped else FileMemory(handle)


def is_whole(handle: int, size: int) -> bool:
    """Tell whether the file is still as long as it was made, and still has a name."""
    about = os.fstat(handle)
    return about.st_size >= size and about.st_nlink > 0
