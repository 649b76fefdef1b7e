"""Findings: one sentence each, and the exception that carries one."""

from __future__ import annotations

import pytest
from iommuman.base import Finding, IommumanError, Origin

PLACE = Origin("DMAR.bin", "DMAR", 9, 1)


@pytest.mark.parametrize(
    ("details", "sentence"),
    [
        ({}, "DMAR.bin: DMAR+0x9 (1 byte): it is wrong"),
        ({"found": "3"}, "DMAR.bin: DMAR+0x9 (1 byte): it is wrong: found 3"),
        ({"field": "Length", "found": "3"}, "DMAR.bin: DMAR+0x9 (1 byte): it is wrong: Length is 3"),
        ({"field": "Length"}, "DMAR.bin: DMAR+0x9 (1 byte): it is wrong"),
        ({"expected": "4"}, "DMAR.bin: DMAR+0x9 (1 byte): it is wrong, expected 4"),
        ({"clause": "ACPI 6.5 §5.2.6"}, "DMAR.bin: DMAR+0x9 (1 byte): it is wrong (ACPI 6.5 §5.2.6)"),
        ({"advice": "mend it"}, "DMAR.bin: DMAR+0x9 (1 byte): it is wrong; mend it"),
        (
            {"field": "Length", "found": "3", "expected": "4", "clause": "§1", "advice": "mend it"},
            "DMAR.bin: DMAR+0x9 (1 byte): it is wrong: Length is 3, expected 4 (§1); mend it",
        ),
    ],
)
def test_a_finding_is_one_sentence_of_what_is_known(details: dict[str, str], sentence: str) -> None:
    """The sentence has place, message, field, found, expected, clause and advice, in this order, as far as given."""
    assert str(Finding("RULE", "error", PLACE, "it is wrong", **details)) == sentence


def test_a_finding_without_a_place_is_its_message() -> None:
    """Where the origin says nothing, the sentence begins with the message."""
    assert str(Finding("RULE", "note", Origin(""), "it is odd")) == "it is odd"


def test_the_error_says_and_carries_its_finding() -> None:
    """The exception's text is the finding's sentence, and the finding itself can be had from it."""
    finding = Finding("RULE", "error", PLACE, "it is wrong")
    error = IommumanError(finding)
    assert str(error) == "DMAR.bin: DMAR+0x9 (1 byte): it is wrong"
    assert error.finding is finding


def test_an_excerpt_is_no_part_of_the_sentence() -> None:
    """The line of the input that a finding quotes stands beside its sentence and not in it."""
    finding = Finding("CONFIG-WORD", "error", Origin("a.smmu", line=1, column=3), "no such option", excerpt="x\n^")
    assert str(finding) == "a.smmu:1:3: no such option"
