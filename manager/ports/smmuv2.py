"""SMMUv1 and SMMUv2 units as the manager uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..mappings import Access, Segment
from .port import AccessWord, Refusal

if TYPE_CHECKING:
    from ...iommu import PageAllocator, Platform
    from ...iommu.smmuv2.driver import Domain
    from ...iommu.smmuv2.records import ReportedFault


class SmmuV2Port:
    """An SMMUv1 or SMMUv2: stage 2, pages of 4 KiB; each space takes a context bank, each ID a stream match entry."""

    def __init__(self, platform: Platform, base: int, pages: PageAllocator, name: str) -> None:
        """Take the unit over."""
        from ...iommu.smmuv2.driver import Driver

        self.name = name
        self._driver = Driver(platform, base, pages)
        self._driver.start()
        self.address_bits = self._driver.unit.input_bits
        self.identifier_bits = self._driver.streams.bits

    def widened(self, access: Access) -> Access:
        """Return the access with READ where EXEC is asked for: stage 2 grants no execution without reading."""
        return access | Access.READ if access & Access.EXEC else access

    def create(self) -> Domain:
        """Make an empty domain. Raises `IommuError` (`SMMU-BANKS`) when no context bank is free."""
        return self._driver.create_domain()

    def destroy(self, space: Domain) -> None:
        """Release the domain."""
        self._driver.release(space)

    def map(self, space: Domain, segment: Segment) -> None:
        """Map a segment."""
        access = segment.access
        space.map(
            segment.start, segment.physical, segment.length, read=bool(access & Access.READ),
            write=bool(access & Access.WRITE), execute=bool(access & Access.EXEC),
        )  # fmt: skip

    def unmap(self, space: Domain, start: int, length: int) -> None:
        """Unmap a range."""
        space.unmap(start, length)

    def attach(self, identifier: int, space: Domain) -> None:
        """Lead a stream to the bank of a space. Raises `IommuError` (`SMMU-STREAM-ENTRIES`) when no entry is free."""
        self._driver.attach(identifier, space)

    def block(self, identifier: int) -> None:
        """Let a stream fault."""
        self._driver.block(identifier)

    def refusals(self) -> tuple[list[Refusal], bool]:
        """Take the faults."""
        faults = self._driver.take_faults()
        return [self._refusal(record) for record in faults.records], faults.lost

    def _refusal(self, record: ReportedFault) -> Refusal:
        access: AccessWord = "write" if record.write else "execute" if record.instruction else "read"
        return Refusal(
            self.name, record.stream_id, record.address, exact=True, access=access,
            reason=f"{record.meaning} ({record.name})", code=record.code, raw=record.raw,
        )  # fmt: skip
