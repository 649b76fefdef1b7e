"""What the fields of feature registers mean, in words.

Sources: Arm IHI 0070 G.b §6.3 (SMMU_IDR0 to IDR5, AIDR); VT-d specification 4.1 §11.4.2 and §11.4.3 (CAP, ECAP);
AMD 48882 (extended feature register), with the bits of Linux' `amd_iommu_types.h` for its upper half; `ARM_SMMU_FEAT_*`
of Linux' `arm-smmu-v3.h` for the driver's own word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Words = str | Mapping[int, str] | Callable[[int], str]
"""Of one bit: what the unit has when it is set. Of a number: words by value, or a function of it."""


def _bits(what: str) -> Callable[[int], str]:
    return lambda value: f"{what} of {value} bits"


def _entries(what: str) -> Callable[[int], str]:
    return lambda value: f"{what} of up to {1 << value:,} entries"


def _pasids(value: int) -> str:
    return f"PASIDs of {value + 1} bit{'s' if value else ''}, if there are any"


def _domains(value: int) -> str:
    return f"{1 << 4 + 2 * value:,} domain IDs"


def _widths(value: int) -> str:
    named = [f"{30 + 9 * bit} bits ({2 + bit} levels)" for bit in range(1, 4) if value >> bit & 1]
    return f"second-stage addresses of {' or '.join(named) or 'no width that is known'}"


def _large_pages(value: int) -> str:
    named = [size for bit, size in enumerate(("2 MiB", "1 GiB")) if value >> bit & 1]
    return f"second-stage pages of 4 KiB{''.join(f', {one}' for one in named)}"


_IDR0: dict[str, Words] = {
    "S1P": "stage 1",
    "S2P": "stage 2",
    "TTF": {1: "AArch32 tables only", 2: "AArch64 tables", 3: "AArch32 and AArch64 tables"},
    "COHACC": "coherent table walks and queues",
    "BTM": "broadcast TLB maintenance",
    "HTTU": {
        0: "no update of access and dirty flags", 1: "hardware sets access flags",
        2: "hardware sets access flags and dirty state",
        3: "hardware sets access flags, also of tables, and dirty state",
    },
    "DORMHINT": "hint that it is dormant",
    "Hyp": "hypervisor contexts (EL2)",
    "ATS": "ATS",
    "NS1ATS": {0: "ATS of stage 1 alone (split-stage) as well", 1: "no ATS of stage 1 alone (split-stage)"},
    "ASID16": "ASIDs of 16 bits",
    "MSI": "message-signalled interrupts of its own",
    "SEV": "wake-up events",
    "ATOS": "address translation by registers (ATOS)",
    "PRI": "page requests (PRI)",
    "VMW": "wildcards for VMIDs",
    "VMID16": "VMIDs of 16 bits",
    "CD2L": "context descriptor tables of two levels",
    "VATOS": "address translation by registers for guests (VATOS)",
    "TTENDIAN": {0: "tables of either byte order", 2: "little-endian tables", 3: "big-endian tables"},
    "ATSRECERR": "records of errors of ATS requests",
    "STALL_MODEL": {0: "faults stall or terminate", 1: "faults never stall", 2: "faults always stall"},
    "TERM_MODEL": {0: "a terminated access may read as zero (CD.A)", 1: "a terminated access is always an abort"},
    "ST_LEVEL": {0: "a linear stream table only", 1: "a stream table of one or two levels"},
    "RME_IMPL": "realm management extension",
}  # fmt: skip
_IDR1: dict[str, Words] = {
    "SIDSIZE": _bits("stream IDs"),
    "SSIDSIZE": lambda value: f"substream IDs of {value} bits" if value else "no substreams (PASIDs)",
    "PRIQS": _entries("a PRI queue"),
    "EVENTQS": _entries("an event queue"),
    "CMDQS": _entries("a command queue"),
    "ATTR_PERMS_OVR": "overrides of permissions",
    "ATTR_TYPES_OVR": "overrides of memory types",
    "REL": "relative addresses of tables and queues",
    "QUEUES_PRESET": "queues at fixed addresses",
    "TABLES_PRESET": "tables at fixed addresses",
    "ECMDQ": "enhanced command queues",
}
_IDR3: dict[str, Words] = {
    "HAD": "disabling of hierarchical attributes",
    "PBHA": "page-based hardware attributes",
    "XNX": "execute control for EL0 and EL1 at stage 2",
    "PPS": "a PASID in responses to page requests, where the request had one",
    "MPAM": "MPAM",
    "FWB": "stage 2 control of memory types",
    "STT": "small translation tables",
    "RIL": "invalidation of ranges",
    "BBML": lambda value: f"break-before-make level {value}",
    "E0PD": "E0PD",
    "PTWNNC": "table walks to any Normal memory",
    "DPT": "a device permission table",
    "PASIDTT": "PASIDs on translated requests",
    "EPAN": "enhanced privileged access never",
    "S1PI": "stage 1 permission indirections",
    "S2PI": "stage 2 permission indirections",
    "S2PO": "stage 2 permission overlays",
    "THE": "translation hardening",
    "MTEPERM": "control of memory tagging by permission",
    "AIE": "attribute index enhancement",
}
_IDR5: dict[str, Words] = {
    "OAS": lambda value: f"physical addresses of {(32, 36, 40, 42, 44, 48, 52, 56)[value]} bits",
    "GRAN4K": "pages of 4 KiB",
    "GRAN16K": "pages of 16 KiB",
    "GRAN64K": "pages of 64 KiB",
    "DS": "52-bit addresses with pages of 4 and 16 KiB",
    "D128": "descriptors of 128 bits",
    "VAX": {0: "virtual addresses of 48 bits", 1: "virtual addresses of 52 bits", 2: "virtual addresses of 56 bits"},
    "STALL_MAX": lambda value: f"at most {value:,} stalled accesses",
}
_AIDR: dict[str, Words] = {"ArchMinorRev": lambda value: f"SMMUv3.{value}"}

_CAP: dict[str, Words] = {
    "ND": _domains,
    "AFL": "advanced fault log",
    "RWBF": "write buffer that must be flushed",
    "PLMR": "protected low memory",
    "PHMR": "protected high memory",
    "CM": "caching mode: entries that are not present are cached, as emulated units do",
    "SAGAW": _widths,
    "MGAW": lambda value: f"device addresses of {value + 1} bits",
    "ZLR": "zero-length reads of write-only pages",
    "FRO": lambda value: f"fault records at 0x{value * 16:x}",
    "SSLPS": _large_pages,
    "PSI": "invalidation by page",
    "NFR": lambda value: "one fault recording register" if not value else f"{value + 1} fault recording registers",
    "MAMV": lambda value: f"invalidation of at most 2^{value} pages at once",
    "DWD": "draining of writes",
    "DRD": "draining of reads",
    "FS1GP": "first-stage pages of 1 GiB",
    "PI": "posted interrupts",
    "FS5LP": "first stage of five levels",
    "ECMDS": "enhanced commands",
    "ESIRTPS": "caches are invalidated when the interrupt table is set",
    "ESRTPS": "caches are invalidated when the root table is set",
}
_ECAP: dict[str, Words] = {
    "C": "coherent table walks",
    "QI": "queued invalidation",
    "DT": "device TLBs (ATS)",
    "IR": "interrupt remapping",
    "EIM": "x2APIC destinations (extended interrupt mode)",
    "PT": "pass-through",
    "SC": "snoop control",
    "IRO": lambda value: f"IOTLB registers at 0x{value * 16:x}",
    "MHMV": lambda value: f"interrupt invalidation of at most 2^{value} entries at once",
    "MTS": "memory types",
    "NEST": "nested translation",
    "PRS": "page requests (PRI)",
    "ERS": "execute permission",
    "SRS": "supervisor requests",
    "NWFS": "no-write flag of ATS",
    "EAFS": "extended accessed flags",
    "PSS": _pasids,
    "PASID": "PASIDs",
    "DIT": "invalidation throttling of device TLBs",
    "PDS": "draining of page requests",
    "SMTS": "scalable mode",
    "VCS": "virtual command interface",
    "SSADS": "second-stage accessed and dirty flags",
    "SSTS": "second stage in scalable mode",
    "FSTS": "first stage in scalable mode",
    "SMPWCS": "coherent walks in scalable mode",
    "RPS": "a PASID for requests without one (RID_PASID)",
    "PMS": "performance monitoring",
    "ADMS": "abort-DMA mode",
    "RPRIVS": "privileged requests without a PASID",
}
_EFR: dict[str, tuple[int, int, Words]] = {
    "PreFSup": (0, 1, "prefetch of pages"),
    "PPRSup": (1, 1, "peripheral page requests (PRI)"),
    "XTSup": (2, 1, "x2APIC destinations"),
    "NXSup": (3, 1, "no-execute"),
    "GTSup": (4, 1, "guest translation (PASIDs)"),
    "IASup": (6, 1, "invalidation of everything at once"),
    "GASup": (7, 1, "guest virtual APIC"),
    "HESup": (8, 1, "hardware error registers"),
    "PCSup": (9, 1, "performance counters"),
    "HATS": (10, 2, {0: "host tables of 4 levels", 1: "host tables of 5 levels", 2: "host tables of 6 levels"}),
    "GATS": (12, 2, {0: "guest tables of 4 levels", 1: "guest tables of 5 levels", 2: "guest tables of 6 levels"}),
    "GLXSup": (
        14,
        2,
        {0: "GCR3 tables of one level", 1: "GCR3 tables of up to two levels", 2: "GCR3 tables of up to three levels"},
    ),
    "GAMSup": (21, 1, "virtual APIC mode of guest interrupts"),
    "PASmax": (32, 5, _pasids),
    "MsiCapMmioSup": (46, 1, "MSI registers in memory space"),
    "GIOSup": (48, 1, "guest translation of requests without a PASID"),
    "HASup": (49, 1, "hardware sets access flags"),
    "EPHSup": (50, 1, "enhanced handling of page requests"),
    "HDSup": (52, 1, "hardware sets dirty flags"),
    "SNPSup": (63, 1, "secure nested paging"),
}
_LINUX_SMMUV3 = (
    "stream table of two levels", "context descriptor tables of two levels", "little-endian tables",
    "big-endian tables", "page requests (PRI)", "ATS", "wake-up events", "message-signalled interrupts of its own",
    "coherent table walks and queues", "stage 1", "stage 2", "stalls", "hypervisor contexts (EL2)",
    "faults always stall", "virtual addresses of 52 bits", "invalidation of ranges", "broadcast TLB maintenance",
    "shared virtual addresses", "E2H", "nested translation", "overrides of memory types",
    "hardware sets access flags", "hardware sets dirty state", "stage 2 control of memory types",
    "break-before-make level 2",
)  # fmt: skip
"""Bits of `features` in the line of Linux' driver, from bit 0 on."""

