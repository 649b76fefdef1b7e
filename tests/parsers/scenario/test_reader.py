"""Scenario files: everything is read, and what is wrong is said with its place, what is expected and a near match."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.errors import ParseError
from iommuman.parsers.scenario import (
    Event,
    GuestObject,
    Passed,
    Ram,
    Vm,
    Window,
    parse_scenario,
    read_scenario,
)

from tests.conftest import FIXTURES

VM = '[[vm]]\nname = "a"\nmemory = [{ guest = 0, host = 0x1000, size = "4K" }]\n'
ACTIONS = (
    "start, stop, kill, map, unmap, withdraw, guest-start, guest-stop, guest-kill, guest-map, guest-unmap, guest-move, "
    "read, write, poll"
)
OBJECTS = VM + '[vm.manager]\nobjects = [{ name = "o" }]\n'


def findings(text: str) -> list[tuple[str, str, str, str]]:
    """Return place, message, what is expected and advice of what is wrong."""
    found = parse_scenario(text, "s").findings
    assert all(one.severity == "error" and one.rule == "SCENARIO" for one in found)
    return [(one.origin.part, one.message, one.expected, one.advice) for one in found]


def test_all_keys_are_read() -> None:
    """Every key of a VM and of its manager comes through."""
    found = parse_scenario(
        """
        manager = false
        monitors = ["m1", "m2"]
        [[vm]]
        name = "a"
        memory = [{ guest = 0x1000, host = "0x2000", size = "1M", access = "rwx", shared = true }]
        devices = [{ device = "0000:00:03.0", dma = "d", guest = "0:5.0" }, { device = "x" }]
        unity = true
        guest = "linux"
        arch = "arm"
        libfdt = false
        [vm.manager]
        objects = [{ name = "o", devices = ["0:5.0"], memory = [
            { address = 1, target = 0x3000, size = 2, access = "r" }, { address = 0, size = "2G" }] }]
        """
    )
    assert found.findings == ()
    assert (found.manager, found.monitors) == (False, ("m1", "m2"))
    assert found.vms == (
        Vm(
            "a",
            (Ram(0x1000, 0x2000, 1 << 20, "rwx", shared=True),),
            (Passed("0000:00:03.0", "d", "0:5.0"), Passed("x", "")),
            unity=True,
            guest="linux",
            arch="arm",
            libfdt=False,
            manager=(GuestObject("o", ("0:5.0",), (Window(1, 2, "r", 0x3000), Window(0, 2 << 30))),),
        ),
    )


def test_all_events_are_read() -> None:
    """Each action has its keys."""
    common = {"vm": '"a"', "object": '"o"', "device": '"d"', "address": "0x1000", "size": '"8K"', "access": '"r"'}
    expected = {
        "start": (), "stop": (), "kill": (), "map": ("address", "size", "access"), "unmap": ("address", "size"),
        "withdraw": ("device",), "guest-start": (), "guest-stop": (), "guest-kill": (),
        "guest-map": ("object", "address", "size", "access"), "guest-unmap": ("object", "address", "size"),
        "guest-move": ("object", "device"), "read": ("device", "address", "size"),
        "write": ("device", "address", "size"), "poll": (),
    }  # fmt: skip
    text = OBJECTS
    for action, keys in expected.items():
        names = [*keys, *(() if action in ("read", "write", "poll") else ("vm",))]
        text += f'[[event]]\ndo = "{action}"\n' + "".join(f"{key} = {common[key]}\n" for key in names)
        text += "host = 0x9000\n" if action == "map" else "target = 0x7000\n" if action == "guest-map" else ""
    found = parse_scenario(text, "s")
    assert found.findings == ()
    assert [event.action for event in found.events] == list(expected)
    by_action = {event.action: event for event in found.events}
    origin = by_action["map"].origin
    assert origin.part == "event[3]"
    assert by_action["map"] == Event("map", origin, "a", "", "", 0x1000, 0x9000, 8192, "r")
    assert by_action["guest-map"].target == 0x7000
    assert (by_action["read"].length, by_action["read"].device) == (8192, "d")
    short = parse_scenario('[[event]]\ndo = "read"\ndevice = "d"\naddress = 0\nexpect = "denied"')
    assert (short.events[0].length, short.events[0].expect) == (1, "denied")


@pytest.mark.parametrize(
    ("text", "place", "message", "expected", "advice"),
    [
        ('monitor = ["x"]', "monitor", "there is no such key", "one of manager, monitors, vm, event",
         "did you mean monitors?"),
        ("manager = 1", "manager", "this is neither true nor false", "true or false", ""),
        ('monitors = "x"', "monitors", "this is no list", "a list", ""),
        ("monitors = [1]", "monitors[0]", "this is no text", "a text", ""),
        ("vm = [1]", "vm[0]", "this is no table", "a table", ""),
        ("[vm]", "vm", "this is no list", "a list", ""),
        ("[[vm]]", "vm[0].name", "this is missing", "a text", ""),
        ("[[vm]]\nname = 1", "vm[0].name", "this is no text", "a text", ""),
        ('[[vm]]\nname = ""', "vm[0].name", "this is no text", "a text", ""),
        (VM + VM, "vm[1].name", "two VMs have this name", "names of their own", ""),
        (VM + 'guest = "qnxx"', "vm[0].guest", "this is none of the words", "qnx, linux", "did you mean qnx?"),
        (VM + "arch = true", "vm[0].arch", "this is no text", "a text", ""),
        (VM + "manager = 5", "vm[0].manager", "this is no table", "[vm[0].manager]", ""),
        (VM + "ram_host = [1]", "vm[0].ram_host", "there is no qvm configuration that it could be for",
         'qvm = "…" beside it', ""),
        (VM + 'devices = [{ device = "x", dma = "D" }]', "vm[0].devices[0].dma",
         "this is none of the words", "d, n", ""),
        ('[[vm]]\nname = "a"\nmemory = [{ guest = 0, host = "1Q", size = 1 }]', "vm[0].memory[0].host",
         "this is no address or size", 'a number from 0, or text such as "16M" or "0x1000"', ""),
        ('[[vm]]\nname = "a"\nmemory = [{ guest = 0, host = -1, size = 1 }]', "vm[0].memory[0].host",
         "this is no address or size", 'a number from 0, or text such as "16M" or "0x1000"', ""),
        ('[[vm]]\nname = "a"\nmemory = [{ guest = 0, host = 1 }]', "vm[0].memory[0].size", "this is missing",
         'a number from 0, or text such as "16M" or "0x1000"', ""),
        ('[[vm]]\nname = "a"\nmemory = [{ guest = 0, host = 1, size = 1, access = "q" }]', "vm[0].memory[0].access",
         "these are no permissions", "letters of r, w, x", ""),
        (VM + '[vm.manager]\nobjects = [{ name = "o" }, { name = "o" }]', "vm[0].manager.objects[1].name",
         "two objects of the guest have this name", "names of their own", ""),
        ('[[event]]\ndo = "rread"', "event[0].do", "this is none of the words", ACTIONS, "did you mean read?"),
        ("[[event]]", "event[0].do", "this is missing", ACTIONS, ""),
        ('[[event]]\ndo = "start"\nvm = "b"', "event[0].vm", "there is no such VM", "a VM of the file", ""),
        (OBJECTS + '[[event]]\ndo = "guest-unmap"\nvm = "a"\nobject = "p"\naddress = 0\nsize = 1', "event[0].object",
         "the guest's manager has no such object", "o", ""),
        (VM + '[[event]]\ndo = "guest-unmap"\nobject = "p"\naddress = 0\nsize = 1', "event[0].vm", "this is missing",
         "a text", ""),
        ('[[event]]\ndo = "poll"\nexpect = "denied"', "event[0].expect",
         "this is none of the words", "done, refused", ""),
        ('[[event]]\ndo = "read"\ndevice = "d"\naddress = 0\nsize = 0', "event[0].size",
         "an access has 1 byte to 64 KiB", "a size from 1 to 65536", ""),
        ('[[event]]\ndo = "read"\ndevice = "d"\naddress = "0xffffffffffffffff"\nsize = 2', "event[0].size",
         "this ends beyond 64 bits of address", "a range within 64 bits", ""),
        (VM + '[[event]]\ndo = "start"\nvm = "a"\ndevices = 1', "event[0].devices", "there is no such key",
         "one of do, vm, expect", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(text: str, place: str, message: str, expected: str, advice: str) -> None:
    """One finding, with the path of the key, what is expected there, and the word that was meant."""
    assert findings(text) == [(place, message, expected, advice)]


def test_an_event_that_is_wrong_does_not_happen() -> None:
    """It is left out; the others stay."""
    found = parse_scenario(VM + '[[event]]\ndo = "start"\nvm = "b"\n[[event]]\ndo = "kill"\nvm = "a"')
    assert [event.action for event in found.events] == ["kill"]


def test_values_are_shown_short() -> None:
    """A message holds a line of what was found, and no more; control characters do not reach a terminal."""
    found = parse_scenario(f'[[vm]]\nname = "{"x" * 200}"\n[[event]]\ndo = "start"\nvm = "a\\u001b"').findings
    assert found[0].found == "a\\x1b"
    (long,) = parse_scenario(f'manager = "{"x" * 200}"').findings
    assert long.found == "x" * 77 + "…"
    assert [one.found for one in parse_scenario("vm = [[1, 2], 7, 1.5, true]").findings] == [
        "a list of 2", "0x7", "1.5", "true",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["a = ", "a = " + "[" * 5000, "a = " + "9" * 5000, "x" * ((1 << 20) + 1)])
def test_what_is_no_toml_is_refused(text: str) -> None:
    """One class of error, whatever it is that TOML's reader runs into."""
    with pytest.raises(ParseError):
        parse_scenario(text)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """Missing or too long, with the reason."""
    with pytest.raises(ParseError, match="this cannot be opened: No such file"):
        read_scenario(str(tmp_path / "none"))
    with pytest.raises(ParseError, match="this cannot be opened: embedded null byte"):
        read_scenario("a\0b")
    (tmp_path / "long").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(ParseError, match="too long"):
        read_scenario(str(tmp_path / "long"))


