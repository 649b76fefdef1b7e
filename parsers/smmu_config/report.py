"""Collects what is wrong with a configuration, each at its word, with what was likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ...base import Finding, Origin
from .excerpt import excerpt
from .lexer import Word

MAX_FINDINGS = 1000
"""Findings after which further ones are only counted."""
MAX_SHOWN = 64
"""Characters of a wrong word that a message repeats."""

_MAX_NEAR = 32
"""Characters of the longest word that a near match is looked for."""
_MAX_NAMES = 200
"""Most names that one word is held against."""
_MAX_COMPARED = 20_000
"""Names that all words of a reading together are held against: it bounds the time."""
_LIKE = 0.7


class Report:
    """The findings of one reading, in the order of the input.

    Attributes:
        order: number of the option being read; what is found out later can be put in its place by it.
        count: findings so far, listed or not.
    """

    def __init__(self) -> None:
        self.order = 0
        self.count = 0
        self._found: list[tuple[int, Finding]] = []
        self._compared = 0

    def error(
        self,
        word: Word,
        rule: str,
        message: str,
        *,
        field: str = "",
        found: str | None = None,
        expected: str = "",
        advice: str = "",
        order: int | None = None,
    ) -> None:
        """Add an error at a word; `found` is the word itself unless it is given."""
        self.count += 1
        if len(self._found) >= MAX_FINDINGS:
            return
        text = shown(word.text) if found is None else found
        finding = Finding(
            rule, "error", word.origin, message, field, text, expected, advice=advice, excerpt=excerpt(word)
        )
        self.add(finding, order)

    def add(self, finding: Finding, order: int | None = None) -> None:
        """Add a finding that is made already."""
        self._found.append((self.order if order is None else order, finding))

    def findings(self, source: str) -> tuple[Finding, ...]:
        """Return all findings in order; the last one counts those that are not listed."""
        listed = [finding for _, finding in sorted(self._found, key=lambda entry: entry[0])]
        if self.count > MAX_FINDINGS:
            more = self.count - MAX_FINDINGS
            text = f"{more} more error{'' if more == 1 else 's'} of this configuration are not listed"
            listed.append(Finding("CONFIG-MORE", "error", Origin(source), text, advice="mend the first ones"))
        return tuple(listed)

    def near(self, text: str, names: Iterable[str]) -> str:
        """Return the name that a word is a likely misspelling of; empty: none."""
        if not 1 < len(text) <= _MAX_NEAR or self._compared > _MAX_COMPARED:
            return ""
        candidates = {name.casefold(): name for name in islice(names, _MAX_NAMES) if len(name) <= _MAX_NEAR}
        self._compared += len(candidates)
        wanted = text.casefold().lstrip("-")
        if wanted in candidates:
            return candidates[wanted]
        from difflib import get_close_matches

        matches = get_close_matches(wanted, candidates, 1, _LIKE)
        return candidates[matches[0]] if matches else ""

    def meant(self, text: str, names: Iterable[str]) -> str:
        """Return the advice for a misspelled word; empty: no name is near."""
        name = self.near(text, names)
        return f"did you mean '{name}'?" if name else ""


def shown(text: str) -> str:
    """Return a word as a message repeats it."""
    if not text:
        return "nothing"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
