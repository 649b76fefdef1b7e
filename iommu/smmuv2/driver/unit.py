"""The driver of one unit: takes it over with every stream denied, then attaches streams to domains."""

from __future__ import annotations

from heapq import heappop, heappush

from ...errors import IommuError, failure
from ...platform import PageAllocator, Platform
from ..layout.registers import SCTLR, TLBIALLH, TLBIALLNSNH
from . import faults
from .access import CLAUSE, UnitAccess
from .domain import Domain
from .streams import StreamTable


class Driver:
    """Software's side of an SMMUv1 or SMMUv2. It uses the platform's memory and registers, and nothing else.

    Attributes:
        unit: the unit's registers and what they say it has.
        streams: its stream mapping.
    """

    def __init__(self, platform: Platform, base: int, pages: PageAllocator) -> None:
        """Look at the unit; nothing changes for devices before `start`.

        Args:
            platform: memory and registers.
            base: physical address of the unit's registers.
            pages: where tables come from; no device should ever be granted these pages.

        Raises `IommuError`: `SMMU-UNSUPPORTED`.
        """
        self.unit = UnitAccess(platform, base)
        self.streams = StreamTable(self.unit)
        self._pages = pages
        self._banks = list(range(self.unit.id1.NUMCB))  # sorted, hence a heap
        self._attached: dict[tuple[int, int], Domain] = {}
        self._used: dict[int, Domain] = {}
        self._started = False

    # --- the unit as a whole ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the unit over, whatever it was doing: no store of this lets a device reach what it did not before.

        Raises `IommuError` (`SMMU-TIMEOUT`).
        """
        self.streams.deny_all()
        for bank in self._banks:
            self.unit.write(SCTLR(0), self.unit.pages.bank(bank))
        self.unit.write(TLBIALLH(0))
        self.unit.write(TLBIALLNSNH(0))
        self.unit.sync()
        faults.take(self.unit, self._banks)
        self._started = True

    def take_faults(self) -> faults.Faults:
        """Return the faults since the last call."""
        return faults.take(self.unit, list(self._used))

    # --- domains ----------------------------------------------------------------------------------------------------

    def create_domain(self) -> Domain:
        """Make an empty domain. Raises `IommuError` (`SMMU-BANKS`) when no context bank is free."""
        if not self._started:
            raise failure("SMMU-STATE", "the unit has to be started first", self.unit.name)
        if not self._banks:
            raise failure(
                "SMMU-BANKS", f"all {self.unit.id1.NUMCB} context banks are in use", self.unit.name,
                field="ID1.NUMCB", clause=CLAUSE, advice="use fewer address spaces at a time",
            )  # fmt: skip
        bank = heappop(self._banks)
        try:
            domain = Domain(self.unit, self._pages, bank)
        except IommuError:
            heappush(self._banks, bank)
            raise
        domain.enable()
        self._used[bank] = domain
        return domain

    def release(self, domain: Domain) -> None:
        """Give a domain's table and bank back. Raises `IommuError` (`SMMU-REQUEST`) while a stream is in it."""
        if domain.streams:
            raise self.unit.refuse("the domain is still in use")
        domain.disable()
        domain.table.release()
        del self._used[domain.bank]
        heappush(self._banks, domain.bank)

    # --- streams ----------------------------------------------------------------------------------------------------

    def attach(self, stream: int, domain: Domain, mask: int = 0) -> None:
        """Let a stream reach what a domain maps, and nothing else.

        Bits of `mask` are those of the ID that do not count: the streams that differ in them go the same way.
        Raises `IommuError` (`SMMU-REQUEST`, `SMMU-STREAM-ENTRIES`).
        """
        self._set(stream, mask, domain)

    def block(self, stream: int, mask: int = 0) -> None:
        """Let a stream reach nothing. Raises `IommuError` (`SMMU-REQUEST`)."""
        self._set(stream, mask, None)

    def _set(self, stream: int, mask: int, domain: Domain | None) -> None:
        self.streams.set(stream, mask, None if domain is None else domain.bank)
        key = stream & ~mask, mask
        old = self._attached.pop(key, None)
        if old is not None:
            old.streams.discard(key)
        if domain is not None:
            self._attached[key] = domain
            domain.streams.add(key)
