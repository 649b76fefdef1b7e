"""What a unit remembers: device table entries, translations and inner tables, interrupt entries.

Nothing here goes stale by itself: what was read stays until software invalidates it, or until room is needed. This is
the least that software may rely on, so a driver that forgets an invalidation is found out. Entries of the device table
are remembered whatever they say; entries of page tables and interrupt tables that are not present are not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from .device import Context

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class DomainTlb:
    """Translations of one domain.

    Attributes:
        pages: by log2 of the page size, and by address bits above the page, output address with permissions in its low
            bits (1 read, 2 write).
        tables: by (level, address bits above what a table of that level spans) a table and what was granted so far.
    """

    pages: dict[int, dict[int, int]] = field(default_factory=dict)
    tables: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def find(self, address: int, need: int) -> int | None:
        """Return the output address if a remembered page allows what `need` asks, else None."""
        for shift, pages in self.pages.items():
            entry = pages.get(address >> shift)
            if entry is not None and entry & need == need:
                return (entry & -1 << shift) | (address & (1 << shift) - 1)
        return None

    def drop(self, start: int, length: int, *, tables: bool) -> None:
        """Forget all pages that touch `length` bytes from `start`, and with `tables` the tables on the way."""
        last = start + length - 1
        for shift, pages in self.pages.items():
            for number in [number for number in pages if start >> shift <= number <= last >> shift]:
                del pages[number]
        if tables:
            for level, number in list(self.tables):
                span = 12 + 9 * level
                if start >> span <= number <= last >> span:
                    del self.tables[level, number]


class Caches:
    """All that a unit remembers of memory.

    Attributes:
        filling: whether misses are remembered. Hardware may or may not; switching it lets tests choose when.
        capacity: number of entries of each kind that are kept; the oldest goes first.
        devices: by device ID.
        interrupts: by (device ID, index).
        tlbs: by domain ID.
        reported: device IDs with SE of which an IO_PAGE_FAULT was logged since their entry was read.
    """

    def __init__(self, capacity: int = 1 << 16) -> None:
        """Start with nothing remembered."""
        self.filling = True
        self.capacity = capacity
        self.devices: dict[int, Context] = {}
        self.interrupts: dict[tuple[int, int], int] = {}
        self.tlbs: dict[int, DomainTlb] = {}
        self.reported: set[int] = set()

    def tlb(self, domain: int) -> DomainTlb:
        """Return what is remembered of a domain."""
        return self.tlbs.setdefault(domain, DomainTlb())

    def keep(self, cache: dict[_Key, _Value], key: _Key, value: _Value) -> None:
        """Remember one entry, and make room for it if need be."""
        if not self.filling:
            return
        if len(cache) >= self.capacity and key not in cache:
            del cache[next(iter(cache))]
        cache[key] = value

    def drop_device(self, device: int) -> None:
        """Forget the device table entry of a device."""
        self.devices.pop(device, None)
        self.reported.discard(device)

    def drop_interrupts(self, device: int) -> None:
        """Forget the interrupt entries of a device."""
        for key in [key for key in self.interrupts if key[0] == device]:
            del self.interrupts[key]

    def clear(self) -> None:
        """Forget everything."""
        self.devices.clear()
        self.interrupts.clear()
        self.tlbs.clear()
        self.reported.clear()
