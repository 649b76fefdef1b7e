"""`iommuman config`: works on `.smmu` files, the configuration of smmuman."""

from __future__ import annotations

import argparse

from ..base import printable
from . import output

_EPILOG = """\
docs/smmu-config.md describes the language of these files.
"""
_FORMAT = """\
Words and comments stay as they are; each option gets a line of its own, and 'use' and 'reserved' are indented below
their device. Files that are included are neither read nor changed.

Exit status: 0 done, or laid out already, 1 --check: not laid out so, 2 wrong usage, 3 the file cannot be read, or has
errors (on stderr) and stays as it is.
"""
_SUGGEST = """\
Laid over the same board (--config), the file changes nothing; what it cannot say stands at its end as comments.

"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands and their arguments."""
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(metavar="SUBCOMMAND", required=True, prog=parser.prog)

    text = "lay a .smmu file out in the canonical way"
    layout = commands.add_parser(
        "format", help=text, description=text, epilog=_FORMAT, formatter_class=parser.formatter_class
    )
    layout.add_argument("file", metavar="FILE", help="the .smmu file")
    choice = layout.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help="change the file instead of printing its new text")
    choice.add_argument("--check", action="store_true", help="change and print nothing; only tell by the exit status")
    layout.set_defaults(subcommand=_format)

    text = "write a .smmu file that says what a board's firmware says"
    board = commands.add_parser(
        "suggest", help=text, description=text, epilog=_SUGGEST + output.EPILOG, formatter_class=parser.formatter_class
    )
    output.add_sources(board, needed=False)
    output.add_board_module(board)
    board.set_defaults(subcommand=_suggest, fail=board.error)


def run(arguments: argparse.Namespace) -> int:
    """Run the sub-command."""
    status: int = arguments.subcommand(arguments)
    return status


def _format(arguments: argparse.Namespace) -> int:
    """Lay a file out."""
    from ..parsers.smmu_config import format_configuration, read_text, syntax_errors

    path = arguments.file
    text = read_text(path)
    errors = syntax_errors(text, path)
    if errors:
        output.report(errors)
        return output.UNREADABLE
    formatted = format_configuration(text, path)
    if arguments.check:
        return _check(path, changes=formatted != text)
    if not arguments.write:
        output.write(formatted)
    elif formatted != text:
        _replace(path, formatted)
    return output.OK


def _suggest(arguments: argparse.Namespace) -> int:
    """Write what the firmware says as a configuration."""
    from ..topology import load_topology
    from ..topology.suggest import suggest, suggestion_text

    if not (arguments.sources or arguments.board_module):
        arguments.fail("name at least one SOURCE, or --board-module")
    topology = load_topology(arguments.sources, board_module=arguments.board_module)
    output.write(suggestion_text(suggest(topology)))
    return output.report(topology.findings, topology.passed_over)


def _check(path: str, *, changes: bool) -> int:
    """Tell whether a file is laid out already."""
    if changes:
        output.complain(f"{printable(path)} would be laid out anew\n")
    return output.FINDINGS if changes else output.OK


def _replace(path: str, text: str) -> None:
    """Put a new text into the place of a file, all of it or none: a configuration cut short would be another one."""
    import shutil
    import tempfile
    from pathlib import Path

    from ..base import Finding, Origin
    from ..parsers import ParseError

    place = Path(path).resolve()
    try:
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".iommuman-") as folder:
            new = Path(folder) / place.name
            new.write_bytes(text.encode())
            shutil.copymode(place, new)
            new.replace(place)
    except OSError as error:
        message = f"this cannot be written: {error.strerror or error}"
        finding = Finding("CONFIG-WRITE", "error", Origin(path), message, advice="the file stays as it was")
        raise ParseError(finding) from error
