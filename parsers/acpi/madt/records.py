"""The entries of a MADT as people work with them; each attribute has the specification's name and unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..entries import Entry, EntryTable
from ..layout import Layout
from ..record import Bits, record
from . import layout, names


@record
class LocalApic(Entry):
    """A processor with a local APIC (§5.2.12.2)."""

    NAME: ClassVar[str] = "local APIC"
    LAYOUT: ClassVar[Layout] = Layout(layout.LOCAL_APIC)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.LOCAL_APIC_FLAGS}

    acpi_processor_uid: int
    apic_id: int
    flags: int


@record
class IoApic(Entry):
    """An I/O APIC (§5.2.12.3): interrupts from `global_system_interrupt_base` on."""

    NAME: ClassVar[str] = "I/O APIC"
    LAYOUT: ClassVar[Layout] = Layout(layout.IO_APIC)

    io_apic_id: int
    reserved: int
    io_apic_address: int
    global_system_interrupt_base: int


@record
class InterruptSourceOverride(Entry):
    """An ISA interrupt that is not the global system interrupt of its own number (§5.2.12.5)."""

    NAME: ClassVar[str] = "interrupt source override"
    LAYOUT: ClassVar[Layout] = Layout(layout.INTERRUPT_SOURCE_OVERRIDE)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.INTI_FLAGS}

    bus: int
    source: int
    global_system_interrupt: int
    flags: int


@record
class IoSapic(Entry):
    """An I/O SAPIC (§5.2.12.9); with an I/O APIC of the same ID, it stands for that one."""

    NAME: ClassVar[str] = "I/O SAPIC"
    LAYOUT: ClassVar[Layout] = Layout(layout.IO_SAPIC)

    io_apic_id: int
    reserved: int
    global_system_interrupt_base: int
    io_sapic_address: int


@record
class LocalX2apic(Entry):
    """A processor with a local x2APIC (§5.2.12.12)."""

    NAME: ClassVar[str] = "local x2APIC"
    LAYOUT: ClassVar[Layout] = Layout(layout.LOCAL_X2APIC)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.LOCAL_APIC_FLAGS}

    reserved: int
    x2apic_id: int
    flags: int
    acpi_processor_uid: int


@record
class Gicc(Entry):
    """A processor's GIC CPU interface (§5.2.12.14)."""

    NAME: ClassVar[str] = "GICC"
    LAYOUT: ClassVar[Layout] = Layout(layout.GICC)
    EARLIER: ClassVar[tuple[Layout, ...]] = (
        Layout(layout.GICC_6_0),
        Layout(layout.GICC_5_1),
        Layout(layout.GICC_5_0),
    )
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.GICC_FLAGS}

    reserved: int
    cpu_interface_number: int
    acpi_processor_uid: int
    flags: int
    parking_protocol_version: int
    performance_interrupt_gsiv: int
    parked_address: int
    physical_base_address: int
    gicv: int | None
    gich: int | None
    vgic_maintenance_interrupt: int | None
    gicr_base_address: int | None
    mpidr: int | None
    processor_power_efficiency_class: int | None
    reserved2: int | None
    spe_overflow_interrupt: int | None
    trbe_interrupt: int | None


@record
class Gicd(Entry):
    """The GIC distributor (§5.2.12.15)."""

    NAME: ClassVar[str] = "GICD"
    LAYOUT: ClassVar[Layout] = Layout(layout.GICD)

    reserved: int
    gic_id: int
    physical_base_address: int
    system_vector_base: int
    gic_version: int
    reserved2: bytes


@record
class GicMsiFrame(Entry):
    """A GICv2m frame that turns writes into interrupts (§5.2.12.16); its page is 4 KiB."""

    NAME: ClassVar[str] = "GIC MSI frame"
    LAYOUT: ClassVar[Layout] = Layout(layout.GIC_MSI_FRAME)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.GIC_MSI_FRAME_FLAGS}

    reserved: int
    gic_msi_frame_id: int
    physical_base_address: int
    flags: int
    spi_count: int
    spi_base: int


@record
class Gicr(Entry):
    """A range of GIC redistributors (§5.2.12.17): its length in bytes."""

    NAME: ClassVar[str] = "GICR"
    LAYOUT: ClassVar[Layout] = Layout(layout.GICR)

    reserved: int
    discovery_range_base_address: int
    discovery_range_length: int


@record
class GicIts(Entry):
    """A GIC ITS (§5.2.12.18): `gic_its_id` is what the ITS groups of an IORT name."""

    NAME: ClassVar[str] = "GIC ITS"
    LAYOUT: ClassVar[Layout] = Layout(layout.GIC_ITS)

    reserved: int
    gic_its_id: int
    physical_base_address: int
    reserved2: int


@record
class Rintc(Entry):
    """A RISC-V hart's interrupt controller, and where the hart's IMSIC files are (ACPI 6.6 §5.2.12)."""

    NAME: ClassVar[str] = "RINTC"
    LAYOUT: ClassVar[Layout] = Layout(layout.RINTC)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.LOCAL_APIC_FLAGS}

    version: int
    reserved: int
    flags: int
    hart_id: int
    acpi_processor_uid: int
    external_interrupt_controller_id: int
    imsic_base_address: int
    imsic_size: int


@record
class Imsic(Entry):
    """What the IMSICs of all RISC-V harts have in common (ACPI 6.6 §5.2.12); where they are is said by each RINTC."""

    NAME: ClassVar[str] = "IMSIC"
    LAYOUT: ClassVar[Layout] = Layout(layout.IMSIC)

    version: int
    reserved: int
    flags: int
    supervisor_identities: int
    guest_identities: int
    guest_index_bits: int
    hart_index_bits: int
    group_index_bits: int
    group_index_shift: int


@record
class Aplic(Entry):
    """A RISC-V APLIC for wired interrupts (ACPI 6.6 §5.2.12)."""

    NAME: ClassVar[str] = "APLIC"
    LAYOUT: ClassVar[Layout] = Layout(layout.APLIC)

    version: int
    aplic_id: int
    flags: int
    hardware_id: bytes
    number_of_idcs: int
    total_external_interrupt_sources: int
    global_system_interrupt_base: int
    aplic_address: int
    aplic_size: int


@record
class Plic(Entry):
    """A RISC-V PLIC for wired interrupts (ACPI 6.6 §5.2.12)."""

    NAME: ClassVar[str] = "PLIC"
    LAYOUT: ClassVar[Layout] = Layout(layout.PLIC)

    version: int
    plic_id: int
    hardware_id: bytes
    total_external_interrupt_sources: int
    max_priority: int
    flags: int
    plic_size: int
    plic_address: int
    global_system_interrupt_base: int


@record
class Madt(EntryTable):
    """The table after its header (§5.2.12)."""

    NAME: ClassVar[str] = "MADT"
    LAYOUT: ClassVar[Layout] = Layout(layout.MADT)
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": names.MADT_FLAGS}

    local_interrupt_controller_address: int
    flags: int
