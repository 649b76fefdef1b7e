"""The structures of a RIMT, field by field (RISC-V IO Mapping Table specification 1.0)."""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

# after the table header
RIMT = Struct(
    "node_count" / Int32ul,
    "node_offset" / Int32ul,
    "reserved" / Int32ul,
)

# what every node begins with
NODE_HEADER = Struct(
    "type" / Int8ul,
    "revision" / Int8ul,
    "length" / Int16ul,
    "reserved" / Int16ul,
    "identifier" / Int16ul,
)

# type 0; interrupt wires follow
IOMMU = Struct(
    *NODE_HEADER.subcons,
    "hardware_id" / Bytes(8),
    "base_address" / Int64ul,
    "flags" / Int32ul,
    "proximity_domain" / Int32ul,
    "pcie_segment" / Int16ul,
    "pcie_bdf" / Int16ul,
    "wire_count" / Int16ul,
    "wire_offset" / Int16ul,
)

WIRE = Struct(
    "number" / Int32ul,
    "flags" / Int32ul,
)

# type 1; ID mappings follow
PCIE_ROOT_COMPLEX = Struct(
    *NODE_HEADER.subcons,
    "flags" / Int32ul,
    "reserved2" / Int16ul,
    "segment" / Int16ul,
    "mapping_offset" / Int16ul,
    "mapping_count" / Int16ul,
)

# type 2; the name of the object follows, ended by a zero byte
PLATFORM_DEVICE = Struct(
    *NODE_HEADER.subcons,
    "mapping_offset" / Int16ul,
    "mapping_count" / Int16ul,
)

ID_MAPPING = Struct(
    "source_base" / Int32ul,
    "id_count" / Int32ul,
    "destination_base" / Int32ul,
    "destination_offset" / Int32ul,
    "flags" / Int32ul,
)
