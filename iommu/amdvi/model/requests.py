"""What goes into a unit and what comes out: kinds of access, refusals, interrupts."""

from __future__ import annotations

from dataclasses import dataclass

from ..layout.queues import Event

READ = 1
WRITE = 2
ATOMIC = READ | WRITE

INTERRUPT_RANGE = 0xFEE
"""Address bits 63:20 of the range that holds interrupt messages."""


class Fault(Exception):  # noqa: N818 - as in the other models
    """A condition that stops a request; raised and caught inside the model."""

    def __init__(self, event: Event | None, *, silent: bool = False) -> None:
        """Stop with an event; None where the model knows none. `silent`: a table entry says that it is not logged."""
        super().__init__(event)
        self.event = event
        self.silent = silent


@dataclass(frozen=True, slots=True)
class Blocked:
    """A request that was refused.

    Attributes:
        event: the event that says why; None where the model knows none.
        recorded: it was handed to the event log (which may still have lost it).
    """

    event: Event | None
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Interrupt:
    """An interrupt that goes on to a processor.

    Attributes:
        vector: interrupt vector.
        destination: APIC ID, 8 bits, or 32 with Control.XTEn.
        type: `IntType`.
        logical: destination mode.
        request_eoi: the end of the interrupt is to be told.
    """

    vector: int
    destination: int
    type: int = 0
    logical: bool = False
    request_eoi: bool = False


@dataclass(frozen=True, slots=True)
class Untouched:
    """An interrupt that passes unchanged.

    Attributes:
        address: address of the message.
        data: its data.
    """

    address: int
    data: int
