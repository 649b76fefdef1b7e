"""What a kernel's log says of IOMMUs, one class for each family of lines.

A record holds what was printed, in numbers, and explains nothing: `faults.from_log` does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ...base import Origin
from ...base.quick import quick

LogClock = Literal["utc", "boot", "local", ""]
"""What a line's time counts from: 1970 in UTC, the start of the machine, 1970 in an unknown time zone, or nothing."""

LogAccess = Literal["read", "write", "execute", "interrupt", ""]
"""What a line says was tried; empty: nothing."""

Facts = tuple[tuple[str, str | int], ...]
"""Further values, each with the name that the line or the manual gives it."""


_origin = quick(Origin)


class LogLine(NamedTuple):
    """One line, taken out of what stands before it.

    Attributes:
        source: name of the log.
        number: number of the line, from 1.
        text: the line as it was read, at most `MAX_LINE` bytes of it.
        message: what the kernel printed.
        time: nanoseconds by `clock`; None: it has no time.
        clock: see `LogClock`.
        xen: it is a line of Xen.
    """

    source: str
    number: int
    text: str
    message: str
    time: int | None
    clock: LogClock
    xen: bool

    @property
    def origin(self) -> Origin:
        """The place of the line."""
        return _origin(self.source, "", None, None, self.number)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What every record has.

    Attributes:
        line: the first line.
        text: all lines of it as they were read, joined by newlines.
        driver: what printed it: `DMAR`, `arm-smmu-v3`, `AMD-Vi`, …
        unit: the IOMMU as the line names it; empty: it names none.
    """

    line: LogLine
    text: str
    driver: str
    unit: str

    @property
    def origin(self) -> Origin:
        """The place of the first line."""
        return self.line.origin


@dataclass(frozen=True, slots=True)
class VtdFault(LogRecord):
    """A fault recording register of VT-d (`dmar_fault_do_one`).

    Attributes:
        access: see `LogAccess`.
        segment: PCI segment; only Xen, and Linux since 7.2, print it.
        source: requester ID.
        pasid: None: none, or a kernel that does not tell.
        address: address of the page, or index of the interrupt's table entry.
        reason: fault reason; None: that line is lost.
        meaning: the kernel's words for it.
        tables: entries of the tables that the kernel walked in software, from the root on, each with its name.
    """

    access: LogAccess
    segment: int | None
    source: int
    pasid: int | None
    address: int
    reason: int | None
    meaning: str
    tables: Facts = ()


@dataclass(frozen=True, slots=True)
class VtdStatus(LogRecord):
    """The fault status register of a VT-d unit, printed before the faults."""

    status: int


@dataclass(frozen=True, slots=True)
class VtdTables(LogRecord):
    """A walk of the tables in software that follows no fault: the address, and the entries with their names."""

    address: int
    tables: Facts


@dataclass(frozen=True, slots=True)
class Smmuv3Event(LogRecord):
    """An event of an SMMUv3.

    Attributes:
        number: event number; None: only the decoded lines are there, and they name no known event.
        words: the 64-bit words of the event, four when all are there.
        name: name of the event in the decoded lines of 6.14 and later; empty: there are none.
        client: the device that the kernel found behind the stream ID; empty: none.
        facts: what the decoded lines say.
    """

    number: int | None
    words: tuple[int, ...]
    name: str = ""
    client: str = ""
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class Smmuv3PageRequest(LogRecord):
    """A page request that nobody had asked for.

    Attributes:
        stream_id: stream ID.
        substream_id: substream ID; 0 also when there is none.
        group: index of the page request group.
        last: it is the last of its group.
        privileged: supervisor privilege.
        access: letters of `RWX`.
        address: the page.
    """

    stream_id: int
    substream_id: int
    group: int
    last: bool
    privileged: bool
    access: str
    address: int


@dataclass(frozen=True, slots=True)
class Smmuv2Fault(LogRecord):
    """A fault of a context bank of an SMMUv1 or v2; None for a register that is not printed."""

    fsr: int | None
    address: int | None
    fsynr0: int | None
    cbfrsynra: int | None
    bank: int | None
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class Smmuv2GlobalFault(LogRecord):
    """A global fault of an SMMUv1 or v2; where only the stream ID is printed, `gfsr` is 2 (USF) and `gfsynr0` None."""

    gfsr: int
    gfsynr0: int | None
    gfsynr1: int
    gfsynr2: int | None


@dataclass(frozen=True, slots=True)
class AmdEvent(LogRecord):
    """An entry of the event log of an AMD IOMMU, or of its page request log.

    Attributes:
        name: name of the event, such as `IO_PAGE_FAULT`.
        segment: PCI segment; None: not printed.
        device_id: requester ID; None: not printed.
        device: the device whose driver's name stands before the line; empty: none.
        domain: domain ID.
        pasid: PASID.
        address: address, as the event has it.
        flags: the 12 flag bits.
        facts: further values, and the words of the entry or command that is dumped behind it.
    """

    name: str
    segment: int | None
    device_id: int | None
    device: str
    domain: int | None
    pasid: int | None
    address: int | None
    flags: int | None
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class RiscvFault(LogRecord):
    """A record of the fault queue of a RISC-V IOMMU, of which Linux prints four fields."""

    cause: int
    device_id: int
    iotval: int
    iotval2: int


@dataclass(frozen=True, slots=True)
class SocFault(LogRecord):
    """A fault of an IOMMU that only one maker's chips have.

    Attributes:
        name: what is wrong, in the driver's words.
        access: see `LogAccess`.
        address: device address.
        code: status or type register; None: not printed.
        identifier: stream or master number; None: not printed.
        device: the master as the line names it.
        facts: further values.
    """

    name: str
    access: LogAccess
    address: int | None
    code: int | None = None
    identifier: int | None = None
    device: str = ""
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class VirtioFault(LogRecord):
    """A fault that the host reported over virtio.

    Attributes:
        name: `domain`, `page` or `unknown`.
        endpoint: endpoint ID.
        address: None: the host did not tell.
        access: letters of `RWX`, as the host set them; may be empty.
    """

    name: str
    endpoint: int
    address: int | None
    access: str


@dataclass(frozen=True, slots=True)
class TraceFault(LogRecord):
    """The trace event `io_page_fault`: the device, the address, and the flags (bit 0: a write)."""

    device: str
    address: int
    flags: int


@dataclass(frozen=True, slots=True)
class TraceMapping(LogRecord):
    """The trace event `map` or `unmap`: `length` bytes at `address`; `physical` is None for `unmap`."""

    address: int
    length: int
    physical: int | None


@dataclass(frozen=True, slots=True)
class UnitError(LogRecord):
    """Something that a unit or its driver reports of itself.

    Attributes:
        name: what it is, in the words of the line.
        value: the register or ID that is printed with it; None: none.
        lost: records were lost.
        facts: further values, and the words of commands that are dumped behind it.
    """

    name: str
    value: int | None = None
    lost: bool = False
    facts: Facts = ()


@dataclass(frozen=True, slots=True)
class Suppressed(LogRecord):
    """`count` lines that the kernel did not print because there were too many."""

    function: str
    count: int


@dataclass(frozen=True, slots=True)
class BootUnit(LogRecord):
    """A unit that the kernel found: its registers' address where it is printed, and what is said of it."""

    base: int | None
    facts: Facts


@dataclass(frozen=True, slots=True)
class BootReserved(LogRecord):
    """A reserved memory region (RMRR), as start and length."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class BootGroup(LogRecord):
    """A device was put into an isolation group."""

    device: str
    group: int


@dataclass(frozen=True, slots=True)
class BootFact(LogRecord):
    """Something else that the kernel said of IOMMUs while it started."""

    name: str
    facts: Facts = ()
