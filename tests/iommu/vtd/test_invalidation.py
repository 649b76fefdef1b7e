"""What the unit remembers, and how it is made to forget: registers, queue, caching mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from iommuman.iommu.bits import Bits
from iommuman.iommu.vtd.model import READ, WRITE
from iommuman.iommu.vtd.names import Reason

from .machine import (
    ADDRESS,
    CONTEXT,
    FIRST,
    LEGACY_CAP,
    LEGACY_ECAP,
    PAGE,
    PASIDS,
    QUEUE,
    ROOT,
    SECOND,
    SOURCE,
    Machine,
    entry_at,
    legacy,
    scalable,
)

CONTEXT_AT = CONTEXT + SOURCE * 16
GOOD = PAGE + ADDRESS % 4096
DID = 0x77
STATUS = QUEUE + 0x8000
IVA, IOTLB = 0xF0, 0xF8


def queue(machine: Machine, *, wide: bool = False, pages: int = 0) -> None:
    """Switch the invalidation queue on."""
    machine.write(0x90, QUEUE | wide << 11 | pages, 8)
    machine.write(0x18, 1 << 31 | 1 << 26)


def submit(machine: Machine, low: int, high: int = 0, *extra: int) -> None:
    """Queue one descriptor."""
    wide = machine.read(0x90, 8) >> 11 & 1
    tail = machine.read(0x88, 8)
    words = (low, high, *extra, 0, 0)[: 4 if wide else 2]
    machine.put(QUEUE + tail, *words)
    size = 4096 << (machine.read(0x90, 8) & 7)
    machine.write(0x88, (tail + 8 * len(words)) % size, 8)


def iotlb_register(machine: Machine, granularity: int, did: int = DID, address: int = 0) -> None:
    """Invalidate through the IOTLB registers."""
    machine.write(IVA, address, 8)
    machine.write(IOTLB, 1 << 63 | granularity << 60 | did << 32, 8)


def iotlb_queue(machine: Machine, granularity: int, did: int = DID, address: int = 0) -> None:
    """Invalidate through a queued descriptor."""
    queue(machine)
    submit(machine, 2 | granularity << 4 | did << 16, address)


def context_register(machine: Machine, granularity: int, did: int = DID, source: int = SOURCE, mask: int = 0) -> None:
    """Invalidate through CCMD."""
    machine.write(0x28, 1 << 63 | granularity << 61 | mask << 32 | source << 16 | did, 8)


def context_queue(machine: Machine, granularity: int, did: int = DID, source: int = SOURCE, mask: int = 0) -> None:
    """Invalidate through a queued descriptor."""
    queue(machine)
    submit(machine, 1 | granularity << 4 | did << 16 | source << 32 | mask << 48)


Invalidate = Callable[..., None]


# --- Stale until invalidated


@pytest.mark.parametrize("invalidate", [iotlb_register, iotlb_queue])
@pytest.mark.parametrize("leaf", [1, 2, 3])
@pytest.mark.parametrize(
    ("granularity", "did", "address", "forgets"),
    [
        (1, 0, 0, True),  # global
        (2, DID, 0, True),  # domain
        (2, DID + 1, 0, False),
        (3, DID, ADDRESS & ~0xFFF, True),  # page
        (3, DID, ADDRESS & ~0xFFF | 3, True),  # 8 pages from an aligned address
        (3, DID, 0x40000000 | 18, True),  # 1 GiB
        (3, DID + 1, ADDRESS & ~0xFFF, False),
        (3, DID, 0x80000000 | 18, False),
        (3, DID, 0x0, False),
    ],
)
def test_translations_stay_until_they_are_invalidated(
    invalidate: Invalidate, leaf: int, granularity: int, did: int, address: int, forgets: bool
) -> None:
    """A page that was unmapped is still reached, until an invalidation that covers it."""
    machine = legacy(leaf)
    good = machine.unit.translate(SOURCE, ADDRESS, WRITE)
    machine.put(entry_at(SECOND, leaf), 0)
    assert machine.unit.translate(SOURCE, ADDRESS, WRITE) == good
    invalidate(machine, granularity, did, address)
    if forgets:
        assert machine.reason() == Reason.LGN_3
    else:
        assert machine.unit.translate(SOURCE, ADDRESS) == good


@pytest.mark.parametrize("invalidate", [context_register, context_queue])
@pytest.mark.parametrize(
    ("granularity", "did", "source", "mask", "forgets"),
    [
        (1, 0, 0, 0, True),  # global
        (2, DID, 0, 0, True),  # domain
        (2, DID + 1, 0, 0, False),
        (3, DID, SOURCE, 0, True),  # device
        (3, DID, SOURCE + 1, 0, False),
        (3, DID, SOURCE | 4, 0, False),
        (3, DID, SOURCE | 4, 1, True),  # function bit 2 does not count
        (3, DID, SOURCE | 6, 1, False),
        (3, DID, SOURCE | 6, 2, True),
        (3, DID, SOURCE | 7, 2, False),
        (3, DID, SOURCE | 7, 3, True),
        (3, DID, SOURCE | 8, 3, True),  # 0x18 has bit 3 set
        (3, DID, SOURCE ^ 8, 3, False),
        (3, DID + 1, SOURCE, 0, False),
    ],
)
def test_contexts_stay_until_they_are_invalidated(
    invalidate: Invalidate, granularity: int, did: int, source: int, mask: int, forgets: bool
) -> None:
    """A device that was detached still has its domain, until an invalidation that covers it."""
    machine = legacy()
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    machine.put(CONTEXT_AT, 0, 0)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    invalidate(machine, granularity, did, source, mask)
    if forgets:
        assert machine.reason() == Reason.LCT_2
    else:
        assert machine.unit.translate(SOURCE, ADDRESS) == GOOD


def test_inner_tables_are_remembered_unless_only_leaves_are_to_be_forgotten() -> None:
    """Invalidation with the hint IH keeps them, so that a table that was unlinked is still walked."""
    machine = legacy()
    machine.unit.translate(SOURCE, ADDRESS)
    machine.put(entry_at(SECOND, 2), 0)
    iotlb_register(machine, 3, DID, ADDRESS & ~0xFFF | 1 << 6)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    iotlb_register(machine, 3, DID, ADDRESS & ~0xFFF)
    assert machine.reason() == Reason.LGN_3


def test_a_granularity_or_mask_that_does_not_exist_is_refused() -> None:
    """Registers report granularity 0, and nothing is forgotten."""
    machine = legacy()
    machine.unit.translate(SOURCE, ADDRESS)
    machine.put(CONTEXT_AT, 0, 0)
    for granularity, address in ((0, 0), (3, 19)):
        iotlb_register(machine, granularity, DID, address)
        assert machine.read(IOTLB, 8) >> 57 & 3 == 0
        assert machine.read(IOTLB, 8) >> 63 == 0
    context_register(machine, 0)
    assert machine.read(0x28, 8) >> 59 & 0x13 == 0
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    context_register(machine, 3)
    assert machine.read(0x28, 8) >> 59 == 3 << 2 | 3, "ICC is cleared, CAIG says what was done"


def test_commands_without_their_trigger_do_nothing() -> None:
    """Writing half of CCMD or IOTLB only prepares."""
    machine = legacy()
    machine.unit.translate(SOURCE, ADDRESS)
    machine.put(CONTEXT_AT, 0, 0)
    machine.write(0x28, SOURCE << 16 | DID)
    machine.write(IOTLB, 0)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    machine.write(0x2C, 1 << 31 | 3 << 29)
    assert machine.reason() == Reason.LCT_2


def test_without_page_selective_invalidation_the_domain_goes() -> None:
    """CAP.PSI clear: the actual granularity is the domain's."""
    machine = legacy(cap=LEGACY_CAP & ~(1 << 39))
    machine.unit.translate(SOURCE, ADDRESS)
    machine.put(entry_at(SECOND, 1), 0)
    iotlb_register(machine, 3, DID, 0x70000000)
    assert machine.read(IOTLB, 8) >> 57 & 3 == 2
    assert machine.reason() == Reason.LGN_3


