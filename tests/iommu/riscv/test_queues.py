"""The command queue and its errors, and what is remembered until which command."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from iommuman.iommu.riscv.model.tlb import Space

from .rig import (
    COMMANDS,
    DDT,
    DID,
    G_ROOT,
    GPA,
    MSIS,
    PA,
    PDT,
    RWX_U,
    S_ROOT,
    VA,
    WINDOW,
    G,
    Rig,
    U,
    V,
    capabilities,
    first,
    nested,
    second,
)

CQMF, CMD_TO, CMD_ILL = 1 << 8, 1 << 9, 1 << 10
FENCE = (2, 0)
OTHER = 0x7_0000_0000


# --- commands

ILLEGAL = {
    **{f"opcode {opcode}": (opcode, 0) for opcode in (0, *range(5, 128))},
    **{f"func3 {func} of opcode {opcode}": (opcode | func << 7, 0) for opcode in (1, 3, 4) for func in range(2, 8)},
    **{f"func3 {func} of IOFENCE": (2 | func << 7, 0) for func in range(1, 8)},
    **{f"IOTINVAL bit {bit}": (1 | 1 << bit, 0) for bit in (11, *range(34, 44), *range(60, 64))},
    **{f"IOTINVAL bit {64 + bit}": (1, 1 << bit) for bit in (*range(10), 62, 63)},
    **{f"IOFENCE bit {bit}": (2 | 1 << bit, 0) for bit in range(14, 32)},
    **{f"IOFENCE bit {64 + bit}": (2, 1 << bit) for bit in (62, 63)},
    "IOFENCE WSI": (2 | 1 << 11, 0),
    **{f"IODIR bit {bit}": (0x83 | 1 << 33 | 1 << bit, 0) for bit in (10, 11, 32, *range(34, 40))},
    **{f"IODIR bit {64 + bit}": (3, 1 << bit) for bit in range(64)},
    **{f"ATS bit {bit}": (4 | 1 << bit, 0) for bit in (10, 11, *range(34, 40))},
    **{f"ATS.INVAL bit {64 + bit}": (4, 1 << bit) for bit in range(1, 11)},
    **{f"ATS.PRGR bit {64 + bit}": (0x84, 1 << bit) for bit in (*range(32), *range(41, 44), *range(48, 64))},
    "GVMA with PSCV": (0x81 | 1 << 32, 0),
    "INVAL_PDT without DV": (0x83, 0),
    "INVAL_DDT with PID": (3 | 1 << 12, 0),
    "DID beyond the directory": (3 | 1 << 33 | 64 << 40, 0),
}


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_commands(name: str) -> None:
    """cmd_ill stops the queue at the command; when it is cleared the command is tried again."""
    rig = Rig()
    assert rig.command(FENCE, ILLEGAL[name], FENCE) == 1 | 1 << 16 | CMD_ILL
    assert rig.read(0x20) == 1
    rig.put(COMMANDS + 16, *FENCE)
    rig.write(0x48, 1 | CMD_ILL)
    assert (rig.read(0x48), rig.read(0x20)) == (1 | 1 << 16, 3)


def test_commands_that_capabilities_decide() -> None:
    """ATS commands need ATS; NL and S their extensions; the widest PID is that of the directories."""
    assert Rig(capabilities(ATS=0)).command((4, 0)) & CMD_ILL
    for bit, word in (("NL", (1 | 4 << 32, 0)), ("S", (1, 1 << 9))):
        assert not Rig(capabilities(**{bit: 1})).command(word) & CMD_ILL
    for caps, bits in (({}, 20), ({"PD20": 0}, 17), ({"PD20": 0, "PD17": 0}, 8)):
        command = 0x83 | 1 << 33
        assert not Rig(capabilities(**caps)).command((command | (1 << bits) - 1 << 12, 0)) & CMD_ILL
        if bits < 20:
            assert Rig(capabilities(**caps)).command((command | 1 << bits << 12, 0)) & CMD_ILL
    none = capabilities(PD20=0, PD17=0, PD8=0)
    assert Rig(none).command((0x83 | 1 << 33 | 1 << 12, 0)) & CMD_ILL
    assert not Rig(mode=0).command((3 | 1 << 33 | 0xFFFFFF << 40, 0)) & CMD_ILL


def test_fences_write_their_data() -> None:
    """With AV four bytes are stored; a store that memory refuses is cqmf at the fence."""
    rig = Rig()
    rig.put(0x80_0000, (1 << 64) - 1)
    rig.command((2 | 1 << 10 | 3 << 12 | 0x12345678 << 32, 0x80_0004 >> 2))
    assert rig.memory.read_u64(0x80_0000) == 0x12345678_FFFFFFFF
    rig.memory.inject(0x80_0000)
    assert rig.command((2 | 1 << 10, 0x80_0004 >> 2), FENCE) & CQMF
    assert rig.read(0x20) == 1
    rig.memory.heal()
    rig.write(0x48, 1 | CQMF)
    assert rig.read(0x20) == 3


def test_a_command_queue_that_cannot_be_read() -> None:
    """Cqmf stops it at the command; switching it off and on begins anew."""
    rig = Rig()
    rig.memory.inject(COMMANDS + 16, on="read")
    assert rig.command(FENCE, FENCE) & CQMF
    assert rig.read(0x20) == 1
    rig.write(0x24, 0)
    rig.write(0x48, 0)
    assert rig.read(0x48) == CQMF
    rig.write(0x48, 1)
    assert (rig.read(0x48), rig.read(0x20)) == (1 | 1 << 16, 0)


def test_the_command_queue_goes_around() -> None:
    """Sixteen places hold fifteen commands at a time."""
    rig = Rig()
    for _ in range(5):
        assert rig.command(*[FENCE] * 15) == 1 | 1 << 16
    assert rig.read(0x20) == rig.read(0x24) == 75 % 16


def test_devices_that_do_not_answer() -> None:
    """The fence after it times out, and completes when it is tried again."""
    rig = Rig()
    rig.model.unresponsive.add(0x18)
    assert not rig.command((4 | 0x20 << 40, 0x5000), FENCE) & CMD_TO
    assert rig.command((4 | 0x18 << 40, 0x5000), (0x84 | 0x18 << 40, 7 << 32), FENCE) & CMD_TO
    assert rig.read(0x20) == 4
    rig.write(0x48, 1 | CMD_TO)
    assert (rig.read(0x48) & CMD_TO, rig.read(0x20)) == (0, 5)
    assert [(one.RID, one.ADDR) for one in rig.model.invalidations] == [(0x20, 0x5000), (0x18, 0x5000)]
    assert [one.PRGI for one in rig.model.page_responses] == [7]
    rig.command((4 | 0x18 << 40, 0))
    rig.write(0x48, 0)
    rig.write(0x24, 0)
    rig.write(0x48, 1)
    rig._tail = 0
    assert not rig.command(FENCE) & CMD_TO, "a queue that is enabled knows of no time-out"


# --- what is remembered


def invalidate(
    func: int, *, gscid: int | None = None, pscid: int | None = None, address: int | None = None, **more: int
) -> tuple[int, int]:
    """Return an IOTINVAL command."""
    low = func | (gscid is not None) << 33 | (gscid or 0) << 44 | (pscid is not None) << 32 | (pscid or 0) << 12
    high = 0 if address is None else address >> 12 << 10
    return low | (address is not None) << 10 | more.get("nl", 0) << 34, high | more.get("s", 0) << 9


VMA, GVMA = 1, 0x81
FIRST = [  # takes leaf, takes pointers, command
    (True, True, invalidate(VMA)),
    (True, True, invalidate(VMA, pscid=5)),
    (False, False, invalidate(VMA, pscid=6)),
    (True, False, invalidate(VMA, address=VA)),
    (True, False, invalidate(VMA, address=VA, pscid=5)),
    (False, False, invalidate(VMA, address=VA, pscid=6)),
    (False, False, invalidate(VMA, address=VA + 0x1000)),
    (False, False, invalidate(VMA, gscid=7)),
    (False, False, invalidate(GVMA)),
    (False, False, invalidate(GVMA, gscid=7)),
    (True, True, invalidate(VMA, address=VA, nl=1)),
    (False, False, invalidate(VMA, address=VA + (1 << 30), nl=1)),
    (True, False, invalidate(VMA, address=VA & -0x10000 | 0x7000, s=1)),
    (False, False, invalidate(VMA, address=VA + 0x10000 & -0x10000 | 0x7000, s=1)),
    (False, False, (3, 0)),
]
EXTENDED = capabilities(NL=1, S=1)


@pytest.mark.parametrize(("leaf", "pointers", "command"), FIRST)
def test_what_first_stage_entries_outlive(leaf: bool, pointers: bool, command: tuple[int, int]) -> None:
    """A leaf, and the pointers to its table, stay until a command names them."""
    rig = first(EXTENDED)
    (top, middle, place) = rig.leaf(S_ROOT, VA, PA, RWX_U)
    rig.send()
    rig.memory.write_u64(place, OTHER >> 2 | RWX_U)
    assert rig.send().address == PA
    assert not rig.command(command) & CMD_ILL
    assert rig.send().address == (OTHER | VA & 0xFFF if leaf else PA)
    rig = first(EXTENDED)
    rig.send()
    rig.put(top, 0)
    rig.put(middle, 0)
    rig.command(command)
    assert rig.send().cause == (13 if pointers else 0)


SECOND = [
    (True, True, invalidate(GVMA)),
    (True, True, invalidate(GVMA, address=OTHER)),
    (True, True, invalidate(GVMA, gscid=7)),
    (False, False, invalidate(GVMA, gscid=8)),
    (True, False, invalidate(GVMA, gscid=7, address=VA)),
    (False, False, invalidate(GVMA, gscid=7, address=VA + 0x1000)),
    (False, False, invalidate(GVMA, gscid=8, address=VA)),
    (False, False, invalidate(VMA)),
    (False, False, invalidate(VMA, gscid=7)),
    (True, True, invalidate(GVMA, gscid=7, address=VA, nl=1)),
    (False, False, (3, 0)),
]


@pytest.mark.parametrize(("leaf", "pointers", "command"), SECOND)
def test_what_second_stage_entries_outlive(leaf: bool, pointers: bool, command: tuple[int, int]) -> None:
    """The same for the second stage: AV counts with GV only."""
    rig = second(EXTENDED)
    (top, middle, place) = rig.leaf(G_ROOT, VA, PA, RWX_U)
    rig.send()
    rig.memory.write_u64(place, OTHER >> 2 | RWX_U)
    assert rig.model.translate(DID, VA) == PA
    assert not rig.command(command) & CMD_ILL
    assert rig.model.translate(DID, VA) == (OTHER | VA & 0xFFF if leaf else PA)
    rig = second(EXTENDED)
    rig.send()
    rig.put(top, 0)
    rig.put(middle, 0)
    rig.command(command)
    assert rig.send().cause == (21 if pointers else 0)


def test_nested_entries_are_those_of_both_stages() -> None:
    """Each stage is remembered on its own: its command is needed, and is enough."""
    rig = nested()
    rig.send()
    (*_, one) = rig.leaf(S_ROOT, VA, GPA, RWX_U, through=WINDOW)
    (*_, two) = rig.leaf(G_ROOT, GPA, PA, RWX_U)
    rig.memory.write_u64(two, OTHER >> 2 | RWX_U)
    for command in (invalidate(VMA), invalidate(VMA, gscid=7), invalidate(VMA, gscid=7, pscid=5, address=VA)):
        rig.command(command)
        assert rig.send().address == PA
    rig.command(invalidate(GVMA, gscid=7, address=GPA))
    assert rig.send().address == OTHER | VA & 0xFFF
    rig.memory.write_u64(one, 0)
    for command in (invalidate(GVMA), invalidate(VMA), invalidate(VMA, gscid=8), invalidate(VMA, gscid=7, pscid=6)):
        rig.command(command)
        assert rig.send().address == OTHER | VA & 0xFFF
    rig.command(invalidate(VMA, gscid=7, pscid=5))
    assert rig.cause() == 13


def test_global_entries_stay_when_a_process_is_named() -> None:
    """With PSCV global mappings are not taken; without they are."""
    rig = first(flags=RWX_U | G)
    rig.send()
    (*_, place) = rig.leaf(S_ROOT, VA, PA, RWX_U | G)
    rig.memory.write_u64(place, 0)
    for command in (invalidate(VMA, pscid=5), invalidate(VMA, pscid=5, address=VA)):
        rig.command(command)
        assert rig.send().address == PA
    rig.command(invalidate(VMA, address=VA))
    assert rig.cause() == 13


def test_devices_with_the_same_tags_share_entries() -> None:
    """GSCID tags the second stage, whatever the root: what one device has walked the other uses."""
    rig = second()
    rig.send()
    rig.dc(1, 8 << 60 | 7 << 44 | 0x30000 >> 12, did=1)
    assert rig.send(device_id=1).address == PA
    rig.dc(1, 8 << 60 | 8 << 44 | 0x30000 >> 12, did=2)
    assert rig.cause(device_id=2) == 21


@pytest.mark.parametrize("make", [first, second])
def test_what_is_not_valid_is_not_remembered(make: Callable[..., Rig]) -> None:
    """An entry that becomes valid works at once; one that is valid but denies may deny until it is named."""
    rig = make(flags=0)
    assert rig.cause() in (13, 21)
    root = S_ROOT if make is first else G_ROOT
    (*_, place) = rig.leaf(root, VA, PA, RWX_U & ~U)
    assert rig.cause() in (13, 21)
    rig.memory.write_u64(place, PA >> 12 << 10 | RWX_U)
    assert rig.cause() in (13, 21)
    rig.command(invalidate(VMA), invalidate(GVMA))
    assert rig.send().address == PA


def test_a_hit_that_is_not_dirty_walks_again() -> None:
    """What is remembered clean is made dirty in memory by the first write."""
    rig = second(flags=RWX_U & ~128, tc=1 | 128)
    rig.send()
    assert rig.model.translate(DID, VA, 1) == PA
    (place,) = (rig.leaf(G_ROOT, VA + (1 << 35), PA, V)[-1],)
    assert place
    rig.memory.write_u64(place, 0)
    assert rig.model.translate(DID, VA, 1) == PA


def test_device_contexts_are_remembered() -> None:
    """A context stays until INVAL_DDT names the device or all; non-leaf entries go with all only."""
    rig = Rig(mode=3)
    table = rig.page()
    rig.put(DDT, table >> 2 | 1)
    rig.dc(1, at=table)
    rig.dc(1, at=table, did=1)
    assert rig.send().address == VA
    rig.dc(0, at=table)
    for command in ((3 | 1 << 33 | 1 << 40, 0), (0x83 | 1 << 33 | DID << 40, 0), invalidate(VMA), invalidate(GVMA)):
        assert not rig.command(command) & CMD_ILL
        assert rig.send().address == VA
    rig.command((3 | 1 << 33 | DID << 40, 0))
    assert rig.cause() == 258
    rig.put(DDT, 0)
    assert rig.send(device_id=1).address == VA, "the non-leaf entry is still known"
    rig.command((3 | 1 << 33 | 1 << 40, 0))
    assert rig.send(device_id=1).address == VA
    rig.command((3, 0))
    assert rig.cause(device_id=1) == 258


def test_what_is_remembered_outlives_off() -> None:
    """Switching to Off and to another directory forgets nothing."""
    rig = Rig()
    rig.dc(1)
    rig.send()
    rig.write(0x10, DDT >> 2, 8)
    assert rig.cause() == 256
    rig.write(0x10, 0x18000 >> 2 | 2, 8)
    assert rig.send().address == VA
    rig.command((3, 0))
    assert rig.cause() == 258


def test_process_contexts_are_remembered() -> None:
    """A process context stays until INVAL_PDT names it, or INVAL_DDT the device; non-leaf entries until the latter."""
    rig = Rig()
    below = rig.page()
    rig.dc(1 | 32, 0, 0, 2 << 60 | PDT >> 12)
    rig.put(PDT, below >> 2 | 1)
    rig.put(below + 16 * 3, 1, 0, 1, 0)

    def commands(pid: int) -> tuple[int, int]:
        return 0x83 | 1 << 33 | DID << 40 | pid << 12, 0

    for pid in (3, 4):
        assert rig.send(process_id=pid).address == VA
    rig.put(below + 16 * 3, 0, 0, 0, 0)
    rig.command(commands(4))
    assert rig.send(process_id=3).address == VA
    assert rig.cause(process_id=4) == 266
    rig.put(PDT, 0)
    rig.put(below + 16 * 4, 1, 0)
    assert rig.send(process_id=4).address == VA, "the non-leaf entry is still known"
    rig.command((3 | 1 << 33 | DID << 40, 0))
    assert rig.cause(process_id=4) == 266
    assert rig.cause(process_id=3) == 266
    rig.put(PDT, below >> 2 | 1)
    assert rig.send(process_id=4).address == VA
    rig.put(below + 16 * 4, 0, 0)
    rig.command((3, 0))
    assert rig.cause(process_id=4) == 266


def test_msi_entries_are_remembered() -> None:
    """They are tagged as the second stage is, by GSCID and guest physical address."""
    for command, taken in (
        (invalidate(VMA), False), (invalidate(VMA, gscid=7), False), (invalidate(GVMA, gscid=8), False),
        (invalidate(GVMA, gscid=7, address=0x1000), False), (invalidate(GVMA, gscid=7, address=0x2800_0000), True),
        (invalidate(GVMA, gscid=7), True), (invalidate(GVMA), True), ((3, 0), False),
    ):  # fmt: skip
        rig = Rig()
        rig.dc(1, 8 << 60 | 7 << 44 | G_ROOT >> 12, 0, 0, 1 << 60 | MSIS >> 12, 0, 0x28000)
        rig.put(MSIS, PA >> 12 << 10 | 7, 0)
        assert rig.send(0x2800_0000).address == PA & -4096
        rig.put(MSIS, 0, 0)
        rig.command(command)
        assert rig.send(0x2800_0000).cause == (262 if taken else 0)


def test_what_is_known_of_a_model() -> None:
    """The number of leaves is told; decoded contexts do not pile up."""
    rig = nested()
    rig.send()
    assert len(rig.model.tlb) == 3
    for number in range(1100):
        rig.dc(1, 0, number << 12)
        rig.command((3, 0))
        assert rig.send().address == VA
    assert len(rig.model.directory._meanings) <= 1025


def test_of_two_entries_the_smaller_is_used() -> None:
    """Where a page replaced a larger one without being forgotten, both are known; one is used."""
    space = Space()
    space.insert(21, 0x20_0000, (1, 1))
    space.insert(12, 0x20_1000, (2, 2))
    assert space.find(0x20_1FFF) == (2, 2)
    assert space.find(0x20_2000) == (1, 1)
    assert space.find(0x40_0000) is None
