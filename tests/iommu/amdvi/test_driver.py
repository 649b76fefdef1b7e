"""The driver: what it writes, what it asks of the hardware, what it refuses and how it says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.iommu.amdvi.driver import Driver
from iommuman.iommu.amdvi.layout import IRTE
from iommuman.iommu.amdvi.layout.queues import InvalidateDevtabEntry
from iommuman.iommu.amdvi.layout.registers import EFR, Control, EventLogBase, Status
from iommuman.iommu.amdvi.model import WRITE, Blocked, Hardware, Interrupt, Unit, Untouched
from iommuman.iommu.amdvi.names import Opcode
from iommuman.iommu.errors import IommuError
from iommuman.iommu.platform import Memory, PageAllocator, Simulated, read_register, write_register

from .watch import BASE, DEVICES, TABLES, TABLES_LENGTH, A, B, Rig

K, M, G = 1 << 10, 1 << 20, 1 << 30


def rig(efr: EFR | None = None) -> Rig:
    """A rig whose unit remembers what it reads."""
    made = Rig([], efr or EFR(IASup=1, HATS=2))
    made.unit.caches.filling = True
    return made


def rule(error: pytest.ExceptionInfo[IommuError]) -> str:
    """Return the rule of a refusal."""
    return error.value.finding.rule


def words(made: Rig, address: int, count: int) -> list[int]:
    """Return doublewords of memory."""
    return [made.memory.read_u64(address + 8 * index) for index in range(count)]


# --- What lands in memory and registers


def test_tables_bit_by_bit() -> None:
    """A denied device, one that passes, and one in a domain whose page is at the end of four tables."""
    made = rig()
    table = made.platform.read_mmio(BASE, 8)
    assert table & 0xFFF == 0, "one page"
    place = table + 32 * A
    assert words(made, place, 4) == [3, 0, 0, 0]
    made.driver.pass_through(A)
    assert words(made, place, 4) == [0x6000000000000003, 1, 0, 0]
    domain = made.driver.create_domain()
    domain.map(0x12345000, 0x98765000, 4 * K, write=False)
    made.driver.attach(A, domain)
    root = domain.table.root
    assert words(made, place, 4) == [0x6000000000000803 | root, 2, 0, 0]
    level3 = made.memory.read_u64(root) & ~0xFFF & (1 << 52) - 1
    assert made.memory.read_u64(root) == 0x6000000000000601 | level3
    level2 = made.memory.read_u64(level3) & ~0xFFF & (1 << 52) - 1
    assert made.memory.read_u64(level3) == 0x6000000000000401 | level2
    level1 = made.memory.read_u64(level2 + 8 * 0x91) & ~0xFFF & (1 << 52) - 1
    assert made.memory.read_u64(level2 + 8 * 0x91) == 0x6000000000000201 | level1
    assert made.memory.read_u64(level1 + 8 * 0x145) == 0x2000000098765001
    domain.map(0x40000000, 0x80000000, G)
    assert made.memory.read_u64(level3 + 8) == 0x6000000080000001, "1 GiB with NextLevel 0"
    made.driver.block(A)
    assert words(made, place, 2) == [3, 0]


def test_what_firmware_said_of_the_wires_stays() -> None:
    """HtTunEn, PassPW, Isoc and the time-out stay, or are as the IVHD says; features are switched off."""
    memory = Memory([(0, 1 << 40)])
    platform = Simulated(memory)
    unit = Unit(memory, Hardware(EFR(IASup=1, GASup=1)))
    platform.attach(BASE, 0x4000, unit)
    write_register(platform, BASE, Control(HtTunEn=1, InvTimeout=5, PassPW=1, Isoc=1, GAEn=1, ComWaitIntEn=1))
    driver = Driver(platform, BASE, PageAllocator(platform, TABLES, TABLES_LENGTH), devices=DEVICES)
    driver.enable()
    assert read_register(platform, BASE, Control) == Control(
        HtTunEn=1, InvTimeout=5, PassPW=1, Isoc=1, Coherent=1, IommuEn=1, EventLogEn=1, CmdBufEn=1
    )
    pages = PageAllocator(platform, TABLES + TABLES_LENGTH, TABLES_LENGTH)
    Driver(platform, BASE, pages, devices=DEVICES, wiring=Control(ResPassPW=1, GTEn=1)).enable()
    assert read_register(platform, BASE, Control) == Control(
        InvTimeout=5, ResPassPW=1, Coherent=1, IommuEn=1, EventLogEn=1, CmdBufEn=1
    )


def test_a_table_for_all_devices() -> None:
    """By default every device ID has an entry: 2 MiB of them, all denied."""
    memory = Memory([(0, 1 << 40)])
    platform = Simulated(memory)
    unit = Unit(memory, Hardware())
    platform.attach(BASE, 0x4000, unit)
    Driver(platform, BASE, PageAllocator(platform, 0x1000000, 0x1000000)).enable()
    assert platform.read_mmio(BASE, 8) & 0x1FF == 511
    for device in (0, A, 0xFFFF):
        assert isinstance(unit.translate(device, 0x1000), Blocked)


def test_a_unit_without_invalidate_all_is_told_one_by_one() -> None:
    """Every device ID of the table and every domain, after which nothing of firmware's is remembered."""
    made = rig(EFR(HATS=2))
    made.driver.pass_through(A)
    domain = made.driver.create_domain()
    domain.map(0, G, 4 * K)
    made.driver.attach(B, domain)
    made.driver.remap_interrupts(A, 4).set(1, IRTE(RemapEn=1))
    assert made.unit.translate(B, 0) == G
    assert made.unit.translate(A, 0) == 0
    assert made.unit.interrupt(A, 0xFEE00000, 1) == Interrupt(0, 0)
    pages = PageAllocator(made.platform, TABLES + TABLES_LENGTH, TABLES_LENGTH)
    Driver(made.platform, BASE, pages, devices=DEVICES).enable()
    assert not made.unit.caches.devices
    assert not made.unit.caches.interrupts
    assert not any(tlb.pages.get(12) or tlb.tables for tlb in made.unit.caches.tlbs.values())


