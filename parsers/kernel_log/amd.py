"""Lines of AMD's driver, `drivers/iommu/amd/{iommu,ppr}.c` of Linux.

Page and RMP faults of a device that is known have the name of its driver before them, and no `device=`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ...base import parse_pci_address
from ...base.quick import quick
from .joiner import Family, Kind, Part, joined
from .records import AmdEvent, Facts, LogRecord, UnitError

_PLACE = r"(?:[0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]"
_FIELD = r"(?:device=" + _PLACE + r"|[a-z_]{1,10}=0x[0-9a-f]{1,16})"
_HEAD = re.compile(r"Event logged \[\s*$")
_EVENT = re.compile(r"(?:Event logged \[ ?)?([A-Z_]{1,32}) ((?:" + _FIELD + r",? ?){1,6})\]?")
_PAGE_FAULT = re.compile(
    r"Event logged \[(IO_PAGE_FAULT) (?:device=(" + _PLACE + r") )?"
    r"domain=0x([0-9a-f]{1,5}) address=0x([0-9a-f]{1,16}) flags=0x([0-9a-f]{1,4})\]"
)
_UNKNOWN = re.compile(
    r"(?:Event logged \[ ?)?UNKNOWN (?:type=0x[0-9a-f]{1,2} )?event\[0\]=0x([0-9a-f]{8}) event\[1\]=0x([0-9a-f]{8}) "
    r"event\[2\]=0x([0-9a-f]{8}) event\[3\]=0x([0-9a-f]{8})"
)
_PPR = re.compile(
    r"PPR logged \[(Request ignored due to GN=0|Invalid request format) \("
    r"((?:" + _FIELD + r" ?){1,6})"
)
_NOTICE = re.compile(
    r"(IOMMU event log overflow|IOMMU Event log restarting|Completion-Wait loop timed out|"
    r"No event written to event log|Command buffer timeout)"
)
_PAIR = re.compile(r"([a-z_]{1,10})=(\S{1,18})")

_event = quick(AmdEvent)


def _build_page_fault(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    """Make a record of the line that is by far the most frequent one."""
    name, place, domain, address, flags = parts[0].match.groups()
    segment, device_id = (None, None) if place is None else _numbers(place)
    device = ""
    if unit and not unit.startswith("ivhd"):
        unit, device = "", unit
    return _event(
        parts[0].line,
        joined(parts),
        driver,
        unit,
        name,
        segment,
        device_id,
        device,
        int(domain, 16),
        None,
        int(address, 16),
        int(flags, 16),
    )


def _build_event(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    """Make a record of any other event, with the words that stand behind it."""
    named = next((part for part in parts if part.kind not in ("head", "dump")), None)
    if named is None:
        return UnitError(parts[0].line, joined(parts), driver, unit, "an event whose text is lost")
    device = ""
    if unit and not unit.startswith("ivhd"):
        unit, device = "", unit
    facts: Facts = tuple(
        (f"{part.match[1]}[{part.match[2]}]", int(part.match[3], 16)) for part in parts if part.kind == "dump"
    )
    if named.kind == "unknown":
        words = tuple((f"event[{number}]", int(digits, 16)) for number, digits in enumerate(named.match.groups()))
        return _event(
            parts[0].line, joined(parts), driver, unit, "UNKNOWN", None, None, device, None, None, None, None, words
        )
    if named.kind == "detached":
        name, pairs = "Device not attached to domain properly", parts[-1].match[0]
    else:
        name, pairs = named.match[1], named.match[2]
    return _from_pairs((driver, unit, device), name, pairs, parts, facts)


def _from_pairs(who: tuple[str, str, str], name: str, pairs: str, parts: list[Part], facts: Facts) -> LogRecord:
    """Make a record of an event's `name=value` pairs."""
    values: dict[str, int] = {}
    segment = device_id = None
    for key, text in _PAIR.findall(pairs):
        if key == "device":
            segment, device_id = _numbers(text.rstrip(","))
        else:
            values[key] = int(text.rstrip(",)]"), 16)
    driver, unit, device = who
    address = values.pop("address", values.pop("gpa", values.pop("spa", None)))
    domain, pasid, flags = values.pop("domain", None), values.pop("pasid", None), values.pop("flags", None)
    return _event(
        parts[0].line, joined(parts), driver, unit, name, segment, device_id, device, domain, pasid, address, flags,
        (*values.items(), *facts),
    )  # fmt: skip


@lru_cache(4096)
def _numbers(place: str) -> tuple[int | None, int | None]:
    """Return segment and requester ID; before 6.0 there is no segment."""
    found = parse_pci_address(place)
    if found is None:  # a device number above 31
        return None, None
    return found[0] if place.count(":") > 1 else None, found[1]


def _build_notice(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    name = parts[0].match[1]
    return UnitError(parts[0].line, joined(parts), driver, unit, name, lost="log overflow" in name)


AMD = Family(
    (
        Kind("page fault", _PAGE_FAULT, _build_page_fault),
        Kind("head", _HEAD, _build_event, more=True),
        Kind(
            "detached",
            re.compile(r"Event logged \[Device not attached to domain properly\]"),
            _build_event,
            more=True,
        ),
        Kind("unknown", _UNKNOWN, _build_event, frozenset({"head"})),
        Kind("event", _EVENT, _build_event, frozenset({"head"}), more=True),
        Kind("ppr", _PPR, _build_event),
        Kind(
            "dump",
            re.compile(r"(DTE|CMD)\[([0-9])\]: ([0-9a-f]{1,16})"),
            after=frozenset({"event", "dump"}),
            limit=4,
        ),
        Kind(
            "place",
            re.compile(rf"\s*device={_PLACE} domain=0x[0-9a-f]{{1,5}}"),
            after=frozenset({"detached"}),
        ),
        Kind("notice", _NOTICE, _build_notice),
    ),
    shared=True,
)
"""Lines behind `AMD-Vi: `."""
