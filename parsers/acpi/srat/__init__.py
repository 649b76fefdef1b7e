"""SRAT: the proximity domains of processors, memory and devices."""

from __future__ import annotations

from .reader import read_srat
from .records import (
    GenericInitiatorAffinity,
    GiccAffinity,
    ItsAffinity,
    MemoryAffinity,
    ProcessorAffinity,
    Srat,
    X2apicAffinity,
    contents,
    domain_of,
)

__all__ = [
    "GenericInitiatorAffinity",
    "GiccAffinity",
    "ItsAffinity",
    "MemoryAffinity",
    "ProcessorAffinity",
    "Srat",
    "X2apicAffinity",
    "contents",
    "domain_of",
    "read_srat",
]
