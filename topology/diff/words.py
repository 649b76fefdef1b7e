"""Values of pictures in words: one line for each thing that is said, with the places that say it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from ...base import Origin, format_rid, parse_pci_address
from ..spaces import Way
from ..view import MEANINGS, size
from .picture import Item, Subject
from .values import Access, Many, Ranges, Reserve, Value, Ways, count, ranges

MOST_RANGES = 8
"""Ranges of one line that are listed."""

MOST_NAMES = 5
"""Devices of one line that are named."""

TITLES = {
    "unit": "unit {}",
    "msi": "MSI controller {}",
    "device": "device {}",
    "space": "PCI requester IDs of {}",
    "reserved": "reserved memory of {}",
    "grants": "memory granted to {}",
    "machine": "machine",
}
"""What a thing is called, by its kind."""

_OBVIOUS = {("kind", "pci"), ("kind", "platform"), ("state", "enabled"), ("IDs", "yes")}
"""What is not worth a word in the description of a whole thing."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something that is said, and the places that say it."""

    text: str
    origins: tuple[Origin, ...] = ()


def title(subject: Subject) -> str:
    """Return what a thing is called."""
    return TITLES[subject.kind].format(subject.name or "no device")


def item_lines(subject: Subject, item: Item) -> list[Line]:
    """Return all that is said of a thing: what it is in one line, and a line or more for each set of IDs or memory."""
    words = []
    rest: list[Line] = []
    for name, value in item.fields.items():
        if not isinstance(value, Many) or subject.kind == "machine" or name == "scopes not resolved":
            rest += value_lines(subject, name, value)
        else:
            shown = [one for one in value.said if (name, one) not in _OBVIOUS]
            words += [_plain(name, shown)] if shown else []
    return [Line(", ".join(words), item.origins)] * bool(words) + rest


def value_lines(subject: Subject, name: str, value: Value) -> list[Line]:
    """Return what a field says of a thing."""
    if isinstance(value, Many):
        return [Line(f"{name}: {listed(value.said)}", value.places())]
    if isinstance(value, Ways):
        return list(_way_lines(name, value))
    found = []
    for label, numbers in value.parts.items():
        pieces = [(part,) for part in numbers] if isinstance(label, Reserve) and label.region is None else [numbers]
        for piece in pieces:
            found.append(Line(_part(subject, name, label, piece), value.places_of({label: piece})))
    return found


def _plain(name: str, elements: Iterable[str]) -> str:
    """Return a field of a whole thing in few words."""
    text = listed(elements)
    if text == "yes":
        return name
    return text if name in ("function", "kind", "state") else f"{name} {text}"


def _part(subject: Subject, name: str, label: Hashable, numbers: Ranges) -> str:
    """Return what a label says of a set of numbers."""
    if isinstance(label, Access):
        return _access(subject, name, label, numbers)
    if isinstance(label, Reserve):
        if label.region is None:
            return _reserve(label, *numbers[0])
        return f"{_reserve(label, *label.region)}, for {ids(numbers)}"
    if subject.kind == "grants":
        return f"{label} {', '.join(extent(*one) for one in numbers)}"
    if name == "buses":
        return "buses " + listed(_span(start, length, "02x") for start, length in numbers)
    return f"{name} {numbers_text(numbers)}"


def _access(subject: Subject, name: str, label: Access, numbers: Ranges) -> str:
    """Return how a device, or an interrupt, is known."""
    if label.verdict == "msi":
        known = f" device {ids(numbers)}" if label.numbers == "stream" else ""
        return f"{name} to {label.target}{known}"
    if label.verdict in ("controlled", "disabled"):
        known = ids(numbers) if label.numbers == "stream" else "no ID"
        known += f" (but for the bits 0x{label.ignored:x})" if label.ignored else ""
        return f"{label.target} {known}" + (" (the unit is not enabled)" if label.verdict == "disabled" else "")
    sent = ""
    if label.numbers == "sent":
        is_pci = parse_pci_address(subject.name) is not None
        sent = f" as {listed(format_rid(one) for one, _ in numbers)}" if is_pci else f" for {ids(numbers)}"
    if label.verdict == "no-iommu":
        return f"no IOMMU{sent}"
    return f"cannot be told{sent}" + (f", perhaps {label.target}" if label.target else "")


