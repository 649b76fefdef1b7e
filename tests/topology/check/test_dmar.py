"""Rules of a DMAR and of its units: for each a table that breaks it, and one that barely does not."""

from __future__ import annotations

import pytest
from iommuman.parsers.sources import read_sources
from iommuman.topology.check import Board, check, dmar_regions, dmar_scopes
from iommuman.topology.check import dmar as units

from tests.conftest import BOARDS, HANDMADE

from .boards import (
    ALL,
    ENDPOINT,
    HOST,
    IOAPIC,
    NET,
    PORT,
    REST,
    Case,
    andd,
    atsr,
    board,
    dmar,
    drhd,
    function,
    mcfg,
    rhsa,
    rmrr,
    satc,
    scope,
    sidp,
    table,
)

RULES = units.RULES

CASES = (
    Case(
        "DMAR-NO-UNITS",
        lambda: board(dmar(rmrr(0x7B800000, 0x7B800FFF, NET))),
        (("error", 36, "the table declares no remapping unit"),),
        lambda: board(dmar(REST)),
    ),
    Case(
        "DMAR-WIDTH",
        lambda: board(dmar(REST, width=10)),
        (("error", 36, "the host address width cannot be"),),
        lambda: board(dmar(REST, width=11)),
    ),
    Case(
        "DMAR-WIDTH",
        lambda: board(dmar(REST, width=52)),
        (("warning", 36, "the host address width cannot be"),),
        lambda: board(dmar(REST, width=51)),
    ),
    Case(
        "DMAR-ORDER",
        lambda: board(dmar(rhsa(0xFED91000, 0), REST, rhsa(0xFED91000, 0), REST)),
        (("error", 68, "structures are not in the order of their types: a DRHD follows a RHSA"),),
        lambda: board(dmar(REST, REST, rhsa(0xFED91000, 0), rhsa(0xFED91000, 0))),
    ),
    Case(
        "DMAR-RESERVED",
        lambda: board(dmar(REST, flags=0x0D, reserved=bytes(9) + b"\1")),
        (
            ("warning", 37, "reserved bits of a DMAR are set"),
            ("warning", 38, "a reserved field of a DMAR is not zero"),
        ),
        lambda: board(dmar(REST, flags=0x07)),
    ),
    Case(
        "DMAR-RESERVED",
        lambda: board(
            dmar(drhd(0xFED91000, scope(ENDPOINT, (2, 0), number=1, flags=2, reserved=3), flags=2, size=0x10))
        ),
        (
            ("warning", 52, "reserved bits of a DRHD are set"),
            ("warning", 53, "reserved bits of a DRHD are set"),
            ("warning", 66, "reserved bits of a device scope are set"),
            ("warning", 67, "a reserved field of a device scope is not zero"),
            ("warning", 68, "a reserved field of a device scope is not zero"),
        ),
        lambda: board(dmar(drhd(0xFED90000, scope(IOAPIC, (2, 0), number=1), flags=1, size=0x0F))),
    ),
    Case(
        "DMAR-RESERVED",
        lambda: board(
            dmar(
                rmrr(0x7B800000, 0x7B800FFF, reserved=1),
                atsr(flags=2, reserved=1),
                rhsa(0xFED91000, 0, reserved=1),
                andd(1, "\\A", reserved=b"\0\1\0"),
                satc(flags=2, reserved=1),
                sidp(scope(ENDPOINT, (2, 0), flags=0x3F), reserved=1),
            )
        ),
        (
            ("warning", 52, "a reserved field of a RMRR is not zero"),
            ("warning", 76, "reserved bits of a ATSR are set"),
            ("warning", 77, "a reserved field of a ATSR is not zero"),
            ("warning", 84, "a reserved field of a RHSA is not zero"),
            ("warning", 104, "a reserved field of a ANDD is not zero"),
            ("warning", 115, "reserved bits of a SATC are set"),
            ("warning", 116, "a reserved field of a SATC is not zero"),
            ("warning", 123, "a reserved field of a SIDP is not zero"),
            ("warning", 129, "reserved bits of a device scope are set"),
        ),
        lambda: board(dmar(atsr(flags=1), satc(flags=1), sidp(scope(ENDPOINT, (2, 0), flags=0x1F)))),
    ),
    Case(
        "DMAR-X2APIC",
        lambda: board(dmar(REST, flags=2)),
        (("warning", 37, "X2APIC_OPT_OUT is set without INTR_REMAP"),),
        lambda: board(dmar(REST, flags=3)),
    ),
    Case(
        "DMAR-OPT-IN",
        lambda: board(dmar(REST, flags=3)),
        (("note", 37, "firmware does not opt in to DMA protection"),),
        lambda: board(dmar(REST, flags=4)),
    ),
    Case(
        "DMAR-UNIT-ALIGN",
        lambda: board(dmar(drhd(0xFED91001), drhd(0xFED92000, size=4))),
        (
            ("error", 56, "the register base of a unit is not aligned"),
            ("error", 72, "the register base of a unit is not aligned"),
        ),
        lambda: board(dmar(drhd(0xFED91000), drhd(0xFED90000, size=4))),
    ),
    Case(
        "DMAR-UNIT-WIDE",
        lambda: board(dmar(drhd(0xFFFFFF000, size=1), width=35)),
        (("error", 56, "the registers of a unit lie beyond the host address width"),),
        lambda: board(dmar(drhd(0xFFFFFF000), width=35)),
    ),
    Case(
        "DMAR-UNIT-OVERLAP",
        lambda: board(dmar(drhd(0xFED92000), drhd(0xFED90000, size=2), drhd(0xFED94000))),
        (("error", 56, "the registers of the units at 0xfed90000 and 0xfed92000 overlap"),),
        lambda: board(dmar(drhd(0xFED91000), drhd(0xFED90000), drhd(0xFED90000), drhd(0), drhd(0, segment=1))),
    ),
    Case(
        "DMAR-UNIT-OVERLAP",
        lambda: board(dmar(drhd(0xFED90000), drhd(0xFED90000, segment=1))),
        (("error", 72, "the registers of the units at 0xfed90000 and 0xfed90000 overlap"),),
        lambda: board(dmar(drhd(0xFED90000), drhd(0xFED91000, segment=1))),
    ),
    Case(
        "DMAR-SEGMENT",
        lambda: board(dmar(REST), mcfg(0, 1), functions=[function("0002:00:01.0"), function("10000:00:01.0")]),
        (
            ("error", 60, "no unit is for PCI segment 0001, which DMAR knows nothing of"),
            ("error", None, "no unit is for PCI segment 0002, which DMAR knows nothing of"),
        ),
        lambda: board(dmar(REST, drhd(0xFED92000, segment=1)), mcfg(0, 1)),
    ),
    Case(
        "DMAR-SEGMENT",
        lambda: board(dmar(REST), mcfg(7)),
        (("error", 44, "no unit is for PCI segment 0007, which DMAR knows nothing of"),),
        lambda: board(dmar(), mcfg(7)),
    ),
    Case(
        "DMAR-ALL-TWICE",
        lambda: board(dmar(REST, drhd(0xFED92000, flags=ALL))),
        (("error", 76, "two units of segment 0000 have INCLUDE_PCI_ALL: those at 0xfed91000 and 0xfed92000"),),
        lambda: board(dmar(REST, drhd(0xFED92000, flags=ALL, segment=1))),
    ),
    Case(
        "DMAR-ALL-LAST",
        lambda: board(dmar(REST, drhd(0xFED92000, NET))),
        (("error", 48, "the INCLUDE_PCI_ALL unit of segment 0000 is not its last unit"),),
        lambda: board(dmar(REST, drhd(0xFED92000, NET, segment=1))),
    ),
    Case(
        "DMAR-ALL-MISSING",
        lambda: board(
            dmar(drhd(0xFED92000, NET)),
            functions=[
                function("0000:00:00.0", HOST),
                PORT,
                *(function(f"0000:00:{one:02x}.0") for one in range(2, 8)),
            ],
        ),
        (
            (
                "warning",
                36,
                (
                    "no unit of segment 0000 has INCLUDE_PCI_ALL, and no scope names 0000:00:03.0, 0000:00:04.0, "
                    "0000:00:05.0 and 2 more"
                ),
            ),
        ),
        lambda: board(
            dmar(drhd(0xFED92000, NET)), functions=[function("0000:00:00.0", HOST), function("0000:00:02.0"), PORT]
        ),
    ),
    Case(
        "DMAR-ALL-MISSING",
        lambda: board(dmar(drhd(0xFED92000, NET))),
        (
            (
                "note",
                36,
                (
                    "no unit of segment 0000 has INCLUDE_PCI_ALL; functions that no scope names have no IOMMU, and "
                    "whether there are any is not known here"
                ),
            ),
        ),
        lambda: board(dmar(drhd(0xFED92000, NET), REST)),
    ),
    Case(
        "DMAR-ALL-SCOPE",
        lambda: board(dmar(drhd(0xFED92000, scope(IOAPIC, (31, 0)), NET, flags=ALL))),
        (("warning", 72, "an INCLUDE_PCI_ALL unit names PCI functions as well"),),
        lambda: board(dmar(drhd(0xFED90000, NET), REST)),
    ),
)


