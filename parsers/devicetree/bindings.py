"""What nodes are, by their `compatible` strings: kinds of IOMMU, of MSI controller, of interrupt controller.

A node lists its `compatible` strings from the most specific to the most general; the first that is known here decides.
Chips whose names differ only in the chip's name are known by a pattern.

Source: `Documentation/devicetree/bindings/iommu` and `.../interrupt-controller` of Linux.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .tree import Node


@dataclass(frozen=True, slots=True)
class IommuBinding:
    """What is known of one kind of IOMMU.

    Attributes:
        kind: short name of the kind, such as `smmuv3`.
        cells: what each cell of a specifier means, for as many as the binding defines.
    """

    kind: str
    cells: tuple[str, ...] = ()


STREAM_MATCH = ("stream ID", "stream ID mask")
"""Cells of the SMMUv1 and SMMUv2 bindings: bits that are 1 in the mask are not compared."""

_SMMUV1 = IommuBinding("smmuv1", STREAM_MATCH)
_SMMUV2 = IommuBinding("smmuv2", STREAM_MATCH)
_SMMUV3 = IommuBinding("smmuv3", ("stream ID",))
_VIRTIO = IommuBinding("virtio-iommu", ("endpoint ID",))
_RISCV = IommuBinding("riscv-iommu", ("device ID",))

_IOMMUS: dict[str, IommuBinding] = {
    "arm,smmu-v3": _SMMUV3,
    "nvidia,tegra264-smmu": _SMMUV3,
    "arm,smmu-v1": _SMMUV1,
    "arm,mmu-400": _SMMUV1,
    "arm,mmu-401": _SMMUV1,
    "arm,smmu-v2": _SMMUV2,
    "arm,mmu-500": _SMMUV2,
    "cavium,smmu-v2": _SMMUV2,
    "qcom,smmu-v2": _SMMUV2,
    "qcom,smmu-500": _SMMUV2,
    "qcom,adreno-smmu": _SMMUV2,
    "marvell,ap806-smmu-500": _SMMUV2,
    "nvidia,smmu-500": _SMMUV2,
    "nvidia,tegra186-smmu": _SMMUV2,
    "nvidia,tegra194-smmu": _SMMUV2,
    "nvidia,tegra234-smmu": _SMMUV2,
    "qcom,msm-iommu-v1": IommuBinding("qcom-iommu", ("context bank",)),
    "qcom,msm-iommu-v2": IommuBinding("qcom-iommu", ("context bank",)),
    "qcom,apq8064-iommu": IommuBinding("msm-iommu", ("stream ID",)),
    "nvidia,tegra20-mc-gart": IommuBinding("tegra-gart"),
    "nvidia,tegra30-smmu": IommuBinding("tegra-smmu"),
    "nvidia,tegra30-mc": IommuBinding("tegra-smmu", ("swgroup",)),
    "nvidia,tegra114-mc": IommuBinding("tegra-smmu", ("swgroup",)),
    "nvidia,tegra124-mc": IommuBinding("tegra-smmu", ("swgroup",)),
    "nvidia,tegra132-mc": IommuBinding("tegra-smmu", ("swgroup",)),
    "nvidia,tegra210-mc": IommuBinding("tegra-smmu", ("swgroup",)),
    "renesas,ipmmu-vmsa": IommuBinding("ipmmu", ("micro-TLB",)),
    "renesas,rcar-gen4-ipmmu-vmsa": IommuBinding("ipmmu", ("micro-TLB",)),
    "rockchip,iommu": IommuBinding("rockchip-iommu"),
    "rockchip,rk3568-iommu": IommuBinding("rockchip-iommu"),
    "samsung,exynos-sysmmu": IommuBinding("exynos-sysmmu"),
    "allwinner,sun50i-h6-iommu": IommuBinding("sun50i-iommu", ("master ID",)),
    "allwinner,sun50i-h616-iommu": IommuBinding("sun50i-iommu", ("master ID",)),
    "sprd,iommu-v1": IommuBinding("sprd-iommu"),
    "ti,omap2-iommu": IommuBinding("omap-iommu"),
    "ti,omap4-iommu": IommuBinding("omap-iommu"),
    "ti,dra7-iommu": IommuBinding("omap-iommu"),
    "ti,dra7-dsp-iommu": IommuBinding("omap-iommu"),
    "xen,grant-dma": IommuBinding("xen-grant-dma", ("backend domain",)),
    "virtio,pci-iommu": _VIRTIO,
    "pci1af4,1057": _VIRTIO,
    "riscv,iommu": _RISCV,
    "qemu,riscv-iommu": _RISCV,
    "riscv,pci-iommu": _RISCV,
    "pci1efd,edf1": _RISCV,
    "fsl,pamu": IommuBinding("fsl-pamu"),
}

_FAMILIES = re.compile(
    r"(?P<smmuv2>qcom,.+-smmu-(?:500|v2))"
    r"|(?P<dart>apple,.+-dart)"
    r"|(?P<ipmmu>renesas,ipmmu-r8a.+)"
    r"|(?P<mediatek>mediatek,.+-(?:m4u|iommu-.+))"
    r"|(?P<virtio>virtio,mmio)"  # a transport, that of an IOMMU only when it has #iommu-cells
)
_FAMILY: dict[str, IommuBinding] = {
    "smmuv2": _SMMUV2,
    "dart": IommuBinding("dart", ("stream ID",)),
    "ipmmu": IommuBinding("ipmmu", ("micro-TLB",)),
    "mediatek": IommuBinding("mediatek-iommu", ("port ID",)),
    "virtio": _VIRTIO,
}

UNKNOWN_IOMMU = IommuBinding("iommu")
"""For a node that is referred to as an IOMMU and whose kind is not known."""

_MSI_CONTROLLERS: dict[str, str] = {
    "arm,gic-v3-its": "gic-its",
    "arm,gic-v5-its": "gicv5-its",
    "arm,gic-v2m-frame": "gic-v2m",
    "arm,gic-v3": "gic-mbi",
    "riscv,imsics": "imsic",
}

_GICS = frozenset(
    {
        "arm,gic-v3",
        "arm,gic-400",
        "arm,gic-v1",
        "arm,gic-v2",
        "arm,cortex-a15-gic",
        "arm,cortex-a9-gic",
        "arm,cortex-a7-gic",
        "arm,cortex-a5-gic",
        "arm,eb11mp-gic",
        "arm,pl390",
        "arm,tc11mp-gic",
        "brcm,brahma-b15-gic",
        "nvidia,tegra210-agic",
        "qcom,msm-8660-qgic",
        "qcom,msm-qgic2",
        # Controllers in front of a GIC, which take its specifiers and hand them on.
        "mediatek,mt6577-sysirq",
        "nvidia,tegra20-ictlr",
        "nvidia,tegra30-ictlr",
        "nvidia,tegra210-ictlr",
    }
)


def iommu_binding(node: Node) -> IommuBinding | None:
    """Return what is known of the node as an IOMMU; None when it is not known as one.

    A `virtio,mmio` transport counts only when it has `#iommu-cells`: most of them are network cards and disks.
    """
    for name in node.compatible:
        found = _IOMMUS.get(name)
        if found is None and (family := _FAMILIES.fullmatch(name)):
            found = _FAMILY[family.lastgroup or ""]
        if found is not None and (name != "virtio,mmio" or "#iommu-cells" in node.properties):
            return found
    return None


def msi_controller_kind(node: Node) -> str:
    """Return the kind of an MSI controller: `gic-its`, `gic-v2m`, …; its first `compatible` string when unknown."""
    names = node.compatible
    known = next((kind for kind in map(_MSI_CONTROLLERS.get, names) if kind), None)
    return known or (names[0] if names else "msi-controller")


def is_gic(node: Node) -> bool:
    """Tell whether the node takes the specifiers of a GIC of version 1 to 3: (type, number, flags, …)."""
    return not _GICS.isdisjoint(node.compatible)
