"""Translation by hand-made tables: modes, page sizes, permissions, reserved bits, A and D, directories, nesting."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from iommuman.iommu.riscv.model import FETCH, PRIVILEGED, READ, WRITE

from .rig import (
    DDT,
    DID,
    G_ROOT,
    GPA,
    LEVELS,
    PA,
    PDT,
    RWX_U,
    S_ROOT,
    SV39,
    SV48,
    SV57,
    VA,
    WINDOW,
    A,
    D,
    G,
    R,
    Rig,
    U,
    V,
    W,
    X,
    capabilities,
    first,
    nested,
    second,
)

CASES = [(mode, level) for mode in LEVELS for level in range(LEVELS[mode])]
ACCESSES = {READ: {}, WRITE: {"write": True}, FETCH: {"instruction": True}}
GADE, SADE, PDTV, DPE = 1 << 7, 1 << 8, 1 << 5, 1 << 9
N = 1 << 63
Make = Callable[..., Rig]


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize(("mode", "level"), CASES)
@pytest.mark.parametrize("caching", [True, False])
def test_every_page_size(make: Make, mode: int, level: int, caching: bool) -> None:
    """4 KiB to 256 TiB: the offset in the page is kept, by both ways in, and what is beside it is not mapped."""
    size = 1 << 12 + 9 * level
    rig = make(mode=mode, level=level, caching=caching)
    expected = (PA & -size) + (VA & size - 1)
    for _ in range(2):
        assert rig.send().address == expected
        assert rig.model.translate(DID, VA) == expected
        assert rig.model.translate(DID, VA & -size) == PA & -size
        assert rig.model.translate(DID, (VA & -size) + size - 1) == (PA & -size) + size - 1
    page = 20 if make is second else 12
    for beside in ((VA & -size) + size, (VA & -size) - 1):
        if 0 <= beside < 1 << 38:
            assert rig.cause(beside) == page + 1
    if level:
        # A page that is not aligned to its size: the lowest bit above the smaller size is set.
        root = G_ROOT if make is second else S_ROOT
        rig = make(mode=mode, level=level, caching=caching)
        rig.leaf(root, VA, (PA & -size) + (size >> 1), RWX_U, level, LEVELS[mode])
        assert rig.cause() == page + 1


@pytest.mark.parametrize(("access", "flags"), list(itertools.product(ACCESSES, range(16))))
def test_permissions(access: int, flags: int) -> None:
    """R, W, X and V of leaves at both stages, for each access; W without R is no entry."""
    bits = flags | U | A | D
    present = flags & V and flags & (R | X) and flags & (R | W) != W
    granted = present and flags & (R, W, X)[access]
    offset = (1, 3, 0)[access]
    for make, fault in ((first, 12), (second, 20)):
        rig = make(flags=bits)
        outcome = rig.send(**ACCESSES[access])
        assert (outcome.address, outcome.cause) == ((PA, 0) if granted else (None, fault + offset))
        assert rig.model.translate(DID, VA, access) == (PA if granted else -1), "and again, from what is remembered"


@pytest.mark.parametrize(("mode", "bits"), [(SV39, 39), (SV48, 48), (SV57, 57)])
def test_addresses_of_the_first_stage_are_sign_extended(mode: int, bits: int) -> None:
    """All bits from the highest that is translated are the same; else it is a page fault."""
    rig = Rig()
    rig.dc(1, 0, 0, mode << 60 | S_ROOT >> 12)
    high = (1 << 64) - (1 << bits - 1)
    rig.leaf(S_ROOT, high, PA & -4096, RWX_U, 0, LEVELS[mode])
    rig.leaf(S_ROOT, (1 << bits - 1) - 1, PA & -4096, RWX_U, 0, LEVELS[mode])
    assert rig.send(high).address == rig.model.translate(DID, high) == PA & -4096
    assert rig.send((1 << bits - 1) - 1).address == PA | 0xFFF
    for address in (1 << bits - 1, high - 1, 1 << 63, (1 << 64) - 1 - (1 << bits)):
        assert rig.cause(address) == 13


@pytest.mark.parametrize(("mode", "bits"), [(SV39, 41), (SV48, 50), (SV57, 59)])
def test_addresses_of_the_second_stage_have_two_bits_more(mode: int, bits: int) -> None:
    """The root has 2048 entries; what is beyond them is a guest page fault."""
    rig = Rig()
    rig.dc(1, mode << 60 | G_ROOT >> 12)
    last = (1 << bits) - 4096
    rig.leaf(G_ROOT, last, PA & -4096, RWX_U, 0, LEVELS[mode])
    assert rig.send(last).address == PA & -4096
    assert rig.cause(1 << bits) == 21
    assert rig.cause(last | 1 << 63) == 21
    assert rig.faults()[-1].gpa == last | 1 << 63


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize("bit", [54, 55, 56, 57, 58, 59, 60, 61, 62])
def test_reserved_bits_of_leaves(make: Make, bit: int) -> None:
    """Reserved bits fault; 60:59 not with Svrsw60t59b, 62:61 not with Svpbmt, unless both are set."""
    fault = 21 if make is second else 13
    flags = RWX_U | 1 << bit
    assert make(flags=flags).send().cause == (0 if bit > 60 else fault)
    caps = capabilities(Svpbmt=0, Svrsw60t59b=1)
    assert make(caps, flags=flags).send().cause == (0 if bit in (59, 60) else fault)
    assert make(flags=RWX_U | 3 << 61).send().cause == fault


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize("bit", [4, 6, 7, *range(54, 64)])
def test_reserved_bits_of_pointers(make: Make, bit: int) -> None:
    """In an entry that points to a table U, A, D, PBMT and N are reserved too."""
    root = G_ROOT if make is second else S_ROOT
    rig = make()
    entry = rig.memory.read_u64(root + 8 * (VA >> 30))
    rig.memory.write_u64(root + 8 * (VA >> 30), entry | 1 << bit)
    assert rig.cause() == (21 if make is second else 13)
    rig.memory.write_u64(root + 8 * (VA >> 30), entry | 0x300)
    assert rig.send().address == PA, "RSW is the software's"


@pytest.mark.parametrize("make", [first, second])
def test_a_pointer_at_the_last_level(make: Make) -> None:
    """There is no table below it."""
    assert make(flags=V).cause() == (21 if make is second else 13)


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize("low", range(16))
def test_napot_pages(make: Make, low: int) -> None:
    """Only 64 KiB exists: the low four bits of PPN are 1000, and the address gives them; at level 0 only."""
    root, fault = (G_ROOT, 21) if make is second else (S_ROOT, 13)
    rig = make()
    base = PA & -0x10000
    (*_, place) = rig.leaf(root, VA, base, RWX_U)
    for page in range(16):
        at = (place & -128) + 8 * page
        rig.memory.write_u64(at, (base >> 12 | low) << 10 | RWX_U | N)
    for page in (0, 7, 15):
        outcome = rig.send((VA & -0x10000) + page * 4096 + 5)
        assert (outcome.address, outcome.cause) == ((base + page * 4096 + 5, 0) if low == 8 else (None, fault))
    for level in (1, 2):
        rig = make(level=level)
        size = 1 << 12 + 9 * level
        rig.leaf(root, VA, PA & -size, RWX_U | N, level)
        assert rig.cause() == fault


@pytest.mark.parametrize("make", [first, second])
@pytest.mark.parametrize("caching", [True, False])
def test_accessed_and_dirty(make: Make, caching: bool) -> None:
    """Without SADE or GADE a clear A, or D of a write, faults; with it hardware sets them, D for writes only."""
    root, fault, bit = (G_ROOT, 20, GADE) if make is second else (S_ROOT, 12, SADE)
    for flags in (0, A, D, A | D):
        rig = make(flags=RWX_U & ~(A | D) | flags, caching=caching)
        assert rig.send().cause == (0 if flags & A else fault + 1)
        assert rig.send(write=True).cause == (0 if flags == A | D else fault + 3)
        rig = make(flags=RWX_U & ~(A | D) | flags, tc=1 | bit, caching=caching)
        (*_, place) = rig.leaf(root, VA, PA, RWX_U & ~(A | D) | flags)
        assert rig.send().address == PA
        assert rig.memory.read_u64(place) & 0xC0 == flags | A
        assert rig.model.translate(DID, VA, WRITE) == PA
        assert rig.memory.read_u64(place) & 0xC0 == A | D


@pytest.mark.parametrize("make", [first, second])
def test_nothing_is_set_where_access_is_denied(make: Make) -> None:
    """A fault leaves A and D as they were."""
    root = G_ROOT if make is second else S_ROOT
    rig = make(flags=V | R | U, tc=1 | GADE | SADE)
    (*_, place) = rig.leaf(root, VA, PA, V | R | U)
    assert rig.cause(write=True) in (15, 23)
    assert rig.memory.read_u64(place) & 0xFF == V | R | U
    assert rig.send().address == PA


def test_pages_of_the_second_stage_need_u() -> None:
    """A request counts as one without supervisor privilege there."""
    assert second(flags=RWX_U & ~U).cause() == 21


def process(ens: int, total: int, flags: int) -> Rig:
    """Return a rig with one process, 9, whose first stage maps VA with these flags."""
    rig = Rig()
    rig.dc(1 | PDTV, 0, 0, 1 << 60 | PDT >> 12)
    rig.put(PDT + 16 * 9, 1 | ens << 1 | total << 2 | 5 << 12, 8 << 60 | S_ROOT >> 12)
    rig.leaf(S_ROOT, VA, PA, flags)
    return rig


@pytest.mark.parametrize(("supervisor", "total", "user"), list(itertools.product((False, True), (0, 1), (0, 1))))
def test_privilege(supervisor: bool, total: int, user: int) -> None:
    """User needs U; a supervisor does not execute U pages, and reads and writes them with SUM only."""
    rig = process(1, total, RWX_U & ~U | user * U)
    data = user if not supervisor else not user or total
    execute = user if not supervisor else not user
    for access, granted in ((READ, data), (WRITE, data), (FETCH, execute)):
        outcome = rig.send(process_id=9, privileged=supervisor, **ACCESSES[access])
        assert outcome.cause == (0 if granted else 12 + (1, 3, 0)[access])
        code = access | PRIVILEGED * supervisor
        assert rig.model.translate(DID, VA, code, 9) == (PA if granted else -1)


def test_supervisor_privilege_needs_ens() -> None:
    """Without PC.ta.ENS it is cause 260; without a process ID privilege does not count."""
    rig = process(0, 0, RWX_U)
    assert rig.cause(process_id=9, privileged=True) == 260
    assert rig.send(process_id=9).address == PA
    assert rig.cause(process_id=9, privileged=True) == 260, "from what is remembered"
    assert first().send(privileged=True).address == PA


@pytest.mark.parametrize(("mode", "bits"), [(1, 8), (2, 17), (3, 20)])
def test_process_directories_of_every_depth(mode: int, bits: int) -> None:
    """The last process of each is found; one that is too wide is cause 260."""
    rig = Rig()
    last = (1 << bits) - 1
    table = PDT
    for level in range(mode - 1, 0, -1):
        below = rig.page()
        shift = (0, 8, 17)[level]
        rig.put(table + 8 * (last >> shift & 0x1FF), below >> 2 | 1)
        table = below
    rig.put(table + 16 * 0xFF, 1 | 5 << 12, 8 << 60 | S_ROOT >> 12)
    rig.dc(1 | PDTV, 0, 0, mode << 60 | PDT >> 12)
    rig.leaf(S_ROOT, VA, PA, RWX_U)
    assert rig.send(process_id=last).address == PA
    assert rig.model.translate(DID, VA, READ, last) == PA
    if bits < 20:
        assert rig.cause(process_id=1 << bits) == 260
    assert rig.send().address == VA, "without a process ID the first stage is Bare"
    assert rig.cause(process_id=0 if mode < 3 else 1) == 266


def test_the_default_process() -> None:
    """With DPE a request without process ID is one of process 0; the record says what the request said."""
    rig = Rig()
    rig.dc(1 | PDTV | DPE, 0, 0, 1 << 60 | PDT >> 12)
    rig.put(PDT, 1 | 5 << 12, 8 << 60 | S_ROOT >> 12)
    rig.leaf(S_ROOT, VA, PA, RWX_U)
    assert rig.send().address == PA
    assert rig.cause(0x1000) == 13
    assert rig.faults()[0].process_id is None


def test_process_ids_where_there_is_no_directory() -> None:
    """With PDTV clear a process ID is cause 260; with pdtp Bare the first stage is Bare."""
    assert first().cause(process_id=0) == 260
    rig = Rig()
    rig.dc(1 | PDTV, 0, 0, 0)
    assert rig.send(process_id=0xFFFFF).address == VA


@pytest.mark.parametrize(
    ("extended", "mode", "bits"), [(1, 2, 6), (1, 3, 15), (1, 4, 24), (0, 2, 7), (0, 3, 16), (0, 4, 24)]
)
def test_device_directories_of_every_depth(extended: int, mode: int, bits: int) -> None:
    """The last device of each is found in both formats; one that is too wide is cause 260."""
    rig = Rig(capabilities(MSI_FLAT=extended, MSI_MRIF=0), mode=mode)
    last, low = (1 << bits) - 1, 6 if extended else 7
    table = DDT
    for level in range(mode - 2, 0, -1):
        below = rig.page()
        rig.put(table + 8 * (last >> low + 9 * (level - 1) & 0x1FF), below >> 2 | 1)
        table = below
    size = 64 if extended else 32
    rig.put(table + 4096 - size, 1, 8 << 60 | G_ROOT >> 12, 0, 0)
    rig.leaf(G_ROOT, VA, PA, RWX_U)
    assert rig.send(device_id=last).address == PA
    assert rig.cause(device_id=last - 1) == 258
    if bits < 24:
        assert rig.cause(device_id=1 << bits) == 260
    else:
        assert rig.cause(device_id=0) == 258


def test_nested_stages() -> None:
    """Tables of the first stage are found by the second, and so is the page."""
    for caching in (True, False):
        rig = nested(caching=caching)
        for _ in range(2):
            assert rig.send().address == PA
            assert rig.send(write=True).address == PA
            assert rig.model.translate(DID, VA, FETCH) == PA


@pytest.mark.parametrize(("flags1", "flags2"), list(itertools.product((R, R | W, X, R | W | X), repeat=2)))
def test_nested_permissions(flags1: int, flags2: int) -> None:
    """An access needs the permission of both stages; the stage that lacks it is the one that faults."""
    common = V | U | A | D
    rig = nested(flags1=flags1 | common, flags2=flags2 | common)
    for access, bit in ((READ, R), (WRITE, W), (FETCH, X)):
        offset = (1, 3, 0)[access]
        expected = 12 + offset if not flags1 & bit else 20 + offset if not flags2 & bit else 0
        assert rig.send(**ACCESSES[access]).cause == expected
        if expected >= 20:
            assert (rig.faults()[-1].gpa, rig.faults()) == (GPA & ~3, [])
        rig.faults()


def test_guest_faults_of_table_reads() -> None:
    """iotval2 has the address of the entry, and bit 0; the cause is that of the access."""
    rig = nested(tables=V | X | U | A | D)
    for access, cause in ((READ, 21), (WRITE, 23), (FETCH, 20)):
        assert rig.cause(**ACCESSES[access]) == cause
    (record, *_) = rig.faults()
    root_entry = S_ROOT + WINDOW + 8 * (VA >> 30)
    assert (record.gpa, record.implicit, record.implicit_write) == (root_entry, True, False)


def test_guest_faults_of_updates() -> None:
    """Where the second stage does not let A be set, bits 1:0 of iotval2 are set, whatever the access is."""
    rig = nested(flags1=RWX_U & ~A, tables=V | R | U | A, tc=1 | SADE)
    assert rig.cause() == 21
    (record,) = rig.faults()
    assert (record.implicit, record.implicit_write) == (True, True)
    assert record.raw[24:] != bytes(8)
    rig = nested(flags1=RWX_U & ~A, tables=V | R | W | U | A, tc=1 | SADE)
    assert rig.cause() == 21, "D of the page that holds the table is clear, and GADE too"
    rig = nested(flags1=RWX_U & ~A, tables=V | R | W | U | A, tc=1 | SADE | GADE)
    assert rig.send().address == PA
    assert rig.memory.read_u64(G_ROOT + 8 * (WINDOW >> 30)) >> 10 << 12, "a table"
    table = rig.memory.read_u64(G_ROOT + 8 * (WINDOW >> 30)) >> 10 << 12
    assert rig.memory.read_u64(table) & (A | D) == A | D


def test_process_directories_of_guests() -> None:
    """Entries of the process directory are read through the second stage."""
    rig = Rig()
    rig.dc(1 | PDTV, 8 << 60 | 7 << 44 | G_ROOT >> 12, 0, 2 << 60 | PDT + WINDOW >> 12)
    below = rig.page()
    rig.put(PDT, below + WINDOW >> 2 | 1)
    rig.put(below + 16 * 3, 1, 8 << 60 | S_ROOT + WINDOW >> 12)
    rig.leaf(S_ROOT, VA, GPA, RWX_U, through=WINDOW)
    rig.leaf(G_ROOT, GPA, PA, RWX_U)
    assert rig.cause(process_id=3) == 21
    (record,) = rig.faults()
    assert (record.gpa, record.implicit, record.implicit_write) == (PDT + WINDOW, True, False)
    rig.leaf(G_ROOT, WINDOW, 0, RWX_U, 1)
    assert rig.send(process_id=3).address == PA


def test_global_mappings() -> None:
    """G at a leaf, or at a pointer to it, makes an entry that every PSCID uses."""
    for flags, pointer in ((RWX_U | G, 0), (RWX_U, G)):
        rig = first(flags=flags)
        place = S_ROOT + 8 * (VA >> 30)
        rig.memory.write_u64(place, rig.memory.read_u64(place) | pointer)
        assert rig.send().address == PA
        rig.dc(1, 0, 6 << 12, 8 << 60 | S_ROOT + 0x4000 >> 12, did=DID + 1)
        assert rig.send(device_id=DID + 1).address == PA
        assert rig.cause(0x1000, device_id=DID + 1) == 13


def test_the_width_of_physical_addresses() -> None:
    """Tables and outputs beyond capabilities.PAS are access faults; addresses that pass as they are end there."""
    caps = capabilities(PAS=32)
    for make in (first, second):
        assert make(caps).send().cause == 5
    rig = Rig(caps)
    rig.dc(1)
    assert rig.send(0xFFFF_FFFF).address == 0xFFFF_FFFF
    outcome = rig.send(1 << 32)
    assert (outcome.result, outcome.cause, outcome.record) == ("abort", 0, b"")
    rig = Rig(caps, mode=1)
    assert rig.send(0xFFFF_FFFF).address == 0xFFFF_FFFF
    assert rig.send(1 << 32).result == "abort"
    for root, stage in ((G_ROOT, (8 << 60 | 1 << 24, 0, 0)), (S_ROOT, (0, 0, 8 << 60 | 1 << 24))):
        rig = Rig(caps)
        rig.dc(1, *stage)
        assert rig.cause() == 5, root
    rig = Rig(caps)
    rig.dc(1 | PDTV, 0, 0, 1 << 60 | 1 << 24)
    assert rig.cause(process_id=0) == 265
    assert not rig.faults()[-1].write


def test_modes_of_the_directory() -> None:
    """Off refuses everything, Bare lets untranslated requests pass."""
    rig = Rig(mode=0)
    assert rig.cause() == 256
    rig = Rig(mode=1)
    assert rig.send().address == VA
    assert rig.cause(kind="translated") == 260
    assert rig.send(kind="ats_request").cause == 260
