"""Granted memory: for each rule a configuration that breaks it, and one that barely does not."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from iommuman.base import Origin
from iommuman.topology.check import Board, configuration
from iommuman.topology.check.grants import RULES
from iommuman.topology.model import MsiController, StreamRange

from .boards import Case, assert_complete, board, gic_its, madt, msi_frame, ranges
from .configured import DISK, NET, configured, device, entry, grant, iommu, region, way

BASE = 0x40000000
DISK_NAME, NET_NAME = "mem:e6ef0000", "mem:e6800000"
WORLD = {
    "iommus": [iommu()],
    "devices": [device(DISK), device(NET)],
    "maps": [way(DISK, 1), way(NET, 2)],
    "entries": [entry(DISK, "set"), entry(NET, "other", 3)],
}


def world(*grants: Any, **more: Any) -> Board:
    """Return a board with two devices behind one unit, and these grants."""
    return configured(grants=grants, **{**WORLD, **more})


def said(identifier: str, found: Board) -> list[tuple[str, int | None, str]]:
    """Return severity, line and message of each finding of one rule."""
    rule = next(one for one in RULES if one.id == identifier)
    assert rule.look is not None
    return [(one.severity, one.origin.line, one.message) for one in rule.look(rule, found)]


def test_a_set_that_no_device_has_is_told_once() -> None:
    """A set is used when one of its regions is a device's, as all of them are then."""
    found = world(grant(BASE, 0x1000, name="lost"), grant(BASE, 0x2000, name="lost", line=6), grant(BASE, 0x1000, DISK))
    assert said("CONFIG-GRANT-UNUSED", found) == [("warning", 5, "no device has the set 'lost'")]


@pytest.mark.parametrize(
    ("start", "length", "more"),
    [
        (0x40000800, 0x800, "0x40000000-0x400007ff (2 KiB)"),
        (0x40000000, 0x1001, "0x40001001-0x40001fff (4095 bytes)"),
        (0x40000FFF, 2, "0x40000000-0x40000ffe (4095 bytes) and 0x40001001-0x40001fff (4095 bytes)"),
        (0x40000000, 0x1000, ""),
    ],
)
def test_what_rounding_grants_more_is_told_exactly(start: int, length: int, more: str) -> None:
    """Before the region, after it, or both; whole pages grant nothing more."""
    found = said("CONFIG-GRANT-PAGE", world(grant(start, length, DISK)))
    assert [text.partition("granted as well: ")[2] for _, _, text in found] == ([more] if more else [])
    assert said("CONFIG-GRANT-PAGE", world(grant(start, length))) == []  # no device has it


def test_a_page_outside_memory_is_told() -> None:
    """Memory that firmware reserves is memory; without a memory map nothing follows."""
    memory = ranges((BASE, 0x2000, "ram"), (BASE + 0x2000, 0x1000, "reserved"), (BASE + 0x4000, 0x1000, "mmio"))
    text = "0x40003000-0x40004fff (8 KiB) of the set 'set' is no memory"
    assert said("CONFIG-GRANT-MEMORY", world(grant(BASE, 0x4001, DISK), memory=memory)) == [("warning", 5, text)]
    both = "0x3ffff000-0x3fffffff (4 KiB) of the set 'set' is no memory, and 1 parts more"
    assert said("CONFIG-GRANT-MEMORY", world(grant(BASE - 1, 0x4000, DISK), memory=memory)) == [("warning", 5, both)]
    assert said("CONFIG-GRANT-MEMORY", world(grant(BASE, 0x3000, DISK), memory=memory)) == []
    assert said("CONFIG-GRANT-MEMORY", world(grant(0, 0x3000, DISK))) == []
    assert said("CONFIG-GRANT-MEMORY", world(grant(0, 0x3000, DISK), memory=ranges((0, 0x1000, "reserved")))) == []


