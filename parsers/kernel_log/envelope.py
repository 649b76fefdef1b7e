"""Takes off what stands before a kernel's message: levels, times, host and program, the brackets of Xen, JSON.

The shapes are those of `dmesg` with any of its options, `/dev/kmsg`, syslog files (RFC 3164 and ISO times),
`journalctl` with any of its short outputs and `-o json`, and the Xen console. A line may have several, one inside the
other. Of several times the one in UTC counts, else the one since boot, which is the finest, else the one in local time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from .records import LogClock, LogLine

MAX_LAYERS = 8
"""Most prefixes of one line; real lines have up to four."""

_BYTE = 0xFF
_CACHED = 4096
_DIGITS = 18
"""More digits are no time."""
_SECOND = 1_000_000_000
_MONTHS = {name: n for n, name in enumerate(re.findall("...", "JanFebMarAprMayJunJulAugSepOctNovDec"), 1)}

_DMESG = re.compile(r"\[ *(\d{1,9})\.(\d{6})(?:,\d{1,4})?\] ?(?:\[ *[TC]\d{1,10}\] ?)*")
_KMSG = re.compile(r"\d{1,4},\d{1,20},(\d{1,18}),[^;]{1,80};")
_LEVEL = re.compile(r"<\d{1,3}>(?:\d )?|(?:kern|user) *:(?:emerg|alert|crit|err|warn|notice|info|debug) *: ")
_WALL = re.compile(
    r"\[?(?:"
    r"(?P<iso>(?:[A-Z][a-z]{2} )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d| [A-Z]{3,5}(?= ))?"
    r"|(?:[A-Z][a-z]{2} )?(?P<rfc>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)(?:\.(?P<micro>\d{1,9}))?"
    r"(?: (?P<year>\d{4})(?=\]))?"
    r"|(?P<unix>\d{9,11})\.(?P<part>\d{3,9})(?= )"
    r")\]? ?"
)
_NO_HOST = re.compile(r"\[|[^.,]*,")
"""Times that dmesg writes, with no host behind them: in brackets, or with a comma."""

_FOREIGN = re.compile(r"\S{1,255} [^\s:\[\]]{1,64}(?:\[\d{1,10}\])?: ")
_XEN = re.compile(r"\(XEN\) ?")
_KERNEL = re.compile(r"(?:\S{1,255} )?kernel(?:\[\d{1,10}\])?: ?")
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,16}[mK]")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_QUOTE = re.compile(r"(?:[>|] ?)+")


class _Time(NamedTuple):
    time: int
    clock: LogClock


_RANK: dict[str, int] = {"utc": 3, "boot": 2, "local": 1, "": 0}


class Envelope:
    """Takes the prefixes off the lines of one log; remembers times, which repeat."""

    __slots__ = ("_source", "_times", "_year")

    def __init__(self, source: str, year: int | None = None) -> None:
        """Take the name of the log, and the year of times that have none; None for the present one."""
        self._source = source
        self._year = year
        self._times: dict[str, int | None] = {}

    def open(self, number: int, raw: bytes) -> Sequence[LogLine]:
        """Return what the kernel printed: mostly one line, none if another program printed it."""
        text = raw.decode("utf-8", "replace").strip("\0\r\n")
        if text.startswith("["):  # by far the most frequent shape
            match = _DMESG.match(text)
            if match is not None:
                rest = text[match.end() :]
                if not rest.startswith(("<", "\x1b", "[", "(")) and " kernel: " not in rest:
                    time = int(match[1] + match[2]) * 1000
                    # Half the time of LogLine(…), for what is done most often.
                    return (tuple.__new__(LogLine, (self._source, number, text, rest, time, "boot", False)),)
        elif text.startswith("{"):
            lines = self._open_json(number, text)
            if lines is not None:
                return lines
        return self._peel(number, text, text, None)

    def _peel(self, number: int, text: str, rest: str, best: _Time | None) -> list[LogLine]:
        """Take off one prefix after the other until none is left."""
        if "\x1b" in rest:
            rest = _COLOUR.sub("", rest)
        quote = _QUOTE.match(rest)
        rest = rest[quote.end() :] if quote is not None else rest
        xen = escaped = False
        for _ in range(MAX_LAYERS):
            layer = self._layer(rest)
            if layer is None:
                break
            match, time = layer
            if time is not None and (best is None or _RANK[time.clock] > _RANK[best.clock]):
                best = time
            rest = rest[match.end() :]
            xen = xen or match.re is _XEN
            escaped = escaped or match.re is _KMSG
            if match.re is _WALL and not _NO_HOST.match(match[0]) and _FOREIGN.match(rest) and not _KERNEL.match(rest):
                # A host and a program: it is no message of the kernel.
                return []
        if escaped and "\\x" in rest:
            rest = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), rest)
        messages = rest.split("\n") if "\n" in rest else (rest,)
        if best is None:
            return [LogLine(self._source, number, text, message, None, "", xen) for message in messages]
        return [LogLine(self._source, number, text, message, *best, xen) for message in messages]

    def _layer(self, rest: str) -> tuple[re.Match[str], _Time | None] | None:
        """Return the prefix that a line begins with, and the time that it tells."""
        if match := _LEVEL.match(rest) or _XEN.match(rest) or _KERNEL.match(rest):
            return match, None
        if match := _DMESG.match(rest):
            return match, _Time(int(match[1]) * _SECOND + int(match[2]) * 1000, "boot")
        if match := _KMSG.match(rest):
            return match, _Time(int(match[1]) * 1000, "boot")
        if match := _WALL.match(rest):
            return match, self._wall(match)
        return None

    def _open_json(self, number: int, text: str) -> list[LogLine] | None:
        """Return what an entry of `journalctl -o json` says; None when the line is no such entry."""
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(entry, dict) or "MESSAGE" not in entry:
            return None
        message = entry["MESSAGE"]
        if isinstance(message, list):  # bytes that are no text
            if not all(isinstance(byte, int) and 0 <= byte <= _BYTE for byte in message):
                return None
            message = bytes(message).decode("utf-8", "replace")
        if not isinstance(message, str) or "kernel" not in (
            entry.get("_TRANSPORT", "kernel"), entry.get("SYSLOG_IDENTIFIER"),
        ):  # fmt: skip
            return []
        best = None
        for name, clock in (("__REALTIME_TIMESTAMP", "utc"), ("_SOURCE_MONOTONIC_TIMESTAMP", "boot")):
            digits = entry.get(name)
            if best is None and isinstance(digits, str) and digits.isdecimal() and len(digits) <= _DIGITS:
                best = _Time(int(digits) * 1000, "utc" if clock == "utc" else "boot")
        return self._peel(number, message, message, best)

    def _wall(self, match: re.Match[str]) -> _Time | None:
        """Return the time of a wall clock; None where there is no such day or hour."""
        fraction = match["fraction"] or match["micro"] or match["part"] or "0"
        nanoseconds = int(fraction[:9].ljust(9, "0"))
        if match["unix"]:
            return _Time(int(match["unix"]) * _SECOND + nanoseconds, "utc")
        zone = match["zone"] or ""
        known = zone[:1] in ("Z", "+", "-") or zone in (" UTC", " GMT")
        key = f"{match['iso'] or match['rfc']}{zone}{match['year']}"
        if key not in self._times:
            if len(self._times) >= _CACHED:
                self._times.clear()
            self._times[key] = self._seconds(match, zone)
        seconds = self._times[key]
        return None if seconds is None else _Time(seconds * _SECOND + nanoseconds, "utc" if known else "local")

    def _seconds(self, match: re.Match[str], zone: str) -> int | None:
        """Return seconds since 1970, as if a zone that is not known were UTC."""
        try:
            if match["iso"]:
                digits = match["iso"][-19:].replace(" ", "T")
                if zone[:1] not in ("+", "-"):
                    zone = "+00:00"
                elif ":" not in zone:
                    zone = f"{zone[:3]}:{zone[3:]}"
                return int(datetime.fromisoformat(digits + zone).timestamp())
            text = match["rfc"]
            year = int(match["year"] or 0) or self._year or datetime.now(UTC).year
            day, hour, minute, second = (int(text[at : at + 2]) for at in (4, 7, 10, 13))
            return int(datetime(year, _MONTHS[text[:3]], day, hour, minute, second, tzinfo=UTC).timestamp())
        except (KeyError, ValueError, OverflowError):
            return None
