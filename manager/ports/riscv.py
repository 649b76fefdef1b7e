"""RISC-V IOMMUs as the manager uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..mappings import Access, Segment
from .port import AccessWord, Refusal

if TYPE_CHECKING:
    from ...iommu import PageAllocator, Platform
    from ...iommu.riscv.driver import Domain
    from ...iommu.riscv.records import ReportedFault


class RiscvPort:
    """A RISC-V IOMMU: second stage only, four levels where the unit has them."""

    def __init__(self, platform: Platform, base: int, pages: PageAllocator, name: str) -> None:
        """Take the unit over."""
        from ...iommu.riscv.driver import Driver

        self.name = name
        self._driver = Driver(platform, base, pages)
        self._driver.start()
        probe = self._driver.second_stage()
        self.address_bits = probe.width
        self.identifier_bits = self._driver.device_bits
        self._driver.release(probe)

    def widened(self, access: Access) -> Access:
        """Return the access with READ where WRITE is asked for: no page is writable only."""
        return access | Access.READ if access & Access.WRITE else access

    def create(self) -> Domain:
        """Make an empty second-stage domain."""
        return self._driver.second_stage()

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
        """Write the device context of a device ID."""
        self._driver.attach(identifier, space)

    def block(self, identifier: int) -> None:
        """Clear the device context of a device ID."""
        self._driver.block(identifier)

    def refusals(self) -> tuple[list[Refusal], bool]:
        """Take the fault records."""
        faults = self._driver.take_faults()
        return [self._refusal(record) for record in faults.records], faults.lost

    def _refusal(self, record: ReportedFault) -> Refusal:
        access: AccessWord = "write" if record.write else "execute" if record.execute else "read"
        if record.address is None:
            access = ""
        return Refusal(
            self.name, record.device_id, record.address, exact=False, access=access,
            reason=f"{record.meaning} ({record.name})", code=record.cause, raw=record.raw,
        )  # fmt: skip
