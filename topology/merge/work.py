"""What the parts of a merge share: the topology that is being built, the configuration, and how to report."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from ...base import Finding, Origin, Severity
from ...parsers.smmu_config import Configuration
from ..builder import TopologyBuilder
from ..model import IdMap
from ..topology import Topology

CONFIGURED_AS = "configured as"
"""Property of a unit: the name that a configuration calls it by."""


@dataclass(slots=True)
class Work:
    """One configuration on its way into a topology.

    Attributes:
        builder: what the board says, and what is made of it.
        configuration: what the user says.
        keep: whether the board's facts stay where the two differ.
        board: the topology before the configuration's devices, with its units.
        units: names in the topology, by the names that the configuration uses.
        dropped: names of devices and roots whose maps of memory accesses give way.
        front: new maps that come before those of the board.
        back: new maps that come after them.
    """

    builder: TopologyBuilder
    configuration: Configuration
    keep: bool
    board: Topology = field(init=False)
    units: dict[str, str] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    front: list[IdMap] = field(default_factory=list)
    back: list[IdMap] = field(default_factory=list)

    def report(self, rule: str, severity: Severity, origin: Origin, message: str, **details: str) -> None:
        """Add a finding."""
        self.builder.findings.append(Finding(rule, severity, origin, message, **details))

    def conflict(self, origin: Origin, what: str, user: str, board: str, places: Iterable[Origin]) -> None:
        """Report that the configuration and the board differ, with the place of each."""
        where = ", ".join(dict.fromkeys(str(place) for place in places if str(place)))
        text = f"{what} {user} here, and {board}" + (f" by {where}" if where else "")
        advice = "the board's facts stay, and what they leave open is taken from here" if self.keep else (
            "the board's facts are overridden"
        )  # fmt: skip
        self.report("CONFIG-CONFLICT", "warning" if self.keep else "note", origin, text, advice=advice)


def near(name: str, known: Iterable[str]) -> str:
    """Return advice for a name that is not known: those that look like it."""
    found = difflib.get_close_matches(name, list(known), 3, 0.6)
    return f"did you mean {' or '.join(found)}?" if found else ""
