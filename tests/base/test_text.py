"""Text from input, made fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("\\_SB.PCI0", "\\_SB.PCI0"),
        ("Überwachung", "Überwachung"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\0", "a\\nb\\tc\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp", "\\u202egnp"),
        ("\udcff", "\\udcff"),
    ],
)
def test_control_characters_are_escaped_and_nothing_else(text: str, shown: str) -> None:
    """Escapes, line ends, direction marks and stray surrogates cannot reach a terminal; all else is left alone."""
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_can_be_printed(text: str) -> None:
    """Whatever the text, what is shown of it is printable, can be encoded, and does not change when shown again."""
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert printable(shown) == shown
