"""Legacy mode: root and context tables, second stage, every reserved bit, every step's memory fault."""

from __future__ import annotations

import itertools

import pytest
from iommuman.iommu.vtd.model import ATOMIC, READ, WRITE, ZERO_LENGTH, Blocked
from iommuman.iommu.vtd.names import Reason

from .machine import (
    ADDRESS,
    CONTEXT,
    LEGACY_CAP,
    LEGACY_ECAP,
    ROOT,
    SECOND,
    SIZES,
    SOURCE,
    Machine,
    entry_at,
    legacy,
    output,
)

HAW = 46
CONTEXT_AT = CONTEXT + SOURCE * 16
FIVE_LEVELS = LEGACY_CAP | 1 << 11 | 56 << 16
"""SAGAW bit 3, and a guest address width of 57 bits (MGAW is 47 | 56 = 63, as 56 has all of 47's other bits)."""


def flip(machine: Machine, at: int, bit: int) -> None:
    """Invert one bit of a structure and forget what was read before."""
    machine.memory.flip(at, bit)
    machine.forget()


# --- Grid


@pytest.mark.parametrize(
    ("levels", "leaf", "flags", "access"),
    list(itertools.product((3, 4, 5), (1, 2, 3), (0, 1, 2, 3), (READ, WRITE, ATOMIC, ZERO_LENGTH))),
)
def test_page_size_by_levels_by_permission_by_access(levels: int, leaf: int, flags: int, access: int) -> None:
    """A request goes through exactly when the page permits all it asks, to the right byte of a page of any size."""
    machine = legacy(leaf, levels, flags=flags, cap=FIVE_LEVELS)
    result = machine.unit.translate(SOURCE, ADDRESS, access)
    if flags & access == access and flags:
        assert result == output(leaf) + ADDRESS % SIZES[leaf]
        assert machine.unit.translate(SOURCE, ADDRESS, access) == result, "the same from the IOTLB"
        assert machine.unit.walk(SOURCE, ADDRESS, access) == result, "the same with nothing remembered"
        assert machine.read(0x34) == 0
    else:
        reason = Reason.LGN_2 if access & WRITE and not flags & WRITE else Reason.LGN_3
        assert result == Blocked(reason, recorded=True)
        assert machine.unit.walk(SOURCE, ADDRESS, access) == Blocked(reason)
        assert machine.unit.look(SOURCE, ADDRESS, access) == Blocked(reason)
        assert machine.read(0x34) == 2


@pytest.mark.parametrize(("level", "flags", "access"), list(itertools.product((2, 3), (0, 1, 2), (READ, WRITE))))
def test_permissions_of_all_levels_count(level: int, flags: int, access: int) -> None:
    """A table entry that does not grant an access denies it for all below."""
    machine = legacy()
    machine.put(entry_at(SECOND, level), SECOND[level - 1] | flags)
    if flags & access:
        assert machine.unit.translate(SOURCE, ADDRESS, access) == output(1) + ADDRESS % 4096
        other = WRITE if access == READ else READ
        assert machine.reason(access=other) == (Reason.LGN_2 if other == WRITE else Reason.LGN_3)
    else:
        assert machine.reason(access=access) == (Reason.LGN_2 if access == WRITE else Reason.LGN_3)


def test_a_zero_length_read_needs_read_where_the_unit_says_so() -> None:
    """Without CAP.ZLR a page that can only be written refuses it."""
    machine = legacy(flags=2, cap=LEGACY_CAP & ~(1 << 22))
    assert machine.reason(access=ZERO_LENGTH) == Reason.LGN_3
    assert legacy(flags=2).unit.translate(SOURCE, ADDRESS, ZERO_LENGTH) == output(1) + ADDRESS % 4096


# --- Reserved bits, one at a time


