"""Telling the unit to forget: through its queue where it has one, else through registers, VT-d 6.5."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ...bits import Bits
from ...errors import failure
from ...platform import PageAllocator
from ...radix import aligned_blocks
from .. import layout
from ..names import CIRG, IIRG, IQEI, Descriptor
from .access import CLAUSE, UnitAccess

_DONE = 1


class Invalidation(Protocol):
    """What the driver asks the unit to forget. Every call has taken effect when it returns."""

    def everything(self) -> None:
        """Forget all contexts, PASID entries and translations."""

    def context(self, did: int, source: int) -> None:
        """Forget the context entry of a source-id, and all translations of the domain it pointed to."""

    def pasid(self, did: int, pasid: int, *, first_stage: bool) -> None:
        """Forget a PASID entry and its translations: those of the PASID, or of the domain."""

    def first_stage(self, did: int, pasid: int) -> None:
        """Forget all translations of a PASID of a domain."""

    def domain(self, did: int) -> None:
        """Forget all second-stage and nested translations of a domain."""

    def pages(self, did: int, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget second-stage translations of `(start, length)` ranges of a domain, and tables on the way."""

    def interrupt(self, index: int | None) -> None:
        """Forget the interrupt entry of an index, or all."""


_MANY = 64
"""More page-selective invalidations than this are worse than forgetting the domain."""


class _ByPages:
    """What both ways have in common: when to forget pages and when the domain."""

    def __init__(self, unit: UnitAccess) -> None:
        self._unit = unit

    def _blocks(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]] | None:
        """Return the blocks to forget, None for the whole domain."""
        cap = self._unit.cap
        if not cap.PSI:
            return None
        blocks: list[tuple[int, int]] = []
        for start, length in ranges:
            blocks += aligned_blocks(start, length, cap.MAMV)
            if len(blocks) > _MANY:
                return None
        return blocks


