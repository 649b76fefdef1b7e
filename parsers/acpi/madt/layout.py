"""The entries of a MADT, field by field (ACPI 6.5 §5.2.12; the RISC-V entries: ACPI 6.6 §5.2.12)."""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

# §5.2.12, after the table header
MADT = Struct(
    "local_interrupt_controller_address" / Int32ul,
    "flags" / Int32ul,
)

ENTRY_HEADER = Struct(
    "type" / Int8ul,
    "length" / Int8ul,
)

# §5.2.12.2
LOCAL_APIC = Struct(
    *ENTRY_HEADER.subcons,
    "acpi_processor_uid" / Int8ul,
    "apic_id" / Int8ul,
    "flags" / Int32ul,
)

# §5.2.12.3
IO_APIC = Struct(
    *ENTRY_HEADER.subcons,
    "io_apic_id" / Int8ul,
    "reserved" / Int8ul,
    "io_apic_address" / Int32ul,
    "global_system_interrupt_base" / Int32ul,
)

# §5.2.12.5
INTERRUPT_SOURCE_OVERRIDE = Struct(
    *ENTRY_HEADER.subcons,
    "bus" / Int8ul,
    "source" / Int8ul,
    "global_system_interrupt" / Int32ul,
    "flags" / Int16ul,
)

# §5.2.12.9
IO_SAPIC = Struct(
    *ENTRY_HEADER.subcons,
    "io_apic_id" / Int8ul,
    "reserved" / Int8ul,
    "global_system_interrupt_base" / Int32ul,
    "io_sapic_address" / Int64ul,
)

# §5.2.12.12
LOCAL_X2APIC = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int16ul,
    "x2apic_id" / Int32ul,
    "flags" / Int32ul,
    "acpi_processor_uid" / Int32ul,
)

# §5.2.12.14, as ACPI 5.0 had it; 5.1, 6.0 and 6.5 added fields at the end
GICC_5_0 = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int16ul,
    "cpu_interface_number" / Int32ul,
    "acpi_processor_uid" / Int32ul,
    "flags" / Int32ul,
    "parking_protocol_version" / Int32ul,
    "performance_interrupt_gsiv" / Int32ul,
    "parked_address" / Int64ul,
    "physical_base_address" / Int64ul,
)

GICC_5_1 = Struct(
    *GICC_5_0.subcons,
    "gicv" / Int64ul,
    "gich" / Int64ul,
    "vgic_maintenance_interrupt" / Int32ul,
    "gicr_base_address" / Int64ul,
    "mpidr" / Int64ul,
)

GICC_6_0 = Struct(
    *GICC_5_1.subcons,
    "processor_power_efficiency_class" / Int8ul,
    "reserved2" / Int8ul,
    "spe_overflow_interrupt" / Int16ul,  # reserved before ACPI 6.3
)

GICC = Struct(
    *GICC_6_0.subcons,
    "trbe_interrupt" / Int16ul,
)

# §5.2.12.15
GICD = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int16ul,
    "gic_id" / Int32ul,
    "physical_base_address" / Int64ul,
    "system_vector_base" / Int32ul,
    "gic_version" / Int8ul,
    "reserved2" / Bytes(3),
)

# §5.2.12.16
GIC_MSI_FRAME = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int16ul,
    "gic_msi_frame_id" / Int32ul,
    "physical_base_address" / Int64ul,
    "flags" / Int32ul,
    "spi_count" / Int16ul,
    "spi_base" / Int16ul,
)

# §5.2.12.17
GICR = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int16ul,
    "discovery_range_base_address" / Int64ul,
    "discovery_range_length" / Int32ul,
)

# §5.2.12.18
GIC_ITS = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int16ul,
    "gic_its_id" / Int32ul,
    "physical_base_address" / Int64ul,
    "reserved2" / Int32ul,
)

# ACPI 6.6 §5.2.12
RINTC = Struct(
    *ENTRY_HEADER.subcons,
    "version" / Int8ul,
    "reserved" / Int8ul,
    "flags" / Int32ul,
    "hart_id" / Int64ul,
    "acpi_processor_uid" / Int32ul,
    "external_interrupt_controller_id" / Int32ul,
    "imsic_base_address" / Int64ul,
    "imsic_size" / Int32ul,
)

IMSIC = Struct(
    *ENTRY_HEADER.subcons,
    "version" / Int8ul,
    "reserved" / Int8ul,
    "flags" / Int32ul,
    "supervisor_identities" / Int16ul,
    "guest_identities" / Int16ul,
    "guest_index_bits" / Int8ul,
    "hart_index_bits" / Int8ul,
    "group_index_bits" / Int8ul,
    "group_index_shift" / Int8ul,
)

APLIC = Struct(
    *ENTRY_HEADER.subcons,
    "version" / Int8ul,
    "aplic_id" / Int8ul,
    "flags" / Int32ul,
    "hardware_id" / Bytes(8),
    "number_of_idcs" / Int16ul,
    "total_external_interrupt_sources" / Int16ul,
    "global_system_interrupt_base" / Int32ul,
    "aplic_address" / Int64ul,
    "aplic_size" / Int32ul,
)

PLIC = Struct(
    *ENTRY_HEADER.subcons,
    "version" / Int8ul,
    "plic_id" / Int8ul,
    "hardware_id" / Bytes(8),
    "total_external_interrupt_sources" / Int16ul,
    "max_priority" / Int16ul,
    "flags" / Int32ul,
    "plic_size" / Int32ul,
    "plic_address" / Int64ul,
    "global_system_interrupt_base" / Int32ul,
)
