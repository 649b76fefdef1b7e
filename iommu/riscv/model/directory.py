"""From a device ID and a process ID to a context: both directories, and what is remembered of them (2.1 to 2.3.2).

Each non-leaf entry and each context is remembered on its own and stays until an IODIR command names it.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import IommuError
from ...platform import Memory
from ..layout import DC, PC, BaseDC, DirectoryEntry
from ..names import Cause, DirectoryMode, MsiMode, ProcessMode
from .stage import Stage, first_stage, second_stage
from .tlb import GLOBAL, HOST, Space, Tlb
from .validity import misconfigured_dc, misconfigured_pc
from .values import Capabilities, Fault

_PAGES = (1 << 52) - 1
"""All bits of a guest page number that a mask or a pattern has."""
_PROCESS_BITS: dict[int, int] = {ProcessMode.PD8: 8, ProcessMode.PD17: 17, ProcessMode.PD20: 20}
_PROCESS_INDEX = (0, 8, 17)
"""Lowest bit of a process ID that indexes the directory of a level, the leaf first."""
_MOST_MEANINGS = 1024
_UNKNOWN = Space()
"""Of a context without the stage: nothing is ever put into it."""


class Context:
    """How transactions of one device, or one process of it, are translated.

    Attributes:
        dc: the device context; in base format its second half is zeros.
        stage1, stage2: the stages, None where Bare.
        ens, sum: of the process context; `ens` is None without one.
        msi: MSI page table, mask and pattern; None when off.
        space1, shared1, space2: what is remembered under its tags.
        translates: a stage is not Bare.
    """

    __slots__ = ("dc", "ens", "msi", "shared1", "space1", "space2", "stage1", "stage2", "sum", "translates")

    def __init__(self, dc: DC, stage2: Stage | None, tlb: Tlb) -> None:
        """Start from a device context: the first stage is Bare."""
        self.dc = dc
        self.stage1: Stage | None = None
        self.stage2 = stage2
        self.ens: int | None = None
        self.sum = 0
        self.msi: tuple[int, int, int] | None = None
        if dc.msiptp_MODE == MsiMode.FLAT:
            self.msi = dc.msiptp_PPN, dc.msi_addr_mask, dc.msi_addr_pattern
        self.space1 = self.shared1 = _UNKNOWN
        self.space2 = _UNKNOWN if stage2 is None and self.msi is None else tlb.second(self.gscid)
        self.translates = stage2 is not None

    @property
    def gscid(self) -> int:
        """Tag of the guest, `HOST` where the second stage is Bare."""
        return HOST if self.stage2 is None else self.dc.GSCID

    def add_first(self, stage: Stage | None, pscid: int, tlb: Tlb) -> None:
        """Put a first stage before the second, if it is not Bare."""
        if stage is not None:
            self.stage1 = stage
            self.translates = True
            self.space1 = tlb.first(self.gscid, pscid)
            self.shared1 = tlb.first(self.gscid, GLOBAL)

    def is_message(self, gpa: int) -> bool:
        """Tell whether a guest physical address is that of a virtual interrupt file (2.1.3); MSIs are on."""
        _, mask, pattern = self.msi or (0, 0, 0)
        return not (gpa >> 12 ^ pattern) & ~mask & _PAGES

    def message_entry(self, page: int) -> int:
        """Return the address of the MSI page table entry for the page of an interrupt file (2.3.3)."""
        table, mask, _ = self.msi or (0, 0, 0)
        number = place = 0
        while mask:
            if mask & 1:
                number |= (page & 1) << place
                place += 1
            mask >>= 1
            page >>= 1
        return table | number << 4


class Directory:
    """Finds contexts and remembers what it reads."""

    def __init__(self, memory: Memory, caps: Capabilities, tlb: Tlb, *, caching: bool) -> None:
        """Read from a memory; with `caching` off everything is read afresh each time."""
        self._memory = memory
        self._caps = caps
        self._tlb = tlb
        self._caching = caching
        self._extended = bool(caps.register.MSI_FLAT)
        self._tables: dict[tuple[int, int], int] = {}
        self._dcs: dict[int, int] = {}
        self._process_tables: dict[tuple[int, int, int], int] = {}
        self._pcs: dict[tuple[int, int], int] = {}
        self.mode = 0
        self.root = 0
        # What a DC means depends on its bits only: decoding is kept by value, apart from what is remembered.
        self._meanings: dict[int, tuple[DC, str, Stage | None]] = {}
        self.through: Callable[[Context, int], int]
        """The second stage, by which process directories are read: set by the model."""

    def device(self, device_id: int) -> Context:
        """Return the context of a device, its first stage not looked at. Raises Fault."""
        if device_id >> self.device_bits:
            raise Fault(Cause.TYPE_DISALLOWED, "device_id, ddtp.iommu_mode")
        raw = self._dcs.get(device_id)
        if raw is None:
            raw = self._fetch_dc(device_id)
        dc, wrong, stage2 = self._meaning(raw)
        if wrong:
            raise Fault(Cause.DDT_MISCONFIGURED, wrong)
        if self._caching:
            self._dcs[device_id] = raw
        return Context(dc, stage2, self._tlb)

    @property
    def device_bits(self) -> int:
        """Bits of a device ID that the mode in ddtp takes."""
        if self.mode == DirectoryMode.LVL3:
            return 24
        return (6 if self._extended else 7) + (9 if self.mode == DirectoryMode.LVL2 else 0)

    def _meaning(self, raw: int) -> tuple[DC, str, Stage | None]:
        found = self._meanings.get(raw)
        if found is None:
            if len(self._meanings) > _MOST_MEANINGS:
                self._meanings.clear()
            dc = DC(raw)
            wrong = misconfigured_dc(dc, self._caps)
            found = self._meanings[raw] = dc, wrong, None if wrong else second_stage(dc, self._caps.register)
        return found

    def _fetch_dc(self, device_id: int) -> int:
        size, low = (DC.size, 6) if self._extended else (BaseDC.size, 7)
        base = self.root
        for level in range(self.mode - DirectoryMode.LVL1, 0, -1):
            shift = low + 9 * (level - 1)
            known = self._tables.get((level, device_id >> shift))
            if known is None:
                place = base + ((device_id >> shift & 0x1FF) << 3)
                entry = DirectoryEntry(self._ddt_word(place, 8))
                if not entry.V:
                    raise Fault(Cause.DDT_INVALID, "V of a non-leaf entry")
                if entry.reserved:
                    raise Fault(Cause.DDT_MISCONFIGURED, "reserved bits of a non-leaf entry")
                known = entry.PPN
                if self._caching:
                    self._tables[level, device_id >> shift] = known
            base = known
        raw = self._ddt_word(base + (device_id & (1 << low) - 1) * size, size)
        if not raw & 1:
            raise Fault(Cause.DDT_INVALID, "DC.tc.V")
        return raw

    def _ddt_word(self, place: int, size: int) -> int:
        return self._word(place, size, Cause.DDT_LOAD_FAULT, Cause.DDT_CORRUPTION)

    def _word(self, place: int, size: int, access: int, corrupt: int) -> int:
        if place >> self._caps.register.PAS:
            raise Fault(access, "capabilities.PAS")
        try:
            return int.from_bytes(self._memory.read(place, size), "little")
        except IommuError as error:
            kind = corrupt if error.finding.rule == "MEMORY-CORRUPTION" else access
            raise Fault(kind, "directory entry") from None

    def enter(self, context: Context, device_id: int, process_id: int | None, *, first: bool = True) -> None:
        """Give the context of a device its first stage, from the device context or a process context. Raises Fault.

        Without `first`, only see whether the process ID is one that the device may send.
        """
        dc, have = context.dc, self._caps.register
        if process_id is not None:
            if not dc.PDTV:
                raise Fault(Cause.TYPE_DISALLOWED, "process_id, PDTV")
            bits = _PROCESS_BITS.get(dc.fsc_MODE, 20)
            if process_id >> bits:
                raise Fault(Cause.TYPE_DISALLOWED, "process_id, pdtp.MODE")
        if not first:
            return
        if not dc.PDTV:
            context.add_first(first_stage(dc.fsc_MODE, dc.fsc_PPN, dc, have), dc.PSCID, self._tlb)
            return
        if process_id is None and dc.DPE:
            process_id = 0
        if process_id is None or dc.fsc_MODE == ProcessMode.BARE:
            return
        raw = self._pcs.get((device_id, process_id))
        if raw is None:
            raw = self._fetch_pc(context, device_id, process_id)
        pc = PC(raw)
        wrong = misconfigured_pc(pc, self._caps)
        if wrong:
            raise Fault(Cause.PDT_MISCONFIGURED, wrong)
        if self._caching:
            self._pcs[device_id, process_id] = raw
        context.ens, context.sum = pc.ENS, pc.SUM
        context.add_first(first_stage(pc.fsc_MODE, pc.fsc_PPN, dc, have), pc.PSCID, self._tlb)

    def _fetch_pc(self, context: Context, device_id: int, process_id: int) -> int:
        base = context.dc.fsc_PPN
        for level in range(context.dc.fsc_MODE - ProcessMode.PD8, 0, -1):
            shift = _PROCESS_INDEX[level]
            known = self._process_tables.get((device_id, level, process_id >> shift))
            if known is None:
                place = base + ((process_id >> shift & 0x1FF) << 3)
                entry = DirectoryEntry(self._pdt_word(context, place, 8))
                if not entry.V:
                    raise Fault(Cause.PDT_INVALID, "V of a non-leaf entry")
                if entry.reserved:
                    raise Fault(Cause.PDT_MISCONFIGURED, "reserved bits of a non-leaf entry")
                known = entry.PPN
                if self._caching:
                    self._process_tables[device_id, level, process_id >> shift] = known
            base = known
        raw = self._pdt_word(context, base + (process_id & 0xFF) * PC.size, PC.size)
        if not raw & 1:
            raise Fault(Cause.PDT_INVALID, "PC.ta.V")
        return raw

    def _pdt_word(self, context: Context, place: int, size: int) -> int:
        return self._word(self.through(context, place), size, Cause.PDT_LOAD_FAULT, Cause.PDT_CORRUPTION)

    # --- commands ---------------------------------------------------------------------------------------------------

    def forget_device(self, device_id: int | None) -> None:
        """Forget the device context of a device and its process directory; of all, non-leaf entries too (3.1.3)."""
        if device_id is None:
            self._tables.clear()
            self._dcs.clear()
            self._process_tables.clear()
            self._pcs.clear()
            return
        self._dcs.pop(device_id, None)
        for table in [key for key in self._process_tables if key[0] == device_id]:
            del self._process_tables[table]
        for process in [key for key in self._pcs if key[0] == device_id]:
            del self._pcs[process]

    def forget_process(self, device_id: int, process_id: int) -> None:
        """Forget the process context of one process of a device (3.1.3)."""
        self._pcs.pop((device_id, process_id), None)
