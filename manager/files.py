"""Reading files that decide what is granted: only those that nobody else can have written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from .errors import ManagerError, Reason

Bad = Callable[[str, Reason], ManagerError]
"""Makes the error for a file, of what is wrong with it and the reason."""


def read_trusted(path: str, most: int, bad: Bad, *, links: bool) -> bytes:
    """Return what a file holds.

    Args:
        path: of the file.
        most: bytes that it may have.
        bad: makes the error.
        links: the path may be a symbolic link.

    Raises FileNotFoundError: there is none. Raises what `bad` makes: `EIO` it cannot be read or is no regular file;
    `EPERM` others than root and this user can write it; `EINVAL` it is too long.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise bad(f"it cannot be read: {error.strerror}", "EIO") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise bad("it is no regular file", "EIO")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise bad("others than root and the service's own user can write it", "EPERM")
        if status.st_size > most:
            raise bad(f"it has more than {most} bytes", "EINVAL")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most)
    except OSError as error:
        raise bad(f"it cannot be read: {error.strerror}", "EIO") from None
    finally:
        os.close(descriptor)
