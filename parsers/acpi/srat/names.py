"""The words for the numbers of a SRAT (ACPI 6.5 §5.2.16)."""

from __future__ import annotations

PROCESSOR, MEMORY, X2APIC, GICC, ITS, GENERIC_INITIATOR = range(6)
ENTRIES = {
    PROCESSOR: "processor affinity",
    MEMORY: "memory affinity",
    X2APIC: "x2APIC affinity",
    GICC: "GICC affinity",
    ITS: "ITS affinity",
    GENERIC_INITIATOR: "generic initiator affinity",
    6: "generic port affinity",
}

ACPI_HANDLE, PCI_HANDLE = 0, 1

ENABLED = {"Enabled": (0, 1)}
MEMORY_FLAGS = {"Enabled": (0, 1), "Hot Pluggable": (1, 1), "NonVolatile": (2, 1)}
GENERIC_FLAGS = {"Enabled": (0, 1), "Architectural Transactions": (1, 1)}
