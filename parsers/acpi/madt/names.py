"""The words for the numbers of a MADT (ACPI 6.5 §5.2.12; the RISC-V entries: ACPI 6.6 §5.2.12)."""

from __future__ import annotations

LOCAL_APIC, IO_APIC, INTERRUPT_SOURCE_OVERRIDE = 0, 1, 2
IO_SAPIC, LOCAL_X2APIC = 6, 9
GICC, GICD, GIC_MSI_FRAME, GICR, GIC_ITS = 0xB, 0xC, 0xD, 0xE, 0xF
RINTC, IMSIC, APLIC, PLIC = 0x18, 0x19, 0x1A, 0x1B

ENTRIES = {
    LOCAL_APIC: "local APIC",
    IO_APIC: "I/O APIC",
    INTERRUPT_SOURCE_OVERRIDE: "interrupt source override",
    3: "NMI source",
    4: "local APIC NMI",
    5: "local APIC address override",
    IO_SAPIC: "I/O SAPIC",
    7: "local SAPIC",
    8: "platform interrupt source",
    LOCAL_X2APIC: "local x2APIC",
    10: "local x2APIC NMI",
    GICC: "GICC",
    GICD: "GICD",
    GIC_MSI_FRAME: "GIC MSI frame",
    GICR: "GICR",
    GIC_ITS: "GIC ITS",
    0x10: "multiprocessor wakeup",
    RINTC: "RINTC",
    IMSIC: "IMSIC",
    APLIC: "APLIC",
    PLIC: "PLIC",
}

MADT_FLAGS = {"PCAT_COMPAT": (0, 1)}
LOCAL_APIC_FLAGS = {"Enabled": (0, 1), "Online Capable": (1, 1)}
INTI_FLAGS = {"Polarity": (0, 2), "Trigger Mode": (2, 2)}
GICC_FLAGS = {
    "Enabled": (0, 1),
    "Performance Interrupt Mode": (1, 1),
    "VGIC Maintenance Interrupt Mode": (2, 1),
    "Online Capable": (3, 1),
}
GIC_MSI_FRAME_FLAGS = {"SPI Count/Base Select": (0, 1)}
