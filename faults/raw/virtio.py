"""virtio-iommu: `struct virtio_iommu_fault`, 24 bytes, of the event queue.

Source: virtio 1.2, 5.13 (fault reporting); VIRTIO_IOMMU_FAULT_F_EXEC is Linux's (include/uapi/linux/virtio_iommu.h).
"""

from __future__ import annotations

from ...base import Origin
from ...iommu.bits import Bits, Field
from ..fault import Access, Fault
from .record import Facts, Format, all_zero, check_size, rest

SIZE = 24


class FaultReport(Bits, width=192):
    """What the device writes into a buffer of the event queue."""

    __slots__ = ()
    reason = Field(7, 0)
    READ = Field(32)
    WRITE = Field(33)
    EXEC = Field(34)
    ADDRESS = Field(40)  # `address` is valid
    endpoint = Field(95, 64)
    address = Field(191, 128)


REASONS: dict[int, tuple[str, str]] = {
    0: ("VIRTIO_IOMMU_FAULT_R_UNKNOWN", "the device says no reason"),
    1: ("VIRTIO_IOMMU_FAULT_R_DOMAIN", "the endpoint is attached to no domain"),
    2: ("VIRTIO_IOMMU_FAULT_R_MAPPING", "the address is not mapped, or not for such an access"),
}
"""Name and meaning of each reason."""


def decode(raw: bytes, origin: Origin, iommu: str = "") -> Fault:
    """Return the fault in a report. Raises FaultError for another length than 24 bytes."""
    check_size(raw, (SIZE,), "virtio-iommu fault report", origin)
    bits = FaultReport.from_bytes(raw)
    access: Access = "execute" if bits.EXEC else "write" if bits.WRITE else "read" if bits.READ else ""
    more: Facts = tuple(
        (name, 1) for name, value in bits.items() if value and name in _FLAGS and _FLAGS[name] != access
    )
    name, reason = REASONS.get(bits.reason, ("", "reason not defined by virtio 1.2"))
    told = ("reason", "endpoint", "ADDRESS", *_FLAGS, *(("address",) if bits.ADDRESS else ()))
    return Fault(
        origin,
        "virtio-iommu",
        iommu=iommu,
        reason=reason,
        name=name,
        code=bits.reason,
        identifier=bits.endpoint,
        address=bits.address if bits.ADDRESS else None,
        access=access,
        facts=(*more, *rest(bits, told)),
        raw=bytes(raw),
    )


_FLAGS = {"READ": "read", "WRITE": "write", "EXEC": "execute"}


def encode(**fields: int) -> bytes:
    """Return a report with these fields of `FaultReport`. Raises ValueError when one does not fit."""
    return bytes(FaultReport(**fields))


def _doubts(raw: bytes) -> str:
    bits = FaultReport.from_bytes(raw)
    if bits.reason not in REASONS:
        return f"there is no reason {bits.reason}"
    if bits.reserved:
        return "reserved bits are set"
    return "it has an address, and the flag that says so is clear" if bits.address and not bits.ADDRESS else ""


FORMATS = (
    Format("virtio-iommu", "fault", "virtio-iommu fault report", SIZE, decode, all_zero, _doubts, 16, 2**64 - 1),
)
"""The records of this architecture."""