def test_a_page_that_firmware_keeps_is_told() -> None:
    """Not one that is carved out of memory, as a driver's typed memory is, nor one that is reserved for a device."""
    memory = ranges((BASE, 0x4000, "ram"), (BASE + 0x4000, 0x2000, "nvs"), (BASE + 0x1000, 0x1000, "reserved"))
    text = "0x40004000-0x40004fff (4 KiB) of the set 'set' is reserved by firmware"
    assert said("CONFIG-GRANT-FIRMWARE", world(grant(BASE, 0x5000, DISK), memory=memory)) == [("warning", 5, text)]
    assert said("CONFIG-GRANT-FIRMWARE", world(grant(BASE, 0x4000, DISK), memory=memory)) == []
    owned = world(grant(BASE, 0x6000, DISK), memory=memory, reserved=[region(BASE + 0x4000, 0x2000, DISK)])
    assert said("CONFIG-GRANT-FIRMWARE", owned) == []


@pytest.mark.parametrize(
    ("start", "length", "told"),
    [(0x51400FFF, 1, True), (0x513FFFFF, 2, True), (0x51401000, 0x1000, False), (0x513FF000, 0x1000, False)],
)
def test_the_registers_of_a_unit_are_told(start: int, length: int, told: bool) -> None:
    """The first page counts when the size is not known; so does what rounding adds."""
    found = said("CONFIG-GRANT-REGISTERS", world(grant(start, length, DISK)))
    text = "the set 'set' grants the registers of smmuv2@51400000"
    assert found == ([("error", 5, text)] if told else [])


def test_of_several_units_the_lowest_is_told() -> None:
    """A unit that reaches far is found behind those that begin later; one without an address is nowhere."""
    units = [iommu(0x51400000, size=0x100000), iommu(0x51410000), iommu(0x51600000)]
    nowhere = iommu().__class__("virtio", "virtio-iommu", Origin("VIOT.bin"))
    far = world(grant(0x514F0000, 0x1000, DISK), iommus=[*units, nowhere])
    assert said("CONFIG-GRANT-REGISTERS", far) == [
        ("error", 5, "the set 'set' grants the registers of smmuv2@51400000")
    ]
    beyond = world(grant(0x51500000, 0x1000, DISK), iommus=units)
    assert said("CONFIG-GRANT-REGISTERS", beyond) == []


@pytest.mark.parametrize(
    ("start", "length", "more", "what"),
    [
        (0xFEE00000, 1, {"iommus": [iommu(0xFED90000, "vtd")]}, "the interrupt window of x86"),
        (0xFEEFF000, 0x2000, {"iommus": [iommu(0xFED90000, "amdvi")]}, "the interrupt window of x86"),
        (0xFEF00000, 0x1000, {"iommus": [iommu(0xFED90000, "vtd")]}, ""),
        (0xFEE00000, 1, {}, ""),
        (0x8090000, 1, {"tables": [madt(gic_its(3))]}, "the registers of ITS 3"),
        (0x80A0000, 1, {"tables": [madt(gic_its(3))]}, ""),
        (0x8020000, 1, {"tables": [madt(struct.pack("<BB", 0x7F, 2), msi_frame())]}, "GIC MSI frame 0"),
        (0x8021000, 1, {"tables": [madt(msi_frame())]}, ""),
    ],
)
def test_where_interrupts_are_written_to_is_told(start: int, length: int, more: dict[str, Any], what: str) -> None:
    """The window of x86, both halves of an ITS, and frames; not the page after."""
    found = said("CONFIG-GRANT-INTERRUPTS", world(grant(start, length, DISK), **more))
    assert found == ([("warning", 5, f"the set 'set' grants {what}")] if what else [])


def test_controllers_of_device_trees_are_told_as_well() -> None:
    """By name; one of which no address is known is passed by."""
    its = MsiController("dt:/its@8080000", "gic-its", Origin("board.dtb"), 0x8080000)
    frame = MsiController("dt:/v2m@8020000", "gic-v2m", Origin("board.dtb"), 0x8020000)
    unknown = MsiController("its:0", "its", Origin("IORT.bin"))
    for start, text in ((0x8090000, "dt:/its@8080000"), (0x8020000, "dt:/v2m@8020000")):
        found = said("CONFIG-GRANT-INTERRUPTS", world(grant(start, 1, DISK), controllers=[its, frame, unknown]))
        assert found == [("warning", 5, f"the set 'set' grants the registers of {text}")]
    assert said("CONFIG-GRANT-INTERRUPTS", world(grant(0x8021000, 1, DISK), controllers=[frame])) == []


