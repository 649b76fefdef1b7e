"""What a change means for isolation: who gets out, who is shut in, and what has to be programmed anew."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ...base import RangeSet, parse_pci_address
from ..spaces import Way
from .changes import Change, names_of
from .picture import Item, Picture, Subject
from .sharing import Sharing
from .values import Access, Many, Ranges, Reserve, Spread, Value, Ways, count
from .words import ids, named, short_extent

Effect = Literal["opens", "closes", "neutral"]
"""`opens`: something can reach more, or is told apart from less. `closes`: the other way round. `neutral`: neither, or
nobody can tell."""

EXPOSED = ("no-iommu", "disabled")
"""Verdicts that leave a device all of memory."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """One thing that a change means, as a clause without a full stop."""

    effect: Effect
    text: str


def explain(a: Picture, b: Picture, changes: Iterable[Change]) -> tuple[tuple[Meaning, ...], ...]:
    """Return what each of the changes from A to B means, in their order."""
    changes = tuple(changes)
    explainer = _Explainer(a, b, changes)
    return tuple(tuple(explainer.explain(one)) for one in changes)


class _Explainer:
    """Knows both sides."""

    def __init__(self, a: Picture, b: Picture, changes: tuple[Change, ...]) -> None:
        names = dict(names_of(changes))
        self.b = b
        self.a = a.renamed(names)  # so that both sides have the same names
        self.names = names
        self.back = {new: old for old, new in names.items()}
        self.sharing = (Sharing(self.a), Sharing(b))
        self.devices = (self.a.of("device"), b.of("device"))
        self.known: dict[str, dict[int, str]] = {}
        for name in dict.fromkeys((*self.devices[0], *self.devices[1])):
            address = parse_pci_address(name)
            if address is not None:
                self.known.setdefault(f"pci:{address[0]:04x}", {})[address[1]] = name
        self.order = {space: sorted(known) for space, known in self.known.items()}
        self.users = (_users(self.devices[0]), _users(self.devices[1]))

    def explain(self, change: Change) -> Iterator[Meaning]:
        """Yield what a change means."""
        subject = change.subject
        was, now = change.was, change.now
        if subject.kind == "device":
            yield from self.device(change)
        elif subject.kind == "unit":
            yield from self.unit(change)
        elif change.renames:
            yield Meaning("neutral", "it is the same under another name")
        elif subject.kind == "space":
            yield from self.space(change)
        elif subject.kind == "reserved":
            for name in ("memory", "memory of IDs"):
                if not change.field or change.field == name:
                    yield from _reserved(_spread_of(was, name), _spread_of(now, name))
        elif subject.kind == "grants":
            yield from _granted(subject, _spread_of(was, "memory"), _spread_of(now, "memory"))
        elif subject.kind == "machine":
            yield from _machine(change)

    def unit(self, change: Change) -> Iterator[Meaning]:
        """What a change of an IOMMU means; what becomes of its devices is said of them."""
        name = (change.after or change.subject).name
        if change.kind == "added":
            yield Meaning("neutral", f"one more IOMMU; {_behind(self.users[1].get(name, []))}")
        elif change.kind == "removed":
            users = self.users[0].get(name, [])
            lost = [user for user in users if _is_exposed(self.devices[1].get(user))]
            text = f"this IOMMU is gone; {_behind(users, 'was')}"
            if lost:
                yield Meaning("opens", f"{text}; without an IOMMU now: {named(lost)}")
            else:
                yield Meaning("neutral", text)
        elif change.renames:
            stays = [one for one in self.users[0].get(name, []) if one in self.users[1].get(name, [])]
            yield Meaning("neutral", f"it is the same unit elsewhere; {_behind(stays)} as before")
        elif change.field == "state":
            enabled = isinstance(change.now, Many) and "enabled" in change.now.said
            users = self.users[1].get(name, [])
            if enabled:
                yield Meaning("closes", f"the unit is in use now; {_behind(users)}")
            else:
                yield Meaning("opens", f"the unit is no longer in use: nothing is translated; {_behind(users)}")
        elif change.field == "other IDs":
            yield from _told(change, "let through", "accesses with an ID that no device has", "pass", "are refused")
        elif change.field == "registers":
            yield Meaning("neutral", "it is programmed at another address")
        elif change.field == "interrupts":
            yield Meaning("neutral", "its faults and events are signalled by other interrupts")
        elif change.field == "scopes not resolved":
            yield Meaning("neutral", "which devices these are cannot be told without the PCI topology")

    def device(self, change: Change) -> Iterator[Meaning]:
        """What a change of a device means."""
        name = (change.after or change.subject).name
        before, after = (side.get(name) for side in self.devices)
        if change.renames:
            yield Meaning("neutral", "it is the same device elsewhere: what names it by its old place no longer does")
        elif change.kind == "added":
            if _is_exposed(after):
                yield Meaning("opens", "a device more that reaches all of memory: no IOMMU is in its way")
            yield from self.unnamed(name, self.a, "closes", "before, a function there", "would have been")
        elif change.kind == "removed":
            if _is_exposed(before):
                yield Meaning("closes", "a device less that reaches all of memory")
            yield from self.unnamed(name, self.b, "opens", "no longer named; a function there", "would be")
        elif change.field == "access" and before is not None and after is not None:
            yield from _rerouted(_access(before), _access(after))
        elif change.field == "interrupts":
            if change.now is None:
                yield Meaning("neutral", "no MSI controller is named for its interrupts any more")
            else:
                yield Meaning("neutral", "its interrupt messages are known by other IDs, or elsewhere")
        elif change.field == "function":
            yield Meaning("neutral", "another device stands here: what was granted to the old one is the new one's")
        elif change.field in ("ATS", "ATS supported"):
            yield from _told(change, None, "addresses that the device says are translated", "pass unchecked", "do not")
        if change.field == "access" or change.kind in ("added", "removed"):
            yield from self.shared(name, _access(before), _access(after))

    def unnamed(self, name: str, side: Picture, effect: Effect, lead: str, verb: str) -> Iterator[Meaning]:
        """What becomes of a PCI function on a side that does not name it."""
        address = parse_pci_address(name)
        item = None if address is None else side.items.get(Subject("space", f"pci:{address[0]:04x}"))
        ways = None if item is None else item.fields.get("requester IDs")
        way = ways.at(address[1]) if address is not None and isinstance(ways, Ways) else None
        named_as = [_access(devices.get(name)) for devices in self.devices]
        if way is not None and way.verdict == "controlled" and way.target is not None:
            if all(label.target != way.target for access in named_as for label in _labels(access)):
                unit = self.back.get(way.target, way.target) if side is self.a else way.target
                yield Meaning("neutral", f"{lead} {verb} behind {unit}")
        elif way is not None and way.verdict in EXPOSED:
            both = (_is_exposed(devices.get(name)) for devices in self.devices)
            yield Meaning("neutral" if any(both) else effect, f"{lead} {verb} behind no IOMMU")

    def shared(self, name: str, before: Spread | None, after: Spread | None) -> Iterator[Meaning]:
        """With whom a device shares an ID now, and with whom no longer."""
        old = self.sharing[0].sharers(name, before)
        new = self.sharing[1].sharers(name, after)
        # That what is gone shares no more with what is gone as well is not worth a word.
        old = {key: number for key, number in old.items() if after is not None or key[1] in self.devices[1]}
        for mine, theirs, effect in ((new, old, "opens"), (old, new, "closes")):
            groups: dict[tuple[str, int], list[str]] = {}
            for (unit, other), number in mine.items():
                if (unit, other) not in theirs:
                    groups.setdefault((unit, number), []).append(other)
            for (unit, number), others in groups.items():
                if effect == "opens":
                    text = f"shares ID 0x{number:x} of {unit} with {named(others)}: they cannot be told apart by it"
                    yield Meaning("opens", f"now {text}" if before is not None else text)
                else:
                    whom = named(self.back.get(other, other) for other in others)
                    text = f"no longer shares ID 0x{number:x} of {self.back.get(unit, unit)} with {whom}"
                    yield Meaning("closes", text)

    def space(self, change: Change) -> Iterator[Meaning]:
        """What other ways of requester IDs mean."""
        space = (change.after or change.subject).name
        name = change.field or "requester IDs"
        was, now = (_ways_of(one, name) for one in (change.was, change.now))
        if was is None and now is None:
            return
        if name == "interrupts":
            moved = RangeSet((one.first, one.length) for one in (now or was or Ways(())).segments)
            text = "known by other IDs, or elsewhere" if now is not None else "no MSI controller is named any more"
            yield Meaning("neutral", f"interrupt messages of {_ids(tuple(moved))}: {text}")
            return
        for (old, new, same), numbers in _transitions(was, now, self.names).items():
            effect, text = _fate(old, new, same=same)
            yield Meaning(effect, f"{_ids(numbers)}: {text}; {self.senders(space, numbers)}")

    def senders(self, space: str, numbers: Ranges) -> str:
        """Say which known devices send some requester IDs."""
        order, known = self.order.get(space, []), self.known.get(space, {})
        found = [
            known[number]
            for start, length in numbers
            for number in order[bisect_left(order, start) : bisect_left(order, start + length)]
        ]
        return f"known devices: {named(found)}" if found else "no device is known there"


def _access(item: Item | None) -> Spread | None:
    value = None if item is None else item.fields.get("access")
    return value if isinstance(value, Spread) else None


def _labels(value: Spread | None) -> list[Access]:
    return [label for label in (value.parts if value is not None else ()) if isinstance(label, Access)]


def _is_exposed(item: Item | None) -> bool:
    return any(label.verdict in EXPOSED for label in _labels(_access(item)))


def _users(devices: dict[str, Item]) -> dict[str, list[str]]:
    """Return the devices of each unit."""
    found: dict[str, list[str]] = {}
    for name, item in devices.items():
        for unit in dict.fromkeys(label.target for label in _labels(_access(item))):
            if unit is not None:
                found.setdefault(unit, []).append(name)
    return found


def _behind(users: list[str], verb: str = "is") -> str:
    """Say who is behind a unit."""
    if not users:
        return f"no device that is named {verb} behind it"
    many = len(users) > 1
    return f"behind it {('were' if verb == 'was' else 'are') if many else verb} {named(users)}"


def _rerouted(before: Spread | None, after: Spread | None) -> Iterator[Meaning]:
    """What it means that a device is behind other units, or known by other IDs."""
    old, new = _labels(before), _labels(after)
    units = [list(dict.fromkeys(one.target for one in side if one.verdict == "controlled")) for side in (old, new)]
    exposed = [any(one.verdict in EXPOSED for one in side) for side in (old, new)]
    unknown = [any(one.verdict == "unresolved" for one in side) for side in (old, new)]
    if exposed[1] and not exposed[0]:
        off = [str(one.target) for one in new if one.verdict == "disabled"]
        if units[1]:
            text = "some of its requests go round its IOMMU now, to all of memory"
        elif off:
            text = f"this device loses its IOMMU: {named(off)} is not enabled, and it reaches all of memory"
        elif units[0]:
            text = "this device loses its IOMMU: it reaches all of memory"
        else:
            text = "it is known now that no IOMMU is in its way"
        yield Meaning("opens" if units[0] or units[1] else "neutral", text)
    elif exposed[0] and not exposed[1]:
        if units[0]:
            yield Meaning("closes", "none of its requests goes round its IOMMU any more")
        elif units[1]:
            yield Meaning("closes", "this device gains an IOMMU: it reached all of memory before")
        else:
            yield Meaning("neutral", "it cannot be told any more whether an IOMMU is in its way")
    elif unknown[0] != unknown[1]:
        text = (
            "it can be told now which IOMMU controls it"
            if unknown[0]
            else "it cannot be told any more what it is behind"
        )
        yield Meaning("neutral", text)
    elif units[0] != units[1] and units[0] and units[1]:
        now, gone = ([str(one) for one in side] for side in (units[1], units[0]))
        yield Meaning("neutral", f"now behind {named(now)}, and before behind {named(gone)}")
    elif units[1]:
        yield Meaning("neutral", "its IOMMU knows it by other IDs: policies that name the old ones no longer hold it")


def _transitions(was: Ways | None, now: Ways | None, names: dict[str, str]) -> dict[tuple[str, str, bool], Ranges]:
    """Return the requester IDs by what becomes of them before and after, and whether that is at the same unit."""
    edges = sorted({edge for side in (was, now) if side for one in side.segments for edge in (one.first, one.end)})
    found: dict[tuple[str, str, bool], RangeSet] = {}
    for start, end in pairwise(edges):
        old = was.at(start) if was else None
        new = now.at(start) if now else None
        if old is None and new is None:
            continue
        target = None if old is None or old.target is None else names.get(old.target, old.target)
        same = old is not None and new is not None and target == new.target
        key = (_standing(old), _standing(new), same)
        found.setdefault(key, RangeSet()).add(start, end - start)
    return {key: tuple(numbers) for key, numbers in found.items()}


_FATES: dict[tuple[str, str], tuple[Effect, str]] = {
    ("controlled", "exposed"): ("opens", "no IOMMU in use any more"),
    ("exposed", "controlled"): ("closes", "an IOMMU now, and none in use before"),
    ("exposed", "exposed"): ("neutral", "no IOMMU in use, as before"),
    ("unresolved", "exposed"): ("neutral", "it can be told now: no IOMMU in use"),
    ("exposed", "unresolved"): ("neutral", "it cannot be told any more; no IOMMU was in use"),
    ("unresolved", "controlled"): ("neutral", "it can be told now: an IOMMU controls them"),
    ("controlled", "unresolved"): ("neutral", "it cannot be told any more; an IOMMU controlled them"),
    ("unresolved", "unresolved"): ("neutral", "it cannot be told, as before"),
    ("", "controlled"): ("neutral", "spoken of now: an IOMMU controls them"),
    ("", "exposed"): ("neutral", "spoken of now: no IOMMU controls them"),
    ("", "unresolved"): ("neutral", "spoken of now; it cannot be told what controls them"),
    ("controlled", ""): ("neutral", "no longer spoken of; an IOMMU controlled them"),
    ("exposed", ""): ("neutral", "no longer spoken of; no IOMMU controlled them"),
    ("unresolved", ""): ("neutral", "no longer spoken of; it could not be told what controls them"),
}
"""What it means for requester IDs that they fared in the first way before, and fare in the second now."""


def _fate(old: str, new: str, *, same: bool) -> tuple[Effect, str]:
    """Say what a change of verdict means for requester IDs."""
    if (old, new) == ("controlled", "controlled"):
        return "neutral", ("the IOMMU sees other IDs" if same else "behind another IOMMU now")
    return _FATES[old, new]


def _standing(way: Way | None) -> str:
    """Return how requester IDs fare."""
    return "" if way is None else "exposed" if way.verdict in EXPOSED else way.verdict


def _ids(numbers: Ranges) -> str:
    """Return requester IDs, and how many these are when they are several."""
    many = count(numbers)
    return f"requester {ids(numbers, '04x')}" + (f" ({many})" if many > 1 else "")


def _part_of(value: Value | Item | None, name: str) -> Value | None:
    return value.fields.get(name) if isinstance(value, Item) else value


def _spread_of(value: Value | Item | None, name: str) -> Spread | None:
    found = _part_of(value, name)
    return found if isinstance(found, Spread) else None


def _ways_of(value: Value | Item | None, name: str) -> Ways | None:
    found = _part_of(value, name)
    return found if isinstance(found, Ways) else None


def _regions(value: Spread | None) -> Iterator[tuple[Reserve, int, int, Ranges | None]]:
    """Iterate over regions with what they are for, and the IDs that they are for when they are for IDs."""
    for label, numbers in value.parts.items() if value is not None else ():
        if isinstance(label, Reserve):
            if label.region is not None:
                yield label, *label.region, numbers
            else:
                yield from ((label, start, length, None) for start, length in numbers)


def _reserved(was: Spread | None, now: Spread | None) -> Iterator[Meaning]:
    """What it means that reserved memory is another."""
    gone = list(_regions(was))
    come = list(_regions(now))
    if len(gone) == len(come) == 1 and gone[0][2] == come[0][2] and gone[0][1] != come[0][1]:
        old, new = (short_extent(*one[1:3]) for one in (gone[0], come[0]))
        yield Meaning("neutral", f"reserved region {old} moved to {new}: what maps it must follow")
        return
    for label, start, length, numbers in gone:
        text = f"reserved region {short_extent(start, length)} no longer covered" + _for(numbers)
        if label.meaning in ("direct", "mapped"):
            yield Meaning("closes", f"{text}: accesses there are stopped unless the policy grants them")
        else:
            yield Meaning("neutral", text)
    for label, start, length, numbers in come:
        text = f"reserved region {short_extent(start, length)} newly covered" + _for(numbers)
        if label.meaning in ("direct", "mapped"):
            yield Meaning("opens", f"{text}: it stays open whatever the policy says")
        else:
            yield Meaning("neutral", text)


def _for(numbers: Ranges | None) -> str:
    return "" if numbers is None else f" for {ids(numbers)}"


def _granted(subject: Subject, was: Spread | None, now: Spread | None) -> Iterator[Meaning]:
    """What it means that a device may reach other memory."""
    sides: tuple[tuple[Spread | None, Effect, str], ...] = (
        (was, "closes", "may no longer"),
        (now, "opens", "may now"),
    )
    for value, effect, verb in sides:
        for label, numbers in value.parts.items() if value is not None else ():
            places = named(short_extent(*one) for one in numbers)
            if subject.name:
                yield Meaning(effect, f"the device {verb} {label} {places}")
            else:
                yield Meaning("neutral", f"whoever is given the set {verb} {label} {places}")


def _told(change: Change, open_word: str | None, what: str, passes: str, refused: str) -> Iterator[Meaning]:
    """What it means that something that lets accesses through is said, or is not said any more."""
    now = change.now if isinstance(change.now, Many) else None
    was = change.was if isinstance(change.was, Many) else None
    opens = now is not None if open_word is None else now is not None and open_word in now.said
    closes = was is not None if open_word is None else was is not None and open_word in was.said
    if opens != closes:
        yield Meaning("opens" if opens else "closes", f"{what} {passes if opens else refused} now")


_FACTS = {
    "interrupt remapping": ("devices can write any interrupt", "interrupts of devices can be checked"),
    "DMA protection opt-in": (
        "firmware does not ask for protection from DMA before the system runs",
        "firmware asks for protection from DMA before the system runs",
    ),
}
"""Facts of a machine that matter to isolation: what it means that they are not so, and that they are."""


def _machine(change: Change) -> Iterator[Meaning]:
    """What a fact of the whole machine means; that a side does not say it means nothing."""
    if change.field in _FACTS and isinstance(change.was, Many) and isinstance(change.now, Many):
        opens = "no" in change.now.said
        yield Meaning("opens" if opens else "closes", _FACTS[change.field][0 if opens else 1])
