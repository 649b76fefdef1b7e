"""The state file: what a service has granted, so that a restarted one can let the same clients take it up again.

Nothing in the file opens anything by itself. After a restart every device is denied; devices of the file are kept from
others for a time, and a client of the same name and user that says so takes its grants up again. See `docs/manager.md`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from .calls import MOST_NAMES, Flag, Name, Names, Number
from .checks import build, integer, plain, record, several
from .errors import ManagerError
from .files import read_trusted
from .manager import Manager
from .mappings import Access, Segment
from .objects import SmmuObject
from .protocol import parse

VERSION = 1
MOST_BYTES = 1 << 28
"""Of a state file."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """One stretch of memory that an object grants."""

    start: Number
    length: Number
    physical: Number
    access: Annotated[int, integer(1, 7)]

    @classmethod
    def of(cls, segment: Segment) -> SegmentRecord:
        """Return what says the same."""
        return cls(segment.start, segment.length, segment.physical, int(segment.access))

    def segment(self) -> Segment:
        """Return it as the manager has it."""
        return Segment(self.start, self.length, self.physical, Access(self.access))


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object."""

    manual_reserved: Flag
    devices: Names
    mappings: Annotated[tuple[SegmentRecord, ...], several(record(SegmentRecord), 0, 1 << 20)]

    @classmethod
    def of(cls, one: SmmuObject) -> ObjectRecord:
        """Return what says the same."""
        return cls(one.manual, tuple(one.members), tuple(SegmentRecord.of(segment) for segment in one.mappings))


@dataclass(frozen=True, slots=True)
class ClientRecord:
    """A client's grants, by its name and the user that it ran as."""

    name: Name
    uid: Annotated[int, integer(0, (1 << 32) - 1)]
    objects: Annotated[tuple[ObjectRecord, ...], several(record(ObjectRecord), 0, MOST_NAMES)]

    def packed(self) -> str:
        """Return its text in the file."""
        return json.dumps(plain(self), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class _Content:
    version: Annotated[int, integer(VERSION, VERSION)]
    boot: Name
    board: Name
    clients: Annotated[tuple[ClientRecord, ...], several(record(ClientRecord), 0, 1 << 16)]


class StateFile:
    """A file that holds what is granted.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: str, manager: Manager) -> None:
        """Use a file for the board of a manager; it is neither read nor written yet."""
        self.path = path
        self._head = {"version": VERSION, "boot": _boot(), "board": fingerprint(manager)}

    def load(self) -> tuple[ClientRecord, ...]:
        """Return what the file holds; nothing when there is none.

        Raises ManagerError (`EINVAL`): it is damaged, or of another board or start of the machine, or others than this
        user can write it. It must not be believed in any part then.
        """
        try:
            data = read_trusted(self.path, MOST_BYTES, lambda message, _: self._bad(message), links=False)
        except FileNotFoundError:
            return ()
        return self._clients(data)

    def _clients(self, data: bytes) -> tuple[ClientRecord, ...]:
        content, _, digest = data.rstrip(b"\n").rpartition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            raise self._bad("it is damaged: its digest is not that of its content")
        try:
            found = build(_Content, parse(content))
        except ManagerError as error:
            raise self._bad(f"it is damaged: {error.finding.field or error.finding.found}") from None
        if found.boot != self._head["boot"]:
            raise self._bad("it is from before the machine started")
        if found.board != self._head["board"]:
            raise self._bad("it is of another board: other devices, units or IDs")
        return found.clients

    def write(self, clients: Iterable[str]) -> None:
        """Put the packed records of clients in place of what the file held, at once: a reader sees the old or the new.

        Raises OSError: nothing was written. The file is removed then where it can be: what it holds is granted no more.
        """
        head = json.dumps(self._head, separators=(",", ":"))
        content = f'{head[:-1]},"clients":[{",".join(clients)}]}}'.encode()
        data = content + b"\n" + hashlib.sha256(content).hexdigest().encode() + b"\n"
        try:
            self._replace(data)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            raise

    def _replace(self, data: bytes) -> None:
        fresh = self.path + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(fresh, self.path)
        folder = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _bad(self, message: str) -> ManagerError:
        return ManagerError(
            "EINVAL", "SERVICE-STATE", f"the state file is not believed: {message}", self.path,
            advice="every device stays denied until a client asks anew",
        )  # fmt: skip


def fingerprint(manager: Manager) -> str:
    """Return a digest of a board's devices, units and IDs: grants by name mean the same where it is the same."""
    digest = hashlib.sha256()
    for name, member in sorted(manager.survey.members.items()):
        places = ",".join(f"{place.unit} {place.identifier:x}" for place in member.endpoints)
        digest.update(f"{name}={places}\n".encode())
    return digest.hexdigest()


def _boot() -> str:
    """Return what the kernel calls this start of the machine; empty where it does not say."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:
            return file.read(64).strip()
    except OSError:
        return ""
