"""Holds our reading of a table against iasl's, field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from iommuman.parsers.acpi import FieldValue, Raw, Record, Table
from iommuman.parsers.acpi.iort import Iort
from iommuman.parsers.acpi.ivrs import Block, Ivrs
from iommuman.parsers.acpi.madt import Madt
from iommuman.parsers.acpi.srat import Srat

from tests.oracles.iasl import RAW_DATA, IaslField

NAMES = {
    "ACPI Disable Value": {"acpi_disable"},
    "ACPI Enable Value": {"acpi_enable"},
    "ARM Flags": {"arm_boot_arch"},
    "ARM MPIDR": {"mpidr"},
    "ATS Attribute": {"ats_attribute"},
    "Acpi Processor UID": {"acpi_processor_uid"},
    "Address": {"address", "base_address", "io_apic_address", "io_sapic_address"},
    "Address Length": {"size"},
    "Apic ID": {"apic_id", "x2apic_id"},
    "Asl Compiler ID": {"creator_id"},
    "Asl Compiler Revision": {"creator_revision"},
    "Attributes": {"attributes"},
    "Auxiliary Data": {"auxiliary_data"},
    "Base Address": {"base", "base_address", "register_base", "physical_base_address", "discovery_range_base_address"},
    "Bit Offset": {"register_bit_offset"},
    "Bit Width": {"register_bit_width"},
    "Boot Flags": {"iapc_boot_arch"},
    "Bus": {"bus"},
    "C2 Latency": {"p_lvl2_lat"},
    "C3 Latency": {"p_lvl3_lat"},
    "CPU Cache Size": {"flush_size"},
    "CPU Interface Number": {"cpu_interface_number"},
    "Cache Coherency": {"cache_coherency"},
    "Cache Flush Stride": {"flush_stride"},
    "Capability Offset": {"capability_offset"},
    "Checksum": {"checksum"},
    "Clock Domain": {"clock_domain"},
    "Context Interrupt Count": {"context_interrupt_count"},
    "Context Interrupt Offset": {"context_interrupt_offset"},
    "DSDT Address": {"dsdt", "x_dsdt"},
    "Data Setting": {"data_setting"},
    "Device Handle": {"device_handle"},
    "Device Handle Type": {"device_handle_type"},
    "Device ID": {"device_id"},
    "Device ID Mapping Index": {"device_id_mapping_index"},
    "Device Name": {"object_name", "name"},
    "Device Number": {"device_number"},
    "Device Scope Type": {"type"},
    "DeviceId": {"device_id"},
    "Duty Cycle Offset": {"duty_offset"},
    "Duty Cycle Width": {"duty_width"},
    "EFR Image": {"efr_image"},
    "Efficiency Class": {"processor_power_efficiency_class"},
    "Encoded Access Width": {"reserved", "access_size"},
    "End Address (limit)": {"limit"},
    "End Bus Number": {"end_bus"},
    "Entry Length": {"length"},
    "Entry Type": {"type"},
    "Enumeration ID": {"enumeration_id"},
    "Event GSIV": {"event_gsiv"},
    "Extended Data": {"extended_data"},
    "FACS Address": {"firmware_ctrl", "x_firmware_ctrl"},
    "FADT Minor Revision": {"minor_version"},
    "Feature Reporting": {"feature_reporting"},
    "Flags": {"flags", "page_protection_and_oem_attribute"},
    "GERR GSIV": {"gerror_gsiv"},
    "GPE0 Block Address": {"gpe0_blk"},
    "GPE0 Block Length": {"gpe0_blk_len"},
    "GPE1 Base Offset": {"gpe1_base"},
    "GPE1 Block Address": {"gpe1_blk"},
    "GPE1 Block Length": {"gpe1_blk_len"},
    "Global Interrupt Offset": {"global_interrupt_offset"},
    "Handle": {"handle"},
    "Hardware Block ID": {"event_timer_block_id"},
    "Hints": {"allocation_hints"},
    "Host Address Width": {"host_address_width"},
    "Hypervisor GIC Base Address": {"gich"},
    "Hypervisor ID": {"hypervisor_vendor_identity"},
    "I/O Apic ID": {"io_apic_id"},
    "I/O Sapic ID": {"io_apic_id"},
    "ID Count": {"id_count"},
    "ITS ID": {"its_id"},
    "Identifiers": {"identifier"},
    "Input base": {"input_base"},
    "Interrupt": {"global_system_interrupt", "global_system_interrupt_base"},
    "Interrupt Base": {"global_system_interrupt_base", "system_vector_base"},
    "ItsCount": {"its_count"},
    "Length": {"length", "discovery_range_length"},
    "Local Apic Address": {"local_interrupt_controller_address"},
    "Local Apic ID": {"apic_id"},
    "Local GIC Hardware ID": {"gic_id"},
    "Local Sapic EID": {"local_sapic_eid"},
    "Localities": {"number_of_system_localities"},
    "MSI Frame ID": {"gic_msi_frame_id"},
    "Mapping Count": {"mapping_count"},
    "Mapping Offset": {"mapping_offset"},
    "Memory Flags": {"memory_flags"},
    "Memory Length": {"memory_length"},
    "Memory Size Limit": {"memory_address_limit"},
    "Minimum Clock Ticks": {"minimum_clock_tick"},
    "Model": {"model", "reserved"},
    "NSgCfgIrpt": {"nsg_cfg_irpt"},
    "NSgCfgIrpt Flags": {"nsg_cfg_irpt_flags"},
    "NSgIrpt": {"nsg_irpt"},
    "NSgIrpt Flags": {"nsg_irpt_flags"},
    "Node Count": {"node_count"},
    "Node Flags": {"node_flags"},
    "Node Offset": {"node_offset"},
    "Node Reference": {"node_reference"},
    "Oem ID": {"oem_id"},
    "Oem Revision": {"oem_revision"},
    "Oem Table ID": {"oem_table_id"},
    "Output Base": {"output_base"},
    "Output Reference": {"output_reference"},
    "Overflow Interrupt GSIV": {"overflow_gsiv"},
    "P-State Control": {"pstate_cnt"},
    "PCI Bus Number": {"start_bus"},
    "PCI Path": {"path"},
    "PCI Segment Group": {"segment"},
    "PCI Segment Number": {"segment"},
    "PM Profile": {"preferred_pm_profile"},
    "PM Timer Block Address": {"pm_tmr_blk"},
    "PM Timer Block Length": {"pm_tmr_len"},
    "PM1 Control Block Length": {"pm1_cnt_len"},
    "PM1 Event Block Length": {"pm1_evt_len"},
    "PM1A Control Block Address": {"pm1a_cnt_blk"},
    "PM1A Event Block Address": {"pm1a_evt_blk"},
    "PM1B Control Block Address": {"pm1b_cnt_blk"},
    "PM1B Event Block Address": {"pm1b_evt_blk"},
    "PM2 Control Block Address": {"pm2_cnt_blk"},
    "PM2 Control Block Length": {"pm2_cnt_len"},
    "PMU Interrupt Count": {"pmu_interrupt_count"},
    "PMU Interrupt Offset": {"pmu_interrupt_offset"},
    "PRI GSIV": {"pri_gsiv"},
    "Page 0 Base Address": {"page0_base"},
    "Page 1 Base Address": {"page1_base", "data"},  # iasl shows it in nodes of revision 0, which do not have it
    "Parked Address": {"parked_address"},
    "Parking Protocol Version": {"parking_protocol_version"},
    "Performance Interrupt": {"performance_interrupt_gsiv"},
    "Processor ID": {"acpi_processor_uid"},
    "Processor UID": {"acpi_processor_uid"},
    "Processor x2Apic ID": {"x2apic_id"},
    "Proximity Domain": {"proximity_domain"},
    "Proximity Domain High(24)": {"proximity_domain_high"},
    "Proximity Domain Low(8)": {"proximity_domain_low"},
    "RTC Century Index": {"century"},
    "RTC Day Alarm Index": {"day_alrm"},
    "RTC Month Alarm Index": {"mon_alrm"},
    "Redistributor Base Address": {"gicr_base_address"},
    "Register Base Address": {"register_base"},
    # What iasl 20200925 calls reserved has a meaning by now: DRHD's Size, the Identifier of IORT nodes, an EFR2 image.
    "Reserved": {"reserved", "reserved2", "size", "identifier", "memory_reserved", "efr2_image"},
    "Reserved1": {"reserved"},
    "Reserved2": {"reserved2"},
    "Reserved3": {"reserved3"},
    "Revision": {"revision"},
    "S4BIOS Command": {"s4bios_req"},
    "SCI Interrupt": {"sci_int"},
    "SMI Command Port": {"smi_cmd"},
    "SPE Overflow Interrupt": {"spe_overflow_interrupt"},
    "SPI Base": {"spi_base"},
    "SPI Count": {"spi_count"},
    "Segment Group Number": {"segment"},
    "Sequence Number": {"hpet_number"},
    "Signature": {"signature"},
    "Source": {"source"},
    "Source Used Device ID": {"source_device_id"},
    "Space ID": {"address_space_id"},
    "Span": {"span"},
    "Start Address": {"start_address"},
    "Start Bus Number": {"start_bus"},
    "Subtable Type": {"type"},
    "Sync GSIV": {"sync_gsiv"},
    "Table Length": {"length"},
    "Table Revision": {"table_revision"},
    "Translation ID": {"gic_its_id"},
    "Type": {"type"},
    "VATOS Address": {"vatos_address"},
    "Value to cause reset": {"reset_value"},
    "Variety": {"variety"},
    "Version": {"gic_version"},
    "Virtual GIC Base Address": {"gicv"},
    "Virtual GIC Interrupt": {"vgic_maintenance_interrupt"},
    "Virtualization Info": {"iv_info", "info"},
    "_CST Support": {"cst_cnt"},
}
"""iasl's name of a field to ours."""