def test_memory_that_is_reserved_for_another_is_told() -> None:
    """By the name of the device, or by the ID at a unit; what is one's own, or nobody's, is not told."""
    of_net = region(BASE, 0x1000, NET)
    text = f"the set 'set' lets {DISK_NAME} reach 0x40000000-0x40000fff (4 KiB), which is reserved for "
    for reserved, whose in (
        (of_net, NET_NAME),
        (region(BASE, 0x1000, streams=(StreamRange("smmuv2@51400000", 2, 1),)), "IDs of smmuv2@51400000"),
    ):
        found = world(grant(BASE + 0xFFF, 1, DISK), reserved=[reserved])
        assert said("CONFIG-GRANT-RESERVED", found) == [("warning", 5, text + whose)]
    for reserved in (
        region(BASE + 0x1000, 0x1000, NET),
        region(BASE, 0x1000, DISK, NET),
        region(BASE, 0x1000),
        region(BASE, 0x1000, streams=(StreamRange("smmuv2@51400000", 1, 1),)),
    ):
        assert said("CONFIG-GRANT-RESERVED", world(grant(BASE, 0x1000, DISK), reserved=[reserved])) == []
    twice = world(grant(BASE, 0x1000, DISK), grant(BASE, 0x1000, DISK, line=6), reserved=[of_net])
    assert [line for _, line, _ in said("CONFIG-GRANT-RESERVED", twice)] == [5, 6]
    unlisted = grant(BASE, 0x1000, 0x1000)
    assert said("CONFIG-GRANT-RESERVED", world(unlisted, reserved=[of_net]))[0][2].startswith(
        "the set 'set' lets mem:1000"
    )


def test_addresses_that_the_board_needs_for_other_memory_are_told() -> None:
    """A grant is one to one; a region that is mapped elsewhere and meets it takes its addresses."""
    moved = region(BASE, 0x1000, DISK, physical=0x90000000, meaning="mapped")
    text = f"the set 'set' maps 0x40000000 of {DISK_NAME} one to one, where the board needs physical address 0x90000000"
    assert said("CONFIG-GRANT-MOVED", world(grant(BASE - 0x1000, 0x2000, DISK), reserved=[moved])) == [
        ("error", 5, f"{text} at 0x40000000")
    ]
    for other in (
        region(BASE, 0x1000, DISK, physical=BASE),
        region(BASE, 0x1000, NET, physical=0x90000000),
        region(BASE + 0x1000, 0x1000, DISK, physical=0x90000000),
    ):
        assert said("CONFIG-GRANT-MOVED", world(grant(BASE, 0x1000, DISK), reserved=[other])) == []


def test_reserved_memory_beside_the_set_is_told() -> None:
    """Unless the set covers it, or the configuration itself reserves it, or it is only set aside."""
    text = f"{DISK_NAME} reaches 0x40000000-0x40001fff (8 KiB) beside the set 'set'"
    own = region(BASE, 0x2000, DISK)
    assert said("CONFIG-GRANT-BESIDE", world(grant(BASE, 0x1000, DISK), reserved=[own])) == [("note", 2, text)]
    assert said("CONFIG-GRANT-BESIDE", world(grant(BASE, 0x1001, DISK), reserved=[own])) == []
    assert said("CONFIG-GRANT-BESIDE", world(reserved=[own])) == [("note", 2, text)]
    for other in (region(BASE, 0x2000, DISK, meaning="memory"), region(BASE, 0x2000, 0x1000)):
        assert said("CONFIG-GRANT-BESIDE", world(reserved=[other])) == []
    without = world(reserved=[own], entries=[entry(DISK)])
    assert said("CONFIG-GRANT-BESIDE", without) == []


