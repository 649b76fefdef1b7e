"""Recording faults: the exact record, overflow, compression, the fault event; protected memory; page requests."""

from __future__ import annotations

import pytest
from iommuman.iommu.vtd.layout import PageRequest
from iommuman.iommu.vtd.model import ATOMIC, EXECUTE, READ, WRITE, Blocked
from iommuman.iommu.vtd.names import Reason

from .machine import (
    ADDRESS,
    CONTEXT,
    LEGACY_CAP,
    LEGACY_ECAP,
    QUEUE,
    ROOT,
    SCALABLE_ECAP,
    SECOND,
    SOURCE,
    Machine,
    entry_at,
    legacy,
    scalable,
)

FSTS, FECTL, FRCD = 0x34, 0x38, 0x220
FOUR_RECORDS = LEGACY_CAP | 3 << 40


def record(machine: Machine, index: int = 0) -> tuple[int, int]:
    """Return the two doublewords of a fault recording register."""
    return machine.read(FRCD + 16 * index, 8), machine.read(FRCD + 16 * index + 8, 8)


@pytest.mark.parametrize(
    ("access", "high"), [(READ, 0xC0000006_00000018), (WRITE, 0x80000005_00000018), (ATOMIC, 0xC0000005_10000018)]
)
def test_a_legacy_record_is_exact_to_the_bit(access: int, high: int) -> None:
    """F 63, T1 62, FR 39:32, T2 28, source-id 15:0; the page's address in the low word."""
    machine = legacy(flags=0)
    machine.unit.translate(SOURCE, ADDRESS, access)
    assert record(machine) == (0x40201000, high)
    assert machine.read(FSTS) == 2


@pytest.mark.parametrize(
    ("access", "supervisor", "high"),
    [
        (READ, False, 1 << 63 | 1 << 62 | 5 << 40 | 0x79 << 32 | 1 << 31 | 0x18),
        (EXECUTE, False, 1 << 63 | 1 << 62 | 5 << 40 | 0x79 << 32 | 1 << 31 | 1 << 30 | 0x18),
        (WRITE, True, 1 << 63 | 5 << 40 | 0x79 << 32 | 1 << 31 | 1 << 29 | 0x18),
    ],
)
def test_a_record_with_pasid_is_exact_to_the_bit(access: int, supervisor: bool, high: int) -> None:
    """PP 31, EXE 30, PRIV 29, PASID from bit 40."""
    machine = scalable(2, q2=3, pasid=5)
    machine.put(entry_at(SECOND, 1), 0)
    machine.unit.translate(SOURCE, ADDRESS, access, 5, supervisor=supervisor)
    assert record(machine) == (0x40201000, high)


def faulting(count: int = 4, *, compress: bool = False) -> Machine:
    """A machine with nothing present, and so many fault recording registers."""
    machine = Machine(LEGACY_CAP | count - 1 << 40, compress=compress)
    machine.put(ROOT, CONTEXT | 1, 0)
    machine.start()
    return machine


def test_records_fill_in_turn_wrap_and_overflow() -> None:
    """The fifth fault is lost and says so; after that none is recorded until software clears the overflow."""
    machine = faulting()
    for number in range(4):
        assert machine.unit.translate(number, number << 12) == Blocked(Reason.LCT_2, recorded=True)
    assert machine.read(FSTS) == 2
    assert [record(machine, i)[0] for i in range(4)] == [0, 0x1000, 0x2000, 0x3000]
    machine.unit.translate(9, 0x9000)
    assert machine.read(FSTS) == 3
    machine.write(FRCD + 12, 1 << 31)
    machine.unit.translate(8, 0x8000)
    assert record(machine, 0)[1] >> 63 == 0, "nothing is recorded while PFO is set"
    machine.write(FSTS, 1)
    assert machine.read(FSTS) == 2
    machine.unit.translate(7, 0x7000)
    assert record(machine, 0)[0] == 0x7000, "the next register is the first again"
    assert machine.read(FSTS) == 2


def test_the_index_is_that_of_the_first_pending_record() -> None:
    """FRI is taken when PPF goes from 0 to 1, and not after."""
    machine = faulting()
    machine.unit.translate(1, 0)
    machine.unit.translate(2, 0)
    assert machine.read(FSTS) == 2
    for index in (0, 1):
        assert machine.read(FSTS) & 2
        machine.write(FRCD + 16 * index + 12, 1 << 31)
    assert machine.read(FSTS) & 2 == 0
    machine.unit.translate(3, 0)
    assert machine.read(FSTS) == 2 << 8 | 2
    machine.unit.translate(4, 0)
    assert machine.read(FSTS) == 2 << 8 | 2


