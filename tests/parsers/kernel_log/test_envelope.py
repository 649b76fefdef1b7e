"""What stands before a kernel's message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.kernel_log.envelope import Envelope

FAULT = "DMAR: DRHD: handling fault status reg 2"
SECOND = 1_000_000_000
BOOT = 12_345_678_000
DAY = 1_566_302_678 * SECOND
"""2019-08-20T12:04:38 in UTC, in nanoseconds."""

SHAPES = [
    ("", None, ""),
    ("[   12.345678] ", BOOT, "boot"),
    ("[   12.345678][  T123] ", BOOT, "boot"),
    ("[   12.345678] [    C0] ", BOOT, "boot"),
    ("[   12.345678,1] ", BOOT, "boot"),
    ("<3>[   12.345678] ", BOOT, "boot"),
    ("<3>", None, ""),
    ("kern  :err   : [   12.345678] ", BOOT, "boot"),
    ("3,1234,12345678,-;", BOOT, "boot"),
    ("3,1234,12345678,-,caller=T123;", BOOT, "boot"),
    ("[Tue Aug 20 12:04:38 2019] ", DAY, "local"),
    ("kern  :err   : [Tue Aug 20 12:04:38 2019] ", DAY, "local"),
    ("2019-08-20T12:04:38,123456+00:00 ", DAY + 123_456_000, "utc"),
    ("2019-08-20T14:04:38,123456+02:00 ", DAY + 123_456_000, "utc"),
    ("Aug 20 12:04:38 myhost kernel: ", DAY, "local"),
    ("Aug 20 12:04:38 myhost kernel: [   12.345678] ", BOOT, "boot"),
    ("Aug  2 12:04:38.250000 myhost kernel: ", DAY - 18 * 86400 * SECOND + 250_000_000, "local"),
    ("Aug 20 12:04:38 myhost kernel[0]: ", DAY, "local"),
    ("2019-08-20T12:04:38.123456+00:00 myhost kernel: [   12.345678] ", DAY + 123_456_000, "utc"),
    ("2019-08-20T12:04:38+0000 myhost kernel: ", DAY, "utc"),
    ("2019-08-20T12:04:38Z myhost kernel: ", DAY, "utc"),
    ("2019-08-20T12:04:38 myhost kernel: ", DAY, "local"),
    ("Tue 2019-08-20 12:04:38 UTC myhost kernel: ", DAY, "utc"),
    ("Tue 2019-08-20 12:04:38 CEST myhost kernel: ", DAY, "local"),
    ("[   12.345678] myhost kernel: ", BOOT, "boot"),
    ("1566302678.500000 myhost kernel: ", DAY + 500_000_000, "utc"),
    ("kernel: ", None, ""),
    ("Aug 99 12:04:38 myhost kernel: ", None, ""),
    ("\x1b[32m[   12.345678] \x1b[0m\x1b[33m", BOOT, "boot"),
    ("\0\0\0[   12.345678] ", BOOT, "boot"),
    ("> > [   12.345678] ", BOOT, "boot"),
    ("2019-13-45T12:04:38Z myhost kernel: ", None, ""),
]


@pytest.mark.parametrize(("prefix", "time", "clock"), SHAPES)
def test_prefixes_are_taken_off(prefix: str, time: int | None, clock: str) -> None:
    """Of each shape the message, the time and its clock are known; UTC counts more than boot, boot more than local."""
    (line,) = Envelope("log", 2019).open(7, (prefix + FAULT + "\r\n").encode())
    assert line.message == FAULT
    assert (line.time, line.clock, line.number, line.source, line.xen) == (time, clock, 7, "log", False)


@pytest.mark.parametrize(
    ("prefix", "time", "clock"),
    [
        ("(XEN) ", None, ""),
        ("(XEN) [   12.345678] ", BOOT, "boot"),
        ("(XEN) [2019-08-20 12:04:38] ", DAY, "local"),
        ("(XEN) [2019-08-20 12:04:38.250] ", DAY + 250_000_000, "local"),
        ("[2019-08-20 12:04:38] (XEN) ", DAY, "local"),
        ("[   12.345678] (XEN) ", BOOT, "boot"),
    ],
)
def test_lines_of_xen_are_told_apart(prefix: str, time: int | None, clock: str) -> None:
    """The bracket of Xen says whose line it is, before or behind the time."""
    (line,) = Envelope("log").open(1, f"{prefix}[VT-D]DMAR: reason 05 - x".encode())
    assert (line.message, line.xen, line.time, line.clock) == ("[VT-D]DMAR: reason 05 - x", True, time, clock)


@pytest.mark.parametrize(
    "line",
    [
        "Aug 20 12:04:38 myhost sshd[12]: DMAR: x",
        "2019-08-20T12:04:38.123456+02:00 myhost systemd: DMAR: x",
        "1566302678.500000 myhost logger[1]: DMAR: x",
    ],
)
def test_lines_of_other_programs_are_none_of_the_kernel(line: str) -> None:
    """A host and a program other than the kernel: nothing is printed by the kernel."""
    assert list(Envelope("log").open(1, line.encode())) == []


def entry(**fields: object) -> bytes:
    """Return an entry of the journal."""
    return json.dumps({"__REALTIME_TIMESTAMP": "1566302678123456", "_TRANSPORT": "kernel", **fields}).encode()


def test_entries_of_the_journal_are_read() -> None:
    """The message and the time of an entry of `journalctl -o json`, also when the message is a list of bytes."""
    for message in (FAULT, list(FAULT.encode())):
        (line,) = Envelope("log").open(3, entry(MESSAGE=message, _SOURCE_MONOTONIC_TIMESTAMP="12345678"))
        assert (line.message, line.time, line.clock, line.text) == (FAULT, DAY + 123_456_000, "utc", FAULT)
    (line,) = Envelope("log").open(
        3, json.dumps({"MESSAGE": FAULT, "SYSLOG_IDENTIFIER": "kernel", "_SOURCE_MONOTONIC_TIMESTAMP": "5"}).encode()
    )
    assert (line.time, line.clock) == (5000, "boot")
    (line,) = Envelope("log").open(3, json.dumps({"MESSAGE": FAULT, "__REALTIME_TIMESTAMP": "x"}).encode())
    assert (line.time, line.clock) == (None, "")


def test_entries_of_other_programs_are_none_of_the_kernel() -> None:
    """An entry that another program wrote, or that has no message, says nothing."""
    others: list[dict[str, object]] = [
        {"MESSAGE": FAULT, "_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": "logger"},
        {"MESSAGE": None},
        {"MESSAGE": 5},
    ]
    for fields in others:
        assert list(Envelope("log").open(1, entry(**fields))) == []


@pytest.mark.parametrize(
    "line",
    [b'{"MESSAGE": ', b"{}", b"[1", b'{"MESSAGE": [300]}', b'{"MESSAGE": ' + b"[" * 5000, b'{"a":' + b"9" * 5000],
)
def test_what_is_no_entry_is_a_line(line: bytes) -> None:
    """A line that begins as an entry of the journal and is none is read as any other."""
    (one,) = Envelope("log").open(1, line)
    assert one.message == line.decode()


def test_a_message_of_several_lines_is_several_lines() -> None:
    """The old form of VT-d faults is one message of two lines; /dev/kmsg and the journal have them in one."""
    for raw in (
        b"3,1,5,-;DMAR:[DMA Read] x \\x0aDMAR:[fault reason 02] y",
        entry(MESSAGE="DMAR:[DMA Read] x \nDMAR:[fault reason 02] y"),
    ):
        lines = Envelope("log").open(9, raw)
        assert [line.message for line in lines] == ["DMAR:[DMA Read] x ", "DMAR:[fault reason 02] y"]
        assert [line.number for line in lines] == [9, 9]


def test_escapes_of_kmsg_are_undone() -> None:
    """/dev/kmsg writes a tab as four characters; no other source does."""
    (line,) = Envelope("log").open(1, b"3,1,5,-;arm-smmu-v3 x: \\x090x0000000000000010")
    assert line.message == "arm-smmu-v3 x: \t0x0000000000000010"
    (line,) = Envelope("log").open(1, b"[    1.000000] arm-smmu-v3 x: \\x09")
    assert line.message == "arm-smmu-v3 x: \\x09"


def test_times_are_remembered_up_to_a_limit() -> None:
    """A log of very many different seconds is read all the same."""
    envelope = Envelope("log", 2019)
    for count in range(5000):
        minute, second = divmod(count, 60)
        (line,) = envelope.open(1, f"Aug 20 {minute // 60:02d}:{minute % 60:02d}:{second:02d} h kernel: x".encode())
        assert line.time == (1_566_259_200 + count) * SECOND


def test_without_a_year_the_present_one_is_taken() -> None:
    """Syslog has no year; some year is taken, so that times can be compared."""
    (line,) = Envelope("log").open(1, b"Aug 20 12:04:38 h kernel: x")
    assert line.time is not None
    assert line.time > DAY


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"[    1.000000] ", b"{", b"(XEN) ", b"3,1,5,-;", b"Aug 20 12:04:38 "]),
)
def test_any_bytes_are_a_line(data: bytes, prefix: bytes) -> None:
    """Whatever a line holds, it can be opened."""
    for line in Envelope("log").open(1, prefix + data):
        assert isinstance(line.message, str)
