"""The entries of a SRAT, field by field (ACPI 6.5 §5.2.16)."""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

# §5.2.16, after the table header
SRAT = Struct(
    "table_revision" / Int32ul,  # reserved, and 1
    "reserved" / Int64ul,
)

ENTRY_HEADER = Struct(
    "type" / Int8ul,
    "length" / Int8ul,
)

# §5.2.16.1
PROCESSOR_AFFINITY = Struct(
    *ENTRY_HEADER.subcons,
    "proximity_domain_low" / Int8ul,
    "apic_id" / Int8ul,
    "flags" / Int32ul,
    "local_sapic_eid" / Int8ul,
    "proximity_domain_high" / Bytes(3),
    "clock_domain" / Int32ul,
)

# §5.2.16.2
MEMORY_AFFINITY = Struct(
    *ENTRY_HEADER.subcons,
    "proximity_domain" / Int32ul,
    "reserved" / Int16ul,
    "base_address" / Int64ul,
    "size" / Int64ul,
    "reserved2" / Int32ul,
    "flags" / Int32ul,
    "reserved3" / Int64ul,
)

# §5.2.16.3
X2APIC_AFFINITY = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int16ul,
    "proximity_domain" / Int32ul,
    "x2apic_id" / Int32ul,
    "flags" / Int32ul,
    "clock_domain" / Int32ul,
    "reserved2" / Int32ul,
)

# §5.2.16.4
GICC_AFFINITY = Struct(
    *ENTRY_HEADER.subcons,
    "proximity_domain" / Int32ul,
    "acpi_processor_uid" / Int32ul,
    "flags" / Int32ul,
    "clock_domain" / Int32ul,
)

# §5.2.16.5
ITS_AFFINITY = Struct(
    *ENTRY_HEADER.subcons,
    "proximity_domain" / Int32ul,
    "reserved" / Int16ul,
    "its_id" / Int32ul,
)

# §5.2.16.6
GENERIC_INITIATOR_AFFINITY = Struct(
    *ENTRY_HEADER.subcons,
    "reserved" / Int8ul,
    "device_handle_type" / Int8ul,
    "proximity_domain" / Int32ul,
    "device_handle" / Bytes(16),
    "flags" / Int32ul,
    "reserved2" / Int32ul,
)
