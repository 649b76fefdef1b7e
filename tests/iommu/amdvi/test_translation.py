"""The model on tables by hand: every level and size, every reserved bit, every condition, and its event."""

from __future__ import annotations

import pytest
from iommuman.iommu.amdvi.layout.registers import EFR
from iommuman.iommu.amdvi.model import ATOMIC, READ, WRITE, Blocked, Hardware

from .machine import (
    ADDRESS,
    DEVICE,
    DEVICES,
    DOMAIN,
    EVENTS,
    FEATURES,
    ON,
    PAGE,
    RW,
    SIZES,
    TABLES,
    TV,
    Machine,
    V,
    entry_at,
    mapped,
)

ILLEGAL, FAULT, DEVTAB_ERROR, TABLE_ERROR = 1, 2, 3, 4
PR, WR, PE, RZ = 0x10, 0x20, 0x40, 0x80
"""Bits of `flags`."""


# --- What reaches what


@pytest.mark.parametrize("levels", range(1, 7))
def test_a_page_of_each_size_in_tables_of_each_height(levels: int) -> None:
    """A leaf with NextLevel 0 maps what an entry of its level spans."""
    for leaf in range(1, levels + 1):
        address = ADDRESS % SIZES[levels]
        machine = mapped(leaf, levels, address=address)
        size = SIZES[leaf]
        assert machine.unit.translate(DEVICE, address) == (PAGE & -size) + address % size
        assert machine.unit.translate(DEVICE, address & -size, WRITE) == PAGE & -size
        assert machine.unit.walk(DEVICE, address | size - 1, ATOMIC) == PAGE & -size | size - 1
        assert machine.events() == []


@pytest.mark.parametrize("level", [1, 2, 3])
def test_pages_that_encode_their_size(level: int) -> None:
    """NextLevel 7: 2^(k+1) bytes, k the lowest zero of the address, between this level's size and the next one's."""
    for ones in range(40):
        shift = 13 + ones
        encoded = 0x8_0000_0000_0000 | (1 << shift - 1) - 0x1000
        machine = mapped(level, 4, leaf_bits=RW)
        machine.put(entry_at(level), encoded | 7 << 9 | 1 | RW)
        if 3 + 9 * level < shift < 12 + 9 * level:
            expected = 0x8_0000_0000_0000 | ADDRESS & (1 << shift) - 1
            assert machine.unit.translate(DEVICE, ADDRESS) == expected
        else:
            assert machine.flags() == (FAULT, PR), shift


def test_the_size_of_the_specification() -> None:
    """Address bits 15:12 of 0111: 64 KiB."""
    machine = mapped(1, 3)
    machine.put(entry_at(1), 0x1234_0000 | 0x7000 | 7 << 9 | 1 | RW)
    assert machine.unit.translate(DEVICE, ADDRESS) == 0x1234_1ABC
    assert machine.unit.look(DEVICE, 0x4020FFFF) == 0x1234_FFFF, "remembered as a whole"
    assert isinstance(machine.unit.walk(DEVICE, 0x40202000), Blocked), "every entry of the page says it"


@pytest.mark.parametrize(("upper", "lower"), [(4, 2), (4, 1), (3, 1), (6, 1), (6, 3)])
def test_levels_may_be_left_out(upper: int, lower: int) -> None:
    """An entry that points to a table of a much lower level: the address bits between must be 0."""
    address = 0x1ABC
    machine = mapped(upper, upper, address=address)
    machine.put(entry_at(upper, address), TABLES[lower] | 1 | lower << 9 | RW)
    for level in range(lower, 0, -1):
        machine.put(entry_at(level, address), (TABLES[level - 1] | level - 1 << 9 if level > 1 else PAGE) | 1 | RW)
    assert machine.unit.translate(DEVICE, address) == PAGE | 0xABC
    for bit in range(3 + 9 * (lower + 1), 3 + 9 * upper):
        assert machine.flags(address | 1 << bit) == (FAULT, PR)


@pytest.mark.parametrize("levels", range(1, 6))
def test_addresses_that_the_tables_do_not_reach(levels: int) -> None:
    """Any bit above the root table's range faults."""
    address = ADDRESS % SIZES[levels]
    machine = mapped(1, levels, address=address)
    for bit in range(12 + 9 * levels, 64):
        assert machine.flags(address | 1 << bit) == (FAULT, PR)
        assert machine.flags(address | 1 << bit, WRITE) == (FAULT, PR | WR)


