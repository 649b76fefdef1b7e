"""MADT (signature APIC): the interrupt controllers of a machine, and its processors."""

from __future__ import annotations

from .reader import read_madt
from .records import (
    Aplic,
    Gicc,
    Gicd,
    GicIts,
    GicMsiFrame,
    Gicr,
    Imsic,
    InterruptSourceOverride,
    IoApic,
    IoSapic,
    LocalApic,
    LocalX2apic,
    Madt,
    Plic,
    Rintc,
)

__all__ = [
    "Aplic",
    "GicIts",
    "GicMsiFrame",
    "Gicc",
    "Gicd",
    "Gicr",
    "Imsic",
    "InterruptSourceOverride",
    "IoApic",
    "IoSapic",
    "LocalApic",
    "LocalX2apic",
    "Madt",
    "Plic",
    "Rintc",
    "read_madt",
]
