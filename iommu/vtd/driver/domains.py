"""Domains: what a device is attached to, with the page tables that say what it reaches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from ...errors import IommuError, failure
from ...platform import PAGE_SIZE, PageAllocator
from ...radix import Changes, Format, RadixTable
from ..layout import CAP, FirstStagePage, FirstStageTable, SecondStagePage, SecondStageTable
from .access import UnitAccess
from .invalidation import Invalidation

_INTERRUPTS = (0xFEE00000, 0x100000)
_LEVELS = 6
"""One more than the most levels that tables have."""


class Domain(ABC):
    """Page tables and a domain ID.

    Attributes:
        did: domain ID, which tags everything the unit remembers of this domain.
        table: the page tables.
        width: bits of address that devices may use in it.
        attached: `(source-id, PASID)` of the devices in it; PASID 0 for requests without.
    """

    def __init__(
        self,
        unit: UnitAccess,
        pages: PageAllocator,
        form: Format,
        levels: int,
        *,
        did: int,
        width: int,
        output_width: int,
    ) -> None:
        """Make an empty domain."""
        self._unit = unit
        self._output_width = output_width
        self.did = did
        self.width = width
        self.table = RadixTable(unit.platform, pages, form, levels)
        self.attached: set[tuple[int, int]] = set()

    def map(self, address: int, output: int, length: int, *, read: bool = True, write: bool = True) -> None:
        """Let devices reach `length` bytes from `output` at `address`; what was mapped there is taken away before.

        All three are multiples of 4096. Raises `IommuError` (`VTD-MAPPING`) for what cannot be mapped.
        """
        self._check(address, length)
        self._check_output(output, length)
        flags = self._flags(read=read, write=write)
        self._change(lambda: self.table.unmap(address, length))
        self._change(lambda: self.table.map(address, output, length, flags))
        self._made(address, length)

    def map_pages(self, address: int, frames: Sequence[int], *, read: bool = True, write: bool = True) -> None:
        """Let devices reach 4 KiB pages, wherever they are in memory, one after another from `address`; as `map`."""
        length = len(frames) * PAGE_SIZE
        self._check(address, length)
        self._check_output(min(frames), PAGE_SIZE)
        self._check_output(max(frames), PAGE_SIZE)
        flags = self._flags(read=read, write=write)
        self._change(lambda: self.table.unmap(address, length))
        self._change(lambda: self.table.map_pages(address, frames, flags))
        self._made(address, length)

    def unmap(self, address: int, length: int) -> None:
        """Take a range away from devices; when this returns they cannot reach it. Parts may have been unmapped."""
        self._check(address, length)
        self._change(lambda: self.table.unmap(address, length))

    @abstractmethod
    def invalidate(self, stale: list[tuple[int, int]]) -> None:
        """Make the unit forget translations of `(start, length)` ranges, and of domains that build on this one."""

    @abstractmethod
    def _flags(self, *, read: bool, write: bool) -> int:
        """Return the bits of a leaf with these permissions. Raises `IommuError` where the stage has no such pages."""

    def _change(self, change: Callable[[], Changes]) -> None:
        """Change the tables. What is changed when that fails is forgotten too; what is not forgotten is next time."""
        try:
            change()
        finally:
            self._forget(self.table.changes)
            self.table.settled()

    def _forget(self, changes: Changes) -> None:
        """Make the unit forget what changed, then give back tables it cannot find any more."""
        if changes.stale:
            self.invalidate(changes.stale)
        for table in changes.unlinked:
            self.table.give_back(table)

    def _made(self, address: int, length: int) -> None:
        """After mapping: only a unit in caching mode remembers that nothing was there."""
        if self._unit.cap.CM:
            self.invalidate([(address, length)])
        self._unit.flush_write_buffer()

    def _check(self, address: int, length: int) -> None:
        start, size = _INTERRUPTS
        if (address | length) % PAGE_SIZE or length <= 0 or address < 0:
            raise self._refused(address, length, "addresses and lengths are multiples of 4 KiB, and not zero")
        if address + length > 1 << self.width:
            raise self._refused(address, length, f"the domain takes addresses of {self.width} bits")
        if address < start + size and start < address + length:
            raise self._refused(address, length, "0xfee00000 to 0xfeefffff are interrupts, not memory")

    def _check_output(self, output: int, length: int) -> None:
        start, size = _INTERRUPTS
        if output % PAGE_SIZE or output < 0 or output + length > 1 << self._output_width:
            raise self._refused(output, length, f"memory has pages of 4 KiB and addresses of {self._output_width} bits")
        if output < start + size and start < output + length:
            raise self._refused(output, length, "0xfee00000 to 0xfeefffff are interrupts, not memory")

    def _refused(self, address: int, length: int, why: str) -> IommuError:
        return failure(
            "VTD-MAPPING", f"0x{address:x} and 0x{length:x} bytes cannot be mapped: {why}", self._unit.name,
            clause="Intel VT-d 4.1, 3.7 and 3.14",
        )  # fmt: skip


def second_stage_format(cap: CAP) -> Format:
    """Return how second-stage entries are written (9.8), with the page sizes of CAP.SSLPS."""
    return Format(
        table=(SecondStageTable(R=1, W=1).value,) * _LEVELS,
        present=SecondStagePage(R=1, W=1, X=1).value,
        kind=SecondStagePage.PS.mask,
        large=SecondStagePage.PS.mask,
        volatile=SecondStagePage.A.mask | SecondStagePage.D.mask,
        address=SecondStagePage.ADDR.mask,
        leaf_levels=(1, *((2,) if cap.SSLPS & 1 else ()), *((3,) if cap.SSLPS & 2 else ())),
    )


def first_stage_format(cap: CAP) -> Format:
    """Return how first-stage entries are written (9.7). Accessed and dirty are set from the start: see `_flags`."""
    return Format(
        table=(FirstStageTable(P=1, RW=1, US=1, A=1).value,) * _LEVELS,
        present=FirstStagePage.P.mask,
        kind=FirstStagePage.PS.mask,
        large=FirstStagePage.PS.mask,
        volatile=FirstStagePage.A.mask | FirstStagePage.D.mask | FirstStagePage.EA.mask,
        address=FirstStagePage.ADDR.mask,
        leaf_levels=(1, 2, 3) if cap.FS1GP else (1, 2),
    )


class SecondStageDomain(Domain):
    """A domain of second-stage tables, for attachment as it is or as the parent of first-stage domains."""

    def __init__(
        self,
        unit: UnitAccess,
        pages: PageAllocator,
        invalidation: Invalidation,
        *,
        did: int,
        levels: int,
        output_width: int,
    ) -> None:
        """Make an empty domain with tables of so many levels."""
        width = min(12 + 9 * levels, unit.cap.MGAW + 1)
        form = second_stage_format(unit.cap)
        super().__init__(unit, pages, form, levels, did=did, width=width, output_width=output_width)
        self._invalidation = invalidation
        self.children: list[FirstStageDomain] = []

    def invalidate(self, stale: list[tuple[int, int]]) -> None:
        """Forget ranges of this domain. Nested translations are found by domain only, and forgotten as a whole."""
        self._invalidation.pages(self.did, stale)
        for child in self.children:
            child.invalidate(stale)

    def _flags(self, *, read: bool, write: bool) -> int:
        if not (read or write):
            raise failure("VTD-MAPPING", "a page without read and write is not mapped at all", self._unit.name)
        return SecondStagePage(R=int(read), W=int(write)).value


class FirstStageDomain(Domain):
    """A domain of first-stage tables: alone, or nested in a second-stage domain that translates its output.

    Nested tables lie where the parent maps their pages one to one.

    Attributes:
        parent: the second-stage domain, None when the first stage's output is host memory.
    """

    def __init__(
        self,
        unit: UnitAccess,
        pages: PageAllocator,
        invalidation: Invalidation,
        *,
        did: int,
        levels: int,
        output_width: int,
        parent: SecondStageDomain | None = None,
    ) -> None:
        """Make an empty domain; it takes the lower half of the canonical addresses."""
        width = 11 + 9 * levels
        form = first_stage_format(unit.cap)
        super().__init__(unit, pages, form, levels, did=did, width=width, output_width=output_width)
        self._invalidation = invalidation
        self.parent = parent
        if parent is not None:
            parent.children.append(self)

    def invalidate(self, stale: list[tuple[int, int]]) -> None:  # noqa: ARG002 - see below
        """Forget all translations of the PASIDs in this domain; `stale` says where, which is not made use of."""
        for pasid in sorted({pasid for _, pasid in self.attached}):
            self._invalidation.first_stage(self.did, pasid)
        if self.parent is not None:
            self._invalidation.domain(self.did)

    def _flags(self, *, read: bool, write: bool) -> int:
        """Leaves have accessed and dirty set already, so that a unit whose walks cannot write has no need to."""
        if not read:
            raise failure("VTD-MAPPING", "the first stage has no pages without read permission", self._unit.name)
        return FirstStagePage(P=1, RW=int(write), US=1, A=1, D=int(write)).value
