"""Invalidation by registers and by queue, VT-d 6.5."""

from __future__ import annotations

from collections.abc import Callable

from ...bits import Bits
from ...errors import IommuError
from ...platform import Memory
from .. import layout
from ..names import CIRG, IIRG, IQEI, TTM, Descriptor
from .caches import Caches
from .events import Event
from .hardware import Hardware
from .registers import RegisterFile
from .translation import Tables

FUNCTION_MASKS = (0, 4, 6, 7)
"""Source-id bits that do not count, by FM or SQ."""

_LAYOUTS: dict[int, type[Bits]] = {
    Descriptor.CONTEXT: layout.ContextInvalidate,
    Descriptor.IOTLB: layout.IotlbInvalidate,
    Descriptor.DEVICE_TLB: layout.DeviceTlbInvalidate,
    Descriptor.INTERRUPT_ENTRY: layout.InterruptEntryInvalidate,
    Descriptor.WAIT: layout.Wait,
    Descriptor.PASID_IOTLB: layout.PasidIotlbInvalidate,
    Descriptor.PASID_CACHE: layout.PasidCacheInvalidate,
    Descriptor.PASID_DEVICE_TLB: layout.PasidDeviceTlbInvalidate,
}
_SCALABLE_ONLY = (Descriptor.PASID_IOTLB, Descriptor.PASID_CACHE, Descriptor.PASID_DEVICE_TLB)


class _QueueError(Exception):
    """A descriptor that stops the queue."""

    def __init__(self, code: IQEI) -> None:
        super().__init__(code)
        self.code = code


