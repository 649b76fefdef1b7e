"""Reserved memory of a configuration: regions that a device must keep reaching, mapped one to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...base import RangeSet
from ...parsers.smmu_config import DeviceEntry
from ..model import ReservedRegion, StreamRange
from ..resolve import Route, routes
from ..senders import senders
from ..topology import Topology
from ..view import size
from .uses import wanted_uses
from .work import Work


def lay_reserved(work: Work, names: Sequence[str], entry: DeviceEntry) -> None:
    """Give devices the reserved regions of an entry; one without any leaves the board's as they are."""
    if not entry.reserved:
        return
    builder = work.builder
    said = {(one.start, one.length) for one in entry.reserved}
    streams: tuple[StreamRange, ...] = ()
    if not names:  # no function of the range is known: the regions are for its IDs
        uses = wanted_uses(work, entry.uses, pci=True)
        streams = tuple(StreamRange(use.unit, use.first, use.length) for use in uses if use.first is not None)
    left = []
    for name in names:
        found = _of_device(work, name)
        board = {(region.start, region.length) for region in found}
        if board == said:
            continue
        left.append(name)
        if board:
            user = f"reserves {_listed(said)}"
            work.conflict(entry.origin, name, user, f"reserves {_listed(board)}", [one.origin for one in found])
        if not work.keep:
            _release(work, name, found)
    if not left and not streams:
        return
    for one in entry.reserved:
        devices = tuple(left)
        if work.keep:
            devices = tuple(name for name in left if not _has(work, name, one.start, one.length))
        if devices or streams:
            builder.reserved.append(
                ReservedRegion(
                    "configured", one.start, one.length, one.origin, "direct", devices=devices, streams=streams
                )
            )


def _routes(board: Topology, name: str) -> list[Route]:
    device = board.devices.get(name)
    return routes(board, device) if device else []


def _of_device(work: Work, name: str) -> list[ReservedRegion]:
    """Return the board's one-to-one regions that concern a device, by its name or its IDs."""
    sent = _routes(work.board, name)
    return [
        region
        for region in work.board.reserved
        if region.meaning == "direct" and (name in region.devices or any(_meets(region, route) for route in sent))
    ]


def _meets(region: ReservedRegion, route: Route) -> bool:
    return route.stream is not None and any(
        stream.iommu == route.iommu
        and stream.base < route.stream + route.count
        and route.stream < stream.base + stream.length
        for stream in region.streams
    )


def _has(work: Work, name: str, start: int, length: int) -> bool:
    return any((region.start, region.length) == (start, length) for region in _of_device(work, name))


def _release(work: Work, name: str, found: list[ReservedRegion]) -> None:
    """Take a device out of the board's regions; they stay for others, and for IDs that others send as well."""
    sent = _routes(work.board, name)
    for region in found:
        place = next((index for index, one in enumerate(work.builder.reserved) if one.origin == region.origin and (
            one.start, one.length) == (region.start, region.length)), None)  # fmt: skip
        if place is None:
            continue
        now = work.builder.reserved[place]
        streams = _rest(work, name, now, sent)
        devices = tuple(one for one in now.devices if one != name)
        if devices or streams:
            work.builder.reserved[place] = replace(now, devices=devices, streams=streams)
        else:
            del work.builder.reserved[place]


def _rest(work: Work, name: str, region: ReservedRegion, sent: list[Route]) -> tuple[StreamRange, ...]:
    """Return the IDs of a region without those that one device alone sends."""
    streams = region.streams
    for route in sent:
        if route.stream is None or route.iommu is None or not _meets(replace(region, streams=streams), route):
            continue
        others = [one.name for one in senders(work.board, route.iommu, route.stream) if one.name != name]
        if others:
            text = f"the region at 0x{region.start:x} stays for ID 0x{route.stream:x}, which {others[0]} sends as well"
            work.report("CONFIG-SHARED", "note", region.origin, text)
            continue
        rest = []
        for stream in streams:
            ids = RangeSet([(stream.base, stream.length)])
            if stream.iommu == route.iommu:
                ids.remove(route.stream, route.count)
            rest += [StreamRange(stream.iommu, base, length) for base, length in ids]
        streams = tuple(rest)
    return streams


def _listed(extents: set[tuple[int, int]]) -> str:
    return " and ".join(f"0x{start:x} ({size(length)})" for start, length in sorted(extents))
