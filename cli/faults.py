"""`iommuman faults`: the faults of logs as a stream, attributed to devices: text, JSON Lines, or into the log."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from ..base import printable
from . import output
from .fault_input import FaultBoard, FaultSource, add_board, load_board
from .fault_journal import FaultJournal, is_journal

if TYPE_CHECKING:
    from ..faults import Fault

_PAUSE = 0.1
"""Seconds between looks at a file that may grow."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = """\
A LOG is a kernel's log (a file, '-' for stdin, /dev/kmsg; plain, gzip, or 'journalctl -o json'), JSON Lines of faults,
or a log of slog2. Lines about other matters pass by.

Exit status: 0 read, 1 read but there are findings (on stderr), 2 wrong usage, 3 a source cannot be read.
"""
    add = parser.add_argument
    add("logs", nargs="+", metavar="LOG", help="a log; '-' for stdin")
    add_board(parser)
    add("--follow", action="store_true", help="wait for more at the end of the last log")
    add("--year", type=int, metavar="YEAR", help="year of times that have none; default: this one")
    add("--format", choices=("text", "jsonl"), default="text", help="default: text; jsonl: OpenTelemetry's names")
    add(
        "--to", type=_to, default="stdout", metavar="WHERE",
        help="stdout (default); slog2: into the log, buffer set 'iommuman'; or the journal: journald, journald:SOCKET",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Stream the faults."""
    board = load_board(arguments)
    source = FaultSource()
    last = arguments.logs[-1]
    with _Out(arguments, board) as out:
        for log in arguments.logs:
            wait = _wait if arguments.follow and log is last else None
            with closing(source.read([log], year=arguments.year, wait=wait)) as faults:
                for fault in faults:
                    out(fault)
                    if wait is not None:
                        sys.stdout.flush()
    source.tell()
    return output.report([*(board.topology.findings if board else ()), *source.findings])


def _to(text: str) -> str:
    if text in {"stdout", "slog2"} or is_journal(text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither stdout, slog2, journald nor journald:SOCKET")


def _wait() -> bool:
    time.sleep(_PAUSE)
    return True


class _Out:
    """Where faults go, in the form that was asked for."""

    def __init__(self, arguments: argparse.Namespace, board: FaultBoard | None) -> None:
        self._board = board
        self._close: Callable[[], object] = lambda: None
        if arguments.to == "slog2":
            self._put = self._slog2()
        elif is_journal(arguments.to):
            self._put = self._journal(arguments.to)
        elif arguments.format == "jsonl":
            from ..faults.report.out import json_line

            self._put = lambda fault: output.write(json_line(fault) + "\n")
        else:
            self._put = self._text

    def __enter__(self) -> _Out:  # noqa: PYI034 - the class is private
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the log."""
        self._close()

    def __call__(self, fault: Fault) -> None:
        """Put out one fault, with what the board knows: what its address falls in, and the device of its ID.

        Of several that share an ID none is picked.
        """
        if self._board is not None:
            from dataclasses import replace

            found = self._board.attribute(fault)
            several = (("devices", " or ".join(found.devices)),) if len(found.devices) > 1 else ()
            place = " and ".join(place.name for place in found.places)
            device = found.devices[0] if len(found.devices) == 1 else "" if several else fault.device
            fault = replace(fault, device=device, place=place, facts=(*fault.facts, *several))
        self._put(fault)

    @staticmethod
    def _text(fault: Fault) -> None:
        from ..faults.report.out import sentence

        devices = dict(fault.facts).get("devices")
        sharers = f", which {devices} send" if devices else ""
        place = f", in {fault.place}" if fault.place else ""
        output.write(printable(f"{fault.origin}: {sentence(fault)}{sharers}{place}") + "\n")

    def _slog2(self) -> Callable[[Fault], None]:
        from ..faults.report.out import to_slog2
        from ..logging_backend import BufferConfig, SetConfig, register

        writer = register(SetConfig("iommuman", (BufferConfig("faults", 128),)))
        self._close = writer.close

        def put(fault: Fault) -> None:
            writer.log_fields(0, *to_slog2(fault), fault.time if fault.clock == "utc" else None)

        return put

    def _journal(self, where: str) -> Callable[[Fault], None]:
        import os

        from ..logging_backend.errors import refuse

        journal = FaultJournal(where)
        self._close = journal.close

        def put(fault: Fault) -> None:
            error = journal.send(fault)
            if error:
                raise refuse("SLOG2-JOURNAL", str(journal.path), "cannot be written to", found=os.strerror(error))

        return put
