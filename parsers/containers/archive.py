"""An archive as folders and files: what is asked for is taken out of it in memory, and nothing leads out of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from .member import Member

MAX_NAME = 4096
"""Bytes of the longest name, and of the longest link, as in Linux."""

MAX_LEVELS = 64
"""Most folders inside each other; `/sys` has fewer than 20."""

MAX_FOLDER_NAMES = 16 << 20
"""Characters of the paths of all folders together: each folder of a long path has a path of its own."""

MAX_HOPS = 40
"""Most links that are followed for one name, as in Linux."""

OUTSIDE = "it leads out of the archive"


class Archive:
    """The entries of an archive, by clean paths without `/` at either end; the archive itself is the folder ``.

    This is a `Files`. The last of several entries with one name counts, as it does when an archive is unpacked.

    Attributes:
        name: of the archive, as the user knows it.
        misnamed: why entries cannot be had by their names, each with the first such name and how many there are.
        repeated: how many entries have the name of an earlier one with other bytes.
    """

    def __init__(self, name: str, members: Sequence[Member], read: Callable[[Member, int | None], bytes]) -> None:
        """Sort the entries into folders.

        Args:
            name: of the archive.
            members: its entries, in their order.
            read: returns the first so many bytes of a file, or raises OSError; without a number, one byte more than
                is allowed at most.
        """
        self.name = name
        self.misnamed: dict[str, tuple[str, int]] = {}
        self.repeated = 0
        self._read = read
        self._members: dict[str, Member] = {}
        self._folders: dict[str, dict[str, None]] = {"": {}}
        self._room = MAX_FOLDER_NAMES
        for member in members:
            if trouble := self._add(member):
                first, count = self.misnamed.get(trouble, (member.name[:MAX_NAME], 0))
                self.misnamed[trouble] = (first, count + 1)

    def _add(self, member: Member) -> str:
        """Add an entry; return what is wrong with its name, nothing when it is sound."""
        path, trouble = _clean(member.name)
        if trouble or not path:
            return trouble
        if member.kind == "hard link":
            target = self._members.get(_clean(member.target)[0])
            if target is None or target.kind != "file":
                return "it is a hard link to what is not in the archive"
            member = target
        if self._room <= 0 and path.rpartition("/")[0] not in self._folders:
            return "the names of the folders are too long together"
        before = self._members.get(path)
        if before is not None and before != member and before.kind != "folder":
            self.repeated += 1
        self._members[path] = member
        if member.kind == "folder":
            self._folder(path)
        child = path
        while child:  # the folders above, of which archives need not speak
            parent, _, last = child.rpartition("/")
            inside = self._folder(parent)
            if last in inside:
                break
            inside[last] = None
            child = parent
        return ""

    def _folder(self, path: str) -> dict[str, None]:
        """Return what is in a folder, which is made when it is not there."""
        if path not in self._folders:
            self._folders[path] = {}
            self._room -= len(path)
        return self._folders[path]

    def root(self) -> str:
        """Return the first folder that holds more than one other folder: archives mostly hold one, and it the rest."""
        path = ""
        for _ in range(MAX_LEVELS):
            inside = [os.path.join(path, name) for name in self._folders[path]]
            if len(inside) != 1 or not self._is_plain_folder(inside[0]):
                break
            path = inside[0]
        return path

    def show(self, path: str) -> str:
        """See `Files`."""
        return f"{self.name}:{path}" if path else self.name

    def is_folder(self, path: str) -> bool:
        """See `Files`."""
        try:
            return self._is_plain_folder(self._resolve(path))
        except OSError:
            return False

    def exists(self, path: str) -> bool:
        """See `Files`."""
        try:
            place = self._resolve(path)
        except OSError:
            return False
        return place in self._members or place in self._folders

    def names(self, path: str) -> list[str]:
        """See `Files`."""
        place = self._resolve(path)
        if not self._is_plain_folder(place):
            raise _error(errno.ENOENT if place not in self._members else errno.ENOTDIR)
        return sorted(self._folders[place])

    def read(self, path: str, limit: int | None = None) -> bytes:
        """See `Files`."""
        place = self._resolve(path)
        if self._is_plain_folder(place):
            raise _error(errno.EISDIR)
        member = self._members.get(place)
        if member is None:
            raise _error(errno.ENOENT)
        if member.kind == "other":
            raise OSError(0, member.target)
        return self._read(member, limit)

    def link(self, path: str) -> str:
        """See `Files`."""
        place = self._resolve(path, last=False)
        member = self._members.get(place)
        if member is None or member.kind != "link":
            raise _error(errno.EINVAL if member is not None or place in self._folders else errno.ENOENT)
        if not member.size or member.target:
            return member.target
        return self._read(member, MAX_NAME).decode("utf-8", "surrogateescape")  # ZIP keeps it as the content

    def _is_plain_folder(self, place: str) -> bool:
        """Tell whether a clean path is a folder that no later entry of another kind has taken the place of."""
        member = self._members.get(place)
        return place in self._folders and (member is None or member.kind == "folder")

    def _resolve(self, path: str, *, last: bool = True) -> str:
        """Return the clean path that a path leads to; `last`: also when its last part is a link.

        Raises:
            OSError: links go round, or lead out of the archive; what stands before a `/` is no folder.
        """
        todo = path.split("/")[::-1]
        done: list[str] = []
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not done:
                    raise OSError(0, OUTSIDE)
                done.pop()
                continue
            done.append(part)
            place = "/".join(done)
            member = self._members.get(place)
            if member is None or member.kind != "link" or not (todo or last):
                if todo and not self._is_plain_folder(place):
                    raise _error(errno.ENOENT if member is None else errno.ENOTDIR)
                continue
            hops += 1
            if hops > MAX_HOPS or len(done) + len(todo) > 2 * MAX_LEVELS:
                raise _error(errno.ELOOP)
            target = self.link(place)
            if target.startswith("/"):
                raise OSError(0, OUTSIDE)
            done.pop()
            todo.extend(target[:MAX_NAME].split("/")[::-1])
        return "/".join(done)


def _clean(name: str) -> tuple[str, str]:
    """Return a name as a clean path, or what is wrong with it. As tar does, `/` at its beginning is taken off."""
    parts = [part for part in name[: MAX_NAME + 1].split("/") if part not in ("", ".")]
    if len(name) > MAX_NAME or len(parts) > MAX_LEVELS:
        return "", "its name is too long"
    if "\0" in name:
        return "", "its name holds a zero byte"
    return ("", OUTSIDE) if ".." in parts else ("/".join(parts), "")


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
