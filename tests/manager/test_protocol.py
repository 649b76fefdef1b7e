"""The wire format: what goes in comes out, and nothing that is out of bounds gets in."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from iommuman.manager import Access, Granted, Incident, ManagerError, Refusal
from iommuman.manager import calls as c
from iommuman.manager import protocol as p
from iommuman.manager.checks import build, octets, plain

U64 = st.integers(0, (1 << 64) - 1)
NUMBERS = st.integers(1, (1 << 53) - 1)
NAMES = st.text(st.characters(codec="utf-8"), max_size=255)
DEVICES = st.one_of(
    st.builds(
        c.PciId,
        st.none() | st.integers(0, 255),
        st.none() | st.integers(0, 31),
        st.none() | st.integers(0, 7),
        st.integers(0, 0xFFFFFFFF),
    ),
    st.builds(c.MmioId, U64, st.integers(1, 0xFFFFFFFF)),
    st.builds(c.NamedId, NAMES),
)
ENTRIES = st.lists(st.builds(c.Entry, U64, U64), min_size=1, max_size=8).map(tuple)
CALLS = st.one_of(
    st.builds(c.Attach, st.just(1), NAMES, st.lists(st.sampled_from(["attach", "target"])).map(tuple).filter(
        lambda found: len(found) <= 8), st.booleans()),
    st.builds(c.CreateObject, st.booleans()),
    st.builds(c.DestroyObject, NUMBERS),
    st.builds(c.AddDevice, NUMBERS, DEVICES, st.booleans()),
    st.builds(c.RemoveDevice, DEVICES, st.booleans()),
    st.builds(c.ReportReserved, DEVICES, st.integers(0, 0xFFFFFFFF), st.integers(0, 256)),
    st.builds(c.MapEntries, NUMBERS, st.integers(0, 7), ENTRIES, st.none() | U64),
    st.just(c.Watch()),
    st.just(c.ReadIncident()),
    st.builds(c.DmaAccess, DEVICES, U64, st.integers(1, 1 << 16), st.booleans()),
)  # fmt: skip


def body(message: bytes) -> bytes:
    """Return a message without its length, which has to be right."""
    assert int.from_bytes(message[:4], "big") == len(message) - 4
    return message[4:]


@given(st.integers(0, (1 << 32) - 1), CALLS)
def test_a_call_survives_the_wire(serial: int, call: c.Call) -> None:
    """Reading what was written gives the same call and serial number."""
    assert p.read_request(body(p.request(serial, call))) == (serial, call)
    assert p.checked(call) == call


RESULTS = [
    (c.DestroyObject(1), c.Done()),
    (c.Attach(1, "x", ()), c.Attached((c.HeldObject(3, ("a", "b"), 2),))),
    (c.CreateObject(), c.Created(7)),
    (c.AddDevice(1, c.NamedId("x")), c.Added(("0000:00:03.0",), remap=True)),
    (c.ReportReserved(c.NamedId("x")), c.Reserved(9, (c.Entry(1, 2),))),
    (c.MapEntries(1, 3, (c.Entry(0, 1),)), c.Mapped((c.GrantedEntry(0, 1 << 64, (c.Entry(0, 5),), 1),))),
    (c.ReadIncident(), c.Status()),
    (
        c.ReadIncident(),
        c.Status(
            c.StatusRecord(5, "vtd@0", None, 0x1000, False, "read", "why", 6, b"\x01\xff", ("a",), None, True)  # noqa: FBT003
        ),
    ),
    (c.DmaAccess(c.NamedId("x"), 0, 1, write=True), c.Verdict(allowed=False, physical=None, refused=4096)),
]


@pytest.mark.parametrize(("call", "result"), RESULTS)
def test_a_result_survives_the_wire(call: c.Call, result: c.Result) -> None:
    """Reading the answer to a call gives what was answered."""
    answer = p.read_reply(body(p.reply(4, result)))
    assert answer is not None
    assert answer.serial == 4
    assert p.result_of(call, answer) == result


def test_the_wire_is_what_the_document_says() -> None:
    """One call and its answers, byte for byte."""
    call = c.AddDevice(4, c.PciId(3, None, 0))
    assert p.request(7, call) == (
        b'\x00\x00\x00|{"call":"add","serial":7,"object":4,"device":{"kind":"pci","bus":3,"device":null,"function":0,'
        b'"segment":0},"together":false}'
    )
    assert p.reply(7, c.Added(("0000:03:00.0",))) == (
        b'\x00\x00\x00@{"serial":7,"result":{"devices":["0000:03:00.0"],"remap":false}}'
    )
    assert p.NOTICE == b'\x00\x00\x00\x15{"notice":"incident"}'
    assert p.read_reply(p.NOTICE[4:]) is None


def test_an_error_survives_the_wire_with_its_type() -> None:
    """Reason, errno, rule and all texts come back; texts longer than a message holds are cut."""
    error = ManagerError("EBUSY", "MANAGER-OWNED", "m" * 2000, "0000:00:03.0", found="f", expected="e", advice="a")
    answer = p.read_reply(body(p.reply(1, error)))
    assert answer is not None
    with pytest.raises(ManagerError) as caught:
        p.result_of(c.Watch(), answer)
    back = caught.value
    assert (back.reason, back.errno, back.finding.rule) == ("EBUSY", error.errno, "MANAGER-OWNED")
    assert back.finding.message == "m" * 1024
    assert (back.finding.origin.part, back.finding.found, back.finding.expected) == ("0000:00:03.0", "f", "e")


def test_records_of_the_manager_survive() -> None:
    """An incident and what was granted are the same after the wire."""
    incident = Incident(9, Refusal("u", 1, None, False, "", "r", 2, b"\x00"), ("d",), 3, dropped=True)  # noqa: FBT003
    assert c.StatusRecord.of(incident).incident() == incident
    granted = Granted(0, 4096, ((0, 1), (2, 3)), Access.READ)
    assert c.GrantedEntry.of(granted).granted() == granted


MAP = {"object": 1, "access": 3, "entries": [{"start": 0, "length": 1}], "target": None}
"""A good call to be made bad."""


@pytest.mark.parametrize(
    ("call", "wrong", "field"),
    [
        ("map", MAP | {"object": 0}, "object"),
        ("map", MAP | {"object": 1 << 53}, "object"),
        ("map", MAP | {"object": True}, "object"),
        ("map", MAP | {"object": "1"}, "object"),
        ("map", MAP | {"object": None}, "object"),
        ("map", MAP | {"access": 8}, "access"),
        ("map", MAP | {"access": -1}, "access"),
        ("map", MAP | {"entries": []}, "entries"),
        ("map", MAP | {"entries": {}}, "entries"),
        ("map", MAP | {"entries": MAP["entries"] * 1025}, "entries"),  # type: ignore[operator]
        ("map", MAP | {"entries": [7]}, "entries[0]"),
        ("map", MAP | {"entries": [{"start": 0}]}, "entries[0].length"),
        ("map", MAP | {"entries": [{"start": 1 << 64, "length": 1}]}, "entries[0].start"),
        ("map", MAP | {"entries": [{"start": 0, "length": 1, "more": 1}]}, "entries[0].more"),
        ("map", MAP | {"target": -1}, "target"),
        ("map", MAP | {"extra": []}, "extra"),
        ("add", {"object": 1, "device": {"kind": "usb"}}, "device.kind"),
        ("add", {"object": 1, "device": {}}, "device.kind"),
        ("add", {"object": 1, "device": {"kind": ["pci"]}}, "device.kind"),
        ("add", {"object": 1, "device": "x"}, "device"),
        ("add", {"object": 1, "device": {"kind": "pci", "bus": 256}}, "device.bus"),
        ("add", {"object": 1, "device": {"kind": "pci", "device": 32}}, "device.device"),
        ("add", {"object": 1, "device": {"kind": "pci", "function": 8}}, "device.function"),
        ("add", {"object": 1, "device": {"kind": "pci", "segment": 1 << 32}}, "device.segment"),
        ("add", {"object": 1, "device": {"kind": "mmio", "phys": 0, "length": 0}}, "device.length"),
        ("add", {"object": 1, "device": {"kind": "name", "name": "x" * 1025}}, "device.name"),
        ("add", {"object": 1, "device": {"kind": "name", "name": "\ud800"}}, "device.name"),
        ("add", {"object": 1, "device": {"kind": "name", "name": "x"}, "together": 1}, "together"),
        ("attach", {"version": 1, "name": "x", "abilities": ["a" * 17]}, "abilities[0]"),
        ("attach", {"version": 1, "name": "x", "abilities": ["a"] * 9}, "abilities"),
        ("attach", {"version": 65536, "name": "x", "abilities": []}, "version"),
        ("reserved", {"device": {"kind": "name", "name": "x"}, "most": 257}, "most"),
        ("dma", {"device": {"kind": "name", "name": "x"}, "address": 0, "length": 65537, "write": False}, "length"),
        ("destroy", {"object": 10**30}, "object"),
        ("fly", {}, "call"),
        (7, {}, "call"),
        ([], {}, "call"),
    ],
)
def test_every_field_has_bounds(call: object, wrong: dict[str, object], field: str) -> None:
    """One step out of bounds is an error that names the field and goes back to the caller."""
    serial, error = p.read_request(json.dumps({"call": call, "serial": 5} | wrong).encode())
    assert serial == 5
    assert isinstance(error, ManagerError)
    assert (error.reason, error.finding.field) == ("EPROTO", field)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b"null",
        b"\xff\xfe",
        b'{"call":"watch"}',
        b'{"call":"watch","serial":-1}',
        b'{"call":"watch","serial":4294967296}',
        b'{"call":"watch","serial":1.0}',
        b'{"call":"watch","serial":1e3}',
        b'{"call":"watch","serial":NaN}',
        b'{"call":"watch","serial":Infinity}',
        b'{"call":"watch","serial":1,"serial":2}',
        b'{"call":"watch","serial":1}{}',
        b'{"call":"watch","serial":' + b"9" * 5000 + b"}",
        b"[" * 60000,
        b'{"a":' * 10000,
    ],
)
def test_what_is_no_message_is_one_error(message: bytes) -> None:
    """Broken JSON, JSON of another shape, floats, names that stand twice, and nesting without end are all EPROTO."""
    with pytest.raises(ManagerError) as caught:
        p.read_request(message)
    assert caught.value.reason == "EPROTO"


@given(st.binary(max_size=200))
@example(b'{"serial":1,"result":{},"more":1}')
@example(b'{"serial":1,"result":[]}')
@example(b'{"serial":1,"error":{"reason":"EWHAT","rule":"","message":""}}')
def test_bytes_of_any_kind_raise_nothing_else(data: bytes) -> None:
    """Whatever is read, the only exception is the manager's."""
    with pytest.raises(ManagerError) as caught:
        p.read_reply(data)
    assert caught.value.reason == "EPROTO"
    try:
        _, found = p.read_request(data)
    except ManagerError as error:
        found = error
    assert isinstance(found, ManagerError)
    assert found.reason == "EPROTO"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(CALLS, st.data())
