"""The structures of a DMAR table as people work with them; each attribute has the specification's name and unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import ClassVar

from ..layout import Layout
from ..record import Bits, FieldValue, Raw, Record, record
from . import layout, names


@record
class DeviceScope(Record):
    """One device scope entry (§8.3.1).

    `path` holds (device, function) pairs: all but the last are bridges on the way from `start_bus` to the device.
    What `enumeration_id` counts depends on `type`: an I/O APIC ID, HPET number or ANDD device number.
    """

    NAME: ClassVar[str] = "device scope"
    LAYOUT: ClassVar[Layout] = Layout(layout.DEVICE_SCOPE)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.SIDP_FLAGS}

    type: int
    length: int
    flags: int
    reserved: int
    enumeration_id: int
    start_bus: int
    path: tuple[tuple[int, int], ...] = ()
    rest: bytes = b""

    def to_bytes(self) -> bytes:
        """Return the bytes of the entry."""
        return self.fixed() + bytes(number for pair in self.path for number in pair) + self.rest

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        place = self.offset + self.LAYOUT.size
        for pair in self.path:
            yield FieldValue(place, 2, self.NAME, "path", bytes(pair))
            place += 2
        if self.rest:
            yield FieldValue(place, len(self.rest), self.NAME, "rest", self.rest)


@record
class Structure(Record):
    """A remapping structure (§8.2); `rest` is what stands in it after all that could be read."""

    type: int
    length: int
    rest: Raw | None = field(default=None, kw_only=True)

    def inner(self) -> bytes:
        """Return the bytes between the fixed part and `rest`."""
        return b""

    def to_bytes(self) -> bytes:
        """Return the bytes of the structure."""
        return self.fixed() + self.inner() + (self.rest.data if self.rest else b"")

    def inner_fields(self) -> Iterator[FieldValue]:
        """Iterate over the fields between the fixed part and `rest`."""
        return iter(())

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        yield from self.inner_fields()
        if self.rest:
            yield from self.rest.fields()


@record
class ScopedStructure(Structure):
    """A remapping structure that ends with device scopes."""

    scopes: tuple[DeviceScope, ...] = field(default=(), kw_only=True)

    def inner(self) -> bytes:
        """Return the bytes of the scopes."""
        return b"".join(scope.to_bytes() for scope in self.scopes)

    def inner_fields(self) -> Iterator[FieldValue]:
        """Iterate over the fields of the scopes."""
        for scope in self.scopes:
            yield from scope.fields()


@record
class Drhd(ScopedStructure):
    """DRHD: one remapping hardware unit (§8.3)."""

    NAME: ClassVar[str] = "DRHD"
    LAYOUT: ClassVar[Layout] = Layout(layout.DRHD)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.DRHD_FLAGS, "size": names.DRHD_SIZE}

    flags: int
    size: int
    segment: int
    register_base: int

    @property
    def include_pci_all(self) -> bool:
        """Whether the unit takes every PCI function of its segment that no other unit names."""
        return bool(self.flags & 1)

    @property
    def register_bytes(self) -> int:
        """Size of the register window in bytes: 2^N pages of 4 KiB, N from bits 3:0 of the Size field."""
        return 0x1000 << (self.size & 0xF)


@record
class Rmrr(ScopedStructure):
    """RMRR: memory that the named devices must keep reaching (§8.4); `limit` is the last byte, included."""

    NAME: ClassVar[str] = "RMRR"
    LAYOUT: ClassVar[Layout] = Layout(layout.RMRR)

    reserved: int
    segment: int
    base: int
    limit: int


@record
class Atsr(ScopedStructure):
    """ATSR: the root ports that support address translation services (§8.5)."""

    NAME: ClassVar[str] = "ATSR"
    LAYOUT: ClassVar[Layout] = Layout(layout.ATSR)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.ATSR_FLAGS}

    flags: int
    reserved: int
    segment: int


@record
class Rhsa(Structure):
    """RHSA: the proximity domain of the unit with this register base (§8.6)."""

    NAME: ClassVar[str] = "RHSA"
    LAYOUT: ClassVar[Layout] = Layout(layout.RHSA)

    reserved: int
    register_base: int
    proximity_domain: int


@record
class Andd(Structure):
    """ANDD: the ACPI device that namespace scopes mean by `device_number` (§8.7).

    `object_name` is decoded byte by byte (Latin-1), so nothing is lost; `terminator` is its zero byte and any after it.
    """

    NAME: ClassVar[str] = "ANDD"
    LAYOUT: ClassVar[Layout] = Layout(layout.ANDD)

    reserved: bytes
    device_number: int
    object_name: str = ""
    terminator: bytes = b""

    def inner(self) -> bytes:
        """Return the bytes of the name and its end."""
        return self.object_name.encode("latin-1") + self.terminator

    def inner_fields(self) -> Iterator[FieldValue]:
        """Iterate over the name with its zero byte, and what follows it."""
        place = self.offset + self.LAYOUT.size
        end = len(self.object_name) + len(self.terminator[:1])
        for name, part in (("object_name", self.inner()[:end]), ("padding", self.terminator[1:])):
            if part:
                yield FieldValue(place, len(part), self.NAME, name, part)
            place += len(part)


@record
class Satc(ScopedStructure):
    """SATC: integrated devices with an address translation cache (§8.8)."""

    NAME: ClassVar[str] = "SATC"
    LAYOUT: ClassVar[Layout] = Layout(layout.SATC)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.SATC_FLAGS}

    flags: int
    reserved: int
    segment: int


@record
class Sidp(ScopedStructure):
    """SIDP: properties of integrated devices, in the flags of the scopes (§8.9)."""

    NAME: ClassVar[str] = "SIDP"
    LAYOUT: ClassVar[Layout] = Layout(layout.SIDP)

    reserved: int
    segment: int


@record
class Dmar(Record):
    """The table after its header (§8.1): `host_address_width` is the width in bits minus one."""

    NAME: ClassVar[str] = "DMAR"
    LAYOUT: ClassVar[Layout] = Layout(layout.DMAR)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.DMAR_FLAGS}

    host_address_width: int
    flags: int
    reserved: bytes
    structures: tuple[Structure | Raw, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        parts = (part.data if isinstance(part, Raw) else part.to_bytes() for part in self.structures)
        return self.fixed() + b"".join(parts)

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        for structure in self.structures:
            yield from structure.fields()