def test_a_new_root_table_takes_effect_with_its_command_only() -> None:
    """RTADDR alone changes nothing, SRTP does, and what is remembered stays unless CAP.ESRTPS."""
    for cap, stale in ((LEGACY_CAP, True), (LEGACY_CAP | 1 << 63, False)):
        machine = legacy(cap=cap)
        assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
        machine.write(0x20, ROOT + 0x100000, 8)
        assert machine.unit.walk(SOURCE, ADDRESS) == GOOD
        machine.write(0x18, 1 << 31 | 1 << 30)
        assert machine.read(0x1C) >> 30 == 3
        if stale:
            assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
        assert machine.reason(source=SOURCE + stale) == Reason.LRT_2


def test_what_is_remembered_is_bounded_and_filling_can_be_held() -> None:
    """The oldest goes first; a unit that does not fill still uses what it has."""
    machine = legacy(3)
    caches = machine.unit.caches
    caches.capacity = 2
    for page in range(4):
        machine.put(SECOND[3] + 8 * page, page << 30 | 0x83)
        assert machine.unit.translate(SOURCE, page << 30) == page << 30
    assert list(caches.tlb(DID, None).pages[2]) == [2, 3]
    caches.filling = False
    machine.put(SECOND[3], 0)
    machine.put(SECOND[3] + 8 * 3, 0)
    assert machine.reason(0) == Reason.LGN_3
    assert machine.unit.translate(SOURCE, 3 << 30) == 3 << 30
    machine.forget()
    machine.put(SECOND[3], 0x83)
    assert machine.unit.translate(SOURCE, 0) == 0
    assert not caches.contexts


