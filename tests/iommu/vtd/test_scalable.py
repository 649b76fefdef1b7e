"""Scalable mode: root, context, PASID directory and PASID entries; second stage, first stage, nested, pass-through."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from iommuman.iommu.vtd.model import ATOMIC, EXECUTE, READ, WRITE, Blocked
from iommuman.iommu.vtd.names import Reason

from .machine import (
    ADDRESS,
    CONTEXT,
    DIRECTORY,
    FIRST,
    PAGE,
    PASIDS,
    ROOT,
    SCALABLE_CAP,
    SCALABLE_ECAP,
    SECOND,
    SIZES,
    SOURCE,
    Machine,
    entry_at,
    first_stage,
    output,
    scalable,
)

HAW = 46
CONTEXT_AT = CONTEXT + SOURCE * 32
FS, SS, NESTED, PASS = 1, 2, 3, 4
SRE, ERE, WPE, NXE, SMEP, EAFE = 1, 2, 1 << 4, 1 << 5, 1 << 6, 1 << 7
SSEE, SSADE = 1 << 5, 1 << 9
GOOD = PAGE + ADDRESS % 4096


def flip(machine: Machine, at: int, bit: int) -> None:
    """Invert one bit of a structure and forget what was read before."""
    machine.memory.flip(at, bit)
    machine.forget()


# --- Grids


@pytest.mark.parametrize(
    ("leaf", "flags", "access", "ad"),
    list(itertools.product((1, 2, 3), range(8), (READ, WRITE, ATOMIC, EXECUTE), (0, 1))),
)
def test_second_stage_page_size_by_permission_by_access_by_accessed_dirty(
    leaf: int, flags: int, access: int, ad: int
) -> None:
    """With SSEE the execute bit counts, with SSADE accessed and dirty are kept in the tables that were used."""
    machine = scalable(SS, leaf=leaf, q0=SSEE | SSADE * ad, q2=ERE, pasid=5)
    for level in range(3, leaf, -1):
        machine.put(entry_at(SECOND, level), SECOND[level - 1] | 7)
    machine.put(entry_at(SECOND, leaf), output(leaf) | flags | (0x80 if leaf > 1 else 0))
    result = machine.unit.translate(SOURCE, ADDRESS, access, 5)
    marks = {level: machine.memory.read_u64(entry_at(SECOND, level)) >> 8 & 3 for level in range(3, leaf - 1, -1)}
    if flags & access == access and flags & 3:
        assert result == output(leaf) + ADDRESS % SIZES[leaf]
        assert machine.unit.translate(SOURCE, ADDRESS, access, 5) == result
        assert marks == {level: ad * (1 + 2 * bool(level == leaf and access & WRITE)) for level in marks}
    else:
        missing = access & ~flags
        expected = Reason.SSL_2 if not flags else Reason.SGN_6 if missing & 2 else Reason.SGN_7
        if flags and not missing & 3:
            expected = Reason.SGN_3 if missing else Reason.SGN_7
        assert isinstance(result, Blocked)
        assert result.reason == expected
        assert marks[leaf] == 0


@pytest.mark.parametrize(
    ("leaf", "writable", "user", "nx", "access", "supervisor", "wpe", "smep"),
    list(itertools.product((1, 2, 3), (0, 1), (0, 1), (0, 1), (READ, WRITE, EXECUTE), (False, True), (0, 1), (0, 1))),
)
def test_first_stage_page_size_by_permission_by_privilege(
    leaf: int, writable: int, user: int, nx: int, access: int, supervisor: bool, wpe: int, smep: int
) -> None:
    """The x86 rules: U/S for user requests, R/W for user and, with WPE, supervisor; XD; SMEP."""
    machine = scalable(FS, leaf=leaf, q2=SRE | ERE | NXE | WPE * wpe | SMEP * smep, pasid=5)
    first_stage(machine, leaf, flags=1 | writable << 1 | user << 2)
    if nx:
        machine.memory.flip(entry_at(FIRST, leaf), 63)
    result = machine.unit.translate(SOURCE, ADDRESS, access, 5, supervisor=supervisor)
    entry = machine.memory.read_u64(entry_at(FIRST, leaf))
    if not supervisor and not user:
        expected: Reason | None = Reason.SGN_2
    elif access == WRITE and not writable and (wpe or not supervisor):
        expected = Reason.SGN_6
    elif access == EXECUTE and (nx or (supervisor and smep and user)):
        expected = Reason.SGN_3
    else:
        expected = None
    if expected is None:
        assert result == output(leaf) + ADDRESS % SIZES[leaf]
        assert machine.unit.translate(SOURCE, ADDRESS, access, 5, supervisor=supervisor) == result
        assert entry >> 5 & 3 == (3 if access == WRITE else 1)
        assert machine.memory.read_u64(entry_at(FIRST, 4)) >> 5 & 1 == 1
    else:
        assert isinstance(result, Blocked)
        assert result.reason == expected
        assert entry >> 5 & 3 == 0


def test_accessed_and_dirty_are_kept_on_the_first_write_after_reads_too() -> None:
    """A read does not leave a translation behind that a write could use without setting D."""
    for kind, at, shift in ((FS, entry_at(FIRST, 1), 5), (SS, entry_at(SECOND, 1), 8)):
        machine = scalable(kind, q0=SSADE)
        machine.put(at, PAGE | 7)
        for access, marks in ((READ, 1), (READ, 1), (WRITE, 3)):
            for _ in range(2):
                assert machine.unit.translate(SOURCE, ADDRESS, access) == GOOD
                assert machine.memory.read_u64(at) >> shift & 3 == marks
                machine.unit.caches.clear()
            assert machine.unit.translate(SOURCE, ADDRESS, access) == GOOD


def test_extended_access_is_marked_where_enabled() -> None:
    """EAFE sets bit 10 of every entry used."""
    machine = scalable(FS, q2=EAFE)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    assert all(machine.memory.read_u64(entry_at(FIRST, level)) >> 10 & 1 for level in (1, 2, 3, 4))


def test_looking_without_leaving_a_trace_sets_no_marks() -> None:
    """`walk` neither sets accessed and dirty nor remembers."""
    machine = scalable(FS)
    machine.put(entry_at(FIRST, 1), PAGE | 7)
    assert machine.unit.walk(SOURCE, ADDRESS, WRITE) == GOOD
    assert machine.memory.read_u64(entry_at(FIRST, 1)) == PAGE | 7
    assert not machine.unit.caches.resolved


@pytest.mark.parametrize("kind", [SS, NESTED, FS])
def test_walks_that_do_not_snoop_cannot_update_accessed_and_dirty(kind: int) -> None:
    """With PWSNP clear an update that is needed is a fault."""
    machine = scalable(kind, q0=SSADE if kind == SS else 0)
    machine.put(PASIDS + 8, 0x55)
    machine.put(entry_at(FIRST, 1), PAGE | 7)
    machine.forget()
    assert machine.reason() == (Reason.SSL_5 if kind == SS else Reason.SFL_9)


@pytest.mark.parametrize("kind", [SS, FS])
def test_accessed_bits_that_cannot_be_written_are_a_fault(kind: int) -> None:
    """The entry is readable, the update fails."""
    machine = scalable(kind, q0=SSADE)
    tables = SECOND if kind == SS else FIRST
    machine.put(entry_at(tables, 1), PAGE | 7)
    machine.memory.inject(entry_at(tables, 1), on="write")
    assert machine.reason() == (Reason.SSL_6 if kind == SS else Reason.SFL_10)


@pytest.mark.parametrize(
    "address", [0x7FFF_FFFF_F000, 0x8000_0000_0000, 0xFFFF_7FFF_FFFF_F000, 0xFFFF_8000_0000_0000, 1 << 63]
)
def test_first_stage_addresses_are_canonical(address: int) -> None:
    """Bits 63:47 are all the same; the upper half has tables as the lower half has."""
    machine = scalable(FS)
    first_stage(machine, address=address)
    if address >> 47 in (0, 0x1FFFF):
        assert machine.unit.translate(SOURCE, address) == PAGE
    else:
        assert machine.reason(address) == Reason.SGN_1


def test_five_levels_of_first_stage_where_the_unit_has_them() -> None:
    """FSPM = 1 needs CAP.FS5LP and takes 57 bits."""
    assert scalable(FS, q2=1 << 2).reason() == Reason.SPT_4
    machine = scalable(FS, q2=1 << 2, cap=SCALABLE_CAP | 1 << 60)
    machine.put(PASIDS + 16, 0x35000 | 1 << 2)
    machine.put(0x35000, FIRST[4] | 0x27)
    machine.forget()
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    assert machine.reason(1 << 56) == Reason.SGN_1
    assert machine.reason(1 << 55) == Reason.SFL_2


def test_nested_translation_takes_the_smaller_page_and_both_permissions() -> None:
    """First stage 4 KiB in second stage 1 GiB; then the second stage forbids writing."""
    machine = scalable(NESTED)
    assert machine.unit.translate(SOURCE, ADDRESS, WRITE) == GOOD
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    assert machine.unit.translate(SOURCE, ADDRESS, WRITE) == GOOD, "from the IOTLB"
    machine.put(entry_at(SECOND, 3, PAGE), PAGE & -(1 << 30) | 0x81)
    machine.forget()
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    assert machine.reason(access=WRITE) == Reason.SGN_6
    machine.put(entry_at(SECOND, 3, PAGE), 0)
    machine.forget()
    assert machine.reason() == Reason.SSL_2
    large = scalable(NESTED, leaf=3)
    assert large.unit.translate(SOURCE, ADDRESS) == output(3) + ADDRESS % SIZES[3]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda m: m.put(entry_at(SECOND, 1, FIRST[4]), 0), Reason.SFL_6),
        (lambda m: m.put(entry_at(SECOND, 1, FIRST[3]), 0), Reason.SFL_7),
        (lambda m: m.put(entry_at(SECOND, 1, FIRST[1]), FIRST[1] | 2), Reason.SFL_7),
        (lambda m: m.put(entry_at(SECOND, 1, FIRST[1]), FIRST[1] | 3 | 1 << 11), Reason.SSL_3),
        (lambda m: m.memory.inject(entry_at(SECOND, 1, FIRST[1])), Reason.SSL_1),
        (lambda m: m.memory.inject(entry_at(SECOND, 3, FIRST[1])), Reason.SSL_4),
        (lambda m: m.put(entry_at(FIRST, 3), 1 << 40 | 0x27), Reason.SFL_5),
        (lambda m: m.put(entry_at(FIRST, 1), 1 << 50 | 0x67), Reason.SFL_5),
        (lambda m: m.put(PASIDS + 16, 1 << 45), Reason.SGN_5),
        (
            lambda m: (m.put(entry_at(SECOND, 1, FIRST[1]), FIRST[1] | 1), m.put(entry_at(FIRST, 1), PAGE | 7)),
            Reason.SFL_8,
        ),
    ],
)
def test_each_way_that_the_second_stage_stops_a_nested_walk(spoil: Callable[[Machine], None], reason: Reason) -> None:
    """Root table, inner tables, marks, widths, and the second stage's own faults."""
    machine = scalable(NESTED)
    spoil(machine)
    assert machine.reason() == reason


