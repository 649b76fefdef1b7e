"""A writer stopped at any store, or in the middle of one: every reader reads all that was whole, and nothing else."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from iommuman.logging_backend import Follower, Schema, SetWriter, buffer_infos
from iommuman.logging_backend import writer as writer_module
from iommuman.logging_backend.store import Memory, open_memory

from .helpers import amount, make, read

if TYPE_CHECKING:
    from iommuman.base import Finding

RECORD = Schema("I", "record %u", ("n",))


class StopError(BaseException):
    """The injected stop."""


class StoppingMemory:
    """Memory that passes stores on until one of them, of which it does a part before it stops the writer."""

    def __init__(self, inner: Memory, store: int, part: Callable[[int], int], stop: Callable[[], None]) -> None:
        """Stop in store number `store`, after `part(length)` of its bytes."""
        self.inner = inner
        self.left = store
        self.part = part
        self.stop = stop
        self.stores = 0

    def __setitem__(self, where: slice, data: bytes, /) -> None:
        """Do the store, or a part of it and stop."""
        self.stores += 1
        if not self.left:
            self.left = -1
            size = self.part(len(data))
            self.inner[where.start : where.start + size] = data[:size]
            self.stop()
        self.left -= 1
        self.inner[where] = data

    def __getitem__(self, where: slice, /) -> bytes:
        """Read."""
        return self.inner[where]

    def close(self) -> None:
        """Close."""
        self.inner.close()


def script(writer: SetWriter, progress: Callable[[int], None]) -> None:
    """Log packets of every kind, through several laps of a small ring; packet `n` can be told by its text."""
    number = 0

    def done(result: int, count: int = 1) -> None:
        nonlocal number
        assert result == 0
        number += count
        progress(number)

    for _ in range(6):
        done(writer.log(0, 0, 5, f"text {number}"))
        done(writer.log_fields(0, 0, 5, f"rich {number}", {"n": number}))
        done(writer.log_deferred(0, 0, 5, "deferred %d", number))
        done(writer.log(0, 0, 5, f"long {number} " + "x" * 5000))
        done(writer.log(0, 0, 5, f"page {number} " + "x" * 3000))
        done(writer.burst(0, 0, 5, RECORD, RECORD.pack([(1, number + i) for i in range(40)])), 40)


def check(folder: Path, done: int, most: int) -> None:
    """Hold a snapshot and a follower to what was done: numbers without a gap up to the last whole packet."""
    with Follower(folder) as follower:
        for found in (read(folder), follower.poll()):
            for packet in found:
                if packet.lost:
                    assert packet is found[0]
                    continue
                assert int(packet.text.split()[1]) == packet.number
                assert not packet.text.startswith(("long", "page")) or packet.text.count("x") in (3000, 5000)
            numbers = [packet.number for packet in found]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else not done
            if done:
                assert done <= numbers[-1] + 1 <= most


def count_stores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many stores the script takes."""
    memories: list[StoppingMemory] = []

    def opened(handle: int, size: int, *, mapped: bool) -> Memory:
        memories.append(StoppingMemory(open_memory(handle, size, mapped=mapped), -1, len_of, lambda: None))
        return memories[-1]

    monkeypatch.setattr(writer_module, "open_memory", opened)
    writer = make(folder, 4, name="count")
    script(writer, lambda _: None)
    writer.close()
    assert writer.path is not None
    writer.path.unlink()
    return memories[0].stores


def len_of(size: int) -> int:
    """Return the whole length."""
    return size


PARTS: dict[str, Callable[[int], int]] = {
    "before": lambda _: 0,
    "first byte": lambda _: 1,
    "half": lambda size: size // 2,
    "all but one": lambda size: size - 1,
    "after": len_of,
}


@pytest.mark.parametrize("part", PARTS)
def test_a_stop_at_every_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """For each store of the write path, stopped before, within or after: readers see every packet that was finished."""
    stores = count_stores(tmp_path, monkeypatch)
    assert stores > 100
    for store in range(stores):
        opened = stopping(store, PARTS[part], stop_by_raising)
        monkeypatch.setattr(writer_module, "open_memory", opened)
        progress = [0]
        folder = tmp_path / str(store)
        try:
            writer = make(folder, 4)
            script(writer, lambda number, kept=progress: kept.__setitem__(0, number))  # type: ignore[misc]
            writer.close()
        except StopError:
            pass
        if store < 2:  # the header was not finished: this is no set yet
            continue
        check(folder, progress[0], progress[0] + 40)


