"""`iommuman client`: one command, and a session of them; what it prints and its exit statuses."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.manager.serving import Serving


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Return a running service."""
    with Serving(tmp_path) as found:
        yield found


@pytest.fixture
def session(
    run: Callable[..., Ran], serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:  # fmt: skip
    """Return a function that runs lines of stdin on one connection."""

    def call(*lines: str, options: tuple[str, ...] = ("--ability", "target", "--ability", "dma")) -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))
        return run("client", "--socket", serving.path, "--name", "me", *options)

    return call


def test_a_session_does_what_its_lines_say(session: Callable[..., Ran]) -> None:
    """Every command once, with what it prints."""
    ran = session(
        "attach",
        "object  # numbers are those of the service",
        "",
        "add 2 02:01.0 together",
        "map 2 rw 0x80000000,0x1800",
        "map 2 x 0x90000000,4096 to 0x40000000",
        "dma 02:02.0 write 0x80000010,8",
        "dma 02:02.0 read 0x90000000,4",
        "reserved 02:01.0",
        "status",
        "unmap 2 0x80000000,1 0x90000000,1",
        "remove 02:01.0 together",
        "add 2 00:04.*",
        "destroy 2",
        "object manual",
    )
    assert ran.out.splitlines() == [
        "attached as me with attach, target, dma",
        "object 2",
        "added 0000:02:01.0, 0000:02:02.0 (+1)",
        "granted 0x80000000-0x80001fff rw-; beyond what was asked, by rounding: 0x80001800-0x80001fff",
        "granted 0x90000000-0x90000fff r-x; the unit cannot grant --x without r--",
        "allowed: 0x80000010 is physical 0x80000010",
        "allowed: 0x90000000 is physical 0x40000000",
        "none",
        "none",
        "taken away 0x80000000-0x80000fff",
        "taken away 0x90000000-0x90000fff",
        "removed 0000:02:01.0, 0000:02:02.0",
        "added 0000:00:04.0, 0000:00:04.1 (+1)",
        "done",
        "object 3",
    ]
    assert (ran.status, ran.err) == (0, "")


def test_reserved_regions_are_listed(
    run: Callable[..., Ran], tmp_path: Path
) -> None:  # fmt: skip
    """One region a line, by its first and last address."""
    folder = tmp_path / "other"
    folder.mkdir()
    with Serving(folder, "dmar-segments") as serving:
        ran = run("client", "--socket", serving.path, "reserved", "00:14.0")
    assert (ran.status, ran.out.count("-0x")) == (0, 1)


def test_what_is_refused_is_status_1_and_the_session_goes_on(session: Callable[..., Ran]) -> None:
    """A refused request and a refused access are answered with the reason; the next line is carried out."""
    ran = session("object", "add 2 02:01.0", "add 2 mmio:0xfe000000,4096", "dma 00:03.0 read 0x1000,4", "attach")
    lines = ran.out.splitlines()
    assert lines[1].startswith("refused: EBUSY: 0000:02:01.0: devices that share an ID can be granted together only")
    assert lines[2].startswith("refused: ENOENT: mem:fe000000: VT-d units control devices that have a PCI requester ID")
    assert lines[3] == "refused at 0x1000"
    assert lines[4].startswith("attached as me")
    assert ran.status == 1


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("frob", "no command 'frob'"),
        ("object x", "object x: x is not 'manual'"),
        ("object manual x", "usage: object [manual] make an object"),
        ("add 2", "usage: add OBJECT DEVICE [together]"),
        ("add two 00:03.0", "invalid literal"),
        ("add 2 00:03.0 alone", "alone is not 'together'"),
        ("add -2 00:03.0", "-2 is negative"),
        ("add 2 *:*", "is no SSSS:BB:DD.F"),
        ("add 2 *:00:*.*", "is no SSSS:BB:DD.F"),
        ("add 2 0:zz:*.*", "invalid literal"),
        ("map 2 rwq 0,1", "rwq is not made of r, w and x"),
        ("map 2 rw", "no range is given"),
        ("map 2 rw 0x1000", "0x1000 is no ADDRESS,LENGTH"),
        ("dma 00:03.0 push 0,1", "push is neither read nor write"),
    ],
)
def test_lines_that_make_no_sense_are_status_2(session: Callable[..., Ran], line: str, answer: str) -> None:
    """A line that cannot be meant is answered in the session, and its status is that of wrong usage."""
    ran = session(line)
    assert ran.out.startswith("error: ")
    assert answer in ran.out
    assert ran.status == 2


