"""What a service before this one granted: kept from others until its clients come back, or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from .errors import ManagerError
from .manager import Manager
from .state import ClientRecord, StateFile

Level = Literal["info", "warning", "error", "critical"]
Log = Callable[[Level, str], None]
"""Takes a line for the log."""


class Holdings:
    """Grants that nobody has taken up yet, and the state file that remembers those that somebody has.

    What is held is denied: its devices are in objects without memory, whose only purpose is that nobody else has them.
    """

    def __init__(self, manager: Manager, state: StateFile | None, grace: float, log: Log) -> None:
        """Hold what a state file says, for `grace` seconds; of one that is not believed, say so and hold nothing."""
        self._manager = manager
        self._state = state
        self._log = log
        self._held: dict[tuple[str, int], tuple[int, ClientRecord]] = {}
        self._live: dict[int, str] = {}
        self._end = time.monotonic() + grace
        if state is not None:
            self._hold(state)

    def _hold(self, state: StateFile) -> None:
        try:
            records = state.load()
        except ManagerError as error:
            self._log("error", str(error))
            return
        for one in records:
            client = self._manager.attach(one.name)
            try:
                for held in one.objects:
                    number = self._manager.create_object(client, manual_reserved=True)
                    self._manager.add_devices(client, number, held.devices)
            except ManagerError as error:
                self._manager.detach(client)
                self._log("error", f"the grants of {one.name!r} are not held: {error}")
                continue
            self._held[one.name, one.uid] = client, one
            self._log("info", f"grants of {one.name!r} (user {one.uid}) are held, and denied, until it comes back")

    @property
    def remembers(self) -> bool:
        """Whether there is a state file."""
        return self._state is not None

    def claim(self, name: str, uid: int) -> ClientRecord | None:
        """Return what is held for a client that has come back, and hold it no more; its devices are still denied."""
        client, record = self._held.pop((name, uid), (0, None))
        if record is not None:
            self._manager.detach(client)
        return record

    def expire(self) -> None:
        """Hold nothing any more when time is up."""
        if self._held and time.monotonic() >= self._end:
            for (name, uid), (client, _) in self._held.items():
                self._manager.detach(client)
                self._log("warning", f"{name!r} (user {uid}) has not come back: its grants are forgotten")
            self._held.clear()
            self.write()

    def note(self, client: int, record: ClientRecord | None) -> None:
        """Remember what a client has been granted, in the file before anybody is told; None: nothing any more."""
        if record is None or not record.objects:
            if self._live.pop(client, None) is None:
                return
        else:
            self._live[client] = record.packed()
        self.write()

    def write(self) -> None:
        """Write the state file; a failure is said, and costs the next service its memory, and nobody a grant."""
        if self._state is None:
            return
        held = [record.packed() for _, record in self._held.values()]
        try:
            self._state.write([*held, *self._live.values()])
        except OSError as error:
            self._log("error", f"{self._state.path} cannot be written, so nothing of it may be held: {error.strerror}")
