"""Lines of `drivers/iommu/arm/arm-smmu/` of Linux, for SMMUv1 and v2, and of Xen's driver, which was made of it."""

from __future__ import annotations

import re

from ...base.quick import quick
from .joiner import Family, Kind, Part, joined
from .records import Facts, LogRecord, Smmuv2Fault, Smmuv2GlobalFault, UnitError

_HEX = r"0x([0-9a-f]{1,16})"
_CONTEXT = re.compile(
    r"Unhandled context fault: fsr=0x([0-9a-f]{1,8}), iova=0x([0-9a-f]{1,16}), fsynr=0x([0-9a-f]{1,8}),"
    r"(?: cbfrsynra=0x([0-9a-f]{1,8}),)? cb=(\d{1,5})"
)
_FSR = re.compile(r"FSR {4}= ([0-9a-f]{8}) \[([^\]]{0,80})\], SID=0x([0-9a-f]{1,8})")
_FSYNR = re.compile(r"FSYNR0 = ([0-9a-f]{8}) \[([^\]]{0,80})\]")
_REGISTERS = re.compile(
    r"\s*GFSR 0x([0-9a-f]{1,8}), GFSYNR0 0x([0-9a-f]{1,8}), GFSYNR1 0x([0-9a-f]{1,8}), GFSYNR2 0x([0-9a-f]{1,8})"
)
_UNIDENTIFIED = 2

_fault = quick(Smmuv2Fault)


def _build_context(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    first = parts[0]
    fsr = address = fsynr0 = stream = bank = None
    facts: Facts = ()
    for kind, match, _ in parts:
        if kind == "context":
            one, two, three, four, five = match.groups()
            fsr, address, fsynr0, bank = int(one, 16), int(two, 16), int(three, 16), int(five)
            stream = None if four is None else int(four, 16)
        elif kind == "fsr":
            fsr, stream = int(match[1], 16), int(match[3], 16)
            facts += (("FSR", match[2]),)
        elif kind == "fsynr":
            fsynr0 = int(match[1], 16)
            facts += (("FSYNR0", match[2]),)
        else:
            how, found = match.groups()
            facts += ((how, int(found, 16) if found else "failed"),) if how else (("walk", match[0]),)
    return _fault(first.line, joined(parts), driver, unit, fsr, address, fsynr0, stream, bank, facts)


def _build_global(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    first, last = parts[0], parts[-1]
    if last.kind == "global":
        return UnitError(first.line, joined(parts), driver, unit, "Unexpected global fault")
    if last.kind == "blocked":
        return Smmuv2GlobalFault(
            first.line, joined(parts), driver, unit, _UNIDENTIFIED, None, int(first.match[1], 16), None
        )
    values = [int(digits, 16) for digits in last.match.groups()]
    return Smmuv2GlobalFault(first.line, joined(parts), driver, unit, *values)


_BEFORE_WALK = frozenset({"context", "fsr", "fsynr", "walk"})

SMMUV2 = Family(
    (
        Kind("context", _CONTEXT, _build_context, more=True),
        Kind("fsr", _FSR, _build_context, frozenset({"context"}), more=True),
        Kind("fsynr", _FSYNR, _build_context, frozenset({"fsr"}), more=True),
        Kind(
            "walk",
            re.compile(
                r"(soft iova-to-phys|hard iova-to-phys \(ATOS\))(?:=0x([0-9a-f]{1,16})| failed)"
                r"|SOFTWARE TABLE WALK FAILED! Looks like \S{1,64} accessed an unmapped address!"
            ),
            after=_BEFORE_WALK,
            limit=3,
        ),
        Kind(
            "blocked",
            re.compile(r"Blocked unknown Stream ID 0x([0-9a-f]{1,8}); boot with"),
            _build_global,
        ),
        Kind("global", re.compile("Unexpected global fault, this could be serious"), _build_global, more=True),
        Kind("registers", _REGISTERS, _build_global, frozenset({"global"})),
    )
)
"""Lines behind `arm-smmu <unit>: `, and of Qualcomm's older driver."""
