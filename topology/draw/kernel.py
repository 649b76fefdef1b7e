"""What a running kernel does beside what firmware says, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..view import names_in_words, size

if TYPE_CHECKING:
    from ...parsers.kernel_iommu import KernelGroup, KernelUnit
    from ..kernel import Compared, Difference


def unit_words(found: Compared, unit: KernelUnit) -> str:
    """Say a unit of the kernel: firmware's name of it, how many devices it is for, and what else the kernel shows."""
    many = len(unit.devices)
    words = [found.units.get(unit.name, "declared by no source"), f"{many} device{'' if many == 1 else 's'}"]
    return ", ".join((*words, *(f"{name} {text}" for name, text in unit.attributes)))


def group_words(found: Compared, group: KernelGroup) -> str:
    """Say a group of the kernel: its devices as firmware names them, its domain and its reserved regions."""
    names = [found.devices.get(name, name) for name in group.devices]
    regions = [f"0x{one.start:x}-0x{one.last:x} ({size(one.last - one.start + 1)}) {one.kind}" for one in group.regions]
    return ", ".join((names_in_words(names), group.domain or "domain not known", *regions))


def difference_words(one: Difference) -> str:
    """Say a difference."""
    return f"{one.at}: {one.text}"


def kernel_object(found: Compared) -> dict[str, Any]:
    """Return a kernel's view, and its differences from firmware, as plain dictionaries and lists."""
    return {
        "source": found.view.source,
        "units": [
            {
                "name": one.name,
                "iommu": found.units.get(one.name),
                "devices": [found.devices.get(name, name) for name in one.devices],
                "attributes": dict(one.attributes),
            }
            for one in found.view.units
        ],
        "groups": [
            {
                "number": one.number,
                "devices": [found.devices.get(name, name) for name in one.devices],
                "domain": one.domain,
                "reserved": [
                    {"start": f"0x{region.start:x}", "last": f"0x{region.last:x}", "kind": region.kind}
                    for region in one.regions
                ],
            }
            for one in found.view.groups
        ],
        "differences": [
            {"kind": one.kind, "at": one.at, "text": one.text, "known": one.known} for one in found.differences
        ],
        "as_foretold": [{"device": name, "reason": why} for name, why in found.as_foretold],
    }
