"""The FADT, field by field (ACPI 6.5 §5.2.9)."""

from __future__ import annotations

from construct import Int8ul, Int16ul, Int32ul, Int64ul, Struct

# What ACPI 1.0 had, after the table header
FADT = Struct(
    "firmware_ctrl" / Int32ul,
    "dsdt" / Int32ul,
    "reserved" / Int8ul,  # INT_MODEL in ACPI 1.0
    "preferred_pm_profile" / Int8ul,
    "sci_int" / Int16ul,
    "smi_cmd" / Int32ul,
    "acpi_enable" / Int8ul,
    "acpi_disable" / Int8ul,
    "s4bios_req" / Int8ul,
    "pstate_cnt" / Int8ul,
    "pm1a_evt_blk" / Int32ul,
    "pm1b_evt_blk" / Int32ul,
    "pm1a_cnt_blk" / Int32ul,
    "pm1b_cnt_blk" / Int32ul,
    "pm2_cnt_blk" / Int32ul,
    "pm_tmr_blk" / Int32ul,
    "gpe0_blk" / Int32ul,
    "gpe1_blk" / Int32ul,
    "pm1_evt_len" / Int8ul,
    "pm1_cnt_len" / Int8ul,
    "pm2_cnt_len" / Int8ul,
    "pm_tmr_len" / Int8ul,
    "gpe0_blk_len" / Int8ul,
    "gpe1_blk_len" / Int8ul,
    "gpe1_base" / Int8ul,
    "cst_cnt" / Int8ul,
    "p_lvl2_lat" / Int16ul,
    "p_lvl3_lat" / Int16ul,
    "flush_size" / Int16ul,
    "flush_stride" / Int16ul,
    "duty_offset" / Int8ul,
    "duty_width" / Int8ul,
    "day_alrm" / Int8ul,
    "mon_alrm" / Int8ul,
    "century" / Int8ul,
    "iapc_boot_arch" / Int16ul,
    "reserved2" / Int8ul,
    "flags" / Int32ul,
)

# §5.2.3.2
GENERIC_ADDRESS = Struct(
    "address_space_id" / Int8ul,
    "register_bit_width" / Int8ul,
    "register_bit_offset" / Int8ul,
    "access_size" / Int8ul,
    "address" / Int64ul,
)

RESET = Struct(
    "reset_value" / Int8ul,
    "arm_boot_arch" / Int16ul,
    "minor_version" / Int8ul,
)

POINTERS = Struct(
    "x_firmware_ctrl" / Int64ul,
    "x_dsdt" / Int64ul,
)

HYPERVISOR_IDENTITY = Struct(
    "hypervisor_vendor_identity" / Int64ul,
)
