"""Who may do what at the service: peer credentials held against an access list.

The list is TOML:

    [[allow]]
    user = "qvm"                       # or uid = 1000, or group = "vms", or gid = 200
    abilities = ["attach", "target"]

A peer has the abilities of all entries that it matches together. Without a list, root and the service's own user may
attach, and nobody more.
"""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct, unpack
from typing import Any, Literal, cast, get_args

from ..base import printable
from .errors import ManagerError, Reason
from .files import read_trusted
from .manager import Ability

MOST_BYTES = 1 << 20
"""Of an access list."""

MOST_ID = (1 << 32) - 2
"""The highest user or group; the next number means none."""

_SO_PEERGROUPS = 59
"""Linux's number for the supplementary groups of a peer, which `socket` has no name for."""

_UCRED = Struct("3i")
_MOST_GROUPS = 65536

_Who = Literal["user", "uid", "group", "gid"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, as the kernel says."""

    pid: int
    uid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Allow:
    """One entry: a user or a group, by number, and what it may do."""

    uid: int | None
    gid: int | None
    abilities: frozenset[Ability]

    def matches(self, peer: Peer) -> bool:
        """Tell whether the entry is about this peer."""
        return peer.uid == self.uid or self.gid in peer.groups


@dataclass(frozen=True, slots=True)
class AccessList:
    """All entries."""

    entries: tuple[Allow, ...]

    def abilities(self, peer: Peer) -> frozenset[Ability]:
        """Return what a peer may do."""
        return frozenset(ability for one in self.entries if one.matches(peer) for ability in one.abilities)


def default_access() -> AccessList:
    """Return the list that holds without one: root and the service's own user may attach."""
    return AccessList(tuple(Allow(uid, None, frozenset({"attach"})) for uid in sorted({0, os.geteuid()})))


def load_access(path: str) -> AccessList:
    """Read an access list.

    Raises ManagerError: it cannot be read (`EIO`), is no access list or names nobody (`EINVAL`), or others than root
    and the service's own user can write it (`EPERM`).
    """
    try:
        data = read_trusted(path, MOST_BYTES, lambda message, reason: _bad(path, message, reason), links=True)
    except FileNotFoundError:
        raise _bad(path, "there is none", "EIO") from None
    try:
        content = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"it is no TOML: {printable(str(error))[:200]}") from None
    return _read(path, content)


def _read(path: str, content: dict[str, Any]) -> AccessList:
    entries = content.pop("allow", None)
    if content or not isinstance(entries, list):
        raise _bad(path, "it consists of [[allow]] tables and nothing else")
    return AccessList(tuple(_entry(path, index, one) for index, one in enumerate(entries, 1)))


def _entry(path: str, index: int, entry: object) -> Allow:
    where = f"entry {index}"
    if not isinstance(entry, dict) or len(entry) != 2 or "abilities" not in entry:  # noqa: PLR2004 - who, and what
        raise _bad(path, f"{where} has one of user, uid, group, gid, and abilities, and nothing else")
    abilities = entry.pop("abilities")
    known = get_args(Ability)
    if not isinstance(abilities, list) or any(one not in known for one in abilities):
        raise _bad(path, f"the abilities of {where} are a list of some of {', '.join(known)}")
    ((kind, value),) = entry.items()
    if kind not in get_args(_Who):
        raise _bad(path, f"{where} is about a user, uid, group or gid")
    number = _number(path, where, cast("_Who", kind), value)
    as_user = kind in ("user", "uid")
    return Allow(number if as_user else None, None if as_user else number, frozenset(abilities))


def _number(path: str, where: str, kind: _Who, value: object) -> int:
    """Return the number of a user or group."""
    if kind in ("uid", "gid"):
        if type(value) is not int or not 0 <= value <= MOST_ID:
            raise _bad(path, f"{kind} of {where} is a number from 0 to {MOST_ID}")
        return value
    import grp
    import pwd

    if not isinstance(value, str):
        raise _bad(path, f"{kind} of {where} is a name")
    try:
        return pwd.getpwnam(value).pw_uid if kind == "user" else grp.getgrnam(value).gr_gid
    except (KeyError, ValueError):
        raise _bad(path, f"{where} names a {kind} that this system does not have: {printable(value[:40])}") from None


Credentials = Callable[[socket.socket], Peer]
"""Tells who is at the other end."""


def credentials(connection: socket.socket) -> Peer:
    """Return who is at the other end of a Unix socket. Raises OSError: it has gone."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:  # a kernel before 4.13: the primary group is what is known
        raw = b""
    return Peer(pid, uid, frozenset({gid, *unpack(f"{len(raw) // 4}I", raw)}))


def _bad(path: str, message: str, reason: Reason = "EINVAL") -> ManagerError:
    return ManagerError(
        reason, "SERVICE-ACCESS", f"the access list is of no use: {message}", path, advice="nobody is let in without it"
    )
