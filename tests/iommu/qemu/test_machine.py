"""Machines on QEMU: functions are set up as firmware does, memory is shared, devices do DMA when told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from iommuman.iommu import IommuError
from iommuman.iommu.qemu import MACHINES, Description, Function, start
from iommuman.iommu.qemu.pci import Configuration, Enumerator

HDA, LSI = Function("intel-hda", 0), Function("lsi53c895a", 1)
SWITCH = Function("x3130-upstream", 0, below=(Function("xio3130-downstream", 0, below=(HDA,)),))
FUNCTIONS = (
    Function("lsi53c895a", 3),
    Function("intel-hda", 4),
    Function("pcie-root-port", 5, below=(HDA,)),
    Function("pci-bridge", 6, below=(LSI, Function("intel-hda", 2))),
    Function("pcie-root-port", 7, below=(SWITCH,)),
    Function("pcie-root-port", 8, below=(Function("pcie-pci-bridge", 0, below=(LSI,)),)),
    Function("nvme", 10, options=("serial=1",)),
)  # fmt: skip
EXPANDER = Function("pxb-pcie", 9, bus=12, below=(Function("pcie-root-port", 0, below=(HDA,)),))

# DDTP of the RISC-V unit: bare, everything passes (RISC-V IOMMU 1.0 clause 6.5).
DDTP, BARE = 16, 1
FIRST_REGISTER = {
    "q35": 0x10, "q35-scalable": 0x10, "q35-first-stage": 0x10, "q35-amd": 0,
    "virt": 0xD44101B, "virt-stage-1": 0xD44101A, "virt-stage-2": 0xD441019, "virt-riscv": 0x78C2CF0F10,
}  # fmt: skip
"""VER, device table base, IDR0, capabilities, as QEMU 10.0 has them."""


@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_answers_and_does_dma(need_qemu: Callable[[str], Description], name: str) -> None:
    """On each machine the IOMMU's registers answer, and devices behind every kind of bridge copy, read and write."""
    description = need_qemu(name)
    functions = (EXPANDER, *FUNCTIONS) if description.device in ("intel-iommu", "") else FUNCTIONS
    with start(name, functions) as machine:
        size = 8 if description.kind in ("amdvi", "riscv") else 4
        assert machine.read_mmio(machine.registers, size) == FIRST_REGISTER[name]
        if description.kind == "riscv":
            assert machine.probes()[0].read(description.first) == 0  # this unit refuses everything until it is told
            machine.write_mmio(machine.registers + DDTP, BARE, 8)
        base = description.first + 0x100000
        for copier in machine.copiers():
            copier.set_program(base, base)
            machine.write(base + 0x1000, b"hello world 1234")
            copier.copy(base + 0x1001, base + 0x2003, 15)
            assert machine.read(base + 0x2000, 20) == b"\0\0\0ello world 1234\0\0"
            assert copier.read(base + 0x1006, 3) == b"wor"
            copier.write(base + 0x1006, b"sup")
            assert machine.read(base + 0x1000, 12) == b"hello supld "
            machine.write(base + 0x2000, bytes(20))
        for probe in machine.probes():
            machine.write(base, bytes(0x400))
            for at in (0, 0x7C, 0x80):
                machine.write(base + at, probe.planted(0xA5))
                assert (probe.read(base + at), probe.read(base + at + 4)) == (0xA5, 0)
            probe.write(base + 0x304, 0xBEEF)
            assert machine.read(base + 0x300, 12) == b"\0\0\0\0\xef\xbe\0\0\0\0\0\0"


