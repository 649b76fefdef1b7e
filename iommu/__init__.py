"""IOMMUs as hardware has them: bits in memory and registers, drivers that write them and models that read them."""

from __future__ import annotations

from .bits import Address, Bits, Bits32, Bits64, Bits128, Bits256, Bits512, Field, Ignored
from .errors import IommuError
from .platform import Memory, PageAllocator, Platform, Simulated, load, read_register, store, write_register
from .reach import Reach

__all__ = [
    "Address",
    "Bits",
    "Bits32",
    "Bits64",
    "Bits128",
    "Bits256",
    "Bits512",
    "Field",
    "Ignored",
    "IommuError",
    "Memory",
    "PageAllocator",
    "Platform",
    "Reach",
    "Simulated",
    "load",
    "read_register",
    "store",
    "write_register",
]
