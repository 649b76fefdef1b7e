"""The changes between two topologies, arranged for people: a hunk for each thing, with what is said and meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .changes import Change
from .meaning import Meaning
from .picture import Item, Subject
from .values import Value
from .words import Line, item_lines, title, value_lines


@dataclass(frozen=True, slots=True)
class Step:
    """One change in words: what only A says, what only B says, and what it means.

    Attributes:
        change: the change.
        was: what A says.
        now: what B says.
        meanings: what it means for isolation.
    """

    change: Change
    was: tuple[Line, ...]
    now: tuple[Line, ...]
    meanings: tuple[Meaning, ...]

    @property
    def moved(self) -> bool:
        """Whether one thing has gone elsewhere, and is said in one line."""
        return self.change.kind == "moved" and len(self.was) == len(self.now) == 1


@dataclass(frozen=True, slots=True)
class Hunk:
    """All changes of one thing, under its name."""

    title: str
    steps: tuple[Step, ...]


def hunks(changes: Iterable[Change], meanings: Iterable[tuple[Meaning, ...]]) -> list[Hunk]:
    """Return the hunks, in the order of the changes."""
    groups: dict[tuple[Subject, Subject], list[Step]] = {}
    for change, means in zip(changes, meanings, strict=True):
        was, now = (_lines(change, side) for side in (False, True))
        sides = change.before or change.subject, change.after or change.subject
        groups.setdefault(sides, []).append(Step(change, was, now, means))
    return [Hunk(_title(before, after), tuple(steps)) for (before, after), steps in groups.items()]


def _title(before: Subject, after: Subject) -> str:
    """Return the name of a thing, or both when it has two."""
    return title(before) if before == after else f"{title(before)} → {after.name}"


def _lines(change: Change, after: bool) -> tuple[Line, ...]:  # noqa: FBT001
    """Return what one side says."""
    subject = change.after if after else change.before
    value: Value | Item | None = change.now if after else change.was
    if subject is None:
        return ()
    if isinstance(value, Item):
        return tuple(item_lines(subject, value)) or (Line("nothing more is said of it", value.origins),)
    if change.renames:
        return (Line(subject.name, change.origins_after if after else change.origins_before),)
    return () if value is None else tuple(value_lines(subject, change.field, value))
