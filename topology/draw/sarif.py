"""Findings of `check` in SARIF 2.1.0, the format in which code hosts take the results of analysis tools.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ...base import Finding
from ..check import Board, Rule, rule_of
from ..check.place import Place, Places

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FINGERPRINT = "finding/v1"


def draw_sarif(board: Board, findings: Sequence[Finding], version: str = "") -> str:
    """Return the findings as a SARIF log of one run.

    Args:
        board: what was checked.
        findings: what was found.
        version: of this program; left out when empty.
    """
    places = Places(board.inputs)
    rules = [rule for rule in map(rule_of, dict.fromkeys(one.rule for one in findings)) if rule is not None]
    index = {rule.id: number for number, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    driver: dict[str, Any] = {"name": "iommuman", "rules": [_rule(rule) for rule in rules]}
    if version:
        driver["version"] = version
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(finding, places.of(finding), index, seen) for finding in findings],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    """Return the description of a rule."""
    clause = f"Asked for by: {rule.clause}." if rule.clause else ""
    help_text = "\n".join(piece for piece in (rule.meaning, rule.system, f"To mend it, {rule.fix}.", clause) if piece)
    return {
        "id": rule.id,
        "shortDescription": {"text": f"{rule.title[:1].upper()}{rule.title[1:]}."},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": help_text},
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(finding: Finding, place: Place | None, index: dict[str, int], seen: Counter[str]) -> dict[str, Any]:
    """Return one finding; those that say the same of the same thing are numbered, so that each has its fingerprint."""
    key = _key(finding)
    seen[key] += 1
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": finding.severity,
        "message": {"text": str(finding)},
        "partialFingerprints": {_FINGERPRINT: _digest(f"{key}\0{seen[key]}")},
    }
    if finding.rule in index:
        result["ruleIndex"] = index[finding.rule]
    if location := _location(finding, place):
        result["locations"] = [location]
    return result


def _location(finding: Finding, place: Place | None) -> dict[str, Any]:
    """Return where a finding is: the file with bytes or line, and what inside it."""
    origin = finding.origin
    location: dict[str, Any] = {}
    if origin.source:
        physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(origin.source)}}
        region: dict[str, int] = {}
        if origin.line is not None:
            region["startLine"] = origin.line
            if origin.column is not None:
                region["startColumn"] = origin.column
        elif place is not None and place.file_offset is not None:
            # Code hosts show no result without a line; of a table all bytes are on the first.
            region = {"startLine": 1, "byteOffset": place.file_offset, "byteLength": place.length}
        if region:
            physical["region"] = region
        location["physicalLocation"] = physical
    if origin.part:
        inside = origin.part if origin.offset is None else f"{origin.part}+0x{origin.offset:x}"
        location["logicalLocations"] = [{"fullyQualifiedName": inside}]
    return location


def _uri(path: str) -> str:
    """Return a reference to a file: relative to where the program runs, unless the path begins at the root."""
    return ("file://" if PurePath(path).is_absolute() else "") + quote(path)


def _key(finding: Finding) -> str:
    """Return what makes a finding the same after the firmware was built anew: no offset, which other changes move."""
    name = PurePath(finding.origin.source).name
    return f"{finding.rule}\0{name}\0{finding.origin.part}\0{finding.field}\0{finding.found}"


def _digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
