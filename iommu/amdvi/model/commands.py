"""Carrying out commands, AMD 48882 2.4. Every command is complete when the write of the tail returns."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import IommuError
from ...platform import Memory
from ..layout.queues import (
    COMMANDS,
    Command,
    CommandHardwareError,
    CompletionWait,
    Event,
    IllegalCommandError,
    InvalidateDevtabEntry,
    InvalidateInterruptTable,
    InvalidateIommuAll,
    InvalidateIommuPages,
    InvalidateIotlbPages,
    PrefetchIommuPages,
)
from ..layout.registers import CmdBufBase, CmdBufHead, CmdBufTail, Control, Status
from ..names import EventCode
from .caches import Caches
from .device import hardware_error
from .events import EventLog, ring_size
from .hardware import Hardware
from .registers import RegisterFile

_ONES = (1 << 63) - (1 << 12)
"""Address[62:12]: with all of them set, an invalidation is for all addresses."""


class IllegalCommand(Exception):  # noqa: N818 - as `Fault`
    """A command that the unit does not know or does not have, or with reserved bits set."""


class CommandProcessor:
    """The part of a unit that takes commands; it runs while Status.CmdBufRun is set."""

    def __init__(
        self,
        memory: Memory,
        hardware: Hardware,
        registers: RegisterFile,
        caches: Caches,
        events: EventLog,
        notify: Callable[[], None],
    ) -> None:
        """Take commands from `memory`, and carry them out on `caches`."""
        self._memory = memory
        self._hardware = hardware
        self._registers = registers
        self._caches = caches
        self._events = events
        self._notify = notify
        self.device_tlbs: list[InvalidateIotlbPages] = []
        """Commands for the caches of devices, which are not modelled."""

    def run(self) -> None:
        """Carry out commands up to the tail, or up to one that stops the unit."""
        registers = self._registers
        base = registers.get(CmdBufBase)
        size = ring_size(base.ComLen, Command.size)
        tail = registers.get(CmdBufTail).CmdTailPtr % size
        head = registers.get(CmdBufHead).CmdHdPtr % size
        while registers.get(Status).CmdBufRun and head != tail:
            place = base.ComBase + head
            try:
                raw = int.from_bytes(self._memory.read(place, Command.size), "little")
                self._carry_out(raw)
            except IllegalCommand:
                self._stop(
                    IllegalCommandError(EventCode=EventCode.ILLEGAL_COMMAND_ERROR, CommandAddress=place)
                )  # fmt: skip
            except IommuError as error:
                code, kind = EventCode.COMMAND_HARDWARE_ERROR, hardware_error(error)
                self._stop(CommandHardwareError(EventCode=code, Type=kind, CommandAddress=place))
            else:
                head = (head + Command.size) % size
                registers.set(CmdBufHead(CmdHdPtr=head))

    def _stop(self, event: Event) -> None:
        self._registers.set(self._registers.get(Status).replace(CmdBufRun=0))
        self._events.record(event)

    def _carry_out(self, raw: int) -> None:
        layout = COMMANDS.get(Command(raw).Opcode)
        if layout is None:
            raise IllegalCommand
        command = layout(raw)
        if command.reserved or not self._has(command):
            raise IllegalCommand
        caches = self._caches
        if isinstance(command, CompletionWait):
            self._complete(command)
        elif isinstance(command, InvalidateDevtabEntry):
            caches.drop_device(command.DeviceID)
        elif isinstance(command, InvalidateInterruptTable):
            caches.drop_interrupts(command.DeviceID)
        elif isinstance(command, InvalidateIommuPages):
            start, length = span(command.Address, sized=bool(command.S))
            caches.tlb(command.DomainID).drop(start, length, tables=bool(command.PDE))
        elif isinstance(command, InvalidateIotlbPages):
            self.device_tlbs.append(command)
        elif isinstance(command, InvalidateIommuAll):
            caches.clear()

    def _has(self, command: Command) -> bool:
        """Tell whether the unit has a command, and the guest translation that it may ask for (it never has)."""
        efr = self._hardware.efr
        if isinstance(command, InvalidateIommuAll):
            return bool(efr.IASup)
        if isinstance(command, PrefetchIommuPages):
            return bool(efr.PreFSup) and not command.GN
        if isinstance(command, InvalidateIotlbPages):
            return self._hardware.device_tlbs and not command.GN
        if isinstance(command, InvalidateIommuPages):
            return not command.GN
        return isinstance(command, CompletionWait | InvalidateDevtabEntry | InvalidateInterruptTable)

    def _complete(self, command: CompletionWait) -> None:
        if command.s:
            self._memory.write(command.StoreAddress, command.Data.to_bytes(8, "little"))
        if command.i:
            registers = self._registers
            registers.set(registers.get(Status).replace(ComWaitInt=1))
            if registers.get(Control).ComWaitIntEn:
                self._notify()


def span(address: int, *, sized: bool) -> tuple[int, int]:
    """Return `(start, length)` that an invalidation is for."""
    if not sized:
        return address, 1 << 12
    if address & _ONES == _ONES:
        return 0, 1 << 64
    ones = address >> 12
    shift = 12 + (~ones & ones + 1).bit_length()
    return address & -1 << shift, 1 << shift
