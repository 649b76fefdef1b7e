"""Lays one configuration over a topology that is being built, or adds it beside what is there.

Rules (docs/configuration.md says them for users):

- What both say the same stays as the board says it, with what a configuration cannot say (masks, MSI, catch-alls).
- Override: the `use`s of a device take the place of all its maps for memory accesses; its `reserved` regions take the
  place of the board's one-to-one regions for it; what a `unit` says takes the place of what the board says of the
  unit with the same registers. Devices and units that are not named keep what the board says.
- Keep: nothing of the board's is lost; what the configuration says is added as further ways.
"""

from __future__ import annotations

from dataclasses import replace

from ...parsers.smmu_config import Configuration
from ..builder import TopologyBuilder
from ..topology import Topology
from .devices import add_devices
from .kinds import apply_types
from .units import add_units
from .work import Work


def merge(builder: TopologyBuilder, configuration: Configuration, *, keep: bool = False) -> None:
    """Lay a configuration over what the builder has, with its findings; a conflict is a finding `CONFIG-CONFLICT`.

    Args:
        builder: all sources have been added to it.
        configuration: what the user (or a board module) says.
        keep: the board's facts stay and the configuration's are added, where the default is that these override.
    """
    builder.findings.extend(configuration.findings)
    work = Work(builder, configuration, keep)
    apply_types(work)
    add_units(work)
    work.board = Topology(builder)
    add_devices(work)
    old = []
    for one in builder.maps:
        if one.source not in work.dropped or one.carries == "msi":
            old.append(one)
        elif one.carries == "both":  # its interrupts go where they went
            old.append(replace(one, carries="msi"))
    builder.maps[:] = [*work.front, *old, *work.back]
