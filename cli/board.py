"""What the commands of the manager share: the board that they work on, and how the manager is started on it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from ..manager import Machine, Manager
    from ..topology import Topology


MACHINES = ("q35", "q35-amd", "virt")
"""Machines of QEMU that boards may be."""


def add_board(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a board."""
    add = parser.add_argument
    add("--board", nargs="+", required=True, metavar="SOURCE", help="the board's tables, tree or folder, as for dump")
    output.add_configurations(parser)
    add("--scenario", default="", metavar="FILE", help="play a scenario of VMs first; its steps go to stderr")
    add("--platform", choices=("simulated", "qemu"), default="simulated", help="what is programmed; default: models")
    add("--machine", choices=MACHINES, default="", help="of QEMU; default: the one that has the board's unit")
    add("--degraded", action="store_true", help="start though not everything is known: UNSAFE, protects less")


def load_board(arguments: argparse.Namespace) -> Topology:
    """Return the topology of the board that was named."""
    from ..topology.load import load_topology

    return load_topology(arguments.board, arguments.config, keep=arguments.keep, board_module=arguments.board_module)


@dataclass(frozen=True, slots=True)
class Started:
    """A board, simulated or emulated, and the manager that has taken it over. Close it.

    Attributes:
        machine: the board.
        manager: its manager.
        as_expected: every step of the scenario had the result that it expects; true without a scenario.
    """

    machine: Machine
    manager: Manager
    as_expected: bool = True

    def close(self) -> None:
        """End the board."""
        self.machine.close()


def start_manager(topology: Topology, arguments: argparse.Namespace, *, traced: bool = False) -> Started:
    """Make the board that the arguments ask for and start the manager on it. Then play a scenario, if one is named.

    Args:
        topology: of the board.
        arguments: those of `add_board`.
        traced: the board notes what its units read, and they remember nothing.

    Raises:
        ManagerError: it is not safe to start, the scenario cannot be played, or the board is not the machine.
        IommuError: QEMU is asked for, and is missing, too old, or does not start.
    """
    from ..manager import Manager

    machine = _machine(topology, arguments, traced=traced)
    try:
        if arguments.scenario:
            return _played(topology, machine, arguments.scenario, degraded=arguments.degraded)
        return Started(machine, Manager(topology, machine.ports, machine.private, degraded=arguments.degraded))
    except BaseException:
        machine.close()
        raise


def _machine(topology: Topology, arguments: argparse.Namespace, *, traced: bool) -> Machine:
    if arguments.platform == "qemu":
        from ..manager.emulated import emulate

        return emulate(topology, arguments.machine, traced=traced)
    from ..manager import ManagerError, simulate

    if arguments.machine:
        raise ManagerError("EINVAL", "PLATFORM-MACHINE", "--machine is one of QEMU: it goes with --platform qemu")
    if traced:
        from ..manager.dma import TracedMemory

        return simulate(topology, TracedMemory, caching=False)
    return simulate(topology)


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
