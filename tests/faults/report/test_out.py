"""Faults as log records: literal lines, and everything read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Finding, Origin
from iommuman.faults import Access, Architecture, Clock, Fault
from iommuman.faults.report.out import from_json_lines, from_slog2, json_line, sentence, to_slog2
from iommuman.logging_backend import Placement, SetConfig, packets, register, snapshot
from iommuman.logging_backend.jsonl import json_line as packet_line

from .sample import fault, session, suppressed


def read(*lines: str) -> tuple[list[Fault], list[str]]:
    """Return the faults of lines, and the sentences of what is wrong with them."""
    findings: list[Finding] = []
    faults = list(from_json_lines(lines, "log.jsonl", findings.append))
    return faults, [str(one) for one in findings]


def test_a_fault_as_a_line() -> None:
    """A line has OpenTelemetry's names, the fault in words, and each fact that is known."""
    assert json.loads(json_line(fault(0, privileged=False, raw=b"\x01\xff", facts=(("T", 1), ("who", "x"))))) == {
        "Timestamp": 1795224952891000000,
        "SeverityNumber": 17,
        "SeverityText": "ERROR",
        "Body": "dmar0: the write permission is missing (SGN.3): write at 0x7d000010 by 0000:02:01.0",
        "Attributes": {
            "fault.reason": "the write permission is missing",
            "fault.architecture": "vtd",
            "fault.driver": "DMAR",
            "fault.iommu": "dmar0",
            "fault.name": "SGN.3",
            "fault.code": 83,
            "fault.time": 1795224952891000000,
            "fault.clock": "utc",
            "fault.segment": 0,
            "fault.identifier": 520,
            "fault.address": "0x7d000010",
            "fault.access": "write",
            "fault.privileged": False,
            "fault.facts": [["T", 1], ["who", "x"]],
            "fault.raw": "01ff",
            "fault.origin.source": "dmesg",
            "fault.origin.line": 7,
        },
        "Resource": {"service.name": "iommuman"},
    }


def test_only_utc_is_a_timestamp() -> None:
    """Seconds since the start of a machine are no point in time for OpenTelemetry; a loss is a warning."""
    found = json.loads(json_line(fault(None, time=5, clock="boot")))
    assert "Timestamp" not in found
    assert found["Attributes"]["fault.time"] == 5
    lost = json.loads(json_line(suppressed(0, 40)))
    assert (lost["SeverityNumber"], lost["SeverityText"]) == (13, "WARN")
    assert lost["Attributes"]["fault.count"] == 40


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "dmar0: the write permission is missing (SGN.3): write at 0x7d000010 by 0000:02:01.0"),
        ({"iommu": "", "device": "mmc0", "reason": "blocked", "count": 3},
         "DMAR: blocked (SGN.3): write at 0x7d000010 by mmc0, 3 times"),
        ({"segment": None, "access": "", "address": None, "driver": "", "iommu": "", "name": ""},
         "the write permission is missing: by ID 0x208"),
        ({"identifier": None, "access": "", "address": None, "reason": ""}, "dmar0: SGN.3"),
        ({"identifier": None, "reason": "", "name": "", "device": "\x1b"},
         "dmar0: fault: write at 0x7d000010 by \\x1b"),
    ],
)  # fmt: skip
def test_a_fault_in_one_sentence(changes: dict[str, Any], words: str) -> None:
    """The sentence says what is known and no more, without control characters."""
    assert sentence(fault(0, **changes)) == words


TEXT = st.text(max_size=20)
NUMBER = st.integers(0, (1 << 128) - 1)
MAYBE = st.one_of(st.none(), NUMBER)
ORIGINS = st.builds(
    Origin,
    st.text(min_size=1, max_size=9),
    TEXT,
    *[st.one_of(st.none(), st.integers(0, 1 << 40))] * 4,
)
CLOCKED = st.one_of(st.just((None, "")), st.tuples(NUMBER, st.sampled_from(get_args(Clock))))


@st.composite
def any_fault(draw: st.DrawFn) -> Fault:
    """Return a fault with anything in every field."""
    time, clock = draw(CLOCKED)
    return Fault(
        draw(ORIGINS), draw(st.sampled_from(get_args(Architecture))), draw(TEXT), draw(TEXT), draw(TEXT), draw(TEXT),
        draw(MAYBE), time, clock, draw(MAYBE), draw(MAYBE), draw(MAYBE), draw(TEXT), draw(MAYBE), draw(NUMBER),
        draw(st.sampled_from(get_args(Access))), draw(st.sampled_from([None, False, True])), draw(MAYBE), draw(MAYBE),
        draw(MAYBE), draw(st.booleans()), draw(NUMBER),
        tuple(draw(st.lists(st.tuples(TEXT, st.one_of(TEXT, st.integers())), max_size=3))), draw(st.binary(max_size=9)),
        draw(TEXT),
    )  # fmt: skip


@given(st.lists(any_fault(), max_size=3))
def test_any_fault_survives_its_line(faults: list[Fault]) -> None:
    """Each fault reads back as it was written, with the origin that it had, and without a word of complaint."""
    assert read(*(json_line(one) + "\n" for one in faults)) == (faults, [])