def test_pass_through_in_scalable_mode() -> None:
    """PGTT 4 leaves addresses as they are, up to the width, without the interrupt range."""
    machine = scalable(PASS)
    assert machine.unit.translate(SOURCE, 0x1234567, WRITE) == 0x1234567
    assert machine.reason(1 << 46) == Reason.SGN_4
    assert machine.reason(0xFEE00000) == Reason.SGN_8


def test_the_interrupt_range_is_no_memory_in_scalable_mode() -> None:
    """Neither asked for nor translated to."""
    machine = scalable(SS)
    machine.put(entry_at(SECOND, 1), 0xFEE00000 | 3)
    assert machine.reason() == Reason.SGN_8


# --- Reserved bits, one at a time


@pytest.mark.parametrize("source", [SOURCE, 0x80 | SOURCE])
@pytest.mark.parametrize("bit", [*range(1, 12), *range(HAW, 64)])
def test_each_reserved_bit_of_a_scalable_root_entry_faults(source: int, bit: int) -> None:
    """In the half that holds the device; the other half does not matter to it."""
    machine = scalable(SS)
    machine.put(ROOT + 8, CONTEXT | 1)
    mine, other = (ROOT, ROOT + 8) if source < 0x80 else (ROOT + 8, ROOT)
    flip(machine, mine, bit)
    assert machine.reason(source=source) == Reason.SRT_3
    flip(machine, mine, bit)
    flip(machine, other, bit)
    assert machine.unit.translate(source, ADDRESS) == GOOD


