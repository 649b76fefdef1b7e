"""PCI functions and bridges of a machine: read from a Linux `/sys` tree, kept as a small JSON file."""

from __future__ import annotations

from .file import build_pci, is_pci_file, parse_pci
from .records import PCIE_TYPES, PciFunction, PciTopology, Resource
from .sysfs import read_sysfs_pci

__all__ = [
    "PCIE_TYPES",
    "PciFunction",
    "PciTopology",
    "Resource",
    "build_pci",
    "is_pci_file",
    "parse_pci",
    "read_sysfs_pci",
]