class Invalidator:
    """Carries out what software asks the unit to forget.

    Attributes:
        device_tlbs: called with each device-TLB invalidation; the devices are outside of the model.
    """

    def __init__(
        self,
        memory: Memory,
        hardware: Hardware,
        registers: RegisterFile,
        caches: Caches,
        tables: Tables,
        faults: Event,
        completion: Event,
    ) -> None:
        """Work on the caches of a unit."""
        self._memory = memory
        self._hardware = hardware
        self._registers = registers
        self._caches = caches
        self._tables = tables
        self._fault_event = faults
        self._completion_event = completion
        self.device_tlbs: Callable[[Bits], None] = lambda _descriptor: None

    # --- Registers, 6.5.1

    def context_command(self) -> None:
        """Follow a write to CCMD."""
        command = self._registers.get(layout.CCMD)
        if not command.ICC:
            return
        command.ICC = 0
        command.CAIG = command.CIRG
        if command.CIRG:
            self._drop_contexts(command.CIRG, command.DID, command.SID, command.FM)
        self._registers.set(command)

    def iotlb_command(self) -> None:
        """Follow a write to IOTLB."""
        base = self._hardware.ecap.IRO * 16
        command = self._registers.get(layout.IOTLB, base)
        if not command.IVT:
            return
        command.IVT = 0
        where = self._registers.get(layout.IVA, base)
        command.IAIG = 0
        if command.IIRG and not (command.IIRG == IIRG.PAGE and where.AM > self._hardware.cap.MAMV):
            command.IAIG = self._drop_pages(command.IIRG, command.DID, where.ADDR, where.AM, where.IH)
        self._registers.set(command, base)

    # --- Queue, 6.5.2

    def run(self) -> None:
        """Work off the queue, after software moved the tail or cleared an error."""
        registers = self._registers
        address = registers.get(layout.IQA)
        shift = 5 if address.DW else 4
        size = 4096 << address.QS
        while not registers.get(layout.FSTS).IQE:
            head, tail = registers.get(layout.IQH).QH, registers.get(layout.IQT).QT
            try:
                if tail >= size:
                    raise _QueueError(IQEI.TAIL)  # noqa: TRY301 - one way out for all errors
                if tail & (1 << shift) - 1:
                    raise _QueueError(IQEI.ALIGN)  # noqa: TRY301 - as above
                if head == tail:
                    return
                self._carry_out(address.IQA + head, 1 << shift)
            except _QueueError as error:
                self._stop(error.code)
                return
            registers.set(layout.IQH(QH=(head + (1 << shift)) % size))

    def _stop(self, code: IQEI) -> None:
        registers = self._registers
        registers.set(layout.IQERCD(IQEI=code))
        status = registers.get(layout.FSTS)
        registers.set(status.replace(IQE=1))
        self._fault_event.raise_(already=bool(status.value & ~layout.FSTS.FRI.mask))

    def _carry_out(self, at: int, size: int) -> None:
        try:
            raw = self._memory.read(at, size)
        except IommuError:
            raise _QueueError(IQEI.FETCH) from None
        word = int.from_bytes(raw, "little")
        kind = word & 0xF | (word >> 9 & 7) << 4
        if kind not in _LAYOUTS:
            raise _QueueError(IQEI.TYPE)
        scalable = self._tables.mode == TTM.SCALABLE
        if kind in _SCALABLE_ONLY and not scalable:
            raise _QueueError(IQEI.MODE)
        if kind in _SCALABLE_ONLY and size == 16:
            raise _QueueError(IQEI.WIDTH)
        if word >> 128:
            raise _QueueError(IQEI.RESERVED)
        descriptor = _LAYOUTS[kind](word)
        if descriptor.reserved:
            raise _QueueError(IQEI.RESERVED)
        self._dispatch(descriptor)

    def _dispatch(self, descriptor: Bits) -> None:
        """Carry out one descriptor by its layout."""
        match descriptor:
            case layout.ContextInvalidate():
                if not descriptor.G:
                    raise _QueueError(IQEI.RESERVED)
                self._drop_contexts(descriptor.G, descriptor.DID, descriptor.SID, descriptor.FM)
            case layout.IotlbInvalidate():
                if not descriptor.G or (descriptor.G == IIRG.PAGE and descriptor.AM > self._hardware.cap.MAMV):
                    raise _QueueError(IQEI.RESERVED)
                self._drop_pages(descriptor.G, descriptor.DID, descriptor.ADDR, descriptor.AM, descriptor.IH)
            case layout.InterruptEntryInvalidate():
                self.drop_interrupts(descriptor.IIDX if descriptor.G else None, descriptor.IM)
            case layout.Wait():
                self._wait(descriptor)
            case layout.PasidIotlbInvalidate():
                self._drop_pasid_pages(descriptor)
            case layout.PasidCacheInvalidate():
                self._drop_pasids(descriptor)
            case _:
                self.device_tlbs(descriptor)

    def drop_interrupts(self, index: int | None, mask: int = 0) -> None:
        """Forget interrupt entries: all, or 2^mask from an index that is so aligned."""
        cache = self._caches.interrupts
        for known in list(cache):
            if index is None or (known ^ index) >> mask == 0:
                del cache[known]

    def _drop_contexts(self, granularity: int, did: int, source: int, function_mask: int) -> None:
        if granularity == CIRG.GLOBAL:
            self._caches.drop_contexts()
        elif granularity == CIRG.DOMAIN:
            self._caches.drop_contexts(did=did)
        else:
            self._caches.drop_contexts(source, FUNCTION_MASKS[function_mask], did)

    def _drop_pages(self, granularity: int, did: int, address: int, order: int, hint: int) -> int:
        """Forget second-stage translations; returns the granularity that was used."""
        caches = self._caches
        if granularity == IIRG.PAGE and not self._hardware.cap.PSI:
            granularity = IIRG.DOMAIN
        if granularity == IIRG.GLOBAL:
            caches.drop_domain(None)
        elif granularity == IIRG.DOMAIN:
            caches.drop_domain(did)
        else:
            length = 4096 << order
            caches.tlb(did, None).drop(address & -length, length, leaves_only=bool(hint))
        return granularity

    def _drop_pasid_pages(self, descriptor: layout.PasidIotlbInvalidate) -> None:
        tlb = self._caches.tlb(descriptor.DID, descriptor.PASID)
        if descriptor.G == 2:
            tlb.clear()
        elif descriptor.G == 3 and descriptor.AM <= self._hardware.cap.MAMV:
            length = 4096 << descriptor.AM
            tlb.drop(descriptor.ADDR & -length, length, leaves_only=bool(descriptor.IH))
        else:
            raise _QueueError(IQEI.RESERVED)

    def _drop_pasids(self, descriptor: layout.PasidCacheInvalidate) -> None:
        if descriptor.G == 2:
            raise _QueueError(IQEI.RESERVED)
        self._caches.drop_pasids(
            None if descriptor.G == 3 else descriptor.DID, descriptor.PASID if descriptor.G == 1 else None
        )

    def _wait(self, descriptor: layout.Wait) -> None:
        """Everything before has been carried out: say so in memory, by an event, or both."""
        if descriptor.SW:
            try:
                self._memory.write(descriptor.ADDR, descriptor.DATA.to_bytes(4, "little"))
            except IommuError:
                raise _QueueError(IQEI.FETCH) from None
        if descriptor.IF:
            status = self._registers.get(layout.ICS)
            self._registers.set(status.replace(IWC=1))
            self._completion_event.raise_(already=bool(status.IWC))