def test_a_board_without_the_table_breaks_no_rule() -> None:
    """A board without a DMAR, or with one too short to have a body, breaks no rule of it."""
    for empty in (board(), board(table("DMAR", b"\x26"))):
        assert not [one for rule in EVERY if rule.look for one in rule.look(rule, empty)]


EVERY = (*units.RULES, *dmar_scopes.RULES, *dmar_regions.RULES)
"""The rules of all parts of the table."""


def serious(path: str) -> list[tuple[str, str]]:
    """Return rule and severity of what these rules find in a folder, without notes."""
    inputs = read_sources([path])
    names = {rule.id for rule in EVERY}
    found = check(Board.of(inputs), names.__contains__)
    return [(one.rule, one.severity) for one in found if one.severity != "note"]


@pytest.mark.parametrize("name", sorted(path.name for path in BOARDS.iterdir()))
def test_captured_boards_break_no_rule(name: str) -> None:
    """QEMU's tables are sound; only where it was told to leave devices out of every unit is that named."""
    told = [("DMAR-ALL-MISSING", "warning")] if name == "q35-vtd-scopes" else []
    assert serious(str(BOARDS / name)) == told


@pytest.mark.parametrize("name", ["dmar-segments", "dmar-two-hop", "dmar-two-hop-blind", "dmar-satc-sidp"])
def test_sound_tables_written_by_hand_break_no_rule(name: str) -> None:
    """Several segments, paths through bridges, and the newest structures raise no alarm."""
    assert serious(str(HANDMADE / name)) == []
