"""Many records at once: the dump of a queue or of fault registers, as `Fault`s."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from struct import Struct
from typing import Any

from ...base import Finding, Origin
from ...base.quick import quick
from ..errors import FaultError
from ..fault import Architecture, Fault
from .record import Format

_MODULES = {
    "vtd": "vtd",
    "smmuv3": "smmuv3",
    "smmuv2": "smmuv2",
    "amdvi": "amdvi",
    "riscv-iommu": "riscv",
    "virtio-iommu": "virtio",
}
ARCHITECTURES = tuple(_MODULES)
"""The architectures whose records can be read."""

MOST_TEMPLATES = 4096
"""Records that differ in more than their address are remembered up to this number, then forgotten and learnt anew."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a dump held.

    Attributes:
        faults: in the order of the dump.
        findings: what is wrong with it.
        vacant: how many places for records held none.
    """

    faults: tuple[Fault, ...]
    findings: tuple[Finding, ...] = ()
    vacant: int = 0


def formats(architecture: str = "") -> tuple[Format, ...]:
    """Return the kinds of records of an architecture, or of all of them.

    Raises:
        FaultError: there is no such architecture.
    """
    if architecture and architecture not in _MODULES:
        known = ", ".join(_MODULES)
        finding = Finding(
            "FAULT-ARCHITECTURE",
            "error",
            Origin(""),
            "this architecture has no fault records that can be read",
            found=architecture,
            expected=f"one of {known}",
        )
        raise FaultError(finding)
    names = [_MODULES[architecture]] if architecture else list(_MODULES.values())
    return tuple(one for name in names for one in import_module(f".{name}", __package__).FORMATS)


def format_of(architecture: str, kind: str = "") -> Format:
    """Return the kind of record of this name; without a name, the first of the architecture.

    Raises:
        FaultError: there is no such architecture or kind.
    """
    known = formats(architecture)
    for one in known:
        if kind in ("", one.kind):
            return one
    finding = Finding(
        "FAULT-KIND",
        "error",
        Origin(""),
        f"{architecture} has no records of this kind",
        found=kind,
        expected=f"one of {', '.join(one.kind for one in known)}",
    )
    raise FaultError(finding)


def from_queue(data: bytes, architecture: str, *, kind: str = "", source: str = "", iommu: str = "") -> Reading:
    """Read the binary dump of a queue or of fault registers, one record after the other from its first byte.

    Args:
        data: the dump.
        architecture: see `ARCHITECTURES`.
        kind: `fault` or `page request`; for SMMUv2 `context` or `global`. Empty: the first of the architecture.
        source: name of the file, for origins.
        iommu: name of the unit.

    Raises:
        FaultError: there is no such architecture or kind.
    """
    form = format_of(architecture, kind)
    faults, vacant = _decode(data, form, source, iommu)
    findings = []
    over = len(data) % form.size
    if over:
        where = Origin(source, form.kind, len(data) - over, over)
        findings.append(
            Finding(
                "FAULT-TRAILING",
                "warning",
                where,
                f"bytes are left over after the last whole {form.title}",
                found=f"{over} bytes: {data[len(data) - over :].hex()}",
                expected=f"a multiple of {form.size} bytes",
                advice="they are not read; is the dump cut short, or of another kind of record?",
            )
        )
    return Reading(tuple(faults), tuple(findings), vacant)


def decode_many(
    data: bytes, architecture: Architecture, *, kind: str = "", source: str = "", iommu: str = ""
) -> list[Fault]:
    """Return the faults in a row of records, as `from_queue`; the fast way for whoever reads a queue itself.

    Raises:
        FaultError: there is no such architecture or kind.
    """
    return _decode(data, format_of(architecture, kind), source, iommu)[0]


_fault = quick(Fault)
_origin = quick(Origin)


@dataclass(frozen=True, slots=True)
class Template:
    """What a record becomes whose addresses are zero.

    Attributes:
        fault: the fault.
        address: other bits of the address word give the same fault, with them as its address.
        second: likewise for the second word and the intermediate physical address.
    """

    fault: Fault
    address: bool
    second: bool


def learn(raw: bytes, form: Format, iommu: str) -> Template | None:
    """Return the template of all records that differ from this one in their addresses only; None for a vacant place.

    The decoders of the architectures stay the only ones: what may be filled in is found by asking them.
    """
    if form.vacant(raw):
        return None
    address, second = form.address_mask << 8 * form.address_at, form.second_mask << 8 * form.second_at
    value = int.from_bytes(raw, "little") & ~address & ~second

    def decoded(value: int) -> Fault:
        return form.decode(value.to_bytes(form.size, "little"), Origin(""), iommu)

    fault, high = decoded(value), decoded(value | address)
    has_address = fault.address == 0 and high.address == form.address_mask and _same(fault, high)
    has_second = False
    if second:
        other = decoded(value | second)
        has_second = other.ipa == form.second_mask and _same(fault, other)
    return Template(fault, has_address, has_second)


def _same(one: Fault, other: Fault) -> bool:
    """Tell whether two faults differ in their addresses at most."""
    skipped = ("address", "ipa", "raw")
    return all(getattr(one, name) == getattr(other, name) for name in Fault.__slots__ if name not in skipped)


def _decode(data: bytes, form: Format, source: str, iommu: str) -> tuple[list[Fault], int]:
    """Return the faults of a dump, and the number of vacant places."""
    found: list[Any] = []
    vacant = 0
    templates: dict[Any, Template | None] = {}
    size, part = form.size, form.kind
    whole = len(data) - len(data) % size
    for at, (key, address, second) in zip(range(0, whole, size), _split(data[:whole], form), strict=True):
        raw = data[at : at + size]
        try:
            template = templates[key]
        except KeyError:
            if len(templates) >= MOST_TEMPLATES:
                templates.clear()
            template = templates[key] = learn(raw, form, iommu)
        if template is None or (address and not template.address) or (second and not template.second):
            if form.vacant(raw):
                vacant += 1
            else:
                found.append(form.decode(raw, Origin(source, part, at, size), iommu))
            continue
        found.append(_filled(template, source, part, at, size, address, second, raw))
    return found, vacant


def _split(data: bytes, form: Format) -> Iterator[tuple[Any, int, int]]:
    """Iterate over records as (all but the addresses, address, second address)."""
    mask, second_mask = form.address_mask, form.second_mask
    keep, second_keep = ~mask, ~second_mask
    at = form.address_at
    if second_mask:
        for head, word, second in Struct(f"<{at}sQQ").iter_unpack(data):
            yield (head, word & keep, second & second_keep), word & mask, second & second_mask
    else:
        for head, word, end in Struct(f"<{at}sQ{form.size - at - 8}s").iter_unpack(data):
            yield (head, end, word & keep), word & mask, 0


def _filled(
    template: Template,
    source: str,
    part: str,
    at: int,
    size: int,
    address: int,
    second: int,
    raw: bytes,
) -> Fault:
    """Return the fault of a template with its place and addresses."""
    fault = template.fault
    # In the order of the fields: names would double the time.
    return _fault(
        _origin(source, part, at, size), fault.architecture, fault.driver, fault.iommu, fault.reason, fault.name,
        fault.code, None, "", fault.segment, fault.identifier, fault.substream, "",
        address if template.address else fault.address, fault.address_bits, fault.access, fault.privileged,
        fault.stage, second if template.second else fault.ipa, fault.domain, fault.lost, fault.count, fault.facts, raw,
    )  # fmt: skip
