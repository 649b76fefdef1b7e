"""Event interrupts of a unit: fault, invalidation completion and page request, VT-d 7.5."""

from __future__ import annotations

from collections.abc import Callable

from ..layout import FECTL
from .registers import RegisterFile

SendMessage = Callable[[int, int], None]
"""Takes address and data of a message-signalled interrupt."""


class Event:
    """One of the three events; each has control, data, address and upper address register in a row."""

    def __init__(self, registers: RegisterFile, offset: int, send: SendMessage) -> None:
        """Use the four registers from `offset`."""
        self._registers = registers
        self._offset = offset
        self._send = send

    def raise_(self, *, already: bool = False) -> None:
        """Send the message, or keep it pending while masked; nothing when its cause is being reported `already`."""
        if already:
            return
        control = FECTL(self._registers.raw(self._offset, 4))
        control.IP = 1
        self._registers.put(self._offset, control.value, 4)
        self.deliver()

    def deliver(self) -> None:
        """Send a pending message if it is not masked: after it came up, or software wrote the control register."""
        control = FECTL(self._registers.raw(self._offset, 4))
        if control.IP and not control.IM:
            self._registers.put(self._offset, 0, 4)
            data, address = self._registers.raw(self._offset + 4, 4), self._registers.raw(self._offset + 8, 8)
            self._send(address, data)
