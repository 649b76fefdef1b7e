"""The description of the language: every example in it is real."""

from __future__ import annotations

import re

import pytest
from iommuman.cli.output import finding_text
from iommuman.parsers.smmu_config import format_configuration, parse_configuration
from iommuman.parsers.smmu_config.files import MAX_DEPTH, MAX_FILE, MAX_INCLUDES, MAX_TOTAL, MAX_WORDS
from iommuman.parsers.smmu_config.hardware import TYPES
from iommuman.parsers.smmu_config.options import USAGE
from iommuman.parsers.smmu_config.report import MAX_FINDINGS

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "smmu-config.md").read_text()
BLOCKS = re.findall(r"^```([\w-]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def blocks(kind: str) -> list[str]:
    """Return the code blocks of a kind."""
    return [text for name, text in BLOCKS if name == kind]


@pytest.mark.parametrize("text", blocks("smmu"))
def test_examples_are_read(text: str) -> None:
    """Each example has no errors, and says something; what it includes says nothing."""
    configuration = parse_configuration(text, "a.smmu", lambda _: b"")
    assert configuration.findings == ()
    assert configuration.types or configuration.allows or configuration.devices


def test_the_same_region() -> None:
    """The regions that are called the same are the same."""
    (text,) = [text for text in blocks("smmu") if text.startswith("allow same")]
    regions = parse_configuration(text).allows
    assert {(region.start, region.length) for region in regions} == {(0x4000, 4096)}
    assert len(regions) == 8


def test_the_errors_shown_are_real() -> None:
    """The wrong example has exactly the errors that stand below it."""
    (text,), (said,) = blocks("smmu-bad"), blocks("text")
    findings = parse_configuration(text, "board.smmu").findings
    assert "".join(f"error: {finding_text(finding)}\n" for finding in findings) == said


def test_the_layout_shown_is_real() -> None:
    """The example of the layout is laid out as it says."""
    assert format_configuration(blocks("smmu-before")[0]) == blocks("smmu-after")[0]


def test_every_option_and_type_is_described() -> None:
    """The tables have each option and each type, with its parameters as messages name them."""
    for option in USAGE:
        assert f"\n| `{option}` |" in PAGE
    for name, hardware in TYPES.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
        assert f"`{hardware.unit}`" in row
        assert hardware.main in row
        assert not hardware.id or f"`{hardware.id}`" in row


def test_the_bounds_are_those_of_the_code() -> None:
    """Each bound that the page names is the one that holds."""
    assert (MAX_FILE, MAX_TOTAL, MAX_WORDS, MAX_INCLUDES, MAX_DEPTH, MAX_FINDINGS) == (
        1 << 20, 16 << 20, 300_000, 1000, 16, 1000,
    )  # fmt: skip
    for words in ("at most 1 MiB", "300,000 words, 16 MiB and 1,000 includes, 16 deep", "At most 1,000 are listed"):
        assert words in PAGE.replace("\n", " ")


def test_every_rule_is_described() -> None:
    """The rules that the code reports are those of the table, and no others."""
    sources = [*(ROOT / "parsers" / "smmu_config").glob("*.py"), ROOT / "cli" / "config.py"]
    reported = {rule for path in sources for rule in re.findall(r'"(CONFIG-[A-Z]+)"', path.read_text())}
    rows = re.findall(r"^\| `CONFIG-.*$", PAGE, re.MULTILINE)
    assert {rule for row in rows for rule in re.findall(r"CONFIG-\w+", row)} == reported
