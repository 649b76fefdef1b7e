"""Tables of one machine against each other: for each rule a machine that breaks it, and one that barely does not."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from iommuman.parsers.devicetree import read_devicetree
from iommuman.parsers.sources import Inputs, read_sources
from iommuman.topology.check import Board, check, machine, machine_memory, machine_names

from tests.conftest import BOARDS
from tests.parsers.devicetree import build

from .boards import (
    ALL,
    HPET,
    REST,
    Case,
    assert_complete,
    board,
    dmar,
    drhd,
    gic_its,
    gicd,
    hpet,
    io_apic,
    iort,
    its_group,
    madt,
    mcfg,
    msi_frame,
    node,
    rhsa,
    root_complex,
    said,
    scope,
    slit,
    smmuv3,
    srat,
    table,
)

RULES = machine.RULES
PROXIMITY_VALID = 8

TIMER = drhd(0xFED91000, scope(HPET, (15, 0)), flags=ALL)
"""A unit for all of segment 0, with HPET 0; 24 bytes."""

PMCG = node(5, struct.pack("<QII", 0x9060000, 31, 0))
SMMUV2 = node(
    3,
    struct.pack("<QQIIIIIII", 0x2B500000, 0x10000, 0, 0, 60, 1, 76, 1, 84)
    + struct.pack("<4I", 20, 0, 0, 0)
    + struct.pack("<4I", 1020, 0, 4095, 0),
)
"""An SMMUv2 with its global interrupts at byte 60, one context interrupt and one of its PMU."""

IWB = node(7, struct.pack("<QH", 0x9070000, 0) + b"\\IWB0\0")

CASES = (
    Case(
        "MACHINE-IOAPIC",
        lambda: board(dmar(REST), madt(io_apic(2), io_apic(3))),
        (("error", 56, "no scope of the DMAR names I/O APIC 3"),),
        lambda: board(dmar(REST), madt(io_apic(2))),
    ),
    Case(
        "MACHINE-IOAPIC",
        lambda: board(dmar(TIMER), madt(io_apic(2))),
        (("error", 44, "no scope of the DMAR names I/O APIC 2"),),
        lambda: board(dmar(TIMER, flags=4), madt(io_apic(2))),
    ),
    Case(
        "MACHINE-IOAPIC-ABSENT",
        lambda: board(dmar(REST), madt(io_apic(0))),
        (("warning", 68, "a scope names I/O APIC 2, which the MADT does not have"),),
        lambda: board(dmar(REST)),
    ),
    Case(
        "MACHINE-HPET",
        lambda: board(dmar(TIMER), hpet(1)),
        (("warning", 52, "no scope of the DMAR names HPET 1"),),
        lambda: board(dmar(TIMER), hpet(0)),
    ),
    Case(
        "MACHINE-HPET",
        lambda: board(dmar(REST), hpet(0)),
        (("note", 52, "no scope of the DMAR names HPET 0"),),
        lambda: board(dmar(REST, flags=4), hpet(0)),
    ),
    Case(
        "MACHINE-HPET-ABSENT",
        lambda: board(dmar(TIMER), madt()),
        (("note", 64, "a scope names HPET 0, and there is no HPET table"),),
        lambda: board(dmar(TIMER)),
    ),
    Case(
        "MACHINE-HPET-ABSENT",
        lambda: board(dmar(TIMER), madt()),
        (("note", 64, "a scope names HPET 0, and there is no HPET table"),),
        lambda: board(dmar(TIMER), madt(), table("HPET", b"")),
    ),
    Case(
        "MACHINE-PROXIMITY",
        lambda: board(dmar(REST, rhsa(0xFED91000, 2)), srat(0, 1)),
        (("warning", 88, "the unit at 0xfed91000 is in proximity domain 2, which the SRAT does not have"),),
        lambda: board(dmar(REST, rhsa(0xFED91000, 1)), srat(0, 1)),
    ),
    Case(
        "MACHINE-PROXIMITY",
        lambda: board(dmar(REST, rhsa(0xFED91000, 1)), srat(0x101)),
        (("warning", 88, "the unit at 0xfed91000 is in proximity domain 1, which the SRAT does not have"),),
        lambda: board(dmar(REST, rhsa(0xFED91000, 1)), srat(0x101, revision=1)),
    ),
    Case(
        "MACHINE-PROXIMITY",
        lambda: board(dmar(REST, rhsa(0xFED91000, 0)), madt()),
        (("note", 88, "the unit at 0xfed91000 is in proximity domain 0, and there is no SRAT"),),
        lambda: board(dmar(REST, rhsa(0xFED91000, 0)), madt(), table("SRAT", b"")),
    ),
    Case(
        "MACHINE-PROXIMITY",
        lambda: board(iort(smmuv3(flags=PROXIMITY_VALID, domain=4)), srat(0)),
        (("warning", 108, "the SMMUv3 at 0x9050000 is in proximity domain 4, which the SRAT does not have"),),
        lambda: board(iort(smmuv3(domain=4)), srat(0)),
    ),
    Case(
        "MACHINE-LOCALITY",
        lambda: board(dmar(REST, rhsa(0xFED91000, 2)), slit(b"\x0a\x14", b"\x14\x0a")),
        (("note", 88, "the unit at 0xfed91000 is in proximity domain 2, for which the SLIT has no distances"),),
        lambda: board(dmar(REST, rhsa(0xFED91000, 1)), slit(b"\x0a\x14", b"\x14\x0a")),
    ),
    Case(
        "SLIT-DISTANCE",
        lambda: board(dmar(REST), slit(b"\x0a\x0a", b"\x0b\x09")),
        (
            ("warning", 45, "domain 1 cannot be at this distance from domain 0"),
            ("warning", 47, "domain 1 cannot be at this distance from domain 1"),
        ),
        lambda: board(dmar(REST), slit(b"\x0a\x0b", b"\xff\x0a")),
    ),
    Case(
        "MACHINE-MCFG-ROOT",
        lambda: board(iort(root_complex(0)), mcfg(0, 1)),
        (("warning", 60, "PCI segment 0001 of the MCFG has no root complex in the IORT"),),
        lambda: board(iort(root_complex(0), root_complex(1)), mcfg(0, 1)),
    ),
    Case(
        "MACHINE-ROOT-MCFG",
        lambda: board(iort(root_complex(0), root_complex(2)), mcfg(0)),
        (("warning", 108, "the MCFG has no window for PCI segment 0002 of this root complex"),),
        lambda: board(iort(root_complex(2))),
    ),
    Case(
        "MACHINE-ITS",
        lambda: board(iort(its_group(0, 1)), madt(gic_its(0))),
        (("error", 72, "the IORT names ITS 1, which the MADT does not have"),),
        lambda: board(iort(its_group(0, 1)), madt(gic_its(1), gic_its(0))),
    ),
    Case(
        "MACHINE-ITS",
        lambda: board(iort(its_group(0)), madt(msi_frame())),
        (("note", 68, "the IORT names ITS 0, which the MADT does not have"),),
        lambda: board(iort(its_group(0))),
    ),
    Case(
        "MACHINE-ITS-UNUSED",
        lambda: board(iort(its_group(0)), madt(gic_its(0), gic_its(1))),
        (("note", 64, "no group of the IORT has ITS 1"),),
        lambda: board(madt(gic_its(0))),
    ),
    Case(
        "MACHINE-GSIV",
        lambda: board(iort(smmuv3(31, 1020, 4095, 5120)), madt(gicd())),
        tuple(("error", 92 + 4 * index, "a wired interrupt of a SMMUv3 is no shared interrupt") for index in range(4)),
        lambda: board(iort(smmuv3(32, 1019, 4096, 5119)), madt(gicd())),
    ),
    Case(
        "MACHINE-GSIV",
        lambda: board(iort(SMMUV2, PMCG), madt(gicd())),
        (
            ("error", 108, "a wired interrupt of a SMMUv1/v2 is no shared interrupt"),
            ("error", 124, "a wired interrupt of a SMMUv1/v2 is no shared interrupt"),
            ("error", 132, "a wired interrupt of a SMMUv1/v2 is no shared interrupt"),
            ("error", 164, "a wired interrupt of a PMCG is no shared interrupt"),
        ),
        lambda: board(iort(SMMUV2, PMCG), madt(gic_its(0))),
    ),
    Case(
        "MACHINE-GSIV",
        lambda: board(iort(PMCG, root_complex(0)), madt(gicd())),
        (("error", 72, "a wired interrupt of a PMCG is no shared interrupt"),),
        lambda: board(iort(PMCG, IWB), madt(gicd())),
    ),
    Case(
        "MACHINE-TWICE",
        lambda: board(dmar(REST), dmar(TIMER)),
        (("warning", None, "there are two DMAR tables; the other is DMAR.bin"),),
        lambda: board(dmar(REST), table("SSDT", b""), table("SSDT", b"\0")),
    ),
)


def test_two_device_trees_are_told() -> None:
    """Trees of two boards make one topology, so it is said that there are two; one alone is nothing to speak of."""
    trees = [read_devicetree(build.blob(build.node("usb")), name) for name in ("one.dtb", "two.dtb")]
    for count, says in ((1, []), (2, [("warning", None, "there are two device trees; the other is one.dtb")])):
        inputs = Inputs(trees=trees[:count])
        assert said(RULES, "MACHINE-TWICE", Board.of(inputs)) == says


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_tables_that_contradict_each_other_are_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_tables_that_agree_are_not_told(case: Case) -> None:
    """One number further, or with a table less, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without tables that break it."""
    assert_complete(RULES, CASES)


@pytest.mark.parametrize("name", sorted(path.name for path in BOARDS.iterdir()))
def test_the_tables_of_captured_boards_agree(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU's tables fit each other, and so do they with the memory map and the namespace."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    inputs = read_sources([str(BOARDS / name)])
    rules = {rule.id for rule in (*machine.RULES, *machine_memory.RULES, *machine_names.RULES)}
    found = check(Board.of(inputs), rules.__contains__)
    assert [str(one) for one in found if one.severity != "note"] == []
