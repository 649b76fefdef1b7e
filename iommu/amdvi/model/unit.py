"""A unit: registers in front, translation and interrupt remapping behind."""

from __future__ import annotations

from collections.abc import Callable

from ...platform import Memory
from ..layout import registers as layout
from ..layout.queues import IoPageFault
from .caches import Caches
from .commands import CommandProcessor
from .device import Request
from .events import EventLog
from .hardware import Hardware
from .interrupt_remapping import remap
from .registers import RegisterFile
from .requests import READ, WRITE, Blocked, Fault, Interrupt, Untouched
from .translation import Tables, Translator


class Unit:
    """The model of one AMD-Vi unit; attach it to a `Simulated` platform at its register base.

    Attributes:
        memory: where its tables and queues are.
        hardware: what the unit is.
        registers: its registers.
        caches: what it remembers.
        tables: what its registers say of translation.
        commands: its command processor.
    """

    def __init__(
        self, memory: Memory, hardware: Hardware | None = None, notify: Callable[[], None] | None = None
    ) -> None:
        """Make a unit in its state after reset.

        Args:
            memory: where its tables and queues are.
            hardware: its features.
            notify: called for the interrupt that the unit itself raises.
        """
        self.memory = memory
        self.hardware = hardware or Hardware()
        self.registers = RegisterFile(self.hardware)
        self.caches = Caches()
        self.tables = Tables()
        notify = notify or (lambda: None)
        self._events = EventLog(memory, self.registers, notify)
        self.commands = CommandProcessor(memory, self.hardware, self.registers, self.caches, self._events, notify)
        self._translator = Translator(memory, self.hardware, self.caches, self.tables)

    # --- Registers

    def read_register(self, offset: int, size: int) -> int:
        """Return 4 or 8 bytes of the registers."""
        return self.registers.read(offset, size)

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Write 4 or 8 bytes of the registers, with all that follows from it."""
        registers, at = self.registers, offset & -8
        before = registers.get(layout.Control)
        registers.write(offset, value, size)
        if at == layout.Control.offset:
            self._controlled(before)
        elif at == layout.CmdBufBase.offset:
            registers.set(layout.CmdBufHead())
            registers.set(layout.CmdBufTail())
        elif at == layout.EventLogBase.offset:
            registers.set(layout.EventLogHead())
            registers.set(layout.EventLogTail())
        elif at == layout.CmdBufTail.offset:
            self.commands.run()
        elif at == layout.DevTabBase.offset:
            self.tables.devices = registers.get(layout.DevTabBase)
        elif at in (layout.ExclusionBase.offset, layout.ExclusionLimit.offset):
            self._exclude()

    def _controlled(self, before: layout.Control) -> None:
        """Follow a write of the control register: what is enabled starts, what is disabled stops."""
        registers = self.registers
        now, status = registers.get(layout.Control), registers.get(layout.Status)
        self.tables.translating = bool(now.IommuEn)
        logging, logged = now.IommuEn & now.EventLogEn, before.IommuEn & before.EventLogEn
        taking, took = now.IommuEn & now.CmdBufEn, before.IommuEn & before.CmdBufEn
        if logging != logged:
            status.EventLogRun = logging & ~status.EventOverflow
        if taking != took:
            status.CmdBufRun = taking
        registers.set(status)
        self.commands.run()

    def _exclude(self) -> None:
        base, limit = self.registers.get(layout.ExclusionBase), self.registers.get(layout.ExclusionLimit)
        self.tables.exclusion = (base.Base, limit.Limit + 0x1000) if base.ExEn else (0, 0)
        self.tables.everybody = bool(base.Allow)

    # --- DMA

    def translate(self, device: int, address: int, access: int = READ) -> int | Blocked:
        """Return the host address of a DMA request, or how it was blocked, which the event log then knows too.

        Args:
            device: device ID, 16 bits.
            address: 64-bit address of the request.
            access: `READ`, `WRITE` or `ATOMIC`.
        """
        request = Request(device, address, access)
        try:
            return self._translator.translate(request, cached=True)
        except Fault as fault:
            return self._blocked(request, fault)

    def walk(self, device: int, address: int, access: int = READ) -> int | Blocked:
        """Return what `translate` would with nothing remembered; leaves no trace in memory, caches or event log."""
        return self._looked(Request(device, address, access), cached=False)

    def look(self, device: int, address: int, access: int = READ) -> int | Blocked:
        """Return what `translate` would, with what is remembered, but leave no trace in the event log."""
        return self._looked(Request(device, address, access), cached=True)

    def _looked(self, request: Request, *, cached: bool) -> int | Blocked:
        try:
            return self._translator.translate(request, cached=cached)
        except Fault as fault:
            return Blocked(fault.event)

    # --- Interrupts

    def interrupt(self, device: int, address: int, data: int) -> Interrupt | Untouched | Blocked:
        """Return what becomes of a 32-bit write of `data` to 0xFEExxxxx by `device`."""
        control = self.registers.get(layout.Control)
        request = Request(device, address, WRITE, interrupt=True)
        try:
            return remap(self._translator, request, data, wide=bool(control.GAEn), extended=bool(control.XTEn))
        except Fault as fault:
            return self._blocked(request, fault)

    def _blocked(self, request: Request, fault: Fault) -> Blocked:
        event = fault.event
        if event is None:
            return Blocked(None)
        if isinstance(event, IoPageFault):
            context = self.caches.devices.get(request.device)
            once = context is not None and context.once and not request.interrupt
            if fault.silent or (once and request.device in self.caches.reported):
                return Blocked(event)
            if once:
                self.caches.reported.add(request.device)
        self._events.record(event)
        return Blocked(event, recorded=True)
