"""The folder that holds the sets: where it is, what is in it, who is alive, and what may go when room is short.

QNX keeps sets in `/dev/shmem/slogger2/` and lets its daemon unlink those of dead programs. Here no daemon runs: a
program that registers a set makes room for it first, taking the oldest sets of dead owners. A folder of one's own is
made with mode 0700; a shared one is chosen with `IOMMUMAN_SLOG2_DIR`, and the mode of each set says who may read it.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..base import Finding
from .errors import Slog2Error, refuse
from .header import SetHeader, parse_header
from .layout import PAGE_SIZE

ENVIRONMENT = "IOMMUMAN_SLOG2_DIR"
MAX_LISTED = 65536
"""Names of one folder that are looked at."""

_NAME = re.compile(r"(?P<set>.+)\.(?P<pid>[0-9]{1,10})", re.DOTALL)
_INSTANCE = re.compile(_NAME.pattern + r"\.\.(?P<instance>[0-9]{1,5})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """What all sets of a folder may take together; sets of running programs count, but are never taken away.

    Attributes:
        sets: number of sets, the new one included.
        total_bytes: bytes, those of the new one included.
    """

    sets: int = 256
    total_bytes: int = 256 << 20


def default_directory() -> Path:
    """Return `IOMMUMAN_SLOG2_DIR`, else a folder of this user under `/dev/shm`, else under the temporary folder."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen)
    shared = Path("/dev/shm")  # noqa: S108 - the folder made below it is the user's own, checked before use
    return (shared if shared.is_dir() else Path(tempfile.gettempdir())) / _own_name()


def _own_name() -> str:
    return f"iommuman-slog2.{os.getuid()}"


def make_directory(directory: Path) -> None:
    """Make the folder, mode 0700, when it is not there. Raises OSError, also for a default folder of somebody else."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.name != _own_name():
        return
    # Anybody can make this name under /dev/shm before its user does.
    about = directory.lstat()
    if about.st_uid != os.geteuid() or not stat.S_ISDIR(about.st_mode):
        raise PermissionError(errno.EPERM, "the log folder belongs to somebody else", str(directory))


def split_name(file_name: str) -> tuple[str, int, int] | None:
    """Return (set name, pid, instance) of `<set>.<pid>[..<n>]`, where the set name may hold dots; None for others."""
    match = _INSTANCE.fullmatch(file_name) or _NAME.fullmatch(file_name)
    return (match["set"], int(match["pid"]), int(match.groupdict().get("instance", 0))) if match else None


def list_sets(directory: Path) -> list[Path]:
    """Return the files of the folder that are named as sets are, in order of name; none when it cannot be read."""
    return list(scan_sets(directory))


def scan_sets(directory: Path) -> dict[Path, int]:
    """Return the files of `list_sets` with their inode numbers, by which a replaced file is told."""
    try:
        with os.scandir(directory) as entries:
            names = sorted((entry.name, entry.inode()) for _, entry in zip(range(MAX_LISTED), entries, strict=False))
    except OSError:
        return {}
    return {directory / name: inode for name, inode in names if not name.startswith(".") and split_name(name)}


def open_set(path: Path) -> int:
    """Open a set for reading and return its file descriptor; a link, a device or a pipe is refused.

    Raises Slog2Error.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = f"this cannot be opened: {error.strerror or error}"
        advice = "name a file that is there and that may be read"
        raise refuse("SLOG2-OPEN", str(path), message, advice=advice) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refuse("SLOG2-OPEN", str(path), "not a plain file", advice="it is left alone")
    return handle


def read_header(path: Path) -> SetHeader:
    """Return the header of a set's file. Raises Slog2Error."""
    handle = open_set(path)
    findings: list[Finding] = []
    try:
        return parse_header(read_at(handle, PAGE_SIZE, 0), os.fstat(handle).st_size, str(path), findings)
    finally:
        os.close(handle)


def read_at(handle: int, size: int, offset: int) -> bytes:
    """Return up to `size` bytes at `offset`; fewer at the end of the file or when it cannot be read there."""
    parts = []
    while size > 0:
        try:
            part = os.pread(handle, size, offset)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return b"".join(parts)


def process_start(pid: int) -> int:
    """Return when a process began, in clock ticks since boot (field 22 of `/proc/<pid>/stat`); 0 when not known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        # The name of the program, in brackets, may hold blanks and brackets.
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def is_alive(pid: int, start: int) -> bool:
    """Tell whether the process that began at `start` still runs; when that is not known, whether any has its pid."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    now = process_start(pid)
    return not start or not now or now == start


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: Path
    size: int
    alive: bool
    age: int


def _candidate(path: Path) -> _Candidate | None:
    try:
        about = path.lstat()
    except OSError:
        return None
    try:
        header = read_header(path)
    except Slog2Error:
        named = split_name(path.name)
        return _Candidate(path, about.st_size, is_alive(named[1] if named else 0, 0), about.st_mtime_ns)
    alive = not header.closed and is_alive(header.owner_pid, header.owner_start)
    return _Candidate(path, about.st_size, alive, max(header.created, header.closed))


def make_room(directory: Path, limits: Limits, size: int) -> list[Path]:
    """Unlink the oldest sets of dead owners until a new one of `size` bytes fits; returns what was unlinked.

    When only running programs' sets are left, it stops: a log too many is better than a log lost.
    """
    sets = [found for found in map(_candidate, list_sets(directory)) if found is not None]
    count, total = len(sets) + 1, sum(found.size for found in sets) + size
    dead = sorted((found for found in sets if not found.alive), key=lambda found: found.age)
    gone = []
    for found in dead:
        if count <= limits.sets and total <= limits.total_bytes:
            break
        gone += remove_sets([found.path])
        count, total = count - 1, total - found.size
    return gone


def dead_sets(directory: Path) -> list[Path]:
    """Return the sets whose owner has closed them or is gone, in order of name."""
    return [path for path in list_sets(directory) if (found := _candidate(path)) is not None and not found.alive]


def remove_sets(paths: Iterable[Path]) -> list[Path]:
    """Unlink sets, and return those that were there and could be."""
    gone = []
    for path in paths:
        try:
            path.unlink()
        except OSError:
            continue
        gone.append(path)
    return gone
