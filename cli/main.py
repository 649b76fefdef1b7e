"""`iommuman`: parses the command line, and runs one sub-command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from ..base import IommumanError
from .output import EPILOG, MOST_COLUMNS, UNREADABLE, UNSAFE, USAGE, complain, drop, finding_text, version

COMMANDS = {
    "dump": "show a board's IOMMU topology",
    "who": "tell which IOMMU controls a device and by which ID, or who sends an ID",
    "check": "tell what is wrong with the sources, what systems do about it, and how to mend it",
    "explain-rule": "explain a rule of check, or list them",
    "diff": "show what differs between two boards or configurations, and what it means for isolation",
    "config": "lay out .smmu files, or write one that says what firmware says",
    "explain": "explain a fault: a line of a log, registers, words of a record, or a whole log",
    "faults": "list the faults of logs, attributed to devices",
    "report": "sum up the faults of logs: who, where, when, and what is new",
    "run": "serve clients with a board's IOMMUs, simulated or QEMU's, as smmuman does",
    "client": "be a client of 'iommuman run': grant devices memory, watch what is refused",
    "prove": "prove what every device reaches, from the programmed bits",
    "dma": "make one access as a device, and show what its IOMMU reads and decides",
    "capture": "save a machine's tables, device tree and PCI topology to a folder",
    "slog2info": "show the logs of buffer sets, as QNX's slog2info does",
}
"""Sub-commands with their help; each is a module here, dashes become underscores, with
`configure(parser)` and `run(arguments)`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:  # closed by whoever started us
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - it stays open as long as we run
    parser = _parser(next((word for word in arguments if not word.startswith("-")), ""))
    parsed = argparse.Namespace(trouble=UNREADABLE)
    try:
        status = _run(parser, arguments, parsed)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: that is no error. Python must not flush again at exit.
        drop(sys.stdout)
        return 0
    except KeyboardInterrupt:
        return 130
    except IommumanError as error:
        complain(f"iommuman: {finding_text(error.finding)}\n")
        return UNSAFE if error.finding.rule == "MANAGER-UNSAFE" else UNREADABLE
    except OSError as error:
        drop(sys.stdout)
        complain(f"iommuman: the answer cannot be written: {error.strerror or error}\n")
        return int(parsed.trouble)
    return status


def _run(parser: argparse.ArgumentParser, arguments: list[str], parsed: argparse.Namespace) -> int:
    """Parse the command line into `parsed`, and run the command; return its exit status."""
    try:
        parser.parse_args(arguments, parsed)
        status: int = parsed.run(parsed)
    except SystemExit as stop:  # argparse has said why, or shown what was asked for
        return stop.code if isinstance(stop.code, int) else USAGE
    return status


def _parser(command: str) -> argparse.ArgumentParser:
    """Return the parser; only the module of the command that is asked for is imported and configured."""
    parser = argparse.ArgumentParser(
        prog="iommuman",
        description="Which IOMMU controls which DMA device, by which ID, and how do we know?",
        epilog=EPILOG,
        formatter_class=_formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    # With prog given, argparse need not lay out a usage line, and import what that takes, for every command.
    commands = parser.add_subparsers(metavar="COMMAND", required=True, prog="iommuman")
    for name, text in COMMANDS.items():
        sub = commands.add_parser(name, help=text, description=text, epilog=EPILOG, formatter_class=_formatter)
        if name == command:
            module = importlib.import_module(f".{name.replace('-', '_')}", __package__)
            module.configure(sub)
            sub.set_defaults(run=module.run)
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Lay help out for 100 columns, or COLUMNS: asking the terminal costs an import of shutil for every command."""
    columns = os.environ.get("COLUMNS", "")
    width = min(int(columns[:6]), MOST_COLUMNS) if columns.isdecimal() else 100
    return argparse.RawDescriptionHelpFormatter(prog, width=width)


class _Version(argparse.Action):
    """Shows the installed version; looking it up takes as long as reading a table, so it is done when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"iommuman {version() or '(not installed)'}\n")
        parser.exit()
