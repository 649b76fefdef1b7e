"""The lines of slog2info, out and in."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.logging_backend import DataType, Packet, RegisterFlag, Stream
from iommuman.logging_backend.names import UNKNOWN_SEVERITY
from iommuman.logging_backend.packet import Form, online, unsync
from iommuman.logging_backend.text_in import TextOptions, is_text, parse_text
from iommuman.logging_backend.text_out import LineStyle, format_fields, line_formatter

from .helpers import make, read

if TYPE_CHECKING:
    from iommuman.base import Finding

OPTIONS = TextOptions(year=2013, zone=UTC)
SAMPLES = Path(__file__).parent / "samples"
LONG = "com.codetitans.FallingBlocks.testDev_llingBlocksb07fdb40"
BB10_A, BB10_B, AM572X, SA8295 = (
    (SAMPLES / f"{name}.txt").read_text() for name in ("bb10-falling-blocks", "bb10-adsdk", "am572x", "sa8295")
)
"""Lines of real targets, published with a viewer for BB10 (the first two), in a forum, and with a performance tool."""


def parse(text: str, options: TextOptions = OPTIONS) -> list[Packet]:
    """Parse a text in which nothing may be left out."""
    findings: list[Finding] = []
    found = list(parse_text(text, options, findings.append))
    assert not findings
    return found


def test_real_lines_with_severity() -> None:
    """All 13 lines of the three BB10 captures give set, pid, buffer, flag, code, severity and message."""
    found = parse(BB10_A)
    assert [(p.stream.set_name, p.stream.owner_pid) for p in found] == [(LONG, 383209714)] * 2 + [(LONG, 383152370)] * 4
    assert [p.stream.buffer_name for p in found] == ["", *["default"] * 5]
    assert [p.severity for p in found] == [0, 5, 5, 5, 5, 5]
    assert [p.code for p in found] == [0, 8900, 8900, 8900, 8900, 8900]
    assert [p.number == 0 for p in found] == [False, True, False, False, False, False]
    assert found[0].data_type is DataType.ONLINE
    assert found[5].text == "navigator_thread quitting"
    assert found[2].timestamp == int(datetime(2013, 12, 4, 3, 5, 54, 970000, UTC).timestamp() * 1000) * 1_000_000
    found = parse(BB10_B)
    assert [p.stream.file_name for p in found] == ["mm_renderer_QC.5599368", *["AdSDK.591851775"] * 6]
    assert [p.stream.buffer_name for p in found] == ["", "", "", *["NativeAdSDK"] * 4]
    assert [p.severity for p in found] == [0, 0, 0, 5, 5, 5, 5]
    assert found[3].text == "banner.cpp(349): bbads_banner_create called. ()"


def test_real_lines_without_severity() -> None:
    """The 6 lines of the newer systems, blanks collapsed or doubled by the page they were on, have no severity."""
    found = parse(AM572X)
    assert {(p.stream.file_name, p.stream.buffer_name, p.code, p.severity) for p in found} == {
        ("ipc.475162", "slog", 0, UNKNOWN_SEVERITY)
    }
    assert found[0].number == 0
    assert found[0].text.startswith("Assertion at Line no: 333")
    found = parse(SA8295)
    assert [(p.code, p.severity, p.text[:11]) for p in found] == [
        (100, UNKNOWN_SEVERITY, "For process"),
        (100, UNKNOWN_SEVERITY, "frame 43565"),
    ]


@pytest.mark.parametrize(
    ("start", "buffer", "flag", "code"),
    [
        ("              qt-msg      0  ", "qt-msg", False, 0),
        ("              qt-msg*     0  ", "qt-msg", True, 0),
        ("             default*  9000  ", "default", True, 9000),
        ("             default   9000  ", "default", False, 9000),
        ("                          0  ", "", False, 0),
    ],
)
def test_real_beginnings(start: str, buffer: str, flag: bool, code: int) -> None:
    """The line beginnings that a widely used viewer matched literally are understood."""
    (packet,) = parse(f"Dec 26 00:04:22.278                AdSDK.591851775 {start}text")
    assert (packet.stream.buffer_name, packet.number == 0, packet.code, packet.text) == (buffer, flag, code, "text")


@pytest.mark.parametrize("capture", [BB10_A, BB10_B])
def test_real_lines_come_out_as_they_went_in(capture: str) -> None:
    """Whole columns in, the same columns out."""
    line = line_formatter(LineStyle(severity=True, zone=UTC))
    assert "".join(line(packet) + "\n" for packet in parse(capture)) == capture


def test_severity_is_decided_for_the_whole_text() -> None:
    """One message without a digit in front says that there is no severity column; the caller may know better."""
    text = "Jan 01 00:00:00.000 a.1 b 0 5 apples\nJan 01 00:00:00.000 a.1 b 0 pears\n"
    assert [packet.text for packet in parse(text)] == ["5 apples", "pears"]
    forced = parse(text, TextOptions(severity=True))
    assert [(packet.severity, packet.text) for packet in forced] == [(5, "apples"), (UNKNOWN_SEVERITY, "pears")]
    assert parse(text.splitlines()[0])[0].severity == 5
    assert parse(text.splitlines()[0], TextOptions(severity=False))[0].text == "5 apples"


def test_collapsed_blanks_and_no_buffer() -> None:
    """With blanks collapsed, two numbers are code and severity of a buffer without a name, as with `slog2info -s`."""
    text = "Jan 01 00:00:00.000 a.1 0 0 -----ONLINE-----\nJan 01 00:00:00.000 a.1 b 0 5 text"
    first, second = parse(text)
    assert (first.stream.buffer_name, first.code, first.severity, first.data_type) == ("", 0, 0, DataType.ONLINE)
    assert (second.stream.buffer_name, second.severity) == ("b", 5)


def test_instances_and_dots() -> None:
    """A trailing `..<n>` is the instance; the pid is behind the last dot before it."""
    (packet,) = parse("Jan 01 00:00:00.000 com.a.b.77..2 buf 1 text")
    assert (packet.stream.set_name, packet.stream.owner_pid) == ("com.a.b", 77)


def test_lines_without_header() -> None:
    """They go on with the message before; before the first they are reported, and so is a time that cannot be."""
    findings: list[Finding] = []
    rest = "one\ntwo\n\nFeb 30 00:00:00.000 a.1 b 0 three\nXyz 01 00:00:00.000 a.1 b 0 x"
    text = f"orphan\n\nJan 01 00:00:00.000 a.1 b 0 {rest}\n"
    found = list(parse_text(text, TextOptions(source="log.txt"), findings.append))
    assert [packet.text for packet in found] == [rest]
    assert [str(finding.origin) for finding in findings] == ["log.txt:1"]
    assert not parse("")
    assert not parse("Time             Sev Major Minor Args\n")
    assert list(parse_text("Jan 01 00:00:00.000 a.1 1 text\nFeb 30 00:00:00.000 a.1 1 text\nnoise.", OPTIONS))
    assert not list(parse_text("Feb 30 00:00:00.000 a.1 1 text\nFeb 30 00:00:00.000 nopid b 1 text", OPTIONS))


def test_carriage_returns_of_a_terminal() -> None:
    """A capture with carriage returns reads like one without."""
    assert parse(BB10_A.replace("\n", "\r\n")) == parse(BB10_A)


def test_year_and_zone() -> None:
    """The year goes up from December to January, and only there; February 29 is believed; the zone is the caller's."""
    zone = timezone(timedelta(hours=8))
    texts = [
        "Nov 30 10:00:00.000",
        "Dec 31 23:59:59.999",
        "Jan 01 00:00:00.000",
        "Feb 29 12:00:00.000",
        "Sep 01 00:00:00.000",
    ]
    found = parse("\n".join(f"{text} a.1 b 0 x" for text in texts), TextOptions(year=2022, zone=zone))
    moments = [datetime.fromtimestamp(packet.timestamp / 1e9, zone) for packet in found]
    assert [(moment.year, moment.month) for moment in moments] == [
        (2022, 11),
        (2022, 12),
        (2023, 1),
        (2020, 2),
        (2023, 9),
    ]
    assert parse("Jan 01 00:00:00.000 a.1 b 0 x", TextOptions())[0].timestamp > 0


