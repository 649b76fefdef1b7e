"""Commands and events: each command and its wrong forms, what is remembered until it is told, a log that is full."""

from __future__ import annotations

import pytest
from iommuman.iommu.amdvi.model import READ, WRITE, Blocked

from .machine import (
    ADDRESS,
    COMMANDS,
    CONTROL,
    DEVICE,
    DEVICES,
    DOMAIN,
    EVENTS,
    FEATURES,
    ON,
    PAGE,
    RW,
    SIZES,
    STATUS,
    TABLES,
    TV,
    Machine,
    V,
    entry_at,
    mapped,
)

CMD_RUN, LOG_RUN, OVERFLOW, LOG_INT, WAIT_INT = 1 << 4, 1 << 3, 1, 1 << 1, 1 << 2
ALL = 0x7FFF_FFFF_FFFF_F000
GOOD = PAGE | 0xABC


def pages(address: int, low: int = 0, *, domain: int = DOMAIN) -> tuple[int, int]:
    """Return an INVALIDATE_IOMMU_PAGES."""
    return 3 << 60 | domain << 32, address | low


# --- What is remembered


def test_a_device_table_entry_is_remembered_until_it_is_invalidated() -> None:
    """For its device ID only; also one that refuses, or lets everything pass."""
    machine = mapped()
    for words, expected in (
        ((0,), ADDRESS),
        ((V | TV | 3 << 9 | RW | TABLES[3], DOMAIN), GOOD),
        ((V | TV,), None),
        ((V | TV | 3 << 9 | RW | TABLES[3], DOMAIN), GOOD),
    ):
        before = machine.unit.translate(DEVICE, ADDRESS)
        machine.put(DEVICES + 32 * DEVICE, *words, *[0] * (4 - len(words)))
        machine.command(2 << 60 | DEVICE + 1)
        assert machine.unit.translate(DEVICE, ADDRESS) == before
        machine.command(2 << 60 | DEVICE)
        found = machine.unit.translate(DEVICE, ADDRESS)
        assert found == expected if expected is not None else isinstance(found, Blocked)


def test_a_translation_is_remembered_until_it_is_invalidated() -> None:
    """By its address and domain; a page that was not there is not remembered."""
    machine = mapped()
    assert isinstance(machine.unit.translate(DEVICE, ADDRESS + 0x1000), Blocked)
    machine.put(entry_at(1) + 8, 0x5000 | 1 | RW)
    assert machine.unit.translate(DEVICE, ADDRESS + 0x1000) == 0x5ABC
    machine.unit.translate(DEVICE, ADDRESS)
    machine.put(entry_at(1), 0)
    for command in (pages(ADDRESS & -4096, domain=DOMAIN + 1), pages((ADDRESS & -4096) + 0x1000), pages(0, 2)):
        machine.command(*command)
        assert machine.unit.translate(DEVICE, ADDRESS) == GOOD
    machine.command(*pages(ADDRESS & -4096))
    assert isinstance(machine.unit.translate(DEVICE, ADDRESS), Blocked)


@pytest.mark.parametrize("leaf", [1, 2, 3])
def test_ranges_of_an_invalidation(leaf: int) -> None:
    """S: 2^(k+1) bytes, k the lowest zero of the address from bit 12; all ones: everything. Pages it touches go."""
    for order in range(1, 30):
        for start in (0, 1 << 12 + order, ADDRESS & -1 << 12 + order, (ADDRESS & -1 << 12 + order) + (1 << 12 + order)):
            machine = mapped(leaf)
            machine.unit.translate(DEVICE, ADDRESS)
            machine.put(entry_at(leaf), 0)
            machine.command(*pages(start | (1 << 11 + order) - 4096, 1))
            size = max(SIZES[leaf], 1 << 12 + order)
            touched = start // size == ADDRESS // size
            assert isinstance(machine.unit.look(DEVICE, ADDRESS), Blocked) == touched
    machine = mapped(leaf)
    machine.unit.translate(DEVICE, ADDRESS)
    machine.put(entry_at(leaf), 0)
    machine.command(*pages(ALL, 1))
    assert isinstance(machine.unit.look(DEVICE, ADDRESS), Blocked)


