"""What ACPI tables have in common: for each rule a table that breaks it, and one that barely does not."""

from __future__ import annotations

from functools import partial

import pytest
from iommuman.parsers.acpi import build_table, parse_table
from iommuman.parsers.sources import Inputs
from iommuman.topology.check import Board, acpi

from .boards import Case, assert_complete, board, mcfg, said, table
from .iorts import changed, of

RULES = acpi.RULES


def file(data: bytes) -> Board:
    """Return the board of one file."""
    inputs = Inputs(tables=[parse_table(data, "IORT.bin")], contents={data: "IORT.bin"})
    return Board.of(inputs)


CASES = (
    *(
        Case(
            "ACPI-SIGNATURE",
            of(partial(table, name, bytes(12))),
            (("warning", 0, "a table's signature is one letter off that of a table that speaks of IOMMUs"),),
            lambda: board(table("SSDT", bytes(12)), table("IORT", bytes(12)), table("IRTO", bytes(12))),
        )
        for name in ("IORt", "DMAP", "IVRZ", "VIOX", "MCFC", "RINT")
    ),
    Case(
        "ACPI-TEXT",
        lambda: file(b"IORT" + bytes([60]) + bytes(31) + b"\xef\xbf\xbd" * 3 + bytes(20)),
        (("error", 36, "a table went through a program that took it for text"),),
        lambda: file(b"IORT" + bytes([60]) + bytes(31) + b"\xef\xbf\xbd" * 2 + bytes(20)),
    ),
    Case(
        "ACPI-IDENTIFIER",
        lambda: board(changed(mcfg(0), (10, 6, 0x80), (16, 8, 1), (28, 4, 0x7F202020))),
        tuple(("note", offset, "an identifier of a table's header is no text") for offset in (10, 16, 28)),
        lambda: board(changed(mcfg(0), (10, 6, 0x20), (16, 8, 0), (28, 4, 0x7E202020)), table("SSDT", b"", b"\x80BC")),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_headers_that_nobody_can_use_are_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_headers_that_barely_serve_are_not_told(case: Case) -> None:
    """One letter, or one byte, further, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without tables that break it."""
    assert_complete(RULES, CASES, "ACPI 6.5")
    assert len(build_table(mcfg(0))) == 60