def test_compression_leaves_out_a_source_that_is_pending() -> None:
    """Only while its record is there, and only the same source."""
    machine = faulting(compress=True)
    for _ in range(9):
        machine.unit.translate(1, 0x1000)
    machine.unit.translate(2, 0x2000)
    assert [record(machine, i)[1] & 0xFFFF for i in range(4)] == [1, 2, 0, 0]
    assert machine.read(FSTS) == 2
    machine.write(FRCD + 12, 1 << 31)
    machine.unit.translate(1, 0x3000)
    assert record(machine, 2)[0] == 0x3000


def test_the_fault_event_is_sent_once_for_what_is_pending() -> None:
    """Masked: kept pending, sent on unmasking. Unmasked: sent at the first fault, again only after all was cleared."""
    machine = faulting()
    assert machine.read(FECTL) == 1 << 31
    machine.write(0x3C, 0x4021)
    machine.write(0x40, 0xFEE01004)
    machine.write(0x44, 0x1)
    machine.unit.translate(1, 0)
    machine.unit.translate(2, 0)
    assert (machine.messages, machine.read(FECTL)) == ([], 3 << 30)
    machine.write(FECTL, 0)
    assert (machine.messages, machine.read(FECTL)) == ([(0x1_FEE01004, 0x4021)], 0)
    machine.unit.translate(3, 0)
    assert len(machine.messages) == 1
    for index in range(3):
        machine.write(FRCD + 16 * index + 12, 1 << 31)
    machine.unit.translate(4, 0)
    assert len(machine.messages) == 2


def test_a_pending_event_goes_away_with_its_cause() -> None:
    """Software that clears the records while masked gets no message on unmasking."""
    machine = faulting()
    machine.unit.translate(1, 0)
    machine.write(FRCD + 12, 1 << 31)
    assert machine.read(FECTL) == 1 << 31
    machine.write(FECTL, 0)
    assert machine.messages == []


def test_only_a_one_in_f_clears_a_record() -> None:
    """The other bits are read-only, and so is PPF."""
    machine = faulting()
    machine.unit.translate(1, 0x5000)
    before = record(machine)
    machine.write(FRCD, 0xFFFFFFFF)
    machine.write(FRCD + 8, 0xFFFFFFFF)
    machine.write(FRCD + 12, 0x7FFFFFFF)
    machine.write(FSTS, 2)
    assert record(machine) == before
    assert machine.read(FSTS) == 2
    machine.write(FRCD + 8, 1 << 63, 8)
    assert record(machine) == (before[0], before[1] & ~(1 << 63))


# --- Protected memory


def protected() -> Machine:
    """A machine with a low region of 1 to 3 MiB and a high one of 4 GiB to 4 GiB + 2 MiB, enabled."""
    machine = Machine()
    machine.write(0x68, 0x00100000)
    machine.write(0x6C, 0x00200000)
    machine.write(0x70, 0x1_00000000, 8)
    machine.write(0x78, 0x1_00100000, 8)
    machine.write(0x64, 1 << 31)
    return machine


@pytest.mark.parametrize(
    ("address", "free"),
    [
        (0xFFFFF, 1),
        (0x100000, 0),
        (0x2FFFFF, 0),
        (0x300000, 1),
        (0xFFFFFFFF, 1),
        (0x1_00000000, 0),
        (0x1_001FFFFF, 0),
        (0x1_00200000, 1),
    ],
)
def test_protected_memory_is_out_of_reach_without_translation(address: int, free: int) -> None:
    """Base to limit, whose missing low bits count as ones; no record is left."""
    machine = protected()
    assert machine.read(0x64) == 1 << 31 | 1
    assert machine.unit.translate(SOURCE, address, WRITE) == (address if free else Blocked(None))
    assert machine.read(FSTS) == 0
    machine.write(0x64, 0)
    assert machine.read(0x64) == 0
    assert machine.unit.translate(SOURCE, address, WRITE) == address


