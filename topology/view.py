"""A topology arranged for people: what each IOMMU controls, and what none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..base import Origin
from .model import Device, Grant, IdMap
from .resolve import Route, interrupt_route, routes
from .topology import Topology

KINDS = {
    "vtd": "Intel VT-d",
    "amdvi": "AMD-Vi",
    "smmuv1": "Arm SMMUv1",
    "smmuv2": "Arm SMMUv2",
    "smmuv3": "Arm SMMUv3",
    "riscv-iommu": "RISC-V IOMMU",
    "virtio-iommu": "virtio-iommu",
    "dart": "Apple DART",
    "exynos-sysmmu": "Samsung System MMU",
    "fsl-pamu": "Freescale PAMU",
    "ipmmu": "Renesas IPMMU",
    "mediatek-iommu": "MediaTek M4U",
    "msm-iommu": "Qualcomm MSM IOMMU",
    "omap-iommu": "TI OMAP IOMMU",
    "qcom-iommu": "Qualcomm IOMMU",
    "rockchip-iommu": "Rockchip IOMMU",
    "sprd-iommu": "Spreadtrum IOMMU",
    "sun50i-iommu": "Allwinner IOMMU",
    "tegra-gart": "Nvidia Tegra GART",
    "tegra-smmu": "Nvidia Tegra SMMU",
    "xen-grant-dma": "Xen grant DMA",
}
"""Kinds of IOMMU as people call them; any other kind is its own name."""

MEANINGS = {
    "direct": "mapped one to one",
    "mapped": "stays mapped",
    "avoid": "not to be used",
    "memory": "set aside",
}
"""What must hold for reserved memory, in words."""


INTERRUPT_SOURCES = ("pmcg", "iwb")
"""Kinds of devices that write interrupt messages and nothing else."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A device, and what becomes of each ID that it sends."""

    device: Device
    routes: tuple[Route, ...]

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the IOMMUs that control it."""
        found = (route.iommu for route in self.routes if route.verdict == "controlled" and route.iommu)
        return tuple(dict.fromkeys(found))

    @property
    def msi(self) -> tuple[str, int | None] | None:
        """The MSI controller and device ID of its interrupts, if the sources tell."""
        hops = interrupt_route(self.device, self.routes).msi_hops
        return (hops[-1].target, hops[-1].target_id) if hops else None


def attachments(topology: Topology) -> list[Attachment]:
    """Return all devices with their routes: PCI functions by address, then the others in the order of the sources."""
    devices = topology.devices.values()
    functions = sorted(
        (device for device in devices if device.rid is not None), key=lambda one: (one.segment or 0, one.rid or 0)
    )
    others = (device for device in devices if device.rid is None)
    return [Attachment(device, tuple(routes(topology, device))) for device in (*functions, *others)]


def root_maps(topology: Topology) -> list[IdMap]:
    """Return the maps of PCI roots that no listed function stands for: ranges, and IDs that no function has."""
    functions = {(device.segment, device.rid) for device in topology.devices.values()}
    return [
        one
        for one in topology.maps
        if one.carries != "msi"
        and (root := topology.roots.get(one.source)) is not None
        and (is_range(one) or (one.length == 1 and (root.segment, one.base) not in functions))
    ]


def is_range(one: IdMap) -> bool:
    """Tell whether a map of requester IDs, which have 16 bits, holds more than one of them."""
    return one.length > 1 or one.single or one.mask & 0xFFFF != 0xFFFF  # noqa: PLR2004


def describe(device: Device) -> str:
    """Return a device's properties in a few words."""
    properties = dict(device.properties)
    words = []
    if "id" in properties:
        from ..parsers.pci.names import class_name

        words.append(f"{properties.pop('id')} {class_name(int(str(properties.pop('class')), 16))}")
    words += [name if value is True else f"{name} {value}" for name, value in properties.items() if value is not False]
    if not device.enabled:
        words.append("not enabled")
    return ", ".join(words)


def is_bridge(device: Device) -> bool:
    """Tell whether a device is a PCI bridge, which passes requests on and sends none of its own."""
    return any(name == "bridge to" for name, _ in device.properties)


def grant_words(grant: Grant) -> str:
    """Say a grant's range, its size, and what devices may do there."""
    may = " and ".join(word for word, holds in (("read", grant.read), ("write", grant.write)) if holds)
    return f"0x{grant.start:x}-0x{grant.start + grant.length - 1:x} ({size(grant.length)}), {may or 'nothing'}"


def stream_words(stream: int | None, count: int = 1) -> str:
    """Say the IDs from `stream` on at an IOMMU; None when the IOMMU knows no IDs."""
    if stream is None:
        return "no ID"
    return f"ID 0x{stream:x}" if count == 1 else f"IDs 0x{stream:x}-0x{stream + count - 1:x}"


def names_in_words(names: Sequence[str], most: int = 8) -> str:
    """Say names as people do, `A, B and C`; of many, the first and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def short_origin(origin: Origin) -> str:
    """Return a place with the name of its file only, without the folders."""
    return str(replace(origin, source=origin.source.rpartition("/")[2] or origin.source))


def size(length: int) -> str:
    """Return a number of bytes as people write it: the largest binary unit that divides it."""
    for bits, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if length and not length & (1 << bits) - 1:
            return f"{length >> bits} {unit}"
    return f"{length} byte{'' if length == 1 else 's'}"
