"""What a report holds: frozen records, each with its own number of accesses, in order of that number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Address = int
"""An address, or a size of memory: hexadecimal text in JSON (see `json`), where counts and times are numbers."""

SECOND = 1_000_000_000
PAGE = 0x1000
TENTH = SECOND // 10


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a summary keeps, and what it calls a storm.

    Attributes:
        rows: keys of each table that are counted; beyond that, counts have an error (see `Table`).
        gap: nanoseconds without a fault of a source that end its run of faults.
        least: accesses that make a run a burst or a storm.
        window: nanoseconds within which units that both fault do so together.
    """

    rows: int = 4096
    gap: int = TENTH
    least: int = 10
    window: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """First and last time, in nanoseconds of one clock (see `faults.Clock`)."""

    clock: str
    first: int
    last: int

    @property
    def length(self) -> int:
        """Nanoseconds from first to last."""
        return self.last - self.first


@dataclass(frozen=True, slots=True)
class Row:
    """A counted thing: between `at_least` and `count` accesses.

    Attributes:
        count: accesses at most.
        error: how many of them may belong to things that are no longer in the table; 0: `count` is exact.
    """

    count: int
    error: int

    @property
    def at_least(self) -> int:
        """Accesses at least."""
        return self.count - self.error


@dataclass(frozen=True, slots=True)
class SourceRow(Row):
    """One source of faults: a device by one of its IDs, at one unit.

    Attributes:
        device: its name; empty: the records tell none.
        unit: the IOMMU as the records name it, or what printed them.
        segment: PCI segment of the ID, if told.
        identifier: requester, stream or device ID, if told.
        reason: the most frequent reason, by its specification's name or in words.
        low: lowest address that it faulted at; None: none is known.
        high: highest one.
        seen: first and last, by clock.
    """

    device: str
    unit: str
    segment: int | None
    identifier: int | None
    reason: str
    low: Address | None
    high: Address | None
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class PageRow(Row):
    """One page of 4 KiB of device addresses.

    Attributes:
        page: its first address.
        device: whose faults they are; empty: not told.
        several: not of that device alone.
    """

    page: Address
    device: str
    several: bool


@dataclass(frozen=True, slots=True)
class ReasonRow(Row):
    """One reason, by its specification's name (empty: it has none) and in words."""

    name: str
    reason: str
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class UnitRow(Row):
    """One IOMMU, or what printed the records that name none."""

    unit: str
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class LossRow(Row):
    """One way in which records were lost: `count` accesses at least, 0 when no record says how many.

    Attributes:
        unit: as above.
        reason: how.
        notices: records that say so.
        seen: first and last, by clock.
    """

    unit: str
    reason: str
    notices: int
    seen: tuple[Seen, ...]


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """The most frequent things of one kind, most frequent first.

    Attributes:
        rows: of which `at_least` accesses are sure.
        total: accesses of things of this kind, in the table or not.
    """

    rows: tuple[R, ...]
    total: int

    @property
    def others(self) -> int:
        """Accesses that cannot be ascribed to a row for sure; 0 when everything was counted exactly."""
        return self.total - sum(row.at_least for row in self.rows)

    def __iter__(self) -> Iterator[R]:
        """Iterate over the rows."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Storm:
    """A run of faults of one source without a longer pause than `Limits.gap`.

    Attributes:
        device: as in `SourceRow`.
        unit: as in `SourceRow`.
        identifier: as in `SourceRow`.
        clock: of `start`.
        start: first fault, nanoseconds.
        length: nanoseconds from first to last.
        count: accesses.
        peak: accesses in the fullest tenth of a second (of those that begin at whole tenths).
    """

    device: str
    unit: str
    identifier: int | None
    clock: str
    start: int
    length: int
    count: int
    peak: int

    @property
    def kind(self) -> Literal["burst", "storm"]:
        """A burst is over within a second."""
        return "burst" if self.length < SECOND else "storm"

    @property
    def rate(self) -> float | None:
        """Accesses a second from first to last; None when all are of one instant."""
        return self.count * SECOND / self.length if self.length else None


@dataclass(frozen=True, slots=True)
class Together:
    """Two units that fault within the same window of time more often than if they had nothing to do with each other.

    Attributes:
        first: name of one unit.
        second: name of the other.
        windows: windows in which both fault.
        expected: windows in which both would, by chance: those of the one times those of the other, by all windows.
    """

    first: str
    second: str
    windows: int
    expected: float


@dataclass(frozen=True, slots=True)
class PlaceRow:
    """Something of the board that addresses fall in, with the number of accesses that did.

    Attributes:
        kind: `reserved`, `granted`, `registers`, `window` (of a PCI function), `interrupts` or `doorbell`.
        name: in words, with whom it is for.
        start: first address.
        length: bytes.
        count: accesses.
    """

    kind: str
    name: str
    start: Address
    length: Address
    count: int


@dataclass(frozen=True, slots=True)
class TimeLine:
    """Accesses and losses over time.

    Attributes:
        clock: of `start`.
        start: where the first bin begins, nanoseconds.
        width: nanoseconds of a bin.
        faults: accesses of each bin.
        lost: accesses that are told to be lost, of each bin; a notice without a number counts as 1.
    """

    clock: str
    start: int
    width: int
    faults: tuple[int, ...]
    lost: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A report: who, where and when.

    Attributes:
        limits: that it was made with.
        records: records of faults; those that tell of losses alone are not among them.
        accesses: what these stand for.
        untimed: accesses of records without a time.
        unaddressed: accesses of records without an address (or with that of an interrupt, which is no memory).
        seen: first and last, by clock.
        sources: devices and IDs.
        pages: pages of device addresses.
        reasons: what was wrong.
        units: IOMMUs.
        access: accesses of each kind (see `faults.Access`), most frequent first.
        lost: how records were lost.
        storms: longest runs of faults, those with most accesses first.
        storms_seen: how many there were, kept or not.
        together: units that fault together.
        places: everything of the board that addresses can fall in, in the order of the sources.
        elsewhere: accesses at addresses that fall in none of `places`; None: no board was given.
        time_lines: one for each clock.
    """

    limits: Limits
    records: int
    accesses: int
    untimed: int
    unaddressed: int
    seen: tuple[Seen, ...]
    sources: Table[SourceRow]
    pages: Table[PageRow]
    reasons: Table[ReasonRow]
    units: Table[UnitRow]
    access: tuple[tuple[str, int], ...]
    lost: Table[LossRow]
    storms: tuple[Storm, ...]
    storms_seen: int
    together: tuple[Together, ...]
    places: tuple[PlaceRow, ...]
    elsewhere: int | None
    time_lines: tuple[TimeLine, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Pages that touch each other, as one: from `start`, `length` bytes, with the accesses of all (at least)."""

    start: int
    length: int
    count: int

    @property
    def end(self) -> int:
        """Last address."""
        return self.start + self.length - 1


def stretches(summary: Summary) -> list[Stretch]:
    """Return the pages of a summary joined where they touch, by address."""
    found: list[Stretch] = []
    for row in sorted(summary.pages, key=lambda one: one.page):
        if found and found[-1].start + found[-1].length == row.page:
            last = found.pop()
            found.append(Stretch(last.start, last.length + PAGE, last.count + row.at_least))
        else:
            found.append(Stretch(row.page, PAGE, row.at_least))
    return found
