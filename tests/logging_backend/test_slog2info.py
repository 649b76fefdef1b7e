"""`slog2info`: what it shows, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.cli import slog2info
from iommuman.logging_backend import RegisterFlag, SetWriter, Slog2Error

from .helpers import make, texts

Run = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is the default one."""
    monkeypatch.setenv("IOMMUMAN_SLOG2_DIR", str(tmp_path / "log"))
    return tmp_path / "log"


@pytest.fixture
def logs(folder: Path) -> SetWriter:
    """Log a little into two sets, and give the first, which is still open."""
    writer = make(folder, 4, 4, name="smmuman", flags=RegisterFlag.HINT_SKIP_BUFFER_1)
    writer.log(0, 7, 2, "fault on smmu0", when=1_700_000_000_000_000_000)
    writer.log(1, 8, 6, "hidden", when=1_700_000_000_500_000_000)
    writer.log_fields(0, 9, 5, "mapped", {"iova": 4096}, when=1_700_000_001_000_000_000)
    with make(folder, 2, name="io-pkt") as other:
        other.log(0, 7, 4, "link up", when=1_700_000_000_750_000_000)
    return writer


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a function that runs the command in UTC and returns its lines; its status must be the one given."""

    def run(*arguments: str, status: int = 0) -> list[str]:
        assert slog2info.main(["--utc", *arguments]) == status
        return capsys.readouterr().out.splitlines()

    return run


def test_lines_merged_by_time(logs: SetWriter, run: Run) -> None:
    """Without options all sets are shown, merged by time; `-s` adds the severity, `-v` the buffers that hide."""
    pid = os.getpid()
    assert run() == [
        f"Nov 14 22:13:20.000 {f'smmuman.{pid}':>30} {'b0':>20}*     7  fault on smmu0",
        f"Nov 14 22:13:20.750 {f'io-pkt.{pid}':>30} {'b0':>20}*     7  link up",
        f"Nov 14 22:13:21.000 {f'smmuman.{pid}':>30} {'b0':>20}      9  mapped iova=4096",
    ]
    assert run("-s")[0] == f"Nov 14 22:13:20.000 {f'smmuman.{pid}':>30} {'b0':>20}*     7  2  fault on smmu0"
    assert [line.split("  ")[-1] for line in run("-sv")] == ["fault on smmu0", "hidden", "link up", "mapped iova=4096"]
    assert logs.close() == 0


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["-b", "smmuman"], [0, 2]),
        (["-b", "io-pkt,nobody"], [1]),
        (["--set", "*pkt"], [1]),
        (["-e", "7"], [0, 1]),
        (["-e", "0x9"], [2]),
        (["--severity", "warning"], [0]),
        (["--severity", "4"], [0, 1]),
        (["--since", "2023-11-14T22:13:20.5"], [1, 2]),
        (["--until", "2023-11-14T22:13:20.75Z"], [0, 1]),
        (["--since", "1d"], []),
        (["--grep", "u[px]|0$"], [0, 1]),
        (["--count", "2"], [1, 2]),
        (["--count", "1", "-e", "7"], [1]),
    ],
)
def test_filters(logs: SetWriter, run: Run, options: list[str], shown: list[int]) -> None:
    """Each option shows just the packets it names; a count is taken after the other filters."""
    everything = run()
    assert run(*options) == [everything[i] for i in shown]
    assert logs.close() == 0


@pytest.mark.parametrize(
    "options",
    [
        ["-e", "x"],
        ["-e", "65536"],
        ["--severity", "loud"],
        ["--since", "soon"],
        ["--grep", "("],
        ["--count", "-1"],
        ["-z"],
    ],
)
def test_wrong_usage(folder: Path, run: Run, options: list[str]) -> None:
    """A value that is none is said, with status 2."""
    assert run(*options, status=2) == []
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--severity", "loud"], 2, "'loud' is no severity; write 0 to 7, or a name: shutdown, critical, error, "),
        (["--since", "soon"], 2, "'soon' is no time; write 2026-11-21T01:35:52, or 90s, 10m, 2h, 1d"),
        (["-l", "/nothing/here"], 3, "/nothing/here: this cannot be opened: No such file or directory; name a file"),
        (["-l", "/dev/zero"], 3, "/dev/zero: not a plain file"),
        (["--dir", "/nothing/here"], 3, "/nothing/here: there is no such folder; name a folder of buffer sets"),
    ],
)
def test_refusals_say_what_would_do(
    capsys: pytest.CaptureFixture[str], options: list[str], status: int, message: str
) -> None:
    """What cannot be done is said in one sentence, with what to write instead."""
    assert slog2info.main(options) == status
    assert message in capsys.readouterr().err


def test_json(logs: SetWriter, run: Run) -> None:
    """JSON Lines have a packet each, typed."""
    lines = [json.loads(line) for line in run("--json")]
    assert [line["Body"] for line in lines] == ["fault on smmu0", "link up", "mapped"]
    assert lines[2]["Attributes"]["iova"] == 4096
    assert logs.close() == 0


def test_colour_is_for_terminals(logs: SetWriter, run: Run) -> None:
    """There is colour when asked for, and none in a pipe."""
    assert run("--colour", "always")[0].startswith("\x1b[31m")
    assert "\x1b" not in "".join(run())
    assert logs.close() == 0


def test_save_and_read_back(logs: SetWriter, run: Run, tmp_path: Path) -> None:
    """A saved copy shows the same lines, whole or for one set, and is not overwritten."""
    copy = str(tmp_path / "copy")
    assert run("--save", copy) == []
    assert run("-l", copy) == run()
    assert run("-l", copy, "-b", "io-pkt") == run("-b", "io-pkt")
    assert run("--save", copy, status=3) == []
    assert run("-l", str(tmp_path / "missing"), status=3) == []
    assert logs.close() == 0


def test_text_is_read_like_a_saved_log(
    logs: SetWriter, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text captured elsewhere goes through the same filters, from a file or from standard input."""
    text = "\n".join(["login: noise", *run("-s")])
    path = tmp_path / "target.log"
    path.write_text(text + "\n")
    assert run("-s", "-l", str(path), status=1) == run("-s")
    assert run("-s", "-l", str(path), "--set", "io*", "--year", "2023", status=1) == run("-s", "-b", "io-pkt")
    lines = run("--json", "-l", str(path), "--severity", "error", "--year", "2023", status=1)
    assert [json.loads(line)["Timestamp"] for line in lines] == [1_700_000_000_000_000_000]
    monkeypatch.setattr(sys, "stdin", None)  # closed by whoever started us
    assert run("-l", "-") == []
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run("-s", "-l", "-", status=1) == run("-s")
    assert logs.close() == 0


