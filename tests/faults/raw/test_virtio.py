"""virtio-iommu fault reports, by words written out from the structure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import virtio
from iommuman.faults.raw.virtio import FaultReport

from . import HERE, fields_of, quads, told, values_told


@pytest.mark.parametrize(
    ("reason", "name", "words"),
    [
        (0, "VIRTIO_IOMMU_FAULT_R_UNKNOWN", "the device says no reason"),
        (1, "VIRTIO_IOMMU_FAULT_R_DOMAIN", "the endpoint is attached to no domain"),
        (2, "VIRTIO_IOMMU_FAULT_R_MAPPING", "the address is not mapped, or not for such an access"),
        (3, "", "reason not defined by virtio 1.2"),
    ],
)
def test_every_reason(reason: int, name: str, words: str) -> None:
    """A read by endpoint 256 at 0x11110000: flags READ and ADDRESS."""
    fault = virtio.decode(quads(0x0000_0101_0000_0000 | reason, 0x100, 0x1111_0000), HERE, "virtio0")
    told(fault, architecture="virtio-iommu", name=name, reason=words, code=reason, identifier=0x100, iommu="virtio0")
    told(fault, access="read", address=0x1111_0000, facts=())


@pytest.mark.parametrize(
    ("flags", "access", "facts"),
    [(0, "", ()), (2, "write", ()), (4, "execute", ()), (3, "write", (("READ", 1),)), (5, "execute", (("READ", 1),))],
)
def test_flags(flags: int, access: str, facts: object) -> None:
    """What was tried; QEMU sets none of these. Without ADDRESS there is no address."""
    told(virtio.decode(quads(2 | flags << 32, 1, 0), HERE), access=access, address=None, facts=facts)


def test_an_address_that_is_not_marked_is_told_as_a_fact() -> None:
    """With ADDRESS clear the field means nothing, and is not lost; nor are reserved bytes."""
    told(virtio.decode(quads(0x0102, 1, 5), HERE), address=None, facts=(("address", 5), ("reserved bits", 0x100)))


@given(fields_of(FaultReport))
def test_encode_and_decode_are_inverse(fields: dict[str, int]) -> None:
    """Every defined field comes back from the bytes, and every number that has a meaning is told."""
    fault = virtio.decode(virtio.encode(**fields), HERE)
    assert dict(FaultReport.from_bytes(fault.raw).items()) == fields
    assert {fields["reason"], fields["endpoint"], fields["address"]} <= values_told(fault) | {0}


@given(st.binary(min_size=24, max_size=24))
def test_any_bytes_decode(raw: bytes) -> None:
    """Noise is a fault."""
    assert virtio.decode(raw, HERE).raw == raw


def test_another_length_is_refused() -> None:
    """A report that is cut short is one error."""
    with pytest.raises(FaultError, match="virtio-iommu fault report"):
        virtio.decode(bytes(23), HERE)
