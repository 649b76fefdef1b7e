"""Sets of integers kept as disjoint ranges: addresses, stream IDs, requester IDs."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class RangeSet:
    """A set of non-negative integers, stored as sorted, disjoint, non-touching `(start, length)` ranges.

    Adding and removing cost the logarithm of the number of ranges plus the ranges they touch.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """Make a set that holds the union of the given `(start, length)` ranges."""
        self._starts: list[int] = []
        self._ends: list[int] = []  # exclusive
        for start, length in ranges:
            self.add(start, length)

    def add(self, start: int, length: int) -> None:
        """Add `length` integers from `start`; touching ranges become one. Raises ValueError for a negative number."""
        _check(start, length)
        if not length:
            return
        end = start + length
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, length: int) -> None:
        """Remove `length` integers from `start`, present or not. Raises ValueError for a negative number."""
        _check(start, length)
        if not length:
            return
        end = start + length
        first = bisect_right(self._ends, start)
        last = bisect_left(self._starts, end)
        if first >= last:
            return
        kept = [(self._starts[first], start), (end, self._ends[last - 1])]
        kept = [(low, high) for low, high in kept if low < high]
        self._starts[first:last] = [low for low, _ in kept]
        self._ends[first:last] = [high for _, high in kept]

    def overlapping(self, start: int, length: int) -> list[tuple[int, int]]:
        """Return the parts of `(start, length)` that are in the set, in order."""
        end = start + length
        found = []
        for index in range(bisect_right(self._ends, start), len(self._starts)):
            low, high = max(start, self._starts[index]), min(end, self._ends[index])
            if low >= high:
                break
            found.append((low, high - low))
        return found

    def covers(self, start: int, length: int) -> bool:
        """Tell whether every integer of `(start, length)` is in the set."""
        return not length or self.overlapping(start, length) == [(start, length)]

    def __contains__(self, value: int) -> bool:
        """Tell whether one integer is in the set."""
        index = bisect_right(self._starts, value) - 1
        return index >= 0 and value < self._ends[index]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over the ranges as `(start, length)`, in ascending order."""
        return ((start, end - start) for start, end in zip(self._starts, self._ends, strict=True))

    def __len__(self) -> int:
        """Return the number of ranges (not of integers)."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        """Two sets are equal when they hold the same integers."""
        if not isinstance(other, RangeSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # a set that can change has no hash

    def __repr__(self) -> str:
        """Show the ranges in hexadecimal."""
        return "RangeSet([" + ", ".join(f"(0x{start:x}, 0x{length:x})" for start, length in self) + "])"


def _check(start: int, length: int) -> None:
    """Refuse a range that cannot be: these are programming errors, not input."""
    if start < 0 or length < 0:
        raise ValueError(f"a range needs a start and a length of 0 or more, not ({start}, {length})")
