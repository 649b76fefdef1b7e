"""A fault in a few plain lines: what happened, who did it, where it was, why it likely was, and what to do next."""

from __future__ import annotations

from ..base import Origin, format_pci_address, format_rid, printable
from .attribute import Attribution, Candidate
from .causes import Cause, find_cause, sort_of
from .fault import Fault

MOST_NAMED = 4
"""Devices that are named in a line; of the others there is the number."""

_TITLES = {
    "vtd": "a VT-d unit",
    "smmuv3": "an SMMUv3",
    "smmuv2": "an SMMUv2",
    "amdvi": "an AMD-Vi unit",
    "riscv-iommu": "a RISC-V IOMMU",
    "virtio-iommu": "a virtio-iommu",
}
_CODES = {
    "vtd": "reason 0x{:02x}",
    "smmuv3": "event 0x{:02x}",
    "smmuv2": "status 0x{:x}",
    "amdvi": "event 0x{:x}",
    "riscv-iommu": "cause {}",
    "virtio-iommu": "reason {}",
}
_IDS = {"smmuv3": "stream", "smmuv2": "stream", "riscv-iommu": "device ID", "virtio-iommu": "endpoint"}
_VERBS = {"read": "read", "write": "write", "execute": "fetch", "atomic": "atomic access"}
_REQUESTER = ("vtd", "amdvi")


def explain(fault: Fault, attribution: Attribution | None = None) -> list[str]:
    """Return the plain answer, one line a question: what, who, where, why, next.

    Each fact has its origin in brackets. Without an attribution the lines say what the record itself tells.
    """
    lines = [_what(fault, attribution)]
    more = _more(fault)
    if more:
        lines.append(f"also: {more}")
    if attribution is None:
        cause = find_cause(fault)
        who = [] if fault.identifier is None else ["who: give the board (--board) to learn which device sends this ID"]
        lines += [*who, *_why(cause)]
    else:
        lines += [*_who(fault, attribution), *_where(fault, attribution), *_why(attribution.cause)]
    return [printable(line) for line in lines]


def _what(fault: Fault, attribution: Attribution | None) -> str:
    unit = attribution.unit.name if attribution is not None and attribution.unit.name else fault.iommu
    unit = unit or _TITLES.get(fault.architecture, "a unit")
    code = _CODES.get(fault.architecture, "code {}").format(fault.code) if fault.code is not None else ""
    named = ", ".join(part for part in (fault.name, code, fault.stage and f"stage {fault.stage}") if part)
    reason = f"{fault.reason or 'no reason is told'}{f' ({named})' if named else ''}"
    times = f" (stands for {fault.count})" if fault.count > 1 else ""
    if fault.access == "" and fault.address is None:
        about = _sender(fault).replace(" by ", ", about ", 1)
        return f"what: {unit}: {reason}{about}{times}{_from(fault.origin)}"
    verb = "got" if sort_of(fault) == "page-request" else "refused"
    return f"what: {unit} {verb} {_access(fault)}{_sender(fault)}: {reason}{times}{_from(fault.origin)}"


def _access(fault: Fault) -> str:
    """Say what was tried, and at which address."""
    if fault.access == "interrupt":
        index = f" {fault.address}" if fault.address is not None and fault.architecture == "vtd" else ""
        return f"interrupt{index}" if index else "an interrupt"
    article = "an" if fault.access in ("atomic", "") else "a"
    tried = f"{article} {_VERBS.get(fault.access, 'access')}"
    if fault.access == "translation":
        tried = "a request for translation"
    if fault.address is None:
        return tried
    page = f"the page 0x{fault.address:x}" if fault.address_bits else f"0x{fault.address:x}"
    return f"{tried} {'to' if fault.access == 'write' else 'of'} {page}"


def _sender(fault: Fault) -> str:
    """Say whose access it was, as the record tells."""
    name = fault.device
    identifier = "" if fault.identifier is None else _identifier(fault, fault.identifier)
    who = (
        f" by {name} ({identifier})"
        if name and identifier
        else f" by {name or identifier}"
        if name or identifier
        else ""
    )
    if fault.substream is not None:
        kind = "substream" if fault.architecture == "smmuv3" else "PASID"
        who += f" with {kind} 0x{fault.substream:x}"
    return who


