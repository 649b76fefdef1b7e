"""FADT (`FACP`): of what it says of a machine, the boot flags bear on DMA."""

from __future__ import annotations

from .reader import read_fadt
from .records import Fadt, GenericAddress, HypervisorIdentity, Pointers, Reset

__all__ = ["Fadt", "GenericAddress", "HypervisorIdentity", "Pointers", "Reset", "read_fadt"]
