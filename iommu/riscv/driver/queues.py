"""The command queue, which the driver fills, and the fault queue, which it empties (3.1, 3.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ...errors import failure
from ...platform import PageAllocator
from ..layout.queues import Command, FaultRecord, IoDir, IoFence, IotInval
from ..layout.registers import CQB, CQCSR, CQH, CQT, FQB, FQCSR, FQH, FQT
from ..names import Func
from ..records import ReportedFault, decode_fault
from .access import UnitAccess

_COMMANDS_LOG2 = 8
_FAULTS_LOG2 = 10
_ERRORS = CQCSR.cqmf.mask | CQCSR.cmd_to.mask | CQCSR.cmd_ill.mask
_LOST = FQCSR.fqmf.mask | FQCSR.fqof.mask


def fence() -> Command:
    """Return the command after whose completion all before it are complete, and what devices did is visible."""
    return IoFence(func=Func.IOFENCE_C, PR=1, PW=1)


def forget_device(device_id: int | None) -> Command:
    """Return the command that makes the unit forget the context of a device, or all of the directory."""
    if device_id is None:
        return IoDir(func=Func.IODIR_INVAL_DDT)
    return IoDir(func=Func.IODIR_INVAL_DDT, DV=1, DID=device_id)


def forget_guests(gscid: int | None = None, address: int | None = None) -> Command:
    """Return the command that makes the unit forget second-stage entries: all, of a GSCID, or one leaf."""
    if gscid is None:
        return IotInval(func=Func.IOTINVAL_GVMA)
    if address is None:
        return IotInval(func=Func.IOTINVAL_GVMA, GV=1, GSCID=gscid)
    return IotInval(func=Func.IOTINVAL_GVMA, GV=1, GSCID=gscid, AV=1, ADDR=address & -4096)


def forget_hosts() -> Command:
    """Return the command that makes the unit forget first-stage entries where the second stage is Bare."""
    return IotInval(func=Func.IOTINVAL_VMA)


class CommandQueue:
    """Commands in memory, consumed by hardware."""

    def __init__(self, unit: UnitAccess, pages: PageAllocator) -> None:
        """Take memory, and enable the queue, which must be off."""
        self._unit = unit
        self._entries = 1 << _COMMANDS_LOG2
        self._memory = pages.allocate(Command.size << _COMMANDS_LOG2)
        self._tail = 0
        unit.write(CQB(LOG2SZ=_COMMANDS_LOG2 - 1, PPN=self._memory))
        unit.write(CQT(0))
        unit.write(CQCSR(cqen=1))
        unit.wait(lambda: bool(unit.read(CQCSR).cqon and not unit.read(CQCSR).busy), "cqcsr.cqen")

    def run(self, commands: Iterable[Command]) -> None:
        """Have commands carried out, and wait until their effect is complete.

        Raises `IommuError`: `RISCV-COMMAND` when the unit refuses one, `RISCV-TIMEOUT` when it does not answer.
        """
        batch: list[Command] = []
        for command in commands:
            batch.append(command)
            if len(batch) == self._entries - 1:
                self._submit(batch)
                batch = []
        self._submit([*batch, fence()])

    def _submit(self, batch: list[Command]) -> None:
        """Write commands, show them to the hardware, and wait until it has consumed them."""
        for command in batch:
            self._unit.platform.write(self._memory + self._tail * Command.size, bytes(command))
            self._tail = (self._tail + 1) % self._entries
        self._unit.write(CQT(self._tail))
        self._unit.wait(self._consumed, "commands")

    def _consumed(self) -> bool:
        if self._unit.read(CQH).index == self._tail:
            return True
        csr = self._unit.read(CQCSR)
        if csr.value & _ERRORS:
            self._recover(csr)
        return False

    def _recover(self, csr: CQCSR) -> None:
        """Turn what is left in the queue into fences, let the unit go on with them, and raise."""
        at = self._unit.read(CQH).index
        while at != self._tail:
            self._unit.platform.write(self._memory + at * Command.size, bytes(fence()))
            at = (at + 1) % self._entries
        self._unit.write(CQCSR(csr.value & (_ERRORS | CQCSR.cqen.mask)))
        raise failure(
            "RISCV-COMMAND", "the unit refused a command", self._unit.name, field="cqcsr",
            found=", ".join(name for name in ("cqmf", "cmd_to", "cmd_ill") if getattr(csr, name)),
            clause="RISC-V IOMMU 1.0, 5.15",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Faults:
    """What was pending: the records, and whether others were lost because the queue was full or not writable."""

    records: tuple[ReportedFault, ...]
    lost: bool


class FaultQueue:
    """Fault records in memory, produced by hardware."""

    def __init__(self, unit: UnitAccess, pages: PageAllocator) -> None:
        """Take memory, and enable the queue, which must be off."""
        self._unit = unit
        self._entries = 1 << _FAULTS_LOG2
        size = FaultRecord.size << _FAULTS_LOG2
        self._memory = pages.allocate(size, size)
        self._head = 0
        unit.write(FQB(LOG2SZ=_FAULTS_LOG2 - 1, PPN=self._memory))
        unit.write(FQH(0))
        unit.write(FQCSR(fqen=1))
        unit.wait(lambda: bool(unit.read(FQCSR).fqon and not unit.read(FQCSR).busy), "fqcsr.fqen")

    def take(self) -> Faults:
        """Return the records since the last call, and make room for others."""
        tail = self._unit.read(FQT).index % self._entries
        records = []
        while self._head != tail:
            raw = self._unit.platform.read(self._memory + self._head * FaultRecord.size, FaultRecord.size)
            records.append(decode_fault(raw))
            self._head = (self._head + 1) % self._entries
        csr = self._unit.read(FQCSR)
        if records:
            self._unit.write(FQH(self._head))
        if csr.value & _LOST:
            self._unit.write(FQCSR(csr.value & (_LOST | FQCSR.fqen.mask)))
        return Faults(tuple(records), bool(csr.value & _LOST))
