"""Interrupt remapping: requests, entries, source validation, posting, every reserved bit."""

from __future__ import annotations

import itertools

import pytest
from iommuman.iommu.vtd.model import Blocked, Interrupt, Posted, Untouched
from iommuman.iommu.vtd.names import Reason

from .machine import IRTES, LEGACY_CAP, LEGACY_ECAP, QUEUE, SOURCE, Machine

POSTING = LEGACY_CAP | 1 << 59
DESCRIPTOR = 0x3_0000_0140
REMAPPED = (0x300 << 32 | 0x31 << 16 | 1, 1 << 18 | SOURCE)
"""P, vector 0x31, destination 3; SVT 1, SQ 0, SID 0x18."""
POSTED = (DESCRIPTOR >> 6 << 38 & (1 << 64) - 1 | 0x41 << 16 | 1 << 15 | 1, DESCRIPTOR >> 32 << 32 | 1 << 18 | SOURCE)
"""P, IM, virtual vector 0x41, descriptor; SVT 1, SID 0x18."""
MESSAGE = 0xFEE00000 | 5 << 5 | 1 << 4
"""Remappable, handle 5."""


def machine(
    entry: tuple[int, int] = REMAPPED, *, cap: int = POSTING, size: int = 7, extended: bool = False, cfi: bool = False
) -> Machine:
    """A machine that remaps interrupts with a table of 2^(size + 1) entries, of which number 5 is `entry`."""
    made = Machine(cap, LEGACY_ECAP)
    made.put(IRTES + 5 * 16, *entry)
    made.write(0xB8, IRTES | extended << 11 | size, 8)
    made.write(0x18, 1 << 24)
    made.write(0x18, 1 << 25 | cfi << 23)
    return made


def reason(made: Machine, address: int = MESSAGE, data: int = 0, source: int = SOURCE) -> Reason | None:
    """Return why an interrupt is blocked; fail if it is not."""
    result = made.unit.interrupt(source, address, data)
    assert isinstance(result, Blocked)
    return result.reason


def flip(made: Machine, at: int, bit: int) -> None:
    """Invert one bit and forget what was read before."""
    made.memory.flip(at, bit)
    made.forget()


def test_an_entry_says_everything_about_its_interrupt() -> None:
    """Vector, destination and modes come from the entry, not from the message."""
    assert machine().unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)
    made = machine((0x300 << 32 | 0x31 << 16 | 1 << 5 | 0x1C | 1, 0))  # DLM 1, TM, RH, DM
    assert made.unit.interrupt(0xFFFF, MESSAGE, 0) == Interrupt(
        0x31, 3, 1, logical=True, redirection_hint=True, level=True
    )
    made = machine((0x12345678 << 32 | 0x31 << 16 | 1, 0), extended=True)
    assert made.unit.interrupt(0, MESSAGE, 0) == Interrupt(0x31, 0x12345678)


@pytest.mark.parametrize(
    ("handle", "shv", "data", "index"), [(5, 0, 0, 5), (3, 1, 2, 5), (0x8005, 0, 0, 0x8005), (0x7FFF, 1, 2, 0x8001)]
)
def test_the_index_is_handle_plus_subhandle(handle: int, shv: int, data: int, index: int) -> None:
    """Handle 14:0 in 19:5, handle 15 in bit 2, sub-handle only with SHV."""
    made = machine(size=15)
    made.put(IRTES + index * 16, *REMAPPED)
    address = 0xFEE00000 | (handle & 0x7FFF) << 5 | 1 << 4 | shv << 3 | handle >> 15 << 2
    assert made.unit.interrupt(SOURCE, address, data) == Interrupt(0x31, 3)


def test_without_remapping_messages_pass_unchanged() -> None:
    """Before GCMD.IRE, and on a unit without ECAP.IR."""
    made = Machine()
    assert made.unit.interrupt(SOURCE, MESSAGE, 0x31) == Untouched(MESSAGE, 0x31)
    made = Machine(LEGACY_CAP, LEGACY_ECAP & ~8)
    made.write(0x18, 1 << 24)
    made.write(0x18, 1 << 25 | 1 << 23)
    assert made.read(0x1C) == 0
    assert made.unit.interrupt(SOURCE, MESSAGE, 0x31) == Untouched(MESSAGE, 0x31)


def test_compatibility_format_passes_only_where_allowed() -> None:
    """CFIS, and never in x2APIC mode."""
    address = 0xFEE01000
    assert machine(cfi=True).unit.interrupt(SOURCE, address, 0x31) == Untouched(address, 0x31)
    for made in (machine(), machine(extended=True), machine(extended=True, cfi=True)):
        assert reason(made, address, 0x31) == Reason.IR_COMPATIBILITY
        assert made.read(0x228, 8) == 1 << 63 | 0x25 << 32 | SOURCE
        assert made.read(0x220, 8) == 0