@pytest.mark.parametrize("where", ["entry", 3, 2, 1])
@pytest.mark.parametrize("allowed", [0, 1, 2, 3])
def test_permissions_add_up_over_all_levels(where: str | int, allowed: int) -> None:
    """Reading and writing each need leave of the device table and of every level."""
    machine = mapped()
    if isinstance(where, int):
        at = entry_at(where)
        machine.put(at, machine.memory.read_u64(at) & ~RW | allowed << 61)
    else:
        machine.entry(TABLES[3] | V | TV | 3 << 9 | allowed << 61, DOMAIN)
    for access in (READ, WRITE, ATOMIC):
        if access & ~allowed:
            assert machine.flags(ADDRESS, access) == (FAULT, PR | PE | (WR if access & WRITE else 0))
        else:
            assert machine.unit.translate(DEVICE, ADDRESS, access) == PAGE | 0xABC


@pytest.mark.parametrize("allowed", [0, 1, 2, 3])
def test_without_levels_the_address_is_itself(allowed: int) -> None:
    """Mode 0: IR and IW of the device table still hold."""
    machine = Machine()
    machine.entry(V | TV | allowed << 61, DOMAIN)
    for access in (READ, WRITE):
        if access & allowed:
            assert machine.unit.translate(DEVICE, 1 << 63 | 5, access) == 1 << 63 | 5
        else:
            assert machine.flags(ADDRESS, access) == (FAULT, PR | PE | (WR if access & WRITE else 0))


def test_what_is_not_valid_or_not_on_passes() -> None:
    """V = 0, whatever else the entry says, and a unit that is off."""
    machine = Machine()
    machine.entry(0xFFFF_FFFF_FFFF_FFFE, -1)
    assert machine.unit.translate(DEVICE, ADDRESS) == ADDRESS
    machine.entry(V | TV)
    assert machine.flags() == (FAULT, PR | PE)
    machine.write(0x18, ON & ~1)
    assert machine.unit.translate(DEVICE, 0xFEE00000) == 0xFEE00000


def test_valid_without_valid_tables_refuses() -> None:
    """V = 1 and TV = 0: there is nothing to translate with."""
    machine = Machine()
    machine.entry(V | RW, DOMAIN)
    assert machine.flags() == (FAULT, 0)
    assert machine.flags(access=WRITE) == (FAULT, WR)


def test_the_interrupt_range_is_no_memory() -> None:
    """Requests there are refused, without an event that is known, whatever the device table says."""
    machine = Machine()
    machine.entry(V | TV | RW)
    for address in (0xFEE00000, 0xFEEFFFFF):
        assert machine.unit.translate(DEVICE, address) == Blocked(None)
    assert machine.unit.translate(DEVICE, 0xFEDFFFFF) == 0xFEDFFFFF
    assert machine.unit.translate(DEVICE, 0xFEF00000) == 0xFEF00000
    assert machine.events() == []


def test_the_exclusion_range_goes_round_translation() -> None:
    """For all devices with Allow, else for those with EX; the limit's page is the last."""
    machine = mapped()
    machine.write(0x28, 0x40202000)
    machine.write(0x20, 0x40201000)
    assert machine.unit.walk(DEVICE, ADDRESS) == PAGE | 0xABC, "not enabled"
    machine.write(0x20, 0x40201001)
    assert machine.unit.walk(DEVICE, ADDRESS) == PAGE | 0xABC, "not for this device"
    machine.write(0x20, 0x40201003)
    assert machine.unit.translate(DEVICE, ADDRESS, WRITE) == ADDRESS
    assert machine.unit.translate(DEVICE, 0x40202FFF) == 0x40202FFF
    assert machine.flags(0x40203000) == (FAULT, 0)
    assert machine.flags(0x40200FFF) == (FAULT, 0)
    machine.write(0x20, 0x40201001)
    machine.entry(V, 1 << 39)
    assert machine.unit.translate(DEVICE, ADDRESS) == ADDRESS
    machine.entry(V | 1 << 2, 1 << 39)
    assert machine.flags() == (ILLEGAL, RZ), "what is illegal is so everywhere"


# --- Illegal entries


