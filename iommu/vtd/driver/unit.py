"""The driver of one remapping unit: takes it over with every device blocked, then attaches devices to domains."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Literal

from ...errors import failure
from ...platform import PageAllocator, Platform
from ..layout import CAP, ECAP, GSTS, PMEN, RTADDR, ContextEntry, PasidEntry
from ..names import PGTT, TT, TTM
from .access import UnitAccess
from .contexts import ContextTables
from .domains import Domain, FirstStageDomain, SecondStageDomain
from .faults import Faults, take_faults
from .interrupts import InterruptTable
from .invalidation import Invalidation, QueuedInvalidation, RegisterInvalidation

_PASS_THROUGH_DID = 1
_FIRST_DID = 2


class Driver:
    """Software's side of VT-d. It uses the platform's memory and registers, and nothing else.

    Attributes:
        unit: the unit's registers and capabilities.
        scalable: scalable mode.
        interrupts: the interrupt remapping table, None until `remap_interrupts`.
    """

    def __init__(
        self,
        platform: Platform,
        base: int,
        pages: PageAllocator,
        *,
        mode: Literal["legacy", "scalable"] = "legacy",
        host_width: int | None = None,
        queue: bool | None = None,
    ) -> None:
        """Look at the unit and prepare; nothing changes for devices before `enable`.

        Args:
            platform: memory and registers.
            base: physical address of the unit's registers (DRHD).
            pages: where tables and queues come from; no device should ever be granted these pages.
            mode: legacy or scalable tables.
            host_width: host address width in bits (DMAR table), by default the unit's guest address width.
            queue: invalidate by queue; by default where there is one. Scalable mode knows no other way.

        Raises `IommuError`: `VTD-VERSION`, or `VTD-UNSUPPORTED` with the capability bit that is missing.
        """
        self.unit = UnitAccess(platform, base)
        cap, ecap = self.unit.cap, self.unit.ecap
        self.scalable = mode == "scalable"
        if self.scalable:
            self.unit.require(ecap.SMTS, ECAP, ECAP.SMTS, "scalable mode")
            self.unit.require(ecap.QI, ECAP, ECAP.QI, "scalable mode without an invalidation queue")
        if queue:
            self.unit.require(ecap.QI, ECAP, ECAP.QI, "an invalidation queue")
        self._queued = bool(ecap.QI) if queue is None else queue or self.scalable
        self._pages = pages
        self._host_width = host_width or cap.MGAW + 1
        self._dids = list(range(_FIRST_DID, 1 << 4 + 2 * cap.ND))  # sorted, hence a heap
        self._domains: dict[tuple[int, int], Domain | None] = {}
        self._tables = ContextTables(self.unit, pages, scalable=self.scalable)
        self.interrupts: InterruptTable | None = None
        self._enabled: Invalidation | None = None

    # --- The unit as a whole

    def enable(self) -> None:
        """Take the unit over: every device is blocked afterwards. Protected memory is given up only then."""
        unit = self.unit
        invalidation: Invalidation = (
            QueuedInvalidation(unit, self._pages) if self._queued else RegisterInvalidation(unit)
        )
        unit.write(RTADDR(RTA=self._tables.root, TTM=TTM.SCALABLE if self.scalable else TTM.LEGACY))
        unit.command(SRTP=1)
        invalidation.everything()
        if not unit.read(GSTS).TES:
            unit.command(TE=1)
        if (unit.cap.PLMR or unit.cap.PHMR) and unit.read(PMEN).EPM:
            unit.write(PMEN())
            unit.wait(lambda: not unit.read(PMEN).PRS, "PMEN.EPM")
        self._enabled = invalidation

    def disable(self) -> None:
        """Switch translation off: every device reaches all of memory afterwards."""
        self.unit.command(TE=0)

    def take_faults(self) -> Faults:
        """Return the pending fault records and clear them."""
        return take_faults(self.unit)

    def remap_interrupts(self, entries: int = 256, *, extended: bool = False) -> InterruptTable:
        """Switch interrupt remapping on, after `enable`; raises `IommuError` where the unit has none."""
        self.interrupts = InterruptTable(self.unit, self._pages, self._invalidation, entries=entries, extended=extended)
        return self.interrupts

    @property
    def _invalidation(self) -> Invalidation:
        if self._enabled is None:
            raise failure("VTD-STATE", "the unit has to be enabled first", self.unit.name)
        return self._enabled

    # --- Domains

    def second_stage(self, width: int | None = None) -> SecondStageDomain:
        """Make a second-stage domain for addresses of `width` bits, by default the widest but 5 levels.

        Raises `IommuError` (`VTD-UNSUPPORTED`) where CAP.SAGAW has no tables so wide.
        """
        if self.scalable:
            self.unit.require(self.unit.ecap.SSTS, ECAP, ECAP.SSTS, "the second stage in scalable mode")
        return SecondStageDomain(
            self.unit,
            self._pages,
            self._invalidation,
            did=self._new_did(),
            levels=self._levels(width),
            output_width=self._host_width,
        )

    def first_stage(
        self, parent: SecondStageDomain | None = None, pages: PageAllocator | None = None
    ) -> FirstStageDomain:
        """Make a first-stage domain of 4 levels, nested in `parent` if there is one.

        Its tables come from `pages`, by default the driver's own; a parent has to map them one to one.
        Raises `IommuError` (`VTD-UNSUPPORTED`).
        """
        unit, ecap = self.unit, self.unit.ecap
        unit.require(self.scalable, ECAP, ECAP.SMTS, "the first stage in legacy mode")
        if parent is None:
            unit.require(ecap.FSTS, ECAP, ECAP.FSTS, "the first stage")
        else:
            unit.require(ecap.NEST, ECAP, ECAP.NEST, "nested translation")
        return FirstStageDomain(
            unit,
            pages or self._pages,
            self._invalidation,
            did=self._new_did(),
            levels=4,
            output_width=self._host_width if parent is None else parent.width,
            parent=parent,
        )

    def release(self, domain: Domain) -> None:
        """Give a domain's tables and ID back. Raises `IommuError` (`VTD-STATE`) while it is in use."""
        children = domain.children if isinstance(domain, SecondStageDomain) else ()
        if domain.attached or children:
            raise failure("VTD-STATE", "the domain is still in use", self.unit.name)
        self._invalidation.domain(domain.did)
        domain.table.release()
        heappush(self._dids, domain.did)
        if isinstance(domain, FirstStageDomain) and domain.parent is not None:
            domain.parent.children.remove(domain)

    # --- Devices

    def attach(self, source: int, domain: Domain, pasid: int = 0) -> None:
        """Let a device (or one PASID of it) reach what a domain maps, and nothing else."""
        if self.scalable:
            entry = self._pasid_entry(domain)
            self._set(source, pasid, domain, entry)
        else:
            context = ContextEntry(
                P=1, TT=TT.UNTRANSLATED, SSPTPTR=domain.table.root, AW=domain.table.levels - 2, DID=domain.did
            )
            self._set(source, pasid, domain, context)

    def pass_through(self, source: int, pasid: int = 0) -> None:
        """Let a device reach all of memory. Raises `IommuError` (`VTD-UNSUPPORTED`) without ECAP.PT."""
        self.unit.require(self.unit.ecap.PT, ECAP, ECAP.PT, "pass-through")
        widest = self._levels(None) - 2
        if self.scalable:
            self._set(source, pasid, None, PasidEntry(P=1, PGTT=PGTT.PASS_THROUGH, AW=widest, DID=_PASS_THROUGH_DID))
        else:
            self._set(source, pasid, None, ContextEntry(P=1, TT=TT.PASS_THROUGH, AW=widest, DID=_PASS_THROUGH_DID))

    def block(self, source: int, pasid: int = 0) -> None:
        """Let a device (or one PASID of it) reach nothing."""
        self._set(source, pasid, None, None)

    def _set(self, source: int, pasid: int, domain: Domain | None, entry: ContextEntry | PasidEntry | None) -> None:
        if not 0 <= source < 1 << 16:
            raise failure("VTD-DEVICE", "a source-id has 16 bits", self.unit.name, found=hex(source))
        limit = self._tables.pasids if self.scalable and self.unit.ecap.PASID else 1
        if not 0 <= pasid < limit:
            raise failure(
                "VTD-DEVICE", "the PASID is out of range", self.unit.name,
                field="ECAP.PASID", found=hex(pasid), expected=f"less than {limit}",
            )  # fmt: skip
        if isinstance(entry, ContextEntry) or not self.scalable:
            self._tables.set_context(source, entry if isinstance(entry, ContextEntry) else None, self._invalidation)
        else:
            self._tables.set_pasid(source, pasid, entry, self._invalidation)
        old = self._domains.pop((source, pasid), None)
        if old is not None:
            old.attached.discard((source, pasid))
        if domain is not None:
            self._domains[source, pasid] = domain
            domain.attached.add((source, pasid))

    def _pasid_entry(self, domain: Domain) -> PasidEntry:
        snoop = self.unit.ecap.SMPWCS
        if isinstance(domain, FirstStageDomain):
            entry = PasidEntry(P=1, PGTT=PGTT.FIRST_STAGE, FSPTPTR=domain.table.root, DID=domain.did, PWSNP=snoop)
            if domain.parent is None:
                return entry
            second = domain.parent.table
            return entry.replace(PGTT=PGTT.NESTED, SSPTPTR=second.root, AW=second.levels - 2)
        return PasidEntry(
            P=1,
            PGTT=PGTT.SECOND_STAGE,
            SSPTPTR=domain.table.root,
            AW=domain.table.levels - 2,
            DID=domain.did,
            PWSNP=snoop,
        )

    def _levels(self, width: int | None) -> int:
        """Return the levels for addresses of `width` bits; without, the most the unit has."""
        sagaw = self.unit.cap.SAGAW
        supported = [levels for levels in (3, 4, 5) if sagaw >> levels - 2 & 1]
        if width is None and supported:
            return supported[-1]
        for levels in supported:
            if width is not None and 12 + 9 * levels >= width:
                return levels
        raise self.unit.unsupported(CAP, CAP.SAGAW, f"second-stage tables for {width or 39} bits of address")

    def _new_did(self) -> int:
        if not self._dids:
            raise self.unit.unsupported(CAP, CAP.ND, "more domains")
        return heappop(self._dids)
