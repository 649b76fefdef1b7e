"""Devices that do DMA at once when told to: one copies, one makes single accesses.

`Copier` is a SCSI controller (`lsi53c895a`), a processor of its own that reads its program by DMA: it moves any bytes,
but its program needs a page that it may read. `Probe` is a sound controller (`intel-hda`): it makes exactly one access
of four bytes at any address, and needs nothing.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ..errors import failure
from .pci import CAP_MSI, Placed

if TYPE_CHECKING:
    from .platform import Qemu

COPIER, PROBE = "lsi53c895a", "intel-hda"


class Engine:
    """A device that does DMA.

    Attributes:
        rid: its requester ID. Behind a conventional bridge its accesses carry the bridge's.
    """

    def __init__(self, machine: Qemu, placed: Placed) -> None:
        """Use a function of a machine that was set up."""
        self._machine = machine
        self.rid = placed.rid


class Copier(Engine):
    """The SCSI controller. Addresses are 32 bits; accesses that are refused bring zeros, or change nothing.

    Source: LSI53C895A technical manual 5 (SCRIPTS); qemu/qemu, hw/scsi/lsi53c895a.c, lsi_execute_script.
    """

    def __init__(self, machine: Qemu, placed: Placed) -> None:
        """Use a `lsi53c895a`."""
        super().__init__(machine, placed)
        self._registers = placed.bars[1]
        self._place = self._seen = 0

    def set_program(self, physical: int, seen: int) -> None:
        """Choose where programs of 16 bytes are written, as a physical address and as the device sees it."""
        self._place, self._seen = physical, seen

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy up to 16 MiB - 1 bytes between two addresses as the device sees them, after fetching its program."""
        self._run(0xC0000000 | length & 0xFFFFFF, source, target)

    def read(self, address: int, length: int) -> bytes:
        """Return what reading 1 to 4 bytes at an address brings; zeros where it is refused."""
        self._run(0xE1000000 | _SCRATCH << 16 | length, address)
        return self._machine.read_mmio(self._registers + _SCRATCH, 4).to_bytes(4, "little")[:length]

    def write(self, address: int, data: bytes) -> None:
        """Write 1 to 4 bytes at an address."""
        value = int.from_bytes(data, "little")
        self._run(0xE0000000 | _SCRATCH << 16 | len(data), address, scratch=value)

    def _run(self, *words: int, scratch: int = 0) -> None:
        self._machine.write(self._place, struct.pack(f"<{len(words)}I", *words))
        at = self._registers
        self._machine.link.batch(
            [
                f"writeb 0x{at + _ISTAT:x} 0x{_RESET:x}",  # what was refused before may have left it waiting
                f"writeb 0x{at + _ISTAT:x} 0",
                f"writel 0x{at + _SCRATCH:x} 0x{scratch:x}",
                f"writeb 0x{at + _DCNTL:x} 0x{_SINGLE_STEP:x}",
                f"writel 0x{at + _DSP:x} 0x{self._seen:x}",
            ]
        )


_ISTAT, _RESET = 0x14, 0x40
_DSP, _SCRATCH = 0x2C, 0x5C
_DCNTL, _SINGLE_STEP = 0x3B, 0x10


class Probe(Engine):
    """The sound controller: single accesses of four bytes, at any address that is a multiple of 4.

    It reads by fetching a command for its codec; what was read is told by what the codec does. It writes by sending a
    message-signalled interrupt, which is a write of its data to its address.

    Source: Intel High Definition Audio Specification 1.0a clauses 3.3, 7.3.3.11; qemu/qemu, hw/audio/intel-hda.c.
    """

    def __init__(self, machine: Qemu, placed: Placed) -> None:
        """Use an `intel-hda` with a codec."""
        super().__init__(machine, placed)
        self._at = at = placed.bars[0]
        msi = machine.configuration.capability(self.rid, CAP_MSI)
        if msi is None:
            raise failure("QEMU-PCI", f"intel-hda at requester ID 0x{self.rid:x} can send no messages on this machine")
        self._msi = msi
        link = machine.link
        link.batch(
            [f"writel 0x{at + _GCTL:x} 0", f"writel 0x{at + _GCTL:x} 1"]
        )  # leaves reset: the codec reports itself
        link.batch([f"writew 0x{at + _WAKEEN:x} 1", f"writel 0x{at + _INTCTL:x} 0", f"writew 0x{at + _RINTCNT:x} 0xff"])
        head = machine.configuration.read(self.rid, msi)
        machine.configuration.write(self.rid, msi, head | _MSI_ENABLE)

    @staticmethod
    def planted(mark: int) -> bytes:
        """Return the four bytes that must be in memory for `read` to return `mark` (1 to 255)."""
        return (_SET_CONVERTER | mark).to_bytes(4, "little")

    def read(self, address: int) -> int:
        """Read four bytes at an address, and return the mark `planted` there; 0 for none, and where it is refused."""
        return self.mark(self._machine.link.batch(self.reading(address))[-1])

    def reading(self, address: int) -> list[str]:
        """Return the commands of `read`, for `Qtest.batch`; the answer to the last one holds the `mark`."""
        at = self._at
        base, pointer = address & ~0x7F, address >> 2 & 0x1F
        previous = (pointer - 1) & 0xFF  # what is fetched is the entry after this one, up to the pointer
        return [
            f"writel 0x{at + _ICW:x} 0x{_SET_CONVERTER:x}",
            f"writew 0x{at + _ICS:x} 3",
            f"writeb 0x{at + _CORBCTL:x} 0",
            f"writel 0x{at + _CORBLBASE:x} 0x{base & 0xFFFFFFFF:x}",
            f"writel 0x{at + _CORBUBASE:x} 0x{base >> 32:x}",
            f"writew 0x{at + _CORBRP:x} 0x{previous:x}",
            f"writew 0x{at + _CORBWP:x} 0x{pointer:x}",
            f"writeb 0x{at + _CORBCTL:x} 2",
            f"writel 0x{at + _ICW:x} 0x{_GET_CONVERTER:x}",
            f"writew 0x{at + _ICS:x} 3",
            f"readl 0x{at + _IRR:x}",
        ]

    @staticmethod
    def mark(answer: str) -> int:
        """Return the mark that the last answer to `reading` holds."""
        return int(answer, 16) & 0xFF

    def write(self, address: int, data: int) -> None:
        """Write 16 bits, and 16 zeros after them, at an address: what a message is."""
        self._machine.link.batch(self.writing(address, data))

    def writing(self, address: int, data: int) -> list[str]:
        """Return the commands of `write`, for `Qtest.batch`."""
        words = ((4, address & 0xFFFFFFFF), (8, address >> 32), (12, data))
        set_up = [self._machine.configuration.writing(self.rid, self._msi + offset, value) for offset, value in words]
        at = self._at
        ring = [f"writel 0x{at + _INTCTL:x} 0x{value:x}" for value in (0xC0000000, 0)]
        return [text for texts in (*set_up, ring) for text in texts]


_GCTL, _WAKEEN, _INTCTL = 0x08, 0x0C, 0x20
_CORBLBASE, _CORBUBASE, _CORBWP, _CORBRP, _CORBCTL = 0x40, 0x44, 0x48, 0x4A, 0x4C
_RINTCNT = 0x5A
_ICW, _IRR, _ICS = 0x60, 0x64, 0x68
_SET_CONVERTER, _GET_CONVERTER = 0x00270600, 0x002F0600
"""Commands to node 2 of the codec, its converter: stream and channel, eight bits that nothing else changes."""
_MSI_ENABLE = 1 << 16
