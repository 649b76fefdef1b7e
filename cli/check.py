"""`iommuman check`: what is wrong with the sources, what systems do about it, and how to mend it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase

from ..base import printable
from . import output

EPILOG = """\
A RULE is the name of a rule (IORT-MAP-OVERLAP), the beginning of names up to a dash (IORT, DMAR-UNIT), or a pattern
(DT-MAP-*); several are separated by commas. 'iommuman explain-rule' lists all rules.

Exit status: 0 nothing but notes, 1 there are errors or warnings, 2 wrong usage, 3 a source cannot be read.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    output.add_sources(parser, needed=False)
    output.add_configurations(parser)
    parser.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="default: text")
    parser.add_argument("--select", metavar="RULE,…", help="look for these alone")
    parser.add_argument("--ignore", metavar="RULE,…", help="pass over these")
    sources, _, _ = output.EPILOG.partition("\n\n")
    parser.epilog = f"{sources}\n\n{EPILOG}"
    parser.set_defaults(fail=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Check the sources."""
    from ..topology.check import Board, check
    from ..topology.load import load_inputs

    if not (arguments.sources or arguments.config or arguments.board_module):
        arguments.fail("name at least one SOURCE, --config or --board-module")
    wanted = _wanted(arguments)
    inputs = load_inputs(arguments.sources, arguments.config, board_module=arguments.board_module)
    board = Board.of(inputs, keep=arguments.keep)
    findings = check(board, wanted)
    for further in inputs.configurations[1:]:
        known = set(findings)
        also = check(replace(board, configuration=further), lambda name: name.startswith("CONFIG-") and wanted(name))
        findings += tuple(one for one in also if one not in known)
    if arguments.format == "json":
        from ..topology.draw.check import draw_check_json

        text = draw_check_json(board, findings)
    elif arguments.format == "sarif":
        from ..topology.draw.sarif import draw_sarif

        text = draw_sarif(board, findings, output.version())
    else:
        from ..topology.draw.check import draw_check

        text = draw_check(board, findings)
    output.write(text)
    output.report((), board.topology.passed_over)
    return output.FINDINGS if any(one.severity != "note" for one in findings) else output.OK


def _wanted(arguments: argparse.Namespace) -> Callable[[str], bool]:
    """Return whether a rule is asked for, as a function of its name; a word that means no rule is wrong usage."""
    from ..topology.check import RULES

    select, ignore = _words(arguments.select), _words(arguments.ignore)
    for word in (*select, *ignore):
        if not any(_means(word, rule.id) for rule in RULES):
            close = output.close_to(word, [rule.id for rule in RULES]) or "; 'iommuman explain-rule' lists all"
            arguments.fail(f"{printable(repr(word))} means no rule{close}")
    return lambda name: (
        (not select or any(_means(word, name) for word in select)) and not any(_means(word, name) for word in ignore)
    )


def _words(text: str | None) -> list[str]:
    return [word.strip().upper() for word in (text or "").split(",") if word.strip()]


def _means(word: str, name: str) -> bool:
    return name == word or name.startswith(f"{word}-") or fnmatchcase(name, word)