def test_more_times_than_are_remembered() -> None:
    """A long log, with more seconds than are kept in mind, is read rightly."""
    lines = [f"Jan 01 {i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}.000 a.1 b 0 x" for i in range(5000)]
    found = parse("\n".join(lines))
    assert [(packet.timestamp - found[0].timestamp) // 1_000_000_000 for packet in found] == list(range(5000))


def test_sloginfo_text() -> None:
    """The older tool's lines give severity, major code as buffer, minor as code; its header line is passed over."""
    text = """\
Time                 Sev Major Minor Args
Jan 01 00:00:03.123    5    14     3 resmgr: started
Jan 01 00:00:04    2    12     0 Pid 7
more of it
Jan 01 00:00:05    7     1     1
"""
    found = parse(text)
    assert [(p.severity, p.stream.buffer_name, p.code, p.text) for p in found] == [
        (5, "14", 3, "resmgr: started"),
        (2, "12", 0, "Pid 7\nmore of it"),
        (7, "1", 1, ""),
    ]
    assert found[0].timestamp % 1_000_000_000 == 123_000_000
    assert is_text(text.encode())
    assert is_text(text.split("\n")[1].encode())
    assert not list(parse_text("Foo 01 00:00:03    5    14     3 x", OPTIONS))


def test_what_is_text() -> None:
    """Captures are told from sets and from other files."""
    assert is_text(b"\nlogin: root\n" + BB10_A.encode())
    assert not is_text(b"IOSLOG2\0" + bytes(100))
    assert not is_text(b"some other text\n")


NAMES = st.text(string.ascii_letters + string.digits + "_-./%", min_size=1, max_size=40).filter(
    lambda name: "/" not in name and name[0] != "." != name[-1]
)
BUFFERS = st.text(string.ascii_letters + string.digits + "_-.", max_size=40)
# A line that ends with a carriage return is taken for one that a serial terminal ended, so no message here does.
MESSAGES = st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=60).map(
    lambda text: text.rstrip("\r")
)


