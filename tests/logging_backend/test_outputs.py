"""JSON Lines, syslog, the journal's protocol, and the format for lnav."""

from __future__ import annotations

import array
import errno
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.logging_backend import Packet, Schema, Slog2Error, Stream
from iommuman.logging_backend.journald import JournalSender, journal_message
from iommuman.logging_backend.jsonl import json_line, to_otel
from iommuman.logging_backend.names import UNKNOWN_SEVERITY
from iommuman.logging_backend.packet import Form
from iommuman.logging_backend.syslog import syslog_line
from iommuman.logging_backend.text_out import LineStyle, line_formatter
from iommuman.logging_backend.values import encode_rich, encode_text

from .helpers import make, read

ANY = st.characters(exclude_categories=())
STREAM = Stream("smmuman.42", "smmuman", 42, "faults")
FORMATS = Path(__file__).resolve().parents[2] / "logging_backend" / "lnav"


def rich(text: str, fields: dict[str, object], severity: int = 2) -> Packet:
    """Return a packet with fields."""
    payload = encode_rich(encode_text(text), fields)
    return Packet(1_700_000_000_123_456_789, STREAM, 3, severity, 7, 8, 9, Form.RICH, payload)


def test_json_in_opentelemetry_names() -> None:
    """A packet becomes a record of OpenTelemetry's names, with fields typed and whole numbers whole."""
    packet = rich(
        "fault", {"iova": (1 << 64) - 1, "ok": True, "raw": b"\xff", "inf": float("inf"), "l": [1], "slog2.code": 1}
    )
    assert json.loads(json_line(packet)) == {
        "Timestamp": 1_700_000_000_123_456_789,
        "SeverityNumber": 17,
        "SeverityText": "ERROR",
        "Body": "fault",
        "Attributes": {
            "slog2.buffer": "faults", "slog2.code": 7, "slog2.number": 3, "slog2.sequence": 9,
            "slog2.type": "ASCII_STRING", "thread.id": 8,
            "iova": (1 << 64) - 1, "ok": True, "raw": "/w==", "inf": "inf", "l": [1], "field.slog2.code": 1,
        },
        "Resource": {"service.name": "smmuman", "process.pid": 42, "slog2.file": "smmuman.42"},
    }  # fmt: skip
    assert "SeverityNumber" not in to_otel(packet._replace(severity=UNKNOWN_SEVERITY))
    monotonic = packet._replace(stream=Stream("a.1", "a", 1, "b", monotonic=True))
    assert '"slog2.monotonic":true' in json_line(monotonic)


@settings(deadline=None)
@given(
    st.text(ANY),
    st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.binary())),
)
def test_json_is_one_line_of_ascii(text: str, fields: dict[str, object]) -> None:
    """Whatever a packet holds, its JSON is one line of ASCII that reads back to the same text."""
    line = json_line(rich(text, fields))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["Body"] == text


def test_nested_values_in_json() -> None:
    """Lists and dictionaries keep their shape, with what JSON lacks replaced inside."""
    line = json_line(rich("x", {"d": {"a": [1, {"b": None}]}}))
    assert json.loads(line)["Attributes"]["d"] == {"a": [1, {"b": None}]}


def test_syslog_lines() -> None:
    """Priority by meaning, time to microseconds, structured data escaped, as RFC 5424 has them."""
    packet = rich("fault\nmore", {"a b]": 'x"]\\', "n": 5, "": "e"})
    assert syslog_line(packet, host="board 1") == (
        "<131>1 2023-11-14T22:13:20.123456Z board_1 smmuman 42 7 [slog2@32473"
        ' buffer="faults" code="7" a_b_="x\\"\\]\\\\"'
        ' n="5" _="e"] fault\nmore'
    )
    assert [syslog_line(packet._replace(severity=s), facility=0)[:3] for s in (0, 1, 2, 3, 4, 5, 6, 7, 255)] == [
        "<0>", "<2>", "<3>", "<4>", "<5>", "<6>", "<7>", "<7>", "<6>",
    ]  # fmt: skip
    assert syslog_line(packet._replace(timestamp=(1 << 64) - 1))
    assert ' code="7" a_="1" a_="2" field.code="3"] ' in syslog_line(rich("x", {"a]": 1, "a=": 2, "code": 3}))


