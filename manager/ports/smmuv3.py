"""SMMUv3 units as the manager uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..mappings import Access, Segment
from .port import AccessWord, Refusal

if TYPE_CHECKING:
    from ...iommu import PageAllocator, Platform
    from ...iommu.smmuv3.driver import Domain as StreamDomain
    from ...iommu.smmuv3.records import EventRecord


class SmmuV3Port:
    """An SMMUv3: stage 2, pages of 4 KiB."""

    def __init__(self, platform: Platform, base: int, pages: PageAllocator, name: str) -> None:
        """Take the unit over."""
        from ...iommu.smmuv3.driver import Driver

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
        from ...iommu.smmuv3.driver import Permission

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