Layout = Mapping[str, tuple[int, int, Words]]
"""Field name to (lowest bit, width, words)."""


def layouts() -> dict[str, tuple[str, int, Layout]]:
    """Return of each register by its name: the architecture, its width in bits, and its fields."""
    from ..iommu.smmuv3.layout import registers as smmuv3
    from ..iommu.vtd import layout as vtd

    declared = (
        ("smmuv3", smmuv3.IDR0, _IDR0),
        ("smmuv3", smmuv3.IDR1, _IDR1),
        ("smmuv3", smmuv3.IDR3, _IDR3),
        ("smmuv3", smmuv3.IDR5, _IDR5),
        ("smmuv3", smmuv3.AIDR, _AIDR),
        ("vtd", vtd.CAP, _CAP),
        ("vtd", vtd.ECAP, _ECAP),
    )
    found: dict[str, tuple[str, int, Layout]] = {}
    for architecture, register, words in declared:
        places = {field.name: (field.shift, field.width) for field in register.fields}
        fields = {name: (*places[name], said) for name, said in words.items()}
        found[register.__name__] = architecture, register.width, fields
    found["EFR"] = "amdvi", 64, _EFR
    features = {f"{bit}": (bit, 1, words) for bit, words in enumerate(_LINUX_SMMUV3)}
    found["features"] = "smmuv3", 32, features
    return found
