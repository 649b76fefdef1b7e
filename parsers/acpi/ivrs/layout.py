"""The structures of an IVRS, field by field (AMD IOMMU specification, document 48882, §5.2)."""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

# §5.2.1, after the table header
IVRS = Struct(
    "iv_info" / Int32ul,
    "reserved" / Bytes(8),
)

# §5.2.2; what every block begins with
BLOCK_HEADER = Struct(
    "type" / Int8ul,
    "flags" / Int8ul,
    "length" / Int16ul,
    "device_id" / Int16ul,
)

# §5.2.2, type 10h; device entries follow
IVHD_FIXED = Struct(
    *BLOCK_HEADER.subcons,
    "capability_offset" / Int16ul,
    "base_address" / Int64ul,
    "segment" / Int16ul,
    "info" / Int16ul,
    "feature_reporting" / Int32ul,
)

# §5.2.2, types 11h and 40h; device entries follow
IVHD_EXTENDED = Struct(
    *BLOCK_HEADER.subcons,
    "capability_offset" / Int16ul,
    "base_address" / Int64ul,
    "segment" / Int16ul,
    "info" / Int16ul,
    "attributes" / Int32ul,
    "efr_image" / Int64ul,
    "efr2_image" / Int64ul,  # reserved in earlier revisions
)

# §5.2.2.3, types 0 to 4
DEVICE_ENTRY = Struct(
    "type" / Int8ul,
    "device_id" / Int16ul,
    "data_setting" / Int8ul,
)

# §5.2.2.4, types 66 and 67
ALIAS_ENTRY = Struct(
    *DEVICE_ENTRY.subcons,
    "reserved" / Int8ul,
    "source_device_id" / Int16ul,
    "reserved2" / Int8ul,
)

# §5.2.2.4, types 70 and 71
EXTENDED_ENTRY = Struct(
    *DEVICE_ENTRY.subcons,
    "extended_data" / Int32ul,
)

# §5.2.2.4, type 72
SPECIAL_ENTRY = Struct(
    *DEVICE_ENTRY.subcons,
    "handle" / Int8ul,
    "source_device_id" / Int16ul,
    "variety" / Int8ul,
)

# §5.2.2.5, type 240; the unique ID follows
HID_ENTRY = Struct(
    *DEVICE_ENTRY.subcons,
    "hardware_id" / Bytes(8),
    "compatible_id" / Bytes(8),
    "unique_id_format" / Int8ul,
    "unique_id_length" / Int8ul,
)

# §5.2.2, types 20h to 22h
IVMD = Struct(
    *BLOCK_HEADER.subcons,
    "auxiliary_data" / Int16ul,
    "segment" / Int16ul,  # reserved in earlier revisions
    "reserved" / Bytes(6),
    "start_address" / Int64ul,
    "memory_length" / Int64ul,
)
