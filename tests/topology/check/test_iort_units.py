"""SMMUs, PMCGs and names of an IORT: for each rule a table that breaks it, and one that barely does not."""

from __future__ import annotations

from functools import partial

import pytest
from iommuman.parsers.acpi import Table
from iommuman.topology.check import iort_units

from .boards import Case, assert_complete, board, said
from .iorts import (
    DEVICE,
    END,
    ITS,
    PMCG,
    SMMU,
    SMMU2,
    SOUND,
    changed,
    component,
    instead,
    iwb,
    longer,
    mapping,
    of,
    pmcg,
    single,
    smmu_v2,
    smmu_v3,
    sound,
)

RULES = iort_units.RULES


def signed(whole: Table, oem: bytes, name: bytes, revision: int) -> Table:
    """Return the table with other identifiers in its header."""
    numbers = (int.from_bytes(oem, "little"), int.from_bytes(name, "little"))
    return changed(whole, (10, 6, numbers[0]), (16, 8, numbers[1]), (24, 4, revision))


CASES = (
    Case(
        "IORT-SMMU-BASE",
        lambda: board(sound((SMMU + 16, 8, 0x9058000), (SMMU2 + 16, 8, 0))),
        (
            ("error", SMMU + 16, "the registers of an SMMU are where none can be"),
            ("error", SMMU2 + 16, "the registers of an SMMU are where none can be"),
        ),
        lambda: board(sound((SMMU + 16, 8, 0x9060000), (SMMU2 + 16, 8, 0x1000))),
    ),
    Case(
        "IORT-SMMU-SPAN",
        lambda: board(sound((SMMU2 + 24, 8, 0))),
        (("error", SMMU2 + 24, "the registers of an SMMU have no size"),),
        lambda: board(sound((SMMU2 + 24, 8, 1))),
    ),
    Case(
        "IORT-SMMU-TWICE",
        lambda: board(longer(smmu_v2(8, 0x2B500000))),
        (("error", END + 16, "the SMMU at 0x2b500000 is declared at 0x118 already"),),
        lambda: board(longer(smmu_v2(8, 0x2B510000))),
    ),
    Case(
        "IORT-GSIV-TWICE",
        lambda: board(sound((PMCG + 24, 4, 75))),
        (("warning", PMCG + 24, "the node at 0x48 has this interrupt already"),),
        lambda: board(sound((PMCG + 24, 4, 76))),
    ),
    Case(
        "IORT-GSIV-TWICE",
        lambda: board(sound((SMMU + 52, 4, 72))),
        (("warning", SMMU + 52, "the node has this interrupt for two purposes"),),
        # A CN99xx has one for all; and an interrupt that is not wired is none that is shared.
        lambda: board(sound((SMMU + 52, 4, 72), (SMMU + 40, 4, 2), (PMCG + 24, 4, 0))),
    ),
    Case(
        "IORT-GSIV-MISSING",
        lambda: board(sound((SMMU + 44, 4, 0))),
        (("note", SMMU + 44, "an SMMUv3 has neither wired interrupts nor a mapping for messages"),),
        lambda: board(sound((SMMU + 48, 4, 0))),  # page requests: not every SMMU has them
    ),
    Case(
        "IORT-GSIV-MISSING",
        lambda: board(sound((SMMU + 52, 4, 0))),
        (("note", SMMU + 52, "an SMMUv3 has neither wired interrupts nor a mapping for messages"),),
        lambda: board(longer(smmu_v3(8, 0x9100000, single(0x30000, ITS), wired=0)[:24] + b"\x10" +
                             smmu_v3(8, 0x9100000, single(0x30000, ITS), wired=0)[25:])),
    ),
    Case(
        "IORT-GLOBAL-INTERRUPT",
        lambda: board(sound((SMMU2 + 60, 4, 0))),
        (("warning", SMMU2 + 60, "an SMMUv1/v2 has no global fault interrupt"),),
        lambda: board(sound((SMMU2 + 68, 4, 0))),  # of configuration accesses, which Linux does not take
    ),
    Case(
        "IORT-GLOBAL-INTERRUPT",
        lambda: board(sound((SMMU2 + 40, 4, 0))),
        (("warning", SMMU2 + 40, "an SMMUv1/v2 has no global fault interrupt"),),
        lambda: board(SOUND),
    ),
    Case(
        "IORT-OWN-MAPPING-KIND",
        lambda: board(sound((SMMU + 24, 4, 0x10))),
        (("error", SMMU + 84, "mapping 0 is the SMMU's own and is a range"),),
        lambda: board(sound((SMMU + 24, 4, 0x10), (SMMU + 84, 4, 1))),
    ),
    Case(
        "IORT-OWN-MAPPING-KIND",
        lambda: board(sound((SMMU + 24, 4, 0x10), (SMMU + 84, 4, 1), (SMMU + 80, 4, SMMU2))),
        (("error", SMMU + 80, "mapping 0 is the SMMU's own and does not lead to an ITS group"),),
        lambda: board(sound((SMMU + 24, 4, 0x10), (SMMU + 64, 4, 1))),  # past the end: another rule
    ),
    Case(
        "IORT-OWN-MAPPING-KIND",
        lambda: board(sound((SMMU + 3, 1, 4), (SMMU + 56, 4, 0))),
        (("error", SMMU + 84, "mapping 0 is the SMMU's own and is a range"),),
        lambda: board(sound((SMMU + 3, 1, 4))),  # all four interrupts are wired
    ),
    Case(
        "IORT-PMCG-REFERENCE",
        lambda: board(sound((PMCG + 28, 4, ITS))),
        (("error", PMCG + 28, "a PMCG monitors nothing that there is"),),
        lambda: board(sound((PMCG + 28, 4, DEVICE))),
    ),
    Case(
        "IORT-MESSAGE-MAPPING",
        lambda: board(longer(pmcg(8, 0x9070000, SMMU, 0, single(0x40000, ITS), single(0x40001, ITS)))),
        (("warning", END + 8, "a source of interrupts alone has mappings other than one single mapping"),),
        lambda: board(longer(pmcg(8, 0x9070000, SMMU, 0, single(0x40000, ITS)))),
    ),
    Case(
        "IORT-MESSAGE-MAPPING",
        lambda: board(longer(iwb(8, mapping(0, 1, 0x40000, ITS)))),
        (("warning", END + 28 + 16, "a source of interrupts alone has mappings other than one single mapping"),),
        lambda: board(longer(iwb(8, single(0x40000, ITS)))),
    ),
    Case(
        "IORT-NAME-PATH",
        lambda: board(instead(DEVICE, component(3, "_SB_.DEV00", single(0x100, SMMU2)))),
        (("warning", DEVICE, "the name of a device is no path of the ACPI namespace"),),
        lambda: board(SOUND),
    ),
    Case(
        "IORT-NAME-PATH",
        lambda: board(instead(DEVICE, component(3, "\\DEV01.AB", single(0x100, SMMU2)))),
        (("warning", DEVICE, "the name of a device is no path of the ACPI namespace"),),
        lambda: board(instead(DEVICE, component(3, "\\DEV0.AB", single(0x100, SMMU2)))),
    ),
    Case(
        "IORT-NAME-PATH",
        lambda: board(longer(component(8, "PNP0D40"), component(9, "ACPI0007:00"), component(10, ""))),
        (
            ("warning", END, "the name of a device is a hardware ID, and no path"),
            ("warning", END + 40, "the name of a device is a hardware ID, and no path"),
            ("warning", END + 84, "a named component has no name"),
        ),
        lambda: board(longer(component(8, "\\ABCD"))),
    ),
    Case(
        "IORT-NAME-SHORT",
        lambda: board(longer(component(8, "\\_SB.DEV1"))),
        (("note", END, "the name of a device has segments of fewer than four letters"),),
        lambda: board(longer(component(8, "\\_SB_.DEV1"))),
    ),
    Case(
        "IORT-NAME-TWICE",
        lambda: board(longer(component(8, "\\_SB_.DEV0"))),
        (("note", END, "'\\_SB_.DEV0' has the node at 0xdc already"),),
        lambda: board(longer(component(8, "\\_SB_.DEV1"))),
    ),
    Case(
        "IORT-SMMU-QUIRK",
        lambda: board(sound((SMMU + 40, 4, 1))),
        (("note", SMMU + 40, "Linux drives this model of SMMUv3 in a way of its own"),),
        lambda: board(sound((SMMU2 + 32, 4, 1))),  # of the SMMUv2 that is a model without quirks
    ),
    Case(
        "IORT-SMMU-QUIRK",
        lambda: board(sound((SMMU + 40, 4, 2))),
        (("note", SMMU + 40, "Linux drives this model of SMMUv3 in a way of its own"),),
        lambda: board(sound((SMMU + 40, 4, 0))),
    ),
    *(
        Case(
            "IORT-PMCG-QUIRK",
            of(partial(signed, SOUND, b"HISI  ", name, 0)),
            (("note", PMCG, "Linux drives the PMCGs of this machine in a way of its own"),),
            of(partial(signed, SOUND, b"HISI\0\0", name, 0)),
        )
        for name in (b"HIP08   ", b"HIP09   ", b"HIP09A  ", b"HIP10   ", b"HIP10C  ", b"HIP11   ")
    ),
    *(
        Case(
            "IORT-COUNT-QUIRK",
            of(partial(signed, SOUND, b"HISI  ", name, 0)),
            (("note", 0, "the firmware is one that counts IDs as they are, and not minus one"),),
            of(partial(signed, SOUND, b"HISI  ", name, 1)),
        )
        for name in (b"HIP07   ", b"HIP08   ")
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_a_unit_cannot_be_is_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_a_unit_barely_can_be_is_not_told(case: Case) -> None:
    """One step further, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without tables that break it."""
    assert_complete(RULES, CASES, "DEN 0049E.f §3")


def test_a_short_name_is_shown_as_linux_has_it() -> None:
    """What is expected of a short name is the path with every segment filled up."""
    rule = next(one for one in RULES if one.id == "IORT-NAME-SHORT")
    assert rule.look is not None
    (found,) = rule.look(rule, board(longer(component(8, "\\_SB.D"))))
    assert (found.found, found.expected) == ("'\\_SB.D'", "'\\_SB_.D___'")
