"""QEMU as a machine to run a driver on: guest memory as a shared file, registers over the qtest socket.

The processor stays stopped; a SCSI controller (`lsi53c895a`) at 00:03.0 does DMA at once when told to, all of it
through the emulated IOMMU.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from socket import SocketIO

RAM = 64 << 20
SOURCE = 3 << 3
"""Requester ID of the DMA engine."""

SCRIPT_INTERRUPT = 0x98080000
DSP = 0x2C
ISTAT, SOFTWARE_RESET = 0x14, 0x40


class QtestPlatform:
    """A `Platform` on a QEMU: physical addresses of memory begin at `base`."""

    def __init__(self, link: SocketIO, memory: mmap.mmap, base: int) -> None:
        """Use a qtest connection and the mapped guest memory."""
        self.link = link
        self.memory = memory
        self.base = base

    def command(self, text: str) -> str:
        """Send one qtest command and return its answer."""
        self.link.write(f"{text}\n".encode())
        while True:
            answer = self.link.readline().decode().strip()
            if answer.startswith("OK"):
                return answer[3:]
            assert answer.startswith("IRQ"), (text, answer)

    def read(self, address: int, size: int) -> bytes:
        """Return guest memory."""
        return self.memory[address - self.base : address - self.base + size]

    def write(self, address: int, data: bytes) -> None:
        """Write guest memory."""
        self.memory[address - self.base : address - self.base + len(data)] = data

    def read_mmio(self, address: int, size: int) -> int:
        """Read a register."""
        return int(self.command(f"read{'l' if size == 4 else 'q'} 0x{address:x}"), 16)

    def write_mmio(self, address: int, value: int, size: int) -> None:
        """Write a register."""
        self.command(f"write{'l' if size == 4 else 'q'} 0x{address:x} 0x{value:x}")


def version(program: str) -> tuple[int, ...]:
    """Return the version of a QEMU."""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)\.(\d+)", text)
    assert found is not None
    return int(found[1]), int(found[2])


@contextlib.contextmanager
def machine(program: str, arguments: list[str], folder: Path, base: int) -> Iterator[QtestPlatform]:
    """Start a QEMU that never runs its processor, and end it again whatever happens."""
    ram, path = folder / "ram", folder / "qtest"
    command = [
        program, *arguments, "-m", f"{RAM >> 20}M", "-nodefaults", "-display", "none", "-accel", "tcg", "-S",
        "-object", f"memory-backend-file,id=ram,size={RAM},mem-path={ram},share=on",
        "-device", "lsi53c895a,addr=3.0", "-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "/dev/null",
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        stack.callback(process.kill)
        link = stack.enter_context(socket.socket(socket.AF_UNIX))
        link.settimeout(30)
        for _ in range(300):
            with contextlib.suppress(OSError):
                link.connect(str(path))
                break
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            time.sleep(0.1)
        file = stack.enter_context(ram.open("r+b"))
        memory = stack.enter_context(mmap.mmap(file.fileno(), RAM))
        yield QtestPlatform(stack.enter_context(link.makefile("rwb", buffering=0)), memory, base)


class Engine:
    """The SCSI controller as a DMA engine that copies memory."""

    def __init__(self, platform: QtestPlatform, registers: int, program: int) -> None:
        """Use its registers at this address; programs are written to physical address `program`."""
        self.platform = platform
        self.registers = registers
        self.program = program

    def copy(self, source: int, target: int, length: int, program: int) -> None:
        """Copy from and to addresses as the device sees them; `program` is where it sees its program."""
        words = (0xC0000000 | length, source, target, SCRIPT_INTERRUPT, 0)
        self.platform.write(self.program, struct.pack("<5I", *words))
        # What was refused before has left the controller waiting: reset it.
        self.platform.command(f"writeb 0x{self.registers + ISTAT:x} 0x{SOFTWARE_RESET:x}")
        self.platform.command(f"writeb 0x{self.registers + ISTAT:x} 0x0")
        self.platform.write_mmio(self.registers + DSP, program, 4)
