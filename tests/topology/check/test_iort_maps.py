"""What mappings of an IORT mean: for each rule a table that breaks it, and one that barely does not."""

from __future__ import annotations

import time

import pytest
from iommuman.parsers.acpi import Table
from iommuman.topology.check import check, iort_maps

from .boards import Case, assert_complete, board, mcfg, said
from .iorts import (
    DEVICE,
    END,
    FIRST,
    ITS,
    ROOT,
    ROOT2,
    SMMU,
    SMMU2,
    SOUND,
    component,
    iort,
    its,
    iwb,
    longer,
    mapping,
    pmcg,
    rmr,
    root,
    single,
    smmu_v2,
    smmu_v3,
    sound,
)

RULES = iort_maps.RULES
HERE = 88 + FIRST + 24
"""Offset of the node after an ITS group and an SMMUv3 with one mapping; its mappings begin 40 bytes later."""


STREAM, STREAM2 = "stream ID of the SMMUv3 at 0x48", "stream ID of the SMMUv1/v2 at 0x118"
DEVICE_ID = "device ID of the ITS group at 0x30"
LAST = "0x100, the last ID of a mapping of the root complex, is the first of that at "


def both(ids: str) -> str:
    """Return what is said of IDs that the first mapping of a root complex takes, and another."""
    return f"two mappings of the root complex take {ids} to different places; that at 0xc8 is first"


def shared(ids: str, what: str, one: str, other: str) -> str:
    """Return what is said of IDs that two senders have."""
    return f"{ids} is a {what} for {one} and for {other}"


def behind(*mappings: bytes) -> Table:
    """Return a table of an ITS, an SMMUv3 at 72, and a root complex with these mappings at `HERE`."""
    return iort(its(0, 0), smmu_v3(1, 0x9050000, mapping(0, 0x20000, 0, ITS)), root(2, 0, *mappings))


GAPS = "0x00ff-0x00ff, 0x01ff-0x01ff, 0x02ff-0x02ff, 0x03ff-0x03ff"
OTHER = component(9, "\\B", single(0x50003, ITS))

