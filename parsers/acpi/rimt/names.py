"""The words for the numbers of a RIMT (RISC-V IO Mapping Table specification 1.0)."""

from __future__ import annotations

IOMMU, PCIE_ROOT_COMPLEX, PLATFORM_DEVICE = range(3)
NODES = {IOMMU: "IOMMU", PCIE_ROOT_COMPLEX: "PCIe root complex", PLATFORM_DEVICE: "platform device"}

IOMMU_FLAGS = {"PCIe device": (0, 1), "Proximity Domain Valid": (1, 1)}
WIRE_FLAGS = {"Level Triggered": (0, 1), "Active High": (1, 1)}
ROOT_COMPLEX_FLAGS = {"ATS Supported": (0, 1), "PRI Supported": (1, 1)}
MAPPING_FLAGS = {"ATS Required": (0, 1), "PRI Required": (1, 1)}