@given(any_fault())
def test_any_fault_survives_its_packet(one: Fault) -> None:
    """The fields of a packet hold the whole fault, under a user code of 16 bits."""
    packet = to_slog2(one)
    assert 0 <= packet.code <= 0xFFFF
    assert packet.severity == (3 if one.lost else 2)
    complaints: list[Finding] = []
    assert from_slog2(packet.fields, Origin("other"), complaints.append) == one
    assert complaints == []


def test_faults_go_through_a_real_log_and_its_json(tmp_path: Path) -> None:
    """Written to a buffer set and read by the log's reader, faults come back from its fields and from its JSON."""
    faults = [*session(), fault(0, code=0x123456, address=(1 << 64) - 1, facts=(("a", 1), ("b", "c")))]
    log = register(SetConfig("iommuman"), placement=Placement(directory=tmp_path))
    for one in faults:
        code, severity, text, fields = to_slog2(one)
        assert log.log_fields(0, code, severity, text, fields, one.time if one.clock == "utc" else None) == 0
    log.close()
    found = list(packets(snapshot(tmp_path)))
    complaints: list[Finding] = []
    stored = [from_slog2(packet.fields, Origin("log"), complaints.append) for packet in found]
    printed, sentences = read(*(packet_line(packet) for packet in found))
    key = [json_line(one) for one in faults]
    assert sorted(json_line(one) for one in stored if one is not None) == sorted(key)
    assert sorted(json_line(one) for one in printed) == sorted(key)
    assert (complaints, sentences) == ([], [])
    assert {packet.code for packet in found} == {0, 0x53}


def test_lines_about_other_things_pass_by() -> None:
    """Empty lines and records without a fault are no faults, and no findings."""
    lines = ["", "\n", '{"Body":"hello"}', '{"Attributes":{"slog2.code":3}}', '{"Attributes":[1]}', json_line(fault(0))]
    assert read(*lines) == ([fault(0)], [])
    assert from_slog2({"slog2.code": 3}, Origin(""), lambda finding: pytest.fail(str(finding))) is None


def test_the_place_of_a_line_is_the_origin_when_it_tells_none() -> None:
    """A record of another program that names no origin is known by file and line."""
    assert read("{}", '{"Attributes":{"fault.reason":"x","fault.clock":"utc"}}')[0] == [
        Fault(Origin("log.jsonl", line=2), "", reason="x")
    ]


@pytest.mark.parametrize("line", ["{", "7", "null", "[" * 100_000, "1" * 5000, "\x00\ud800"])
def test_what_is_no_object_is_named(line: str) -> None:
    """A line that is no JSON object is named with its number, and the next one is read."""
    faults, sentences = read(line, json_line(fault(0)))
    assert faults == [fault(0)]
    assert sentences == ["log.jsonl:1: the line is no JSON object; it is passed by"]


def test_a_line_without_end_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of more characters than a record can have is passed by, and named."""
    monkeypatch.setattr("iommuman.faults.report.out.MAX_LINE", 10_000)
    faults, sentences = read(" " * 10_001 + "{}", json_line(fault(0)))
    assert faults == [fault(0)]
    assert sentences == ["log.jsonl:1: the line has more than 10,000 characters; it is passed by"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("architecture", "z80", "'z80'; the attribute is left out"),
        ("clock", [], "one of utc, boot, local: fault.clock is a list"),
        ("driver", 5, "not text: fault.driver is 5"),
        ("code", -1, "not a whole number of at most 128 bits: fault.code is -1"),
        ("code", True, "fault.code is True"),
        ("code", 1.5, "fault.code is 1.5"),
        ("code", 10**4000, "fault.code is 1000"),
        ("address", 4096, "not a hexadecimal number of at most 128 bits, as text: fault.address is 4096"),
        ("address", "4096", "fault.address is '4096'"),
        ("address", "0x" + "f" * 33, "fault.address is"),
        ("address", "0xg", "fault.address is '0xg'"),
        ("lost", "yes", "not true or false: fault.lost is 'yes'"),
        ("raw", "0g", "not bytes in hexadecimal: fault.raw is '0g'"),
        ("raw", {}, "fault.raw is a dict"),
        ("facts", "x", "not a list of names and values: fault.facts is 'x'"),
        ("facts", [["a"]], "fault.facts is a list"),
        ("facts", [["a", True]], "fault.facts is a list"),
        ("facts", [["a", None]], "fault.facts is a list"),
        ("facts", [[1, 1]], "fault.facts is a list"),
        ("driver", "\x1b" * 200 + "x", ""),
    ],
)
def test_an_attribute_that_is_not_what_it_must_be_is_left_out(name: str, value: object, words: str) -> None:
    """A wrong attribute is named with what it must be, and the rest of the fault is used."""
    faults, sentences = read(json.dumps({"Attributes": {"fault.reason": "r", f"fault.{name}": value}}))
    assert [one.reason for one in faults] == ["r"]
    assert getattr(faults[0], name) == ("\x1b" * 200 + "x" if not words else getattr(Fault(Origin(""), ""), name))
    assert len(sentences) == bool(words)
    assert words in "".join(sentences)


NAMES = [*(f"fault.{name}" for name in Fault.__slots__), "fault.origin.line", "fault.origin.source"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_no_attributes_do_harm(attributes: dict[str, Any]) -> None:
    """Whatever stands where attributes stand, the answer is a fault or none, and findings."""
    attributes["fault.reason"] = "r"
    faults, _ = read(json.dumps({"Attributes": attributes}))
    assert read(json_line(faults[0])) == (faults, [])