FINER = {
    ("Reserved", 2),  # the flags of a device scope came with VT-d 3.4
    ("Reserved", 3),  # the PASID capabilities of a root complex came with IORT revision E.b
    ("Reserved", 8),  # the first two bytes of it in an IVMD are a segment
    ("Context Interrupt", 8),  # one number for GSIV and flags
    ("PMU Interrupt", 8),
    ("Memory Size Limit", 1),  # shown in root complexes of revision 0, which do not have it
    ("Proximity Domain", 4),  # shown in SMMUv3 nodes of revision 0, which do not have it
    ("Device ID Mapping Index", 4),
}
"""Fields of iasl (name and length) that our layouts cut differently: their bytes are compared, not their names."""

BITS = {
    "Transient": "Transient",
    "Write Allocate": "Write Allocate",
    "Read Allocate": "Read Allocate",
    "Override": "Override",
    "Coherency": "Coherent Path",
    "Device Attribute": "Device Attributes",
    "Single Mapping": "SINGLE_MAPPING",
    "DVM Supported": "DVM Supported",
    "Coherent Walk": "Coherent Walk",
    "Edge Triggered": "Edge Triggered",
    "COHACC Override": "COHACC Override",
    "HTTU Override": "HTTU Override",
    "Proximity Domain Valid": "Proximity Domain Valid",
    "PC-AT Compatibility": "PCAT_COMPAT",
    "Processor Enabled": "Enabled",
    "Runtime Online Capable": "Online Capable",
    "Polarity": "Polarity",
    "Trigger Mode": "Trigger Mode",
    "Performance Interrupt Trigger Mode": "Performance Interrupt Mode",
    "Virtual GIC Interrupt Trigger Mode": "VGIC Maintenance Interrupt Mode",
    "Select SPI": "SPI Count/Base Select",
    "Enabled": "Enabled",
    "Hot Pluggable": "Hot Pluggable",
    "Non-Volatile": "NonVolatile",
    "Legacy Devices Supported (V2)": "LEGACY_DEVICES",
    "8042 Present on ports 60/64 (V2)": "8042",
    "VGA Not Present (V4)": "VGA Not Present",
    "MSI Not Supported (V4)": "MSI Not Supported",
    "PCIe ASPM Not Supported (V4)": "PCIe ASPM Controls",
    "CMOS RTC Not Present (V5)": "CMOS RTC Not Present",
    "WBINVD instruction is operational (V1)": "WBINVD",
    "WBINVD flushes all caches (V1)": "WBINVD_FLUSH",
    "All CPUs support C1 (V1)": "PROC_C1",
    "C2 works on MP system (V1)": "P_LVL2_UP",
    "Control Method Power Button (V1)": "PWR_BUTTON",
    "Control Method Sleep Button (V1)": "SLP_BUTTON",
    "RTC wake not in fixed reg space (V1)": "FIX_RTC",
    "RTC can wake system from S4 (V1)": "RTC_S4",
    "32-bit PM Timer (V1)": "TMR_VAL_EXT",
    "Docking Supported (V1)": "DCK_CAP",
    "Reset Register Supported (V2)": "RESET_REG_SUP",
    "Sealed Case (V3)": "SEALED_CASE",
    "Headless - No Video (V3)": "HEADLESS",
    "Use native instr after SLP_TYPx (V3)": "CPU_SW_SLP",
    "PCIEXP_WAK Bits Supported (V4)": "PCI_EXP_WAK",
    "Use Platform Timer (V4)": "USE_PLATFORM_CLOCK",
    "RTC_STS valid on S4 wake (V4)": "S4_RTC_STS_VALID",
    "Remote Power-on capable (V4)": "REMOTE_POWER_ON_CAPABLE",
    "Use APIC Cluster Model (V4)": "FORCE_APIC_CLUSTER_MODEL",
    "Use APIC Physical Destination Mode (V4)": "FORCE_APIC_PHYSICAL_DESTINATION_MODE",
    "Hardware Reduced (V5)": "HW_REDUCED_ACPI",
    "Low Power S0 Idle (V5)": "LOW_POWER_S0_IDLE_CAPABLE",
    "PSCI Compliant": "PSCI_COMPLIANT",
    "Must use HVC for PSCI": "PSCI_USE_HVC",
}
"""iasl's name of a bit or bit field to ours."""

