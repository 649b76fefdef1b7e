"""The service's socket: taken over from the dead only, and made where nobody can put another in its place."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.manager import ManagerError
from iommuman.manager.listener import Listener

from tests.manager.serving import give_away, refused


def test_a_socket_is_its_owners_alone(tmp_path: Path) -> None:
    """Mode 0600 unless another is asked for; closing removes the socket."""
    path = str(tmp_path / "s")
    with Listener(path) as listener:
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(listener.path)
    assert not os.path.lexists(path)
    with Listener(path, 0o660):
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o660


def test_a_socket_that_nobody_answers_at_is_replaced(tmp_path: Path) -> None:
    """What a killed service left does not stop the next."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    assert os.path.lexists(path)
    with Listener(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_socket_that_somebody_answers_at_is_not_taken(tmp_path: Path) -> None:
    """A listening program keeps its socket, whether it holds the lock or knows nothing of it."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        assert refused(Listener, path).reason == "EBUSY"
        assert os.path.lexists(path)
    Path(path).unlink()
    with Listener(path):
        Path(path).unlink()  # as a careless cleaner does; the lock still says that a service is there
        assert refused(Listener, path).reason == "EBUSY"


def test_a_full_queue_is_an_answer(tmp_path: Path) -> None:
    """A program that is too busy to take a connection is alive."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(path)
        busy.listen(0)
        waiting.connect(path)
        assert refused(Listener, path).reason == "EBUSY"


def test_closing_leaves_a_socket_that_is_another(tmp_path: Path) -> None:
    """A socket that was put in the place of ours is not removed."""
    path = str(tmp_path / "s")
    listener = Listener(path)
    Path(path).unlink()
    with socket.socket(socket.AF_UNIX) as other:
        (tmp_path / "filler").touch()
        other.bind(path)
        listener.close()
        assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: folder.joinpath("s").touch(), "EINVAL"),
        (lambda folder: folder.joinpath("s").symlink_to("elsewhere"), "EINVAL"),
        (lambda folder: folder.joinpath("s").mkdir(), "EINVAL"),
        (lambda folder: folder.chmod(0o777), "EPERM"),
        (lambda folder: folder.joinpath("s.lock").symlink_to("elsewhere"), "EIO"),
        (lambda folder: folder.joinpath("s.lock").mkdir(), "EIO"),
        (lambda folder: folder.rmdir(), "EIO"),
    ],
)
def test_places_that_are_not_safe_are_refused(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:  # fmt: skip
    """Something else at the path, a folder that everybody writes, links in the way: a typed error, nothing touched."""
    folder = tmp_path / "folder"
    folder.mkdir()
    spoil(folder)
    before = sorted(folder.iterdir()) if folder.exists() else None
    assert refused(Listener, str(folder / "s")).reason == reason
    after = sorted(one for one in folder.iterdir() if one.name != "s.lock") if folder.exists() else None
    assert after == (None if before is None else [one for one in before if one.name != "s.lock"])


def test_a_sticky_folder_is_good_enough(tmp_path: Path) -> None:
    """In a folder like /tmp others cannot replace the socket."""
    tmp_path.chmod(0o1777)
    Listener(str(tmp_path / "s")).close()


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose folder it is decides what lies in it."""
    give_away(tmp_path, monkeypatch)
    assert refused(Listener, str(tmp_path / "s")).reason == "EPERM"


def test_folders_above_count_too(tmp_path: Path) -> None:
    """Who can rename a folder above decides what is at the path as well."""
    inner = tmp_path / "open" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o777)
    error = refused(Listener, str(inner / "s"))
    assert (error.reason, str(inner.parent) in str(error)) == ("EPERM", True)


@pytest.mark.parametrize("path", ["", "x" * 108, "a\0b"])
def test_a_path_that_no_socket_can_have_is_refused(path: str) -> None:
    """Empty, too long for Linux, or with a zero byte: EINVAL."""
    assert refused(Listener, path).reason == "EINVAL"


def test_a_system_that_refuses_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that cannot be bound is EIO, and the lock is free again."""

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "bind", broken)
        error: ManagerError = refused(Listener, str(tmp_path / "s"))
    assert (error.reason, "No space left" in str(error)) == ("EIO", True)
    Listener(str(tmp_path / "s")).close()
