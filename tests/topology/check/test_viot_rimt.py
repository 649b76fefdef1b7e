"""Rules for the nodes of a VIOT and a RIMT: for each a table that breaks it, and the same barely not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from iommuman.topology.check import Board, viot_rimt

from .boards import Case, assert_complete, board, said
from .handmade import RIMT, VIOT
from .iorts import changed


def viot(*places: tuple[int, int, int]) -> Callable[[], Board]:
    """Return a function that makes the board of a VIOT with these numbers written over it."""
    return lambda: board(changed(VIOT, *places))


def rimt(*places: tuple[int, int, int]) -> Callable[[], Board]:
    """Return a function that makes the board of a RIMT with these numbers written over it."""
    return lambda: board(changed(RIMT, *places))


CASES = (
    Case(
        "VIOT-RESERVED",
        viot((47, 1, 1), (49, 1, 1), (63, 1, 1), (71, 1, 1), (98, 1, 1), (199, 1, 1)),
        tuple(("note", at, "a reserved field of a VIOT is not zero") for at in (40, 49, 56, 68, 98, 194)),
        # of nodes of unknown types nobody knows what is reserved
        viot((176, 1, 5), (177, 1, 1), (199, 1, 1)),
    ),
    Case(
        "RIMT-RESERVED",
        rimt((44, 4, 1), (52, 2, 1), (72, 4, 4), (92, 4, 4), (152, 4, 4), (156, 2, 1), (180, 4, 4), (268, 2, 1)),
        tuple(("note", at, "reserved bits of a RIMT are set") for at in (44, 52, 72, 92, 156, 152, 180, 268)),
        rimt((72, 4, 3), (92, 4, 3), (152, 4, 3), (180, 4, 3)),
    ),
    Case(
        "RIMT-IDENTIFIER",
        rimt((110, 2, 0)),
        (("note", 110, "the node at 0x30 has this identifier already"),),
        rimt((110, 2, 6)),
    ),
    # a mapping that begins inside the one before it, and one that another holds whole
    Case(
        "RIMT-OVERLAP",
        rimt((208, 4, 10), (228, 4, 263)),
        (
            ("warning", 224, "IDs 0x9 to 0x9 are in the mapping at 0xcc too"),
            ("warning", 244, "IDs 0x100 to 0x10f are in the mapping at 0xe0 too"),
        ),
        rimt((208, 4, 9)),
    ),
    # root complexes of one segment share its IDs; others do not
    Case(
        "RIMT-OVERLAP",
        rimt((168, 4, 1), (198, 2, 0)),
        (("warning", 204, "IDs 0x0 to 0x0 are in the mapping at 0xa4 too"),),
        rimt((168, 4, 1)),
    ),
    Case(
        "RIMT-OVERLAP",
        rimt((352, 4, 3)),
        (("warning", 352, "IDs 0x3 to 0x3 are in the mapping at 0x14c too"),),
        rimt((352, 4, 3), (356, 4, 0)),
    ),
)


def test_every_rule_has_a_case_and_words() -> None:
    """No rule is without a table that breaks it; each says what it means, what systems do, and a remedy."""
    assert_complete(viot_rimt.RULES, CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_breaks_a_rule_is_found_and_what_barely_does_not_is_not(case: Case) -> None:
    """Findings are where the fault is, and none is left once the fault is mended."""
    assert said(viot_rimt.RULES, case.rule, case.breaks()) == list(case.says)
    assert said(viot_rimt.RULES, case.rule, case.keeps()) == []
