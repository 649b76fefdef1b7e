"""The JSON file of a PCI topology: both ways, and what is said of files that cannot be."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.parsers import ParseError
from iommuman.parsers.pci import PCIE_TYPES, PciFunction, PciTopology, Resource, build_pci, is_pci_file, parse_pci

from tests.conftest import BOARDS

NOWHERE = Origin("")
WORDS = st.integers(0, 0xFFFF)
LONGS = st.integers(0, (1 << 64) - 1)
BUSES = st.integers(0, 255)


@st.composite
def functions(draw: st.DrawFn) -> PciFunction:
    """Draw a function, with every attribute that the file keeps."""
    bridge = draw(st.none() | st.tuples(BUSES, BUSES))
    pcie_type = draw(st.none() | st.sampled_from(list(PCIE_TYPES.values())))
    return PciFunction(
        segment=draw(st.integers(0, 0xFFFFFFFF)),
        rid=draw(WORDS),
        origin=NOWHERE,
        vendor=draw(WORDS),
        device=draw(WORDS),
        class_code=draw(st.integers(0, 0xFFFFFF)),
        header_type=draw(st.integers(0, 0x7F)),
        multifunction=draw(st.booleans()),
        secondary=bridge[0] if bridge else None,
        subordinate=bridge[1] if bridge else None,
        pcie_type=pcie_type,
        pcie_known=True if pcie_type else draw(st.booleans()),
        ari=draw(st.booleans()),
        acs=draw(st.none() | st.tuples(WORDS, WORDS)),
        driver=draw(st.none() | st.text(st.characters(codec=None), max_size=8)),
        physfn=draw(st.none() | st.text(max_size=8)),
        numa_node=draw(st.none() | st.integers(0, (1 << 31) - 1)),
        resources=tuple(draw(st.lists(st.builds(Resource, LONGS, LONGS, LONGS), max_size=3))),
    )


MANY = st.lists(functions(), max_size=6, unique_by=lambda function: (function.segment, function.rid))


def key(function: PciFunction) -> tuple[int, int]:
    """Return what functions are sorted by."""
    return function.segment, function.rid


@given(MANY)
def test_functions_come_back_from_their_file(many: list[PciFunction]) -> None:
    """Reading the file that was built for any functions gives the same functions, in the order of their addresses."""
    data = build_pci(many)
    assert is_pci_file(data)
    topology = parse_pci(data)
    assert topology.findings == ()
    assert [replace(one, origin=NOWHERE) for one in topology.functions.values()] == sorted(many, key=key)
    assert build_pci(topology.functions.values()) == data


def test_a_function_is_written_key_by_key() -> None:
    """The file has format, version, one object a function with hexadecimal numbers as text, and the root buses."""
    port = PciFunction(
        0, 0x0008, NOWHERE, 0x8086, 0x1901, 0x060400, 1, multifunction=True, secondary=1, subordinate=2,
        pcie_type="root-port", acs=(0x1F, 0x1D), driver="pcieport", numa_node=1,
        resources=(Resource(0xF000, 0xFFFF, 0x101),),
    )  # fmt: skip
    virtual = PciFunction(0, 0x0110, NOWHERE, pcie_known=False, ari=True, physfn="0000:01:00.0")
    assert json.loads(build_pci([virtual, port])) == {
        "format": "iommuman-pci",
        "version": 1,
        "functions": [
            {
                "address": "0000:00:01.0", "vendor": "0x8086", "device": "0x1901", "class": "0x060400",
                "header_type": 1, "multifunction": True, "parent": None,
                "bridge": {"secondary": 1, "subordinate": 2}, "pcie_type": "root-port", "ari": False,
                "acs": {"capability": "0x001f", "control": "0x001d"}, "driver": "pcieport", "physfn": None,
                "numa_node": 1, "resources": [{"start": "0xf000", "end": "0xffff", "flags": "0x101"}],
            },
            {
                "address": "0000:01:02.0", "vendor": "0xffff", "device": "0xffff", "class": "0x000000",
                "header_type": 0, "multifunction": False, "parent": "0000:00:01.0", "bridge": None,
                "pcie_type": "unknown", "ari": True, "acs": None, "driver": None, "physfn": "0000:01:00.0",
                "numa_node": None, "resources": [],
            },
        ],
        "root_buses": [{"segment": 0, "bus": 0}],
    }  # fmt: skip


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*/pci.json")), ids=lambda path: path.parent.name)
def test_the_files_of_boards_are_read_and_built_again(path: Any) -> None:
    """Every board's file, which another program wrote, is read without a finding, and built with the same content."""
    data = path.read_bytes()
    topology = parse_pci(data, "pci.json")
    assert topology.findings == ()
    assert topology.size == len(data)
    assert json.loads(build_pci(topology.functions.values())) == json.loads(data)


