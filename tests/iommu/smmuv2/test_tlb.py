"""What is remembered, and until when."""

from __future__ import annotations

import pytest

from .rig import AF, BANK, CB, GR1, IPA, LEAF, PA, ROOT, VMID, Rig, mapped

OTHER = 6
"""A bank with the same VMID."""
PAGE = IPA >> 12
M = 1 << 21


def sync(rig: Rig, bank: int | None = BANK) -> None:
    """Complete invalidations, as software has to: ask until the status is clear."""
    command, status = (0x70, 0x74) if bank is None else ((64 + bank) * 0x1000 + 0x7F0, (64 + bank) * 0x1000 + 0x7F4)
    rig.write(command, 0)
    assert [rig.read(status) for _ in range(3)] == [1, 0, 0]


def remembered(level: int = 3) -> Rig:
    """Return a rig that remembers IPA, whose leaf is gone."""
    rig = mapped(level=level)
    size = 1 << 12 + 9 * (3 - level)
    place = rig.leaf(IPA & -size, PA & -size, LEAF, level)[-1]
    assert rig.send().result == "done"
    rig.memory.write_u64(place, 0)
    assert rig.send().result == "done", "it is remembered"
    return rig


@pytest.mark.parametrize(
    ("offset", "value", "bank"),
    [
        (CB + 0x630, PAGE, BANK),
        (CB + 0x638, PAGE, BANK),
        (0x64, VMID, None),
        (0x68, 0, None),
        (CB + 0x638, PAGE, None),
    ],
)
def test_an_invalidation_holds_when_it_is_complete(offset: int, value: int, bank: int | None) -> None:
    """Not before the sync, and not before the status says so."""
    rig = remembered()
    rig.write(offset, value, 8 if offset > CB else 4)
    assert rig.send().result == "done"
    rig.write(0x70 if bank is None else CB + 0x7F0, 0)
    assert rig.send().result == "done"
    sync(rig, bank)
    assert rig.send().reason == "TF"
    assert len(rig.model.tlb) == 0


@pytest.mark.parametrize(
    ("offset", "value", "bank"),
    [
        (CB + 0x630, PAGE + 1, BANK),
        (0x64, VMID + 1, None),
        (0x6C, 0, None),
        (0x60, 0, None),
        (CB + 0x618, 0, BANK),
        (CB + 0x600, PAGE, BANK),
        (CB + 0x648, PAGE, BANK),
        ((64 + 9) * 0x1000 + 0x630, PAGE, 9),
    ],
)
def test_other_invalidations_leave_it(offset: int, value: int, bank: int | None) -> None:
    """Another page, VMID, stage or bank, hypervisors, secure state."""
    rig = remembered()
    rig.write(offset, value, 8 if offset > CB else 4)
    sync(rig, bank)
    assert rig.send().result == "done"


def test_a_sync_of_another_bank_completes_nothing_here() -> None:
    """Each bank's own."""
    rig = remembered()
    rig.write(CB + 0x638, PAGE, 8)
    sync(rig, OTHER)
    assert rig.send().result == "done"


def test_tables_are_remembered_too() -> None:
    """TLBIIPAS2L leaves the way to a leaf, TLBIIPAS2 takes it."""
    rig = mapped()
    assert rig.send().result == "done"
    table = rig.leaf(IPA & ~0xFFF, PA & ~0xFFF)[2]
    rig.memory.write_u64(table, 0)
    rig.write(CB + 0x638, PAGE, 8)
    sync(rig)
    assert rig.send().result == "done"
    rig.write(CB + 0x630, PAGE, 8)
    sync(rig)
    assert rig.send().reason == "TF"


def test_a_vmid_is_shared_by_banks() -> None:
    """A bank finds what another one of its VMID has put there; VMIDs of 16 bits are apart."""
    rig = remembered()
    other = (64 + OTHER) * 0x1000
    rig.write(GR1 + 0x800 + 4 * OTHER, 1)
    rig.write(GR1 + 4 * OTHER, VMID)
    rig.write(other + 0x30, 0x8005_3590)
    rig.write(other + 0x20, 0x90_0000, 8)
    rig.write(other, 0x121)
    rig.write(0xC0C, OTHER)
    assert rig.send().address == PA
    rig.write(GR1 + 0x800 + 4 * OTHER, 0x1234_0001)
    assert rig.send().address == PA
    rig.write(0, 0x8000_0402)
    assert rig.send().reason == "TF"
    rig.write(0x64, 0x1234)
    sync(rig, None)


