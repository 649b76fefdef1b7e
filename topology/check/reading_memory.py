"""What is found while the memory map of a machine is read."""

from __future__ import annotations

from .rule import Rule

RULES = (
    Rule(
        "MEMORY-RANGE", "error", "a range of memory cannot be read", "",
        "Whether reserved regions lie in memory that programs use cannot be told there.",
        "Linux made the map, and has no need to read it.", "copy the map again",
    ),
    Rule(
        "MEMORY-MANY", "warning", "a memory map has too many ranges", "",
        "Reserved regions in the ranges that are left out are not checked.", "Linux has no such limit.",
        "give the memory map of one machine",
    ),
    Rule(
        "MEMORY-HIDDEN", "warning", "all addresses of a memory map are zero", "",
        "Reserved regions are not held against it.", "Linux shows addresses to root alone.", "read /proc/iomem as root",
    ),
)  # fmt: skip