CASES = (
    Case(
        "IORT-MAP-OVERLAP",
        lambda: board(behind(mapping(0, 0x200, 0, SMMU), mapping(0x1FE, 0x100, 0x10000, SMMU))),
        (("error", HERE + 60, both("0x1fe-0x1ff")),),
        lambda: board(behind(mapping(0, 0x200, 0, SMMU), mapping(0x200, 0x100, 0x10000, SMMU))),
    ),
    Case(
        "IORT-MAP-OVERLAP",
        lambda: board(behind(mapping(0, 0x200, 0, SMMU), mapping(0x100, 0x10, 0x100, ITS))),
        (("error", HERE + 60, both("0x100-0x10f")),),
        lambda: board(behind(mapping(0, 0x200, 0, SMMU), mapping(0x100, 0x10, 0x100, SMMU))),  # to the same place
    ),
    Case(
        "IORT-MAP-OVERLAP",
        lambda: board(behind(mapping(5, 1, 0, SMMU), mapping(5, 1, 9, SMMU))),
        (("error", HERE + 60, both("0x5")),),
        lambda: board(behind(mapping(5, 1, 0, SMMU), mapping(5, 1, 9, SMMU, 1))),  # a single mapping is none of a range
    ),
    Case(
        "IORT-MAP-OFF-BY-ONE",
        lambda: board(behind(mapping(0, 0x101, 0, SMMU), mapping(0x100, 0x100, 0x10000, SMMU))),
        (("warning", HERE + 44, LAST + "0xdc"),),
        lambda: board(behind(mapping(0, 0x100, 0, SMMU), mapping(0x100, 0x100, 0x10000, SMMU))),
    ),
    Case(
        "IORT-MAP-OFF-BY-ONE",
        lambda: board(behind(mapping(0x100, 0x100, 0x10000, SMMU), mapping(0, 0x101, 0, SMMU))),
        (("warning", HERE + 64, LAST + "0xc8"),),
        lambda: board(behind(mapping(0x100, 0x100, 0x10000, SMMU), mapping(0, 0x102, 0, SMMU))),  # an overlap
    ),
    Case(
        "IORT-MAP-OVERFLOW",
        lambda: board(behind(mapping(0, 2, 0xFFFFFFFF, SMMU))),
        (("error", HERE + 48, "a mapping runs past the last ID there can be"),),
        lambda: board(behind(mapping(0, 2, 0xFFFFFFFE, SMMU), mapping(7, 9, 0xFFFFFFFF, SMMU, 1))),
    ),
    Case(
        "IORT-MAP-OVERFLOW",
        lambda: board(sound((SMMU2 + 92, 4, 0xFFFF8001))),
        (("error", SMMU2 + 92, "a mapping runs past the last ID there can be"),),
        lambda: board(sound((SMMU2 + 92, 4, 0xFFFF8000))),
    ),
    Case(
        "IORT-RID-RANGE",
        lambda: board(behind(mapping(0, 0x10001, 0, SMMU))),
        (("warning", HERE + 40, "a mapping of a root complex takes IDs that no function has"),),
        lambda: board(behind(mapping(0, 0x10000, 0, SMMU))),
    ),
    Case(
        "IORT-LOOP",
        lambda: board(sound((SMMU + 80, 4, SMMU2), (SMMU2 + 104, 4, SMMU))),
        (("error", SMMU2 + 104, "a mapping leads back to the node at 0x48"),),
        lambda: board(sound((SMMU2 + 104, 4, SMMU))),
    ),
    Case(
        "IORT-LOOP",
        lambda: board(sound((SMMU + 80, 4, SMMU))),
        (("error", SMMU + 80, "a mapping leads back to the node at 0x48"),),
        lambda: board(sound((SMMU + 80, 4, 0))),
    ),
    Case(
        "IORT-STREAM-SHARED",
        lambda: board(longer(root(8, 2, mapping(0, 0x100, 0xFFFF, SMMU)))),
        (("warning", END + 40, shared("0xffff", STREAM, "segment 0000", "segment 0002")),),
        lambda: board(longer(root(8, 2, mapping(0, 0x100, 0x10000, SMMU)))),
    ),
    Case(
        "IORT-STREAM-SHARED",
        lambda: board(behind(mapping(0, 0x100, 0, SMMU), mapping(0x100, 0x100, 0x80, SMMU))),
        (("warning", HERE + 60, shared("0x80-0xff", STREAM, "segment 0000", "segment 0000")),),
        # The same requester IDs, twice: whichever mapping is taken, nobody else has these.
        lambda: board(behind(mapping(0, 0x101, 0, SMMU), mapping(0x100, 0x100, 0x100, SMMU))),
    ),
    Case(
        "IORT-STREAM-SHARED",
        lambda: board(longer(component(8, "\\_SB_.DEV1", single(0x100, SMMU2)))),
        (("note", END + 40, shared("0x100", STREAM2, "\\_SB_.DEV0", "\\_SB_.DEV1")),),
        lambda: board(longer(component(8, "\\_SB_.DEV1", single(0x101, SMMU2), single(0x101, SMMU2)))),
    ),
    Case(
        "IORT-STREAM-SHARED",
        lambda: board(longer(component(8, "", single(0, SMMU)))),
        (("warning", END + 32, shared("0x0", STREAM, "segment 0000", "a device without a name")),),
        lambda: board(longer(component(8, "", single(0x10000, SMMU)))),
    ),
    Case(
        "IORT-DEVICE-ID-SHARED",
        lambda: board(sound((ROOT2 + 48, 4, 0xFFFF))),
        (("warning", ROOT2 + 40, shared("0xffff", DEVICE_ID, "segment 0000", "segment 0001")),
         ("warning", ROOT2 + 40, shared("0x10100", DEVICE_ID, "segment 0001", "\\_SB_.DEV0"))),
        lambda: board(sound((ROOT2 + 48, 4, 0x10000), (SMMU2 + 100, 4, 0x20000))),
    ),
    Case(
        "IORT-DEVICE-ID-SHARED",
        lambda: board(sound((SMMU2 + 100, 4, 0x8000))),
        (("warning", DEVICE + 40, shared("0x8100", DEVICE_ID, "segment 0000", "\\_SB_.DEV0")),),
        # The device's stream ID is in no mapping of its SMMU.
        lambda: board(sound((SMMU2 + 100, 4, 0x8000), (SMMU2 + 92, 4, 0x101))),
    ),
    Case(
        "IORT-DEVICE-ID-SHARED",
        lambda: board(longer(pmcg(8, 0x9070000, SMMU, 0, single(5, ITS)), iwb(9, single(5, ITS)))),
        (("warning", END + 40, shared("0x5", DEVICE_ID, "segment 0000", "the PMCG at 0x230")),
         ("warning", END + 60 + 28, shared("0x5", DEVICE_ID, "segment 0000", "the IWB at 0x26c"))),
        lambda: board(longer(pmcg(8, 0x9070000, SMMU, 0, single(0x40000, ITS)), iwb(9, single(0x40001, ITS)))),
    ),
    Case(
        "IORT-DEVICE-ID-SHARED",
        lambda: board(longer(component(8, "\\A", mapping(0, 4, 0x50000, ITS)), OTHER)),
        (("note", END + 52 + 32, shared("0x50003", DEVICE_ID, "\\A", "\\B")),),
        lambda: board(longer(component(8, "\\A", mapping(0, 3, 0x50000, ITS)), OTHER)),
    ),
    Case(
        "IORT-ROOT-TWICE",
        lambda: board(sound((ROOT2 + 28, 4, 0))),
        (("warning", ROOT2 + 28, "the root complex at 0xa0 has segment 0000 already"),),
        lambda: board(sound((ROOT2 + 28, 4, 2))),
    ),
    Case(
        "IORT-ROOT-GAP",
        lambda: board(behind(mapping(1, 0xFFFE, 0, SMMU))),
        (("note", HERE, "no mapping takes requester IDs 0x0000-0x0000, 0xffff-0xffff of segment 0000"),),
        lambda: board(behind(mapping(0, 0x8000, 0, SMMU), mapping(0x8000, 0x8000, 0, ITS))),
    ),
    Case(
        "IORT-ROOT-GAP",
        lambda: board(behind(*(mapping(index << 8, 0xFF, index << 8, SMMU) for index in range(256)))),
        (("note", HERE, f"no mapping takes requester IDs {GAPS} and 252 more of segment 0000"),),
        lambda: board(behind(mapping(0, 1, 0, SMMU, 1))),  # a single mapping takes all
    ),
    Case(
        "IORT-ROOT-GAP",
        lambda: board(behind(mapping(0, 0xFFFF, 0, SMMU)), mcfg(0)),
        (("note", HERE, "no mapping takes requester IDs 0xffff-0xffff of segment 0000"),),
        # Nothing is said twice of one segment, and nothing of buses that a segment does not have.
        lambda: board(iort(root(0, 0, mapping(0, 0x10000, 0, 0)), root(1, 0))),
    ),
    Case(
        "IORT-ROOT-SINGLE",
        lambda: board(sound((ROOT + 56, 4, 1))),
        (("warning", ROOT + 56, "all functions of a root complex have one stream ID"),),
        lambda: board(sound((DEVICE + 56, 4, 1))),
    ),
    Case(
        "IORT-COMPONENT-RANGE",
        lambda: board(sound((DEVICE + 56, 4, 0))),
        (("note", DEVICE + 56, "the first mapping of \\_SB_.DEV0 is no single mapping"),),
        lambda: board(longer(component(8, "\\_SB_.DEV1"))),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_mappings_must_not_mean_is_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_mappings_barely_may_mean_is_not_told(case: Case) -> None:
    """One ID less, or to another place, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without tables that break it."""
    assert_complete(RULES, CASES, "DEN 0049E.f §3")


def test_a_loop_of_many_nodes_is_told_once() -> None:
    """Each circle is named at the mapping that closes it, and a long way to it takes no deep stack."""
    count = 5000
    first = FIRST + 24
    nodes = [
        smmu_v2(index, 0x1000 * index + 0x1000, mapping(0, 1, 0, first + 112 * (index + 1))) for index in range(count)
    ]
    nodes[-1] = smmu_v2(count, 0x9000000, mapping(0, 1, 0, first))
    found = check(board(iort(its(0, 0), *nodes)), "IORT-LOOP".__eq__)
    assert [one.message for one in found] == [f"a mapping leads back to the node at 0x{first:x}"]


def test_thousands_of_mappings_take_no_longer_than_their_sorting() -> None:
    """Mappings that all overlap, at several SMMUs, are looked at in a bounded number of steps."""
    many = [mapping(index, 0x8000, index, SMMU) for index in range(3000)]
    wide = [mapping(index, 0x8000, index, ITS) for index in range(3000)]
    whole = iort(its(0, 0), smmu_v3(1, 0x9050000, *wide), root(2, 0, *many), rmr(3, (), single(0, SMMU)))
    found = board(whole)
    started = time.process_time()
    check(found, lambda rule: rule.startswith("IORT"))
    assert time.process_time() - started < 5


def test_the_sound_table_has_a_way_for_every_id() -> None:
    """The rules follow the mappings of the sound table from its devices to their ITS and find nothing shared."""
    assert [said(RULES, rule.id, board(SOUND)) for rule in RULES] == [[]] * len(RULES)
    assert ROOT == HERE
