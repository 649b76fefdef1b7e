"""What each command does (3.1).

Reserved bits, reserved encodings and commands that capabilities do not have are illegal, and so are operands that the
specification says must not be: DV clear in INVAL_PDT, PSCV in GVMA, IDs that are too wide, a PID in INVAL_DDT.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from ..layout.queues import COMMANDS, AtsInval, AtsPrgr, Command, IoDir, IoFence, IotInval
from ..layout.registers import CAPABILITIES
from ..names import DirectoryMode, Func
from .directory import Directory
from .tlb import GLOBAL, HOST, Range, Tag, Tlb
from .values import Capabilities

_FUNC = (1 << 10) - 1
_PAGE = 4096


class Verdict(Enum):
    """What became of a command."""

    DONE = 0
    ILLEGAL = 1
    MEMORY_FAULT = 2
    TIMEOUT = 3


class Actions(Protocol):
    """What a command can ask of the rest of the model."""

    caps: Capabilities
    directory: Directory
    tlb: Tlb

    @property
    def wired(self) -> bool:
        """Interrupts are raised by wires."""
        ...

    def fence(self, command: IoFence) -> Verdict:
        """Complete a fence."""
        ...

    def invalidate_device(self, command: AtsInval) -> None:
        """Send an invalidation request to a device."""
        ...

    def page_response(self, command: AtsPrgr) -> None:
        """Send a page request group response to a device."""
        ...


def execute(raw: bytes, iommu: Actions) -> Verdict:
    """Carry out one command of 16 bytes."""
    func = int.from_bytes(raw[:2], "little") & _FUNC
    layout = COMMANDS.get(func)
    if layout is None:
        return Verdict.ILLEGAL
    command = layout.from_bytes(raw)
    if _illegal(command, func, iommu):
        return Verdict.ILLEGAL
    if isinstance(command, IoFence):
        return iommu.fence(command)
    if isinstance(command, IotInval):
        _invalidate(command, iommu.tlb, host=func == Func.IOTINVAL_VMA)
    elif isinstance(command, IoDir):
        _forget(command, func, iommu.directory)
    elif isinstance(command, AtsInval):
        iommu.invalidate_device(command)
    elif isinstance(command, AtsPrgr):
        iommu.page_response(command)
    return Verdict.DONE


def _illegal(command: Command, func: int, iommu: Actions) -> bool:
    have = iommu.caps.register
    if command.reserved:
        return True
    if isinstance(command, IotInval):
        return _illegal_invalidation(command, func, have)
    if isinstance(command, IoFence):
        return bool(command.WSI and not iommu.wired)
    if isinstance(command, IoDir):
        return _illegal_directory(command, func, iommu)
    return not have.ATS


def _illegal_invalidation(command: IotInval, func: int, have: CAPABILITIES) -> bool:
    if (command.NL and not have.NL) or (command.S and not have.S):
        return True
    return bool(func == Func.IOTINVAL_GVMA and command.PSCV)


def _illegal_directory(command: IoDir, func: int, iommu: Actions) -> bool:
    directory = iommu.directory
    walks = directory.mode >= DirectoryMode.LVL1
    if command.DV and walks and command.DID >> directory.device_bits:
        return True
    if func == Func.IODIR_INVAL_DDT:
        return bool(command.PID)
    return not command.DV or bool(command.PID >> iommu.caps.process_bits)


def _forget(command: IoDir, func: int, directory: Directory) -> None:
    if func == Func.IODIR_INVAL_PDT:
        directory.forget_process(command.DID, command.PID)
    else:
        directory.forget_device(command.DID if command.DV else None)


def _invalidate(command: IotInval, tlb: Tlb, *, host: bool) -> None:
    named = _named(command) if command.AV else None
    tables = named is None or bool(command.NL)
    if not host:
        if not command.GV:  # the address does not count
            tlb.forget_second(None, None, tables=True)
        else:
            tlb.forget_second(command.GSCID, named, tables=tables)
        return
    gscid = command.GSCID if command.GV else HOST

    def where(tag: Tag) -> bool:
        known, pscid = tag
        # With a PSCID, mappings that are global stay.
        return known == gscid and (not command.PSCV or (pscid == command.PSCID and pscid != GLOBAL))

    tlb.forget_first(where, named, tables=tables)


def _named(command: IotInval) -> Range:
    """Return what a command names: a page, or with S what the lowest clear bit of the page number tells."""
    if not command.S:
        return command.ADDR, command.ADDR + _PAGE - 1
    page = command.ADDR >> 12
    size = (page ^ page + 1) + 1 << 12
    return command.ADDR & -size, (command.ADDR & -size) + size - 1
