"""One IOMMU as the manager uses it, whatever its architecture: address spaces, and the IDs that are attached to them.

A port takes its unit over with every ID denied. It never lets an ID reach anything that neither the old nor the new
state grants: that is the drivers' promise (`docs/iommu.md`), and ports only call them in an order that keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .mappings import Access, Segment

if TYPE_CHECKING:
    from ..iommu import PageAllocator, Platform
    from ..iommu.smmuv3.driver import Domain as StreamDomain
    from ..iommu.smmuv3.records import EventRecord
    from ..iommu.vtd.driver.domains import SecondStageDomain
    from ..iommu.vtd.records import FaultRecord

GRANULE = 4096
"""Bytes of the smallest piece of memory that is granted: what current `smmu-*.so` round to, and both units here."""

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


class VtdPort:
    """A VT-d unit: legacy tables, second stage only. It cannot tell execute from read."""

    def __init__(self, platform: Platform, base: int, pages: PageAllocator, name: str, host_width: int | None) -> None:
        """Take the unit over; `host_width` is the host address width in bits, if it is known."""
        from ..iommu.vtd.driver import Driver

        self.name = name
        self._driver = Driver(platform, base, pages, host_width=host_width)
        self._driver.enable()
        probe = self._driver.second_stage()
        self.address_bits = probe.width
        self.identifier_bits = 16
        self._driver.release(probe)

    def widened(self, access: Access) -> Access:
        """Return the access with READ where EXEC is asked for."""
        return (access | Access.READ if access & Access.EXEC else access) & ~Access.EXEC

    def create(self) -> SecondStageDomain:
        """Make an empty second-stage domain of the most levels."""
        return self._driver.second_stage()

    def destroy(self, space: SecondStageDomain) -> None:
        """Release the domain."""
        self._driver.release(space)

    def map(self, space: SecondStageDomain, segment: Segment) -> None:
        """Map a segment."""
        read, write = bool(segment.access & Access.READ), bool(segment.access & Access.WRITE)
        space.map(segment.start, segment.physical, segment.length, read=read, write=write)

    def unmap(self, space: SecondStageDomain, start: int, length: int) -> None:
        """Unmap a range."""
        space.unmap(start, length)

    def attach(self, identifier: int, space: SecondStageDomain) -> None:
        """Write the context entry of a source-id."""
        self._driver.attach(identifier, space)

    def block(self, identifier: int) -> None:
        """Clear the context entry of a source-id."""
        self._driver.block(identifier)

    def refusals(self) -> tuple[list[Refusal], bool]:
        """Take the fault records."""
        faults = self._driver.take_faults()
        return [self._refusal(record) for record in faults.records], faults.lost

    def _refusal(self, record: FaultRecord) -> Refusal:
        access: AccessWord = "write" if record.type == "write" else "execute" if record.execute else "read"
        address = record.address if record.index is None else None
        return Refusal(
            self.name, record.source, address, exact=False, access=access, reason=f"{record.meaning} ({record.name})",
            code=record.reason, raw=record.raw,
        )  # fmt: skip


class SmmuV3Port:
    """An SMMUv3: stage 2, pages of 4 KiB."""

    def __init__(self, platform: Platform, base: int, pages: PageAllocator, name: str) -> None:
        """Take the unit over."""
        from ..iommu.smmuv3.driver import Driver

        self.name = name
        self._driver = Driver(platform, base, pages)
        self._driver.start()
        self.address_bits = self._driver.hardware.output_bits
        self.identifier_bits = self._driver.stream_bits

    def widened(self, access: Access) -> Access:
        """Return the access with READ where EXEC is asked for: stage 2 grants no execution without reading."""
        return access | Access.READ if access & Access.EXEC else access

    def create(self) -> StreamDomain:
        """Make an empty stage 2 domain."""
        return self._driver.create_domain(2)

    def destroy(self, space: StreamDomain) -> None:
        """Destroy the domain."""
        self._driver.destroy_domain(space)

    def map(self, space: StreamDomain, segment: Segment) -> None:
        """Map a segment."""
        from ..iommu.smmuv3.driver import Permission

        self._driver.map(space, segment.start, segment.physical, segment.length, Permission(int(segment.access)))

    def unmap(self, space: StreamDomain, start: int, length: int) -> None:
        """Unmap a range."""
        self._driver.unmap(space, start, length)

    def attach(self, identifier: int, space: StreamDomain) -> None:
        """Write the STE of a stream."""
        self._driver.attach(identifier, space)

    def block(self, identifier: int) -> None:
        """Let a stream abort."""
        self._driver.attach(identifier, "abort")

    def refusals(self) -> tuple[list[Refusal], bool]:
        """Take the events."""
        events, lost = self._driver.events()
        return [self._refusal(event) for event in events], lost

    def _refusal(self, event: EventRecord) -> Refusal:
        access: AccessWord = "execute" if event.instruction else "write" if event.write else "read"
        if event.write is None:
            access = ""
        return Refusal(
            self.name, event.stream_id, event.address, exact=event.address is not None, access=access,
            reason=f"{event.meaning} ({event.name})", code=event.number, raw=event.raw,
        )  # fmt: skip
