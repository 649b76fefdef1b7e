"""What is wrong with an input: a finding when reading can go on, the same finding raised when it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .origin import Origin

Severity = Literal["error", "warning", "note"]
"""`error`: the specification is broken or something cannot be read. `warning`: legal or tolerated, but likely not
meant. `note`: worth knowing, nothing to mend."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing, at one place of an input.

    Attributes:
        rule: stable identifier, upper case, such as `ACPI-CHECKSUM`.
        severity: see `Severity`.
        origin: where it was found.
        message: what is wrong, as a clause of plain English without a full stop.
        field: the field in the specification's spelling, when it is about one.
        found: what the field holds.
        expected: what the specification asks for.
        clause: document and clause that ask for it.
        advice: what to do, or what becomes of the input.
        excerpt: the line of a text input that it is about, with a caret below the place; not part of the sentence.
    """

    rule: str
    severity: Severity
    origin: Origin
    message: str
    field: str = ""
    found: str = ""
    expected: str = ""
    clause: str = ""
    advice: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        """Say it in one sentence: place, message, field, found, expected, clause, advice."""
        text = self.message
        if self.found:
            text += f": {self.field} is {self.found}" if self.field else f": found {self.found}"
        if self.expected:
            text += f", expected {self.expected}"
        if self.clause:
            text += f" ({self.clause})"
        if self.advice:
            text += f"; {self.advice}"
        place = str(self.origin)
        return f"{place}: {text}" if place else text


class IommumanError(Exception):
    """The root of every exception that leaves a public function because of its input.

    Each layer has one class of its own below this one. It carries the `Finding` that stopped the work.
    """

    def __init__(self, finding: Finding) -> None:
        """Raise for the given finding; the text of the exception is the finding's sentence."""
        super().__init__(str(finding))
        self.finding = finding
