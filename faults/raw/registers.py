"""Registers as text: `name=value` or `name value`, in any order and over as many lines as it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from ...base import Finding, Origin
from ..errors import FaultError
from ..fault import Fault
from .queue import Reading

# Every repetition has a limit, so that no text takes more than linear time.
_NUMBER = r"0[xX][0-9a-fA-F]{1,40}|[0-9a-fA-F]{1,40}"
_GAP = r"[ \t]{0,8}"
_PAIR = re.compile(
    rf"(?<![0-9A-Za-z_])(?P<name>[A-Za-z][A-Za-z0-9_]{{0,31}})(?:\[(?P<index>\d{{1,4}})\])?"
    rf"(?:{_GAP}[=:]{_GAP}|[ \t]{{1,8}})"
    rf"(?P<values>(?:{_NUMBER})(?:[ \t,]{{1,8}}(?:{_NUMBER})(?![0-9A-Za-z_]{{0,40}}{_GAP}[=:])){{0,3}})(?![0-9A-Za-z_])"
)
LONGEST = 1 << 20
"""Characters that are looked at."""

_DECIMAL = {"cb", "cause", "devid", "did", "endpoint", "pid", "ttyp", "reason"}
"""Names whose numbers are decimal when they do not begin with 0x."""

Values = dict[tuple[str, int], list[int]]
"""Values by lower-case name and index."""


def from_registers(text: str, *, source: str = "", iommu: str = "") -> Reading:
    """Read faults from registers and fields that are written as text.

    Understood are, whatever the case of the letters and with or without a prefix such as `s` or `CB3_`:

    - VT-d: `FSTS`, `FRCD0` … of 128 bits, or as `FRCD0_LO` and `FRCD0_HI`, or two words after the name; `IQERCD`
    - SMMUv2: `FSR`, `FSYNR0` (or `FSYNR`), `FSYNR1`, `FAR` (or `IOVA`), `IPAFAR`, `CBFRSYNRA`, `CB`; and `GFSR`,
      `GFSYNR0` to `GFSYNR2`, `GFAR`
    - SMMUv3: `EVTQ` and four 64-bit words, or `EVTQ[0]` to `EVTQ[3]`; `PRIQ` and two
    - AMD-Vi: `event[0]` to `event[3]` of 32 bits
    - RISC-V: `CAUSE`, `DEVID` (or `DID`), `TTYP`, `PID`, `IOTVAL`, `IOTVAL2`

    Numbers are hexadecimal, but those of CB, CAUSE, DEVID, PID and TTYP without `0x` are decimal. Later values replace
    earlier ones of the same name.

    Raises:
        FaultError: none of them is there.
    """
    values: Values = {}
    origin = Origin(source, "registers")
    for match in _PAIR.finditer(text[:LONGEST]):
        name = match["name"].lower()
        numbers = [_number(word, decimal=name in _DECIMAL) for word in re.split(r"[ \t,]+", match["values"]) if word]
        if all(number is not None for number in numbers):
            values[name, int(match["index"] or 0)] = [number for number in numbers if number is not None]
    readers: tuple[Callable[[Values, Origin, str], list[Fault]], ...] = (
        _vtd,
        _context,
        _global,
        _smmuv3,
        _amdvi,
        _riscv,
    )
    faults: list[Fault] = []
    for reader in readers:
        try:
            faults += reader(values, origin, iommu)
        except OverflowError as error:
            finding = Finding("FAULT-REGISTERS", "error", origin, "a value is too large for its register")
            raise FaultError(finding) from error
    if not faults:
        finding = Finding(
            "FAULT-REGISTERS",
            "error",
            origin,
            "no fault register that is known is there, or none tells of a fault",
            found=", ".join(dict.fromkeys(name for name, _ in values)) or text.strip()[:40],
            expected="such as FSTS and FRCD0, fsr and fsynr, GFSR, EVTQ[0] to [3], event[0] to [3]",
        )
        raise FaultError(finding)
    return Reading(tuple(faults))


def _number(word: str, *, decimal: bool) -> int | None:
    if not decimal or word[:2] in ("0x", "0X"):
        return int(word, 16)
    return int(word) if word.isdecimal() else None


def _one(values: Values, *names: str) -> int | None:
    """Return the value of the first of some names that is there."""
    for name in names:
        if (name, 0) in values:
            return values[name, 0][0]
    return None


def _words(values: Values, name: str, count: int) -> list[int] | None:
    """Return words that stand after one name, or each after its own index."""
    if len(values.get((name, 0), ())) == count:
        return values[name, 0]
    each = [values.get((name, index)) for index in range(count)]
    return [one[0] for one in each if one] if all(each) else None


def _bytes(*pieces: tuple[int | None, int]) -> bytes:
    """Return values as they lie in memory: each with its number of bytes, 0 for one that is not there."""
    return b"".join((value or 0).to_bytes(size, "little") for value, size in pieces)


def _vtd(values: Values, origin: Origin, iommu: str) -> list[Fault]:
    from . import vtd

    found = []
    for name, index in list(values):
        match = re.fullmatch(r"frcd(\d{0,3})(_lo|_hi)?", name)
        if match is None or match[2] == "_hi":
            continue
        number = int(match[1] or index)
        words = values[name, index]
        if match[2] == "_lo":
            words = [words[0], *values.get((f"frcd{match[1]}_hi", index), [0])[:1]]
        raw = _bytes((words[0], 16)) if len(words) == 1 else _bytes((words[0], 8), (words[1], 8))
        if raw[15] & 0x80:
            found.append(vtd.decode(raw, replace(origin, part=f"FRCD{number}"), iommu))
    status = _one(values, "fsts", "fsts_reg", "dmar_fsts_reg")
    if status is not None:
        found += vtd.decode_status(status, _one(values, "iqercd"), replace(origin, part="FSTS"), iommu)
    return found


def _context(values: Values, origin: Origin, iommu: str) -> list[Fault]:
    from . import smmuv2

    found = []
    for prefix, bank in _banks(values):
        status = _one(values, f"{prefix}fsr")
        if not status:
            continue
        who = _one(values, f"{prefix}cbfrsynra", "cbfrsynra", "sid")
        address = _one(values, f"{prefix}far", f"{prefix}iova", "iova")
        raw = _bytes(
            (status, 4),
            (None, 4),
            (address, 8),
            (_one(values, f"{prefix}fsynr0", f"{prefix}fsynr"), 4),
            (_one(values, f"{prefix}fsynr1"), 4),
            (_one(values, f"{prefix}ipafar"), 8),
            *(() if who is None else ((who, 4),)),
        )
        fault = smmuv2.decode(raw, replace(origin, part=f"{prefix}FSR".upper()), iommu, bank)
        found.append(fault if address is not None else replace(fault, address=None))
    return found


def _banks(values: Values) -> list[tuple[str, int | None]]:
    """Return the prefixes of context bank registers, with the number of the bank where it is said."""
    found = []
    for name, _ in values:
        match = re.fullmatch(r"(?:smmu_)?(?:cb(\d{1,3})_)?fsr", name)
        if match is not None:
            prefix = name[: -len("fsr")]
            found.append((prefix, int(match[1]) if match[1] else _one(values, "cb")))
    return found


def _global(values: Values, origin: Origin, iommu: str) -> list[Fault]:
    from . import smmuv2

    status = _one(values, "gfsr", "sgfsr")
    if not status:
        return []
    address = _one(values, "gfar", "sgfar")
    raw = _bytes(
        (address, 8),
        (status, 4),
        (None, 4),
        *((_one(values, f"gfsynr{index}", f"sgfsynr{index}"), 4) for index in range(3)),
        (None, 4),
    )
    fault = smmuv2.decode_global(raw, replace(origin, part="GFSR"), iommu)
    return [fault if address is not None else replace(fault, address=None)]


def _smmuv3(values: Values, origin: Origin, iommu: str) -> list[Fault]:
    from . import smmuv3

    found = []
    for name in ("evtq", "evt"):
        if words := _words(values, name, 4):
            raw = _bytes(*((word, 8) for word in words))
            found.append(smmuv3.decode(raw, replace(origin, part="EVTQ"), iommu))
    if words := _words(values, "priq", 2):
        raw = _bytes(*((word, 8) for word in words))
        found.append(smmuv3.decode_request(raw, replace(origin, part="PRIQ"), iommu))
    return found


def _amdvi(values: Values, origin: Origin, iommu: str) -> list[Fault]:
    from . import amdvi

    words = _words(values, "event", 4)
    if not words:
        return []
    return [amdvi.decode(_bytes(*((word, 4) for word in words)), replace(origin, part="event"), iommu)]


def _riscv(values: Values, origin: Origin, iommu: str) -> list[Fault]:
    """Read fields of a fault record; Linux prints no TTYP, so that only the cause tells what was tried."""
    from ...iommu.riscv.layout.queues import FaultRecord

    cause = _one(values, "cause")
    if cause is None:
        return []
    from . import riscv

    device, pid, kind = _one(values, "devid", "did"), _one(values, "pid"), _one(values, "ttyp")
    address, second = _one(values, "iotval"), _one(values, "iotval2")
    record = FaultRecord()
    try:
        record = FaultRecord(CAUSE=cause, TTYP=kind or 0, DID=device or 0, iotval=address or 0, iotval2=second or 0)
        if pid is not None:
            record = record.replace(PV=1, PID=pid)
    except ValueError as error:
        raise OverflowError(str(error)) from error
    if kind is not None:
        return [riscv.decode(bytes(record), replace(origin, part="CAUSE"), iommu)]
    return [riscv.decode_printed(cause, device, address, second, replace(origin, part="CAUSE"), iommu, pid)]
