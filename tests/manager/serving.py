"""A service in a thread of this process, so that the models behind it can be asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from iommuman.manager import GRANULE, Ability, Access, Client, Manager, ManagerError, simulate
from iommuman.manager import calls as c
from iommuman.manager import protocol as p
from iommuman.manager.access_list import AccessList, Allow
from iommuman.manager.holdings import Level
from iommuman.manager.listener import Listener
from iommuman.manager.service import Service, ServiceLimits
from iommuman.manager.state import StateFile
from iommuman.topology import Topology, load_topology

from tests.conftest import BOARDS, HANDMADE
from tests.manager.watch import Reached, by_page, reached

RW = Access.READ | Access.WRITE
BASE = 0x80000000
SCSI, NVME, SHARED, SHARING = "0000:00:03.0", "0000:41:00.0", "0000:02:01.0", "0000:02:02.0"

PAGES = [0x80000000 + page * GRANULE for page in range(-1, 9)]
"""Where tests grant memory, and one page before and after it."""

EVERYTHING = AccessList((Allow(os.geteuid(), None, frozenset({"attach", "target", "dma"})),))
"""The user that runs the tests may do everything."""

_Value = TypeVar("_Value")


@cache
def topology(name: str) -> Topology:
    """Return the topology of a board of the fixtures."""
    folder = BOARDS / name
    return load_topology([str(folder if folder.is_dir() else HANDMADE / name)])


class Serving:
    """A running service; a context manager that stops it.

    Attributes:
        path: of the socket.
        machine: the board.
        manager: of the board; ask it in the service's thread only, with `ask`.
        lines: what has been logged.
        failure: what `run` raised.
    """

    def __init__(self, folder: Path, board: str = "q35-vtd", *, state: Path | None = None, **options: Any) -> None:
        self.path = str(folder / "s")
        self.machine = simulate(topology(board))
        self.manager = Manager(topology(board), self.machine.ports, self.machine.private)
        self.lines: list[tuple[Level, str]] = []
        self.failure: ManagerError | None = None
        file = None if state is None else StateFile(str(state), self.manager)
        given: dict[str, Any] = {"access": EVERYTHING, "limits": ServiceLimits(seconds=0.5, poll=0.01)} | options
        self.service = Service(
            self.manager, self.machine, state=file, log=lambda *line: self.lines.append(line), **given
        )
        self.listener = Listener(self.path)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._ready.wait(10)

    def _serve(self) -> None:
        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._ready.set)
            await self.service.run(self.listener.socket)

        try:
            asyncio.run(run())
        except ManagerError as error:
            self.failure = error
        self.listener.close()

    def ask(self, question: Callable[[], _Value]) -> _Value:
        """Return what a function returns in the service's thread, between two of its calls."""
        assert self._loop is not None
        answer: Future[_Value] = Future()

        def put() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(put)
        return answer.result(20)

    def reach(self, device: str, pages: Iterable[int] = PAGES) -> Reached:
        """Return what the models let a device reach at some pages."""
        places = self.manager.survey.members[device].endpoints
        return self.ask(lambda: {at: to for place in places for at, to in reached(self.machine, place, pages).items()})

    def open_devices(self, pages: Iterable[int] = PAGES) -> set[str]:
        """Return the devices that reach any of some pages."""
        return {name for name in self.manager.survey.members if self.reach(name, pages)}

    def clients(self) -> int:
        """Return how many clients the manager has."""
        return self.ask(lambda: len(self.manager._clients))

    def connect(self, name: str, *abilities: Ability, **options: Any) -> Client:
        """Return a client of it."""
        return Client.connect(self.path, name, ("attach", *abilities), **options)

    def stop(self) -> None:
        """Stop it as a signal would."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self.service.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def dial(serving: Serving, name: str = "") -> socket.socket:
    """Return a plain connection; with a name, an attached one."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(10)
    made.connect(serving.path)
    if name:
        made.sendall(p.request(0, c.Attach(1, name, ("attach",))))
        assert answer(made)["result"] == {"objects": []}
    return made


def answer(connection: socket.socket) -> dict[str, object]:
    """Return the next message of the service."""
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        piece = connection.recv(1)
        if not piece:
            raise EOFError
        data += piece
    found: dict[str, object] = json.loads(data[4:])
    return found


def gone(connection: socket.socket) -> bool:
    """Tell whether the service has ended a connection, after what it had to say."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return True


def grant(client: Client, device: str, start: int = BASE, length: int = 0x1000) -> int:
    """Grant a device memory, and return the object."""
    number = client.create_object()
    client.add_device(number, device, together=True)
    client.map(number, [(start, length)], RW)
    return number


def assert_reach_is_granted(serving: Serving) -> None:
    """Hold what the models let every device reach to what its object grants, between two calls."""

    def check() -> None:
        for name, member in serving.manager.survey.members.items():
            place = serving.manager.object_of(name)
            granted = {} if place is None else by_page(place.granted(member), PAGES)
            for endpoint in member.endpoints:
                assert reached(serving.machine, endpoint, PAGES) == granted, name

    serving.ask(check)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file or folder belong to another user than this one and root; only root can do so in earnest."""
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
    else:
        os.chown(path, 12345, -1)


def refused(call: Callable[..., object], *arguments: Any, **options: Any) -> ManagerError:
    """Return the error that a call is refused with."""
    with pytest.raises(ManagerError) as caught:
        call(*arguments, **options)
    return caught.value


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