def test_a_remembered_translation_that_permits_less_is_walked_again() -> None:
    """Granting write needs no invalidation."""
    machine = legacy(flags=1)
    assert machine.unit.translate(SOURCE, ADDRESS, READ) == GOOD
    machine.put(entry_at(SECOND, 1), PAGE | 3)
    assert machine.unit.translate(SOURCE, ADDRESS, WRITE) == GOOD


# --- Caching mode


@pytest.mark.parametrize(
    ("spoil", "repair", "invalidate"),
    [
        (
            lambda m: m.put(entry_at(SECOND, 1), 0),
            lambda m: m.put(entry_at(SECOND, 1), PAGE | 3),
            lambda m: iotlb_register(m, 3, DID, ADDRESS & ~0xFFF),
        ),
        (
            lambda m: m.put(CONTEXT_AT, 0),
            lambda m: m.put(CONTEXT_AT, SECOND[3] | 1),
            lambda m: context_register(m, 3, 0),
        ),
        (
            lambda m: m.put(CONTEXT_AT, 0),
            lambda m: m.put(CONTEXT_AT, SECOND[3] | 1),
            lambda m: context_register(m, 2, 0),
        ),
    ],
)
def test_caching_mode_remembers_refusals(
    spoil: Callable[[Machine], None], repair: Callable[[Machine], None], invalidate: Callable[[Machine], None]
) -> None:
    """What was not present stays so until invalidated, under domain 0 for contexts; without CM it is read again."""
    for caching in (0, 1):
        machine = legacy(cap=LEGACY_CAP | caching << 7)
        spoil(machine)
        reason = machine.reason()
        repair(machine)
        if caching:
            assert machine.reason() == reason
            invalidate(machine)
        assert machine.unit.translate(SOURCE, ADDRESS) == GOOD


def test_caching_mode_remembers_refusals_by_device() -> None:
    """Invalidating one device's context leaves the refusal of another."""
    machine = legacy(cap=LEGACY_CAP | 1 << 7)
    assert machine.reason(source=SOURCE + 1) == Reason.LCT_2
    machine.put(CONTEXT_AT + 16, SECOND[3] | 1, 1 | DID << 8)
    context_register(machine, 3, 0, SOURCE)
    assert machine.reason(source=SOURCE + 1) == Reason.LCT_2
    context_register(machine, 3, 0, SOURCE + 1)
    assert machine.unit.translate(SOURCE + 1, ADDRESS) == GOOD


