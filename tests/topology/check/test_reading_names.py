"""The names of rules that are looked at while sources are read: those that readers give, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from iommuman.parsers.acpi.madt.reader import MADT_ENTRIES
from iommuman.parsers.acpi.srat.reader import SRAT_ENTRIES
from iommuman.topology.check import RULES, machine_names

from tests.conftest import ROOT as REPOSITORY

from .test_reading import READING

IDENTIFIER = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)+")
NO_RULES = re.compile("TOPOLOGY-NAME|UTF-8|LATIN-1|(LOG|QVM|SCENARIO)-.*")
"""A question that a topology cannot answer is wrong usage, and no fault of a source; logs, command lines of qvm and
scenarios are read by other commands than `check`.
"""

SHARED = {"kinds": ("MADT", "SRAT"), "kind": ("IORT", "RIMT", "VIOT"), "self": ("IORT", "RIMT")}
"""What stands before the names of rules that tables have in common, by what the reader calls what holds it: tables of
entries, tables of nodes, and those of them whose nodes have arrays.
"""


def said_by(argument: ast.expr) -> list[str]:
    """Return the strings that an argument can be: a constant, or one with a table's name before it."""
    match argument:
        case ast.Constant(value=str(word)):
            return [word]
        case ast.JoinedStr(
            values=[
                ast.FormattedValue(value=ast.Attribute(value=ast.Name(id=holder), attr="rule")),
                ast.Constant(value=str(rest)),
            ]
        ):
            return [f"{name}{rest}" for name in SHARED[holder]]
        case _:
            return []


def emitted() -> Iterator[tuple[str, str | None]]:
    """Yield what the readers give as the rule of a finding, and the severity if it stands beside it."""
    paths = [path for folder in ("base", "parsers", "topology") for path in (REPOSITORY / folder).rglob("*.py")]
    for path in (*paths, REPOSITORY / "cli" / "config.py"):
        if "check" in path.relative_to(REPOSITORY).parts:
            continue
        module_tree = ast.parse(path.read_text())
        for name in (one.value for one in module_tree.body if isinstance(one, ast.Assign)):
            if isinstance(name, ast.Constant) and isinstance(name.value, str) and IDENTIFIER.fullmatch(name.value):
                yield name.value, None
        for call in (one for one in ast.walk(module_tree) if isinstance(one, ast.Call)):
            words = [word for one in call.args for word in said_by(one)]
            severity = next((word for word in words if word in ("error", "warning", "note")), None)
            yield from (
                (word, severity) for word in words if IDENTIFIER.fullmatch(word) and not NO_RULES.fullmatch(word)
            )


def node_tables() -> Iterator[str]:
    """Yield the names of the tables that are an array of nodes."""
    for path in (REPOSITORY / "parsers" / "acpi").glob("*/reader.py"):
        for one in ast.walk(ast.parse(path.read_text())):
            match one:
                case ast.Call(func=ast.Name(id="NodeArray"), args=[ast.Constant(value=str(name)), *_]):
                    yield name


def test_every_rule_that_a_reader_names_has_its_words() -> None:
    """Each identifier that a reader gives a finding is a rule, and each rule without a function of its own is given."""
    found = {rule for rule, _ in emitted()}
    assert {MADT_ENTRIES.rule, SRAT_ENTRIES.rule} == set(SHARED["kinds"])
    assert set(node_tables()) == set(SHARED["kind"])
    assert found | {"CHECK-MORE"} == {rule.id for rule in (*READING, *machine_names.UNREAD)}


def test_the_severity_of_a_rule_is_one_that_its_findings_have() -> None:
    """Where a reader says how grave a finding is, the rule says so too; of several, the gravest."""
    order = ("note", "warning", "error")
    gravest: dict[str, str] = {}
    for name, severity in emitted():
        if severity is not None:
            gravest[name] = max(gravest.get(name, "note"), severity, key=order.index)
    words = {rule.id: rule.severity for rule in RULES}
    assert {name: severity for name, severity in gravest.items() if words[name] != severity} == {}


def test_the_rules_of_configurations_are_those_that_the_documents_name() -> None:
    """Each identifier that begins with CONFIG is in a table or list of a document, and is a rule."""
    pages = [(REPOSITORY / "docs" / name).read_text() for name in ("smmu-config.md", "configuration.md")]
    named = {word for page in pages for word in re.findall(r"`(CONFIG-[A-Z-]+)`", page)}
    assert named == {rule.id for rule in RULES if rule.id.startswith("CONFIG-")}
