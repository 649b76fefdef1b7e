"""Writers in trouble: values that fail, calls that meet in the middle, files that give way."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import pytest
from iommuman.logging_backend import Placement, RegisterFlag, SetConfig, SetWriter, register
from iommuman.logging_backend.ring import RingWriter
from iommuman.logging_backend.store import FileMemory

from .helpers import make, read, texts


class Broken:
    """An object that fails at whatever it is asked."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


class BrokenNumber(int):
    """A number that fails at being one."""

    def __int__(self) -> int:
        raise ZeroDivisionError


def test_fields_that_fail_do_not_take_the_record_with_them(tmp_path: Path) -> None:
    """An object without words, alone, nested or as a key, is named by its class; all else of the record is kept."""
    with make(tmp_path) as writer:
        fields = {"bad": Broken(), "nested": [1, Broken()], "good": 1}
        assert writer.log_fields(0, 0, 5, "text", fields) == 0
        assert writer.log_fields(0, 0, 5, "key", {Broken(): 2}) == 0  # type: ignore[dict-item]
        assert writer.log_deferred(0, 0, 5, "%s", Broken()) == 0
        assert writer.log_fields(0, 0, 5, "x", {"n": BrokenNumber(5)}) == errno.EINVAL
        assert writer.log_deferred(0, 0, 5, "%d", BrokenNumber(5)) == errno.EINVAL
        assert writer.failures == {errno.EINVAL: 2}
    words = "<unprintable Broken object>"
    one, two, three = read(tmp_path)
    assert one.fields == {"bad": words, "nested": [1, words], "good": 1}
    assert two.fields == {words: 2}
    assert three.text == words


def test_limited_retries_give_up(tmp_path: Path) -> None:
    """With LIMIT_RETRIES a call gives EBUSY instead of waiting for another thread."""
    flags = RegisterFlag.LIMIT_RETRIES
    config = SetConfig("test", max_retries=3)
    with register(config, flags, Placement(directory=tmp_path)) as writer:
        inside, done = threading.Event(), threading.Event()

        def hold() -> None:
            with writer._lock:
                inside.set()
                done.wait(10)

        holder = threading.Thread(target=hold)
        holder.start()
        inside.wait(10)
        assert writer.log(0, 0, 5, "busy") == errno.EBUSY
        assert writer.close() == errno.EBUSY
        done.set()
        holder.join()
        assert writer.log(0, 0, 5, "free") == 0
    assert texts(tmp_path) == ["free"]


def test_failures_of_many_threads_are_all_counted(tmp_path: Path) -> None:
    """No failed call is missing from the count, however threads take turns."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with make(tmp_path) as writer:
            workers = [
                threading.Thread(target=lambda: [writer.log(9, 0, 5, "nowhere") for _ in range(2000)]) for _ in range(4)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert writer.failures == {errno.EINVAL: 8000}
    finally:
        sys.setswitchinterval(interval)


def interrupting(monkeypatch: pytest.MonkeyPatch, writer: SetWriter, *, failing: bool, close: bool = False) -> None:
    """Let a signal handler log twice, or close, in the middle of the next store, which may fail after that."""
    store = RingWriter.store

    def interrupted(ring: RingWriter, *arguments: object) -> None:
        monkeypatch.setattr(RingWriter, "store", store)
        if close:
            assert writer.close() == 0
        else:
            assert [writer.log(0, 0, 5, text) for text in ("handler 1", "handler 2")] == [0, 0]
        if failing:
            raise OSError(errno.EIO, "failed")
        store(ring, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(RingWriter, "store", interrupted)


@pytest.mark.parametrize("failing", [False, True])
def test_what_a_handler_logs_is_stored_right_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, failing: bool
) -> None:
    """What a signal handler logs in the middle of a store comes after it, also when that store itself fails."""
    with make(tmp_path) as writer:
        interrupting(monkeypatch, writer, failing=failing)
        assert writer.log(0, 0, 5, "interrupted") == (errno.EIO if failing else 0)
        assert texts(tmp_path) == ["interrupted"] * (not failing) + ["handler 1", "handler 2"]
        assert writer.failures == ({errno.EIO: 1} if failing else {})


def test_a_handler_may_close_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set closed by a signal handler in the middle of a store keeps the packet, and is closed after it."""
    with make(tmp_path) as writer:
        interrupting(monkeypatch, writer, failing=False, close=True)
        assert writer.log(0, 0, 5, "interrupted") == 0
        assert writer.log(0, 0, 5, "late") == errno.EPERM
    assert texts(tmp_path) == ["interrupted"]


def test_a_mapped_file_cut_to_nothing_can_be_closed(tmp_path: Path) -> None:
    """Closing a set and changing its verbosity do not touch a mapping whose file is gone from under it."""
    with make(tmp_path) as writer:
        writer.log(0, 0, 5, "lost")
        assert writer.path is not None
        os.truncate(writer.path, 0)
        assert writer.set_verbosity(3) == 0
    assert writer.failures == {}


def test_half_a_write_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system takes a part of a store only, the call fails with EIO, and later packets are in a new page."""
    with make(tmp_path, mapped=False) as writer:
        assert writer.log(0, 0, 5, "before") == 0
        monkeypatch.setattr(os, "pwrite", lambda _handle, data, _at, write=os.pwrite: write(_handle, data[:3], _at))
        assert writer.log(0, 0, 5, "half") == errno.EIO
        monkeypatch.undo()
        assert writer.log(0, 0, 5, "after") == 0
    found: list[object] = []
    assert [packet.text for packet in read(tmp_path, found)] == ["before", "after"]  # type: ignore[arg-type]


def test_a_page_whose_making_was_stopped(tmp_path: Path) -> None:
    """After a stop at the last store of a new page, no packet goes into the page before, which is read no more."""
    stop = False

    class Stopping(FileMemory):
        __slots__ = ()

        def __setitem__(self, where: slice, data: bytes, /) -> None:
            super().__setitem__(where, data)
            if stop and len(data) == 8 and any(data):
                raise KeyboardInterrupt

    with make(tmp_path, mapped=False) as writer:
        assert writer._shared is not None
        writer._shared.memory = Stopping(writer._handle)
        assert writer.log(0, 0, 5, "x" * 3000) == 0
        stop = True
        with pytest.raises(KeyboardInterrupt):
            writer.log(0, 0, 5, "y" * 3000)
        stop = False
        assert writer.log(0, 0, 5, "small") == 0
        assert writer._rings[0].index == 2
    found = read(tmp_path)
    assert [(packet.number, packet.text) for packet in found] == [(0, "x" * 3000), (1, "small")]