@pytest.mark.parametrize("bit", [*range(1, 12), *range(HAW, 64), *range(64, 128)])
def test_each_reserved_bit_of_a_root_entry_faults(bit: int) -> None:
    """Bits 11:1, address bits above the host's width, and all of the upper half."""
    machine = legacy()
    flip(machine, ROOT, bit)
    assert machine.reason() == Reason.LRT_3
    assert machine.read(0x228 + 4) == 1 << 31 | 1 << 30 | Reason.LRT_3
    flip(machine, ROOT, bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096


@pytest.mark.parametrize("bit", [*range(4, 12), *range(HAW, 64), 64 + 7, *range(64 + 24, 128)])
def test_each_reserved_bit_of_a_context_entry_faults(bit: int) -> None:
    """Bits 11:4, address bits above the host's width, 71 and 127:88."""
    machine = legacy()
    flip(machine, CONTEXT_AT, bit)
    assert machine.reason() == Reason.LCT_3
    flip(machine, CONTEXT_AT, bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096


@pytest.mark.parametrize("bit", [*range(67, 71), *range(72, 88), 1])
def test_the_other_bits_of_a_context_entry_change_no_address(bit: int) -> None:
    """Software's bits, the domain ID and FPD."""
    machine = legacy()
    flip(machine, CONTEXT_AT, bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096


SECOND_RESERVED = [
    *((1, 1, bit) for bit in (11, *range(HAW, 52), 62)),
    *((2, 1, bit) for bit in (11, *range(HAW, 52), 62)),
    *((3, 1, bit) for bit in (11, *range(HAW, 52), 62)),
    *((2, 2, bit) for bit in (11, *range(12, 21), *range(HAW, 52), 62)),
    *((3, 3, bit) for bit in (11, *range(12, 30), *range(HAW, 52), 62)),
    *((4, 1, bit) for bit in (7, 11, *range(HAW, 52), 62)),
    *((5, 1, bit) for bit in (7, 11, *range(HAW, 52), 62)),
]
"""(level of the entry, level of the page, bit)."""


@pytest.mark.parametrize(("level", "leaf", "bit"), SECOND_RESERVED)
def test_each_reserved_bit_of_a_second_stage_entry_faults(level: int, leaf: int, bit: int) -> None:
    """At every level, for tables and for pages of every size."""
    machine = legacy(leaf, 5, cap=FIVE_LEVELS)
    flip(machine, entry_at(SECOND, level), bit)
    assert machine.reason() == Reason.LSL_2
    flip(machine, entry_at(SECOND, level), bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == output(leaf) + ADDRESS % SIZES[leaf]


@pytest.mark.parametrize(
    ("level", "bit"),
    [(level, bit) for level in (1, 2, 3, 4, 5) for bit in (2, 3, 4, 5, 6, 8, 9, 10, *range(52, 62), 63)],
)
def test_each_ignored_bit_of_a_second_stage_entry_is_ignored(level: int, bit: int) -> None:
    """Execute, memory type, accessed and dirty mean nothing in legacy mode, and some bits are software's."""
    machine = legacy(1, 5, cap=FIVE_LEVELS)
    flip(machine, entry_at(SECOND, level), bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096
    assert machine.memory.read_u64(entry_at(SECOND, 1)) & 0x300 == (1 << bit & 0x300 if level == 1 else 0)


def test_page_size_is_ignored_in_the_lowest_level() -> None:
    """Bit 7 of a 4 KiB entry is nothing."""
    machine = legacy()
    flip(machine, entry_at(SECOND, 1), 7)
    assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096


def test_capabilities_free_the_snoop_and_transient_bits_of_pages_only() -> None:
    """With ECAP.SC and ECAP.DT bits 11 and 62 of pages are no longer reserved; those of tables stay so."""
    for bit in (11, 62):
        machine = legacy(ecap=LEGACY_ECAP | 1 << 7 | 1 << 2)
        flip(machine, entry_at(SECOND, 1), bit)
        assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096
        flip(machine, entry_at(SECOND, 2), bit)
        assert machine.reason() == Reason.LSL_2


@pytest.mark.parametrize(("leaf", "sizes"), [(2, 0), (2, 2), (3, 0), (3, 1)])
def test_a_page_size_that_the_unit_lacks_is_a_reserved_bit(leaf: int, sizes: int) -> None:
    """CAP.SSLPS without the size makes PS reserved."""
    machine = legacy(leaf, cap=LEGACY_CAP & ~(3 << 34) | sizes << 34)
    assert machine.reason() == Reason.LSL_2


# --- Memory faults at each step


@pytest.mark.parametrize("kind", ["access", "corruption"])
@pytest.mark.parametrize("levels", [3, 4, 5])
def test_each_step_of_a_walk_reports_its_own_memory_fault(kind: str, levels: int) -> None:
    """Root, context, top table, and the tables below are told apart."""
    machine = legacy(levels=levels, cap=FIVE_LEVELS)
    steps = [(ROOT, Reason.LRT_1), (ROOT + 8, Reason.LRT_1), (CONTEXT_AT, Reason.LCT_1), (CONTEXT_AT + 8, Reason.LCT_1)]
    steps += [(entry_at(SECOND, levels), Reason.LCT_4)]
    steps += [(entry_at(SECOND, level), Reason.LSL_1) for level in range(levels - 1, 0, -1)]
    for at, reason in steps:
        machine.forget()
        machine.memory.inject(at, kind)  # type: ignore[arg-type]
        assert machine.reason() == reason
        machine.memory.heal()
        assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096


def test_tables_outside_of_memory_are_memory_faults_too() -> None:
    """A pointer into nowhere is found by whoever follows it."""
    machine = legacy()
    machine.put(entry_at(SECOND, 2), 0x3F_0000_0000_00 | 3)
    assert machine.reason() == Reason.LSL_1


# --- Invalid programming


@pytest.mark.parametrize(
    ("tt", "aw", "cap", "ecap"),
    [
        (3, 1, LEGACY_CAP, LEGACY_ECAP),  # TT reserved
        (1, 1, LEGACY_CAP, LEGACY_ECAP),  # TT 1 without ECAP.DT
        (2, 2, LEGACY_CAP, LEGACY_ECAP & ~(1 << 6)),  # TT 2 without ECAP.PT
        (0, 0, LEGACY_CAP, LEGACY_ECAP),  # 2 levels
        (0, 3, LEGACY_CAP, LEGACY_ECAP),  # 5 levels without SAGAW bit 3
        (0, 4, LEGACY_CAP, LEGACY_ECAP),  # reserved widths
        (0, 7, LEGACY_CAP | 0x1F << 8, LEGACY_ECAP),
        (2, 5, LEGACY_CAP, LEGACY_ECAP),
    ],
)
def test_each_invalid_context_entry_faults(tt: int, aw: int, cap: int, ecap: int) -> None:
    """Widths and translation types that the unit does not have."""
    machine = legacy(tt=tt, cap=cap, ecap=ecap)
    machine.put(CONTEXT_AT + 8, aw | 0x77 << 8)
    assert machine.reason() == Reason.LCT_4


def test_what_is_not_present_faults() -> None:
    """Root entry, context entry; other devices and buses."""
    machine = legacy()
    assert machine.reason(source=0x100) == Reason.LRT_2
    assert machine.reason(source=0x19) == Reason.LCT_2
    machine.put(ROOT, CONTEXT)
    machine.forget()
    assert machine.reason() == Reason.LRT_2


@pytest.mark.parametrize(("levels", "width"), [(3, 39), (4, 48), (5, 57)])
def test_addresses_end_at_the_width_of_the_domain(levels: int, width: int) -> None:
    """The first address above is refused, and everything up to 64 bits."""
    machine = legacy(levels=levels, cap=FIVE_LEVELS)
    for address in (1 << width, 1 << 63, (1 << 64) - 4096):
        assert machine.reason(address) == Reason.LGN_1
    assert machine.reason((1 << width) - 4096) == Reason.LGN_3


def test_addresses_end_at_the_width_of_the_unit_if_that_is_less() -> None:
    """MGAW cuts a 48-bit domain to 40 bits."""
    machine = legacy(levels=4, cap=LEGACY_CAP & ~(0x3F << 16) | 39 << 16)
    assert machine.reason(1 << 40) == Reason.LGN_1
    assert machine.reason((1 << 40) - 4096) == Reason.LGN_3


# --- Interrupt range, pass-through, address types


def test_the_interrupt_range_is_no_memory() -> None:
    """Neither as the address asked for nor as what it translates to, whatever the page size."""
    for leaf in (1, 2, 3):
        machine = legacy(leaf)
        for address in (0xFEE00000, 0xFEEFFFFC):
            assert machine.reason(address, WRITE) == Reason.LGN_4
        machine.put(entry_at(SECOND, leaf), (0xFEE00000 & -SIZES[leaf]) | 3 | (0x80 if leaf > 1 else 0))
        machine.forget()
        inside = ADDRESS & -SIZES[leaf] | 0xFEE00123 % SIZES[leaf]
        assert machine.reason(inside if leaf > 1 else ADDRESS) == Reason.LGN_4
        if leaf > 1:
            beside = ADDRESS & -SIZES[leaf] | 0xFEF00000 % SIZES[leaf]
            assert machine.unit.translate(SOURCE, beside) == 0xFEF00000 & -SIZES[leaf] | 0xFEF00000 % SIZES[leaf]
            assert machine.reason(inside) == Reason.LGN_4, "not from the IOTLB either"


def test_an_address_range_in_the_iotlb_does_not_hide_the_interrupt_range() -> None:
    """A page of 1 GiB around it is remembered, the interrupt range is refused all the same."""
    machine = legacy(3)
    machine.put(entry_at(SECOND, 3, 0xC0000000), 0x100000000 | 0x83)
    assert machine.unit.translate(SOURCE, 0xC0000000) == 0x100000000
    assert machine.reason(0xFEE00000) == Reason.LGN_4


def test_pass_through_leaves_addresses_as_they_are_up_to_the_width() -> None:
    """Translation type 2: no tables, the pointer is ignored."""
    machine = legacy(tt=2)
    machine.put(CONTEXT_AT, 0xFFFF_FFFF_FFFF_F000 | 2 << 2 | 1, 2 | 0x77 << 8)
    for address in (0, 0x1234567, (1 << HAW) - 1):
        assert machine.unit.translate(SOURCE, address, WRITE) == address
    assert machine.reason(1 << HAW) == Reason.LGN_1
    assert machine.reason(0xFEE00000) == Reason.LGN_4


def test_translated_requests_need_their_translation_type() -> None:
    """TT 0 and 2 block them; TT 1 lets them by without translation."""
    for tt in (0, 2):
        machine = legacy(tt=tt, ecap=LEGACY_ECAP | 1 << 2)
        for kind in (1, 2):
            assert machine.reason(kind=kind) == Reason.LCT_5
            assert machine.read(0x22C) >> 28 & 3 == kind
            machine.forget()
    machine = legacy(tt=1, ecap=LEGACY_ECAP | 1 << 2)
    assert machine.unit.translate(SOURCE, 0x5555000, kind=2) == 0x5555000
    assert machine.unit.translate(SOURCE, ADDRESS, kind=1) == output(1) + ADDRESS % 4096
    assert machine.unit.translate(SOURCE, 0x5555000, kind=1) == Blocked(Reason.LGN_3), (
        "told to the device, not recorded"
    )
    assert machine.read(0x34) == 0


def test_requests_with_pasid_do_not_exist_in_legacy_mode() -> None:
    """They are refused before any table is read."""
    assert legacy().reason(pasid=1) == Reason.RTA_2


@pytest.mark.parametrize(
    ("pointer", "reason"), [(ROOT | 1 << 10, 0x30), (ROOT | 2 << 10, 0x30), (ROOT | 3 << 10, 0x30), (1 << 46, 0x30)]
)
def test_a_root_table_register_that_makes_no_sense_blocks_everything(pointer: int, reason: int) -> None:
    """Modes the unit lacks, the reserved mode, and addresses above the host's width."""
    machine = legacy()
    machine.start(pointer)
    assert machine.reason() == reason


def test_abort_mode_blocks_without_a_record() -> None:
    """With ECAP.ADMS mode 3 is abort-DMA."""
    machine = legacy(ecap=LEGACY_ECAP | 1 << 52)
    machine.start(ROOT | 3 << 10)
    assert machine.unit.translate(SOURCE, ADDRESS) == Blocked(None)
    assert machine.read(0x34) == 0


def test_without_translation_every_address_passes() -> None:
    """Before GCMD.TE, and again after it is cleared."""
    machine = Machine()
    assert machine.unit.translate(SOURCE, 0x1234) == 0x1234
    machine = legacy()
    assert machine.unit.translate(SOURCE, ADDRESS) == output(1) + ADDRESS % 4096
    machine.write(0x18, 0)
    assert machine.unit.translate(SOURCE, ADDRESS) == ADDRESS


# --- FPD


@pytest.mark.parametrize(
    ("spoil", "recorded"),
    [
        (lambda m: m.put(CONTEXT_AT, SECOND[3] | 2), False),  # not present, FPD
        (lambda m: m.put(CONTEXT_AT, SECOND[3] | 3 | 3 << 2), False),  # TT reserved
        (lambda m: m.put(CONTEXT_AT, SECOND[3] | 3 | 1 << 4), True),  # reserved bit: not qualified
        (lambda m: m.put(entry_at(SECOND, 1), 0), False),
        (lambda m: m.put(entry_at(SECOND, 1), 1 << 11 | 3), False),
        (lambda m: m.memory.inject(entry_at(SECOND, 1)), False),
        (lambda m: m.memory.inject(CONTEXT_AT), True),
        (lambda m: m.put(ROOT, 0), True),
    ],
)
def test_fpd_silences_qualified_faults_only(spoil: object, recorded: bool) -> None:
    """The request is blocked either way."""
    machine = legacy()
    machine.put(CONTEXT_AT, SECOND[3] | 3)
    spoil(machine)  # type: ignore[operator]
    result = machine.unit.translate(SOURCE, ADDRESS)
    assert isinstance(result, Blocked)
    assert result.recorded == recorded
    assert machine.read(0x34) == 2 * recorded
