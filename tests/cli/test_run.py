"""`iommuman run`: what it says at start, what it refuses, and that its end denies everything."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.logging_backend import packets, snapshot
from iommuman.manager import Access, Client, ManagerError
from iommuman.manager.listener import Listener

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, FIXTURES, HANDMADE

BOARD = BOARDS / "q35-vtd"


@pytest.fixture(autouse=True)
def _log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the log of these tests to themselves."""
    monkeypatch.setenv("IOMMUMAN_SLOG2_DIR", str(tmp_path / "log"))


def access(folder: Path) -> Path:
    """Return an access list that gives this user everything."""
    path = folder / "access.toml"
    path.write_text(f'[[allow]]\nuid = {os.geteuid()}\nabilities = ["attach", "target", "dma"]\n')
    path.chmod(0o600)
    return path


def meanwhile(path: Path, action: Callable[[], None]) -> threading.Thread:
    """Carry an action out when a service answers at a path, and then end it with SIGTERM."""

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    def act() -> None:
        end = time.monotonic() + 60
        while not answers():
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        try:
            action()
        finally:
            if answers():  # or else the signal would end the tests
                os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_run_from_start_to_end(run: Callable[..., Ran], tmp_path: Path) -> None:
    """It tells what it controls, serves, logs what is refused, and stops cleanly on SIGTERM with status 0."""
    path = tmp_path / "s"

    def use() -> None:
        with Client.connect(str(path), "driver", ("attach", "dma")) as client:
            number = client.create_object()
            client.add_device(number, "41:00.0")
            client.map(number, [(0x80000000, 4096)], Access.READ)
            assert client.dma("41:00.0", 0x80000000).allowed
            assert not client.dma("41:00.0", 0x80000000, write=True).allowed

    thread = meanwhile(path, use)
    ran = run("run", "--board", BOARD, "--socket", path, "--access", access(tmp_path), "--mode", "660")
    thread.join()
    assert (ran.status, ran.out) == (0, "")
    assert (
        "iommuman: vtd@fed90000 controls 16 devices; all are denied everything: 0000:00:00.0, 0000:00:03.0" in ran.err
    )
    assert f"iommuman: serving clients at {path}\n" in ran.err
    assert not path.exists()