@pytest.mark.parametrize("bit", range(16, 32))
def test_each_reserved_bit_of_the_data_faults(bit: int) -> None:
    """Bits 31:16, and with SHV clear all of it."""
    assert reason(machine(), MESSAGE | 1 << 3, 1 << bit) == Reason.IR_REQUEST_RSVD
    assert reason(machine(), MESSAGE, 1 << bit - 16) == Reason.IR_REQUEST_RSVD


def test_an_index_beyond_the_table_faults() -> None:
    """2^(S + 1) entries; the index is in the record's bits 63:48."""
    for size in (0, 3, 7):
        made = machine(size=size)
        assert reason(made, 0xFEE00000 | (2 << size) << 5 | 1 << 4) == Reason.IR_INDEX
        assert made.read(0x220, 8) == (2 << size) << 48
        assert made.read(0x228, 8) == 1 << 63 | 0x21 << 32 | SOURCE
        made.forget()
        assert reason(made, 0xFEE00000 | ((2 << size) - 1) << 5 | 1 << 4) == (Reason.IR_NOT_PRESENT)


@pytest.mark.parametrize("kind", ["access", "corruption"])
def test_memory_faults_of_entry_and_descriptor_are_told_apart(kind: str) -> None:
    """Both words of the entry; every word of the descriptor, read or written."""
    for at in (IRTES + 80, IRTES + 88):
        made = machine()
        made.memory.inject(at, kind)  # type: ignore[arg-type]
        assert reason(made) == Reason.IR_READ
    for word, on in itertools.product(range(8), ("read", "write")):
        made = machine(POSTED)
        made.memory.inject(DESCRIPTOR + 8 * word, kind, on=on)  # type: ignore[arg-type]
        assert reason(made) == Reason.IR_POSTED_READ


@pytest.mark.parametrize("bit", [12, 13, 14, *range(24, 32), *range(32, 40), *range(48, 64), *range(84, 128)])
def test_each_reserved_bit_of_a_remapped_entry_faults(bit: int) -> None:
    """Bits 14:12, 31:24, 95:84, 127:96, and the destination but its bits 15:8 outside of x2APIC mode."""
    made = machine()
    flip(made, IRTES + 80, bit)
    assert reason(made) == Reason.IR_RSVD
    flip(made, IRTES + 80, bit)
    assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)


@pytest.mark.parametrize(
    "bit", [*range(2, 8), 12, 13, *range(24, 32), *range(32, 38), *range(84, 96), *range(96 + 14, 128)]
)
def test_each_reserved_bit_of_a_posted_entry_faults(bit: int) -> None:
    """Bits 7:2, 13:12, 31:24, 37:32, 95:84, and descriptor addresses above the host's width."""
    made = machine(POSTED)
    flip(made, IRTES + 80, bit)
    assert reason(made) == Reason.IR_RSVD


@pytest.mark.parametrize("bit", [*range(258, 272), *range(280, 288)])
def test_each_reserved_bit_of_a_posted_descriptor_faults(bit: int) -> None:
    """Beside ON and SN, and beside the notification vector."""
    made = machine(POSTED)
    flip(made, DESCRIPTOR, bit)
    assert reason(made) == Reason.IR_POSTED_RSVD


@pytest.mark.parametrize("bit", range(8, 12))
def test_software_bits_of_an_entry_are_ignored(bit: int) -> None:
    """Bits 11:8 in both forms."""
    made = machine()
    flip(made, IRTES + 80, bit)
    assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)


@pytest.mark.parametrize(("low", "high"), [(3 << 5, 0), (6 << 5, 0), (0, 3 << 18)])
def test_values_that_do_not_exist_fault(low: int, high: int) -> None:
    """Delivery modes 3 and 6, source validation 3."""
    assert reason(machine((1 | low, high))) == Reason.IR_RSVD


def test_posting_needs_its_capability() -> None:
    """IM without CAP.PI is reserved."""
    assert reason(machine(POSTED, cap=LEGACY_CAP)) == Reason.IR_RSVD


@pytest.mark.parametrize(
    ("svt", "sq", "sid", "source", "valid"),
    [
        (0, 0, 0, 0xFFFF, True),
        (1, 0, 0x18, 0x18, True),
        (1, 0, 0x18, 0x19, False),
        (1, 0, 0x18, 0x118, False),
        (1, 1, 0x18, 0x1C, True),  # bit 2 does not count
        (1, 1, 0x18, 0x1A, False),
        (1, 2, 0x18, 0x1E, True),  # bits 2:1
        (1, 2, 0x18, 0x19, False),
        (1, 3, 0x18, 0x1F, True),  # bits 2:0
        (1, 3, 0x18, 0x10, False),
        (2, 0, 0x0305, 0x0300, True),  # buses 3 to 5
        (2, 0, 0x0305, 0x05FF, True),
        (2, 0, 0x0305, 0x02FF, False),
        (2, 0, 0x0305, 0x0600, False),
    ],
)
def test_the_source_is_validated_as_the_entry_says(svt: int, sq: int, sid: int, source: int, valid: bool) -> None:
    """By source-id with the qualifier's bits left out, or by a range of buses."""
    made = machine((0x31 << 16 | 1, svt << 18 | sq << 16 | sid))
    result = made.unit.interrupt(source, MESSAGE, 0)
    assert result == (Interrupt(0x31, 0) if valid else Blocked(Reason.IR_SOURCE, recorded=True))


