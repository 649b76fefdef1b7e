"""VT-d units as the manager uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..mappings import Access, Segment
from .port import AccessWord, Refusal

if TYPE_CHECKING:
    from ...iommu import PageAllocator, Platform
    from ...iommu.vtd.driver.domains import SecondStageDomain
    from ...iommu.vtd.records import FaultRecord


class VtdPort:
    """A VT-d unit: legacy tables, second stage only. It cannot tell execute from read."""

    def __init__(self, platform: Platform, base: int, pages: PageAllocator, name: str, host_width: int | None) -> None:
        """Take the unit over; `host_width` is the host address width in bits, if it is known."""
        from ...iommu.vtd.driver import Driver

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