def test_translation_can_be_switched_off() -> None:
    """Then everything passes, and the driver takes no requests until it is enabled anew."""
    made = rig()
    made.driver.disable()
    assert made.unit.translate(A, 0x5000, WRITE) == 0x5000
    with pytest.raises(IommuError) as error:
        made.driver.block(A)
    assert rule(error) == "AMDVI-STATE"
    made.driver.enable()
    assert isinstance(made.unit.translate(A, 0x5000), Blocked)


def test_what_a_device_leaves_is_forgotten_whatever_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Translations of the domain it was in go, and those of pass-through: QEMU's unit remembers them too."""
    made = rig()
    forgotten: list[int] = []
    monkeypatch.setattr(type(made.driver._commands), "domain", lambda _self, number: forgotten.append(number))
    domain = made.driver.create_domain()
    made.driver.attach(A, domain)
    assert forgotten == [], "a denied device leaves nothing"
    made.driver.pass_through(A)
    assert forgotten == [domain.number]
    made.driver.block(A)
    assert forgotten == [domain.number, 1]


# --- Domains


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 3000), st.integers(1, 2000), st.sampled_from((0, 512, 1024, 77))),
        max_size=12,
    )
)
def test_pages_reach_what_was_mapped_last(operations: list[tuple[bool, int, int, int]]) -> None:
    """Whatever was mapped and unmapped before, and no table is lost."""
    made = rig()
    domain = made.driver.create_domain(3)
    made.driver.attach(A, domain)
    before = made.pages.pages_in_use
    expected: dict[int, int] = {}
    for is_map, start, count, delta in operations:
        pages = range(start, start + count)
        if is_map:
            domain.map(start << 12, start + delta << 12, count << 12)
            expected.update({page: page + delta for page in pages})
        else:
            domain.unmap(start << 12, count << 12)
            expected = {page: output for page, output in expected.items() if page not in pages}
    for page in range(0, 5100, 7):
        result = made.unit.translate(A, page << 12)
        assert result == expected[page] << 12 if page in expected else isinstance(result, Blocked)
    domain.unmap(0, 32 * M)
    assert made.pages.pages_in_use == before


def test_scattered_pages() -> None:
    """Frames one after another; those that lie side by side become large pages."""
    made = rig()
    domain = made.driver.create_domain(3)
    made.driver.attach(A, domain)
    domain.map_pages(0, [0x5000, 0x9000, 0x6000])
    assert [made.unit.translate(A, page << 12) for page in range(3)] == [0x5000, 0x9000, 0x6000]
    used = made.pages.pages_in_use
    domain.map_pages(2 * M, [G + 4096 * page for page in range(512)], write=False)
    assert made.unit.translate(A, 4 * M - 1) == G + 2 * M - 1
    assert isinstance(made.unit.translate(A, 2 * M, WRITE), Blocked)
    assert made.pages.pages_in_use == used, "one large page"