@pytest.mark.parametrize("level", [2, 3])
def test_tables_on_the_way_are_remembered_until_pde_says_otherwise(level: int) -> None:
    """A page that is forgotten is walked for from the lowest table that is remembered."""
    machine = mapped()
    machine.unit.translate(DEVICE, ADDRESS)
    machine.put(entry_at(level), 0)
    machine.command(*pages(ADDRESS & -4096))
    assert machine.unit.translate(DEVICE, ADDRESS) == GOOD
    machine.command(*pages((ADDRESS & -4096) + SIZES[level], 2))
    machine.command(*pages(ADDRESS & -4096))
    assert machine.unit.translate(DEVICE, ADDRESS) == GOOD
    machine.command(*pages(ADDRESS & -4096, 2))
    assert isinstance(machine.unit.translate(DEVICE, ADDRESS), Blocked)


def test_a_remembered_table_is_of_no_use_without_permission() -> None:
    """What was granted on the way is remembered with it; a request for more walks again."""
    machine = mapped()
    machine.put(entry_at(2), TABLES[1] | 1 | 1 << 9 | 1 << 61)
    assert machine.unit.translate(DEVICE, ADDRESS, READ) == GOOD
    assert isinstance(machine.unit.look(DEVICE, ADDRESS, WRITE), Blocked)
    machine.put(entry_at(2), TABLES[1] | 1 | 1 << 9 | RW)
    assert machine.unit.translate(DEVICE, ADDRESS, WRITE) == GOOD


def test_invalidate_all_forgets_all() -> None:
    """Entries of devices, translations, interrupts."""
    machine = mapped()
    machine.unit.translate(DEVICE, ADDRESS)
    machine.put(DEVICES + 32 * DEVICE, V | TV)
    machine.command(8 << 60)
    assert isinstance(machine.unit.translate(DEVICE, ADDRESS), Blocked)


def test_caches_are_bounded_and_may_be_off() -> None:
    """The oldest goes; with `filling` off nothing is remembered."""
    machine = mapped()
    machine.unit.caches.capacity = 1
    machine.put(entry_at(1) + 8, 0x5000 | 1 | RW)
    machine.unit.translate(DEVICE, ADDRESS)
    machine.unit.translate(DEVICE, ADDRESS + 0x1000)
    machine.unit.translate(DEVICE, ADDRESS + 0x1000)
    machine.put(entry_at(1), 0, 0)
    assert isinstance(machine.unit.look(DEVICE, ADDRESS), Blocked)
    assert machine.unit.look(DEVICE, ADDRESS + 0x1000) == 0x5ABC
    machine.unit.caches.clear()
    machine.unit.caches.filling = False
    machine.unit.translate(DEVICE + 1, ADDRESS)
    assert not machine.unit.caches.devices


# --- Commands


def test_completion_wait_stores_and_interrupts() -> None:
    """s: eight bytes of data at an address of eight bytes; i: status, and an interrupt if it is enabled."""
    machine = Machine()
    machine.command(1 << 60 | 0x9008 | 5, 0x1122334455667788)
    assert machine.memory.read_u64(0x9008) == 0x1122334455667788
    assert machine.read(STATUS) & WAIT_INT == 0
    machine.command(1 << 60 | 0x9010, 1)
    assert machine.memory.read_u64(0x9010) == 0
    machine.command(1 << 60 | 2)
    assert (machine.read(STATUS) & WAIT_INT, machine.notices) == (WAIT_INT, 0)
    machine.write(CONTROL, ON | 1 << 4)
    machine.command(1 << 60 | 2)
    assert machine.notices == 1
    machine.write(STATUS, WAIT_INT)
    assert machine.read(STATUS) & WAIT_INT == 0
    assert machine.read(0x2000) == machine.tail == 64


