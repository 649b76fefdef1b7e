"""`iommuman diff`: what differs between two topologies, and what that means for isolation."""

from __future__ import annotations

import argparse
import gc
import sys
from typing import TYPE_CHECKING

from ..base import IommumanError
from . import output

if TYPE_CHECKING:
    from ..topology import Topology
    from ..topology.diff.hunks import Hunk

SAME, DIFFERENT, TROUBLE = 0, 1, 2
"""Exit statuses, those of `diff`."""

EPILOG = """\
A and B are sources as for 'iommuman dump': a file, a folder, a /sys tree or a copy of one, or 'live'.

Lines of A are marked '-', lines of B '+', what has gone elsewhere whole '~'. A line '=' says what a change means: that
it opens isolation (something reaches more, or is told apart from less), closes it, or neither. Places are in brackets.

Exit status, as of diff: 0 the two say the same, 1 they differ, 2 trouble (wrong usage, or one cannot be read). What is
wrong with the sources is said on stderr and does not change it.
"""

FORMATS = ("unified", "side-by-side", "json")

NO_TERMINAL = 130
"""Width of the two sides together when nothing tells how wide the output may be."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("a", metavar="A", help="the one source")
    parser.add_argument("b", metavar="B", help="the other source")
    for side in "ab":
        parser.add_argument(
            f"--config-{side}",
            action="append",
            default=[],
            metavar="FILE",
            help=f"lay a configuration over {side.upper()}; may be given several times",
        )
    parser.add_argument(
        "--keep", action="store_true", help="what A and B say stays where their configuration differs from it"
    )
    parser.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: unified")
    parser.add_argument(
        "-y",
        "--side-by-side",
        action="store_const",
        dest="format",
        const=FORMATS[1],
        help="A left, B right",
    )
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    parser.set_defaults(trouble=TROUBLE)


def run(arguments: argparse.Namespace) -> int:
    """Compare the two sources."""
    # Objects live until the command ends: of two boards of 4,600 functions, a third of the time went into looking for
    # garbage among them, and none was ever found.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _compare(arguments)
    finally:
        if collecting:
            gc.enable()


def _compare(arguments: argparse.Namespace) -> int:
    from ..topology.diff.changes import diff
    from ..topology.diff.hunks import hunks
    from ..topology.diff.meaning import explain
    from ..topology.diff.picture import picture
    from ..topology.load import load_topology

    sides: list[Topology] = []
    for name, path, configurations in (
        ("A", arguments.a, arguments.config_a),
        ("B", arguments.b, arguments.config_b),
    ):
        try:
            sides.append(load_topology([path], configurations, keep=arguments.keep))
        except IommumanError as error:
            output.complain(f"iommuman: {name}: {output.finding_text(error.finding)}\n")
            return TROUBLE
    a, b = (picture(side) for side in sides)
    changes = diff(a, b)
    found = hunks(changes, explain(a, b, changes))
    names = (
        " + ".join((arguments.a, *arguments.config_a)),
        " + ".join((arguments.b, *arguments.config_b)),
    )
    output.write(_drawn(found, names, sides, arguments))
    for name, side in zip("AB", sides, strict=True):
        output.report(side.findings, side.passed_over, f"{name}: ")
    return DIFFERENT if changes else SAME


def _drawn(found: list[Hunk], names: tuple[str, str], sides: list[Topology], arguments: argparse.Namespace) -> str:
    """Return the difference in the form that is asked for."""
    if arguments.format == "json":
        from ..topology.diff.json import draw_json

        return draw_json(found, names, (sides[0].sources, sides[1].sources))
    from ..topology.diff.draw import draw_side_by_side, draw_unified

    colour = output.use_colour(arguments.color, sys.stdout)
    if arguments.format == "unified":
        return draw_unified(found, names, colour=colour)
    return draw_side_by_side(found, names, _width(), colour=colour)


def _width() -> int:
    """Return how many characters a line may have: as COLUMNS says, or as the terminal does."""
    import shutil

    return min(shutil.get_terminal_size((NO_TERMINAL, 24)).columns, output.MOST_COLUMNS)
