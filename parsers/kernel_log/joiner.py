"""Joins the lines of one fault, between which lines of other CPUs may stand.

A module of each family of drivers declares its lines as `Kind`s: a pattern, what the line may follow, and what makes a
record of all lines together. One record is open per unit at a time, since a unit's faults are printed by one thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .records import LogLine, LogRecord

MAX_OPEN = 64
"""Most records whose lines are waited for; the oldest is closed for another."""

MAX_DISTANCE = 200
"""Lines of the log after which no further line of a record is expected."""


class Part(NamedTuple):
    """One line of a record: its kind's name, what the pattern matched, and the line."""

    kind: str
    match: re.Match[str]
    line: LogLine


Build = Callable[[str, str, list[Part]], LogRecord]
"""Makes a record of the name of a driver, that of a unit, and the lines."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of lines.

    Attributes:
        name: its name in the family.
        pattern: what is left of the line behind the prefix, from its beginning.
        build: makes a record of the lines that begin with one of this kind; None: it begins none.
        after: kinds that may stand directly before it in its record.
        limit: how many of it a record has at most.
        more: lines of other kinds may follow.
    """

    name: str
    pattern: re.Pattern[str]
    build: Build | None = None
    after: frozenset[str] = frozenset()
    limit: int = 1
    more: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """The lines of one driver or of some that print alike.

    Attributes:
        kinds: the most frequent first.
        shared: the lines of one record do not all name the same unit.
    """

    kinds: tuple[Kind, ...]
    shared: bool = False


class _Open:
    """A record whose lines are not all there."""

    __slots__ = ("build", "driver", "parts", "unit")

    def __init__(self, build: Build, driver: str, unit: str, part: Part) -> None:
        self.build = build
        self.driver = driver
        self.unit = unit
        self.parts = [part]

    def takes(self, kind: Kind, line: LogLine) -> bool:
        """Tell whether a line belongs to this record."""
        last = self.parts[-1]
        return (
            last.kind in kind.after
            and line.number - last.line.number <= MAX_DISTANCE
            and sum(part.kind == kind.name for part in self.parts) < kind.limit
        )

    def close(self) -> LogRecord:
        """Make the record."""
        return self.build(self.driver, self.unit, self.parts)


class Joiner:
    """Takes lines that were recognised and gives records."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def add(self, kind: Kind, part: Part, driver: str, unit: str, key: str) -> LogRecord | bool:
        """Take a line of the record that `key` names.

        Returns:
            A record that is whole now (perhaps the one before), True when there is none yet, False when the line goes
            on with something that never began.
        """
        before = self._open.get(key)
        if before is not None and kind.after and before.takes(kind, part.line):
            before.parts.append(part)
            return True
        if kind.build is None:
            return False
        if before is None:
            if not kind.more:
                return kind.build(driver, unit, [part])
            done = self._open.pop(next(iter(self._open))) if len(self._open) >= MAX_OPEN else None
        else:
            done = self._open.pop(key)
        # A line that nothing follows waits here too when it comes behind an open record: they leave in their order.
        self._open[key] = _Open(kind.build, driver, unit, part)
        return True if done is None else done.close()

    def expire(self, number: int) -> Iterator[LogRecord]:
        """Give the records that no line will be added to, when line `number` has been reached."""
        for key in [key for key, one in self._open.items() if number - one.parts[-1].line.number > MAX_DISTANCE]:
            yield self._open.pop(key).close()

    def flush(self) -> Iterator[LogRecord]:
        """Give all records, whole or not."""
        while self._open:
            yield self._open.pop(next(iter(self._open))).close()


def joined(parts: list[Part]) -> str:
    """Return the text of all lines; a message of several lines may stand in one."""
    if len(parts) == 1:
        return parts[0].line.text
    return "\n".join([text for _, text in dict.fromkeys((part.line.number, part.line.text) for part in parts)])
