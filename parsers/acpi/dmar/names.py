"""The words for the numbers of a DMAR table (Intel VT-d specification 4.1 chapter 8)."""

from __future__ import annotations

STRUCTURES = {0: "DRHD", 1: "RMRR", 2: "ATSR", 3: "RHSA", 4: "ANDD", 5: "SATC", 6: "SIDP"}

PCI_ENDPOINT, PCI_SUB_HIERARCHY, IOAPIC, HPET, NAMESPACE_DEVICE = 1, 2, 3, 4, 5
SCOPES = {
    PCI_ENDPOINT: "PCI endpoint",
    PCI_SUB_HIERARCHY: "PCI sub-hierarchy",
    IOAPIC: "I/O APIC",
    HPET: "HPET",
    NAMESPACE_DEVICE: "ACPI namespace device",
}

DMAR_FLAGS = {"INTR_REMAP": (0, 1), "X2APIC_OPT_OUT": (1, 1), "DMA_CTRL_PLATFORM_OPT_IN": (2, 1)}
DRHD_FLAGS = {"INCLUDE_PCI_ALL": (0, 1)}
DRHD_SIZE = {"register_set_pages": (0, 4)}
ATSR_FLAGS = {"ALL_PORTS": (0, 1)}
SATC_FLAGS = {"ATC_REQUIRED": (0, 1)}
SIDP_FLAGS = {
    "REQ_WO_PASID_NESTED_NOTALLOWED": (0, 1),
    "REQ_WO_PASID_PWSNP_NOTALLOWED": (1, 1),
    "REQ_WO_PASID_PGSNP_NOTALLOWED": (2, 1),
    "ATC_HARDENED": (3, 1),
    "ATC_REQUIRED": (4, 1),
}
