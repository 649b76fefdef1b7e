"""Registering sets, and logging into them."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from iommuman.logging_backend import (
    NO_LOG_VERBOSITY,
    BufferConfig,
    Limits,
    Placement,
    Schema,
    SetConfig,
    SetWriter,
    Slog2Error,
    buffer_infos,
    register,
)
from iommuman.logging_backend import writer as writer_module
from iommuman.logging_backend.layout import MAX_PIECE

from .helpers import make, numbered, read, texts

ANY = st.characters(exclude_categories=())
FAULT = Schema("QIH", "address %#lx stream %#x reason %u", ("iova", "sid", "reason"))


def test_what_is_logged_is_read(tmp_path: Path) -> None:
    """A packet comes back with text, code, severity, thread, number and sequence, and a time between the calls."""
    with make(tmp_path, 4, 4) as writer:
        before = time.time_ns()
        assert writer.log(0, 7, 5, "one") == 0
        assert writer.log(1, 65535, 0, "two") == 0
        after = time.time_ns()
    one, two = read(tmp_path)
    assert (one.text, one.code, one.severity, one.stream.buffer_name) == ("one", 7, 5, "b0")
    assert (two.text, two.code, two.severity, two.stream.buffer_name) == ("two", 65535, 0, "b1")
    assert (one.number, two.number, one.sequence_number, two.sequence_number) == (0, 0, 0, 1)
    assert before <= one.timestamp <= two.timestamp <= after
    assert one.thread_id == two.thread_id == threading.get_native_id()
    assert one.stream.owner_pid == os.getpid()
    assert one.stream.file_name == f"test.{os.getpid()}"


@settings(max_examples=200, deadline=None)
@example("lone \ud800 surrogate", 5, 0)
@given(
    text=st.text(ANY, max_size=5000),
    severity=st.integers(0, 7),
    code=st.integers(0, 65535),
)
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str, severity: int, code: int) -> None:
    """Any text of any characters, lone surrogates and NULs included, is read as it was written."""
    folder = tmp_path_factory.mktemp("log")
    with make(folder, 8) as writer:
        assert writer.log(0, code, severity, text) == 0
    (packet,) = read(folder)
    assert (packet.text, packet.severity, packet.code) == (text, severity, code)


def test_a_full_ring_loses_its_oldest_packets_and_counts_them(tmp_path: Path) -> None:
    """Of many packets a ring keeps the newest, without a gap, and tells how many it overwrote."""
    with make(tmp_path, 4) as writer:
        for i in range(5000):
            assert writer.log(0, 0, 5, f"packet {i}") == 0
        assert writer.path is not None
        (info,) = buffer_infos(writer.path)
    kept = list(numbered(tmp_path))
    assert kept[-1] == (4999, "packet 4999")
    assert [number for number, _ in kept] == list(range(info.overwritten, 5000))
    assert all(text == f"packet {number}" for number, text in kept)
    assert info.stored == 5000
    assert info.overwritten > 4000


@pytest.mark.parametrize("size", [MAX_PIECE - 1, MAX_PIECE, MAX_PIECE + 1, 2 * MAX_PIECE, 50_000])
def test_long_texts_are_kept_whole(tmp_path: Path, size: int) -> None:
    """A text longer than a page comes back whole, and counts as one packet."""
    text = "".join(chr(97 + i % 26) for i in range(size))
    with make(tmp_path, 32) as writer:
        for part in ("before", text, "after"):
            assert writer.log(0, 1, 5, part) == 0
    assert list(numbered(tmp_path)) == [(0, "before"), (1, text), (2, "after")]


def test_a_text_longer_than_the_ring_is_cut_between_characters(tmp_path: Path) -> None:
    """A text that cannot be kept is cut to whole characters, and says so."""
    with make(tmp_path, 2) as writer:
        assert writer.log(0, 1, 5, "é" * MAX_PIECE) == 0
    (packet,) = read(tmp_path)
    assert packet.cut
    assert packet.text == "é" * (MAX_PIECE // 2)


def test_a_long_text_whose_beginning_was_overwritten_is_counted(tmp_path: Path) -> None:
    """Where only the end of a long text is left, one packet is reported lost, and what follows is read."""
    with make(tmp_path, 4) as writer:
        writer.log(0, 0, 5, "x" * (2 * MAX_PIECE))
        for i in range(9):
            writer.log(0, 0, 5, f"{i:01000d}")
    first, *rest = read(tmp_path)
    assert (first.lost, first.number) == (1, 0)
    assert [packet.number for packet in rest] == list(range(1, 10))


def test_deferred_formats_are_made_into_text_when_read(tmp_path: Path) -> None:
    """A format and its arguments are stored, and read as text."""
    with make(tmp_path) as writer:
        assert writer.log_deferred(0, 3, 4, "stream %#x of %s: %5.1f%% in %d", 0x42, "smmu0", 12.5, -3) == 0
        assert writer.log_deferred(0, 3, 4, "%*d|%-6s|", 5, 7, "ab") == 0
    assert texts(tmp_path) == ["stream 0x42 of smmu0:  12.5% in -3", "    7|ab    |"]


def test_deferred_arguments_longer_than_the_ring_are_refused(tmp_path: Path) -> None:
    """Arguments that do not fit give EMSGSIZE and leave no trace."""
    with make(tmp_path, 2) as writer:
        assert writer.log_deferred(0, 0, 5, "%s", "x" * 5000) == errno.EMSGSIZE
        assert writer.log_fields(0, 0, 5, "text", {"key": "x" * 5000}) == errno.EMSGSIZE
        assert writer.log(0, 0, 5, "next") == 0
    assert texts(tmp_path) == ["next"]


def test_a_text_with_fields_is_cut_but_its_fields_are_not(tmp_path: Path) -> None:
    """When text and fields do not fit, the text gives way."""
    with make(tmp_path, 2) as writer:
        assert writer.log_fields(0, 0, 5, "x" * 5000, {"sid": 66}) == 0
    (packet,) = read(tmp_path)
    assert packet.cut
    assert packet.fields == {"sid": 66}
    assert set(packet.text) == {"x"}


def test_a_burst_is_read_as_packets(tmp_path: Path) -> None:
    """Each record of a burst is a packet with its own time, number, sequence, text and fields."""
    rows = [(1000 + i, 4096 * i, i, i % 7) for i in range(2000)]
    with make(tmp_path, 64) as writer:
        writer.log(0, 0, 5, "before")
        assert writer.burst(0, 9, 2, FAULT, FAULT.pack(rows)) == 0
        writer.log(0, 0, 5, "after", when=9_000_000)
    _, *found, after = sorted(read(tmp_path), key=lambda packet: packet.number)
    assert [packet.timestamp for packet in found] == [row[0] for row in rows]
    assert [packet.number for packet in found] == list(range(1, 2001))
    assert [packet.sequence_number for packet in found] == list(range(1, 2001))
    assert found[5].text == "address 0x5000 stream 0x5 reason 5"
    assert found[5].fields == {"iova": 0x5000, "sid": 5, "reason": 5}
    assert (after.number, after.sequence_number, after.timestamp) == (2001, 2001, 9_000_000)


def test_a_burst_of_half_a_record_is_refused(tmp_path: Path) -> None:
    """Bytes that are no whole number of records are refused, and so are things without bytes."""
    with make(tmp_path) as writer:
        assert writer.burst(0, 0, 5, FAULT, b"123") == errno.EINVAL
        assert writer.burst(0, 0, 5, FAULT, "text") == errno.EINVAL  # type: ignore[arg-type]
        assert writer.failures == {errno.EINVAL: 2}
    assert not read(tmp_path)


def test_verbosity_is_of_the_whole_set(tmp_path: Path) -> None:
    """What is above the verbosity is not stored, by any call, in any buffer; it can be changed."""
    with make(tmp_path, 4, 4) as writer:
        assert writer.set_verbosity(3) == 0
        assert writer.verbosity == 3
        for severity in (3, 4):
            writer.log(0, 0, severity, f"log {severity}")
            writer.log_fields(1, 0, severity, f"fields {severity}", {"a": 1})
            writer.log_deferred(0, 0, severity, "deferred %d", severity)
            writer.burst(1, 0, severity, FAULT, FAULT.pack([(1, 2, severity, 4)]))
        assert writer.set_verbosity(NO_LOG_VERBOSITY) == 0
        writer.log(0, 0, 0, "never")
        assert writer.set_verbosity(9) == errno.EINVAL
        assert writer.verbosity == NO_LOG_VERBOSITY
    assert sorted(texts(tmp_path)) == ["address 0x2 stream 0x3 reason 4", "deferred 3", "fields 3", "log 3"]


@pytest.mark.parametrize(
    ("buffer", "code", "severity", "text"),
    [
        (9, 0, 5, "x"),
        (-1, 0, 5, "x"),
        (0, -1, 5, "x"),
        (0, 65536, 5, "x"),
        (0, 0, -1, "x"),
        (0, 0, 5, 17),
        (0, 0, "5", "x"),
    ],
)
def test_nonsense_is_refused_without_raising(tmp_path: Path, buffer: int, code: int, severity: int, text: Any) -> None:
    """Arguments that cannot be stored give EINVAL, are counted, and leave the ring as it was."""
    with make(tmp_path) as writer:
        assert writer.log(buffer, code, severity, text) == errno.EINVAL
        assert writer.log_fields(buffer, code, severity, text, {}) in (
            (0, errno.EINVAL) if text == 17 else (errno.EINVAL,)
        )
        assert writer.log(0, 0, 5, "fine") == 0
        assert writer.failures[errno.EINVAL] >= 1
    assert "fine" in texts(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        SetConfig("a/b"), SetConfig(""), SetConfig(".hidden"), SetConfig("x" * 64), SetConfig("new\nline"),
        SetConfig("a", ()), SetConfig("a", (BufferConfig("b"),) * 5), SetConfig("a", (BufferConfig("b", 1),)),
        SetConfig("a", (BufferConfig("b", 1 << 20),)), SetConfig("a", (BufferConfig("n\0"),)),
        SetConfig("a", verbosity_level=8),
    ],
)  # fmt: skip
def test_what_cannot_be_a_set_is_refused(tmp_path: Path, config: SetConfig) -> None:
    """A configuration that names a path, or has too much or too little of something, raises Slog2Error."""
    with pytest.raises(Slog2Error):
        register(config, placement=Placement(directory=tmp_path))
    assert not list(tmp_path.iterdir())


def test_more_sets_of_one_name_get_numbers(tmp_path: Path) -> None:
    """Further sets of a process with the same name are files with `..<n>`, and none overwrites another."""
    sets = [make(tmp_path) for _ in range(3)]
    for i, writer in enumerate(sets):
        writer.log(0, 0, 5, f"set {i}")
    pid = os.getpid()
    assert [one.path and one.path.name for one in sets] == [f"test.{pid}", f"test.{pid}..1", f"test.{pid}..2"]
    assert texts(tmp_path) == ["set 0", "set 1", "set 2"]
    for writer in sets:
        writer.close()


def test_a_closed_set_refuses_and_stays_readable(tmp_path: Path) -> None:
    """After close, calls give EPERM, closing again is fine, and the log is still there."""
    writer = make(tmp_path)
    writer.log(0, 0, 5, "last")
    assert writer.close() == 0
    assert writer.close() == 0
    assert writer.log(0, 0, 5, "too late") == errno.EPERM
    assert writer.find_buffer("b0") == 0
    assert writer.find_buffer("none") is None
    assert texts(tmp_path) == ["last"]


def test_the_mode_says_who_may_read(tmp_path: Path) -> None:
    """The file gets the mode asked for, whatever the umask."""
    old = os.umask(0o077)
    try:
        writer = make(tmp_path, mode=0o644)
    finally:
        os.umask(old)
    assert writer.path is not None
    assert writer.path.stat().st_mode & 0o777 == 0o644
    writer.close()


def test_threads_share_a_set(tmp_path: Path) -> None:
    """Packets of many threads are all there, each thread's in its order, under its thread number."""
    with make(tmp_path, 512) as writer:

        def work(who: int) -> None:
            for i in range(500):
                assert writer.log(0, who, 5, f"{who} {i}") == 0

        workers = [threading.Thread(target=work, args=(who,)) for who in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    found = read(tmp_path)
    assert [packet.number for packet in found] == list(range(4000))
    for who in range(8):
        mine = [packet for packet in found if packet.code == who]
        assert [packet.text for packet in mine] == [f"{who} {i}" for i in range(500)]
        assert len({packet.thread_id for packet in mine}) == 1


def test_a_signal_handler_may_log(tmp_path: Path) -> None:
    """A handler that logs while its own thread is logging neither hangs nor loses a packet."""
    hits = 0

    def handler(*_: object) -> None:
        nonlocal hits
        assert writer.log(0, 1, 5, "from the handler") == 0
        hits += 1

    writer = make(tmp_path, 1024)
    old = signal.signal(signal.SIGALRM, handler)
    count = 4000
    try:
        for i in range(count):
            if not i % 20:
                signal.setitimer(signal.ITIMER_REAL, 0.00005)
            assert writer.log(0, 0, 5, f"{i}") == 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    writer.close()
    found = read(tmp_path)
    assert [packet.text for packet in found if packet.code == 0] == [str(i) for i in range(count)]
    assert sum(packet.code == 1 for packet in found) == hits > 0


def test_a_signal_handler_that_raises_harms_nothing(tmp_path: Path) -> None:
    """An exception thrown into a log call at any moment leaves numbers that match texts, and nothing twice."""
    if sys.gettrace() is not None:
        pytest.skip("the exception would hit the tracer, whose lock it breaks")

    class StopError(BaseException):
        pass

    armed = False

    def handler(*_: object) -> None:
        if armed:
            raise StopError

    writer = make(tmp_path, 1024)
    old = signal.signal(signal.SIGALRM, handler)
    stops = 0
    try:
        for i in range(400):
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 0.00002)
                for _ in range(200):
                    writer.log(0, i, 5, f"{i}")
                armed = False
            except StopError:
                armed = False
                stops += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert stops
    writer.close()
    found = read(tmp_path)
    assert [packet.number for packet in found] == list(range(found[0].number, found[0].number + len(found)))
    assert all(packet.text == str(packet.code) for packet in found)