def test_fpd_silences_qualified_faults_of_an_entry() -> None:
    """Not present, reserved, wrong source; with FPD clear they are recorded."""
    for entry, expected in (
        ((0, 0), Reason.IR_NOT_PRESENT),
        ((1 | 1 << 12, 0), Reason.IR_RSVD),
        ((1, 1 << 18 | 0x99), Reason.IR_SOURCE),
    ):
        assert machine((entry[0] | 2, entry[1])).unit.interrupt(SOURCE, MESSAGE, 0) == Blocked(expected)
        made = machine(entry)
        assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Blocked(expected, recorded=True)
        assert made.read(0x220, 8) == 5 << 48
        assert made.read(0x228, 8) == 1 << 63 | expected << 32 | SOURCE


def test_posting_requests_the_vector_and_notifies_once() -> None:
    """PIR bit 0x41, ON, and the notification vector to its destination, until software clears ON."""
    made = machine(POSTED)
    made.put(DESCRIPTOR + 32, 0x300 << 32 | 0xF2 << 16)
    assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Posted(DESCRIPTOR, 0x41, Interrupt(0xF2, 3))
    assert made.memory.read_u64(DESCRIPTOR + 8) == 1 << 1
    assert made.memory.read_u64(DESCRIPTOR + 32) == 0x300 << 32 | 0xF2 << 16 | 1
    assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Posted(DESCRIPTOR, 0x41, None)
    made = machine(POSTED, extended=True)
    made.put(DESCRIPTOR + 32, 0x12345678 << 32 | 0xF2 << 16)
    assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Posted(DESCRIPTOR, 0x41, Interrupt(0xF2, 0x12345678))


def test_suppressed_notification_is_for_urgent_interrupts_only() -> None:
    """SN keeps the notification back unless the entry has URG."""
    for urgent in (0, 1):
        made = machine((POSTED[0] | urgent << 14, POSTED[1]))
        made.put(DESCRIPTOR + 32, 0xF2 << 16 | 2)
        result = made.unit.interrupt(SOURCE, MESSAGE, 0)
        assert result == Posted(DESCRIPTOR, 0x41, Interrupt(0xF2, 0) if urgent else None)


@pytest.mark.parametrize(
    ("descriptor", "forgets"),
    [
        (4, True),  # all
        (4 | 1 << 4 | 5 << 32, True),  # index 5
        (4 | 1 << 4 | 4 << 32, False),
        (4 | 1 << 4 | 1 << 27 | 4 << 32, True),  # 4 and 5
        (4 | 1 << 4 | 2 << 27 | 8 << 32, False),
        (4 | 1 << 4 | 3 << 27, True),  # 0 to 7
    ],
)
def test_entries_stay_until_they_are_invalidated(descriptor: int, forgets: bool) -> None:
    """The interrupt entry cache, by index and mask."""
    made = machine()
    assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)
    made.put(IRTES + 80, 0, 0)
    assert made.unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)
    made.write(0x90, QUEUE, 8)
    made.write(0x18, 1 << 25 | 1 << 26)
    made.put(QUEUE, descriptor, 0)
    made.write(0x88, 16, 8)
    assert (made.unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)) != forgets


def test_caching_mode_and_the_pointer_command_reach_the_interrupt_entry_cache() -> None:
    """Entries that are not present are remembered with CM only; CAP.ESIRTPS forgets them with SIRTP."""
    for cap, stale in ((LEGACY_CAP, False), (LEGACY_CAP | 1 << 7, True)):
        made = machine((0, 0), cap=cap)
        assert reason(made) == Reason.IR_NOT_PRESENT
        made.put(IRTES + 80, *REMAPPED)
        assert (made.unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)) != stale
    for cap, stale in ((LEGACY_CAP, True), (LEGACY_CAP | 1 << 62, False)):
        made = machine(cap=cap)
        made.unit.interrupt(SOURCE, MESSAGE, 0)
        made.put(IRTES + 80, 0, 0)
        made.write(0x18, 1 << 25 | 1 << 24)
        assert (made.unit.interrupt(SOURCE, MESSAGE, 0) == Interrupt(0x31, 3)) == stale