PARTS = {"4K Page Protect": ("page_protection", 0), "64K Page Protect": ("page_protection", 1)}
"""Bits of iasl that are, for us, bits of a number: its name and which bit."""

HEADINGS = {
    RAW_DATA, "Memory Properties", "Timer Block Register", "Reset Register", "PM1A Event Block", "PM1B Event Block",
    "PM1A Control Block", "PM1B Control Block", "PM2 Control Block", "PM Timer Block", "GPE0 Block", "GPE1 Block",
    "Sleep Control Register", "Sleep Status Register",
}  # fmt: skip
"""What stands in a listing without a value of its own."""

KNOWN_NODES = range(6)
"""IORT node types that iasl 20200925 reads; it takes the rest for something else."""


@dataclass(slots=True)
class Score:
    """How many fields of iasl's listing are equal, and what is not."""

    equal: int = 0
    bits: int = 0
    unknown_to_iasl: int = 0
    differences: list[str] = field(default_factory=list)


def compare(table: Table, listing: list[IaslField], *, names: bool = True) -> Score:
    """Compare every field of a listing with our reading; `names` false for tables too damaged to be cut alike."""
    score = Score()
    image = bytearray(table.size)
    ours: dict[tuple[int, int], FieldValue] = {}
    for value in table.fields():
        data = value.value if isinstance(value.value, bytes) else value.value.to_bytes(value.size, "little")
        image[value.offset : value.offset + value.size] = data
        ours.setdefault((value.offset, value.size), value)
    strange = _strange_nodes(table)
    unread = _unread_entries(table)
    for theirs in listing:
        if theirs.name in HEADINGS:
            continue
        if any(start <= theirs.offset < end for start, end in strange):
            score.unknown_to_iasl += 1
            continue
        where = f"{table.source}+0x{theirs.offset:x} {theirs.name} ({theirs.length})"
        same = ours.get((theirs.offset, theirs.length))
        named = names and not any(start <= theirs.offset < end for start, end in unread)
        if theirs.bits and not named:
            continue
        if theirs.bits:
            found = dict(same.bits) if same else {}
            if _bit(found, theirs.name) == theirs.value:
                score.bits += 1
            else:
                score.differences.append(f"{where}: bit is {theirs.value!r}, ours {found}")
            continue
        if not _equal(bytes(image[theirs.offset : theirs.offset + theirs.length]), theirs):
            score.differences.append(f"{where}: {theirs.text!r}, ours {same!r}")
        elif named and not _same_name(theirs, same.name if same else None):
            score.differences.append(f"{where}: ours is called {same.name if same else 'nothing'}")
        else:
            score.equal += 1
    return score


