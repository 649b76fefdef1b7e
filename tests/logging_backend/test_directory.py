"""The folder of sets: where it is, names, and who is alive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from iommuman.logging_backend import Slog2Error, default_directory, store
from iommuman.logging_backend import directory as folder
from iommuman.logging_backend.directory import (
    dead_sets,
    is_alive,
    make_directory,
    open_set,
    process_start,
    read_at,
    remove_sets,
    split_name,
)

from .helpers import make


def test_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable decides; without it, a folder of the user's under /dev/shm, or under the temporary folder."""
    monkeypatch.setenv("IOMMUMAN_SLOG2_DIR", str(tmp_path))
    assert default_directory() == tmp_path
    monkeypatch.delenv("IOMMUMAN_SLOG2_DIR")
    name = f"iommuman-slog2.{os.getuid()}"
    assert default_directory().name == name
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert default_directory() == tmp_path / name


def test_a_default_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the default name that belongs to another user is not logged into; one's own is, and is private."""
    mine = tmp_path / f"iommuman-slog2.{os.getuid()}"
    make_directory(mine)
    assert mine.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match="somebody else"):
        make_directory(mine)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.1", ("a", 1, 0)),
        ("a.b.c.77", ("a.b.c", 77, 0)),
        ("a.1..2", ("a", 1, 2)),
        ("a..5", ("a.", 5, 0)),
        ("a", None),
        ("a.", None),
        ("a.x", None),
        (".1", None),
        ("a.12345678901", None),
    ],
)
def test_names(name: str, parts: tuple[str, int, int] | None) -> None:
    """`..<n>` is the instance, what is behind the last dot before it the pid."""
    assert split_name(name) == parts


def test_alive() -> None:
    """A process is alive while it runs, and another with its number is not it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = process_start(process.pid)
    assert start > 0
    assert is_alive(process.pid, start)
    assert is_alive(process.pid, 0)
    assert not is_alive(process.pid, start + 1)
    process.communicate(b"\n")
    assert not is_alive(process.pid, start)
    assert not is_alive(0, 0)
    assert is_alive(1, 0)
    assert process_start(1 << 30) == 0


def test_a_pid_that_may_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user counts as alive."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(os.getpid(), process_start(os.getpid()))


def test_dead_sets_and_removing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed sets and files of pids that are gone are dead; removing what is gone already is fine."""
    make(tmp_path, name="closed").close()
    running = make(tmp_path, name="running")
    (tmp_path / "noise.999999999").write_bytes(b"x")
    found = dead_sets(tmp_path)
    assert [path.name.split(".")[0] for path in found] == ["closed", "noise"]
    assert remove_sets([*found, tmp_path / "never.1"]) == found
    running.close()
    assert folder._candidate(tmp_path / "never.1") is None
    monkeypatch.setattr(folder, "split_name", lambda _: None)
    (tmp_path / "odd").touch()
    found_odd = folder._candidate(tmp_path / "odd")
    assert found_odd is not None
    assert not found_odd.alive


def test_opening_what_is_not_there(tmp_path: Path) -> None:
    """A missing file is said so, by name."""
    with pytest.raises(Slog2Error, match=r"missing\.1: this cannot be opened: No such file"):
        open_set(tmp_path / "missing.1")


def test_reading_a_folder_as_a_file(tmp_path: Path) -> None:
    """Where reading fails, there are no bytes."""
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        assert read_at(handle, 10, 0) == b""
    finally:
        os.close(handle)


def test_space_without_fallocate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system cannot reserve space, zeros are written."""
    monkeypatch.delattr(os, "posix_fallocate")
    path = tmp_path / "file"
    os.close(store.create_file(path, 10000, 0o600))
    assert path.stat().st_size >= 10000
    assert path.stat().st_blocks * 512 >= 10000
