"""`iommuman slog2info`, and the program `slog2info`: show the logs of buffer sets, as QNX's `slog2info` does.

The short options are those of the QNX tool as far as they are known, and the lines are laid out as its are. Long
options are ours. Files given with `-l` may be saved copies, single sets, or text captured from `slog2info` or
`sloginfo` on a target.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from ..base import Finding, printable
from .output import FINDINGS, OK, complain, report, use_colour, write

if TYPE_CHECKING:
    from ..logging_backend import Packet, SetHeader

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGO = re.compile(r"([0-9]{1,9})([smhd])")
_SECOND = 1_000_000_000
_NO_CODE = -1
_ANY_SEVERITY = 255
_PEEK = 65536
_MAX_TEXT = 1 << 30

EPILOG = """\
A buffer set is a log that one program writes; its file lies in a folder of the user's own, and outlives the program.
Without options, the packets of all sets are shown once, in the order of their times.

Exit status: 0 shown, 1 shown but something is damaged (on stderr), 2 wrong usage, 3 a file cannot be read.
"""

Chunks = Iterable[list["Packet"]]
Keep = Callable[["Packet"], bool]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("-w", dest="wait", action="store_true", help="show what there is, then wait for more")
    add("-W", dest="wait_new", action="store_true", help="wait for new packets only")
    add("-b", dest="names", metavar="NAME", action="append", default=[], help="only this buffer set (or a,b,...)")
    add("-c", dest="clear", action="store_true", help="clear the log: show nothing, forget what is there")
    add(
        "-l",
        dest="file",
        metavar="FILE",
        type=Path,
        help="read a saved log, or text of slog2info or sloginfo ('-': stdin)",
    )
    add("-v", dest="verbose", action="store_true", help="also buffers that ask to be skipped")
    add("-e", dest="code", metavar="CODE", type=_code, default=_NO_CODE, help="only packets with this user code")
    add("-s", dest="severity_column", action="store_true", help="show the severity")
    add("--set", dest="patterns", metavar="GLOB", action="append", default=[], help="only sets whose name matches")
    add(
        "--severity",
        metavar="LEVEL",
        type=_severity,
        default=_ANY_SEVERITY,
        help="this severity and worse: 0 to 7, or a name",
    )
    add("--since", metavar="WHEN", type=_when, help="from this time on: ISO 8601, or 90s, 10m, 2h, 1d ago")
    add("--until", metavar="WHEN", type=_when, help="up to this time")
    add("--grep", metavar="REGEX", type=_regex, help="only packets whose text matches")
    add("--count", metavar="N", type=_count, help="only the newest N of what is there")
    add("--json", action="store_true", help="JSON Lines in OpenTelemetry's names")
    add("--utc", action="store_true", help="times in UTC, not in local time")
    add("--year", type=_count, help="year of the first line, for text")
    add("--color", "--colour", choices=("auto", "always", "never"), default="auto", help="by severity; default: auto")
    add(
        "--dir",
        dest="directory",
        type=Path,
        help="folder of the sets (default: IOMMUMAN_SLOG2_DIR, else the user's own)",
    )
    add("--list", action="store_true", help="list sets and buffers instead of packets")
    add("--save", metavar="FILE", type=Path, help="save a copy of the sets to a new file, to read with -l")


def run(arguments: argparse.Namespace) -> int:
    """Do what the options say, and return the exit status. Raises IommumanError when a file cannot be read."""
    findings: list[Finding] = []
    _require_folder(arguments)
    chosen = _set_filter(arguments)
    if arguments.clear:
        return _clear(arguments, chosen)
    if arguments.list:
        _list(arguments, chosen, findings)
    elif arguments.save is not None:
        from ..logging_backend import save

        save(arguments.save, arguments.directory, chosen, findings.append)
    else:
        keep, line = _packet_filter(arguments), _line(arguments)
        chunks = _chunks(arguments, chosen, findings.append)
        if arguments.count is not None and not (arguments.wait or arguments.wait_new):
            chunks = _newest(chunks, keep, arguments.count)
        for chunk in chunks:
            write("".join([line(packet) + "\n" for packet in chunk if keep(packet)]))
            if arguments.wait or arguments.wait_new:
                sys.stdout.flush()
    return report(findings)


def _require_folder(arguments: argparse.Namespace) -> None:
    """Refuse a folder that is named and not there, unless it is waited for."""
    folder: Path | None = arguments.directory
    if folder is not None and not folder.is_dir() and not (arguments.wait or arguments.wait_new):
        from ..logging_backend.errors import refuse

        advice = "name a folder of buffer sets, or wait for one with -w"
        raise refuse("SLOG2-OPEN", str(folder), "there is no such folder", advice=advice)


def _chunks(
    arguments: argparse.Namespace, chosen: Callable[[SetHeader], bool], found: Callable[[Finding], None]
) -> Chunks:
    """Return the packets to show, in lists, before they are filtered one by one."""
    from ..logging_backend import Follower, follow, snapshot

    if arguments.file is not None:
        return _file(arguments, chosen, found)
    if not arguments.wait and not arguments.wait_new:
        return snapshot(arguments.directory, chosen, found, verbose=arguments.verbose)
    follower = Follower(
        arguments.directory, history=not arguments.wait_new, match=chosen, report=found, verbose=arguments.verbose
    )
    if arguments.count is None or arguments.wait_new:
        return follow(follower)
    return _history_then_more(follow(follower), _packet_filter(arguments), arguments.count)


def _history_then_more(chunks: Iterator[list[Packet]], keep: Keep, count: int) -> Chunks:
    """Yield the newest packets of the first list, which is what there was, then all that follow."""
    for chunk in chunks:
        yield from _newest([chunk], keep, count)
        break
    yield from chunks


def _newest(chunks: Chunks, keep: Keep, count: int) -> Chunks:
    """Return the newest packets among those that are kept: filtered first, so that a chatty program hides nobody."""
    return [list(deque((packet for chunk in chunks for packet in chunk if keep(packet)), maxlen=count))]


def _file(
    arguments: argparse.Namespace, chosen: Callable[[SetHeader], bool], found: Callable[[Finding], None]
) -> Chunks:
    """Return the packets of a saved copy or of a text."""
    from ..logging_backend import read_saved
    from ..logging_backend.directory import open_set
    from ..logging_backend.text_in import TextOptions, is_text, parse_text

    if str(arguments.file) == "-":
        data = sys.stdin.buffer.read(_MAX_TEXT) if sys.stdin is not None else b""
    else:
        with os.fdopen(open_set(arguments.file), "rb") as file:
            if not is_text(file.read(_PEEK)):
                return read_saved(arguments.file, chosen, found, verbose=arguments.verbose)
            file.seek(0)
            data = file.read(_MAX_TEXT)
    zone = UTC if arguments.utc else None
    options = TextOptions(year=arguments.year, zone=zone, source=str(arguments.file))
    names = _names(arguments)
    packets = parse_text(data.decode("utf-8", "replace"), options, found)
    return ([packet] for packet in packets if not names or any(_named(packet.stream.set_name, name) for name in names))


def _names(arguments: argparse.Namespace) -> list[tuple[str, bool]]:
    """Return the names asked for, each with whether it is a pattern."""
    exact = [(name, False) for names in arguments.names for name in names.split(",")]
    return exact + [(pattern, True) for pattern in arguments.patterns]


def _named(name: str, wanted: tuple[str, bool]) -> bool:
    # The tool on the target cuts names at 63 characters; people paste the whole ones.
    return fnmatchcase(name, wanted[0]) if wanted[1] else name == wanted[0][:63]


def _set_filter(arguments: argparse.Namespace) -> Callable[[SetHeader], bool]:
    names = _names(arguments)
    return lambda header: not names or any(_named(header.set_name, name) for name in names)


def _packet_filter(arguments: argparse.Namespace) -> Keep:
    """Return the function that tells whether a packet is to be shown; a reader's own word on losses always is."""
    from ..logging_backend.names import DataType

    code, severity, pattern = arguments.code, arguments.severity, arguments.grep
    if (arguments.since, arguments.until, pattern, code, severity) == (None, None, None, _NO_CODE, _ANY_SEVERITY):
        return lambda _: True
    zone = UTC if arguments.utc else None
    low, high = _nanoseconds(arguments.since, 0, zone), _nanoseconds(arguments.until, 1 << 64, zone)

    def keep(packet: Packet) -> bool:
        if packet.data_type is DataType.UNSYNC:
            return True
        return (
            low <= packet.timestamp <= high
            and packet.severity <= severity
            and (code in (_NO_CODE, packet.code))
            and (pattern is None or pattern.search(packet.text) is not None)
        )

    return keep