def test_caching_mode_remembers_pasid_entries_that_are_not_present() -> None:
    """Until the PASID cache is invalidated for domain 0."""
    machine = scalable(2, cap=LEGACY_CAP | 1 << 7)
    machine.put(PASIDS, 0)
    assert machine.reason() == Reason.SPT_2
    machine.put(PASIDS, SECOND[3] | 2 << 6 | 1 << 2 | 1)
    assert machine.reason() == Reason.SPT_2
    queue(machine, wide=True)
    submit(machine, 7 | 1 << 4 | 9 << 16)
    assert machine.reason() == Reason.SPT_2, "another domain"
    submit(machine, 7 | 1 << 4 | 1 << 32)
    assert machine.reason() == Reason.SPT_2, "another PASID"
    submit(machine, 7 | 1 << 4)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD


# --- The queue


def test_the_queue_is_worked_off_in_order_and_wraps() -> None:
    """Head follows tail, around the end; a wait writes its status."""
    machine = legacy()
    queue(machine)
    for number in range(600):
        submit(machine, 5 | 1 << 5 | number << 32, STATUS)
        assert machine.memory.read_u64(STATUS) == number
    assert machine.read(0x80, 8) == machine.read(0x88, 8) == 600 * 16 % 4096
    for number in range(255):  # a full queue: all but one entry at once
        machine.put(QUEUE + (600 + number) * 16 % 4096, 5 | 1 << 5 | (1000 + number) << 32, STATUS)
    machine.write(0x88, (600 + 255) * 16 % 4096, 8)
    assert machine.memory.read_u64(STATUS) == 1254
    assert machine.read(0x34) == 0


def test_a_larger_queue_of_wide_descriptors() -> None:
    """QS = 1 with 256-bit descriptors is 256 entries."""
    machine = scalable(2)
    queue(machine, wide=True, pages=1)
    for number in range(300):
        submit(machine, 5 | 1 << 5 | number << 32, STATUS)
    assert machine.memory.read_u64(STATUS) == 299
    assert machine.read(0x80, 8) == 300 * 32 % 8192


def test_a_wait_can_raise_the_completion_event() -> None:
    """IF sets ICS.IWC, and the message goes out unless masked; one message until software clears it."""
    machine = legacy()
    queue(machine)
    machine.write(0xA4, 0x55)
    machine.write(0xA8, 0xFEE00000, 8)
    submit(machine, 5 | 1 << 4)
    assert (machine.read(0x9C), machine.read(0xA0), machine.messages) == (1, 3 << 30, [])
    machine.write(0xA0, 0)
    assert machine.messages == [(0xFEE00000, 0x55)]
    submit(machine, 5 | 1 << 4)
    assert len(machine.messages) == 1
    machine.write(0x9C, 1)
    submit(machine, 5 | 1 << 4)
    assert len(machine.messages) == 2


@pytest.mark.parametrize(
    ("low", "high", "code"),
    [
        (0, 0, 3),  # no such type
        (9, 0, 3),
        (0xF, 0, 3),
        (1 | 1 << 9, 0, 3),  # type 0x11
        (6 | 2 << 4, 0, 7),  # PASID types in legacy mode
        (7, 0, 7),
        (8, 0, 7),
        (1, 0, 4),  # granularity 0
        (2, 0, 4),
        (2 | 3 << 4, 19, 4),  # AM beyond MAMV
        *((1 | 1 << 4 | 1 << bit, 0, 4) for bit in (6, 7, 8, *range(12, 16), *range(50, 64))),
        *((1 | 1 << 4, 1 << bit, 4) for bit in range(64)),
        *((2 | 1 << 4 | 1 << bit, 0, 4) for bit in (8, *range(12, 16), *range(32, 64))),
        *((2 | 1 << 4, 1 << bit, 4) for bit in range(7, 12)),
        *((3 | 1 << bit, 0, 4) for bit in (4, 5, 6, 7, 8, *range(21, 32), *range(48, 52))),
        *((3, 1 << bit, 4) for bit in range(1, 12)),
        *((4 | 1 << bit, 0, 4) for bit in (5, 6, 7, 8, *range(12, 27), *range(48, 64))),
        *((4, 1 << bit, 4) for bit in range(64)),
        *((5 | 1 << bit, 0, 4) for bit in (8, *range(12, 32))),
        *((5, 1 << bit, 4) for bit in range(2)),
    ],
)
def test_each_bad_descriptor_stops_the_queue(low: int, high: int, code: int) -> None:
    """Types, modes, granularities, and every reserved bit; the head stays at it, the fault event says so."""
    machine = legacy()
    machine.write(0x38, 0)
    queue(machine)
    submit(machine, 5 | 1 << 5 | 7 << 32, STATUS)
    submit(machine, low, high)
    assert machine.read(0x34) == 1 << 4
    assert machine.read(0xB0, 8) == code
    assert machine.read(0x80, 8) == 16
    assert len(machine.messages) == 1
    submit(machine, 5 | 1 << 5 | 8 << 32, STATUS)
    assert machine.memory.read_u64(STATUS) == 7, "nothing more is done"
    machine.put(QUEUE + 16, 5 | 1 << 5 | 9 << 32, STATUS)
    machine.write(0x34, 1 << 4)
    assert machine.memory.read_u64(STATUS) == 8, "mended and cleared, it goes on"


