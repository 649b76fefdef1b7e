"""What the commands of the manager share: the board that they work on, and how the manager is started on it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..iommu import Memory
    from ..manager import Machine, Manager
    from ..topology import Topology


def add_board(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a board."""
    add = parser.add_argument
    add("--board", nargs="+", required=True, metavar="SOURCE", help="the board's tables, tree or folder, as for dump")
    output.add_configurations(parser)
    add("--scenario", default="", metavar="FILE", help="play a scenario of VMs first; its steps go to stderr")
    add("--degraded", action="store_true", help="start though not everything is known: UNSAFE, protects less")


def load_board(arguments: argparse.Namespace) -> Topology:
    """Return the topology of the board that was named."""
    from ..topology.load import load_topology

    return load_topology(arguments.board, arguments.config, keep=arguments.keep, board_module=arguments.board_module)


@dataclass(frozen=True, slots=True)
class Started:
    """A simulated board and the manager that has taken it over.

    Attributes:
        machine: the board.
        manager: its manager.
        as_expected: every step of the scenario had the result that it expects; true without a scenario.
    """

    machine: Machine
    manager: Manager
    as_expected: bool = True


def start_manager(
    topology: Topology,
    *,
    degraded: bool,
    make_memory: Callable[[list[tuple[int, int]]], Memory] | None = None,
    caching: bool = True,
    scenario: str = "",
) -> Started:
    """Simulate the board and start the manager on it; see `manager.simulate`. Then play a scenario, if one is named.

    Raises ManagerError when it is not safe to start, or the scenario cannot be played.
    """
    from ..iommu import Memory
    from ..manager import Manager, simulate

    machine = simulate(topology, make_memory or Memory, caching=caching)
    if scenario:
        return _played(topology, machine, scenario, degraded=degraded)
    return Started(machine, Manager(topology, machine.ports, machine.private, degraded=degraded))


def _played(topology: Topology, machine: Machine, path: str, *, degraded: bool) -> Started:
    """Play a scenario on the board, and return what it left behind."""
    from ..manager import ManagerError
    from ..manager.scenario import draw_step, play
    from ..parsers.scenario import read_scenario

    scenario = read_scenario(path)
    story = play(topology, scenario, degraded=degraded, machine=machine)
    if story.manager is None:
        raise ManagerError("EINVAL", "SCENARIO-NO-MANAGER", "the scenario has no manager, and nothing to show", path)
    for finding in scenario.findings:
        sys.stderr.write(f"{finding}\n")
    as_expected = True
    for step in story:
        as_expected = as_expected and step.as_expected
        sys.stderr.writelines(f"{line}\n" for line in draw_step(step))
    return Started(machine, story.manager, as_expected)
