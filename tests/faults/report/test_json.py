"""The report as JSON: the published schema, and reading it back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from iommuman.faults import FaultError
from iommuman.faults.report import Summary, new_since, summarise
from iommuman.faults.report.json import draw_json, read_json
from iommuman.topology import load_topology
from jsonschema import Draft202012Validator

from ...conftest import HANDMADE, ROOT
from .sample import fault, session
from .test_summary import FAULTS

SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def report() -> Summary:
    """Return the report on the hand-made session, with a board."""
    return summarise(session(), load_topology([str(HANDMADE / "dmar-segments")]))


def test_the_schema_is_one() -> None:
    """The published schema is valid itself."""
    Draft202012Validator.check_schema(SCHEMA)


def test_a_report_has_the_form_that_is_published() -> None:
    """The JSON of a report with board and baseline is as the schema says, with addresses as text."""
    baseline = summarise([fault(0), fault(60_000)])
    found = json.loads(draw_json(report(), new_since(report(), baseline)))
    VALIDATOR.validate(found)
    assert found["sources"]["rows"][0] == {
        "count": 12,
        "error": 0,
        "device": "0000:02:01.0",
        "unit": "dmar0",
        "segment": 0,
        "identifier": 0x208,
        "reason": "SGN.3",
        "low": "0x7d000000",
        "high": "0x7d005800",
        "seen": [{"clock": "utc", "first": 1795224952891000000, "last": 1795224953111000000}],
    }
    assert found["access"] == [["write", 19], ["read", 1]]
    assert (found["pages"]["total"], found["pages"]["others"]) == (19, 0)
    assert found["new"]["faster"][0]["kind"] == "all"
    assert found["new"]["pages"][0]["page"] == "0xfee00000"


@given(FAULTS)
def test_any_report_is_valid_and_reads_back(faults: list[Any]) -> None:
    """Whatever was summed up, its JSON is as published, and reads back as the same report."""
    summary = summarise(faults)
    text = draw_json(summary)
    VALIDATOR.validate(json.loads(text))
    assert read_json(text) == summary


def test_keys_of_later_versions_pass_by() -> None:
    """A key that is not known does no harm."""
    plain = json.loads(draw_json(report())) | {"mood": "calm"}
    plain["sources"]["rows"][0]["colour"] = 7
    assert read_json(json.dumps(plain)) == report()


def broken(path: str, value: object) -> str:
    """Return the JSON of the report with the value at a path (keys and indices, with dots) changed."""
    plain = json.loads(draw_json(report()))
    at = plain
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step)] if isinstance(at, list) else at[step]
    at[int(last) if isinstance(at, list) else last] = value
    return json.dumps(plain)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("format", "iommuman-topology", "no report of faults"),
        ("version", 2, "the version of the report is not 1"),
        ("records", -1, "records: this is not a whole number"),
        ("records", True, "records: this is not a whole number"),
        ("elsewhere", "3", "elsewhere: this is not a whole number"),
        ("sources", [], "sources: this is not an object"),
        ("sources.rows", {}, "sources.rows: this is not a list"),
        ("sources.rows.1", 4, "sources.rows[1]: this is not an object"),
        ("sources.rows.0.device", None, "sources.rows[0].device: this is not text"),
        ("sources.rows.0.low", 5, "sources.rows[0].low: this is not a hexadecimal number as text"),
        ("sources.rows.0.low", "0xyz", "hexadecimal"),
        ("sources.rows.0.low", "0x" + "1" * 100, "hexadecimal"),
        ("pages.rows.0.several", 0, "pages.rows[0].several: this is not true or false"),
        ("pages.rows.0.page", None, "pages.rows[0].page: this is not a hexadecimal"),
        ("together.0.expected", "few", "together[0].expected: this is not a number"),
        ("access.0", ["write"], "access[0]: this is not a pair"),
        ("limits", None, "limits: this is not an object"),
    ],
)
def test_what_is_no_report_is_refused(path: str, value: object, words: str) -> None:
    """A value that is not what it must be is named by its path, in the one class of errors."""
    with pytest.raises(FaultError, match="baseline") as caught:
        read_json(broken(path, value), "old.json")
    assert words in str(caught.value)
    assert str(caught.value).startswith("old.json: ")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "7", "[]", "null", '{"format": 1' + "0" * 5000 + "}"])
def test_other_text_is_refused(text: str) -> None:
    """What is no JSON, too deep, or another document is refused in one sentence."""
    with pytest.raises(FaultError):
        read_json(text)
