"""Root, context and PASID tables: who is attached to what, VT-d 9.1 to 9.6.

An entry that is present is never changed in place: its present bit goes first, the unit forgets, the other words are
written, and the word with the present bit goes last. Between, the device is blocked.
"""

from __future__ import annotations

from ...platform import PageAllocator, load
from .. import layout
from .access import UnitAccess
from .invalidation import Invalidation

FIRST_STAGE_TYPES = (1, 3)
"""PGTT values whose translations are tagged with the PASID."""


class ContextTables:
    """The tables from the root table on.

    Attributes:
        root: address of the root table, every device blocked at first.
        scalable: scalable mode.
    """

    def __init__(self, unit: UnitAccess, pages: PageAllocator, *, scalable: bool) -> None:
        """Make an empty root table."""
        self._unit = unit
        self._pages = pages
        self.scalable = scalable
        self.root = pages.allocate()
        # What was present until a call that failed, so that the unit may remember it.
        self._contexts: dict[int, layout.ContextEntry] = {}
        self._pasids: dict[tuple[int, int], layout.PasidEntry] = {}
        # Directories as large as one page, or as the PASIDs of the unit ask for.
        self._directory_order = max(0, min(2, unit.ecap.PSS + 1 - 13)) if scalable else 0

    @property
    def pasids(self) -> int:
        """Number of PASIDs that a directory takes."""
        return 1 << self._directory_order + 13

    def set_context(self, source: int, entry: layout.ContextEntry | None, invalidation: Invalidation) -> None:
        """Give a device its context entry, or none: legacy mode."""
        at = self._context_address(source, make=entry is not None)
        if at is None:
            return
        old = load(self._unit.platform, at, layout.ContextEntry)
        if old.P:
            self._contexts[source] = old
            self._put(at, 0)
        if source in self._contexts:
            invalidation.context(self._contexts[source].DID, source)
            del self._contexts[source]
        if entry is None:
            return
        self._put(at + 8, entry.words[1])
        self._put(at, entry.words[0])
        if self._unit.cap.CM:
            # A unit in caching mode files what was not present under domain 0 (6.1).
            invalidation.context(0, source)
            invalidation.domain(entry.DID)
        self._unit.flush_write_buffer()

    def set_pasid(self, source: int, pasid: int, entry: layout.PasidEntry | None, invalidation: Invalidation) -> None:
        """Give a PASID of a device its entry, or none: scalable mode. Requests without PASID use PASID 0."""
        at = self._pasid_address(source, pasid, invalidation, make=entry is not None)
        if at is None:
            return
        old = load(self._unit.platform, at, layout.PasidEntry)
        if old.P:
            self._pasids[source, pasid] = old
            self._put(at, 0)
        if (source, pasid) in self._pasids:
            old = self._pasids[source, pasid]
            invalidation.pasid(old.DID, pasid, first_stage=old.PGTT in FIRST_STAGE_TYPES)
            invalidation.domain(old.DID)
            del self._pasids[source, pasid]
        if entry is None:
            return
        for index in range(1, 8):
            self._put(at + 8 * index, entry.words[index])
        self._put(at, entry.words[0])
        if self._unit.cap.CM:
            invalidation.pasid(0, pasid, first_stage=False)
            invalidation.pasid(entry.DID, pasid, first_stage=True)
        self._unit.flush_write_buffer()

    def _context_address(self, source: int, *, make: bool) -> int | None:
        """Return where the legacy context entry is; without `make`, None where there is no table for the bus."""
        at = self.root + (source >> 8) * layout.RootEntry.size
        root = load(self._unit.platform, at, layout.RootEntry)
        if not root.P:
            if not make:
                return None
            root = layout.RootEntry(P=1, CTP=self._pages.allocate())
            self._put(at, root.words[0])
        return root.CTP + (source & 0xFF) * layout.ContextEntry.size

    def _pasid_address(self, source: int, pasid: int, invalidation: Invalidation, *, make: bool) -> int | None:
        """Return where the PASID entry is, and link all tables to it on the way if `make`."""
        platform = self._unit.platform
        at = self.root + (source >> 8) * layout.ScalableRootEntry.size + (source >> 7 & 1) * 8
        half = layout.RootEntry(int.from_bytes(platform.read(at, 8), "little"))
        if not half.P:
            if not make:
                return None
            half = layout.RootEntry(P=1, CTP=self._pages.allocate())
            self._put(at, half.words[0])
        at = half.CTP + (source & 0x7F) * layout.ScalableContextEntry.size
        context = load(platform, at, layout.ScalableContextEntry)
        if not context.P:
            if not make:
                return None
            context = self._new_context()
            self._put(at, context.words[0])
            if self._unit.cap.CM:
                invalidation.context(0, source)
        at = context.PASIDDIRPTR + (pasid >> 6) * layout.PasidDirectoryEntry.size
        directory = load(platform, at, layout.PasidDirectoryEntry)
        if not directory.P:
            if not make:
                return None
            directory = layout.PasidDirectoryEntry(P=1, SMPTBLPTR=self._pages.allocate())
            self._put(at, directory.value)
        return directory.SMPTBLPTR + (pasid & 0x3F) * layout.PasidEntry.size

    def _new_context(self) -> layout.ScalableContextEntry:
        return layout.ScalableContextEntry(
            P=1,
            PASIDE=self._unit.ecap.PASID,
            PDTS=self._directory_order,
            PASIDDIRPTR=self._pages.allocate(8 << self._directory_order + 7),
        )

    def _put(self, at: int, word: int) -> None:
        self._unit.platform.write(at, word.to_bytes(8, "little"))
