"""A remapping unit: registers in front, translation and interrupt remapping behind."""

from __future__ import annotations

from collections.abc import Callable

from ...platform import Memory
from .. import layout
from ..names import ATYPE, UNQUALIFIED, Reason
from .caches import Caches
from .events import Event
from .faults import FaultLog
from .hardware import Hardware
from .interrupt_remapping import InterruptRemapper, InterruptTable
from .invalidation import Invalidator
from .page_requests import PageRequestQueue
from .registers import RegisterFile
from .requests import (
    ATOMIC,
    EXECUTE,
    INTERRUPT_RANGE,
    PAGE_REQUEST,
    READ,
    WRITE,
    Blocked,
    Fault,
    Interrupt,
    Posted,
    Untouched,
)
from .translation import Request, Tables, Translator

_PAGE = -4096
_ONE_SHOT = layout.GCMD.SIRTP.mask | layout.GCMD.WBF.mask | layout.GCMD.SFL.mask | layout.GCMD.SRTP.mask
_PERMISSION = frozenset(
    {
        Reason.LGN_1, Reason.LGN_2, Reason.LGN_3, Reason.LSL_1, Reason.LSL_2,
        Reason.SFL_2, Reason.SSL_2,
        Reason.SGN_2, Reason.SGN_3, Reason.SGN_6, Reason.SGN_7,
    }
)  # fmt: skip
"""Reasons that a translation request (ATS) is told as missing permission, without a record (7.1.3)."""