def test_a_forked_child_gets_a_set_of_its_own(tmp_path: Path) -> None:
    """After a fork, parent and child write different files, and neither disturbs the other."""
    writer = make(tmp_path)
    writer.log(0, 0, 5, "parent before")
    child = os.fork()
    if not child:
        os._exit(writer.log(0, 0, 5, "child") or writer.log(0, 0, 5, "child again"))
    assert os.waitpid(child, 0)[1] == 0
    writer.log(0, 0, 5, "parent after")
    writer.close()
    by_pid: dict[int, list[tuple[int, str]]] = {}
    for packet in read(tmp_path):
        by_pid.setdefault(packet.stream.owner_pid, []).append((packet.number, packet.text))
    assert by_pid == {
        os.getpid(): [(0, "parent before"), (1, "parent after")],
        child: [(0, "child"), (1, "child again")],
    }


@pytest.mark.parametrize("mapped", [True, False])
def test_a_file_that_was_taken_away_is_made_anew(tmp_path: Path, *, mapped: bool) -> None:
    """When the file is unlinked under the writer, it goes on in a new one at its next page."""
    with make(tmp_path, 2, mapped=mapped) as writer:
        writer.log(0, 0, 5, "lost")
        assert writer.path is not None
        writer.path.unlink()
        for i in range(20):
            assert writer.log(0, 0, 5, f"{i:0500d}") == 0
        assert writer.path.exists()
    assert texts(tmp_path)[-1] == f"{19:0500d}"


