"""The words for the numbers of a FADT (ACPI 6.5 §5.2.9)."""

from __future__ import annotations

# Table 5.11
IAPC_BOOT_ARCH = {
    "LEGACY_DEVICES": (0, 1),
    "8042": (1, 1),
    "VGA Not Present": (2, 1),
    "MSI Not Supported": (3, 1),
    "PCIe ASPM Controls": (4, 1),
    "CMOS RTC Not Present": (5, 1),
}

# Table 5.12
ARM_BOOT_ARCH = {"PSCI_COMPLIANT": (0, 1), "PSCI_USE_HVC": (1, 1)}

# Table 5.10
FLAGS = {
    "WBINVD": (0, 1),
    "WBINVD_FLUSH": (1, 1),
    "PROC_C1": (2, 1),
    "P_LVL2_UP": (3, 1),
    "PWR_BUTTON": (4, 1),
    "SLP_BUTTON": (5, 1),
    "FIX_RTC": (6, 1),
    "RTC_S4": (7, 1),
    "TMR_VAL_EXT": (8, 1),
    "DCK_CAP": (9, 1),
    "RESET_REG_SUP": (10, 1),
    "SEALED_CASE": (11, 1),
    "HEADLESS": (12, 1),
    "CPU_SW_SLP": (13, 1),
    "PCI_EXP_WAK": (14, 1),
    "USE_PLATFORM_CLOCK": (15, 1),
    "S4_RTC_STS_VALID": (16, 1),
    "REMOTE_POWER_ON_CAPABLE": (17, 1),
    "FORCE_APIC_CLUSTER_MODEL": (18, 1),
    "FORCE_APIC_PHYSICAL_DESTINATION_MODE": (19, 1),
    "HW_REDUCED_ACPI": (20, 1),
    "LOW_POWER_S0_IDLE_CAPABLE": (21, 1),
    "PERSISTENT_CPU_CACHES": (22, 2),
}

MSI_NOT_SUPPORTED = 1 << 3
"""In `iapc_boot_arch`: the operating system must not enable message-signalled interrupts."""

RESET_REGISTER = "reset register"
BLOCKS = (
    "PM1a event block", "PM1b event block", "PM1a control block", "PM1b control block", "PM2 control block",
    "PM timer block", "GPE0 block", "GPE1 block",
)  # fmt: skip
"""Registers that ACPI 2.0 gave 64-bit addresses, in their order."""

SLEEP_REGISTERS = ("sleep control register", "sleep status register")
"""What ACPI 5.0 added."""
