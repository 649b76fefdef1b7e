"""Writing the event log: a ring in memory, its overflow, and the interrupt that tells of it, AMD 48882 2.5."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import IommuError
from ...platform import Memory
from ..layout.queues import Event
from ..layout.registers import Control, EventLogBase, EventLogHead, EventLogTail, Status
from .registers import RegisterFile

_LEAST, _MOST = 8, 15
"""Log2 of the entries of a log or a buffer: what is less or more counts as the least."""


def ring_size(length: int, size: int) -> int:
    """Return the bytes of a ring whose base register says 2^`length` entries of `size` bytes."""
    return size << (length if _LEAST <= length <= _MOST else _LEAST)


class EventLog:
    """The event log of a unit; it runs while Status.EventLogRun is set."""

    def __init__(self, memory: Memory, registers: RegisterFile, notify: Callable[[], None]) -> None:
        """Keep the log in `memory`; `notify` raises the unit's interrupt."""
        self._memory = memory
        self._registers = registers
        self._notify = notify

    def record(self, event: Event) -> None:
        """Take an event in, unless the log does not run or has no room."""
        registers = self._registers
        status = registers.get(Status)
        if not status.EventLogRun:
            return
        base = registers.get(EventLogBase)
        size = ring_size(base.EventLen, Event.size)
        tail = registers.get(EventLogTail).EventTailPtr % size
        following = (tail + Event.size) % size
        if following == registers.get(EventLogHead).EventHdPtr % size:
            registers.set(status.replace(EventOverflow=1, EventLogRun=0))
        else:
            try:
                self._memory.write(base.EventBase + tail, bytes(event))
            except IommuError:
                return  # there is no place left to tell of it
            registers.set(EventLogTail(EventTailPtr=following))
            registers.set(status.replace(EventLogInt=1))
        if registers.get(Control).EventIntEn:
            self._notify()
