"""The driver of one unit: takes it over with every device denied, then attaches devices to domains."""

from __future__ import annotations

from heapq import heappop, heappush

from ...errors import failure
from ...platform import PageAllocator, Platform
from ..layout import DTE
from ..layout.registers import EFR, Control, ExclusionBase, Status
from .access import UnitAccess
from .commands import CommandBuffer
from .devices import DENIED, DeviceTable
from .domain import Domain
from .events import EventLog, Events
from .interrupts import InterruptTable

_PASS_THROUGH = 1
_FIRST_DOMAIN = 2
_DEVICES = 1 << 16
_LEVELS = 4
_KEPT = sum(
    field.mask
    for field in (
        Control.IommuEn, Control.HtTunEn, Control.InvTimeout, Control.PassPW, Control.ResPassPW, Control.Coherent,
        Control.Isoc,
    )
)  # fmt: skip
"""What stays of the control register; everything else is a feature that is not used here."""
_WIRING = Control.HtTunEn.mask | Control.PassPW.mask | Control.ResPassPW.mask | Control.Isoc.mask
"""How the unit is wired, which the flags of its IVHD block say."""


class Driver:
    """Software's side of AMD-Vi. It uses the platform's memory and registers, and nothing else.

    Attributes:
        unit: the unit's registers and features.
    """

    def __init__(
        self,
        platform: Platform,
        base: int,
        pages: PageAllocator,
        *,
        host_width: int = 52,
        devices: int = _DEVICES,
        wiring: Control | None = None,
    ) -> None:
        """Look at the unit and prepare; nothing changes for devices before `enable`.

        Args:
            platform: memory and registers.
            base: physical address of the unit's registers (IVHD).
            pages: where tables and queues come from; no device should ever be granted these pages.
            host_width: physical address width in bits (IVinfo).
            devices: number of device IDs that the device table is for, rounded up to 128; others are refused.
            wiring: HtTunEn, PassPW, ResPassPW and Isoc as the flags of the IVHD block say; by default as the control
                register has them. A unit that wants HtTunEn translates nothing without.

        Raises `IommuError` (`AMDVI-ABSENT`, `AMDVI-DEVICE`, `MEMORY-EXHAUSTED`).
        """
        self.unit = UnitAccess(platform, base)
        if not 0 < devices <= _DEVICES:
            raise self.unit.refuse("AMDVI-DEVICE", "a device table is for 1 to 65536 devices", found=str(devices))
        self._pages = pages
        self._host_width = host_width
        self._wiring = wiring
        self._commands = CommandBuffer(self.unit, pages)
        self._events = EventLog(self.unit, pages)
        self._devices = DeviceTable(self.unit, pages, devices)
        self._numbers = list(range(_FIRST_DOMAIN, 1 << 16))  # sorted, hence a heap
        self._domains: dict[int, Domain] = {}
        self._interrupts: dict[int, InterruptTable] = {}
        self._enabled = False

    # --- The unit as a whole

    def enable(self) -> None:
        """Take the unit over: every device is denied afterwards. One that translates already is never switched off."""
        unit = self.unit
        self._events.program()
        self._commands.program()
        unit.write(self._devices.base)
        # Segments of the device table that firmware used go with this store, and the rest of its features.
        control = Control(unit.read(Control).value & _KEPT)
        if self._wiring is not None:
            control = Control(control.value & ~_WIRING | self._wiring.value & _WIRING)
        unit.write(control.replace(Coherent=1, IommuEn=1, EventLogEn=1, CmdBufEn=1))
        unit.await_status(Status.CmdBufRun, 1)
        self._commands.everything(self._devices.count)
        unit.write(ExclusionBase())
        self._enabled = True

    def disable(self) -> None:
        """Switch translation off: every device reaches all of memory afterwards."""
        self.unit.control(IommuEn=0, CmdBufEn=0, EventLogEn=0)
        self._enabled = False

    def take_events(self) -> Events:
        """Return the events since the last call."""
        return self._events.take()

    # --- Domains

    def create_domain(self, levels: int = _LEVELS) -> Domain:
        """Make an empty domain whose tables have 1 to 6 levels: addresses of 21, 30, 39, 48, 57 or 64 bits.

        Raises `IommuError`: `AMDVI-UNSUPPORTED` where EFR.HATS has no tables so high, or domain IDs have run out.
        """
        self._check_enabled()
        if not 1 <= levels <= self.unit.most_levels:
            raise self.unit.unsupported(EFR.HATS, f"host page tables of {levels} levels")
        if not self._numbers:
            raise self.unit.refuse("AMDVI-UNSUPPORTED", "all domain IDs are in use")
        number = heappop(self._numbers)
        return Domain(
            self.unit, self._pages, self._commands, number=number, levels=levels, output_width=self._host_width
        )

    def release(self, domain: Domain) -> None:
        """Give a domain's tables and ID back. Raises `IommuError` (`AMDVI-STATE`) while a device is in it."""
        if domain.attached:
            raise failure("AMDVI-STATE", "the domain is still in use", self.unit.name)
        self._check_enabled()
        self._commands.domain(domain.number)
        domain.table.release()
        heappush(self._numbers, domain.number)

    # --- Devices

    def attach(self, device: int, domain: Domain) -> None:
        """Let a device reach what a domain maps, and nothing else."""
        self._set(device, domain, domain.entry())

    def pass_through(self, device: int) -> None:
        """Let a device reach all of memory."""
        self._set(device, None, DTE(V=1, TV=1, IR=1, IW=1, DomainID=_PASS_THROUGH))

    def block(self, device: int) -> None:
        """Let a device reach nothing."""
        self._set(device, None, DENIED)

    def remap_interrupts(self, device: int, entries: int = 256) -> InterruptTable:
        """Give a device an interrupt remapping table, all of whose entries refuse at first; its old one is freed."""
        self._check_device(device)
        table = InterruptTable(self.unit, self._pages, self._commands, device=device, entries=entries)
        self._devices.set_interrupts(device, table.device_entry(), self._commands)
        old = self._interrupts.get(device)
        if old is not None:
            self._pages.free(old.table)
        self._interrupts[device] = table
        return table

    def _set(self, device: int, domain: Domain | None, entry: DTE) -> None:
        self._check_device(device)
        self._devices.set(device, entry, self._commands)
        old = self._domains.pop(device, None)
        if old is not None:
            old.attached.discard(device)
        if domain is not None:
            self._domains[device] = domain
            domain.attached.add(device)

    def _check_device(self, device: int) -> None:
        self._check_enabled()
        if not 0 <= device < self._devices.count:
            raise self.unit.refuse(
                "AMDVI-DEVICE", "the device table has no such device ID", found=hex(device),
                expected=f"less than 0x{self._devices.count:x}",
            )  # fmt: skip

    def _check_enabled(self) -> None:
        if not self._enabled:
            raise failure("AMDVI-STATE", "the unit has to be enabled first", self.unit.name)
