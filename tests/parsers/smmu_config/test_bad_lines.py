"""Hundreds of wrong configurations, written by hand, each with exactly what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.cli.output import finding_text
from iommuman.parsers.smmu_config import parse_configuration

from tests.parsers.smmu_config.helpers import no_files

CASES = (Path(__file__).parent / "bad_lines.txt").read_text().split("\n---\n")
"""Each: the lines of a configuration, and behind `> ` the messages, with the lines that they quote."""


def split_case(case: str) -> tuple[str, list[str]]:
    """Return the configuration of a case, and what is to be said of it."""
    lines = case.removesuffix("\n").split("\n")
    said = [line[2:] for line in lines if line.startswith("> ")]
    return "\n".join(line for line in lines if not line.startswith("> ")), said


@pytest.mark.parametrize("case", CASES, ids=[split_case(case)[0] for case in CASES])
def test_what_is_said_of_a_bad_line(case: str) -> None:
    """A wrong line gets exactly these messages, each with its line and a caret below the place."""
    text, said = split_case(case)
    findings = parse_configuration(text, "bad.smmu", no_files).findings
    assert [line for finding in findings for line in finding_text(finding).split("\n")] == said
    assert {finding.severity for finding in findings} == {"error"}


def test_there_are_hundreds() -> None:
    """No case is there twice, and every option has some."""
    texts = [split_case(case)[0] for case in CASES]
    assert len(set(texts)) == len(texts) >= 200


@pytest.mark.parametrize("case", CASES, ids=[split_case(case)[0] for case in CASES])
def test_carets_stand_below_the_column(case: str) -> None:
    """The column of each message is that of the character above the first caret, tabs and all."""
    text, _ = split_case(case)
    for finding in parse_configuration(text, "bad.smmu", no_files).findings:
        shown, carets = finding.excerpt.split("\n")
        assert finding.origin.line is not None
        assert finding.origin.column is not None
        line = text.split("\n")[finding.origin.line - 1]
        assert shown == "    " + line.replace("\t", "    ")
        before = line[: finding.origin.column - 1].replace("\t", "    ")
        assert len(carets) - len(carets.lstrip()) == 4 + len(before)
