"""What all sub-commands share: where messages go, when to use colour, and exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from ..base import Finding, printable

if TYPE_CHECKING:
    import argparse

OK, FINDINGS, USAGE, UNREADABLE, UNSAFE = 0, 1, 2, 3, 4
"""Exit statuses: answered; answered, with findings that matter; wrong usage; input that cannot be read; the manager was
not started, since that would not be safe (smmuman's design safe state is to exit)."""

MOST_COLUMNS = 1000
"""Width up to which COLUMNS is believed: a line takes memory by it."""

MOST_ENTRIES = 8
"""Entries of folders that were passed over and are named."""

EPILOG = """\
A SOURCE is a file (an ACPI table, the text of acpidump, a DTB, a PCI topology written by 'iommuman capture'), a folder
of these, a /sys tree or a copy of one, or 'live' for this machine. Files are known by what they hold, not by name.
Archives (tar, ZIP) and files packed by gzip, bzip2 or xz are read in place, as the folder or file that they hold; of a
raw image of memory, the ACPI tables are. Overlays (.dtbo) are applied to the device tree named before them.

Exit status: 0 answered, 1 answered but there are findings (on stderr), 2 wrong usage, 3 a source cannot be read.
"""


def add_sources(parser: argparse.ArgumentParser, *, needed: bool = True) -> None:
    """Add the SOURCE arguments; `needed`: at least one."""
    text = "file, folder, /sys tree or 'live' (see below)"
    parser.add_argument("sources", nargs="+" if needed else "*", metavar="SOURCE", help=text)


def add_configurations(parser: argparse.ArgumentParser) -> None:
    """Add the options that lay configurations and a board module over the sources."""
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE",
        help="lay this .smmu configuration over what the sources say; several hold in their order",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="what the sources say stays, and --config adds to it")
    add_board_module(parser)


def add_board_module(parser: argparse.ArgumentParser) -> None:
    """Add the option that lays a board module over the sources."""
    parser.add_argument(
        "--board-module", default="", metavar="NAME",
        help="name or file (.toml) of a board module: what the board's firmware does not say",
    )  # fmt: skip


def use_colour(choice: str, stream: TextIO) -> bool:
    """Tell whether to use colour: as chosen, else on a terminal unless NO_COLOR is set or it is a dumb one."""
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(text: str) -> None:
    """Write an answer to stdout; device names that the terminal's encoding lacks are escaped."""
    stream = sys.stdout
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(_plain_lines(text).encode(encoding, "backslashreplace").decode(encoding))


def complain(text: str) -> None:
    """Write to stderr; where that cannot be done, the exit status is all that is left to speak."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """Send what is left of a stream nowhere: Python flushes it again at exit, and fails with a status of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _plain_lines(text: str) -> str:
    """Replace the drawing characters of trees by what every encoding has."""
    return text.translate(str.maketrans("├└─│→", "|`-|>"))


def finding_text(finding: Finding) -> str:
    """Return a finding's sentence, and below it the line of the input that it is about, if it is a text."""
    return "\n".join((printable(str(finding)), *(printable(line) for line in finding.excerpt.splitlines())))


def report(findings: Iterable[Finding], passed_over: Iterable[tuple[str, str]] = (), lead: str = "") -> int:
    """Write findings, and the names of files passed over, to stderr; return the exit status that they ask for.

    `lead` stands before each line: which of several answers it is about.
    """
    status = OK
    for finding in findings:
        complain(f"{lead}{finding.severity}: {finding_text(finding)}\n")
        if finding.severity != "note":
            status = FINDINGS
    entries = [f"{printable(name)} ({printable(reason)})" for name, reason in passed_over]
    if entries:
        more = f", and {len(entries) - MOST_ENTRIES} more" if len(entries) > MOST_ENTRIES else ""
        complain(f"{lead}passed over: {', '.join(entries[:MOST_ENTRIES])}{more}\n")
    return status


def close_to(word: str, known: Sequence[str]) -> str:
    """Return a question after what a misspelt word may have been meant as; nothing when nothing is close."""
    from difflib import get_close_matches

    found = get_close_matches(word, known, 1)
    return f"; did you mean {found[0]}?" if found else ""


def version() -> str:
    """Return the installed version; empty when the package is not installed."""
    from importlib import metadata

    try:
        return metadata.version("iommuman")
    except metadata.PackageNotFoundError:
        return ""
