"""Lines of Xen: `xen/drivers/passthrough/vtd/iommu.c` and `amd/iommu_init.c`.

Fault reasons are hexadecimal without `0x`. The drivers for Arm are made of Linux's and print the same lines behind
`smmu: <node>: ` and `SMMUv3: <node>: `.
"""

from __future__ import annotations

import re

from .joiner import Family, Kind, Part, joined
from .records import AmdEvent, LogAccess, LogRecord, UnitError, VtdFault

_ACCESS: dict[str | None, LogAccess] = {"Read": "read", "Write": "write", None: ""}

_PLACE = r"(?:([0-9a-f]{4}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])"
_REQUEST = re.compile(
    rf"(?:DMAR: ?\[DMA (Read|Write)\]|(INTR-REMAP):|UNKNOWN:) Request device \[{_PLACE}\] "
    r"fault (?:addr|index) ([0-9a-f]{1,16})(?:, iommu reg = ([0-9a-f]{1,16}))?"
)
_REASON = re.compile(r"(?:DMAR|INTR-REMAP|UNKNOWN): ?reason ([0-9a-f]{2}) - (.*)")
_STATUS = re.compile(
    r"(?:\S{1,32}:\d{1,5}: ?)?iommu_fault_status: (Fault Overflow|Primary Pending Fault|Invalidation Queue Error|"
    r"Invalidation Completion Error|Invalidation Time-Out Error|Advanced Fault Overflow|Advanced Pending Fault)"
)
_EVENT = re.compile(rf"([A-Z_]{{1,32}}): {_PLACE} d(\d{{1,5}}) addr ([0-9a-f]{{1,16}}) flags (?:0x)?([0-9a-f]{{1,4}})")
_OLD_EVENT = re.compile(
    r"([A-Z_]{1,32}): domain = (\d{1,5}), device id = 0x([0-9a-f]{1,4}), fault address = 0x([0-9a-f]{1,16})"
    r"(?:, flags = (?:0x)?([0-9a-f]{1,4}))?"
)


def _place(segment: str | None, bus: str, slot: str, function: str) -> tuple[int | None, int]:
    """Return segment and requester ID."""
    rid = int(bus, 16) << 8 | (int(slot, 16) & 0x1F) << 3 | int(function)
    return None if segment is None else int(segment, 16), rid


def _build_vtd(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    access, interrupt, segment, bus, slot, function, address, registers = parts[0].match.groups()
    found, source = _place(segment, bus, slot, function)
    reason, meaning = (int(parts[1].match[1], 16), parts[1].match[2]) if len(parts) > 1 else (None, "")
    return VtdFault(
        parts[0].line, joined(parts), driver, unit, "interrupt" if interrupt else _ACCESS[access], found, source, None,
        int(address, 16), reason, meaning, () if registers is None else (("registers mapped at", int(registers, 16)),),
    )  # fmt: skip


def _build_status(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    name = parts[0].match[1]
    return UnitError(parts[0].line, joined(parts), driver, unit, name, lost="Overflow" in name)


def _build_event(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    name, segment, bus, slot, function, domain, address, flags = parts[0].match.groups()
    found, device_id = _place(segment, bus, slot, function)
    return AmdEvent(
        parts[0].line, joined(parts), driver, unit, name, found, device_id, "", int(domain), None, int(address, 16),
        int(flags, 16),
    )  # fmt: skip


def _build_old_event(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    name, domain, device_id, address, flags = parts[0].match.groups()
    return AmdEvent(
        parts[0].line, joined(parts), driver, unit, name, None, int(device_id, 16), "", int(domain), None,
        int(address, 16), None if flags is None else int(flags, 16),
    )  # fmt: skip


XEN_VTD = Family(
    (
        Kind("fault", _REQUEST, _build_vtd, more=True),
        Kind("reason", _REASON, after=frozenset({"fault"})),
        Kind("status", _STATUS, _build_status),
    )
)
"""Lines behind `[VT-D]`."""

XEN_AMD = Family((Kind("event", _EVENT, _build_event), Kind("old event", _OLD_EVENT, _build_old_event)))
"""Lines behind `AMD-Vi: `."""
