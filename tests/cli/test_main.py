"""The command line as a whole: help, version, exit statuses, pipes that close, and what leaves no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import pytest
from iommuman.cli import output
from iommuman.cli.main import COMMANDS, main

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, HANDMADE

BOARD = BOARDS / "q35-vtd"
DAMAGED = HANDMADE / "damaged" / "dmar-checksum"


def test_help_names_every_command_and_what_a_source_is(run: Callable[..., Ran]) -> None:
    """`--help` is enough to go on with: the commands, what a SOURCE may be, the exit statuses."""
    ran = run("--help")
    assert ran.status == 0
    for words in (*COMMANDS, "SOURCE is a file", "Exit status: 0 answered"):
        assert words in ran.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(run: Callable[..., Ran], command: str) -> None:
    """Every command explains itself, in at most 100 columns where the text is ours to break."""
    ran = run(command, "--help")
    assert ran.status == 0
    assert COMMANDS[command] in ran.out


def test_the_version_is_shown(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """`--version` shows the installed version, or says that there is none."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"1.2.3 of {name}")
    assert run("--version") == (0, "iommuman 1.2.3 of iommuman\n", "")

    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", unknown)
    assert run("--version").out == "iommuman (not installed)\n"


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("dump",), ("dump", "--format", "xml", "x"), ("--nonsense",)])
def test_wrong_usage_is_status_2_and_no_answer(run: Callable[..., Ran], arguments: tuple[str, ...]) -> None:
    """What the command line cannot mean is said on stderr, with the usage."""
    ran = run(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert "usage: iommuman" in ran.err


def test_the_width_of_help_follows_columns(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS narrows the help; what is no number is passed by."""
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run("who", "--help").out
    monkeypatch.setenv("COLUMNS", "wide")
    assert len(narrow.splitlines()) > len(run("who", "--help").out.splitlines())


def command(*arguments: str) -> list[str]:
    """Return a command line for another process."""
    return [sys.executable, "-c", "import sys; from iommuman.cli.main import main; sys.exit(main())", *arguments]


def test_a_pipe_that_closes_is_no_error() -> None:
    """When the reader of the output goes away, the command ends quietly with status 0."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        command("dump", "--format", "json", str(BOARD)), stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (ran.returncode, b"Traceback" in ran.stderr, b"BrokenPipe" in ran.stderr) == (0, False, False)


def test_control_c_leaves_no_traceback() -> None:
    """An interrupt ends the command with status 130 and nothing on stderr."""
    code = (
        "import sys, time; import iommuman.cli.main as m; import iommuman.topology.load as a; "
        "a.load_topology = lambda *_, **__: (print('go', flush=True), time.sleep(20)); "
        "sys.exit(m.main(['dump', 'x']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, b"")


def test_an_encoding_that_lacks_the_tree_gets_plain_characters() -> None:
    """On an ASCII terminal the tree is drawn with what there is, and nothing fails."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(command("dump", str(BOARD)), env=environment, capture_output=True, check=False)
    assert ran.returncode == 0
    assert b"|- 0000:00:03.0" in ran.stdout
    assert b"`- ioapic:0" in ran.stdout


@pytest.mark.parametrize(
    ("choice", "terminal", "environment", "used"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"TERM": "dumb"}, False),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_when_colour_is_used(
    monkeypatch: pytest.MonkeyPatch,
    choice: str,
    terminal: bool,
    environment: dict[str, str],
    used: bool,
) -> None:
    """On a terminal only, unless it is dumb, NO_COLOR is set, or the user says otherwise."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    class Stream:
        """A stream that says whether it is a terminal."""

        def isatty(self) -> bool:
            return terminal

    assert output.use_colour(choice, Stream()) is used  # type: ignore[arg-type]


def test_other_exceptions_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is a bug: what is not our error class is not turned into a message."""
    monkeypatch.setattr("iommuman.topology.load.load_topology", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["dump", str(BOARD)])


def test_an_answer_that_cannot_be_written_is_one_sentence() -> None:
    """A full disk behind stdout, or no stdout at all, leaves no traceback."""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ran = subprocess.run(command("dump", str(BOARD)), stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 3
    assert ran.stderr.endswith(b"iommuman: the answer cannot be written: No space left on device\n")
    assert b"Traceback" not in ran.stderr
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("dump", str(BOARD))], stderr=subprocess.PIPE, check=False
    )
    assert closed.returncode == 0
    assert b"Traceback" not in closed.stderr


@pytest.mark.parametrize(
    ("words", "redirection", "status"),
    [
        (("dump", str(DAMAGED)), "2>&-", 1),
        (("dump", str(DAMAGED)), "2>/dev/full", 1),
        (("dump", "/there/is/nothing"), "2>&-", 3),
        (("dump", "/there/is/nothing"), "2>/dev/full", 3),
        (("diff", str(BOARD), "/there/is/nothing"), "2>/dev/full", 2),
        (("diff", str(BOARD), str(BOARDS / "q35-amd")), ">/dev/full", 2),
        (("dump", str(BOARD)), ">/dev/full 2>/dev/full", 3),
    ],
)
def test_the_exit_status_is_right_when_nothing_can_be_said(
    words: tuple[str, ...], redirection: str, status: int
) -> None:
    """Where stdout or stderr cannot be written, the exit status still is the command's own."""
    ran = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command(*words)], capture_output=True, check=False
    )
    assert (ran.returncode, b"Traceback" in ran.stdout + ran.stderr) == (status, False)


@pytest.mark.parametrize("columns", ["0", "1", "\u00b2", "-5", "9" * 25, ""])
@pytest.mark.parametrize("words", [("dump", "--help"), ("diff", "-y", str(BOARD), str(BOARDS / "q35-vtd-plain"))])
def test_any_columns_will_do(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, columns: str, words: tuple[str, ...]
) -> None:
    """What COLUMNS says is taken when it is a sensible number, and lines never grow beyond reason."""
    monkeypatch.setenv("COLUMNS", columns)
    ran = run(*words)
    assert ran.status == (0 if words[0] == "dump" else 1)
    assert max(map(len, ran.out.splitlines())) <= 1000