LEGAL = {
    "completion": (1 << 60 | 0x000F_FFFF_FFFF_FFF8, 0),
    "device": (2 << 60 | 0xFFFF, 0),
    "pages": (3 << 60 | 0xFFFF << 32, ALL | 3),
    "device tlb": (4 << 60 | 0x0FFF_FFFF_FFFF_FFFF, -0x1000 | 0x31),
    "interrupts": (5 << 60 | 0xFFFF, 0),
    "prefetch": (6 << 60 | 0xFFFF << 32 | 0xFF00FFFF, -0x1000 | 0x11),
    "all": (8 << 60, 0),
}


@pytest.mark.parametrize("name", LEGAL)
def test_every_reserved_bit_of_every_command(name: str) -> None:
    """The command stops the unit, is told of with its address, and the head stays at it."""
    low, high = LEGAL[name]
    whole = low | (high & (1 << 64) - 1) << 64
    machine = Machine(FEATURES | 1)
    machine.command(low & -8 if name == "completion" else low, high)
    assert machine.read(STATUS) & CMD_RUN
    wrong = {
        "completion": range(52, 60), "device": [*range(16, 60), *range(64, 128)],
        "pages": [*range(20, 32), *range(48, 60), 66, *range(67, 76)],
        "device tlb": [65, 66, 67, *range(70, 76)], "interrupts": [*range(16, 60), *range(64, 128)],
        "prefetch": [*range(16, 24), *range(48, 60), 65, 66, 67, *range(69, 76)],
        "all": [*range(60), *range(64, 128)],
    }[name]  # fmt: skip
    for bit in wrong:
        machine = Machine(FEATURES | 1)
        bits = whole | 1 << bit
        machine.command(1 << 60)
        machine.command(bits & (1 << 64) - 1, bits >> 64)
        assert machine.events() == [(5 << 60, COMMANDS + 16)], bit
        assert machine.read(STATUS) & CMD_RUN == 0
        assert machine.read(0x2000) == 16


@pytest.mark.parametrize("opcode", [0, 7, 9, 10, 11, 12, 13, 14, 15])
def test_commands_that_there_are_not(opcode: int) -> None:
    """Opcodes that are not defined, or are of features that no modelled unit has."""
    machine = Machine()
    machine.command(opcode << 60)
    assert machine.events() == [(5 << 60, COMMANDS)]


def test_commands_of_features_that_are_absent() -> None:
    """INVALIDATE_IOMMU_ALL, PREFETCH_IOMMU_PAGES and INVALIDATE_IOTLB_PAGES have to be there."""
    for opcode, features, device_tlbs in ((8, 0, True), (6, FEATURES, True), (4, FEATURES, False)):
        machine = Machine(features, device_tlbs=device_tlbs)
        machine.command(opcode << 60)
        assert machine.events() == [(5 << 60, COMMANDS)], opcode
    machine = Machine()
    machine.command(4 << 60 | DEVICE, 0x5000)
    assert [command.Address for command in machine.unit.commands.device_tlbs] == [0x5000]


@pytest.mark.parametrize(("kind", "told"), [("access", 1), ("corruption", 3)])
def test_commands_that_cannot_be_read_and_stores_that_fail(kind: str, told: int) -> None:
    """Both stop the unit with COMMAND_HARDWARE_ERROR and the command's address."""
    machine = Machine()
    machine.memory.inject(COMMANDS, kind, on="read")  # type: ignore[arg-type]
    machine.command(1 << 60)
    assert machine.events() == [(6 << 60 | told << 57, COMMANDS)]
    machine = Machine()
    machine.memory.inject(0x9008, kind, on="write")  # type: ignore[arg-type]
    machine.command(1 << 60 | 0x9008 | 1)
    assert machine.events() == [(6 << 60 | told << 57, COMMANDS)]


def test_a_unit_that_stopped_goes_on_where_it_is_told_to() -> None:
    """CmdBufEn off and on starts it again at the head, which software may set."""
    machine = Machine()
    machine.command(0)
    machine.command(1 << 60 | 0x9008 | 1, 7)
    assert machine.memory.read_u64(0x9008) == 0
    machine.write(CONTROL, ON & ~(1 << 12))
    machine.write(0x2000, 16)
    machine.write(CONTROL, ON)
    assert machine.memory.read_u64(0x9008) == 7
    assert machine.read(0x2000) == 32


