"""One IOMMU as the manager uses it, whatever its architecture: address spaces, and the IDs that are attached to them.

A port takes its unit over with every ID denied. It never lets an ID reach anything that neither the old nor the new
state grants: that is the drivers' promise (`docs/iommu.md`), and ports only call them in an order that keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..mappings import Access, Segment

GRANULE = 4096
"""Bytes of the smallest piece of memory that is granted: what current `smmu-*.so` round to, and all units here."""

AccessWord = Literal["read", "write", "execute", ""]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An access that a unit refused, as far as its record tells.

    Attributes:
        unit: name of the unit.
        identifier: ID that the access carried; None when the record has none.
        address: device address; None when the record has none. Its page offset may be missing (`exact` false).
        exact: whether the address has its page offset.
        access: what was tried.
        reason: the unit's reason in words.
        code: the unit's number of the reason.
        raw: the record as the unit wrote it.
    """

    unit: str
    identifier: int | None
    address: int | None
    exact: bool
    access: AccessWord
    reason: str
    code: int
    raw: bytes


Space = Any
"""An address space of a unit; what it is only the port knows that made it."""


class Port(Protocol):
    """One unit. Every method raises `IommuError` where the unit or its driver refuses."""

    @property
    def name(self) -> str:
        """Name of the unit in the topology."""
        ...

    @property
    def address_bits(self) -> int:
        """Bits of a device address that its spaces take."""
        ...

    @property
    def identifier_bits(self) -> int:
        """Bits of an ID that it serves."""
        ...

    def widened(self, access: Access) -> Access:
        """Return what is granted when `access` is asked for; more where the unit cannot tell the difference."""
        ...

    def create(self) -> Space:
        """Make an empty address space."""
        ...

    def destroy(self, space: Space) -> None:
        """Give back an address space that no ID is attached to."""
        ...

    def map(self, space: Space, segment: Segment) -> None:
        """Map a segment of whole granules where nothing is mapped; `segment.access` is one that `widened` gave."""
        ...

    def unmap(self, space: Space, start: int, length: int) -> None:
        """Take a range away: when this returns, no ID of the space reaches it."""
        ...

    def attach(self, identifier: int, space: Space) -> None:
        """Let an ID reach what a space maps, and nothing else."""
        ...

    def block(self, identifier: int) -> None:
        """Let an ID reach nothing."""
        ...

    def refusals(self) -> tuple[list[Refusal], bool]:
        """Return the accesses refused since the last call, and whether records of more were lost."""
        ...