def test_protected_memory_stops_pass_through_and_translated_requests() -> None:
    """With translation on; what tables map is the tables' business."""
    for tt, kind in ((2, 0), (1, 2)):
        machine = legacy(tt=tt, ecap=LEGACY_ECAP | 1 << 2)
        machine.write(0x68, 0x00100000)
        machine.write(0x6C, 0x00100000)
        machine.write(0x64, 1 << 31)
        assert machine.unit.translate(SOURCE, 0x100000, kind=kind) == Blocked(None)
        assert machine.unit.translate(SOURCE, 0x200000, kind=kind) == 0x200000


def test_an_empty_region_or_a_unit_without_regions_protects_nothing() -> None:
    """A limit below its base is empty; without PLMR and PHMR the registers do not exist."""
    machine = protected()
    machine.write(0x6C, 0)
    assert machine.unit.translate(SOURCE, 0x100000) == 0x100000
    machine = Machine(LEGACY_CAP & ~(3 << 5))
    for offset in (0x64, 0x68, 0x6C, 0x70, 0x78):
        machine.write(offset, 0xFFFFFFFF)
        assert machine.read(offset) == 0
    for flag, offset in ((1 << 5, 0x68), (1 << 6, 0x70)):
        machine = Machine(LEGACY_CAP & ~(3 << 5) | flag)
        machine.write(0x64, 1 << 31)
        machine.write(offset, 0xFFFFFFFF)
        assert (machine.read(offset), machine.read(0x64)) == (0xFFF00000, 1 << 31 | 1)


# --- Page requests


def paging(*, pre: int = 1) -> Machine:
    """A scalable-mode machine whose device may make page requests, with a queue of one page."""
    machine = scalable(2, ecap=SCALABLE_ECAP | 1 << 29, pasid=5)
    context = machine.memory.read_u64(CONTEXT + SOURCE * 32)
    machine.put(CONTEXT + SOURCE * 32, context | pre << 4)
    machine.write(0xD0, QUEUE, 8)
    return machine


def test_page_requests_go_to_the_queue_exact_to_the_bit() -> None:
    """32 bytes at the tail, the pending bit, and one event."""
    machine = paging()
    machine.write(0xE0, 0)
    machine.write(0xE4, 0x77)
    machine.write(0xE8, 0xFEE00000, 8)
    request = PageRequest(TYPE=1, PP=1, RID=SOURCE, PASID=5, R=1, W=1, LPIG=1, PRGI=9, ADDR=0x7000)
    assert machine.unit.request_page(request) is True
    assert machine.unit.request_page(request) is True
    assert [machine.memory.read_u64(QUEUE + 32 + 8 * i) for i in range(4)] == [
        5 << 32 | 0x18 << 16 | 1 << 8 | 1,
        0x7000 | 9 << 3 | 7,
        0,
        0,
    ]
    assert machine.read(0xC8, 8) == 64
    assert machine.read(0xDC) == 1
    assert machine.messages == [(0xFEE00000, 0x77)]
    machine.write(0xDC, 1)
    assert machine.read(0xDC) == 0


def test_a_full_page_request_queue_overflows_until_software_clears_it() -> None:
    """One entry stays free; with PRO set nothing is taken."""
    machine = paging()
    request = PageRequest(TYPE=1, PP=1, RID=SOURCE, PASID=5, R=1, ADDR=0x7000)
    assert [machine.unit.request_page(request) for _ in range(128)] == [True] * 127 + [False]
    assert machine.read(0xDC) == 3
    machine.write(0xC0, 64, 8)
    assert machine.unit.request_page(request) is False
    machine.write(0xDC, 2)
    assert machine.unit.request_page(request) is True
    assert machine.read(0xC8, 8) == 0, "the tail wrapped"
    machine.memory.inject(QUEUE)
    assert machine.unit.request_page(request) is False


def test_page_requests_need_their_mode_and_their_bit() -> None:
    """RTA.3 in legacy mode, SCT.8 without PRE; the record's type is 01."""
    request = PageRequest(TYPE=1, PP=1, RID=SOURCE, PASID=5, R=1, ADDR=0x7000)
    machine = paging(pre=0)
    assert machine.unit.request_page(request) == Blocked(Reason.SCT_8, recorded=True)
    assert record(machine)[1] == 1 << 63 | 5 << 40 | 0x47 << 32 | 1 << 31 | 1 << 28 | 0x18
    assert legacy().unit.request_page(request.replace(PP=0)) == Blocked(Reason.RTA_3, recorded=True)