def test_damage_is_said_and_the_rest_shown(logs: SetWriter, run: Run, folder: Path) -> None:
    """A file that is no set gives status 1; the others are shown, and listed."""
    (folder / "bad.1").write_bytes(b"bad")
    assert len(run(status=1)) == 3
    assert len(run("--list", status=1)) == 4
    assert logs.close() == 0


def test_list(logs: SetWriter, run: Run) -> None:
    """Sets and buffers are listed with what they hold and whose they are."""
    pid = os.getpid()
    assert [line.split() for line in run("--list")] == [
        ["set", "buffer", "KiB", "packets", "overwritten", "owner"],
        [f"io-pkt.{pid}", "b0", "8", "1", "0", "closed"],
        [f"smmuman.{pid}", "b0", "16", "2", "0", "running"],
        [f"smmuman.{pid}", "b1", "16", "1", "0", "running"],
    ]
    child = os.fork()
    if not child:
        logs.log(0, 0, 5, "child")
        os._exit(0)
    os.waitpid(child, 0)
    # Sets are listed by name, and a later process need not have a name that sorts behind.
    owners = {line.split()[0]: line.split()[-1] for line in run("--list", "--set", "smm*")}
    assert (owners[f"smmuman.{pid}"], owners[f"smmuman.{child}"]) == ("running", "gone")
    assert logs.close() == 0


def test_clear(logs: SetWriter, run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clearing unlinks closed sets and hides what open ones hold; names choose; failing is said."""
    (folder / "bad.999999999").write_bytes(b"bad")
    assert run("-c", "-b", "io-pkt") == []
    assert len(run(status=1)) == 2
    assert run("-c") == []
    assert run() == []
    logs.log(0, 0, 5, "new")
    assert len(run()) == 1
    monkeypatch.setattr("iommuman.logging_backend.clear", lambda _: False)
    assert run("-c", status=1) == []
    assert logs.close() == 0


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command as a user would."""
    command = [
        sys.executable,
        "-u",
        "-c",
        "import sys; from iommuman.cli.slog2info import main; sys.exit(main())",
        *arguments,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("option", "history"), [("-w", True), ("-W", False)])
def test_waiting_for_more(logs: SetWriter, folder: Path, option: str, *, history: bool) -> None:
    """`-w` shows what there is and waits, `-W` waits only; new sets are announced; Ctrl-C ends it quietly."""
    process = start(option, "-s", "--utc")
    assert process.stdout is not None
    if history:
        shown = [process.stdout.readline().split("  ")[-1] for _ in range(3)]
        assert shown == ["fault on smmu0\n", "link up\n", "mapped iova=4096\n"]
    else:
        time.sleep(1.0)
    logs.log(0, 1, 5, "live")
    assert process.stdout.readline().endswith("  1  5  live\n")
    with make(folder, 2, name="late") as late:
        late.log(0, 2, 5, "first")
        assert process.stdout.readline().endswith(" 0  0  -----ONLINE-----\n")
        assert process.stdout.readline().endswith("b0*     2  5  first\n")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")
    assert logs.close() == 0


def test_waiting_with_a_count(logs: SetWriter) -> None:
    """With a count, `-w` begins with the newest of what there is."""
    process = start("-w", "--count", "1", "--utc")
    assert process.stdout is not None
    assert process.stdout.readline().endswith("mapped iova=4096\n")
    logs.log(0, 1, 5, "live")
    assert process.stdout.readline().endswith("  live\n")
    process.terminate()
    process.communicate(timeout=20)
    assert logs.close() == 0


def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    """When whoever reads the output goes away, the command ends quietly."""
    with make(folder, 64) as writer:
        for i in range(2000):
            writer.log(0, 0, 5, f"line {i} " + "x" * 80)
    process = start()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_interrupt_and_pipe_inside_the_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is status 130, a closed pipe 0, an unreadable file 3, with no traceback."""
    assert not folder.exists()

    def raising(error: BaseException) -> Callable[[object], int]:
        def run(_: object) -> int:
            raise error

        return run

    monkeypatch.setattr(slog2info, "run", raising(KeyboardInterrupt()))
    assert slog2info.main([]) == 130
    keep = os.dup(1)
    try:
        with open(1, "w", closefd=False) as real:
            monkeypatch.setattr(sys, "stdout", real)
            monkeypatch.setattr(slog2info, "run", raising(BrokenPipeError()))
            assert slog2info.main([]) == 0
    finally:
        os.dup2(keep, 1)
        os.close(keep)
    assert "Traceback" not in capfd.readouterr().err
    assert issubclass(Slog2Error, Exception)
    assert not texts(folder)
