"""All rules together: their words, the order of what they find, and that sound boards stay silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.base import Finding
from iommuman.parsers.sources import read_sources
from iommuman.topology.check import RULES, Board, check, rule_of

from tests.conftest import BOARDS, HANDMADE

from .boards import board, mcfg
from .iorts import ROOT, SMMU, SOUND, changed, component, iort, sound


def findings(folder: Path) -> tuple[Finding, ...]:
    """Return what is said of a folder."""
    inputs = read_sources([str(folder)])
    return check(Board.of(inputs))


def test_rules_have_one_name_each_and_words_that_fit_together() -> None:
    """Titles and remedies are clauses, meaning and systems sentences; nothing is said twice, and nothing too long."""
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule_of(rule.id) is rule
        assert rule.meaning.endswith("."), rule.id
        assert rule.system.endswith("."), rule.id
        assert rule.title, rule.id
        assert not rule.title.endswith("."), rule.id
        assert rule.fix, rule.id
        assert not rule.fix.endswith("."), rule.id
        assert rule.title != rule.meaning, rule.id
    assert rule_of("IORT-NOTHING") is None


def test_findings_are_in_the_order_of_the_sources_and_of_their_places() -> None:
    """Whatever rule it is of, what stands first in a table is said first; tables keep their order."""
    places = (ROOT + 24, 4, 8), (SMMU + 40, 4, 9), (SMMU + 28, 4, 1)
    found = check(board(changed(mcfg(0, 1), (40, 1, 1)), sound(*places)))
    order = [(one.origin.source, one.origin.offset) for one in found]
    assert order == [("MCFG.bin", 36), ("IORT.bin", SMMU + 28), ("IORT.bin", SMMU + 40), ("IORT.bin", ROOT + 24)]


def test_only_the_rules_that_are_wanted_are_looked_at() -> None:
    """Findings of readers are left out as those of rules are."""
    broken = board(sound((SMMU + 40, 4, 9), (8, 1, 9)))
    assert {one.rule for one in check(broken)} == {"IORT-REVISION", "IORT-SMMU-MODEL"}
    assert [one.rule for one in check(broken, "IORT-REVISION".__eq__)] == ["IORT-REVISION"]
    assert check(board(SOUND), lambda _: False) == ()


def test_findings_of_one_rule_are_bounded() -> None:
    """A thousand are listed, and one more says that there are others; another rule has a thousand of its own."""
    many = iort(*(component(index, "A") for index in range(1001)))
    found = [one for one in check(board(many)) if one.rule in ("IORT-NAME-PATH", "CHECK-MORE", "IORT-NAME-TWICE")]
    assert [one.rule for one in found].count("IORT-NAME-PATH") == 1000
    assert [one.rule for one in found].count("IORT-NAME-TWICE") == 1000
    (more,) = (one for one in found if one.rule == "CHECK-MORE")
    assert more.severity == "warning"
    assert str(more.origin) == "IORT.bin: IORT"
    assert more.message == "IORT-NAME-PATH has more than 1000 findings; the others are not looked for"


ALARMS = {
    # QEMU was told to leave functions out of all scopes: the board shows what becomes of them.
    "q35-vtd-scopes": {"DMAR-ALL-MISSING"},
}
"""Errors and warnings that captured boards deserve."""


@pytest.mark.parametrize("name", sorted(path.name for path in BOARDS.iterdir()))
def test_captured_boards_raise_no_false_alarm(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what QEMU made there is nothing to mend, but for what its board was made to show."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    grave = [one for one in findings(BOARDS / name) if one.severity != "note"]
    assert {one.rule for one in grave} == ALARMS.get(name, set()), [str(one) for one in grave]


SHOWN = {
    "dmar-satc-sidp": {"DMAR-STRUCTURE-TYPE"},  # a structure of a type that there will be
    "dt-cells": {"DT-MAP-CELLS"},  # a map with one cell for two
    "dt-mmu-masters": {"DT-MMU-MASTERS"},
    "dt-parents": {"DT-IOMMU-DISABLED"},
    # A node of a type that there will be; and its bridge has the device ID of a PCI function.
    "iort-iwb": {"IORT-NODE-TYPE", "IORT-DEVICE-ID-SHARED"},
    "iort-offbyone": {"IORT-MAP-OFF-BY-ONE"},
    # Mappings that are right, and that Linux reads otherwise: it takes one ID more than they count.
    "rimt-mappings": {"RIMT-COUNT-OVERLAP", "RIMT-COUNT-SELF"},
}
"""What handmade boards are made to show."""


@pytest.mark.parametrize("name", sorted(path.parent.name for path in HANDMADE.glob("*/expected.json")))
def test_handmade_boards_raise_no_false_alarm(name: str) -> None:
    """Of the boards written by hand there is nothing to mend, but for what they were written to show."""
    grave = [one for one in findings(HANDMADE / name) if one.severity != "note"]
    assert {one.rule for one in grave} == SHOWN.get(name, set()), [str(one) for one in grave]


SILENT = {
    "dtb-magic",  # what does not begin as a tree does is no source
    "dmar-wrong-scope",  # a scope that names another device than it should, and one that is there
}


@pytest.mark.parametrize("folder", sorted((HANDMADE / "damaged").iterdir()), ids=lambda path: path.name)
def test_damaged_tables_and_trees_are_told(folder: Path) -> None:
    """Each table or tree with one fault has an error or a warning, unless nothing at all can be read."""
    if folder.name in SILENT:
        return
    assert any(one.severity != "note" for one in findings(folder))
