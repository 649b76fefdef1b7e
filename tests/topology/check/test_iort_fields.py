"""Fields of an IORT: for each rule a table with one wrong number, and one whose number is barely right."""

from __future__ import annotations

import pytest
from iommuman.topology.check import check, iort_fields

from .boards import Case, assert_complete, board, said
from .iorts import (
    DEVICE,
    END,
    FIRST,
    ITS,
    PMCG,
    RMR,
    ROOT,
    ROOT2,
    SMMU,
    SMMU2,
    SOUND,
    changes,
    iort,
    its,
    longer,
    offsets,
    sound,
)

RULES = iort_fields.RULES

CASES = (
    Case(
        "IORT-REVISION",
        lambda: board(sound((8, 1, 8))),
        (("warning", 8, "the table has a revision that no specification has"),),
        lambda: board(sound((8, 1, 7))),
    ),
    Case(
        "IORT-REVISION",
        lambda: board(sound((8, 1, 4))),
        (("warning", 8, "the table has a revision that was withdrawn"),),
        lambda: board(sound((8, 1, 5))),
    ),
    *(
        Case(
            "IORT-NODE-REVISION",
            changes((place + 3, 1, newest + 1)),
            (("warning", place + 3, f"the {name} node is newer than any specification"),),
            changes((place + 3, 1, newest)),
        )
        for place, newest, name in (
            (ITS, 1, "ITS group"), (DEVICE, 4, "named component"), (ROOT, 4, "root complex"), (SMMU2, 3, "SMMUv1/v2"),
            (SMMU, 5, "SMMUv3"), (PMCG, 2, "PMCG"), (RMR, 3, "RMR"),
        )
    ),
    Case(
        "IORT-IDENTIFIER",
        lambda: board(sound((ROOT + 4, 4, 1))),
        (("error", ROOT + 4, "the node at 0x48 has this identifier already"),),
        lambda: board(sound((ROOT + 4, 4, 1), (8, 1, 0))),  # before revision 1 the field is reserved
    ),
    Case(
        "IORT-ARRAY-OVERLAP",
        lambda: board(sound((SMMU2 + 12, 4, 88))),
        (("error", SMMU2 + 88, "two arrays of a node share bytes"),),
        lambda: board(sound((SMMU2 + 48, 4, 84), (SMMU2 + 56, 4, 76))),  # contexts after PMU: in another order
    ),
    Case(
        "IORT-ARRAY-OVERLAP",
        lambda: board(sound((RMR + 24, 4, 32))),
        (("error", RMR + 48, "two arrays of a node share bytes"),),
        lambda: board(sound((RMR + 24, 4, 28))),
    ),
    *(
        Case(
            "IORT-RESERVED",
            changes((offset, 1, 1)),
            (("warning", offset, "a reserved field is not 0"),),
            lambda: board(SOUND),
        )
        for offset in (44, DEVICE + 25, ROOT + 21, ROOT + 35, SMMU + 28, RMR + 44)
    ),
    Case(
        "IORT-MAP-FLAGS",
        lambda: board(sound((DEVICE + 56, 4, 3))),
        (("warning", DEVICE + 56, "a mapping has flags that are not defined"),),
        lambda: board(sound((DEVICE + 56, 4, 1))),
    ),
    *(
        Case(
            "IORT-INTERRUPT-FLAGS",
            changes((offset, 4, 2)),
            (("warning", offset, "an interrupt has flags that are not defined"),),
            changes((offset, 4, 1)),
        )
        for offset in (SMMU2 + 64, SMMU2 + 72, SMMU2 + 80, SMMU2 + 88)
    ),
    Case(
        "IORT-ITS-MAPPINGS",
        lambda: board(sound((ITS + 8, 4, 1), (ITS + 12, 4, 20))),
        (("error", ITS + 8, "an ITS group has ID mappings"), ("error", ITS + 12, "an ITS group has ID mappings")),
        lambda: board(SOUND),
    ),
    Case(
        "IORT-ITS-EMPTY",
        lambda: board(sound((ITS + 16, 4, 0))),
        (("error", ITS + 16, "an ITS group has no ITS"),),
        lambda: board(sound((ITS + 16, 4, 1))),
    ),
    Case(
        "IORT-ITS-TWICE",
        lambda: board(iort(its(0, 3, 3))),
        (("warning", FIRST + 24, "ITS 3 is in this group twice"),),
        lambda: board(iort(its(0, 3, 4))),
    ),
    Case(
        "IORT-ITS-TWICE",
        lambda: board(longer(its(8, 1, 0))),
        (("note", END + 24, "ITS 0 is in the group at 0x30 as well"),),
        lambda: board(longer(its(8, 1, 2))),
    ),
    *(
        Case(
            "IORT-COHERENCY",
            changes((offset, 4, 2)),
            (("error", offset, "the coherency attribute of a device is not defined"),),
            changes((offset, 4, 0)),
        )
        for offset in (DEVICE + 20, ROOT + 16)
    ),
    *(
        Case(
            "IORT-ALLOCATION-HINTS",
            changes((offset, 1, 0x10)),
            (("warning", offset, "reserved allocation hints are set"),),
            changes((offset, 1, 0xF)),
        )
        for offset in (DEVICE + 24, ROOT + 20)
    ),
    *(
        Case(
            "IORT-MEMORY-FLAGS",
            changes((offset, 1, 0xF)),
            (("warning", offset, "reserved memory access flags are set"),),
            changes((offset, 1, 7)),
        )
        for offset in (DEVICE + 27, ROOT + 23)
    ),
    Case(
        "IORT-MEMORY-ATTRIBUTES",
        lambda: board(sound((ROOT + 23, 1, 0))),
        (("error", ROOT + 23, "accesses are fully coherent and have no coherent path to memory"),),
        lambda: board(sound((ROOT + 23, 1, 0), (ROOT + 16, 4, 0))),
    ),
    Case(
        "IORT-MEMORY-ATTRIBUTES",
        lambda: board(sound((DEVICE + 27, 1, 3), (DEVICE + 20, 4, 0))),
        (("error", DEVICE + 27, "accesses are cacheable on a coherent path and are not fully coherent"),),
        lambda: board(sound((DEVICE + 27, 1, 2), (DEVICE + 20, 4, 0))),
    ),
    *(
        Case(
            "IORT-ADDRESS-LIMIT",
            changes((offset, 1, 0)),
            (("warning", offset, "a device has no address bits"),),
            changes((offset, 1, 1)),
        )
        for offset in (DEVICE + 28, ROOT + 32)
    ),
    Case(
        "IORT-COMPONENT-FLAGS",
        lambda: board(sound((DEVICE + 16, 4, 0x40))),
        (("warning", DEVICE + 16, "reserved flags of a named component are set"),),
        lambda: board(sound((DEVICE + 16, 4, 0x3F))),
    ),
    Case(
        "IORT-COMPONENT-FLAGS",
        lambda: board(sound((DEVICE + 16, 4, 1), (DEVICE + 3, 1, 1))),
        (("warning", DEVICE + 16, "reserved flags of a named component are set"),),
        lambda: board(sound((DEVICE + 16, 4, 1), (DEVICE + 3, 1, 2))),
    ),
    Case(
        "IORT-ROOT-FLAGS",
        lambda: board(sound((ROOT + 24, 4, 8))),
        (("warning", ROOT + 24, "reserved flags of a root complex are set"),),
        lambda: board(sound((ROOT + 24, 4, 7))),
    ),
    Case(
        "IORT-ROOT-FLAGS",
        lambda: board(sound((ROOT + 33, 2, 0x20))),
        (("warning", ROOT + 33, "reserved flags of a root complex are set"),),
        lambda: board(sound((ROOT + 33, 2, 0x1F))),
    ),
    Case(
        "IORT-ROOT-FLAGS",
        lambda: board(sound((ROOT + 33, 2, 1), (ROOT + 3, 1, 1))),
        (("warning", ROOT + 33, "reserved flags of a root complex are set"),),
        lambda: board(sound((ROOT + 33, 2, 1), (ROOT + 3, 1, 2))),
    ),
    Case(
        "IORT-ROOT-FLAGS",
        lambda: board(sound((ROOT + 36, 4, 2))),
        (("warning", ROOT + 36, "reserved flags of a root complex are set"),),
        lambda: board(sound((ROOT + 36, 4, 1))),
    ),
    *(
        Case(
            "IORT-SMMU-MODEL",
            changes((offset, 4, last + 1)),
            (("warning", offset, "an SMMU is of a model that is not defined"),),
            changes((offset, 4, last)),
        )
        for offset, last in ((SMMU + 40, 2), (SMMU2 + 32, 5))
    ),
    *(
        Case(
            "IORT-SMMU-FLAGS",
            changes((offset, 4, first), at),
            (("warning", offset, "reserved flags of an SMMU are set"),),
            changes((offset, 4, first >> 1), at),
        )
        for offset, first, at in (
            (SMMU + 24, 0x20, (SMMU + 3, 1, 5)),
            (SMMU + 24, 0x10, (SMMU + 3, 1, 4)),
            (SMMU + 24, 8, (SMMU + 3, 1, 0)),
            (SMMU2 + 36, 4, (SMMU2 + 3, 1, 3)),
        )
    ),
    Case(
        "IORT-RMR-FLAGS",
        lambda: board(sound((RMR + 16, 4, 0x400))),
        (("warning", RMR + 16, "reserved flags of an RMR are set"),),
        lambda: board(sound((RMR + 16, 4, 0x17))),
    ),
    Case(
        "IORT-RMR-FLAGS",
        lambda: board(sound((RMR + 16, 4, 6 << 2))),
        (("warning", RMR + 16, "the memory of an RMR has attributes that are not defined"),),
        lambda: board(sound((RMR + 16, 4, 5 << 2))),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_wrong_number_is_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_number_that_is_barely_right_is_not_told(case: Case) -> None:
    """One less, or in a node of the revision that has the field, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without tables that break it."""
    assert_complete(RULES, CASES, "DEN 0049E.f §3")


def test_nothing_is_said_of_the_table_that_the_cases_change() -> None:
    """The table has no finding of any rule, and its nodes are where the cases look for them."""
    assert check(board(SOUND)) == ()
    assert offsets() == [ITS, SMMU, ROOT, DEVICE, SMMU2, PMCG, RMR, ROOT2]
    assert SOUND.size == END


def test_a_finding_says_what_the_field_holds() -> None:
    """Field, value and what is expected stand in the finding, in words and numbers of the specification."""
    (found,) = check(board(sound((SMMU + 40, 4, 9))))
    assert (found.field, found.found, found.expected) == ("model", "9", "0 to 2")
    assert str(found.origin) == "IORT.bin: IORT+0x70 (4 bytes)"