def document(*entries: object, **changes: object) -> bytes:
    """Return a file with these entries."""
    return json.dumps({"format": "iommuman-pci", "version": 1, "functions": list(entries), **changes}).encode()


def test_keys_may_be_missing_or_unknown() -> None:
    """An address is enough; keys of later versions are passed by; the origin names the entry."""
    topology = parse_pci(document({"address": "02:01.0", "colour": "green", "driver": None}), "pci.json")
    assert topology.functions == {(0, 0x0208): PciFunction(0, 0x0208, Origin("pci.json", "functions[0]"))}
    assert topology.findings == ()


def test_the_first_function_of_an_address_counts() -> None:
    """Of two entries, and of two equal keys of an object, the first entry and the last key are taken."""
    entries = [{"address": "02:01.0", "vendor": "0x1"}, {"address": "0000:02:01.0", "vendor": "0x2"}]
    assert [one.vendor for one in parse_pci(document(*entries)).functions.values()] == [1]
    twice = document({"address": "02:01.0"}).replace(b'"address"', b'"vendor": "0x1", "vendor": "0x2", "address"')
    assert [one.vendor for one in parse_pci(twice).functions.values()] == [2]


REFUSED = {
    "empty": (b"", "p:1: this is no JSON that can be read: Expecting value at column 1"),
    "cut short": (
        b'{"format":\n "iommuman-pci"',
        "p:2: this is no JSON that can be read: Expecting ',' delimiter at column 16",
    ),
    "not UTF-8": (b'{"format": "\xff"}', "p: this is no JSON that can be read: it is not UTF-8 text"),
    "too deep": (b"[" * 100_000, "p: this is no JSON that can be read: it is nested too deeply"),
    "deep object": (b'{"a":' * 100_000, "p: this is no JSON that can be read: it is nested too deeply"),
    "too many digits": (b"9" * 5000, "p: this is no JSON that can be read: a number has too many digits"),
    "a list": (b"[]", "p: this is no JSON object with format 'iommuman-pci' and version 1"),
    "another format": (document(format="other"), "p: this is no JSON object with format 'iommuman-pci' and version 1"),
    "another version": (document(version=2), "p: this is no JSON object with format 'iommuman-pci' and version 1"),
    "version NaN": (
        document(version=float("nan")),
        "p: this is no JSON object with format 'iommuman-pci' and version 1",
    ),
    "no functions": (document(functions=None), "p: 'functions' is missing or null, expected a list"),
    "functions no list": (document(functions={"a": 1}), "p: 'functions' is an object, expected a list"),
    "functions a text": (document(functions="x" * 80), f"p: 'functions' is '{'x' * 63}…, expected a list"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_topology_is_refused_in_one_sentence(case: str) -> None:
    """Text that is no JSON, or JSON of another kind, gives the one error class with the reason and what to do."""
    data, sentence = REFUSED[case]
    with pytest.raises(ParseError) as caught:
        parse_pci(data, "p")
    assert str(caught.value) == f"{sentence}; write it with 'iommuman capture'"
    assert caught.value.finding.rule == "PCI-FILE"


BUS = "a number from 0 to 255"
WRONG: list[tuple[Any, str]] = [
    (None, "entry is missing or null, expected an object"),
    ([], "entry is a list, expected an object"),
    ("02:01.0", "entry is '02:01.0', expected an object"),
    ({}, "address is missing or null, expected a PCI address such as '0000:02:01.0'"),
    ({"address": 513}, "address is 513, expected a PCI address such as '0000:02:01.0'"),
    ({"address": "02:20.0"}, "address is '02:20.0', expected a PCI address such as '0000:02:01.0'"),
    ({"address": "x" * 100}, f"address is '{'x' * 63}…, expected a PCI address such as '0000:02:01.0'"),
    ({"vendor": 0x8086}, "vendor is 32902, expected a hexadecimal number of 16 bits, in quotes"),
    ({"vendor": "0x10000"}, "vendor is '0x10000', expected a hexadecimal number of 16 bits, in quotes"),
    ({"device": "-0x1"}, "device is '-0x1', expected a hexadecimal number of 16 bits, in quotes"),
    ({"device": "1_0"}, "device is '1_0', expected a hexadecimal number of 16 bits, in quotes"),
    ({"class": "0x1000000"}, "class is '0x1000000', expected a hexadecimal number of 24 bits, in quotes"),
    ({"class": "f" * 80}, f"class is '{'f' * 63}…, expected a hexadecimal number of 24 bits, in quotes"),
    ({"header_type": 128}, "header_type is 128, expected a number from 0 to 127"),
    ({"header_type": True}, "header_type is true, expected a number from 0 to 127"),
    ({"header_type": float("nan")}, "header_type is nan, expected a number from 0 to 127"),
    ({"header_type": 10**99}, f"header_type is {str(10**99)[:64]}…, expected a number from 0 to 127"),
    ({"multifunction": 1}, "multifunction is 1, expected true or false"),
    ({"ari": "no"}, "ari is 'no', expected true or false"),
    ({"bridge": 1}, "bridge is 1, expected an object"),
    ({"bridge": {"secondary": 1}}, f"bridge.subordinate is missing or null, expected {BUS}"),
    ({"bridge": {"secondary": 256, "subordinate": 256}}, f"bridge.secondary is 256, expected {BUS}"),
    ({"bridge": {"secondary": -1, "subordinate": 1}}, f"bridge.secondary is -1, expected {BUS}"),
    ({"bridge": {"secondary": 1, "subordinate": 1.0}}, f"bridge.subordinate is 1.0, expected {BUS}"),
    (
        {"pcie_type": "port"},
        (
            "pcie_type is 'port', expected one of endpoint, legacy-endpoint, root-port, upstream-port, "
            "downstream-port, "
            "pcie-to-pci-bridge, pci-to-pcie-bridge, rc-endpoint, rc-event-collector, unknown, or null"
        ),
    ),
    ({"pcie_type": ["root-port"]}, "pcie_type is a list, expected a text or null"),
    ({"acs": []}, "acs is a list, expected an object"),
    ({"acs": {}}, "acs.capability is missing or null, expected a hexadecimal number of 16 bits, in quotes"),
    ({"driver": 7}, "driver is 7, expected a text or null"),
    ({"physfn": {}}, "physfn is an object, expected a text or null"),
    ({"numa_node": -1}, "numa_node is -1, expected a number from 0 to 2147483647"),
    ({"numa_node": "0"}, "numa_node is '0', expected a number from 0 to 2147483647"),
    ({"resources": {}}, "resources is an object, expected a list"),
    ({"resources": [7]}, "resources[0] is 7, expected an object"),
    (
        {"resources": [{"start": "0x0", "end": "0x1"}]},
        "resources[0].flags is missing or null, expected a hexadecimal number of 64 bits, in quotes",
    ),
]


@pytest.mark.parametrize(("entry", "sentence"), WRONG)
def test_a_wrong_entry_is_left_out_with_one_sentence(entry: Any, sentence: str) -> None:
    """A value of the wrong kind or size costs its entry and no other; the finding has key, value and what is right."""
    if isinstance(entry, dict) and entry and "address" not in entry:
        entry = {"address": "02:01.0", **entry}
    topology = parse_pci(document(entry, {"address": "03:00.0"}), "p")
    assert list(topology.functions) == [(0, 0x0300)]
    assert [str(finding) for finding in topology.findings] == [
        f"p: functions[0]: the function cannot be read: {sentence}; it is left out; capture the topology again"
    ]
    assert [(finding.rule, finding.severity) for finding in topology.findings] == [("PCI-ENTRY", "error")]


RIGHT: list[dict[str, Any]] = [
    {"vendor": "0xffff", "device": "8086", "class": "0XFFFFFF"},
    {"header_type": 127, "multifunction": True, "ari": False, "numa_node": 0},
    {"bridge": {"secondary": 0, "subordinate": 255}},
    {"pcie_type": "unknown", "driver": "", "physfn": ""},
    {"acs": {"capability": "0x0", "control": "0xffff"}, "resources": []},
    dict.fromkeys(("vendor", "device", "class", "header_type", "ari", "bridge", "pcie_type", "acs", "resources")),
]


@pytest.mark.parametrize("entry", RIGHT)
def test_what_is_just_right_is_read(entry: dict[str, Any]) -> None:
    """The largest values, and null for every key but the address, are no findings."""
    topology = parse_pci(document({"address": "02:01.0", **entry}))
    assert topology.findings == ()
    assert len(topology.functions) == 1


def test_values_nested_deeply_are_named_and_not_shown() -> None:
    """A value as deep as JSON can be read does not break the message about it."""
    deep = b"[" * 400 + b"]" * 400
    topology = parse_pci(document({"address": "02:01.0", "vendor": 0}).replace(b'"vendor": 0', b'"vendor": ' + deep))
    assert [finding.found for finding in topology.findings] == ["a list"]


@pytest.mark.parametrize(("wrong", "listed"), [(1000, 1000), (1001, 1001), (100_000, 1001)])
def test_the_number_of_findings_is_bounded(wrong: int, listed: int) -> None:
    """After a thousand wrong entries the rest is only counted, in one finding more."""
    topology = parse_pci(document(*[0] * wrong), "p")
    assert len(topology.findings) == listed
    more = f"p: {wrong - 1000} more functions that cannot be read are not listed; capture the topology again"
    assert (str(topology.findings[-1]) == more) == (wrong > 1000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = (
    "vendor",
    "class",
    "header_type",
    "multifunction",
    "bridge",
    "pcie_type",
    "ari",
    "acs",
    "driver",
    "numa_node",
    "resources",
)


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_json_is_answered(entry: dict[str, object]) -> None:
    """Whatever stands where, an entry is a function or a finding."""
    topology = parse_pci(document({"address": "02:01.0", **entry}))
    assert len(topology.functions) + len(topology.findings) == 1
    for finding in topology.findings:
        assert re.fullmatch(r"functions\[0\]: the function cannot be read: .*", str(finding), re.DOTALL)


@given(st.binary(max_size=60))
def test_any_bytes_are_answered(data: bytes) -> None:
    """Bytes that are no topology are refused by the one error class."""
    with pytest.raises(ParseError):
        parse_pci(data)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (document(), True),
        (b" \n\t" + document(), True),
        (b'{"format": "iommuman-pci"', True),
        (b'{"pad": "' + b" " * 480 + b'", "format": "iommuman-pci"}', False),
        (b'["iommuman-pci"]', False),
        (b"{}", False),
        (b"", False),
    ],
)
def test_a_file_is_told_by_its_beginning(data: bytes, answer: bool) -> None:
    """An object that has the name of the format in its first 512 bytes is one of these files."""
    assert is_pci_file(data) is answer


def test_an_empty_topology_is_a_file_too() -> None:
    """No functions make a file without functions and root buses."""
    topology = parse_pci(build_pci([]))
    assert isinstance(topology, PciTopology)
    assert (topology.functions, topology.findings) == ({}, ())
