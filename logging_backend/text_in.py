"""Reading the text of `slog2info` and of the older `sloginfo`, so that logs of real QNX targets can be worked on here.

The text says less than the packets did, and a reader has to make up its mind about the rest:

- There is no year and no time zone: both are options. From November or December to January or February the year goes
  up.
- The severity column is there only with `-s`, and cannot be told from a message that begins with a digit: it is decided
  for the whole text, by whether every message has one, unless the caller knows.
- A line without a header goes on with the message before it.
- Web pages and mails collapse blanks, so words are found by blanks and not by place. Where the columns are whole they
  decide two things more: that a buffer has no name, and how many leading blanks a message has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from ..base import Finding, Origin
from .decode import Report
from .directory import split_name
from .names import UNKNOWN_SEVERITY
from .packet import Form, Packet, Stream
from .reader import ignore
from .text_out import MONTHS

_MONTH = {name: number for number, name in enumerate(MONTHS, 1)}
_TIME = re.compile(r"[A-Z][a-z]{2} [0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
# time, milliseconds, set and pid, then 20 blanks and the flag of a buffer without a name or the name, code, the rest
_LINE = re.compile(
    r"([A-Z][a-z]{2}.{12})\.([0-9]{3}) ( *[^ ]+) (?: {20}([ *])| {0,19}([^ ]+) ) *([0-9]{1,5})(?:  ?|$)(.*)"
)
_NO_BUFFER = re.compile(r"([A-Z][a-z]{2}.{12})\.([0-9]{3}) +([^ ]+) +([0-9]{1,5})(?:  ?|$)(.*)")
_OLD_LINE = re.compile(
    r"([A-Z][a-z]{2} [0-9]{2} [0-9:]{8})(?:\.([0-9]{3}))? +([0-7]) +([0-9]{1,10}) +([0-9]{1,10})(?: (.*)|$)"
)
_OLD_HEADER = re.compile(r"Time +Sev +Major +Minor +Args *\r?")
_SEVERITY = re.compile(r"[0-7-](?:  |$)")
_LOOSE_SEVERITY = re.compile(r"[0-7-](?: |$)")
_SEVERITIES = {"-": UNKNOWN_SEVERITY} | {str(number): number for number in range(8)}

_WHOLE = 30
"""Width of the column of set and pid."""
_AUTUMN, _WINTER, _LEAP_DAY = 11, 2, 29
_CACHED = 4096
_SECOND = 1_000_000_000
_ONLINE = "-----ONLINE-----"


@dataclass(frozen=True, slots=True)
class TextOptions:
    """What the text does not say.

    Attributes:
        year: year of the first line; None for the present one.
        zone: time zone of the times; None for the machine's.
        severity: whether there is a severity column (`slog2info -s`); None to decide by the whole text.
        source: name of the text for findings.
    """

    year: int | None = None
    zone: tzinfo | None = None
    severity: bool | None = None
    source: str = ""


@dataclass(slots=True)
class _Source:
    """A buffer met in the text.

    Attributes:
        stream: what packets say of it.
        whole: whether its columns are.
        number: the number its next packet gets.
    """

    stream: Stream
    whole: bool
    number: int = 1


_Row = tuple[int, _Source, bool, str, int, str]
"""time in ns, source, whether it is the buffer's first packet, code, severity, message."""


def parse_text(text: str, options: TextOptions, report: Report = ignore) -> Iterator[Packet]:
    """Yield the packets of `slog2info` or `sloginfo` text, whichever it is.

    `number` counts the lines of a buffer in this text, from 0 where the first is marked as the buffer's first, else
    from 1. Lines before the first that is understood are reported. In `sloginfo` text the major code is taken for the
    name of the buffer and the minor one for the code.
    """
    lines = text.split("\n")
    if lines[0].endswith("\r"):  # a capture from a serial terminal
        lines = [line.removesuffix("\r") for line in lines]
    if not lines[-1]:  # the newline that ends the text
        lines.pop()
    reader = _RowReader(options)
    rows = [reader.row(line) for line in lines]
    if any(rows):
        severe = options.severity
        if severe is None:
            severe = _has_severity([row for row in rows if row is not None])
        if severe:
            rows = [_with_severity(row) for row in rows]
    else:
        rows = [reader.old_row(line) for line in lines]
    return _packets(lines, rows, options, report)


def is_text(data: bytes) -> bool:
    """Tell whether the beginning of a file looks like text of either tool, not like a buffer set."""
    reader = _RowReader(TextOptions())
    for line in data.decode("utf-8", "replace").split("\n"):
        whole = line.removesuffix("\r")
        if reader.row(whole) or reader.old_row(whole) or _OLD_HEADER.fullmatch(whole):
            return True
    return False


