"""What every layer shares: where a fact comes from, what is wrong with it, and sets of ranges."""

from __future__ import annotations

from .findings import Finding, IommumanError, Severity
from .origin import Origin
from .pci import format_pci_address, format_rid, parse_pci_address
from .ranges import RangeSet
from .text import printable

__all__ = [
    "Finding",
    "IommumanError",
    "Origin",
    "RangeSet",
    "Severity",
    "format_pci_address",
    "format_rid",
    "parse_pci_address",
    "printable",
]