def test_a_qvm_configuration_is_read_beside_the_scenario() -> None:
    """Its `ram` lines are where `ram_host` says, its `pass` lines are devices; `rom` is no memory of devices."""
    found = read_scenario(str(FIXTURES / "scenarios" / "arm-guest.toml"))
    assert {one.severity for one in found.findings} == {"note"}
    assert found.vms[0].memory == (Ram(0x80000000, 0x100000000, 16 << 20), Ram(0x81001000, 0x110000000, 1 << 20))
    assert found.vms[0].devices == (Passed("pci:0:3.0", "d", "0:5.0"), Passed("pci:0:9.0", "n", "0:6.0"))


def test_what_a_qvm_configuration_does_not_say_has_to_be_said(tmp_path: Path) -> None:
    """Where memory is in the host; a unity-mapped VM has it where the guest sees it."""
    (tmp_path / "g").write_text(
        "ram 0x1000,4K\npass loc io:0x60,n\npass loc mem:0x2000,0x1000,d=0x9000\npass loc pci:0x8086/0x1234\n"
        "pass loc mem:0x5000,n\nram x"
    )
    path = tmp_path / "s"
    path.write_text('[[vm]]\nname = "a"\nqvm = "g"')
    found = read_scenario(str(path))
    assert [(one.origin.part or one.origin.source, one.message) for one in found.findings] == [
        ("g", "the argument cannot be read, and is passed over"),
        ("vm[0].ram_host", "it has to say where in the host each ram line is"),
    ]
    assert found.vms[0].memory == ()
    assert found.vms[0].devices == (
        Passed("mem:0x9000", "d", "mem:0x2000"),
        Passed("pci:0x8086/0x1234", ""),
        Passed("mem:0x5000", "n"),
    )
    path.write_text('[[vm]]\nname = "a"\nqvm = "g"\nunity = true')
    assert read_scenario(str(path)).vms[0].memory == (Ram(0x1000, 0x1000, 4096),)
    path.write_text('[[vm]]\nname = "a"\nqvm = "g"\nram_host = ["x"]')
    assert [one.origin.part for one in read_scenario(str(path)).findings][1:] == [
        "vm[0].ram_host[0]", "vm[0].ram_host",
    ]  # fmt: skip
    path.write_text('[[vm]]\nname = "a"\nqvm = "none"')
    assert [one.origin.part for one in read_scenario(str(path)).findings] == ["vm[0].qvm"]


VALUES = st.recursive(
    st.one_of(
        st.integers(-1, 1 << 65), st.booleans(), st.text(max_size=4), st.sampled_from(["a", "start", "read", "rw"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["vm", "event", "name", "memory", "do", "guest", "host", "size", "manager", "objects"]),
            inner, max_size=4,
        ),
    ),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["vm", "event", "monitors", "manager", "x"]), VALUES))
def test_any_document_is_read(document: dict[str, object]) -> None:
    """Whatever the values, they are read or named."""
    from iommuman.parsers.scenario.reader import _Reader

    found = _Reader("s", document).scenario()
    assert all(finding.origin.part for finding in found.findings)
