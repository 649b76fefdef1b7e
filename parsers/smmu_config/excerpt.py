"""The line of a text that a finding is about, with carets below the place."""

from __future__ import annotations

from ...base import printable
from .lexer import Word

INDENT = "    "
WIDTH = 100
"""Characters of a line that are shown: of a longer one, those around the place."""

_BEFORE = 60
_TAB = "    "


def excerpt(word: Word) -> str:
    """Return the line that a word stands in, and a line with carets below the word.

    Tabs are shown as four spaces, other control characters escaped; the carets stand right in any case.
    """
    content = word.within.content
    begin, end = word.within.line_bounds(word.within.position(word.start)[0])
    left = max(begin, word.start - _BEFORE) if end - begin > WIDTH else begin
    right = min(end, left + WIDTH)
    before = ("… " if left > begin else "") + _shown(content[left : word.start])
    marked = _shown(content[word.start : max(word.start, min(word.start + len(word.text), right))])
    after = _shown(content[word.start + len(word.text) : right]) + (" …" if right < end else "")
    carets = " " * _columns(before) + "^" * max(1, _columns(marked))
    return f"{INDENT}{before}{marked}{after}".rstrip() + f"\n{INDENT}{carets}"


def _shown(text: str) -> str:
    return text if text.isascii() and text.isprintable() else printable(text.replace("\t", _TAB))


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)
