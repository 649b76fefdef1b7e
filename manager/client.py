"""The client API: libsmmu's calls in Python, on a manager in this process or on the service.

    with Client.connect("/run/iommuman/socket", "uart driver") as client:
        memory = client.create_object()
        client.add_pci(memory, bus=3, device=0, function=0)
        client.map(memory, [(0x8000_0000, 0x10_0000)], Access.READ | Access.WRITE)

Both behave alike: the calls are carried out by the same `Session`. Every method raises `ManagerError` when a call is
refused, whose `reason` and `errno` are libsmmu's errno; nothing has changed then.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable
from typing import Protocol, Self, TypeVar

from .calls import (
    ANY,
    MOST_REGIONS,
    VERSION,
    AddDevice,
    Added,
    Attach,
    Attached,
    Call,
    Created,
    CreateObject,
    DestroyObject,
    DeviceId,
    DmaAccess,
    Entry,
    HeldObject,
    MapEntries,
    Mapped,
    MmioId,
    NamedId,
    PciId,
    ReadIncident,
    RemoveDevice,
    ReportReserved,
    Reserved,
    Result,
    Status,
    Verdict,
    Watch,
)
from .connection import Connection
from .errors import ManagerError
from .incidents import Incident, Notice
from .machine import Machine
from .manager import Ability, Manager
from .mappings import Access, Granted
from .protocol import checked
from .session import Limits, Session

TIMEOUT = 60.0
"""Seconds to wait for an answer of the service."""

_Result = TypeVar("_Result", bound=Result)


class Calls(Protocol):
    """What carries calls out."""

    attached: Attached
    remote: bool

    def expect(self, notice: Notice) -> None:
        """Take a notice that the next `Watch` is to lead to, in place of the one before."""
        ...

    def call(self, call: Call) -> Result:
        """Carry a call out."""
        ...

    def close(self) -> None:
        """Let the client go."""
        ...


class _Embedded:
    """Calls on a manager in this process."""

    remote = False

    def __init__(self, manager: Manager, attach: Attach, machine: Machine | None, limits: Limits | None) -> None:
        self._notice: Notice = _nothing
        self._session: Session | None = Session(manager, attach, self._tell, machine=machine, limits=limits)
        self.attached = Attached()

    def expect(self, notice: Notice) -> None:
        self._notice = notice

    def call(self, call: Call) -> Result:
        if self._session is None:
            raise ManagerError("ENOTCONN", "CLIENT-CLOSED", "the client has been closed")
        return self._session.handle(call)

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.end()

    def _tell(self) -> None:
        notice, self._notice = self._notice, _nothing
        notice()


def _nothing() -> None:
    """Tell nobody."""


class Client:
    """One client. A context manager; what it was granted ends with it.

    Attributes:
        objects: objects taken up again, of a service that has been restarted; see `connect`.
    """

    def __init__(self, calls: Calls) -> None:
        """Use something that carries calls out; see `embedded` and `connect`."""
        self._calls = calls
        self._event = -1
        self._event_lock = threading.Lock()
        self.objects: tuple[HeldObject, ...] = calls.attached.objects

    @classmethod
    def embedded(
        cls, manager: Manager, name: str, abilities: Iterable[Ability] = ("attach",), *,
        machine: Machine | None = None, limits: Limits | None = None,
    ) -> Self:  # fmt: skip
        """Attach to a manager in this process (libsmmu: `smmu_init`); whoever asks for abilities has them here.

        Args:
            manager: of the board; somebody has to call its `poll`.
            name: of the client.
            abilities: what it wants to do.
            machine: the simulated board, for `dma`.
            limits: what the client may have; the service's default.
        """
        return cls(_Embedded(manager, Attach(VERSION, name, tuple(abilities)), machine, limits))

    @classmethod
    def connect(
        cls, path: str, name: str, abilities: Iterable[Ability] = ("attach",), *,
        resume: bool = False, timeout: float = TIMEOUT,
    ) -> Self:  # fmt: skip
        """Attach to the service at a socket (libsmmu: `smmu_init`).

        Args:
            path: of the socket.
            name: of the client; no other client of the same user may have it.
            abilities: what the client wants to do; the service's access list has to give it all of them.
            resume: if a service with a state file has been restarted, take up what it had granted to the client of
                this name and user; `objects` tells what. Without it, such grants are dropped.
            timeout: seconds to wait for an answer.

        Raises ManagerError: `ENOTCONN` no service; `EACCES` the access list; `EBUSY` the name; `EDQUOT` too many.
        """
        return cls(Connection(path, Attach(VERSION, name, tuple(abilities), resume), timeout))

    # --- Objects

    def create_object(self, *, manual_reserved: bool = False) -> int:
        """Make an object and return its number (libsmmu: `smmu_obj_create`).

        With `manual_reserved` (`SOCF_RESERVED_MANUAL`), reserved regions of its devices are the client's to map.
        """
        return self._call(CreateObject(manual_reserved), Created).object

    def destroy_object(self, number: int) -> None:
        """Deny the object's devices everything, and forget it (libsmmu: `smmu_obj_destroy`)."""
        self._calls.call(checked(DestroyObject(number)))

    # --- Devices

    def add_device(self, number: int, device: DeviceId | str, *, together: bool = False) -> Added:
        """Put devices into an object, all that are meant or none (libsmmu: `smmu_device_add_generic`).

        Args:
            number: the object. The client may move its devices from one of its objects to another.
            device: which, as an identifier or by name.
            together: put those with it that share an ID with one of them: it is the only way they can be granted.

        Returns which, and libsmmu's +1 as `remap`.

        Raises ManagerError: `EBUSY` one belongs to another client, or shares an ID with one that is not in the object;
        `ENOENT` it is not known which unit controls one.
        """
        return self._call(AddDevice(number, _identifier(device), together), Added)

    def add_pci(
        self, number: int, bus: int | None = ANY, device: int | None = ANY, function: int | None = ANY, *,
        segment: int = 0, together: bool = False,
    ) -> Added:  # fmt: skip
        """Put PCI functions into an object (libsmmu: `smmu_device_add_pci`); `ANY` stands for each there is."""
        return self.add_device(number, PciId(bus, device, function, segment), together=together)

    def add_mmio(self, number: int, phys: int, length: int, *, together: bool = False) -> Added:
        """Put the device with registers at a physical address into an object (libsmmu: `smmu_device_add_mmio`).

        It is known by the address; `length` is what libsmmu asks for, and has to be at least 1.
        """
        return self.add_device(number, MmioId(phys, length), together=together)

    def remove_device(self, device: DeviceId | str, *, together: bool = False) -> Added:
        """Take devices out of the client's objects: they are denied everything (libsmmu: adding to `sop` NULL).

        With `together`, those that share an ID with them and are in the same object go with them. `ANY` takes those
        that are the client's.

        Raises ManagerError: `ENOENT` the client does not own it; `EBUSY` one that shares its ID would stay.
        """
        return self._call(RemoveDevice(_identifier(device), together), Added)

    def reserved(self, device: DeviceId | str) -> tuple[tuple[int, int], ...]:
        """Return `(start, length)` of a device's reserved regions (libsmmu: `smmu_device_report_reserved`)."""
        found: list[Entry] = []
        total = 1
        while len(found) < total:
            part = self._call(ReportReserved(_identifier(device), len(found), MOST_REGIONS), Reserved)
            total = part.total if part.regions else len(found)
            found += part.regions
        return tuple((one.start, one.length) for one in found)

    # --- Memory

    def map(
        self, number: int, entries: Iterable[tuple[int, int]], access: Access, *, target: int | None = None
    ) -> tuple[Granted, ...]:
        """Grant an object's devices `(start, length)` ranges, all or none (libsmmu: `smmu_mapping_add`).

        Args:
            number: the object.
            entries: device addresses and bytes; starts are rounded down and ends up to 4 KiB.
            access: what devices may do there, whatever they could before; `Access.NONE` takes the ranges away.
            target: physical address of the first entry when memory is at another address than devices use
                (`SMF_TARGET`; needs the ability `target`). Several entries have to follow each other without a gap.

        Returns what each entry granted: what rounding added (`beyond`), and what units cannot tell apart (`widened`).
        """
        ranges = tuple(Entry(start, length) for start, length in entries)
        mapped = self._call(MapEntries(number, int(access), ranges, target), Mapped)
        return tuple(one.granted() for one in mapped.entries)

    # --- Refused accesses

    def notify(self, notice: Notice) -> None:
        """Have a callback called once, when there is a record to read (libsmmu: `smmu_xfer_notify`).

        At once if there is one already. On the service it is called in a thread of its own, also when the connection
        is lost; embedded, from within the manager's `poll`. A second registration takes the place of the first.
        """
        self._calls.expect(notice)
        self._calls.call(Watch())

    def notify_fd(self) -> int:
        """Return a file descriptor that becomes readable once, when there is a record to read (as `notify`).

        It is the same one at each call, which also makes it unreadable again; it is the client's, which closes it.
        """
        if self._event < 0:
            self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        self.notify(self._signal)
        return self._event

    async def refused(self) -> None:
        """Wait until there is a record to read (as `notify`)."""
        import asyncio

        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(told.set)

        if self._calls.remote:
            await asyncio.to_thread(self.notify, tell)
        else:
            self.notify(tell)
        await told.wait()

    def status(self) -> Incident | None:
        """Return the oldest record and forget it; None when there is none (libsmmu: `smmu_xfer_status`)."""
        record = self._call(ReadIncident(), Status).incident
        return None if record is None else record.incident()

    # --- Simulated boards

    def dma(self, device: DeviceId | str, address: int, length: int = 1, *, write: bool = False) -> Verdict:
        """Let a device access memory once, to see what becomes of it (nothing in libsmmu; needs the ability `dma`)."""
        return self._call(DmaAccess(_identifier(device), address, length, write), Verdict)

    # --- The end

    def close(self) -> None:
        """Let go: all devices of the client are denied, its records forgotten (libsmmu: `smmu_fini`)."""
        self._calls.close()
        with self._event_lock:
            event, self._event = self._event, -1
            if event >= 0:
                os.close(event)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _signal(self) -> None:
        with self._event_lock:  # its number may be another file's as soon as it is closed
            if self._event >= 0:
                os.eventfd_write(self._event, 1)

    def _call(self, call: Call, kind: type[_Result]) -> _Result:
        result = self._calls.call(checked(call))
        if not isinstance(result, kind):
            raise ManagerError("EPROTO", "PROTOCOL-RESULT", "the answer is not one to this call")
        return result


def _identifier(device: DeviceId | str) -> DeviceId:
    return NamedId(device) if isinstance(device, str) else device