def test_regions_of_two_sets_that_overlap_are_told() -> None:
    """A warning when both may write, a note when one may; the overlap is told, at the second region."""
    mine, text = grant(BASE, 0x2000, DISK), f"0x40001000-0x40001fff (4 KiB) is granted to {DISK_NAME} by 'set' and to "
    text += f"{NET_NAME} by 'other', and "
    for rights, severity, who in (("rw", "warning", "both"), ("r", "note", "one of them")):
        theirs = grant(BASE + 0x1000, 0x2000, NET, name="other", rights=rights, line=6)
        assert said("CONFIG-GRANT-OWNERS", world(mine, theirs)) == [(severity, 6, f"{text}{who} may write it")]
    reader = grant(BASE, 0x2000, DISK, rights="r")
    writer = grant(BASE + 0x1000, 0x2000, NET, name="other", line=6)
    assert said("CONFIG-GRANT-OWNERS", world(reader, writer)) == [("note", 6, f"{text}one of them may write it")]


def test_regions_that_do_not_meet_or_are_only_read_are_not_told() -> None:
    """Nor those of one set, nor those of one device; and of two sets one meeting is told."""
    mine = grant(BASE, 0x2000, DISK)
    reads = [grant(BASE, 0x2000, DISK, rights="r"), grant(BASE, 0x2000, NET, name="other", rights="r")]
    for grants in (
        [mine, grant(BASE + 0x2000, 0x1000, NET, name="other")],
        [mine, grant(BASE, 0x1000, DISK)],
        [mine, grant(BASE, 0x1000, DISK, NET, name="other")],
        reads,
    ):
        assert said("CONFIG-GRANT-OWNERS", world(*grants)) == []
    again = grant(BASE + 0x1000, 0x1000, NET, name="other")
    assert len(said("CONFIG-GRANT-OWNERS", world(mine, grant(BASE, 0x1000, NET, name="other"), again))) == 1


def test_a_set_that_devices_of_several_units_share_is_a_note() -> None:
    """Where they may write; behind one unit, or where they only read, nothing is said."""
    other = iommu(0x51500000)
    apart = {"iommus": [iommu(), other], "maps": [way(DISK, 1), way(NET, 2, other.name)]}
    shared = grant(BASE, 0x1000, DISK, NET, 0x1000)
    text = f"devices of 2 units share the set 'set': {DISK_NAME}, {NET_NAME}"
    assert said("CONFIG-GRANT-UNITS", world(shared, shared, **apart)) == [("note", 5, text)]
    assert said("CONFIG-GRANT-UNITS", world(shared)) == []
    assert said("CONFIG-GRANT-UNITS", world(grant(BASE, 0x1000, DISK, NET, rights="r"), **apart)) == []


@pytest.mark.parametrize(
    ("kind", "rights", "told"),
    [
        ("ipmmu", "w", True),
        ("riscv-iommu", "w", True),
        ("ipmmu", "rw", False),
        ("ipmmu", "r", False),
        ("vtd", "w", False),
    ],
)
def test_a_unit_that_cannot_grant_writing_alone_is_told(kind: str, rights: str, told: bool) -> None:
    """An R-Car IPMMU and a RISC-V IOMMU have no page that may be written and not read."""
    unit = iommu(0xE67B0000, kind)
    found = world(grant(BASE, 0x1000, NET, DISK, rights=rights), iommus=[unit], maps=[way(DISK, 1, unit.name)])
    text = f"{DISK_NAME} is to write 0x40000000-0x40000fff (4 KiB) and not to read it, which a unit of kind {kind} "
    text += "cannot say"
    assert said("CONFIG-GRANT-WRITE", found) == ([("warning", 5, text)] if told else [])


def test_every_rule_of_a_configuration_has_its_words() -> None:
    """Titles and remedies are clauses, the rest are sentences, and each names the option that it is about."""
    rules = (*configuration.RULES, *RULES)
    assert_complete(rules, [Case(rule.id, board, (), board) for rule in rules], "smmuman: ")
