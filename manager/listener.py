"""The service's socket: made where nobody else can put another in its place, and never taken from one that answers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
from types import TracebackType
from typing import Self

from .errors import ManagerError, Reason

LONGEST_PATH = 107
"""Bytes of a path that a Unix socket can have on Linux."""

BACKLOG = 128


class Listener:
    """A listening Unix socket and the lock that says whose it is; a context manager.

    Attributes:
        path: of the socket.
        socket: listening.
    """

    def __init__(self, path: str, mode: int = 0o600) -> None:
        """Listen at a path.

        Beside the socket, `PATH.lock` is held locked as long as the service lives, so that two services that start at
        once do not take the socket from each other. A socket that nobody answers at is what a killed service left, and
        is replaced.

        Raises ManagerError: `EPERM` everybody may write the folder, or another user owns it; `EBUSY` a service is there
        already; `EINVAL` the path cannot be a socket's, or is something else; `EIO` the system refuses.
        """
        self.path = path
        folder = os.path.dirname(path) or "."
        if not 0 < len(os.fsencode(path)) <= LONGEST_PATH or "\0" in path:
            raise _failed(path, "EINVAL", f"the path of a socket has 1 to {LONGEST_PATH} bytes")
        try:
            _require_safe_folder(path, folder)
            self._lock = _lock(path)
        except OSError as error:
            raise _failed(path, "EIO", error.strerror or str(error)) from None
        try:
            _clear(path)
            self.socket = _listen(path, mode)
            self._inode = os.lstat(path).st_ino
        except OSError as error:
            os.close(self._lock)
            raise _failed(path, "EIO", error.strerror or str(error)) from None
        except ManagerError:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Stop listening, and remove the socket if it is still this one."""
        self.socket.close()
        with contextlib.suppress(OSError):
            if os.lstat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        os.close(self._lock)


def _require_safe_folder(path: str, folder: str) -> None:
    """Refuse a folder in which, or in one above it, others could put something of theirs in the place of the socket."""
    inner, place = "", os.path.realpath(folder)
    while place != inner:
        status = os.stat(place)
        if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            raise _failed(path, "EPERM", f"everybody may write the folder {place}, and so put another in its place")
        if status.st_uid not in (0, os.geteuid()):
            raise _failed(path, "EPERM", f"{place} belongs to another user, who may put another in its place")
        inner, place = place, os.path.dirname(place)


def _lock(path: str) -> int:
    descriptor = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise _in_use(path) from None
    return descriptor


def _clear(path: str) -> None:
    """Remove a socket that nobody answers at."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise _failed(path, "EINVAL", "something that is no socket is there already")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        result = probe.connect_ex(path)
    if result != errno.ECONNREFUSED:
        raise _in_use(path)
    os.unlink(path)


def _listen(path: str, mode: int) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # No moment at which the socket has more permissions than it is to have.
    before = os.umask(0o177)
    try:
        made.bind(path)
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    os.chmod(path, mode)
    made.listen(BACKLOG)
    made.settimeout(0)
    return made


def _in_use(path: str) -> ManagerError:
    return _failed(path, "EBUSY", "a service is there already")


def _failed(path: str, reason: Reason, message: str) -> ManagerError:
    return ManagerError(reason, "SERVICE-SOCKET", f"no socket can be made: {message}", path)
