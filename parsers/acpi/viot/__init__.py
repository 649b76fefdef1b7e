"""VIOT: the table of para-virtual IOMMUs and of the endpoints that they manage."""

from __future__ import annotations

from .reader import read_viot
from .records import MmioEndpoint, Node, PciRange, UnknownNode, Viot, VirtioIommuMmio, VirtioIommuPci

__all__ = [
    "MmioEndpoint",
    "Node",
    "PciRange",
    "UnknownNode",
    "Viot",
    "VirtioIommuMmio",
    "VirtioIommuPci",
    "read_viot",
]
