"""What a picture says of a thing: sets of words, and sets of numbers by what becomes of them.

All three kinds of value know the same: what one says that another does not (`minus`), both together (`plus`), and what
they say when things have other names (`renamed`). Equality is by meaning; where something was read is kept beside it
(`places`) and never compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from ...base import Origin, RangeSet
from ..spaces import Segment, Way, joined, within

Ranges = tuple[tuple[int, int], ...]
"""A set of integers as `(start, length)`: ascending, disjoint, not touching, none empty."""

Names = Mapping[str, str]
"""Names of things, and the names that they have on the other side."""


def ranges(*pieces: tuple[int, int]) -> Ranges:
    """Return the union of `(start, length)` pieces."""
    return tuple(RangeSet(pieces)) if len(pieces) > 1 else tuple(piece for piece in pieces if piece[1])


def without(one: Ranges, other: Ranges) -> Ranges:
    """Return what is in one set and not in the other."""
    if not other:
        return one
    rest = RangeSet(one)
    for start, length in other:
        rest.remove(start, length)
    return tuple(rest)


def count(numbers: Ranges) -> int:
    """Return how many integers a set has."""
    return sum(length for _, length in numbers)


@dataclass(frozen=True, slots=True)
class Access:
    """How an IOMMU knows a device: the label of a set of IDs.

    Attributes:
        verdict: see `resolve.Verdict`; `msi` for the ways of interrupts.
        target: name of the IOMMU or MSI controller.
        numbers: what the set holds: `stream`: IDs at the target; `sent`: the device's own IDs, where there is no
            target or it is not known; `none`: the target knows no IDs (or the device sends none), and the set is {0}.
        ignored: bits of the IDs that the IOMMU ignores.
    """

    verdict: str
    target: str | None
    numbers: str = "stream"
    ignored: int = 0


@dataclass(frozen=True, slots=True)
class Reserve:
    """What must hold for reserved memory: the label of a set of addresses, or, of one region, of a set of IDs.

    Attributes:
        meaning: as `ReservedRegion.meaning`.
        shift: physical address less the address that devices use; None when there is no physical address.
        region: (start, length) of the region when the set is one of IDs.
        facts: what else is said of it, in words.
    """

    meaning: str
    shift: int | None
    region: tuple[int, int] | None = None
    facts: tuple[str, ...] = ()


_Label = TypeVar("_Label", bound=Hashable)


def _renamed_label(label: _Label, names: Names) -> _Label:
    """Return a label with the other side's name in it."""
    if isinstance(label, Access | Way) and label.target is not None and label.target in names:
        return replace(label, target=names[label.target])
    return label


class Many:
    """A set of words, most often of one: each with the places that it is known from."""

    __slots__ = ("said",)

    def __init__(self, said: Mapping[str, tuple[Origin, ...]]) -> None:
        """Take the elements with their places."""
        self.said = dict(said)

    def minus(self, other: Many) -> Many | None:
        """Return the elements that the other has not; None when it has all."""
        rest = {element: places for element, places in self.said.items() if element not in other.said}
        return Many(rest) if rest else None

    def plus(self, other: Many) -> Many:
        """Return the elements of both."""
        return Many({**self.said, **other.said})

    def renamed(self, names: Names) -> Many:
        """Return the same with the other side's names."""
        return Many({names.get(element, element): places for element, places in self.said.items()})

    def places(self) -> tuple[Origin, ...]:
        """Return where the elements are known from."""
        return tuple(dict.fromkeys(place for places in self.said.values() for place in places))

    def __eq__(self, other: object) -> bool:
        """Two are equal when they have the same elements."""
        return isinstance(other, Many) and self.said.keys() == other.said.keys()

    __hash__ = None  # type: ignore[assignment]  # nothing keeps them in sets

    def __repr__(self) -> str:
        """Show the elements."""
        return f"Many({list(self.said)})"


Said = tuple[Hashable, int, int, Origin]
"""A label, a range (start, length), and where this is said."""


class Spread:
    """For each of some labels a set of integers, and where each piece is said."""

    __slots__ = ("parts", "said")

    def __init__(self, parts: Mapping[Hashable, Ranges], said: tuple[Said, ...]) -> None:
        """Take sets that are not empty, and what says them; see `spread` for making them from the pieces alone."""
        self.parts = dict(parts)
        self.said = said

    def minus(self, other: Spread) -> Spread | None:
        """Return what this says and the other does not; None when there is nothing."""
        rest = {
            label: numbers
            for label, whole in self.parts.items()
            if (numbers := () if other.parts.get(label) == whole else without(whole, other.parts.get(label, ())))
        }
        return Spread(rest, self.said) if rest else None

    def plus(self, other: Spread) -> Spread:
        """Return what the two say together."""
        parts = dict(self.parts)
        for label, numbers in other.parts.items():
            parts[label] = ranges(*parts.get(label, ()), *numbers)
        return Spread(parts, (*self.said, *other.said))

    def renamed(self, names: Names) -> Spread:
        """Return the same with the other side's names."""
        said = tuple(
            (_renamed_label(label, names), start, length, origin) for label, start, length, origin in self.said
        )
        parts: dict[Hashable, Ranges] = {}
        for label, numbers in self.parts.items():
            name = _renamed_label(label, names)
            parts[name] = ranges(*parts.get(name, ()), *numbers)
        return Spread(parts, said)

    def places(self) -> tuple[Origin, ...]:
        """Return where what this says is said."""
        return self.places_of(self.parts)

    def places_of(self, parts: Mapping[Hashable, Ranges]) -> tuple[Origin, ...]:
        """Return where some of it is said."""
        found: dict[Origin, None] = {}
        for label, start, length, origin in self.said:
            if any(first < start + length and start < first + extent for first, extent in parts.get(label, ())):
                found[origin] = None
        return tuple(found)

    def __eq__(self, other: object) -> bool:
        """Two are equal when each label has the same integers."""
        return isinstance(other, Spread) and self.parts == other.parts

    __hash__ = None  # type: ignore[assignment]  # nothing keeps them in sets

    def __repr__(self) -> str:
        """Show labels and sets."""
        return f"Spread({self.parts})"


