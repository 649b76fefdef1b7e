"""Lays the text of a configuration out anew: words and comments stay as they are, lines and spaces change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..errors import ParseError
from .lexer import Text, Word, tokens
from .options import OF_A_DEVICE, begins_option
from .reader import syntax_errors
from .writer import INDENT


@dataclass(slots=True)
class _Entry:
    """One option, or an `@file` between options, or the end of the text, with the comments that go with it.

    Attributes:
        words: of the option; none at the end of the text.
        above: comments before it, and between its words.
        behind: comment at the end of its line.
        gap: whether an empty line stands before it.
    """

    words: list[Word]
    above: list[tuple[bool, str]] = field(default_factory=list)
    behind: str = ""
    gap: bool = False


def format_configuration(text: str, source: str = "") -> str:
    """Return a text in the canonical layout.

    Each option stands on a line of its own, `use` and `reserved` indented below their device, with one space between
    words; a comment stays at the end of its option's line or on lines above it; of several empty lines one stays.

    Raises:
        ParseError: the text has an error of its own, or is too large; `syntax_errors` names them all.
    """
    errors = syntax_errors(text, source)
    if errors:
        raise ParseError(errors[0])
    return "".join(f"{line}\n" for line in _lines(_entries(tokens(Text(source, text)))))


def _entries(stream: Iterable[Word]) -> list[_Entry]:
    """Sort words and comments into entries; the last has no words, and the comments that nothing follows."""
    entries: list[_Entry] = []
    pending: list[tuple[bool, Word]] = []
    line = 0
    for word in stream:
        before, line = line, word.origin.line or 0
        gap = bool(before) and line > before + 1
        if word.is_comment:
            pending.append((gap, word))
        elif not entries or begins_option(word, entries[-1].words):
            entries.append(_next_entry(entries, pending, gap, [word]))
            pending = []
        else:
            entry = entries[-1]
            for _, comment in pending:  # between the words of one option there is no place for it
                entry.above.append((entry.gap, comment.text))
                entry.gap = False
            pending = []
            entry.words.append(word)
    entries.append(_next_entry(entries, pending, False, []))  # noqa: FBT003 - as above
    return entries


def _next_entry(entries: list[_Entry], pending: list[tuple[bool, Word]], gap: bool, words: list[Word]) -> _Entry:  # noqa: FBT001
    """Return the entry of an option, with the comments before it; one on the line of the last option goes with that."""
    if entries and pending and not pending[0][1].first:
        entries[-1].behind = pending.pop(0)[1].text
    return _Entry(words, [(space, comment.text) for space, comment in pending], gap=gap)


def _lines(entries: Iterable[_Entry]) -> Iterator[str]:
    for entry in entries:
        indent = INDENT if entry.words and entry.words[0].text in OF_A_DEVICE else ""
        for gap, comment in entry.above:
            yield from [""] if gap else []
            yield f"{indent}{comment.rstrip()}"
        if entry.words:
            yield from [""] if entry.gap else []
            option = " ".join(word.text for word in entry.words)
            yield f"{indent}{option}  {entry.behind}".rstrip()
