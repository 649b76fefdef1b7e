"""What goes into a unit and what comes out: kinds of access, refusals, interrupts."""

from __future__ import annotations

from dataclasses import dataclass

from ..names import Reason

ZERO_LENGTH = 0
READ = 1
WRITE = 2
ATOMIC = READ | WRITE
EXECUTE = 4 | READ
PAGE_REQUEST = 8

INTERRUPT_RANGE = 0xFEE
"""Address bits 63:20 of the range that holds interrupt messages."""


class Fault(Exception):  # noqa: N818 - the specification's word
    """A condition that stops a request; raised and caught inside the model."""

    def __init__(self, reason: Reason | None, *, silent: bool = False) -> None:
        """Stop for a reason; None where the specification defines no record. `silent`: an entry has FPD set."""
        super().__init__(reason)
        self.reason = reason
        self.silent = silent


@dataclass(frozen=True, slots=True)
class Blocked:
    """A request that was refused.

    Attributes:
        reason: why; None when protected memory or abort mode refuses, which leaves no record.
        recorded: a fault was handed to the fault log (which may still have lost it).
    """

    reason: Reason | None
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class Interrupt:
    """An interrupt that goes on to a processor.

    Attributes:
        vector: interrupt vector.
        destination: APIC ID, 8 bits, or 32 in x2APIC mode.
        delivery_mode: as in the local APIC (0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT).
        logical: destination mode.
        redirection_hint: redirection hint.
        level: trigger mode.
    """

    vector: int
    destination: int
    delivery_mode: int = 0
    logical: bool = False
    redirection_hint: bool = False
    level: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """An interrupt that was posted into memory.

    Attributes:
        descriptor: address of the posted interrupt descriptor.
        vector: virtual vector that is now requested there.
        notification: the interrupt that tells the processor, None when one is outstanding or suppressed.
    """

    descriptor: int
    vector: int
    notification: Interrupt | None


@dataclass(frozen=True, slots=True)
class Untouched:
    """An interrupt of compatibility format that passes unchanged.

    Attributes:
        address: address of the message.
        data: its data.
    """

    address: int
    data: int
