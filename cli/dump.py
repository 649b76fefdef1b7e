"""`iommuman dump`: a board's topology as a tree, a table, JSON or a graph."""

from __future__ import annotations

import argparse
import sys

from . import output


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    output.add_sources(parser, needed=False)
    output.add_configurations(parser)
    parser.add_argument("--format", choices=("tree", "table", "json", "dot"), default="tree", help="default: tree")
    parser.add_argument(
        "--provenance", action="store_true", help="say for each line from which file, table and offset it is known"
    )
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="default: auto")
    parser.set_defaults(fail=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Show the topology of the sources."""
    from ..topology.load import load_topology

    if not (arguments.sources or arguments.config or arguments.board_module):
        arguments.fail("name at least one SOURCE, --config or --board-module")
    topology = load_topology(
        arguments.sources, arguments.config, keep=arguments.keep, board_module=arguments.board_module, named=True
    )
    if arguments.format == "json":
        from ..topology.draw.json import draw_json

        text = draw_json(topology)
    elif arguments.format == "dot":
        from ..topology.draw.dot import draw_dot

        text = draw_dot(topology)
    elif arguments.format == "table":
        from ..topology.draw.table import draw_table

        text = draw_table(topology, provenance=arguments.provenance)
    else:
        from ..topology.draw.tree import draw_tree

        colour = output.use_colour(arguments.color, sys.stdout)
        text = draw_tree(topology, provenance=arguments.provenance, colour=colour)
    output.write(text)
    return output.report(topology.findings, topology.passed_over)