@pytest.mark.parametrize("bit", [*range(2, 9), 52, 53, 54, 55, 63, 106])
def test_every_reserved_bit_of_a_device_table_entry(bit: int) -> None:
    """Reserved bits, and fields of features that the unit does not have: guest translation (GV) among them."""
    machine = mapped()
    word = machine.memory.read_u64(DEVICES + 32 * DEVICE)
    both = (DOMAIN << 64 | word) ^ 1 << bit
    machine.entry(both & (1 << 64) - 1, both >> 64)
    assert machine.flags() == (ILLEGAL, RZ)
    assert machine.flags(access=WRITE) == (ILLEGAL, RZ | WR)


@pytest.mark.parametrize("bit", [*range(56, 61), *range(80, 103), 104, 105, *range(107, 128), *range(128, 256)])
def test_every_other_bit_leaves_memory_requests_alone(bit: int) -> None:
    """Fields of guest tables without GV, attributes, and all that is said of interrupts."""
    machine = mapped()
    both = DOMAIN << 64 | machine.memory.read_u64(DEVICES + 32 * DEVICE) | 1 << bit
    machine.entry(*(both >> shift & (1 << 64) - 1 for shift in (0, 64, 128, 192)))
    assert machine.unit.translate(DEVICE, ADDRESS) == PAGE | 0xABC


def test_modes_that_the_unit_does_not_have() -> None:
    """Mode 7 of any, and what EFR.HATS does not have: an invalid encoding, not a reserved bit."""
    for hats, most in ((0, 4), (1, 5), (2, 6)):
        machine = Machine(FEATURES & ~(3 << 10) | hats << 10)
        for mode in range(1, 8):
            machine.entry(TABLES[6] | V | TV | mode << 9 | RW)
            expected = (FAULT, 0) if mode <= most else (ILLEGAL, 0)
            assert machine.flags(0x1000) == expected
    machine.entry(V | 7 << 9)
    assert machine.flags() == (FAULT, 0), "without TV there is no Mode"


def test_the_event_of_an_illegal_entry() -> None:
    """Device ID and address of the request, without its two lowest bits."""
    machine = Machine()
    machine.entry(V | 1 << 2)
    machine.unit.translate(DEVICE, ADDRESS | 3, WRITE)
    assert machine.events() == [(0x10A0_0000_0000_0018, 0x40201ABC)]


# --- Page-table entries


@pytest.mark.parametrize("bit", range(64))
def test_every_bit_of_a_leaf(bit: int) -> None:
    """58:52 are reserved; A, D, U, FC and unused bits change nothing."""
    machine = mapped()
    at = entry_at(1)
    word = machine.memory.read_u64(at)
    machine.put(at, word | 1 << bit)
    if 52 <= bit <= 58:
        assert machine.flags() == (FAULT, PR | RZ)
    elif 9 <= bit <= 11:
        assert machine.flags() == (FAULT, PR), "a table of the same level or a higher one"
    else:
        extra = 1 << bit if 12 <= bit <= 51 else 0
        assert machine.unit.translate(DEVICE, ADDRESS) == (PAGE | extra) | 0xABC


@pytest.mark.parametrize("bit", [*range(52, 61), *range(1, 9), 63])
def test_bits_of_an_entry_that_points_to_a_table(bit: int) -> None:
    """60:52 are reserved; the rest changes nothing."""
    machine = mapped()
    at = entry_at(2)
    machine.put(at, machine.memory.read_u64(at) | 1 << bit)
    if 52 <= bit <= 60:
        assert machine.flags() == (FAULT, PR | RZ)
    else:
        assert machine.unit.translate(DEVICE, ADDRESS) == PAGE | 0xABC


@pytest.mark.parametrize("level", [1, 2, 3])
def test_an_entry_must_be_present_and_lead_down(level: int) -> None:
    """PR = 0 whatever else is set; NextLevel of the same level or above."""
    machine = mapped()
    at = entry_at(level)
    machine.put(at, machine.memory.read_u64(at) & ~1 | 0x7F << 52)
    assert machine.flags(access=WRITE) == (FAULT, WR)
    for following in range(level, 7):
        machine.put(at, TABLES[1] | 1 | following << 9 | RW)
        assert machine.flags() == (FAULT, PR)


def test_low_bits_of_a_large_page_are_not_its_address() -> None:
    """With NextLevel 0, address bits below the size of the level are left out."""
    machine = mapped(2, 3)
    machine.put(entry_at(2), 0x9_8765_4000 | 1 | RW)
    assert machine.unit.translate(DEVICE, ADDRESS) == 0x9_8760_1ABC


