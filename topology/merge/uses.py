"""What the `use` options of a device come to: units by their names in the topology, and IDs there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ...base import Origin, RangeSet
from ...parsers.smmu_config import Use
from ...parsers.smmu_config.hardware import TYPES as HARDWARE
from ..resolve import Route
from ..topology import ALL_BITS
from .kinds import TYPES, type_of
from .work import Work

RULE = "use"
"""Rule of the maps that a configuration makes."""

BY_RID = {kind for one in TYPES.values() if one.requester_ids for kind in one.kinds}
"""Kinds of units that know devices by their requester IDs."""


class Wanted(NamedTuple):
    """A `use` whose unit is known: name of the unit, first ID there (None: requester IDs), how many, and the rest."""

    unit: str
    first: int | None
    length: int
    ignored_bits: int
    origin: Origin


def wanted_use(work: Work, use: Use) -> Wanted:
    """Return a use with the name that its unit has in the topology, whether or not there is such a unit."""
    return Wanted(work.units.get(use.unit, use.unit), use.first, use.count, use.ignored_bits, use.origin)


def takes(work: Work, use: Wanted) -> bool:
    """Tell whether a unit is there, and has an ID for what it knows by IDs, and none for what it knows without."""
    kind = work.kinds.get(use.unit)
    return kind is not None and (use.first is None) == (kind in BY_RID)


def wanted_uses(work: Work, uses: Iterable[Use], *, pci: bool) -> list[Wanted]:
    """Return the uses that can be, and report those that cannot: no such unit, or an ID that is missing or too much.

    Args:
        work: the merge.
        uses: what the configuration says of one device.
        pci: whether the device has requester IDs.
    """
    found = []
    for use in uses:
        wanted = wanted_use(work, use)
        kind = work.kinds.get(wanted.unit)
        if kind is None:
            advice = work.near(use.unit, work.units, work.kinds)
            text = f"no unit is called {use.unit!r}"
            work.report("CONFIG-UNIT", "error", use.origin, text, advice=advice or "it is left out")
            continue
        by_rid = kind in BY_RID
        if by_rid and use.first is not None:
            text = f"{use.unit} knows devices by their requester IDs, so `use` takes no ID"
            work.report("CONFIG-USE-ID", "error", use.origin, text, advice="write no ID; it is left out")
            continue
        if by_rid and not pci:
            text = f"{use.unit} controls PCI functions only; it cannot see this device"
            work.report("CONFIG-NOT-PCI", "error", use.origin, text, advice="it is left out")
            continue
        if not by_rid and use.first is None:
            text = f"{use.unit} needs the ID under which it knows the device"
            work.report("CONFIG-USE-ID", "error", use.origin, text, advice="write the ID; it is left out")
            continue
        most = _highest(kind)
        if use.first is not None and use.first + use.count - 1 > most:
            text = f"the IDs of {use.unit} end at 0x{most:x}"
            work.report("CONFIG-USE-ID", "error", use.origin, text, advice="write one of them; it is left out")
            continue
        found.append(wanted)
    return found


def _highest(kind: str) -> int:
    """Return the highest ID that units of a kind know."""
    known = type_of(kind)
    return HARDWARE[known].highest if known else ALL_BITS


def says_same(found: Iterable[Route], wanted: Iterable[Wanted]) -> bool:
    """Tell whether routes are what uses say: the same units, and where uses give IDs, the same IDs.

    Bits that a unit ignores, which a `.smmu` file cannot say, count only where the configuration says them.
    """
    there: dict[str, RangeSet | None] = {}
    ignored: dict[tuple[str, int | None], int] = {}
    for route in found:
        if route.verdict not in ("controlled", "disabled") or route.iommu is None:
            return False
        _note(there, route.iommu, route.stream, route.count)
        ignored[route.iommu, route.stream] = route.ignored_bits
    said: dict[str, RangeSet | None] = {}
    for one in wanted:
        if one.ignored_bits and ignored.get((one.unit, one.first)) != one.ignored_bits:
            return False
        _note(said, one.unit, one.first, one.length)
    return there.keys() == said.keys() and all(ids is None or ids == there[unit] for unit, ids in said.items())


def _note(known: dict[str, RangeSet | None], unit: str, first: int | None, count: int) -> None:
    """Add IDs to those of a unit; of one without an ID, no ID of that unit counts."""
    ids = known.setdefault(unit, RangeSet())
    if first is None or ids is None:
        known[unit] = None
    else:
        ids.add(first, count)


def words(wanted: Iterable[Wanted]) -> str:
    """Say uses in a few words."""
    return "uses " + " and ".join(dict.fromkeys(_word(one.unit, one.first, one.length) for one in wanted))


def route_words(found: Iterable[Route], *, ids: bool) -> str:
    """Say in the same words what the board says, with IDs or without."""
    texts = (_word(one.iommu or "none", one.stream if ids else None, one.count) for one in found)
    return "uses " + " and ".join(dict.fromkeys(texts))


def _word(unit: str, first: int | None, count: int) -> str:
    if first is None:
        return unit
    return f"{unit} ID 0x{first:x}" if count == 1 else f"{unit} IDs 0x{first:x}-0x{first + count - 1:x}"
