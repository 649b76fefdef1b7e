"""The door of the package: a log in, records out, and what there is to say of the log as a whole."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from ...base import Finding
from .boot import read_group
from .envelope import Envelope
from .families import NEEDLES, who
from .joiner import Joiner, Part
from .records import LogLine, LogRecord, Suppressed
from .stream import ByteSource, LineFinder
from .trace import read_trace

MAX_UNPARSED = 100
"""Most lines that are kept of those that look like faults and are not understood; the others are only counted."""

_NEEDLES = re.compile(NEEDLES.pattern + rb'|"MESSAGE" ?: ?\[')
"""A message of the journal that has bytes which are no text is a list of numbers, in which no needle can be found."""

_SUPPRESSED = re.compile(r"\b(\w{1,64}): (\d{1,12}) callbacks suppressed")
_OURS = re.compile("iommu|smmu|dmar|ipmmu|dart")
_LIKE_A_FAULT = re.compile(
    r"\bfaults?\b|Event logged|Request device \[|\bevent 0x|overflow|aborted|timed out|time-?out\b", re.IGNORECASE
)


@dataclass(slots=True)
class LogCounts:
    """What was read.

    Attributes:
        lines: lines in all.
        size: bytes in all, unpacked.
        recognised: lines that records were made of.
        unparsed: lines that look like faults of an IOMMU and are not understood.
        cut: lines of over `MAX_LINE` bytes, of those that were looked at.
        suppressed: how many lines the kernel says it did not print.
    """

    lines: int = 0
    size: int = 0
    recognised: int = 0
    unparsed: int = 0
    cut: int = 0
    suppressed: int = 0

    @property
    def unrelated(self) -> int:
        """Lines of other matters."""
        return self.lines - self.recognised - self.unparsed


@dataclass(slots=True)
class KernelLog:
    """A log that is being read: iterate over it for its records; the rest says what was met so far.

    Attributes:
        name: name of the log.
        counts: see `LogCounts`.
        unparsed: the first lines that look like faults and are not understood.
        findings: what is wrong with the log as a file.
    """

    name: str
    counts: LogCounts
    records: Generator[LogRecord, None, None] = field(init=False)
    unparsed: list[LogLine] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def __iter__(self) -> Iterator[LogRecord]:
        """Iterate over the records that are left."""
        return self.records

    def close(self) -> None:
        """Let go of the file at once, where not all records are wanted."""
        self.records.close()


def read_kernel_log(
    source: BinaryIO | str | os.PathLike[str],
    *,
    name: str | None = None,
    year: int | None = None,
    wait: Callable[[], bool] | None = None,
) -> KernelLog:
    """Read what a kernel's log says of IOMMUs, record by record, in constant memory.

    Args:
        source: a path, `-` for the standard input, or an open binary file; plain text, `journalctl -o json`, or gzip of
            either.
        name: what to call it in origins; None for its path.
        year: year of times that have none; None for the present one.
        wait: called at the end of a file that may grow; reading goes on as long as it returns true.

    Returns:
        The log; its records are read while one iterates. A record leaves when all its lines are there, so records of
        different units may change their order.

    Raises:
        ParseError: the log cannot be opened; while iterating: it is packed in a way that is not read here.
    """
    stream = ByteSource(source, name, wait)
    log = KernelLog(stream.name, LogCounts(), findings=stream.findings)
    log.records = _records(stream, log, Envelope(log.name, year))
    return log


def _records(stream: ByteSource, log: KernelLog, envelope: Envelope) -> Generator[LogRecord, None, None]:
    """Iterate over the records of a log, and keep count."""
    finder: LineFinder | None = None
    joiner = Joiner()
    for chunk in stream.chunks():
        if not chunk:
            yield from joiner.flush()
            continue
        if finder is None:
            finder = LineFinder(_NEEDLES if chunk.lstrip()[:1] == b"{" else NEEDLES)
        found = finder.feed(chunk)
        log.counts.lines, log.counts.size, log.counts.cut = finder.lines, finder.size, finder.cut
        if found:
            yield from _read(found, log, envelope, joiner)
        yield from joiner.expire(finder.lines)
    if finder is not None:
        found = finder.finish()
        log.counts.lines, log.counts.cut = finder.lines, finder.cut
        yield from _read(found, log, envelope, joiner)
    yield from joiner.flush()


def _read(found: list[tuple[int, bytes]], log: KernelLog, envelope: Envelope, joiner: Joiner) -> Iterator[LogRecord]:
    """Make records of lines that may matter."""
    counts, open_line = log.counts, envelope.open
    for number, raw in found:
        known = strange = False
        for line in open_line(number, raw):
            done = _recognise(line, joiner)
            if done is None:
                strange = strange or _LIKE_A_FAULT.search(line.message) is not None
            elif done is False:
                strange = True
            else:
                known = True
                if done is not True:
                    if isinstance(done, Suppressed):
                        counts.suppressed += done.count
                    yield done
        if known:
            counts.recognised += 1
        elif strange:
            counts.unparsed += 1
            if len(log.unparsed) < MAX_UNPARSED:
                log.unparsed.append(line)


def _recognise(line: LogLine, joiner: Joiner) -> LogRecord | bool | None:
    """Return a record that is whole now, True for a line that is kept, False for an orphan, None for anything else."""
    said = who(line)
    if said is None:
        return _other(line)
    families, driver, unit, rest = said
    for family in families:
        for kind in family.kinds:
            match = kind.pattern.match(rest)
            if match is not None:
                key = driver if family.shared else f"{driver} {unit}"
                part: Part = tuple.__new__(Part, (kind.name, match, line))
                return joiner.add(kind, part, driver, unit, key)
    return _other(line)


def _other(line: LogLine) -> LogRecord | None:
    """Return what a line says that is of no driver: groups, trace events, what was suppressed."""
    message = line.message
    if " callbacks suppressed" in message:
        match = _SUPPRESSED.search(message)
        if match is not None and _OURS.search(match[1]):
            return Suppressed(line, line.text, "", "", match[1], int(match[2]))
        return None
    if "IOMMU:" in message:
        return read_trace(line)
    if " group " in message:
        head, _, rest = message.partition(": ")
        driver, _, device = head.partition(" ")
        return read_group(line, driver, device, rest)
    return None
