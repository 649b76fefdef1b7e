"""IVRS: AMD's I/O virtualization reporting structure."""

from __future__ import annotations

from .reader import read_ivrs
from .records import (
    AliasEntry,
    Block,
    DeviceEntry,
    Entry,
    ExtendedEntry,
    HidEntry,
    Ivhd,
    IvhdExtended,
    IvhdFixed,
    Ivmd,
    Ivrs,
    SpecialEntry,
)

__all__ = [
    "AliasEntry",
    "Block",
    "DeviceEntry",
    "Entry",
    "ExtendedEntry",
    "HidEntry",
    "Ivhd",
    "IvhdExtended",
    "IvhdFixed",
    "Ivmd",
    "Ivrs",
    "SpecialEntry",
    "read_ivrs",
]
