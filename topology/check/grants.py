"""Rules of the memory that a user's configuration grants."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from ...base import Finding, RangeSet
from ...parsers.acpi.madt import GicIts, GicMsiFrame, Madt
from ..model import Grant, ReservedRegion
from ..query import X86_MSI_LENGTH, X86_MSI_START, reserved_for
from ..resolve import Route, routes
from ..view import size
from .board import Board
from .configuration import REGISTERS, entries, sent
from .machine_memory import memory_map, of_kind
from .rule import Rule

PAGE = 0x1000
X86_UNITS = ("vtd", "amdvi")
NOT_WRITE_ONLY = ("ipmmu", "riscv-iommu")
"""Kinds of units whose page tables cannot say that a page may be written and not read."""

ITS_BYTES, FRAME_BYTES = 0x20000, 0x1000


def _pages(start: int, length: int) -> tuple[int, int]:
    """Return the whole pages that a range is rounded to, as start and length."""
    first = start // PAGE * PAGE
    return first, -(-(start + length) // PAGE) * PAGE - first


def _extent(start: int, length: int) -> str:
    return f"0x{start:x}-0x{start + length - 1:x} ({size(length)})"


def _grants(board: Board) -> Iterator[tuple[Grant, int, int]]:
    """Iterate over the regions that are granted to a device, with their pages."""
    for grant in board.topology.grants:
        if grant.devices and grant.length:
            yield grant, *_pages(grant.start, grant.length)


class _Spans:
    """Named ranges of addresses, to be asked for those that a range overlaps."""

    def __init__(self, spans: Iterable[tuple[int, int, object]]) -> None:
        """Take (start, length, what it is)."""
        self._spans = sorted(((start, start + length, what) for start, length, what in spans), key=lambda one: one[:2])
        self._starts = [start for start, _, _ in self._spans]
        self._reach: list[int] = []
        for _, end, _ in self._spans:
            self._reach.append(max(end, self._reach[-1] if self._reach else 0))

    def overlapping(self, start: int, length: int) -> Iterator[object]:
        """Iterate over what a range overlaps, from the highest start down."""
        for index in range(bisect_left(self._starts, start + length) - 1, -1, -1):
            if self._reach[index] <= start:
                return
            if self._spans[index][1] > start:
                yield self._spans[index][2]


def _unused(rule: Rule, board: Board) -> Iterator[Finding]:
    used = {grant.name for grant in board.topology.grants if grant.devices}
    told = set()
    for grant in board.topology.grants:
        if grant.name not in used and grant.name not in told:
            told.add(grant.name)
            yield rule.finding(grant.origin, f"no device has the set {grant.name!r}")


def _page(rule: Rule, board: Board) -> Iterator[Finding]:
    for grant, start, length in _grants(board):
        end = grant.start + grant.length
        extra = (start, grant.start - start), (end, start + length - end)
        more = " and ".join(_extent(*one) for one in extra if one[1])
        if more:
            yield rule.finding(
                grant.origin,
                f"{_extent(grant.start, grant.length)} is not made of whole pages; granted as well: {more}",
                found=f"{grant.start:#x},{grant.length:#x}", expected=f"{start:#x},{length:#x}",
            )  # fmt: skip


def _memory(rule: Rule, board: Board) -> Iterator[Finding]:
    ranges = memory_map(board)
    known = RangeSet((one.start, one.length) for one in ranges if one.kind != "mmio")
    for grant, start, length in _grants(board) if len(of_kind(ranges, "ram")) else ():
        outside = RangeSet([(start, length)])
        for part in known.overlapping(start, length):
            outside.remove(*part)
        if parts := list(outside):
            text = f"{_extent(*parts[0])} of the set {grant.name!r} is no memory"
            yield rule.finding(grant.origin, text + (f", and {len(parts) - 1} parts more" if len(parts) > 1 else ""))


def _firmware(rule: Rule, board: Board) -> Iterator[Finding]:
    ranges = memory_map(board)
    ram, kept = of_kind(ranges, "ram"), of_kind(ranges, "reserved", "nvs", "acpi", "other")
    for one in ram:
        kept.remove(*one)  # carved out of memory, as typed memory is
    for region in board.topology.reserved:
        kept.remove(region.start, region.length)  # told by another rule, if it is somebody else's
    for grant, start, length in _grants(board):
        for part in kept.overlapping(start, length)[:1]:
            yield rule.finding(grant.origin, f"{_extent(*part)} of the set {grant.name!r} is reserved by firmware")


def _registers(rule: Rule, board: Board) -> Iterator[Finding]:
    spans = _Spans(
        (unit.base, unit.size or REGISTERS, unit.name)
        for unit in board.topology.iommus.values()
        if unit.base is not None
    )
    for grant, start, length in _grants(board):
        for name in list(spans.overlapping(start, length))[-1:]:
            yield rule.finding(grant.origin, f"the set {grant.name!r} grants the registers of {name}")


def _interrupts(rule: Rule, board: Board) -> Iterator[Finding]:
    spans = _Spans(_doorbells(board))
    for grant, start, length in _grants(board):
        for name in list(spans.overlapping(start, length))[-1:]:
            yield rule.finding(grant.origin, f"the set {grant.name!r} grants {name}")


def _doorbells(board: Board) -> Iterator[tuple[int, int, str]]:
    """Iterate over the places that interrupts are written to."""
    if any(unit.kind in X86_UNITS for unit in board.topology.iommus.values()):
        yield X86_MSI_START, X86_MSI_LENGTH, "the interrupt window of x86"
    for one in board.topology.msi_controllers.values():
        if one.base is not None:
            yield one.base, ITS_BYTES if "its" in one.kind else FRAME_BYTES, f"the registers of {one.name}"
    for _, body in board.tables(Madt):
        for entry in body.entries:
            if isinstance(entry, GicIts):
                yield entry.physical_base_address, ITS_BYTES, f"the registers of ITS {entry.gic_its_id}"
            elif isinstance(entry, GicMsiFrame):
                yield entry.physical_base_address, FRAME_BYTES, f"GIC MSI frame {entry.gic_msi_frame_id}"


def _regions_of(board: Board, name: str) -> tuple[ReservedRegion, ...]:
    """Return the reserved memory that concerns a device."""
    device = board.topology.devices.get(name)
    return () if device is None else reserved_for(board.topology, device, tuple(routes(board.topology, device)))


def _foreign(rule: Rule, board: Board) -> Iterator[Finding]:
    spans = _Spans(
        (region.start, region.length, region) for region in board.topology.reserved if region.devices or region.streams
    )
    own: dict[str, tuple[ReservedRegion, ...]] = {}
    for grant, start, length in _grants(board):
        for region in spans.overlapping(start, length):
            for name in grant.devices:
                if name not in own:
                    own[name] = _regions_of(board, name)
            others = [name for name in grant.devices if region not in own[name]]
            if others and isinstance(region, ReservedRegion):
                whose = ", ".join((*region.devices, *(f"IDs of {one.iommu}" for one in region.streams)))
                yield rule.finding(
                    grant.origin,
                    f"the set {grant.name!r} lets {others[0]} reach {_extent(region.start, region.length)}, which is "
                    f"reserved for {whose}",
                )
                break


def _moved(rule: Rule, board: Board) -> Iterator[Finding]:
    moved = [one for one in board.topology.reserved if one.physical not in (None, one.start)]
    spans = _Spans((one.start, one.length, one) for one in moved)
    for grant, start, length in _grants(board) if moved else ():
        for region in spans.overlapping(start, length):
            mine = [name for name in grant.devices if region in _regions_of(board, name)]
            if mine and isinstance(region, ReservedRegion):
                yield rule.finding(
                    grant.origin,
                    f"the set {grant.name!r} maps 0x{max(start, region.start):x} of {mine[0]} one to one, where the "
                    f"board needs physical address 0x{region.physical or 0:x} at 0x{region.start:x}",
                )
                break


def _uncovered(rule: Rule, board: Board) -> Iterator[Finding]:
    granted: dict[str, RangeSet] = {}
    for grant, start, length in _grants(board):
        for name in grant.devices:
            granted.setdefault(name, RangeSet()).add(start, length)
    for entry, devices in entries(board):
        for device in devices if entry.allow else ():
            for region in _regions_of(board, device.name):
                needed = region.meaning in ("direct", "mapped") and region.kind != "configured"
                if needed and not granted.get(device.name, RangeSet()).covers(region.start, region.length):
                    text = (
                        f"{device.name} reaches {_extent(region.start, region.length)} beside the set {entry.allow!r}"
                    )
                    yield rule.finding(entry.origin, text, found=str(region.origin))


class _Open(NamedTuple):
    """How far a set reaches, of those regions that begin before an address; 0: nowhere."""

    devices: tuple[str, ...]
    end: int = 0
    writable: int = 0


def _owners(rule: Rule, board: Board) -> Iterator[Finding]:
    before: dict[str, _Open] = {}
    told = set()
    for grant, start, length in sorted(_grants(board), key=lambda one: one[1]):
        end = start + length
        for name, other in before.items():
            reach = other.end if grant.write else other.writable
            apart = name != grant.name and not set(grant.devices) & set(other.devices)
            if reach > start and apart and (name, grant.name) not in told:
                told |= {(name, grant.name), (grant.name, name)}
                both = grant.write and other.writable > start
                text = f"{_extent(start, min(reach, end) - start)} is granted to {other.devices[0]} by {name!r} and to "
                text += f"{grant.devices[0]} by {grant.name!r}, and {'both' if both else 'one of them'} may write it"
                yield rule.finding(grant.origin, text, None if both else "note")
                break  # one for each region: many sets that all meet would make as many findings as there are pairs
        own = before.get(grant.name, _Open(grant.devices))
        writable = max(own.writable, end if grant.write else 0)
        before[grant.name] = _Open(grant.devices, max(own.end, end), writable)


def _same_set(rule: Rule, board: Board) -> Iterator[Finding]:
    grants = sorted((grant for grant, _, _ in _grants(board) if grant.write), key=lambda one: one.name)
    for name, found in groupby(grants, key=lambda one: one.name):
        first = next(found)
        units = {route.iommu: device for device in first.devices for route in _routes_of(board, device)}
        if len(units) > 1:
            devices = ", ".join(list(dict.fromkeys(units.values()))[:3])
            yield rule.finding(first.origin, f"devices of {len(units)} units share the set {name!r}: {devices}")


def _routes_of(board: Board, name: str) -> Iterator[Route]:
    device = board.topology.devices.get(name)
    yield from () if device is None else sent(board, device)


def _write_only(rule: Rule, board: Board) -> Iterator[Finding]:
    for grant in board.topology.grants:
        if not grant.write or grant.read:
            continue
        for name in grant.devices:
            kinds = (board.topology.iommus[one.iommu].kind for one in _routes_of(board, name) if one.iommu)
            kind = next((one for one in kinds if one in NOT_WRITE_ONLY), None)
            if kind is not None:
                text = f"{name} is to write {_extent(grant.start, grant.length)} and not to read it"
                yield rule.finding(grant.origin, f"{text}, which a unit of kind {kind} cannot say")
                break


RULES: tuple[Rule, ...] = (
    Rule(
        "CONFIG-GRANT-UNUSED", "warning", "no device has a set of the configuration", "smmuman: allow, device",
        "The set grants nothing; likely its name is misspelt at the device.",
        "smmuman keeps the set and uses it for no device.", "name the set at a device, or remove it", (), _unused,
    ),
    Rule(
        "CONFIG-GRANT-PAGE", "warning", "a granted region is not made of whole pages", "smmuman: smmu_mapping_add",
        "The devices reach more than was asked for: whatever else is in the first and the last page.",
        "smmuman rounds the start down and the end up to 4 KiB.",
        "give the region whole pages of its own, or write the pages that are granted", (), _page,
    ),
    Rule(
        "CONFIG-GRANT-MEMORY", "warning", "a granted page is outside memory", "smmuman: allow",
        "There is a device's registers, or nothing: what the page was meant for is somewhere else.",
        "smmuman maps what it is told.", "mend the address, unless registers of another device are meant", (), _memory,
    ),
    Rule(
        "CONFIG-GRANT-FIRMWARE", "warning", "a granted page is reserved by firmware", "smmuman: allow",
        "The devices may read or overwrite what firmware keeps there.",
        "smmuman maps what it is told. Linux gives out no such memory.", "grant memory of the system only",
        (), _firmware,
    ),
    Rule(
        "CONFIG-GRANT-REGISTERS", "error", "a grant lets a device reach the registers of a unit", "smmuman: allow",
        "The device can switch its own containment off, and that of others.",
        "smmuman maps what it is told.", "leave the registers out of the region", (), _registers,
    ),
    Rule(
        "CONFIG-GRANT-INTERRUPTS", "warning", "a grant lets a device reach where interrupts are written to",
        "smmuman: allow; VT-d specification 4.1 §3.14",
        "On x86 the grant has no effect, as such writes are never translated; elsewhere the device can raise "
        "interrupts that are not its own.",
        "Linux maps the doorbell of its own interrupts for a device, and no more.",
        "leave the window out of the region", (), _interrupts,
    ),
    Rule(
        "CONFIG-GRANT-RESERVED", "warning", "a grant lets a device reach memory that is reserved for another",
        "smmuman: allow, reserved",
        "The two can read or overwrite each other's data.",
        "smmuman maps what it is told.", "leave the region to the device that it is reserved for", (), _foreign,
    ),
    Rule(
        "CONFIG-GRANT-MOVED", "error", "a grant takes addresses at which the board needs other memory",
        "smmuman: allow; DEN 0049E.f §3.1.1.7",
        "One address cannot lead to two places: the device loses the memory that it is working in, or the granted one.",
        "Linux keeps the board's mapping, and gives the addresses to nobody else.",
        "grant other addresses", (), _moved,
    ),
    Rule(
        "CONFIG-GRANT-BESIDE", "note", "a device reaches reserved memory beside its set", "smmuman: reserved",
        "The device reaches more than its set says, because the board asks for it.",
        "smmuman maps the reserved memory of a device by itself; so does Linux.",
        "add the region to the set if the configuration is to say all, or override it with `reserved`", (), _uncovered,
    ),
    Rule(
        "CONFIG-GRANT-OWNERS", "warning", "a region is granted to devices of two sets", "smmuman: allow",
        "The devices are not isolated from each other there: one can change what the other reads.",
        "smmuman maps the region for both.", "give each set memory of its own, unless they are to share it",
        (), _owners,
    ),
    Rule(
        "CONFIG-GRANT-UNITS", "note", "devices of several units share a set that they may write", "smmuman: allow",
        "The devices are not isolated from each other there, and each unit has to be told of every change.",
        "smmuman programs each unit; a client is told to add its mappings again.",
        "use a set for each device if they need not share memory", (), _same_set,
    ),
    Rule(
        "CONFIG-GRANT-WRITE", "warning", "a unit cannot grant writing without reading",
        "smmuman: allow; R-Car Gen3 hardware manual, IPMMU; RISC-V IOMMU specification 1.0",
        "The device reads what it is only to write.",
        "smmuman gives read with write on R-Car.", "grant both, and keep secrets out of the region", (), _write_only,
    ),
)  # fmt: skip
"""Rules of `allow` regions."""
