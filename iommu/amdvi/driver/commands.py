"""The command buffer: telling the unit to forget, AMD 48882 2.4."""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import failure
from ...platform import PAGE_SIZE, PageAllocator
from ...radix import aligned_blocks
from ..layout.queues import (
    Command,
    CompletionWait,
    InvalidateDevtabEntry,
    InvalidateInterruptTable,
    InvalidateIommuAll,
    InvalidateIommuPages,
)
from ..layout.registers import CmdBufBase, CmdBufHead, CmdBufTail, Status
from ..names import Opcode
from .access import UnitAccess

LOG2_ENTRIES = 8
"""The buffer is one page: the least there is."""
_ENTRIES = 1 << LOG2_ENTRIES
_ALL = 0x7FFFFFFFFFFFF000
"""The address that, with S, stands for all addresses."""
_MOST_ORDER = 63 - 12
"""Largest block, log2 of pages: one more would be everything."""
_MANY = 64
"""More blocks than this are worse than forgetting the domain."""


class CommandBuffer:
    """Commands in memory, each batch ended by one that writes to memory when all before it are complete."""

    def __init__(self, unit: UnitAccess, pages: PageAllocator) -> None:
        """Take memory for the buffer."""
        self._unit = unit
        self._memory = pages.allocate()
        self._status = pages.allocate()
        self._tail = 0
        self._token = 0

    def program(self) -> None:
        """Tell the unit where the buffer is; one that firmware left running is stopped before."""
        unit = self._unit
        unit.control(CmdBufEn=0)
        unit.await_status(Status.CmdBufRun, 0)
        self._restart()

    def _restart(self) -> None:
        """Make the buffer empty; it runs when the control register says so."""
        self._tail = 0
        self._unit.write(CmdBufBase(ComBase=self._memory, ComLen=LOG2_ENTRIES))
        self._unit.write(CmdBufHead())
        self._unit.write(CmdBufTail())

    def device(self, device: int) -> None:
        """Forget the device table entry of a device ID."""
        self.run([InvalidateDevtabEntry(Opcode=Opcode.INVALIDATE_DEVTAB_ENTRY, DeviceID=device)])

    def interrupts(self, device: int) -> None:
        """Forget the interrupt entries of a device ID."""
        self.run([InvalidateInterruptTable(Opcode=Opcode.INVALIDATE_INTERRUPT_TABLE, DeviceID=device)])

    def domain(self, domain: int) -> None:
        """Forget all translations of a domain, and the tables on the way."""
        self.run([self._pages(domain, _ALL, sized=True)])

    def pages(self, domain: int, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget translations of `(start, length)` ranges of a domain, and tables on the way."""
        blocks: list[tuple[int, int]] = []
        for start, length in ranges:
            blocks += aligned_blocks(start, length, _MOST_ORDER)
        if len(blocks) > _MANY:
            self.domain(domain)
            return
        # A block of 2^n pages: the n - 1 bits from 12 up are ones, the next is 0.
        self.run(
            self._pages(domain, address | (PAGE_SIZE << order - 1) - PAGE_SIZE if order else address, sized=order > 0)
            for address, order in blocks
        )

    def everything(self, devices: int) -> None:
        """Forget all: entries of device IDs below `devices`, their interrupts, and translations of all domains."""
        if self._unit.efr.IASup:
            self.run([InvalidateIommuAll(Opcode=Opcode.INVALIDATE_IOMMU_ALL)])
            return
        self.run(
            InvalidateDevtabEntry(Opcode=Opcode.INVALIDATE_DEVTAB_ENTRY, DeviceID=device) for device in range(devices)
        )
        self.run(
            InvalidateInterruptTable(Opcode=Opcode.INVALIDATE_INTERRUPT_TABLE, DeviceID=device)
            for device in range(devices)
        )
        self.run(self._pages(domain, _ALL, sized=True) for domain in range(1 << 16))

    @staticmethod
    def _pages(domain: int, address: int, *, sized: bool) -> InvalidateIommuPages:
        return InvalidateIommuPages(
            Opcode=Opcode.INVALIDATE_IOMMU_PAGES, DomainID=domain, S=int(sized), PDE=1, Address=address
        )

    def run(self, commands: Iterable[Command]) -> None:
        """Have commands carried out and wait until their effect is complete.

        Raises `IommuError`: `AMDVI-COMMAND` when the unit stops at one, `AMDVI-TIMEOUT` when it does not answer.
        """
        batch: list[Command] = []
        for command in commands:
            batch.append(command)
            if len(batch) == _ENTRIES - 2:  # one is the end, and one stays free: a full buffer would look empty
                self._submit(batch)
                batch = []
        if batch:
            self._submit(batch)

    def _submit(self, batch: list[Command]) -> None:
        unit, platform = self._unit, self._unit.platform
        self._token += 1
        wait = CompletionWait(Opcode=Opcode.COMPLETION_WAIT, s=1, StoreAddress=self._status, Data=self._token)
        for command in (*batch, wait):
            platform.write(self._memory + self._tail, bytes(command))
            self._tail = (self._tail + Command.size) % (_ENTRIES * Command.size)
        unit.write(CmdBufTail(CmdTailPtr=self._tail))
        unit.wait(self._completed, "the end of its commands")

    def _completed(self) -> bool:
        unit = self._unit
        if int.from_bytes(unit.platform.read(self._status, 8), "little") == self._token:
            return True
        if unit.read(Status).CmdBufRun:
            return False
        head = unit.read(CmdBufHead).CmdHdPtr
        unit.control(CmdBufEn=0)
        self._restart()
        unit.control(CmdBufEn=1)
        raise failure(
            "AMDVI-COMMAND",
            "the unit stopped at a command",
            unit.name,
            field="CmdBufHead",
            found=f"0x{head:x}: {unit.platform.read(self._memory + head, Command.size).hex()}",
            clause="AMD 48882 2.4",
            advice="the event log says why",
        )
