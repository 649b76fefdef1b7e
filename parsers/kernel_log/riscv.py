"""Lines of `drivers/iommu/riscv/iommu.c` of Linux: the cause is decimal, the values are hexadecimal without `0x`."""

from __future__ import annotations

import re

from ...base.quick import quick
from .joiner import Family, Kind, Part
from .records import LogRecord, RiscvFault, UnitError

_FAULT = re.compile(r"Fault (\d{1,4}) devid: 0x([0-9a-f]{1,6}) iotval: ([0-9a-f]{1,16}) iotval2: ([0-9a-f]{1,16})\b")
_ERROR = re.compile(
    r"(Hardware error: command execution timeout|Fault queue overflow|"
    r"(?:Command|Fault|Page request)?[ -]?queue (?:memory )?(?:fault|error|overflow)\b.{0,80}|"
    r"Invalid command\b.{0,80}|Command fetch\b.{0,80})"
)

_fault = quick(RiscvFault)


def _build_fault(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    cause, device, first, second = parts[0].match.groups()
    line = parts[0].line
    return _fault(line, line.text, driver, unit, int(cause), int(device, 16), int(first, 16), int(second, 16))


def _build_error(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    line, name = parts[0].line, parts[0].match[1]
    return UnitError(line, line.text, driver, unit, name, lost="overflow" in name)


RISCV = Family((Kind("fault", _FAULT, _build_fault), Kind("error", _ERROR, _build_error)))
"""Lines behind `riscv,iommu <unit>: `."""
