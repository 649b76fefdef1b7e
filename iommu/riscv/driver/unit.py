"""The driver of one RISC-V IOMMU: takes it over with every device denied, then attaches devices to domains."""

from __future__ import annotations

from heapq import heappop, heappush

from ...errors import failure
from ...platform import PageAllocator, Platform
from ..layout import DC
from ..layout.registers import CQCSR, DDTP, FCTL, FQCSR, PQCSR
from ..names import DirectoryMode, SecondStageMode
from .access import UnitAccess
from .directory import DeviceDirectory
from .domain import Domain
from .queues import CommandQueue, FaultQueue, Faults, forget_device, forget_guests, forget_hosts

_WIDTHS = {SecondStageMode.SV48X4: 50, SecondStageMode.SV39X4: 41, SecondStageMode.SV57X4: 59}
"""Bits of an address by mode: the one that is taken by default first."""


class Driver:
    """Software's side of a RISC-V IOMMU. It uses the platform's memory and registers, and nothing else.

    Attributes:
        unit: the unit's registers and capabilities.
    """

    def __init__(self, platform: Platform, base: int, pages: PageAllocator) -> None:
        """Look at the unit; nothing changes for devices before `start`.

        Args:
            platform: memory and registers.
            base: physical address of the unit's registers.
            pages: where tables and queues come from; no device should ever be granted these pages.

        Raises `IommuError`: `RISCV-VERSION`.
        """
        self.unit = UnitAccess(platform, base)
        self._pages = pages
        self._gscids = list(range(1, 1 << 16))  # sorted, hence a heap
        self._domains: dict[int, Domain] = {}
        self._running: tuple[CommandQueue, FaultQueue, DeviceDirectory] | None = None

    # --- the unit as a whole ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the unit over, whatever it was doing: every device is denied from the first store on.

        Raises `IommuError` (`RISCV-UNSUPPORTED`, `RISCV-TIMEOUT`, `RISCV-COMMAND`, `MEMORY-EXHAUSTED`).
        """
        unit = self.unit
        self._set_mode(unit.read(DDTP).replace(busy=0, iommu_mode=DirectoryMode.OFF))
        for csr in (CQCSR, FQCSR, PQCSR):
            self._disable(csr)
        self._set_features()
        commands, faults = CommandQueue(unit, self._pages), FaultQueue(unit, self._pages)
        directory = DeviceDirectory(unit, self._pages, commands)
        # The unit may remember what was there before; while it is off it learns nothing new (5.5).
        commands.run([forget_device(None), forget_hosts(), forget_guests()])
        for mode in (DirectoryMode.LVL3, DirectoryMode.LVL2, DirectoryMode.LVL1):
            if self._set_mode(DDTP(iommu_mode=mode, PPN=directory.root)):
                directory.mode = mode
                break
        else:
            raise unit.unsupported(DDTP.iommu_mode, "a device directory at this address", unit.read(DDTP).value)
        self._running = commands, faults, directory

    def _set_mode(self, wanted: DDTP) -> bool:
        """Write ddtp, wait until that is complete, and tell whether the unit took it."""
        unit = self.unit
        unit.wait(lambda: not unit.read(DDTP).busy, "ddtp")
        unit.write(wanted)
        unit.wait(lambda: not unit.read(DDTP).busy, "ddtp.iommu_mode")
        return unit.read(DDTP) == wanted

    def _disable(self, csr: type[CQCSR | FQCSR | PQCSR]) -> None:
        """Switch a queue off: its enable bit is bit 0, cqon and busy are where they are in all three."""
        unit = self.unit
        busy = CQCSR.busy.mask
        unit.wait(lambda: not unit.read(csr).value & busy, csr.__name__.lower())
        unit.write(csr(0))
        unit.wait(lambda: not unit.read(csr).value & (busy | CQCSR.cqon.mask), csr.__name__.lower())

    def _set_features(self) -> None:
        """Have little-endian structures and 64-bit guests."""
        unit = self.unit
        unit.write(unit.read(FCTL).replace(BE=0, GXL=0))
        found = unit.read(FCTL)
        if found.BE or found.GXL:
            field, what = (FCTL.BE, "little-endian structures") if found.BE else (FCTL.GXL, "64-bit guests")
            raise unit.unsupported(field, what, found.value)

    @property
    def _parts(self) -> tuple[CommandQueue, FaultQueue, DeviceDirectory]:
        if self._running is None:
            raise failure("RISCV-STATE", "the unit has to be started first", self.unit.name)
        return self._running

    @property
    def device_bits(self) -> int:
        """Bits of a device ID that the unit takes, after `start`."""
        return self._parts[2].device_bits

    def take_faults(self) -> Faults:
        """Return the fault records since the last call."""
        return self._parts[1].take()

    # --- domains ----------------------------------------------------------------------------------------------------

    def second_stage(self, width: int | None = None) -> Domain:
        """Make an empty second-stage domain for addresses of `width` bits; by default of four levels, if there are.

        Raises `IommuError` (`RISCV-UNSUPPORTED`) where the unit has no table so wide, `RISCV-REQUEST` without a GSCID.
        """
        commands = self._parts[0]
        have = self.unit.capabilities
        present = {
            SecondStageMode.SV39X4: have.Sv39x4,
            SecondStageMode.SV48X4: have.Sv48x4,
            SecondStageMode.SV57X4: have.Sv57x4,
        }
        modes = [mode for mode in (_WIDTHS if width is None else sorted(_WIDTHS)) if present[mode]]
        mode = next((mode for mode in modes if width is None or width <= _WIDTHS[mode]), None)
        if mode is None:
            field = type(have).Sv57x4
            raise self.unit.unsupported(field, f"a second stage of {width or 41} bits", field.get(have.value))
        if not self._gscids:
            raise self.unit.refuse("no GSCID is free")
        return Domain(self.unit, self._pages, commands, mode, heappop(self._gscids))

    def release(self, domain: Domain) -> None:
        """Give a domain's table and GSCID back. Raises `IommuError` (`RISCV-REQUEST`) while a device is in it."""
        if domain.devices:
            raise self.unit.refuse("the domain is still in use")
        domain.forget()
        domain.table.release()
        heappush(self._gscids, domain.gscid)

    # --- devices ----------------------------------------------------------------------------------------------------

    def attach(self, device_id: int, domain: Domain) -> None:
        """Let a device reach what a domain maps, and nothing else."""
        self._set(device_id, domain.context(), domain)

    def pass_through(self, device_id: int) -> None:
        """Let a device reach all of memory."""
        self._set(device_id, DC(V=1), None)

    def block(self, device_id: int) -> None:
        """Let a device reach nothing."""
        self._set(device_id, None, None)

    def _set(self, device_id: int, context: DC | None, domain: Domain | None) -> None:
        directory = self._parts[2]
        if not 0 <= device_id < 1 << directory.device_bits:
            raise self.unit.refuse(f"device ID 0x{device_id:x} exceeds {directory.device_bits} bits")
        directory.set(device_id, context)
        old = self._domains.pop(device_id, None)
        if old is not None:
            old.devices.discard(device_id)
        if domain is not None:
            self._domains[device_id] = domain
            domain.devices.add(device_id)