@pytest.fixture
def journal() -> Iterator[tuple[Path, socket.socket]]:
    """Give a socket that listens like the journal's, at a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        path = Path(folder) / "journal"
        listener.bind(str(path))
        listener.settimeout(10)
        yield path, listener


def entries(data: bytes) -> dict[str, bytes]:
    """Parse a message of the native protocol as systemd documents it."""
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        found[key.decode()] = value
        data = rest
    return found


def test_journal_messages(journal: tuple[Path, socket.socket]) -> None:
    """A packet arrives at the socket with message, priority and fields, in plain and in binary form."""
    path, listener = journal
    with JournalSender(path) as sender:
        assert sender.send(rich("one\ntwo", {"sid": 66, "_x": "y", "raw": b"a\nb", "1 é": "z", "message": "no"})) == 0
    found = entries(listener.recv(1 << 16))
    assert found["MESSAGE"] == b"one\ntwo"
    assert found["PRIORITY"] == b"3"
    assert (found["SID"], found["F_X"], found["RAW"], found["F1__"]) == (b"66", b"y", b"a\nb", b"z")
    assert found["FIELD_MESSAGE"] == b"no"
    assert found["SLOG2_TIMESTAMP"] == b"1700000000123456789"
    assert all(len(key) <= 64 and key[0].isalpha() for key in found)
    assert journal_message(rich("x", {"a-b": 1, "a_b": 2})).endswith(b"A_B=1\nA_B=2\n")
    assert "PRIORITY" not in entries(journal_message(rich("x", {}, severity=UNKNOWN_SEVERITY)))


def test_a_long_journal_message_goes_as_a_file(journal: tuple[Path, socket.socket]) -> None:
    """A message too long for a datagram is passed as a sealed memory file."""
    path, listener = journal
    text = "x" * 1_000_000
    with JournalSender(path) as sender:
        assert sender.send(rich(text, {})) == 0
    handles = array.array("i")
    data, ancillary, _, _ = listener.recvmsg(16, socket.CMSG_LEN(4))
    handles.frombytes(ancillary[0][2][:4])
    assert not data
    with os.fdopen(handles[0], "rb") as file:
        assert file.seek(0) == 0
        assert entries(file.read())["MESSAGE"] == text.encode()
        with pytest.raises(OSError, match="not permitted"):
            os.ftruncate(handles[0], 0)


def test_a_busy_journal_holds_nobody_up(journal: tuple[Path, socket.socket]) -> None:
    """Without `wait`, a socket whose queue is full is an error at once."""
    path, _ = journal
    with JournalSender(path, wait=False) as sender:
        assert errno.EAGAIN in [sender.send(rich("x", {})) for _ in range(10_000)]


def test_a_journal_that_is_not_there(journal: tuple[Path, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing socket raises Slog2Error; one that goes away later is a returned error."""
    with pytest.raises(Slog2Error, match="cannot be reached"):
        JournalSender(Path("/nonexistent"))
    path, listener = journal
    sender = JournalSender(path)

    def no_memory(*_: object) -> int:
        raise OSError(errno.ENOMEM, "out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(os, "memfd_create", no_memory)
        assert sender.send(rich("x" * 1_000_000, {})) == errno.ENOMEM
    listener.close()
    assert sender.send(rich("x", {})) == errno.ECONNREFUSED
    sender.close()


def lnav() -> str:
    """Return the path of lnav, or skip."""
    found = os.environ.get("IOMMUMAN_LNAV") or shutil.which("lnav")
    if not found:
        if os.environ.get("IOMMUMAN_REQUIRE_TOOLS"):
            pytest.fail("lnav is not installed, and IOMMUMAN_REQUIRE_TOOLS is set")
        pytest.skip("lnav is not installed (Debian: lnav)")
    return found


def ask_lnav(folder: Path, file: Path, query: str) -> list[dict[str, object]]:
    """Return the rows that lnav gives for an SQL query over one log file, with our formats installed."""
    config = folder / "config"
    (config / "formats" / "installed").mkdir(parents=True, exist_ok=True)
    for path in FORMATS.glob("*.json"):
        shutil.copy(path, config / "formats" / "installed")
    command = [lnav(), "-n", "-I", str(config), "-c", f";{query}", "-c", ":write-json-to -", str(file)]
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "TERM": "dumb", "TZ": "UTC"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert not done.stderr, done.stderr
    rows: list[dict[str, object]] = json.loads(done.stdout[done.stdout.index("[") :])
    return rows


def test_lnav_reads_text(tmp_path: Path) -> None:
    """lnav, with our format, finds set, pid, buffer, code, severity and message of slog2info lines."""
    with make(tmp_path / "log", 4, name="smmuman") as writer:
        writer.log(0, 7, 2, "a fault")
        writer.log(0, 8, 6, "detail")
    line = line_formatter(LineStyle(severity=True))
    file = tmp_path / "slog2.log"
    file.write_text("".join(line(packet) + "\n" for packet in read(tmp_path / "log")))
    rows = ask_lnav(
        tmp_path, file, "SELECT log_level, slog2_set, slog2_pid, slog2_buffer, slog2_code, log_body FROM slog2_log"
    )
    pid = os.getpid()
    assert [list(row.values()) for row in rows] == [
        ["error", "smmuman", pid, "b0", 7, "a fault"],
        ["debug", "smmuman", pid, "b0", 8, "detail"],
    ]


def test_lnav_reads_json(tmp_path: Path) -> None:
    """lnav, with our format, reads our JSON Lines: time, level and body."""
    schema = Schema("Q", "iova %#lx", ("iova",))
    with make(tmp_path / "log", 4, name="smmuman") as writer:
        writer.burst(0, 7, 2, schema, schema.pack([(1_700_000_000_123_456_789, 4096)]))
        writer.log(0, 7, 5, "two")
    file = tmp_path / "slog2.jsonl"
    file.write_text("".join(json_line(packet) + "\n" for packet in read(tmp_path / "log")))
    rows = ask_lnav(tmp_path, file, "SELECT log_time, log_level, log_body FROM slog2_json")
    assert rows[0] == {"log_time": "2023-11-14 22:13:20.123", "log_level": "error", "log_body": "iova 0x1000"}
    assert rows[1]["log_body"] == "two"