def _line(arguments: argparse.Namespace) -> Callable[[Packet], str]:
    """Return the function that makes a packet's line."""
    if arguments.json:
        from ..logging_backend.jsonl import json_line

        return json_line
    from ..logging_backend.text_out import LineStyle, line_formatter

    colour, zone = use_colour(arguments.color, sys.stdout), UTC if arguments.utc else None
    return line_formatter(LineStyle(arguments.severity_column, zone, colour, escape=sys.stdout.isatty()))


def _clear(arguments: argparse.Namespace, chosen: Callable[[SetHeader], bool]) -> int:
    """Unlink the sets of dead owners, and hide what those of running ones hold."""
    from ..logging_backend import Slog2Error, clear, default_directory
    from ..logging_backend.directory import dead_sets, list_sets, read_header, remove_sets

    directory = arguments.directory or default_directory()
    status = OK
    dead = set(dead_sets(directory))
    for path in list_sets(directory):
        try:
            if not chosen(read_header(path)):
                continue
        except Slog2Error:
            if _names(arguments):
                continue
        if not (remove_sets([path]) if path in dead else clear(path)):
            complain(f"slog2info: cannot clear {printable(str(path))}\n")
            status = FINDINGS
    return status


def _list(arguments: argparse.Namespace, chosen: Callable[[SetHeader], bool], findings: list[Finding]) -> None:
    """Write a line for each buffer: set, buffer, size, packets there are, packets overwritten, whether alive."""
    from ..logging_backend import Slog2Error, buffer_infos, default_directory
    from ..logging_backend.directory import is_alive, list_sets, read_header

    write(f"{'set':>30} {'buffer':>20} {'KiB':>7} {'packets':>10} {'overwritten':>12}  owner\n")
    for path in list_sets(arguments.directory or default_directory()):
        try:
            header = read_header(path)
            infos = buffer_infos(path, findings.append) if chosen(header) else []
        except Slog2Error as error:
            findings.append(error.finding)
            continue
        owner = "closed" if header.closed else "running" if is_alive(header.owner_pid, header.owner_start) else "gone"
        for info in infos:
            there = info.stored - info.overwritten
            sizes = f"{info.buffer_size >> 10:>7} {there:>10} {info.overwritten:>12}"
            write(f"{printable(info.set_file):>30} {printable(info.buffer_name):>20} {sizes}  {owner}\n")


