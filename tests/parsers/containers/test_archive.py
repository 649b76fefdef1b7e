"""An archive as files and folders: the same answers as the disk gives for what was unpacked."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest
from iommuman.parsers.containers import archive as module
from iommuman.parsers.containers.archive import MAX_LEVELS, MAX_NAME, Archive
from iommuman.parsers.containers.member import Member
from iommuman.parsers.files import DISK, Files

MEMBERS = (
    Member("top/file", "file", size=4),
    Member("top/sub", "folder"),
    Member("top/sub/deep", "file", size=4),
    Member("top/to-sub", "link", target="sub"),
    Member("top/to-deep", "link", target="to-sub/deep"),
    Member("top/sub/back", "link", target="../file"),
    Member("top/nowhere", "link", target="gone"),
    Member("top/round", "link", target="round"),
    Member("top/through", "link", target="gone/../file"),
)
QUESTIONS = (
    "top", "top/", "top/file", "top/sub", "top/sub/deep", "top/to-sub", "top/to-sub/deep", "top/to-deep",
    "top/to-sub/back", "top/nowhere", "top/round", "top/gone", "top/file/x", "top/./sub/../file",
    "top/gone/../file", "top/nowhere/../file", "top/file/../file", "top/gone/x", "top/through",
)  # fmt: skip


def archive(*members: Member) -> Archive:
    """Return an archive whose files hold `data`."""
    return Archive("a.tar", members, lambda _, limit: b"data"[: 4 if limit is None else limit])


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Return a folder with the same entries."""
    for member in MEMBERS:
        place = tmp_path / member.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if member.kind == "folder":
            place.mkdir()
        elif member.kind == "link":
            place.symlink_to(member.target)
        else:
            place.write_bytes(b"data")
    return tmp_path


def answers(files: Files, path: str) -> list[object]:
    """Return what files say of a path; of an error its number."""

    def asked(question: object) -> object:
        assert callable(question)
        try:
            return question(path)
        except OSError as error:
            return error.errno

    return [asked(question) for question in (files.is_folder, files.exists, files.names, files.read, files.link)]


@pytest.mark.parametrize("path", QUESTIONS)
def test_it_answers_as_the_disk_does(path: str, unpacked: Path) -> None:
    """Folders, files and links, by any path, are what they are on disk, and so are the errors."""
    ours = answers(archive(*MEMBERS), path)
    theirs = answers(DISK, str(unpacked / path) + ("/" if path.endswith("/") else ""))
    if path == "top/file/x":  # what is below a file is not there, or no folder
        assert (ours[:2], theirs[:2]) == ([False, False], [False, False])
    else:
        assert ours == theirs


def test_its_root_is_the_folder_that_holds_the_rest() -> None:
    """Folders that hold one other folder and no more are gone through; a link is none, and there is a limit."""
    assert archive(*MEMBERS).root() == "top"
    assert archive(Member("a/b/c/x", "file")).root() == "a/b/c"
    assert archive(Member("a/x", "file"), Member("y", "file")).root() == ""
    assert archive(Member("a", "link", target="b")).root() == ""
    assert archive().root() == ""
    assert archive(Member("d/" * MAX_LEVELS, "folder")).root().count("/") == MAX_LEVELS - 1
    assert archive().show("") == "a.tar"
    assert archive().show("x/y") == "a.tar:x/y"


def test_nothing_leads_out_of_it() -> None:
    """Paths and links above the archive, and absolute ones, are refused whoever asks."""
    made = archive(Member("up", "link", target="../x"), Member("root", "link", target="/etc/passwd"))
    for path in ("../x", "up", "root"):
        assert not made.exists(path)
        assert not made.is_folder(path)
        with pytest.raises(OSError, match="it leads out of the archive"):
            made.read(path)
    assert made.link("root") == "/etc/passwd"


def test_a_later_entry_takes_the_place_of_a_folder() -> None:
    """What was below a folder that became a file cannot be had; the same the other way round."""
    made = archive(Member("x/y", "file"), Member("x", "file"))
    assert (made.is_folder("x"), made.exists("x")) == (False, True)
    with pytest.raises(OSError, match="Not a directory") as caught:
        made.names("x")
    assert caught.value.errno == errno.ENOTDIR
    made = archive(Member("x", "file"), Member("x", "folder"))
    assert made.names("x") == []


def test_links_of_a_zip_file_are_its_contents() -> None:
    """A link whose target is not in its header is read."""
    made = Archive("a.zip", (Member("l", "link", size=4), Member("data", "file")), lambda *_: b"data")
    assert (made.link("l"), made.read("l")) == ("data", b"data")


def test_links_through_what_is_not_there_end_at_once() -> None:
    """A link of the longest target costs no more than its first part that is not there."""
    made = archive(*(Member(f"l{number}", "link", target="a/" * (MAX_NAME // 2)) for number in range(200)))
    before = time.process_time()
    assert not any(made.is_folder(f"l{number}") or made.exists(f"l{number}") for number in range(200))
    assert time.process_time() - before < 1


def test_the_names_of_all_folders_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each level of a long path is a path of its own; what comes after too many of them is named."""
    monkeypatch.setattr(module, "MAX_FOLDER_NAMES", 20)
    made = archive(*(Member(f"{letter}/0123456789/x", "file") for letter in "abcde"), Member("a/y", "file"))
    assert (made.names(""), made.names("a")) == (["a", "b"], ["0123456789", "y"])
    assert made.misnamed == {"the names of the folders are too long together": ("c/0123456789/x", 3)}