@pytest.mark.parametrize("bit", [*range(5, 9), *range(HAW, 64), *range(85, 256)])
def test_each_reserved_bit_of_a_scalable_context_entry_faults(bit: int) -> None:
    """Bits 8:5, address bits above the host's width, and all from 85 on."""
    machine = scalable(SS)
    flip(machine, CONTEXT_AT, bit)
    assert machine.reason() == Reason.SCT_3
    assert machine.unit.walk(SOURCE, ADDRESS) == Blocked(Reason.SCT_3)


@pytest.mark.parametrize("bit", [*range(2, 12), *range(HAW, 64)])
def test_each_reserved_bit_of_a_pasid_directory_entry_faults(bit: int) -> None:
    """Bits 11:2 and address bits above the host's width."""
    machine = scalable(SS)
    flip(machine, DIRECTORY, bit)
    assert machine.reason() == Reason.SPD_3
    flip(machine, DIRECTORY, bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD


@pytest.mark.parametrize(
    "bit",
    [
        10,
        11,
        *range(HAW, 64),
        *range(64 + 16, 64 + 23),
        *range(128 + 8, 128 + 12),
        *range(128 + HAW, 192),
        *range(192, 512),
    ],
)
def test_each_reserved_bit_of_a_pasid_entry_faults(bit: int) -> None:
    """Bits 11:10, 86:80, 139:136, addresses above the host's width, and all from 192 on."""
    machine = scalable(SS)
    flip(machine, PASIDS, bit)
    assert machine.reason() == Reason.SPT_3
    assert machine.unit.walk(SOURCE, ADDRESS) == Blocked(Reason.SPT_3)


FIRST_RESERVED = [
    *((1, 1, bit) for bit in (*range(HAW, 52), 63)),
    *((2, 1, bit) for bit in (*range(HAW, 52), 63)),
    *((3, 1, bit) for bit in (*range(HAW, 52), 63)),
    *((4, 1, bit) for bit in (7, *range(HAW, 52), 63)),
    *((2, 2, bit) for bit in (*range(13, 21), *range(HAW, 52), 63)),
    *((3, 3, bit) for bit in (*range(13, 30), *range(HAW, 52), 63)),
]
"""(level of the entry, level of the page, bit)."""


@pytest.mark.parametrize(("level", "leaf", "bit"), FIRST_RESERVED)
def test_each_reserved_bit_of_a_first_stage_entry_faults(level: int, leaf: int, bit: int) -> None:
    """Address bits above the host's width, low bits of large pages but PAT, PS at the top, XD while NXE is clear."""
    machine = scalable(FS, leaf=leaf)
    flip(machine, entry_at(FIRST, level), bit)
    assert machine.reason() == Reason.SFL_3
    flip(machine, entry_at(FIRST, level), bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == output(leaf) + ADDRESS % SIZES[leaf]


@pytest.mark.parametrize(
    ("level", "bit"), [(level, bit) for level in (1, 2, 3, 4) for bit in (3, 4, 8, 9, 10, 11, *range(52, 63))]
)
def test_each_ignored_bit_of_a_first_stage_entry_is_ignored(level: int, bit: int) -> None:
    """Caching bits, global, extended access, and software's bits."""
    machine = scalable(FS)
    flip(machine, entry_at(FIRST, level), bit)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD


@pytest.mark.parametrize(
    ("leaf", "bit"),
    [
        (1, 11),
        (1, 62),
        (2, 11),
        (2, 12),
        (2, 20),
        (2, 62),
        (3, 11),
        (3, 12),
        (3, 29),
        (3, 62),
        *((1, bit) for bit in range(HAW, 52)),
    ],
)
def test_reserved_bits_of_the_second_stage_have_their_own_reason(leaf: int, bit: int) -> None:
    """The same bits as in legacy mode, reported as SSL.3."""
    machine = scalable(SS, leaf=leaf)
    flip(machine, entry_at(SECOND, leaf), bit)
    assert machine.reason() == Reason.SSL_3


def test_a_first_stage_page_of_1_gib_needs_its_capability() -> None:
    """Without CAP.FS1GP PS at level 3 is reserved."""
    assert scalable(FS, leaf=3, cap=SCALABLE_CAP & ~(1 << 56)).reason() == Reason.SFL_3


# --- Features that the unit lacks


@pytest.mark.parametrize(
    ("q0", "q1", "ecap", "reason"),
    [
        (1 << 2, 0, SCALABLE_ECAP, Reason.SCT_3),  # DTE without DT
        (1 << 3, 0, SCALABLE_ECAP & ~(1 << 40), Reason.SCT_3),  # PASIDE without PASID
        (1 << 4, 0, SCALABLE_ECAP, Reason.SCT_3),  # PRE without PRS
        (0, 1 << 20, SCALABLE_ECAP, Reason.SCT_3),  # RID_PRIV without RPRIVS
        (7 << 9, 0, SCALABLE_ECAP & ~(0x1F << 35) | 9 << 35, Reason.SCT_4),  # PDTS beyond PSS
        (0, 1, SCALABLE_ECAP & ~(1 << 49), Reason.SCT_9),  # RID_PASID without RPS
        (0, 0x80000, SCALABLE_ECAP, Reason.SCT_9),  # RID_PASID beyond the directory
    ],
)
def test_each_context_entry_that_asks_for_what_is_not_there(q0: int, q1: int, ecap: int, reason: Reason) -> None:
    """Bits of absent features are reserved; sizes beyond the unit's are invalid."""
    machine = scalable(SS, ecap=ecap)
    machine.put(CONTEXT_AT, DIRECTORY | q0 | 1, q1, 0, 0)
    assert machine.reason() == reason


@pytest.mark.parametrize(
    ("word", "bits", "without", "reason"),
    [
        (0, SSADE, 1 << 45, Reason.SPT_3),
        (0, SSEE, 1 << 30, Reason.SPT_3),
        (1, 1 << 23, 1 << 48, Reason.SPT_3),  # PWSNP, SMPWCS
        (1, 1 << 24, 0, Reason.SPT_3),  # PGSNP, SC
        *((1, 1 << bit, 0, Reason.SPT_3) for bit in (25, 26, 27, 28, 29, *range(32, 64))),  # memory types, MTS
        (2, SRE, 1 << 31, Reason.SPT_3),
        (2, ERE, 1 << 30, Reason.SPT_3),
        (2, EAFE, 1 << 34, Reason.SPT_3),
    ],
)
def test_bits_of_features_that_the_unit_lacks_are_reserved_in_a_pasid_entry(
    word: int, bits: int, without: int, reason: Reason
) -> None:
    """Each is checked against its capability bit."""
    machine = scalable(SS, ecap=SCALABLE_ECAP & ~without)
    machine.put(PASIDS + 8, 0x55)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    at = PASIDS + 8 * word
    machine.put(at, machine.memory.read_u64(at) | bits)
    machine.forget()
    assert machine.reason() == reason


@pytest.mark.parametrize(
    ("pgtt", "aw", "fspm", "ecap"),
    [
        *((pgtt, 1, 0, SCALABLE_ECAP) for pgtt in (0, 5, 6, 7)),
        (FS, 1, 0, SCALABLE_ECAP & ~(1 << 47)),
        (SS, 1, 0, SCALABLE_ECAP & ~(1 << 46)),
        (NESTED, 1, 0, SCALABLE_ECAP & ~(1 << 26)),
        (PASS, 1, 0, SCALABLE_ECAP & ~(1 << 6)),
        *((kind, aw, 0, SCALABLE_ECAP) for kind in (SS, NESTED, PASS) for aw in (0, 3, 4, 5, 6, 7)),
        *((kind, 1, fspm, SCALABLE_ECAP) for kind in (FS, NESTED) for fspm in (1, 2, 3)),
    ],
)
def test_each_invalid_pasid_entry_faults(pgtt: int, aw: int, fspm: int, ecap: int) -> None:
    """Translation types, widths and paging modes that the unit does not have."""
    machine = scalable(SS, ecap=ecap)
    machine.put(PASIDS, SECOND[3] | pgtt << 6 | aw << 2 | 1, 0x55 | 1 << 23, FIRST[4] | fspm << 2)
    assert machine.reason() == Reason.SPT_4


# --- Presence, ranges, kinds of request


@pytest.mark.parametrize(
    ("at", "reason"),
    [(ROOT, Reason.SRT_2), (CONTEXT_AT, Reason.SCT_2), (DIRECTORY, Reason.SPD_2), (PASIDS, Reason.SPT_2)],
)
def test_each_entry_that_is_not_present_faults(at: int, reason: Reason) -> None:
    """P is bit 0 of each."""
    machine = scalable(SS)
    flip(machine, at, 0)
    assert machine.reason() == reason
    machine = scalable(FS)
    machine.put(entry_at(FIRST, 2), 0x67 & ~1)
    assert machine.reason() == Reason.SFL_2


@pytest.mark.parametrize("kind", ["access", "corruption"])
@pytest.mark.parametrize(
    ("pgtt", "at", "reason"),
    [
        (SS, ROOT, Reason.SRT_1),
        *((SS, CONTEXT_AT + 8 * word, Reason.SCT_1) for word in range(4)),
        (SS, DIRECTORY, Reason.SPD_1),
        *((SS, PASIDS + 8 * word, Reason.SPT_1) for word in range(8)),
        (SS, entry_at(SECOND, 3), Reason.SSL_4),
        (SS, entry_at(SECOND, 2), Reason.SSL_1),
        (SS, entry_at(SECOND, 1), Reason.SSL_1),
        (FS, entry_at(FIRST, 4), Reason.SFL_4),
        (FS, entry_at(FIRST, 3), Reason.SFL_1),
        (FS, entry_at(FIRST, 2), Reason.SFL_1),
        (FS, entry_at(FIRST, 1), Reason.SFL_1),
        (NESTED, entry_at(FIRST, 4), Reason.SFL_4),
        (NESTED, entry_at(FIRST, 1), Reason.SFL_1),
        (NESTED, entry_at(SECOND, 3, PAGE), Reason.SSL_4),
    ],
)
def test_each_step_reports_its_own_memory_fault(kind: str, pgtt: int, at: int, reason: Reason) -> None:
    """Every doubleword of every structure."""
    machine = scalable(pgtt)
    machine.memory.inject(at, kind)  # type: ignore[arg-type]
    assert machine.reason() == reason


def test_requests_that_an_entry_does_not_allow() -> None:
    """PASIDE, DTE, the size of the directory, ERE and SRE."""
    machine = scalable(SS, pasid=5)
    assert machine.unit.translate(SOURCE, ADDRESS, pasid=5) == GOOD
    assert machine.reason(pasid=1 << 15) == Reason.SCT_7
    assert machine.reason(pasid=6) == Reason.SPT_2
    assert machine.reason(pasid=64) == Reason.SPD_2
    for kind in (1, 2):
        assert machine.reason(kind=kind) == Reason.SCT_5
    assert machine.reason(access=EXECUTE, pasid=5) == Reason.SPT_5
    assert machine.reason(pasid=5, supervisor=True) == Reason.SPT_6
    machine.put(CONTEXT_AT, DIRECTORY | 2 << 9 | 1)
    machine.forget()
    assert machine.reason(pasid=5) == Reason.SCT_6


def test_requests_without_pasid_use_rid_pasid_and_its_privilege() -> None:
    """With ECAP.RPS and RPRIVS."""
    machine = scalable(FS, q2=SRE, ecap=SCALABLE_ECAP | 1 << 53, pasid=7)
    machine.put(CONTEXT_AT + 8, 7)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    machine.put(entry_at(FIRST, 1), PAGE | 0x63)  # a supervisor page
    machine.forget()
    assert machine.reason() == Reason.SGN_2
    machine.put(CONTEXT_AT + 8, 7 | 1 << 20)
    machine.forget()
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD


def test_a_small_directory_is_enough_for_a_small_unit() -> None:
    """PDTS = 0 is 8192 PASIDs, whatever PSS says."""
    machine = scalable(SS, ecap=SCALABLE_ECAP & ~(0x1F << 35) | 9 << 35)
    machine.put(CONTEXT_AT, DIRECTORY | 1)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD


def test_addresses_end_at_the_width_of_the_second_stage() -> None:
    """SGN.5, where legacy mode has LGN.1."""
    machine = scalable(SS)
    assert machine.reason(1 << 39) == Reason.SGN_5
    assert machine.reason((1 << 39) - 4096) == Reason.SSL_2


def test_translation_requests_with_device_tlb() -> None:
    """DTE lets translation requests in; a missing page is told to the device only."""
    machine = scalable(SS, ecap=SCALABLE_ECAP | 1 << 2)
    machine.put(CONTEXT_AT, DIRECTORY | 2 << 9 | 1 << 2 | 1)
    assert machine.unit.translate(SOURCE, ADDRESS, kind=1) == GOOD
    assert machine.unit.translate(SOURCE, 0x7777000, kind=2) == 0x7777000
    assert machine.unit.translate(SOURCE, 0x7777000, kind=1) == Blocked(Reason.SSL_2)
    assert machine.read(0x34) == 0


@pytest.mark.parametrize("at", [CONTEXT_AT, DIRECTORY, PASIDS])
def test_fpd_of_any_entry_on_the_way_silences(at: int) -> None:
    """Context, directory or PASID entry."""
    machine = scalable(SS)
    flip(machine, at, 1)
    machine.put(entry_at(SECOND, 1), 0)
    assert machine.unit.translate(SOURCE, ADDRESS) == Blocked(Reason.SSL_2)
    flip(machine, at, 1)
    assert machine.unit.translate(SOURCE, ADDRESS) == Blocked(Reason.SSL_2, recorded=True)
