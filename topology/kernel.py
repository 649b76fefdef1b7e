"""What firmware says beside what the running kernel does: where the two differ, and what no firmware can tell.

Linux's names of units and devices are its own; those that cannot be matched with firmware's are left as they are, and
nothing is concluded from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .groups import NO_DMA, Group, isolation_groups
from .topology import Topology
from .view import Attachment, attachments, names_in_words

if TYPE_CHECKING:
    from ..parsers.kernel_iommu import KernelGroup, KernelUnit, KernelView

Kind = Literal["off", "unit", "no-group", "no-unit", "partners", "region", "domain"]
"""What differs: the kernel runs no IOMMU; another unit than firmware names; a device that has a unit and no group; one
that has a group and, by firmware, no unit; other partners in a group; a reserved region that is missing; a domain in
which nothing is translated, or everything refused."""

IDENTITY, BLOCKED = "identity", "blocked"
"""Types of default domains in which the IOMMU translates nothing, and in which it lets nothing pass."""

MOST = 1000
"""Differences of one view that are listed."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which kernel and firmware differ.

    Attributes:
        kind: see `Kind`.
        at: the device, the group (`group 3`) or the unit.
        text: the difference, a clause.
        known: false when it may only be that firmware or functions could not be read.
    """

    kind: Kind
    at: str
    text: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class Compared:
    """A kernel's view beside the topology.

    Attributes:
        view: the kernel's view.
        units: firmware's name of each of the kernel's units, where it can be told.
        devices: the topology's name of each of the kernel's devices, where it can be told.
        differences: where they differ.
        as_foretold: devices without a group of which firmware lets that be expected, with the reason.
    """

    view: KernelView
    units: dict[str, str]
    devices: dict[str, str]
    differences: tuple[Difference, ...]
    as_foretold: tuple[tuple[str, str], ...]


def compare(topology: Topology, view: KernelView, attached: Sequence[Attachment] | None = None) -> Compared:
    """Return a kernel's view beside the topology of the same machine."""
    members = attachments(topology) if attached is None else attached
    units = {unit.name: name for unit in view.units if (name := unit_name(topology, unit))}
    known = {
        *(one for group in view.groups for one in group.devices),
        *(one for unit in view.units for one in unit.devices),
    }
    devices = device_names(topology, known)
    groups = isolation_groups(topology, members)
    foretold = {name: why for group in groups for name, why in group.left_out}
    found: list[Difference] = []
    in_group = {devices.get(name, name) for group in view.groups for name in group.devices}
    wanting = [one for one in members if one.units and one.device.kind not in NO_DMA]
    if not view.units and not view.groups and wanting:
        text = f"firmware declares {names_in_words(list(topology.iommus))}, and the kernel runs no IOMMU: "
        found.append(Difference("off", names_in_words(list(topology.iommus)), text + "every device reaches all memory"))
    else:
        found += _units(topology, view, members, units, devices)
        found += _missing(wanting, in_group, foretold)
        found += _partners(view, groups, devices)
        found += _regions(topology, view, devices)
    found += _domains(view)
    return Compared(
        view, units, devices, tuple(found[:MOST]),
        tuple((name, why) for name, why in foretold.items() if name not in in_group),
    )  # fmt: skip


def unit_name(topology: Topology, unit: KernelUnit) -> str:
    """Return the topology's name of one of the kernel's units; empty when it cannot be told."""
    attributes = dict(unit.attributes)
    counted = re.fullmatch(r"ivhd(\d{1,4})", unit.name)
    if counted:
        found = [one.name for one in topology.iommus.values() if one.kind == "amdvi"]
        return found[int(counted[1])] if int(counted[1]) < len(found) else ""
    address = attributes.get("address") or _address(unit.name)
    if re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", address):
        base = int(address, 16)
        return next((one.name for one in topology.iommus.values() if one.base == base), "")
    function = unit.name.rpartition("@")[2]
    return next((one.name for one in topology.iommus.values() if one.name.endswith(f"@{function}")), "")


def _address(name: str) -> str:
    """Return the address that is part of a unit's name: `smmu3.0x9050000`, `riscv-iommu@3010000.iommu`."""
    found = re.fullmatch(r"(?:[\w-]+\.0x|(?:[\w-]+@)?)([0-9a-fA-F]{4,16})(?:\.[\w-]+)?", name)
    return found[1] if found else ""


def device_names(topology: Topology, names: Iterable[str]) -> dict[str, str]:
    """Return the topology's names of the kernel's devices, by the kernel's; those that have none are left out."""
    endings: dict[str, list[str]] = {}
    for one in topology.devices:
        if one.startswith("dt:"):
            endings.setdefault(one.rpartition("/")[2], []).append(one)
    found = {}
    for name in names:
        address, dot, kind = name.partition(".")
        alike = endings.get(f"{kind}@{address.lstrip('0') or '0'}", []) if dot else []
        if name in topology.devices:
            found[name] = name
        elif len(alike) == 1:
            found[name] = alike[0]
    return found


