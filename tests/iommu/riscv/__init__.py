"""Tests of the RISC-V IOMMU."""
