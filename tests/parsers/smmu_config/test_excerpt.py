"""The line that a message quotes, and the carets below it."""

from __future__ import annotations

import pytest
from iommuman.parsers.smmu_config import parse_configuration


@pytest.mark.parametrize(
    ("text", "shown", "carets"),
    [
        ("debug 5", "debug 5", "      ^"),
        ("\tdebug\t55", "    debug    55", "             ^^"),
        ("debug 5\r\nforeground\r\n", "debug 5", "      ^"),
        ("foreground\rdebug 5\rforeground", "debug 5", "      ^"),
        ("debug 日本 # ü", "debug 日本 # ü", "      ^^^^"),
        ("foreground 日本", "foreground 日本", "           ^^^^"),
        ("debug e\u0301", "debug e\u0301", "      ^"),
        ("debug \x1b[31m", "debug \\x1b[31m", "      ^^^^^^^^"),
        ("foreground\u00a0debug 5\x00", "foreground\\xa0debug 5\\x00", "                    ^^^^^"),
    ],
)
def test_carets_stand_below_the_word(text: str, shown: str, carets: str) -> None:
    """Tabs, line ends, wide letters, combining marks and control characters do not move the carets."""
    (finding,) = parse_configuration(text).findings
    assert finding.excerpt == f"    {shown}\n    {carets}"


def test_a_long_line_is_cut_around_the_place() -> None:
    """Of a line of megabytes, what stands around the word is shown."""
    text = "foreground " * 40_000 + "debug 5 " + "foreground " * 40_000
    (finding,) = parse_configuration(text).findings
    shown, carets = finding.excerpt.split("\n")
    assert len(shown) < 120
    assert shown.startswith("    … ")
    assert shown.endswith(" …")
    assert shown[carets.index("^")] == "5"


def test_a_long_word_is_cut() -> None:
    """Of a word of half a megabyte, the beginning is shown and marked."""
    (finding,) = parse_configuration("debug " + "x" * 500_000).findings
    assert finding.found == "x" * 64 + "…"
    shown, carets = finding.excerpt.split("\n")
    assert shown == "    debug " + "x" * 94 + " …"
    assert carets == "          " + "^" * 94
