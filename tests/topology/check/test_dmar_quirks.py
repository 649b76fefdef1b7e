"""Quirks of chips with VT-d: for each a board that has it, and one that barely does not."""

from __future__ import annotations

import pytest
from iommuman.topology.check import Board
from iommuman.topology.check.dmar_quirks import RULES

from .boards import GRAPHICS, HOST, REST, Case, assert_complete, board, dmar, function, said

ALL_FLAGS, NO_REMAPPING, OPT_OUT = 5, 4, 7
SOUND = 0x040300


def chip(device: int, class_code: int = GRAPHICS, flags: int = ALL_FLAGS, vendor: int = 0x8086) -> Board:
    """Return a board with a DMAR and one function of this device ID at 00:02.0."""
    return board(dmar(REST, flags=flags), functions=[function("00:02.0", class_code, device, vendor=vendor)])


def case(name: str, device: int, class_code: int, severity: str, title: str, other: Board) -> Case:
    """Return the case of a chip, with a board that is not one."""
    text = f"0000:00:02.0: {title}"
    return Case(f"DMAR-QUIRK-{name}", lambda: chip(device, class_code), ((severity, None, text),), lambda: other)


CASES = (
    *(
        case(
            "GRAPHICS", device, GRAPHICS, "note", "the graphics of this chip does not work behind its unit",
            chip(device + 1),
        )
        for device in (0x2A40, 0x2E00, 0x2E90, 0x1602, 0x160B, 0x161E, 0x1636, 0x163E, 0x0044, 0x29B2)
    ),
    case(
        "FLUSH", 0x2E20, HOST, "note", "the units of this chip do not say that their write buffers must be flushed",
        chip(0x2E20, HOST, vendor=0x1022),
    ),
    *(
        case(
            "SHADOW-GTT", device, HOST, "note",
            "the graphics of this chip needs memory that firmware may not have set aside", chip(0x0044, HOST),
        )
        for device in (0x0040, 0x0062, 0x006A)
    ),
    case(
        "SKIP-DISABLE", 0x9A49, GRAPHICS, "note", "the graphics of this chip hangs when its unit is switched off",
        chip(0x9A14, HOST),
    ),
    case(
        "ISOCH", 0x3A3E, SOUND, "warning",
        "the sound device of this chip may be behind a unit that has no room for translations", chip(0x3A6E, SOUND),
    ),
    *(
        case(
            "INTERRUPTS", device, HOST, "warning", "interrupt remapping is unstable on some steppings of this chip",
            chip(device, HOST, NO_REMAPPING),
        )
        for device in (0x3403, 0x3405, 0x3406)
    ),
    case(
        "INTERRUPTS", 0x3403, HOST, "warning", "interrupt remapping is unstable on some steppings of this chip",
        chip(0x3404, HOST),
    ),
    case(
        "XEN-CANTIGA", 0x2A42, GRAPHICS, "note", "the graphics of this chip must be awake while its unit is programmed",
        chip(0x2A40, HOST),
    ),
    case(
        "XEN-SANDY-BRIDGE", 0x0126, GRAPHICS, "note",
        "the graphics of this chip sleeps badly after its unit was programmed", chip(0x0152),
    ),
    Case(
        "DMAR-QUIRK-X2APIC",
        lambda: board(dmar(REST, flags=OPT_OUT)),
        (("note", 37, "firmware asks not to use x2APIC"),),
        lambda: board(dmar(REST, flags=6)),
    ),
)  # fmt: skip


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.rule)
def test_a_chip_with_a_quirk_is_told(one: Case) -> None:
    """The function, or the flags, and what is wrong with it."""
    assert said(RULES, one.rule, one.breaks()) == list(one.says)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.rule)
def test_its_neighbours_have_no_quirk(one: Case) -> None:
    """The next device ID, another vendor, or a table that does not use what is broken."""
    assert said(RULES, one.rule, one.keeps()) == []


def test_every_quirk_has_its_cases_and_its_words() -> None:
    """No quirk is without a board that has it."""
    assert_complete(RULES, CASES)


def test_a_chip_without_a_dmar_is_of_no_interest() -> None:
    """The quirks are about VT-d: without a DMAR nothing uses it."""
    found = board(functions=[function("00:00.0", HOST, 0x2E00)])
    assert not [one for rule in RULES if rule.look for one in rule.look(rule, found)]