def _units(
    topology: Topology, view: KernelView, members: Sequence[Attachment], units: dict[str, str], devices: dict[str, str]
) -> Iterator[Difference]:
    """Yield the devices that the kernel has behind another unit than firmware says, or behind one and firmware none."""
    by_name = {one.device.name: one for one in members}
    for unit in view.units:
        ours = units.get(unit.name)
        if ours is None:
            text = f"the kernel runs {unit.name}, which no source given declares"
            yield Difference("unit", unit.name, text, known=False)
            continue
        for name in unit.devices:
            one = by_name.get(devices.get(name, name))
            if one is None:
                continue
            if not one.units:
                reason = next((route.reason for route in one.routes if route.reason), "")
                told = all(route.verdict != "unresolved" for route in one.routes)
                text = f"the kernel has it behind {unit.name} ({ours}), and firmware behind no unit"
                yield Difference("no-unit", one.device.name, text + (f": {reason}" if reason else ""), known=told)
            elif ours not in one.units:
                text = f"the kernel has it behind {unit.name} ({ours}), and firmware behind {names_in_words(one.units)}"
                yield Difference("unit", one.device.name, text)
    for name in topology.iommus:
        if name not in units.values() and any(name in one.units for one in members):
            text = "firmware has devices behind it, and the kernel does not run it"
            yield Difference("off", name, text)


def _missing(wanting: list[Attachment], in_group: set[str], foretold: dict[str, str]) -> Iterator[Difference]:
    """Yield the devices that have a unit by firmware, and no group in the kernel, without a reason that is known."""
    for one in wanting:
        name = one.device.name
        if name in in_group or name in foretold or one.device.kind != "pci":
            continue  # devices of a platform have a group once a driver asks for them, and names of the kernel's own
        text = f"firmware has it behind {names_in_words(one.units)}, and the kernel in no group: it is not translated"
        yield Difference("no-group", name, text)


def _partners(view: KernelView, groups: Sequence[Group], devices: dict[str, str]) -> Iterator[Difference]:
    """Yield the groups of the kernel that are not ours."""
    ours = {name: group for group in groups for name in group.devices}
    for group in view.groups:
        theirs = {devices.get(name, name) for name in group.devices}
        both = sorted(one for one in theirs if one in ours)
        met = list({ours[one].name: ours[one] for one in both}.values())
        expected = {name for one in met for name in set(one.devices) - ({left for left, _ in one.left_out} - theirs)}
        known = all(reason.known for one in met for reason in one.reasons) and not any(one.unseen for one in met)
        joined = sorted(set(both) - set(met[0].devices)) if met else []
        if joined:
            text = f"the kernel has {names_in_words(joined)} in it as well; by firmware and ACS they are apart"
            yield Difference("partners", f"group {group.number}", text, known)
        elif expected - theirs:
            text = f"by firmware and ACS {names_in_words(sorted(expected - theirs))} cannot be told apart from "
            text += f"{names_in_words(sorted(theirs))}, and the kernel has them elsewhere"
            yield Difference("partners", f"group {group.number}", text, known)


def _regions(topology: Topology, view: KernelView, devices: dict[str, str]) -> Iterator[Difference]:
    """Yield the memory that firmware has mapped one to one for a device, and the kernel does not keep for its group."""
    for group in view.groups:
        names = {devices.get(name, name) for name in group.devices}
        for region in topology.reserved:
            if region.meaning != "direct" or not names & set(region.devices):
                continue
            last = region.start + region.length - 1
            if not any(one.start <= region.start and last <= one.last for one in group.regions if "direct" in one.kind):
                text = f"firmware reserves 0x{region.start:x}-0x{last:x} ({region.kind}) for "
                text += f"{names_in_words(sorted(names & set(region.devices)))}, and the kernel does not"
                yield Difference("region", f"group {group.number}", text)


def _domains(view: KernelView) -> Iterator[Difference]:
    """Yield the groups whose domain limits nothing, or lets nothing pass."""
    by_type: dict[str, list[KernelGroup]] = {}
    for group in view.groups:
        by_type.setdefault(group.domain, []).append(group)
    for domain, groups in by_type.items():
        names = names_in_words([f"{one.number}" for one in groups])
        where = f"group{'' if len(groups) == 1 else 's'} {names}"
        if domain == IDENTITY:
            yield Difference("domain", where, f"the domain is {domain}: nothing limits what the devices reach")
        elif domain == BLOCKED:
            yield Difference("domain", where, "the domain is blocked: the devices reach nothing")
