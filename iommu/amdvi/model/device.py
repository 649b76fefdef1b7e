"""From a device ID to what its device table entry says, AMD 48882 2.2.2."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import IommuError
from ...platform import Memory
from ..layout import DTE
from ..layout.queues import DevTabHardwareError, Event, IllegalDevTableEntry, IoPageFault
from ..layout.registers import DevTabBase
from ..names import EventCode, HardwareError, IntCtl
from .hardware import Hardware
from .requests import WRITE, Fault

_MOST_TABLE_LENGTH = 11
_LAST_MODE = 6


@dataclass(slots=True)
class Request:
    """A request as the parts of the model hand it on.

    Attributes:
        device: device ID.
        address: address, of an interrupt that of its message.
        need: bits: read, write.
        interrupt: it is an interrupt message.
    """

    device: int
    address: int
    need: int
    interrupt: bool = False

    @property
    def flags(self) -> dict[str, int]:
        """The fields that events about requests have in common."""
        return {"DeviceID": self.device, "I": int(self.interrupt), "RW": int(bool(self.need & WRITE))}

    def page_fault(self, domain: int = 0, **flags: int) -> Event:
        """Make an IO_PAGE_FAULT."""
        return IoPageFault(
            EventCode=EventCode.IO_PAGE_FAULT, DomainID=domain, Address=self.address, **self.flags, **flags
        )

    def illegal_entry(self, *, reserved: bool) -> Event:
        """Make an ILLEGAL_DEV_TABLE_ENTRY; if it is not `reserved` bits, it is the encoding of a level or a length."""
        code = EventCode.ILLEGAL_DEV_TABLE_ENTRY
        return IllegalDevTableEntry(EventCode=code, RZ=int(reserved), Address=self.address & -4, **self.flags)


@dataclass(slots=True)
class Context:
    """What a device table entry says.

    Attributes:
        valid: V.
        translates: TV.
        mode: levels of the host page tables.
        root: the first of them.
        granted: IR and IW, as bits of an access.
        domain: domain ID.
        excluded: EX.
        silent: SA.
        once: SE.
        illegal: why the entry is invalid for memory requests: `reserved` bits, an `encoding`, or empty.
        interrupts: IV.
        interrupt_illegal: the same as `illegal`, for interrupts.
        interrupt_bits: doubleword 2.
    """

    valid: bool
    translates: bool
    mode: int
    root: int
    granted: int
    domain: int
    excluded: bool
    silent: bool
    once: bool
    illegal: str
    interrupts: bool
    interrupt_illegal: str
    interrupt_bits: DTE

    def refuse_illegal(self, request: Request) -> None:
        """Raise `Fault` if the entry is not valid for a request."""
        why = self.interrupt_illegal if request.interrupt else self.illegal
        if why:
            raise Fault(request.illegal_entry(reserved=why == "reserved"))


def hardware_error(error: IommuError) -> HardwareError:
    """Return how a failed access of memory is told: nobody answered, or the data is damaged."""
    return HardwareError.DATA_ERROR if error.finding.rule == "MEMORY-CORRUPTION" else HardwareError.MASTER_ABORT


def fetch_context(memory: Memory, hardware: Hardware, table: DevTabBase, request: Request) -> Context:
    """Read the device table entry of a request. Raises `Fault`."""
    # 1. The table must be long enough.
    offset = request.device * DTE.size
    if offset >= (table.Size + 1) << 12:
        raise Fault(request.page_fault())
    # 2. The entry must be there.
    place = table.Base + offset
    try:
        entry = DTE.from_bytes(memory.read(place, DTE.size))
    except IommuError as error:
        raise Fault(
            DevTabHardwareError(
                EventCode=EventCode.DEV_TAB_HARDWARE_ERROR,
                Type=hardware_error(error),
                TableAddress=place & -16,
                **request.flags,
            )
        ) from None
    return read_context(hardware, entry)


def read_context(hardware: Hardware, entry: DTE) -> Context:
    """Say what an entry means to a unit."""
    illegal = interrupt_illegal = ""
    if entry.value & hardware.illegal:
        illegal = "reserved"
    elif entry.TV and entry.Mode > min(hardware.levels, _LAST_MODE):
        illegal = "encoding"
    if entry.words[2] & hardware.illegal_interrupts:
        interrupt_illegal = "reserved"
    elif entry.IntTabLen > _MOST_TABLE_LENGTH or entry.IntCtl > IntCtl.REMAP:
        interrupt_illegal = "encoding"
    return Context(
        valid=bool(entry.V),
        translates=bool(entry.TV),
        mode=entry.Mode,
        root=entry.Root,
        granted=entry.IW << 1 | entry.IR,
        domain=entry.DomainID,
        excluded=bool(entry.EX),
        silent=bool(entry.SA),
        once=bool(entry.SE),
        illegal=illegal,
        interrupts=bool(entry.IV),
        interrupt_illegal=interrupt_illegal,
        interrupt_bits=DTE(entry.words[2] << 128),
    )
