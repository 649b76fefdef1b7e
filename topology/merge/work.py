"""What the parts of a merge share: the topology that is being built, the configuration, and how to report."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from ...base import Finding, Origin, RangeSet, Severity
from ...parsers.smmu_config import Configuration
from ..builder import TopologyBuilder
from ..model import IdMap, PciRoot, ReservedRegion
from ..topology import Topology

MOST_MISSES, MOST_NAMES = 20, 2000
"""Names for which those that look like them are looked for, and how many are looked at."""


@dataclass(slots=True)
class Work:
    """One configuration on its way into a topology.

    Attributes:
        builder: what the board says, and what is made of it.
        configuration: what the user says.
        keep: whether the board's facts stay where the two differ.
        board: the topology before the configuration's devices, with its units.
        units: names in the topology, by the names that the configuration uses.
        renames: new names of the board's units, by the old.
        kinds: kind of each unit, by its name in the topology.
        roots: PCI roots that are in use, by segment.
        moved: requester IDs whose way by the PCI root ranges have changed, by segment.
        at: names of devices by the address of their registers.
        regions: places of the board's reserved regions for each device; under the empty name, of those for IDs.
        changed: what becomes of the board's reserved regions, by their places; None: they go.
        added: new reserved regions.
        dropped: names of devices and roots whose maps of memory accesses give way.
        front: new maps that come before those of the board.
        back: new maps that come after them.
        misses: names that were not found so far.
    """

    builder: TopologyBuilder
    configuration: Configuration
    keep: bool
    board: Topology = field(init=False)
    units: dict[str, str] = field(default_factory=dict)
    renames: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    roots: dict[int, list[PciRoot]] = field(default_factory=dict)
    moved: dict[int, RangeSet] = field(default_factory=dict)
    at: dict[int, str] = field(default_factory=dict)
    regions: dict[str, list[int]] = field(default_factory=dict)
    changed: dict[int, ReservedRegion | None] = field(default_factory=dict)
    added: list[ReservedRegion] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    front: list[IdMap] = field(default_factory=list)
    back: list[IdMap] = field(default_factory=list)
    misses: int = 0

    def report(self, rule: str, severity: Severity, origin: Origin, message: str, **details: str) -> None:
        """Add a finding."""
        self.builder.findings.append(Finding(rule, severity, origin, message, **details))

    def conflict(
        self, origin: Origin, what: str, user: str, board: str, places: Iterable[Origin], kept: str = "both hold"
    ) -> None:
        """Report that the configuration and the board differ, with the place of each.

        Args:
            origin: where the configuration says it.
            what: what both speak of.
            user: what the configuration says, a clause without its subject.
            board: what the board says, likewise.
            places: where the board says it.
            kept: what becomes of the two when the board's facts are kept.
        """
        where = ", ".join(dict.fromkeys(str(place) for place in places if str(place)))
        text = f"{what} {user} here, and {board}" + (f" by {where}" if where else "")
        advice = kept if self.keep else "the board's word is overridden"
        self.report("CONFIG-CONFLICT", "warning" if self.keep else "note", origin, text, advice=advice)

    def near(self, name: str, *known: Iterable[str]) -> str:
        """Return advice for a name that is not known: those that look like it.

        To compare names takes long; it is done for the first few of many, each beside as many as a board has.
        """
        self.misses += 1
        if self.misses > MOST_MISSES:
            return ""
        names = islice((one for some in known for one in some), MOST_NAMES)
        found = difflib.get_close_matches(name, list(names), 3, 0.6)
        return f"did you mean {' or '.join(found)}?" if found else ""