def _when(text: str) -> datetime:
    match = _AGO.fullmatch(text)
    try:
        if match is not None:
            return datetime.fromtimestamp(time.time() - int(match[1]) * _UNITS[match[2]], UTC)
        moment = datetime.fromisoformat(text)
        moment.timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write 2026-11-21T01:35:52, or 90s, 10m, 2h, 1d"
        ) from error
    return moment


def _nanoseconds(moment: datetime | None, default: int, zone: tzinfo | None) -> int:
    """Return the time in nanoseconds since the epoch; one without a zone is of `zone`, None for the machine's."""
    if moment is None:
        return default
    return round((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() * 1_000_000) * 1000


def _code(text: str) -> int:
    return _limited(text, 0xFFFF)


def _count(text: str) -> int:
    return _limited(text, sys.maxsize)


def _limited(text: str, limit: int) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= limit:
        raise argparse.ArgumentTypeError(f"not a number from 0 to {limit}: {text!r}")
    return number


def _severity(text: str) -> int:
    from ..logging_backend.names import Severity, parse_severity

    severity = parse_severity(text)
    if severity is None:
        names = ", ".join(one.name.lower() for one in Severity)
        raise argparse.ArgumentTypeError(f"{text!r} is no severity; write 0 to 7, or a name: {names}")
    return severity


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program `slog2info`, and return its exit status."""
    from .main import main as run_command

    return run_command(["slog2info", *(sys.argv[1:] if argv is None else argv)])
