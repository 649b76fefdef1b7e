"""What a log lost of itself before it was read, as notices of faults that were lost.

A ring buffer overwrites its oldest packets. Those of a buffer that is named `faults` were faults, and count. Of another
buffer in which there are faults it cannot be told how many of its lost packets were; that some are lost is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...base import Origin
from ..fault import Clock, Fault

BUFFER = "faults"
"""Name of a buffer that holds nothing but faults."""

MOST_BUFFERS = 4096
"""Buffers of other names that are told apart; of further ones no loss is said."""


class Losses:
    """Turns what buffers lost into notices: one for each gap, a buffer of another name once it had a fault."""

    def __init__(self) -> None:
        """Know no buffer."""
        self._waiting: dict[str, Fault | None] = {}

    def fault_in(self, buffer: str) -> Iterator[Fault]:
        """Note that a buffer holds a fault; yields what was kept back until there is one.

        Args:
            buffer: file and name of the buffer.
        """
        held = self._waiting.get(buffer)
        if held is not None or len(self._waiting) < MOST_BUFFERS:
            self._waiting[buffer] = None
        if held is not None:
            yield held

    def lost_in(
        self, buffer: str, name: str, count: int, time: int, origin: Origin, *, monotonic: bool = False
    ) -> Iterator[Fault]:
        """Yield the notice of packets that a buffer lost, if they may have been faults as far as is known.

        Args:
            buffer: file and name of the buffer.
            name: name of the buffer alone.
            count: packets.
            time: nanoseconds, of the packet after them.
            origin: where that was read.
            monotonic: the time is of the monotonic clock.
        """
        clock: Clock = "boot" if monotonic else "utc"
        alone = name == BUFFER
        reason = "packets of the log were overwritten or damaged before they were read"
        notice = Fault(
            origin, "", driver="slog2", reason=reason if alone else f"{reason}; not all of them need have been faults",
            time=time, clock=clock, lost=True, count=count if alone else 0,
            facts=() if alone else (("packets", count),),
        )  # fmt: skip
        if alone or (buffer in self._waiting and self._waiting[buffer] is None):
            yield notice
        elif len(self._waiting) < MOST_BUFFERS:
            self._waiting.setdefault(buffer, notice)
