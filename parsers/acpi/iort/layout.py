"""The structures of an IORT, field by field (Arm DEN 0049 "IO Remapping Table", revision E.f, chapter 3).

Nodes grew with their revision: `…_1` is the layout from node revision 1 on, and so forth.
"""

from __future__ import annotations

from construct import Int8ul, Int16ul, Int32ul, Int64ul, Struct

# §3, after the table header
IORT = Struct(
    "node_count" / Int32ul,
    "node_offset" / Int32ul,
    "reserved" / Int32ul,
)

# §3.1
NODE_HEADER = Struct(
    "type" / Int8ul,
    "length" / Int16ul,
    "revision" / Int8ul,
    "identifier" / Int32ul,
    "mapping_count" / Int32ul,
    "mapping_offset" / Int32ul,
)

ID_MAPPING = Struct(
    "input_base" / Int32ul,
    "id_count" / Int32ul,
    "output_base" / Int32ul,
    "output_reference" / Int32ul,
    "flags" / Int32ul,
)

# §3.1.1.1; identifiers follow
ITS_GROUP = Struct(
    *NODE_HEADER.subcons,
    "its_count" / Int32ul,
)

ITS_IDENTIFIER = Struct(
    "identifier" / Int32ul,
)

# §3.1.1.5; the name of the object follows, ended by a zero byte
NAMED_COMPONENT = Struct(
    *NODE_HEADER.subcons,
    "node_flags" / Int32ul,
    "cache_coherency" / Int32ul,
    "allocation_hints" / Int8ul,
    "memory_reserved" / Int16ul,
    "memory_flags" / Int8ul,
    "memory_address_limit" / Int8ul,
)

# §3.1.1.4
ROOT_COMPLEX = Struct(
    *NODE_HEADER.subcons,
    "cache_coherency" / Int32ul,
    "allocation_hints" / Int8ul,
    "memory_reserved" / Int16ul,
    "memory_flags" / Int8ul,
    "ats_attribute" / Int32ul,
    "segment" / Int32ul,
)

ROOT_COMPLEX_1 = Struct(
    *ROOT_COMPLEX.subcons,
    "memory_address_limit" / Int8ul,
    "pasid_capabilities" / Int16ul,  # reserved before revision 2
    "reserved" / Int8ul,
)

ROOT_COMPLEX_4 = Struct(
    *ROOT_COMPLEX_1.subcons,
    "flags" / Int32ul,
)

# §3.1.1.3
SMMU_V2 = Struct(
    *NODE_HEADER.subcons,
    "base_address" / Int64ul,
    "span" / Int64ul,
    "model" / Int32ul,
    "flags" / Int32ul,
    "global_interrupt_offset" / Int32ul,
    "context_interrupt_count" / Int32ul,
    "context_interrupt_offset" / Int32ul,
    "pmu_interrupt_count" / Int32ul,
    "pmu_interrupt_offset" / Int32ul,
)

GLOBAL_INTERRUPTS = Struct(
    "nsg_irpt" / Int32ul,
    "nsg_irpt_flags" / Int32ul,
    "nsg_cfg_irpt" / Int32ul,
    "nsg_cfg_irpt_flags" / Int32ul,
)

INTERRUPT = Struct(
    "gsiv" / Int32ul,
    "flags" / Int32ul,
)

# §3.1.1.2
SMMU_V3 = Struct(
    *NODE_HEADER.subcons,
    "base_address" / Int64ul,
    "flags" / Int32ul,
    "reserved" / Int32ul,
    "vatos_address" / Int64ul,
    "model" / Int32ul,
    "event_gsiv" / Int32ul,
    "pri_gsiv" / Int32ul,
    "gerror_gsiv" / Int32ul,
    "sync_gsiv" / Int32ul,
)

SMMU_V3_1 = Struct(
    *SMMU_V3.subcons,
    "proximity_domain" / Int32ul,
    "device_id_mapping_index" / Int32ul,
)

# §3.1.1.6
PMCG = Struct(
    *NODE_HEADER.subcons,
    "page0_base" / Int64ul,
    "overflow_gsiv" / Int32ul,
    "node_reference" / Int32ul,
)

PMCG_1 = Struct(
    *PMCG.subcons,
    "page1_base" / Int64ul,
)

# §3.1.1.7
RMR = Struct(
    *NODE_HEADER.subcons,
    "flags" / Int32ul,
    "descriptor_count" / Int32ul,
    "descriptor_offset" / Int32ul,
)

RMR_DESCRIPTOR = Struct(
    "base" / Int64ul,
    "length" / Int64ul,
    "reserved" / Int32ul,
)

# §3.1.1.8; the name of the object follows, ended by a zero byte
IWB = Struct(
    *NODE_HEADER.subcons,
    "base_address" / Int64ul,
    "iwb_index" / Int16ul,
)