def _bit(found: dict[str, int], name: str) -> int | None:
    """Return our value of a bit or bit field of iasl."""
    if name in PARTS:
        number, bit = PARTS[name]
        return found[number] >> bit & 1 if number in found else None
    return found.get(BITS.get(name, "?"))


def _same_name(theirs: IaslField, ours: str | None) -> bool:
    if theirs.name == "Padding":  # iasl 20200925 also takes the first bytes of the ID mappings for it
        return True
    if (theirs.name, theirs.length) in FINER and (ours is None or ours not in NAMES.get(theirs.name, ())):
        return True
    if row := re.fullmatch(r"Locality +(\d+)", theirs.name):
        return ours == f"distances_from_{row[1]}"
    return ours in NAMES.get(theirs.name, ())


def _equal(ours: bytes, theirs: IaslField) -> bool:
    """Compare the bytes of a field with a value of iasl."""
    if isinstance(theirs.value, int):
        return ours == theirs.value.to_bytes(theirs.length, "little")
    if isinstance(theirs.value, str):  # iasl ends a string at a zero byte, and shows a space for what cannot be printed
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else " " for byte in ours.partition(b"\0")[0])
        return shown.rstrip() == theirs.value.rstrip()
    return ours == theirs.value


def _unread_entries(table: Table) -> list[tuple[int, int]]:
    """Return the places of entries of types that we do not read: their bytes are compared, not their names."""
    parts: list[Record | Raw] = []
    if isinstance(table.body, Ivrs):
        parts += table.body.blocks
        parts += (
            part for one in table.body.blocks if isinstance(one, Block) for part in (*one.inner(), one.rest or one)
        )
    elif isinstance(table.body, Madt | Srat):
        parts += table.body.entries
    raw = (entry for entry in parts if isinstance(entry, Raw))
    return [(entry.offset, entry.offset + len(entry.data)) for entry in raw]


def _strange_nodes(table: Table) -> list[tuple[int, int]]:
    """Return the places of IORT nodes that iasl does not know."""
    if not isinstance(table.body, Iort):
        return []
    found = [(node.offset, node.offset + node.length) for node in table.body.nodes if node.type not in KNOWN_NODES]
    return found + ([(table.body.rest.offset, table.size)] if isinstance(table.body.rest, Raw) else [])
