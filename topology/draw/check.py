"""Findings of `check` as text for people, and as JSON for programs (`docs/check.schema.json`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ...base import Finding, Severity, printable
from ..check import Board, Rule, rule_of
from ..check.place import Places
from .json import finding_object

FORMAT = "iommuman-check"
VERSION = 1
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


def draw_check(board: Board, findings: Sequence[Finding]) -> str:
    """Return the findings, one a paragraph and those of one source together, and how many there are of each kind."""
    places = Places(board.inputs)
    paragraphs = []
    source: str | None = None
    for finding in findings:
        if finding.origin.source != source:
            source = finding.origin.source
            paragraphs.append(printable(source or "(no source)"))
        place = places.of(finding)
        paragraphs.append(_paragraph(finding, place.hex if place else ""))
    paragraphs.append(summary(findings))
    return "\n\n".join(paragraphs) + "\n"


def _paragraph(finding: Finding, data: str) -> str:
    """Return what is wrong and where, what a system does about it, and what to do."""
    rule = rule_of(finding.rule)
    where = printable(_where(finding))
    lines = ["  ".join(piece for piece in (f"{finding.severity} {finding.rule}", where, data) if piece)]
    text = finding.message
    if finding.found:
        text += f": {finding.field} is {finding.found}" if finding.field else f": found {finding.found}"
    if finding.expected:
        text += f", expected {finding.expected}"
    if finding.clause:
        text += f" ({finding.clause})"
    lines.append(printable(text))
    lines += [printable(line) for line in finding.excerpt.splitlines()]
    if finding.advice and (rule is None or finding.advice != rule.fix):
        lines.append(f"here: {printable(finding.advice)}")
    if rule is not None:
        lines += [rule.system, f"fix: {rule.fix}"]
    return "\n  ".join(lines)


def _where(finding: Finding) -> str:
    """Return the place inside the source; a source that is named above is not named again."""
    text = str(finding.origin)
    return text.removeprefix(finding.origin.source).removeprefix(": ").removeprefix(":")


def summary(findings: Iterable[Finding]) -> str:
    """Return how many findings there are of each severity, in words."""
    counts = Counter(finding.severity for finding in findings)
    words = [f"{counts[one]} {one}{'' if counts[one] == 1 else 's'}" for one in SEVERITIES if counts[one]]
    return ", ".join(words) or "no findings"


def draw_check_json(board: Board, findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON document, with the rules that they break."""
    places = Places(board.inputs)
    used = dict.fromkeys(finding.rule for finding in findings)
    rules = [rule for rule in map(rule_of, used) if rule is not None]
    counts = Counter(finding.severity for finding in findings)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "sources": [
            {"name": one.name, "kind": one.kind, "size": one.size, "used": one.used} for one in board.topology.sources
        ],
        "passed_over": [{"name": name, "reason": reason} for name, reason in board.topology.passed_over],
        "counts": {one: counts[one] for one in SEVERITIES},
        "findings": [_finding_object(finding, places) for finding in findings],
        "rules": {rule.id: rule_object(rule) for rule in rules},
    }
    return json.dumps(document, indent=1) + "\n"


def _finding_object(finding: Finding, places: Places) -> dict[str, Any]:
    place = places.of(finding)
    return {
        **finding_object(finding),
        "bytes": place.data.hex() if place else None,
        "file_offset": place.file_offset if place else None,
    }


def rule_object(rule: Rule) -> dict[str, Any]:
    """Return a rule, without the function that looks for what breaks it."""
    return {
        "severity": rule.severity,
        "title": rule.title,
        "clause": rule.clause,
        "meaning": rule.meaning,
        "system": rule.system,
        "fix": rule.fix,
        "judges": list(rule.judges),
    }
