"""Holds our reading of a table against iasl's, field by field."""

from __future__ import annotations

from dataclasses import dataclass, field

from iommuman.parsers.acpi import FieldValue, Raw, Table
from iommuman.parsers.acpi.iort import Iort

from tests.oracles.iasl import RAW_DATA, IaslField

NAMES = {
    "ATS Attribute": {"ats_attribute"},
    "Asl Compiler ID": {"creator_id"},
    "Asl Compiler Revision": {"creator_revision"},
    "Base Address": {"base", "base_address", "register_base"},
    "Cache Coherency": {"cache_coherency"},
    "Checksum": {"checksum"},
    "Context Interrupt Count": {"context_interrupt_count"},
    "Context Interrupt Offset": {"context_interrupt_offset"},
    "Device ID Mapping Index": {"device_id_mapping_index"},
    "Device Name": {"object_name", "name"},
    "Device Number": {"device_number"},
    "Device Scope Type": {"type"},
    "End Address (limit)": {"limit"},
    "End Bus Number": {"end_bus"},
    "Entry Length": {"length"},
    "Enumeration ID": {"enumeration_id"},
    "Event GSIV": {"event_gsiv"},
    "Flags": {"flags"},
    "GERR GSIV": {"gerror_gsiv"},
    "Global Interrupt Offset": {"global_interrupt_offset"},
    "Hints": {"allocation_hints"},
    "Host Address Width": {"host_address_width"},
    "ID Count": {"id_count"},
    "Identifiers": {"identifier"},
    "Input base": {"input_base"},
    "ItsCount": {"its_count"},
    "Length": {"length"},
    "Mapping Count": {"mapping_count"},
    "Mapping Offset": {"mapping_offset"},
    "Memory Flags": {"memory_flags"},
    "Memory Size Limit": {"memory_address_limit"},
    "Model": {"model"},
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
    "PCI Bus Number": {"start_bus"},
    "PCI Path": {"path"},
    "PCI Segment Number": {"segment"},
    "PMU Interrupt Count": {"pmu_interrupt_count"},
    "PMU Interrupt Offset": {"pmu_interrupt_offset"},
    "PRI GSIV": {"pri_gsiv"},
    "Page 0 Base Address": {"page0_base"},
    "Page 1 Base Address": {"page1_base", "data"},  # iasl shows it in nodes of revision 0, which do not have it
    "Proximity Domain": {"proximity_domain"},
    "Register Base Address": {"register_base"},
    # What iasl 20200925 calls reserved has a meaning by now: DRHD's Size, and the Identifier of IORT nodes.
    "Reserved": {"reserved", "size", "identifier", "memory_reserved"},
    "Revision": {"revision"},
    "Segment Group Number": {"segment"},
    "Signature": {"signature"},
    "Span": {"span"},
    "Start Bus Number": {"start_bus"},
    "Subtable Type": {"type"},
    "Sync GSIV": {"sync_gsiv"},
    "Table Length": {"length"},
    "Type": {"type"},
    "VATOS Address": {"vatos_address"},
}
"""iasl's name of a field to ours."""

FINER = {
    ("Reserved", 2),  # the flags of a device scope came with VT-d 3.4
    ("Reserved", 3),  # the PASID capabilities of a root complex came with IORT revision E.b
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
}
"""iasl's name of a bit or bit field to ours."""

HEADINGS = {RAW_DATA, "Memory Properties"}
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
    for theirs in listing:
        if theirs.name in HEADINGS:
            continue
        if any(start <= theirs.offset < end for start, end in strange):
            score.unknown_to_iasl += 1
            continue
        where = f"{table.source}+0x{theirs.offset:x} {theirs.name} ({theirs.length})"
        same = ours.get((theirs.offset, theirs.length))
        if theirs.bits and not names:
            continue
        if theirs.bits:
            found = dict(same.bits) if same else {}
            if found.get(BITS.get(theirs.name, "?")) == theirs.value:
                score.bits += 1
            else:
                score.differences.append(f"{where}: bit is {theirs.value!r}, ours {found}")
            continue
        if not _equal(bytes(image[theirs.offset : theirs.offset + theirs.length]), theirs):
            score.differences.append(f"{where}: {theirs.text!r}, ours {same!r}")
        elif names and not _same_name(theirs, same.name if same else None):
            score.differences.append(f"{where}: ours is called {same.name if same else 'nothing'}")
        else:
            score.equal += 1
    return score


def _same_name(theirs: IaslField, ours: str | None) -> bool:
    if theirs.name == "Padding":  # iasl 20200925 also takes the first bytes of the ID mappings for it
        return True
    if (theirs.name, theirs.length) in FINER and (ours is None or ours not in NAMES.get(theirs.name, ())):
        return True
    return ours in NAMES.get(theirs.name, ())


def _equal(ours: bytes, theirs: IaslField) -> bool:
    """Compare the bytes of a field with a value of iasl."""
    if isinstance(theirs.value, int):
        return ours == theirs.value.to_bytes(theirs.length, "little")
    if isinstance(theirs.value, str):  # iasl ends a string at a zero byte, and shows a space for what cannot be printed
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else " " for byte in ours.partition(b"\0")[0])
        return shown.rstrip() == theirs.value.rstrip()
    return ours == theirs.value


def _strange_nodes(table: Table) -> list[tuple[int, int]]:
    """Return the places of IORT nodes that iasl does not know."""
    if not isinstance(table.body, Iort):
        return []
    found = [(node.offset, node.offset + node.length) for node in table.body.nodes if node.type not in KNOWN_NODES]
    return found + ([(table.body.rest.offset, table.size)] if isinstance(table.body.rest, Raw) else [])
