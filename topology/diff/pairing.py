"""Which things of two pictures are the same thing under another name.

Things of one name are the same thing. Of the others, two are paired when something tells them from all others on both
sides: a unit by what it controls, a PCI function by its vendor and device, a device by the end of its path or by the
IDs under which its IOMMU knows it, an MSI controller by where it is or whom it serves. What is not unambiguous is not
paired.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from .picture import Item, Picture
from .values import Access, Many, Names, Spread, Ways

Key = Callable[[str, Item], Hashable]
"""Returns what tells a thing from others, given its name and what is said of it; None when nothing does."""

_NAMING = ("space", "unit", "msi", "device")
"""Kinds of things that are named in what is said of others."""


def pair(a: Picture, b: Picture) -> dict[str, str]:
    """Return the names of A's things that have another name in B, with that name."""
    names: dict[str, str] = {}
    sides = (_Side(a, b, names), _Side(b, a, {}))
    for kind in _NAMING:
        for index in range(len(sides[0].keys(kind))):
            found = [_by_key(side.left[kind], side.keys(kind)[index]) for side in sides]
            for key, mine in found[0].items():
                theirs = found[1].get(key)
                if mine is not None and theirs is not None:
                    names[mine] = theirs
                    del sides[0].left[kind][mine], sides[1].left[kind][theirs]
    return names


def _by_key(left: dict[str, Item], key: Key) -> dict[Hashable, str | None]:
    """Return the thing that has each key; None where several have it."""
    found: dict[Hashable, str | None] = {}
    for name, item in left.items():
        told = key(name, item)
        if told is not None:
            found[told] = None if told in found else name
    return found


class _Side:
    """The things of one picture that have no namesake in the other, and what tells them."""

    def __init__(self, picture: Picture, other: Picture, names: Names) -> None:
        """Take both pictures; `names` gives this side's names as the other side has them, as far as it is known."""
        # A name that means something else on the other side, whatever it is, is never given to a thing of this side.
        taken = {subject.name for subject in other.items}
        self.names = names
        self.left = {
            kind: {name: item for name, item in picture.of(kind).items() if name not in taken} for kind in _NAMING
        }
        self.devices: dict[str, list[Hashable]] = {}
        self.ids: dict[str, list[tuple[str, int, int]]] = {}
        for name, item in picture.of("device").items():
            for field in ("access", "interrupts"):
                value = item.fields.get(field)
                for label in value.parts if isinstance(value, Spread) else ():
                    if isinstance(label, Access) and label.target is not None:
                        self.devices.setdefault(label.target, []).append(name)
        for name, item in picture.of("space").items():
            for value in item.fields.values():
                for one in value.segments if isinstance(value, Ways) else ():
                    if one.way.target is not None:
                        self.ids.setdefault(one.way.target, []).append((name, one.first, one.length))

    def keys(self, kind: str) -> tuple[Key, ...]:
        """Return what tells the things of a kind, the surest first."""
        if kind == "space":
            return (self.path_end, self.nameless)
        if kind == "unit":
            return (self.controlled, self.used, self.catches_all, self.alone)
        if kind == "msi":
            return (self.registers, self.controlled, self.used, self.alone)
        return (self.function, self.path_end, self.known_by, self.monitors)

    def path_end(self, name: str, item: Item) -> Hashable:
        """A device, or a host bridge without segment: the last part of its path."""
        prefix, _, path = name.partition(":")
        if prefix not in ("dt", "acpi"):
            return None
        return _element(item, "kind"), path.rpartition("/" if prefix == "dt" else ".")[2].lower()

    def nameless(self, name: str, _: Item) -> Hashable:
        """A host bridge without segment, when it is the only one that is left."""
        return "host bridge" if name.startswith("dt:") else None

    def controlled(self, name: str, item: Item) -> Hashable:
        """A unit: its devices and requester IDs."""
        devices, ids = self.devices.get(name, ()), self.ids.get(name, ())
        spaces = frozenset((self.names.get(space, space), first, length) for space, first, length in ids)
        return (_sort(item), frozenset(devices), spaces) if devices or ids else None

    def used(self, name: str, item: Item) -> Hashable:
        """A unit: its devices."""
        devices = self.devices.get(name)
        return (_sort(item), frozenset(devices)) if devices else None

    def catches_all(self, _: str, item: Item) -> Hashable:
        """A unit that takes what no other takes."""
        return (_sort(item), "INCLUDE_PCI_ALL") if "INCLUDE_PCI_ALL" in item.fields else None

    def alone(self, _: str, item: Item) -> Hashable:
        """A unit, when it is the only one of its kind and segment that is left."""
        return _sort(item)

    def registers(self, _: str, item: Item) -> Hashable:
        """An MSI controller: the address of its registers."""
        address = _element(item, "registers")
        return address and (_sort(item), address)

    def function(self, _: str, item: Item) -> Hashable:
        """A PCI function: vendor, device and class."""
        return _element(item, "function")

    def known_by(self, _: str, item: Item) -> Hashable:
        """A device that is no PCI function: the IDs under which IOMMUs know it."""
        value = item.fields.get("access")
        kind = _element(item, "kind")
        if not isinstance(value, Spread) or kind == "pci":
            return None
        parts = value.renamed(self.names).parts
        known = frozenset(part for part in parts.items() if isinstance(part[0], Access) and part[0].target is not None)
        return (kind, known) if known else None

    def monitors(self, _: str, item: Item) -> Hashable:
        """A performance monitor: the unit that it is of."""
        name = _element(item, "monitors")
        return name and ("monitor", self.names.get(name, name))


def _element(item: Item, field: str) -> str | None:
    """Return the only element of a set of words."""
    value = item.fields.get(field)
    return str(next(iter(value.said))) if isinstance(value, Many) and len(value.said) == 1 else None


def _sort(item: Item) -> Hashable:
    """Return the kind and segment of a unit or MSI controller."""
    return _element(item, "kind"), _element(item, "segment")
