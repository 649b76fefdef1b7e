"""The driver: words in memory by hand, what it refuses, what it does when hardware does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from iommuman.iommu import IommuError, Memory, PageAllocator, Simulated
from iommuman.iommu.errors import failure
from iommuman.iommu.riscv.driver import Driver
from iommuman.iommu.riscv.driver import access as access_module
from iommuman.iommu.riscv.model import WRITE, Capabilities, Model, reach

from .rig import capabilities

BASE = 0x301_0000
TABLES = 0x100_0000
K, M, G = 1 << 10, 1 << 21, 1 << 30


class Setup:
    """A started driver on a model."""

    def __init__(self, caps: Capabilities | None = None, *, start: bool = True, memory: int = 0x100_0000) -> None:
        """Put them together."""
        self.memory = Memory([(0, 1 << 48)])
        self.platform = Simulated(self.memory)
        self.model = Model(self.memory, caps)
        self.platform.attach(BASE, 0x1000, self.model)
        self.pages = PageAllocator(self.platform, TABLES, memory)
        self.driver = Driver(self.platform, BASE, self.pages)
        if start:
            self.driver.start()

    def words(self, address: int, count: int) -> list[int]:
        """Return doublewords of memory."""
        return [self.memory.read_u64(address + 8 * index) for index in range(count)]


def refusal(caught: pytest.ExceptionInfo[IommuError]) -> tuple[str, str]:
    """Return rule and field of an exception."""
    return caught.value.finding.rule, caught.value.finding.field


def test_registers_and_tables_by_hand() -> None:
    """ddtp, queue bases, a directory of three levels, a device context and a page, in numbers."""
    setup = Setup()
    ddtp = setup.model.read_register(0x10, 8)
    assert ddtp & 0x3FF == 4
    root = ddtp >> 10 << 12
    assert setup.model.read_register(0x18, 8) & 0x3FF == 7, "256 commands"
    assert setup.model.read_register(0x28, 8) & 0x3FF == 9, "1024 records"
    assert setup.model.read_register(0x28, 8) >> 10 << 12 & 0x7FFF == 0
    assert [setup.model.read_register(at, 4) for at in (0x48, 0x4C, 0x50)] == [0x10001, 0x10001, 0]
    domain = setup.driver.second_stage()
    domain.map(0x1234_5000, 0x8_0000_1000, 4 * K, write=False)
    domain.map(4 * G, 0x8_0000_2000, 4 * K, execute=True)
    setup.driver.attach(0x12_3456, domain)
    second = setup.words(root + 8 * (0x12_3456 >> 15), 1)[0]
    third = setup.words((second >> 10 << 12) + 8 * (0x12_3456 >> 6 & 0x1FF), 1)[0]
    assert second & 0xFFC0_0000_0000_03FF == third & 0xFFC0_0000_0000_03FF == 1
    assert domain.table.root % (16 * K) == 0
    context = setup.words((third >> 10 << 12) + 64 * 0x16, 8)
    assert context == [1, 9 << 60 | 1 << 44 | domain.table.root >> 12, 0, 0, 0, 0, 0, 0]
    table = domain.table.root
    for shift in (39, 30, 21):
        (entry,) = setup.words(table + 8 * (0x1234_5000 >> shift & 0x1FF), 1)
        assert entry & 0x3FF == 1
        table = entry >> 10 << 12
    assert setup.words(table + 8 * (0x1234_5000 >> 12 & 0x1FF), 1) == [0x8_0000_1000 >> 2 | 0x53]
    assert setup.model.translate(0x12_3456, 4 * G + 5, 2) == 0x8_0000_2005
    setup.driver.block(0x12_3456)
    assert setup.words((third >> 10 << 12) + 64 * 0x16, 1) == [0]


@pytest.mark.parametrize(("page", "flags"), [(4 * K, 0), (2 * 1024 * K, 1), (G, 2), (512 * G, 3)])
def test_the_largest_pages_that_fit(page: int, flags: int) -> None:
    """Aligned ranges are single entries of their level, and runs of them too."""
    setup = Setup()
    domain = setup.driver.second_stage()
    setup.driver.attach(1, domain)
    domain.map(page, 3 * page, 2 * page)
    assert domain.table.pages == 4 + 3 - flags
    assert [(run.address, run.output, run.length) for run in reach(setup.model, 1)] == [(page, 3 * page, 2 * page)]


def test_devices_and_formats() -> None:
    """The base format and shorter directories are programmed where the unit has no other."""
    setup = Setup(capabilities(MSI_FLAT=0, MSI_MRIF=0, directories=frozenset((2,))))
    assert setup.driver.device_bits == 7
    domain = setup.driver.second_stage()
    domain.map(0, 0x1000, 4 * K)
    for device in (0, 127):
        setup.driver.attach(device, domain)
        assert setup.model.translate(device, 0) == 0x1000
    assert domain.devices == {0, 127}
    setup.driver.pass_through(127)
    assert setup.model.translate(127, 0x5000, WRITE) == 0x5000
    assert domain.devices == {0}
    with pytest.raises(IommuError, match="device ID 0x80 exceeds 7 bits"):
        setup.driver.attach(128, domain)
    setup = Setup(capabilities(directories=frozenset((3,))))
    assert setup.driver.device_bits == 15
    setup.driver.block(0x7FFF)
    assert setup.model.translate(0x7FFF, 0) == -1


def test_widths_and_modes() -> None:
    """Four levels unless another width is asked for or the unit has none."""
    setup = Setup()
    assert (setup.driver.second_stage().width, setup.driver.second_stage(41).width) == (50, 41)
    assert (setup.driver.second_stage(42).width, setup.driver.second_stage(51).width) == (50, 59)
    assert Setup(capabilities(Sv48x4=0)).driver.second_stage().width == 41
    assert Setup(capabilities(Sv48x4=0, Sv39x4=0)).driver.second_stage().width == 59
    for caps, width in (({"Sv48x4": 0, "Sv57x4": 0}, 42), ({}, 60), ({"Sv39x4": 0, "Sv48x4": 0, "Sv57x4": 0}, None)):
        with pytest.raises(IommuError, match="does not support a second stage") as caught:
            Setup(capabilities(**caps)).driver.second_stage(width)
        assert refusal(caught) == ("RISCV-UNSUPPORTED", "Sv57x4")


def test_identifiers() -> None:
    """A GSCID is used again after release; a domain in use is not released; there are 65,535."""
    setup = Setup()
    domain = setup.driver.second_stage()
    setup.driver.attach(1, domain)
    with pytest.raises(IommuError, match="the domain is still in use"):
        setup.driver.release(domain)
    setup.driver.block(1)
    domain.map(0, 0x1000, 4 * K)
    domain.map(512 * G, 0x1000, 4 * K)
    used = setup.pages.pages_in_use
    setup.driver.release(domain)
    assert setup.pages.pages_in_use == used - 4 - 3 - 3
    assert setup.driver.second_stage().gscid == domain.gscid == 1
    setup.driver._gscids.clear()
    with pytest.raises(IommuError, match="no GSCID is free"):
        setup.driver.second_stage()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0, 100), "not whole pages"), ((1, 0, 4 * K), "not whole pages"), ((0, 1, 4 * K), "not whole pages"),
        ((0, 0, 0), "not whole pages"), ((-4 * K, 0, 4 * K), "exceed 50 bits"), ((0, 1 << 56, 4 * K), "exceed 56 bits"),
        ((1 << 50, 0, 4 * K), "exceed 50 bits"), (((1 << 50) - 4 * K, 0, 8 * K), "exceed 50 bits"),
    ],
)  # fmt: skip
def test_ranges_that_cannot_be_mapped(arguments: tuple[int, int, int], message: str) -> None:
    """What is no page or too wide is refused, and nothing has changed."""
    setup = Setup()
    domain = setup.driver.second_stage()
    with pytest.raises(IommuError, match=message) as caught:
        domain.map(*arguments)
    assert refusal(caught) == ("RISCV-REQUEST", "")
    assert domain.table.pages == 4


def test_permissions_that_there_are_not() -> None:
    """A page that is writable only, or nothing, is refused."""
    domain = Setup().driver.second_stage()
    for access in ({"read": False}, {"read": False, "write": False}, {"read": False, "execute": True}):
        with pytest.raises(IommuError, match="writable only if it is readable"):
            domain.map(0, 0, 4 * K, **access)
    domain.map(0, 0, 4 * K, read=False, write=False, execute=True)


def test_unmapping_what_is_not_mapped() -> None:
    """It is no error, and costs nothing."""
    setup = Setup()
    domain = setup.driver.second_stage()
    before = setup.model.read_register(0x24, 4)
    domain.unmap(0, 512 * G)
    assert setup.model.read_register(0x24, 4) == before
    domain.map(0, 0x1000, 4 * K)
    domain.unmap(4 * K, 4 * K)
    assert setup.model.read_register(0x24, 4) == before
    setup.driver.block(5)


def test_many_commands() -> None:
    """More commands than the queue holds go in several rounds."""
    setup = Setup()
    domain = setup.driver.second_stage()
    for count in (254, 255, 256, 600):
        domain._commands.run([*([domain_command(domain)] * count)])
        assert setup.model.read_register(0x20, 4) == setup.model.read_register(0x24, 4)


def domain_command(domain: Any) -> Any:
    """Return some command."""
    from iommuman.iommu.riscv.driver.queues import forget_guests

    return forget_guests(domain.gscid)


def test_faults_are_taken() -> None:
    """Records come once, in order, around the end of the queue; what was lost is told once."""
    setup = Setup()
    for page in range(3):
        setup.model.translate(0x18, page << 12)
    faults = setup.driver.take_faults()
    assert [(one.address, one.cause) for one in faults.records] == [(0, 258), (0x1000, 258), (0x2000, 258)]
    assert not faults.lost
    assert setup.driver.take_faults().records == ()
    for page in range(1030):
        setup.model.translate(0x18, page << 12)
    faults = setup.driver.take_faults()
    assert (len(faults.records), faults.lost) == (1023, True)
    setup.model.translate(0x18, 0x5000)
    faults = setup.driver.take_faults()
    assert ([one.address for one in faults.records], faults.lost) == ([0x5000], False)
    setup.memory.inject(setup.model.read_register(0x28, 8) >> 10 << 12, length=1 << 15, on="write")
    setup.model.translate(0x18, 0)
    assert setup.driver.take_faults().lost
    assert not setup.driver.take_faults().lost


def test_what_is_not_started() -> None:
    """Before start there are no domains and no faults, and nothing has changed."""
    setup = Setup(start=False)
    assert setup.model.read_register(0x10, 8) == 0
    for call in (setup.driver.second_stage, setup.driver.take_faults):
        with pytest.raises(IommuError, match="has to be started first") as caught:
            call()
        assert refusal(caught) == ("RISCV-STATE", "")


class Stub:
    """A unit that answers with given registers and takes no writes but to some."""

    def __init__(self, **registers: int) -> None:
        """Have these values by offset, as `r10=4`."""
        self.values = {int(name[1:], 16): value for name, value in registers.items()}

    def read_register(self, offset: int, size: int) -> int:  # noqa: ARG002 - of the protocol
        """Return a register."""
        return self.values.get(offset, 0)

    def write_register(self, offset: int, value: int, size: int) -> None:  # noqa: ARG002
        """Take enabling of queues, and nothing else."""
        if offset in (0x48, 0x4C, 0x50) and -offset not in self.values:
            self.values[offset] = value | (value & 1) << 16


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_module, "_PATIENCE", 3)


def stubbed(**registers: int) -> Driver:
    """Return a driver on a stub."""
    platform = Simulated(Memory([(0, 1 << 32)]))
    platform.attach(BASE, 0x1000, Stub(**registers))
    return Driver(platform, BASE, PageAllocator(platform, TABLES, 0x100_0000))


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("registers", "rule", "field"),
    [
        ({"r0": 0x20}, "RISCV-VERSION", "capabilities.version"),
        ({"r0": 0x10, "r10": 0x10}, "RISCV-TIMEOUT", ""),
        ({"r0": 0x10, "r48": 0x20000}, "RISCV-TIMEOUT", ""),
        ({"r0": 0x10, "r8": 1}, "RISCV-UNSUPPORTED", "BE"),
        ({"r0": 0x10, "r8": 4}, "RISCV-UNSUPPORTED", "GXL"),
        ({"r0": 0x10}, "RISCV-TIMEOUT", ""),
    ],
)
def test_units_that_do_not_do_what_they_are_told(registers: dict[str, int], rule: str, field: str) -> None:
    """A unit of another version, that stays busy, or of the other endianness is refused."""
    with pytest.raises(IommuError) as caught:
        stubbed(**registers).start()
    assert refusal(caught) == (rule, field)


def test_a_directory_that_is_not_taken() -> None:
    """Where no mode of ddtp is taken at the address of the directory, start fails."""
    setup = Setup(capabilities(directories=frozenset()), start=False)
    with pytest.raises(IommuError, match="a device directory at this address") as caught:
        setup.driver.start()
    assert refusal(caught) == ("RISCV-UNSUPPORTED", "iommu_mode")


def fail_once(memory: Memory, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next read at a place fail, and no other."""
    read, left = memory.read, [place]

    def failing(address: int, size: int) -> bytes:
        if address in left:
            left.remove(address)
            raise failure("MEMORY-ACCESS", "once")
        return read(address, size)

    monkeypatch.setattr(memory, "read", failing)


@pytest.mark.parametrize("flag", ["cmd_ill", "cqmf"])
def test_commands_that_are_refused(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue goes on with fences, the error is told, and the driver works again."""
    setup = Setup()
    domain = setup.driver.second_stage()
    queue = setup.model.read_register(0x18, 8) >> 10 << 12
    tail = setup.model.read_register(0x24, 4)
    if flag == "cqmf":
        fail_once(setup.memory, queue + 16 * tail, monkeypatch)
        command = domain_command(domain)
    else:
        command = domain_command(domain)
        command.value |= 0x7F
    with pytest.raises(IommuError, match="the unit refused a command") as caught:
        domain._commands.run([command])
    assert (caught.value.finding.rule, caught.value.finding.found) == ("RISCV-COMMAND", flag)
    assert setup.model.read_register(0x48, 4) == 0x10001
    domain.map(0, 0x1000, 4 * K)
    domain.unmap(0, 4 * K)


def test_memory_that_runs_out() -> None:
    """No memory for tables is `MEMORY-EXHAUSTED`."""
    with pytest.raises(IommuError) as caught:
        Setup(memory=0x8000)
    assert refusal(caught)[0] == "MEMORY-EXHAUSTED"