def _identifier(fault: Fault, identifier: int) -> str:
    if fault.architecture in _REQUESTER and identifier <= 0xFFFF:  # noqa: PLR2004  # bits of a requester ID
        address = format_rid(identifier) if fault.segment is None else format_pci_address(fault.segment, identifier)
        return f"{address} (ID 0x{identifier:x})"
    return f"{_IDS.get(fault.architecture, 'ID')} 0x{identifier:x}"


def _more(fault: Fault) -> str:
    """Say the rest of the record."""
    parts = []
    if fault.privileged is not None:
        parts.append("privileged" if fault.privileged else "unprivileged")
    if fault.ipa is not None:
        parts.append(f"intermediate physical address 0x{fault.ipa:x}")
    if fault.domain is not None:
        parts.append(f"context bank {fault.domain}" if fault.architecture == "smmuv2" else f"domain 0x{fault.domain:x}")
    for name, value in fault.facts:
        shown = value if isinstance(value, str) else f"0x{value:x}" if value > 9 else str(value)  # noqa: PLR2004
        parts.append(f"{name} {shown}")
    if fault.lost and sort_of(fault) != "lost":
        parts.append("further faults were lost")
    return ", ".join(parts)


def _who(fault: Fault, attribution: Attribution) -> list[str]:
    """Say which devices may have done it."""
    lines = [f"doubt: {conflict}" for conflict in attribution.conflicts]
    found = attribution.candidates
    if not found:
        if fault.identifier is not None:
            units = " or ".join(attribution.unit.possible) or "any unit of this kind, as the board has none"
            lines.append(f"who: no device of the board sends {_identifier(fault, fault.identifier)} to {units}")
        return lines
    if len(found) == 1:
        lines.append(f"who: {_candidate(found[0])}")
        lines += [f"way: {_hop(hop)}" for hop in _way(found[0])]
    else:
        number = len(found) + attribution.more
        named = "; ".join(_candidate(one) for one in found[:MOST_NAMED])
        others = f"; and {number - MOST_NAMED} more" if number > MOST_NAMED else ""
        lines.append(f"who: one of {number} that share this ID, which the unit cannot tell apart: {named}{others}")
    return lines + [f"note: {hint}" for hint in attribution.hints]


def _candidate(one: Candidate) -> str:
    listed = "" if one.listed else ", which no source lists"
    return f"{one}{listed}: {one.why}{_from(one.origin)}"


def _way(one: Candidate) -> list[tuple[str, Origin]]:
    """Return the steps of an ID to its unit."""
    steps = []
    for hop in one.hops:
        before = "" if hop.source_id is None else f" 0x{hop.source_id:x}"
        after = "" if hop.target_id is None else f" 0x{hop.target_id:x}"
        steps.append((f"{hop.source}{before} -> {hop.target}{after} by {hop.rule}", hop.origin))
    return steps


def _hop(step: tuple[str, Origin]) -> str:
    return f"{step[0]}{_from(step[1])}"


def _where(fault: Fault, attribution: Attribution) -> list[str]:
    """Say what the address falls in, and what it just misses."""
    lines = [f"where: in {place.name}, {place.extent}{_from(place.origin)}" for place in attribution.places]
    lines += [f"where: {near}{_from(near.place.origin)}" for near in attribution.near]
    if "hole" in attribution.tags:
        lines.append("where: as a physical address, in a hole of the memory map")
    if not lines and fault.address is not None and fault.access != "interrupt":
        lines.append("where: in nothing that the board's sources name")
    return lines


def _why(cause: Cause | None) -> list[str]:
    return [] if cause is None else [f"why: likely {cause.text}", f"next: {cause.advice}"]


def _from(origin: Origin | None) -> str:
    place = "" if origin is None else str(origin)
    return f" [{place}]" if place else ""
