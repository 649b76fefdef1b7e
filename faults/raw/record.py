"""What the decoders of all architectures share: the format of a record, and what is left to say of one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ...base import Finding, Origin
from ...iommu.bits import Bits, Ignored
from ..errors import FaultError
from ..fault import Architecture, Fault

Facts = tuple[tuple[str, str | int], ...]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of record of one architecture.

    Attributes:
        architecture: see `Architecture`.
        kind: `fault`, `page request`, and for SMMUv2 `context` and `global`.
        title: as people call it, such as `SMMUv3 event`.
        size: bytes of a record.
        decode: makes a `Fault` of a record of exactly that size; the text is the name of the unit.
        vacant: tells whether the place of a record holds none.
        doubts: says why these bytes are hardly such a record; empty when they may well be.
        address_at: offset of the 8 bytes of which `address_mask` are the device address.
        address_mask: the bits there that make the address in records that have one.
        second_at: the same for the intermediate physical address.
        second_mask: 0 when there is none.
    """

    architecture: Architecture
    kind: str
    title: str
    size: int
    decode: Callable[[bytes, Origin, str], Fault]
    vacant: Callable[[bytes], bool]
    doubts: Callable[[bytes], str]
    address_at: int
    address_mask: int
    second_at: int = 0
    second_mask: int = 0


def check_size(raw: bytes, sizes: Collection[int], title: str, origin: Origin) -> None:
    """Raise FaultError unless a record has one of the sizes that it can have."""
    if len(raw) not in sizes:
        expected = " or ".join(str(size) for size in sizes)
        finding = Finding(
            "FAULT-RECORD-SIZE",
            "error",
            origin,
            f"this is no {title}: it has another length",
            found=f"{len(raw)} bytes",
            expected=f"{expected} bytes",
        )
        raise FaultError(finding)


def rest(bits: Bits, told: Collection[str]) -> Facts:
    """Return the fields of a record that are not zero and not told otherwise, and the reserved bits that are set."""
    shown: list[tuple[str, str | int]] = []
    for field in bits.fields:
        value = field.get(bits.value)
        if value and field.name not in told:
            shown.append(
                (field.name, value if field.names is None or isinstance(field, Ignored) else field.show(value))
            )
    return (*shown, *reserved(bits.reserved))


def reserved(value: int, of: str = "") -> Facts:
    """Return the fact that reserved bits are set; none when they are all clear."""
    name = f"reserved bits of {of}" if of else "reserved bits"
    return ((name, value),) if value else ()


def all_zero(raw: bytes) -> bool:
    """Tell whether a record is all zeros, as the place of one is before the unit first writes it."""
    return not any(raw)
