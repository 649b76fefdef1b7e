"""Proofs and accesses as text and as plain objects for JSON, and a picture of physical memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from ..base import printable
from ..topology.view import size
from .dma import Piece
from .mappings import Segment
from .prove import Proof


def draw_proofs(proofs: Iterable[Proof]) -> Iterator[str]:
    """Yield lines: each device with the memory that it reaches, what is not as granted marked with `!`."""
    for proof in proofs:
        owner = f", object {proof.object} of {proof.owner or 'the configuration'}" if proof.object is not None else ""
        where = f"{proof.device}  {proof.endpoint.unit} ID 0x{proof.endpoint.identifier:x}{owner}"
        if proof.holds and not proof.reached:
            yield printable(f"{where}: reaches nothing")
            continue
        verdict = "as granted" if proof.holds else "NOT AS GRANTED"
        yield printable(f"{where}: reaches {_total(proof.reached)}, {verdict}")
        yield from (f"  {_segment(one)}" for one in proof.reached)
        yield from (f"! reached but not granted  {_segment(one)}" for one in proof.beyond)
        yield from (f"! granted but not reached  {_segment(one)}" for one in proof.missing)


def draw_memory(proofs: Iterable[Proof]) -> list[str]:
    """Return a line for each physical range that any device reaches: the range, its size, and who may do what there."""
    events: dict[int, tuple[list[str], list[str]]] = {}
    for proof in proofs:
        for one in proof.reached:
            name = f"{proof.device} {one.access.words}"
            events.setdefault(one.physical, ([], []))[0].append(name)
            events.setdefault(one.physical + one.length, ([], []))[1].append(name)
    present: dict[str, int] = {}
    lines: list[tuple[int, int, str]] = []
    for start, end in pairwise(sorted(events)):
        opened, closed = events[start]
        for name in opened:
            present[name] = present.get(name, 0) + 1
        for name in closed:
            present[name] -= 1
        who = ", ".join(sorted(name for name, count in present.items() if count))
        if lines and lines[-1][1] == start and lines[-1][2] == who:
            lines[-1] = (lines[-1][0], end, who)
        elif who:
            lines.append((start, end, who))
    digits = max((len(f"{end - 1:x}") for _, end, _ in lines), default=1)
    widest = max((len(size(end - start)) for start, end, _ in lines), default=0)
    return [
        printable(f"0x{start:0{digits}x}-0x{end - 1:0{digits}x}  {size(end - start):>{widest}}  {who}")
        for start, end, who in lines
    ]


def proof_object(proof: Proof) -> dict[str, Any]:
    """Return a proof as plain dictionaries and lists."""
    return {
        "device": proof.device,
        "iommu": proof.endpoint.unit,
        "id": proof.endpoint.identifier,
        "object": proof.object,
        "owner": proof.owner,
        "holds": proof.holds,
        **{
            name: [_segment_object(one) for one in segments]
            for name, segments in (
                ("granted", proof.granted),
                ("reached", proof.reached),
                ("beyond", proof.beyond),
                ("missing", proof.missing),
            )
        },
    }


def draw_piece(piece: Piece) -> Iterator[str]:
    """Yield lines: what the unit read for a part of an access, and the verdict."""
    yield f"0x{piece.address:x}, {size(piece.length)}"
    for step in piece.steps:
        yield f"  {step.what}  [0x{step.address:x}] = 0x{step.value:0{2 * step.size}x}"
    if piece.physical is not None:
        yield f"  allowed: physical 0x{piece.physical:x}"
    elif piece.incident is not None:
        yield printable(f"  REFUSED: {piece.incident.refusal.reason}")
        yield f"  recorded: {piece.incident.refusal.raw.hex(' ', 8)}"
    else:
        yield "  REFUSED; nothing was recorded"


def piece_object(piece: Piece) -> dict[str, Any]:
    """Return what becomes of a part of an access as plain dictionaries and lists."""
    refusal = piece.incident.refusal if piece.incident is not None else None
    return {
        "address": f"0x{piece.address:x}",
        "length": piece.length,
        "physical": None if piece.physical is None else f"0x{piece.physical:x}",
        "reason": "" if refusal is None else refusal.reason,
        "record": "" if refusal is None else refusal.raw.hex(),
        "steps": [
            {"what": one.what, "address": f"0x{one.address:x}", "value": f"0x{one.value:0{2 * one.size}x}"}
            for one in piece.steps
        ],
    }


def _total(segments: Sequence[Segment]) -> str:
    return size(sum(one.length for one in segments))


def _segment(one: Segment) -> str:
    where = f"0x{one.start:x}-0x{one.end - 1:x}"
    physical = "" if one.physical == one.start else f" at 0x{one.physical:x}"
    return f"{one.access.words}  {where}{physical}  ({size(one.length)})"


def _segment_object(one: Segment) -> dict[str, Any]:
    return {
        "address": f"0x{one.start:x}",
        "length": f"0x{one.length:x}",
        "physical": f"0x{one.physical:x}",
        "access": one.access.words,
    }
