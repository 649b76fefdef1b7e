"""Refused accesses on their way to clients: attributed, kept for each client, told once.

The rules are libsmmu's (`smmu_xfer_notify`, `smmu_xfer_status`): a client that has asked to be told once keeps being
given records, 64 at most; after that new ones are dropped, and the next one read says so. Being told is one-shot. There
is no history: what happened before a client first asked is never told to it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from .ports import Refusal

MOST_STORED = 64
"""Records kept for a client that does not read them."""

Notice = Callable[[], None]
"""Called once when there is something to read."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One refused access (libsmmu: `struct smmu_status`).

    Attributes:
        time: when the manager took the record, in nanoseconds since 1970.
        refusal: what the unit recorded: ID, address, access, reason, raw record (libsmmu: `hw_specific`,
            `fault_addr`).
        devices: names of the devices that send this ID; several cannot be told apart by the unit, and it is not said
            which of them it was. None: an ID that no known device has.
        object: identifier of the object that the ID belonged to; None when it was granted nothing.
        dropped: records were lost between the last one read and this one (libsmmu: `SSF_DROPPED_FAULTS`), by this
            client's list being full or by the unit itself.
    """

    time: int
    refusal: Refusal
    devices: tuple[str, ...]
    object: int | None
    dropped: bool = False

    def __str__(self) -> str:
        """Say it in one line."""
        refusal = self.refusal
        who = " or ".join(self.devices) or "a device that nobody knows"
        identifier = "" if refusal.identifier is None else f" (ID 0x{refusal.identifier:x} of {refusal.unit})"
        what = refusal.access or "access"
        where = "" if refusal.address is None else f" of 0x{refusal.address:x}"
        return f"{who}{identifier}: {what}{where} refused: {refusal.reason}"


class Inbox:
    """The records kept for one client."""

    __slots__ = ("_dropped", "_notice", "_records", "listening")

    def __init__(self) -> None:
        """Keep nothing until `arm` is called for the first time."""
        self._records: deque[Incident] = deque()
        self._notice: Notice | None = None
        self._dropped = False
        self.listening = False

    def arm(self, notice: Notice) -> None:
        """Have `notice` called once, at the next record; at once when one is kept already."""
        self.listening = True
        self._notice = notice
        if self._records:
            self._tell()

    def deliver(self, incident: Incident) -> None:
        """Keep a record, or drop it when there are too many, and tell the client."""
        if not self.listening:
            return
        if len(self._records) >= MOST_STORED:
            self._dropped = True
        else:
            self._records.append(incident)
        self._tell()

    def lose(self) -> None:
        """Note that the unit lost records: the next one read says so."""
        if self.listening:
            self._dropped = True

    def take(self) -> Incident | None:
        """Return the oldest record and forget it; None when there is none."""
        if not self._records:
            return None
        incident = self._records.popleft()
        dropped, self._dropped = self._dropped, False
        return replace(incident, dropped=True) if dropped else incident

    def _tell(self) -> None:
        notice, self._notice = self._notice, None
        if notice is not None:
            notice()