def test_requester_ids_are_those_of_the_numbered_buses(need_qemu: Callable[[str], Description]) -> None:
    """Buses are numbered depth first; an expander's is its own, and what is behind it follows."""
    need_qemu("q35")
    with start("q35", (EXPANDER, *FUNCTIONS)) as machine:
        found = [(one.function.device, one.rid) for one in machine.every_function()]
        bars = [address for one in machine.every_function() for address in one.bars.values()]
    assert found == [
        ("pxb-pcie", 0x48), ("pcie-root-port", 0xC00), ("intel-hda", 0xD00),
        ("lsi53c895a", 0x18), ("intel-hda", 0x20),
        ("pcie-root-port", 0x28), ("intel-hda", 0x100),
        ("pci-bridge", 0x30), ("lsi53c895a", 0x208), ("intel-hda", 0x210),
        ("pcie-root-port", 0x38), ("x3130-upstream", 0x300), ("xio3130-downstream", 0x400), ("intel-hda", 0x500),
        ("pcie-root-port", 0x40), ("pcie-pci-bridge", 0x600), ("lsi53c895a", 0x708),
        ("nvme", 0x50),
    ]  # fmt: skip
    assert len(set(bars)) == len(bars)
    assert all(0xE0000000 <= address < 0xF0000000 for address in bars)


def test_memory_and_registers_are_bounded(need_qemu: Callable[[str], Description]) -> None:
    """What is not RAM is refused, and registers have 4 or 8 bytes; QEMU is never asked."""
    need_qemu("virt-riscv")
    with start("virt-riscv", ram=1 << 24) as machine:
        machine.write(0x80FFFFFF, b"x")
        assert machine.read(0x80FFFFFF, 1) == b"x"
        for address, size in ((0x7FFFFFFF, 2), (0x81000000, 1), (0x80FFFFFF, 2), (0x80000000, -1)):
            with pytest.raises(IommuError) as caught:
                machine.read(address, size)
            assert caught.value.finding.rule == "MEMORY-ACCESS"
        with pytest.raises(IommuError):
            machine.write(0x81000000, b"x")
        for address, size in ((machine.registers, 2), (machine.registers + 4, 8)):
            with pytest.raises(IommuError) as caught:
                machine.read_mmio(address, size)
            assert caught.value.finding.rule == "MMIO-ACCESS"


def test_a_probe_needs_messages(need_qemu: Callable[[str], Description]) -> None:
    """A sound controller that was told to have no messages cannot write, and is refused."""
    need_qemu("q35")
    with start("q35", (Function("intel-hda", 4, options=("msi=off",)),)) as machine:
        with pytest.raises(IommuError) as caught:
            machine.probes()
        assert caught.value.finding.rule == "QEMU-PCI"


class Played:
    """A configuration space that is played: every doubleword reads as what was written, or as given."""

    def __init__(self, **known: int) -> None:
        """Give words by offset, such as `at_0`."""
        self.words = {int(name[3:], 0): value for name, value in known.items()}
        self.selected = 0

    def command(self, text: str) -> str:
        """Select a word; writes are lost."""
        name, at, value = text.split()
        if (name, at) == ("outl", "0xcf8"):
            self.selected = int(value, 16) & 0xFF
        return ""

    def number(self, _: str) -> int:
        """Read a word."""
        return self.words.get(self.selected, 0)


def test_configuration_spaces_that_are_damaged_end() -> None:
    """A chain of capabilities that loops ends; a function that is not there, or too large, is refused."""
    description = MACHINES["q35"]
    looping = Configuration(Played(at_0x34=0x40, at_0x40=0x4001), description)
    assert looping.capability(0x18, 5) is None
    for link, functions, message in (
        (Played(at_0=0xFFFFFFFF), (LSI,), "lsi53c895a does not answer at requester ID 0x8"),
        (Played(at_0=0x12, at_0x10=0x80000000), (LSI,), "there is no room for 2147483648 bytes"),
        (
            Played(at_0=0x12),
            (Function("pci-bridge", 1, below=(LSI,)), Function("pxb-pcie", 1, bus=1)),
            "bus 1 is taken",
        ),
    ):
        with pytest.raises(IommuError, match=message):
            Enumerator(Configuration(link, description), description).place(functions)


def test_buses_are_as_many_as_there_is_room_for() -> None:
    """A bridge whose bus has no configuration space is refused."""
    chain = Function("pci-bridge", 1)
    for _ in range(16):
        chain = Function("pci-bridge", 1, below=(chain,))
    description = MACHINES["virt"]
    with pytest.raises(IommuError, match="this machine has 16 buses and no more"):
        Enumerator(Configuration(Played(at_0=0x12), description), description).place((chain,))