class RemappingUnit:
    """The model of one VT-d remapping unit; attach it to a `Simulated` platform at its register base.

    Attributes:
        hardware: what the unit is.
        registers: its register page.
        caches: what it remembers.
        tables: which tables it uses for DMA.
        interrupts: which table it uses for interrupts.
        faults: its fault log.
        invalidator: its invalidation interface.
    """

    def __init__(
        self,
        memory: Memory,
        hardware: Hardware,
        send: Callable[[int, int], None] | None = None,
        *,
        compress: bool = True,
    ) -> None:
        """Make a unit in its state after reset.

        Args:
            memory: where its tables and queues are.
            hardware: capability registers and address width.
            send: takes address and data of the interrupts that the unit itself raises.
            compress: whether a fault of a source-id with a pending record is left out.
        """
        self.hardware = hardware
        self.memory = memory
        self.registers = RegisterFile(hardware)
        self.caches = Caches()
        self.tables = Tables()
        self.interrupts = InterruptTable()
        send = send or (lambda _address, _data: None)
        self._events = [
            Event(self.registers, register.offset, send) for register in (layout.FECTL, layout.IECTL, layout.PECTL)
        ]
        self.faults = FaultLog(self.registers, hardware, self._events[0], compress=compress)
        self._translator = Translator(memory, hardware, self.caches, self.tables)
        self._remapper = InterruptRemapper(memory, hardware, self.caches, self.interrupts)
        self._page_requests = PageRequestQueue(memory, self.registers, self._events[2])
        self.invalidator = Invalidator(
            memory, hardware, self.registers, self.caches, self.tables, self._events[0], self._events[1]
        )
        self._resolved = self.caches.resolved
        self._effects = self._write_effects()

    # --- Registers

    def read_register(self, offset: int, size: int) -> int:
        """Return 4 or 8 bytes of the register page."""
        return self.registers.raw(offset, size)

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Write 4 or 8 bytes of the register page, with all that follows from it."""
        if offset <= layout.GCMD.offset < offset + size:
            command = layout.GCMD(value >> 8 * (layout.GCMD.offset - offset) & 0xFFFFFFFF)
            self._global_command(command)
        self.registers.write(offset, value, size)
        done = []
        for start, length, effect in self._effects:
            if offset < start + length and start < offset + size and effect not in done:
                done.append(effect)
                effect()

    def _write_effects(self) -> list[tuple[int, int, Callable[[], None]]]:
        """Return (offset, length, what follows from a write there)."""
        ecap, cap = self.hardware.ecap, self.hardware.cap
        return [
            (layout.CCMD.offset, 8, self.invalidator.context_command),
            (ecap.IRO * 16 + layout.IOTLB.offset, 8, self.invalidator.iotlb_command),
            (layout.FSTS.offset, 4, self.faults.cleared),
            (layout.FSTS.offset, 4, self._run_queue),
            (cap.FRO * 16, (cap.NFR + 1) * 16, self.faults.cleared),
            (layout.IQT.offset, 8, self._run_queue),
            (layout.PMEN.offset, 32, self._protect),
            *((register.offset, 4, event.deliver) for register, event in zip(
                (layout.FECTL, layout.IECTL, layout.PECTL), self._events, strict=True
            )),
        ]  # fmt: skip

    def _global_command(self, command: layout.GCMD) -> None:
        registers, cap, ecap = self.registers, self.hardware.cap, self.hardware.ecap
        before = registers.get(layout.GSTS)
        # 1. One-shot commands; the status of the pointers stays set once they were taken over.
        after = layout.GSTS(command.value & ~_ONE_SHOT & ~layout.GSTS.reserved_mask | before.value & _ONE_SHOT)
        after.AFLS = 0
        if command.SRTP:
            pointer = registers.get(layout.RTADDR)
            self.tables.root, self.tables.mode = pointer.RTA, pointer.TTM
            self.caches.resolved.clear()
            after.RTPS = 1
            if cap.ESRTPS:
                self.caches.clear()
        if command.SIRTP and ecap.IR:
            table = registers.get(layout.IRTA)
            self.interrupts.root = table.IRTA
            self.interrupts.entries = 2 << table.S
            self.interrupts.extended = bool(table.EIME and ecap.EIM)
            after.IRTPS = 1
            if cap.ESIRTPS:
                self.invalidator.drop_interrupts(None)
        # 2. Switches.
        if not ecap.QI:
            after.QIES = 0
        if not ecap.IR:
            after.IRES = after.CFIS = 0
        if not after.QIES:
            registers.set(layout.IQH())
        self.tables.translating = bool(after.TES)
        self.caches.resolved.clear()
        self.interrupts.remapping, self.interrupts.compatibility = bool(after.IRES), bool(after.CFIS)
        registers.set(after)
        if after.QIES and not before.QIES:
            self._run_queue()

    def _run_queue(self) -> None:
        if self.registers.get(layout.GSTS).QIES:
            self.invalidator.run()

    def _protect(self) -> None:
        """Take over the protected memory regions (11.4, PMEN); a limit below its base protects nothing."""
        registers = self.registers
        enable = registers.get(layout.PMEN)
        registers.set(enable.replace(PRS=enable.EPM))
        regions = []
        if enable.EPM and self.hardware.cap.PLMR:
            regions.append((registers.get(layout.PLMBASE).PLMB, registers.get(layout.PLMLIMIT).PLML | 0xFFFFF))
        if enable.EPM and self.hardware.cap.PHMR:
            regions.append((registers.get(layout.PHMBASE).PHMB, registers.get(layout.PHMLIMIT).PHML | 0xFFFFF))
        self.tables.protected = tuple((base, limit + 1) for base, limit in regions if limit > base)

    # --- DMA

    def translate(
        self,
        source: int,
        address: int,
        access: int = READ,
        pasid: int | None = None,
        *,
        supervisor: bool = False,
        kind: int = ATYPE.UNTRANSLATED,
    ) -> int | Blocked:
        """Return the host address of a DMA request, or how it was blocked, which the fault log then knows too.

        Args:
            source: requester ID, 16 bits.
            address: 64-bit address of the request.
            access: `READ`, `WRITE`, `ATOMIC`, `EXECUTE` or `ZERO_LENGTH`.
            pasid: PASID of 20 bits, or None.
            supervisor: the request, which must have a PASID, asks for privilege.
            kind: ATYPE.
        """
        if pasid is None and not kind:
            context = self._resolved.get(source)
            if context is not None:
                small, large, huge = context.tlb.pages
                entry = small.get(address >> 12)
                if entry is not None and access and entry & access == access:
                    return entry & _PAGE | address & 0xFFF
                if address >> 20 != INTERRUPT_RANGE and access:
                    entry, shift = large.get(address >> 21), 21
                    if entry is None:
                        entry, shift = huge.get(address >> 30), 30
                    if entry is not None and entry & access == access:
                        output = (entry & _PAGE) + (address & (1 << shift) - 1)
                        if output >> 20 != INTERRUPT_RANGE:
                            return output
        request = Request(source, address, access, pasid, supervisor, kind)
        try:
            return self._translator.translate(request, cached=True)
        except Fault as fault:
            return self._blocked(request, fault)

    def walk(
        self, source: int, address: int, access: int = READ, pasid: int | None = None, *, supervisor: bool = False
    ) -> int | Blocked:
        """Return what `translate` would with nothing remembered; leaves no trace in memory, caches or fault log."""
        try:
            return self._translator.translate(Request(source, address, access, pasid, supervisor), cached=False)
        except Fault as fault:
            return Blocked(fault.reason)

    def look(
        self, source: int, address: int, access: int = READ, pasid: int | None = None, *, supervisor: bool = False
    ) -> int | Blocked:
        """Return what `translate` would, with what is remembered, but leave no trace in the fault log."""
        try:
            return self._translator.translate(Request(source, address, access, pasid, supervisor), cached=True)
        except Fault as fault:
            return Blocked(fault.reason)

    def request_page(self, request: layout.PageRequest) -> bool | Blocked:
        """Take a page request of a device; returns whether the queue kept it, or how it was blocked."""
        pasid = request.PASID if request.PP else None
        plain = Request(request.RID, request.ADDR, PAGE_REQUEST, pasid, bool(request.PRIV and request.PP))
        try:
            self._translator.context(plain, cached=True)
        except Fault as fault:
            return self._blocked(plain, fault)
        return self._page_requests.put(request)

    # --- Interrupts

    def interrupt(self, source: int, address: int, data: int) -> Interrupt | Posted | Untouched | Blocked:
        """Return what becomes of a 32-bit write of `data` to 0xFEExxxxx by `source`."""
        try:
            return self._remapper.remap(source, address, data)
        except Fault as fault:
            index = 0 if fault.reason == Reason.IR_COMPATIBILITY else self._remapper.index(address, data)
            record = layout.FRCD(SID=source, FI=(index & 0xFFFF) << 48)
            return self._record(record, fault)

    def _blocked(self, request: Request, fault: Fault) -> Blocked:
        if fault.reason is None or (request.kind == ATYPE.TRANSLATION and fault.reason in _PERMISSION):
            return Blocked(fault.reason)
        need = request.need
        record = layout.FRCD(
            FI=request.address & 0xFFFFFFFFFFFFF000,
            SID=request.source,
            AT=request.kind,
            T1=int(need not in (WRITE, PAGE_REQUEST)),
            T2=int(need in (ATOMIC, PAGE_REQUEST)),
        )
        if request.pasid is not None:
            record.PP, record.PV = 1, request.pasid
            record.PRIV, record.EXE = int(request.supervisor), int(need == EXECUTE)
        return self._record(record, fault)

    def _record(self, record: layout.FRCD, fault: Fault) -> Blocked:
        if fault.silent and fault.reason not in UNQUALIFIED:
            return Blocked(fault.reason)
        record.FR = fault.reason or 0
        self.faults.record(record)
        return Blocked(fault.reason, recorded=True)