def spread(pieces: Iterable[Said]) -> Spread:
    """Return what pieces say together."""
    said = tuple(pieces)
    lists: dict[Hashable, list[tuple[int, int]]] = {}
    for label, start, length, _ in said:
        lists.setdefault(label, []).append((start, length))
    return Spread({label: ranges(*numbers) for label, numbers in lists.items()}, said)


class Ways:
    """What becomes of each requester ID of a set: segments in ascending order, disjoint."""

    __slots__ = ("segments",)

    def __init__(self, segments: Iterable[Segment]) -> None:
        """Take segments in ascending order; neighbours that say the same become one."""
        self.segments = joined(segments)

    def at(self, number: int) -> Way | None:
        """Return what becomes of one ID; None when nothing is said of it."""
        return next((one.way for one in within(self.segments, number, 1)), None)

    def minus(self, other: Ways) -> Ways | None:
        """Return the segments of IDs of which the other says something else, or nothing; None when there are none."""
        rest: list[Segment] = []
        index = 0
        theirs = other.segments
        for one in self.segments:
            place = one.first
            while index < len(theirs) and theirs[index].end <= place:
                index += 1
            at = index
            while place < one.end:
                if at == len(theirs) or theirs[at].first >= one.end:
                    rest.append(one.part(place, one.end))
                    break
                their = theirs[at]
                if their.first > place:
                    rest.append(one.part(place, their.first))
                    place = their.first
                end = min(one.end, their.end)
                rest += _differing(one, their.way, place, end)
                place = end
                at += 1
        return Ways(rest) if rest else None

    def plus(self, other: Ways) -> Ways:
        """Return what the two say together, of different IDs."""
        return Ways(sorted((*self.segments, *other.segments), key=lambda one: one.first))

    def renamed(self, names: Names) -> Ways:
        """Return the same with the other side's names."""
        return Ways(replace(one, way=_renamed_label(one.way, names)) for one in self.segments)

    def places(self) -> tuple[Origin, ...]:
        """Return where what this says is said."""
        return tuple(dict.fromkeys(origin for one in self.segments for origin in one.origins))

    def __eq__(self, other: object) -> bool:
        """Two are equal when they say the same of each ID."""
        return isinstance(other, Ways) and self.minus(other) is None and other.minus(self) is None

    __hash__ = None  # type: ignore[assignment]  # nothing keeps them in sets

    def __repr__(self) -> str:
        """Show the segments."""
        return "Ways(" + ", ".join(f"0x{one.first:x}+0x{one.length:x}: {one.way}" for one in self.segments) + ")"


def _differing(one: Segment, other: Way, first: int, end: int) -> list[Segment]:
    """Return the parts of a range of a segment of which another way says something else."""
    way = one.way
    if way == other:
        return []
    alike = (way.verdict, way.target, way.ignored) == (other.verdict, other.target, other.ignored)
    if alike and way.shift is None and other.shift is None:
        return []
    if not alike or way.shift is None or other.shift is None or way.mask == other.mask:
        return [one.part(first, end)]
    # Two masks: the same for some IDs and not for others.
    found = RangeSet((number, 1) for number in range(first, end) if way.at(number) != other.at(number))
    return [one.part(start, start + length) for start, length in found]


Value = Many | Spread | Ways


def difference(before: Value | None, after: Value | None) -> tuple[Value | None, Value | None]:
    """Return what only the one says, and what only the other says."""
    if before is None or after is None:
        return before, after
    if isinstance(before, Ways) and isinstance(after, Ways):
        return before.minus(after), after.minus(before)
    if isinstance(before, Spread) and isinstance(after, Spread):
        return before.minus(after), after.minus(before)
    if isinstance(before, Many) and isinstance(after, Many):
        return before.minus(after), after.minus(before)
    return before, after


def patched(value: Value | None, was: Value | None, now: Value | None) -> Value | None:
    """Return a value without what was said, and with what is said now: the other way round of `difference`."""
    rest = difference(value, was)[0] if value is not None else None
    if rest is None or now is None:
        return now if rest is None else rest
    if isinstance(rest, Ways) and isinstance(now, Ways):
        return rest.plus(now)
    if isinstance(rest, Spread) and isinstance(now, Spread):
        return rest.plus(now)
    if isinstance(rest, Many) and isinstance(now, Many):
        return rest.plus(now)
    return now
