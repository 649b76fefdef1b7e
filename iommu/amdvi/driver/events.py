"""The event log: reading what the unit had to report, AMD 48882 2.5."""

from __future__ import annotations

from dataclasses import dataclass

from ...platform import PageAllocator
from ..layout.queues import Event
from ..layout.registers import Control, EventLogBase, EventLogHead, EventLogTail, Status
from ..records import EventRecord, decode_event
from .access import UnitAccess

LOG2_ENTRIES = 8
_SIZE = Event.size << LOG2_ENTRIES


@dataclass(frozen=True, slots=True)
class Events:
    """What the unit had to report.

    Attributes:
        records: events, the oldest first.
        lost: more came than there was room for; how many is not known.
    """

    records: tuple[EventRecord, ...]
    lost: bool


class EventLog:
    """Events in memory, written by the unit."""

    def __init__(self, unit: UnitAccess, pages: PageAllocator) -> None:
        """Take memory for the log."""
        self._unit = unit
        self._memory = pages.allocate(_SIZE)
        self._head = 0

    def program(self) -> None:
        """Tell the unit where the log is; one that firmware left running is stopped before."""
        unit = self._unit
        unit.control(EventLogEn=0)
        unit.await_status(Status.EventLogRun, 0)
        unit.write(EventLogBase(EventBase=self._memory, EventLen=LOG2_ENTRIES))
        unit.write(EventLogHead())
        unit.write(EventLogTail())
        unit.write(Status(EventOverflow=1, EventLogInt=1))

    def take(self) -> Events:
        """Return the events since the last call, and start again where the log had overflowed."""
        unit = self._unit
        lost = bool(unit.read(Status).EventOverflow)
        tail = unit.read(EventLogTail).EventTailPtr
        records = []
        while self._head != tail % _SIZE:
            records.append(decode_event(unit.platform.read(self._memory + self._head, Event.size)))
            self._head = (self._head + Event.size) % _SIZE
        if records:
            unit.write(EventLogHead(EventHdPtr=self._head))
        if lost:
            # An overflow stops the log until it is enabled anew.
            enabled = unit.read(Control).EventLogEn
            unit.control(EventLogEn=0)
            unit.await_status(Status.EventLogRun, 0)
            unit.write(Status(EventOverflow=1))
            unit.control(EventLogEn=enabled)
        return Events(tuple(records), lost)
