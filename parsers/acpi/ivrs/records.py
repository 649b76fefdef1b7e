"""The blocks and entries of an IVRS as people work with them; each attribute has the specification's name and unit.

Device IDs are PCI requester IDs: bus, device and function in 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import ClassVar

from ..layout import Layout
from ..record import Bits, FieldValue, Raw, Record, record
from . import layout, names


@record
class Entry(Record):
    """A device entry of an IVHD (§5.2.2.3 to §5.2.2.5): what the unit knows of a device ID."""

    type: int
    device_id: int
    data_setting: int

    def to_bytes(self) -> bytes:
        """Return the bytes of the entry."""
        return self.fixed()


@record
class DeviceEntry(Entry):
    """An entry of four bytes: all devices, one device, or the start or end of a range."""

    NAME: ClassVar[str] = "device entry"
    LAYOUT: ClassVar[Layout] = Layout(layout.DEVICE_ENTRY)
    BITS: ClassVar[Mapping[str, Bits]] = {"data_setting": names.DATA_SETTING}


@record
class AliasEntry(Entry):
    """An entry whose devices send `source_device_id` in place of their own."""

    NAME: ClassVar[str] = "alias entry"
    LAYOUT: ClassVar[Layout] = Layout(layout.ALIAS_ENTRY)
    BITS: ClassVar[Mapping[str, Bits]] = {"data_setting": names.DATA_SETTING}

    reserved: int
    source_device_id: int
    reserved2: int


@record
class ExtendedEntry(Entry):
    """An entry with 32 bits more of settings."""

    NAME: ClassVar[str] = "extended entry"
    LAYOUT: ClassVar[Layout] = Layout(layout.EXTENDED_ENTRY)
    BITS: ClassVar[Mapping[str, Bits]] = {"data_setting": names.DATA_SETTING, "extended_data": names.EXTENDED_DATA}

    extended_data: int


@record
class SpecialEntry(Entry):
    """An I/O APIC or HPET: `handle` is its number, `source_device_id` what its interrupts carry."""

    NAME: ClassVar[str] = "special device entry"
    LAYOUT: ClassVar[Layout] = Layout(layout.SPECIAL_ENTRY)
    BITS: ClassVar[Mapping[str, Bits]] = {"data_setting": names.DATA_SETTING}

    handle: int
    source_device_id: int
    variety: int


@record
class HidEntry(Entry):
    """A device that ACPI names by its hardware ID; `device_id` is what its requests carry."""

    NAME: ClassVar[str] = "ACPI HID entry"
    LAYOUT: ClassVar[Layout] = Layout(layout.HID_ENTRY)
    BITS: ClassVar[Mapping[str, Bits]] = {"data_setting": names.DATA_SETTING}

    hardware_id: bytes
    compatible_id: bytes
    unique_id_format: int
    unique_id_length: int
    unique_id: bytes = b""

    @property
    def hid(self) -> str:
        """The hardware ID as text; the four bytes of a compressed EISA ID are taken apart. Empty for none."""
        text = self.hardware_id.partition(b"\0")[0].decode("latin-1")
        if text.isascii() and text.isprintable():
            return text
        if any(self.hardware_id[4:]):
            return self.hardware_id.hex()
        high, low = int.from_bytes(self.hardware_id[:2], "big"), self.hardware_id[2:4]
        letters = "".join(chr(0x40 + (high >> shift & 0x1F)) for shift in (10, 5, 0))
        return letters + low.hex().upper()

    @property
    def uid(self) -> str:
        """The unique ID as text: a number in decimal, or the string; empty for none."""
        if self.unique_id_format == names.UID_INTEGER and self.unique_id:
            return str(int.from_bytes(self.unique_id, "little"))
        if self.unique_id_format == names.UID_STRING:
            return self.unique_id.partition(b"\0")[0].decode("latin-1")
        return ""

    def to_bytes(self) -> bytes:
        """Return the bytes of the entry."""
        return self.fixed() + self.unique_id

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        if self.unique_id:
            yield FieldValue(
                self.offset + self.LAYOUT.size, len(self.unique_id), self.NAME, "unique_id", self.unique_id
            )


@record
class Block(Record):
    """What the table is made of after its fixed part; `rest` is what stands in it after all that could be read."""

    type: int
    flags: int
    length: int
    device_id: int
    rest: Raw | None = field(default=None, kw_only=True)

    def inner(self) -> tuple[Entry | Raw, ...]:
        """Return the records between the fixed part and `rest`."""
        return ()

    def to_bytes(self) -> bytes:
        """Return the bytes of the block."""
        inner = (part.data if isinstance(part, Raw) else part.to_bytes() for part in self.inner())
        return self.fixed() + b"".join(inner) + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        for part in (*self.inner(), *((self.rest,) if self.rest else ())):
            yield from part.fields()


@record
class Ivhd(Block):
    """IVHD: one IOMMU, `device_id` its own function (§5.2.2); of one unit there may be a block of each type."""

    capability_offset: int
    base_address: int
    segment: int
    info: int
    entries: tuple[Entry | Raw, ...] = field(default=(), kw_only=True)

    def inner(self) -> tuple[Entry | Raw, ...]:
        """Return the device entries."""
        return self.entries


@record
class IvhdFixed(Ivhd):
    """IVHD of type 10h."""

    NAME: ClassVar[str] = "IVHD"
    LAYOUT: ClassVar[Layout] = Layout(layout.IVHD_FIXED)
    BITS: ClassVar[Mapping[str, Bits]] = {
        "flags": names.IVHD_FLAGS,
        "info": names.IVHD_INFO,
        "feature_reporting": names.FEATURE_REPORTING,
    }

    feature_reporting: int


@record
class IvhdExtended(Ivhd):
    """IVHD of type 11h, with images of the extended feature registers, and 40h, which may name ACPI devices too."""

    NAME: ClassVar[str] = "IVHD"
    LAYOUT: ClassVar[Layout] = Layout(layout.IVHD_EXTENDED)
    BITS: ClassVar[Mapping[str, Bits]] = {
        "flags": names.IVHD_FLAGS,
        "info": names.IVHD_INFO,
        "attributes": names.ATTRIBUTES,
        "efr_image": names.EFR,
    }

    attributes: int
    efr_image: int
    efr2_image: int


@record
class Ivmd(Block):
    """IVMD: memory that some devices must keep reaching, `memory_length` in bytes (§5.2.2).

    `device_id` is the device, or the first of a range whose last, included, is `auxiliary_data`.
    """

    NAME: ClassVar[str] = "IVMD"
    LAYOUT: ClassVar[Layout] = Layout(layout.IVMD)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.IVMD_FLAGS}

    auxiliary_data: int
    segment: int
    reserved: bytes
    start_address: int
    memory_length: int


@record
class Ivrs(Record):
    """The table after its header (§5.2.1): the blocks; those that are not read are raw."""

    NAME: ClassVar[str] = "IVRS"
    LAYOUT: ClassVar[Layout] = Layout(layout.IVRS)
    BITS: ClassVar[Mapping[str, Bits]] = {"iv_info": names.IV_INFO}

    iv_info: int
    reserved: bytes
    blocks: tuple[Block | Raw, ...] = ()

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        parts = (part.data if isinstance(part, Raw) else part.to_bytes() for part in self.blocks)
        return self.fixed() + b"".join(parts)

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        for block in self.blocks:
            yield from block.fields()
