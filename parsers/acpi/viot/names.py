"""The words for the numbers of a VIOT (ACPI 6.6 §5.2.33)."""

from __future__ import annotations

PCI_RANGE, MMIO_ENDPOINT, VIRTIO_IOMMU_PCI, VIRTIO_IOMMU_MMIO = range(1, 5)
NODES = {
    PCI_RANGE: "PCI range",
    MMIO_ENDPOINT: "MMIO endpoint",
    VIRTIO_IOMMU_PCI: "virtio-iommu (PCI)",
    VIRTIO_IOMMU_MMIO: "virtio-iommu (MMIO)",
}