@pytest.mark.parametrize(
    ("low", "high", "extra", "code"),
    [
        (6, 0, (), 4),
        (6 | 1 << 4, 0, (), 4),
        (6 | 3 << 4, 19, (), 4),
        (7 | 2 << 4, 0, (), 4),
        (1 | 1 << 4, 0, (1,), 4),
        (1 | 1 << 4, 0, (0, 1 << 63), 4),
        *((6 | 2 << 4 | 1 << bit, 0, (), 4) for bit in (6, 7, 8, *range(12, 16), *range(52, 64))),
        *((6 | 2 << 4, 1 << bit, (), 4) for bit in range(7, 12)),
        *((7 | 3 << 4 | 1 << bit, 0, (), 4) for bit in (6, 7, 8, *range(12, 16), *range(52, 64))),
        *((7 | 3 << 4, 1 << bit, (), 4) for bit in range(64)),
        *((8, 1 << bit, (), 4) for bit in (*range(1, 11),)),
    ],
)
def test_each_bad_descriptor_of_scalable_mode_stops_the_queue(
    low: int, high: int, extra: tuple[int, ...], code: int
) -> None:
    """PASID types, and words 2 and 3 of wide descriptors."""
    machine = scalable(2)
    queue(machine, wide=True)
    submit(machine, low, high, *extra)
    assert (machine.read(0x34), machine.read(0xB0, 8)) == (1 << 4, code)


def test_pasid_descriptors_are_wide() -> None:
    """In scalable mode with 128-bit descriptors they are of the wrong width."""
    machine = scalable(2)
    queue(machine)
    submit(machine, 7 | 3 << 4)
    assert machine.read(0xB0, 8) == 5


def test_the_queue_stops_at_a_bad_tail_or_memory() -> None:
    """Beyond the queue, between wide descriptors, unreadable; a status that cannot be written stops it too."""
    machine = legacy()
    queue(machine)
    machine.write(0x88, 4096, 8)
    assert machine.read(0xB0, 8) == 1
    machine = scalable(2)
    queue(machine, wide=True)
    machine.write(0x88, 16, 8)
    assert machine.read(0xB0, 8) == 6
    for at in (QUEUE, STATUS):
        machine = legacy()
        machine.memory.inject(at, on="read" if at == QUEUE else "write")
        queue(machine)
        if at == QUEUE:
            machine.write(0x88, 16, 8)
        else:
            submit(machine, 5 | 1 << 5, STATUS)
        assert machine.read(0xB0, 8) == 2


def test_without_the_queue_its_registers_do_nothing() -> None:
    """Before QIE, and on a unit without ECAP.QI; switching it off brings the head back."""
    machine = legacy()
    machine.write(0x90, QUEUE, 8)
    submit(machine, 5 | 1 << 5 | 7 << 32, STATUS)
    assert machine.memory.read_u64(STATUS) == 0
    machine.write(0x18, 1 << 31 | 1 << 26)
    assert machine.memory.read_u64(STATUS) == 7
    machine.write(0x18, 1 << 31)
    assert (machine.read(0x80, 8), machine.read(0x1C) >> 26 & 1) == (0, 0)
    machine = legacy(ecap=LEGACY_ECAP & ~2)
    queue(machine)
    assert machine.read(0x1C) >> 26 & 1 == 0
    assert machine.read(0x90, 8) >> 11 & 1 == 0, "DW does not exist without scalable mode"


