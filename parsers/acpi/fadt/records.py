"""The parts of a FADT as people work with them; each attribute has the specification's name and unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from ..layout import Layout
from ..record import Bits, FieldValue, Raw, Record, record
from . import layout, names


@record
class GenericAddress(Record):
    """Where a register is (§5.2.3.2); `register` says which one."""

    NAME: ClassVar[str] = "generic address"
    LAYOUT: ClassVar[Layout] = Layout(layout.GENERIC_ADDRESS)

    address_space_id: int
    register_bit_width: int
    register_bit_offset: int
    access_size: int
    address: int
    register: str = ""

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields, as parts of the register."""
        yield from (value._replace(record=self.register) for value in Record.fields(self))


@record
class Reset(Record):
    """How to reset the machine, and the boot flags of Arm."""

    NAME: ClassVar[str] = "FADT"
    LAYOUT: ClassVar[Layout] = Layout(layout.RESET)
    BITS: ClassVar[Mapping[str, Bits]] = {"arm_boot_arch": names.ARM_BOOT_ARCH}

    reset_value: int
    arm_boot_arch: int
    minor_version: int


@record
class Pointers(Record):
    """64-bit physical addresses of the FACS and the DSDT; where they are 0, those of the first part hold."""

    NAME: ClassVar[str] = "FADT"
    LAYOUT: ClassVar[Layout] = Layout(layout.POINTERS)

    x_firmware_ctrl: int
    x_dsdt: int


@record
class HypervisorIdentity(Record):
    """Who made the hypervisor that the machine runs on; 0 for none."""

    NAME: ClassVar[str] = "FADT"
    LAYOUT: ClassVar[Layout] = Layout(layout.HYPERVISOR_IDENTITY)

    hypervisor_vendor_identity: int


@record
class Fadt(Record):
    """The table after its header: what ACPI 1.0 had, and the parts that later revisions added, as far as it goes."""

    NAME: ClassVar[str] = "FADT"
    LAYOUT: ClassVar[Layout] = Layout(layout.FADT)
    BITS: ClassVar[Mapping[str, Bits]] = {"iapc_boot_arch": names.IAPC_BOOT_ARCH, "flags": names.FLAGS}

    firmware_ctrl: int
    dsdt: int
    reserved: int
    preferred_pm_profile: int
    sci_int: int
    smi_cmd: int
    acpi_enable: int
    acpi_disable: int
    s4bios_req: int
    pstate_cnt: int
    pm1a_evt_blk: int
    pm1b_evt_blk: int
    pm1a_cnt_blk: int
    pm1b_cnt_blk: int
    pm2_cnt_blk: int
    pm_tmr_blk: int
    gpe0_blk: int
    gpe1_blk: int
    pm1_evt_len: int
    pm1_cnt_len: int
    pm2_cnt_len: int
    pm_tmr_len: int
    gpe0_blk_len: int
    gpe1_blk_len: int
    gpe1_base: int
    cst_cnt: int
    p_lvl2_lat: int
    p_lvl3_lat: int
    flush_size: int
    flush_stride: int
    duty_offset: int
    duty_width: int
    day_alrm: int
    mon_alrm: int
    century: int
    iapc_boot_arch: int
    reserved2: int
    flags: int
    parts: tuple[GenericAddress | Reset | Pointers | HypervisorIdentity, ...] = ()
    rest: Raw | None = None

    @property
    def arm_boot_arch(self) -> int | None:
        """The boot flags of Arm; None in a table that ends before them."""
        return next((part.arm_boot_arch for part in self.parts if isinstance(part, Reset)), None)

    def to_bytes(self) -> bytes:
        """Return the bytes of the table after its header."""
        return self.fixed() + b"".join(part.fixed() for part in self.parts) + (self.rest.data if self.rest else b"")

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over all fields in the order of the bytes."""
        yield from Record.fields(self)
        for part in (*self.parts, *((self.rest,) if self.rest else ())):
            yield from part.fields()
