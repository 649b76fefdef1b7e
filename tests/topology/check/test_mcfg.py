"""MCFG: for each rule a table that breaks it, and one that barely does not."""

from __future__ import annotations

import struct
from functools import partial

import pytest
from iommuman.parsers.acpi import Table
from iommuman.topology.check import mcfg

from .boards import Case, assert_complete, board, said, table
from .iorts import changed, of

RULES = mcfg.RULES
FIRST, SECOND = 44, 60
G = 0xE0000000


def windows(*found: tuple[int, int, int, int], revision: int = 1) -> Table:
    """Return an MCFG of windows (base, segment, first bus, last bus)."""
    entries = (struct.pack("<QHBBI", *one, 0) for one in found)
    return table("MCFG", bytes(8) + b"".join(entries), revision=revision)


def signed(oem: bytes, name: bytes, revision: int) -> Table:
    """Return an MCFG with these identifiers."""
    numbers = (int.from_bytes(oem, "little"), int.from_bytes(name, "little"))
    return changed(windows((G, 0, 0, 255)), (10, 6, numbers[0]), (16, 8, numbers[1]), (24, 4, revision))


CASES = (
    Case(
        "MCFG-REVISION",
        lambda: board(windows((G, 0, 0, 255), revision=2)),
        (("warning", 0, "MCFG has a revision that no specification has"),),
        lambda: board(windows((G, 0, 0, 255))),
    ),
    Case(
        "MCFG-EMPTY",
        lambda: board(windows()),
        (("warning", 0, "MCFG has no window"),),
        lambda: board(windows((G, 0, 0, 0))),
    ),
    Case(
        "MCFG-BASE",
        lambda: board(windows((0, 0, 0, 255), (G + 0x1000, 1, 0, 255))),
        (
            ("error", FIRST, "a window of MCFG is at an address where none can be"),
            ("error", SECOND, "a window of MCFG is at an address where none can be"),
        ),
        lambda: board(windows((0x100000, 0, 0, 255))),
    ),
    Case(
        "MCFG-RESERVED",
        lambda: board(changed(windows((G, 0, 0, 255)), (43, 1, 1), (56, 1, 1))),
        (("note", 36, "a reserved field of MCFG is not 0"), ("note", FIRST, "a reserved field of MCFG is not 0")),
        lambda: board(windows((G, 0, 0, 255))),
    ),
    Case(
        "MCFG-BUS-OVERLAP",
        lambda: board(windows((G, 0, 0, 0x80), (G, 0, 0x80, 0xFF))),
        (("error", SECOND, "windows of segment 0000 have bus 0x80 in common"),),
        lambda: board(windows((G, 0, 0, 0x7F), (G, 0, 0x80, 0xFF), (G + 0x10000000, 1, 0, 0xFF))),
    ),
    Case(
        "MCFG-BUS-OVERLAP",
        lambda: board(windows((G, 0, 0, 0xFF), (G, 0, 1, 2), (G, 0, 4, 5))),
        (
            ("error", SECOND, "windows of segment 0000 have bus 0x01 in common"),
            ("error", 76, "windows of segment 0000 have bus 0x04 in common"),
        ),
        lambda: board(windows((G, 0, 5, 0), (G, 0, 0, 5))),  # a window that ends before it begins has no bus
    ),
    Case(
        "MCFG-WINDOW-OVERLAP",
        lambda: board(windows((G, 0, 0, 0xFF), (G + 0xFF00000, 1, 0, 0))),
        (("error", SECOND, "the windows of segments 0000 and 0001 have memory in common"),),
        lambda: board(windows((G, 0, 0, 0xFF), (G + 0x10000000, 1, 0, 0))),
    ),
    Case(
        "MCFG-WINDOW-OVERLAP",
        lambda: board(windows((G, 0, 0, 0xFF), (G, 1, 0x10, 0x1F))),
        (("error", SECOND, "the windows of segments 0000 and 0001 have memory in common"),),
        lambda: board(windows((G, 0, 0, 0xFF), (G, 0, 0x10, 0x1F))),  # one bus twice: another rule
    ),
    *(
        Case(
            "MCFG-QUIRK",
            of(partial(signed, oem, name, revision)),
            (("note", 0, "Linux reads configuration space of this machine in a way of its own"),),
            of(partial(signed, oem, name, 9)),
        )
        for oem, name, revision in (
            (b"AMAZON", b"GRAVITON", 0), (b"QCOM  ", b"QDF2432 ", 1), (b"HISI  ", b"HIP07   ", 0),
            (b"CAVIUM", b"THUNDERX", 2), (b"APM   ", b"XGENE   ", 4), (b"Ampere", b"Altra   ", 1),
        )
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_windows_that_cannot_be_are_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_windows_that_barely_can_be_are_not_told(case: Case) -> None:
    """One bus, or one MiB, further, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without tables that break it."""
    assert_complete(RULES, CASES, "PCI Firmware Specification 3.3")
