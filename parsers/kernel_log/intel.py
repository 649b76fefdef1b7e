"""Lines of Intel's driver, `drivers/iommu/intel/{dmar,iommu}.c` of Linux.

Up to 5.13 the fault reason is decimal; since 5.14 it is hexadecimal, and says so by its `0x`. 7.2 prints the segment of
the device too.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ...base.quick import quick
from .joiner import Family, Kind, Part, joined
from .records import Facts, LogAccess, LogRecord, UnitError, VtdFault, VtdStatus, VtdTables

_NO_PASID = "ffffffff"
_ACCESS: dict[str | None, LogAccess] = {"R": "read", "r": "read", "W": "write", "w": "write", None: "interrupt"}

REASON = r"\[fault reason (0x)?([0-9a-f]{1,4})\] ?(.*)"
_REQUEST = re.compile(
    r"(?:DMAR: ?)?\[?(?:DMA ([RrWw])(?:ead|rite)|INTR-REMAP)(?:\]|: | NO_PASID\]| PASID 0x([0-9a-f]{1,8})\]) ?"
    r"Request device \[{1,2}(?:([0-9a-f]{4,8}):)?((?:0x)?[0-9a-f]{2}:(?:0x)?[0-9a-f]{2}\.[0-7])\]"
    r"(?: PASID ([0-9a-f]{1,8}))? fault (?:addr|index) (?:0x)?([0-9a-f]{1,16})(?: *" + REASON + r"| *$)"
)
_TABLE = re.compile(
    r"(?:scalable mode )?(root entry|context entry|pasid dir entry|pasid table entry\[[0-7]\]): "
    r"(?:hi 0x([0-9a-f]{1,16}), low )?0x([0-9a-f]{1,16})"
    r"|pte level: (\d), pte value: 0x([0-9a-f]{1,16})"
    r"|((?:root|context|pasid|pasid directory|root table|legacy mode page|page)? ?(?:table|entry|PTE) "
    r"(?:is )?not present(?: at level \d)?)"
)
_QI = re.compile(r"(QI HEAD|QI PRIOR): (.{1,60}) qw0 = 0x([0-9a-f]{1,16}), qw1 = 0x([0-9a-f]{1,16})")
_DUMP = re.compile(r"Dump (\S{1,32}) table entries for IOVA 0x([0-9a-f]{1,16})")

_fault, _status = quick(VtdFault), quick(VtdStatus)


def _build_fault(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    first = parts[0]
    access, pasid, segment, place, old_pasid, address, hexadecimal, reason, meaning = first.match.groups()
    tables: Facts = ()
    if len(parts) > 1:
        if reason is None and parts[1].kind == "reason":
            hexadecimal, reason, meaning = parts[1].match.groups()
        for part in parts[1:]:
            if part.kind == "dump":
                unit = part.match[1]
            elif part.kind == "table":
                tables += _table(part.match)
    pasid = pasid or old_pasid
    return _fault(
        first.line,
        joined(parts),
        driver,
        unit,
        _ACCESS[access],
        None if segment is None else int(segment, 16),
        _rid(place),
        None if pasid is None or pasid == _NO_PASID else int(pasid, 16),
        int(address, 16),
        None if reason is None else _reason(hexadecimal, reason),
        meaning or "",
        tables,
    )


@lru_cache(4096)
def _rid(place: str) -> int:
    """Return the requester ID of `bb:dd.f`, in which each number may have `0x` before it."""
    bus, _, rest = place.partition(":")
    slot, _, function = rest.partition(".")
    return int(bus, 16) << 8 | (int(slot, 16) & 0x1F) << 3 | int(function)


def _reason(hexadecimal: str | None, digits: str) -> int | None:
    """Return the number; None for what is no decimal number although it has no `0x`."""
    if hexadecimal:
        return int(digits, 16)
    return int(digits) if digits.isdecimal() else None


def _table(match: re.Match[str]) -> Facts:
    """Return one line of a walk of the tables."""
    name, high, low, level, entry, end = match.groups()
    if end is not None:
        return ((end, ""),)
    if level is not None:
        return ((f"pte level {level}", int(entry, 16)),)
    return ((name, int(high or "0", 16) << 64 | int(low, 16)),)


def _build_status(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    return _status(parts[0].line, parts[0].line.text, driver, unit, int(parts[0].match[1], 16))


def _build_tables(driver: str, _unit: str, parts: list[Part]) -> LogRecord:
    match = parts[0].match
    tables = tuple(fact for part in parts[1:] for fact in _table(part.match))
    return VtdTables(parts[0].line, joined(parts), driver, match[1], int(match[2], 16), tables)


def _build_error(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    first = parts[0].match
    facts: Facts = ()
    for part in parts:
        if part.kind == "qi":
            name, kind, low, high = part.match.groups()
            facts += ((name, kind), (f"{name} qw0", int(low, 16)), (f"{name} qw1", int(high, 16)))
        elif part.kind == "descriptor":
            facts += (("qw0", int(part.match[1], 16)), ("qw1", int(part.match[2], 16)))
    if parts[0].kind == "queue":
        return UnitError(parts[0].line, joined(parts), driver, unit, first[1], int(first[3], 16), facts=facts)
    name = "invalid descriptor" if parts[0].kind == "descriptor" else "Invalidation Queue Error"
    return UnitError(parts[0].line, joined(parts), driver, unit, name, facts=facts)


INTEL = Family(
    (
        Kind("fault", _REQUEST, _build_fault, more=True),
        Kind("status", re.compile(r"DRHD: handling fault status reg ([0-9a-f]{1,8})"), _build_status),
        Kind("reason", re.compile(r"(?:DMAR: ?|INTR-REMAP: ?)?" + REASON), after=frozenset({"fault"})),
        Kind("dump", _DUMP, _build_tables, frozenset({"fault", "reason"}), more=True),
        Kind("table", _TABLE, after=frozenset({"dump", "table"}), limit=24),
        Kind(
            "queue",
            re.compile(
                r"VT-d detected (Invalidation (Queue|Time-out|Completion) Error): (?:Reason|SID) ([0-9a-f]{1,16})"
            ),
            _build_error,
            more=True,
        ),
        Kind(
            "descriptor",
            re.compile(r"VT-d detected invalid descriptor: qw0 = ([0-9a-f]{1,16}), qw1 = ([0-9a-f]{1,16})"),
            _build_error,
        ),
        Kind("qi", _QI, _build_error, frozenset({"queue", "qi"}), limit=2, more=True),
        Kind(
            "cleared",
            re.compile(r"Invalidation (?:Queue|Time-out|Completion) Error \((?:IQE|ITE|ICE)\) cleared"),
            after=frozenset({"queue", "qi", "cleared"}),
            limit=3,
        ),
    ),
    shared=True,
)
"""Lines behind `DMAR: ` or, before 4.2, `dmar: `."""
