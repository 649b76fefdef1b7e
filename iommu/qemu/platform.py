"""A machine of QEMU as a platform: the same drivers run on it that run on models."""

from __future__ import annotations

from types import TracebackType

from ..errors import IommuError, failure
from .engine import COPIER, PROBE, Copier, Probe
from .find import Installed, find_qemu
from .machines import MACHINES, Description, Function
from .pci import Configuration, Enumerator, Placed, command_line
from .process import Process
from .qtest import Qtest

RAM = 64 << 20
"""Bytes of memory of a machine when nothing else is asked for."""


class Qemu:
    """A running machine, its functions set up, its IOMMU as it is after reset. Close it when done.

    Attributes:
        description: what it is.
        text: version of QEMU, in its own words.
        link: its test protocol.
        configuration: PCI configuration space.
        functions: what was asked for on the root bus, set up.
        registers: physical address of the registers of the IOMMU.
        ram: `(start, length)` of memory.
        file: a path by which this process can map memory once more, as long as the machine runs.
        pid: of QEMU.
    """

    def __init__(self, description: Description, functions: tuple[Function, ...] = (), ram: int = RAM) -> None:
        """Start a machine; see `start`."""
        qemu = installed(description, functions)
        every = (*((description.function,) if description.function else ()), *functions)
        self.description = description
        self.text = qemu.text
        self.ram = (description.ram, ram)
        self._process = Process(qemu.path, [*description.arguments, *command_line(every, "pcie.0")], ram)
        self.pid = self._process.pid
        self.file = self._process.file
        self.link = Qtest(self._process.link)
        try:
            self.link.command(f"readl 0x{description.ram:x}")
            self.configuration = Configuration(self.link, description)
            placed = Enumerator(self.configuration, description).place(every)
        except IommuError as error:
            said = self._process.close()
            if said:
                raise failure("QEMU-START", f"{qemu.path} ends or does not answer", found=said) from error
            raise
        self.functions = placed[1:] if description.function else placed
        self.registers = placed[0].bars[0] if description.function else description.registers

    def close(self) -> None:
        """End QEMU; nothing of it stays."""
        self._process.close()

    def __enter__(self) -> Qemu:  # noqa: PYI034 - nobody derives from it
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # --- Platform

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes of memory. Raises IommuError (`MEMORY-ACCESS`) outside RAM."""
        at = self._offset(address, size)
        return self._process.memory[at : at + size]

    def write(self, address: int, data: bytes) -> None:
        """Write memory. Raises IommuError (`MEMORY-ACCESS`) outside RAM."""
        at = self._offset(address, len(data))
        self._process.memory[at : at + len(data)] = data

    def read_mmio(self, address: int, size: int) -> int:
        """Read a register of 4 or 8 bytes. Raises IommuError: `MMIO-ACCESS` it has another size, `QEMU-QTEST`."""
        return self.link.number(f"read{_suffix(address, size)} 0x{address:x}")

    def write_mmio(self, address: int, value: int, size: int) -> None:
        """Write a register of 4 or 8 bytes; raises as `read_mmio`."""
        self.link.command(f"write{_suffix(address, size)} 0x{address:x} 0x{value:x}")

    # --- Devices

    def every_function(self) -> tuple[Placed, ...]:
        """Return the functions that were asked for, those behind bridges among them, in order."""
        return tuple(one for function in self.functions for one in function.walk())

    def copiers(self) -> tuple[Copier, ...]:
        """Return an engine for each `lsi53c895a`, in order."""
        return tuple(Copier(self, one) for one in self.every_function() if one.function.device == COPIER)

    def probes(self) -> tuple[Probe, ...]:
        """Return an engine for each `intel-hda`, in order; raises IommuError (`QEMU-PCI`) when they cannot write."""
        return tuple(Probe(self, one) for one in self.every_function() if one.function.device == PROBE)

    def _offset(self, address: int, size: int) -> int:
        start, length = self.ram
        if not start <= address <= address + size <= start + length:
            raise failure("MEMORY-ACCESS", f"there is no memory at 0x{address:x}")
        return address - start


def installed(description: Description, functions: tuple[Function, ...] = ()) -> Installed:
    """Return the QEMU that has a machine and these functions.

    Raises IommuError: `QEMU-MISSING`, `QEMU-OLD`, `QEMU-BROKEN`, `QEMU-LACKS` (it was built without a device).
    """
    qemu = find_qemu(description.program, description.package, description.least)
    wanted = {one.device for function in functions for one in _walk(function)} | {description.device} - {""}
    lacking = sorted(wanted - qemu.devices)
    if lacking:
        raise failure("QEMU-LACKS", f"{qemu.path} has no {', '.join(lacking)}", found=qemu.text)
    return qemu


def start(description: str, functions: tuple[Function, ...] = (), ram: int = RAM) -> Qemu:
    """Start a machine, with its processor stopped for good.

    Args:
        description: a name of `MACHINES`.
        functions: of the root bus, and what is behind them.
        ram: bytes of memory, whole MiB.

    Raises:
        IommuError: `QEMU-MISSING`, `QEMU-OLD`, `QEMU-LACKS`, `QEMU-START` and what starting finds wrong.
    """
    found = MACHINES.get(description)
    if found is None:
        raise failure("QEMU-MACHINE", f"there is no machine {description!r}", expected=", ".join(MACHINES))
    return Qemu(found, functions, ram)


def _walk(function: Function) -> list[Function]:
    return [function, *(one for below in function.below for one in _walk(below))]


def _suffix(address: int, size: int) -> str:
    if size not in (4, 8) or address % size:
        raise failure("MMIO-ACCESS", f"no register of {size} bytes answers at 0x{address:x}")
    return "l" if size == 4 else "q"