def test_many_ranges_are_forgotten_by_domain() -> None:
    """A range of many blocks is not worth telling one by one."""
    made = rig()
    domain = made.driver.create_domain()
    made.driver.attach(A, domain)
    for page in range(0, 400, 2):
        domain.map(page << 12, G + (page << 12), 4 * K)
        made.unit.translate(A, page << 12)
    domain.unmap(0, 400 << 12)
    assert all(isinstance(made.unit.translate(A, page << 12), Blocked) for page in range(0, 400, 2))


@pytest.mark.parametrize(
    ("address", "output", "length"),
    [
        (0x800, 0, 4096), (0, 0x800, 4096), (0, 0, 100), (0, 0, 0), (-4096, 0, 4096), (0, -4096, 4096),
        (1 << 39, 0, 4096), ((1 << 39) - 4096, 0, 8192), (0, 1 << 46, 4096), (0xFEDFF000, 0, 8192),
        (0xFEEFF000, 0, 4096),
    ],
)  # fmt: skip
def test_what_cannot_be_mapped(address: int, output: int, length: int) -> None:
    """Parts of pages, what is beyond, and the interrupt range; nothing changes."""
    made = rig()
    domain = made.driver.create_domain(3)
    with pytest.raises(IommuError) as error:
        domain.map(address, output, length)
    assert rule(error) == "AMDVI-MAPPING"
    with pytest.raises(IommuError):
        domain.map_pages(0, [0x1000, 0x1800])
    with pytest.raises(IommuError):
        domain.map(0, 0, 4096, read=False, write=False)
    with pytest.raises(IommuError):
        made.driver.create_domain().map(0xFD00000000, 0, 4096)
    assert bytes(4096) == made.memory.read(domain.table.root, 4096)


def test_domains_of_the_heights_that_the_unit_has() -> None:
    """EFR.HATS says how high; IDs are used again."""
    made = rig(EFR(IASup=1))
    assert [made.driver.create_domain(levels).width for levels in (1, 2, 3, 4)] == [21, 30, 39, 48]
    for levels in (0, 5, 7):
        with pytest.raises(IommuError) as error:
            made.driver.create_domain(levels)
        assert rule(error) == "AMDVI-UNSUPPORTED"
        assert error.value.finding.field == "EFR.HATS (bits 11:10)"
    assert rig().driver.create_domain(6).width == 64
    domain = made.driver.create_domain()
    made.driver.attach(A, domain)
    with pytest.raises(IommuError) as error:
        made.driver.release(domain)
    assert rule(error) == "AMDVI-STATE"
    made.driver.block(A)
    made.driver.release(domain)
    assert made.driver.create_domain().number == domain.number
    made.driver._numbers.clear()
    with pytest.raises(IommuError) as error:
        made.driver.create_domain()
    assert rule(error) == "AMDVI-UNSUPPORTED"


def test_devices_that_the_table_has() -> None:
    """A device ID beyond is refused, and so is a table of no size."""
    made = rig()
    for device in (-1, DEVICES):
        with pytest.raises(IommuError) as error:
            made.driver.block(device)
        assert rule(error) == "AMDVI-DEVICE"
    for devices in (0, 65537):
        with pytest.raises(IommuError) as error:
            Driver(made.platform, BASE, made.pages, devices=devices)
        assert rule(error) == "AMDVI-DEVICE"


# --- Interrupts


def test_interrupts_of_a_device() -> None:
    """Its own table; a second one takes the place of the first, whose memory is free again."""
    made = rig()
    used = made.pages.pages_in_use
    table = made.driver.remap_interrupts(A, 8)
    place = (made.platform.read_mmio(BASE, 8) & ~0xFFF) + 32 * A
    assert words(made, place, 4) == [3, 0, 0x2000000000000007 | table.table, 0]
    table.set(7, IRTE(RemapEn=1, Vector=0x31, Destination=3))
    assert made.unit.interrupt(A, 0xFEE00000, 7) == Interrupt(0x31, 3)
    assert made.unit.interrupt(B, 0xFEE00000, 7) == Untouched(0xFEE00000, 7)
    made.driver.pass_through(A)
    assert made.unit.interrupt(A, 0xFEE00000, 7) == Interrupt(0x31, 3), "what is said of interrupts stays"
    made.driver.remap_interrupts(A, 2048)
    assert isinstance(made.unit.interrupt(A, 0xFEE00000, 7), Blocked)
    assert made.pages.pages_in_use == used + 2
    for index in (-1, 8):
        with pytest.raises(IommuError) as error:
            table.set(index, None)
        assert rule(error) == "AMDVI-INTERRUPT"
    for entries in (0, 3, 4096):
        with pytest.raises(IommuError) as error:
            made.driver.remap_interrupts(B, entries)
        assert rule(error) == "AMDVI-INTERRUPT"