def test_a_field_of_any_value_is_taken_or_refused(call: c.Call, data: st.DataObject) -> None:
    """A call with one field replaced by any JSON is read as a call whose fields are within bounds, or refused."""
    message = plain(call)
    names = [field.name for field in fields(call)]
    if not names:
        return
    message |= {"call": c.NAMES[type(call)], "serial": 1, data.draw(st.sampled_from(names)): data.draw(JSON)}
    _, found = p.read_request(json.dumps(message).encode())
    if not isinstance(found, ManagerError):
        assert p.read_request(body(p.request(1, found)))[1] == found


@pytest.mark.parametrize(("length", "good"), [(0, False), (1, False), (2, True), (65536, True), (65537, False)])
def test_lengths_have_bounds(length: int, good: bool) -> None:
    """A length is believed between 2 bytes and 64 KiB, and refused before anything is read."""
    header = length.to_bytes(4, "big")
    if good:
        assert p.body_length(header, p.MOST_REQUEST) == length
        return
    with pytest.raises(ManagerError) as caught:
        p.body_length(header, p.MOST_REQUEST)
    assert caught.value.finding.field == "length"


def test_the_largest_call_fits() -> None:
    """1,024 entries of the longest numbers are less than 64 KiB; an answer too long for a message is an error."""
    entry = c.Entry((1 << 64) - 1, (1 << 64) - 1)
    assert len(p.request(0, c.MapEntries((1 << 53) - 1, 7, (entry,) * 1024, (1 << 64) - 1))) < p.MOST_REQUEST
    answer = p.read_reply(body(p.reply(9, c.Added(("x" * 1024,) * 8300))))
    assert answer is not None
    assert answer.failure is not None
    assert (answer.serial, answer.failure.reason, answer.failure.field) == (9, "EPROTO", "length")


def test_raw_records_are_hexadecimal() -> None:
    """Bytes are text of pairs of digits, up to their bound."""
    check = octets(2)
    assert check("01ff", "raw") == b"\x01\xff"
    for wrong in ("0", "zz", "010203", 7):
        with pytest.raises(ManagerError):
            check(wrong, "raw")
    assert build(c.Status, {"incident": None}) == c.Status()
