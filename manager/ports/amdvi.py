"""AMD-Vi units as the manager uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..mappings import Access, Segment
from .port import Refusal

if TYPE_CHECKING:
    from ...iommu import PageAllocator, Platform
    from ...iommu.amdvi.driver import Domain
    from ...iommu.amdvi.records import EventRecord
    from ...topology import Iommu
    from .port import AccessWord


class AmdviPort:
    """An AMD-Vi unit: host page tables. It cannot tell execute from read."""

    def __init__(self, platform: Platform, base: int, pages: PageAllocator, unit: Iommu, host_width: int) -> None:
        """Take the unit over; `host_width` is the physical address width in bits."""
        from ...iommu.amdvi.driver import Driver
        from ...iommu.amdvi.layout.registers import Control

        self.name = unit.name
        known = {name for name, _ in unit.properties}
        wiring = Control(**{name: int(name in known) for name in ("HtTunEn", "PassPW", "ResPassPW", "Isoc")})
        self._driver = Driver(platform, base, pages, host_width=host_width, wiring=wiring)
        self._driver.enable()
        probe = self._driver.create_domain()
        self.address_bits = probe.width
        self.identifier_bits = 16
        self._driver.release(probe)

    def widened(self, access: Access) -> Access:
        """Return the access with READ where EXEC is asked for."""
        return (access | Access.READ if access & Access.EXEC else access) & ~Access.EXEC

    def create(self) -> Domain:
        """Make an empty domain."""
        return self._driver.create_domain()

    def destroy(self, space: Domain) -> None:
        """Release the domain."""
        self._driver.release(space)

    def map(self, space: Domain, segment: Segment) -> None:
        """Map a segment."""
        read, write = bool(segment.access & Access.READ), bool(segment.access & Access.WRITE)
        space.map(segment.start, segment.physical, segment.length, read=read, write=write)

    def unmap(self, space: Domain, start: int, length: int) -> None:
        """Unmap a range."""
        space.unmap(start, length)

    def attach(self, identifier: int, space: Domain) -> None:
        """Write the device table entry of a device ID."""
        self._driver.attach(identifier, space)

    def block(self, identifier: int) -> None:
        """Let a device ID reach nothing."""
        self._driver.block(identifier)

    def refusals(self) -> tuple[list[Refusal], bool]:
        """Take the events."""
        events = self._driver.take_events()
        return [self._refusal(record) for record in events.records], events.lost

    def _refusal(self, record: EventRecord) -> Refusal:
        access: AccessWord = record.type if record.type in ("read", "write", "execute") else ""
        return Refusal(
            self.name, record.device, record.address, exact=record.address is not None, access=access,
            reason=f"{record.meaning} ({record.name})", code=record.code, raw=record.raw,
        )  # fmt: skip