def test_a_file_cut_short_is_left_at_the_next_page(tmp_path: Path) -> None:
    """When the file is cut under a writer through system calls, it goes on in a new one and nothing faults."""
    with make(tmp_path, 4, mapped=False) as writer:
        writer.log(0, 0, 5, "first")
        assert writer.path is not None
        old = writer.path
        os.truncate(old, 4096)
        for i in range(30):
            assert writer.log(0, 0, 5, f"{i:0500d}") == 0
        assert writer.path != old
    found: list[object] = []
    assert read(tmp_path, found)[-1].text == f"{29:0500d}"  # type: ignore[arg-type]


def test_a_set_that_cannot_be_made_raises_or_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder, register raises; when not required it counts failures, and logs once the folder is there."""
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    where = Placement(directory=blocked / "logs")
    with pytest.raises(Slog2Error, match="no set can be made"):
        register(SetConfig("test"), placement=where)
    writer = register(SetConfig("test"), placement=where, required=False)
    assert writer.log(0, 0, 5, "lost") == errno.ENOTDIR
    assert writer.log(0, 0, 5, "lost") == errno.ENOTDIR
    assert writer.failures == {errno.ENOTDIR: 2}
    blocked.unlink()
    assert writer.log(0, 0, 5, "too early") == errno.ENOTDIR
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0)
    writer._retry_at = 0
    assert writer.log(0, 0, 5, "kept") == 0
    assert writer.set_verbosity(3) == 0
    writer.close()
    assert texts(blocked / "logs") == ["kept"]


def test_a_full_disk_is_a_returned_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there is no space for the file, register says so, leaves no file, and a log call returns ENOSPC."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    writer = register(SetConfig("test"), placement=Placement(directory=tmp_path), required=False)
    assert writer.log(0, 0, 5, "x") == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a file system with no room left (the device that is always full), stores through the system return ENOSPC."""
    writer = make(tmp_path, 4, mapped=False)
    assert writer._shared is not None
    handle = os.open("/dev/full", os.O_RDWR)
    os.dup2(handle, writer._shared.memory._handle)  # type: ignore[attr-defined]
    os.close(handle)
    assert writer.log(0, 0, 5, "x") == errno.ENOSPC
    assert writer.failures == {errno.ENOSPC: 1}
    writer.close()


