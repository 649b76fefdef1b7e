"""RISC-V IOMMU: `layout` (bits), `names` (words), `records` (faults), `model` (hardware) and `driver` (software)."""
