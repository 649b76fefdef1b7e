"""Tests of the IOMMU layer."""