# --- Events


def test_events_are_taken_in_order_and_once() -> None:
    """Device, address and what was tried; the log wraps."""
    made = rig()
    for number in range(300):
        made.unit.translate(A, number << 12, WRITE)
        (record,) = made.driver.take_events().records
        assert (record.device, record.address, record.type) == (A, number << 12, "write")
    assert made.driver.take_events() == type(made.driver.take_events())((), lost=False)


def test_a_log_that_overflowed_goes_on() -> None:
    """What was lost is told once, and the next event is there again."""
    made = rig()
    for number in range(300):
        made.unit.translate(A, number << 12)
    events = made.driver.take_events()
    assert (len(events.records), events.lost) == (255, True)
    assert made.driver.take_events().lost is False
    made.unit.translate(A, 0x5000)
    assert [record.address for record in made.driver.take_events().records] == [0x5000]


# --- Units that do not do as they should


def test_no_unit_there() -> None:
    """All ones, and a reserved value of the features."""

    class Nothing:
        """Reads as one value everywhere."""

        def __init__(self, value: int) -> None:
            self.value = value

        def read_register(self, offset: int, size: int) -> int:  # noqa: ARG002 - a register block
            return self.value

        def write_register(self, offset: int, value: int, size: int) -> None:
            pass

    for value in ((1 << 64) - 1, 3 << 10):
        memory = Memory([(0, 1 << 32)])
        platform = Simulated(memory)
        platform.attach(BASE, 0x4000, Nothing(value))
        with pytest.raises(IommuError) as error:
            Driver(platform, BASE, PageAllocator(platform, TABLES, TABLES_LENGTH))
        assert rule(error) == "AMDVI-ABSENT"


def test_a_unit_that_stops_at_a_command_is_told_of_and_goes_on() -> None:
    """The command is named, and the buffer works afterwards."""
    made = rig()
    made.memory.inject(made.driver._commands._status, on="write")
    with pytest.raises(IommuError) as error:
        made.driver.pass_through(A)
    assert rule(error) == "AMDVI-COMMAND"
    assert error.value.finding.found.startswith("0x")
    made.memory.heal()
    made.driver.pass_through(A)
    assert made.unit.translate(A, 0x5000) == 0x5000


def test_batches_that_fill_the_buffer() -> None:
    """As many commands as one batch takes, and twice as many; none at all is no batch."""
    made = rig()
    buffer = made.driver._commands
    command = InvalidateDevtabEntry(Opcode=Opcode.INVALIDATE_DEVTAB_ENTRY, DeviceID=A)
    for count, batches in ((0, 0), (253, 1), (254, 1), (255, 2), (508, 2)):
        before = buffer._token
        buffer.run([command] * count)
        assert buffer._token == before + batches


def test_a_unit_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver gives up, and says what it waited for."""
    made = rig()
    monkeypatch.setattr("iommuman.iommu.amdvi.driver.access._PATIENCE", 3)
    monkeypatch.setattr(type(made.unit.commands), "run", lambda _self: None)
    with pytest.raises(IommuError) as error:
        made.driver.pass_through(A)
    assert rule(error) == "AMDVI-TIMEOUT"


def test_reading_the_log_does_not_depend_on_what_firmware_left() -> None:
    """A log that firmware left overflowed is started anew."""
    made = rig()
    for number in range(300):
        made.unit.translate(A, number << 12)
    assert made.unit.registers.get(Status).EventOverflow
    pages = PageAllocator(made.platform, TABLES + TABLES_LENGTH, TABLES_LENGTH)
    second = Driver(made.platform, BASE, pages, devices=DEVICES)
    second.enable()
    assert made.unit.registers.get(EventLogBase).EventBase >= TABLES + TABLES_LENGTH
    made.unit.translate(A, 0x5000)
    assert [record.address for record in second.take_events().records] == [0x5000]