class _RowReader:
    """Understands lines one by one; remembers times and buffers, of which a text has few."""

    __slots__ = ("_month", "_sources", "_times", "_words", "_year", "_zone")

    def __init__(self, options: TextOptions) -> None:
        self._zone = options.zone
        self._year = options.year or datetime.now(options.zone).year
        self._month = 0
        self._times: dict[str, int | None] = {}
        self._words: dict[tuple[str, str | None], tuple[_Source, bool] | None] = {}
        self._sources: dict[tuple[str, str], _Source] = {}

    def row(self, line: str) -> _Row | None:
        """Return what a line of `slog2info` says, or None when it has no header."""
        match = _LINE.fullmatch(line)
        if match is None:
            return self._row_without_buffer(line)
        time, ms, file, star, word, code, rest = match.groups()
        key = file, word or star
        if key not in self._words:
            self._words[key] = self._source(file, word, star)
        found = self._words[key]
        if found is None:
            return self._row_without_buffer(line)
        when = self._times.get(time) or self._time(time)
        if when is None:
            return None
        return when + int(ms) * 1_000_000, found[0], found[1], code, UNKNOWN_SEVERITY, rest

    def _row_without_buffer(self, line: str) -> _Row | None:
        """With blanks collapsed, a number where the buffer's name should be is the code of a buffer without one."""
        match = _NO_BUFFER.fullmatch(line)
        if match is None:
            return None
        time, ms, file, code, rest = match.groups()
        found, when = self._source(file, None, None), self._time(time)
        if found is None or when is None:
            return None
        return when + int(ms) * 1_000_000, found[0], False, code, UNKNOWN_SEVERITY, rest

    def old_row(self, line: str) -> _Row | None:
        """Return what a line of `sloginfo` says, or None."""
        match = _OLD_LINE.fullmatch(line)
        when = self._time(match[1]) if match is not None else None
        if match is None or when is None:
            return None
        _, ms, severity, major, minor, rest = match.groups()
        source = self._sources.setdefault(("slog.0", major), _Source(Stream("slog.0", "slog", 0, major), whole=True))
        return when + int(ms or 0) * 1_000_000, source, False, minor, int(severity), rest or ""

    def _source(self, padded: str, word: str | None, star: str | None) -> tuple[_Source, bool] | None:
        """Return the buffer, and whether it is marked; None when the words name none."""
        file, whole = padded.lstrip(), len(padded) >= _WHOLE
        named = split_name(file)
        if named is None or (word is not None and word.isdecimal() and not whole):
            return None
        name = "" if word is None else word.removesuffix("*")
        source = self._sources.get((file, name))
        if source is None:
            source = self._sources[file, name] = _Source(Stream(file, named[0], named[1], name), whole)
        return source, star == "*" or (word is not None and word != name)

    def _time(self, text: str) -> int | None:
        """Return nanoseconds of a time; None where there is no such day or hour."""
        month = _MONTH.get(text[:3]) if _TIME.fullmatch(text) else None
        if month is None:
            return None
        if self._month >= _AUTUMN and month <= _WINTER:
            self._year += 1
            self._times.clear()
        self._month = month
        if len(self._times) >= _CACHED:
            self._times.clear()
        second = _second(self._year, month, text, self._zone)
        when = self._times[text] = None if second is None else second * _SECOND
        return when


def _second(year: int, month: int, text: str, zone: tzinfo | None) -> int | None:
    day, hour, minute, second = int(text[4:6]), int(text[7:9]), int(text[10:12]), int(text[13:15])
    if month == _WINTER and day == _LEAP_DAY:
        year -= year % 4  # the year is a guess, the day is not
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def _has_severity(rows: list[_Row]) -> bool:
    """Tell whether there is a severity column: whether every message begins as if there were one."""
    match = (_SEVERITY if any(row[1].whole for row in rows) else _LOOSE_SEVERITY).match
    return all(match(row[5]) for row in rows)


def _with_severity(row: _Row | None) -> _Row | None:
    """Take the severity off the beginning of the message, with the blanks behind it, two or (when collapsed) one."""
    if row is None:
        return None
    text = row[5]
    severity = _SEVERITIES.get(text[:1])
    if severity is None or text[1:2] not in ("", " "):
        return row
    return *row[:4], severity, text[3:] if text[2:3] == " " else text[2:]


def _packets(lines: list[str], rows: list[_Row | None], options: TextOptions, report: Report) -> Iterator[Packet]:
    """Yield a packet for each row, with the lines that follow it without a header."""
    waiting: _Row | None = None
    more: list[str] = []
    for count, row in enumerate(rows):
        if row is not None:
            if waiting is not None:
                yield _packet(waiting, more)
                more = []
            waiting = row
        elif waiting is not None:
            more.append(lines[count])
        elif lines[count] and not _OLD_HEADER.fullmatch(lines[count]):
            where, advice = Origin(options.source, line=count + 1), "it is left out"
            message = "neither a line of slog2info nor the rest of one"
            report(Finding("SLOG2-TEXT", "warning", where, message, found=repr(lines[count][:80]), advice=advice))
    if waiting is not None:
        yield _packet(waiting, more)


def _packet(row: _Row, more: list[str]) -> Packet:
    when, source, first, code, severity, text = row
    if first:
        source.number = 0
    number = source.number
    source.number = number + 1
    if more:
        text = "\n".join((text, *more))
    stream = source.stream
    form = Form.ONLINE if not stream.buffer_name and text == _ONLINE else Form.STRING
    new: Packet = tuple.__new__(Packet, (when, stream, number, severity, int(code), 0, 0, form, text, False))
    return new
