"""One rule of `check`: what it looks for, why it matters, what a system does about it, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ...base import Finding, Origin, Severity
from .board import Board

Judge = Literal["fwts", "Linux", "iasl", "chipsec"]
"""Programs that have the rule as well."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, with the function that looks for what breaks it.

    Attributes:
        id: stable identifier, upper case, `<table>-<what>`; every finding carries the one of its rule.
        severity: of its findings, when they do not say otherwise; see `Severity`.
        title: what is wrong when it is broken, a short clause.
        clause: document and clause that ask for it; empty for what no document asks for.
        meaning: what it means for isolation, a sentence.
        system: what an operating system does about it, with Linux's own message where there is one; a sentence.
        fix: what to do, an imperative clause.
        judges: who else has the rule.
        look: looks for what breaks the rule; None when that is found while a source is read.
    """

    id: str
    severity: Severity
    title: str
    clause: str
    meaning: str
    system: str
    fix: str
    judges: tuple[Judge, ...] = ()
    look: Look | None = None

    def finding(self, origin: Origin, message: str = "", severity: Severity | None = None, **details: str) -> Finding:
        """Return a finding of this rule: `message` in place of the title, `fix` as advice unless it is given."""
        text = {"clause": self.clause, "advice": self.fix, **details}
        return Finding(self.id, severity or self.severity, origin, message or self.title, **text)


Look = Callable[[Rule, Board], Iterable[Finding]]
"""Looks at a board for what breaks a rule; it is given the rule, so that its findings carry the rule's words."""
