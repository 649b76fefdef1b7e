"""The words for the numbers of an IORT (Arm DEN 0049E.f chapter 3)."""

from __future__ import annotations

ITS_GROUP, NAMED_COMPONENT, ROOT_COMPLEX, SMMU_V2, SMMU_V3, PMCG, RMR, IWB = range(8)
NODES = {
    ITS_GROUP: "ITS group",
    NAMED_COMPONENT: "named component",
    ROOT_COMPLEX: "root complex",
    SMMU_V2: "SMMUv1/v2",
    SMMU_V3: "SMMUv3",
    PMCG: "PMCG",
    RMR: "RMR",
    IWB: "IWB",
}

SMMU_V2_MODELS = {
    0: "generic SMMUv1",
    1: "generic SMMUv2",
    2: "CoreLink MMU-400",
    3: "CoreLink MMU-500",
    4: "CoreLink MMU-401",
    5: "Cavium ThunderX SMMUv2",
}
SMMU_V1_MODELS = frozenset({0, 2, 4})
"""The models of architecture version 1: MMU-400 and MMU-401 implement SMMUv1."""

SMMU_V3_MODELS = {0: "generic SMMUv3", 1: "HiSilicon Hi161x", 2: "Cavium CN99xx"}
CAVIUM_CN99XX = 2

RMR_ATTRIBUTES = {
    0: "Device-nGnRnE",
    1: "Device-nGnRE",
    2: "Device-nGRE",
    3: "Device-GRE",
    4: "Normal non-cacheable",
    5: "Normal write-back, inner shareable",
}

MAPPING_FLAGS = {"SINGLE_MAPPING": (0, 1)}
ALLOCATION_HINTS = {"Transient": (0, 1), "Write Allocate": (1, 1), "Read Allocate": (2, 1), "Override": (3, 1)}
MEMORY_FLAGS = {"Coherent Path": (0, 1), "Device Attributes": (1, 1), "CANWBS": (2, 1)}
NAMED_COMPONENT_FLAGS = {"Stall Supported": (0, 1), "PASID Bits": (1, 5)}
ATS_ATTRIBUTE = {"ATS Supported": (0, 1), "PRI Supported": (1, 1), "PASID Forwarding": (2, 1)}
PASID_CAPABILITIES = {"Max PASID Width": (0, 5)}
ROOT_COMPLEX_FLAGS = {"PASID Supported": (0, 1)}
SMMU_V2_FLAGS = {"DVM Supported": (0, 1), "Coherent Walk": (1, 1)}
SMMU_V3_FLAGS = {
    "COHACC Override": (0, 1),
    "HTTU Override": (1, 2),
    "Proximity Domain Valid": (3, 1),
    "DeviceID Mapping Valid": (4, 1),
}
INTERRUPT_FLAGS = {"Edge Triggered": (0, 1)}
RMR_FLAGS = {"Remap Permitted": (0, 1), "Access Privileged": (1, 1), "Attributes": (2, 8)}
