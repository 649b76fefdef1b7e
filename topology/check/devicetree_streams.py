"""Rules for the IDs that masters of a device tree have at an IOMMU: IDs that two share, and IDs that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

from ...base import Finding
from ..model import IdMap
from .board import Board
from .rule import Rule
from .spans import Span, clashes

_STREAM_BITS = 0xFFFF
_MOST_MASKS = 64
"""Most different masks of one SMMU that are held against each other; boards have fewer than ten."""

_RULES = ("iommus", "iommu-map", "mmu-masters")


def _by_unit(board: Board) -> dict[str, list[IdMap]]:
    """Return the entries of masters in use that give an ID, by the IOMMU that they name."""
    trees = {name for tree in board.inputs.trees for name in tree.sources}
    found: dict[str, list[IdMap]] = {}
    for one in board.topology.maps:
        sender = board.topology.roots.get(one.source) or board.topology.devices.get(one.source)
        given = one.rule in _RULES and one.target is not None and one.output is not None and one.length
        if given and one.origin.source in trees and sender is not None and sender.enabled:
            found.setdefault(one.target or "", []).append(one)
    return found


def _shared(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for masters that share IDs: one finding for two of them, however many IDs they share."""
    iommus = board.topology.iommus
    for unit, maps in _by_unit(board).items():
        if unit not in iommus or not iommus[unit].enabled:
            continue
        shared: dict[tuple[str, str], list[tuple[int, IdMap]]] = {}
        plain = clashes(_span(one) for one in maps if not one.ignored_bits)
        pairs = [(span.first, before.item, span.item) for before, span in plain]
        for stream, one, other in (*pairs, *_masked([one for one in maps if one.length == 1])):
            names = one.source, other.source
            if one.source == other.source or not _above(*names):  # a node below another is a part of its device
                shared.setdefault(names, []).append((stream, other))
        for names, found in shared.items():
            yield _finding(rule, board, unit, names, found)


def _above(one: str, other: str) -> bool:
    """Tell whether one of two nodes is above the other."""
    return other.startswith(f"{one}/") or one.startswith(f"{other}/")


def _span(one: IdMap) -> Span[tuple[str, int], IdMap]:
    """Return the IDs of an entry; those of one master are its own, those of a host bridge by requester ID."""
    first = one.output or 0
    return Span(first, first + one.length - 1, (one.source, 0 if one.single else first - one.base), one)


def _masked(maps: list[IdMap]) -> Iterator[tuple[int, IdMap, IdMap]]:
    """Yield IDs with two entries that match them, when bits of an ID are not compared.

    Two entries match a common ID when they agree in all bits that both compare.
    """
    by_mask: dict[int, list[IdMap]] = {}
    order = {}
    for index, one in enumerate(maps):
        by_mask.setdefault(one.ignored_bits, []).append(one)
        order[id(one)] = index
    for mask, other in combinations_with_replacement(sorted(by_mask)[:_MOST_MASKS], 2):
        if not mask | other:
            continue  # plain IDs
        compared = ~(mask | other)
        seen: dict[int, IdMap] = {}
        for one in by_mask[mask]:
            first = seen.setdefault((one.output or 0) & compared, one)
            if mask == other and first.source != one.source:
                yield (one.output or 0) & compared, first, one
        for one in by_mask[other] if mask != other else ():
            before = seen.get((one.output or 0) & compared)
            if before is not None and before.source != one.source:
                stream = (one.output or 0) & ~other | (before.output or 0) & ~mask
                first, second = sorted((before, one), key=lambda entry: order[id(entry)])
                yield stream, first, second


def _finding(rule: Rule, board: Board, unit: str, names: tuple[str, str], found: list[tuple[int, IdMap]]) -> Finding:
    """Report what two share: a warning when a host bridge is one of them, else what a board may mean to do."""
    stream, entry = found[0]
    ids = f"ID 0x{stream:x} of {unit}" + (f", and {len(found) - 1} more," if len(found) > 1 else "")
    one, other = names
    who = f"two requester IDs of {one}" if one == other else f"{one} and of {other}"
    host = not board.topology.roots.keys().isdisjoint(names)
    return rule.finding(entry.origin, f"{ids} is that of {who}", None if host else "note")


def _beyond(rule: Rule, board: Board) -> Iterator[Finding]:
    """Look for stream IDs and masks that an SMMUv1 or SMMUv2 has no bits for."""
    for unit, maps in _by_unit(board).items():
        record = board.topology.iommus.get(unit)
        if record is None or record.kind not in ("smmuv1", "smmuv2"):
            continue
        for one in maps:
            last = (one.output or 0) + one.length - 1
            if (last | one.ignored_bits) > _STREAM_BITS:
                found = f"0x{last:x}" + (f", mask 0x{one.ignored_bits:x}" if one.ignored_bits else "")
                yield rule.finding(one.origin, found=found, expected="at most 0xffff")


STREAM_RULES = (
    Rule(
        "DT-STREAM-SHARED",
        "warning",
        "two masters have one ID at an IOMMU",
        "Documentation/devicetree/bindings/iommu/iommu.txt",
        "The IOMMU cannot tell them apart: each reaches all memory that the other was given.",
        "Linux puts them into one group where the driver of the IOMMU looks for that, as that of SMMUv2 does.",
        "give each its own ID, or see to it that they may share their memory",
        look=_shared,
    ),
    Rule(
        "DT-STREAM-RANGE",
        "error",
        "a stream ID has bits that an SMMU does not have",
        "Documentation/devicetree/bindings/iommu/arm,smmu.yaml",
        "The ID that is left when they are cut off is that of another device.",
        "Linux cuts off all above bit 15, and prints 'stream ID 0x… out of range for SMMU' for what is too wide then.",
        "write the ID as the SMMU sees it, and the mask in its own cell",
        ("Linux",),
        _beyond,
    ),
)  # fmt: skip