def test_too_many_sets_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all instance numbers of a name are taken, register says so."""
    monkeypatch.setattr(writer_module, "MAX_INSTANCES", 2)
    first, second = make(tmp_path), make(tmp_path)
    with pytest.raises(Slog2Error, match="too many sets"):
        make(tmp_path)
    first.close()
    second.close()


def test_a_monotonic_set_says_so(tmp_path: Path) -> None:
    """With the monotonic clock, packets carry its time and the flag."""
    before = time.monotonic_ns()
    with make(tmp_path, monotonic=True) as writer:
        writer.log(0, 0, 5, "tick")
    (packet,) = read(tmp_path)
    assert before <= packet.timestamp <= time.monotonic_ns()
    assert packet.flags == 3


def test_old_dead_sets_give_way(tmp_path: Path) -> None:
    """By count and by bytes, the oldest closed sets are unlinked for a new one; sets in use never are."""
    running = make(tmp_path, name="running")
    for i in range(4):
        make(tmp_path, name=f"dead{i}").close()
    make(tmp_path, name="new", limits=Limits(sets=4)).close()
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == ["dead2", "dead3", "new", "running"]
    make(tmp_path, name="big", limits=Limits(total_bytes=3 * 5 * 4096)).close()
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == ["big", "new", "running"]
    make(tmp_path, name="last", limits=Limits(sets=1)).close()
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == ["last", "running"]
    running.close()


def test_a_writer_is_forgotten_with_its_object(tmp_path: Path) -> None:
    """A fork after a writer is gone does not trip over it."""
    make(tmp_path).close()
    child = os.fork()
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert isinstance(make(tmp_path), SetWriter)