def said(packet: Packet) -> tuple[object, ...]:
    """Return all that a line says of a packet, but for the flag."""
    stream = packet.stream
    origin = stream.file_name, stream.set_name, stream.owner_pid, stream.buffer_name
    return packet.timestamp, origin, packet.code, packet.severity, packet.text


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 90 * 86400 * 1000), NAMES, st.integers(1, 1 << 22), st.integers(0, 12), BUFFERS,
            st.integers(0, 65535), st.integers(0, 7), st.booleans(), MESSAGES,
        ),
        max_size=8,
    )
)  # fmt: skip
def test_text_out_then_in_is_the_identity(rows: list[tuple[int, str, int, int, str, int, int, bool, str]]) -> None:
    """Any set, buffer without blanks, code, severity and message of one line comes back from its text."""
    start = 1_700_000_000_000 - 1_700_000_000_000 % (86400 * 1000)
    packets = []
    for ms, name, pid, instance, buffer, code, severity, first, text in rows:
        stream = Stream(f"{name}.{pid}" + (f"..{instance}" if instance else ""), name, pid, buffer)
        packets.append(
            Packet((start + ms) * 1_000_000, stream, 0 if first else 1, severity, code, 0, 0, Form.STRING, text)
        )
    packets.sort(key=lambda packet: packet.timestamp)
    line = line_formatter(LineStyle(severity=True, zone=UTC))
    year = datetime.fromtimestamp(packets[0].timestamp // 10**9, UTC).year if packets else 2023
    options = TextOptions(year=year, zone=UTC, severity=True)
    found = parse("".join(line(packet) + "\n" for packet in packets), options)
    assert list(map(said, found)) == list(map(said, packets))
    assert [p.number == 0 for p in found] == [p.number == 0 for p in packets]


def test_columns(tmp_path: Path) -> None:
    """Columns are 30, 20, flag and 6 wide, long names push the rest, and the severity has a column of its own."""
    stream = Stream("AdSDK.591851775", "AdSDK", 591851775, "NativeAdSDK")
    packet = Packet(1_388_016_262_278_000_000, stream, 0, 5, 0, 1, 2, Form.STRING, "text")
    assert line_formatter(LineStyle(severity=True, zone=UTC))(packet) == (
        "Dec 26 00:04:22.278                AdSDK.591851775          NativeAdSDK*     0  5  text"
    )
    unknown = packet._replace(severity=UNKNOWN_SEVERITY, number=1, code=65535)
    assert line_formatter(LineStyle(severity=True, zone=UTC))(unknown).endswith("          NativeAdSDK  65535  -  text")
    assert line_formatter(LineStyle(zone=UTC))(packet).endswith("NativeAdSDK*     0  text")
    wide = packet._replace(stream=Stream("x" * 40 + ".1", "x" * 40, 1, "y" * 25))
    assert line_formatter(LineStyle(zone=UTC))(wide) == f"Dec 26 00:04:22.278 {'x' * 40}.1 {'y' * 25}*     0  text"
    assert line_formatter(LineStyle(zone=UTC))(online(stream, 0)) == (
        "Jan 01 00:00:00.000                AdSDK.591851775                           0  -----ONLINE-----"
    )
    assert line_formatter(LineStyle(zone=UTC))(unsync(stream, 0, 0, 7)).endswith(
        "NativeAdSDK      0  -----UNSYNC----- 7 lost"
    )
    with make(tmp_path) as writer:
        writer.log(0, 0, 5, "local time")
    local = line_formatter(LineStyle())(read(tmp_path)[0])
    assert local[:12] == datetime.now().astimezone().strftime("%b %d %H:%M")[:12]
    assert line_formatter(LineStyle())(packet._replace(timestamp=(1 << 64) - 1))
    assert line_formatter(LineStyle())(packet._replace(timestamp=10**19))


def test_newlines_fields_escapes_and_colour(tmp_path: Path) -> None:
    """Newlines stay or become blanks by register flag, fields follow the first line, controls are escaped on demand."""
    with make(tmp_path, name="a") as writer:
        writer.log_fields(
            0, 0, 3, "one\n\ntwo", {"sid": 66, "name": 'a "b"', "raw": b"\x01", "none": None, "f": 1.5, "l": [1]}
        )
        writer.log(0, 0, 2, "red \x1b[31m \x9b alert\ttab")
    with make(tmp_path, name="b", flags=RegisterFlag.DISCARD_NEWLINE) as writer:
        writer.log(0, 0, 7, "one\r\n\ntwo")
    first, second, third = read(tmp_path)
    plain = line_formatter(LineStyle())
    assert plain(first).endswith('  one sid=66 name="a \\"b\\"" raw=01 none=null f=1.5 l=[1]\n\ntwo')
    assert plain(second).endswith("red \x1b[31m \x9b alert\ttab")
    assert plain(third).endswith("  one two")
    assert line_formatter(LineStyle(fields=False))(first).endswith("  one\n\ntwo")
    safe = line_formatter(LineStyle(escape=True, colour=True))
    assert safe(second).endswith("red \\x1b[31m \\x9b alert\ttab\x1b[0m")
    assert safe(second).startswith("\x1b[31m")
    assert not safe(first._replace(severity=5)).startswith("\x1b")
    assert format_fields({"a b": "c", "e": ""}) == ' "a b"=c e=""'


def test_many_codes_are_formatted_rightly() -> None:
    """The memory of what lines have in common is bounded, and never mixes codes or buffers."""
    line = line_formatter(LineStyle(zone=UTC))
    one, two = Stream("a.1", "a", 1, "x"), Stream("a.1", "a", 1, "y")
    for code in range(9000):
        stream = (one, two)[code // 3 % 2]
        text = line(Packet(0, stream, 1, code % 8, code, 0, 0, Form.STRING, "t"))
        assert text.split() == ["Jan", "01", "00:00:00.000", "a.1", stream.buffer_name, str(code), "t"]
