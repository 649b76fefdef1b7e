"""What the commands of the manager share: the board that they work on, and how the manager is started on it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..iommu import Memory
    from ..manager import Machine, Manager
    from ..topology import Topology


def add_board(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a board."""
    add = parser.add_argument
    add("--board", nargs="+", required=True, metavar="SOURCE", help="the board's tables, tree or folder, as for dump")
    add("--config", action="append", default=[], metavar="FILE", help="a .smmu file to lay over the board")
    add("--keep", action="store_true", help="let the board's facts stay where the configuration says otherwise")
    add("--board-module", default="", metavar="NAME", help="name or file of a board module")
    add("--degraded", action="store_true", help="start though not everything is known: UNSAFE, protects less")


def load_board(arguments: argparse.Namespace) -> Topology:
    """Return the topology of the board that was named."""
    from ..topology.load import load_topology

    return load_topology(arguments.board, arguments.config, keep=arguments.keep, board_module=arguments.board_module)


@dataclass(frozen=True, slots=True)
class Started:
    """A simulated board and the manager that has taken it over."""

    machine: Machine
    manager: Manager


def start_manager(
    topology: Topology,
    *,
    degraded: bool,
    make_memory: Callable[[list[tuple[int, int]]], Memory] | None = None,
    caching: bool = True,
) -> Started:
    """Simulate the board and start the manager on it; see `manager.simulate`.

    Raises ManagerError when it is not safe to start.
    """
    from ..iommu import Memory
    from ..manager import Manager, simulate

    machine = simulate(topology, make_memory or Memory, caching=caching)
    return Started(machine, Manager(topology, machine.ports, machine.private, degraded=degraded))
