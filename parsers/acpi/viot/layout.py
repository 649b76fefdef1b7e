"""The structures of a VIOT, field by field (ACPI 6.6 §5.2.33)."""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

# after the table header
VIOT = Struct(
    "node_count" / Int16ul,
    "node_offset" / Int16ul,
    "reserved" / Bytes(8),
)

# what every node begins with
NODE_HEADER = Struct(
    "type" / Int8ul,
    "reserved" / Int8ul,
    "length" / Int16ul,
)

# type 1
PCI_RANGE = Struct(
    *NODE_HEADER.subcons,
    "endpoint_start" / Int32ul,
    "segment_start" / Int16ul,
    "segment_end" / Int16ul,
    "bdf_start" / Int16ul,
    "bdf_end" / Int16ul,
    "output_node" / Int16ul,
    "reserved2" / Bytes(6),
)

# type 2
MMIO_ENDPOINT = Struct(
    *NODE_HEADER.subcons,
    "endpoint" / Int32ul,
    "base_address" / Int64ul,
    "output_node" / Int16ul,
    "reserved2" / Bytes(6),
)

# type 3
VIRTIO_IOMMU_PCI = Struct(
    *NODE_HEADER.subcons,
    "segment" / Int16ul,
    "bdf" / Int16ul,
    "reserved2" / Bytes(8),
)

# type 4
VIRTIO_IOMMU_MMIO = Struct(
    *NODE_HEADER.subcons,
    "reserved2" / Bytes(4),
    "base_address" / Int64ul,
)
