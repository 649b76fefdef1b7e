"""Damaged tables: whatever they hold, rules look at what could be read and raise nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.parsers.acpi import Table, parse_table
from iommuman.parsers.pci import parse_pci
from iommuman.parsers.sources import Inputs
from iommuman.topology.check import Board, dmar, dmar_quirks, dmar_regions, dmar_scopes, machine, machine_memory

from tests.conftest import BOARDS, HANDMADE
from tests.damage import mutants

from .boards import gic_its, gicd, hpet, io_apic, madt, ranges, srat

RULES = (
    *dmar.RULES,
    *dmar_scopes.RULES,
    *dmar_regions.RULES,
    *dmar_quirks.RULES,
    *machine.RULES,
    *machine_memory.RULES,
)


def check_all(*tables: Table, pci: Path) -> int:
    """Return how many findings all rules have on a board of these tables, beside neighbours that are sound."""
    neighbours = [madt(io_apic(2), gic_its(0), gicd()), hpet(0), srat(0, 1)]
    signatures = {table.signature for table in tables}
    inputs = Inputs(
        tables=[*tables, *(one for one in neighbours if one.signature not in signatures)],
        pci=[parse_pci(pci.read_bytes(), "pci.json")],
        memory=list(ranges((0, 0x70000000, "ram"), (0x70000000, 0x10000000, "reserved"))),
    )
    board = Board.of(inputs)
    return sum(1 for rule in RULES if rule.look for _ in rule.look(rule, board))


@pytest.mark.parametrize("name", ["dmar-segments", "dmar-two-hop"])
def test_a_damaged_dmar_breaks_rules_and_nothing_else(name: str) -> None:
    """One byte changed anywhere gives findings, or none; some change is always told."""
    data = (HANDMADE / name / "DMAR.bin").read_bytes()
    counts = {check_all(parse_table(one, "DMAR.bin"), pci=HANDMADE / name / "pci.json") for one in mutants(data)}
    assert len(counts) > 1


@pytest.mark.parametrize("signature", ["APIC", "SRAT", "IORT", "MCFG"])
def test_damaged_neighbours_break_rules_and_nothing_else(signature: str) -> None:
    """A byte of one of the other tables is changed, the rest of the machine is sound."""
    folder = BOARDS / "virt-smmuv3-numa"
    sound = [
        parse_table((folder / f"{name}.bin").read_bytes(), f"{name}.bin") for name in ("APIC", "SRAT", "IORT", "MCFG")
    ]
    others = [table for table in sound if table.signature != signature]
    for one in mutants((folder / f"{signature}.bin").read_bytes()):
        check_all(*others, parse_table(one, "damaged.bin"), pci=folder / "pci.json")
