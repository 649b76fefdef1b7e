"""Which devices of a picture have an ID of an IOMMU in common: they cannot be told apart by it."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from .picture import Picture
from .values import Access, Ranges, Spread


class _Known(NamedTuple):
    """A range of IDs under which a unit knows a device."""

    start: int
    length: int
    ignored: int
    device: str


class Sharing:
    """Finds the devices that have IDs in common; single IDs by their number, of ranges there are few."""

    def __init__(self, picture: Picture) -> None:
        """Take note of the IDs of all devices."""
        self.exact: dict[str, dict[int, list[str]]] = {}
        self.wide: dict[str, list[_Known]] = {}
        for name, item in picture.of("device").items():
            value = item.fields.get("access")
            for label, numbers in value.parts.items() if isinstance(value, Spread) else ():
                if isinstance(label, Access) and label.target is not None and label.numbers == "stream":
                    for start, length in numbers:
                        if length == 1 and not label.ignored:
                            self.exact.setdefault(label.target, {}).setdefault(start, []).append(name)
                        else:
                            self.wide.setdefault(label.target, []).append(_Known(start, length, label.ignored, name))
        self.order = {unit: sorted(known) for unit, known in self.exact.items()}

    def sharers(self, device: str, value: object) -> dict[tuple[str, str], int]:
        """Return, for each (unit, other device) that has an ID of this device's `access` value, the first such ID."""
        found: dict[tuple[str, str], int] = {}
        for label, numbers in value.parts.items() if isinstance(value, Spread) else ():
            if isinstance(label, Access) and label.target is not None and label.numbers == "stream":
                for other, number in self._meeting(label.target, numbers, label.ignored):
                    if other != device:
                        found.setdefault((label.target, other), number)
        return found

    def _meeting(self, unit: str, numbers: Ranges, ignored: int) -> list[tuple[str, int]]:
        """Return the devices that have one of some IDs, each with the first of these."""
        found: list[tuple[str, int]] = []
        exact, order = self.exact.get(unit, {}), self.order.get(unit, [])
        for start, length in numbers:
            if ignored:
                close = [number for number in order if not (number ^ start) & ~ignored]
            elif length == 1:
                close = [start] if start in exact else []
            else:
                close = order[bisect_left(order, start) : bisect_left(order, start + length)]
            found += [(name, number) for number in close for name in exact[number]]
            for one in self.wide.get(unit, ()):
                if one.ignored or ignored:
                    meets = not (one.start ^ start) & ~(one.ignored | ignored)
                else:
                    meets = one.start < start + length and start < one.start + one.length
                if meets:
                    found.append((one.device, max(start, one.start)))
        return found
