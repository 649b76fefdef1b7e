"""Many client processes at once, killed at random: nothing is lost, nothing is left open."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from iommuman.manager import Incident

from tests.manager.serving import Serving, assert_reach_is_granted, until

PROCESSES = int(os.environ.get("IOMMUMAN_STRESS_PROCESSES", "4"))
"""Client processes at once; 50 is what the project asks of itself."""

SECONDS = float(os.environ.get("IOMMUMAN_STRESS_SECONDS", "2"))
"""How long they are killed and replaced; 300 is what the project asks of itself."""

BUSY = """
import random, sys, time
from iommuman.manager import Access, Client, ManagerError
client = Client.connect(sys.argv[1], sys.argv[2], ("attach", "target", "dma"))
print("ready", flush=True)
source = random.Random(sys.argv[2])
devices = ["00:03.0", "00:04.0", "00:04.1", "01:00.0", "02:01.0", "05:00.0", "08:01.0", "41:00.0"]
objects = [client.create_object() for _ in range(3)]
while True:
    number = source.choice(objects)
    start = 0x80000000 + 4096 * source.randrange(8)
    try:
        what = source.randrange(6)
        if what == 0:
            client.add_device(number, source.choice(devices), together=True)
        elif what == 1:
            client.map(number, [(start, 4096 * source.randrange(1, 3))], Access(source.randrange(1, 4)))
        elif what == 2:
            client.map(number, [(start, 8192)], Access.NONE)
        elif what == 3:
            client.map(number, [(start, 4096)], Access.READ, target=0x40000000)
        elif what == 4:
            client.dma(source.choice(devices), start, write=bool(source.randrange(2)))
        else:
            client.destroy_object(number)
            objects[objects.index(number)] = client.create_object()
    except ManagerError as error:
        if error.reason == "ENOTCONN":
            raise
    time.sleep(source.random() / 100)
"""


class Witness:
    """A client that owns nothing and reads everything."""

    def __init__(self, serving: Serving) -> None:
        self.seen: list[Incident] = []
        self._client = serving.connect("witness")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        woken = threading.Event()
        while True:
            woken.clear()
            last = self._end.is_set()
            self._client.notify(woken.set)
            while (found := self._client.status()) is not None:
                self.seen.append(found)
            if last:
                return
            woken.wait(0.05)

    def stop(self) -> None:
        """Read what is left, and go."""
        self._end.set()
        self._thread.join()
        self._client.close()


def test_clients_killed_at_random_lose_nothing_and_leave_nothing_open(tmp_path: Path) -> None:
    """Clients that fight for devices are killed at moments of chance, and others come.

    After each death the models let every device reach what its living owner was granted, and nothing else. A witness
    is told of every access that was refused. In the end nothing is open.
    """
    source = random.Random(6)
    logged: list[Incident] = []
    with Serving(tmp_path) as serving:
        serving.ask(lambda: serving.manager.sinks.append(logged.append))
        witness = Witness(serving)
        until(lambda: serving.clients() == 1)
        before = len(logged)
        processes = [start(serving, f"busy {number}") for number in range(PROCESSES)]
        count, end = PROCESSES, time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(source.random() / 5)
            kill(processes.pop(source.randrange(len(processes))))
            assert_reach_is_granted(serving)
            processes.append(start(serving, f"busy {count}"))
            count += 1
        for process in processes:
            kill(process)
        until(lambda: serving.clients() == 1)
        assert serving.open_devices() == set()
        witness.stop()
        until(lambda: serving.clients() == 0)
        assert serving.failure is None
    assert len(logged) > before
    if not any(one.dropped for one in witness.seen):
        assert [(one.time, one.refusal) for one in witness.seen] == [(one.time, one.refusal) for one in logged]


def start(serving: Serving, name: str) -> subprocess.Popen[bytes]:
    """Start a busy client, and wait until it is attached."""
    process = subprocess.Popen([sys.executable, "-c", BUSY, serving.path, name], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a client, which must not have ended by itself."""
    assert process.poll() is None
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