def test_the_log_has_lines_and_faults(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Buffer set smmuman: the service's lines in slog, refused accesses with their fields in faults."""
    path = tmp_path / "s"

    def use() -> None:
        with Client.connect(str(path), "driver", ("attach", "dma")) as client:
            client.dma("41:00.0", 0x80000000, write=True)

    thread = meanwhile(path, use)
    run("run", "--board", BOARD, "--socket", path, "--access", access(tmp_path))
    thread.join()
    found = list(packets(snapshot(tmp_path / "log")))
    assert {one.stream.set_name for one in found} == {"smmuman"}
    lines = [one.text for one in found if one.stream.buffer_name == "slog"]
    assert f"client 'driver' is attached: process {os.getpid()}, user {os.geteuid()}" in lines
    assert lines[-1] == "stopped: every device that a unit controls is denied everything"
    (fault,) = (one for one in found if one.stream.buffer_name == "faults")
    assert fault.text == "vtd@fed90000: the root entry is not present (LRT.2): write at 0x80000000 by 0000:41:00.0"
    assert fault.severity == 2
    named = {name.removeprefix("fault."): value for name, value in fault.fields.items()}
    assert (named["iommu"], named["identifier"], named["address"]) == ("vtd@fed90000", 0x4100, "0x80000000")


def test_faults_can_go_to_json_lines(run: Callable[..., Ran], tmp_path: Path) -> None:
    """One object a line, in the names of OpenTelemetry, with the fields typed."""
    path, faults = tmp_path / "s", tmp_path / "faults.jsonl"

    def use() -> None:
        with Client.connect(str(path), "driver", ("attach", "dma")) as client:
            client.dma("41:00.0", 0x80000000)
            client.dma("41:00.0", 0x80001000, write=True)

    thread = meanwhile(path, use)
    run("run", "--board", BOARD, "--socket", path, "--access", access(tmp_path), "--faults-to", f"jsonl:{faults}")
    thread.join()
    lines = [json.loads(line) for line in faults.read_text().splitlines()]
    assert [(one["Attributes"]["fault.address"], one["Attributes"]["fault.access"]) for one in lines] == [
        ("0x80000000", "read"),
        ("0x80001000", "write"),
    ]
    assert lines[0]["SeverityNumber"] == 17


def test_faults_can_go_to_several_places(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Each place of a list gets every refused access: the log, a file and the journal."""
    path, faults = tmp_path / "s", tmp_path / "faults,1.jsonl"

    def use() -> None:
        with Client.connect(str(path), "driver", ("attach", "dma")) as client:
            client.dma("41:00.0", 0x80000000)

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(f"{folder}/j")
        journal.settimeout(10)
        thread = meanwhile(path, use)
        places = f"slog2,jsonl:{faults},journald:{folder}/j"
        ran = run("run", "--board", BOARD, "--socket", path, "--access", access(tmp_path), "--faults-to", places)
        thread.join()
        message = journal.recv(1 << 16)
    assert ran.status == 0
    said = "vtd@fed90000: the root entry is not present (LRT.2): read at 0x80000000 by 0000:41:00.0"
    assert said in {one.text for one in packets(snapshot(tmp_path / "log"))}
    assert [json.loads(line)["Body"] for line in faults.read_text().splitlines()] == [said]
    assert message.startswith(f"MESSAGE={said}\nPRIORITY=3\n".encode())


def test_a_journal_that_goes_away_does_not_stop_the_service(run: Callable[..., Ran], tmp_path: Path) -> None:
    """What could not be sent is said in the log, and the service goes on."""
    path = tmp_path / "s"
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(f"{folder}/j")

        def use() -> None:
            journal.close()
            with Client.connect(str(path), "driver", ("attach", "dma")) as client:
                client.dma("41:00.0", 0x80000000)

        thread = meanwhile(path, use)
        options = ("--access", access(tmp_path), "--faults-to", f"journald:{folder}/j")
        ran = run("run", "--board", BOARD, "--socket", path, *options)
        thread.join()
    assert ran.status == 0
    said = [one.text for one in packets(snapshot(tmp_path / "log"))]
    assert f"{folder}/j cannot be written to: Connection refused" in said


def test_a_full_disk_does_not_stop_the_service(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A file of faults that cannot be written is said in the log."""
    path = tmp_path / "s"

    def use() -> None:
        with Client.connect(str(path), "driver", ("attach", "dma")) as client:
            client.dma("41:00.0", 0x80000000)
            client.create_object()

    thread = meanwhile(path, use)
    ran = run("run", "--board", BOARD, "--socket", path, "--access", access(tmp_path), "--faults-to", "jsonl:/dev/full")
    thread.join()
    assert ran.status == 0
    assert any("/dev/full cannot be written" in one.text for one in packets(snapshot(tmp_path / "log")))


def test_devices_behind_no_unit_are_named_loudly(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Each device that nothing limits is a warning of its own."""
    path = tmp_path / "s"
    thread = meanwhile(path, lambda: None)
    ran = run("run", "--board", BOARDS / "q35-vtd-scopes", "--socket", path)
    thread.join()
    assert ran.status == 0
    assert ran.err.count("warning: UNRESTRICTED: ") == 11
    assert "may reach ALL MEMORY, no unit stands before it" in ran.err


def test_a_signal_as_soon_as_there_is_a_socket_ends_it_cleanly(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signals are taken care of before anybody can connect: status 0, and the socket is gone."""
    listen = Listener.__enter__

    def listen_and_signal(listener: Listener) -> Listener:
        found = listen(listener)
        os.kill(os.getpid(), signal.SIGTERM)
        return found

    monkeypatch.setattr(Listener, "__enter__", listen_and_signal)
    ran = run("run", "--board", BOARD, "--socket", tmp_path / "s")
    assert ran.status == 0
    assert not (tmp_path / "s").exists()


def test_an_unsafe_start_is_refused_with_the_reason(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A board whose units nobody here can program: status 4 and why; --degraded goes on all the same, and says so."""
    path = tmp_path / "s"
    ran = run("run", "--board", HANDMADE / "viot-segments", "--socket", path)
    assert ran.status == 4
    assert "critical: " in ran.err
    assert "it is not safe to start: no driver here programs units of kind virtio-iommu" in ran.err
    assert not path.exists()
    thread = meanwhile(path, lambda: None)
    ran = run("run", "--board", HANDMADE / "viot-segments", "--socket", path, "--degraded")
    thread.join()
    assert ran.status == 0
    assert "UNRESTRICTED: " in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--access", "absent"), "the access list is of no use"),
        (("--faults-to", "jsonl:/absent/file"), "refused accesses cannot be written"),
        (("--faults-to", "journald:/absent"), "refused accesses cannot be written: cannot be reached"),
        (("--socket", "/absent/s"), "no socket can be made"),
    ],
)
def test_what_it_needs_and_has_not_is_status_4(
    run: Callable[..., Ran], tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    """An access list, a socket, a file of faults that cannot be had: it does not start."""
    ran = run("run", "--board", BOARD, "--socket", tmp_path / "s", *options)
    assert ran.status == 4
    assert words in ran.err


@pytest.mark.parametrize(
    "options",
    [
        ("--faults-to", "syslog"),
        ("--faults-to", "jsonl:"),
        ("--faults-to", "slog2,"),
        ("--faults-to", "slog2,jsonl:a,slog2"),
        ("--faults-to", "jsonl:a,jsonl:b"),
        ("--faults-to", "journald:"),
        ("--mode", "9"),
        ("--mode", "7777"),
    ],
)
def test_wrong_options_are_status_2(run: Callable[..., Ran], tmp_path: Path, options: tuple[str, ...]) -> None:
    """What an option cannot mean is said with the usage."""
    assert run("run", "--board", BOARD, "--socket", tmp_path / "s", *options).status == 2


def test_a_source_that_is_none_is_status_3(run: Callable[..., Ran], tmp_path: Path) -> None:
    """As for every command."""
    assert run("run", "--board", tmp_path, "--socket", tmp_path / "s").status == 3


def test_a_killed_service_is_replaced_and_gives_grants_back(tmp_path: Path) -> None:
    """A real process killed with -9 leaves a socket and a state file; the next one takes both over."""
    path, state = tmp_path / "s", tmp_path / "state"
    command = [
        sys.executable,
        "-c",
        "from iommuman.cli.main import main; raise SystemExit(main())",
        "run",
        "--board",
        str(BOARD),
        "--socket",
        str(path),
    ]
    command += ["--state", str(state), "--access", str(access(tmp_path))]

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert process.stderr is not None
        while b"serving clients" not in process.stderr.readline():
            assert process.poll() is None
        return process

    first = start()
    client = Client.connect(str(path), "driver")
    number = client.create_object()
    client.add_device(number, "41:00.0")
    client.map(number, [(0x80000000, 4096)], Access.READ)
    first.kill()
    first.wait()
    client.close()
    second = start()
    with Client.connect(str(path), "stranger", ("attach", "dma")) as stranger:
        assert not stranger.dma("41:00.0", 0x80000000).allowed
        with Client.connect(str(path), "driver", resume=True) as again:
            assert [one.devices for one in again.objects] == [("0000:41:00.0",)]
            assert stranger.dma("41:00.0", 0x80000000).allowed
    second.send_signal(signal.SIGINT)
    assert second.wait(10) == 0
    for process in (first, second):
        assert process.stderr is not None
        process.stderr.close()


def test_a_configuration_is_laid_over_the_board(run: Callable[..., Ran], tmp_path: Path) -> None:
    """--config grants from start, which is said; the rest stays denied."""
    path, config = tmp_path / "s", tmp_path / "board.smmu"
    config.write_text("smmu vtd\nallow disk 0x80000000,4096\ndevice pci:65:0.0 disk\n")

    def use() -> None:
        with Client.connect(str(path), "driver", ("attach", "dma")) as client:
            assert client.dma("41:00.0", 0x80000000).allowed
            assert not client.dma("41:00.0", 0x80001000).allowed

    thread = meanwhile(path, use)
    ran = run(
        "run", "--board", BOARD, "--config", config, "--socket", path, "--access", access(tmp_path)
    )  # fmt: skip
    thread.join()
    assert ran.status == 0
    assert "all are denied everything, but what the configuration grants 0000:41:00.0: " in ran.err


def test_a_stop_with_clients_connected_is_quiet(tmp_path: Path) -> None:
    """Clients that are connected when the service is stopped lose their connection, and no traceback is written."""
    path = tmp_path / "s"
    command = [sys.executable, "-c", "from iommuman.cli.main import main; raise SystemExit(main())", "run"]
    command += ["--board", str(BOARD), "--socket", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    while b"serving clients" not in process.stderr.readline():
        assert process.poll() is None
    with socket.socket(socket.AF_UNIX) as silent, Client.connect(str(path), "driver") as client:
        silent.connect(str(path))
        client.create_object()
        process.terminate()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""
    process.stderr.close()


def test_a_scenario_is_played_before_clients_come(run: Callable[..., Ran], tmp_path: Path) -> None:
    """VMs of a scenario stay, and have their devices; what they were granted is said at start."""
    path = tmp_path / "s"
    held: list[ManagerError] = []

    def use() -> None:
        with Client.connect(str(path), "driver") as client, pytest.raises(ManagerError) as caught:
            client.add_device(client.create_object(), "0000:00:03.0")
        held.append(caught.value)

    thread = meanwhile(path, use)
    ran = run("run", "--board", BOARD, "--socket", path, "--scenario", FIXTURES / "scenarios" / "two-vms.toml")
    thread.join()
    assert ran.status == 0
    assert "but what the scenario grants 0000:00:03.0, 0000:00:09.0: " in ran.err
    assert [error.reason for error in held] == ["EBUSY"]
