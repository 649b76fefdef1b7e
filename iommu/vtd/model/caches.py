"""What a unit remembers: context entries, PASID entries, translations and inner tables, VT-d 6.2.

Nothing here goes stale by itself: what was read stays until software invalidates it, or until room is needed. This is
the least that software may rely on, so a driver that forgets an invalidation is found out. In caching mode (CAP.CM)
refusals are remembered too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ..names import Reason

if TYPE_CHECKING:
    from .context import Context, ScalableContext

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class DomainTlb:
    """Translations of one domain (or one PASID of it): IOTLB and paging-structure cache.

    Attributes:
        pages: for 4 KiB, 2 MiB and 1 GiB pages, by address bits above the page, the output address with permissions
            in its low bits: 0 to 2 read, write, execute for user requests, 3 to 5 the same for supervisor requests.
        tables: by (level, address bits above what a table of that level spans) an inner table and what was granted so
            far; its exact content is the business of the walk that filled it.
        refusals: in caching mode, by (4 KiB page, need) why there is no translation.
    """

    pages: tuple[dict[int, int], dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}, {}))
    tables: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)
    refusals: dict[tuple[int, int], Reason] = field(default_factory=dict)

    def find(self, address: int, need: int) -> int | None:
        """Return the output address if a remembered page allows what `need` asks, else None."""
        small, large, huge = self.pages
        entry, mask = small.get(address >> 12), 0xFFF
        if entry is None:
            entry, mask = large.get(address >> 21), 0x1FFFFF
        if entry is None:
            entry, mask = huge.get(address >> 30), 0x3FFFFFFF
        if entry is None or entry & need != need or not entry & 0x1B:
            return None
        return (entry & -4096) + (address & mask)

    def clear(self) -> None:
        """Forget everything."""
        for pages in self.pages:
            pages.clear()
        self.tables.clear()
        self.refusals.clear()

    def drop(self, start: int, length: int, *, leaves_only: bool) -> None:
        """Forget all pages that touch `length` bytes from `start`, and, unless `leaves_only`, tables on the way."""
        end = start + length
        for pages, shift in zip(self.pages, (12, 21, 30), strict=True):
            first, last = start >> shift, (end - 1) >> shift
            stale = range(first, last + 1) if last - first < len(pages) else [n for n in pages if first <= n <= last]
            for number in stale:
                pages.pop(number, None)
        for number, need in [key for key in self.refusals if start >> 12 <= key[0] < end >> 12]:
            del self.refusals[number, need]
        if not leaves_only:
            spans = {level: 12 + 9 * level for level in range(1, 5)}
            for level, number in list(self.tables):
                if start >> spans[level] <= number <= (end - 1) >> spans[level]:
                    del self.tables[level, number]


class Caches:
    """All that a unit remembers of memory.

    Attributes:
        filling: whether misses are remembered. Hardware may or may not; switching it lets tests choose when.
        capacity: number of entries of each kind that are kept; the oldest goes first.
        contexts: context cache of legacy mode, by source-id.
        scalable: context cache of scalable mode, by source-id.
        pasids: PASID cache, by (source-id, PASID).
        absent: in caching mode, why there is no context, by (source-id, PASID or None).
        interrupts: interrupt entry cache, by index.
        tlbs: by (domain ID, PASID of a first-stage or nested translation, else None).
    """

    def __init__(self, capacity: int = 1 << 16) -> None:
        """Start with nothing remembered."""
        self.filling = True
        self.capacity = capacity
        self.contexts: dict[int, Context] = {}
        self.scalable: dict[int, ScalableContext] = {}
        self.pasids: dict[tuple[int, int], Context] = {}
        self.absent: dict[tuple[int, int | None], tuple[Reason, bool]] = {}
        self.interrupts: dict[int, int] = {}
        self.tlbs: dict[tuple[int, int | None], DomainTlb] = {}
        self.resolved: dict[int, Context] = {}
        """Translating contexts of plain requests without PASID by source-id: a shortcut through the others."""

    def tlb(self, did: int, pasid: int | None) -> DomainTlb:
        """Return what is remembered of a domain (and PASID)."""
        return self.tlbs.setdefault((did, pasid), DomainTlb())

    def keep(self, cache: dict[_Key, _Value], key: _Key, value: _Value) -> None:
        """Remember one entry, and make room for it if need be."""
        if not self.filling:
            return
        if len(cache) >= self.capacity and key not in cache:
            del cache[next(iter(cache))]
        cache[key] = value

    def drop_contexts(self, source: int | None = None, mask: int = 0, did: int | None = None) -> None:
        """Forget contexts: all, those of a domain, or those of a domain and of a source-id outside of `mask` bits.

        Scalable-mode contexts carry no domain ID: the domain does not narrow them. Refusals of caching mode count as
        of domain 0.
        """
        self.resolved.clear()

        def hit(key: int, tag: int | None) -> bool:
            return (source is None or (key ^ source) & ~mask == 0) and (did is None or tag is None or tag == did)

        for key in [key for key, context in self.contexts.items() if hit(key, context.did)]:
            del self.contexts[key]
        for key in [key for key in self.scalable if hit(key, None)]:
            del self.scalable[key]
        for absent in list(self.absent):
            if hit(absent[0], 0):
                del self.absent[absent]

    def drop_pasids(self, did: int | None = None, pasid: int | None = None) -> None:
        """Forget PASID entries: all, those of a domain, or one PASID of a domain; refusals whatever their domain."""
        self.resolved.clear()
        for (source, number), context in list(self.pasids.items()):
            if (did is None or context.did == did) and (pasid is None or number == pasid):
                del self.pasids[source, number]
        for source, absent_pasid in list(self.absent):
            if did in (None, 0) and (pasid is None or absent_pasid in (None, pasid)):
                del self.absent[source, absent_pasid]

    def drop_domain(self, did: int | None, *, first_stage: bool = True) -> None:
        """Forget the translations of a domain, or of all; `first_stage`: also those tagged with a PASID."""
        for (owner, pasid), tlb in self.tlbs.items():
            if did in (None, owner) and (first_stage or pasid is None):
                tlb.clear()

    def clear(self) -> None:
        """Forget everything but interrupt entries."""
        self.drop_contexts()
        self.drop_pasids()
        self.drop_domain(None)
