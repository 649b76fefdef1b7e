"""Many faults made into one report, in one pass and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from ...base import format_pci_address
from ...topology import Topology
from ..fault import Fault
from .counters import Counted, SpaceSaving, TimeBins
from .places import PlaceCounter
from .records import (
    PAGE,
    Limits,
    LossRow,
    PageRow,
    ReasonRow,
    Seen,
    SourceRow,
    Summary,
    Table,
    UnitRow,
)
from .runs import Runs, Source, Windows

MAX_RID = 0xFFFF
MAX_REASONS = 16
"""Reasons that are told apart for one source."""

MAX_TEXT = 256
"""Characters of a name or reason that are kept; hostile input could have megabytes of each."""

DeviceOf = Callable[[Fault], str]
"""Names the device of a fault; the empty text when nothing is known."""

_DEFAULT = Limits()

_K = TypeVar("_K", bound=Hashable)
_E = TypeVar("_E", bound=Counted)


def device_of_record(fault: Fault) -> str:
    """Return the device that a record itself names: by name, or by segment and requester ID; else the empty text."""
    if fault.device or fault.identifier is None or fault.segment is None or not 0 <= fault.identifier <= MAX_RID:
        return fault.device
    return format_pci_address(fault.segment, fault.identifier)


def unit_of(fault: Fault) -> str:
    """Return the unit that a record names, or else what printed it, or else the kind of unit; perhaps empty."""
    return fault.iommu or fault.driver or fault.architecture


def summarise(
    faults: Iterable[Fault],
    topology: Topology | None = None,
    device_of: DeviceOf = device_of_record,
    limits: Limits = _DEFAULT,
) -> Summary:
    """Return the report on faults.

    Args:
        faults: in the order of time, as logs and queues have them; what lies back in time by much begins a run anew.
        topology: the board, to tell what addresses fall in.
        device_of: names the device of each fault.
        limits: how much is kept, and what a storm is.
    """
    made = Summarizer(topology, device_of, limits)
    for fault in faults:
        made.add(fault)
    return made.result()


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


class _Entry:
    """What is noted of any counted thing: first and last by clock."""

    __slots__ = ("count", "error", "times")

    def __init__(self) -> None:
        self.count = self.error = 0
        self.times: dict[str, list[int]] = {}

    def at(self, clock: str, time: int) -> None:
        found = self.times.get(clock)
        if found is None:
            self.times[clock] = [time, time]
        elif time > found[1]:
            found[1] = time
        elif time < found[0]:
            found[0] = time

    @property
    def seen(self) -> tuple[Seen, ...]:
        return tuple(Seen(clock, first, last) for clock, (first, last) in sorted(self.times.items()))


class _SourceEntry(_Entry):
    __slots__ = ("high", "low", "reasons")

    def __init__(self) -> None:
        super().__init__()
        self.low: int | None = None
        self.high: int | None = None
        self.reasons: dict[str, int] = {}

    def why(self, reason: str, count: int) -> None:
        if reason in self.reasons or len(self.reasons) < MAX_REASONS:
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def where(self, address: int) -> None:
        self.low = address if self.low is None else min(self.low, address)
        self.high = address if self.high is None else max(self.high, address)

    @property
    def reason(self) -> str:
        return min(self.reasons, key=lambda one: (-self.reasons[one], one))


class _PageEntry:
    __slots__ = ("count", "device", "error", "several")

    def __init__(self) -> None:
        self.count = self.error = 0
        self.device: str | None = None
        self.several = False

    def by(self, device: str) -> None:
        if self.device is None:
            self.device = device
        elif device != self.device:
            self.device, self.several = min(self.device, device), True


class _LossEntry(_Entry):
    __slots__ = ("notices",)

    def __init__(self) -> None:
        super().__init__()
        self.notices = 0


class Summarizer:
    """A report in the making: faults are added one by one, and `result` can be asked for at any time."""

    def __init__(
        self, topology: Topology | None = None, device_of: DeviceOf = device_of_record, limits: Limits = _DEFAULT
    ) -> None:
        """Start with no fault; for the arguments see `summarise`."""
        self._limits = limits
        self._device_of = device_of
        self._places = None if topology is None else PlaceCounter(topology)
        self._records = self._accesses = self._untimed = self._unaddressed = 0
        self._all = _Entry()
        self._sources: SpaceSaving[Source, _SourceEntry] = SpaceSaving(limits.rows, _SourceEntry)
        self._pages: SpaceSaving[int, _PageEntry] = SpaceSaving(limits.rows, _PageEntry)
        self._reasons: SpaceSaving[tuple[str, str], _Entry] = SpaceSaving(limits.rows, _Entry)
        self._units: SpaceSaving[str, _Entry] = SpaceSaving(limits.rows, _Entry)
        self._lost: SpaceSaving[tuple[str, str], _LossEntry] = SpaceSaving(limits.rows, _LossEntry)
        self._access: dict[str, int] = {}
        self._runs = Runs(limits)
        self._windows = Windows(limits)
        self._bins: dict[str, TimeBins] = {}

    def add(self, fault: Fault) -> None:
        """Add a fault.

        A record that says that others were lost is a notice of that; it is a fault as well when it tells of an access,
        by an address or an ID (some units have one register for both).
        """
        unit = _short(unit_of(fault))
        if fault.lost:
            told = fault.address is not None or fault.identifier is not None
            self._add_loss(fault, unit, 0 if told else max(fault.count, 0))
            if not told:
                return
        count = max(fault.count, 1)
        self._records += 1
        self._accesses += count
        device, name, reason = _short(self._device_of(fault)), _short(fault.name), _short(fault.reason)
        source = Source(device, unit, fault.segment, fault.identifier)
        whose = self._sources.add(source, count)
        whose.why(name or reason, count)
        why = self._reasons.add((name, reason), count)
        who = self._units.add(unit, count)
        self._access[fault.access] = self._access.get(fault.access, 0) + count
        self._add_address(fault, whose, device, count)
        if fault.time is None:
            self._untimed += count
            return
        clock, time = fault.clock, fault.time
        for entry in (self._all, whose, why, who):
            entry.at(clock, time)
        self._runs.add(clock, source, time, count)
        self._windows.add(clock, unit, time)
        self._bin(clock).add(time, count, 0)

    def _add_loss(self, fault: Fault, unit: str, count: int) -> None:
        entry = self._lost.add((unit, _short(fault.reason)), count)
        entry.notices += 1
        if fault.time is not None:
            entry.at(fault.clock, fault.time)
            self._bin(fault.clock).add(fault.time, 0, max(count, 1))

    def _add_address(self, fault: Fault, whose: _SourceEntry, device: str, count: int) -> None:
        address = fault.address
        if address is None or fault.access == "interrupt":
            self._unaddressed += count
            return
        whose.where(address)
        self._pages.add(address - address % PAGE, count).by(device)
        if self._places is not None:
            self._places.add(address, count)

    def _bin(self, clock: str) -> TimeBins:
        found = self._bins.get(clock)
        if found is None:
            found = self._bins[clock] = TimeBins()
        return found

    def result(self) -> Summary:
        """Return the report on what was added so far."""
        storms, seen = self._runs.result()
        places = self._places
        return Summary(
            limits=self._limits,
            records=self._records,
            accesses=self._accesses,
            untimed=self._untimed,
            unaddressed=self._unaddressed,
            seen=self._all.seen,
            sources=_source_table(self._sources),
            pages=_page_table(self._pages),
            reasons=Table(
                tuple(
                    ReasonRow(one.count, one.error, name, reason, one.seen)
                    for (name, reason), one in _ranked(self._reasons)
                ),
                self._reasons.total,
            ),
            units=Table(
                tuple(UnitRow(one.count, one.error, unit, one.seen) for unit, one in _ranked(self._units)),
                self._units.total,
            ),
            access=tuple(sorted(self._access.items(), key=lambda one: (-one[1], one[0]))),
            lost=Table(
                tuple(
                    LossRow(one.count, one.error, unit, reason, one.notices, one.seen)
                    for (unit, reason), one in _ranked(self._lost)
                ),
                self._lost.total,
            ),
            storms=storms,
            storms_seen=seen,
            together=self._windows.result(),
            places=() if places is None else places.rows(),
            elsewhere=None if places is None else places.elsewhere,
            time_lines=tuple(bins.result(clock) for clock, bins in sorted(self._bins.items())),
        )


def _source_table(sources: SpaceSaving[Source, _SourceEntry]) -> Table[SourceRow]:
    rows = (
        SourceRow(one.count, one.error, *key, reason=one.reason, low=one.low, high=one.high, seen=one.seen)
        for key, one in _ranked(sources)
    )
    return Table(tuple(rows), sources.total)


def _page_table(pages: SpaceSaving[int, _PageEntry]) -> Table[PageRow]:
    rows = (PageRow(one.count, one.error, page, one.device or "", one.several) for page, one in _ranked(pages))
    return Table(tuple(rows), pages.total)


def _ranked(counted: SpaceSaving[_K, _E]) -> list[tuple[_K, _E]]:
    """Return keys and entries, most frequent first; equals in an order that the input's does not change."""
    return sorted(counted, key=lambda one: (-one[1].count, one[1].error, _sortable(one[0])))


def _sortable(key: object) -> tuple[tuple[int, int, str], ...]:
    """Return what a key is ordered by: its parts, numbers as numbers, nothing first."""
    parts = key if isinstance(key, tuple) else (key,)
    return tuple((part is not None, part if isinstance(part, int) else 0, str(part)) for part in parts)