def test_commands_wait_for_both_switches() -> None:
    """Nothing is taken while CmdBufEn or IommuEn is off; a write of the base empties the buffer."""
    for control in (0, 1, 1 << 12):
        machine = Machine(control=control)
        machine.command(1 << 60 | 0x9008 | 1, 7)
        assert machine.memory.read_u64(0x9008) == 0
        machine.write(CONTROL, ON)
        assert machine.memory.read_u64(0x9008) == 7
    machine = Machine(control=0)
    machine.command(1 << 60 | 0x9008 | 1, 7)
    machine.write(0x08, COMMANDS | 9 << 56)
    assert (machine.read(0x2000), machine.read(0x2008)) == (0, 0)
    machine.write(CONTROL, ON)
    assert machine.memory.read_u64(0x9008) == 0


def test_the_buffer_wraps_at_its_length() -> None:
    """256 entries of 16 bytes with length 8, also with lengths that there are not; a tail beyond wraps too."""
    for length in (8, 0, 7):
        machine = Machine()
        machine.write(0x08, COMMANDS | length << 56)
        machine.tail = 0
        for number in range(300):
            machine.command(1 << 60 | 0x9008 | 1, number)
            assert machine.memory.read_u64(0x9008) == number
        machine.write(0x2008, machine.tail + 4096)
        assert machine.read(0x2000) == machine.tail
    machine = Machine()
    machine.write(0x08, COMMANDS | 9 << 56)
    machine.write(0x2008, 4096 + 16)
    assert machine.events() == [(5 << 60, COMMANDS)], "all of 512 entries, the first of them zeros"


# --- Events


def fault(machine: Machine, count: int = 1) -> None:
    """Let a device be refused."""
    for _ in range(count):
        machine.unit.translate(DEVICE, ADDRESS)


def test_a_log_that_is_full_stops_until_it_is_started_again() -> None:
    """One entry stays free; the overflow is told once, and what comes after is lost."""
    machine = Machine()
    machine.entry(V)
    fault(machine, 255)
    assert machine.read(STATUS) & (OVERFLOW | LOG_RUN) == LOG_RUN
    fault(machine)
    assert machine.read(STATUS) & (OVERFLOW | LOG_RUN) == OVERFLOW
    assert machine.read(0x2018) == 255 * 16
    assert len(machine.events()) == 255
    fault(machine)
    machine.write(CONTROL, ON & ~4)
    machine.write(CONTROL, ON)
    assert machine.read(STATUS) & LOG_RUN == 0, "the overflow has to be cleared"
    machine.write(CONTROL, ON & ~4)
    machine.write(STATUS, OVERFLOW)
    machine.write(CONTROL, ON)
    assert machine.events() == []
    fault(machine)
    assert len(machine.events()) == 1


def test_events_interrupt_if_they_are_let() -> None:
    """Status tells of an event in any case; EventIntEn lets it interrupt, and the overflow too."""
    machine = Machine()
    machine.entry(V)
    fault(machine)
    assert (machine.read(STATUS) & LOG_INT, machine.notices) == (LOG_INT, 0)
    machine.write(CONTROL, ON | 8)
    fault(machine, 254)
    assert machine.notices == 254
    fault(machine, 5)
    assert machine.notices == 255


def test_events_without_a_log_are_lost() -> None:
    """While EventLogEn is off, and where the log's memory fails."""
    machine = Machine(control=ON & ~4)
    machine.entry(V)
    fault(machine)
    assert machine.read(0x2018) == 0
    machine.write(CONTROL, ON)
    machine.memory.inject(EVENTS, on="write")
    fault(machine)
    assert machine.read(0x2018) == 0
    machine.memory.heal()
    fault(machine)
    assert machine.read(0x2018) == 16
    machine.write(0x10, EVENTS | 9 << 56)
    assert machine.read(0x2018) == 0
