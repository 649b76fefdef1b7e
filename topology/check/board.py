"""What the rules of `check` look at: the sources as they were read, and the topology made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from ...base import Finding
from ...parsers.acpi import Table, read_body
from ...parsers.acpi.namespace import Namespace, namespace
from ...parsers.sources import Inputs
from ..load import assemble
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
    _namespaces: list[Namespace | Finding] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, inputs: Inputs, *, keep: bool = False) -> Board:
        """Return the board of some inputs, with their first configuration; for `keep` see `load_topology`.

        Tables that declare no IOMMU, whose bodies are not read with the others, are read as well.
        """
        whole = replace(inputs, tables=[read_body(table) for table in inputs.tables])
        return cls(whole, assemble(whole, keep=keep), next(iter(inputs.configurations), None))

    def namespace(self) -> Namespace | Finding:
        """Return the ACPI namespace, or why there is none; it is read once."""
        if not self._namespaces:
            self._namespaces.append(namespace(self.inputs.tables))
        return self._namespaces[0]

    def tables(self, body: type[_Body]) -> list[tuple[Table, _Body]]:
        """Return the tables whose body could be read as this kind, such as `Iort`, each with its body."""
        return [(table, table.body) for table in self.inputs.tables if isinstance(table.body, body)]
