"""Faults as messages of systemd's journal, for `faults` and `run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..faults import Fault
    from ..logging_backend.values import Value

JOURNALD = "journald"


def is_journal(text: str) -> bool:
    """Tell whether a place to write faults to is the journal: `journald`, or `journald:SOCKET`."""
    kind, colon, path = text.partition(":")
    return kind == JOURNALD and bool(path) == bool(colon)


class FaultJournal:
    """Sends faults to a journal's socket.

    Raises Slog2Error when the socket cannot be reached.

    Attributes:
        path: of the socket.
    """

    def __init__(self, where: str, *, wait: bool = True) -> None:
        """Connect, to the socket of `journald:SOCKET` or to that of this machine; `wait` for one that is busy."""
        from ..logging_backend.journald import DEFAULT_SOCKET, JournalSender

        _, _, path = where.partition(":")
        self.path = Path(path) if path else DEFAULT_SOCKET
        self._sender = JournalSender(self.path, wait=wait)

    def send(self, fault: Fault) -> int:
        """Send a fault; returns 0 or the number of the error."""
        from ..faults.report.out import to_slog2
        from ..logging_backend.journald import message
        from ..logging_backend.names import SYSLOG_SEVERITIES

        _, severity, text, fields = to_slog2(fault)
        own = {"MESSAGE": text, "PRIORITY": str(SYSLOG_SEVERITIES[severity]), "SYSLOG_IDENTIFIER": "iommuman"}
        return self._sender.send_message(message(own, cast("Mapping[str, Value]", fields)))

    def close(self) -> None:
        """Close the socket."""
        self._sender.close()
