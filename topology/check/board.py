"""What the rules of `check` look at: the sources as they were read, and the topology made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ...parsers.acpi import Table
from ...parsers.sources import Inputs
from ..topology import Topology

if TYPE_CHECKING:
    from ...parsers.smmu_config import Configuration

_Body = TypeVar("_Body")


@dataclass(frozen=True, slots=True)
class Board:
    """One machine.

    Attributes:
        inputs: tables, trees and PCI topologies.
        topology: what they say together, with the configuration over it if there is one.
        configuration: the user's configuration; None when there is none.
    """

    inputs: Inputs
    topology: Topology
    configuration: Configuration | None = None

    def tables(self, body: type[_Body]) -> list[tuple[Table, _Body]]:
        """Return the tables whose body could be read as this kind, such as `Iort`, each with its body."""
        return [(table, table.body) for table in self.inputs.tables if isinstance(table.body, body)]