def test_reserved_bits_are_looked_at_before_permission_and_permission_before_levels() -> None:
    """The first of several wrongs is the one that is told."""
    machine = mapped()
    machine.put(entry_at(2), TABLES[1] | 1 | 5 << 9 | 1 << 52)
    assert machine.flags() == (FAULT, PR | RZ)
    machine.put(entry_at(2), TABLES[1] | 1 | 5 << 9)
    assert machine.flags() == (FAULT, PR | PE)
    machine.put(entry_at(2), TABLES[1] | 1 | 5 << 9 | RW)
    assert machine.flags() == (FAULT, PR)


def test_the_event_of_a_page_fault() -> None:
    """Device ID, domain ID and the whole address."""
    machine = mapped()
    machine.unit.translate(DEVICE, 0xDEAD_BEEF, WRITE)
    assert machine.events() == [(0x2020_0077_0000_0018, 0xDEAD_BEEF)]


# --- Memory that fails


@pytest.mark.parametrize(("kind", "told"), [("access", 1), ("corruption", 3)])
def test_memory_that_cannot_be_read(kind: str, told: int) -> None:
    """Device table and page tables; the event says where, and whether nobody answered or the data is damaged."""
    machine = mapped()
    machine.memory.inject(DEVICES + 32 * DEVICE + 8, kind)  # type: ignore[arg-type]
    machine.unit.translate(DEVICE, ADDRESS, WRITE)
    assert machine.events() == [(0x3020_0000_0000_0018 | told << 57, DEVICES + 32 * DEVICE)]
    machine.memory.heal()
    for level in (3, 2, 1):
        machine.memory.inject(entry_at(level), kind)  # type: ignore[arg-type]
        machine.unit.translate(DEVICE, ADDRESS)
        assert machine.events() == [(0x4000_0077_0000_0018 | told << 57, entry_at(level))]
        machine.memory.heal()
    machine.entry((1 << 50) | V | TV | 3 << 9 | RW, DOMAIN)
    assert machine.flags() == (TABLE_ERROR, 0x200), "beyond memory nobody answers"


def test_devices_beyond_the_table() -> None:
    """The register says how long it is: 128 entries a page."""
    machine = Machine()
    machine.entry(V | TV | RW, device=0x80)
    assert machine.unit.translate(0x7F, ADDRESS) == ADDRESS
    assert machine.flags(device=0x80) == (FAULT, 0)
    machine.write(0, DEVICES | 1)
    assert machine.unit.translate(0x80, ADDRESS) == ADDRESS
    assert machine.flags(device=0x100) == (FAULT, 0)


# --- What is not recorded


def test_page_faults_that_the_device_table_silences() -> None:
    """SA: none; SE: the first since the entry was read. Other events are never silenced."""
    machine = Machine()
    machine.entry(V, 1 << 34)
    first = machine.unit.translate(DEVICE, ADDRESS)
    assert isinstance(first, Blocked)
    assert (first.recorded, machine.events()) == (False, [])
    machine.entry(V, 1 << 33)
    assert machine.flags() == (FAULT, 0)
    again = machine.unit.translate(DEVICE, ADDRESS)
    assert isinstance(again, Blocked)
    assert (again.recorded, machine.events()) == (False, [])
    machine.command(2 << 60 | DEVICE)
    assert machine.flags() == (FAULT, 0), "read anew"
    machine.entry(V | 1 << 2, 1 << 34 | 1 << 33)
    assert machine.flags() == (ILLEGAL, RZ)
    assert machine.flags() == (ILLEGAL, RZ)


def test_walking_leaves_no_trace() -> None:
    """`walk` neither remembers nor records, and `look` does not record."""
    machine = mapped()
    before = machine.memory.read(EVENTS, 4096)
    assert machine.unit.walk(DEVICE, ADDRESS) == PAGE | 0xABC
    assert not machine.unit.caches.devices
    assert isinstance(machine.unit.walk(DEVICE, 0), Blocked)
    assert isinstance(machine.unit.look(DEVICE, 0), Blocked)
    assert machine.memory.read(EVENTS, 4096) == before


def test_only_units_that_are_modelled_can_be_made() -> None:
    """Guest translation, page requests and other features are refused when the unit is made."""
    for features in (EFR(GTSup=1), EFR(PPRSup=1), EFR(HATS=3), EFR(DevTblSegSup=1)):
        with pytest.raises(ValueError, match="no such unit is modelled"):
            Hardware(features)
