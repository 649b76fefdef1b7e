"""Access lists: what a file says, and that a file which says it wrongly lets nobody in."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from pathlib import Path

import pytest
from iommuman.manager.access_list import AccessList, Allow, Peer, credentials, default_access, load_access

from tests.manager.serving import give_away, refused

USER, GROUP = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


def written(folder: Path, text: str | bytes) -> str:
    """Return the path of a file with this text, which others cannot write."""
    path = folder / "access.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o644)
    return str(path)


def test_entries_name_users_and_groups(tmp_path: Path) -> None:
    """Users and groups, by name and number, with their abilities."""
    text = f"""
[[allow]]
user = "{USER}"
abilities = ["attach"]
[[allow]]
uid = 1000
abilities = ["attach", "target"]
[[allow]]
group = "{GROUP}"
abilities = []
[[allow]]
gid = 4294967294
abilities = ["dma"]
"""
    assert load_access(written(tmp_path, text)) == AccessList(
        (
            Allow(os.geteuid(), None, frozenset({"attach"})),
            Allow(1000, None, frozenset({"attach", "target"})),
            Allow(None, os.getegid(), frozenset()),
            Allow(None, 4294967294, frozenset({"dma"})),
        )
    )


def test_abilities_of_all_matching_entries_add_up() -> None:
    """A peer has what its user and each of its groups has, and nothing of others."""
    access = AccessList(
        (
            Allow(7, None, frozenset({"attach"})),
            Allow(None, 8, frozenset({"target"})),
            Allow(None, 7, frozenset({"dma"})),
        )
    )
    assert access.abilities(Peer(1, 7, frozenset({8, 9}))) == {"attach", "target"}
    assert access.abilities(Peer(1, 8, frozenset({9}))) == set()


def test_the_default_is_root_and_the_own_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both attach, and neither has another ability."""
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    access = default_access()
    assert [access.abilities(Peer(1, uid, frozenset({uid}))) for uid in (0, 1234, 99)] == [
        {"attach"},
        {"attach"},
        set(),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "allow = 1",
        "[[allow]]\nuid = 1",
        '[[allow]]\nuid = 1\nabilities = ["attach"]\nmore = 1',
        '[[allow]]\nuid = 1\nabilities = ["fly"]',
        "[[allow]]\nuid = 1\nabilities = [1]",
        '[[allow]]\nuid = 1\nabilities = "attach"',
        "[[allow]]\nuid = -1\nabilities = []",
        "[[allow]]\nuid = 4294967295\nabilities = []",
        "[[allow]]\nuid = true\nabilities = []",
        '[[allow]]\nuid = "root"\nabilities = []',
        "[[allow]]\nuser = 0\nabilities = []",
        '[[allow]]\nuser = "nobody that there is"\nabilities = []',
        '[[allow]]\ngroup = "no\\u0000body"\nabilities = []',
        "[[allow]]\nhost = 1\nabilities = []",
        "[[deny]]\nuid = 1",
        "[[allow]]\nuid = 1\nabilities = []\n[other]\nx = 1",
        "[[allow",
        b"\xff\xfe",
        "x = " + "[" * 20000,
        "#" * ((1 << 20) + 1),
    ],
)
def test_a_list_that_is_wrong_in_any_part_is_of_no_use(tmp_path: Path, text: str | bytes) -> None:
    """Nothing is passed over: a list that is not understood as a whole is refused, with the reason."""
    error = refused(load_access, written(tmp_path, text))
    assert (error.reason, error.finding.rule) == ("EINVAL", "SERVICE-ACCESS")


def test_a_list_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write the list decides who is let in."""
    path = written(tmp_path, "allow = []")
    assert load_access(path) == AccessList(())
    for mode in (0o664, 0o646):
        Path(path).chmod(mode)
        assert refused(load_access, path).reason == "EPERM"
    Path(path).chmod(0o644)
    give_away(Path(path), monkeypatch)
    assert refused(load_access, path).reason == "EPERM"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A list that is not there, a folder, a pipe that nobody writes."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "absent", tmp_path, tmp_path / "pipe"):
        assert refused(load_access, str(path)).reason == "EIO"


def test_credentials_are_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Process, user and all groups of the other end; where the kernel knows no groups, the primary one."""
    left, right = socket.socketpair()
    with left, right:
        assert credentials(left) == Peer(os.getpid(), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))
        monkeypatch.setattr("iommuman.manager.access_list._SO_PEERGROUPS", 12345)
        assert credentials(left) == Peer(os.getpid(), os.geteuid(), frozenset({os.getegid()}))