def test_a_block_and_a_page_that_are_both_remembered_are_a_conflict() -> None:
    """TLBMCF: software broke the rule that what is replaced goes first."""
    rig = mapped(level=2)
    assert rig.send().result == "done"
    assert rig.send((IPA & -M) + M).reason == "TF"
    rig.fault()
    table = rig.page()
    place = rig.leaf(IPA & -M, PA & -M, LEAF, 2)[-1]
    rig.memory.write_u64(place, table | 3)
    rig.memory.write_u64(table + 8 * (IPA >> 12 & 511), PA & ~0xFFF | LEAF | 2)
    assert rig.send().result == "done"
    space = rig.model.space(rig.model.banks[BANK], 0)
    space.insert(12, IPA, (PA - IPA, 63, 3))
    assert rig.send().reason == "TLBMCF"
    fault = rig.fault()
    assert fault is not None
    assert fault.name == "TLBMCF"


def test_permissions_are_remembered() -> None:
    """What was read only stays so until it is forgotten, and the level is told."""
    rig = mapped(bits=LEAF & ~0x80)
    assert rig.send().result == "done"
    rig.leaf(IPA & ~0xFFF, PA & ~0xFFF)
    assert rig.send(write=True).reason == "PF"
    fault = rig.fault()
    assert fault is not None
    assert fault.level == 3


def test_nothing_is_remembered_without_caches() -> None:
    """caching=False."""
    rig = mapped(caching=False)
    assert rig.send().result == "done"
    assert len(rig.model.tlb) == 0
    rig.memory.write_u64(ROOT + 8 * (IPA >> 39), 0)
    assert rig.send().reason == "TF"


# --- stage 1


def first(bits: int) -> Rig:
    """Return a rig of ASID 9 that remembers IPA, whose leaf is gone."""
    rig = Rig(tcr=0x80_3510)
    rig.write(GR1 + 4 * BANK, 0x1_0000 | VMID)
    rig.write(CB + 0x20, 9 << 48 | ROOT, 8)
    rig.write(CB + 0x10, 5)
    place = rig.leaf(IPA & ~0xFFF, PA & ~0xFFF, 0x40 | AF | 1 | bits)[-1]
    assert rig.send().result == "done"
    rig.memory.write_u64(place, 0)
    return rig


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("offset", "value", "kept", "kept_shared"),
    [
        (0x600, 9 << 48 | PAGE, False, False),
        (0x620, 9 << 48 | PAGE, False, False),
        (0x620, 8 << 48 | PAGE, True, False),
        (0x620, 9 << 48 | PAGE + 1, True, True),
        (0x610, 9, False, True),
        (0x610, 8, True, True),
        (0x618, 0, False, False),
        (0x630, PAGE, True, True),
    ],
)
def test_invalidations_of_stage_1(offset: int, value: int, kept: bool, kept_shared: bool, shared: bool) -> None:
    """By page and ASID, by ASID, all; global entries belong to every ASID and are not named by one alone."""
    rig = first(0 if shared else 1 << 11)
    rig.write(CB + offset, value, 8 if offset not in (0x610, 0x618) else 4)
    sync(rig)
    assert (rig.send().result == "done") is (kept_shared if shared else kept)


def test_asids_are_apart() -> None:
    """Another ASID does not find what is not global; TCR.A1 takes it from TTBR1."""
    rig = first(1 << 11)
    rig.write(CB + 0x20, 8 << 48 | ROOT, 8)
    assert rig.send().reason == "TF"
    rig.write(CB + 0x28, 9 << 48, 8)
    rig.write(CB + 0x30, 0xC0_3510)
    assert rig.send().result == "done"
