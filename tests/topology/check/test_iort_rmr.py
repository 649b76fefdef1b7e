"""Reserved memory ranges of an IORT: for each rule a table that breaks it, and one that barely does not."""

from __future__ import annotations

import pytest
from iommuman.topology.check import iort_rmr

from .boards import Case, assert_complete, board, said
from .iorts import DEVICE, END, RMR, SMMU, SMMU2, SOUND, longer, mapping, rmr, single, sound

RULES = iort_rmr.RULES
K64 = 0x10000
NOBODY = "no root complex or named component sends stream ID"

CASES = (
    Case(
        "IORT-RMR-ALIGN",
        lambda: board(sound((RMR + 28, 8, 0x80001000))),
        (("error", RMR + 28, "a reserved range does not begin or end on 64 KiB"),),
        lambda: board(sound((RMR + 28, 8, 0x80010000))),
    ),
    Case(
        "IORT-RMR-ALIGN",
        lambda: board(sound((RMR + 36, 8, 0x11000))),
        (("error", RMR + 28, "a reserved range does not begin or end on 64 KiB"),),
        lambda: board(sound((RMR + 36, 8, 0x20000))),
    ),
    Case(
        "IORT-RMR-OVERLAP",
        lambda: board(longer(rmr(8, ((0x7FFF0000, 2 * K64),), single(0x100, SMMU2)))),
        (("error", RMR + 28, "0x80000000-0x8000ffff is in the range at 0x24c as well"),),
        lambda: board(longer(rmr(8, ((0x7FFF0000, K64), (0x80010000, K64)), single(0x100, SMMU2)))),
    ),
    Case(
        "IORT-RMR-OVERLAP",
        lambda: board(longer(rmr(8, ((0, K64), (0, K64)), single(0x100, SMMU2)))),
        (("error", END + 48, "0x0-0xffff is in the range at 0x24c as well"),),
        lambda: board(longer(rmr(8, ((0, K64), (0, 0)), single(0x100, SMMU2)))),
    ),
    Case(
        "IORT-RMR-EMPTY",
        lambda: board(sound((RMR + 20, 4, 0))),
        (("warning", RMR + 20, "an RMR has no memory range"),),
        lambda: board(SOUND),
    ),
    Case(
        "IORT-RMR-UNMAPPED",
        lambda: board(sound((RMR + 8, 4, 0))),
        (("error", RMR + 8, "an RMR is for no device"),),
        lambda: board(SOUND),
    ),
    Case(
        "IORT-RMR-MAPPING",
        lambda: board(sound((RMR + 64, 4, 0))),
        (("note", RMR + 64, "an RMR has a mapping that is no single mapping"),),
        lambda: board(sound((DEVICE + 56, 4, 0))),
    ),
    Case(
        "IORT-RMR-STREAM",
        lambda: board(sound((RMR + 56, 4, 0x101))),
        (("warning", RMR + 56, f"{NOBODY} 0x101 to the SMMU of an RMR"),),
        lambda: board(sound((RMR + 56, 4, 0xFFFF), (RMR + 60, 4, SMMU))),
    ),
    Case(
        "IORT-RMR-STREAM",
        lambda: board(longer(rmr(8, ((0, K64),), mapping(0, 0x100, 0x101, SMMU2)))),
        (("warning", END + 56, f"{NOBODY} 0x101-0x200 to the SMMU of an RMR"),),
        lambda: board(longer(rmr(8, ((0, K64),), mapping(0, 0x100, 1, SMMU2)))),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_ranges_that_no_device_can_use_are_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_ranges_that_barely_can_be_used_are_not_told(case: Case) -> None:
    """One page, or one stream, further, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without tables that break it."""
    assert_complete(RULES, CASES, "DEN 0049E.f §3.1.1.7")