def test_one_command_has_a_connection_of_its_own(run: Callable[..., Ran], serving: Serving) -> None:
    """A command on the command line: its answer and status; wrong ones are said on stderr."""
    ran = run("client", "--socket", serving.path, "attach")
    assert (ran.status, ran.out.startswith("attached as client.")) == (0, True)
    assert run("client", "--socket", serving.path, "add", "1", "00:03.0").status == 1
    ran = run("client", "--socket", serving.path, "frob")
    assert (ran.status, ran.out) == (2, "")
    assert "there is no command 'frob'" in ran.err
    assert run("client", "--socket", serving.path, "destroy").status == 2


def test_a_service_that_is_not_there_is_status_3(run: Callable[..., Ran], tmp_path: Path) -> None:
    """So is one that does not let the client in."""
    ran = run("client", "--socket", tmp_path / "absent", "attach")
    assert (ran.status, ran.out) == (3, "")
    assert "ENOTCONN" in ran.err
    with Serving(tmp_path, access=None) as serving:
        ran = run("client", "--socket", serving.path, "--ability", "dma", "attach")
    assert (ran.status, "EACCES" in ran.err) == (3, True)


def test_a_service_that_ends_ends_the_session(
    run: Callable[..., Ran], serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The rest of the lines is not carried out, and the status is 3."""

    def lines() -> Iterator[str]:
        yield "object\n"
        serving.stop()
        yield "object\n"
        yield "attach\n"

    monkeypatch.setattr("sys.stdin", lines())
    ran = run("client", "--socket", serving.path)
    assert ran.status == 3
    assert ran.out.splitlines()[0] == "object 2"
    assert len(ran.out.splitlines()) == 2


def test_watch_waits_for_refused_accesses(run: Callable[..., Ran], serving: Serving) -> None:
    """Each is printed as it happens, and the command ends after as many as were asked for."""

    def violate() -> None:
        while serving.clients() < 2:
            time.sleep(0.01)
        with serving.connect("other", "dma") as other:
            for at in range(20):
                other.dma("41:00.0", 0x1000 * at)
                time.sleep(0.01)

    with serving.connect("witness"):
        thread = threading.Thread(target=violate)
        thread.start()
        ran = run("client", "--socket", serving.path, "watch", "3")
        thread.join()
    lines = ran.out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("0000:41:00.0 (ID 0x4100 of vtd@fed90000): read of 0x") for line in lines)
    assert ran.status == 0


def test_lost_records_are_said(session: Callable[..., Ran]) -> None:
    """Status tells that records before one were lost."""
    ran = session("dma 41:00.0 read 0x1000,4", "status")
    assert ran.out.splitlines()[1] == "none"


def test_grants_are_taken_up_again(run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--resume lists the objects of before a restart."""
    folder = tmp_path / "other"
    folder.mkdir()
    state = folder / "state"
    with Serving(folder, state=state) as before:
        client = before.connect("me")
        client.add_device(client.create_object(), "00:03.0")
        client.create_object()
    client.close()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with Serving(folder, state=state) as after:
        ran = run("client", "--socket", after.path, "--name", "me", "--resume")
    assert (ran.status, ran.out.count("\n")) == (0, 2)
    assert "again: 0000:00:03.0, 0 ranges" in ran.out
    assert "again: no device, 0 ranges" in ran.out


def test_a_closed_stdin_is_an_empty_one(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without commands and without stdin there is nothing to do."""
    monkeypatch.setattr("sys.stdin", None)
    with Serving(tmp_path) as service:
        ran = run("client", "--socket", service.path)
    assert (ran.status, ran.out) == (0, "")