@pytest.mark.parametrize("part", PARTS)
def test_a_writer_goes_on_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """An exception out of any store leaves the set usable: what is logged after it is there, and nothing is twice."""
    for store in range(2, 40):
        folder = tmp_path / str(store)
        monkeypatch.setattr(writer_module, "open_memory", stopping(store, PARTS[part], stop_by_raising))
        writer = make(folder, 16)
        stops = 0
        for i in range(60):
            try:
                assert writer.log(0, i, 5, f"text {i} " + "x" * 200) == 0
            except StopError:
                stops += 1
        assert stops == 1
        writer.close()
        findings: list[Finding] = []
        found = [packet for packet in read(folder, findings) if not packet.lost]
        assert [packet.number for packet in found] == list(range(len(found)))
        assert [packet.code for packet in found] == sorted({packet.code for packet in found})
        assert len(found) >= 59


def stop_by_raising() -> None:
    """Stop as a test can go on from."""
    raise StopError


def stopping(store: int, part: Callable[[int], int], stop: Callable[[], None]) -> Callable[..., Memory]:
    """Return an `open_memory` whose memory stops."""

    def opened(handle: int, size: int, *, mapped: bool) -> Memory:
        return StoppingMemory(open_memory(handle, size, mapped=mapped), store, part, stop)

    return opened


def test_a_kill_at_every_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with real processes that kill themselves with SIGKILL in the middle of a store."""
    stores = count_stores(tmp_path, monkeypatch)
    shared = mmap.mmap(-1, 4096)

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for store in range(2, stores - 1, max(1, stores // amount("STORE_KILLS", 60))):
        shared[:8] = bytes(8)
        folder = tmp_path / str(store)
        monkeypatch.setattr(writer_module, "open_memory", stopping(store, lambda size: size // 2, kill))
        child = os.fork()
        if not child:
            try:
                script(make(folder, 4), lambda number: shared.__setitem__(slice(0, 8), number.to_bytes(8, "little")))
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        assert os.WTERMSIG(status) == signal.SIGKILL
        done = int.from_bytes(shared[:8], "little")
        check(folder, done, done + 40)


def test_a_kill_at_random_instants(tmp_path: Path) -> None:
    """A writer killed at any instant leaves a log that reads up to its last packet; what a call stored is there."""
    random_instant = random.Random(5)
    shared = mmap.mmap(-1, 4096)
    kills = amount("KILLS", 100)
    logged = 0
    for kill in range(kills):
        shared[:8] = bytes(8)
        folder = tmp_path / str(kill)
        child = os.fork()
        if not child:
            try:
                writer = make(folder, 8)
                text = "".join(random_instant.choices("abcdef", k=200))
                number = 0
                while True:
                    writer.log(0, 0, 5, f"{number} {text[: number % 200]}")
                    number += 1
                    shared[:8] = number.to_bytes(8, "little")
            finally:
                os._exit(1)
        time.sleep(random_instant.uniform(0.001, 0.015))
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        # Read while the count was being stored, it can be torn itself: only a small one is sure.
        done = int.from_bytes(shared[:8], "little")
        if not folder.exists() or not any(folder.iterdir()):
            assert not done
            continue
        found: list[Finding] = []
        packets = read(folder) if done else read(folder, found)
        numbers = [packet.number for packet in packets]
        assert [int(packet.text.split(" ")[0]) for packet in packets] == numbers
        assert [len(packet.text.split(" ")[1]) for packet in packets] == [number % 200 for number in numbers]
        if numbers:
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert done <= (numbers[-1] + 1 if numbers else 0) <= done + 1
        logged += done
        for path in folder.iterdir():
            if done:
                (info,) = buffer_infos(path)
                assert info.stored == numbers[-1] + 1
            path.unlink()
    assert logged > kills
