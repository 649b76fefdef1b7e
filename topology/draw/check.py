"""Findings of `check` as text for people, and as JSON for programs (`docs/check.schema.json`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from ...base import Finding, Severity, printable
from ..check import Board, Rule, rule_of
from ..check.place import Places
from .json import finding_object

FORMAT = "iommuman-check"
VERSION = 1
FEWEST_ALIKE = 3
"""Findings of one source that are one paragraph when they differ only in what was found where."""

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


def draw_check(board: Board, findings: Sequence[Finding]) -> str:
    """Return the findings, one a paragraph and those of one source together, and how many there are of each kind.

    Where one source has the same finding in many places, they are one paragraph.
    """
    places = Places(board.inputs)
    paragraphs = []
    for source, those in groupby(findings, lambda finding: finding.origin.source):
        paragraphs.append(printable(source or "(no source)"))
        for alike in _alike(those):
            if len(alike) > 1:
                paragraphs.append(_paragraph_of_many(alike))
            else:
                place = places.of(alike[0])
                paragraphs.append(_paragraph(alike[0], place.hex if place else ""))
    paragraphs.append(summary(findings))
    return "\n\n".join(paragraphs) + "\n"


def _alike(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Put findings together that differ only in what was found where, at the place of the first; a few stay alone."""
    groups: dict[Hashable, list[Finding]] = {}
    for number, finding in enumerate(findings):
        key = finding.rule, finding.severity, finding.field, finding.clause, finding.advice
        groups.setdefault((key, number) if finding.excerpt else key, []).append(finding)
    for alike in groups.values():
        if len(alike) < FEWEST_ALIKE:
            yield from ([finding] for finding in alike)
        else:
            yield alike


def _paragraph(finding: Finding, data: str) -> str:
    """Return what is wrong and where, what a system does about it, and what to do."""
    where = printable(_where(finding))
    lines = ["  ".join(piece for piece in (f"{finding.severity} {finding.rule}", where, data) if piece)]
    text = finding.message + _found(finding) + _expected(finding)
    lines.append(printable(text + _clause(finding)))
    lines += [printable(line) for line in finding.excerpt.splitlines()]
    return "\n  ".join((*lines, *_remedy(finding)))


def _paragraph_of_many(findings: Sequence[Finding]) -> str:
    """Return the same of many places: once what they have in common, and for each place what only it has."""
    first = findings[0]
    rule = rule_of(first.rule)
    parts = [(finding.message, _found(finding), _expected(finding)) for finding in findings]
    common = [one if all(other == one for other in others) else None for one, *others in zip(*parts, strict=True)]
    head = common[0] or (rule.title if rule else first.message)
    lines = [f"{first.severity} {first.rule}  {len(findings)} places"]
    lines.append(printable(head + "".join(one or "" for one in common[1:]) + _clause(first)))
    if None not in common:
        lines.append(printable(f"at {_wheres(findings)}"))
    else:
        for finding, own in zip(findings, parts, strict=True):
            differing = "".join(one for one, same in zip(own, common, strict=True) if same is None)
            lines.append(printable(f"  {_where(finding)}: {differing.removeprefix(': ').removeprefix(', ')}"))
    return "\n  ".join((*lines, *_remedy(first)))


def _found(finding: Finding) -> str:
    if not finding.found:
        return ""
    return f": {finding.field} is {finding.found}" if finding.field else f": found {finding.found}"


def _expected(finding: Finding) -> str:
    return f", expected {finding.expected}" if finding.expected else ""


def _clause(finding: Finding) -> str:
    return f" ({finding.clause})" if finding.clause else ""


def _remedy(finding: Finding) -> Iterator[str]:
    """Yield what becomes of the input, what a system does, and what to do."""
    rule = rule_of(finding.rule)
    if finding.advice and (rule is None or finding.advice != rule.fix):
        yield f"here: {printable(finding.advice)}"
    if rule is not None:
        yield rule.system
        yield f"fix: {rule.fix}"


def _where(finding: Finding) -> str:
    """Return the place inside the source; a source that is named above is not named again."""
    text = str(finding.origin)
    return text.removeprefix(finding.origin.source).removeprefix(": ").removeprefix(":")


def _wheres(findings: Sequence[Finding]) -> str:
    """Return the places inside a source in a row; what they have in common is said once."""
    origins = [finding.origin for finding in findings]
    first = origins[0]
    if all((one.part, one.length) == (first.part, first.length) and one.offset is not None for one in origins):
        each = "" if first.length is None else f" ({first.length} byte{'' if first.length == 1 else 's'} each)"
        return f"{first.part}{', '.join(f'+0x{one.offset:x}' for one in origins)}{each}"
    return ", ".join(_where(finding) for finding in findings)


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
