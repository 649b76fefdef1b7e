"""`iommuman report`: who, where and when: the faults of logs summed up, as text, JSON or one page of HTML."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..base import Finding, Origin
from . import output
from .fault_input import FaultBoard, FaultSource, add_board, load_board

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..faults import Fault
    from ..faults.report import News, Summary


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = """\
A LOG is what 'iommuman faults' takes. With --since-report, an earlier report in JSON, what is new since then is said
first: devices, pages and reasons that it does not have, and rates that have grown tenfold.

Exit status: 0 summed up, 1 summed up but there are findings (on stderr), 2 wrong usage, 3 a source cannot be read.
"""
    add = parser.add_argument
    add("logs", nargs="+", metavar="LOG", help="a log; '-' for stdin")
    add_board(parser)
    add("--format", choices=("text", "json", "html"), default="text", help="default: text")
    add("--since-report", metavar="FILE", help="say what is new since this report (JSON)")
    add("--year", type=int, metavar="YEAR", help="year of times that have none; default: this one")


def run(arguments: argparse.Namespace) -> int:
    """Sum up the faults."""
    from ..faults.report import new_since, summarise

    board = load_board(arguments)
    before = _earlier(arguments.since_report) if arguments.since_report else None
    source = FaultSource()
    faults = source.read(arguments.logs, year=arguments.year)
    summary = summarise(faults, board.topology, _device_of(board)) if board else summarise(faults)
    news = new_since(summary, before) if before is not None else None
    output.write(_drawn(arguments.format, summary, news))
    source.tell()
    return output.report([*(board.topology.findings if board else ()), *source.findings])


def _drawn(form: str, summary: Summary, news: News | None) -> str:
    """Return the report in a form; only what draws it is imported."""
    if form == "json":
        from ..faults.report.json import draw_json

        return draw_json(summary, news)
    if form == "html":
        from ..faults.report.html import draw_html

        return draw_html(summary, news)
    from ..faults.report.text import draw_text

    return draw_text(summary, news)


def _device_of(board: FaultBoard) -> Callable[[Fault], str]:
    """Return what names the devices of a fault: all that send its ID, since none is picked of several."""

    def name(fault: Fault) -> str:
        return " or ".join(board.attribute(fault).devices) or fault.device

    return name


def _earlier(path: str) -> Summary:
    """Return an earlier report."""
    from ..faults import FaultError
    from ..faults.report.json import read_json

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        message = f"the earlier report cannot be read: {reason}"
        advice = "name a file that 'iommuman report --format json' wrote"
        raise FaultError(Finding("REPORT-OPEN", "error", Origin(path), message, advice=advice)) from error
    return read_json(text, path)