def _reserve(label: Reserve, start: int, length: int) -> str:
    """Return what must hold for a region."""
    words = [extent(start, length), MEANINGS[label.meaning]]
    if label.shift is not None:
        words.append(f"physical 0x{start + label.shift:x}")
    return ", ".join((*words, *label.facts))


def _way_lines(name: str, value: Ways) -> Iterator[Line]:
    """Yield a line for each way, with all the requester IDs that go it."""
    groups: dict[Way, list[tuple[int, int]]] = {}
    origins: dict[Way, dict[Origin, None]] = {}
    for one in value.segments:
        groups.setdefault(one.way, []).append((one.first, one.length))
        origins.setdefault(one.way, {}).update(dict.fromkeys(one.origins))
    for way, parts in groups.items():
        lead = "interrupts of requester" if name == "interrupts" else "requester"
        yield Line(f"{lead} {ids(tuple(parts), '04x')} → {_destination(way, tuple(parts))}", tuple(origins[way]))


def _destination(way: Way, parts: Ranges) -> str:
    """Return where a way leads."""
    if way.verdict in ("no-iommu", "unresolved"):
        text = "no IOMMU" if way.verdict == "no-iommu" else "cannot be told"
        return text + (f", perhaps {way.target}" if way.target else "")
    if way.shift is None:
        text = "no ID"
    elif way.mask != 0xFFFF:  # noqa: PLR2004
        text = _masked(way.mask, way.shift, parts)
    elif not way.shift:
        text = "the same IDs" if count(parts) > 1 else "the same ID"
    else:
        text = ids(tuple((start + way.shift, length) for start, length in parts))
    text = f"{way.target}, {text}"
    if way.ignored:
        text += f" (but for the bits 0x{way.ignored:x})"
    return text + (" (the unit is not enabled)" if way.verdict == "disabled" else "")


def _masked(mask: int, shift: int, parts: Ranges) -> str:
    """Return the IDs that requester IDs become of which only some bits count."""
    values = sorted({number & mask for start, length in parts for number in range(start, start + length)})
    found = ranges(*((value + shift, 1) for value in values))
    if len(found) > MOST_RANGES:
        text = f"IDs 0x{values[0] + shift:x} to 0x{values[-1] + shift:x}"
    else:
        text = ids(found) + (" for all" if len(values) == 1 and count(parts) > 1 else "")
    return f"{text} (only the bits 0x{mask:04x} count)" if mask else text


def _span(start: int, length: int, spec: str) -> str:
    return f"{start:{spec}}" if length == 1 else f"{start:{spec}}-{start + length - 1:{spec}}"


def numbers_text(numbers: Ranges, spec: str = "x") -> str:
    """Return a set of IDs: `0x18, 0x100-0x1ff`."""
    return listed(
        f"0x{start:{spec}}" if length == 1 else f"0x{start:{spec}}-0x{start + length - 1:{spec}}"
        for start, length in numbers
    )


def ids(numbers: Ranges, spec: str = "x") -> str:
    """Return a set of IDs with the word before it: `ID 0x18`, `IDs 0x100-0x1ff`."""
    return ("ID " if count(numbers) == 1 else "IDs ") + numbers_text(numbers, spec)


def listed(words: Iterable[str], most: int = MOST_RANGES) -> str:
    """Return words in a row; of very many the first, and how many more there are."""
    found = list(words)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def named(names: Iterable[str]) -> str:
    """Return names in a row, not too many."""
    return listed(names, MOST_NAMES)


def extent(start: int, length: int) -> str:
    """Return a range of memory: `0x7b000000-0x7b7fffff (8 MiB)`."""
    return f"0x{start:x}-0x{start + length - 1:x} ({size(length)})"


def short_extent(start: int, length: int) -> str:
    """Return a range of memory for the middle of a sentence: `0x7b000000+8M`."""
    for bits, unit in ((40, "T"), (30, "G"), (20, "M"), (10, "K")):
        if not length & (1 << bits) - 1:
            return f"0x{start:x}+{length >> bits}{unit}"
    return f"0x{start:x}+0x{length:x}"