# --- Scalable mode caches


def test_each_cache_of_scalable_mode_is_stale_on_its_own() -> None:
    """Context, PASID entry and translation need their own invalidation each."""
    machine = scalable(1)
    queue(machine, wide=True)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    machine.put(entry_at(FIRST, 1), PAGE + 0x5000 | 0x67)
    submit(machine, 2 | 2 << 4 | 0x56 << 16)  # another domain
    submit(machine, 6 | 2 << 4 | 0x55 << 16 | 1 << 32)  # another PASID
    submit(machine, 6 | 3 << 4 | 0x55 << 16, 0x1000)  # another page
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    submit(machine, 6 | 3 << 4 | 0x55 << 16, ADDRESS & ~0xFFF)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD + 0x5000
    machine.put(PASIDS, 0)
    submit(machine, 6 | 2 << 4 | 0x55 << 16)
    submit(machine, 7 | 0x56 << 16)  # another domain
    submit(machine, 7 | 1 << 4 | 0x55 << 16 | 1 << 32)  # another PASID
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD + 0x5000
    submit(machine, 7 | 0x55 << 16)
    assert machine.reason() == Reason.SPT_2
    machine.put(CONTEXT + SOURCE * 32, 0)
    assert machine.reason() == Reason.SPT_2
    submit(machine, 1 | 3 << 4 | SOURCE << 32)
    assert machine.reason() == Reason.SCT_2


def test_a_global_pasid_cache_invalidation_forgets_all_domains() -> None:
    """Granularity 3."""
    machine = scalable(2)
    queue(machine, wide=True)
    machine.unit.translate(SOURCE, ADDRESS)
    machine.put(PASIDS, 0)
    submit(machine, 7 | 3 << 4)
    assert machine.reason() == Reason.SPT_2


def test_nested_translations_go_with_their_domain_but_not_with_pages_of_it() -> None:
    """Page-selective invalidation of the second stage does not find what is remembered of both stages at once."""
    machine = scalable(3)
    queue(machine, wide=True)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    machine.put(entry_at(SECOND, 3, PAGE), 0)
    submit(machine, 2 | 3 << 4 | 0x55 << 16, PAGE)
    assert machine.unit.translate(SOURCE, ADDRESS) == GOOD
    submit(machine, 2 | 2 << 4 | 0x55 << 16)
    assert machine.reason() == Reason.SSL_2


def test_device_tlb_invalidations_are_handed_on() -> None:
    """The unit has no device's memory; who models the device gets the descriptor."""
    machine = scalable(2)
    queue(machine, wide=True)
    seen: list[Bits] = []
    machine.unit.invalidator.device_tlbs = seen.append
    submit(machine, 3 | SOURCE << 32, 0x1000)
    submit(machine, 8 | SOURCE << 16, 0x2000)
    assert [type(item).__name__ for item in seen] == ["DeviceTlbInvalidate", "PasidDeviceTlbInvalidate"]
    machine = legacy()
    queue(machine)
    submit(machine, 3 | SOURCE << 32, 0x1000)
    assert machine.read(0x34) == 0


def test_tables_of_both_stages_are_remembered_by_what_they_granted() -> None:
    """A table on the way that does not permit a request is not taken as a short cut for it."""
    machine = scalable(1, q2=3 | 1 << 5, pasid=5)
    assert machine.unit.translate(SOURCE, ADDRESS, READ, 5) == GOOD
    machine.put(entry_at(FIRST, 1, ADDRESS + 0x1000), PAGE + 0x1000 | 0x67)
    assert machine.unit.translate(SOURCE, ADDRESS + 0x1000, 5, 5) == GOOD + 0x1000
    machine.put(entry_at(FIRST, 2), FIRST[1] | 1 << 63 | 0x21)
    machine.forget()
    assert machine.unit.translate(SOURCE, ADDRESS, READ, 5, supervisor=True) == GOOD
    for access, supervisor, reason in ((READ, False, 0x81), (WRITE, True, None), (5, True, 0x82)):
        result = machine.unit.look(SOURCE, ADDRESS + 0x1000, access, 5, supervisor=supervisor)
        assert result == GOOD + 0x1000 if reason is None else result.reason == reason  # type: ignore[union-attr]
