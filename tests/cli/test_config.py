"""`iommuman config`: lays files out, and leaves alone what has errors."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

UGLY = "smmu vtd   # the default\r\nunit dmar0 0xfed90000 device pci:0:18.0 use dmar0\n"
NEAT = "smmu vtd  # the default\nunit dmar0 0xfed90000\ndevice pci:0:18.0\n    use dmar0\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file that is not laid out."""
    path = tmp_path / "board.smmu"
    path.write_bytes(UGLY.encode())
    return path


def test_the_layout_is_printed(run: Callable[..., Ran], file: Path) -> None:
    """Without an option the new text is printed, and the file stays as it is."""
    assert run("config", "format", file) == Ran(0, NEAT, "")
    assert file.read_bytes() == UGLY.encode()


def test_the_file_is_changed_on_request(run: Callable[..., Ran], file: Path) -> None:
    """`--write` puts the new text into the file, keeps its mode, and leaves nothing beside it."""
    file.chmod(0o640)
    assert run("config", "format", "--write", file) == Ran(0, "", "")
    assert file.read_bytes() == NEAT.encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_laid_out_is_not_written(run: Callable[..., Ran], file: Path) -> None:
    """`--write` does not touch a file that it would not change."""
    file.write_text(NEAT)
    before = file.stat()
    assert run("config", "format", "--write", file).status == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_link_stays_a_link(run: Callable[..., Ran], file: Path) -> None:
    """`--write` changes the file that a link leads to."""
    link = file.parent / "link.smmu"
    link.symlink_to(file)
    assert run("config", "format", "--write", link).status == 0
    assert link.is_symlink()
    assert file.read_bytes() == NEAT.encode()


def test_the_layout_is_checked(run: Callable[..., Ran], file: Path) -> None:
    """`--check` tells by its exit status whether the file would change, and changes nothing."""
    assert run("config", "format", "--check", file) == Ran(1, "", f"{file} would be laid out anew\n")
    assert file.read_bytes() == UGLY.encode()
    file.write_text(NEAT)
    assert run("config", "format", "--check", file) == Ran(0, "", "")


@pytest.mark.parametrize("option", ["--check", "--write", None])
def test_errors_are_all_shown(run: Callable[..., Ran], file: Path, option: str | None) -> None:
    """A file with errors is left alone; each error is told with its line and a caret."""
    file.write_text("debug 5\nsmu vtd\n")
    ran = run("config", "format", *([option] if option else []), file)
    assert (ran.status, ran.out) == (3, "")
    assert ran.err == (
        f"error: {file}:1:7: there is no such debug level: found 5, expected 1 or 2\n"
        "    debug 5\n"
        "          ^\n"
        f"error: {file}:2:1: this is no option: found smu, expected one of allow, debug, device, foreground, reserved, "
        "smmu, unit, use, @FILE; did you mean 'smmu'?\n"
        "    smu vtd\n"
        "    ^^^\n"
    )
    assert file.read_text() == "debug 5\nsmu vtd\n"


def test_a_part_of_a_configuration_is_laid_out(run: Callable[..., Ran], file: Path) -> None:
    """What other files define need not be there, nor the files that are included."""
    file.write_text("@gone.smmu use vi0 0 device mem:1 video")
    assert run("config", "format", file) == Ran(0, "@gone.smmu\n    use vi0 0\ndevice mem:1 video\n", "")


def test_a_file_that_is_not_there(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A missing file is told in one sentence."""
    ran = run("config", "format", tmp_path / "gone")
    assert ran.status == 3
    assert ran.err.startswith(f"iommuman: {tmp_path}/gone: this cannot be opened: No such file or directory")


def test_a_place_that_cannot_be_written(run: Callable[..., Ran], file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the new text cannot be put in place, the old one stays."""

    def refuse(_self: Path, _target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    ran = run("config", "format", "--write", file)
    assert ran.status == 3
    assert ran.err == (f"iommuman: {file}: this cannot be written: Permission denied; the file stays as it was\n")
    assert file.read_bytes() == UGLY.encode()
    assert list(file.parent.iterdir()) == [file]


def test_a_subcommand_is_needed(run: Callable[..., Ran]) -> None:
    """`config` alone is wrong usage, and its help names what there is."""
    assert run("config").status == 2
    assert "lay a .smmu file out in the canonical way" in run("config", "--help").out
    assert "--check" in run("config", "format", "--help").out
