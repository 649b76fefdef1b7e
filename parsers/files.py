"""Folders and files, wherever they are: on disk, or in an archive (`containers.Archive`).

Every command imports this module, so it does without pathlib, which takes as long to import as a table to read.
"""

from __future__ import annotations

import os
import stat
from typing import Protocol

MAX_FILE = 64 << 20
"""Bytes of the largest file that is read: an acpidump of a large server is below 20 MiB."""


class Files(Protocol):
    """What readers of folders ask for. Paths are joined by slashes; links are followed, except by `link`."""

    def show(self, path: str) -> str:
        """Return the path as the user knows it, for provenance."""

    def is_folder(self, path: str) -> bool:
        """Tell whether there is a folder."""

    def exists(self, path: str) -> bool:
        """Tell whether there is anything."""

    def names(self, path: str) -> list[str]:
        """Return the names in a folder, sorted.

        Raises:
            OSError: it cannot be listed.
        """

    def read(self, path: str, limit: int | None = None) -> bytes:
        """Return the first `limit` bytes of a regular file; without a limit, one byte more than is allowed at most.

        Raises:
            OSError: the file cannot be read, or is no regular file.
        """

    def link(self, path: str) -> str:
        """Return where a symbolic link leads.

        Raises:
            OSError: it is no link, or not there.
        """


class Disk:
    """The files of this machine."""

    def show(self, path: str) -> str:
        """See `Files`."""
        return path

    def is_folder(self, path: str) -> bool:
        """See `Files`."""
        return os.path.isdir(path)

    def exists(self, path: str) -> bool:
        """See `Files`."""
        return os.path.exists(path)

    def names(self, path: str) -> list[str]:
        """See `Files`."""
        return sorted(entry.name for entry in os.scandir(path))

    def read(self, path: str, limit: int | None = None) -> bytes:
        """See `Files`."""
        return read_file(path, limit)

    def link(self, path: str) -> str:
        """See `Files`."""
        return os.readlink(path)


DISK = Disk()


def text_of(data: bytes) -> str:
    """Return the text of a file of `/sys`; tar fills it up with zeros, since `/sys` says that all are a page long."""
    return data.partition(b"\0")[0].decode("ascii", "replace")


def is_link(path: str, files: Files) -> bool:
    """Tell whether there is a symbolic link."""
    try:
        files.link(path)
    except OSError:
        return False
    return True


def read_file(path: str, limit: int | None = None) -> bytes:
    """Return the first `limit` bytes of a regular file; without a limit, one byte more than is allowed at most.

    Raises:
        OSError: the file cannot be read, or is a pipe, a socket, a device or a folder.
    """
    with os.fdopen(open_file(path), "rb") as file:
        return file.read(MAX_FILE + 1 if limit is None else limit)


def open_file(path: str) -> int:
    """Return a descriptor of a regular file, to be read.

    Raises:
        OSError: the file cannot be opened, or is a pipe, a socket, a device or a folder.
    """
    # Without O_NONBLOCK, opening a named pipe that nobody writes to would hang.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "Is a directory")
    raise OSError(0, "it is no regular file")
