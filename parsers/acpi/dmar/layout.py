"""The structures of a DMAR table, field by field (Intel VT-d specification 4.1 chapter 8)."""

from __future__ import annotations

from construct import Bytes, Int8ul, Int16ul, Int32ul, Int64ul, Struct

# §8.1, after the table header
DMAR = Struct(
    "host_address_width" / Int8ul,
    "flags" / Int8ul,
    "reserved" / Bytes(10),
)

# §8.2
STRUCTURE_HEADER = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
)

# §8.3
DRHD = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
    "flags" / Int8ul,
    "size" / Int8ul,
    "segment" / Int16ul,
    "register_base" / Int64ul,
)

# §8.3.1; pairs of device and function follow, up to the entry's length
DEVICE_SCOPE = Struct(
    "type" / Int8ul,
    "length" / Int8ul,
    "flags" / Int8ul,
    "reserved" / Int8ul,
    "enumeration_id" / Int8ul,
    "start_bus" / Int8ul,
)

PATH_ELEMENT = Struct(
    "device" / Int8ul,
    "function" / Int8ul,
)

# §8.4
RMRR = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
    "reserved" / Int16ul,
    "segment" / Int16ul,
    "base" / Int64ul,
    "limit" / Int64ul,
)

# §8.5
ATSR = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
    "flags" / Int8ul,
    "reserved" / Int8ul,
    "segment" / Int16ul,
)

# §8.6
RHSA = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
    "reserved" / Int32ul,
    "register_base" / Int64ul,
    "proximity_domain" / Int32ul,
)

# §8.7; the name of the object follows, ended by a zero byte
ANDD = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
    "reserved" / Bytes(3),
    "device_number" / Int8ul,
)

# §8.8
SATC = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
    "flags" / Int8ul,
    "reserved" / Int8ul,
    "segment" / Int16ul,
)

# §8.9
SIDP = Struct(
    "type" / Int16ul,
    "length" / Int16ul,
    "reserved" / Int16ul,
    "segment" / Int16ul,
)
