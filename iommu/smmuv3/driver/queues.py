"""The command queue, which the driver fills, and the event queue, which it empties (IHI 0070 clause 3.5)."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import failure
from ...platform import PageAllocator, Platform, read_register, write_register
from ..layout.queues import Command, Event, Sync
from ..layout.registers import (
    CMDQ_BASE,
    CMDQ_CONS,
    CMDQ_PROD,
    EVENTQ_BASE,
    EVENTQ_CONS,
    EVENTQ_PROD,
    GERROR,
    GERRORN,
)
from ..names import CommandError, Opcode
from ..records import EventRecord, decode_event

POLLS = 10_000
"""How often a register is read before the hardware is given up."""


class CommandQueue:
    """Commands in memory, consumed by hardware.

    Attributes:
        syncs: number of CMD_SYNC waited for since the queue was made.
    """

    def __init__(self, platform: Platform, base: int, allocator: PageAllocator, log2size: int, part: str) -> None:
        """Take memory for 2^log2size commands."""
        self._platform = platform
        self._registers = base
        self._log2size = log2size
        self._part = part
        size = Command.size << log2size
        self._memory = allocator.allocate(size, max(size, 4096))
        self._prod = 0
        self.syncs = 0
        self.running = False

    def program(self) -> None:
        """Tell the hardware where the queue is; the queue must be disabled."""
        self._prod = 0
        where = CMDQ_BASE(RA=1, ADDR=self._memory, LOG2SIZE=self._log2size)
        write_register(self._platform, self._registers, where)
        write_register(self._platform, self._registers, CMDQ_PROD(0))
        write_register(self._platform, self._registers, CMDQ_CONS(0))

    def run(self, commands: Iterable[Command]) -> None:
        """Have commands carried out and wait until their effect is complete.

        Raises `IommuError`: `SMMU-COMMAND` when the hardware refuses one, `SMMU-TIMEOUT` when it does not answer. Does
        nothing while the queue does not run: the hardware caches nothing then.
        """
        if not self.running:
            return
        # One place stays free, so that the batch and its CMD_SYNC never have to wait for more than one round.
        most = (1 << self._log2size) - 1
        batch: list[Command] = []
        for command in commands:
            batch.append(command)
            if len(batch) == most:
                self._submit(batch)
                batch = []
        self._submit([*batch, Sync(Opcode=Opcode.SYNC)])
        self.syncs += 1

    def _submit(self, batch: list[Command]) -> None:
        """Write commands, show them to the hardware, and wait until it has consumed them."""
        wrap = 1 << self._log2size
        for command in batch:
            self._platform.write(self._memory + (self._prod & wrap - 1) * Command.size, bytes(command))
            self._prod = (self._prod + 1) & 2 * wrap - 1
        write_register(self._platform, self._registers, CMDQ_PROD(WR=self._prod))
        for _ in range(POLLS):
            cons = read_register(self._platform, self._registers, CMDQ_CONS)
            if self._prod == cons.RD:
                return
            errors = read_register(self._platform, self._registers, GERROR).value
            errors ^= read_register(self._platform, self._registers, GERRORN).value
            if errors & GERROR.CMDQ_ERR.mask:
                self._recover(cons)
        raise failure("SMMU-TIMEOUT", "commands are not consumed", self._part, field="CMDQ_CONS.RD")

    def _recover(self, cons: CMDQ_CONS) -> None:
        """Empty the queue after an error by turning what is left into CMD_SYNC, and raise."""
        wrap = 1 << self._log2size
        harmless = bytes(Sync(Opcode=Opcode.SYNC))
        at = cons.RD
        while at != self._prod:
            self._platform.write(self._memory + (at & wrap - 1) * Command.size, harmless)
            at = (at + 1) & 2 * wrap - 1
        acknowledged = read_register(self._platform, self._registers, GERRORN)
        acknowledged.value ^= GERROR.CMDQ_ERR.mask
        write_register(self._platform, self._registers, acknowledged)
        raise failure(
            "SMMU-COMMAND",
            "the SMMU refused a command",
            self._part,
            field="CMDQ_CONS.ERR",
            found=CommandError(cons.ERR).name if cons.ERR in CommandError._value2member_map_ else f"0x{cons.ERR:x}",
            clause="IHI 0070 7.1",
        )


class EventQueue:
    """Events in memory, produced by hardware."""

    def __init__(self, platform: Platform, base: int, allocator: PageAllocator, log2size: int) -> None:
        """Take memory for 2^log2size events."""
        self._platform = platform
        self._registers = base
        self._log2size = log2size
        size = Event.size << log2size
        self._memory = allocator.allocate(size, max(size, 4096))
        self._cons = EVENTQ_CONS(0)

    def program(self) -> None:
        """Tell the hardware where the queue is; the queue must be disabled."""
        self._cons = EVENTQ_CONS(0)
        where = EVENTQ_BASE(WA=1, ADDR=self._memory, LOG2SIZE=self._log2size)
        write_register(self._platform, self._registers, where)
        write_register(self._platform, self._registers, EVENTQ_PROD(0))
        write_register(self._platform, self._registers, self._cons)

    def take(self) -> tuple[list[EventRecord], bool]:
        """Return the events since the last call, and whether some were lost."""
        prod = read_register(self._platform, self._registers, EVENTQ_PROD)
        wrap = 1 << self._log2size
        records = []
        at = self._cons.RD
        while at != prod.WR & 2 * wrap - 1:
            raw = self._platform.read(self._memory + (at & wrap - 1) * Event.size, Event.size)
            records.append(decode_event(raw))
            at = (at + 1) & 2 * wrap - 1
        lost = prod.OVFLG != self._cons.OVACKFLG
        if records or lost:
            self._cons = EVENTQ_CONS(RD=at, OVACKFLG=prod.OVFLG)
            write_register(self._platform, self._registers, self._cons)
        return records, lost
