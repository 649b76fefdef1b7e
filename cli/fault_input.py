"""What the commands about faults share: the board they are laid beside, and faults from logs, JSON Lines and slog2."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, Literal

from ..base import Finding, Origin, printable
from .output import add_configurations

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from ..faults import Fault
    from ..faults.attribute import Attributor
    from ..parsers.kernel_log import KernelLog, LogLine
    from ..topology import Topology

MOST_UNPARSED = 8
"""Lines that look like faults, and are not understood, that are shown."""

STDIN = "-"

_PEEK = 4096
_SLOG2 = b"IOSLOG2\0"


def add_board(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a board; without one, faults say what their records say."""
    text = "the board's tables, tree or folder, as for dump"
    parser.add_argument("--board", nargs="+", default=[], metavar="SOURCE", help=text)
    add_configurations(parser)


@dataclass(frozen=True, slots=True)
class FaultBoard:
    """A board that faults are laid beside."""

    topology: Topology
    attribute: Attributor


def load_board(arguments: argparse.Namespace) -> FaultBoard | None:
    """Return the board that was named; None when none was."""
    if not (arguments.board or arguments.config or arguments.board_module):
        return None
    from ..faults.attribute import Attributor
    from ..topology.load import assemble, load_inputs

    inputs = load_inputs(arguments.board, arguments.config, board_module=arguments.board_module)
    topology = assemble(inputs, keep=arguments.keep)
    return FaultBoard(topology, Attributor(topology, inputs.memory))


@dataclass(slots=True)
class FaultSource:
    """Faults of several files, and what there is to say of the files once they have been read.

    Attributes:
        findings: what is wrong with them.
        unparsed: lines that look like faults and are not understood.
        lines: lines of kernel logs.
        unrelated: lines about other matters.
    """

    findings: list[Finding] = field(default_factory=list)
    unparsed: list[LogLine] = field(default_factory=list)
    lines: int = 0
    unrelated: int = 0

    def read(
        self, paths: Iterable[str], *, year: int | None = None, wait: Callable[[], bool] | None = None
    ) -> Generator[Fault, None, None]:
        """Yield the faults of files, one after the other: kernel logs, JSON Lines of ours, logs of slog2.

        Raises:
            ParseError: a file cannot be opened, or is packed in a way that is not read here.
        """
        for path in paths:
            kind = _kind(path)
            if kind == "slog2":
                yield from self._slog2(path)
            elif kind == "jsonl":
                yield from self._json_lines(path)
            else:
                yield from self._log(path, None, year, wait)

    def read_text(self, text: str, name: str) -> Generator[Fault, None, None]:
        """Yield the faults of lines of a kernel's log that were typed or pasted."""
        return self._log(BytesIO(text.encode("utf-8", "replace")), name, None, None)

    def _log(
        self, log: str | BinaryIO, name: str | None, year: int | None, wait: Callable[[], bool] | None
    ) -> Generator[Fault, None, None]:
        from ..faults.from_log import from_log
        from ..parsers.kernel_log import read_kernel_log

        with closing(read_kernel_log(log, name=name, year=year, wait=wait)) as found:
            yield from from_log(found)
        self._count(found)

    def _count(self, log: KernelLog) -> None:
        self.findings += log.findings
        self.unparsed += log.unparsed
        self.lines += log.counts.lines
        self.unrelated += log.counts.unrelated

    def _json_lines(self, path: str) -> Iterator[Fault]:
        from ..faults.report.out import from_json_lines

        if path == STDIN:
            yield from from_json_lines(sys.stdin, path, self.findings.append)
            return
        with open(path, encoding="utf-8", errors="replace") as file:
            yield from from_json_lines(file, path, self.findings.append)

    def _slog2(self, path: str) -> Iterator[Fault]:
        from pathlib import Path

        from ..faults.report.losses import Losses
        from ..faults.report.out import from_slog2
        from ..logging_backend import read_saved

        losses = Losses()
        for chunk in read_saved(Path(path), report=self.findings.append, whole=True):
            for packet in chunk:
                stream = packet.stream
                buffer = f"{stream.file_name} {stream.buffer_name}"
                if packet.lost:
                    origin = Origin(path, f"buffer {stream.buffer_name!r} of {stream.file_name}")
                    yield from losses.lost_in(
                        buffer, stream.buffer_name, packet.lost, packet.timestamp, origin, monotonic=stream.monotonic
                    )
                    continue
                fault = from_slog2(packet.fields, Origin(path), self.findings.append)
                if fault is not None:
                    yield from losses.fault_in(buffer)
                    yield fault

    def tell(self) -> None:
        """Say on stderr which lines look like faults and are not understood."""
        for line in self.unparsed[:MOST_UNPARSED]:
            sys.stderr.write(f"not understood: {line.source}:{line.number}: {printable(line.text.strip()[:200])}\n")
        if len(self.unparsed) > MOST_UNPARSED:
            sys.stderr.write(f"not understood: {len(self.unparsed) - MOST_UNPARSED} more lines\n")


def _kind(path: str) -> Literal["slog2", "jsonl", "log"]:
    """Tell what a file holds by its beginning; what cannot be looked at is left to the reader of logs to refuse."""
    if path == STDIN:
        stdin = sys.stdin.buffer
        start = stdin.peek(_PEEK)[:_PEEK] if isinstance(stdin, BufferedReader) else b""
    else:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                return "log"
            with open(path, "rb") as file:
                start = file.read(_PEEK)
        except (OSError, ValueError):
            return "log"
    if start.startswith(_SLOG2):
        return "slog2"
    return "jsonl" if start.lstrip()[:1] == b"{" and b'"SeverityNumber"' in start else "log"