class RegisterInvalidation(_ByPages):
    """Invalidation through CCMD and the IOTLB registers; legacy mode only."""

    def everything(self) -> None:
        """Forget all contexts and translations."""
        self._contexts(layout.CCMD(CIRG=CIRG.GLOBAL))
        self._iotlb(layout.IOTLB(IIRG=IIRG.GLOBAL))

    def context(self, did: int, source: int) -> None:
        """Forget the context entry of a source-id, and all translations of its domain."""
        self._contexts(layout.CCMD(CIRG=CIRG.DEVICE, DID=did, SID=source))
        self.domain(did)

    def pasid(self, did: int, pasid: int, *, first_stage: bool) -> None:  # noqa: ARG002 - refused whatever they are
        """Refuse: there are no registers for PASIDs."""
        raise self._unit.unsupported(layout.ECAP, layout.ECAP.QI, "invalidation of PASID entries")

    def first_stage(self, did: int, pasid: int) -> None:  # noqa: ARG002 - as above
        """Refuse: there are no registers for PASIDs."""
        raise self._unit.unsupported(layout.ECAP, layout.ECAP.QI, "invalidation of first-stage translations")

    def domain(self, did: int) -> None:
        """Forget all translations of a domain."""
        self._iotlb(layout.IOTLB(IIRG=IIRG.DOMAIN, DID=did))

    def pages(self, did: int, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget translations of `(start, length)` ranges of a domain."""
        blocks = self._blocks(ranges)
        if blocks is None:
            self.domain(did)
            return
        for address, order in blocks:
            where = layout.IVA(ADDR=address, AM=order)
            self._unit.write(where, self._unit.ecap.IRO * 16)
            self._iotlb(layout.IOTLB(IIRG=IIRG.PAGE, DID=did))

    def interrupt(self, index: int | None) -> None:  # noqa: ARG002 - as above
        """Refuse: there are no registers for interrupt entries."""
        raise self._unit.unsupported(layout.ECAP, layout.ECAP.QI, "invalidation of interrupt entries")

    def _contexts(self, command: layout.CCMD) -> None:
        unit = self._unit
        unit.flush_write_buffer()
        unit.write(command.replace(ICC=1))
        unit.wait(lambda: not unit.read(layout.CCMD).ICC, "CCMD.ICC")

    def _iotlb(self, command: layout.IOTLB) -> None:
        unit, base = self._unit, self._unit.ecap.IRO * 16
        unit.flush_write_buffer()
        command = command.replace(IVT=1, DR=unit.cap.DRD, DW=unit.cap.DWD)
        unit.write(command, base)
        unit.wait(lambda: not unit.read(layout.IOTLB, base).IVT, "IOTLB.IVT")
        if not unit.read(layout.IOTLB, base).IAIG:
            raise failure(
                "VTD-INVALIDATION", "the unit refused to invalidate", unit.name, field="IOTLB.IAIG", found="0"
            )


class QueuedInvalidation(_ByPages):
    """Invalidation through the queue, each call ended by a wait descriptor that writes to memory."""

    def __init__(self, unit: UnitAccess, pages: PageAllocator) -> None:
        """Make a queue of one page and switch it on; one that firmware left running is switched off before."""
        super().__init__(unit)
        self._step = 32 if unit.ecap.SMTS else 16
        if unit.read(layout.GSTS).QIES:
            unit.wait(lambda: unit.read(layout.IQH).QH == unit.read(layout.IQT).QT, "the queue that was left running")
            unit.command(QIE=0)
        self._queue = pages.allocate()
        self._status = pages.allocate()
        self._tail = 0
        unit.write(layout.IQT())
        unit.write(layout.IQA(IQA=self._queue, DW=int(self._step == 32)))
        unit.command(QIE=1)

    def everything(self) -> None:
        """Forget all contexts, PASID entries and translations."""
        self._submit([layout.ContextInvalidate(TYPE=Descriptor.CONTEXT, G=CIRG.GLOBAL)])
        if self._step == 32 and self._scalable():
            self._submit([layout.PasidCacheInvalidate(TYPE=Descriptor.PASID_CACHE, G=3)])
        self._submit([self._iotlb(G=IIRG.GLOBAL)])

    def context(self, did: int, source: int) -> None:
        """Forget the context entry of a source-id, then all translations of its domain."""
        self._submit([layout.ContextInvalidate(TYPE=Descriptor.CONTEXT, G=CIRG.DEVICE, DID=did, SID=source)])
        self.domain(did)

    def pasid(self, did: int, pasid: int, *, first_stage: bool) -> None:
        """Forget a PASID entry, then its translations: those of the PASID, or of the domain."""
        self._submit([layout.PasidCacheInvalidate(TYPE=Descriptor.PASID_CACHE, G=1, DID=did, PASID=pasid)])
        if first_stage:
            self.first_stage(did, pasid)
        else:
            self.domain(did)

    def first_stage(self, did: int, pasid: int) -> None:
        """Forget all translations of a PASID of a domain."""
        self._submit([layout.PasidIotlbInvalidate(TYPE=Descriptor.PASID_IOTLB, G=2, DID=did, PASID=pasid)])

    def domain(self, did: int) -> None:
        """Forget all second-stage and nested translations of a domain."""
        self._submit([self._iotlb(G=IIRG.DOMAIN, DID=did)])

    def pages(self, did: int, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget second-stage translations of `(start, length)` ranges of a domain, and tables on the way."""
        blocks = self._blocks(ranges)
        if blocks is None:
            self.domain(did)
        else:
            self._submit([self._iotlb(G=IIRG.PAGE, DID=did, ADDR=address, AM=order) for address, order in blocks])

    def interrupt(self, index: int | None) -> None:
        """Forget the interrupt entry of an index, or all."""
        which = {} if index is None else {"G": 1, "IIDX": index}
        self._submit([layout.InterruptEntryInvalidate(TYPE=Descriptor.INTERRUPT_ENTRY, **which)])

    def _scalable(self) -> bool:
        return bool(self._unit.read(layout.RTADDR).TTM)

    def _iotlb(self, **fields: int) -> layout.IotlbInvalidate:
        cap = self._unit.cap
        return layout.IotlbInvalidate(TYPE=Descriptor.IOTLB, DW=cap.DWD, DR=cap.DRD, **fields)

    def _submit(self, descriptors: list[Bits]) -> None:
        """Queue descriptors and a wait, move the tail, and wait for the status to appear in memory."""
        unit, platform = self._unit, self._unit.platform
        unit.flush_write_buffer()
        platform.write(self._status, bytes(8))
        wait = layout.Wait(TYPE=Descriptor.WAIT, SW=1, FN=1, DATA=_DONE, ADDR=self._status)
        for descriptor in (*descriptors, wait):
            platform.write(self._queue + self._tail, bytes(descriptor).ljust(self._step, b"\0"))
            self._tail = (self._tail + self._step) % 4096
        unit.write(layout.IQT(QT=self._tail))
        unit.wait(self._completed, "the invalidation queue")

    def _completed(self) -> bool:
        unit = self._unit
        if int.from_bytes(unit.platform.read(self._status, 4), "little") == _DONE:
            return True
        status = unit.read(layout.FSTS)
        if not status.IQE:
            return False
        code = unit.read(layout.IQERCD).IQEI
        found = IQEI(code).name if code in set(IQEI) else str(code)
        raise failure(
            "VTD-INVALIDATION",
            "the unit stopped at a descriptor",
            unit.name,
            field="IQERCD.IQEI",
            found=found,
            clause=CLAUSE,
        )
